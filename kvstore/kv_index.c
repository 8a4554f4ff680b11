#include "kvstore/kv_index.h"

#include <string.h>

void kv_index_init(struct kv_index *index)
{
    memset(index, 0, sizeof *index);
    for (size_t i = 0; i < KV_SHARDS; i++) {
        (void)pthread_mutex_init(&index->shards[i].lock, NULL);
        (void)pthread_mutex_init(&index->shards[i].write, NULL);
    }
}

void kv_index_destroy(struct kv_index *index)
{
    for (size_t i = 0; i < KV_SHARDS; i++) {
        kv_table_destroy(&index->shards[i].keys);
        kv_table_destroy(&index->shards[i].expiry);
        (void)pthread_mutex_destroy(&index->shards[i].lock);
        (void)pthread_mutex_destroy(&index->shards[i].write);
    }
}

static void account(struct kv_index *index, size_t before, size_t after)
{
    if (before != after)
        atomic_fetch_add_explicit(&index->bytes, after - before, memory_order_relaxed);
}

static bool reserve(struct kv_index *index, struct kv_table *table)
{
    size_t before = kv_table_bytes(table);
    bool ok = kv_table_reserve(table);
    account(index, before, kv_table_bytes(table));
    return ok;
}

static void remove_slot(struct kv_index *index, struct kv_table *table, struct kv_slot *slot)
{
    size_t before = kv_table_bytes(table);
    kv_table_remove(table, slot);
    account(index, before, kv_table_bytes(table));
}

bool kv_index_reserve(struct kv_index *index, struct kv_shard *shard, bool expires)
{
    return reserve(index, &shard->keys) && (!expires || reserve(index, &shard->expiry));
}

bool kv_index_reserve_for(struct kv_index *index, struct kv_shard *shard, size_t keys)
{
    size_t before = kv_table_bytes(&shard->keys);
    bool ok = kv_table_reserve_for(&shard->keys, keys);
    account(index, before, kv_table_bytes(&shard->keys));
    return ok;
}

void kv_index_insert(struct kv_index *index, struct kv_shard *shard, uint64_t hash, uint64_t word)
{
    (void)kv_table_insert(&shard->keys, hash, word);
    atomic_fetch_add_explicit(&index->keys, 1, memory_order_relaxed);
}

void kv_index_remove(struct kv_index *index, struct kv_shard *shard, struct kv_slot *slot)
{
    remove_slot(index, &shard->keys, slot);
    atomic_fetch_sub_explicit(&index->keys, 1, memory_order_relaxed);
}

void kv_index_clear(struct kv_index *index, struct kv_shard *shard)
{
    size_t bytes = kv_table_bytes(&shard->keys) + kv_table_bytes(&shard->expiry);
    atomic_fetch_sub_explicit(&index->keys, shard->keys.count, memory_order_relaxed);
    atomic_fetch_sub_explicit(&index->expiring, shard->expiry.count, memory_order_relaxed);
    kv_table_destroy(&shard->keys);
    kv_table_destroy(&shard->expiry);
    account(index, bytes, 0);
    shard->cached_bytes = shard->cached_records = 0;
}

static struct kv_slot *find_expiry(const struct kv_shard *shard, uint64_t hash, uint64_t where_disk)
{
    struct kv_slot *at = kv_table_find(&shard->expiry, hash);
    while (at != NULL && !kv_expiry_is_of(at->word, where_disk))
        at = kv_table_next(&shard->expiry, at);
    return at;
}

uint64_t kv_index_expiry(const struct kv_shard *shard, const struct kv_slot *slot, uint64_t where_disk)
{
    if ((slot->word & KV_WORD_EXPIRES) == 0)
        return 0;
    const struct kv_slot *at = find_expiry(shard, slot->hash, where_disk);
    return at == NULL ? 0 : kv_expiry_ms(at->word);
}

void kv_index_set_expiry(struct kv_index *index, struct kv_shard *shard, struct kv_slot *slot,
                         uint64_t where_disk, uint64_t expire_ms)
{
    if (expire_ms > KV_EXPIRE_MAX_MS)
        expire_ms = KV_EXPIRE_MAX_MS;
    struct kv_slot *at =
        (slot->word & KV_WORD_EXPIRES) != 0 ? find_expiry(shard, slot->hash, where_disk) : NULL;
    if (at != NULL && expire_ms != 0) {
        at->word = kv_expiry_word(where_disk, expire_ms);
    } else if (at != NULL) {
        remove_slot(index, &shard->expiry, at);
        atomic_fetch_sub_explicit(&index->expiring, 1, memory_order_relaxed);
    } else if (expire_ms != 0) {
        (void)kv_table_insert(&shard->expiry, slot->hash, kv_expiry_word(where_disk, expire_ms));
        atomic_fetch_add_explicit(&index->expiring, 1, memory_order_relaxed);
    }
    slot->word = expire_ms != 0 ? slot->word | KV_WORD_EXPIRES : slot->word & ~KV_WORD_EXPIRES;
}
