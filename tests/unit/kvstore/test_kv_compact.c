// Compaction: space comes back, nothing live is lost, nothing deleted returns, expiry is kept, and damage
// stays an error.
#include "kv_kit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_space_comes_back), TEST(test_no_copies_stay_behind), TEST(test_expiry_is_kept),
        TEST(test_tombstones_go),    TEST(test_damage_is_kept),        TEST(test_readers_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
