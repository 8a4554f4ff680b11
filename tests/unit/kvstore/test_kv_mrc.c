// The sampled miss-ratio curve: its error against LRU's exact curve on three traces, small sets exactly, a change of what is
// asked for, removal, threads, and what kv.h says of it.
#include "kv_kit.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_internal.h"
#include "tests/bench/store/sim/sim.h"

#define POINTS 100u

static uint64_t gets;

static uint64_t count_gets(void *arg)
{
    (void)arg;
    return gets;
}

static uint64_t hash_of(uint32_t key, uint64_t seed)
{
    uint64_t z = (key + 1) * 0x9e3779b97f4a7c15u + seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void replay(struct kv_mrc *mrc, const struct sim_trace *trace, size_t from, size_t to, uint64_t seed)
{
    for (size_t i = from; i < to; i++) {
        uint32_t key = trace->gets[i];
        gets++;
        kv_mrc_note(mrc, hash_of(key, seed), trace->sizes[key]);
    }
}

// Evenly spread sizes up to all keys.
static void sizes_of(const struct sim_trace *trace, uint64_t sizes[POINTS])
{
    for (size_t i = 0; i < POINTS; i++)
        sizes[i] = trace->bytes * (i + 1) / POINTS;
}

static double mean_error(const struct sim_trace *trace, const uint64_t *sizes, const double *exact,
                         uint64_t seed)
{
    struct kv_mrc mrc;
    double sampled[POINTS], error = 0;
    gets = 0;
    assert_true(kv_mrc_init(&mrc, count_gets, NULL));
    replay(&mrc, trace, 0, trace->count, seed);
    assert_true(kv_mrc_hits(&mrc, sizes, POINTS, sampled));
    for (size_t i = 0; i < POINTS; i++) {
        error += fabs(sampled[i] - exact[i]) / POINTS;
        assert_true(i == 0 || sampled[i] >= sampled[i - 1]);
    }
    kv_mrc_destroy(&mrc);
    return error;
}

// The figure that counts: mean absolute error at most 0.02 on each of three traces, whatever the store's seed.
static void test_error_on_three_traces(void **state)
{
    (void)state;
    for (int w = 0; w < SIM_WORKLOADS; w++) {
        struct sim_shape shape = {.workload = (enum sim_workload)w,
                                  .keys = 100000,
                                  .size = 4096,
                                  .gets = KIT_SANITIZED ? 1000000 : 2000000,
                                  .seed = 5};
        struct sim_trace trace;
        uint64_t sizes[POINTS];
        double exact[POINTS];
        assert_true(sim_trace_make(&trace, &shape));
        sizes_of(&trace, sizes);
        assert_true(sim_lru_curve(&trace, 0, sizes, POINTS, exact));
        for (uint64_t seed = 1; seed <= 3; seed++) {
            double error = mean_error(&trace, sizes, exact, seed);
            print_message("%s, seed %u: mean absolute error %.4f\n", sim_workload_name((enum sim_workload)w),
                          (unsigned)seed, error);
            assert_true(error <= 0.02);
        }
        sim_trace_free(&trace);
    }
}

// Few keys are all sampled: the curve is exact but for the width of its buckets.
static void test_few_keys_exactly(void **state)
{
    (void)state;
    struct kv_mrc mrc;
    gets = 0;
    assert_true(kv_mrc_init(&mrc, count_gets, NULL));
    for (unsigned round = 0; round < 100; round++) {
        for (uint32_t key = 0; key < 100; key++) {
            gets++;
            kv_mrc_note(&mrc, hash_of(key, 1), 4096);
        }
    }
    // A loop over 100 keys: everything hits (99 rounds of 100) from 100 keys' size on, and nothing below.
    const uint64_t sizes[3] = {0, 90 * 4096, 104 * 4096};
    double hits[3];
    assert_true(kv_mrc_hits(&mrc, sizes, 3, hits));
    assert_true(hits[0] == 0 && hits[1] == 0 && fabs(hits[2] - 0.99) < 1e-9);
    kv_mrc_destroy(&mrc);
}

static void test_too_little_is_known(void **state)
{
    (void)state;
    struct kv_mrc mrc;
    const uint64_t size = 1 << 20;
    double hits;
    gets = 1;
    assert_true(kv_mrc_init(&mrc, count_gets, NULL));
    kv_mrc_note(&mrc, 1, 100);
    assert_false(kv_mrc_hits(&mrc, &size, 1, &hits));
    kv_mrc_destroy(&mrc);
}

// A loop over many keys gives way to one over few: the curve comes to say that little memory is enough.
static void test_old_gets_fade(void **state)
{
    (void)state;
    struct kv_mrc mrc;
    gets = 0;
    assert_true(kv_mrc_init(&mrc, count_gets, NULL));
    const uint64_t size = 2000 * 1024;
    double hits;
    for (unsigned i = 0; i < 1000000; i++, gets++)
        kv_mrc_note(&mrc, hash_of(i % 50000, 1), 1024);
    assert_true(kv_mrc_hits(&mrc, &size, 1, &hits));
    assert_true(hits < 0.05);
    for (unsigned i = 0; i < 5000000; i++, gets++)
        kv_mrc_note(&mrc, hash_of(i % 1000, 1), 1024);
    assert_true(kv_mrc_hits(&mrc, &size, 1, &hits));
    assert_true(hits > 0.9);
    kv_mrc_destroy(&mrc);
}

// Adding, removing, replacing at random: table, heap and positions stay of one mind (ASan and the asserts of the curve).
static void test_forgetting(void **state)
{
    (void)state;
    struct kv_mrc mrc;
    gets = 0;
    assert_true(kv_mrc_init(&mrc, count_gets, NULL));
    uint64_t random = 1;
    for (unsigned i = 0; i < 2000000; i++, gets++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t key = (uint32_t)(random >> 33) % 400000;
        if (i % 5 == 0)
            kv_mrc_forget(&mrc, hash_of(key, 1));
        else
            kv_mrc_note(&mrc, hash_of(key, 1), key % 5000);
    }
    for (uint32_t key = 0; key < 400000; key++)
        kv_mrc_forget(&mrc, hash_of(key, 1));
    const uint64_t sizes[2] = {1 << 20, 1ull << 40};
    double hits[2];
    assert_true(kv_mrc_hits(&mrc, sizes, 2, hits));
    // With all keys forgotten, a round of first gets finds none of them.
    for (uint32_t key = 0; key < 400000; key++)
        kv_mrc_note(&mrc, hash_of(key, 1), 100);
    kv_mrc_destroy(&mrc);
}

static void *ask(void *arg)
{
    struct kv_mrc *mrc = arg;
    for (uint32_t i = 0; i < 200000; i++)
        kv_mrc_note(mrc, hash_of(i * 7 % 5000, 1), 512);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct kv_mrc mrc;
    gets = 600000;
    assert_true(kv_mrc_init(&mrc, count_gets, NULL));
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &mrc), 0);
    const uint64_t sizes[2] = {1000, 100 << 20};
    double hits[2];
    for (int i = 0; i < 100; i++)
        (void)kv_mrc_hits(&mrc, sizes, 2, hits);
    for (size_t i = 0; i < 3; i++)
        (void)pthread_join(threads[i], NULL);
    assert_true(kv_mrc_hits(&mrc, sizes, 2, hits));
    assert_true(hits[1] >= 0.9);
    kv_mrc_destroy(&mrc);
}

// ---- through the store

static void test_memory_is_bounded(void **state)
{
    (void)state;
    assert_true(kv_mrc_bytes() <= 1u << 20);
}

static void test_api(void **state)
{
    (void)state;
    char dir[128];
    kit_folder(dir);
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_NEVER;
    options.segment_bytes = 1 << 20;
    struct kv_store *store = kit_open(dir, &options);
    static uint8_t value[4096], buf[4096];
    double ratio;
    uint64_t limit;
    struct kv_curve_point points[20];
    for (uint32_t key = 0; key < 1000; key++)
        assert_int_equal(kv_put(store, &key, sizeof key, value, sizeof value, 0, 0), KV_OK);
    assert_int_equal(kv_hit_ratio_at(store, 1 << 20, &ratio), KV_NOT_FOUND); // nothing has been asked for
    assert_int_equal(kv_least_memory(store, 0.5, &limit), KV_NOT_FOUND);
    assert_int_equal(kv_hit_curve(store, points, 20), 0);
    // Half of the gets want 100 keys, the other half all of them.
    for (uint32_t i = 0; i < 40000; i++) {
        uint32_t key = i % 2 == 0 ? i / 2 % 100 : i / 2 % 1000;
        size_t len = sizeof buf;
        assert_int_equal(kv_get(store, &key, sizeof key, buf, &len), KV_OK);
    }
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    uint64_t other = stats.memory_bytes - stats.chunk_bytes;
    assert_int_equal(kv_hit_ratio_at(store, 0, &ratio), KV_OK);
    assert_true(ratio == 0);
    assert_int_equal(kv_hit_ratio_at(store, other + (300u << 12), &ratio), KV_OK);
    assert_true(ratio > 0.45 && ratio < 0.6);
    assert_int_equal(kv_hit_ratio_at(store, other + (64u << 20), &ratio), KV_OK);
    assert_true(ratio == 1);
    assert_int_equal(kv_least_memory(store, 0.45, &limit), KV_OK);
    assert_true(limit > other + (100u << 12) && limit < other + (400u << 12));
    assert_int_equal(kv_least_memory(store, 1, &limit), KV_OK);
    assert_true(limit > other + (1000u << 12));
    assert_int_equal(kv_least_memory(store, 1.5, &limit), KV_NOT_FOUND);
    assert_int_equal(kv_hit_curve(store, points, 20), 20);
    for (size_t i = 1; i < 20; i++)
        assert_true(points[i].limit_bytes > points[i - 1].limit_bytes &&
                    points[i].hit_ratio >= points[i - 1].hit_ratio);
    assert_true(points[19].hit_ratio == 1);
    uint32_t gone = 3;
    assert_int_equal(kv_delete(store, &gone, sizeof gone, 0), KV_OK);
    kit_close(&store);
    kit_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_on_three_traces),
        cmocka_unit_test(test_few_keys_exactly),
        cmocka_unit_test(test_too_little_is_known),
        cmocka_unit_test(test_old_gets_fade),
        cmocka_unit_test(test_forgetting),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_api),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
