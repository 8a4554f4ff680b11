#include "kv_tier_kit.h"

#include <stdlib.h>
#include <string.h>

static char dir[128];
struct kv_store *store;

int setup(void **state)
{
    (void)state;
    kit_heal();
    kit_folder(dir);
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_NEVER;
    options.segment_bytes = 64u * MB;
    store = kit_open(dir, &options);
    return 0;
}

int teardown(void **state)
{
    (void)state;
    kit_close(&store);
    kit_remove(dir);
    return 0;
}

struct kv_stats stats(void)
{
    struct kv_stats s;
    kv_get_stats(store, &s);
    return s;
}

void set_budget(uint64_t bytes)
{
    assert_int_equal(kv_set_memory_limit(store, kv_other_memory(store) + bytes), KV_OK);
}

uint64_t next(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return *x >> 24;
}

// A value says whose it is, front and back.
void fill_value(uint32_t key, uint8_t *value, size_t len)
{
    memset(value, (int)(key % 251), len);
    if (len >= 8) {
        memcpy(value, &key, sizeof key);
        memcpy(value + len - sizeof key, &key, sizeof key);
    }
}

void put(uint32_t key, size_t len)
{
    uint8_t *value = malloc(len + 1);
    assert_non_null(value);
    fill_value(key, value, len);
    assert_int_equal(kv_put(store, &key, sizeof key, value, len, 0, KV_PUT_NO_WAIT), KV_OK);
    free(value);
}

bool get(uint32_t key, size_t len)
{
    static _Thread_local uint8_t buf[16384], expected[16384];
    struct kv_shard *shard = kv_index_shard(&store->index, kv_hash_key(&store->seeds, &key, sizeof key).low);
    (void)pthread_mutex_lock(&shard->lock);
    uint64_t before = shard->misses;
    (void)pthread_mutex_unlock(&shard->lock);
    size_t n = sizeof buf;
    assert_int_equal(kv_get(store, &key, sizeof key, buf, &n), KV_OK);
    assert_int_equal(n, len);
    fill_value(key, expected, len);
    assert_memory_equal(buf, expected, len);
    (void)pthread_mutex_lock(&shard->lock);
    bool hit = shard->misses == before;
    (void)pthread_mutex_unlock(&shard->lock);
    return hit;
}

double hit_ratio(uint32_t from, uint32_t count, size_t len)
{
    unsigned hits = 0;
    for (uint32_t i = 0; i < count; i++)
        hits += get(from + i, len);
    return (double)hits / count;
}

struct kv_slot slot_of(uint32_t key)
{
    uint64_t hash = kv_hash_key(&store->seeds, &key, sizeof key).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot slot = *kv_table_find(&shard->keys, hash);
    (void)pthread_mutex_unlock(&shard->lock);
    return slot;
}

bool is_cached(uint32_t key)
{
    return (slot_of(key).word & KV_WORD_CACHED) != 0;
}
