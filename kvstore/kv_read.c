// Reading: find the key's slot, then take the value from memory or from its record on disk.
//
// A reader of the disk holds no lock while it reads. Meanwhile the record may be erased, moved, or its
// segment removed; all of these change the index first. So whatever goes wrong with a read, the index is
// asked again: only when it still points to the same place is the error real.
#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>

// What a get found: a pinned record in memory, or a value from disk.
struct got {
    struct kv_mem *mem;
    struct kv_disk_value disk;
    uint64_t version, expire_ms;
};

static const uint8_t *got_data(const struct got *got)
{
    return got->mem != NULL ? kv_mem_value(got->mem) : got->disk.block + got->disk.at;
}

static size_t got_len(const struct got *got)
{
    return got->mem != NULL ? got->mem->value_len : got->disk.len;
}

static void got_release(struct kv_store *store, struct got *got)
{
    if (got->mem != NULL)
        kv_mem_unpin(store, got->mem);
    kv_disk_value_free(&got->disk);
}

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
    return hit;
}

// After a read from a place failed: whether the index still points there, so that the failure is real. Counts
// the damage once.
static bool failure_is_real(struct kv_store *store, struct kv_shard *shard, uint64_t hash, uint64_t where,
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

// Reads the candidates. KV_NOT_FOUND: none is the key's. *again: something moved meanwhile, look anew.
static enum kv_status look_on_disk(struct kv_store *store, struct kv_shard *shard, uint64_t hash,
                                   const void *key, size_t key_len, struct got *got,
                                   const struct kv_candidate *others, size_t count, bool *again)
{
    *again = false;
    for (size_t i = 0; i < count; i++) {
        enum kv_status status =
            kv_read_value(store, others[i].where, others[i].size_class, key, key_len, &got->disk);
        if (status == KV_NOT_FOUND)
            continue;
        got->mem = NULL;
        got->version = others[i].where;
        got->expire_ms = others[i].expire_ms;
        if (status == KV_CORRUPT || status == KV_IO)
            *again = !failure_is_real(store, shard, hash, others[i].where, status);
        return status;
    }
    return KV_NOT_FOUND;
}

// Finds a key's value. On KV_OK the caller calls got_release().
static enum kv_status get_value(struct kv_store *store, const void *key, size_t key_len, struct got *got)
{
    if (key_len == 0 || key_len > KV_KEY_MAX)
        return key_len == 0 ? KV_INVALID : KV_TOO_LARGE;
    uint64_t hash = kv_hash_key(&store->seeds, key, key_len).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    struct kv_candidate others[KV_CANDIDATES];
    size_t count;
    enum kv_status status;
    bool again;
    *got = (struct got){0};
    do {
        if (look_in_memory(store, shard, hash, key, key_len, got, others, &count)) {
            kv_mrc_note(&store->mrc, hash, kv_mem_bytes(key_len, got->mem->value_len));
            return KV_OK;
        }
        if (count == 0)
            return KV_NOT_FOUND;
        status = look_on_disk(store, shard, hash, key, key_len, got, others, count, &again);
    } while (again);
    if (status == KV_OK)
        kv_mrc_note(&store->mrc, hash, kv_mem_bytes(key_len, got->disk.len));
    if (status == KV_OK)
        kv_admit(store, &(struct kv_admission){.hash = hash,
                                               .where = got->version,
                                               .key = key,
                                               .key_len = key_len,
                                               .value = got_data(got),
                                               .len = got->disk.len,
                                               .why = KV_ADMIT_READ});
    (void)pthread_mutex_lock(&shard->lock);
    if (status == KV_NOT_FOUND)
        shard->not_found++;
    else
        shard->misses++;
    (void)pthread_mutex_unlock(&shard->lock);
    return status;
}

enum kv_status kv_get(struct kv_store *store, const void *key, size_t key_len, void *buf, size_t *len)
{
    enum kv_status status = KV_PENDING;
    if (key_len != 0 && key_len <= KV_KEY_MAX)
        status = kv_hit_copy(store, kv_hash_key(&store->seeds, key, key_len).low, key, key_len, buf, len);
    if (status != KV_PENDING)
        return status;
    struct got got;
    status = get_value(store, key, key_len, &got);
    if (status != KV_OK)
        return status;
    size_t need = got_len(&got);
    if (need > *len)
        status = KV_TOO_LARGE;
    else if (need != 0)
        memcpy(buf, got_data(&got), need);
    *len = need;
    got_release(store, &got);
    return status;
}

enum kv_status kv_get_alloc(struct kv_store *store, const void *key, size_t key_len, void **value,
                            size_t *len, uint64_t *version)
{
    *value = NULL;
    *len = 0;
    struct got got;
    enum kv_status status = get_value(store, key, key_len, &got);
    if (status != KV_OK)
        return status;
    *len = got_len(&got);
    if (version != NULL)
        *version = got.version;
    if (got.mem == NULL && got.disk.at == 0) { // the block is the value: hand it over
        *value = got.disk.block;
        return KV_OK;
    }
    *value = malloc(*len != 0 ? *len : 1);
    if (*value == NULL)
        status = KV_NO_MEMORY;
    else if (*len != 0)
        memcpy(*value, got_data(&got), *len);
    got_release(store, &got);
    return status;
}

// A view's hold: a pinned record in memory, or (odd address) a disk_value of its own.
enum kv_status kv_get_view(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view)
{
    *view = (struct kv_view){0};
    struct got got;
    enum kv_status status = get_value(store, key, key_len, &got);
    if (status != KV_OK)
        return status;
    view->data = got_data(&got);
    view->len = got_len(&got);
    view->version = got.version;
    view->expire_ms = got.expire_ms;
    view->hold = got.mem;
    if (got.mem != NULL)
        return KV_OK;
    struct kv_disk_value *owned = malloc(sizeof *owned);
    if (owned == NULL) {
        got_release(store, &got);
        *view = (struct kv_view){0};
        return KV_NO_MEMORY;
    }
    *owned = got.disk;
    view->hold = (uint8_t *)owned + 1;
    return KV_OK;
}

void kv_view_release(struct kv_store *store, struct kv_view *view)
{
    if (view->hold == NULL)
        return;
    if (((uintptr_t)view->hold & 1) != 0) {
        struct kv_disk_value *owned = (struct kv_disk_value *)(void *)((uint8_t *)view->hold - 1);
        kv_disk_value_free(owned);
        free(owned);
    } else {
        kv_mem_unpin(store, view->hold);
    }
    *view = (struct kv_view){0};
}

// ---- answers from the index alone

static enum kv_status peek(struct kv_store *store, const void *key, size_t key_len, uint64_t *version,
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
    return peek(store, key, key_len, &version, &expire_ms);
}

enum kv_status kv_version(struct kv_store *store, const void *key, size_t key_len, uint64_t *version)
{
    uint64_t expire_ms;
    return peek(store, key, key_len, version, &expire_ms);
}

enum kv_status kv_get_expiry(struct kv_store *store, const void *key, size_t key_len, uint64_t *expire_ms)
{
    uint64_t version;
    return peek(store, key, key_len, &version, expire_ms);
}
