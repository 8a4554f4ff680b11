// What the writing side has beside the log itself: the locks of writers, and making and taking apart all of it.
#include "kvstore/kv_internal.h"

// The gate is held shared by writers of single keys and alone by a batch. Those who find it closed are counted: a batch
// that sees them lets them through before it goes on.
void kv_write_lock(struct kv_store *store, struct kv_shard *shard)
{
    if (pthread_rwlock_tryrdlock(&store->write_gate) != 0) {
        atomic_fetch_add(&store->gate_waiting, 1);
        (void)pthread_rwlock_rdlock(&store->write_gate);
        atomic_fetch_sub(&store->gate_waiting, 1);
    }
    (void)pthread_mutex_lock(&shard->write);
}

void kv_write_unlock(struct kv_store *store, struct kv_shard *shard)
{
    (void)pthread_mutex_unlock(&shard->write);
    (void)pthread_rwlock_unlock(&store->write_gate);
}

void kv_write_lock_all(struct kv_store *store)
{
    atomic_fetch_add(&store->gate_waiting, 1);
    (void)pthread_rwlock_wrlock(&store->write_gate);
    atomic_fetch_sub(&store->gate_waiting, 1);
}

void kv_write_unlock_all(struct kv_store *store)
{
    (void)pthread_rwlock_unlock(&store->write_gate);
}

static bool gate_init(pthread_rwlock_t *gate)
{
    pthread_rwlockattr_t attributes;
    if (pthread_rwlockattr_init(&attributes) != 0)
        return false;
    // Else a steady stream of single puts would keep a batch waiting for ever.
    bool ok = pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0 &&
              pthread_rwlock_init(gate, &attributes) == 0;
    (void)pthread_rwlockattr_destroy(&attributes);
    return ok;
}

bool kv_log_init(struct kv_store *store)
{
    store->direct_fd = -1;
    return gate_init(&store->write_gate) && kv_parts_init(&store->parts) &&
           pthread_mutex_init(&store->batch_lock, NULL) == 0 &&
           pthread_mutex_init(&store->dirty.lock, NULL) == 0 &&
           pthread_mutex_init(&store->reserve_lock, NULL) == 0 &&
           pthread_mutex_init(&store->ahead.lock, NULL) == 0 &&
           pthread_cond_init(&store->ahead.wake, NULL) == 0;
}

struct kv_place kv_log_end(struct kv_store *store)
{
    (void)kv_held_write(store);
    if (store->active != NULL)
        return (struct kv_place){store->active->id, atomic_load(&store->active->size)};
    // No record has been appended since the store was opened.
    struct kv_place end = {1, 0};
    struct kv_segments *segments = &store->segments;
    (void)pthread_mutex_lock(&segments->lock);
    if (segments->count != 0)
        end.segment = segments->list[segments->count - 1]->id;
    if (segments->count != 0)
        end.offset = atomic_load(&segments->list[segments->count - 1]->size);
    (void)pthread_mutex_unlock(&segments->lock);
    return end;
}

void kv_log_close(struct kv_store *store)
{
    kv_ahead_stop(store);
    (void)pthread_mutex_lock(&store->append_lock);
    (void)kv_held_write(store);
    if (store->active != NULL)
        kv_held_seal(store);
    (void)kv_log_cut(store); // if it stays longer than it should be, the next open leaves the rest alone
    kv_log_close_direct(store);
    struct kv_segment *ready = kv_ahead_take(store);
    (void)pthread_mutex_unlock(&store->append_lock);
    if (ready != NULL && !atomic_load(&store->read_only))
        (void)kv_segment_remove(store, ready); // one that stays is used by the next open
    kv_segment_put(ready);
}

void kv_log_destroy(struct kv_store *store)
{
    kv_ahead_stop(store);
    kv_segment_put(kv_ahead_take(store));
    kv_parts_destroy(&store->parts);
    kv_log_close_direct(store);
    for (struct kv_segment *next, *segment = store->dirty.first; segment != NULL; segment = next) {
        next = segment->next_dirty;
        kv_segment_put(segment);
    }
    store->dirty.first = NULL;
    kv_batch_free(store);
    kv_held_free(store);
    (void)pthread_cond_destroy(&store->ahead.wake);
    (void)pthread_mutex_destroy(&store->ahead.lock);
    (void)pthread_mutex_destroy(&store->reserve_lock);
    (void)pthread_mutex_destroy(&store->dirty.lock);
    (void)pthread_mutex_destroy(&store->batch_lock);
    (void)pthread_rwlock_destroy(&store->write_gate);
}
