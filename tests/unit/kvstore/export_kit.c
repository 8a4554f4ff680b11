#include "export_kit.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_internal.h"

int export_setup(void **state)
{
    (void)state;
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_INTERVAL;
    options.compact_bytes_s = 1u << 30;
    options.no_bring_back = true;
    options.limit_bytes = 64u << 20;
    fixture_begin(&options);
    return 0;
}

size_t export_len_of(uint32_t key, uint32_t generation)
{
    if (key % 200 == 7)
        return 1200000 + key; // larger than a read
    return key % 50 == 3 ? 0 : 8 + (key * 37 + generation * 11) % EXPORT_LEN;
}

void export_fill_value(uint32_t key, uint32_t generation, uint8_t *value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        value[i] = (uint8_t)(key * 7 + i);
    if (len >= sizeof generation)
        memcpy(value, &generation, sizeof generation);
}

void export_put(uint32_t key, uint32_t generation, uint64_t expire_ms)
{
    size_t len = export_len_of(key, generation);
    uint8_t *value = malloc(len + 1);
    assert_non_null(value);
    export_fill_value(key, generation, value, len);
    assert_int_equal(kv_put(fixture.store, &key, sizeof key, value, len, expire_ms, KV_PUT_NO_WAIT), KV_OK);
    free(value);
}

void export_put_all(uint32_t generation)
{
    for (uint32_t key = 0; key < EXPORT_KEYS; key++)
        export_put(key, generation, key % 5 == 0 ? 9000000 + key : 0);
}

struct visits export_visits;

bool export_seen(void *arg, const void *key, size_t key_len, const void *value, size_t len,
                 uint64_t expire_ms)
{
    struct visits *v = arg;
    uint32_t number = EXPORT_MOST, generation = 0;
    if (key_len == sizeof number)
        memcpy(&number, key, sizeof number);
    if (number >= EXPORT_MOST) {
        v->wrong = true;
        return false;
    }
    if (len >= sizeof generation)
        memcpy(&generation, value, sizeof generation);
    uint8_t *expected = malloc(len + 1);
    export_fill_value(number, generation, expected, len);
    v->wrong |= len != export_len_of(number, generation) || memcmp(value, expected, len) != 0;
    free(expected);
    atomic_fetch_add(&v->times[number], 1);
    v->generation[number] = generation;
    v->expire_ms[number] = expire_ms;
    v->total++;
    if (v->meanwhile != NULL)
        v->meanwhile(v);
    return v->total != v->stop_after;
}

enum kv_status export_all(void)
{
    enum kv_status status = kv_export(fixture.store, export_seen, &export_visits);
    assert_false(export_visits.wrong);
    assert_null(fixture.store->exports.first);
    return status;
}

void export_expect_once(uint32_t from, uint32_t to)
{
    for (uint32_t key = from; key < to; key++)
        if (export_visits.times[key] != 1)
            fail_msg("key %u came %u times", key, export_visits.times[key]);
}

void export_forget(void)
{
    memset(&export_visits, 0, sizeof export_visits);
}
