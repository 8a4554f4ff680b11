// kv_peek(): what memory has is answered and counted as a get is, what it has not is left alone; and a write of a
// key that it could tell about reads nothing. kv_expect(): a hint changes nothing.
#include "kv_kit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "kvstore/kv_internal.h"

static char dir[128];
static struct kv_store *store;

// No bringing back: what is on disk stays there until somebody reads it.
static void open_store(void)
{
    struct kv_options options = kit_options();
    options.no_bring_back = true;
    store = kit_open(dir, &options);
}

static int setup(void **state)
{
    (void)state;
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    kit_folder(dir);
    open_store();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_heal();
    kit_close(&store);
    kit_remove(dir);
    return 0;
}

static struct kv_stats stats(void)
{
    struct kv_stats s;
    kv_get_stats(store, &s);
    return s;
}

static enum kv_status ask(const char *key)
{
    return kv_peek(store, key, strlen(key), NULL);
}

static enum kv_status peek(const char *key, struct kv_view *view)
{
    memset(view, 0xff, sizeof *view);
    return kv_peek(store, key, strlen(key), view);
}

static void put_until(const char *key, const char *value, uint64_t expire_ms)
{
    assert_int_equal(kv_put(store, key, strlen(key), value, strlen(value), expire_ms, 0), KV_OK);
}

// Closed and opened again: every value is on disk only.
static void to_disk(void)
{
    kit_close(&store);
    open_store();
}

static void expect_nothing_read(void)
{
    assert_int_equal(kit_calls(KIT_PREAD), 0);
}

static void test_in_memory(void **state)
{
    (void)state;
    put_until("k", "value", 1000500);
    struct kv_stats before = stats();
    struct kv_view view, same;
    assert_int_equal(ask("k"), KV_OK);
    assert_int_equal(stats().hits, before.hits);
    assert_int_equal(peek("k", &view), KV_OK);
    assert_int_equal(stats().hits, before.hits + 1);
    assert_int_equal(view.len, 5);
    assert_memory_equal(view.data, "value", 5);
    assert_int_equal(view.expire_ms, 1000500);
    assert_int_equal(kv_get_view(store, "k", 1, &same), KV_OK);
    assert_int_equal(view.version, same.version);
    kv_view_release(store, &same);
    // It stays what it is while the key is not.
    kit_put(store, "k", "other");
    assert_memory_equal(view.data, "value", 5);
    kv_view_release(store, &view);
    assert_int_equal(stats().misses, before.misses);
}

static void test_not_there(void **state)
{
    (void)state;
    put_until("k", "value", 1000500);
    struct kv_stats before = stats();
    struct kv_view view;
    assert_int_equal(ask("nothing"), KV_NOT_FOUND);
    assert_int_equal(stats().not_found, before.not_found);
    assert_int_equal(peek("nothing", &view), KV_NOT_FOUND);
    assert_null(view.hold);
    assert_int_equal(stats().not_found, before.not_found + 1);
    assert_int_equal(kv_peek(store, "", 0, &view), KV_INVALID);
    static const char long_key[KV_KEY_MAX + 1];
    assert_int_equal(kv_peek(store, long_key, sizeof long_key, NULL), KV_TOO_LARGE);
    assert_int_equal(stats().not_found, before.not_found + 1);
}

// What is on disk only is pending: nothing is counted, read, or brought to memory. A get brings it.
static void test_on_disk(void **state)
{
    (void)state;
    kit_put(store, "k", "value");
    to_disk();
    struct kv_stats before = stats();
    struct kv_view view;
    kit_heal();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ask("k"), KV_PENDING);
        assert_int_equal(peek("k", &view), KV_PENDING);
        assert_null(view.hold);
    }
    expect_nothing_read();
    struct kv_stats after = stats();
    assert_int_equal(after.hits + after.misses + after.not_found,
                     before.hits + before.misses + before.not_found);
    assert_int_equal(after.cached_records, 0);
    kit_expect(store, "k", "value");
    assert_int_equal(ask("k"), KV_OK);
    assert_int_equal(peek("k", &view), KV_OK);
    kv_view_release(store, &view);
}

// Expired: a get's answer is known. Who is going to write has to read what is on disk only, and is told.
static void test_expired(void **state)
{
    (void)state;
    put_until("k", "value", 1000500);
    struct kv_view view;
    // The sweeper takes the time of its own: both are looked at before it can have been there, or after.
    atomic_store(&kit_now_ms, 1000500);
    assert_int_equal(ask("k"), KV_NOT_FOUND);
    assert_int_equal(peek("k", &view), KV_NOT_FOUND);
    atomic_store(&kit_now_ms, 1000000);
    put_until("disk", "value", 1000500);
    to_disk();
    // As the sweeper finds it: it cannot remove what it cannot read.
    kit_fail(KIT_PREAD, EIO, 0, -1, 0);
    atomic_store(&kit_now_ms, 1000500);
    assert_int_equal(peek("disk", &view), KV_NOT_FOUND);
    assert_int_equal(ask("disk"), KV_PENDING);
    assert_int_equal(kv_put(store, "disk", 4, "new", 3, 0, 0), KV_IO); // so it reads
    kit_heal();
    kit_put(store, "disk", "new");
    assert_int_equal(ask("disk"), KV_OK);
}

// ---- writes that read nothing

enum { PUT, PUT_ABSENT, DELETE, EXPIRE, WAYS };

static enum kv_status write_key(unsigned way, const char *key)
{
    if (way == PUT || way == PUT_ABSENT)
        return kv_put(store, key, strlen(key), "new", 3, 0, way == PUT_ABSENT ? KV_PUT_IF_ABSENT : 0);
    return way == DELETE ? kv_delete(store, key, strlen(key), 0)
                         : kv_set_expiry(store, key, strlen(key), 3000000, 0);
}

static void test_writes_read_nothing(void **state)
{
    (void)state;
    static const enum kv_status there[WAYS] = {KV_OK, KV_EXISTS, KV_OK, KV_OK};
    static const enum kv_status absent[WAYS] = {KV_OK, KV_OK, KV_NOT_FOUND, KV_NOT_FOUND};
    for (unsigned way = 0; way < WAYS; way++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key %u", way);
        kit_put(store, key, "value");
        assert_int_equal(ask(key), KV_OK);
        kit_heal();
        kit_fail(KIT_PREAD, EIO, 0, -1, 0);
        assert_int_equal(write_key(way, key), there[way]);
        (void)snprintf(key, sizeof key, "other %u", way);
        assert_int_equal(ask(key), KV_NOT_FOUND);
        assert_int_equal(write_key(way, key), absent[way]);
        expect_nothing_read();
        // Expired, and in memory: the sweeper may be reading it, and nobody else is.
        kit_heal();
        (void)snprintf(key, sizeof key, "expired %u", way);
        put_until(key, "value", atomic_load(&kit_now_ms) + 1);
        kit_fail(KIT_PREAD, EIO, 0, -1, 0);
        atomic_fetch_add(&kit_now_ms, 1);
        assert_int_equal(ask(key), KV_NOT_FOUND);
        assert_int_equal(write_key(way, key), absent[way]);
        kit_heal();
    }
}

// And what is pending does read: the writers' look and kv_peek()'s are the same.
static void test_writes_of_what_is_pending(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key %u", way);
        kit_put(store, key, "value");
        to_disk();
        assert_int_equal(ask(key), KV_PENDING);
        kit_fail(KIT_PREAD, EIO, 0, -1, 0);
        assert_int_equal(write_key(way, key), KV_IO);
        kit_heal();
        kit_expect(store, key, "value");
    }
}

// ---- several threads

#define ROUNDS 3000u

static void *peek_on(void *arg)
{
    _Atomic bool *stop = arg;
    while (!atomic_load(stop)) {
        struct kv_view view;
        enum kv_status status = kv_peek(store, "k", 1, &view);
        assert_true(status == KV_OK || status == KV_NOT_FOUND || status == KV_PENDING);
        if (status == KV_OK) {
            for (size_t i = 1; i < view.len; i++)
                assert_int_equal(view.data[i], view.data[0]);
            kv_view_release(store, &view);
        }
        (void)kv_peek(store, "k", 1, NULL);
    }
    return NULL;
}

static void test_while_written(void **state)
{
    (void)state;
    _Atomic bool stop = false;
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, peek_on, &stop), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char value[600];
        memset(value, (int)('a' + i % 26), sizeof value);
        assert_int_equal(kv_put(store, "k", 1, value, 100 + i % 500, 0, KV_PUT_NO_WAIT), KV_OK);
        if (i % 16 == 0)
            assert_int_equal(kv_delete(store, "k", 1, KV_PUT_NO_WAIT), KV_OK);
        if (i % 64 == 0) { // out of memory, and in again
            assert_int_equal(kv_set_memory_limit(store, 0), KV_OK);
            assert_int_equal(kv_set_memory_limit(store, 64u << 20), KV_OK);
        }
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

// ---- kv_expect()

// A hint is neither a get nor a read, whatever it names.
static void test_expected(void **state)
{
    (void)state;
    put_until("on disk", "value", 0);
    to_disk();
    put_until("in memory", "value", 0);
    put_until("expired", "value", 1000500);
    atomic_store(&kit_now_ms, 1000501);
    kit_heal();
    struct kv_stats before = stats();
    struct kv_name names[KV_EXPECT_MOST + 3];
    static const char *const keys[] = {"on disk", "in memory", "expired", "nothing"};
    for (unsigned i = 0; i < KV_EXPECT_MOST + 3; i++)
        names[i] = (struct kv_name){keys[i % 4], strlen(keys[i % 4])};
    kv_expect(store, names, KV_EXPECT_MOST + 3);
    kv_expect(store, names, 0);
    expect_nothing_read();
    struct kv_stats after = stats();
    assert_int_equal(after.hits, before.hits);
    assert_int_equal(after.misses, before.misses);
    assert_int_equal(after.not_found, before.not_found);
    assert_int_equal(ask("on disk"), KV_PENDING);
    assert_int_equal(ask("in memory"), KV_OK);
    kit_expect(store, "on disk", "value");
}

// Beside puts, deletes and values that leave memory.
static void *expect_always(void *arg)
{
    const struct kv_name names[2] = {{"k", 1}, {"other", 5}};
    while (!atomic_load((_Atomic bool *)arg))
        kv_expect(store, names, 2);
    return NULL;
}

static void test_expected_while_written(void **state)
{
    (void)state;
    static uint8_t value[3000];
    _Atomic bool stop = false;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, expect_always, &stop), 0);
    for (unsigned i = 0; i < (KIT_SANITIZED ? 2000u : 20000u); i++) {
        assert_int_equal(kv_put(store, "k", 1, value, 100 + i % 2000, 0, KV_PUT_NO_WAIT), KV_OK);
        if (i % 16 == 0)
            assert_int_equal(kv_delete(store, "k", 1, KV_PUT_NO_WAIT), KV_OK);
        if (i % 256 == 0) {
            assert_int_equal(kv_set_memory_limit(store, 0), KV_OK);
            assert_int_equal(kv_set_memory_limit(store, 64u << 20), KV_OK);
        }
    }
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_in_memory),
        TEST(test_not_there),
        TEST(test_on_disk),
        TEST(test_expired),
        TEST(test_writes_read_nothing),
        TEST(test_writes_of_what_is_pending),
        TEST(test_while_written),
        TEST(test_expected),
        TEST(test_expected_while_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
