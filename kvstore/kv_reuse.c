// Emptying chunks that are full of dead records. Values that are set over and over would else fill the tier to its limit
// with holes, and have the system clear a page for every one of them.
//
// The chunk stays what it is while it is emptied, a sealed one of its queue: whoever reads, kills or installs records in it is not concerned. Each
// live record is copied with its shard locked, and its original dies; when all have, the chunk is as any other of which nothing is alive.
// A copy within the queue says nothing of how much the record is wanted: its reads stay.
//
// Done by those who insert, so much for each byte inserted that it keeps up: of a chunk that is worth it at least two 16ths are dead, and of
// the one that has most more than the tier's share.
#include "kvstore/kv_internal.h"

#include <string.h>

#define STEP_RECORDS 16u
#define STEP_BYTES   (128u * 1024)
#define PACE         8u // bytes looked at for each byte inserted
#define STEPS_MOST   4u // an insertion's, while dead records are many

enum moved { GONE, COMING, NO_ROOM };

// A copy, pinned, to which the slot points from now on. The original is pinned as well, for kv_mem_kill(). Shard lock held.
static struct kv_mem *copy_beside(struct kv_tier *tier, struct kv_slot *slot, struct kv_mem *mem,
                                  uint64_t budget, uint32_t chunk)
{
    struct kv_mem_head head = {.hash = mem->hash,
                               .key_len = mem->key_len,
                               .value_len = mem->value_len,
                               .queue = (enum kv_queue)atomic_load(&tier->chunks[chunk].queue)};
    struct kv_mem *copy = kv_tier_take_beside(tier, &head, budget, chunk);
    if (copy == NULL)
        return NULL;
    copy->disk = mem->disk;
    memcpy(copy->data, mem->data, (size_t)mem->key_len + mem->value_len);
    slot->word = (slot->word & ~KV_WORD_WHERE) | kv_tier_where(tier, copy);
    kv_mem_pin(mem);
    return copy;
}

static enum moved move_record(struct kv_store *store, struct kv_mem *mem, uint64_t budget, uint32_t chunk)
{
    struct kv_tier *tier = &store->tier;
    struct kv_shard *shard = kv_index_shard(&store->index, mem->hash);
    struct kv_mem *copy = NULL;
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = kv_tier_slot(tier, shard, mem);
    if (slot != NULL)
        copy = copy_beside(tier, slot, mem, budget, chunk);
    (void)pthread_mutex_unlock(&shard->lock);
    if (slot == NULL) // dead, perhaps in view; or not installed yet
        return (atomic_load(&mem->refs) & KV_MEM_DEAD) != 0 ? GONE : COMING;
    if (copy == NULL)
        return NO_ROOM;
    kv_mem_kill(store, mem); // wiped now, or by its last reader
    kv_mem_unpin(store, copy);
    atomic_fetch_add_explicit(&tier->moved, 1, memory_order_relaxed);
    return GONE;
}

// The next records that may be alive, with their slots on their way to the cache. *to: where the next step begins.
static size_t gather(struct kv_store *store, uint32_t chunk, uint64_t most,
                     struct kv_mem *records[STEP_RECORDS], uint32_t *to)
{
    struct kv_tier *tier = &store->tier;
    uint32_t used = atomic_load(&tier->chunks[chunk].used), at = tier->emptied_to, from = at;
    size_t count = 0;
    for (unsigned seen = 0; at < used && seen < 4 * STEP_RECORDS && count < STEP_RECORDS && at - from < most;
         seen++) {
        struct kv_mem *mem = kv_chunk_mem(tier, chunk, at);
        at += mem->size;
        if (atomic_load(&mem->refs) == KV_MEM_DEAD)
            continue;
        kv_table_prefetch(&kv_index_shard(&store->index, mem->hash)->keys, mem->hash);
        records[count++] = mem;
    }
    *to = at;
    return count;
}

void kv_reuse_dead(struct kv_store *store, uint32_t chunk)
{
    struct kv_tier *tier = &store->tier;
    uint64_t budget = kv_tier_budget(store);
    bool spare = kv_chunk_capacity(budget) == KV_CHUNK_BYTES && atomic_load(&tier->held_bytes) <= budget;
    kv_chunk_give_up(tier, chunk, spare);
}

// True: the chunk's memory was got back.
static bool end(struct kv_store *store, enum kv_dead_how how)
{
    struct kv_tier *tier = &store->tier;
    uint32_t chunk = atomic_load(&tier->emptied);
    bool dead = kv_dead_end(tier, how);
    if (dead)
        kv_reuse_dead(store, chunk);
    return dead;
}

// Looks at about so many bytes of a chunk's records. *freed: the chunk is done, and its memory was got back. False: there is none, or no room. evict_lock held.
static bool step(struct kv_store *store, uint64_t budget, uint64_t most, bool *freed)
{
    struct kv_tier *tier = &store->tier;
    *freed = false;
    if (atomic_load(&tier->emptied) == KV_NO_CHUNK && !kv_dead_choose(tier))
        return false;
    uint32_t chunk = atomic_load(&tier->emptied), to;
    struct kv_mem *records[STEP_RECORDS];
    size_t count = gather(store, chunk, most, records, &to);
    for (size_t i = 0; i < count; i++) {
        enum moved moved = move_record(store, records[i], budget, chunk);
        if (moved == NO_ROOM) {
            bool never = records[i]->size > kv_chunk_capacity(budget);
            *freed = end(store, never ? KV_DEAD_LATER : KV_DEAD_LEFT);
            return false;
        }
        tier->emptied_later |= moved == COMING;
    }
    tier->emptied_to = to;
    if (to >= atomic_load(&tier->chunks[chunk].used))
        *freed = end(store, tier->emptied_later ? KV_DEAD_LATER : KV_DEAD_DONE);
    return true;
}

bool kv_reuse_chunk(struct kv_store *store, uint64_t budget)
{
    struct kv_tier *tier = &store->tier;
    bool freed = false;
    if (atomic_load(&tier->emptied) == KV_NO_CHUNK && !kv_dead_are_many(tier, budget))
        return false;
    do {
        if (!step(store, budget, STEP_BYTES, &freed))
            return freed;
    } while (atomic_load(&tier->emptied) != KV_NO_CHUNK);
    return freed;
}

bool kv_reuse_pace(struct kv_store *store, uint64_t budget, uint64_t bytes)
{
    struct kv_tier *tier = &store->tier;
    uint64_t most = bytes < STEP_BYTES / PACE ? bytes * PACE : STEP_BYTES;
    bool got_on = false, freed;
    for (unsigned n = 0; n < STEPS_MOST; n++) {
        bool many = kv_dead_wants_reuse(tier, budget);
        if ((!many && (n > 0 || atomic_load(&tier->emptied) == KV_NO_CHUNK)) ||
            pthread_mutex_trylock(&tier->evict_lock) != 0)
            break;
        bool any = step(store, budget, most, &freed);
        (void)pthread_mutex_unlock(&tier->evict_lock);
        if (!any)
            break;
        got_on = true;
    }
    return got_on;
}
