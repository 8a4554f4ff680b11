// on_expire: told once of each key that was removed because its time had come, when it is gone and no lock is held; and of
// nothing else.
#include "fixture_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

#define KEYS 1500u // some of a shard at once

static struct {
    _Atomic unsigned total, times[2 * KEYS];
    _Atomic bool wrong;
    void (*also)(uint32_t key); // called by the callback
} told;

static void on_expire(void *arg, const void *key, size_t key_len)
{
    uint32_t number = UINT32_MAX;
    if (arg == &told && key_len == sizeof number)
        memcpy(&number, key, sizeof number);
    if (number >= 2 * KEYS) {
        atomic_store(&told.wrong, true);
        return;
    }
    if (told.also != NULL)
        told.also(number);
    atomic_fetch_add(&told.times[number], 1);
    atomic_fetch_add(&told.total, 1);
}

static int setup(void **state)
{
    (void)state;
    memset(&told, 0, sizeof told);
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_INTERVAL;
    options.fsync_interval_ms = 100;
    options.on_expire = on_expire;
    options.on_expire_arg = &told;
    options.no_bring_back = true;
    options.limit_bytes = 64u << 20;
    fixture_begin(&options);
    return 0;
}

static void put_one(uint32_t key, uint64_t expire_ms)
{
    char value[100];
    memset(value, 'v', sizeof value);
    assert_int_equal(
        kv_put(fixture.store, &key, sizeof key, value, 1 + key % sizeof value, expire_ms, KV_PUT_NO_WAIT),
        KV_OK);
}

static void await_told(unsigned total)
{
    for (unsigned i = 0; i < 6000 && atomic_load(&told.total) < total; i++)
        (void)usleep(10000);
    assert_int_equal(atomic_load(&told.total), total);
    assert_false(atomic_load(&told.wrong));
}

// The sweeper goes round in 0.8 s. What must not be told is not, however slow it is.
static void sweep_all(void)
{
    (void)usleep(1000000);
}

static void expect_gone(uint32_t key)
{
    if (kv_exists(fixture.store, &key, sizeof key) != KV_NOT_FOUND)
        atomic_store(&told.wrong, true);
}

static void test_told_once(void **state)
{
    (void)state;
    told.also = expect_gone;
    for (uint32_t key = 0; key < KEYS; key++)
        put_one(key, key % 3 == 0 ? 0 : 1000100 + key % 3);
    for (uint32_t key = 0; key < KEYS; key += 30) // was to stay
        assert_int_equal(kv_set_expiry(fixture.store, &key, sizeof key, 1000101, KV_PUT_NO_WAIT), KV_OK);
    for (uint32_t key = 1; key < KEYS; key += 30) // was to go
        assert_int_equal(kv_set_expiry(fixture.store, &key, sizeof key, 0, KV_PUT_NO_WAIT), KV_OK);
    for (uint32_t key = 2; key < KEYS; key += 30) // goes before its time
        assert_int_equal(kv_delete(fixture.store, &key, sizeof key, KV_PUT_NO_WAIT), KV_OK);
    atomic_store(&kit_now_ms, 1000101);
    await_told(KEYS / 3);
    assert_int_equal(fixture_stats().expired, KEYS / 3);
    atomic_store(&kit_now_ms, 1000102);
    await_told(KEYS / 3 * 2 - KEYS / 30);
    for (uint32_t key = 0; key < KEYS; key++) {
        bool expires = key % 30 == 0 || (key % 3 != 0 && key % 30 != 1 && key % 30 != 2);
        assert_int_equal(told.times[key], expires ? 1 : 0);
    }
    assert_int_equal(fixture_stats().keys_with_expiry, 0);
}

// Their keys are on disk only, and their time came while nobody had the store open.
static void test_expired_while_closed(void **state)
{
    (void)state;
    for (uint32_t key = 0; key < 300; key++)
        put_one(key, 1000100);
    kit_close(&fixture.store);
    assert_int_equal(told.total, 0);
    atomic_store(&kit_now_ms, 1000100);
    fixture_open_limited(0);
    await_told(300);
    kit_close(&fixture.store);
    fixture_open_limited(0);
    sweep_all();
    await_told(300);
}

// No lock is held: the same key may be put, read and deleted, others written, and all cleared.
static void use_store(uint32_t key)
{
    char value[200];
    size_t len = sizeof value;
    if (key == 0 && kv_clear(fixture.store) != KV_OK)
        atomic_store(&told.wrong, true);
    if (kv_put(fixture.store, &key, sizeof key, "again", 5, 0, 0) != KV_OK ||
        kv_get(fixture.store, &key, sizeof key, value, &len) != KV_OK || len != 5 ||
        kv_sync(fixture.store) != KV_OK ||
        (key % 2 == 0 && kv_delete(fixture.store, &key, sizeof key, 0) != KV_OK))
        atomic_store(&told.wrong, true);
}

static void test_calls_the_store(void **state)
{
    (void)state;
    for (uint32_t key = 1; key < 60; key++)
        put_one(key, 1000100);
    told.also = use_store;
    atomic_store(&kit_now_ms, 1000100);
    await_told(59);
    for (uint32_t key = 1; key < 60; key++)
        assert_int_equal(kv_exists(fixture.store, &key, sizeof key), key % 2 == 0 ? KV_NOT_FOUND : KV_OK);
    put_one(0, 1000200);
    atomic_store(&kit_now_ms, 1000200);
    await_told(60);
    assert_int_equal(fixture_stats().keys, 0);
}

// What is not removed because of its time is not told.
static void test_not_told(void **state)
{
    (void)state;
    for (uint32_t key = 0; key < 20; key++)
        put_one(key, 1000100);
    kit_fail(KIT_PREAD, EIO, 0, -1, 0); // the sweeper cannot read them
    atomic_store(&kit_now_ms, 1000100);
    for (uint32_t key = 0; key < 10; key++)
        put_one(key, 0);
    assert_int_equal(told.total, 0);
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    kit_heal();
    sweep_all();
    assert_int_equal(told.total, 0);
    assert_int_equal(fixture_stats().expired, 0);
    // Nobody listens.
    kit_close(&fixture.store);
    struct kv_options with = fixture.options;
    with.on_expire = NULL;
    fixture.store = kit_open(fixture.dir, &with);
    put_one(1, 1000100);
    for (unsigned i = 0; i < 6000 && fixture_stats().keys != 0; i++)
        (void)usleep(10000);
    assert_int_equal(fixture_stats().expired, 1);
    assert_int_equal(told.total, 0);
}

// A store that takes no more writes removes nothing.
static void test_read_only(void **state)
{
    (void)state;
    put_one(1, 1000100);
    kit_fail(KIT_FDATASYNC, EIO, 0, 1, 0);
    (void)kv_sync(fixture.store);
    assert_true(fixture_stats().read_only);
    atomic_store(&kit_now_ms, 1000100);
    sweep_all();
    assert_int_equal(told.total, 0);
}

// No room for a tombstone: erased without one, and told all the same.
static void test_full_disk(void **state)
{
    (void)state;
    for (uint32_t key = 0; key < 40; key++)
        put_one(key, 1000100);
    assert_int_equal(kv_sync(fixture.store), KV_OK);
    char path[192];
    (void)kit_segment_path(fixture.dir, 1, path);
    kit_fail(KIT_WRITE, ENOSPC, 0, 2, 0);
    atomic_store(&kit_now_ms, 1000100);
    await_told(40);
    for (uint32_t key = 0; key < 40; key++)
        assert_int_equal(told.times[key], 1);
}

static void damage_head(uint32_t key)
{
    char path[192];
    uint64_t version;
    assert_int_equal(kv_version(fixture.store, &key, sizeof key, &version), KV_OK);
    int fd = open(kit_segment_path(fixture.dir, (unsigned)kv_where_segment(version), path), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "damaged", 7, (off_t)kv_where_offset(version) + 8), 7);
    (void)close(fd);
}

// A key that cannot be read any more: memory may have it.
static void test_damaged(void **state)
{
    (void)state;
    for (uint32_t key = 0; key < 4; key++)
        put_one(key, 1000100);
    for (uint32_t key = 10; key < 12; key++) // in front of others, so that an erasure has an end
        put_one(key, 0);
    assert_int_equal(kv_sync(fixture.store), KV_OK);
    damage_head(1);
    atomic_store(&kit_now_ms, 1000100);
    await_told(4);
    assert_int_equal(told.times[1], 1);
    atomic_store(&kit_now_ms, 1000000);
    kit_close(&fixture.store);
    fixture_open_limited(0);
    for (uint32_t key = 20; key < 24; key++)
        put_one(key, 1000100);
    assert_int_equal(kv_sync(fixture.store), KV_OK);
    damage_head(21);
    atomic_store(&kit_now_ms, 1000100);
    await_told(7);
    for (unsigned i = 0; i < 6000 && fixture_stats().keys_with_expiry != 0; i++)
        (void)usleep(10000);
    assert_int_equal(fixture_stats().keys_with_expiry, 0);
    sweep_all();
    assert_int_equal(told.times[21], 0);
    assert_int_equal(told.total, 7);
}

// Beside writers: as many as were removed.
static _Atomic bool stop;

static void *write_on(void *arg)
{
    (void)arg;
    for (uint32_t n = 0; !atomic_load(&stop); n++) {
        uint32_t key = n % KEYS;
        put_one(key, atomic_load(&kit_now_ms) + n % 3);
        if (n % 7 == 0)
            (void)kv_delete(fixture.store, &key, sizeof key, KV_PUT_NO_WAIT);
    }
    return NULL;
}

static void test_beside_writers(void **state)
{
    (void)state;
    atomic_store(&stop, false);
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, NULL), 0);
    for (unsigned i = 0; i < 60; i++) {
        (void)usleep(5000);
        atomic_fetch_add(&kit_now_ms, 1);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    atomic_fetch_add(&kit_now_ms, 10);
    for (unsigned i = 0; i < 6000 && fixture_stats().keys_with_expiry != 0; i++)
        (void)usleep(10000);
    struct kv_stats s = fixture_stats();
    assert_int_equal(s.keys, 0);
    assert_int_equal(s.damaged_records, 0);
    await_told((unsigned)s.expired);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_told_once),       TEST(test_expired_while_closed),
        TEST(test_calls_the_store), TEST(test_not_told),
        TEST(test_read_only),       TEST(test_full_disk),
        TEST(test_damaged),         TEST(test_beside_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
