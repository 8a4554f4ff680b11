// The quick way of a get: a value of moderate size that is in memory is copied with its shard's lock held, instead of being
// pinned, copied and unpinned. What it touches: the shard's first line, one line of slots, the record. Everything
// else goes the general way (kv_read.c).
#include "kvstore/kv_internal.h"

#include <string.h>

#define LINE       64u
#define QUICK_MOST (8u * 1024) // a copy of so many bytes takes about a microsecond

// Starts fetching the record of a slot, as much of it as its size class promises, before its head has come: all its cache
// misses overlap.
static void fetch(const struct kv_mem *mem, const struct kv_slot *slot)
{
    uint64_t size = kv_class_floor(kv_word_class(slot->word));
    for (uint64_t at = 0; at < size && at < QUICK_MOST; at += LINE)
        __builtin_prefetch((const uint8_t *)mem + at);
}

// Copies a value. memcpy() may choose `rep movsb` from 2 or 4 KiB on, which waits for each line of a source that is
// neither aligned nor in the cache: a loop of vectors takes a quarter less.
static void copy(uint8_t *to, const uint8_t *from, size_t len)
{
    typedef uint64_t vector __attribute__((vector_size(16), aligned(1), may_alias));
    size_t at = 0;
    for (; at + 4 * sizeof(vector) <= len; at += 4 * sizeof(vector)) {
        const vector *in = (const vector *)(const void *)(from + at);
        vector *out = (vector *)(void *)(to + at);
        vector a = in[0], b = in[1], c = in[2], d = in[3];
        out[0] = a;
        out[1] = b;
        out[2] = c;
        out[3] = d;
    }
    if (at < len)
        memcpy(to + at, from + at, len - at);
}

// The record of a key in memory, if it is the first of its hash. Shard lock held.
static struct kv_mem *find(struct kv_store *store, struct kv_shard *shard, uint64_t hash, const void *key,
                           size_t key_len, struct kv_slot **slot)
{
    *slot = kv_table_find(&shard->keys, hash);
    if (*slot == NULL || ((*slot)->word & KV_WORD_CACHED) == 0)
        return NULL;
    struct kv_mem *mem = kv_tier_mem(&store->tier, kv_word_where((*slot)->word));
    fetch(mem, *slot);
    if (!kv_mem_has_key(mem, key, key_len))
        return NULL;
    uint64_t expire_ms = kv_index_expiry(shard, *slot, mem->disk);
    return expire_ms == 0 || expire_ms > kv_now(store) ? mem : NULL;
}

enum kv_status kv_hit_copy(struct kv_store *store, uint64_t hash, const void *key, size_t key_len, void *buf,
                           size_t *len)
{
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    enum kv_status status = KV_PENDING;
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot;
    const struct kv_mem *mem = find(store, shard, hash, key, key_len, &slot);
    if (mem != NULL && mem->value_len <= QUICK_MOST) {
        size_t need = mem->value_len;
        status = need <= *len ? KV_OK : KV_TOO_LARGE;
        if (status == KV_OK)
            copy(buf, kv_mem_value(mem), need);
        *len = need;
        kv_slot_read(slot);
        shard->hits++;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    if (status != KV_PENDING)
        kv_mrc_note(&store->mrc, hash, kv_mem_bytes(key_len, *len));
    return status;
}
