// Index slots and what hangs on them, and how a writer finds its key's.
#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>

uint64_t kv_slot_disk(struct kv_store *store, const struct kv_slot *slot)
{
    uint64_t where = kv_word_where(slot->word);
    return (slot->word & KV_WORD_CACHED) != 0 ? kv_tier_mem(&store->tier, where)->disk : where;
}

struct kv_slot *kv_slot_at(struct kv_store *store, struct kv_shard *shard, uint64_t hash, uint64_t where_disk)
{
    struct kv_slot *slot = kv_table_find(&shard->keys, hash);
    while (slot != NULL && kv_slot_disk(store, slot) != where_disk)
        slot = kv_table_next(&shard->keys, slot);
    return slot;
}

bool kv_slot_is_live(struct kv_store *store, struct kv_shard *shard, uint64_t hash, uint64_t where,
                     uint64_t *expire_ms)
{
    (void)pthread_mutex_lock(&shard->lock);
    const struct kv_slot *slot = kv_slot_at(store, shard, hash, where);
    if (slot != NULL)
        *expire_ms = kv_index_expiry(shard, slot, where);
    (void)pthread_mutex_unlock(&shard->lock);
    return slot != NULL;
}

struct kv_slot *kv_tier_slot(struct kv_tier *tier, struct kv_shard *shard, const struct kv_mem *mem)
{
    uint64_t where = kv_tier_where(tier, mem);
    struct kv_slot *slot = kv_table_find(&shard->keys, mem->hash);
    while (slot != NULL && ((slot->word & KV_WORD_CACHED) == 0 || kv_word_where(slot->word) != where))
        slot = kv_table_next(&shard->keys, slot);
    return slot;
}

struct kv_mem *kv_slot_uncache(struct kv_store *store, struct kv_shard *shard, struct kv_slot *slot)
{
    if ((slot->word & KV_WORD_CACHED) == 0)
        return NULL;
    struct kv_mem *mem = kv_tier_mem(&store->tier, kv_word_where(slot->word));
    kv_mem_pin(mem);
    shard->cached_bytes -= mem->size;
    shard->cached_records--;
    slot->hash = kv_slot_hash(slot) | kv_slot_want(slot);
    slot->word = (slot->word & ~(KV_WORD_WHERE | KV_WORD_CACHED)) | mem->disk;
    return mem;
}

void kv_live_add(struct kv_store *store, uint64_t where_disk, int64_t bytes, int64_t count)
{
    struct kv_segment *segment = kv_segment_get(store, kv_where_segment(where_disk));
    if (segment == NULL)
        return;
    // By the floor of its class, so that whoever has only the slot counts the same.
    int64_t floor = (int64_t)kv_class_floor(kv_class_of((uint64_t)(bytes < 0 ? -bytes : bytes)));
    atomic_fetch_add(&segment->live_bytes, bytes < 0 ? -floor : floor);
    atomic_fetch_add(&segment->live_count, count);
    kv_segment_put(segment);
}

struct kv_mem *kv_slot_drop(struct kv_store *store, struct kv_shard *shard, struct kv_slot *slot,
                            uint64_t size)
{
    struct kv_mem *mem = kv_slot_uncache(store, shard, slot);
    uint64_t where = kv_word_where(slot->word);
    kv_index_set_expiry(&store->index, shard, slot, where, 0);
    kv_live_add(store, where, -(int64_t)size, -1);
    kv_index_remove(&store->index, shard, slot);
    return mem;
}

void kv_count_damaged(struct kv_store *store)
{
    atomic_fetch_add_explicit(&store->damaged_records, 1, memory_order_relaxed);
}

uint64_t kv_found_size(const struct kv_found *found)
{
    return found->unreadable ? kv_class_floor(found->size_class)
                             : kv_record_size(found->key_len, found->value_len);
}

bool kv_mem_has_key(const struct kv_mem *mem, const void *key, size_t key_len)
{
    return mem->key_len == key_len && memcmp(kv_mem_key(mem), key, key_len) == 0;
}

// ---- finding for writers

// Compares the cached ones; true: found. Collects the others.
static bool find_cached(struct kv_store *store, uint64_t hash, const void *key, size_t key_len,
                        struct kv_found *found, struct kv_candidate *others, size_t *count)
{
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    bool hit = false;
    *count = 0;
    (void)pthread_mutex_lock(&shard->lock);
    for (const struct kv_slot *slot = kv_table_find(&shard->keys, hash); slot != NULL && !hit;
         slot = kv_table_next(&shard->keys, slot)) {
        struct kv_candidate c = {.where = kv_slot_disk(store, slot), .size_class = kv_word_class(slot->word)};
        c.expire_ms = kv_index_expiry(shard, slot, c.where);
        if ((slot->word & KV_WORD_CACHED) == 0) {
            if (*count < KV_CANDIDATES)
                others[(*count)++] = c;
            continue;
        }
        const struct kv_mem *mem = kv_tier_mem(&store->tier, kv_word_where(slot->word));
        hit = kv_mem_has_key(mem, key, key_len);
        if (hit)
            *found = (struct kv_found){.where = c.where,
                                       .expire_ms = c.expire_ms,
                                       .value_len = mem->value_len,
                                       .key_len = mem->key_len,
                                       .size_class = c.size_class};
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return hit;
}

enum kv_status kv_find_for_write(struct kv_store *store, uint64_t hash, const void *key, size_t key_len,
                                 struct kv_found *found)
{
    struct kv_candidate others[KV_CANDIDATES];
    size_t count;
    if (find_cached(store, hash, key, key_len, found, others, &count))
        return KV_OK;
    for (size_t i = 0; i < count; i++) {
        struct kv_record record = {0};
        void *stored;
        enum kv_status status = kv_read_head(store, others[i].where, &record, &stored);
        // An unreadable head under the key's fingerprint is taken for the key's: what is written now takes
        // its place.
        bool same = status == KV_CORRUPT ||
                    (status == KV_OK && record.key_len == key_len && memcmp(stored, key, key_len) == 0);
        free(stored);
        if (status != KV_OK && status != KV_CORRUPT)
            return status == KV_NOT_FOUND ? KV_IO : status;
        if (!same)
            continue;
        *found = (struct kv_found){.where = others[i].where,
                                   .expire_ms = others[i].expire_ms,
                                   .value_len = record.value_len,
                                   .key_len = record.key_len,
                                   .size_class = others[i].size_class,
                                   .unreadable = status == KV_CORRUPT};
        return KV_OK;
    }
    return KV_NOT_FOUND;
}
