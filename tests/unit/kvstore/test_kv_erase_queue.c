// Values that wait for the eraser: what compaction removes leaves the queue, what it does not is overwritten in time, and what waits when the store is
// closed is overwritten then or after the next open.
#include "kv_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

#define SECRET "0xSECRET-PRIVATE-KEY-BYTES"
#define HOUR   3600000u
#define KEYS   3000u
#define LEN    1000u

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
    kit_heal();
    kit_remove(dir);
    return 0;
}

static struct kv_options lazy_options(void)
{
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_INTERVAL;
    options.fsync_interval_ms = 10;
    options.erase_within_ms = HOUR;
    return options;
}

static unsigned secrets_in_files(void)
{
    return kit_files_with(dir, SECRET, strlen(SECRET));
}

static size_t waiting(struct kv_store *store)
{
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    return stats.to_erase;
}

// Half a minute, for machines that have much else to do.
static bool becomes(struct kv_store *store, size_t most)
{
    for (unsigned i = 0; i < 6000 && waiting(store) > most; i++)
        (void)usleep(10000);
    return waiting(store) <= most;
}

static void put(struct kv_store *store, uint32_t key, const char *text)
{
    char value[LEN];
    memset(value, 'x', sizeof value);
    memcpy(value, text, strlen(text));
    assert_int_equal(kv_put(store, &key, sizeof key, value, sizeof value, 0, KV_PUT_NO_WAIT), KV_OK);
}

static void expect_all(struct kv_store *store, uint32_t keys, const char *text)
{
    for (uint32_t key = 0; key < keys; key++) {
        char value[LEN];
        size_t len = sizeof value;
        assert_int_equal(kv_get(store, &key, sizeof key, value, &len), KV_OK);
        assert_int_equal(len, LEN);
        assert_memory_equal(value, text, strlen(text));
    }
}

// Long before their time, and nobody has overwritten them.
static void test_compaction_takes_them_away(void **state)
{
    (void)state;
    struct kv_options options = lazy_options();
    struct kv_store *store = kit_open(dir, &options);
    for (uint32_t key = 0; key < KEYS; key++)
        put(store, key, SECRET);
    for (uint32_t key = 0; key < KEYS; key++)
        put(store, key, "harmless");
    assert_int_equal(kv_sync(store), KV_OK);
    assert_true(becomes(store, 200)); // the compactor runs by itself; a segment's worth may be left
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.keys, KEYS);
    expect_all(store, KEYS, "harmless");
    kit_close(&store);
    assert_int_equal(secrets_in_files(), 0);
}

// Nothing to be gained by compaction: they wait, and are overwritten when their time is over, whatever their lengths.
static void test_others_are_overwritten(void **state)
{
    (void)state;
    static const size_t lens[] = {30, 100, 4096, 5000, 70000, 300000};
    struct kv_options options = lazy_options();
    options.segment_bytes = 4u << 20;
    options.erase_within_ms = 300;
    struct kv_store *store = kit_open(dir, &options);
    char *value = malloc(300000);
    assert_non_null(value);
    for (unsigned round = 0; round < 2; round++)
        for (size_t i = 0; i < 6; i++)
            for (size_t key_len = 1; key_len <= 1001; key_len += 500) {
                char key[1001];
                memset(key, 'a' + (int)i, sizeof key);
                memset(value, 'x', lens[i]);
                memcpy(value + lens[i] - strlen(SECRET), round == 0 ? SECRET : "harmless, and just as long",
                       strlen(SECRET));
                assert_int_equal(kv_put(store, key, key_len, value, lens[i], 0, 0), KV_OK);
            }
    assert_true(becomes(store, 0));
    for (int i = 0; i < 6000 && secrets_in_files() > 0; i++) // those that are being overwritten
        (void)usleep(10000);
    assert_int_equal(secrets_in_files(), 0);
    kit_close(&store);
    kit_forget_index(dir);
    store = kit_open(dir, &options); // erased as they should be: the whole log says the same
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 0);
    assert_int_equal(stats.keys, 18);
    kit_close(&store);
    free(value);
}

// The head has been damaged while the value waited: how long it is nobody knows, but it goes, and its neighbours stay.
static void test_head_is_damaged_meanwhile(void **state)
{
    (void)state;
    struct kv_options options = lazy_options();
    struct kv_store *store = kit_open(dir, &options);
    kit_put(store, "before", "stays");
    kit_put(store, "k", SECRET);
    kit_put(store, "after", "stays");
    kit_put(store, "k", "harmless");
    assert_int_equal(kv_sync(store), KV_OK);
    assert_int_equal(waiting(store), 1);
    size_t len;
    char path[192];
    uint8_t *bytes = kit_read_file(kit_segment_path(dir, 1, path), &len), *at;
    at = memmem(bytes, len, SECRET, strlen(SECRET));
    assert_non_null(at);
    uint64_t head = (uint64_t)(at - bytes) - 1 - KV_RECORD_HEAD;
    struct kv_segment *segment = kv_segment_get(store, 1);
    assert_non_null(segment);
    assert_int_equal(kv_io_write(segment->fd, "damaged!", 8, head), 0);
    kv_segment_put(segment);
    free(bytes);
    kit_close(&store);
    assert_int_equal(secrets_in_files(), 0);
    kit_forget_index(dir);
    store = kit_open(dir, &options);
    kit_expect(store, "before", "stays");
    kit_expect(store, "after", "stays");
    kit_expect(store, "k", "harmless");
    kit_close(&store);
}

// With so little memory a thousand may wait. A third of each segment is dead, within what dead records may take: compaction leaves that
// alone, but not while the values are too many to wait.
static void test_crowd_is_compacted(void **state)
{
    (void)state;
    for (unsigned crowded = 0; crowded < 2; crowded++) {
        struct kv_options options = lazy_options();
        options.segment_bytes = 512u * 1024;
        options.limit_bytes = crowded != 0 ? 0 : 64u << 20;
        struct kv_store *store = kit_open(dir, &options);
        for (uint32_t key = 0; key < 2100; key++)
            put(store, key, SECRET);
        for (uint32_t key = 0; key < 2100; key += 3)
            put(store, key, "harmless");
        assert_int_equal(kv_sync(store), KV_OK);
        if (crowded != 0) {
            assert_true(becomes(store, 512));
        } else {
            assert_false(kv_compact_step(store));
            assert_int_equal(waiting(store), 700);
        }
        for (uint32_t key = 0; key < 2100; key++)
            assert_int_equal(kv_delete(store, &key, sizeof key, KV_DELETE_LATER), KV_OK);
        assert_int_equal(kv_clear(store), KV_OK);
        assert_int_equal(waiting(store), 0);
        kit_close(&store);
    }
}

// ---- closing

#define FEW_MAY   (256u * 1024) // a limit: 1,024 may wait, 64 when it is closed
#define MANY_WAIT 300u

static struct kv_store *open_with_waiting(struct kv_options *options, uint32_t count)
{
    *options = lazy_options();
    options->segment_bytes = 4u << 20;
    options->limit_bytes = FEW_MAY;
    struct kv_store *store = kit_open(dir, options);
    for (uint32_t key = 0; key < count; key++)
        put(store, key, SECRET);
    for (uint32_t key = 0; key < count; key++)
        put(store, key, "harmless");
    assert_int_equal(kv_sync(store), KV_OK);
    assert_int_equal(waiting(store), count);
    return store;
}

static void test_few_are_overwritten_by_closing(void **state)
{
    (void)state;
    struct kv_options options;
    struct kv_store *store = open_with_waiting(&options, 60);
    kit_close(&store);
    assert_int_equal(secrets_in_files(), 0);
}

static void expect_gone_soon(struct kv_store *store, uint32_t count)
{
    for (int i = 0; i < 6000 && (waiting(store) > 0 || secrets_in_files() > 0); i++)
        (void)usleep(10000);
    assert_int_equal(secrets_in_files(), 0);
    expect_all(store, count, "harmless");
}

// Many are not; the next open sees to them without waiting for that, though their hour is not over. Closed once more before that, they are still known.
static void test_many_are_left_to_the_next_open(void **state)
{
    (void)state;
    struct kv_options options;
    struct kv_store *store = open_with_waiting(&options, MANY_WAIT);
    kit_close(&store);
    assert_int_equal(secrets_in_files(), 1);
    store = kit_open(dir, &options);
    expect_gone_soon(store, MANY_WAIT);
    kit_close(&store);
}

// The log is enough: without the snapshot the open overwrites them.
static void test_many_without_the_snapshot(void **state)
{
    (void)state;
    struct kv_options options;
    struct kv_store *store = open_with_waiting(&options, MANY_WAIT);
    kit_close(&store);
    kit_forget_index(dir);
    store = kit_open(dir, &options);
    assert_int_equal(secrets_in_files(), 0);
    expect_all(store, MANY_WAIT, "harmless");
    kit_close(&store);
}

// A store that has no eraser overwrites them before it is open.
static void test_many_with_another_policy(void **state)
{
    (void)state;
    struct kv_options options;
    struct kv_store *store = open_with_waiting(&options, MANY_WAIT);
    kit_close(&store);
    options.fsync = KV_FSYNC_ALWAYS;
    store = kit_open(dir, &options);
    assert_int_equal(secrets_in_files(), 0);
    expect_all(store, MANY_WAIT, "harmless");
    kit_close(&store);
}

// A snapshot that cannot be written remembers nothing.
static void test_many_and_no_snapshot(void **state)
{
    (void)state;
    struct kv_options options;
    struct kv_store *store = open_with_waiting(&options, MANY_WAIT);
    kit_fail(KIT_RENAME, EIO, 0, 1, 0);
    kit_close(&store);
    kit_heal();
    assert_int_equal(secrets_in_files(), 0);
}

// What a snapshot says was replaced is the key's value after all (what replaced it did not hold): it stays. What it says and has been deleted since goes.
static void test_current_ones_stay(void **state)
{
    (void)state;
    struct kv_options options = lazy_options();
    struct kv_store *store = kit_open(dir, &options);
    kit_put(store, "k", SECRET);
    kit_put(store, "gone", SECRET "2");
    struct kv_erasure noted[2];
    static const char *keys[] = {"k", "gone"};
    for (size_t i = 0; i < 2; i++) {
        struct kv_found found;
        uint64_t hash = kv_hash_key(&store->seeds, keys[i], strlen(keys[i])).low;
        struct kv_shard *shard = kv_index_shard(&store->index, hash);
        kv_write_lock(store, shard);
        assert_int_equal(kv_find_for_write(store, hash, keys[i], strlen(keys[i]), &found), KV_OK);
        kv_write_unlock(store, shard);
        noted[i] = (struct kv_erasure){.where = found.where, .size_class = found.size_class, .unsure = true};
    }
    kit_put(store, "gone", "harmless");
    assert_true(kv_erase_resume(store, &noted[0]) && kv_erase_resume(store, &noted[1]));
    assert_int_equal(kv_erase_upto(store, 0, true), KV_OK); // as compaction asks for
    assert_int_equal(kit_files_with(dir, SECRET "2", strlen(SECRET) + 1), 0);
    assert_int_equal(secrets_in_files(), 1);
    kit_close(&store);
    store = kit_open(dir, &options);
    kit_expect(store, "k", SECRET);
    kit_expect(store, "gone", "harmless");
    kit_close(&store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_compaction_takes_them_away),     TEST(test_others_are_overwritten),
        TEST(test_head_is_damaged_meanwhile),      TEST(test_crowd_is_compacted),
        TEST(test_few_are_overwritten_by_closing), TEST(test_many_are_left_to_the_next_open),
        TEST(test_many_without_the_snapshot),      TEST(test_many_with_another_policy),
        TEST(test_many_and_no_snapshot),           TEST(test_current_ones_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
