#include "clear_kit.h"

#include <dirent.h>
#include <string.h>

int clear_setup(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.fsync_interval_ms =
        100000000; // the sweeper syncs nothing: the faults are for the steps of the clear
    fixture_begin(&options);
    return 0;
}

void clear_fill_value(uint32_t key, uint32_t generation, uint8_t *value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        value[i] = (uint8_t)(1 + (key * 7 + generation * 31 + i) % 250);
}

enum kv_status clear_put(uint32_t key, uint32_t generation, unsigned flags)
{
    uint8_t value[CLEAR_LEN];
    clear_fill_value(key, generation, value, CLEAR_LEN);
    return kv_put(fixture.store, &key, sizeof key, value, CLEAR_LEN, key % 4 == 0 ? 5000000 : 0, flags);
}

void clear_put_all(void)
{
    for (uint32_t key = 0; key < CLEAR_KEYS; key++)
        assert_int_equal(clear_put(key, 0, KV_PUT_NO_WAIT), KV_OK);
    assert_int_equal(kv_sync(fixture.store), KV_OK);
}

// How many of the keys are there, each with its value.
unsigned clear_there(void)
{
    unsigned count = 0;
    for (uint32_t key = 0; key < CLEAR_KEYS; key++) {
        uint8_t expected[CLEAR_LEN], got[CLEAR_LEN];
        size_t len = sizeof got;
        enum kv_status status = kv_get(fixture.store, &key, sizeof key, got, &len);
        if (status == KV_NOT_FOUND)
            continue;
        assert_int_equal(status, KV_OK);
        clear_fill_value(key, 0, expected, CLEAR_LEN);
        assert_int_equal(len, CLEAR_LEN);
        assert_memory_equal(got, expected, CLEAR_LEN);
        count++;
    }
    return count;
}

unsigned clear_files_like(const char *part)
{
    unsigned found = 0;
    DIR *d = opendir(fixture.dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        found += strstr(e->d_name, part) != NULL;
    (void)closedir(d);
    return found;
}

static bool never(void *arg, const void *key, size_t key_len, size_t value_len, uint64_t expire_ms)
{
    (void)arg, (void)key, (void)key_len, (void)value_len, (void)expire_ms;
    return false;
}

void clear_expect_empty(void)
{
    assert_int_equal(clear_there(), 0);
    uint64_t cursor = 0;
    do
        assert_int_equal(kv_scan(fixture.store, &cursor, 1000, never, NULL), KV_OK);
    while (cursor != 0);
    uint32_t key = 0;
    assert_int_equal(kv_exists(fixture.store, &key, sizeof key), KV_NOT_FOUND);
    assert_int_equal(kv_peek(fixture.store, &key, sizeof key, NULL), KV_NOT_FOUND);
    struct kv_stats s = fixture_stats();
    assert_int_equal(s.keys, 0);
    assert_int_equal(s.keys_with_expiry, 0);
    assert_int_equal(s.live_bytes, 0);
    assert_int_equal(s.cached_records, 0);
    assert_int_equal(s.cached_bytes, 0);
    assert_int_equal(s.damaged_records, 0);
}
