// Never lies: whatever happens to the files, the device or the clock, a get answers with the right value, with an error or
// (where that is said) not at all; never with another value.
#include "kv_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

static char dir[128];
static ssize_t (*usual_pread)(int, void *, size_t, off_t);
static int (*usual_fadvise)(int, off_t, off_t, int);

static int setup(void **state)
{
    (void)state;
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    kit_folder(dir);
    usual_pread = kv_io.pread;
    usual_fadvise = kv_io.fadvise;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kv_io.pread = usual_pread;
    kv_io.fadvise = usual_fadvise;
    kit_heal();
    kit_remove(dir);
    return 0;
}

// ---- files

static const struct {
    const char *key, *value; // NULL: deleted
} EXPECTED[] = {
    {"alpha", "the first value"},
    {"bravo", "replaced"},
    {"charlie", "expires"},
    {"delta", NULL},
    {"echo", ""},
    {"foxtrot", "the last value"},
};
#define EXPECTATIONS (sizeof EXPECTED / sizeof EXPECTED[0])

static void fill(void)
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

// Opens the folder if it can be opened: every answer is right or an error. Returns whether it opened.
static bool expect_no_lie(const char *where, const char *what, size_t at)
{
    struct kv_options options = kit_options();
    options.create = false;
    struct kv_store *store;
    char error[256];
    enum kv_status opened = kv_open(where, &options, &store, error, sizeof error);
    if (opened != KV_OK) {
        assert_true(opened == KV_BAD_FORMAT || opened == KV_IO);
        assert_true(strlen(error) > strlen(where) + 10);
        return false;
    }
    unsigned missing = 0;
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        void *got;
        size_t len;
        const char *key = EXPECTED[i].key, *value = EXPECTED[i].value;
        enum kv_status status = kv_get_alloc(store, key, strlen(key), &got, &len, NULL);
        if (status == KV_OK && (value == NULL || len != strlen(value) || memcmp(got, value, len) != 0))
            fail_msg("%s at %zu: %s answers %.*s", what, at, key, (int)len, (const char *)got);
        missing += status != KV_OK && value != NULL;
        free(got);
    }
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    if (missing > 1 || (missing == 1 && stats.damaged_records == 0))
        fail_msg("%s at %zu: %u keys, %llu counted as damaged", what, at, missing,
                 (unsigned long long)stats.damaged_records);
    (void)kv_close(&store);
    return true;
}

// Every bit of the store's files, one at a time. MEC_TEST_FULL=1: of every byte all eight, else one.
static void flip_all(const char *name)
{
    char path[192], copy[128], copied[192];
    size_t size;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    uint8_t *bytes = kit_read_file(path, &size);
    unsigned step = getenv("MEC_TEST_FULL") != NULL ? 1 : 8;
    kit_folder(copy);
    kit_copy(dir, copy);
    for (size_t n = 0; n < size * 8; n += step) {
        size_t bit = step == 1 ? n : n + n / 8 * 3 % 8;
        kit_remove(copy);
        assert_int_equal(mkdir(copy, 0700), 0);
        kit_copy(dir, copy);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        (void)snprintf(copied, sizeof copied, "%s/%s", copy, name);
        kit_write_file(copied, bytes, size);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (!expect_no_lie(copy, name, bit))
            fail_msg("bit %zu of %s: does not open", bit, name); // one flip is always survived
    }
    kit_remove(copy);
    free(bytes);
}

static void test_flips(void **state)
{
    (void)state;
    fill();
    flip_all("00000001.seg");
    flip_all("MANIFEST");
}

// Every file, cut at every byte. A manifest survives the loss of its second half; a segment of a store that was closed does
// not open when it is short.
static void test_cuts(void **state)
{
    (void)state;
    fill();
    static const char *const names[] = {"00000001.seg", "MANIFEST"};
    for (size_t f = 0; f < 2; f++) {
        char path[192];
        size_t size;
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[f]);
        uint8_t *bytes = kit_read_file(path, &size);
        for (size_t len = 0; len < size; len += 1 + len % 3) {
            kit_write_file(path, bytes, len);
            bool opened = expect_no_lie(dir, names[f], len);
            assert_int_equal(opened, f == 1 && len >= size / 2);
            kit_write_file(path, bytes, size);
        }
        free(bytes);
    }
    assert_true(expect_no_lie(dir, "whole", 0));
}

// A value that is zeros from the start, and one bit of its erase mark: nothing but the mark tells whether it was erased.
static void test_mark_of_zeros(void **state)
{
    (void)state;
    static const char zeros[200];
    struct kv_store *store = kit_open(dir, NULL);
    assert_int_equal(kv_put(store, "there", 5, zeros, sizeof zeros, 0, 0), KV_OK);
    assert_int_equal(kv_put(store, "gone", 4, zeros, sizeof zeros, 0, 0), KV_OK);
    assert_int_equal(kv_delete(store, "gone", 4, 0), KV_OK);
    kit_close(&store);
    char path[192];
    size_t size;
    uint8_t *bytes = kit_read_file(kit_segment_path(dir, 1, path), &size);
    size_t second = KV_SEGMENT_HEAD + (size_t)kv_record_size(5, sizeof zeros);
    for (unsigned bit = 0; bit < 128; bit++) {
        size_t at = (bit < 64 ? KV_SEGMENT_HEAD : second) + KV_ERASE_MARK_AT + bit % 64 / 8;
        bytes[at] ^= (uint8_t)(1u << bit % 8);
        kit_write_file(path, bytes, size);
        bytes[at] ^= (uint8_t)(1u << bit % 8);
        store = kit_open(dir, NULL);
        assert_int_equal(kit_get_status(store, "there"), KV_OK);
        assert_int_equal(kit_get_status(store, "gone"), KV_NOT_FOUND);
        struct kv_stats stats;
        kv_get_stats(store, &stats);
        assert_int_equal(stats.damaged_records, 1);
        kit_close(&store);
    }
    free(bytes);
}

static void overwrite(size_t at, const void *bytes, size_t len)
{
    char path[192];
    FILE *f = fopen(kit_segment_path(dir, 1, path), "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

// The head of a record is damaged while the store is open, and that of the next one as well: a delete takes the whole value all the
// same, and not a byte of a neighbour that is sound.
static void test_delete_of_an_unreadable_record(void **state)
{
    (void)state;
    for (size_t len = 100; len < 5000; len += 331) {
        for (int next_too = 0; next_too < 2; next_too++) {
            struct kv_options options = kit_options();
            options.limit_bytes = 0;
            char secret[5000];
            memset(secret, 'S', sizeof secret);
            memcpy(secret + len - 12, "end of it!!!", 12);
            struct kv_store *store = kit_open(dir, &options);
            assert_int_equal(kv_put(store, "secret", 6, secret, len, 0, 0), KV_OK);
            kit_put(store, "next", "a neighbour");
            kit_put(store, "after", "the neighbour");
            overwrite(KV_SEGMENT_HEAD + 8, "\xff", 1);
            if (next_too)
                overwrite(KV_SEGMENT_HEAD + (size_t)kv_record_size(6, len) + 9, "\xff", 1);
            assert_int_equal(kit_get_status(store, "secret"), KV_CORRUPT);
            assert_int_equal(kv_delete(store, "secret", 6, 0), KV_OK);
            assert_int_equal(kit_files_with(dir, "end of it!!!", 12), 0);
            assert_int_equal(kit_files_with(dir, "SSSS", 4), 0);
            if (!next_too)
                kit_expect(store, "next", "a neighbour");
            kit_close(&store);
            kit_remove(dir);
            assert_int_equal(mkdir(dir, 0700), 0);
        }
    }
}

// ---- the device

static uint64_t refuse_from, refuse_to; // of every file that is longer than a manifest
static ssize_t refusing_pread(int fd, void *buf, size_t len, off_t offset)
{
    if ((uint64_t)offset < refuse_to && (uint64_t)offset + len > refuse_from) {
        errno = EIO;
        return -1;
    }
    return pread(fd, buf, len, offset);
}

#define VALUES 18u // fill most of one segment
#define VALUE  3000u

static void put_values(struct kv_store *store, char prefix)
{
    for (unsigned i = 0; i < VALUES; i++) {
        char value[VALUE], key[16];
        memset(value, (int)('a' + i), sizeof value);
        int len = snprintf(key, sizeof key, "%c%u", prefix, i);
        assert_int_equal(kv_put(store, key, (size_t)len, value, sizeof value, 0, KV_PUT_NO_WAIT), KV_OK);
    }
    assert_int_equal(kv_sync(store), KV_OK);
}

// How many of the values answer; what answers is right.
static unsigned count_values(struct kv_store *store, char prefix, unsigned *errors)
{
    unsigned there = 0;
    *errors = 0;
    for (unsigned i = 0; i < VALUES; i++) {
        char key[16];
        void *got;
        size_t len;
        int key_len = snprintf(key, sizeof key, "%c%u", prefix, i);
        enum kv_status status = kv_get_alloc(store, key, (size_t)key_len, &got, &len, NULL);
        if (status == KV_OK) {
            assert_int_equal(len, VALUE);
            assert_int_equal(((uint8_t *)got)[0], 'a' + i);
            assert_true(memcmp(got, (uint8_t *)got + 1, len - 1) == 0);
            there++;
        }
        *errors += status == KV_IO || status == KV_CORRUPT;
        free(got);
    }
    return there;
}

// Any block of a segment that cannot be read costs the records in it, and they are back when it can be read again.
static void test_unreadable_block(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    put_values(store, 'v');
    kit_close(&store);
    char path[192], text[256];
    size_t size;
    free(kit_read_file(kit_segment_path(dir, 1, path), &size));
    struct kv_options options = kit_options();
    options.limit_bytes = 0;
    for (refuse_from = 4096; refuse_from < size; refuse_from += 4096) {
        refuse_to = refuse_from + 4096;
        kv_io.pread = refusing_pread;
        store = kit_open(dir, &options);
        struct kv_stats stats;
        unsigned errors;
        kv_get_stats(store, &stats);
        assert_true(stats.damaged_records >= 1 && stats.damaged_records <= 4);
        kv_error_text(store, text, sizeof text);
        assert_non_null(strstr(text, "segment 00000001: read at "));
        unsigned there = count_values(store, 'v', &errors);
        assert_true(there >= VALUES - 3 && there < VALUES);
        kit_put(store, "new", "goes elsewhere");
        kv_io.pread = usual_pread;
        assert_int_equal(count_values(store, 'v', &errors), there + errors); // before it was KV_IO
        kit_close(&store);
        store = kit_open(dir, &options); // and what was not known at that open is back as well
        assert_int_equal(count_values(store, 'v', &errors), VALUES);
        kit_expect(store, "new", "goes elsewhere");
        kit_close(&store);
    }
}

// The newer value cannot be read, the older one is still there (its erasure was cut short): the key is an error, not the older value.
static void test_unreadable_is_not_torn(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_NEVER; // the replaced value waits for a sync
    options.limit_bytes = 0;
    char copy[128], value[9000];
    memset(value, 'n', sizeof value);
    struct kv_store *store = kit_open(dir, &options);
    kit_put(store, "k", "the older value");
    assert_int_equal(kv_put(store, "k", 1, value, sizeof value, 0, 0), KV_OK);
    kit_folder(copy);
    kit_copy(dir, copy); // kill -9
    kit_close(&store);
    refuse_from = 4096;
    refuse_to = 8192;
    kv_io.pread = refusing_pread;
    store = kit_open(copy, &options);
    assert_int_equal(kit_get_status(store, "k"), KV_IO);
    kv_io.pread = usual_pread;
    assert_int_equal(kit_get_status(store, "k"), KV_OK);
    kit_close(&store);
    kit_remove(copy);
}

// Compaction leaves a segment alone that cannot be read, and goes on with others.
static void test_compaction_goes_on(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.limit_bytes = 0;
    struct kv_store *store = kit_open(dir, &options);
    put_values(store, 'v');
    put_values(store, 'w');
    put_values(store, 'x');
    for (unsigned i = 0; i < VALUES; i++) { // little is live in the first two
        char key[16];
        for (const char *p = "vw"; *p != '\0' && i % 6 != 0; p++) {
            int len = snprintf(key, sizeof key, "%c%u", *p, i);
            assert_int_equal(kv_delete(store, key, (size_t)len, 0), KV_OK);
        }
    }
    struct kv_segment *first = kv_segment_get(store, 1);
    assert_non_null(first);
    kv_io.pread = refusing_pread;
    refuse_from = 8192;
    refuse_to = 12288;
    for (int i = 0; i < 20 && kv_compact_step(store); i++) {
    }
    kv_io.pread = usual_pread;
    kit_heal();
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_false(stats.read_only);
    unsigned errors;
    assert_int_equal(count_values(store, 'v', &errors), 3);
    assert_int_equal(count_values(store, 'w', &errors), 3);
    assert_int_equal(count_values(store, 'x', &errors), VALUES);
    assert_true(atomic_load(&first->given_up));
    assert_int_equal(kv_compact_step(store), false); // nor does it try again and again
    kv_segment_put(first);
    kit_close(&store);
}

static ssize_t short_pread(int fd, void *buf, size_t len, off_t offset)
{
    return pread(fd, buf, len < 7 ? len : 7, offset);
}

// Reads that come in small pieces change nothing.
static void test_short_reads(void **state)
{
    (void)state;
    fill();
    kv_io.pread = short_pread;
    assert_true(expect_no_lie(dir, "short reads", 0));
    struct kv_options options = kit_options();
    options.limit_bytes = 0;
    struct kv_store *store = kit_open(dir, &options);
    kit_expect(store, "foxtrot", EXPECTED[5].value);
    kit_close(&store);
}

// ---- the page cache

#define FDS 1024
static bool dropped[FDS];
static unsigned read_before_drop, drops;

static bool is_segment(int fd)
{
    char link[64], path[256];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len > 0 ? len : 0] = '\0';
    return strstr(path, ".seg") != NULL;
}

static int noting_fadvise(int fd, off_t offset, off_t len, int advice)
{
    if (advice == POSIX_FADV_DONTNEED) {
        assert_int_equal(offset, 0);
        assert_int_equal(len, 0);
        drops++;
        dropped[fd % FDS] = true;
    }
    return 0;
}

static ssize_t noting_pread(int fd, void *buf, size_t len, off_t offset)
{
    read_before_drop += is_segment(fd) && !dropped[fd % FDS];
    return pread(fd, buf, len, offset);
}

// After a failed sync the page cache has what the device has not. Opening reads nothing of a segment before it has been told to forget.
static void test_page_cache_is_dropped(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    put_values(store, 'v');
    put_values(store, 'w');
    kit_fail(KIT_FDATASYNC, EIO, 0, 1, 0);
    assert_int_equal(kv_put(store, "k", 1, "v", 1, 0, 0), KV_IO);
    assert_int_equal(kv_put(store, "k", 1, "v", 1, 0, 0), KV_READ_ONLY);
    kit_heal();
    assert_int_not_equal(kv_close(&store), KV_OK);
    memset(dropped, 0, sizeof dropped);
    drops = read_before_drop = 0;
    kv_io.fadvise = noting_fadvise;
    kv_io.pread = noting_pread;
    store = kit_open(dir, NULL);
    kv_io.fadvise = usual_fadvise;
    kv_io.pread = usual_pread;
    assert_true(drops >= 2);
    assert_int_equal(read_before_drop, 0);
    kit_close(&store);
}

// ---- two processes

static void test_two_processes(void **state)
{
    (void)state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct kv_options options = kit_options();
        struct kv_store *store;
        bool ok =
            kv_open(dir, &options, &store, NULL, 0) == KV_OK && kv_put(store, "k", 1, "v", 1, 0, 0) == KV_OK;
        (void)!write(ready[1], ok ? "y" : "n", 1);
        (void)pause();
        _exit(0);
    }
    char answer;
    assert_int_equal(read(ready[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    struct kv_options options = kit_options();
    struct kv_store *store;
    char error[256];
    assert_int_equal(kv_open(dir, &options, &store, error, sizeof error), KV_LOCKED);
    assert_null(store);
    assert_non_null(strstr(error, "another process has it open"));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    store = kit_open(dir, NULL); // the lock dies with its holder
    kit_expect(store, "k", "v");
    assert_int_equal(kv_open(dir, &options, &(struct kv_store *){NULL}, error, sizeof error), KV_LOCKED);
    kit_close(&store);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

// ---- the clock

// The clock is set back. What had expired and was removed stays gone, also after another open; what had expired and was not yet
// removed has not expired by the clock, and is there again.
static void test_clock_goes_back(void **state)
{
    (void)state;
    struct kv_store *store = kit_open(dir, NULL);
    assert_int_equal(kv_put(store, "removed", 7, "r", 1, 1000500, 0), KV_OK);
    atomic_store(&kit_now_ms, 1001000);
    kit_expect(store, "removed", NULL);
    kv_sweep_expired(store, KV_SHARDS);
    assert_int_equal(kv_put(store, "seen", 4, "s", 1, 1001500, 0), KV_OK);
    kit_expect(store, "seen", "s");
    atomic_store(&kit_now_ms, 999000);
    kit_expect(store, "removed", NULL);
    kit_expect(store, "seen", "s");
    uint64_t expire_ms;
    assert_int_equal(kv_get_expiry(store, "seen", 4, &expire_ms), KV_OK);
    assert_int_equal(expire_ms, 1001500);
    kit_close(&store);
    store = kit_open(dir, NULL);
    kit_expect(store, "removed", NULL);
    kit_expect(store, "seen", "s");
    // A put that replaces counts however the clock stands: the order of writes is the log's, not the clock's.
    kit_put(store, "seen", "later");
    atomic_store(&kit_now_ms, 10);
    kit_put(store, "seen", "last");
    kit_close(&store);
    store = kit_open(dir, NULL);
    kit_expect(store, "seen", "last");
    kit_close(&store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_flips),
        TEST(test_cuts),
        TEST(test_mark_of_zeros),
        TEST(test_delete_of_an_unreadable_record),
        TEST(test_unreadable_block),
        TEST(test_unreadable_is_not_torn),
        TEST(test_compaction_goes_on),
        TEST(test_short_reads),
        TEST(test_page_cache_is_dropped),
        TEST(test_two_processes),
        TEST(test_clock_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
