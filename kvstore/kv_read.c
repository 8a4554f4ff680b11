// Reading: find the key's slot, then take the value from memory, or from its record on disk (kv_miss.h).
#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>

// What a get found in memory: a pinned record.
struct got {
    struct kv_mem *mem;
    uint64_t version, expire_ms;
};

// Looks in memory; true: answered (*got filled). Otherwise the places on disk where the key may be.
static bool look_in_memory(struct kv_store *store, struct kv_shard *shard, uint64_t hash, const void *key,
                           size_t key_len, struct got *got, struct kv_candidate *others, size_t *count)
{
    bool hit = false;
    *count = 0;
    (void)pthread_mutex_lock(&shard->lock);
    for (struct kv_slot *slot = kv_table_find(&shard->keys, hash); slot != NULL && !hit;
         slot = kv_table_next(&shard->keys, slot)) {
        uint64_t where = kv_slot_disk(store, slot);
        uint64_t expire_ms = kv_index_expiry(shard, slot, where);
        if (expire_ms != 0 && expire_ms <= kv_now(store))
            continue;
        if ((slot->word & KV_WORD_CACHED) == 0) {
            if (*count < KV_CANDIDATES)
                others[(*count)++] = (struct kv_candidate){where, expire_ms, kv_word_class(slot->word)};
            continue;
        }
        struct kv_mem *mem = kv_tier_mem(&store->tier, kv_word_where(slot->word));
        __builtin_prefetch(mem->data + key_len +
                           64); // the value's first lines, while the key is being compared
        if (!kv_mem_has_key(mem, key, key_len))
            continue;
        kv_mem_pin(mem);
        kv_slot_read(slot);
        *got = (struct got){.mem = mem, .version = where, .expire_ms = expire_ms};
        hit = true;
    }
    if (hit)
        shard->hits++;
    else if (*count == 0)
        shard->not_found++;
    (void)pthread_mutex_unlock(&shard->lock);
    if (hit)
        kv_mrc_note(&store->mrc, hash, kv_mem_bytes(key_len, got->mem->value_len));
    return hit;
}

// After a read from a place failed: whether the index still points there, so that the failure is real. Counts
// the damage once.
bool kv_failure_is_real(struct kv_store *store, struct kv_shard *shard, uint64_t hash, uint64_t where,
                        enum kv_status status)
{
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = kv_slot_at(store, shard, hash, where);
    bool real = slot != NULL && (slot->word & KV_WORD_CACHED) == 0;
    if (real && status == KV_CORRUPT && (slot->word & KV_WORD_DAMAGED) == 0) {
        slot->word |= KV_WORD_DAMAGED;
        kv_count_damaged(store);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return real;
}

static void view_of(const struct got *got, struct kv_view *view)
{
    *view = (struct kv_view){.data = kv_mem_value(got->mem),
                             .len = got->mem->value_len,
                             .version = got->version,
                             .expire_ms = got->expire_ms,
                             .hold = got->mem};
}

enum kv_status kv_look(struct kv_store *store, uint64_t hash, const void *key, size_t key_len,
                       struct kv_view *view, struct kv_candidate *others, size_t *count)
{
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    struct got got;
    if (look_in_memory(store, shard, hash, key, key_len, &got, others, count)) {
        view_of(&got, view);
        return KV_OK;
    }
    return *count == 0 ? KV_NOT_FOUND : KV_PENDING;
}

// Looks in memory (KV_OK: *got), else reads from disk to where `sink` wants it (KV_OK: got->mem is NULL, the rest is in *miss).
static enum kv_status get_value(struct kv_store *store, const void *key, size_t key_len,
                                const struct kv_sink *sink, struct got *got, struct kv_miss *miss)
{
    got->mem = NULL;
    miss->len = 0;
    if (key_len == 0 || key_len > KV_KEY_MAX)
        return key_len == 0 ? KV_INVALID : KV_TOO_LARGE;
    miss->hash = kv_hash_key(&store->seeds, key, key_len).low;
    struct kv_shard *shard = kv_index_shard(&store->index, miss->hash);
    if (look_in_memory(store, shard, miss->hash, key, key_len, got, miss->others, &miss->count))
        return KV_OK;
    if (miss->count == 0)
        return KV_NOT_FOUND;
    miss->store = store;
    miss->key = key;
    miss->key_len = key_len;
    miss->sink = *sink;
    miss->load.read.owner = NULL;
    return kv_miss_run(miss);
}

enum kv_status kv_get(struct kv_store *store, const void *key, size_t key_len, void *buf, size_t *len)
{
    enum kv_status status = KV_PENDING;
    if (key_len != 0 && key_len <= KV_KEY_MAX)
        status = kv_hit_copy(store, kv_hash_key(&store->seeds, key, key_len).low, key, key_len, buf, len);
    if (status != KV_PENDING)
        return status;
    struct got got;
    struct kv_miss miss;
    const struct kv_sink sink = {.want = KV_WANT_COPY, .into = buf, .capacity = *len};
    status = get_value(store, key, key_len, &sink, &got, &miss);
    size_t need = got.mem != NULL ? got.mem->value_len : miss.len;
    if (got.mem != NULL) {
        if (need > *len)
            status = KV_TOO_LARGE;
        else if (need != 0)
            memcpy(buf, kv_mem_value(got.mem), need);
        kv_mem_unpin(store, got.mem);
    }
    if (status == KV_OK || (status == KV_TOO_LARGE && key_len <= KV_KEY_MAX))
        *len = need;
    return status;
}

enum kv_status kv_get_alloc(struct kv_store *store, const void *key, size_t key_len, void **value,
                            size_t *len, uint64_t *version)
{
    *value = NULL;
    *len = 0;
    struct got got;
    struct kv_miss miss;
    const struct kv_sink sink = {.want = KV_WANT_MALLOC};
    enum kv_status status = get_value(store, key, key_len, &sink, &got, &miss);
    if (status != KV_OK)
        return status;
    if (got.mem != NULL) {
        *len = got.mem->value_len;
        *value = malloc(*len != 0 ? *len : 1);
        if (*value == NULL) {
            status = KV_NO_MEMORY;
            *len = 0;
        } else if (*len != 0) {
            memcpy(*value, kv_mem_value(got.mem), *len);
        }
        kv_mem_unpin(store, got.mem);
    } else {
        *value = miss.alloc;
        *len = miss.len;
    }
    if (version != NULL)
        *version = got.mem != NULL ? got.version : miss.version;
    return status;
}

// A view's hold: a pinned record in memory, or (odd address) the buffer that the record was read into.
enum kv_status kv_get_view(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view)
{
    *view = (struct kv_view){0};
    struct got got;
    struct kv_miss miss;
    const struct kv_sink sink = {.want = KV_WANT_VIEW};
    enum kv_status status = get_value(store, key, key_len, &sink, &got, &miss);
    if (status == KV_OK && got.mem != NULL)
        view_of(&got, view);
    else if (status == KV_OK)
        *view = miss.view;
    return status;
}

void kv_view_release(struct kv_store *store, struct kv_view *view)
{
    if (view->hold == NULL)
        return;
    if (((uintptr_t)view->hold & 1) != 0)
        kv_buffer_give(store, (struct kv_buffer *)(void *)((uint8_t *)view->hold - 1));
    else
        kv_mem_unpin(store, view->hold);
    *view = (struct kv_view){0};
}

// ---- answers from memory alone

// What a writer of the key would find without reading the disk, as kv_find_for_write() looks: a cached record with this key is
// the one, whatever else has its hash.
static enum kv_status ask_memory(struct kv_store *store, uint64_t hash, const void *key, size_t key_len)
{
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    enum kv_status status = KV_NOT_FOUND;
    bool found = false;
    (void)pthread_mutex_lock(&shard->lock);
    for (const struct kv_slot *slot = kv_table_find(&shard->keys, hash); slot != NULL && !found;
         slot = kv_table_next(&shard->keys, slot)) {
        if ((slot->word & KV_WORD_CACHED) == 0) {
            status = KV_PENDING;
            continue;
        }
        const struct kv_mem *mem = kv_tier_mem(&store->tier, kv_word_where(slot->word));
        found = kv_mem_has_key(mem, key, key_len);
        if (!found)
            continue;
        uint64_t expire_ms = kv_index_expiry(shard, slot, mem->disk);
        status = expire_ms != 0 && expire_ms <= kv_now(store) ? KV_NOT_FOUND : KV_OK;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return status;
}

enum kv_status kv_peek(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view)
{
    if (view != NULL)
        *view = (struct kv_view){0};
    if (key_len == 0 || key_len > KV_KEY_MAX)
        return key_len == 0 ? KV_INVALID : KV_TOO_LARGE;
    uint64_t hash = kv_hash_key(&store->seeds, key, key_len).low;
    if (view == NULL)
        return ask_memory(store, hash, key, key_len);
    struct kv_candidate others[KV_CANDIDATES];
    size_t count;
    return kv_look(store, hash, key, key_len, view, others, &count);
}

static enum kv_status ask_index(struct kv_store *store, const void *key, size_t key_len, uint64_t *version,
                                uint64_t *expire_ms)
{
    if (key_len == 0 || key_len > KV_KEY_MAX)
        return key_len == 0 ? KV_INVALID : KV_TOO_LARGE;
    uint64_t hash = kv_hash_key(&store->seeds, key, key_len).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    enum kv_status status = KV_NOT_FOUND;
    (void)pthread_mutex_lock(&shard->lock);
    for (const struct kv_slot *slot = kv_table_find(&shard->keys, hash); slot != NULL && status != KV_OK;
         slot = kv_table_next(&shard->keys, slot)) {
        // A cached key is at hand: another key of the same hash is told apart.
        if ((slot->word & KV_WORD_CACHED) != 0 &&
            !kv_mem_has_key(kv_tier_mem(&store->tier, kv_word_where(slot->word)), key, key_len))
            continue;
        *version = kv_slot_disk(store, slot);
        *expire_ms = kv_index_expiry(shard, slot, *version);
        if (*expire_ms == 0 || *expire_ms > kv_now(store))
            status = KV_OK;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return status;
}

enum kv_status kv_exists(struct kv_store *store, const void *key, size_t key_len)
{
    uint64_t version, expire_ms;
    return ask_index(store, key, key_len, &version, &expire_ms);
}

enum kv_status kv_version(struct kv_store *store, const void *key, size_t key_len, uint64_t *version)
{
    uint64_t expire_ms;
    return ask_index(store, key, key_len, version, &expire_ms);
}

enum kv_status kv_get_expiry(struct kv_store *store, const void *key, size_t key_len, uint64_t *expire_ms)
{
    uint64_t version;
    return ask_index(store, key, key_len, &version, expire_ms);
}
