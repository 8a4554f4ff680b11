// Overwriting, deleting, views, clearing and changes of the limit at the same time, while chunks are being emptied.
#include "kv_tier_kit.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define KEYS 4000u

#define THREADS 4u

static _Atomic unsigned writers, mistakes;

// Values say whose they are; a key's is 16 to 3000 bytes.
static void *overwrite(void *arg)
{
    uint64_t x = *(uint64_t *)arg;
    uint8_t value[3000];
    for (unsigned i = 0; i < 5 * KEYS; i++) {
        uint32_t key = (uint32_t)(next(&x) % KEYS);
        size_t len = 16 + next(&x) % (sizeof value - 16);
        fill_value(key, value, len);
        enum kv_status status = i % 10 == 0 ? kv_delete(store, &key, sizeof key, KV_DELETE_LATER)
                                            : kv_put(store, &key, sizeof key, value, len, 0, KV_PUT_NO_WAIT);
        if (status != KV_OK && status != KV_NOT_FOUND)
            atomic_fetch_add(&mistakes, 1);
    }
    atomic_fetch_sub(&writers, 1);
    return NULL;
}

static bool is_whole(uint32_t key, const struct kv_view *view)
{
    uint8_t expected[3000];
    if (view->len < 16 || view->len > sizeof expected)
        return false;
    fill_value(key, expected, view->len);
    return memcmp(view->data, expected, view->len) == 0;
}

// Holds a few views at a time, and looks at each again before it lets go.
static void *look(void *arg)
{
    enum { HELD = 16 };
    struct kv_view views[HELD];
    uint32_t keys[HELD];
    bool held[HELD] = {false};
    uint64_t x = *(uint64_t *)arg;
    bool ends;
    for (unsigned i = 0; (ends = atomic_load(&writers) == 0), i < 1000000 && !ends; i++) {
        unsigned n = i % HELD;
        if (held[n]) {
            if (!is_whole(keys[n], &views[n]))
                atomic_fetch_add(&mistakes, 1);
            kv_view_release(store, &views[n]);
        }
        keys[n] = (uint32_t)(next(&x) % KEYS);
        held[n] = kv_get_view(store, &keys[n], sizeof keys[n], &views[n]) == KV_OK;
        if (held[n] && !is_whole(keys[n], &views[n]))
            atomic_fetch_add(&mistakes, 1);
    }
    for (unsigned n = 0; n < HELD; n++)
        if (held[n])
            kv_view_release(store, &views[n]);
    return NULL;
}

static void all_at_once(uint64_t budget)
{
    pthread_t threads[THREADS];
    uint64_t seeds[THREADS] = {1, 2, 3, 4};
    set_budget(budget);
    atomic_store(&writers, THREADS / 2);
    atomic_store(&mistakes, 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < THREADS / 2 ? overwrite : look, &seeds[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&mistakes), 0);
    assert_int_equal(stats().damaged_records, 0);
    check_counts();
}

static void test_all_at_once(void **state)
{
    (void)state;
    all_at_once(32ull * MB - 64 * 1024); // enough for four times what is live
    assert_int_equal(stats().evicted, 0);
    for (uint32_t i = 0; i < 512; i++)
        put(i, LEN);
    check_resident(3);
    assert_true(atomic_load(&store->tier.moved) > 0);
    all_at_once(4 * MB); // too little
    set_budget(0);
    assert_int_equal(stats().chunk_bytes, 0);
}

// Clearing the store and changing the limit while chunks are being emptied.
static void *disturb(void *arg)
{
    uint64_t x = *(uint64_t *)arg;
    while (atomic_load(&writers) != 0) {
        uint64_t bytes = (2 + next(&x) % 20) * MB;
        if (kv_set_memory_limit(store, kv_other_memory(store) + bytes) != KV_OK ||
            (next(&x) % 8 == 0 && kv_clear(store) != KV_OK))
            atomic_fetch_add(&mistakes, 1);
        (void)usleep(2000);
    }
    return NULL;
}

static void test_disturbed(void **state)
{
    (void)state;
    pthread_t threads[3];
    uint64_t seeds[3] = {5, 6, 7};
    set_budget(8 * MB);
    atomic_store(&writers, 1);
    atomic_store(&mistakes, 0);
    assert_int_equal(pthread_create(&threads[0], NULL, overwrite, &seeds[0]), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, look, &seeds[1]), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, disturb, &seeds[2]), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&mistakes), 0);
    check_counts();
    set_budget(0);
    assert_int_equal(stats().chunk_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_at_once),
        TEST(test_disturbed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
