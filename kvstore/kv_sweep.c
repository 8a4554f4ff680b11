// The sweeper thread: syncs at the interval, erases what was deleted and waits for a sync, removes expired keys, and keeps
// the memory tier within its budget as the index grows.
#include "kvstore/kv_internal.h"

#include <errno.h>
#include <time.h>

#define TICK_MS       50u
#define SHARDS_A_TICK 16u // every shard is swept in less than a second

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

// Expired keys of one shard, up to KV_EXPIRED_MOST.
static size_t collect_expired(struct kv_store *store, struct kv_shard *shard, uint64_t now,
                              struct kv_expired *out)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&shard->lock);
    for (size_t i = 0; i < shard->expiry.capacity && count < KV_EXPIRED_MOST; i++) {
        const struct kv_slot *timed = &shard->expiry.slots[i];
        if (timed->word == 0 || kv_expiry_ms(timed->word) > now)
            continue;
        const struct kv_slot *slot = kv_table_find(&shard->keys, timed->hash);
        for (; slot != NULL; slot = kv_table_next(&shard->keys, slot)) {
            uint64_t where = kv_slot_disk(store, slot);
            if (kv_expiry_is_of(timed->word, where)) {
                out[count++] = (struct kv_expired){timed->hash, where};
                break;
            }
        }
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return count;
}

static uint64_t monotonic_ms(void)
{
    return kv_clock_ns() / 1000000;
}

// The expired keys of one shard. False: there may be more, but it is time to stop.
static bool sweep_shard(struct kv_store *store, struct kv_shard *shard, uint64_t until_ms)
{
    struct kv_expired expired[KV_EXPIRED_MOST];
    for (;;) {
        size_t removed, count = collect_expired(store, shard, kv_now(store), expired);
        if (count == 0)
            return true;
        enum kv_status status = kv_remove_expired(store, shard, expired, count, &removed);
        if (status == KV_READ_ONLY || status == KV_IO)
            return false;
        if (count < KV_EXPIRED_MOST || removed == 0) // none: they cannot be read; another time
            return true;
        if (kv_background_stopping(store) || monotonic_ms() >= until_ms)
            return false;
    }
}

// Goes on where it stopped the last time.
static void sweep(struct kv_store *store, unsigned shards, uint64_t until_ms)
{
    for (unsigned n = 0; n < shards && !atomic_load(&store->read_only); n++) {
        if (atomic_load(&store->index.expiring) != 0 &&
            !sweep_shard(store, &store->index.shards[store->next_swept], until_ms))
            return;
        store->next_swept = (store->next_swept + 1) % KV_SHARDS;
    }
}

void kv_sweep_expired(struct kv_store *store, unsigned shards)
{
    sweep(store, shards, UINT64_MAX);
}

// With KV_FSYNC_NEVER the device is waited for only on behalf of values that must not be erased before.
static void sync_if_needed(struct kv_store *store)
{
    if (atomic_load(&store->read_only) ||
        (store->options.fsync == KV_FSYNC_NEVER && kv_erase_pending(store) == 0))
        return;
    // A failure has made the store read-only and said why. What was replaced is the eraser's.
    uint64_t lsn = atomic_load(&store->written_lsn);
    if (kv_commit_all(store) == KV_OK)
        (void)kv_erase_upto(store, lsn, false);
    (void)kv_segments_note_sizes(store, false);
}

// A sync is due at an interval from when the last one was; one that took longer is followed by the next at once, and
// expired keys, however many, make way for it.
void *kv_sweeper_main(void *arg)
{
    struct kv_store *store = arg;
    uint64_t interval = store->options.fsync_interval_ms, due = monotonic_ms() + interval;
    for (;;) {
        uint64_t now = monotonic_ms(), wait = due > now ? due - now : 0;
        if (kv_background_sleep(store, (unsigned)(wait < TICK_MS ? wait : TICK_MS)))
            return NULL;
        now = monotonic_ms();
        if (now >= due) {
            sync_if_needed(store);
            due = due + interval > now ? due + interval : now + interval;
        }
        sweep(store, SHARDS_A_TICK, due);
        kv_tier_fit(store);
        kv_direct_step(store);
        kv_batch_rest(store);
        (void)kv_reserve_keep(store);
    }
}
