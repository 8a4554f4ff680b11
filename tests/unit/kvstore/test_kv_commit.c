// How writes become durable: syncs are shared and touch only what was written, the next segment is there before it is
// needed, expiry gives way to the interval's sync, and a full disk keeps space for deletes.
#include "kv_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

static char dir[128];
static struct kv_store *store;

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
    kit_heal();
    (void)kv_close(&store);
    kit_remove(dir);
    return 0;
}

static struct kv_stats stats(void)
{
    struct kv_stats s;
    kv_get_stats(store, &s);
    return s;
}

static void put_key(uint32_t key, const void *value, size_t len)
{
    assert_int_equal(kv_put(store, &key, sizeof key, value, len, 0, 0), KV_OK);
}

// ---- group commit

static int (*counted_fdatasync)(int);
static int count_and_wait(int fd)
{
    (void)usleep(2000);
    return counted_fdatasync(fd);
}

static pthread_barrier_t all_there; // a slow machine could let each write before the next is started

static void *put_hundred(void *arg)
{
    uint32_t first = *(uint32_t *)arg;
    (void)pthread_barrier_wait(&all_there);
    for (uint32_t i = 0; i < 100; i++)
        put_key(first + i, "value", 5);
    return NULL;
}

// Eight writers on a device that takes two milliseconds for a sync: everyone's 100 puts, far fewer than 800 syncs.
static void test_writers_share_syncs(void **state)
{
    (void)state;
    store = kit_open(dir, NULL);
    pthread_t threads[8];
    uint32_t first[8];
    counted_fdatasync = kv_io.fdatasync;
    kit_close(&store);
    kv_io.fdatasync = count_and_wait;
    store = kit_open(dir, NULL);
    kit_heal();
    assert_int_equal(pthread_barrier_init(&all_there, NULL, 8), 0);
    for (uint32_t i = 0; i < 8; i++) {
        first[i] = i * 1000;
        assert_int_equal(pthread_create(&threads[i], NULL, put_hundred, &first[i]), 0);
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    unsigned syncs = kit_calls(KIT_FDATASYNC);
    (void)pthread_barrier_destroy(&all_there);
    kit_close(&store);
    kv_io.fdatasync = counted_fdatasync;
    if (syncs > 400)
        fail_msg("%u syncs for 800 puts by 8 threads", syncs);
    store = kit_open(dir, NULL);
    assert_int_equal(stats().keys, 800);
}

// A put that replaces a value in another segment costs one sync, not two: where values are only overwritten is synced with
// the next sync of everything.
static void test_one_sync_a_put(void **state)
{
    (void)state;
    store = kit_open(dir, NULL); // 64 KiB segments
    static char filler[3000];
    for (uint32_t key = 0; key < 100; key++)
        put_key(key, filler, sizeof filler);
    assert_int_equal(kv_sync(store), KV_OK);
    unsigned syncs = 20;
    for (uint32_t round = 0; round < 10 && syncs > 13;
         round++) { // on a slow machine the sweeper syncs between them
        kit_heal();
        for (uint32_t key = 0; key < 10; key++)
            put_key(round * 10 + key, "short", 5);
        syncs = kit_calls(KIT_FDATASYNC);
    }
    assert_true(syncs <= 13); // and what the sweeper did
    assert_int_equal(kv_sync(store), KV_OK);
    kit_heal();
    assert_int_equal(kv_sync(store), KV_OK); // nothing was written: nothing to sync
    assert_int_equal(kit_calls(KIT_FDATASYNC), 0);
}

// ---- ahead of the appends

static struct kv_options interval_options(uint64_t segment_bytes)
{
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_INTERVAL;
    options.fsync_interval_ms = 100000;
    options.segment_bytes = segment_bytes;
    return options;
}

static void wait_for_segments(uint64_t count)
{
    for (int i = 0; i < 12000 && stats().segments < count; i++)
        (void)usleep(5000);
    assert_int_equal(stats().segments, count);
}

// Half full, the next segment is made in the background; the append that needs it makes no system call for it. After a
// crash an empty one at the end does no harm, a clean close removes it.
static void test_next_segment_is_there(void **state)
{
    (void)state;
    struct kv_options options = interval_options(4u << 20);
    store = kit_open(dir, &options);
    static char filler[500000];
    for (uint32_t key = 0; key < 5; key++)
        put_key(key, filler, sizeof filler);
    wait_for_segments(2);
    char copy[128];
    kit_folder(copy);
    kit_copy(dir, copy);
    kit_fail(KIT_OPEN, EIO, 0, -1, 0); // nobody opens a file from here on
    kit_fail(KIT_FSYNC, EIO, 0, -1, 0);
    for (uint32_t key = 5; key < 10; key++)
        put_key(key, filler, sizeof filler);
    kit_heal();
    assert_int_equal(stats().segments, 2);
    assert_int_equal(store->active->id, 2);
    kit_close(&store);
    store = kit_open(dir, &options);
    assert_int_equal(stats().keys, 10);
    kit_close(&store);
    store = kit_open(copy, &options); // the crash
    assert_int_equal(stats().keys, 5);
    assert_int_equal(stats().damaged_records, 0);
    put_key(77, "goes on", 7);
    kit_close(&store);
    store = kit_open(copy, &options);
    assert_int_equal(stats().keys, 6);
    kit_close(&store);
    kit_remove(copy);
    store = kit_open(dir, &options);
}

static void test_clean_close_leaves_no_empty_segment(void **state)
{
    (void)state;
    struct kv_options options = interval_options(4u << 20);
    store = kit_open(dir, &options);
    static char filler[500000];
    for (uint32_t key = 0; key < 5; key++)
        put_key(key, filler, sizeof filler);
    wait_for_segments(2);
    kit_close(&store);
    store = kit_open(dir, &options);
    assert_int_equal(stats().segments, 1);
}

// A next segment that cannot be made ahead is made, or refused, when it is needed.
static void test_next_segment_fails(void **state)
{
    (void)state;
    struct kv_options options = interval_options(4u << 20);
    store = kit_open(dir, &options);
    static char filler[500000];
    put_key(0, filler, sizeof filler);
    kit_heal();
    kit_fail(KIT_OPEN, ENOSPC, 0, -1, 0);
    for (uint32_t key = 1; key < 8; key++)
        put_key(key, filler, sizeof filler);
    uint32_t key = 8;
    assert_int_equal(kv_put(store, &key, sizeof key, filler, sizeof filler, 0, 0), KV_FULL);
    assert_true(kit_calls(KIT_OPEN) < 10); // no attempt with every append
    kit_heal();
    put_key(8, filler, sizeof filler);
    assert_false(stats().read_only);
}

static void test_writeback_begins_early(void **state)
{
    (void)state;
    struct kv_options options = interval_options(64u << 20);
    store = kit_open(dir, &options);
    kit_heal();
    static char filler[1u << 20];
    for (uint32_t key = 0; key < 12; key++)
        put_key(key, filler, sizeof filler);
    for (int i = 0; i < 12000 && kit_calls(KIT_WRITEBACK) == 0; i++)
        (void)usleep(5000);
    assert_true(kit_calls(KIT_WRITEBACK) > 0);
    kit_fail(KIT_WRITEBACK, EIO, 0, -1, 0); // a hint: its failure is none
    for (uint32_t key = 0; key < 12; key++)
        put_key(key, filler, sizeof filler);
    assert_int_equal(kv_sync(store), KV_OK);
}

// ---- the sweeper

// Many thousand keys expire at once: they go by few writes, and the interval's sync comes all the same.
static void test_mass_expiry(void **state)
{
    (void)state;
    struct kv_options options = interval_options(64u << 20);
    options.fsync_interval_ms = 20;
    options.limit_bytes = 0;
    store = kit_open(dir, &options);
    enum { COUNT = 20000 };
    for (uint32_t key = 0; key < COUNT; key++)
        assert_int_equal(kv_put(store, &key, sizeof key, "value", 5, key % 2 == 0 ? 2000000 : 0, 0), KV_OK);
    assert_int_equal(stats().keys, COUNT);
    assert_int_equal(kv_sync(store), KV_OK);
    kit_heal();
    atomic_store(&kit_now_ms, 2000000);
    for (int i = 0; i < 12000 && stats().keys > COUNT / 2; i++)
        (void)usleep(5000);
    assert_int_equal(stats().keys, COUNT / 2);
    assert_int_equal(stats().expired, COUNT / 2);
    assert_true(kit_calls(KIT_FDATASYNC) > 0);
    for (uint32_t key = 0; key < COUNT; key += 97)
        assert_int_equal(kv_exists(store, &key, sizeof key), key % 2 == 0 ? KV_NOT_FOUND : KV_OK);
    atomic_store(&kit_now_ms, 1000000); // the clock goes backwards: what is gone stays gone
    kit_close(&store);
    store = kit_open(dir, &options);
    assert_int_equal(stats().keys, COUNT / 2);
}

// Expired keys whose records cannot be read just now do not keep the sweeper busy; they go when they can be read.
static void test_expiry_and_failing_reads(void **state)
{
    (void)state;
    struct kv_options options = interval_options(1u << 20);
    store = kit_open(dir, &options);
    for (uint32_t key = 0; key < 1000; key++)
        assert_int_equal(kv_put(store, &key, sizeof key, "value", 5, 2000000, 0), KV_OK);
    kit_fail(KIT_PREAD, EIO, 0, -1, 0);
    atomic_store(&kit_now_ms, 2000000);
    (void)usleep(200000);
    assert_false(stats().read_only);
    kit_heal();
    for (int i = 0; i < 12000 && stats().keys > 0; i++)
        (void)usleep(5000);
    assert_int_equal(stats().keys, 0);
}

// ---- a full disk

// A disk with so many bytes left. Files take what they are long; a hole gives it back.
static _Atomic int64_t space_left = INT64_MAX / 2;
static struct kv_io real;

static int64_t length_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_size;
}

static bool take_space(int64_t bytes)
{
    if (bytes <= 0)
        return true;
    if (atomic_fetch_sub(&space_left, bytes) >= bytes)
        return true;
    atomic_fetch_add(&space_left, bytes);
    errno = ENOSPC;
    return false;
}

static ssize_t small_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    int64_t len = 0;
    for (int i = 0; i < count; i++)
        len += (int64_t)iov[i].iov_len;
    return take_space(offset + len - length_of(fd)) ? real.pwritev(fd, iov, count, offset) : -1;
}

static int small_fallocate(int fd, int mode, off_t offset, off_t len)
{
    if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
        int result = real.fallocate(fd, mode, offset, len);
        if (result == 0)
            atomic_fetch_add(&space_left, len);
        return result;
    }
    if ((mode & FALLOC_FL_KEEP_SIZE) != 0) { // taken when it is written
        if (atomic_load(&space_left) >= len)
            return real.fallocate(fd, mode, offset, len);
        errno = ENOSPC;
        return -1;
    }
    return take_space(offset + len - length_of(fd)) ? real.fallocate(fd, mode, offset, len) : -1;
}

static int small_ftruncate(int fd, off_t size)
{
    int64_t more = size - length_of(fd);
    if (!take_space(more))
        return -1;
    if (more < 0)
        atomic_fetch_sub(&space_left, more);
    return real.ftruncate(fd, size);
}

static int small_unlink(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0)
        atomic_fetch_add(&space_left, st.st_blocks * 512);
    return real.unlink(path);
}

static void install_small_disk(void)
{
    real = kv_io;
    kv_io.pwritev = small_pwritev;
    kv_io.fallocate = small_fallocate;
    kv_io.ftruncate = small_ftruncate;
    kv_io.unlink = small_unlink;
}

static void remove_small_disk(void)
{
    kv_io.pwritev = real.pwritev;
    kv_io.fallocate = real.fallocate;
    kv_io.ftruncate = real.ftruncate;
    kv_io.unlink = real.unlink;
    atomic_store(&space_left, INT64_MAX / 2);
}

static void value_of(uint32_t key, char value[1001])
{
    uint32_t x = key;
    for (unsigned i = 0; i < 1000; i++) {
        x = x * 1664525u + 1013904223u;
        value[i] = (char)('a' + (x >> 24) % 26);
    }
    value[1000] = '\0';
}

static enum kv_status put_value(uint32_t key)
{
    char value[1001];
    value_of(key, value);
    return kv_put(store, &key, sizeof key, value, 1000, 0, 0);
}

static void expect_stored(uint32_t key)
{
    char value[1001], got[1001];
    size_t len = sizeof got;
    value_of(key, value);
    assert_int_equal(kv_get(store, &key, sizeof key, got, &len), KV_OK);
    assert_int_equal(len, 1000);
    assert_memory_equal(got, value, 1000);
}

// Full to the brim: reads go on, every key can be deleted, compaction gives the space back, puts go on again; nothing is
// read-only and nothing is lost.
static void full_disk(uint64_t segment_bytes)
{
    install_small_disk();
    atomic_store(&space_left, 5 << 20);
    struct kv_options options = kit_options();
    options.segment_bytes = segment_bytes;
    options.limit_bytes = 0;
    store = kit_open(dir, &options);
    uint32_t count = 0;
    enum kv_status status;
    while ((status = put_value(count)) == KV_OK)
        count++;
    assert_int_equal(status, KV_FULL);
    assert_true(count > 3000);
    for (uint32_t key = 0; key < count; key += 7)
        expect_stored(key);
    for (uint32_t key = 0; key < count; key++)
        if (key % 10 != 0)
            assert_int_equal(kv_delete(store, &key, sizeof key, KV_PUT_NO_WAIT), KV_OK);
    assert_int_equal(kv_sync(store), KV_OK);
    assert_false(stats().read_only);
    for (int i = 0; i < 6000 && (status = put_value(count)) != KV_OK; i++) {
        while (kv_compact_step(store)) {
        }
        (void)usleep(10000);
    }
    assert_int_equal(status, KV_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(stats().damaged_records, 0);
        for (uint32_t key = 0; key < count; key++) {
            if (key % 10 == 0)
                expect_stored(key);
            else
                assert_int_equal(kv_exists(store, &key, sizeof key), KV_NOT_FOUND);
        }
        expect_stored(count);
        kit_close(&store);
        store = kit_open(dir, &options);
    }
    char value[1001];
    value_of(1, value);
    assert_int_equal(kit_files_with(dir, value, 1000), 0);
    kit_close(&store);
    remove_small_disk();
    store = kit_open(dir, &options);
}

static void test_full_disk_small_segments(void **state)
{
    (void)state;
    full_disk(64 * 1024);
}

static void test_full_disk_large_segments(void **state)
{
    (void)state;
    full_disk(1u << 20);
}

// Without a reserve (no fallocate) and without space a delete erases, as ever.
static void test_no_reserve(void **state)
{
    (void)state;
    kit_fail(KIT_FALLOCATE, EOPNOTSUPP, 0, -1, 0);
    store = kit_open(dir, NULL);
    kit_put(store, "k", "a value that has to go");
    kit_fail(KIT_WRITE, ENOSPC, 0, 1, 0);
    assert_int_equal(kv_delete(store, "k", 1, 0), KV_OK);
    kit_expect(store, "k", NULL);
    assert_int_equal(kit_files_with(dir, "a value that has to go", 22), 0);
    kit_put(store, "goes", "on");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_writers_share_syncs),
        TEST(test_one_sync_a_put),
        TEST(test_next_segment_is_there),
        TEST(test_clean_close_leaves_no_empty_segment),
        TEST(test_next_segment_fails),
        TEST(test_writeback_begins_early),
        TEST(test_mass_expiry),
        TEST(test_expiry_and_failing_reads),
        TEST(test_full_disk_small_segments),
        TEST(test_full_disk_large_segments),
        TEST(test_no_reserve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
