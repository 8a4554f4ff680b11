// A get that memory could not answer, from the candidates that the index named to the status that the caller
// gets, as steps (kv_load.h): the blocking get drives one, a batch or the asynchronous gets drive many
// through a port.
//
// No lock is held while anything is read. Meanwhile the record may be erased, moved, or its segment removed;
// all of these change the index first. So whatever goes wrong with a read, the index is asked again: only
// when it still points to the same place is the error real.
#ifndef MEC_KVSTORE_KV_MISS_H
#define MEC_KVSTORE_KV_MISS_H

#include "kvstore/kv_load.h"

struct kv_shard;

// Where on disk a key's record may be, by its hash.
struct kv_candidate {
    uint64_t where, expire_ms;
    uint8_t size_class;
};
#define KV_CANDIDATES 8u // keys of one 64-bit hash; two are already a wonder

struct kv_miss {
    struct kv_load load; // load.read: what is to be read next
    struct kv_store *store;
    uint64_t hash;
    uint64_t began_ns; // kv_clock_ns()
    const void *key;   // the caller's, until the end
    size_t key_len;
    struct kv_sink sink;
    struct kv_candidate others[KV_CANDIDATES];
    size_t count, at;
    // answer
    size_t len; // of the value; for KV_TOO_LARGE as well
    uint64_t version, expire_ms;
    void *alloc;         // KV_WANT_MALLOC
    struct kv_view view; // KV_WANT_VIEW
};

// Looks in memory. KV_OK: *view is filled, pinned. KV_NOT_FOUND. KV_PENDING: it may be on disk, in one of
// `count` places (kv_read.c).
enum kv_status kv_look(struct kv_store *store, uint64_t hash, const void *key, size_t key_len,
                       struct kv_view *view, struct kv_candidate *others, size_t *count);
// Whether a failure of a read from a place is real: the index still points there. Counts the damage once
// (kv_read.c).
bool kv_failure_is_real(struct kv_store *store, struct kv_shard *shard, uint64_t hash, uint64_t where,
                        enum kv_status status);

// store, hash, key, sink, others and count are set, load.read.owner as the caller likes. KV_PENDING:
// load.read is to be done, then kv_miss_step() called, and so on. Anything else is the answer, and nothing is
// left to release but what the answer is made of.
enum kv_status kv_miss_begin(struct kv_miss *miss);
enum kv_status kv_miss_step(struct kv_miss *miss);
// Begins and does all steps, one system call each.
enum kv_status kv_miss_run(struct kv_miss *miss);
// A read that may go on in the kernel for ever is given up; the miss can be begun anew.
void kv_miss_abandon(struct kv_miss *miss);

// How many bytes of a record's buffer a view holds (kv_read.c, for kv_view_release()): views of values from
// disk hold a buffer.
void *kv_view_hold(struct kv_buffer *buffer);

#endif
