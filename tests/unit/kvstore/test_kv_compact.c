// Compaction: space comes back, nothing live is lost, nothing deleted returns, expiry is kept, and damage
// stays an error.
#include "kv_kit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

#define COUNT 400
static char dir[128];
static struct kv_store *store;

static int setup(void **state)
{
    (void)state;
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    kit_folder(dir);
    store = kit_open(dir, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_close(&store);
    kit_remove(dir);
    return 0;
}

static struct kv_stats stats(void)
{
    struct kv_stats s;
    kv_get_stats(store, &s);
    return s;
}

static void value_of(unsigned key, unsigned generation, char value[1001])
{
    uint32_t x = key * 1000 + generation;
    for (unsigned i = 0; i < 1000; i++) {
        x = x * 1664525u + 1013904223u;
        value[i] = (char)('a' + (x >> 24) % 26);
    }
    value[1000] = '\0';
}

static void put(unsigned key, unsigned generation)
{
    char value[1001];
    value_of(key, generation, value);
    assert_int_equal(kv_put(store, &key, sizeof key, value, 1000, 0, KV_PUT_NO_WAIT), KV_OK);
}

static void expect(unsigned key, unsigned generation)
{
    char value[1001], got[1001];
    size_t len = sizeof got;
    value_of(key, generation, value);
    assert_int_equal(kv_get(store, &key, sizeof key, got, &len), KV_OK);
    assert_int_equal(len, 1000);
    assert_memory_equal(got, value, 1000);
}

static void expect_gone(unsigned key)
{
    char got[1001];
    size_t len = sizeof got;
    assert_int_equal(kv_get(store, &key, sizeof key, got, &len), KV_NOT_FOUND);
}

static void compact_all(void)
{
    assert_int_equal(kv_sync(store), KV_OK);
    while (kv_compact_step(store)) {
    }
}

static void reopen(void)
{
    kit_close(&store);
    store = kit_open(dir, NULL);
}

// One key in four is kept, one replaced, two deleted.
static void fill(void)
{
    for (unsigned key = 0; key < COUNT; key++)
        put(key, 0);
    for (unsigned key = 0; key < COUNT; key++) {
        if (key % 4 == 1)
            put(key, 1);
        if (key % 4 >= 2)
            assert_int_equal(kv_delete(store, &key, sizeof key, KV_PUT_NO_WAIT), KV_OK);
    }
}

static void check_filled(void)
{
    assert_int_equal(stats().keys, COUNT / 2);
    assert_int_equal(stats().damaged_records, 0);
    for (unsigned key = 0; key < COUNT; key++)
        if (key % 4 >= 2)
            expect_gone(key);
        else
            expect(key, key % 4);
}

// From memory and from disk, before and after opening anew, with everything written once more and compacted
// again.
static void test_space_comes_back(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        fill();
        compact_all();
        assert_true(stats().disk_bytes < stats().live_bytes * 2 + 3 * 64 * 1024);
        check_filled();
        assert_int_equal(kv_set_memory_limit(store, 0), KV_OK);
        check_filled();
        reopen();
        check_filled();
    }
    assert_true(stats().segments < 14);
}

// A replaced or deleted value that compaction had copied is gone from every file.
static void test_no_copies_stay_behind(void **state)
{
    (void)state;
    fill();
    char value[1001];
    value_of(0, 0, value);
    compact_all();
    assert_int_equal(kit_files_with(dir, value, 1000), 1);
    unsigned key = 0;
    assert_int_equal(kv_delete(store, &key, sizeof key, 0), KV_OK);
    assert_int_equal(kit_files_with(dir, value, 1000), 0);
    for (key = 2; key < COUNT; key += 4) {
        value_of(key, 0, value);
        assert_int_equal(kit_files_with(dir, value, 1000), 0);
    }
}

static uint64_t expiry_of(unsigned key)
{
    uint64_t expire_ms;
    assert_int_equal(kv_get_expiry(store, &key, sizeof key, &expire_ms), KV_OK);
    return expire_ms;
}

// Changes of expiry outlive the segments that their records and their keys' records lay in.
static void test_expiry_is_kept(void **state)
{
    (void)state;
    for (unsigned key = 0; key < COUNT; key++)
        put(key, 0);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned key = 0; key < COUNT; key++)
            assert_int_equal(kv_set_expiry(store, &key, sizeof key, key % 2 == 0 ? 5000000 + key + round : 0,
                                           KV_PUT_NO_WAIT),
                             KV_OK);
        compact_all();
        if (round % 2 == 1)
            reopen();
        for (unsigned key = 0; key < COUNT; key++) {
            expect(key, 0);
            assert_int_equal(expiry_of(key), key % 2 == 0 ? 5000000 + key + round : 0);
        }
        assert_int_equal(stats().keys_with_expiry, COUNT / 2);
    }
}

// A segment that holds nothing but tombstones goes, and what they deleted does not come back.
static void test_tombstones_go(void **state)
{
    (void)state;
    for (unsigned key = 0; key < 4000; key++)
        assert_int_equal(kv_put(store, &key, sizeof key, "v", 1, 0, KV_PUT_NO_WAIT), KV_OK);
    for (unsigned key = 0; key < 4000; key++)
        assert_int_equal(kv_delete(store, &key, sizeof key, KV_PUT_NO_WAIT), KV_OK);
    compact_all();
    assert_int_equal(stats().segments, 1);
    assert_true(stats().disk_bytes <= 64 * 1024);
    reopen();
    assert_int_equal(stats().keys, 0);
}

// A record whose value is damaged moves as it is; one whose head is damaged keeps its segment. Both say
// KV_CORRUPT, not "not found".
static void test_damage_is_kept(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        char value[1001], path[192];
        fill();
        value_of(0, 0, value);
        assert_int_equal(kv_set_memory_limit(store, 0), KV_OK);
        unsigned key = 0;
        uint64_t version;
        assert_int_equal(kv_version(store, &key, sizeof key, &version), KV_OK);
        size_t len;
        uint8_t *bytes =
            kit_read_file(kit_segment_path(dir, (unsigned)kv_where_segment(version), path), &len);
        bytes[kv_where_offset(version) + (i == 0 ? 200 : 9)] ^= 4;
        FILE *f = fopen(path, "r+b");
        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, len, f), len);
        assert_int_equal(fclose(f), 0);
        free(bytes);
        compact_all();
        char got[1001];
        len = sizeof got;
        assert_int_equal(kv_get(store, &key, sizeof key, got, &len), KV_CORRUPT);
        put(0, 0); // and putting it anew mends it
        expect(0, 0);
        compact_all();
        for (key = 1; key < COUNT; key++)
            if (key % 4 < 2)
                expect(key, key % 4);
    }
}

static _Atomic bool reading;

static void *read_all_the_time(void *arg)
{
    (void)arg;
    for (unsigned n = 0; atomic_load(&reading); n++) {
        unsigned key = n * 7 % COUNT;
        if (key % 4 == 0)
            expect(key, 0);
        else if (key % 4 == 3)
            expect_gone(key);
    }
    return NULL;
}

// Readers from disk while records move under them: every answer is right.
static void test_readers_meanwhile(void **state)
{
    (void)state;
    assert_int_equal(kv_set_memory_limit(store, 0), KV_OK);
    fill();
    atomic_store(&reading, true);
    pthread_t readers[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_all_the_time, NULL), 0);
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned key = 1; key < COUNT; key += 2)
            if (key % 4 == 1)
                put(key, round);
        compact_all();
    }
    atomic_store(&reading, false);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    assert_int_equal(stats().damaged_records, 0);
}

// Dead space stays within its bound under steady replacing, without more segments being emptied than that takes.
static void test_bound_on_space(void **state)
{
    (void)state;
    kit_close(&store);
    struct kv_options options = kit_options();
    options.dead_percent = 40;
    options.compact_bytes_s = 1u << 30;
    store = kit_open(dir, &options);
    uint64_t worst = 0;
    for (unsigned key = 0; key < COUNT * 4; key++)
        put(key, 0);
    for (unsigned round = 1; round < 20; round++) {
        for (unsigned key = round; key < COUNT * 4; key += 5)
            put(key, 0);
        compact_all();
        uint64_t dead = stats().disk_bytes - stats().live_bytes;
        worst = dead > worst ? dead : worst;
    }
    uint64_t live = stats().live_bytes, bound = live * 40 / 100 + 2 * 64 * 1024;
    if (worst > bound + 64 * 1024)
        fail_msg("%llu bytes dead of a bound of %llu", (unsigned long long)worst, (unsigned long long)bound);
    assert_true(stats().compacted_bytes < 20u * COUNT * 4 / 5 * 1100 * 3);
    for (unsigned key = 0; key < COUNT * 4; key += 3)
        expect(key, 0);
}

// Within the bound nothing is moved for a little gain.
static void test_little_dead_is_left(void **state)
{
    (void)state;
    for (unsigned key = 0; key < COUNT; key++)
        put(key, 0);
    for (unsigned key = 0; key < COUNT; key += 5)
        put(key, 1);
    compact_all();
    assert_int_equal(stats().compacted_bytes, 0);
}

// Compaction keeps to its share of the disk.
static void test_pace(void **state)
{
    (void)state;
    kit_close(&store);
    struct kv_options options = kit_options();
    options.compact_bytes_s = 256u << 10;
    options.segment_bytes = 256 * 1024;
    store = kit_open(dir, &options);
    for (unsigned key = 0; key < COUNT * 2; key++)
        put(key, 0);
    for (unsigned key = 0; key < COUNT * 2; key++)
        if (key % 10 != 0)
            assert_int_equal(kv_delete(store, &key, sizeof key, KV_PUT_NO_WAIT), KV_OK);
    assert_int_equal(kv_sync(store), KV_OK);
    struct timespec from, to;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &from), 0);
    for (int i = 0; i < 100 && stats().disk_bytes > 2 * 256 * 1024; i++)
        (void)kv_compact_step(store); // the store's own thread may be at it as well
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &to), 0);
    double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    assert_true(stats().disk_bytes <= 2 * 256 * 1024);
    assert_true(seconds > 0.3); // 768 KiB at no more than four times 256 KiB/s, less a burst of a tenth of a second
}

static char unreadable[192];
static ssize_t (*plain_pread)(int, void *, size_t, off_t);

static ssize_t pread_but_one(int fd, void *buf, size_t len, off_t offset)
{
    struct stat st, bad;
    if (fstat(fd, &st) == 0 && stat(unreadable, &bad) == 0 && st.st_ino == bad.st_ino) {
        errno = EIO;
        return -1;
    }
    return plain_pread(fd, buf, len, offset);
}

// A segment that cannot be read stays as it is, and the others are compacted.
static void test_unreadable_segment(void **state)
{
    (void)state;
    kit_close(&store);
    plain_pread = kv_io.pread;
    kv_io.pread = pread_but_one;
    unreadable[0] = '\0';
    store = kit_open(dir, NULL);
    fill();
    (void)kit_segment_path(dir, 2, unreadable);
    compact_all();
    assert_true(stats().disk_bytes < stats().live_bytes * 2 + 4 * 64 * 1024);
    assert_int_equal(access(unreadable, F_OK), 0);
    assert_false(stats().read_only);
    unreadable[0] = '\0';
    check_filled(); // nothing of it was lost
    reopen();
    compact_all();
    check_filled();
    kit_close(&store);
    kv_io.pread = plain_pread;
    store = kit_open(dir, NULL);
}

// Values that are replaced and deleted while compaction moves them are gone from every file when the call returns.
static bool in_a_file(const char *value)
{
    bool found = false;
    (void)pthread_mutex_lock(&store->segments.manifest_lock);
    unsigned newest = (unsigned)store->segments.manifest.next_segment;
    (void)pthread_mutex_unlock(&store->segments.manifest_lock);
    for (unsigned id = 1; id <= newest && !found; id++) {
        char path[192];
        FILE *f = fopen(kit_segment_path(dir, id, path), "rb");
        if (f == NULL)
            continue; // compacted away
        static char bytes[1u << 20];
        size_t len = fread(bytes, 1, sizeof bytes, f);
        (void)fclose(f);
        found = memmem(bytes, len, value, 1000) != NULL;
    }
    return found;
}

static void *compact_all_the_time(void *arg)
{
    (void)arg;
    while (atomic_load(&reading))
        (void)kv_compact_step(store);
    return NULL;
}

static void test_erased_while_moving(void **state)
{
    (void)state;
    atomic_store(&reading, true);
    pthread_t compactor;
    unsigned left = 0;
    assert_int_equal(pthread_create(&compactor, NULL, compact_all_the_time, NULL), 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned key = 0; key < COUNT; key++)
            put(key, round * 10);
        for (unsigned key = 0; key < COUNT; key++) {
            if (key % 5 == 0)
                continue; // these move
            put(key, round * 10 + 1);
        }
        assert_int_equal(kv_sync(store), KV_OK);
        for (unsigned key = 0; key < COUNT; key += 40) {
            char value[1001];
            value_of(key, round * 10, value);
            if (key % 80 == 0) {
                assert_int_equal(kv_put(store, &key, sizeof key, "x", 1, 0, 0), KV_OK);
            } else {
                assert_int_equal(kv_delete(store, &key, sizeof key, 0), KV_OK);
            }
            left += in_a_file(value);
        }
    }
    atomic_store(&reading, false);
    assert_int_equal(pthread_join(compactor, NULL), 0);
    assert_int_equal(left, 0);
    assert_int_equal(stats().damaged_records, 0);
    reopen();
    assert_int_equal(stats().damaged_records, 0);
}

// A file system that cannot punch: originals are overwritten instead.
static void test_no_holes(void **state)
{
    (void)state;
    kit_fail(KIT_FALLOCATE, EOPNOTSUPP, 0, -1, 0);
    fill();
    compact_all();
    check_filled();
    char value[1001];
    value_of(0, 0, value);
    assert_int_equal(kit_files_with(dir, value, 1000), 1);
    reopen();
    check_filled();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_space_comes_back), TEST(test_no_copies_stay_behind), TEST(test_expiry_is_kept),
        TEST(test_tombstones_go),    TEST(test_damage_is_kept),        TEST(test_readers_meanwhile),
        TEST(test_bound_on_space),   TEST(test_little_dead_is_left),    TEST(test_pace),
        TEST(test_unreadable_segment), TEST(test_erased_while_moving),  TEST(test_no_holes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
