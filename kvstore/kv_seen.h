// What the records of a log say of each key: the rules of FORMAT.md, "What decides", in one place for a scan
// of everything and for replay behind an index snapshot.
//
// Records may come in any order and from several threads. Of each key (told apart by 128 bits of hash) the
// highest seq decides:
//   a value that is there             the key's value, with the expiry it says or that of the latest change
//                                     that names its place
//   a tombstone, or an erased value   the key is gone
// Two records of one seq are one record and the copy that compaction made of it: the later place is kept.
//
// A value whose checksum does not hold gives way to an older one that is whole and not erased. That the older
// one has not been erased shows that the newer was not known to be on the device: a power failure tore it.
// Such a torn record is zeroed, head and all, so that it does not outlive what it gave way to. Without an
// older one it is the key's value, damaged. Those are few, and decided on when all else is known.
//
// 256 tables with a lock each, 40 bytes an entry, 50 to 68 bytes per key with the gaps; 32 more for a key
// with an expiry.
#ifndef MEC_KVSTORE_KV_SEEN_H
#define MEC_KVSTORE_KV_SEEN_H

#include "kvstore/kv_internal.h"
#include "kvstore/kv_walk.h"

struct kv_seen_entry {
    struct kv_hash hash;
    uint64_t seq;     // of its value; without one: values of a lower seq are void
    uint64_t word;    // class and place of its value, KV_WORD_DAMAGED when that does not hold; 0: none
    uint32_t timings; // its first expiry or change of expiry, counted from 1; 0: none
    uint8_t flags;    // KV_SEEN_*
    uint8_t want;     // policy bits that the snapshot had
};
#define KV_SEEN_USED       1u
#define KV_SEEN_UNREADABLE 2u // the device does not let its value be read

struct kv_seen;

// NULL: no memory.
struct kv_seen *kv_seen_create(struct kv_store *store);
void kv_seen_destroy(struct kv_seen *seen); // NULL is fine

// Takes one record (item->kind is KV_ITEM_RECORD) at a place. expire_ms: what the index snapshot has as its
// expiry; NULL: the record's own. Any thread. False: no memory.
bool kv_seen_take(struct kv_seen *seen, struct kv_hash hash, uint64_t where, const struct kv_item *item,
                  const uint64_t *expire_ms);

// The highest seq seen.
uint64_t kv_seen_max_seq(const struct kv_seen *seen);

// The entry of a key; NULL: nothing of it has been seen. Valid until the next record of a key that has no
// entry.
struct kv_seen_entry *kv_seen_find(struct kv_seen *seen, struct kv_hash hash);
// The next used entry of a shard at or after *at, which moves behind it; NULL at the end.
struct kv_seen_entry *kv_seen_next(struct kv_seen *seen, unsigned shard, size_t *at);

// When all records have been taken: decides, and enters every key that has a value in the index. The tables
// are empty afterwards. False: no memory. One thread.
bool kv_seen_index(struct kv_seen *seen);

// Queues the erasure of every value that lost and is still in the files. After kv_seen_index().
enum kv_status kv_seen_erase_losers(struct kv_seen *seen);

#endif
