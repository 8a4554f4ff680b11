// Taking a value into memory that was read from disk.
#include "kvstore/kv_internal.h"

#include <string.h>

void kv_admit(struct kv_store *store, const struct kv_admission *a)
{
    struct kv_mem *mem = kv_tier_reserve(store, a->hash, a->key_len, a->len);
    if (mem == NULL)
        return;
    if (a->len != 0)
        memcpy(mem->data, a->value, a->len);
    memcpy(mem->data + a->len, a->key, a->key_len);
    struct kv_shard *shard = kv_index_shard(&store->index, a->hash);
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = kv_slot_at(store, shard, a->hash, a->where);
    bool install = slot != NULL && (slot->word & KV_WORD_CACHED) == 0 && kv_tier_usable(&store->tier, mem);
    if (install) {
        mem->disk = a->where;
        slot->word = (slot->word & ~KV_WORD_WHERE) | KV_WORD_CACHED | kv_tier_where(&store->tier, mem);
        shard->cached_bytes += mem->size;
        shard->cached_records++;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    if (install)
        kv_mem_unpin(store, mem);
    else
        kv_mem_kill(store, mem);
}
