#include "keyserver/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define FAST_SHARE      8
#define DEPTH_PER_TAKEN 4 // operations that wait per thread for each one taken

struct queue {
    struct keyop *head, **tail;
    size_t count;
};

struct pool {
    struct pool_options options;
    pthread_mutex_t lock; // everything below
    pthread_cond_t work;
    struct queue queues[POOL_KINDS];
    unsigned fast_in_row;
    unsigned idle; // threads waiting
    bool stop;
    unsigned started;
    pthread_t threads[];
};

static void queue_init(struct queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
    q->count = 0;
}

static struct keyop *queue_pop(struct queue *q)
{
    struct keyop *op = q->head;
    q->head = op->next;
    if (q->head == NULL)
        q->tail = &q->head;
    q->count--;
    op->next = NULL;
    return op;
}

static size_t waiting(const struct pool *pool)
{
    return pool->queues[POOL_FAST].count + pool->queues[POOL_SLOW].count;
}

// Which queue is next; one of them is not empty. Lock held.
static enum pool_kind choose(struct pool *pool)
{
    bool fast = pool->queues[POOL_FAST].count > 0, slow = pool->queues[POOL_SLOW].count > 0;
    if (fast && (!slow || pool->fast_in_row < FAST_SHARE)) {
        pool->fast_in_row++;
        return POOL_FAST;
    }
    pool->fast_in_row = 0;
    return POOL_SLOW;
}

// Takes one operation while the queue is short, more when each thread has many waiting: those wait long
// anyway, and what is handed back together costs the loop one wake-up (measured on two cores, RSA-2048 at
// saturation: one by one, waking and switching took a tenth of the machine). Never more than leaves as much
// for each of the other threads. Lock held.
static size_t take_batch(struct pool *pool, struct keyop **ops)
{
    enum pool_kind kind = choose(pool);
    struct queue *q = &pool->queues[kind];
    size_t share = q->count / pool->options.threads / DEPTH_PER_TAKEN;
    size_t n = share < pool->options.batch[kind] ? share : pool->options.batch[kind];
    n = n > 0 ? n : 1;
    for (size_t i = 0; i < n; i++)
        ops[i] = queue_pop(q);
    return n;
}

static void *crypto_thread(void *arg)
{
    struct pool *pool = arg;
    struct keyop *ops[POOL_BATCH_MAX];

    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (waiting(pool) == 0 && !pool->stop) {
            pool->idle++;
            (void)pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
        }
        if (waiting(pool) == 0)
            break;
        size_t n = take_batch(pool, ops);
        (void)pthread_mutex_unlock(&pool->lock);
        pool->options.run(pool->options.arg, ops, n);
        (void)pthread_mutex_lock(&pool->lock);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct pool *pool_create(const struct pool_options *options, struct error *e)
{
    struct pool *pool = calloc(1, sizeof *pool + options->threads * sizeof pool->threads[0]);
    if (pool == NULL) {
        error_set(e, "crypto threads: out of memory");
        return NULL;
    }
    pool->options = *options;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    for (int k = 0; k < POOL_KINDS; k++)
        queue_init(&pool->queues[k]);

    // Signals are the main thread's.
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &old);
    int rc = 0;
    while (pool->started < options->threads && rc == 0) {
        rc = pthread_create(&pool->threads[pool->started], NULL, crypto_thread, pool);
        if (rc == 0) {
            (void)pthread_setname_np(pool->threads[pool->started], "ks-crypto");
            pool->started++;
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        error_set(e, "crypto thread %u of %u: %s", pool->started + 1, options->threads, strerror(rc));
        pool_destroy(&pool);
    }
    return pool;
}

void pool_stop(struct pool *pool)
{
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->started; i++)
        (void)pthread_join(pool->threads[i], NULL);
    pool->started = 0;
}

void pool_destroy(struct pool **pool_ptr)
{
    struct pool *pool = *pool_ptr;
    if (pool == NULL)
        return;
    pool_stop(pool);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
    *pool_ptr = NULL;
}

bool pool_submit(struct pool *pool, struct keyop *op, enum pool_kind kind)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct queue *q = &pool->queues[kind];
    bool taken = !pool->stop && q->count < pool->options.queue_limit;
    bool wake = taken && pool->idle > 0;
    if (taken) {
        op->next = NULL;
        *q->tail = op;
        q->tail = &op->next;
        q->count++;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (wake)
        (void)pthread_cond_signal(&pool->work);
    return taken;
}

size_t pool_waiting(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    size_t n = waiting(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    return n;
}
