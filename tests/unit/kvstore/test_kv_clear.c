// kv_clear(): every key is gone at once, from the index, memory and disk, also for the next open.
#include "clear_kit.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

// ---- what is gone

static void test_all_is_gone(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        clear_put_all();
        assert_int_equal(clear_there(), CLEAR_KEYS);
        assert_true(fixture_stats().segments > 2);
        assert_int_equal(kv_clear(fixture.store), KV_OK);
        clear_expect_empty();
        assert_int_equal(fixture_stats().segments, 1);
        assert_int_equal(clear_files_like(".seg"), 1);
        double ratio;
        assert_int_equal(kv_hit_ratio_at(fixture.store, 1u << 30, &ratio), KV_NOT_FOUND);
        if (round == 1)
            fixture_reopen();
        if (round == 1)
            clear_expect_empty();
    }
    // What comes after it stays.
    kit_put(fixture.store, "after", "value");
    fixture_reopen();
    assert_int_equal(clear_there(), 0);
    kit_expect(fixture.store, "after", "value");
    assert_int_equal(kv_close(&fixture.store), KV_OK);
    kit_forget_index(fixture.dir);
    fixture_open();
    assert_int_equal(clear_there(), 0);
    assert_int_equal(fixture_stats().keys, 1);
}

static void test_nothing_there(void **state)
{
    (void)state;
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    clear_expect_empty();
    clear_put_all();
    fixture_reopen(); // nothing has been appended since
    assert_int_equal(clear_there(), CLEAR_KEYS);
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    clear_expect_empty();
    fixture_reopen();
    clear_expect_empty();
}

// Every step of what a snapshot may be: it stands, it was loaded, it is due to be written.
static void test_snapshot_goes(void **state)
{
    (void)state;
    char copy[128];
    clear_put_all();
    assert_int_equal(kv_checkpoint(fixture.store), KV_OK);
    fixture_reopen();
    assert_true(fixture_stats().snapshot_keys != 0);
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    assert_int_equal(clear_files_like("INDEX"), 0);
    kit_folder(copy); // as a killed process leaves it
    kit_copy(fixture.dir, copy);
    assert_int_equal(kv_close(&fixture.store), KV_OK);
    struct kv_options with = fixture.options;
    fixture.store = kit_open(copy, &with);
    clear_expect_empty();
    assert_int_equal(kv_checkpoint(fixture.store), KV_OK);
    assert_int_equal(kv_close(&fixture.store), KV_OK);
    fixture.store = kit_open(copy, &with);
    clear_expect_empty();
    kit_close(&fixture.store);
    kit_remove(copy);
    fixture_open();
    clear_expect_empty();
}

static void open_with_large_segments(void)
{
    kit_close(&fixture.store);
    struct kv_options with = fixture.options;
    with.segment_bytes = 4u << 20;
    with.fsync = KV_FSYNC_NEVER;
    fixture.store = kit_open(fixture.dir, &with);
}

static uint8_t large[100000];

static void put_large(uint32_t key)
{
    memset(large, (int)(1 + key % 250), sizeof large);
    assert_int_equal(kv_put(fixture.store, &key, sizeof key, large, sizeof large, 0, 0), KV_OK);
}

// The log goes on over several segments, and what is in them is there at the next open.
static void expect_log_goes_on(void)
{
    for (uint32_t key = 5000; key < 5100; key++)
        put_large(key);
    clear_put_all();
    fixture_reopen();
    assert_int_equal(clear_there(), CLEAR_KEYS);
    for (uint32_t key = 5000; key < 5100; key++)
        assert_int_equal(kv_exists(fixture.store, &key, sizeof key), KV_OK);
    assert_int_equal(fixture_stats().keys, CLEAR_KEYS + 100);
    assert_int_equal(fixture_stats().damaged_records, 0);
}

// The segment that was made ahead goes with the rest, and the next one is made as ever.
static void test_segment_made_ahead(void **state)
{
    (void)state;
    open_with_large_segments();
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t key = 1000; fixture_stats().segments < 2 + round % 2; key++)
            put_large(key);
        assert_int_equal(kv_clear(fixture.store), KV_OK);
        clear_expect_empty();
    }
    expect_log_goes_on();
}

static int (*plain_rename)(const char *from, const char *to);
static pthread_t clearing_thread;
static _Atomic bool being_made;

// The segment that is being made ahead is listed only when somebody waits to clear the store.
static int slow_rename(const char *from, const char *to)
{
    if (!pthread_equal(pthread_self(), clearing_thread)) {
        atomic_store(&being_made, true);
        for (unsigned i = 0; i < 5000 && atomic_load(&fixture.store->clearing) == 0; i++)
            (void)usleep(1000);
        (void)usleep(50000);
    }
    return plain_rename(from, to);
}

static void test_segment_being_made(void **state)
{
    (void)state;
    open_with_large_segments();
    plain_rename = kv_io.rename;
    clearing_thread = pthread_self();
    atomic_store(&being_made, false);
    put_large(1000);
    kv_io.rename = slow_rename;
    for (uint32_t key = 1001; key < 1025; key++)
        put_large(key);
    while (!atomic_load(&being_made))
        (void)usleep(1000);
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    for (unsigned i = 0; i < 100; i++) { // the thread finds that it was overtaken
        assert_int_equal(fixture_stats().segments, 1);
        (void)usleep(1000);
    }
    clear_expect_empty();
    kv_io.rename = plain_rename;
    expect_log_goes_on();
}

// ---- memory

static bool all_zero(const volatile uint8_t *bytes, size_t len)
{
    size_t i = 0;
    while (i < len && bytes[i] == 0)
        i++;
    return i == len;
}

// Views stay what they are. Of a chunk that they keep, the other values are wiped at once, theirs when they are
// released.
static void test_views(void **state)
{
    (void)state;
    clear_put_all();
    uint32_t keys[3] = {10, 11, 12};
    struct kv_view views[3];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(kv_get_view(fixture.store, &keys[i], sizeof keys[i], &views[i]), KV_OK);
    const uint8_t *data[3] = {views[0].data, views[1].data, views[2].data};
    assert_true((uintptr_t)data[0] / 65536 == (uintptr_t)data[2] / 65536 || data[2] - data[0] < 3 * 4096);
    kv_view_release(fixture.store, &views[1]);
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    clear_expect_empty();
    for (unsigned i = 0; i < 3; i += 2) {
        uint8_t expected[CLEAR_LEN];
        clear_fill_value(keys[i], 0, expected, CLEAR_LEN);
        assert_memory_equal(views[i].data, expected, CLEAR_LEN);
    }
    assert_true(all_zero(data[1], CLEAR_LEN));
    kv_view_release(fixture.store, &views[2]);
    assert_true(all_zero(data[2], CLEAR_LEN));
    clear_put_all(); // into other chunks
    assert_int_equal(clear_there(), CLEAR_KEYS);
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    kv_view_release(fixture.store, &views[0]);
    assert_int_equal(fixture_stats().chunk_bytes, 0);
}

// Of values read from disk, and of one that has its memory for itself.
static void test_other_views(void **state)
{
    (void)state;
    static uint8_t own[3u << 20];
    memset(own, 'l', sizeof own);
    struct kv_view run, disk;
    uint32_t key = 1;
    assert_int_equal(kv_put(fixture.store, "large", 5, own, sizeof own, 0, 0), KV_OK);
    assert_int_equal(kv_get_view(fixture.store, "large", 5, &run), KV_OK);
    assert_int_equal(kv_set_memory_limit(fixture.store, 0), KV_OK);
    clear_put_all();
    assert_int_equal(kv_get_view(fixture.store, &key, sizeof key, &disk), KV_OK);
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    clear_expect_empty();
    uint8_t expected[CLEAR_LEN];
    clear_fill_value(key, 0, expected, CLEAR_LEN);
    assert_memory_equal(disk.data, expected, CLEAR_LEN);
    assert_memory_equal(run.data, own, sizeof own);
    kv_view_release(fixture.store, &disk);
    kv_view_release(fixture.store, &run);
    assert_int_equal(fixture_stats().chunk_bytes, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, clear_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_all_is_gone),        TEST(test_nothing_there),      TEST(test_snapshot_goes),
        TEST(test_segment_made_ahead), TEST(test_segment_being_made), TEST(test_views),
        TEST(test_other_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
