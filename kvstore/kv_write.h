// The steps of a put that kv_write.c and kv_put_batch.c share.
#ifndef MEC_KVSTORE_KV_WRITE_H
#define MEC_KVSTORE_KV_WRITE_H

#include "kvstore/kv_block.h"

// A put on its way.
struct kv_put_op {
    struct kv_block_item item; // with the append; `at` is a batch's
    uint64_t hash;
    struct kv_shard *shard;
    bool replaces;
    struct kv_found old;
    struct kv_mem *mem;     // the new value in memory, pinned; NULL: not kept
    struct kv_mem *old_mem; // the replaced one, pinned
    size_t index;           // of a batch: which of its items
    bool bulk;              // a new key's value enters memory only while there is room
};

// Whether a write of these lengths may be tried at all.
enum kv_status kv_write_check(struct kv_store *store, size_t key_len, size_t value_len);

// Fills in all but value_sum.
struct kv_put_op kv_put_op_of(struct kv_store *store, const void *key, size_t key_len, const void *value,
                              size_t len, uint64_t expire_ms);

// Room in the index for a key, so that kv_put_install() cannot fail. The writer's locks are held, as for the next.
bool kv_put_reserve(struct kv_store *store, const struct kv_put_op *put);

// After the append: the value goes to memory, the index points at it, the one it replaces (put->replaces, put->old) will be
// erased.
void kv_put_install(struct kv_store *store, struct kv_put_op *put);

// Lets the records in memory go. No lock is held.
void kv_put_release(struct kv_store *store, struct kv_put_op *put);

// As durable as the policy promises, then the values that have been superseded go.
enum kv_status kv_write_settle(struct kv_store *store, uint64_t lsn, unsigned flags);

struct kv_append kv_tombstone_of(struct kv_store *store, const void *key, size_t key_len);

// The index forgets the record, memory loses the value at once, the file when the tombstone (lsn) is on the
// device: never before, or a power failure could keep a few erased sectors and lose the tombstone, and
// recovery would take the record for a torn write and go back to an older value. lsn 0: there was no room for a
// tombstone; the erasure takes its place, after everything that came before it. The shard's write lock is held.
enum kv_status kv_remove_found(struct kv_store *store, struct kv_shard *shard, uint64_t hash,
                               const struct kv_found *found, uint64_t lsn);

#endif
