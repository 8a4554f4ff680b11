// kvcheck: what it says of damaged stores, and that repairing makes of any damage a store that opens, says it is sound, and
// returns nothing wrong.
#include "kv_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvstore/kv_io.h"
#include "kvstore/kvcheck.h"

static char dir[128];

static const struct {
    const char *key, *value; // NULL: deleted
} EXPECTED[] = {
    {"alpha", "the first value"},
    {"bravo", "replaced"},
    {"charlie", "expires later"},
    {"delta", NULL},
    {"echo", ""},
    {"foxtrot", "the last value"},
};
#define EXPECTATIONS (sizeof EXPECTED / sizeof EXPECTED[0])

static void fill(struct kv_store *store)
{
    kit_put(store, "alpha", EXPECTED[0].value);
    kit_put(store, "bravo", "an older version");
    kit_put(store, "charlie", EXPECTED[2].value);
    kit_put(store, "delta", "a deleted value");
    kit_put(store, "bravo", EXPECTED[1].value);
    assert_int_equal(kv_set_expiry(store, "charlie", 7, 5000000, 0), KV_OK);
    assert_int_equal(kv_delete(store, "delta", 5, 0), KV_OK);
    kit_put(store, "echo", "");
    kit_put(store, "foxtrot", EXPECTED[5].value);
}

static int setup(void **state)
{
    (void)state;
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    kit_folder(dir);
    struct kv_store *store = kit_open(dir, NULL);
    fill(store);
    kit_close(&store);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_heal();
    kit_remove(dir);
    return 0;
}

static void look(struct check *check, const char *where)
{
    struct error e = {""};
    if (!check_begin(check, where, false, &e) || !check_records(check, &e) || !check_snapshot(check, &e) ||
        !check_plan(check, &e))
        fail_msg("%s", e.text);
}

static unsigned count(const struct check *check, enum check_kind kind)
{
    unsigned n = 0;
    for (size_t i = 0; i < check->finding_count; i++)
        n += check->findings[i].kind == kind;
    return n;
}

// Repairs, and checks once more: all is sound then.
static void repair(const char *where)
{
    struct check check;
    struct error e = {""};
    look(&check, where);
    if (!check_apply(&check, &e))
        fail_msg("%s", e.text);
    check_end(&check);
    look(&check, where);
    if (check_is_damaged(&check)) {
        check_print(&check, stderr, true);
        fail_msg("damaged after a repair");
    }
    check_end(&check);
}

// Opens; every value that is there is the right one. Returns how many keys are not as expected.
static unsigned count_affected(const char *where)
{
    struct kv_store *store = kit_open(where, NULL);
    unsigned affected = 0;
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        void *got;
        size_t len;
        const char *key = EXPECTED[i].key, *value = EXPECTED[i].value;
        enum kv_status status = kv_get_alloc(store, key, strlen(key), &got, &len, NULL);
        assert_true(status == KV_OK || status == KV_NOT_FOUND);
        if (status == KV_OK && (value == NULL || len != strlen(value) || memcmp(got, value, len) != 0))
            fail_msg("%s: %.*s", key, (int)len, (const char *)got);
        affected += (status == KV_OK) != (value != NULL);
        free(got);
    }
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 0);
    kit_put(store, "golf", "and on it goes");
    kit_close(&store);
    return affected;
}

static void test_sound(void **state)
{
    (void)state;
    struct check check;
    look(&check, dir);
    assert_false(check_is_damaged(&check));
    assert_int_equal(check.finding_count, 0);
    assert_int_equal(check.action_count, 0);
    assert_int_equal(check.keys, 5);
    assert_int_equal(check.count, 1);
    assert_int_equal(check.segments[0].records, 9); // 7 puts, a change, a tombstone
    assert_int_equal(check.segments[0].live, 5);
    assert_int_equal(check.segments[0].erased, 2);
    assert_int_equal(check.segments[0].noted, check.segments[0].file_bytes);
    check_end(&check);
}

// A store that is open is refused, and so is one of another version, and a folder that is none.
static void test_refusals(void **state)
{
    (void)state;
    struct check check;
    struct error e = {""};
    struct kv_store *store = kit_open(dir, NULL);
    assert_false(check_begin(&check, dir, false, &e));
    assert_non_null(strstr(e.text, "another process has it open"));
    check_end(&check);
    kit_close(&store);
    assert_false(check_begin(&check, "/nonexistent", false, &e));
    check_end(&check);
    char empty[128];
    kit_folder(empty);
    assert_false(check_begin(&check, empty, false, &e));
    assert_non_null(strstr(e.text, "no store in this folder"));
    check_end(&check);
    kit_remove(empty);
    // and while it is being checked nobody opens it
    look(&check, dir);
    struct kv_options options = kit_options();
    assert_int_equal(kv_open(dir, &options, &store, NULL, 0), KV_LOCKED);
    check_end(&check);
}

// One bit of each byte of the segment is flipped. What costs a key is told; the repaired store is sound, and nothing wrong or
// deleted is in it.
static void test_flip_and_repair(void **state)
{
    (void)state;
    char path[192], copy[128], copied[192];
    size_t size;
    uint8_t *bytes = kit_read_file(kit_segment_path(dir, 1, path), &size);
    kit_folder(copy);
    for (size_t at = 0; at < size; at++) {
        kit_copy(dir, copy);
        bytes[at] ^= (uint8_t)(1u << (at * 3 % 8));
        kit_write_file(kit_segment_path(copy, 1, copied), bytes, size);
        bytes[at] ^= (uint8_t)(1u << (at * 3 % 8));
        struct check check;
        look(&check, copy);
        bool damaged = check_is_damaged(&check), lost = check_has_lost(&check);
        check_end(&check);
        repair(copy);
        unsigned affected = count_affected(copy);
        if (affected > 1 || (affected > 0 && (!damaged || !lost)))
            fail_msg("byte %zu: %u keys affected, damaged %d, lost %d", at, affected, damaged, lost);
        kit_remove(copy);
        assert_int_equal(mkdir(copy, 0700), 0);
    }
    kit_remove(copy);
    free(bytes);
}

// The segment is cut at any byte: told, with both sizes; repaired it has what was whole.
static void test_cut_and_repair(void **state)
{
    (void)state;
    char path[192], copy[128], copied[192];
    size_t size;
    uint8_t *bytes = kit_read_file(kit_segment_path(dir, 1, path), &size);
    kit_folder(copy);
    unsigned before = EXPECTATIONS;
    for (size_t len = 0; len < size; len += 5) {
        kit_copy(dir, copy);
        kit_write_file(kit_segment_path(copy, 1, copied), bytes, len);
        struct check check;
        look(&check, copy);
        assert_true(check_is_damaged(&check) && check_has_lost(&check));
        assert_int_equal(count(&check, CHECK_SEGMENT_SHORT), 1);
        check_end(&check);
        repair(copy);
        unsigned affected = count_affected(copy);
        assert_true(affected <= before); // the more is left, the more is there
        before = affected;
        kit_remove(copy);
        assert_int_equal(mkdir(copy, 0700), 0);
    }
    kit_remove(copy);
    free(bytes);
}

// Each bit of the manifest's first copy: nothing is lost, and repair makes two good copies of one.
static void test_manifest_copies(void **state)
{
    (void)state;
    char path[192];
    size_t size, after;
    (void)snprintf(path, sizeof path, "%s/MANIFEST", dir);
    uint8_t *good = kit_read_file(path, &size);
    for (size_t at = 0; at < size; at += 3) {
        good[at] ^= 16;
        kit_write_file(path, good, size);
        good[at] ^= 16;
        struct check check;
        look(&check, dir);
        assert_int_equal(count(&check, CHECK_MANIFEST_COPY), 1);
        assert_false(check_has_lost(&check));
        check_end(&check);
        repair(dir);
        uint8_t *now = kit_read_file(path, &after);
        assert_int_equal(after, size);
        assert_memory_equal(now, good, size);
        free(now);
    }
    free(good);
    assert_int_equal(count_affected(dir), 0);
}

// Both copies are damaged, or the file is gone: it is made again from the segments.
static void test_manifest_lost(void **state)
{
    (void)state;
    char path[192], copy[128];
    (void)snprintf(path, sizeof path, "%s/MANIFEST", dir);
    size_t size;
    uint8_t *bytes = kit_read_file(path, &size);
    bytes[20] ^= 1;
    bytes[size / 2 + 60] ^= 1;
    for (int gone = 0; gone < 2; gone++) {
        if (gone)
            assert_int_equal(unlink(path), 0);
        else
            kit_write_file(path, bytes, size);
        struct check check;
        look(&check, dir);
        assert_int_equal(count(&check, CHECK_MANIFEST_LOST), 1);
        assert_true(check.manifest_usable);
        assert_int_equal(check.keys, 5);
        check_end(&check);
        kit_folder(copy);
        kit_copy(dir, copy);
        repair(copy);
        assert_int_equal(count_affected(copy), 0);
        kit_remove(copy);
    }
    free(bytes);
    // Without a header that holds nothing can be done, and nothing is.
    FILE *f = fopen(kit_segment_path(dir, 1, path), "r+b");
    assert_non_null(f);
    assert_int_equal(fwrite("X", 1, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    struct check check;
    look(&check, dir);
    assert_false(check.manifest_usable);
    assert_int_equal(check.action_count, 0);
    assert_true(check_is_damaged(&check));
    check_end(&check);
}

static void put_many(const char *prefix, unsigned n)
{
    struct kv_store *store = kit_open(dir, NULL);
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
    assert_int_equal(unlink(kit_segment_path(dir, 3, path)), 0);
    kit_write_file(kit_segment_path(dir, 77, path), "stray", 5);
    struct check check;
    look(&check, dir);
    assert_int_equal(count(&check, CHECK_SEGMENT_MISSING), 1);
    assert_int_equal(count(&check, CHECK_STRAY), 1);
    assert_true(check.segments[2].missing);
    uint64_t keys = check.keys;
    assert_true(keys < 105 && keys > 50);
    check_end(&check);
    repair(dir);
    struct kv_store *store = kit_open(dir, NULL);
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
    uint8_t *bytes = kit_read_file(kit_segment_path(dir, 1, path), &size);
    bytes = realloc(bytes, size + 5000);
    assert_non_null(bytes);
    memset(bytes + size, 'x', 5000);
    kit_write_file(path, bytes, size + 5000);
    struct check check;
    look(&check, dir);
    assert_int_equal(count(&check, CHECK_SEGMENT_LONGER), 1);
    assert_false(check_has_lost(&check));
    check_end(&check);
    repair(dir);
    free(kit_read_file(path, &after));
    assert_int_equal(after, size);
    assert_int_equal(count_affected(dir), 0);
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
    assert_int_equal(stat(kit_segment_path(dir, 1, path), &before), 0);
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    struct check check;
    look(&check, dir);
    assert_int_equal(count(&check, CHECK_SEGMENT_LONGER), 1);
    check_end(&check);
    repair(dir);
    free(kit_read_file(path, &after));
    assert_int_equal(after, before.st_size);
    struct kv_store *store = kit_open(dir, NULL);
    kit_put(store, "alpha", EXPECTED[0].value); // now it is open
    kit_copy(dir, copy);
    kit_close(&store);
    assert_int_equal(truncate(kit_segment_path(copy, 1, path), (off_t)1 << 40), 0);
    look(&check, copy);
    assert_int_equal(check.segments[0].noted, 0);
    assert_int_equal(count(&check, CHECK_SEGMENT_LONGER), 1);
    check_end(&check);
    repair(copy);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_size, KV_SEGMENT_BYTES_MAX);
    assert_int_equal(count_affected(copy), 0);
    kit_remove(copy);
    assert_int_equal(count_affected(dir), 0);
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
    (void)snprintf(path, sizeof path, "%.128s/INDEX", dir);
    for (size_t i = 0; i < sizeof put / sizeof put[0]; i++) {
        put[i](path);
        struct check check;
        look(&check, dir);
        assert_int_equal(check.finding_count, 1);
        assert_int_equal(check.findings[0].kind, CHECK_SNAPSHOT);
        assert_true((check.findings[0].error != 0) == (i >= 2));
        check_end(&check);
        repair(dir);
        assert_int_equal(count_affected(dir), 0);
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
    assert_int_equal(chown(dir, 65533, 65532), 0);
    (void)snprintf(path, sizeof path, "%.128s/LOCK", dir);
    assert_int_equal(unlink(path), 0);
    struct check check;
    struct error e;
    assert_true(check_begin(&check, dir, true, &e));
    check_end(&check);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 65533);
    assert_int_equal(st.st_gid, 65532);
    (void)snprintf(path, sizeof path, "%.128s/MANIFEST", dir);
    uint8_t *bytes = kit_read_file(path, &size);
    bytes[0] ^= 1;
    kit_write_file(path, bytes, size);
    free(bytes);
    repair(dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 65533);
    assert_int_equal(st.st_gid, 65532);
    assert_int_equal(count_affected(dir), 0);
}

// kill -9: what it leaves is no damage, and a look changes nothing.
static void test_killed(void **state)
{
    (void)state;
    char copy[128], path[192];
    kit_folder(copy);
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_NEVER; // replaced values wait for a sync
    struct kv_store *store = kit_open(dir, &options);
    kit_put(store, "alpha", EXPECTED[0].value);
    kit_put(store, "hotel", "half of this is missing");
    kit_copy(dir, copy);
    kit_close(&store);
    struct stat before, after;
    assert_int_equal(stat(kit_segment_path(copy, 1, path), &before), 0);
    assert_int_equal(truncate(path, before.st_size - 16), 0);
    struct check check;
    look(&check, copy);
    assert_false(check_is_damaged(&check));
    assert_int_equal(count(&check, CHECK_TAIL), 1);
    assert_int_equal(count(&check, CHECK_UNERASED), 1);
    assert_int_equal(check.segments[0].noted, 0);
    assert_int_equal(check.action_count, 0);
    check_end(&check);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, before.st_size - 16);
    assert_int_equal(count_affected(copy), 0);
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
    kit_forget_index(dir); // it is refused at the same offsets
    ssize_t (*usual)(int, void *, size_t, off_t) = kv_io.pread;
    kv_io.pread = refusing_pread;
    refuse_from = 8192;
    refuse_to = 12288;
    struct check check;
    look(&check, dir);
    kv_io.pread = usual;
    assert_true(count(&check, CHECK_UNREADABLE) >= 1);
    assert_true(check_has_lost(&check));
    assert_int_equal(check.action_count, 0);
    assert_true(check.keys >= 12);
    check_end(&check);
    assert_int_equal(count_affected(dir), 0);
}

// No value and no key is in what is printed.
static void test_printing(void **state)
{
    (void)state;
    char path[192], *text = NULL;
    size_t size, len;
    uint8_t *bytes = kit_read_file(kit_segment_path(dir, 1, path), &size);
    uint8_t *at = memmem(bytes, size, "the last value", 14);
    assert_non_null(at);
    *at ^= 1;
    kit_write_file(path, bytes, size);
    free(bytes);
    struct check check;
    look(&check, dir);
    assert_int_equal(check.keys_lost, 1);
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    check_print(&check, out, true);
    assert_true(check_print_json(&check, out));
    assert_int_equal(fclose(out), 0);
    check_end(&check);
    assert_non_null(strstr(text, "a key's value does not hold its checksum (key hash "));
    assert_non_null(strstr(text, "would do: segment 00000001: "));
    assert_non_null(strstr(text, "\"kind\":\"value\""));
    assert_null(strstr(text, "last value"));
    assert_null(strstr(text, "foxtrot"));
    free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_sound),
        TEST(test_refusals),
        TEST(test_flip_and_repair),
        TEST(test_cut_and_repair),
        TEST(test_manifest_copies),
        TEST(test_manifest_lost),
        TEST(test_missing_and_stray),
        TEST(test_longer),
        TEST(test_longer_than_possible),
        TEST(test_snapshots),
        TEST(test_ownership),
        TEST(test_killed),
        TEST(test_unreadable),
        TEST(test_printing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
