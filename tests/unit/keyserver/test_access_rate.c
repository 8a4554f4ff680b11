// Token buckets: as many as the rate and the burst, whatever the threads; each id its own while there is room.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>

#include "keyserver/access_rate.h"

#define SECOND 1000000000ull

static void burst_then_rate(void **state)
{
    (void)state;
    _Atomic uint64_t bucket = 0;
    uint64_t now = 5 * SECOND;
    for (int i = 0; i < 10; i++)
        assert_true(access_rate_take(&bucket, now, SECOND / 4, 10));
    assert_false(access_rate_take(&bucket, now, SECOND / 4, 10));
    assert_false(access_rate_take(&bucket, now + SECOND / 4 - 1, SECOND / 4, 10));
    assert_true(access_rate_take(&bucket, now + SECOND / 4, SECOND / 4, 10));
    assert_false(access_rate_take(&bucket, now + SECOND / 4, SECOND / 4, 10));
    unsigned taken = 0; // a minute at ten times the rate: four a second
    for (uint64_t t = now + SECOND / 4; t < now + 60 * SECOND; t += SECOND / 40)
        taken += access_rate_take(&bucket, t, SECOND / 4, 10);
    assert_in_range(taken, 4 * 60 - 2, 4 * 60);
    for (int i = 0; i < 10; i++) // after a silence the burst is there again, and no more
        assert_true(access_rate_take(&bucket, now + 90 * SECOND, SECOND / 4, 10));
    assert_false(access_rate_take(&bucket, now + 90 * SECOND, SECOND / 4, 10));
}

// A refusal costs nothing, and the extremes do not overflow.
static void extremes(void **state)
{
    (void)state;
    _Atomic uint64_t bucket = 0;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(access_rate_take(&bucket, SECOND, 60 * SECOND, 1), i == 0);
    assert_true(access_rate_take(&bucket, 61 * SECOND, 60 * SECOND, 1));
    atomic_store(&bucket, 0);
    for (unsigned i = 0; i < 1000000; i++)
        assert_true(access_rate_take(&bucket, SECOND, 60 * SECOND, 1000000));
    assert_false(access_rate_take(&bucket, SECOND, 60 * SECOND, 1000000));
}

#define THREADS 4
static _Atomic uint64_t shared;
static _Atomic unsigned granted;

static void *taker(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 20000; i++)
        if (access_rate_take(&shared, SECOND, 1, 50000))
            (void)atomic_fetch_add(&granted, 1);
    return NULL;
}

static void threads_share_a_bucket(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, taker, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&granted), 50000);
}

static void buckets_by_id(void **state)
{
    (void)state;
    struct access_buckets *buckets = access_buckets_create(64);
    assert_non_null(buckets);
    _Atomic uint64_t *first[32], *other;
    for (uint64_t id = 0; id < 32; id++) { // id 0 is one like others
        first[id] = access_bucket(buckets, id * 64 + 7);
        for (uint64_t before = 0; before < id; before++)
            assert_ptr_not_equal(first[id], first[before]);
    }
    for (uint64_t id = 0; id < 32; id++)
        assert_ptr_equal(access_bucket(buckets, id * 64 + 7), first[id]);
    other = access_bucket(buckets, 40 * 64 + 7); // no room near it: it shares
    assert_ptr_equal(other, first[0]);
    assert_ptr_equal(access_bucket(buckets, 40 * 64 + 7), other);
    assert_ptr_not_equal(access_bucket(buckets, 50), first[0]);
    assert_ptr_equal(access_bucket(buckets, 0), access_bucket(buckets, 0));
    access_buckets_destroy(&buckets);
    assert_null(buckets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_then_rate),
        cmocka_unit_test(extremes),
        cmocka_unit_test(threads_share_a_bucket),
        cmocka_unit_test(buckets_by_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
