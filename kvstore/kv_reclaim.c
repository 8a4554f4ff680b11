// What stays in memory: the budget, making room, and the policy of kv_tier.h.
//
// A chunk is reclaimed in steps of up to STEP_RECORDS records: their heads and index slots are fetched together, then each
// one's shard is locked for as long as it takes to point its slot to the disk, or to copy it. So no reader waits for
// more than one record's copy.
#include "kvstore/kv_internal.h"

#include <string.h>

#define STEP_RECORDS   16u
#define STEP_BYTES     (128u * 1024)
#define SMALL_FRACTION 16u // of the budget, to the small queue
#define EPOCH_FRACTION 6u  // of the budget, dropped, is an epoch of ghosts
#define PROMOTE_READS  2u  // reads in small that make a record stay;
#define PROMOTE_SOON   6u  // one is enough in a tier that holds a 6th of all values or more
#define COPIES_MOST    16u // chunks that a small shrink goes through before it becomes one that drops
#define SHRINK_CHUNKS  16u // a shrink by more than so many chunks copies less
#define PACE_FROM      (512u * 1024) // chunks from this size on are reclaimed in steps, ahead of need

// ---- budget

uint64_t kv_tier_budget(struct kv_store *store)
{
    uint64_t limit = atomic_load_explicit(&store->tier.limit_bytes, memory_order_relaxed);
    uint64_t other = kv_other_memory(store);
    uint64_t budget = limit > other ? limit - other : 0;
    return budget < 4u * KV_CHUNK_LEAST_BYTES ? 0 : budget; // less is not worth the trouble
}

// Bytes of chunks without the spare ones.
static uint64_t in_use(struct kv_tier *tier)
{
    uint64_t spare = atomic_load_explicit(&tier->spare_bytes, memory_order_relaxed);
    uint64_t held = atomic_load_explicit(&tier->held_bytes, memory_order_relaxed);
    return held > spare ? held - spare : 0;
}

uint64_t kv_tier_room(struct kv_store *store)
{
    uint64_t budget = kv_tier_budget(store), held = in_use(&store->tier);
    uint64_t kept_free = kv_chunk_capacity(budget); // for copies of what stays
    return held + kept_free < budget ? budget - held - kept_free : 0;
}

// ---- ghosts

static bool is_ghost(struct kv_tier *tier, const struct kv_slot *slot)
{
    unsigned of = (unsigned)(slot->hash & KV_GHOST_BITS) >> KV_GHOST_SHIFT;
    unsigned now = atomic_load_explicit(&tier->epoch, memory_order_relaxed);
    return of != 0 && (now + KV_GHOST_EPOCHS - of) % KV_GHOST_EPOCHS <= 1;
}

enum kv_queue kv_tier_queue(struct kv_store *store, uint64_t hash, uint64_t where_disk)
{
    struct kv_tier *tier = &store->tier;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    enum kv_queue queue = KV_SMALL;
    (void)pthread_mutex_lock(&shard->lock);
    const struct kv_slot *slot = kv_slot_at(store, shard, hash, where_disk);
    if (slot != NULL && (slot->word & KV_WORD_CACHED) != 0) {
        const struct kv_mem *mem = kv_tier_mem(tier, kv_word_where(slot->word));
        queue = atomic_load(&tier->chunks[kv_chunk_of(tier, mem)].queue) == KV_MAIN ? KV_MAIN : KV_SMALL;
    } else if (slot != NULL && is_ghost(tier, slot)) {
        queue = KV_MAIN;
        atomic_fetch_add_explicit(&tier->ghosts_hit, 1, memory_order_relaxed);
    } else if (slot != NULL && kv_slot_want(slot) >= PROMOTE_READS) {
        queue = KV_MAIN;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return queue;
}

static void count_dropped(struct kv_tier *tier, uint32_t bytes, uint64_t budget)
{
    tier->epoch_bytes += bytes;
    if (tier->epoch_bytes < budget / EPOCH_FRACTION)
        return;
    tier->epoch_bytes = 0;
    atomic_store_explicit(&tier->epoch, atomic_load(&tier->epoch) % KV_GHOST_EPOCHS + 1,
                          memory_order_relaxed);
}

// ---- index

void kv_tier_install(struct kv_store *store, struct kv_shard *shard, struct kv_slot *slot, struct kv_mem *mem,
                     unsigned reads)
{
    mem->disk = kv_word_where(slot->word);
    slot->word = (slot->word & ~KV_WORD_WHERE) | KV_WORD_CACHED | kv_tier_where(&store->tier, mem);
    slot->hash = kv_slot_hash(slot) | reads;
    shard->cached_bytes += mem->size;
    shard->cached_records++;
}

// ---- one record of the victim; evict_lock is held

// The slot points to the disk again and remembers how much the record was wanted. One that had got into main was wanted
// once, at least. Shard lock held.
static void drop(struct kv_store *store, struct kv_shard *shard, struct kv_slot *slot,
                 const struct kv_mem *mem, uint64_t budget)
{
    struct kv_tier *tier = &store->tier;
    unsigned want = kv_slot_want(slot);
    uint64_t policy = want;
    if (tier->victim.queue == KV_SMALL) {
        policy |= (uint64_t)atomic_load_explicit(&tier->epoch, memory_order_relaxed) << KV_GHOST_SHIFT;
        count_dropped(tier, mem->size, budget);
    } else if (want < KV_WANT_MOST) {
        policy = want + 1;
    }
    slot->word = (slot->word & ~(KV_WORD_WHERE | KV_WORD_CACHED)) | mem->disk;
    slot->hash = kv_slot_hash(slot) | policy;
    shard->cached_bytes -= mem->size;
    shard->cached_records--;
    atomic_fetch_add_explicit(&store->evicted, 1, memory_order_relaxed);
}

// Notes that a record of the victim stays.
static void stays(struct kv_tier *tier, struct kv_slot *slot, uint32_t size)
{
    struct kv_victim *v = &tier->victim;
    uint64_t reads = slot->hash & KV_READS_BITS;
    slot->hash = kv_slot_hash(slot) | (v->queue == KV_MAIN && reads > 0 ? reads - 1 : 0);
    v->kept += size;
    atomic_fetch_add_explicit(v->queue == KV_MAIN ? &tier->readmitted : &tier->promoted, 1,
                              memory_order_relaxed);
}

// A copy in main, pinned, to which the slot points from now on; NULL: no space. Shard lock held.
static struct kv_mem *copy_to_main(struct kv_tier *tier, struct kv_slot *slot, const struct kv_mem *mem,
                                   uint64_t budget)
{
    struct kv_mem_head head = {
        .hash = mem->hash, .key_len = mem->key_len, .value_len = mem->value_len, .queue = KV_MAIN};
    uint32_t filled;
    // Beyond the budget if need be: a whole chunk is about to be given back.
    struct kv_mem *copy = kv_tier_take(tier, &head, budget, true, &filled);
    if (copy == NULL)
        return NULL;
    copy->disk = mem->disk;
    memcpy(copy->data, mem->data, (size_t)mem->key_len + mem->value_len);
    slot->word = (slot->word & ~KV_WORD_WHERE) | kv_tier_where(tier, copy);
    return copy;
}

// A run is not copied: it moves to main as it is. Shard lock held.
static void move_run_to_main(struct kv_tier *tier, uint32_t chunk)
{
    (void)pthread_mutex_lock(&tier->lock);
    kv_chunk_append(tier, chunk, KV_MAIN);
    (void)pthread_mutex_unlock(&tier->lock);
    tier->victim.chunk = KV_NO_CHUNK;
}

static void reclaim_record(struct kv_store *store, struct kv_mem *mem, uint64_t budget)
{
    struct kv_tier *tier = &store->tier;
    struct kv_victim *v = &tier->victim;
    struct kv_shard *shard = kv_index_shard(&store->index, mem->hash);
    struct kv_mem *copy = NULL;
    bool run = mem->size == tier->chunks[v->chunk].capacity, kept = false, wipe = false;
    uint32_t size = mem->size;
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = kv_tier_slot(tier, shard, mem);
    if (slot != NULL) {
        unsigned reads = (unsigned)(slot->hash & KV_READS_BITS);
        v->met[reads] += size;
        kept = reads >= v->cut && v->kept + size <= v->room;
        if (kept && run)
            move_run_to_main(tier, v->chunk);
        else if (kept)
            kept = (copy = copy_to_main(tier, slot, mem, budget)) != NULL;
        if (kept)
            stays(tier, slot, size);
        else
            drop(store, shard, slot, mem, budget);
        // A pinned one is wiped by its last reader, though its chunk be kept by others after that.
        wipe = !run && (v->wipe || atomic_load(&mem->refs) != 0);
        if (wipe)
            kv_mem_pin(mem);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    if (wipe)
        kv_mem_kill(store, mem); // now, or by its last reader
    if (copy != NULL)
        kv_mem_unpin(store, copy);
    if (!kept)
        atomic_fetch_add_explicit(&tier->victim_dropped, size, memory_order_relaxed);
}

// ---- the victim; evict_lock is held

// Where there is room for much, a record that is read once is soon read again, and small is passed through quickly; where
// there is little, only what is read twice is worth it. What all values take is told by the records met lately.
static unsigned promote_reads(struct kv_store *store, uint64_t budget)
{
    uint64_t all = atomic_load_explicit(&store->index.keys, memory_order_relaxed) * store->tier.mean_bytes;
    return budget / 2 * PROMOTE_SOON >= all / 2 ? 1 : PROMOTE_READS;
}

static bool choose_victim(struct kv_store *store, uint64_t budget)
{
    struct kv_tier *tier = &store->tier;
    struct kv_victim *v = &tier->victim;
    *v = (struct kv_victim){.room = UINT64_MAX};
    (void)pthread_mutex_lock(&tier->lock);
    bool small = atomic_load(&tier->queues[KV_SMALL].held_bytes) > budget / SMALL_FRACTION;
    v->queue = small ? KV_SMALL : KV_MAIN;
    v->chunk = kv_chunk_pop(tier, v->queue);
    if (v->chunk == KV_NO_CHUNK) {
        v->queue = small ? KV_MAIN : KV_SMALL;
        v->chunk = kv_chunk_pop(tier, v->queue);
    }
    uint32_t used = v->chunk != KV_NO_CHUNK ? tier->chunks[v->chunk].used : 0;
    (void)pthread_mutex_unlock(&tier->lock);
    v->cut = v->queue == KV_MAIN ? tier->main_cut : promote_reads(store, budget);
    if (tier->keep_share != 0) {
        v->cut = tier->shrink_cut;
        v->room = (uint64_t)used * tier->keep_share / 256;
    }
    if (budget == 0)
        v->room = 0;
    // Else it may lie there half reclaimed: what has been dropped from it is out of a later delete's reach.
    v->wipe = tier->keep_share == 0;
    return v->chunk != KV_NO_CHUNK;
}

// What the chunk that was just done says of the next: how many reads should make a record stay.
static void learn(struct kv_tier *tier, uint32_t used)
{
    const struct kv_victim *v = &tier->victim;
    uint64_t mean = used / (v->records != 0 ? v->records : 1);
    tier->mean_bytes = tier->mean_bytes == 0 ? mean : (7 * tier->mean_bytes + mean) / 8;
    if (tier->keep_share != 0) {
        uint64_t room = (uint64_t)used * tier->keep_share / 256, bytes = 0;
        unsigned cut = KV_READS_BITS + 1;
        while (cut > 1 && bytes + v->met[cut - 1] <= room)
            bytes += v->met[--cut];
        tier->shrink_cut = cut <= KV_READS_BITS ? cut : KV_READS_BITS;
    } else if (v->queue == KV_MAIN) {
        bool hardly_any = v->kept > used / 8 * 7;
        tier->main_cut = !hardly_any                      ? 1
                         : tier->main_cut < KV_READS_BITS ? tier->main_cut + 1
                                                          : tier->main_cut;
    }
}

// Of a chunk whose records were not wiped as they were dropped, and which pins are going to keep: wipes all but
// the pinned ones. The index points to none of them any more: nobody can pin one now.
static void wipe_unpinned(struct kv_tier *tier, uint32_t chunk)
{
    uint32_t used = tier->chunks[chunk].used;
    bool pinned = false;
    for (uint32_t at = 0; at < used && !pinned; at += kv_chunk_mem(tier, chunk, at)->size)
        pinned = (atomic_load(&kv_chunk_mem(tier, chunk, at)->refs) & ~KV_MEM_DEAD) != 0;
    for (uint32_t at = 0; at < used && pinned; at += kv_chunk_mem(tier, chunk, at)->size) {
        struct kv_mem *mem = kv_chunk_mem(tier, chunk, at);
        if (atomic_load(&mem->refs) == 0)
            explicit_bzero(mem->data, mem->size - sizeof *mem);
    }
}

static void end_victim(struct kv_tier *tier, uint64_t budget)
{
    struct kv_victim *v = &tier->victim;
    uint32_t chunk = v->chunk;
    if (chunk != KV_NO_CHUNK) { // else a run that stayed
        const struct kv_chunk *c = &tier->chunks[chunk];
        bool run = kv_chunk_mem(tier, chunk, 0)->size == c->capacity; // never wiped here
        learn(tier, c->used);
        if (!v->wipe && !run)
            wipe_unpinned(tier, chunk);
        kv_chunk_give_up(tier, chunk, v->wipe && !run && kv_chunk_capacity(budget) == KV_CHUNK_BYTES);
    }
    v->chunk = KV_NO_CHUNK;
    atomic_store(&tier->victim_dropped, 0);
}

// The next records of the victim, with their slots on their way to the cache. Records of one chunk are often of one
// size: the heads that come then are fetched early as well.
static size_t gather(struct kv_store *store, struct kv_mem *records[STEP_RECORDS])
{
    struct kv_tier *tier = &store->tier;
    struct kv_victim *v = &tier->victim;
    uint32_t used = tier->chunks[v->chunk].used, bytes = 0;
    size_t count = 0;
    for (; v->at < used && count < STEP_RECORDS && bytes < STEP_BYTES; count++) {
        struct kv_mem *mem = records[count] = kv_chunk_mem(tier, v->chunk, v->at);
        if ((uint64_t)v->at + 9ull * mem->size < used)
            __builtin_prefetch((const uint8_t *)mem + 8ull * mem->size, 1);
        kv_table_prefetch(&kv_index_shard(&store->index, mem->hash)->keys, mem->hash);
        v->at += mem->size;
        v->records++;
        bytes += mem->size;
    }
    return count;
}

// False: there is nothing to reclaim.
static bool reclaim_step(struct kv_store *store)
{
    struct kv_tier *tier = &store->tier;
    struct kv_victim *v = &tier->victim;
    uint64_t budget = kv_tier_budget(store);
    if (v->chunk == KV_NO_CHUNK && !choose_victim(store, budget))
        return false;
    uint32_t used = tier->chunks[v->chunk].used;
    struct kv_mem *records[STEP_RECORDS];
    size_t count = gather(store, records);
    for (size_t i = 0; i < count; i++)
        reclaim_record(store, records[i], budget);
    if (v->at >= used)
        end_victim(tier, budget);
    return true;
}

// Reclaims to the end of a chunk.
static bool reclaim_chunk(struct kv_store *store)
{
    bool any = reclaim_step(store);
    while (store->tier.victim.chunk != KV_NO_CHUNK)
        any = reclaim_step(store);
    return any;
}

// ---- making room

// Of a large shrink: every chunk may keep half of the share that the tier will keep, so that what is copied is what
// stays, and not much of it; the other half of the new budget is chunks that have not been touched.
static void begin_shrink(struct kv_tier *tier, uint64_t budget)
{
    uint64_t held = atomic_load(&tier->held_bytes);
    if (held <= budget + (uint64_t)SHRINK_CHUNKS * KV_CHUNK_BYTES)
        return;
    tier->keep_share = (unsigned)(budget / (held / 128 + 1));
    tier->keep_share = tier->keep_share == 0 ? 1 : tier->keep_share > 128 ? 128 : tier->keep_share;
    tier->shrink_cut = PROMOTE_READS;
}

void kv_tier_fit(struct kv_store *store)
{
    struct kv_tier *tier = &store->tier;
    if (atomic_load(&tier->held_bytes) <= kv_tier_budget(store))
        return;
    (void)pthread_mutex_lock(&tier->evict_lock);
    begin_shrink(tier, kv_tier_budget(store));
    bool more = true;
    for (; more && atomic_load(&tier->held_bytes) > kv_tier_budget(store); tier->shrink_chunks++) {
        if (tier->shrink_chunks >= COPIES_MOST &&
            tier->keep_share == 0) { // all is wanted, and was copied on: from now on half of a chunk goes
            tier->keep_share = 128;
            tier->shrink_cut = PROMOTE_READS;
        }
        more = kv_chunk_drop_spare(tier) || reclaim_chunk(store);
        (void)pthread_mutex_unlock(&tier->evict_lock); // between chunks: those that miss may want it
        (void)pthread_mutex_lock(&tier->evict_lock);
    }
    // Somebody's step between may have begun one that is not wiped: nothing of it stays half done.
    if (tier->victim.chunk != KV_NO_CHUNK && !tier->victim.wipe)
        (void)reclaim_chunk(store);
    tier->keep_share = 0;
    tier->shrink_chunks = 0;
    (void)pthread_mutex_unlock(&tier->evict_lock);
}

// After an insertion: reclaims as much ahead as keeps the next chunks free by when they are needed. When half of the open
// chunk is filled, the next one is free or as good as free; when it is full, so is another one.
static void keep_pace(struct kv_store *store, uint64_t budget, uint32_t filled, uint64_t size)
{
    struct kv_tier *tier = &store->tier;
    if (kv_chunk_capacity(budget) < PACE_FROM)
        return;
    size_t steps = 4 + (size_t)(size / STEP_BYTES) * 4;
    for (; steps > 0; steps--) {
        uint64_t wanted = in_use(tier) + 2ull * filled;
        uint64_t gone = atomic_load_explicit(&tier->victim_dropped, memory_order_relaxed);
        if (wanted <= budget + gone || pthread_mutex_trylock(&tier->evict_lock) != 0)
            return;
        (void)reclaim_step(store);
        (void)pthread_mutex_unlock(&tier->evict_lock);
    }
}

// Room there is, but no memory yet, or no leave to grow: the next reader of this value may find some.
static bool comes_later(struct kv_store *store, uint64_t budget)
{
    const struct kv_tier *tier = &store->tier;
    return kv_populate_goes_on(tier, budget) ||
           (kv_tier_is_held_back(tier) && kv_tier_room(store) > KV_CHUNK_BYTES);
}

struct kv_mem *kv_tier_reserve(struct kv_store *store, const struct kv_mem_head *head, bool make_room)
{
    struct kv_tier *tier = &store->tier;
    uint64_t budget = kv_tier_budget(store);
    uint64_t size = sizeof(struct kv_mem) + head->key_len + head->value_len;
    if (size > budget / 4)
        return NULL;
    uint32_t filled;
    struct kv_mem *mem = kv_tier_take(tier, head, budget, false, &filled);
    if (!make_room || (mem == NULL && head->in_passing && comes_later(store, budget))) {
        if (mem != NULL)
            (void)kv_reuse_pace(store, budget, size);
        return mem;
    }
    size_t tries = 16 + (size_t)(4 * size / kv_chunk_capacity(budget));
    for (; mem == NULL && tries > 0; tries--) {
        if (pthread_mutex_trylock(&tier->evict_lock) != 0)
            return NULL; // somebody is making room: this record stays on disk rather than wait
        bool any = kv_chunk_drop_spare(tier) || kv_reuse_chunk(store, budget) || reclaim_chunk(store);
        (void)pthread_mutex_unlock(&tier->evict_lock);
        mem = kv_tier_take(tier, head, budget, false, &filled);
        if (!any)
            break;
    }
    if (mem != NULL && !kv_reuse_pace(store, budget, size))
        keep_pace(store, budget, filled, size);
    return mem;
}
