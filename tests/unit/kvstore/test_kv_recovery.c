// Opening a store whose files have been damaged, lost or left by a kill. What is sound is there, what is damaged is that
// record's error, and nothing wrong is ever returned.
#include "small_kit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void put_small_store(void)
{
    struct kv_store *store = kit_open(small_dir, NULL);
    small_fill(store);
    kit_close(&store);
}

// How many of the keys are not as expected; a value that is there is never another.
static unsigned count_affected(struct kv_store *store)
{
    unsigned affected = 0;
    for (size_t i = 0; i < SMALL_ENTRIES; i++) {
        const struct small_entry *e = &small_entries[i];
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
    (void)snprintf(path, sizeof path, "%s/%s", small_dir, name);
    uint8_t *bytes = kit_read_file(path, &size);
    char copy[128];
    kit_folder(copy);
    for (size_t at = 0; at < size; at += step) {
        kit_copy(small_dir, copy);
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
    struct kv_store *store = kit_open(small_dir, &options);
    char path[192];
    size_t size;
    uint8_t *bytes = kit_read_file(kit_segment_path(small_dir, 1, path), &size);
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
    assert_int_equal(stats.damaged_records, 1);      // counted once
    kit_put(store, "alpha", small_entries[0].value); // and a put mends it
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
    struct kv_store *store = kit_open(small_dir, NULL);
    put_many(store, 100);
    kit_close(&store);
    char path[192], error[256];
    assert_int_equal(unlink(kit_segment_path(small_dir, 3, path)), 0);
    struct kv_options options = kit_options();
    assert_int_equal(kv_open(small_dir, &options, &store, error, sizeof error), KV_BAD_FORMAT);
    assert_null(store);
    assert_non_null(strstr(error, "segment 00000003 is missing"));
}

// Files that a crash left between two steps of making or removing a segment are cleared away.
static void test_strays_are_removed(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(small_dir, NULL);
    kit_put(store, "k", "v");
    kit_close(&store);
    char stray[192], temp[192];
    kit_write_file(kit_segment_path(small_dir, 2, stray), "half a header", 13);
    (void)snprintf(temp, sizeof temp, "%s/MANIFEST.tmp", small_dir);
    kit_write_file(temp, "half a manifest", 15);
    store = kit_open(small_dir, NULL);
    kit_expect(store, "k", "v");
    assert_int_not_equal(access(stray, F_OK), 0);
    assert_int_not_equal(access(temp, F_OK), 0);
    put_many(store, 50); // makes segment 2 again
    kit_close(&store);
    store = kit_open(small_dir, NULL);
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
    uint8_t *bytes = kit_read_file(kit_segment_path(small_dir, 1, path), &size);
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
    struct kv_store *store = kit_open(small_dir, NULL); // opens the segment again
    kit_put(store, "hotel", "in between");
    kit_copy(small_dir, killed);
    kit_close(&store);
    kit_remove(small_dir);
    (void)snprintf(small_dir, sizeof small_dir, "%s", killed);
    assert_int_equal(truncate(kit_segment_path(small_dir, 1, path), 1 << 20), 0);
    store = kit_open(small_dir, NULL);
    assert_int_equal(count_affected(store), 0);
    kit_put(store, "golf", "behind");
    kit_close(&store);
    size_t size;
    free(kit_read_file(path, &size));
    assert_true(size < 4096);
    store = kit_open(small_dir, NULL);
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
            struct kv_store *store = kit_open(small_dir, &options);
            char value[8] = {(char)('0' + policy), 0};
            kit_put(store, "k", value);
            kit_put(store, "gone", value);
            (void)kv_delete(store, "gone", 4, 0);
            (void)kill(getpid(), SIGKILL);
        }
        int result;
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_true(WIFSIGNALED(result));
        struct kv_store *store = kit_open(small_dir, NULL);
        char value[8] = {(char)('0' + policy), 0};
        kit_expect(store, "k", value);
        kit_expect(store, "gone", NULL);
        kit_close(&store);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, small_setup_folder, small_teardown)
    const struct CMUnitTest tests[] = {
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
