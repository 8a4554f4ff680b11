// Getting one record's value from its segment, as steps: whoever drives it does the reads, one after the
// other or thousands at once.
//
//   kv_load_begin() ──KV_PENDING──▶ do load.read ──result──▶ kv_load_step() ──KV_PENDING──▶ do load.read ...
//         │ anything else: the end                                │ anything else: the end; kv_load_end()
//
// A record of up to 256 KiB, whose size the index knows well enough, is one read. Of a larger one head and
// key are read first, then the value in pieces of 1 MiB, straight to where it is wanted, or (O_DIRECT wants
// aligned memory) through one buffer of that size: it is never held twice.
//
// The key's bytes stay the caller's and have to stay where they are until the end.
#ifndef MEC_KVSTORE_KV_LOAD_H
#define MEC_KVSTORE_KV_LOAD_H

#include <stdbool.h>
#include <sys/types.h>

#include "kvstore/kv_buffer.h"
#include "kvstore/kv_format.h"
#include "kvstore/kv_segment.h"

struct kv_port;

// One read of a file. The memory belongs to whoever does the read until it is done.
struct kv_disk_read {
    int fd;
    bool slab; // buf lies in the slab of the port that it is given to
    bool direct;
    uint8_t *buf;
    size_t len;
    uint64_t offset;
    ssize_t result;       // bytes, or -errno
    struct kv_port *port; // that gets it back, of the pool's reads
    struct kv_disk_read *next;
    void *owner; // whoever drives it; untouched here
};
// Does it now: one system call. Sets and returns the result.
ssize_t kv_disk_read_now(struct kv_store *store, struct kv_disk_read *read);
// Takes note of what the system answered to a read (-errno or bytes): counts it, and asks the tests' hook.
void kv_disk_read_done(struct kv_store *store, struct kv_disk_read *read, ssize_t result);

#define KV_SLAB_BYTES 8192u

// Where the value is wanted.
enum kv_want {
    KV_WANT_COPY,   // in the caller's memory
    KV_WANT_MALLOC, // in a block of its own, to be given away
    KV_WANT_VIEW,   // wherever it is: in the buffer it was read into
};
struct kv_sink {
    enum kv_want want;
    void *into; // KV_WANT_COPY
    size_t capacity;
    // The read may be given up while the kernel is still at it (io_uring): never let it write to the caller's
    // memory.
    bool indirect;
    uint8_t *slab; // KV_SLAB_BYTES, aligned, to be used when they are enough; may be NULL
};

enum kv_load_stage { KV_LOAD_WHOLE, KV_LOAD_HEAD, KV_LOAD_VALUE };

struct kv_load {
    struct kv_disk_read read; // what is to be read next
    struct kv_store *store;
    const struct kv_sink *sink;
    struct kv_segment *segment; // a reference
    uint64_t where;
    const void *key;
    size_t key_len;
    uint8_t size_class; // of the record, by the index
    enum kv_load_stage stage;
    struct kv_buffer *buffer; // of the store's; NULL: the sink's slab is used
    uint8_t *block;           // what is read into
    size_t block_len;
    size_t skip; // of the block, before the record begins
    size_t got;  // bytes in the block
    size_t used; // bytes of the sink's slab that reads may have filled
    size_t want; // bytes of the record that the block is to hold
    struct kv_record record;
    // result
    uint8_t *value; // in the block, in the sink's memory, or malloc'ed
    size_t len;
    size_t done; // bytes of a value that comes in pieces
    bool owned;  // value is malloc'ed and not yet given away
};

// Whether a record of this size by the index is brought by one read.
bool kv_load_is_whole(uint8_t size_class);
// KV_PENDING, or a failure after which there is nothing to end. KV_IO: the segment is gone (the place is out
// of date).
enum kv_status kv_load_begin(struct kv_load *load, struct kv_store *store, const struct kv_sink *sink,
                             uint64_t where, uint8_t size_class, const void *key, size_t key_len);

// After load->read has been done. KV_OK: value and len are set and checked. KV_NOT_FOUND: the record there is
// another key's. KV_TOO_LARGE: only len is set (a large value, before it is read). Anything else may mean
// that the place is out of date.
enum kv_status kv_load_step(struct kv_load *load);

// Releases what it holds, wiped. The buffer and a malloc'ed value may have been taken out (set to NULL, owned
// = false) before.
void kv_load_end(struct kv_load *load);
// The same for a read that may still be going on somewhere in the kernel: what it writes to is never used
// again.
void kv_load_abandon(struct kv_load *load);

#endif
