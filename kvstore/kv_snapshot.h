// The index snapshot: file INDEX, so that opening need not read the whole log. Bytes: FORMAT.md; what keeps it true: DESIGN.md,
// "Recovery".
//
//   header │ block 0 .. block 255: a shard's position in the log, its slots, expiries │ block 256: erasures that are due │
//
// Written to INDEX.tmp block by block, with one shard's buffer, while the store is in use; fsync, rename, fsync of the folder.
// Every block has a sum of its own, keyed with the store's seed, a number made for this file and the block's; the header has
// the sum of those.
#ifndef MEC_KVSTORE_KV_SNAPSHOT_H
#define MEC_KVSTORE_KV_SNAPSHOT_H

#include <pthread.h>

#include "kvstore/kv.h"
#include "kvstore/kv_format.h"
#include "kvstore/kv_index.h"

#define KV_INDEX_VERSION      1u
#define KV_INDEX_HEAD         128u // header
#define KV_INDEX_BLOCK_HEAD   40u
#define KV_INDEX_SLOT         16u
#define KV_INDEX_EXPIRY       8u
#define KV_INDEX_ERASURE      16u
#define KV_INDEX_BLOCKS       (KV_SHARDS + 1)
#define KV_NO_SNAPSHOT        UINT64_MAX
#define KV_SLOT_KEPT_BITS     KV_WANT_BITS // policy bits that outlive the process: how much it is wanted
#define KV_SLOT_KEPT_FLAGS    (KV_WORD_EXPIRES | KV_WORD_DAMAGED)
#define KV_ERASURE_UNREADABLE 1u
#define KV_ERASURE_WHOLE      2u
#define KV_ERASURE_BY_HEAD    4u

struct kv_store;
struct kv_erasure;

// Of a store that is open.
struct kv_snapshots {
    pthread_mutex_t lock;      // one is written at a time; taken before every lock but compact_lock
    pthread_mutex_t file_lock; // a leaf, held across renaming and unlinking INDEX; guards the rest
    uint64_t low; // least segment that replay behind the one that stands reads; KV_NO_SNAPSHOT: none stands
    uint64_t
        removals; // how often it has been removed: one that is being written meanwhile is not put in place
    struct kv_place from; // the log has grown since here
    uint64_t bytes;       // its length
};

struct kv_index_head {
    uint64_t nonce;
    uint64_t next_seq;
    struct kv_place end; // of the log, when the last shard had been captured
    uint64_t keys, erasures;
    uint64_t file_bytes;
    uint64_t blocks_sum;
    uint64_t next_segment; // the manifest's, when the last shard had been captured
    uint64_t segments;     // listed then, from the least position's on
};
void kv_index_head_encode(const struct kv_seeds *seeds, const struct kv_index_head *head,
                          uint8_t out[KV_INDEX_HEAD]);
// False: another store's, another version, or its sum does not hold.
bool kv_index_head_decode(const struct kv_seeds *seeds, const uint8_t in[KV_INDEX_HEAD],
                          struct kv_index_head *head);
// Sum of a block's bytes, and of the blocks' sums (little-endian words).
uint64_t kv_index_block_sum(const struct kv_seeds *seeds, uint64_t nonce, uint64_t number, const void *bytes,
                            size_t len);
uint64_t kv_index_blocks_sum(const struct kv_seeds *seeds, uint64_t nonce,
                             const uint64_t sums[KV_INDEX_BLOCKS]);

// What was loaded beside the slots, which are in the index.
struct kv_snapshot {
    struct kv_place positions[KV_SHARDS];
    struct kv_place low, end; // the least of the positions; where the log ended
    uint64_t next_seq, keys, bytes;
    struct kv_erasure *erasures; // owned
    size_t erasure_count;
    size_t homeless; // slots whose segment is gone; replay must have found the copy of each
};

// Loads INDEX into the (empty) index, live figures of segments included. KV_NOT_FOUND: there is none. KV_CORRUPT: it is not to
// be trusted, and the index has something in it; kv_error_text() says why. For kv_open().
enum kv_status kv_snapshot_load(struct kv_store *store, struct kv_snapshot *snapshot);
void kv_snapshot_free(struct kv_snapshot *snapshot);

bool kv_snapshots_init(struct kv_snapshots *snapshots);
void kv_snapshots_destroy(struct kv_snapshots *snapshots);
// The one that was loaded stands.
void kv_snapshot_stands(struct kv_store *store, const struct kv_snapshot *snapshot);

// Removes the snapshot, durably. Before anything is done that replay behind it would not see. With or without the shard's
// write lock.
enum kv_status kv_snapshot_remove(struct kv_store *store);

// Before a sealed segment is removed: when replay would read it, a newer snapshot is put in place, or the old one removed.
// Called with compact_lock and no other lock.
enum kv_status kv_snapshot_let_go(struct kv_store *store, uint64_t segment);

void *kv_checkpointer_main(void *store);

#endif
