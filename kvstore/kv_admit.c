// Taking a value into memory that was read from disk.
#include "kvstore/kv_internal.h"

bool kv_admit(struct kv_store *store, const struct kv_admission *a)
{
    struct kv_mem_head head = {.hash = a->hash,
                               .key_len = a->key_len,
                               .value_len = a->len,
                               .queue = kv_tier_queue(store, a->hash, a->where),
                               .in_passing = a->why == KV_ADMIT_READ};
    struct kv_mem *mem = kv_tier_reserve(store, &head, a->why == KV_ADMIT_READ);
    if (mem == NULL)
        return false;
    kv_mem_fill(mem, a->key, a->value);
    struct kv_shard *shard = kv_index_shard(&store->index, a->hash);
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = kv_slot_at(store, shard, a->hash, a->where);
    bool install = slot != NULL && (slot->word & KV_WORD_CACHED) == 0 && kv_tier_usable(&store->tier, mem);
    // What is brought back keeps what it was wanted for; what was just missed begins anew.
    if (install)
        kv_tier_install(store, shard, slot, mem, a->why == KV_ADMIT_WARM ? kv_slot_want(slot) : 0);
    (void)pthread_mutex_unlock(&shard->lock);
    if (install)
        kv_mem_unpin(store, mem);
    else
        kv_mem_kill(store, mem);
    return install;
}
