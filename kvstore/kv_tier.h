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
// Dead records. What the index has forgotten (overwritten, deleted) stays in its chunk, wiped, and its chunk counts it. A chunk
// that has nothing else is used again, or given back, at once. While dead records are over a share of the tier, those who
// insert empty the sealed chunk that has most of them: the live ones are copied to another chunk of the same queue, which
// stands where the first of the emptied ones stood, and keep their reads; so the policy takes no notice (kv_reuse.c).
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

#define KV_GROW_FREELY       (INT64_MAX / 2) // of grow_to: no bound, however much is taken and given back meanwhile
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
    _Atomic uint32_t used; // bytes filled
    uint32_t capacity;     // bytes that it may be filled with
    uint32_t resident;     // bytes that it counts for
    uint32_t next, prev;   // in its queue
    uint32_t steps;        // of the range that it takes, KV_CHUNK_BYTES each
    _Atomic uint8_t queue;
    bool run;
    // Dead records (kv_dead.c).
    _Atomic uint32_t dead; // bytes of them, exactly
    uint32_t noted;        // of these, in tier->dead_bytes
    uint8_t dead_shift;    // dead >> dead_shift: KV_DEAD_SHARES at most
    uint8_t share;         // the list it is in; 0: none
    uint32_t dead_next, dead_prev;
};
#define KV_DEAD_SHARES 16u

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

// Chunks with about as many dead bytes.
struct kv_dead_list {
    uint32_t head, tail;
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
    _Atomic int64_t
        grow_to; // held_bytes may grow up to here (kv_set_growth()); kv_account() takes from it and gives back
    struct kv_dead_list dead_lists[KV_DEAD_SHARES + 1]; // sealed chunks by their share of dead bytes
    _Atomic uint64_t dead_bytes; // noted, of the queues' chunks but the one being emptied
    uint32_t gather
        [KV_QUEUES]; // sealed chunks that are filled with what is left of emptied ones; KV_NO_CHUNK: none
    pthread_cond_t populate_wake; // with lock, as the next two
    bool growing;                 // chunks are being opened: the populator has work, or looks whether it has
    bool populate_stops;
    bool populates; // the thread is there
    pthread_t populator;

    pthread_mutex_t evict_lock; // one reclaimer at a time; guards the next ten
    struct kv_victim victim;
    _Atomic uint32_t
        emptied;         // the chunk that is being emptied; KV_NO_CHUNK: none. Changed with lock held as well
    uint32_t emptied_to; // records before it have been dealt with
    bool emptied_later;  // one of them was not installed yet
    unsigned main_cut;   // reads with which records of main stay
    uint64_t mean_bytes; // of the records of chunks that were reclaimed lately
    unsigned shrink_cut; // the same while the tier shrinks a lot
    uint64_t epoch_bytes;   // dropped from small in this epoch
    unsigned shrink_chunks; // reclaimed since this shrink began, by all that are at it
    unsigned keep_share;    // while the tier shrinks a lot: 256ths of a chunk that may stay; 0: no bound
    _Atomic uint64_t victim_dropped; // bytes of the victim that are not needed any more
    _Atomic unsigned epoch;          // 1 to KV_GHOST_EPOCHS
    _Atomic uint64_t ghosts_hit, promoted, readmitted;
    _Atomic uint64_t moved; // records copied out of chunks that were emptied
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

// The slot that points at it; NULL: none does (any more, or yet). Shard lock held.
struct kv_slot *kv_tier_slot(struct kv_tier *tier, struct kv_shard *shard, const struct kv_mem *mem);

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

// The index has forgotten every key and nobody can insert (all writers' locks are held): takes all chunks out of the queues, so
// that what is inserted from now on goes to others. Returns the first of a list, for kv_tier_free(); KV_NO_CHUNK: none.
uint32_t kv_tier_detach(struct kv_store *store);
// Gives them back. What is pinned is wiped by its last reader, and keeps its chunk until then.
void kv_tier_free(struct kv_store *store, uint32_t chunks);

// ---- memory ahead of need (kv_populate.c)

// Starts the thread. Returns 0 or an errno value.
int kv_populate_start(struct kv_store *store);
// Stops and joins it; fine when it does not run.
void kv_populate_stop(struct kv_store *store);
// A huge chunk has been opened, or is missed: has the thread look, if there is anything for it to do. tier->lock held.
void kv_populate_wake(struct kv_tier *tier, uint64_t budget);
// Whether the budget has room that the thread fills: who goes without memory now will find some. It leaves the last chunks alone: from there
// on room is made by dropping others.
bool kv_populate_goes_on(const struct kv_tier *tier, uint64_t budget);
// Adds a spare. False: beyond the budget, and not allowed to go over it; or the range is used up.
bool kv_populate_one(struct kv_tier *tier, uint64_t budget, bool over);

// Whether so many bytes of chunks more would be within the budget, and within what the tier may grow to now.
bool kv_tier_fits(const struct kv_tier *tier, uint64_t bytes, uint64_t budget);
// What held_bytes may grow to now, whatever the budget.
uint64_t kv_tier_grow_to(const struct kv_tier *tier);
// Whether a value more may need a chunk more than it may grow to now. Soon it may not.
bool kv_tier_is_held_back(const struct kv_tier *tier);

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
// Space for a record that is copied out of a chunk that is being emptied, in the chunk that gathers those of its queue, or in
// the open one; never beyond the budget. NULL: there is none.
struct kv_mem *kv_tier_take_beside(struct kv_tier *tier, const struct kv_mem_head *head, uint64_t budget,
                                   uint32_t emptied);
// Ends reclaiming a chunk that the index does not point to any more: it is given back now or by who has the last pin in it.
// spare: the values in it have been wiped, it may be kept for the next that is opened. Its state is KV_CHUNK_RECLAIMING: it is
// the caller's.
void kv_chunk_give_up(struct kv_tier *tier, uint32_t chunk, bool spare);
// Gives a spare chunk back; false: there is none.
bool kv_chunk_drop_spare(struct kv_tier *tier);
// Gives a zombie back if nobody has pins in it.
void kv_chunk_release(struct kv_tier *tier, uint32_t chunk);

// ---- queues of chunks, and the dead records in them (kv_dead.c); tier->lock is held, but where something else is said

// Seals the queue's open chunk, if it has one.
void kv_chunk_seal_open(struct kv_tier *tier, enum kv_queue queue);
// Puts a chunk, sealed from now on, at the end of a queue; in front of one that is in a queue, which becomes its own.
void kv_chunk_append(struct kv_tier *tier, uint32_t chunk, enum kv_queue queue);
void kv_chunk_insert(struct kv_tier *tier, uint32_t chunk, uint32_t before);
// Takes the oldest chunk out of a queue, if there is none the open one; KV_NO_CHUNK: it is empty. It is the caller's, as
// KV_CHUNK_RECLAIMING. evict_lock is held as well.
uint32_t kv_chunk_pop(struct kv_tier *tier, enum kv_queue queue);
// Nothing is dead in a chunk that is being opened. shift: kv_chunk.dead_shift.
void kv_dead_begin(struct kv_chunk *chunk, uint32_t capacity);
// Counts a record as dead. The caller has a pin in the chunk, and no lock. True: kv_dead_note() when the pin is gone.
bool kv_dead_count(struct kv_tier *tier, uint32_t chunk, uint32_t bytes);
// Takes note of what was counted: the chunk, if it is still the one that it was, is among those of its share. True: nothing in it is alive, and it
// is the caller's, as KV_CHUNK_RECLAIMING. No lock is held.
bool kv_dead_note(struct kv_tier *tier, uint32_t chunk);
// The chunk with most dead bytes is the one that is emptied from now on. False: none has many. evict_lock is held, and not tier->lock.
bool kv_dead_choose(struct kv_tier *tier);
// Ends that. True: nothing in it is alive, and it is the caller's.
enum kv_dead_how {
    KV_DEAD_LEFT,  // it was left off: there is no room for copies
    KV_DEAD_LATER, // it has a record that is about to be installed: again when there is nothing better
    KV_DEAD_DONE,  // what is left of it are views of dead records: not again, their readers see to it
};
bool kv_dead_end(struct kv_tier *tier, enum kv_dead_how how);
// Whether dead records are so many that chunks should come from emptying others. No lock.
bool kv_dead_are_many(const struct kv_tier *tier, uint64_t budget);
// The same, and whether that should be done now: there may be spare ones.
bool kv_dead_wants_reuse(const struct kv_tier *tier, uint64_t budget);

// ---- emptying chunks (kv_reuse.c)

// After an insertion of so many bytes: goes on emptying, if there is a need. True: it got on. No lock is held.
bool kv_reuse_pace(struct kv_store *store, uint64_t budget, uint64_t bytes);
// Empties a whole chunk, if there is a need. False: it did not get its memory back. evict_lock held.
bool kv_reuse_chunk(struct kv_store *store, uint64_t budget);
// Takes a chunk back of which nothing is alive.
void kv_reuse_dead(struct kv_store *store, uint32_t chunk);

#endif
