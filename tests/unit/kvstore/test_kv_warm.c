// Bringing values back after the limit was raised: what comes back, in how many reads, and when it stops.
#include "warm_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

// More than a reader's stack: a program may have as much.
static _Thread_local char large[512 * 1024];

static int setup_large(void **state)
{
    large[0]++;
    return warm_setup(state);
}

// With room for all, all comes back: by few large reads, not by one a record.
static void test_everything_comes_back(void **state)
{
    struct warm_fixture *f = *state;
    warm_set_limit(f, 0);
    assert_int_equal(warm_stats_of(f).cached_records, 0);
    uint64_t reads = atomic_load(&f->store->readers.reads);
    warm_set_limit(f, 256 << 20);
    struct kv_stats stats = warm_wait_idle(f);
    assert_int_equal(stats.cached_records, WARM_KEYS);
    assert_int_equal(stats.warmed_bytes, WARM_KEYS * kv_mem_bytes(sizeof(uint32_t), WARM_VALUE_LEN));
    reads = atomic_load(&f->store->readers.reads) - reads;
    assert_true(reads > 0 && reads < WARM_KEYS / 50);
    assert_true(stats.memory_bytes <= stats.limit_bytes);
    uint64_t misses = stats.misses;
    for (uint32_t key = 0; key < WARM_KEYS; key++)
        warm_get(f->store, key);
    assert_int_equal(warm_stats_of(f).misses, misses);
}

// With room for some, those come back that were asked for; and never more than there is room for.
static void test_the_most_wanted_first(void **state)
{
    struct warm_fixture *f = *state;
    for (unsigned round = 0; round < 4; round++)
        for (uint32_t key = 0; key < WARM_KEYS; key += 10)
            warm_get(f->store, key);
    warm_set_limit(f, 0);
    warm_set_limit(f, warm_limit_for(f, 10 << 20)); // a third of all, and the wanted tenth three times over
    struct kv_stats stats = warm_wait_idle(f);
    assert_true(stats.memory_bytes <= stats.limit_bytes);
    assert_true(stats.cached_records >= WARM_KEYS / 10 && stats.cached_records < WARM_KEYS / 2);
    uint64_t misses = stats.misses;
    for (uint32_t key = 0; key < WARM_KEYS; key += 10)
        warm_get(f->store, key);
    assert_int_equal(warm_stats_of(f).misses, misses);
}

// What is wanted is a tenth, and everywhere: the files are read once from end to end, not a record at a time, and what is wanted is never passed over for
// want of room that others took.
static void test_scattered_in_one_pass(void **state)
{
    struct warm_fixture *f = *state;
    for (unsigned round = 0; round < 4; round++)
        for (uint32_t key = 0; key < WARM_KEYS; key += 10)
            warm_get(f->store, key);
    warm_set_limit(f, 0);
    uint64_t reads = atomic_load(&f->store->readers.reads);
    warm_set_limit(f, warm_limit_for(f, 28 << 20)); // of 32
    struct kv_stats stats = warm_wait_idle(f);
    reads = atomic_load(&f->store->readers.reads) - reads;
    assert_true(stats.memory_bytes <= stats.limit_bytes);
    assert_true(stats.cached_records > WARM_KEYS / 2);
    assert_true(reads > 0 && reads < WARM_KEYS / 20);
    uint64_t misses = stats.misses;
    for (uint32_t key = 0; key < WARM_KEYS; key += 10)
        warm_get(f->store, key);
    assert_int_equal(warm_stats_of(f).misses, misses);
}

// When what nobody asked for is most of what there is, and hardly fits, it stays on disk.
static void test_unwanted_stays(void **state)
{
    struct warm_fixture *f = *state;
    warm_set_limit(f, 0);
    warm_set_limit(f, warm_limit_for(f, 8 << 20));
    struct kv_stats stats = warm_wait_idle(f);
    assert_int_equal(stats.cached_records, 0);
    assert_int_equal(stats.warmed_bytes, 0);
}

static void test_never_over_the_limit(void **state)
{
    struct warm_fixture *f = *state;
    for (unsigned mb = 2; mb <= 40; mb += 6) {
        warm_set_limit(f, 0);
        warm_set_limit(f, warm_limit_for(f, (uint64_t)mb << 20));
        struct kv_stats stats;
        do {
            stats = warm_stats_of(f);
            assert_true(stats.memory_bytes <= stats.limit_bytes);
        } while (stats.warming);
        assert_int_equal(stats.evicted, warm_stats_of(f).evicted);
    }
}

// A store that was closed knows what was wanted, and brings that back, and nothing else.
static void test_after_open(void **state)
{
    struct warm_fixture *f = *state;
    for (uint32_t key = 0; key < WARM_KEYS; key += 10)
        warm_get(f->store, key);
    kit_close(&f->store);
    f->store = kit_open(f->dir, &f->options);
    struct kv_stats stats = warm_wait_idle(f);
    assert_int_equal(stats.cached_records, WARM_KEYS / 10);
    for (uint32_t key = 0; key < WARM_KEYS; key += 10)
        warm_get(f->store, key);
    assert_int_equal(warm_stats_of(f).misses, 0);
}

// ---- damage

// Flips a bit in the middle of a key's value on disk.
static void damage(struct warm_fixture *f, uint32_t key)
{
    uint64_t where;
    assert_int_equal(kv_version(f->store, &key, sizeof key, &where), KV_OK);
    char path[192];
    int fd = open(kit_segment_path(f->dir, (unsigned)kv_where_segment(where), path), O_RDWR);
    assert_true(fd >= 0);
    off_t at = (off_t)kv_where_offset(where) + KV_RECORD_HEAD + 2000;
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

static void test_damage_is_skipped_and_counted(void **state)
{
    struct warm_fixture *f = *state;
    assert_int_equal(kv_sync(f->store), KV_OK);
    warm_set_limit(f, 0);
    damage(f, 1234);
    damage(f, 4321);
    warm_set_limit(f, 256 << 20);
    struct kv_stats stats = warm_wait_idle(f);
    assert_int_equal(stats.damaged_records, 2);
    assert_int_equal(stats.cached_records, WARM_KEYS - 2);
    uint32_t key = 1234;
    uint8_t buf[WARM_VALUE_LEN];
    size_t len = sizeof buf;
    assert_int_equal(kv_get(f->store, &key, sizeof key, buf, &len), KV_CORRUPT);
    warm_set_limit(f, 0);
    warm_set_limit(f, 256 << 20); // known now: neither read nor counted again
    stats = warm_wait_idle(f);
    assert_int_equal(stats.damaged_records, 2);
    assert_int_equal(stats.cached_records, WARM_KEYS - 2);
}

static void test_failed_reads_are_skipped(void **state)
{
    struct warm_fixture *f = *state;
    warm_set_limit(f, 0);
    kit_fail(KIT_PREAD, EIO, 0, 2, 0);
    warm_set_limit(f, 256 << 20);
    struct kv_stats stats = warm_wait_idle(f);
    kit_heal();
    assert_true(stats.cached_records < WARM_KEYS && stats.cached_records > WARM_KEYS / 2);
    assert_int_equal(stats.damaged_records, 0);
    assert_false(stats.read_only);
    for (uint32_t key = 0; key < WARM_KEYS; key += 7)
        warm_get(f->store, key);
}

static int setup_faults(void **state)
{
    kit_heal();
    return warm_setup(state);
}

// ---- sizes, expiry, other threads

static void test_all_sizes(void **state)
{
    struct warm_fixture *f = *state;
    static const size_t sizes[] = {0, 1, 100, 5000, 300000, 1 << 20, 3 << 20};
    uint8_t *value = calloc(1, 3 << 20);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t key = 1000000 + i;
        assert_int_equal(kv_put(f->store, &key, sizeof key, value, sizes[i], 0, 0), KV_OK);
    }
    uint64_t soon = 77, ms = atomic_load(&kit_now_ms);
    assert_int_equal(kv_put(f->store, &soon, sizeof soon, value, 100, ms + 1000, 0), KV_OK);
    warm_set_limit(f, 0);
    warm_set_limit(f, 256 << 20);
    struct kv_stats stats = warm_wait_idle(f);
    assert_int_equal(stats.cached_records, WARM_KEYS + sizeof sizes / sizeof sizes[0] + 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t key = 1000000 + i;
        size_t len = 3 << 20;
        assert_int_equal(kv_get(f->store, &key, sizeof key, value, &len), KV_OK);
        assert_int_equal(len, sizes[i]);
    }
    assert_int_equal(warm_stats_of(f).misses, stats.misses);
    free(value);
}

static _Atomic bool going;

static void *disturb(void *arg)
{
    struct warm_fixture *f = arg;
    uint8_t value[WARM_VALUE_LEN];
    for (uint32_t i = 0; atomic_load(&going); i++) {
        uint32_t key = i * 7919 % WARM_KEYS, other = WARM_KEYS + i % 500;
        warm_get(f->store, key);
        warm_fill_value(other, value);
        assert_int_equal(kv_put(f->store, &other, sizeof other, value, sizeof value, 0, 0), KV_OK);
        if (i % 3 == 0)
            assert_int_equal(kv_delete(f->store, &other, sizeof other, 0), KV_OK);
    }
    return NULL;
}

static void test_under_load(void **state)
{
    struct warm_fixture *f = *state;
    pthread_t threads[2];
    atomic_store(&going, true);
    // One writer: two would delete each other's keys.
    assert_int_equal(pthread_create(&threads[0], NULL, disturb, f), 0);
    for (unsigned i = 0; i < 12; i++) {
        warm_set_limit(f, (uint64_t)(i % 3) * (24u << 20));
        kv_set_latency_goal(f->store, i % 2 * 500);
        warm_sleep_ms(20 + i * 5);
    }
    warm_set_limit(f, 256 << 20);
    (void)warm_wait_idle(f);
    atomic_store(&going, false);
    (void)pthread_join(threads[0], NULL);
    for (uint32_t key = 0; key < WARM_KEYS; key++)
        warm_get(f->store, key);
}

int main(void)
{
#define WITH(name) cmocka_unit_test_setup_teardown(name, warm_setup, warm_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything_comes_back, setup_large, warm_teardown),
        WITH(test_the_most_wanted_first),
        WITH(test_scattered_in_one_pass),
        WITH(test_unwanted_stays),
        WITH(test_never_over_the_limit),
        WITH(test_after_open),
        WITH(test_all_sizes),
        WITH(test_damage_is_skipped_and_counted),
        WITH(test_under_load),
        cmocka_unit_test_setup_teardown(test_failed_reads_are_skipped, setup_faults, warm_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
