// The log behind an index snapshot: what it says of keys, and of values that were to be erased, comes on top.
#include "kv_snapshot_kit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"
#include "kvstore/kv_seen.h"

static void test_much_log_behind(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(snap_dir, NULL);
    snap_some_writes(store, 500);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    snap_check_crash(store, true);
    for (unsigned round = 0; round < 12; round++) {
        snap_some_writes(store, 10 + round * 40);
        snap_check_crash(store, true);
    }
    snap_abandon(&store);
}

static void test_deletes_and_puts_again(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(snap_dir, NULL);
    for (uint32_t key = 0; key < 60; key++)
        snap_put(store, key, key % 5 == 0 ? 5000000 : 0);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    for (uint32_t key = 0; key < 60; key++) {
        if (key % 2 == 0)
            snap_drop(store, key);
        if (key % 4 == 0)
            snap_put(store, key, 0);
        if (key % 8 == 0)
            snap_drop(store, key);
        if (key % 3 == 0 && snap_model[key].version != 0)
            snap_expire(store, key, key % 9 == 0 ? 0 : 7000000);
    }
    snap_check_crash(store, true);
    atomic_store(&kit_now_ms, 8000000); // some have expired, and the sweeper removes them
    for (uint32_t key = 0; key < SNAP_KEYS; key++)
        if (snap_model[key].expire_ms != 0)
            snap_model[key] = (struct snap_expected){0};
    struct kv_stats stats = {.keys_with_expiry = 1};
    for (unsigned n = 0; n < 6000 && stats.keys_with_expiry != 0; n++) {
        (void)usleep(10000);
        kv_get_stats(store, &stats);
    }
    assert_int_equal(stats.keys_with_expiry, 0);
    snap_check_crash(store, true);
    snap_abandon(&store);
}

// Segments that slots of the snapshot point to are compacted away, and segments behind it too (then a new one
// is written).
static void test_compaction_behind(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.segment_bytes = 16384;
    struct kv_store *store = kit_open(snap_dir, &options);
    snap_some_writes(store, 800);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    for (unsigned round = 0; round < 25; round++) {
        snap_some_writes(store, 40);
        for (unsigned n = snap_roll(4); n > 0; n--)
            (void)kv_compact_step(store);
        snap_check_crash(store, true);
        if (snap_roll(6) == 0)
            assert_int_equal(kv_checkpoint(store), KV_OK);
    }
    snap_abandon(&store);
}

// Values that were replaced, and not yet overwritten when the snapshot was made, are overwritten after the
// crash.
static void test_erasures_are_finished(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_NEVER;
    options.fsync_interval_ms = 1000000;
    struct kv_store *store = kit_open(snap_dir, &options);
    static const char old[] = "an old value, to be gone", older[] = "an older value, to be gone";
    for (unsigned i = 0; i < 50; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%u", i);
        kit_put(store, key, older);
        kit_put(store, key, old);
        kit_put(store, key, "the present value");
    }
    assert_true(kv_erase_pending(store) > 0);
    assert_int_equal(kv_checkpoint(store), KV_OK);
    assert_int_equal(kit_files_with(snap_dir, old, strlen(old)), 1);
    char copy[128];
    kit_folder(copy);
    kit_copy(snap_dir, copy);
    struct kv_store *left = kit_open(copy, NULL);
    assert_int_equal(snap_keys(left), 50);
    assert_int_equal(kit_files_with(copy, old, strlen(old)), 0);
    assert_int_equal(kit_files_with(copy, older, strlen(older)), 0);
    kit_expect(left, "key7", "the present value");
    kit_close(&left);
    kit_remove(copy);
    kit_close(&store);
}

// Replay holds entries of keys while it takes further records of keys that it knows: the table must not grow
// then.
static void test_known_keys_do_not_move(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(snap_dir, NULL);
    struct kv_seen *seen = kv_seen_create(store);
    assert_non_null(seen);
    struct kv_item item = {.kind = KV_ITEM_RECORD};
    item.record = (struct kv_record){.type = KV_RECORD_TOMBSTONE, .key_len = 1};
    const struct kv_hash first = {.low = 0, .high = 0};
    for (uint64_t i = 0; i < 300; i++) { // all in one shard
        struct kv_hash hash = {.low = i << 40, .high = i};
        item.record.seq = i + 1;
        assert_true(kv_seen_take(seen, hash, kv_where_disk(1, 64), &item, NULL));
        const struct kv_seen_entry *held = kv_seen_find(seen, first);
        item.record.seq = 1000 + i;
        assert_true(kv_seen_take(seen, first, kv_where_disk(1, 64), &item, NULL));
        assert_ptr_equal(kv_seen_find(seen, first), held);
    }
    kv_seen_destroy(seen);
    kit_close(&store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, snap_setup, snap_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_much_log_behind),       TEST(test_deletes_and_puts_again), TEST(test_compaction_behind),
        TEST(test_erasures_are_finished), TEST(test_known_keys_do_not_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
