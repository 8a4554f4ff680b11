// What the store says of keys to who counts them: what a put replaced, and which keys it removed, also when who is told changes. And deletes whose bytes go with the next sync.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/unit/kvstore/kv_kit.h"

static char folder[128];
static struct kv_store *store;

static void open_with(enum kv_fsync fsync)
{
    struct kv_options options = kit_options();
    options.fsync = fsync;
    store = kit_open(folder, &options);
}

static int setup(void **state)
{
    (void)state;
    kit_folder(folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_close(&store);
    kit_remove(folder);
    return 0;
}

static struct kv_put_old put_over(const char *key, uint64_t expire_ms)
{
    struct kv_put_old old = {true, 99};
    assert_int_equal(kv_put_over(store, key, strlen(key), "v", 1, expire_ms, 0, &old), KV_OK);
    return old;
}

// The store's thread has not removed what expired while the clock has not reached it: it is the put that finds it expired.
static void what_a_put_replaced(void **state)
{
    (void)state;
    open_with(KV_FSYNC_ALWAYS);
    uint64_t later = kit_now_ms + 1000;
    struct kv_put_old old = put_over("a", 0);
    assert_true(!old.there && old.expire_ms == 0);
    old = put_over("a", later);
    assert_true(old.there && old.expire_ms == 0);
    old = put_over("a", 0);
    assert_true(old.there && old.expire_ms == later);
    assert_int_equal(kv_delete(store, "a", 1, 0), KV_OK);
    old = put_over("a", 0);
    assert_false(old.there);
    struct kv_put_old kept = {true, 7};
    assert_int_equal(kv_put_over(store, "a", 1, "v", 1, 0, KV_PUT_IF_ABSENT, &kept), KV_EXISTS);
    assert_true(kept.there && kept.expire_ms == 7);
}

static void count(void *arg, const void *key, size_t len)
{
    (void)key;
    (void)len;
    atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static void wait_until_gone(uint64_t keys)
{
    struct kv_stats stats;
    for (unsigned i = 0; i < 6000; i++) {
        kv_get_stats(store, &stats);
        if (stats.keys == keys)
            break;
        (void)nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    assert_int_equal(stats.keys, keys);
}

// Proves: the next one is told, the one before is not any more, and nobody need be.
static void who_is_told_changes(void **state)
{
    _Atomic unsigned first = 0, second = 0;
    (void)state;
    open_with(KV_FSYNC_NEVER);
    (void)put_over("a", kit_now_ms + 10);
    atomic_fetch_add(&kit_now_ms, 10);
    wait_until_gone(0);
    kv_set_on_expire(store, count, &first);
    (void)put_over("b", kit_now_ms + 10);
    atomic_fetch_add(&kit_now_ms, 10);
    for (unsigned i = 0; i < 6000 && first == 0; i++)
        (void)nanosleep(&(struct timespec){0, 10000000}, NULL);
    kv_set_on_expire(store, count, &second);
    (void)put_over("c", kit_now_ms + 10);
    atomic_fetch_add(&kit_now_ms, 10);
    for (unsigned i = 0; i < 6000 && second == 0; i++)
        (void)nanosleep(&(struct timespec){0, 10000000}, NULL);
    kv_set_on_expire(store, NULL, NULL);
    (void)put_over("d", kit_now_ms + 10);
    atomic_fetch_add(&kit_now_ms, 10);
    wait_until_gone(0);
    assert_int_equal(first, 1);
    assert_int_equal(second, 1);
}

// Proves: one sync for many deletes, after which none of the values is in a file; without it each waits for the device.
static void many_deletes_one_sync(void **state)
{
    static const char value[] = "a value that is not to be found afterwards";
    char key[16];
    (void)state;
    open_with(KV_FSYNC_NEVER);
    for (unsigned i = 0; i < 50; i++) {
        (void)snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(kv_put(store, key, strlen(key), value, sizeof value, 0, 0), KV_OK);
    }
    assert_int_equal(kv_sync(store), KV_OK);
    unsigned fewest = 50;
    for (unsigned round = 0; round < 10;
         round++) { // on a slow machine the store's own syncs come between all of some
        unsigned before = kit_calls(KIT_FDATASYNC);
        for (unsigned i = round * 5; i < round * 5 + 5; i++) {
            (void)snprintf(key, sizeof key, "k%u", i);
            assert_int_equal(kv_delete(store, key, strlen(key), KV_DELETE_LATER), KV_OK);
            kit_expect(store, key, NULL);
        }
        unsigned syncs = kit_calls(KIT_FDATASYNC) - before;
        fewest = syncs < fewest ? syncs : fewest;
    }
    assert_true(fewest < 5);
    assert_int_equal(kv_sync(store), KV_OK);
    assert_int_equal(kit_files_with(folder, value, sizeof value), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(what_a_put_replaced), TEST(who_is_told_changes),
                                       TEST(many_deletes_one_sync)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
