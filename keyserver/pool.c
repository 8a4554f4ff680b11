#include "keyserver/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "common/clock.h"
#include "common/pulse.h"
#include "common/secmem.h"
#include "common/thread_share.h"
#include "common/thread_signals.h"
#include "keyserver/engine.h"
#include "keyserver/pool_queues.h"

#define STACK_BYTES    ((size_t)1 << 20) // a thread's, at least: a batch takes some 50 KB
#define TIMER_SLACK_NS 1000ul // the system's 50 us would be a quarter of what operations may wait for others

#define LOOK_NS 500000000u

struct crypto_thread {
    struct pool *pool;
    unsigned number;
    pthread_t id;
    struct pulse pulse;
};

struct pool {
    struct pool_options options;
    pthread_mutex_t lock; // everything below
    pthread_cond_t work;
    struct pool_queues queues;
    unsigned idle;   // threads waiting
    unsigned called; // signals sent whose threads have not come yet; more wake nobody else
    bool stop;
    unsigned started;
    struct crypto_thread threads[];
};

// Waits until there may be something to do; wait_ns: so long at most, 0: until it is called. Lock held. It looks up now and then
// without a call, too: glibc before 2.41 may lose one (its bug 25847), and `called` would count it for ever.
static void rest(struct pool *pool, uint64_t wait_ns)
{
    uint64_t until_ns = clock_ns() + (wait_ns != 0 ? wait_ns : LOOK_NS);
    const struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u),
                                   .tv_nsec = (long)(until_ns % 1000000000u)};
    pool->idle++;
    (void)pthread_cond_timedwait(&pool->work, &pool->lock, &until);
    pool->idle--;
    if (pool->called > 0)
        pool->called--;
}

// Whether a waiting thread is to be signalled, once the lock is given back: one that is not on its way already. Each
// thread that comes looks at the queues for as long as there is something in them. Lock held.
static bool must_call(struct pool *pool)
{
    if (pool->idle <= pool->called)
        return false;
    pool->called++;
    return true;
}

// The keys of operations. Those that have no batches are left in the turn, to be computed by this thread.
static void find_keys(struct pool *pool, struct pool_turn *turn)
{
    int sizes[POOL_BATCH_MAX];
    size_t others = 0;
    for (size_t i = 0; i < turn->count; i++)
        sizes[i] = pool->options.find(pool->options.arg, turn->ops[i]);
    uint64_t now_ns = clock_ns();

    (void)pthread_mutex_lock(&pool->lock);
    for (size_t i = 0; i < turn->count; i++)
        if (sizes[i] >= 0)
            pool_queues_put_ready(&pool->queues, turn->ops[i], (unsigned)sizes[i], now_ns);
        else
            turn->ops[others++] = turn->ops[i];
    pool_queues_found(&pool->queues, others, now_ns);
    bool wake = others > 0 && others < turn->count && must_call(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    if (wake) // this thread has to compute first
        (void)pthread_cond_signal(&pool->work);
    turn->count = others;
}

// Returns the processor time that it took.
static uint64_t compute(struct pool *pool, unsigned thread, struct pool_turn *turn)
{
    uint64_t begun_ns = pool->options.admission ? engine_cpu_ns() : 0;
    if (turn->kind == POOL_TURN_BATCH)
        pool->options.run_batch(pool->options.arg, thread, turn->ops, turn->count);
    else
        pool->options.run(pool->options.arg, thread, turn->ops, turn->count);
    return pool->options.admission ? engine_cpu_ns() - begun_ns : 0;
}

static uint64_t do_turn(struct pool *pool, unsigned thread, struct pool_turn *turn)
{
    if (turn->kind == POOL_TURN_FIND)
        find_keys(pool, turn);
    return turn->count > 0 ? compute(pool, thread, turn) : 0;
}

static void *crypto_thread(void *arg)
{
    struct crypto_thread *self = arg;
    struct pool *pool = self->pool;
    struct pool_turn turn = {.kind = POOL_TURN_NONE};

    thread_share_compute();
    (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    secmem_hide_stack();
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        pulse_answer(&self->pulse);
        pool_queues_next(&pool->queues, clock_ns(), pool->idle, turn.kind == POOL_TURN_FIND, pool->stop,
                         &turn);
        if (turn.kind == POOL_TURN_NONE && pool->stop)
            break; // what other threads are looking up they compute themselves
        if (turn.kind == POOL_TURN_NONE) {
            rest(pool, turn.wait_ns);
            continue;
        }
        // The wake-up that came with an operation brought the thread that found its key; who takes the turn passes
        // it on when others of them are left.
        bool wake = pool->queues.ready_count > 0 && must_call(pool);
        (void)pthread_mutex_unlock(&pool->lock);
        if (wake)
            (void)pthread_cond_signal(&pool->work);
        uint64_t cpu_ns = do_turn(pool, self->number, &turn);
        (void)pthread_mutex_lock(&pool->lock);
        if (pool->options.admission && turn.count > 0)
            admission_note_work(&pool->queues.admission, turn.from, cpu_ns, turn.count,
                                turn.kind == POOL_TURN_BATCH);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    secmem_release_kept();
    return NULL;
}

// The default stack, or STACK_BYTES when that is more (ulimit -s may be small).
static void set_stack(pthread_attr_t *attr)
{
    size_t bytes = 0;
    if (pthread_attr_getstacksize(attr, &bytes) == 0 && bytes < STACK_BYTES)
        (void)pthread_attr_setstacksize(attr, STACK_BYTES);
}

// 0, or why the next thread could not be started. Signals are the main thread's.
static int start_threads(struct pool *pool)
{
    sigset_t old;
    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);
    if (rc != 0)
        return rc;
    set_stack(&attr);
    thread_signals_block(&old);
    while (pool->started < pool->options.threads && rc == 0) {
        struct crypto_thread *thread = &pool->threads[pool->started];
        *thread = (struct crypto_thread){.pool = pool, .number = pool->started};
        rc = pthread_create(&thread->id, &attr, crypto_thread, thread);
        if (rc == 0) {
            (void)pthread_setname_np(thread->id, "ks-crypto");
            pool->started++;
        }
    }
    thread_signals_restore(&old);
    (void)pthread_attr_destroy(&attr);
    return rc;
}

// Its timeouts are on the clock that never goes backwards.
static void init_condition(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attr);
    (void)pthread_condattr_destroy(&attr);
}

struct pool *pool_create(const struct pool_options *options, struct error *e)
{
    struct pool *pool = calloc(1, sizeof *pool + options->threads * sizeof pool->threads[0]);
    if (pool == NULL) {
        error_set(e, "crypto threads: out of memory");
        return NULL;
    }
    pool->options = *options;
    pool_queues_init(&pool->queues, &pool->options);
    (void)pthread_mutex_init(&pool->lock, NULL);
    init_condition(&pool->work);

    int rc = start_threads(pool);
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
        (void)pthread_join(pool->threads[i].id, NULL);
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
    if (pool->stop)
        op->busy = KEYOP_QUEUE_FULL;
    bool taken = !pool->stop && pool_queues_put(&pool->queues, op, kind);
    bool wake = taken && must_call(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    if (wake)
        (void)pthread_cond_signal(&pool->work);
    return taken;
}

uint64_t pool_target_ns(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    uint64_t ns = pool->options.admission ? admission_target_ns(&pool->queues.admission) : 0;
    (void)pthread_mutex_unlock(&pool->lock);
    return ns;
}

size_t pool_waiting(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    size_t n = pool_queues_waiting(&pool->queues);
    (void)pthread_mutex_unlock(&pool->lock);
    return n;
}

void pool_ask(struct pool *pool)
{
    for (unsigned i = 0; i < pool->started; i++)
        pulse_ask(&pool->threads[i].pulse);
}

int pool_stuck(const struct pool *pool, int from)
{
    for (unsigned i = (unsigned)from; i < pool->started; i++)
        if (!pulse_beats(&pool->threads[i].pulse))
            return (int)i;
    return -1;
}
