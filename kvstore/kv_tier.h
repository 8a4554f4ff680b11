// The memory tier: records in chunks of one reserved address range. Giving memory back is dropping a chunk's pages.
//
//   chunk   [ head │ key │ value │ pad ] [ head │ key │ value │ pad ] ... filled from the front, never reused in parts
//
//   range   ┌ chunks of 2 MiB, one huge page each ──▶      ◀── runs and smaller chunks, in pages of 4 KiB ┐
//
// A chunk of 2 MiB is resident as a whole from when it is opened. A tier of less than 64 such chunks has smaller ones, at
// least 64 KiB, of which only the pages that have been filled are resident; and so has a record over an eighth of a
// chunk, which gets a run of addresses for itself. What is resident is counted to the page (held_bytes).
//
// Policy: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023) over two queues of chunks. A
// new record goes to the open chunk of *small*. When room is needed, the oldest chunk of small is reclaimed while small
// has over a 16th of the budget, else the oldest of *main*. Of a chunk of small, records read twice or more since they
// came (once, where the budget is a 6th of all values or more) are copied to main's open chunk; the others are dropped, and the slot remembers in which epoch: one that is asked
// for again within this epoch or the next (each: a 6th of the budget dropped) goes to main at once. Of a chunk of main,
// records that have been read are copied on, with one read less; the others are dropped. When main's chunks
// hardly give anything back, those with few reads are dropped too. The figures come from simulation (DESIGN.md).
//
// Reclaiming is done in steps of a few records by those who insert, ahead of need, so that nobody pays for a whole
// chunk at once. For the same reason the values of a huge chunk are wiped as they are dropped, and the chunk is used again as
// it is: the system would take as long to clear it, in one go.
//
// Pins. A record's refs counts its readers; whoever wants to read without the shard's lock takes one with that lock
// held, while the index points to the record. A record that the index no longer points to is unreachable; a chunk is
// given back when its last pin is gone, and counts until then. A record that was deleted is marked dead, and its
// last reader wipes it before letting go.
#ifndef MEC_KVSTORE_KV_TIER_H
#define MEC_KVSTORE_KV_TIER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_CHUNK_BYTES       (2u * 1024 * 1024)
#define KV_CHUNK_LEAST_BYTES (64u * 1024)
#define KV_MEM_DEAD          0x80000000u

// A record in memory; 16-byte aligned. The key is right behind the head, so that comparing it costs no further cache line.
struct kv_mem {
    _Atomic uint32_t refs; // pins, and KV_MEM_DEAD
    uint32_t size;         // all of it, a multiple of 16
    uint64_t disk;         // its place on disk (shard lock)
    uint64_t hash;
    uint32_t value_len;
    uint16_t key_len;
    uint16_t zero;
    uint8_t data[]; // key, value
};

enum kv_queue { KV_SMALL, KV_MAIN, KV_QUEUES };

enum kv_chunk_state {
    KV_CHUNK_FREE,
    KV_CHUNK_OPEN,
    KV_CHUNK_SEALED,
    KV_CHUNK_RECLAIMING, // the index may not be pointed at its records any more
    KV_CHUNK_ZOMBIE,     // nothing points at its records; pins keep it
    KV_CHUNK_GOING,      // its pages are being given back
    KV_CHUNK_SPARE,      // resident, nothing in it, for the next one that is opened
    KV_CHUNK_FRESH,      // its pages are being made resident
};

struct kv_chunk {
    _Atomic uint32_t state;
    uint32_t used;     // bytes filled
    uint32_t capacity; // bytes that it may be filled with
    uint32_t resident; // bytes that it counts for
    uint32_t next;     // in its queue
    uint32_t steps;    // of the range that it takes, KV_CHUNK_BYTES each
    _Atomic uint8_t queue;
};

struct kv_chunk_queue {
    uint32_t open;       // being filled; KV_NO_CHUNK: none
    uint32_t head, tail; // sealed ones, oldest first
    _Atomic uint64_t held_bytes;
};
#define KV_NO_CHUNK UINT32_MAX

// The chunk that is being reclaimed, and how. Guarded by evict_lock.
struct kv_victim {
    uint32_t chunk;   // KV_NO_CHUNK: none
    uint32_t at;      // records before it have been dealt with
    uint32_t records; // and so many they were
    enum kv_queue queue;
    bool wipe;       // what is dropped is wiped at once, and the chunk used again
    unsigned cut;    // records with so many reads stay
    uint64_t room;   // bytes that may stay at most
    uint64_t kept;   // bytes that have stayed
    uint64_t met[8]; // bytes of records by their reads
};

struct kv_tier {
    uint8_t *base;
    uint32_t reserved; // steps of KV_CHUNK_BYTES in the range
    struct kv_chunk *chunks;
    uint64_t *taken; // a bit for each step
    pthread_mutex_t
        lock; // guards the four above and below, and the fields of chunks and queues that are not atomic
    uint32_t low, high; // steps below low and from high on have been made accessible
    uint32_t low_from;  // no free step is below it
    uint32_t high_from; // and none above it
    struct kv_chunk_queue queues[KV_QUEUES];
    uint32_t spares;              // list of huge chunks that were reclaimed last or have been populated
    _Atomic uint64_t spare_bytes; // of held_bytes, theirs
    _Atomic uint64_t held_bytes;  // resident in all chunks
    _Atomic uint64_t limit_bytes; // of the whole store
    pthread_cond_t populate_wake; // with lock, as the next two
    bool growing;                 // chunks are being opened: the populator has work, or looks whether it has
    bool populate_stops;
    bool populates; // the thread is there
    pthread_t populator;

    pthread_mutex_t evict_lock; // one reclaimer at a time; guards the next seven
    struct kv_victim victim;
    unsigned main_cut;      // reads with which records of main stay
    uint64_t mean_bytes;    // of the records of chunks that were reclaimed lately
    unsigned shrink_cut;    // the same while the tier shrinks a lot
    uint64_t epoch_bytes;   // dropped from small in this epoch
    unsigned shrink_chunks; // reclaimed since this shrink began, by all that are at it
    unsigned keep_share;    // while the tier shrinks a lot: 256ths of a chunk that may stay; 0: no bound
    _Atomic uint64_t victim_dropped; // bytes of the victim that are not needed any more
    _Atomic unsigned epoch;          // 1 to KV_GHOST_EPOCHS
    _Atomic uint64_t ghosts_hit, promoted, readmitted;
};

struct kv_store;
struct kv_slot;
struct kv_shard;

bool kv_tier_init(struct kv_tier *tier, uint64_t limit_bytes);
void kv_tier_destroy(struct kv_tier *tier);

// ---- records

// What a record is, as its head in memory says it.
struct kv_mem_head {
    uint64_t hash;
    size_t key_len, value_len;
    enum kv_queue queue;
    bool in_passing; // not kept rather than waiting until the system has cleared memory for it
};

// Space for a record, pinned once, head filled in except `disk`; the index does not know it yet. make_room: others may be
// dropped for it. NULL: not worth or not possible to keep in memory. The caller calls kv_mem_fill(), then either
// kv_tier_install() under the shard's lock (kv_tier_usable() first) or kv_mem_kill(); after install, kv_mem_unpin().
struct kv_mem *kv_tier_reserve(struct kv_store *store, const struct kv_mem_head *head, bool make_room);
void kv_mem_fill(struct kv_mem *mem, const void *key, const void *value);

// Whether the index may be pointed at it: false when its chunk is being reclaimed. Shard lock held.
bool kv_tier_usable(struct kv_tier *tier, const struct kv_mem *mem);

// Points a slot at it, which points to the record's place on disk so far. reads: what it begins with. Shard lock held.
void kv_tier_install(struct kv_store *store, struct kv_shard *shard, struct kv_slot *slot, struct kv_mem *mem,
                     unsigned reads);

// The queue for a new copy of the record of this hash at this place on disk: where its present copy is, main if it was
// dropped lately or much wanted, else small. Takes the shard's lock.
enum kv_queue kv_tier_queue(struct kv_store *store, uint64_t hash, uint64_t where_disk);

struct kv_mem *kv_tier_mem(struct kv_tier *tier, uint64_t where);
uint64_t kv_tier_where(const struct kv_tier *tier, const struct kv_mem *mem);

// Bytes that a record takes in memory.
static inline uint64_t kv_mem_bytes(size_t key_len, size_t value_len)
{
    return (sizeof(struct kv_mem) + key_len + value_len + 15) & ~(size_t)15;
}
static inline const uint8_t *kv_mem_key(const struct kv_mem *mem)
{
    return mem->data;
}
static inline const uint8_t *kv_mem_value(const struct kv_mem *mem)
{
    return mem->data + mem->key_len;
}

void kv_mem_pin(struct kv_mem *mem);
void kv_mem_unpin(struct kv_store *store, struct kv_mem *mem);
// Unpins, and has the record wiped now or when its last reader lets go.
void kv_mem_kill(struct kv_store *store, struct kv_mem *mem);

// ---- budget

// Bytes that the memory limit leaves for chunks, beside the index, what kv_account() was told of and KV_FIXED_BYTES.
uint64_t kv_tier_budget(struct kv_store *store);
// Bytes of the budget that are free: what can come in without anything being dropped.
uint64_t kv_tier_room(struct kv_store *store);
// Reclaims until the tier is within its budget. Waits for nobody's pin: a pinned chunk follows when it is released.
void kv_tier_fit(struct kv_store *store);

// ---- memory ahead of need (kv_populate.c)

// Starts the thread. Returns 0 or an errno value.
int kv_populate_start(struct kv_store *store);
// Stops and joins it; fine when it does not run.
void kv_populate_stop(struct kv_store *store);
// A huge chunk has been opened. tier->lock held.
void kv_populate_wake(struct kv_tier *tier);
// Adds a spare. False: beyond the budget, and not allowed to go over it; or the range is used up.
bool kv_populate_one(struct kv_tier *tier, uint64_t budget, bool over);

// ---- between kv_tier.c, kv_range.c, kv_populate.c and kv_reclaim.c

// The range. tier->lock held. The lowest free step, for a huge chunk; the highest free run of so many steps, in small pages; KV_NO_CHUNK: none.
uint32_t kv_range_take_low(struct kv_tier *tier);
uint32_t kv_range_take_high(struct kv_tier *tier, uint32_t steps);
void kv_range_mark(struct kv_tier *tier, uint32_t from, uint32_t steps, bool taken);
uint8_t *kv_chunk_base(const struct kv_tier *tier, uint32_t chunk);

// A huge chunk that nobody else knows, to be touched and put to the spares.
uint32_t kv_chunk_make_fresh(struct kv_tier *tier, uint64_t budget, bool over);
void kv_chunk_put_fresh(struct kv_tier *tier, uint32_t chunk);

uint32_t kv_chunk_of(const struct kv_tier *tier, const struct kv_mem *mem);
struct kv_mem *kv_chunk_mem(const struct kv_tier *tier, uint32_t chunk, uint32_t offset);
// Bytes of the chunks that a budget makes for.
uint32_t kv_chunk_capacity(uint64_t budget);
// Space in the queue's open chunk, or in a new one if the tier stays within the budget, or may go over it; NULL: neither.
// *filled: bytes of the open chunk that are used then.
struct kv_mem *kv_tier_take(struct kv_tier *tier, const struct kv_mem_head *head, uint64_t budget, bool over,
                            uint32_t *filled);
// Seals the queue's open chunk, if it has one. tier->lock held.
void kv_chunk_seal_open(struct kv_tier *tier, enum kv_queue queue);
// Puts a sealed chunk at the end of a queue. tier->lock held.
void kv_chunk_append(struct kv_tier *tier, uint32_t chunk, enum kv_queue queue);
// Ends reclaiming a chunk that the index does not point to any more: it is given back now or by who has the last pin in it.
// spare: the values in it have been wiped, it may be kept for the next that is opened.
void kv_chunk_give_up(struct kv_tier *tier, uint32_t chunk, bool spare);
// Gives a spare chunk back; false: there is none.
bool kv_chunk_drop_spare(struct kv_tier *tier);
// Gives a zombie back if nobody has pins in it.
void kv_chunk_release(struct kv_tier *tier, uint32_t chunk);

#endif
