// The index: for each key one 16-byte slot { 56-bit keyed hash and policy bits, word }, in 256 shards with a lock each.
//
//   hash   63..8 of the key's hash │ cached: 2..0 reads │ on disk: 7..2 ghost epoch, 1..0 how much wanted
//   word   63 cached │ 61 expires │ 60 damaged │ 59..52 size class │ 51..0 where
//   where  on disk: segment << 26 | offset / 16      in memory (cached): place in the memory tier
//
// A cached record's head in memory holds its place on disk, so nothing is lost by having one field for both.
// Keys that expire have a second slot in the shard's expiry table: { hash, expire_ms << 16 | 16 bits of the
// place on disk }.
//
// Two keys with one 56-bit hash (odds keys^2 / 2^57) have two slots; whoever must know which is which
// compares the keys. A place on disk is used once in a store's life, so it is a record's identity and its
// version.
//
// Two locks a shard. `write` is held by whoever changes what a key is (put, delete, expiry, compaction's
// move) from looking at the key's current record to having the index say the new one, disk reads and the
// append included; so records of one key are written in the order of their seq. `lock` guards the tables and
// is held for a moment only, never across I/O. Order: write, lock. The functions here are called with `lock`
// held; those that insert with `write` as well.
#ifndef MEC_KVSTORE_KV_INDEX_H
#define MEC_KVSTORE_KV_INDEX_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "kvstore/kv_table.h"

#define KV_SHARDS 256u

#define KV_WORD_CACHED   (1ull << 63)
#define KV_WORD_EXPIRES  (1ull << 61)
#define KV_WORD_DAMAGED  (1ull << 60) // counted as damaged already
#define KV_WORD_WHERE    ((1ull << 52) - 1)
#define KV_EXPIRE_MAX_MS ((1ull << 48) - 1) // a later expiry is this one (the year 10889)

// The policy's bits of a slot, in the low 8 bits of its hash (the memory tier: DESIGN.md).
#define KV_READS_BITS   0x07u // cached: reads since it came, or since its chunk was last reclaimed, at most 7
#define KV_WANT_BITS    0x03u // on disk: how much it was wanted when it was dropped
#define KV_WANT_MOST    3u
#define KV_GHOST_BITS   0xfcu // on disk: the epoch in which it was dropped; 0: none
#define KV_GHOST_SHIFT  2
#define KV_GHOST_EPOCHS 63u // so a ghost that is long gone passes for one with odds of 2 to 61

struct kv_shard {
    alignas(64) struct kv_table keys; // what a hit needs lies together
    pthread_mutex_t lock;
    uint64_t hits, misses, not_found, miss_ns;
    uint64_t cached_bytes, cached_records;
    struct kv_table expiry;
    pthread_mutex_t write;
};

struct kv_index {
    struct kv_shard shards[KV_SHARDS];
    _Atomic size_t bytes; // of all tables
    _Atomic uint64_t keys, expiring;
};

void kv_index_init(struct kv_index *index);
void kv_index_destroy(struct kv_index *index);

static inline struct kv_shard *kv_index_shard(struct kv_index *index, uint64_t hash)
{
    return &index->shards[hash >> 56];
}

// How much a record is wanted in memory, 0 (not) to 3: by the reads since it came, or those it had when it was dropped.
// Shard lock held.
static inline unsigned kv_slot_want(const struct kv_slot *slot)
{
    if ((slot->word & KV_WORD_CACHED) == 0)
        return (unsigned)(slot->hash & KV_WANT_BITS);
    unsigned reads = (unsigned)(slot->hash & KV_READS_BITS);
    return reads < KV_WANT_MOST ? reads : KV_WANT_MOST;
}

// Counts a read of a cached record. Shard lock held.
static inline void kv_slot_read(struct kv_slot *slot)
{
    if ((slot->hash & KV_READS_BITS) != KV_READS_BITS)
        slot->hash++;
}

static inline uint8_t kv_word_class(uint64_t word)
{
    return (uint8_t)(word >> 52);
}

static inline uint64_t kv_word_where(uint64_t word)
{
    return word & KV_WORD_WHERE;
}

static inline uint64_t kv_word_make(uint8_t size_class, uint64_t where)
{
    return (uint64_t)size_class << 52 | where;
}

// A place on disk as 52 bits, never 0.
static inline uint64_t kv_where_disk(uint64_t segment, uint64_t offset)
{
    return segment << 26 | offset / 16;
}

static inline uint64_t kv_where_segment(uint64_t where)
{
    return where >> 26;
}

static inline uint64_t kv_where_offset(uint64_t where)
{
    return (where & ((1u << 26) - 1)) * 16;
}

// Room for one more key and, when asked, one more expiry: the inserts that follow cannot fail until `write`
// is released, since nobody else inserts. False: no memory.
bool kv_index_reserve(struct kv_index *index, struct kv_shard *shard, bool expires);
// Room for so many keys in all, for filling a shard.
bool kv_index_reserve_for(struct kv_index *index, struct kv_shard *shard, size_t keys);
void kv_index_insert(struct kv_index *index, struct kv_shard *shard, uint64_t hash, uint64_t word);
void kv_index_remove(struct kv_index *index, struct kv_shard *shard, struct kv_slot *slot);
// Forgets all of a shard's keys. What was in memory of them is reached by nobody any more but who has it pinned.
void kv_index_clear(struct kv_index *index, struct kv_shard *shard);

// The expiry of a slot's record, whose place on disk is given too (the slot may be cached); 0: never.
uint64_t kv_index_expiry(const struct kv_shard *shard, const struct kv_slot *slot, uint64_t where_disk);
// Sets or clears (0) it, the slot's EXPIRES bit included.
void kv_index_set_expiry(struct kv_index *index, struct kv_shard *shard, struct kv_slot *slot,
                         uint64_t where_disk, uint64_t expire_ms);

// Words of the expiry table.
static inline uint64_t kv_expiry_ms(uint64_t word)
{
    return word >> 16;
}
static inline uint64_t kv_expiry_word(uint64_t where_disk, uint64_t expire_ms)
{
    return expire_ms << 16 | ((where_disk * 0x9e3779b97f4a7c15ull) >> 48);
}
static inline bool kv_expiry_is_of(uint64_t word, uint64_t where_disk)
{
    return (uint16_t)word == (uint16_t)kv_expiry_word(where_disk, 0);
}

#endif
