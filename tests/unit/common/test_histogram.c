#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "common/histogram.h"

static struct histogram *create(void)
{
    struct histogram *h = histogram_create();
    assert_non_null(h);
    return h;
}

// A single value comes back within 1/64, for values around every power of two up to the largest number.
static void one_value_is_kept_within_the_error(void **state)
{
    (void)state;
    struct histogram *h = create();
    for (unsigned e = 0; e < 64; e++) {
        for (int d = -1; d <= 1; d++) {
            uint64_t value = ((uint64_t)1 << e) + (uint64_t)(int64_t)d;
            histogram_reset(h);
            histogram_record(h, value);
            histogram_record(h, UINT64_MAX); // so that the maximum does not mend the answer
            uint64_t got = histogram_percentile(h, 50);
            assert_true(got >= value);
            assert_true((double)(got - value) <= (double)value / 64);
        }
    }
    histogram_destroy(&h);
    assert_null(h);
}

// The two neighbours across each bucket's edge are told apart: counting up to an edge takes that bucket and
// no more.
static void bucket_edges_are_exact(void **state)
{
    (void)state;
    struct histogram *h = create();
    for (uint64_t value = 0; value < 128; value++)
        histogram_record(h, value); // exact below 128
    for (uint64_t limit = 0; limit < 128; limit++)
        assert_int_equal(histogram_count_le(h, limit), limit + 1);

    histogram_reset(h);
    histogram_record(h, 128);
    histogram_record(h, 129);
    histogram_record(h, 130);
    assert_int_equal(histogram_count_le(h, 128), 0); // the bucket reaches up to 129
    assert_int_equal(histogram_count_le(h, 129), 2);
    assert_int_equal(histogram_count_le(h, 131), 3);

    histogram_record(h, UINT64_MAX);
    assert_int_equal(histogram_count_le(h, UINT64_MAX - 1), 3);
    assert_int_equal(histogram_count_le(h, UINT64_MAX), 4);
    histogram_destroy(&h);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

// Percentiles of a skewed set against the sorted values themselves.
static void percentiles_are_within_the_error(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct histogram *h = create();
    uint64_t *values = malloc(COUNT * sizeof *values), x = 2463534242ULL;
    assert_non_null(values);
    for (int i = 0; i < COUNT; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        values[i] = x >> (20 + x % 40);
        histogram_record(h, values[i]);
    }
    qsort(values, COUNT, sizeof *values, compare);
    static const struct {
        double percent;
        int rank;
    } cases[] = {{0, 1},      {0.01, 2},   {1, 200},      {50, 10000},
                 {90, 18000}, {99, 19800}, {99.9, 19980}, {100, 20000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t exact = values[cases[i].rank - 1], got = histogram_percentile(h, cases[i].percent);
        assert_true(got >= exact);
        assert_true((double)(got - exact) <= (double)exact * 0.016);
    }
    assert_int_equal(histogram_percentile(h, 100), values[COUNT - 1]);
    assert_int_equal(histogram_max(h), values[COUNT - 1]);
    free(values);
    histogram_destroy(&h);
}

// 99.9 % of a thousand values are 999 of them, whatever binary fractions say.
static void ranks_are_exact(void **state)
{
    (void)state;
    struct histogram *h = create();
    histogram_record_n(h, 1, 999);
    histogram_record(h, 60);
    assert_int_equal(histogram_percentile(h, 99.9), 1);
    assert_int_equal(histogram_percentile(h, 99.91), 60);
    assert_int_equal(histogram_percentile(h, -5), 1);
    assert_int_equal(histogram_percentile(h, 400), 60);
    histogram_destroy(&h);
}

static void an_empty_one_answers_zero(void **state)
{
    (void)state;
    struct histogram *h = create();
    histogram_record_n(h, 1000, 0);
    assert_int_equal(histogram_count(h), 0);
    assert_int_equal(histogram_max(h), 0);
    assert_int_equal(histogram_percentile(h, 99), 0);
    assert_true(histogram_mean(h) >= 0 && histogram_mean(h) <= 0);
    histogram_destroy(&h);
    histogram_destroy(&h); // NULL is fine
}

static void merging_adds_everything(void **state)
{
    (void)state;
    struct histogram *a = create(), *b = create();
    histogram_record_n(a, 10, 3);
    histogram_record(a, 70000);
    histogram_record_n(b, 10, 2);
    histogram_record(b, 123456789);
    histogram_merge(a, b);
    assert_int_equal(histogram_count(a), 7);
    assert_int_equal(histogram_count_le(a, 10), 5);
    assert_int_equal(histogram_max(a), 123456789);
    double mean = histogram_mean(a) - (50.0 + 70000 + 123456789) / 7;
    assert_true(mean < 0.01 && mean > -0.01);
    assert_int_equal(histogram_count(b), 3);
    histogram_destroy(&a);
    histogram_destroy(&b);
}

enum { THREADS = 4, RECORDS = 50000 };

static void *record_many(void *arg)
{
    struct histogram *h = arg;
    for (uint64_t i = 0; i < RECORDS; i++)
        histogram_record(h, i);
    return NULL;
}

// Nothing is lost when several threads record while another reads (ThreadSanitizer watches the same test).
static void threads_record_at_once(void **state)
{
    (void)state;
    struct histogram *h = create();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, record_many, h), 0);
    for (int i = 0; i < 20; i++)
        assert_true(histogram_percentile(h, 99) < RECORDS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(histogram_count(h), THREADS * RECORDS);
    assert_int_equal(histogram_count_le(h, UINT64_MAX), THREADS * RECORDS);
    assert_int_equal(histogram_max(h), RECORDS - 1);
    histogram_destroy(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_value_is_kept_within_the_error),
        cmocka_unit_test(bucket_edges_are_exact),
        cmocka_unit_test(percentiles_are_within_the_error),
        cmocka_unit_test(ranks_are_exact),
        cmocka_unit_test(an_empty_one_answers_zero),
        cmocka_unit_test(merging_adds_everything),
        cmocka_unit_test(threads_record_at_once),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
