// Memory for chunks before it is needed. The first touch of a huge page has the kernel find and clear 2 MiB, some ms where a host has to find it
// first: nobody should wait for that with a lock held, and whoever inserts not at all if it can be helped.
//
// While a tier grows, a thread keeps a few chunks ready, as spares. It is woken when a chunk is opened and ends what it has begun; whoever finds no
// spare all the same makes one himself, without the tier's lock, so that several do so at once.
#include "kvstore/kv_internal.h"

#define READY      4u // chunks
#define ROOM_LEFT  4u // chunks: the last of a budget are left to runs and to who needs one now
#define STACK      (64u * 1024)
#define SMALL_PAGE 4096u

// By faults, not by MADV_POPULATE_WRITE: that keeps the lock of the whole address space for as long as it takes, and malloc in other threads, which grows a heap by
// mprotect(), waits behind it. A fault keeps the lock of this mapping only (Linux 6.4).
static void touch(uint8_t *base)
{
    for (size_t at = 0; at < KV_CHUNK_BYTES; at += SMALL_PAGE)
        *(volatile uint8_t *)(base + at) = 0;
}

bool kv_populate_one(struct kv_tier *tier, uint64_t budget, bool over)
{
    uint32_t chunk = kv_chunk_make_fresh(tier, budget, over);
    if (chunk == KV_NO_CHUNK)
        return false;
    touch(kv_chunk_base(tier, chunk));
    kv_chunk_put_fresh(tier, chunk);
    return true;
}

// ---- the thread

bool kv_populate_goes_on(const struct kv_tier *tier, uint64_t budget)
{
    uint64_t held = atomic_load(&tier->held_bytes);
    return tier->populates && kv_chunk_capacity(budget) == KV_CHUNK_BYTES &&
           held + (uint64_t)(ROOM_LEFT + 1) * KV_CHUNK_BYTES <= budget;
}

// tier->lock is held.
static bool is_wanted(const struct kv_tier *tier, uint64_t budget)
{
    uint64_t spare = atomic_load(&tier->spare_bytes);
    return kv_populate_goes_on(tier, budget) && kv_tier_fits(tier, KV_CHUNK_BYTES, budget) &&
           spare < (uint64_t)READY * KV_CHUNK_BYTES &&
           !(kv_dead_are_many(tier, budget) && spare != 0); // emptying makes the others
}

static void *populate_main(void *arg)
{
    struct kv_store *store = arg;
    struct kv_tier *tier = &store->tier;
    (void)pthread_mutex_lock(&tier->lock);
    while (!tier->populate_stops) {
        if (!tier->growing || !is_wanted(tier, kv_tier_budget(store))) {
            tier->growing = false;
            (void)pthread_cond_wait(&tier->populate_wake, &tier->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&tier->lock);
        bool made = kv_populate_one(tier, kv_tier_budget(store), false);
        // The limit may have been lowered meanwhile, and who lowered it not have seen this one.
        if (atomic_load(&tier->held_bytes) > kv_tier_budget(store))
            (void)kv_chunk_drop_spare(tier);
        (void)pthread_mutex_lock(&tier->lock);
        if (!made) // the system gives no more: again when a chunk is opened all the same
            tier->growing = false;
    }
    (void)pthread_mutex_unlock(&tier->lock);
    return NULL;
}

void kv_populate_wake(struct kv_tier *tier, uint64_t budget)
{
    if (tier->growing || !is_wanted(tier, budget))
        return;
    tier->growing = true;
    (void)pthread_cond_signal(&tier->populate_wake);
}

int kv_populate_start(struct kv_store *store)
{
    store->tier.populates = true; // before: the thread looks
    int error = kv_thread_start(&store->tier.populator, STACK, populate_main, store);
    if (error != 0)
        store->tier.populates = false;
    return error;
}

void kv_populate_stop(struct kv_store *store)
{
    struct kv_tier *tier = &store->tier;
    if (!tier->populates)
        return;
    (void)pthread_mutex_lock(&tier->lock);
    tier->populate_stops = true;
    (void)pthread_cond_signal(&tier->populate_wake);
    (void)pthread_mutex_unlock(&tier->lock);
    (void)pthread_join(tier->populator, NULL);
    tier->populates = false;
}
