// What the store does when the system refuses: a full disk, failing writes, syncs, renames and reads. What
// was acknowledged is still there; the store says what is wrong; after a failed sync it takes no more writes.
#include "kv_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[128];
static struct kv_store *store;

static int setup(void **state)
{
    (void)state;
    kit_heal();
    kit_folder(dir);
    store = kit_open(dir, NULL);
    kit_put(store, "old", "acknowledged");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_heal();
    (void)kv_close(&store);
    kit_remove(dir);
    return 0;
}

static void reopen(void)
{
    (void)kv_close(&store);
    kit_heal();
    store = kit_open(dir, NULL);
}

static enum kv_status put(const char *key, const char *value)
{
    return kv_put(store, key, strlen(key), value, strlen(value), 0, 0);
}

static bool is_read_only(void)
{
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    return stats.read_only;
}

static void expect_error(const char *part)
{
    char text[256];
    kv_error_text(store, text, sizeof text);
    if (strstr(text, part) == NULL)
        fail_msg("error text: %s", text);
}

// A full disk: the put is refused, half of it is cut off, the store goes on and later has space again.
static void test_full_disk(void **state)
{
    (void)state;
    for (size_t partial = 0; partial < 130; partial += 43) {
        kit_fail(KIT_WRITE, ENOSPC, 0, 1, partial);
        assert_int_equal(put("old", "new"), KV_FULL);
        expect_error("No space left");
        assert_false(is_read_only());
        kit_expect(store, "old", "acknowledged");
        assert_int_equal(put("next", "fits"), KV_OK);
    }
    reopen();
    kit_expect(store, "old", "acknowledged");
    kit_expect(store, "next", "fits");
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 0);
}

// Half a record that cannot be cut off either: the log goes on in a new segment, and recovery steps over the
// half.
static void test_full_disk_and_no_truncate(void **state)
{
    (void)state;
    kit_fail(KIT_WRITE, ENOSPC, 0, 1, 70);
    kit_fail(KIT_TRUNCATE, EIO, 0, 1, 0);
    assert_int_equal(put("half", "a record"), KV_FULL);
    assert_int_equal(put("next", "segment"), KV_OK);
    reopen();
    kit_expect(store, "old", "acknowledged");
    kit_expect(store, "half", NULL);
    kit_expect(store, "next", "segment");
}

// There is always room to delete: without space for a tombstone the record itself is erased, and stays gone.
static void test_delete_on_a_full_disk(void **state)
{
    (void)state;
    kit_fail(KIT_WRITE, ENOSPC, 0, 1, 20);
    assert_int_equal(kv_delete(store, "old", 3, 0), KV_OK);
    kit_expect(store, "old", NULL);
    assert_int_equal(kit_files_with(dir, "acknowledged", 12), 0);
    reopen();
    kit_expect(store, "old", NULL);
}

// No space for a new segment: refused, and tried again at the next put.
static void test_full_disk_at_a_new_segment(void **state)
{
    (void)state;
    static const char filler[60000];
    assert_int_equal(kv_put(store, "filler", 6, filler, sizeof filler, 0, 0), KV_OK);
    for (unsigned step = 0; step < 3; step++) {
        kit_fail(step == 0 ? KIT_OPEN : step == 1 ? KIT_FSYNC : KIT_RENAME, ENOSPC, 0, 1, 0);
        assert_int_equal(kv_put(store, "second", 6, filler, sizeof filler, 0, 0), KV_FULL);
        assert_false(is_read_only());
    }
    assert_int_equal(kv_put(store, "second", 6, filler, sizeof filler, 0, 0), KV_OK);
    reopen();
    assert_int_equal(kv_exists(store, "second", 6), KV_OK);
    assert_int_equal(kv_exists(store, "filler", 6), KV_OK);
}

// A write that fails for another reason ends writing, not reading; opened anew, the store is as it was
// acknowledged.
static void test_failed_write(void **state)
{
    (void)state;
    kit_fail(KIT_WRITE, EIO, 0, 1, 30);
    assert_int_equal(put("new", "value"), KV_IO);
    expect_error("segment 00000001: write: Input/output error");
    assert_true(is_read_only());
    assert_int_equal(put("new", "value"), KV_READ_ONLY);
    assert_int_equal(kv_delete(store, "old", 3, 0), KV_READ_ONLY);
    assert_int_equal(kv_set_expiry(store, "old", 3, 5, 0), KV_READ_ONLY);
    assert_int_equal(kv_sync(store), KV_READ_ONLY);
    kit_expect(store, "old", "acknowledged");
    reopen();
    kit_expect(store, "old", "acknowledged");
    kit_expect(store, "new", NULL);
    assert_int_equal(put("new", "value"), KV_OK);
}

// A failed fsync: this put and all later ones are refused, and the old value has not been erased.
static void test_failed_sync(void **state)
{
    (void)state;
    kit_fail(KIT_FDATASYNC, EIO, 0, 1, 0);
    assert_int_equal(put("old", "unsynced"), KV_IO);
    expect_error("fdatasync");
    assert_int_equal(put("new", "value"), KV_READ_ONLY);
    assert_int_equal(kit_files_with(dir, "acknowledged", 12), 1);
    reopen();
    assert_int_equal(put("new", "value"), KV_OK);
}

// The same in the background, with fsync=interval.
static void test_failed_background_sync(void **state)
{
    (void)state;
    assert_int_equal(kv_close(&store), KV_OK);
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_INTERVAL;
    options.fsync_interval_ms = 5;
    store = kit_open(dir, &options);
    kit_fail(KIT_FDATASYNC, EIO, 0, -1, 0);
    assert_int_equal(put("new", "value"), KV_OK);
    for (int i = 0; i < 12000 && !is_read_only(); i++)
        (void)usleep(5000);
    assert_int_equal(put("new", "value"), KV_READ_ONLY);
    expect_error("fdatasync");
}

// A delete whose erasure fails after the tombstone was written, at each of its writes: opened anew, the key
// and its value are gone.
static void test_failed_erase(void **state)
{
    (void)state;
    for (int skip = 1; skip <= 2; skip++) {
        kit_put(store, "secret", "the very secret value");
        kit_fail(KIT_WRITE, EIO, skip, 1, skip == 1 ? 5 : 0);
        assert_int_equal(kv_delete(store, "secret", 6, 0), KV_IO);
        kit_expect(store, "secret", NULL);
        reopen();
        kit_expect(store, "secret", NULL);
        assert_int_equal(kit_files_with(dir, "secret value", 12), 0);
        kit_expect(store, "old", "acknowledged");
        struct kv_stats stats;
        kv_get_stats(store, &stats);
        assert_int_equal(stats.damaged_records, 0);
    }
}

// A read that the device refuses is an error of that get alone.
static void test_failed_read(void **state)
{
    (void)state;
    assert_int_equal(kv_set_memory_limit(store, 0), KV_OK);
    kit_fail(KIT_PREAD, EIO, 0, 1, 0);
    assert_int_equal(kit_get_status(store, "old"), KV_IO);
    kit_expect(store, "old", "acknowledged");
    assert_false(is_read_only());
}

static bool count_key(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    (void)key, (void)key_len, (void)value_len, (void)expire_ms;
    ++*(unsigned *)arg;
    return true;
}

// A scan gets past keys that cannot be read: the others of the batch are visited, and the cursor goes on.
static void test_failed_read_in_a_scan(void **state)
{
    (void)state;
    enum { KEYS = 199, CALLS_MOST = 1000 };
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key %u", i);
        kit_put(store, key, "value");
    }
    assert_int_equal(kv_set_memory_limit(store, 0), KV_OK);
    for (int failing = 1; failing <= 3; failing++) { // the last: at every read
        unsigned seen = 0, errors = 0, calls = 0;
        uint64_t cursor = 0;
        kit_fail(KIT_PREAD, EIO, failing == 1 ? 5 : 0, failing == 3 ? -1 : failing, 0);
        do {
            enum kv_status status = kv_scan(store, &cursor, 10, count_key, &seen);
            assert_true(status == KV_OK || status == KV_IO);
            errors += status == KV_IO;
        } while (cursor != 0 && ++calls < CALLS_MOST);
        assert_int_equal(cursor, 0);
        assert_int_equal(seen, failing == 3 ? 0 : KEYS + 1 - (unsigned)failing);
        assert_true(failing == 3 ? errors >= (KEYS + 1) / 18 : errors >= 1 && errors <= (unsigned)failing);
        kit_heal();
    }
    assert_false(is_read_only());
}

// A segment that cannot be read fails the opening, with its name.
static void test_failed_read_at_open(void **state)
{
    (void)state;
    assert_int_equal(kv_close(&store), KV_OK);
    struct kv_options options = kit_options();
    char error[256];
    kit_fail(KIT_PREAD, EIO, 1, -1, 0); // the manifest is read, the segment not
    assert_int_equal(kv_open(dir, &options, &store, error, sizeof error), KV_IO);
    assert_non_null(strstr(error, "segment 00000001: read"));
    kit_heal();
    store = kit_open(dir, NULL);
    kit_expect(store, "old", "acknowledged");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_full_disk),
        TEST(test_full_disk_and_no_truncate),
        TEST(test_delete_on_a_full_disk),
        TEST(test_full_disk_at_a_new_segment),
        TEST(test_failed_write),
        TEST(test_failed_sync),
        TEST(test_failed_background_sync),
        TEST(test_failed_erase),
        TEST(test_failed_read),
        TEST(test_failed_read_in_a_scan),
        TEST(test_failed_read_at_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
