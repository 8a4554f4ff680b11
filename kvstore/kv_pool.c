#include "kvstore/kv_internal.h"

#include <limits.h>

#define STACK_BYTES (128u * 1024)

void kv_pool_init(struct kv_pool *pool)
{
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    pool->last = &pool->first;
}

void kv_pool_destroy(struct kv_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->work);
    unsigned count = pool->count;
    (void)pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(pool->threads[i], NULL);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
}

// The next read; NULL: the store is being closed.
static struct kv_disk_read *take(struct kv_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->idle++;
    while (pool->first == NULL && !pool->stopping)
        (void)pthread_cond_wait(&pool->work, &pool->lock);
    pool->idle--;
    struct kv_disk_read *read = pool->first;
    if (read != NULL) {
        pool->first = read->next;
        pool->queued--;
        if (pool->first == NULL)
            pool->last = &pool->first;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return read;
}

static void *reader_main(void *arg)
{
    struct kv_store *store = arg;
    struct kv_disk_read *read;
    while ((read = take(&store->readers.pool)) != NULL) {
        (void)kv_disk_read_now(store, read);
        kv_port_done(read->port, read);
    }
    return NULL;
}

// Threads enough for what is queued, as far as they are to be had. pool->lock is held.
static void start_threads(struct kv_store *store, struct kv_pool *pool)
{
    size_t idle = pool->idle; // started ones do not count themselves idle before they run
    while (pool->count < KV_POOL_THREADS && idle < pool->queued &&
           kv_thread_start(&pool->threads[pool->count], STACK_BYTES, reader_main, store) == 0) {
        pool->count++;
        idle++;
    }
}

bool kv_pool_push(struct kv_store *store, struct kv_disk_read *list, struct kv_disk_read **list_end,
                  size_t count)
{
    struct kv_pool *pool = &store->readers.pool;
    (void)pthread_mutex_lock(&pool->lock);
    pool->queued += count;
    start_threads(store, pool);
    bool ok = pool->count > 0;
    if (ok) {
        *pool->last = list;
        pool->last = list_end;
        for (size_t i = 0; i < count && i < pool->idle; i++)
            (void)pthread_cond_signal(&pool->work);
    } else {
        pool->queued -= count;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return ok;
}
