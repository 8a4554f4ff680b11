// Many records appended at once: laid one behind another in a buffer and written by few large writes.
//
// A block is filled without any lock (values are copied and summed), then it gets its place at the end of the log: seqs are given,
// the heads, whose sums depend on the place, are encoded, and every part of at most KV_PART_BYTES goes to the writer threads
// as soon as its heads are there. From kv_block_begin() to kv_block_end() the block's writer holds the append lock: nobody
// else appends meanwhile, a failed block can be cut off, and written_lsn never passes over bytes that are not there yet.
//
//   direct   from KV_DIRECT_FROM bytes on, past the page cache (O_DIRECT), at a multiple of 4 KiB behind the end of the log. Every
//            part begins at such a multiple and holds whole records, with zeros behind the last: so a process that dies
//            leaves whole records or zeros, and the block that the file's last buffered write is in is never written both ways.
//            The file is given blocks in large steps before (fallocate), and is longer than the segment until the next
//            buffered append, the seal or the close cuts it.
//   buffered below that, or where the file system refuses O_DIRECT: one write through the page cache.
#ifndef MEC_KVSTORE_KV_BLOCK_H
#define MEC_KVSTORE_KV_BLOCK_H

#include "kvstore/kv_internal.h"

#define KV_BLOCK_ALIGN 4096u
#define KV_BLOCK_BYTES (2u * 1024 * 1024)
#define KV_PART_BYTES  (1024u * 1024) // one write of this size, two to four at once, is what a disk wants
#define KV_DIRECT_FROM (256u * 1024)

struct kv_block {
    uint8_t *bytes; // the caller's, of `capacity` bytes, a multiple of KV_BLOCK_ALIGN and aligned to it
    size_t capacity, len;
    size_t records;   // the caller's
    size_t part_at;   // where the part that is being filled begins
    bool frees_space; // as in struct kv_append
    // Of the block that is being written
    uint64_t offset; // where it begins in the segment
    bool direct;
    int error; // of the write of one that is not direct
};

// A record's place in a block, beside what kv_append() needs.
struct kv_block_item {
    struct kv_append append;
    size_t at; // offset in the block
};

void kv_block_reset(struct kv_block *block, uint8_t *bytes, size_t capacity);

// Adds a record: copies key and value, sums the value. False: it does not fit (a record larger than KV_PART_BYTES never does).
bool kv_block_add(struct kv_store *store, struct kv_block *block, struct kv_block_item *item);

// Writes a block whose records are the items, in that order, `stride` bytes apart. KV_OK: the append lock is held until
// kv_block_end(), which waits for the writes and says how they went. Otherwise nothing was written, as with kv_append().
enum kv_status kv_block_begin(struct kv_store *store, struct kv_block *block, struct kv_block_item *items,
                              size_t stride, size_t count);
enum kv_status kv_block_end(struct kv_store *store, struct kv_block *block, struct kv_block_item *items,
                            size_t stride, size_t count);

#endif
