// Walking the keys in the order of their hashes. The index keeps that order whatever grows meanwhile, so the
// cursor is simply the hash to go on from: a key that stays is met exactly once, unless its record moves
// while it is being looked at.
#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>

void kv_group_collect(struct kv_store *store, uint64_t from, size_t most, struct kv_group *group)
{
    struct kv_shard *shard = kv_index_shard(&store->index, from);
    group->count = 0;
    (void)pthread_mutex_lock(&shard->lock);
    const struct kv_slot *slot = kv_table_from(&shard->keys, from);
    const struct kv_slot *end = slot != NULL ? shard->keys.slots + shard->keys.capacity : NULL;
    for (; slot != NULL && slot < end && group->count < KV_GROUP + KV_GROUP_SAME; slot++) {
        if (slot->word == 0)
            continue;
        if (group->count >= most && kv_slot_hash(slot) != group->places[group->count - 1].hash)
            break;
        group->places[group->count++] =
            (struct kv_group_place){kv_slot_hash(slot), kv_slot_disk(store, slot)};
    }
    bool more = slot != NULL && slot < end;
    (void)pthread_mutex_unlock(&shard->lock);
    uint64_t shard_number = from >> 56;
    group->next = more ? group->places[group->count - 1].hash + KV_HASH_STEP : (shard_number + 1) << 56;
    group->done = group->next == 0; // past the last hash of the last shard
}

struct key {
    void *bytes; // malloc'ed
    size_t len, value_len;
    uint64_t expire_ms;
};

// The key of the record at a place, from memory when it is there. KV_NOT_FOUND: the index does not point
// there any more.
static enum kv_status key_at(struct kv_store *store, struct kv_group_place place, struct key *key)
{
    struct kv_shard *shard = kv_index_shard(&store->index, place.hash);
    bool cached = false;
    *key = (struct key){0};
    (void)pthread_mutex_lock(&shard->lock);
    const struct kv_slot *slot = kv_slot_at(store, shard, place.hash, place.where);
    bool there = slot != NULL;
    if (there) {
        key->expire_ms = kv_index_expiry(shard, slot, place.where);
        cached = (slot->word & KV_WORD_CACHED) != 0;
    }
    if (cached) {
        const struct kv_mem *mem = kv_tier_mem(&store->tier, kv_word_where(slot->word));
        key->len = mem->key_len;
        key->value_len = mem->value_len;
        key->bytes = malloc(key->len);
        if (key->bytes != NULL)
            memcpy(key->bytes, kv_mem_key(mem), key->len);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    if (!there)
        return KV_NOT_FOUND;
    if (cached)
        return key->bytes != NULL ? KV_OK : KV_NO_MEMORY;
    struct kv_record record;
    enum kv_status status = kv_read_head(store, place.where, &record, &key->bytes);
    if (status == KV_OK) {
        key->len = record.key_len;
        key->value_len = record.value_len;
    }
    return status;
}

static bool still_there(struct kv_store *store, struct kv_group_place place)
{
    struct kv_shard *shard = kv_index_shard(&store->index, place.hash);
    (void)pthread_mutex_lock(&shard->lock);
    bool there = kv_slot_at(store, shard, place.hash, place.where) != NULL;
    (void)pthread_mutex_unlock(&shard->lock);
    return there;
}

// Visits one place. *moved: the record has gone elsewhere, or its key away.
static enum kv_status visit(struct kv_store *store, struct kv_group_place place, kv_scan_fn fn, void *arg,
                            bool *go_on, bool *moved)
{
    struct key key;
    enum kv_status status = key_at(store, place, &key);
    *moved = status != KV_OK && status != KV_NO_MEMORY && !still_there(store, place);
    if (*moved || status == KV_CORRUPT) // a damaged record has no key to show
        return KV_OK;
    if (status != KV_OK)
        return status;
    if (key.expire_ms == 0 || key.expire_ms > kv_now(store))
        *go_on = fn(arg, key.bytes, key.len, key.value_len, key.expire_ms);
    free(key.bytes);
    return KV_OK;
}

enum kv_status kv_scan(struct kv_store *store, uint64_t *cursor, unsigned count, kv_scan_fn fn, void *arg)
{
    uint64_t from = *cursor;
    size_t left = count == 0 ? 10 : count;
    enum kv_status result = KV_OK;
    for (bool go_on = true; go_on && left > 0 && result == KV_OK;) {
        struct kv_group group;
        kv_group_collect(store, from, left < KV_GROUP ? left : KV_GROUP, &group);
        for (size_t i = 0; i < group.count && go_on; i++) {
            bool moved;
            enum kv_status status = visit(store, group.places[i], fn, arg, &go_on, &moved);
            if (status == KV_IO) // that key's trouble: the others are visited, and the caller gets past it
                result = status;
            else if (status != KV_OK)
                return status;
            // Look at this hash once more, from where it now is; earlier keys of the same hash come twice
            // then. And a key that was stopped at is the last of this call.
            if (moved || !go_on) {
                uint64_t hash = group.places[i].hash;
                group.next = moved ? hash : hash + KV_HASH_STEP;
                group.done = !moved && hash == KV_HASH_BITS;
                group.count = i + 1;
            }
        }
        left -= group.count < left ? group.count : left;
        from = group.next;
        if (group.done) {
            from = 0;
            break;
        }
    }
    *cursor = from;
    return result;
}
