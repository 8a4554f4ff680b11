// The memory tier: values of all sizes use what the limit allows, and memory follows the limit.
#include "kv_tier_kit.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// ---- use of memory

// From 20 bytes to 8 MB, as many of each power of two.
static size_t mixed_size(uint64_t *x)
{
    double power = (double)(next(x) % 10000) / 10000 * (log2(8e6) - log2(20));
    return (size_t)(20 * exp2(power));
}

static void test_mixed_sizes(void **state)
{
    (void)state;
    uint64_t x = 5, put_bytes = 0;
    set_budget(64 * MB);
    for (uint32_t key = 0; put_bytes < 200u * MB; key++) {
        size_t len = mixed_size(&x);
        put(key, len);
        put_bytes += len;
        struct kv_stats s = stats();
        assert_true(s.chunk_bytes <= 66u * MB);
        if (put_bytes > 100u * MB && key % 16 == 0)
            assert_true(s.cached_bytes >= 64u * MB / 100 * 85);
    }
    struct kv_stats s = stats();
    print_message("of %u MB: %.1f %% records\n", 64, (double)s.cached_bytes / (64.0 * MB) * 100);
    uint32_t large = 1u << 30;
    put(large, 8000000);
    assert_true(is_cached(large));
    struct kv_view view;
    assert_int_equal(kv_get_view(store, &large, sizeof large, &view), KV_OK);
    assert_int_equal(view.len, 8000000);
    assert_memory_equal(view.data + view.len - sizeof large, &large, sizeof large);
    assert_int_equal(stats().hits, s.hits + 1);
    kv_view_release(store, &view);
    put(large + 1, 17000000); // over a quarter
    assert_false(is_cached(large + 1));
}

// A tier of a few chunks' size is used to the last part as well, and below that nothing breaks.
static void test_small_budgets(void **state)
{
    (void)state;
    KIT_ONE_THREAD();
    for (uint32_t i = 0; i < 20000; i++)
        put(i, LEN);
    static const uint64_t kb[] = {14336, 8192, 4096, 2048, 1024, 512, 256, 100, 1, 0};
    for (size_t i = 0; i < sizeof kb / sizeof kb[0]; i++) {
        set_budget(kb[i] * 1024);
        for (uint32_t key = 0; key < 20000; key++)
            (void)get(key, LEN);
        struct kv_stats s = stats();
        assert_true(s.chunk_bytes <= kb[i] * 1024 + KV_CHUNK_LEAST_BYTES);
        if (kb[i] >= 1024)
            assert_true(s.cached_bytes >= kb[i] * 1024 / 100 * 85);
        if (kb[i] < 256)
            assert_int_equal(s.cached_records, 0);
    }
}

// What other parts of the store hold is taken off.
static void test_account(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10000; i++)
        put(i, LEN);
    struct kv_stats before = stats();
    set_budget(before.chunk_bytes);
    kv_account(store, 4 * MB);
    assert_int_equal(stats().memory_bytes, before.memory_bytes + 4 * MB);
    kv_tier_fit(store);
    assert_true(stats().memory_bytes <= stats().limit_bytes);
    kv_account(store, -(int64_t)(4 * MB));
}

// ---- pins

// A chunk that a view pins counts until the view is released; views of ever new records do not let the tier grow.
static void test_pins_count(void **state)
{
    (void)state;
    enum { VIEWS = 64 };
    struct kv_view views[VIEWS];
    set_budget(4 * MB);
    unsigned held = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        put(i, LEN);
        if (i % 300 == 0 && held < VIEWS)
            assert_int_equal(kv_get_view(store, &i, sizeof i, &views[held++]), KV_OK);
        assert_true(stats().chunk_bytes <= 4 * MB + KV_CHUNK_LEAST_BYTES);
    }
    set_budget(0);
    assert_true(stats().chunk_bytes > 0);
    for (unsigned i = 0; i < held; i++) {
        uint32_t key = i * 300;
        uint8_t expected[LEN];
        fill_value(key, expected, LEN);
        assert_memory_equal(views[i].data, expected, LEN);
        kv_view_release(store, &views[i]);
    }
    assert_int_equal(stats().chunk_bytes, 0);
    set_budget(4 * MB);
    put(1, LEN);
    assert_true(get(1, LEN));
}

// Deleted values are gone from memory, those with chunks of their own too, and those that a view kept until it is released.
static void test_dead_are_wiped(void **state)
{
    (void)state;
    enum { LARGE = 1500000 };
    static const uint8_t none[LARGE];
    put(1, LARGE);
    put(2, LEN);
    struct kv_view large, small;
    uint32_t keys[2] = {1, 2};
    assert_int_equal(kv_get_view(store, &keys[0], sizeof keys[0], &large), KV_OK);
    assert_int_equal(kv_get_view(store, &keys[1], sizeof keys[1], &small), KV_OK);
    const uint8_t *large_data = large.data, *small_data = small.data;
    assert_int_equal(kv_delete(store, &keys[0], sizeof keys[0], 0), KV_OK);
    put(2, LEN + 1);
    assert_memory_not_equal(large_data, none, LARGE);
    assert_memory_not_equal(small_data, none, LEN);
    kv_view_release(store, &large);
    kv_view_release(store, &small);
    assert_memory_equal(large_data, none, LARGE);
    assert_memory_equal(small_data, none, LEN);
}

// A tier of huge chunks uses them again without giving them back: nothing of what was dropped, copied on or deleted is left
// in them, not even where a view was held meanwhile.
static void test_chunks_used_again(void **state)
{
    (void)state;
    KIT_ONE_THREAD();
    enum { COUNT = 40000, SIZE = 5000 };
    static const char *secrets[3] = {"the one that is dropped", "the one that stays", "the one in a view"};
    set_budget(130 * MB);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(kv_put(store, secrets[i], 5 + i, secrets[i], strlen(secrets[i]), 0, KV_PUT_NO_WAIT),
                         KV_OK);
    struct kv_view view;
    bool spare = false;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kv_get_view(store, secrets[1], 6, &view), KV_OK);
        kv_view_release(store, &view);
    }
    for (uint32_t i = 0; i < COUNT / 2; i++)
        put(i, SIZE);
    assert_int_equal(kv_get_view(store, secrets[2], 7, &view), KV_OK);
    for (uint32_t i = COUNT / 2; i < COUNT; i++) {
        put(i, SIZE);
        struct kv_stats s = stats();
        spare = spare || atomic_load(&store->tier.spare_bytes) > 0;
        assert_true(s.chunk_bytes <= 130 * MB + KV_CHUNK_BYTES);
        if (i % 100 == 0 && s.evicted > 0)
            assert_true(s.cached_bytes >= 130ull * MB / 100 * 90);
    }
    assert_true(spare);
    assert_false(in_memory(secrets[0], strlen(secrets[0])));
    assert_true(in_memory(secrets[1], strlen(secrets[1])));
    assert_int_equal(kv_delete(store, secrets[1], 6, 0), KV_OK);
    assert_false(in_memory(secrets[1], strlen(secrets[1])));
    assert_memory_equal(view.data, secrets[2], strlen(secrets[2]));
    kv_view_release(store, &view);
    assert_int_equal(kv_delete(store, secrets[2], 7, 0), KV_OK); // it was read: there may be a copy in main
    assert_false(in_memory(secrets[2], strlen(secrets[2])));
    for (uint32_t i = 0; i < COUNT; i += 7)
        (void)get(i, SIZE);
    set_budget(0);
    assert_int_equal(stats().chunk_bytes, 0);
}

static void put_secret(uint32_t key)
{
    char secret[5000] = "";
    (void)snprintf(secret, sizeof secret, "the secret of key %u.", (unsigned)key);
    assert_int_equal(kv_put(store, &key, sizeof key, secret, sizeof secret, 0, KV_PUT_NO_WAIT), KV_OK);
}

static bool secret_in_memory(uint32_t key)
{
    char secret[40];
    (void)snprintf(secret, sizeof secret, "the secret of key %u.", (unsigned)key);
    return in_memory(secret, strlen(secret));
}

static void look_at(uint32_t key)
{
    struct kv_view view;
    assert_int_equal(kv_get_view(store, &key, sizeof key, &view), KV_OK);
    kv_view_release(store, &view);
}

static void half_reclaimed(uint64_t budget)
{
    enum { MOST = 40000, SOME = 24 };
    const struct kv_victim *v = &store->tier.victim;
    uint32_t i = 0, next_key = 0;
    set_budget(budget);
    do {
        put_secret(i);
        for (int reads = 0; i % 10 == 0 && reads < 3; reads++)
            look_at(i);
    } while (++i < MOST && (v->chunk == KV_NO_CHUNK || v->queue != KV_SMALL || v->at < KV_CHUNK_BYTES / 8));
    assert_true(i < MOST);
    while (next_key < i && (next_key % 10 == 0 || !is_cached(next_key)))
        next_key++; // the first that the reclaimer has not come to
    assert_in_range(next_key, SOME, i - 1);
    for (uint32_t key = next_key - SOME; key < next_key; key++) {
        assert_int_equal(is_cached(key), key % 10 == 0);
        assert_int_equal(secret_in_memory(key), key % 10 == 0);
        assert_int_equal(kv_delete(store, &key, sizeof key, 0), KV_OK);
        assert_false(secret_in_memory(key));
    }
    set_budget(0);
    assert_int_equal(stats().chunk_bytes, 0);
}

// A chunk that is half reclaimed lies there until the next insertion: what has been dropped from it is gone from memory
// all the same, and so is the original of what was copied to main, once its key is deleted.
static void test_half_reclaimed(void **state)
{
    KIT_ONE_THREAD();
    static const unsigned budgets_mb[] = {50, 80, 180}; // chunks of 512 KiB, 1 and 2 MiB
    for (size_t n = 0; n < sizeof budgets_mb / sizeof budgets_mb[0]; n++) {
        if (n > 0) { // a new store
            (void)teardown(state);
            (void)setup(state);
        }
        half_reclaimed((uint64_t)budgets_mb[n] * MB);
    }
}

static void shrink_beside_a_view(uint64_t budget)
{
    enum { COUNT = 20000, FIRST = COUNT / 2 };
    struct kv_view views[2];
    set_budget(budget);
    for (uint32_t i = 0; i < COUNT; i++)
        put_secret(i);
    for (uint32_t i = 0; i < 4; i++)
        put_secret(FIRST + i); // one after the other
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t key = FIRST + 1 + i;
        assert_int_equal(kv_get_view(store, &key, sizeof key, &views[i]), KV_OK);
    }
    set_budget(0);
    assert_true(stats().chunk_bytes > 0);
    for (uint32_t key = FIRST; key < FIRST + 4; key++) {
        assert_false(is_cached(key));
        assert_int_equal(kv_delete(store, &key, sizeof key, 0), KV_OK);
        assert_int_equal(secret_in_memory(key), key == FIRST + 1 || key == FIRST + 2);
    }
    kv_view_release(store, &views[0]);
    assert_false(secret_in_memory(FIRST + 1));
    assert_true(secret_in_memory(FIRST + 2));
    kv_view_release(store, &views[1]);
    assert_int_equal(stats().chunk_bytes, 0);
}

// A large shrink with two views held in a chunk: nothing else of it stays in memory, and what the first of them held is
// wiped when it is released, though the second one keeps the chunk.
static void test_shrink_beside_a_view(void **state)
{
    KIT_ONE_THREAD();
    shrink_beside_a_view(180ull * MB); // huge chunks
    (void)teardown(state);
    (void)setup(state);
    shrink_beside_a_view(100ull * MB);
}

// ---- memory follows the limit, under load

static _Atomic bool running;
static _Atomic unsigned rounds;

#define LOAD_KEYS 40000u
#define LOAD_LEN  2000u

static void *reader(void *arg)
{
    uint64_t x = *(uint64_t *)arg;
    while (atomic_load(&running)) {
        (void)get((uint32_t)(next(&x) % LOAD_KEYS), LOAD_LEN);
        atomic_fetch_add(&rounds, 1);
    }
    return NULL;
}

static void *writer(void *arg)
{
    uint64_t x = *(uint64_t *)arg;
    while (atomic_load(&running))
        put((uint32_t)(next(&x) % LOAD_KEYS), LOAD_LEN);
    return NULL;
}

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size, resident = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    (void)fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check_limit(uint64_t outside, uint64_t limit)
{
    double begin = seconds();
    assert_int_equal(kv_set_memory_limit(store, limit), KV_OK);
    double took = seconds() - begin;
    uint64_t resident = resident_bytes() - outside;
    struct kv_stats s = stats();
    print_message("limit %llu MB: %.0f ms, %llu MB resident, %llu said, %llu records\n",
                  (unsigned long long)limit / MB, took * 1000, (unsigned long long)resident / MB,
                  (unsigned long long)s.memory_bytes / MB, (unsigned long long)s.cached_records);
    uint64_t floor = kv_other_memory(store);
    uint64_t bound = (limit > floor ? limit : floor) + limit / 20 + 16 * MB;
    assert_true(s.memory_bytes <= bound);
    if (!KIT_SANITIZED)
        assert_true(resident <= bound);
    assert_true(took < 60); // it ends, whatever the load
}

static void test_limit_under_load(void **state)
{
    (void)state;
    uint64_t outside = resident_bytes() - stats().memory_bytes;
    assert_int_equal(kv_set_memory_limit(store, 160u * MB), KV_OK);
    for (uint32_t i = 0; i < LOAD_KEYS; i++)
        put(i, LOAD_LEN);
    assert_int_equal(stats().cached_records, LOAD_KEYS);
    pthread_t threads[3];
    uint64_t seeds[3] = {1, 2, 3};
    atomic_store(&running, true);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < 2 ? reader : writer, &seeds[i]), 0);
    static const uint64_t limits[] = {24, 160, 8, 160, 0, 64, 12, 0};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        unsigned before = atomic_load(&rounds);
        for (int n = 0; n < 100 && atomic_load(&rounds) < before + 5000; n++)
            (void)usleep(2000);
        check_limit(outside, limits[i] * MB);
    }
    atomic_store(&running, false);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    kv_tier_fit(store); // what was on its way when the limit fell
    assert_int_equal(stats().chunk_bytes, 0);
    assert_int_equal(stats().damaged_records, 0);
}

// A small shrink of a tier of which everything is much wanted gives memory back soon, and does not copy all of it round and round first.
static void test_small_shrink_is_soon_done(void **state)
{
    (void)state;
    KIT_ONE_THREAD();
    enum { COUNT = 30000, SIZE = 4000 };
    assert_int_equal(kv_set_memory_limit(store, 160u * MB), KV_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        put(i, SIZE);
    for (int round = 0; round < 8; round++)
        for (uint32_t i = 0; i < COUNT; i++)
            assert_true(get(i, SIZE));
    struct kv_stats before = stats();
    set_budget(before.chunk_bytes - 24 * MB);
    struct kv_stats after = stats();
    assert_true(after.chunk_bytes <= before.chunk_bytes - 24 * MB);
    assert_true(after.promoted + after.readmitted - before.promoted - before.readmitted < COUNT / 2);
}

// A large shrink keeps what was read most.
static void test_shrink_keeps_the_wanted(void **state)
{
    (void)state;
    KIT_ONE_THREAD();
    enum { COUNT = 60000, HOT = 3000 };
    assert_int_equal(kv_set_memory_limit(store, 160u * MB), KV_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        put(i, LOAD_LEN);
    for (uint32_t i = 0; i < COUNT; i += COUNT / HOT)
        for (int n = 0; n < 5; n++)
            assert_true(get(i, LOAD_LEN));
    for (uint32_t i = 0; i < COUNT; i += 4)
        assert_true(get(i, LOAD_LEN));
    set_budget(16 * MB);
    unsigned kept = 0;
    for (uint32_t i = 0; i < COUNT; i += COUNT / HOT)
        kept += is_cached(i);
    print_message("%u of %u hot ones kept\n", kept, (unsigned)HOT);
    assert_true(kept > HOT * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_mixed_sizes),
        TEST(test_small_budgets),
        TEST(test_account),
        TEST(test_pins_count),
        TEST(test_dead_are_wiped),
        TEST(test_chunks_used_again),
        TEST(test_half_reclaimed),
        TEST(test_shrink_beside_a_view),
        TEST(test_limit_under_load),
        TEST(test_shrink_keeps_the_wanted),
        TEST(test_small_shrink_is_soon_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
