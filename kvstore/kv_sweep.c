// The sweeper thread: syncs at the interval, erases what waits for a sync, removes expired keys, and keeps
// the memory tier within its budget as the index grows.
#include "kvstore/kv_internal.h"

#include <errno.h>
#include <time.h>

#define TICK_MS        50u
#define SHARDS_A_TICK  16u // every shard is swept in less than a second
#define EXPIRED_A_STEP 256u

static struct timespec after_ms(unsigned ms)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

bool kv_background_sleep(struct kv_store *store, unsigned ms)
{
    struct timespec until = after_ms(ms);
    (void)pthread_mutex_lock(&store->background_lock);
    while (!store->stopping)
        if (pthread_cond_timedwait(&store->background_wake, &store->background_lock, &until) == ETIMEDOUT)
            break;
    bool stop = store->stopping;
    (void)pthread_mutex_unlock(&store->background_lock);
    return stop;
}

bool kv_background_stopping(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->background_lock);
    bool stop = store->stopping;
    (void)pthread_mutex_unlock(&store->background_lock);
    return stop;
}

struct expired {
    uint64_t hash, where;
};

// Expired keys of one shard, up to EXPIRED_A_STEP.
static size_t collect_expired(struct kv_store *store, struct kv_shard *shard, uint64_t now,
                              struct expired *out)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&shard->lock);
    for (size_t i = 0; i < shard->expiry.capacity && count < EXPIRED_A_STEP; i++) {
        const struct kv_slot *timed = &shard->expiry.slots[i];
        if (timed->word == 0 || kv_expiry_ms(timed->word) > now)
            continue;
        const struct kv_slot *slot = kv_table_find(&shard->keys, timed->hash);
        for (; slot != NULL; slot = kv_table_next(&shard->keys, slot)) {
            uint64_t where = kv_slot_disk(store, slot);
            if (kv_expiry_is_of(timed->word, where)) {
                out[count++] = (struct expired){timed->hash, where};
                break;
            }
        }
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return count;
}

void kv_sweep_expired(struct kv_store *store, unsigned shards)
{
    for (unsigned n = 0; n < shards && !atomic_load(&store->read_only); n++) {
        struct kv_shard *shard = &store->index.shards[store->next_swept];
        store->next_swept = (store->next_swept + 1) % KV_SHARDS;
        if (atomic_load(&store->index.expiring) == 0)
            continue;
        struct expired expired[EXPIRED_A_STEP];
        size_t count;
        do {
            count = collect_expired(store, shard, kv_now(store), expired);
            for (size_t i = 0; i < count; i++)
                if (kv_remove_expired(store, expired[i].hash, expired[i].where) == KV_READ_ONLY)
                    return;
        } while (count == EXPIRED_A_STEP && !kv_background_stopping(store));
    }
}

void *kv_sweeper_main(void *arg)
{
    struct kv_store *store = arg;
    unsigned interval = store->options.fsync_interval_ms;
    unsigned tick = interval < TICK_MS ? interval : TICK_MS;
    for (unsigned since_sync = tick; !kv_background_sleep(store, tick); since_sync += tick) {
        // With KV_FSYNC_NEVER the device is waited for only on behalf of values that must not be erased
        // before.
        if (since_sync >= interval && !atomic_load(&store->read_only) &&
            (store->options.fsync != KV_FSYNC_NEVER || kv_erase_pending(store) > 0)) {
            (void)kv_sync(store); // a failure has made the store read-only and said why
            (void)kv_segments_note_sizes(store, false);
            since_sync = 0;
        }
        kv_sweep_expired(store, SHARDS_A_TICK);
        kv_tier_fit(store);
        kv_direct_step(store);
    }
    return NULL;
}
