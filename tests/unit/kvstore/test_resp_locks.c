// The locks of keys: what a set takes and gives back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kvstore/resp/locks.h"

// Proves: exactly the locks of a set are taken and given back; one that cannot be had leaves none taken.
static void lock_sets(void **state)
{
    static struct resp_locks locks;
    const unsigned picked[] = {0, 1, 63, 64, 127, 128, 200, 255};
    struct resp_lock_set set = {.keys = 8}, none = {0};
    (void)state;
    assert_true(resp_locks_init(&locks));
    for (size_t i = 0; i < 8; i++)
        set.bits[picked[i] / 64] |= 1ull << (picked[i] % 64);
    assert_true(resp_locks_take(&locks, &none, true, false));
    assert_true(resp_locks_take(&locks, &set, true, false));
    assert_false(resp_locks_free_to_read(&locks));
    size_t taken = 0;
    for (unsigned i = 0; i < RESP_KEY_LOCKS; i++) {
        if (pthread_mutex_trylock(&locks.locks[i]) == 0)
            (void)pthread_mutex_unlock(&locks.locks[i]);
        else
            assert_int_equal(i, picked[taken++]);
    }
    assert_int_equal(taken, 8);
    assert_false(resp_locks_take(&locks, &set, true, false));
    resp_locks_release(&locks, &set, true);
    assert_true(resp_locks_free_to_read(&locks));
    (void)pthread_mutex_lock(&locks.locks[200]);
    assert_false(resp_locks_take(&locks, &set, true, false));
    (void)pthread_mutex_unlock(&locks.locks[200]);
    assert_true(resp_locks_take(&locks, &set, false, true));
    resp_locks_release(&locks, &set, false);
    resp_lock_set_add_all(&set);
    assert_true(resp_locks_take(&locks, &set, true, false));
    resp_locks_release(&locks, &set, true);
    resp_locks_release(&locks, &none, true);
    resp_locks_deinit(&locks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lock_sets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
