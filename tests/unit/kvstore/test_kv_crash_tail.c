// The end of the log when the file goes on behind it. A batch is written into space that the file was given
// in advance, and what is left of that is cut; when the power fails before the cut is on the device, the file
// is longer than its records, by zeros, and the log goes on in front of these. Then a process that is killed
// in the middle of an append does not leave it at the end of the file, where it would be cut off.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kv_crash_fixture.h"

#include "kvstore/kv_internal.h"

#define ITEMS     60u
#define VALUE_LEN 30000u
#define CRASHES   40u

static struct kv_options options(void)
{
    struct kv_options options = kit_options();
    options.segment_bytes = 8u << 20;
    options.fsync_interval_ms = 1000000;
    return options;
}

static struct kv_store *open_store(const char *where)
{
    struct kv_options with = options();
    return kit_open(where, &with);
}

static void fill(uint8_t *value, uint32_t key, uint32_t version)
{
    for (uint32_t i = 0; i < VALUE_LEN; i++)
        value[i] = (uint8_t)(1 + (key * 7 + version * 13 + i) % 251);
}

// Two parts of a block.
static enum kv_status put_batch(struct kv_store *store, uint32_t version)
{
    static uint8_t values[ITEMS][VALUE_LEN];
    uint32_t keys[ITEMS];
    struct kv_put_item items[ITEMS];
    for (uint32_t i = 0; i < ITEMS; i++) {
        keys[i] = i;
        fill(values[i], i, version);
        items[i] = (struct kv_put_item){
            .key = &keys[i], .key_len = sizeof keys[i], .value = values[i], .len = VALUE_LEN};
    }
    return kv_put_batch(store, items, ITEMS, 0);
}

static void expect_version(struct kv_store *store, uint32_t version)
{
    uint8_t expected[VALUE_LEN], got[VALUE_LEN];
    for (uint32_t key = 0; key < ITEMS; key++) {
        size_t len = sizeof got;
        enum kv_status status = kv_get(store, &key, sizeof key, got, &len);
        fill(expected, key, version);
        if (status != KV_OK || len != VALUE_LEN || memcmp(got, expected, len) != 0)
            fail_msg("key %u: %s, or not version %u", key, kv_status_text(status), version);
    }
}

static uint64_t file_size(const char *where)
{
    char path[192];
    struct stat st;
    assert_int_equal(stat(kit_segment_path(where, 1, path), &st), 0);
    return (uint64_t)st.st_size;
}

static uint64_t log_size(struct kv_store *store)
{
    struct kv_segment *segment = kv_segment_get(store, 1);
    assert_non_null(segment);
    uint64_t size = atomic_load(&segment->size);
    kv_segment_put(segment);
    return size;
}

// The file after a write from `before` to `after` that was killed when so many bytes had been copied.
static void tear(const char *where, const uint8_t *before, size_t before_len, const uint8_t *after,
                 size_t upto)
{
    char path[192];
    size_t len = before_len > upto ? before_len : upto;
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    memcpy(bytes, before, before_len);
    memcpy(bytes, after, upto);
    kit_write_file(kit_segment_path(where, 1, path), bytes, len);
    free(bytes);
}

// Whatever part of a put a killed process has written, the next open finds a key that is not there, and no
// damage.
static void expect_torn_puts_are_cut(const char *where)
{
    char path[192], value[20000];
    memset(value, 'v', sizeof value);
    size_t before_len, after_len;
    struct kv_store *store = open_store(where);
    uint64_t from = log_size(store);
    uint8_t *before = kit_read_file(kit_segment_path(where, 1, path), &before_len);
    assert_int_equal(kv_put(store, "torn", 4, value, sizeof value, 0, 0), KV_OK);
    char copy[128];
    kit_folder(copy);
    kit_copy(where, copy); // the manifest of an open store
    kit_close(&store);
    uint8_t *after = kit_read_file(kit_segment_path(copy, 1, path), &after_len);
    for (uint64_t upto = from + 16; upto < from + sizeof value; upto += upto < from + 112 ? 16 : 3600) {
        char again[128];
        kit_folder(again);
        kit_copy(copy, again);
        tear(again, before, before_len, after, (size_t)upto);
        store = open_store(again);
        struct kv_stats stats;
        kv_get_stats(store, &stats);
        enum kv_status status = kit_get_status(store, "torn");
        if (status != KV_NOT_FOUND || stats.damaged_records != 0)
            fail_msg("%llu bytes of it: %s, %llu damaged", (unsigned long long)(upto - from),
                     kv_status_text(status), (unsigned long long)stats.damaged_records);
        expect_version(store, 1);
        kit_close(&store);
        kit_remove(again);
    }
    free(before);
    free(after);
    kit_remove(copy);
}

// Crashes: half of them at a position of the log, the others behind it, the last ones at its end.
static void each_crash(const struct crash_log *log, uint64_t from, void (*check)(void))
{
    struct crash_chance chance = {77};
    struct crash_play *play = malloc(sizeof *play);
    assert_non_null(play);
    crash_play_begin(play, log);
    for (unsigned i = 0; i < CRASHES; i++) {
        uint64_t behind =
            i < CRASHES / 2 ? 0 : (log->count - from) * (i - CRASHES / 2 + 1) * 5 / (2 * CRASHES);
        while (play->at < log->count && play->at < from + behind)
            crash_play_step(play);
        struct crash_how how = {.in_order = i % 2 == 0,
                                .unit = crash_roll(&chance, 2) == 0 ? CRASH_SECTOR : 4096,
                                .newest = crash_roll(&chance, 3) * 50,
                                .oldest = 50,
                                .size_new = crash_roll(&chance, 2) * 50};
        crash_write_folder(play, &how, &chance, crash_left);
        check();
        crash_remove_folder(crash_left);
    }
    crash_play_end(play);
    free(play);
}

// ---- the cut at a clean close

static uint64_t noted;

static void check_cut_is_durable(void)
{
    assert_int_equal(file_size(crash_left), noted);
    struct kv_store *store = open_store(crash_left);
    expect_version(store, 1);
    kit_close(&store);
}

// After a clean close the file is as long as the manifest says, also when the power fails right then.
static void test_cut_at_close(void **state)
{
    (void)state;
    struct crash_log log;
    crash_record_begin(&log, crash_dir, 1);
    struct kv_store *store = open_store(crash_dir);
    assert_int_equal(put_batch(store, 1), KV_OK);
    noted = log_size(store);
    assert_true(file_size(crash_dir) > noted); // or this test shows nothing
    kit_close(&store);
    crash_record_end();
    assert_int_equal(file_size(crash_dir), noted);
    each_crash(&log, log.count, check_cut_is_durable);
    crash_log_free(&log);
    expect_torn_puts_are_cut(crash_dir);
}

// It may be longer all the same: a store that was closed by a program that did not sync the cut, or a cut
// that was refused.
static void test_cut_at_open(void **state)
{
    (void)state;
    struct kv_store *store = open_store(crash_dir);
    assert_int_equal(put_batch(store, 1), KV_OK);
    noted = log_size(store);
    kit_close(&store);
    char path[192];
    assert_int_equal(truncate(kit_segment_path(crash_dir, 1, path), (off_t)(noted + (2u << 20))), 0);
    store = open_store(crash_dir);
    assert_int_equal(file_size(crash_dir), noted);
    expect_version(store, 1);
    kit_close(&store);
    assert_int_equal(truncate(path, (off_t)(noted + (2u << 20))), 0);
    expect_torn_puts_are_cut(crash_dir);
}

// ---- a block that the disk refuses

static ssize_t (*usual_pwritev)(int fd, const struct iovec *iov, int count, off_t offset);
static _Atomic unsigned large_writes, refuse_from;

static ssize_t refusing_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    if (iov[0].iov_len >= 65536 && atomic_fetch_add(&large_writes, 1) >= atomic_load(&refuse_from)) {
        errno = ENOSPC;
        return -1;
    }
    return usual_pwritev(fd, iov, count, offset);
}

static void check_first_version(void)
{
    struct kv_store *store = open_store(crash_left);
    expect_version(store, 1);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 0);
    kit_close(&store);
}

// A batch of which a part was written and another refused: its callers are told that nothing was changed, and
// no power failure after that changes it.
static void test_refused_block_stays_away(void **state)
{
    (void)state;
    struct crash_log log;
    struct kv_store *store = open_store(crash_dir);
    assert_int_equal(put_batch(store, 1), KV_OK);
    kit_close(&store);
    crash_record_begin(&log, crash_dir, 1);
    store = open_store(crash_dir);
    assert_int_equal(kv_sync(store), KV_OK); // what opening wrote
    usual_pwritev = kv_io.pwritev;
    atomic_store(&large_writes, 0);
    atomic_store(&refuse_from, 1);
    kv_io.pwritev = refusing_pwritev;
    assert_int_equal(put_batch(store, 2), KV_FULL);
    kv_io.pwritev = usual_pwritev;
    assert_true(atomic_load(&large_writes) >= 2);
    uint64_t from = crash_position();
    expect_version(store, 1);
    kit_close(&store);
    crash_record_end();
    each_crash(&log, from, check_first_version);
    crash_log_free(&log);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, crash_setup, crash_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_cut_at_close),
        TEST(test_cut_at_open),
        TEST(test_refused_block_stays_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
