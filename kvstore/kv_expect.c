// Gets that are about to come: what they touch is fetched from memory for all of them at once, where each get by itself would
// wait for two lines that are in no cache, one after the other: its slot in the index, and the head of its record.
#include "kvstore/kv_internal.h"

#define LINE       64u
#define HEAD_LINES 3u // of a record: its head, the key, and where the value begins

// The table may be changed while it is looked at: by a lock that is free now, or not at all.
static void fetch_record(struct kv_store *store, struct kv_shard *shard, uint64_t hash)
{
    const struct kv_mem *mem = NULL;
    if (pthread_mutex_trylock(&shard->lock) != 0)
        return;
    const struct kv_slot *slot = kv_table_find(&shard->keys, hash);
    if (slot != NULL && (slot->word & KV_WORD_CACHED) != 0)
        mem = kv_tier_mem(&store->tier, kv_word_where(slot->word));
    (void)pthread_mutex_unlock(&shard->lock);
    // It may be gone by now: then other lines are fetched for nothing.
    for (unsigned line = 0; mem != NULL && line < HEAD_LINES; line++)
        __builtin_prefetch((const uint8_t *)mem + line * LINE);
}

void kv_expect(struct kv_store *store, const struct kv_name *names, size_t count)
{
    uint64_t hashes[KV_EXPECT_MOST];
    if (count > KV_EXPECT_MOST)
        count = KV_EXPECT_MOST;
    for (size_t i = 0; i < count; i++) {
        hashes[i] = kv_hash_key(&store->seeds, names[i].key, names[i].len).low;
        kv_table_prefetch(&kv_index_shard(&store->index, hashes[i])->keys, hashes[i]);
    }
    for (size_t i = 0; i < count; i++)
        fetch_record(store, kv_index_shard(&store->index, hashes[i]), hashes[i]);
}
