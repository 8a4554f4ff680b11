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

bool in_memory(const void *bytes, size_t len)
{
    const struct kv_tier *tier = &store->tier;
    for (uint32_t i = 0; i < tier->reserved; i++)
        if (atomic_load(&tier->chunks[i].state) != KV_CHUNK_FREE &&
            memmem(tier->base + (size_t)i * KV_CHUNK_BYTES, tier->chunks[i].used, bytes, len) != NULL)
            return true;
    return false;
}

static uint32_t tier_state(uint32_t chunk)
{
    return atomic_load(&store->tier.chunks[chunk].state);
}

void check_counts(void)
{
    const struct kv_tier *tier = &store->tier;
    uint64_t live = 0, noted = 0;
    for (uint32_t i = 0; i < tier->reserved; i++) {
        const struct kv_chunk *c = &tier->chunks[i];
        uint32_t used = atomic_load(&c->used), dead = 0;
        if (tier_state(i) != KV_CHUNK_OPEN && tier_state(i) != KV_CHUNK_SEALED)
            continue;
        for (uint32_t at = 0; at < used;) {
            const struct kv_mem *mem = kv_chunk_mem(tier, i, at);
            dead += atomic_load(&mem->refs) == KV_MEM_DEAD ? mem->size : 0;
            at += mem->size;
        }
        assert_int_equal(atomic_load(&c->dead), dead);
        assert_true(c->noted <= dead);
        assert_true(i == atomic_load(&tier->emptied) || dead - c->noted <= c->capacity / KV_DEAD_SHARES);
        assert_true(tier_state(i) == KV_CHUNK_OPEN || dead < used); // else it is not there any more
        live += used - dead;
        noted += c->noted;
    }
    assert_int_equal(live, stats().cached_bytes);
    assert_int_equal(noted, atomic_load(&tier->dead_bytes));
}

void check_resident(unsigned chunks)
{
    struct kv_stats s = stats();
    uint64_t most = s.cached_bytes + s.cached_bytes * 30 / 100;
    if (s.chunk_bytes > most + (uint64_t)chunks * kv_chunk_capacity(kv_tier_budget(store)))
        fail_msg("%llu resident, %llu live", (unsigned long long)s.chunk_bytes,
                 (unsigned long long)s.cached_bytes);
}
