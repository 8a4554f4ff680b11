// Bringing values back after the limit was raised: what comes back, in how many reads, and when it stops.
#include "kv_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

#define KEYS      8000u
#define VALUE_LEN 4000u

struct fixture {
    char dir[128];
    struct kv_store *store;
    struct kv_options options;
};

static void sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

// More than a reader's stack: a program may have as much.
static _Thread_local char large[512 * 1024];

static void fill_value(uint32_t key, uint8_t *value)
{
    memset(value, (int)(key * 31), VALUE_LEN);
    memcpy(value, &key, sizeof key);
}

// A store of KEYS values, 32 MB, all in memory.
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    large[0]++;
    kit_folder(f->dir);
    f->options = kit_options();
    f->options.fsync = KV_FSYNC_NEVER;
    f->options.segment_bytes = 8 << 20;
    f->options.limit_bytes = 128 << 20;
    f->store = kit_open(f->dir, &f->options);
    uint8_t value[VALUE_LEN];
    for (uint32_t key = 0; key < KEYS; key++) {
        fill_value(key, value);
        assert_int_equal(kv_put(f->store, &key, sizeof key, value, sizeof value, 0, 0), KV_OK);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->store != NULL)
        kit_close(&f->store);
    kit_remove(f->dir);
    free(f);
    return 0;
}

static void get(struct kv_store *store, uint32_t key)
{
    uint8_t value[VALUE_LEN], expected[VALUE_LEN];
    size_t len = sizeof value;
    assert_int_equal(kv_get(store, &key, sizeof key, value, &len), KV_OK);
    fill_value(key, expected);
    assert_int_equal(len, sizeof value);
    assert_memory_equal(value, expected, sizeof value);
}

static struct kv_stats stats_of(struct fixture *f)
{
    struct kv_stats stats;
    kv_get_stats(f->store, &stats);
    return stats;
}

static struct kv_stats wait_idle(struct fixture *f)
{
    struct kv_stats stats;
    for (unsigned i = 0; (stats = stats_of(f)).warming; i++) {
        assert_true(i < 6000);
        sleep_ms(5);
    }
    return stats;
}

static void set_limit(struct fixture *f, uint64_t bytes)
{
    assert_int_equal(kv_set_memory_limit(f->store, bytes), KV_OK);
}

// A limit that leaves so much for values.
static uint64_t limit_for(struct fixture *f, uint64_t value_bytes)
{
    return kv_other_memory(f->store) + value_bytes;
}

// With room for all, all comes back: by few large reads, not by one a record.
static void test_everything_comes_back(void **state)
{
    struct fixture *f = *state;
    set_limit(f, 0);
    assert_int_equal(stats_of(f).cached_records, 0);
    uint64_t reads = atomic_load(&f->store->readers.reads);
    set_limit(f, 256 << 20);
    struct kv_stats stats = wait_idle(f);
    assert_int_equal(stats.cached_records, KEYS);
    assert_int_equal(stats.warmed_bytes, KEYS * kv_mem_bytes(sizeof(uint32_t), VALUE_LEN));
    reads = atomic_load(&f->store->readers.reads) - reads;
    assert_true(reads > 0 && reads < KEYS / 50);
    assert_true(stats.memory_bytes <= stats.limit_bytes);
    uint64_t misses = stats.misses;
    for (uint32_t key = 0; key < KEYS; key++)
        get(f->store, key);
    assert_int_equal(stats_of(f).misses, misses);
}

// With room for some, those come back that were asked for; and never more than there is room for.
static void test_the_most_wanted_first(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 4; round++)
        for (uint32_t key = 0; key < KEYS; key += 10)
            get(f->store, key);
    set_limit(f, 0);
    set_limit(f, limit_for(f, 10 << 20)); // a third of all, and the wanted tenth three times over
    struct kv_stats stats = wait_idle(f);
    assert_true(stats.memory_bytes <= stats.limit_bytes);
    assert_true(stats.cached_records >= KEYS / 10 && stats.cached_records < KEYS / 2);
    uint64_t misses = stats.misses;
    for (uint32_t key = 0; key < KEYS; key += 10)
        get(f->store, key);
    assert_int_equal(stats_of(f).misses, misses);
}

// When what nobody asked for is most of what there is, and hardly fits, it stays on disk.
static void test_unwanted_stays(void **state)
{
    struct fixture *f = *state;
    set_limit(f, 0);
    set_limit(f, limit_for(f, 8 << 20));
    struct kv_stats stats = wait_idle(f);
    assert_int_equal(stats.cached_records, 0);
    assert_int_equal(stats.warmed_bytes, 0);
}

static void test_never_over_the_limit(void **state)
{
    struct fixture *f = *state;
    for (unsigned mb = 2; mb <= 40; mb += 6) {
        set_limit(f, 0);
        set_limit(f, limit_for(f, (uint64_t)mb << 20));
        struct kv_stats stats;
        do {
            stats = stats_of(f);
            assert_true(stats.memory_bytes <= stats.limit_bytes);
        } while (stats.warming);
        assert_int_equal(stats.evicted, stats_of(f).evicted);
    }
}

// A store that was closed knows what was wanted, and brings that back, and nothing else.
static void test_after_open(void **state)
{
    struct fixture *f = *state;
    for (uint32_t key = 0; key < KEYS; key += 10)
        get(f->store, key);
    kit_close(&f->store);
    f->store = kit_open(f->dir, &f->options);
    struct kv_stats stats = wait_idle(f);
    assert_int_equal(stats.cached_records, KEYS / 10);
    for (uint32_t key = 0; key < KEYS; key += 10)
        get(f->store, key);
    assert_int_equal(stats_of(f).misses, 0);
}

// Reads that take their time.
static _Atomic unsigned slow_us;
static ssize_t slow_pread(int fd, void *buf, size_t len, off_t offset)
{
    unsigned us = atomic_load(&slow_us);
    struct timespec t = {.tv_nsec = (long)us * 1000};
    if (us != 0)
        (void)nanosleep(&t, NULL);
    return pread(fd, buf, len, offset);
}

static int setup_slow(void **state)
{
    kv_io.pread = slow_pread;
    return setup(state);
}

static int teardown_slow(void **state)
{
    atomic_store(&slow_us, 0);
    int result = teardown(state);
    kv_io_reset();
    return result;
}

static void test_stops_when_lowered(void **state)
{
    struct fixture *f = *state;
    set_limit(f, 0);
    atomic_store(&slow_us, 20000);
    set_limit(f, 256 << 20);
    assert_true(stats_of(f).warming);
    set_limit(f, 0);
    struct kv_stats stats = stats_of(f);
    assert_false(stats.warming);
    assert_int_equal(stats.cached_records, 0);
    assert_int_equal(stats.chunk_bytes, 0);
    set_limit(f, 256 << 20); // and begins anew
    set_limit(f, 257 << 20);
    atomic_store(&slow_us, 0);
    assert_int_equal(wait_idle(f).cached_records, KEYS);
}

static void test_stops_when_closed(void **state)
{
    struct fixture *f = *state;
    set_limit(f, 0);
    atomic_store(&slow_us, 20000);
    set_limit(f, 256 << 20);
    assert_true(stats_of(f).warming);
    kit_close(&f->store);
}

// Gets that take longer than the goal are given way to.
static void test_gives_way_to_gets(void **state)
{
    struct fixture *f = *state;
    set_limit(f, 0);
    kv_set_latency_goal(f->store, 100);
    atomic_store(&slow_us, 3000);
    set_limit(f, 256 << 20);
    unsigned n = 0;
    for (; n < 100; n++)
        get(f->store, n); // 3 ms each, most of them
    struct kv_stats stats = stats_of(f);
    assert_true(stats.warming);
    // Eight readers of a MiB would long be done; this pace makes a few small reads.
    assert_true(stats.warmed_bytes < KEYS / 2 * VALUE_LEN);
    atomic_store(&slow_us, 0);
    kv_set_latency_goal(f->store, 0);
    assert_int_equal(wait_idle(f).cached_records, KEYS);
}

// But not for ever: gets that are as slow without us are not our doing, and only values in memory help them.
static void test_hurries_when_giving_way_is_in_vain(void **state)
{
    struct fixture *f = *state;
    set_limit(f, 0);
    kv_set_latency_goal(f->store, 100);
    atomic_store(&slow_us, 3000);
    set_limit(f, 256 << 20);
    struct kv_stats stats = stats_of(f);
    for (unsigned n = 0; n < 20000 && stats.cached_records < KEYS; n++) {
        get(f->store, n * 7919 % KEYS);
        stats = stats_of(f);
    }
    assert_int_equal(stats.cached_records, KEYS);
    assert_true(stats.warmed_bytes > KEYS / 2 * VALUE_LEN); // the gets alone have not done it
    atomic_store(&slow_us, 0);
}

// ---- damage

// Flips a bit in the middle of a key's value on disk.
static void damage(struct fixture *f, uint32_t key)
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
    struct fixture *f = *state;
    assert_int_equal(kv_sync(f->store), KV_OK);
    set_limit(f, 0);
    damage(f, 1234);
    damage(f, 4321);
    set_limit(f, 256 << 20);
    struct kv_stats stats = wait_idle(f);
    assert_int_equal(stats.damaged_records, 2);
    assert_int_equal(stats.cached_records, KEYS - 2);
    uint32_t key = 1234;
    uint8_t buf[VALUE_LEN];
    size_t len = sizeof buf;
    assert_int_equal(kv_get(f->store, &key, sizeof key, buf, &len), KV_CORRUPT);
    set_limit(f, 0);
    set_limit(f, 256 << 20); // known now: neither read nor counted again
    stats = wait_idle(f);
    assert_int_equal(stats.damaged_records, 2);
    assert_int_equal(stats.cached_records, KEYS - 2);
}

static void test_failed_reads_are_skipped(void **state)
{
    struct fixture *f = *state;
    set_limit(f, 0);
    kit_fail(KIT_PREAD, EIO, 0, 2, 0);
    set_limit(f, 256 << 20);
    struct kv_stats stats = wait_idle(f);
    kit_heal();
    assert_true(stats.cached_records < KEYS && stats.cached_records > KEYS / 2);
    assert_int_equal(stats.damaged_records, 0);
    assert_false(stats.read_only);
    for (uint32_t key = 0; key < KEYS; key += 7)
        get(f->store, key);
}

static int setup_faults(void **state)
{
    kit_heal();
    return setup(state);
}

// ---- sizes, expiry, other threads

static void test_all_sizes(void **state)
{
    struct fixture *f = *state;
    static const size_t sizes[] = {0, 1, 100, 5000, 300000, 1 << 20, 3 << 20};
    uint8_t *value = calloc(1, 3 << 20);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t key = 1000000 + i;
        assert_int_equal(kv_put(f->store, &key, sizeof key, value, sizes[i], 0, 0), KV_OK);
    }
    uint64_t soon = 77, ms = atomic_load(&kit_now_ms);
    assert_int_equal(kv_put(f->store, &soon, sizeof soon, value, 100, ms + 1000, 0), KV_OK);
    set_limit(f, 0);
    set_limit(f, 256 << 20);
    struct kv_stats stats = wait_idle(f);
    assert_int_equal(stats.cached_records, KEYS + sizeof sizes / sizeof sizes[0] + 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t key = 1000000 + i;
        size_t len = 3 << 20;
        assert_int_equal(kv_get(f->store, &key, sizeof key, value, &len), KV_OK);
        assert_int_equal(len, sizes[i]);
    }
    assert_int_equal(stats_of(f).misses, stats.misses);
    free(value);
}

static _Atomic bool going;

static void *disturb(void *arg)
{
    struct fixture *f = arg;
    uint8_t value[VALUE_LEN];
    for (uint32_t i = 0; atomic_load(&going); i++) {
        uint32_t key = i * 7919 % KEYS, other = KEYS + i % 500;
        get(f->store, key);
        fill_value(other, value);
        assert_int_equal(kv_put(f->store, &other, sizeof other, value, sizeof value, 0, 0), KV_OK);
        if (i % 3 == 0)
            assert_int_equal(kv_delete(f->store, &other, sizeof other, 0), KV_OK);
    }
    return NULL;
}

static void test_under_load(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[2];
    atomic_store(&going, true);
    // One writer: two would delete each other's keys.
    assert_int_equal(pthread_create(&threads[0], NULL, disturb, f), 0);
    for (unsigned i = 0; i < 12; i++) {
        set_limit(f, (uint64_t)(i % 3) * (24u << 20));
        kv_set_latency_goal(f->store, i % 2 * 500);
        sleep_ms(20 + i * 5);
    }
    set_limit(f, 256 << 20);
    (void)wait_idle(f);
    atomic_store(&going, false);
    (void)pthread_join(threads[0], NULL);
    for (uint32_t key = 0; key < KEYS; key++)
        get(f->store, key);
}

int main(void)
{
#define WITH(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define SLOW(name) cmocka_unit_test_setup_teardown(name, setup_slow, teardown_slow)
    const struct CMUnitTest tests[] = {
        WITH(test_everything_comes_back),
        WITH(test_the_most_wanted_first),
        WITH(test_unwanted_stays),
        WITH(test_never_over_the_limit),
        WITH(test_after_open),
        WITH(test_all_sizes),
        WITH(test_damage_is_skipped_and_counted),
        WITH(test_under_load),
        SLOW(test_stops_when_lowered),
        SLOW(test_stops_when_closed),
        SLOW(test_gives_way_to_gets),
        SLOW(test_hurries_when_giving_way_is_in_vain),
        cmocka_unit_test_setup_teardown(test_failed_reads_are_skipped, setup_faults, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
