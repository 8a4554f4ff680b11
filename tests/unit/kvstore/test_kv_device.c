// A device that refuses to be read, and a page cache that has what the device has not: the rest is there, nothing wrong is answered, and what
// can be read again is back.
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
        kit_forget_index(dir); // so that the log is read
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
        unsigned then = there + errors; // before it was KV_IO
        assert_int_equal(count_values(store, 'v', &errors), then);
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

// ---- the page cache

#define FDS 1024
static _Atomic bool dropped[FDS];
static _Atomic unsigned read_before_drop, drops;

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
    for (size_t i = 0; i < FDS; i++)
        dropped[i] = false;
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_unreadable_block),
        TEST(test_unreadable_is_not_torn),
        TEST(test_compaction_goes_on),
        TEST(test_page_cache_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
