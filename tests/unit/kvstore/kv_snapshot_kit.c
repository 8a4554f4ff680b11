#include "kv_snapshot_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

char snap_dir[128];
struct snap_expected snap_model[SNAP_KEYS];
uint32_t snap_versions;

int snap_setup(void **state)
{
    (void)state;
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    memset(snap_model, 0, sizeof snap_model);
    snap_versions = 0;
    kit_folder(snap_dir);
    return 0;
}

int snap_teardown(void **state)
{
    (void)state;
    kit_heal();
    kit_remove(snap_dir);
    return 0;
}

static uint64_t seed = 1;
uint32_t snap_roll(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % below);
}

size_t snap_make_value(uint32_t key, uint32_t version, uint8_t out[2048])
{
    size_t len = 24 + (key * 131u + version * 977u) % 1900;
    uint64_t x = (uint64_t)version << 32 | key;
    for (size_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(x >> 56);
    }
    return len;
}

void snap_put(struct kv_store *store, uint32_t key, uint64_t expire_ms)
{
    uint8_t value[2048];
    snap_model[key] = (struct snap_expected){++snap_versions, expire_ms};
    size_t len = snap_make_value(key, snap_versions, value);
    assert_int_equal(kv_put(store, &key, sizeof key, value, len, expire_ms, 0), KV_OK);
}

void snap_drop(struct kv_store *store, uint32_t key)
{
    assert_int_equal(kv_delete(store, &key, sizeof key, 0),
                     snap_model[key].version != 0 ? KV_OK : KV_NOT_FOUND);
    snap_model[key] = (struct snap_expected){0};
}

void snap_expire(struct kv_store *store, uint32_t key, uint64_t expire_ms)
{
    assert_int_equal(kv_set_expiry(store, &key, sizeof key, expire_ms, 0),
                     snap_model[key].version != 0 ? KV_OK : KV_NOT_FOUND);
    snap_model[key].expire_ms = expire_ms;
}

void snap_some_writes(struct kv_store *store, unsigned count)
{
    while (count-- > 0) {
        uint32_t key = snap_roll(SNAP_KEYS), what = snap_roll(10);
        if (what < 6)
            snap_put(store, key, snap_roll(4) == 0 ? 5000000 + snap_roll(1000) : 0);
        else if (what < 8)
            snap_drop(store, key);
        else if (snap_model[key].version != 0)
            snap_expire(store, key, snap_roll(3) == 0 ? 0 : 6000000 + snap_roll(1000));
    }
}

void snap_check_key(struct kv_store *store, uint32_t key)
{
    uint8_t value[2048];
    void *got;
    size_t len, got_len;
    uint64_t expire_ms = 0;
    enum kv_status status = kv_get_alloc(store, &key, sizeof key, &got, &got_len, NULL);
    if (status != (snap_model[key].version != 0 ? KV_OK : KV_NOT_FOUND))
        fail_msg("key %u, version %u: %s", key, snap_model[key].version, kv_status_text(status));
    if (status != KV_OK)
        return;
    len = snap_make_value(key, snap_model[key].version, value);
    assert_int_equal(got_len, len);
    assert_memory_equal(got, value, len);
    free(got);
    assert_int_equal(kv_get_expiry(store, &key, sizeof key, &expire_ms), KV_OK);
    assert_int_equal(expire_ms, snap_model[key].expire_ms);
}

void snap_check_all(struct kv_store *store)
{
    uint64_t keys = 0, timed = 0;
    for (uint32_t key = 0; key < SNAP_KEYS; key++) {
        snap_check_key(store, key);
        keys += snap_model[key].version != 0;
        timed += snap_model[key].expire_ms != 0;
    }
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.keys, keys);
    assert_int_equal(stats.keys_with_expiry, timed);
}

uint64_t snap_keys(struct kv_store *store)
{
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    return stats.snapshot_keys;
}

// By the sums of what the index says.
void snap_check_live(struct kv_store *store)
{
    int64_t live = 0, bytes = 0, expected_bytes = 0;
    (void)pthread_mutex_lock(&store->compact_lock); // nothing is moved while it is counted
    for (size_t i = 0; i < store->segments.count; i++) {
        live += atomic_load(&store->segments.list[i]->live_count);
        bytes += atomic_load(&store->segments.list[i]->live_bytes);
    }
    for (size_t i = 0; i < KV_SHARDS; i++) {
        const struct kv_table *table = &store->index.shards[i].keys;
        for (size_t at = 0; at < table->capacity; at++)
            if (table->slots[at].word != 0)
                expected_bytes += (int64_t)kv_class_floor(kv_word_class(table->slots[at].word));
    }
    int64_t keys = (int64_t)atomic_load(&store->index.keys);
    (void)pthread_mutex_unlock(&store->compact_lock);
    assert_int_equal(live, keys);
    assert_int_equal(bytes, expected_bytes);
}

bool snap_has_index(const char *folder)
{
    char path[192];
    (void)snprintf(path, sizeof path, "%.128s/INDEX", folder);
    return access(path, F_OK) == 0;
}

void snap_check_crash(struct kv_store *running, bool by_snapshot)
{
    char copy[128];
    kit_folder(copy);
    (void)pthread_mutex_lock(&running->compact_lock); // no files come or go while they are copied
    (void)pthread_mutex_lock(&running->snapshots.lock);
    kit_copy(snap_dir, copy);
    (void)pthread_mutex_unlock(&running->snapshots.lock);
    (void)pthread_mutex_unlock(&running->compact_lock);
    struct kv_store *store = kit_open(copy, NULL);
    assert_int_equal(store->snapshots.low != KV_NO_SNAPSHOT, by_snapshot);
    snap_check_live(store);
    snap_check_all(store);
    snap_check_live(store);
    kit_close(&store);
    store = kit_open(copy, NULL);
    snap_check_all(store);
    kit_close(&store);
    kit_forget_index(copy); // and what was left is as good for reading everything
    store = kit_open(copy, NULL);
    assert_int_equal(snap_keys(store), 0);
    snap_check_all(store);
    kit_close(&store);
    kit_remove(copy);
}

void snap_abandon(struct kv_store **store)
{
    atomic_store(&(*store)->read_only, true);
    (void)kv_close(store);
}
