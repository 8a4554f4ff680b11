// kv_export() beside writers, compactions and clears: what nobody touches comes once, with its value.
#include "export_kit.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

#define STABLE 200u // keys below it are not written
#define HOT    300u // keys from STABLE to it are replaced all the time
#define GONE   400u // and those up to it deleted and put again

static _Atomic bool stop;

static void *write_hot(void *arg)
{
    (void)arg;
    for (uint32_t n = 1; !atomic_load(&stop); n++) {
        export_put(STABLE + n % (HOT - STABLE), n, n % 2 == 0 ? 7000000 : 0);
        uint32_t key = HOT + n % (GONE - HOT);
        if (n % 3 == 0)
            export_put(key, n, 0);
        else
            (void)kv_delete(fixture.store, &key, sizeof key, KV_PUT_NO_WAIT);
        key = STABLE - 1 - n % 50;
        if (n % 5 == 0) // its value stays
            assert_int_equal(kv_set_expiry(fixture.store, &key, sizeof key, 6000000 + n, KV_PUT_NO_WAIT),
                             KV_OK);
    }
    return NULL;
}

static void *read_and_compact(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        uint32_t key = STABLE / 2;
        void *value;
        size_t len;
        assert_int_equal(kv_get_alloc(fixture.store, &key, sizeof key, &value, &len, NULL), KV_OK);
        free(value);
        (void)kv_compact_step(fixture.store);
    }
    return NULL;
}

static void test_beside_writers(void **state)
{
    (void)state;
    export_put_all(0);
    atomic_store(&stop, false);
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < 1 ? write_hot : read_and_compact, NULL), 0);
    for (unsigned round = 0; round < (KIT_SANITIZED ? 6u : 25u); round++) {
        export_forget();
        assert_int_equal(export_all(), KV_OK);
        export_expect_once(0, HOT);
        export_expect_once(GONE, EXPORT_KEYS);
        for (uint32_t key = HOT; key < GONE; key++)
            assert_true(export_visits.times[key] <= 1);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(fixture_stats().damaged_records, 0);
    kit_close(&fixture.store);
    fixture_open_limited(64u << 20);
    export_forget();
    assert_int_equal(export_all(), KV_OK);
    assert_int_equal(export_visits.total, fixture_stats().keys);
}

static void *clear_now_and_then(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        (void)usleep(5000);
        assert_int_equal(kv_clear(fixture.store), KV_OK);
    }
    return NULL;
}

static void *put_on(void *arg)
{
    (void)arg;
    for (uint32_t n = 0; !atomic_load(&stop); n++)
        export_put(n % EXPORT_KEYS, n, 0);
    return NULL;
}

static void test_beside_clears(void **state)
{
    (void)state;
    export_put_all(0);
    atomic_store(&stop, false);
    pthread_t threads[2];
    assert_int_equal(pthread_create(&threads[0], NULL, clear_now_and_then, NULL), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, put_on, NULL), 0);
    for (unsigned round = 0; round < (KIT_SANITIZED ? 20u : 100u); round++) {
        export_forget();
        assert_int_equal(export_all(), KV_OK);
        for (uint32_t key = 0; key < EXPORT_KEYS; key++)
            assert_true(export_visits.times[key] <= 1);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, export_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_beside_writers),
        TEST(test_beside_clears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
