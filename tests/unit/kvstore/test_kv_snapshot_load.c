// The index snapshot loaded: what was captured comes back; anything doubtful about it costs time and nothing
// else.
#include "kv_snapshot_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

// ---- what is captured comes back

static void test_round_trip(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(snap_dir, NULL);
    snap_some_writes(store, 1500);
    kit_close(&store);
    assert_true(snap_has_index(snap_dir));
    store = kit_open(snap_dir, NULL);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.snapshot_keys, stats.keys);
    assert_int_equal(stats.damaged_records, 0);
    snap_check_all(store);
    snap_check_live(store);
    snap_some_writes(store, 200);
    kit_close(&store);
    store = kit_open(snap_dir, NULL);
    snap_check_all(store);
    kit_close(&store);
    struct kv_options options = kit_options();
    options.limit_bytes = 0;
    store = kit_open(snap_dir, &options);
    snap_check_all(store);
    kit_close(&store);
}

// An empty store has a snapshot too, and a store that was emptied.
static void test_empty(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(snap_dir, NULL);
    kit_close(&store);
    store = kit_open(snap_dir, NULL);
    assert_int_not_equal(store->snapshots.low, KV_NO_SNAPSHOT);
    snap_put(store, 1, 0);
    kit_close(&store);
    store = kit_open(snap_dir, NULL);
    snap_check_all(store);
    snap_drop(store, 1);
    kit_close(&store);
    store = kit_open(snap_dir, NULL);
    snap_check_all(store);
    kit_close(&store);
}

// How much a record was wanted in memory is known after the next open, so that the right ones are brought
// back first.
static void test_want_is_kept(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(snap_dir, NULL);
    for (uint32_t key = 0; key < 20; key++)
        snap_put(store, key, 0);
    for (uint32_t key = 0; key < 20; key++)
        for (uint32_t n = 0; n < key % 4; n++)
            snap_check_key(store, key);
    kit_close(&store);
    store = kit_open(snap_dir, NULL);
    for (uint32_t key = 0; key < 20; key++) {
        uint64_t hash = kv_hash_key(&store->seeds, &key, sizeof key).low;
        const struct kv_slot *slot = kv_table_find(&kv_index_shard(&store->index, hash)->keys, hash);
        assert_non_null(slot);
        assert_int_equal(kv_slot_want(slot), key % 4);
    }
    kit_close(&store);
}

// ---- what is doubtful

static uint8_t *index_bytes(size_t *size)
{
    char path[192];
    (void)snprintf(path, sizeof path, "%.128s/INDEX", snap_dir);
    return kit_read_file(path, size);
}

static void write_index(const char *folder, const void *bytes, size_t size)
{
    char path[192];
    (void)snprintf(path, sizeof path, "%.128s/INDEX", folder);
    kit_write_file(path, bytes, size);
}

static void expect_scan(const char *what, size_t at)
{
    struct kv_store *store = kit_open(snap_dir, NULL);
    if (store->snapshots.low != KV_NO_SNAPSHOT || snap_has_index(snap_dir))
        fail_msg("%s at %zu: the snapshot was believed, or is still there", what, at);
    snap_check_all(store);
    snap_abandon(&store);
}

static void put_few(void)
{
    struct kv_store *store = kit_open(snap_dir, NULL);
    for (uint32_t key = 0; key < 12; key++)
        snap_put(store, key, key % 3 == 0 ? 5000000 : 0);
    kit_close(&store);
}

// Bytes changed everywhere (header, first blocks and the end: each): all segments are read, every key is
// right, and the snapshot is gone.
static void test_flip_anywhere(void **state)
{
    (void)state;
    put_few();
    size_t size, step = KIT_SANITIZED ? 37 : 7;
    uint8_t *bytes = index_bytes(&size);
    for (size_t at = 0; at < size; at += at < 250 || at + 60 > size ? 1 : step) {
        bytes[at] ^= (uint8_t)(1u << (at * 5 % 8));
        write_index(snap_dir, bytes, size);
        bytes[at] ^= (uint8_t)(1u << (at * 5 % 8));
        expect_scan("flip", at);
    }
    write_index(snap_dir, bytes, size); // as it was
    struct kv_store *store = kit_open(snap_dir, NULL);
    assert_int_equal(snap_keys(store), 12);
    snap_check_all(store);
    snap_abandon(&store);
    free(bytes);
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    put_few();
    size_t size;
    uint8_t *bytes = index_bytes(&size);
    for (size_t len = 0; len < size; len += len < 200 || len + 60 > size ? 1 : 53) {
        write_index(snap_dir, bytes, len);
        expect_scan("cut", len);
    }
    uint8_t *longer = calloc(1, size + 100);
    memcpy(longer, bytes, size);
    write_index(snap_dir, longer, size + 100);
    expect_scan("longer", size);
    free(longer);
    free(bytes);
}

// Of another store, in which the same was done.
static void test_of_another_store(void **state)
{
    (void)state;
    put_few();
    size_t size;
    uint8_t *bytes = index_bytes(&size);
    kit_remove(snap_dir);
    kit_folder(snap_dir);
    snap_versions = 0;
    put_few();
    write_index(snap_dir, bytes, size);
    expect_scan("another store's", 0);
    free(bytes);
}

// An older one of the same store, from before segments were removed: some of what it says is gone from the
// log.
static void test_from_before_compaction(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(snap_dir, NULL);
    snap_some_writes(store, 300);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    size_t size;
    uint8_t *bytes = index_bytes(&size);
    for (uint32_t key = 0; key < SNAP_KEYS; key++) // and put nothing in their place
        snap_drop(store, key);
    snap_some_writes(store, 2500);
    uint64_t low = store->snapshots.low;
    bool gone = false; // one that replay would have to read
    for (unsigned n = 0; n < 6000 && !gone; n++) {
        if (!kv_compact_step(store)) {
            (void)usleep(10000);
            snap_some_writes(store, 50); // until there is something worth compacting behind the position
        }
        (void)pthread_mutex_lock(&store->compact_lock);
        size_t listed = 0, count = store->segments.count;
        while (listed < count && store->segments.list[count - 1 - listed]->id >= low)
            listed++;
        gone = store->segments.list[count - 1]->id - low + 1 != listed;
        (void)pthread_mutex_unlock(&store->compact_lock);
    }
    snap_abandon(&store);
    write_index(snap_dir, bytes, size);
    if (gone)
        expect_scan("old", 0);
    store = kit_open(snap_dir, NULL);
    snap_check_all(store);
    snap_abandon(&store);
    assert_true(gone);
    free(bytes);
}

// The log is damaged behind the position: what is whole there could tell of more than the snapshot knows.
static void test_damage_behind(void **state)
{
    (void)state;
    put_few();
    struct kv_store *store = kit_open(snap_dir, NULL);
    snap_put(store, 12, 0);
    snap_put(store, 13, 0);
    snap_abandon(&store);
    store = kit_open(snap_dir, NULL);
    assert_int_equal(snap_keys(store), 12);
    snap_check_all(store);
    snap_abandon(&store);
    char path[192];
    size_t size;
    uint8_t *bytes = kit_read_file(kit_segment_path(snap_dir, 1, path), &size), value[2048];
    size_t len = snap_make_value(12, snap_model[12].version, value);
    uint8_t *at = memmem(bytes, size, value, len);
    assert_non_null(at);
    at[-4] ^= 1; // the key
    kit_write_file(path, bytes, size);
    snap_model[12] = (struct snap_expected){0};
    expect_scan("damage", size);
    free(bytes);
}

// The log ends before the place up to which it was captured (the manifest has no size for the segment: it was
// open).
static void test_log_cut_in_front(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(snap_dir, NULL);
    for (uint32_t key = 0; key < 12; key++)
        snap_put(store, key, 0);
    char path[192];
    size_t size, all;
    free(kit_read_file(kit_segment_path(snap_dir, 1, path), &size));
    snap_put(store, 12, 0);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    snap_abandon(&store);
    uint8_t *bytes = kit_read_file(path, &all);
    kit_write_file(path, bytes, size + 100);
    free(bytes);
    snap_model[12] = (struct snap_expected){0};
    expect_scan("cut", size);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, snap_setup, snap_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_empty),
        TEST(test_want_is_kept),
        TEST(test_flip_anywhere),
        TEST(test_cut_anywhere),
        TEST(test_of_another_store),
        TEST(test_from_before_compaction),
        TEST(test_damage_behind),
        TEST(test_log_cut_in_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
