// Opening a store in whatever state its files are: cut anywhere, a bit flipped anywhere, a file missing. What
// is sound is there, what is damaged is that record's error, and nothing wrong is ever returned.
#include "kv_kit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

// The segment's size after each of some puts, and a copy of the folder as kill -9 would leave it: the segment is open.
#define CUTS 6
static void put_cuts(size_t ends[CUTS + 1], const char *killed)
{
    struct kv_store *store = kit_open(dir, NULL);
    char path[192];
    ends[0] = 64;
    for (int i = 0; i < CUTS; i++) {
        char key[16], value[64];
        (void)snprintf(key, sizeof key, "key%d", i);
        (void)snprintf(value, sizeof value, "%.*s", 5 + 7 * i,
                       "a value that is longer each time it is written down");
        kit_put(store, key, value);
        free(kit_read_file(kit_segment_path(dir, 1, path), &ends[i + 1]));
    }
    kit_copy(dir, killed);
    kit_close(&store);
}

static void check_cut(const char *copy, const size_t ends[CUTS + 1], size_t len)
{
    struct kv_store *store = kit_open(copy, NULL);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    unsigned whole = 0;
    for (int i = 0; i < CUTS; i++) {
        char key[16], value[64];
        (void)snprintf(key, sizeof key, "key%d", i);
        (void)snprintf(value, sizeof value, "%.*s", 5 + 7 * i,
                       "a value that is longer each time it is written down");
        bool there = ends[i + 1] <= len;
        kit_expect(store, key, there ? value : NULL);
        whole += there;
    }
    assert_int_equal(stats.keys, whole);
    assert_int_equal(stats.damaged_records,
                     len < 64 ? 1 : 0); // a torn tail is no damage; half a segment header is
    kit_put(store, "after", "the cut");
    kit_close(&store);
    store = kit_open(copy, NULL);
    kit_expect(store, "after", "the cut");
    kit_close(&store);
}

// The file of an open segment ends at any byte: every record that is whole is there, and the store goes on.
static void test_cut_anywhere(void **state)
{
    (void)state;
    size_t ends[CUTS + 1], size;
    char path[192], killed[128];
    kit_folder(killed);
    put_cuts(ends, killed);
    uint8_t *bytes = kit_read_file(kit_segment_path(killed, 1, path), &size);
    assert_int_equal(size, ends[CUTS]);
    for (size_t len = 0; len <= size; len += len < ends[CUTS - 2] ? 13 : 1) {
        char copy[128], cut[192];
        kit_folder(copy);
        kit_copy(killed, copy);
        kit_write_file(kit_segment_path(copy, 1, cut), bytes, len);
        check_cut(copy, ends, len);
        kit_remove(copy);
    }
    free(bytes);
    kit_remove(killed);
}

// After a clean close the manifest knows how long every segment is: one that has been cut, at whatever byte, is told and
// nothing is changed.
static void test_cut_after_a_close(void **state)
{
    (void)state;
    size_t ends[CUTS + 1], size;
    char path[192], killed[128], error[256];
    kit_folder(killed);
    put_cuts(ends, killed);
    kit_remove(killed);
    uint8_t *bytes = kit_read_file(kit_segment_path(dir, 1, path), &size);
    struct kv_options options = kit_options();
    struct kv_store *store;
    for (size_t len = 0; len < size; len++) {
        kit_write_file(path, bytes, len);
        assert_int_equal(kv_open(dir, &options, &store, error, sizeof error), KV_BAD_FORMAT);
        char expected[128];
        (void)snprintf(expected, sizeof expected, "segment 00000001: %zu bytes, the manifest says %zu", len,
                       size);
        assert_non_null(strstr(error, expected));
    }
    kit_write_file(path, bytes, size);
    free(bytes);
    store = kit_open(dir, NULL);
    kit_expect(store, "key3", "a value that is longer eac");
    kit_close(&store);
}

// What is behind the end of a sealed segment was never part of it: it is counted as damage, not read and not written over.
static void test_longer_than_noted(void **state)
{
    (void)state;
    size_t ends[CUTS + 1], size, after;
    char path[192], killed[128];
    kit_folder(killed);
    put_cuts(ends, killed);
    kit_remove(killed);
    uint8_t *bytes = kit_read_file(kit_segment_path(dir, 1, path), &size);
    bytes = realloc(bytes, size + 1000);
    assert_non_null(bytes);
    memset(bytes + size, 7, 1000);
    kit_write_file(path, bytes, size + 1000);
    struct kv_store *store = kit_open(dir, NULL);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 1);
    char error[256];
    kv_error_text(store, error, sizeof error);
    assert_non_null(strstr(error, "the rest is not read"));
    kit_expect(store, "key3", "a value that is longer eac");
    kit_put(store, "key3", "anew");
    kit_close(&store);
    uint8_t *now = kit_read_file(path, &after);
    assert_int_equal(after, size + 1000);
    assert_memory_equal(now + size, bytes + size, 1000);
    free(now);
    free(bytes);
    store = kit_open(dir, NULL);
    kit_expect(store, "key3", "anew");
    kit_close(&store);
}

struct expectation {
    const char *key, *value;
};

// What the small store of the next test holds; NULL: deleted.
static const struct expectation EXPECTED[] = {
    {"alpha", "the first value"},
    {"bravo", "replaced"},
    {"charlie", "expires later"},
    {"delta", NULL},
    {"echo", ""},
    {"foxtrot", "the last value"},
};
#define EXPECTATIONS (sizeof EXPECTED / sizeof EXPECTED[0])

static void put_small_store(void)
{
    struct kv_store *store = kit_open(dir, NULL);
    kit_put(store, "alpha", EXPECTED[0].value);
    kit_put(store, "bravo", "an older version");
    kit_put(store, "charlie", EXPECTED[2].value);
    kit_put(store, "delta", "a deleted value");
    kit_put(store, "bravo", EXPECTED[1].value);
    assert_int_equal(kv_set_expiry(store, "charlie", 7, 5000000, 0), KV_OK);
    assert_int_equal(kv_delete(store, "delta", 5, 0), KV_OK);
    kit_put(store, "echo", "");
    kit_put(store, "foxtrot", EXPECTED[5].value);
    kit_close(&store);
}

// How many of the keys are not as expected; a value that is there is never another.
static unsigned count_affected(struct kv_store *store)
{
    unsigned affected = 0;
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        const struct expectation *e = &EXPECTED[i];
        void *got;
        size_t len;
        enum kv_status status = kv_get_alloc(store, e->key, strlen(e->key), &got, &len, NULL);
        if (status == KV_OK) {
            if (e->value == NULL)
                fail_msg("%s is back: %.*s", e->key, (int)len, (const char *)got);
            assert_int_equal(len, strlen(e->value));
            assert_memory_equal(got, e->value, len);
        } else {
            assert_true(status == KV_NOT_FOUND || status == KV_CORRUPT);
            affected += e->value != NULL || status == KV_CORRUPT;
        }
        free(got);
    }
    return affected;
}

// One bit of any byte of the segment or the manifest is flipped: at most one key suffers, and no deleted or
// older value comes back.
static void flip_file(const char *name, size_t step, bool by_snapshot)
{
    char path[192];
    size_t size;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    uint8_t *bytes = kit_read_file(path, &size);
    char copy[128];
    kit_folder(copy);
    for (size_t at = 0; at < size; at += step) {
        kit_copy(dir, copy);
        bytes[at] ^= (uint8_t)(1u << (at * 5 % 8));
        (void)snprintf(path, sizeof path, "%s/%s", copy, name);
        kit_write_file(path, bytes, size);
        bytes[at] ^= (uint8_t)(1u << (at * 5 % 8));
        if (!by_snapshot)
            kit_forget_index(copy);
        struct kv_store *store = kit_open(copy, NULL);
        unsigned affected = count_affected(store);
        if (affected > 1)
            fail_msg("byte %zu of %s: %u keys affected", at, name, affected);
        struct kv_stats stats;
        kv_get_stats(store, &stats);
        if (affected > 0 && stats.damaged_records == 0)
            fail_msg("byte %zu of %s: a key affected, no damage counted", at, name);
        (void)kv_close(&store);
        kit_remove(copy);
        assert_int_equal(mkdir(copy, 0700), 0);
    }
    kit_remove(copy);
    free(bytes);
}

static void test_flip_anywhere(void **state)
{
    (void)state;
    put_small_store();
    flip_file("00000001.seg", 1, true);
    flip_file("00000001.seg", 1, false);
    flip_file("MANIFEST", 11, true); // every bit of it: test_kv_format
}

// The same while the store is open: a get of the damaged record says so, every other get answers.
static void test_damage_under_an_open_store(void **state)
{
    (void)state;
    put_small_store();
    struct kv_options options = kit_options();
    options.limit_bytes = 0;
    struct kv_store *store = kit_open(dir, &options);
    char path[192];
    size_t size;
    uint8_t *bytes = kit_read_file(kit_segment_path(dir, 1, path), &size);
    uint8_t *at = memmem(bytes, size, "the first value", 15);
    assert_non_null(at);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at - bytes, SEEK_SET), 0);
    assert_int_equal(fwrite("T", 1, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(kit_get_status(store, "alpha"), KV_CORRUPT);
    assert_int_equal(kit_get_status(store, "alpha"), KV_CORRUPT);
    assert_int_equal(count_affected(store), 1);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 1); // counted once
    kit_put(store, "alpha", EXPECTED[0].value); // and a put mends it
    assert_int_equal(count_affected(store), 0);
    free(bytes);
    kit_close(&store);
}

static void put_many(struct kv_store *store, unsigned count)
{
    static const char value[3000];
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(kv_put(store, &i, sizeof i, value, sizeof value, 0, KV_PUT_NO_WAIT), KV_OK);
    assert_int_equal(kv_sync(store), KV_OK);
}

// A segment in the middle that is gone is an error with its name in it, not a store with fewer keys.
static void test_missing_segment(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    put_many(store, 100);
    kit_close(&store);
    char path[192], error[256];
    assert_int_equal(unlink(kit_segment_path(dir, 3, path)), 0);
    struct kv_options options = kit_options();
    assert_int_equal(kv_open(dir, &options, &store, error, sizeof error), KV_BAD_FORMAT);
    assert_null(store);
    assert_non_null(strstr(error, "segment 00000003 is missing"));
}

// Files that a crash left between two steps of making or removing a segment are cleared away.
static void test_strays_are_removed(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    kit_put(store, "k", "v");
    kit_close(&store);
    char stray[192], temp[192];
    kit_write_file(kit_segment_path(dir, 2, stray), "half a header", 13);
    (void)snprintf(temp, sizeof temp, "%s/MANIFEST.tmp", dir);
    kit_write_file(temp, "half a manifest", 15);
    store = kit_open(dir, NULL);
    kit_expect(store, "k", "v");
    assert_int_not_equal(access(stray, F_OK), 0);
    assert_int_not_equal(access(temp, F_OK), 0);
    put_many(store, 50); // makes segment 2 again
    kit_close(&store);
    store = kit_open(dir, NULL);
    kit_expect(store, "k", "v");
    kit_close(&store);
}

// A value that holds a copy of another store's segment, and whose own head is damaged so that recovery looks
// for the next record inside it: no record in it is taken for one.
static void test_no_records_from_inside_values(void **state)
{
    (void)state;
    put_small_store();
    char other[128], path[192];
    size_t size, all;
    uint8_t *bytes = kit_read_file(kit_segment_path(dir, 1, path), &size);
    kit_folder(other);
    struct kv_store *store = kit_open(other, NULL);
    assert_int_equal(kv_put(store, "copy", 4, bytes, size, 0, 0), KV_OK);
    kit_put(store, "next", "is found again");
    kit_close(&store);
    free(bytes);
    bytes = kit_read_file(kit_segment_path(other, 1, path), &all);
    bytes[64 + 8] ^= 1; // the copy's length
    kit_write_file(path, bytes, all);
    free(bytes);
    kit_forget_index(other);
    store = kit_open(other, NULL);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.keys, 1);
    assert_int_equal(stats.damaged_records, 1);
    kit_expect(store, "next", "is found again");
    kit_close(&store);
    kit_remove(other);
}

// Zeros at the end (space that was never written) are cut; a hole in the middle is skipped; neither is
// damage.
static void test_zeros(void **state)
{
    (void)state;
    put_small_store();
    char path[192], killed[128];
    kit_folder(killed);
    struct kv_store *store = kit_open(dir, NULL); // opens the segment again
    kit_put(store, "hotel", "in between");
    kit_copy(dir, killed);
    kit_close(&store);
    kit_remove(dir);
    (void)snprintf(dir, sizeof dir, "%s", killed);
    assert_int_equal(truncate(kit_segment_path(dir, 1, path), 1 << 20), 0);
    store = kit_open(dir, NULL);
    assert_int_equal(count_affected(store), 0);
    kit_put(store, "golf", "behind");
    kit_close(&store);
    size_t size;
    free(kit_read_file(path, &size));
    assert_true(size < 4096);
    store = kit_open(dir, NULL);
    kit_expect(store, "golf", "behind");
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 0);
    kit_close(&store);
}

// A process that dies without a word: nothing that returned is lost, whatever the policy.
static void test_killed(void **state)
{
    (void)state;
    for (int policy = KV_FSYNC_ALWAYS; policy <= KV_FSYNC_NEVER; policy++) {
        pid_t child = fork();
        if (child == 0) {
            struct kv_options options = kit_options();
            options.fsync = (enum kv_fsync)policy;
            struct kv_store *store = kit_open(dir, &options);
            char value[8] = {(char)('0' + policy), 0};
            kit_put(store, "k", value);
            kit_put(store, "gone", value);
            (void)kv_delete(store, "gone", 4, 0);
            (void)kill(getpid(), SIGKILL);
        }
        int result;
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_true(WIFSIGNALED(result));
        struct kv_store *store = kit_open(dir, NULL);
        char value[8] = {(char)('0' + policy), 0};
        kit_expect(store, "k", value);
        kit_expect(store, "gone", NULL);
        kit_close(&store);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_cut_anywhere),
        TEST(test_cut_after_a_close),
        TEST(test_longer_than_noted),
        TEST(test_flip_anywhere),
        TEST(test_damage_under_an_open_store),
        TEST(test_missing_segment),
        TEST(test_strays_are_removed),
        TEST(test_no_records_from_inside_values),
        TEST(test_zeros),
        TEST(test_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
