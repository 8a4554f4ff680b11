// kvcheck on folders where files are missing, too long, no regular files, another user's, unreadable, or where it was killed.
#include "kvcheck_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvstore/kv_io.h"

static void put_many(const char *prefix, unsigned n)
{
    struct kv_store *store = kit_open(small_dir, NULL);
    static const char value[3000] = {1};
    for (unsigned i = 0; i < n; i++) {
        char key[32];
        int len = snprintf(key, sizeof key, "%s%u", prefix, i);
        assert_int_equal(kv_put(store, key, (size_t)len, value, sizeof value, 0, KV_PUT_NO_WAIT), KV_OK);
    }
    kit_close(&store);
}

// A segment in the middle is gone: told, and repaired by forgetting it. A file that nobody lists is a note.
static void test_missing_and_stray(void **state)
{
    (void)state;
    char path[192];
    put_many("m", 100);
    assert_int_equal(unlink(kit_segment_path(small_dir, 3, path)), 0);
    kit_write_file(kit_segment_path(small_dir, 77, path), "stray", 5);
    struct check check;
    kvcheck_look(&check, small_dir);
    assert_int_equal(kvcheck_count(&check, CHECK_SEGMENT_MISSING), 1);
    assert_int_equal(kvcheck_count(&check, CHECK_STRAY), 1);
    assert_true(check.segments[2].missing);
    uint64_t keys = check.keys;
    assert_true(keys < 105 && keys > 50);
    check_end(&check);
    kvcheck_repair(small_dir);
    struct kv_store *store = kit_open(small_dir, NULL);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.keys, keys);
    kit_close(&store);
}

// Bytes behind a sealed segment's end are cut off by a repair.
static void test_longer(void **state)
{
    (void)state;
    char path[192];
    size_t size, after;
    uint8_t *bytes = kit_read_file(kit_segment_path(small_dir, 1, path), &size);
    bytes = realloc(bytes, size + 5000);
    assert_non_null(bytes);
    memset(bytes + size, 'x', 5000);
    kit_write_file(path, bytes, size + 5000);
    struct check check;
    kvcheck_look(&check, small_dir);
    assert_int_equal(kvcheck_count(&check, CHECK_SEGMENT_LONGER), 1);
    assert_false(check_has_lost(&check));
    check_end(&check);
    kvcheck_repair(small_dir);
    free(kit_read_file(path, &after));
    assert_int_equal(after, size);
    assert_int_equal(kvcheck_affected(small_dir), 0);
    free(bytes);
}

// A length that no segment can have: nothing of it is read beyond that, and it is cut off, of an open segment too.
static void test_longer_than_possible(void **state)
{
    (void)state;
    char path[192], copy[128];
    size_t after;
    struct stat before;
    kit_folder(copy);
    assert_int_equal(stat(kit_segment_path(small_dir, 1, path), &before), 0);
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    struct check check;
    kvcheck_look(&check, small_dir);
    assert_int_equal(kvcheck_count(&check, CHECK_SEGMENT_LONGER), 1);
    check_end(&check);
    kvcheck_repair(small_dir);
    free(kit_read_file(path, &after));
    assert_int_equal(after, before.st_size);
    struct kv_store *store = kit_open(small_dir, NULL);
    kit_put(store, "alpha", small_entries[0].value); // now it is open
    kit_copy(small_dir, copy);
    kit_close(&store);
    assert_int_equal(truncate(kit_segment_path(copy, 1, path), (off_t)1 << 40), 0);
    kvcheck_look(&check, copy);
    assert_int_equal(check.segments[0].noted, 0);
    assert_int_equal(kvcheck_count(&check, CHECK_SEGMENT_LONGER), 1);
    check_end(&check);
    kvcheck_repair(copy);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_size, KV_SEGMENT_BYTES_MAX);
    assert_int_equal(kvcheck_affected(copy), 0);
    kit_remove(copy);
    assert_int_equal(kvcheck_affected(small_dir), 0);
}

static void put_sparse_index(const char *path)
{
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
}

static void put_short_index(const char *path)
{
    assert_int_equal(truncate(path, 100), 0);
}

static void put_link(const char *path)
{
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
}

static void put_fifo(const char *path)
{
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
}

// A snapshot that is as long as you like, or no file, or cannot be read is a finding, and goes.
static void test_snapshots(void **state)
{
    (void)state;
    static void (*const put[])(const char *path) = {put_sparse_index, put_short_index, put_link, put_fifo};
    char path[192];
    (void)snprintf(path, sizeof path, "%.128s/INDEX", small_dir);
    for (size_t i = 0; i < sizeof put / sizeof put[0]; i++) {
        put[i](path);
        struct check check;
        kvcheck_look(&check, small_dir);
        assert_int_equal(check.finding_count, 1);
        assert_int_equal(check.findings[0].kind, CHECK_SNAPSHOT);
        assert_true((check.findings[0].error != 0) == (i >= 2));
        check_end(&check);
        kvcheck_repair(small_dir);
        assert_int_equal(kvcheck_affected(small_dir), 0);
    }
}

// What root repairs in another user's folder is that user's: the store can be opened again.
static void test_ownership(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    char path[192];
    size_t size;
    struct stat st;
    assert_int_equal(chown(small_dir, 65533, 65532), 0);
    (void)snprintf(path, sizeof path, "%.128s/LOCK", small_dir);
    assert_int_equal(unlink(path), 0);
    struct check check;
    struct error e;
    assert_true(check_begin(&check, small_dir, true, &e));
    check_end(&check);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 65533);
    assert_int_equal(st.st_gid, 65532);
    (void)snprintf(path, sizeof path, "%.128s/MANIFEST", small_dir);
    uint8_t *bytes = kit_read_file(path, &size);
    bytes[0] ^= 1;
    kit_write_file(path, bytes, size);
    free(bytes);
    kvcheck_repair(small_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 65533);
    assert_int_equal(st.st_gid, 65532);
    assert_int_equal(kvcheck_affected(small_dir), 0);
}

// kill -9: what it leaves is no damage, and a look changes nothing.
static void test_killed(void **state)
{
    (void)state;
    char copy[128], path[192];
    kit_folder(copy);
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_NEVER; // replaced values wait for a sync
    struct kv_store *store = kit_open(small_dir, &options);
    for (unsigned n = 0; n < 5; n++)
        kit_put(store, "alpha", small_entries[0].value);
    kit_put(store, "hotel", "half of this is missing");
    kit_copy(small_dir, copy);
    kit_close(&store);
    struct stat before, after;
    assert_int_equal(stat(kit_segment_path(copy, 1, path), &before), 0);
    assert_int_equal(truncate(path, before.st_size - 16), 0);
    struct check check;
    kvcheck_look(&check, copy);
    assert_false(check_is_damaged(&check));
    assert_int_equal(kvcheck_count(&check, CHECK_TAIL), 1);
    assert_int_equal(kvcheck_count(&check, CHECK_UNERASED), 1); // one finding a segment, not one a value
    for (size_t i = 0; i < check.finding_count; i++)
        assert_int_equal(check.findings[i].count, check.findings[i].kind == CHECK_UNERASED ? 5 : 0);
    assert_int_equal(check.segments[0].unerased, 5);
    assert_int_equal(check.segments[0].noted, 0);
    assert_int_equal(check.action_count, 0);
    check_end(&check);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, before.st_size - 16);
    assert_int_equal(kvcheck_affected(copy), 0);
    kit_remove(copy);
}

// What the device refuses is told and left alone.
static uint64_t refuse_from, refuse_to;
static ssize_t refusing_pread(int fd, void *buf, size_t len, off_t offset)
{
    if ((uint64_t)offset < refuse_to && (uint64_t)offset + len > refuse_from) {
        errno = EIO;
        return -1;
    }
    return pread(fd, buf, len, offset);
}

static void test_unreadable(void **state)
{
    (void)state;
    put_many("u", 10);
    kit_forget_index(small_dir); // it is refused at the same offsets
    ssize_t (*usual)(int, void *, size_t, off_t) = kv_io.pread;
    kv_io.pread = refusing_pread;
    refuse_from = 8192;
    refuse_to = 12288;
    struct check check;
    kvcheck_look(&check, small_dir);
    kv_io.pread = usual;
    assert_true(kvcheck_count(&check, CHECK_UNREADABLE) >= 1);
    assert_true(check_has_lost(&check));
    assert_int_equal(check.action_count, 0);
    assert_true(check.keys >= 12);
    check_end(&check);
    assert_int_equal(kvcheck_affected(small_dir), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_missing_and_stray), TEST(test_longer),    TEST(test_longer_than_possible),
        TEST(test_snapshots),         TEST(test_ownership), TEST(test_killed),
        TEST(test_unreadable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
