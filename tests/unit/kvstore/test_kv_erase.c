// What was deleted or replaced is gone: from the files, found by searching their raw bytes, and from the
// store's memory.
#include "kv_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

#define SECRET "0xSECRET-PRIVATE-KEY-BYTES"

static char dir[128];

static int setup(void **state)
{
    (void)state;
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    kit_folder(dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_remove(dir);
    return 0;
}

static unsigned secrets_in_files(void)
{
    return kit_files_with(dir, SECRET, strlen(SECRET));
}

static bool secret_in_memory(struct kv_store *store)
{
    const struct kv_tier *tier = &store->tier;
    for (uint32_t i = 0; i < tier->reserved; i++)
        if (atomic_load(&tier->chunks[i].state) != KV_CHUNK_FREE &&
            memmem(tier->base + (size_t)i * KV_CHUNK_BYTES, tier->chunks[i].used, SECRET, strlen(SECRET)) !=
                NULL)
            return true;
    return false;
}

static void test_delete_and_replace(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    kit_put(store, "k", SECRET);
    assert_int_equal(secrets_in_files(), 1);
    assert_true(secret_in_memory(store));
    assert_int_equal(kv_delete(store, "k", 1, 0), KV_OK);
    assert_int_equal(secrets_in_files(), 0);
    assert_false(secret_in_memory(store));
    kit_put(store, "k", SECRET);
    kit_put(store, "k", "harmless");
    assert_int_equal(secrets_in_files(), 0);
    assert_false(secret_in_memory(store));
    kit_expect(store, "k", "harmless");
    kit_close(&store);
    store = kit_open(dir, NULL); // erased records are no damage
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 0);
    kit_expect(store, "k", "harmless");
    kit_close(&store);
}

// A view keeps what it shows; the bytes go when it is released.
static void test_view_then_wipe(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    kit_put(store, "k", SECRET);
    struct kv_view view;
    assert_int_equal(kv_get_view(store, "k", 1, &view), KV_OK);
    assert_int_equal(kv_delete(store, "k", 1, 0), KV_OK);
    assert_memory_equal(view.data, SECRET, strlen(SECRET));
    kv_view_release(store, &view);
    assert_false(secret_in_memory(store));
    kit_close(&store);
}

// With fsync=interval a deleted value goes at once, a replaced one when the new one is on the device: at the
// latest with kv_sync().
static void test_other_policies(void **state)
{
    (void)state;
    for (int policy = KV_FSYNC_INTERVAL; policy <= KV_FSYNC_NEVER; policy++) {
        struct kv_options options = kit_options();
        options.fsync = (enum kv_fsync)policy;
        options.fsync_interval_ms = 100000;
        struct kv_store *store = kit_open(dir, &options);
        kit_put(store, "k", SECRET);
        assert_int_equal(kv_delete(store, "k", 1, 0), KV_OK);
        assert_int_equal(secrets_in_files(), 0);
        kit_put(store, "k", SECRET);
        kit_put(store, "k", "harmless");
        assert_int_equal(kv_sync(store), KV_OK);
        assert_int_equal(secrets_in_files(), 0);
        kit_close(&store);
    }
}

#define MANY  75000u
#define LIMIT (16u << 20) // 16 Ki may wait

static struct kv_options lazy_options(void)
{
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_INTERVAL;
    options.fsync_interval_ms = 10;
    options.erase_within_ms = 3600000;
    options.limit_bytes = LIMIT;
    return options;
}

// What was replaced may stay for a while, what was deleted may not; closing leaves nothing.
static void test_replaced_within_its_time(void **state)
{
    (void)state;
    struct kv_options options = lazy_options();
    struct kv_store *store = kit_open(dir, &options);
    struct kv_stats stats;
    kit_put(store, "k", SECRET);
    kit_put(store, "k", "harmless");
    assert_int_equal(kv_sync(store), KV_OK);
    kv_get_stats(store, &stats);
    assert_int_equal(stats.to_erase, 1);
    assert_int_equal(secrets_in_files(), 1);
    kit_put(store, "d", SECRET "2");
    assert_int_equal(kv_delete(store, "d", 1, 0), KV_OK);
    assert_int_equal(kit_files_with(dir, SECRET "2", strlen(SECRET "2")), 0);
    kit_close(&store);
    assert_int_equal(secrets_in_files(), 0);
    options.erase_within_ms = 50;
    store = kit_open(dir, &options);
    kit_put(store, "k", SECRET);
    kit_put(store, "k", "harmless");
    for (int i = 0; i < 6000 && secrets_in_files() > 0; i++)
        (void)usleep(10000);
    assert_int_equal(secrets_in_files(), 0);
    kit_close(&store);
}

// A kill leaves values that were to be overwritten later: opening does it, by the snapshot and without.
static void test_crash_within_its_time(void **state)
{
    (void)state;
    struct kv_options options = lazy_options();
    for (unsigned snapshot = 0; snapshot < 2; snapshot++) {
        struct kv_store *store = kit_open(dir, &options);
        kit_put(store, "k", SECRET);
        kit_put(store, "k", "harmless");
        if (snapshot != 0)
            assert_int_equal(kv_checkpoint(store), KV_OK);
        char copy[128];
        kit_folder(copy);
        kit_copy(dir, copy);
        kit_close(&store);
        assert_int_equal(kit_files_with(copy, SECRET, strlen(SECRET)), 1);
        store = kit_open(copy, &options);
        kit_expect(store, "k", "harmless");
        assert_int_equal(kit_files_with(copy, SECRET, strlen(SECRET)), 0);
        kit_close(&store);
        kit_remove(copy);
    }
}

static void put_many(struct kv_store *store, unsigned flags)
{
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t key = i % 1000;
        assert_int_equal(kv_put(store, &key, sizeof key, &i, sizeof i, 0, flags), KV_OK);
    }
}

// More than may wait: values go before their time, and those who put without KV_PUT_NO_WAIT wait for that.
static void test_many_do_not_wait(void **state)
{
    (void)state;
    struct kv_options options = lazy_options();
    struct kv_store *store = kit_open(dir, &options);
    put_many(store, 0);
    assert_false(kv_is_behind(store));
    put_many(store, KV_PUT_NO_WAIT);
    assert_int_equal(kv_catch_up(store), KV_OK);
    assert_false(kv_is_behind(store));
    struct kv_stats stats;
    for (unsigned i = 0; i < 6000; i++) {
        kv_get_stats(store, &stats);
        if (stats.to_erase <= LIMIT / 1024)
            break;
        (void)usleep(10000);
    }
    assert_true(stats.to_erase <= LIMIT / 1024);
    kit_close(&store);
}

// A device that does not take any more writes: nobody waits for ever.
static void test_failing_device_lets_go(void **state)
{
    (void)state;
    struct kv_options options = lazy_options();
    options.fsync_interval_ms = 1000000;
    struct kv_store *store = kit_open(dir, &options);
    put_many(store, KV_PUT_NO_WAIT);
    kit_fail(KIT_WRITE, EIO, 0, -1, 0);
    kit_fail(KIT_FDATASYNC, EIO, 0, -1, 0);
    assert_false(kv_catch_up(store) == KV_OK && kv_sync(store) == KV_OK);
    (void)kv_close(&store);
    assert_null(store);
    kit_heal();
}

// The process dies after the new record was written and before the old one was erased: opening finishes it.
static void test_crash_before_erasure(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    kit_put(store, "k", SECRET);
    assert_int_equal(kv_put(store, "k", 1, "new", 3, 0, KV_PUT_NO_WAIT), KV_OK);
    assert_int_equal(secrets_in_files(), 1);
    char copy[128];
    kit_folder(copy);
    kit_copy(dir, copy);
    kit_close(&store);
    assert_int_equal(secrets_in_files(), 0);
    store = kit_open(copy, NULL);
    kit_expect(store, "k", "new");
    assert_int_equal(kit_files_with(copy, SECRET, strlen(SECRET)), 0);
    kit_close(&store);
    kit_remove(copy);
}

static void test_expired_values_go(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    assert_int_equal(kv_put(store, "k", 1, SECRET, strlen(SECRET), 1000100, 0), KV_OK);
    atomic_store(&kit_now_ms, 1000100);
    for (int i = 0; i < 6000 && secrets_in_files() > 0; i++)
        (void)usleep(10000);
    assert_int_equal(secrets_in_files(), 0);
    kit_close(&store);
}

// Large values are punched out: their blocks go back to the file system.
static void test_large_values_are_punched(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    size_t len = 4u << 20;
    char *value = malloc(len);
    assert_non_null(value);
    for (size_t i = 0; i < len; i += 32)
        memcpy(value + i, SECRET "______", 32);
    assert_int_equal(kv_put(store, "k", 1, value, len, 0, 0), KV_OK);
    char path[192];
    struct stat before, after;
    int segment =
        open(kit_segment_path(dir, 1, path), O_RDONLY | O_CLOEXEC); // compaction may remove its name
    assert_true(segment >= 0);
    assert_int_equal(fstat(segment, &before), 0);
    assert_int_equal(kv_delete(store, "k", 1, 0), KV_OK);
    assert_int_equal(secrets_in_files(), 0);
    assert_int_equal(fstat(segment, &after), 0);
    (void)close(segment);
    assert_true(after.st_blocks <= before.st_blocks); // a file system without holes has the zeros
    kit_close(&store);
    store = kit_open(dir, NULL);
    kit_expect(store, "k", NULL);
    kit_close(&store);
    free(value);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_delete_and_replace),       TEST(test_view_then_wipe),
        TEST(test_other_policies),           TEST(test_crash_before_erasure),
        TEST(test_expired_values_go),        TEST(test_large_values_are_punched),
        TEST(test_replaced_within_its_time), TEST(test_crash_within_its_time),
        TEST(test_many_do_not_wait),         TEST(test_failing_device_lets_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
