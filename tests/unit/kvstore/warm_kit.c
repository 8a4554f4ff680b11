#include "warm_kit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kv_kit.h"
#include "kvstore/kv_internal.h"

void warm_sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

void warm_fill_value(uint32_t key, uint8_t *value)
{
    memset(value, (int)(key * 31), WARM_VALUE_LEN);
    memcpy(value, &key, sizeof key);
}

// A store of WARM_KEYS values, 32 MB, all in memory.
int warm_setup(void **state)
{
    struct warm_fixture *f = calloc(1, sizeof *f);
    kit_folder(f->dir);
    f->options = kit_options();
    f->options.fsync = KV_FSYNC_NEVER;
    f->options.segment_bytes = 8 << 20;
    f->options.limit_bytes = 128 << 20;
    f->store = kit_open(f->dir, &f->options);
    uint8_t value[WARM_VALUE_LEN];
    for (uint32_t key = 0; key < WARM_KEYS; key++) {
        warm_fill_value(key, value);
        assert_int_equal(kv_put(f->store, &key, sizeof key, value, sizeof value, 0, 0), KV_OK);
    }
    *state = f;
    return 0;
}

int warm_teardown(void **state)
{
    struct warm_fixture *f = *state;
    if (f->store != NULL)
        kit_close(&f->store);
    kit_remove(f->dir);
    free(f);
    return 0;
}

void warm_get(struct kv_store *store, uint32_t key)
{
    uint8_t value[WARM_VALUE_LEN], expected[WARM_VALUE_LEN];
    size_t len = sizeof value;
    assert_int_equal(kv_get(store, &key, sizeof key, value, &len), KV_OK);
    warm_fill_value(key, expected);
    assert_int_equal(len, sizeof value);
    assert_memory_equal(value, expected, sizeof value);
}

struct kv_stats warm_stats_of(struct warm_fixture *f)
{
    struct kv_stats stats;
    kv_get_stats(f->store, &stats);
    return stats;
}

struct kv_stats warm_wait_idle(struct warm_fixture *f)
{
    struct kv_stats stats;
    for (unsigned i = 0; (stats = warm_stats_of(f)).warming; i++) {
        assert_true(i < 6000);
        warm_sleep_ms(5);
    }
    return stats;
}

void warm_set_limit(struct warm_fixture *f, uint64_t bytes)
{
    assert_int_equal(kv_set_memory_limit(f->store, bytes), KV_OK);
}

// A limit that leaves so much for values.
uint64_t warm_limit_for(struct warm_fixture *f, uint64_t value_bytes)
{
    return kv_other_memory(f->store) + value_bytes;
}

// Reads that take their time.
_Atomic unsigned warm_slow_us;
static ssize_t slow_pread(int fd, void *buf, size_t len, off_t offset)
{
    unsigned us = atomic_load(&warm_slow_us);
    struct timespec t = {.tv_nsec = (long)us * 1000};
    if (us != 0)
        (void)nanosleep(&t, NULL);
    return pread(fd, buf, len, offset);
}

int warm_setup_slow(void **state)
{
    kv_io.pread = slow_pread;
    return warm_setup(state);
}

int warm_teardown_slow(void **state)
{
    atomic_store(&warm_slow_us, 0);
    int result = warm_teardown(state);
    kv_io_reset();
    return result;
}
