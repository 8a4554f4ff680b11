// The crypto threads: every operation is run once, neither kind starves the other, limits hold, and nothing
// queued is lost at the end.
#include "keyserver/pool.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <cmocka.h>

#define MAX_OPS 8000

// What the threads did, in the order they did it. An operation's kind is in key_bits, its number in
// deadline_ns.
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;     // the gate: threads wait in run() while it is
    unsigned inside; // threads that wait
    size_t done;     // operations run
    size_t batches;  // of them, calls of run()
    struct {
        unsigned kind;
        uint64_t number;
        size_t batch; // which batch, and how large
        size_t batch_len;
    } log[MAX_OPS + 64];
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct keyop *ops;
static unsigned thread_count;

static void run(void *arg, unsigned thread, struct keyop **batch, size_t count)
{
    assert_ptr_equal(arg, &seen);
    assert_true(thread < thread_count);
    (void)pthread_mutex_lock(&seen.lock);
    seen.inside++;
    (void)pthread_cond_broadcast(&seen.changed);
    while (seen.closed)
        (void)pthread_cond_wait(&seen.changed, &seen.lock);
    seen.inside--;
    for (size_t i = 0; i < count; i++) {
        seen.log[seen.done].kind = batch[i]->key_bits;
        seen.log[seen.done].number = batch[i]->deadline_ns;
        seen.log[seen.done].batch = seen.batches;
        seen.log[seen.done].batch_len = count;
        seen.done++;
        batch[i]->done = true;
    }
    seen.batches++;
    (void)pthread_cond_broadcast(&seen.changed);
    (void)pthread_mutex_unlock(&seen.lock);
}

static void set_gate(bool closed)
{
    (void)pthread_mutex_lock(&seen.lock);
    seen.closed = closed;
    (void)pthread_cond_broadcast(&seen.changed);
    (void)pthread_mutex_unlock(&seen.lock);
}

static void await(unsigned inside, size_t done)
{
    (void)pthread_mutex_lock(&seen.lock);
    while (seen.inside < inside || seen.done < done)
        (void)pthread_cond_wait(&seen.changed, &seen.lock);
    (void)pthread_mutex_unlock(&seen.lock);
}

static int setup(void **state)
{
    (void)state;
    seen.closed = false;
    seen.done = seen.batches = 0;
    ops = calloc(MAX_OPS, sizeof *ops);
    return ops == NULL;
}

static int teardown(void **state)
{
    (void)state;
    free(ops);
    return 0;
}

static struct pool *make_pool(unsigned threads, size_t limit, size_t fast_batch, size_t slow_batch)
{
    thread_count = threads;
    struct pool_options options = {.threads = threads,
                                   .queue_limit = limit,
                                   .batch = {fast_batch, slow_batch},
                                   .run = run,
                                   .arg = &seen};
    struct error e;
    struct pool *pool = pool_create(&options, &e);
    assert_non_null(pool);
    return pool;
}

static bool submit(struct pool *pool, size_t number, enum pool_kind kind)
{
    ops[number].deadline_ns = number;
    ops[number].key_bits = kind;
    return pool_submit(pool, &ops[number], kind);
}

// Holds all threads inside run(), each with one operation; the next free number.
static size_t hold(struct pool *pool, unsigned threads)
{
    set_gate(true);
    for (unsigned i = 0; i < threads; i++) {
        assert_true(submit(pool, i, POOL_FAST));
        await(i + 1, 0);
    }
    assert_int_equal(pool_waiting(pool), 0);
    return threads;
}

static void operations_run_in_order_and_once(void **state)
{
    (void)state;
    struct pool *pool = make_pool(1, MAX_OPS, 1, 1);
    for (size_t i = 0; i < 500; i++)
        assert_true(submit(pool, i, POOL_SLOW));
    await(0, 500);
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(seen.log[i].number, i);
        assert_int_equal(seen.log[i].batch_len, 1);
    }
    assert_int_equal(pool_waiting(pool), 0);
    pool_destroy(&pool);
    assert_null(pool);
    pool_destroy(&pool);
    assert_int_equal(seen.done, 500);
}

static void the_queue_limit_holds(void **state)
{
    (void)state;
    struct pool *pool = make_pool(1, 5, 1, 1);
    size_t next = hold(pool, 1);
    for (size_t i = 0; i < 5; i++)
        assert_true(submit(pool, next++, POOL_SLOW));
    ops[next].next = &ops[0];
    assert_false(submit(pool, next, POOL_SLOW));
    assert_ptr_equal(ops[next].next, &ops[0]); // still the caller's: untouched
    for (size_t i = 0; i < 5; i++)             // a full queue of slow ones leaves the fast ones theirs
        assert_true(submit(pool, next++, POOL_FAST));
    assert_int_equal(pool_waiting(pool), 10);
    assert_false(submit(pool, next, POOL_FAST));
    assert_false(submit(pool, next, POOL_SLOW));
    set_gate(false);
    await(0, 11);
    assert_true(submit(pool, next, POOL_FAST));
    await(0, 12);
    pool_destroy(&pool);
    assert_int_equal(seen.done, 12);
}

// Both queues full, one thread: fast ones go first, and after eight batches of them a slow one.
static void neither_kind_starves(void **state)
{
    (void)state;
    struct pool *pool = make_pool(1, MAX_OPS, 1, 1);
    size_t next = hold(pool, 1), first = next;
    for (size_t i = 0; i < 10; i++)
        assert_true(submit(pool, next++, POOL_SLOW));
    for (size_t i = 0; i < 100; i++)
        assert_true(submit(pool, next++, POOL_FAST));
    set_gate(false);
    await(0, next);
    pool_destroy(&pool);
    unsigned fast_in_row = 1, fast_left = 100, slow_left = 10; // the one that was held
    for (size_t i = first; i < next; i++)
        if (seen.log[i].kind == POOL_FAST) {
            fast_in_row++;
            fast_left--;
            assert_true(fast_in_row <= 8 || slow_left == 0);
        } else {
            assert_true(fast_in_row == 8 || fast_left == 0);
            fast_in_row = 0;
            slow_left--;
        }
    assert_int_equal(fast_left + slow_left, 0);
}

// With nothing fast about, slow ones do not wait, and the other way round.
static void one_kind_alone(void **state)
{
    (void)state;
    for (enum pool_kind kind = POOL_FAST; kind < POOL_KINDS; kind++) {
        seen.done = 0;
        struct pool *pool = make_pool(1, MAX_OPS, 1, 1);
        for (size_t i = 0; i < 100; i++)
            assert_true(submit(pool, i, kind));
        await(0, 100);
        pool_destroy(&pool);
    }
}

static void batches_are_of_one_kind_and_bounded(void **state)
{
    (void)state;
    static const size_t limits[POOL_KINDS] = {3, POOL_BATCH_MAX};
    struct pool *pool = make_pool(1, MAX_OPS, limits[POOL_FAST], limits[POOL_SLOW]);
    size_t next = hold(pool, 1), first = next, largest[POOL_KINDS] = {0};
    for (size_t i = 0; i < 200; i++)
        assert_true(submit(pool, next++, i % 2 == 0 ? POOL_FAST : POOL_SLOW));
    set_gate(false);
    await(0, next);
    pool_destroy(&pool);
    for (size_t i = first; i < next; i++) {
        unsigned kind = seen.log[i].kind;
        if (i > first && seen.log[i].batch == seen.log[i - 1].batch)
            assert_int_equal(kind, seen.log[i - 1].kind);
        if (seen.log[i].batch_len > largest[kind])
            largest[kind] = seen.log[i].batch_len;
    }
    for (int k = 0; k < POOL_KINDS; k++) // reached when enough waits, never passed
        assert_int_equal(largest[k], limits[k]);
}

// Eight wait and four threads are free: no one takes them all while the others idle.
static void a_thread_takes_its_share_only(void **state)
{
    (void)state;
    struct pool *pool = make_pool(4, MAX_OPS, POOL_BATCH_MAX, POOL_BATCH_MAX);
    size_t next = hold(pool, 4), first = next;
    for (size_t i = 0; i < 8; i++)
        assert_true(submit(pool, next++, POOL_SLOW));
    set_gate(false);
    await(0, next);
    pool_destroy(&pool);
    for (size_t i = first; i < next; i++)
        assert_true(seen.log[i].batch_len <= 2);
}

static void *open_gate_later(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        (void)sched_yield();
    set_gate(false);
    return NULL;
}

static void destroying_runs_what_is_queued(void **state)
{
    (void)state;
    struct pool *pool = make_pool(2, MAX_OPS, 2, 2);
    size_t next = hold(pool, 2);
    for (size_t i = 0; i < 300; i++)
        assert_true(submit(pool, next++, i % 3 == 0 ? POOL_SLOW : POOL_FAST));
    pthread_t opener;
    assert_int_equal(pthread_create(&opener, NULL, open_gate_later, NULL), 0);
    pool_destroy(&pool);
    assert_int_equal(pthread_join(opener, NULL), 0);
    assert_int_equal(seen.done, next);
    for (size_t i = 0; i < next; i++)
        assert_true(ops[i].done);
}

// Each is submitted when the one before is done, to threads that have just gone to sleep: a lost wake-up
// would hang here.
static void an_idle_pool_wakes_up(void **state)
{
    (void)state;
    struct pool *pool = make_pool(2, 4, POOL_BATCH_MAX, POOL_BATCH_MAX);
    for (size_t i = 0; i < 2000; i++) {
        assert_true(submit(pool, i, i % 2 == 0 ? POOL_FAST : POOL_SLOW));
        await(0, i + 1);
    }
    pool_destroy(&pool);
}

struct submitter {
    struct pool *pool;
    size_t from, to;
};

static void *submit_many(void *arg)
{
    const struct submitter *s = arg;
    for (size_t i = s->from; i < s->to; i++)
        while (!submit(s->pool, i, i % 5 == 0 ? POOL_SLOW : POOL_FAST))
            (void)sched_yield(); // full: it stayed ours
    return NULL;
}

static void *submit_slow(void *arg)
{
    const struct submitter *s = arg;
    for (size_t i = s->from; i < s->to; i++)
        while (!submit(s->pool, i, i % 5 == 0 ? POOL_FAST : POOL_SLOW))
            (void)sched_yield();
    return NULL;
}

static void several_submitters(void **state)
{
    (void)state;
    struct pool *pool = make_pool(3, 64, POOL_BATCH_MAX, 4);
    struct submitter submitters[4];
    pthread_t threads[4];
    static bool run_once[MAX_OPS];
    for (size_t i = 0; i < 4; i++) {
        submitters[i] = (struct submitter){pool, i * (MAX_OPS / 4), (i + 1) * (MAX_OPS / 4)};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &submitters[i]), 0);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pool_destroy(&pool);
    assert_int_equal(seen.done, MAX_OPS);
    for (size_t i = 0; i < MAX_OPS; i++) {
        assert_false(run_once[seen.log[i].number]);
        run_once[seen.log[i].number] = true;
    }
}

// ---- with an engine: in two stages

static _Atomic size_t found, in_batches, waits;
static struct engine_cost cost;

// Every fifth has no batches; the sizes of the others follow each other.
static int size_of(const struct keyop *op)
{
    return op->deadline_ns % 5 == 4 ? -1 : (int)(op->deadline_ns % 5 % ENGINE_SIZES);
}

static int find(void *arg, struct keyop *op)
{
    assert_ptr_equal(arg, &seen);
    assert_false(op->looked_up);
    op->looked_up = true;
    found++;
    return size_of(op);
}

static void run_batch(void *arg, unsigned thread, struct keyop **batch, size_t count)
{
    assert_in_range(count, 1, ENGINE_LANES);
    for (size_t i = 0; i < count; i++) {
        assert_true(size_of(batch[i]) >= 0 && size_of(batch[i]) == size_of(batch[0]));
        assert_true(batch[i]->ready_ns != 0);
    }
    in_batches += count;
    run(arg, thread, batch, count);
}

static struct engine_choice choose(void *arg, unsigned size, const struct engine_load *load)
{
    assert_ptr_equal(arg, &seen);
    assert_true(size < ENGINE_SIZES && load->waiting > 0 && load->spare < thread_count);
    struct engine_choice choice = engine_choose(&cost, load);
    waits += choice.way == ENGINE_WAIT;
    return choice;
}

static struct pool *make_staged(unsigned threads, size_t limit, uint64_t fill_wait_ns)
{
    struct pool_options options = {.threads = threads,
                                   .queue_limit = limit,
                                   .batch = {POOL_BATCH_MAX, POOL_BATCH_MAX},
                                   .run = run,
                                   .arg = &seen,
                                   .find = find,
                                   .run_batch = run_batch,
                                   .choose = choose,
                                   .fill_wait_ns = fill_wait_ns};
    struct error e;
    thread_count = threads;
    found = in_batches = waits = 0;
    cost = (struct engine_cost){.single_ns = 1000, .batch_ns = 4000};
    struct pool *pool = pool_create(&options, &e);
    assert_non_null(pool);
    return pool;
}

static void what_waits_is_computed_in_batches(void **state)
{
    (void)state;
    struct pool *pool = make_staged(2, MAX_OPS, 0);
    size_t next = hold(pool, 2), first = next;
    for (size_t i = 0; i < 500; i++)
        assert_true(submit(pool, next++, POOL_SLOW));
    set_gate(false);
    await(0, next);
    pool_destroy(&pool);
    assert_int_equal(seen.done, next);
    assert_int_equal(found, 500);
    assert_true(in_batches > 300); // of 400 that have batches, all but those at the end
    size_t full = 0;
    for (size_t i = first; i < next; i++)
        full += seen.log[i].batch_len == ENGINE_LANES;
    assert_true(full > 250);
}

// A batch that pays, and the next operation likely to be near, but none comes: at the limit it is computed all the same.
static void holding_back_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        seen.done = 0;
        struct pool *pool = make_staged(1, MAX_OPS, 30000000);
        cost = (struct engine_cost){.single_ns = 1000000000, .batch_ns = 2000000000};
        size_t next = hold(pool, 1);
        for (size_t k = 0; k < 6; k++) { // all of one size
            ops[next].deadline_ns = 5 * next;
            ops[next].key_bits = POOL_SLOW;
            assert_true(pool_submit(pool, &ops[next++], POOL_SLOW));
        }
        set_gate(false);
        await(0, next);
        assert_true(waits > 0);
        memset(ops, 0, next * sizeof *ops);
        pool_destroy(&pool);
    }
}

static void stopping_holds_nothing_back(void **state)
{
    (void)state;
    struct pool *pool = make_staged(2, MAX_OPS, UINT64_C(3600000000000));
    cost = (struct engine_cost){.single_ns = 1000, .batch_ns = UINT64_C(7200000000000)};
    cost.single_ns = cost.batch_ns / 2;
    size_t next = hold(pool, 2);
    for (size_t i = 0; i < 300; i++)
        assert_true(submit(pool, next++, i % 7 == 0 ? POOL_FAST : POOL_SLOW));
    pthread_t opener;
    assert_int_equal(pthread_create(&opener, NULL, open_gate_later, NULL), 0);
    pool_destroy(&pool);
    assert_int_equal(pthread_join(opener, NULL), 0);
    assert_int_equal(seen.done, next);
    for (size_t i = 0; i < next; i++)
        assert_true(ops[i].done);
}

// One after the other, to threads that have just gone to sleep: none is left lying between the stages.
static void idle_threads_see_both_stages(void **state)
{
    (void)state;
    struct pool *pool = make_staged(2, 4, 200000);
    for (size_t i = 0; i < 2000; i++) {
        assert_true(submit(pool, i, i % 9 == 0 ? POOL_FAST : POOL_SLOW));
        await(0, i + 1);
    }
    pool_destroy(&pool);
    assert_int_equal(in_batches, 0); // each had a thread to itself
}

static void several_submitters_in_two_stages(void **state)
{
    (void)state;
    struct pool *pool = make_staged(3, 64, 50000);
    struct submitter submitters[4];
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        submitters[i] = (struct submitter){pool, i * (MAX_OPS / 4), (i + 1) * (MAX_OPS / 4)};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_slow, &submitters[i]), 0);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pool_destroy(&pool);
    assert_int_equal(seen.done, MAX_OPS);
    for (size_t i = 0; i < MAX_OPS; i++)
        assert_true(ops[i].done);
}

#define POOL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(operations_run_in_order_and_once),
        POOL_TEST(the_queue_limit_holds),
        POOL_TEST(neither_kind_starves),
        POOL_TEST(one_kind_alone),
        POOL_TEST(batches_are_of_one_kind_and_bounded),
        POOL_TEST(a_thread_takes_its_share_only),
        POOL_TEST(destroying_runs_what_is_queued),
        POOL_TEST(an_idle_pool_wakes_up),
        POOL_TEST(several_submitters),
        POOL_TEST(what_waits_is_computed_in_batches),
        POOL_TEST(holding_back_ends),
        POOL_TEST(stopping_holds_nothing_back),
        POOL_TEST(idle_threads_see_both_stages),
        POOL_TEST(several_submitters_in_two_stages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
