// Sets of keys with values told by key and generation, put by batches: what the tests of batches share. The store
// and its folder are the including test's own.
#ifndef MEC_TESTS_KV_SETS_H
#define MEC_TESTS_KV_SETS_H

#include "kv_kit.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_internal.h"

static char dir[128];
static struct kv_store *store;

static inline struct kv_options large_segments(void)
{
    struct kv_options options = kit_options();
    options.segment_bytes = 64u << 20;
    options.fsync = KV_FSYNC_INTERVAL;
    return options;
}

static inline int setup(void **state)
{
    (void)state;
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    kit_folder(dir);
    struct kv_options options = large_segments();
    store = kit_open(dir, &options);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    kit_heal();
    (void)kv_close(&store);
    kit_remove(dir);
    return 0;
}

static inline void reopen(void)
{
    (void)kv_close(&store);
    kit_heal();
    struct kv_options options = large_segments();
    store = kit_open(dir, &options);
}

// ---- batches

struct set {
    struct kv_put_item *items;
    uint32_t *keys;
    uint8_t *values;
    size_t count, len;
};

static inline uint8_t byte_of(uint32_t key, uint32_t generation, size_t i)
{
    return (uint8_t)(1 + (key * 31 + generation * 7 + i * 13) % 251);
}

static inline struct set make_set(uint32_t first, size_t count, size_t len, uint32_t generation)
{
    struct set set = {.count = count, .len = len};
    set.items = calloc(count, sizeof *set.items);
    set.keys = calloc(count, sizeof *set.keys);
    set.values = malloc(count * len + 1);
    assert_true(set.items != NULL && set.keys != NULL && set.values != NULL);
    for (size_t n = 0; n < count; n++) {
        set.keys[n] = first + (uint32_t)n;
        for (size_t i = 0; i < len; i++)
            set.values[n * len + i] = byte_of(set.keys[n], generation, i);
        set.items[n] = (struct kv_put_item){.key = &set.keys[n],
                                            .key_len = 4,
                                            .value = set.values + n * len,
                                            .len = len,
                                            .status = KV_PENDING};
    }
    return set;
}

static inline void free_set(struct set *set)
{
    free(set->items);
    free(set->keys);
    free(set->values);
}

static inline void put_set(uint32_t first, size_t count, size_t len, uint32_t generation)
{
    struct set set = make_set(first, count, len, generation);
    assert_int_equal(kv_put_batch(store, set.items, set.count, 0), KV_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(set.items[i].status, KV_OK);
    free_set(&set);
}

static inline void expect_key(uint32_t key, size_t len, uint32_t generation)
{
    void *got;
    size_t got_len;
    enum kv_status status = kv_get_alloc(store, &key, 4, &got, &got_len, NULL);
    if (status != KV_OK)
        fail_msg("key %u: %s", key, kv_status_text(status));
    assert_int_equal(got_len, len);
    for (size_t i = 0; i < len; i++)
        if (((uint8_t *)got)[i] != byte_of(key, generation, i))
            fail_msg("key %u: byte %zu", key, i);
    free(got);
}

static inline void expect_set(uint32_t first, size_t count, size_t len, uint32_t generation)
{
    for (size_t n = 0; n < count; n++)
        expect_key(first + (uint32_t)n, len, generation);
}

static inline struct kv_stats stats(void)
{
    struct kv_stats s;
    kv_get_stats(store, &s);
    return s;
}

#endif
