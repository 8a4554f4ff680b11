// Memory for chunks before it is needed. The first touch of a huge page has the kernel find and clear 2 MiB, some ms where a host has to find it
// first: nobody should wait for that with a lock held, and whoever inserts not at all if it can be helped.
//
// While a tier grows, a thread keeps a few chunks ready, as spares. It is woken when a chunk is opened and ends what it has begun; whoever finds no
// spare all the same makes one himself, without the tier's lock, so that several do so at once.
#include "kvstore/kv_internal.h"

#include <errno.h>
#include <sys/mman.h>

#define READY      4u // chunks
#define ROOM_LEFT  4u // chunks: the last of a budget are left to runs and to who needs one now
#define STACK      (64u * 1024)
#define SMALL_PAGE 4096u

#ifndef MADV_POPULATE_WRITE // Linux 5.14
#define MADV_POPULATE_WRITE 23
#endif

static void touch(uint8_t *base)
{
    int error;
    do
        error = madvise(base, KV_CHUNK_BYTES, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
    while (error == EINTR || error == EAGAIN);
    if (error == 0)
        return;
    for (size_t at = 0; at < KV_CHUNK_BYTES; at += SMALL_PAGE) // an older kernel
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

// tier->lock is held.
static bool is_wanted(struct kv_store *store)
{
    struct kv_tier *tier = &store->tier;
    uint64_t budget = kv_tier_budget(store), held = atomic_load(&tier->held_bytes);
    return tier->growing && kv_chunk_capacity(budget) == KV_CHUNK_BYTES &&
           atomic_load(&tier->spare_bytes) < (uint64_t)READY * KV_CHUNK_BYTES &&
           held + (uint64_t)(ROOM_LEFT + 1) * KV_CHUNK_BYTES <= budget;
}

static void *populate_main(void *arg)
{
    struct kv_store *store = arg;
    struct kv_tier *tier = &store->tier;
    (void)pthread_mutex_lock(&tier->lock);
    while (!tier->populate_stops) {
        if (!is_wanted(store)) {
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

void kv_populate_wake(struct kv_tier *tier)
{
    if (tier->growing)
        return;
    tier->growing = true;
    (void)pthread_cond_signal(&tier->populate_wake);
}

int kv_populate_start(struct kv_store *store)
{
    int error = kv_thread_start(&store->tier.populator, STACK, populate_main, store);
    store->tier.populates = error == 0;
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
