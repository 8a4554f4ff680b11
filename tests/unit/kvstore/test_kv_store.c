// The store as its callers see it: reading, writing, expiry, scanning, memory, one owner at a time.
#include "kv_kit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    char dir[128];
    struct kv_store *store;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    kit_folder(f->dir);
    f->store = kit_open(f->dir, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    kit_close(&f->store);
    kit_remove(f->dir);
    free(f);
    return 0;
}

static void reopen(struct fixture *f)
{
    kit_close(&f->store);
    f->store = kit_open(f->dir, NULL);
}

static struct kv_stats stats(struct fixture *f)
{
    struct kv_stats s;
    kv_get_stats(f->store, &s);
    return s;
}

// What was put is got, replaced values are replaced, deleted ones are gone, before and after opening anew.
static void test_put_get_delete(void **state)
{
    struct fixture *f = *state;
    kit_put(f->store, "a", "one");
    kit_put(f->store, "b", "");
    kit_put(f->store, "a", "two");
    kit_put(f->store, "c", "three");
    assert_int_equal(kv_delete(f->store, "c", 1, 0), KV_OK);
    assert_int_equal(kv_delete(f->store, "c", 1, 0), KV_NOT_FOUND);
    for (int round = 0; round < 2; round++) {
        kit_expect(f->store, "a", "two");
        kit_expect(f->store, "b", "");
        kit_expect(f->store, "c", NULL);
        kit_expect(f->store, "d", NULL);
        assert_int_equal(kv_exists(f->store, "a", 1), KV_OK);
        assert_int_equal(kv_exists(f->store, "c", 1), KV_NOT_FOUND);
        assert_int_equal(stats(f).keys, 2);
        assert_int_equal(stats(f).damaged_records, 0);
        reopen(f);
    }
}

// A buffer that is too small is left alone and the length needed is told; wrong keys and sizes are refused.
static void test_limits_of_arguments(void **state)
{
    struct fixture *f = *state;
    kit_put(f->store, "k", "12345");
    char buf[8] = "xxxxxxx";
    size_t len = 4;
    assert_int_equal(kv_get(f->store, "k", 1, buf, &len), KV_TOO_LARGE);
    assert_int_equal(len, 5);
    assert_string_equal(buf, "xxxxxxx");
    len = 5;
    assert_int_equal(kv_get(f->store, "k", 1, buf, &len), KV_OK);
    assert_memory_equal(buf, "12345", 5);

    char *big = calloc(1, KV_KEY_MAX + 1);
    assert_non_null(big);
    assert_int_equal(kv_put(f->store, big, KV_KEY_MAX + 1, "v", 1, 0, 0), KV_TOO_LARGE);
    assert_int_equal(kv_put(f->store, "k", 1, big, (size_t)KV_VALUE_MAX + 1, 0, 0), KV_TOO_LARGE);
    assert_int_equal(kv_put(f->store, "", 0, "v", 1, 0, 0), KV_INVALID);
    assert_int_equal(kv_exists(f->store, "", 0), KV_INVALID);
    assert_int_equal(kv_put(f->store, big, KV_KEY_MAX, "v", 1, 0, 0), KV_OK);
    len = 8;
    assert_int_equal(kv_get(f->store, big, KV_KEY_MAX, buf, &len), KV_OK);
    assert_int_equal(len, 1);
    reopen(f);
    assert_int_equal(kv_exists(f->store, big, KV_KEY_MAX), KV_OK);
    free(big);
}

static void test_if_absent(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(kv_put(f->store, "k", 1, "1", 1, 1000010, KV_PUT_IF_ABSENT), KV_OK);
    assert_int_equal(kv_put(f->store, "k", 1, "2", 1, 0, KV_PUT_IF_ABSENT), KV_EXISTS);
    kit_expect(f->store, "k", "1");
    atomic_store(&kit_now_ms, 1000010); // an expired key is absent
    assert_int_equal(kv_put(f->store, "k", 1, "3", 1, 0, KV_PUT_IF_ABSENT), KV_OK);
    kit_expect(f->store, "k", "3");
}

// Versions change with each put, are stable otherwise, and go with the key.
static void test_versions(void **state)
{
    struct fixture *f = *state;
    uint64_t v1, v2;
    kit_put(f->store, "k", "1");
    assert_int_equal(kv_version(f->store, "k", 1, &v1), KV_OK);
    assert_int_not_equal(v1, 0);
    struct kv_view view;
    assert_int_equal(kv_get_view(f->store, "k", 1, &view), KV_OK);
    assert_int_equal(view.version, v1);
    kv_view_release(f->store, &view);
    kit_put(f->store, "k", "1");
    assert_int_equal(kv_version(f->store, "k", 1, &v2), KV_OK);
    assert_int_not_equal(v1, v2);
    assert_int_equal(kv_delete(f->store, "k", 1, 0), KV_OK);
    assert_int_equal(kv_version(f->store, "k", 1, &v1), KV_NOT_FOUND);
    kit_put(f->store, "k", "1");
    assert_int_equal(kv_version(f->store, "k", 1, &v1), KV_OK);
    assert_int_not_equal(v1, v2);
}

// Expiry is honoured at the millisecond, survives opening anew, can be set and cleared, and the sweeper takes
// expired keys away.
static void test_expiry(void **state)
{
    struct fixture *f = *state;
    uint64_t expire;
    assert_int_equal(kv_put(f->store, "a", 1, "1", 1, 1000100, 0), KV_OK);
    assert_int_equal(kv_put(f->store, "b", 1, "2", 1, 1000100, 0), KV_OK);
    kit_put(f->store, "c", "3");
    assert_int_equal(kv_set_expiry(f->store, "b", 1, 0, 0), KV_OK);
    assert_int_equal(kv_set_expiry(f->store, "c", 1, 1000200, 0), KV_OK);
    assert_int_equal(kv_set_expiry(f->store, "d", 1, 1000200, 0), KV_NOT_FOUND);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(stats(f).keys_with_expiry, 2);
        assert_int_equal(kv_get_expiry(f->store, "a", 1, &expire), KV_OK);
        assert_int_equal(expire, 1000100);
        assert_int_equal(kv_get_expiry(f->store, "b", 1, &expire), KV_OK);
        assert_int_equal(expire, 0);
        assert_int_equal(kv_get_expiry(f->store, "c", 1, &expire), KV_OK);
        assert_int_equal(expire, 1000200);
        kit_expect(f->store, "a", "1");
        reopen(f);
    }
    atomic_store(&kit_now_ms, 1000099);
    kit_expect(f->store, "a", "1");
    atomic_store(&kit_now_ms, 1000100);
    kit_expect(f->store, "a", NULL);
    assert_int_equal(kv_exists(f->store, "a", 1), KV_NOT_FOUND);
    assert_int_equal(kv_delete(f->store, "a", 1, 0), KV_NOT_FOUND);
    kit_expect(f->store, "b", "2");
    for (int i = 0; i < 6000 && stats(f).keys > 2; i++)
        (void)usleep(10000);
    assert_int_equal(stats(f).keys, 2);
    assert_int_equal(stats(f).expired, 1);
    atomic_store(&kit_now_ms, 1000000); // the clock goes back: what was swept stays gone
    kit_expect(f->store, "a", NULL);
    reopen(f);
    kit_expect(f->store, "a", NULL);
    kit_expect(f->store, "c", "3");
}

struct scanned {
    unsigned char seen[3000];
    unsigned visits;
    unsigned stop_after;
};

static bool scan_one(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    struct scanned *s = arg;
    char text[16] = "";
    assert_true(key_len < sizeof text);
    memcpy(text, key, key_len);
    unsigned n = (unsigned)strtoul(text + 1, NULL, 10);
    assert_true(n < sizeof s->seen);
    if (text[0] == 'k') {
        assert_int_equal(value_len, n % 50);
        assert_int_equal(expire_ms, n % 3 == 0 ? 2000000 : 0);
        s->seen[n]++;
    }
    return ++s->visits != s->stop_after;
}

static void put_numbered(struct fixture *f, char letter, unsigned from, unsigned to)
{
    static const char value[64];
    for (unsigned i = from; i < to; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "%c%u", letter, i);
        assert_int_equal(
            kv_put(f->store, key, (size_t)len, value, i % 50, i % 3 == 0 ? 2000000 : 0, KV_PUT_NO_WAIT),
            KV_OK);
    }
}

// Every key that is there throughout comes exactly once, from memory and from disk, while the index grows
// five-fold.
static void test_scan(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 2; round++) {
        struct scanned s = {0};
        uint64_t cursor = 0;
        unsigned batch = 0;
        put_numbered(f, 'k', 0, 500);
        do {
            assert_int_equal(kv_scan(f->store, &cursor, 7, scan_one, &s), KV_OK);
            put_numbered(f, 'x', batch * 30, batch * 30 + 30);
            batch = batch < 60 ? batch + 1 : batch;
        } while (cursor != 0);
        for (unsigned i = 0; i < 500; i++)
            assert_int_equal(s.seen[i], 1);
        reopen(f);
        assert_int_equal(kv_set_memory_limit(f->store, 0), KV_OK);
    }
}

// A callback that says stop is not called again, and the next call goes on behind that key.
static void test_scan_stops(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, 'k', 0, 100);
    struct scanned s = {.stop_after = 40};
    uint64_t cursor = 0;
    assert_int_equal(kv_scan(f->store, &cursor, 1000, scan_one, &s), KV_OK);
    assert_int_equal(s.visits, 40);
    assert_int_not_equal(cursor, 0);
    assert_int_equal(kv_scan(f->store, &cursor, 1000, scan_one, &s), KV_OK);
    assert_int_equal(cursor, 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(s.seen[i], 1);
}

static uint64_t resident_kb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size, resident = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    (void)fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void get_all(struct fixture *f, unsigned count, const uint8_t *expected, size_t len)
{
    uint8_t buf[20000];
    for (unsigned i = 0; i < count; i++) {
        size_t n = sizeof buf;
        assert_int_equal(kv_get(f->store, &i, sizeof i, buf, &n), KV_OK);
        assert_int_equal(n, len);
        assert_memory_equal(buf, expected, len);
    }
}

// Memory follows the limit down to nothing and up again; every value is there at every limit.
static void test_memory_limit(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 2000, LEN = 10000 };
    uint8_t value[LEN];
    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(kv_put(f->store, &i, sizeof i, value, LEN, 0, KV_PUT_NO_WAIT), KV_OK);
    assert_int_equal(kv_sync(f->store), KV_OK);
    assert_int_equal(stats(f).cached_records, COUNT);
    uint64_t full = resident_kb();
    uint64_t limits[] = {64u << 20, 16u << 20, 8u << 20, 4u << 20, 0, 12u << 20};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        assert_int_equal(kv_set_memory_limit(f->store, limits[i]), KV_OK);
        get_all(f, COUNT, value, LEN);
        struct kv_stats s = stats(f);
        assert_true(s.memory_bytes <= limits[i] || s.chunk_bytes == 0);
        assert_true(s.cached_bytes <= s.chunk_bytes);
        if (limits[i] == 0) {
            assert_int_equal(s.chunk_bytes, 0);
            assert_int_equal(s.cached_records, 0);
            if (!KIT_SANITIZED)
                assert_true(resident_kb() + 15000 < full);
        }
    }
    assert_true(stats(f).cached_records > 0);
    assert_true(stats(f).evicted > COUNT);
}

// What is read often stays in memory when much is read once.
static void test_hot_stays(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 4000, LEN = 8000, HOT = 100 };
    static uint8_t value[LEN];
    assert_int_equal(kv_set_memory_limit(f->store, 24u << 20), KV_OK);
    uint8_t buf[LEN];
    size_t n;
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(kv_put(f->store, &i, sizeof i, value, LEN, 0, KV_PUT_NO_WAIT), KV_OK);
        unsigned hot = i % HOT < i ? i % HOT : 0;
        n = sizeof buf;
        assert_int_equal(kv_get(f->store, &hot, sizeof hot, buf, &n), KV_OK);
    }
    struct kv_stats before = stats(f);
    for (unsigned hot = 0; hot < HOT; hot++) {
        n = sizeof buf;
        assert_int_equal(kv_get(f->store, &hot, sizeof hot, buf, &n), KV_OK);
    }
    assert_true(stats(f).hits - before.hits > HOT * 9 / 10);
}

// A view stays as it was while its key is replaced, deleted and evicted; the memory it pins follows when it
// is released.
static void test_views_are_pinned(void **state)
{
    struct fixture *f = *state;
    struct kv_view replaced, deleted, evicted, missed;
    kit_put(f->store, "r", "replaced value");
    kit_put(f->store, "d", "deleted value");
    kit_put(f->store, "e", "evicted value");
    assert_int_equal(kv_get_view(f->store, "r", 1, &replaced), KV_OK);
    assert_int_equal(kv_get_view(f->store, "d", 1, &deleted), KV_OK);
    assert_int_equal(kv_get_view(f->store, "e", 1, &evicted), KV_OK);
    kit_put(f->store, "r", "other");
    assert_int_equal(kv_delete(f->store, "d", 1, 0), KV_OK);
    assert_int_equal(kv_set_memory_limit(f->store, 0), KV_OK);
    assert_int_equal(kv_get_view(f->store, "e", 1, &missed), KV_OK);
    assert_memory_equal(replaced.data, "replaced value", replaced.len);
    assert_memory_equal(deleted.data, "deleted value", deleted.len);
    assert_memory_equal(evicted.data, "evicted value", evicted.len);
    assert_memory_equal(missed.data, "evicted value", missed.len);
    assert_true(stats(f).chunk_bytes > 0);
    kv_view_release(f->store, &replaced);
    kv_view_release(f->store, &deleted);
    kv_view_release(f->store, &evicted);
    kv_view_release(f->store, &missed);
    assert_int_equal(stats(f).chunk_bytes, 0);
    assert_int_equal(kv_get_view(f->store, "d", 1, &deleted), KV_NOT_FOUND);
    kv_view_release(f->store, &deleted);
}

// Values larger than a chunk, than a segment and than the reading buffers.
static void test_large_values(void **state)
{
    struct fixture *f = *state;
    size_t sizes[] = {60000, 300000, 1100000, 9000000};
    for (size_t i = 0; i < 4; i++) {
        uint8_t *value = malloc(sizes[i]);
        assert_non_null(value);
        for (size_t at = 0; at < sizes[i]; at++)
            value[at] = (uint8_t)(at * 7 + i);
        assert_int_equal(kv_put(f->store, &i, sizeof i, value, sizes[i], 0, 0), KV_OK);
        for (int round = 0; round < 2; round++) {
            void *got;
            size_t len;
            assert_int_equal(kv_get_alloc(f->store, &i, sizeof i, &got, &len, NULL), KV_OK);
            assert_int_equal(len, sizes[i]);
            assert_memory_equal(got, value, len);
            free(got);
            if (round == 0)
                reopen(f);
        }
        assert_int_equal(kv_delete(f->store, &i, sizeof i, 0), KV_OK);
        free(value);
    }
    assert_int_equal(stats(f).damaged_records, 0);
}

// A second open is refused while the first lives, in this process and in another, and goes when the owner
// dies.
static void test_one_owner(void **state)
{
    struct fixture *f = *state;
    struct kv_options options = kit_options();
    struct kv_store *second;
    char error[256];
    assert_int_equal(kv_open(f->dir, &options, &second, error, sizeof error), KV_LOCKED);
    assert_null(second);
    assert_non_null(strstr(error, "another process"));
    pid_t child = fork();
    if (child == 0)
        _exit(kv_open(f->dir, &options, &second, NULL, 0) == KV_LOCKED ? 0 : 1);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static void test_open_refusals(void **state)
{
    struct fixture *f = *state;
    struct kv_options options = kit_options();
    struct kv_store *store;
    char error[256], dir[128], path[192];
    options.create = false;
    kit_folder(dir);
    assert_int_equal(kv_open(dir, &options, &store, error, sizeof error), KV_BAD_FORMAT);
    assert_non_null(strstr(error, "no store"));
    kit_remove(dir); // and nothing was left in it
    assert_int_equal(kv_open(dir, &options, &store, error, sizeof error), KV_BAD_FORMAT);
    assert_int_equal(kv_open("", &options, &store, error, sizeof error), KV_INVALID);
    kit_folder(dir);
    (void)snprintf(path, sizeof path, "%s/MANIFEST", dir);
    kit_write_file(path, "rubbish", 7);
    assert_int_equal(kv_open(dir, &options, &store, error, sizeof error), KV_BAD_FORMAT);
    assert_non_null(strstr(error, "damaged"));
    assert_int_equal(unlink(path), 0);
    kit_write_file(kit_segment_path(dir, 1, path), "x", 1);
    options.create = true; // never a new store over an old one's segments
    assert_int_equal(kv_open(dir, &options, &store, error, sizeof error), KV_BAD_FORMAT);
    assert_non_null(strstr(error, "MANIFEST is missing"));
    kit_remove(dir);
    struct stat st;
    assert_int_equal(stat(f->dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(kv_close(&(struct kv_store *){NULL}), KV_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_put_get_delete), TEST(test_limits_of_arguments),
        TEST(test_if_absent),      TEST(test_versions),
        TEST(test_expiry),         TEST(test_scan),
        TEST(test_scan_stops),     TEST(test_memory_limit),
        TEST(test_hot_stays),      TEST(test_views_are_pinned),
        TEST(test_large_values),   TEST(test_one_owner),
        TEST(test_open_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
