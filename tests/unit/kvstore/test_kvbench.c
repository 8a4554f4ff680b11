// The workload generator of kvbench: same seed, same load; the law of the draws; values that can be told
// apart; what the command line means.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/histogram.h"
#include "kvstore/kvbench_clock.h"
#include "kvstore/kvbench_options.h"
#include "common/workload.h"

static struct workload_keyspace make(uint64_t keys, size_t key_bytes, size_t min, size_t max, uint64_t seed)
{
    struct workload_keyspace space;
    assert_true(workload_keyspace_init(&space, keys, key_bytes, min, max, 0.99, seed));
    return space;
}

// Two draws of one seed are equal in every order; another seed, thread or stream draws others.
static void same_seed_same_draws(void **state)
{
    (void)state;
    struct workload_keyspace a = make(10000, 16, 100, 100, 7), b = make(10000, 16, 100, 100, 8);
    for (unsigned order = WORKLOAD_SEQUENTIAL; order <= WORKLOAD_ZIPF; order++) {
        struct workload_draw one, same, other[3];
        unsigned differ[3] = {0};
        workload_draw_init(&one, &a, (enum workload_order)order, 0, 2, 1);
        workload_draw_init(&same, &a, (enum workload_order)order, 0, 2, 1);
        workload_draw_init(&other[0], &b, (enum workload_order)order, 0, 2, 1);
        workload_draw_init(&other[1], &a, (enum workload_order)order, 1, 2, 1);
        workload_draw_init(&other[2], &a, (enum workload_order)order, 0, 2, 2);
        for (int i = 0; i < 1000; i++) {
            uint64_t number = workload_draw_next(&one);
            assert_true(number < 10000);
            assert_int_equal(number, workload_draw_next(&same));
            for (int k = 0; k < 3; k++)
                differ[k] += workload_draw_next(&other[k]) != number;
        }
        assert_true(differ[1] > 500);
        assert_true(order == WORKLOAD_SEQUENTIAL || (differ[0] > 500 && differ[2] > 500));
    }
    workload_keyspace_destroy(&a);
    workload_keyspace_destroy(&b);
}

// Sequential: the threads' parts together are all keys, each once, then they begin again.
static void sequential_parts_cover_all(void **state)
{
    (void)state;
    enum { KEYS = 1001, THREADS = 3 };
    struct workload_keyspace space = make(KEYS, 16, 0, 0, 1);
    unsigned seen[KEYS] = {0};
    for (unsigned t = 0; t < THREADS; t++) {
        struct workload_draw draw;
        workload_draw_init(&draw, &space, WORKLOAD_SEQUENTIAL, t, THREADS, 0);
        for (uint64_t i = draw.first; i < draw.end; i++)
            seen[workload_draw_next(&draw)]++;
        assert_int_equal(workload_draw_next(&draw), draw.first);
    }
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(seen[i], 1);
    workload_keyspace_destroy(&space);
}

// The frequencies of the hottest ranks, and of the tenth of the ranks, are those of Zipf's law: rank r has
// r^-0.99 / zeta. YCSB's generator is exact for the first two and close beyond.
static void zipf_follows_the_law(void **state)
{
    (void)state;
    enum { KEYS = 1000, DRAWS = 400000 };
    struct workload_keyspace space = make(KEYS, 16, 0, 0, 3);
    struct workload_random random = {.state = 5};
    static unsigned seen[KEYS];
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t rank = workload_zipf_rank(&space, &random);
        assert_true(rank < KEYS);
        seen[rank]++;
    }
    double zeta = 0, tenth = 0, seen_tenth = 0;
    for (int r = 1; r <= KEYS; r++)
        zeta += pow(r, -0.99);
    for (int r = 0; r < KEYS / 10; r++) {
        tenth += pow(r + 1, -0.99) / zeta;
        seen_tenth += (double)seen[r] / DRAWS;
    }
    for (int r = 0; r < 2; r++) {
        double expected = pow(r + 1, -0.99) / zeta * DRAWS;
        assert_true(fabs(seen[r] - expected) < 5 * sqrt(expected));
    }
    assert_true(fabs(seen_tenth - tenth) < 0.02);
    assert_true(seen[0] > seen[10] && seen[10] > seen[500]);
    assert_true(fabs(workload_best_hit_ratio(&space, WORKLOAD_ZIPF, KEYS / 10) - tenth) < 0.02);
    workload_keyspace_destroy(&space);
}

// Ranks go to keys one to one, for any number of keys, and the hottest are no neighbours.
static void scattering_is_a_permutation(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 5, 16, 1000, 4096, 4097, 100003};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct workload_keyspace space = make(sizes[s], 16, 0, 0, 11);
        uint8_t *seen = calloc(sizes[s], 1);
        assert_non_null(seen);
        for (uint64_t rank = 0; rank < sizes[s]; rank++) {
            uint64_t key = workload_scatter(&space, rank);
            assert_true(key < sizes[s]);
            assert_int_equal(seen[key], 0);
            seen[key] = 1;
        }
        free(seen);
        workload_keyspace_destroy(&space);
    }
    struct workload_keyspace space = make(100003, 16, 0, 0, 11);
    unsigned neighbours = 0;
    for (uint64_t rank = 1; rank < 100; rank++) {
        uint64_t a = workload_scatter(&space, rank - 1), b = workload_scatter(&space, rank);
        neighbours += (a > b ? a - b : b - a) < 10;
    }
    assert_true(neighbours < 5);
    workload_keyspace_destroy(&space);
}

static void uniform_is_even(void **state)
{
    (void)state;
    enum { KEYS = 100, DRAWS = 100000 };
    struct workload_keyspace space = make(KEYS, 16, 0, 0, 1);
    struct workload_draw draw;
    unsigned seen[KEYS] = {0};
    workload_draw_init(&draw, &space, WORKLOAD_UNIFORM, 0, 1, 0);
    for (int i = 0; i < DRAWS; i++)
        seen[workload_draw_next(&draw)]++;
    for (int i = 0; i < KEYS; i++)
        assert_in_range(seen[i], 800, 1200);
    assert_true(fabs(workload_best_hit_ratio(&space, WORKLOAD_UNIFORM, 25) - 0.25) < 1e-9);
    assert_true(fabs(workload_best_hit_ratio(&space, WORKLOAD_UNIFORM, 200) - 1) < 1e-9);
    workload_keyspace_destroy(&space);
}

// A key says its number, in the order of the numbers; foreign keys are refused.
static void keys_are_read_back(void **state)
{
    (void)state;
    static const size_t lens[] = {8, 15, 16, 17, 1024};
    for (size_t l = 0; l < sizeof lens / sizeof lens[0]; l++) {
        struct workload_keyspace space = make(70000, lens[l], 0, 0, 1);
        uint8_t key[WORKLOAD_KEY_MAX], before[WORKLOAD_KEY_MAX];
        uint64_t number;
        for (uint64_t i = 0; i < 70000; i += 1234) {
            workload_key_write(&space, i, key);
            assert_true(workload_key_read(&space, key, lens[l], &number));
            assert_int_equal(number, i);
            assert_true(i == 0 || memcmp(before, key, lens[l]) < 0);
            memcpy(before, key, lens[l]);
        }
        assert_false(workload_key_read(&space, key, lens[l] - 1, &number));
        key[0] = 'x';
        assert_false(workload_key_read(&space, key, lens[l], &number));
        key[0] = 'f'; // a number past the last key
        assert_false(workload_key_read(&space, key, lens[l], &number));
        workload_keyspace_destroy(&space);
    }
}

// A value is right for its key alone; any flipped byte, another length, another seed is wrong.
static void values_are_told_apart(void **state)
{
    (void)state;
    static const size_t lens[] = {1, 7, 16, 20, 23, 24, 25, 4096};
    for (size_t l = 0; l < sizeof lens / sizeof lens[0]; l++) {
        struct workload_keyspace a = make(100, 16, lens[l], lens[l], 1),
                                 b = make(100, 16, lens[l], lens[l], 2);
        uint8_t *buf = malloc(lens[l]);
        assert_non_null(buf);
        workload_value_prepare(&a, buf);
        assert_int_equal(workload_value_write(&a, 3, buf), lens[l]);
        assert_true(workload_value_is(&a, 3, buf, lens[l]));
        assert_false(workload_value_is(&a, 3, buf, lens[l] - 1));
        assert_true(lens[l] < 8 || !workload_value_is(&a, 4, buf, lens[l]));
        assert_true(lens[l] < 8 || !workload_value_is(&b, 3, buf, lens[l]));
        for (size_t i = 0; i < lens[l]; i++) {
            buf[i] ^= 0x10;
            assert_false(workload_value_is(&a, 3, buf, lens[l]));
            buf[i] ^= 0x10;
        }
        free(buf);
        workload_keyspace_destroy(&a);
        workload_keyspace_destroy(&b);
    }
}

// One buffer makes values of any lengths one after the other; lengths stay within the bounds and spread over
// the orders of magnitude.
static void mixed_lengths_share_a_buffer(void **state)
{
    (void)state;
    struct workload_keyspace space = make(5000, 16, 0, 100000, 9);
    uint8_t *buf = malloc(space.value_max);
    unsigned decades[6] = {0};
    assert_non_null(buf);
    workload_value_prepare(&space, buf);
    for (uint64_t i = 0; i < 5000; i++) {
        size_t len = workload_value_write(&space, i, buf);
        assert_int_equal(len, workload_value_len(&space, i));
        assert_true(len <= 100000 && workload_value_is(&space, i, buf, len));
        workload_value_restore(&space, buf, len);
        decades[(size_t)log10((double)len + 1)]++;
    }
    for (int d = 0; d < 5; d++)
        assert_true(decades[d] > 500);
    free(buf);
    workload_keyspace_destroy(&space);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct workload_keyspace space;
    assert_false(workload_keyspace_init(&space, 0, 16, 1, 1, 0.99, 1));
    assert_false(workload_keyspace_init(&space, 1, 7, 1, 1, 0.99, 1));
    assert_false(workload_keyspace_init(&space, 1, 2000, 1, 1, 0.99, 1));
    assert_false(workload_keyspace_init(&space, 1, 16, 2, 1, 0.99, 1));
    assert_false(workload_keyspace_init(&space, 1, 16, 1, 1, 1.0, 1));
    assert_false(workload_keyspace_init(&space, 1, 16, 1, 1, 0.0, 1));
    assert_false(workload_keyspace_init(&space, (uint64_t)1 << 33, 8, 1, 1, 0.99, 1));
}

static void skews_are_read(void **state)
{
    static const char *const bad[] = {"", "x", "0", "1", "-0.5", "0.5x", "nan", "inf", "0.5 "};
    double theta;
    (void)state;
    assert_true(workload_theta_parse("0.5", &theta));
    assert_true(theta > 0.49 && theta < 0.51);
    assert_true(workload_theta_parse("1e-3", &theta));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (workload_theta_parse(bad[i], &theta))
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

static void schedules_and_lengths_are_read(void **state)
{
    (void)state;
    struct bench_change changes[BENCH_CHANGES_MAX];
    struct error e;
    size_t count, min, max;
    assert_true(bench_parse_schedule("0s=400mb,10s=4gb,20.5s=0", changes, &count, &e));
    assert_int_equal(count, 3);
    assert_int_equal(changes[1].at_us, 10000000);
    assert_int_equal(changes[1].limit_bytes, (uint64_t)4 << 30);
    assert_int_equal(changes[2].at_us, 20500000);
    static const char *const bad[] = {"", "1s", "1s=", "=1gb", "2s=1gb,1s=1gb", "1s=1gb,", "1s=1gb,1s=2gb"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(bench_parse_schedule(bad[i], changes, &count, &e));
    assert_true(bench_parse_value_bytes("20:8mb", &min, &max, &e));
    assert_int_equal(min, 20);
    assert_int_equal(max, 8 << 20);
    assert_true(bench_parse_value_bytes("4kb", &min, &max, &e));
    assert_true(min == 4096 && max == 4096);
    static const char *const wrong[] = {"", ":", "2:1", "1:", ":1", "x", "1gb", "1:2:3"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(bench_parse_value_bytes(wrong[i], &min, &max, &e));
}

// The clock agrees with the system's, and a histogram that one thread records into with the shared one.
static void measuring_measures(void **state)
{
    (void)state;
    bench_clock_start();
    // between two looks at the system's clock, however long a pause there is between them
    uint64_t before = clock_ns(), ticks = bench_ticks(), after = clock_ns();
    while (clock_ns() - after < 50000000) {
    }
    uint64_t end_before = clock_ns(), end_ticks = bench_ticks(), end_after = clock_ns();
    double by_ticks = (double)bench_ns_between(ticks, end_ticks);
    assert_true(by_ticks > 0.95 * (double)(end_before - after));
    assert_true(by_ticks < 1.05 * (double)(end_after - before));
    assert_int_equal(bench_ns_between(ticks, ticks - 1), 0);
    struct histogram *shared = histogram_create(), *alone = histogram_create();
    assert_true(shared != NULL && alone != NULL);
    for (uint64_t v = 1; v < 1000000; v = v * 3 / 2 + 1) {
        histogram_record(shared, v);
        histogram_record_alone(alone, v);
    }
    assert_memory_equal(shared, alone, sizeof *shared);
    histogram_destroy(&shared);
    histogram_destroy(&alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_draws),  cmocka_unit_test(sequential_parts_cover_all),
        cmocka_unit_test(zipf_follows_the_law),  cmocka_unit_test(scattering_is_a_permutation),
        cmocka_unit_test(uniform_is_even),       cmocka_unit_test(keys_are_read_back),
        cmocka_unit_test(values_are_told_apart), cmocka_unit_test(mixed_lengths_share_a_buffer),
        cmocka_unit_test(nonsense_is_refused),   cmocka_unit_test(schedules_and_lengths_are_read),
        cmocka_unit_test(measuring_measures),    cmocka_unit_test(skews_are_read),
    };
    return cmocka_run_group_tests_name("kvbench", tests, NULL, NULL);
}
