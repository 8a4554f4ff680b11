// A hash table of 16-byte slots kept in the order of their hashes: an array with gaps.
//
//   slot's home = hash * homes / 2^64 (monotone in the hash), and a slot lies at its home or a little after it. So all slots lie in
//   ascending order: a search ends at the first greater hash, walking the table is walking the hashes in order whatever grew
//   meanwhile, and growing is one sequential copy.
//
// At most 7/8 of the homes are used and growth is by a fifth: 18.6 to 22.3 bytes per slot. Growing happens in place: the
// storage is made longer without a copy (mremap), the slots move to its end and from there, front to back, to their new
// homes (one of 256 shards: DESIGN.md has the time at 10 million keys).
//
// Only the top 56 bits of a hash count, here and in every comparison; the 8 bits below them are the owner's to change in a
// slot that it has found (kv_index.h: the memory tier's policy). An insert sets them to 0.
//
// Equal hashes may be stored several times; they lie next to each other. A slot whose word is 0 is empty.
// Not thread-safe: the caller holds the shard's lock.
#ifndef MEC_KVSTORE_KV_TABLE_H
#define MEC_KVSTORE_KV_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_slot {
    uint64_t hash; // and policy bits
    uint64_t word; // never 0 in use
};

#define KV_HASH_BITS (~(uint64_t)0xff)
#define KV_HASH_STEP ((uint64_t)0x100) // from one hash to the next greater one

static inline uint64_t kv_slot_hash(const struct kv_slot *slot)
{
    return slot->hash & KV_HASH_BITS;
}

struct kv_table {
    struct kv_slot *slots;
    size_t homes;    // slots that are a home; 0: nothing allocated
    size_t capacity; // homes and the run-over after the last
    size_t count;
};

void kv_table_destroy(struct kv_table *table);

// Bytes the table has allocated.
size_t kv_table_bytes(const struct kv_table *table);

// Makes room for one more insert, so that kv_table_insert() cannot fail. False: no memory.
bool kv_table_reserve(struct kv_table *table);

// Makes room for `count` slots in all at once, for filling a table. False: no memory.
bool kv_table_reserve_for(struct kv_table *table, size_t count);

// False: no memory (never after kv_table_reserve()). Pointers to slots become stale.
bool kv_table_insert(struct kv_table *table, uint64_t hash, uint64_t word);

// The first slot of a hash, NULL when there is none; kv_table_next() gives the next one of the same hash.
struct kv_slot *kv_table_find(const struct kv_table *table, uint64_t hash);
struct kv_slot *kv_table_next(const struct kv_table *table, const struct kv_slot *slot);

// Starts fetching the slot of a hash into the cache. The only function that may be called without the lock.
void kv_table_prefetch(const struct kv_table *table, uint64_t hash);

// The first slot whose hash is not less; NULL at the end.
struct kv_slot *kv_table_from(const struct kv_table *table, uint64_t hash);

// Removes a slot that find, next or from gave. Pointers to slots become stale; the table may shrink.
void kv_table_remove(struct kv_table *table, struct kv_slot *slot);

#endif
