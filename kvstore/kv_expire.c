// Removing keys whose time has come, many at once: their records' heads are read without a lock, their tombstones are one
// write under the shard's write lock.
//
// As with a delete there is a tombstone: an older value of the key, without an expiry, must not come back after a power failure.
#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_write.h"

#define BUFFER_BYTES (128u * 1024) // of tombstones; one always fits

struct dying {
    struct kv_block_item item; // the tombstone
    uint64_t hash;
    struct kv_found found;
    void *key; // malloc'd; NULL: the head could not be read
    uint16_t memory_key_len;
    void *memory_key; // malloc'd: of one whose head could not be read, from memory; for on_expire
    bool removed;
};

struct removal {
    struct kv_store *store;
    struct kv_shard *shard;
    struct dying *dying;
    size_t count;
    struct kv_block block;
};

// A record that has gone from its place meanwhile, or that cannot be read just now, is left out. One whose head is damaged
// is erased without a tombstone.
static void read_heads(struct removal *r, const struct kv_expired *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct dying *d = &r->dying[r->count];
        struct kv_record record = {0};
        *d = (struct dying){.hash = list[i].hash};
        enum kv_status status = kv_read_head(r->store, list[i].where, &record, &d->key);
        if (status != KV_OK && status != KV_CORRUPT)
            continue;
        d->found = (struct kv_found){.where = list[i].where,
                                     .value_len = record.value_len,
                                     .key_len = record.key_len,
                                     .unreadable = status == KV_CORRUPT};
        r->count++;
    }
}

// Who is told of an expired key gets its bytes from memory when the disk does not have them. Shard lock held.
static void keep_memory_key(struct removal *r, struct dying *d, const struct kv_slot *slot)
{
    if (!atomic_load(&r->store->telling) || d->key != NULL || (slot->word & KV_WORD_CACHED) == 0)
        return;
    const struct kv_mem *mem = kv_tier_mem(&r->store->tier, kv_word_where(slot->word));
    d->memory_key = malloc(mem->key_len); // without memory nobody is told
    if (d->memory_key == NULL)
        return;
    memcpy(d->memory_key, kv_mem_key(mem), mem->key_len);
    d->memory_key_len = mem->key_len;
}

// Whether the index still has the record, and it has expired. The writer's locks are held.
static bool still_expired(struct removal *r, struct dying *d)
{
    (void)pthread_mutex_lock(&r->shard->lock);
    const struct kv_slot *slot = kv_slot_at(r->store, r->shard, d->hash, d->found.where);
    uint64_t expire_ms = slot != NULL ? kv_index_expiry(r->shard, slot, d->found.where) : 0;
    bool expired = expire_ms != 0 && expire_ms <= kv_now(r->store);
    if (expired) {
        d->found.size_class = kv_word_class(slot->word);
        keep_memory_key(r, d, slot);
    }
    (void)pthread_mutex_unlock(&r->shard->lock);
    return expired;
}

static void forget(struct removal *r, size_t i)
{
    free(r->dying[i].key);
    r->dying[i] = r->dying[--r->count];
}

// Keeps those that have expired and lays their tombstones; those that do not fit have to wait for the next time.
static void lay_tombstones(struct removal *r)
{
    size_t laid = 0;
    for (size_t i = 0; i < r->count;) {
        struct dying *d = &r->dying[i];
        bool keep = still_expired(r, d);
        if (keep && d->key != NULL) {
            d->item.append = kv_tombstone_of(r->store, d->key, d->found.key_len);
            keep = kv_block_add(r->store, &r->block, &d->item);
        }
        if (!keep) {
            forget(r, i);
            continue;
        }
        if (d->key != NULL) { // those with a tombstone come first, in the order of their places
            struct dying first = r->dying[laid];
            r->dying[laid++] = *d;
            if (i + 1 > laid)
                r->dying[i] = first;
        }
        i++;
    }
    r->block.records = laid;
}

static enum kv_status write_tombstones(struct removal *r)
{
    if (r->block.records == 0)
        return KV_OK;
    struct kv_block_item *items = &r->dying->item;
    enum kv_status status = kv_block_begin(r->store, &r->block, items, sizeof *r->dying, r->block.records);
    return status == KV_OK ? kv_block_end(r->store, &r->block, items, sizeof *r->dying, r->block.records)
                           : status;
}

static enum kv_status remove_locked(struct removal *r, size_t *removed)
{
    lay_tombstones(r);
    r->block.frees_space = true;
    enum kv_status status = write_tombstones(r);
    if (status == KV_FULL && kv_reserve_lend(r->store))
        status = write_tombstones(r);
    if (status == KV_FULL) // the erased record alone says that the key is gone (append.lsn is 0)
        status = KV_OK;
    for (size_t i = 0; i < r->count && status == KV_OK; i++) {
        struct dying *d = &r->dying[i];
        status = kv_remove_found(r->store, r->shard, d->hash, &d->found, d->item.append.lsn);
        d->removed = status == KV_OK;
        *removed += d->removed;
    }
    return status;
}

static void tell_one(struct kv_store *store, const void *key, size_t key_len)
{
    (void)pthread_mutex_lock(&store->tell_lock);
    if (store->options.on_expire != NULL)
        store->options.on_expire(store->options.on_expire_arg, key, key_len);
    (void)pthread_mutex_unlock(&store->tell_lock);
}

// No lock of the store's is held but the one that kv_set_on_expire() waits for.
static void tell(const struct removal *r)
{
    for (size_t i = 0; i < r->count && atomic_load(&r->store->telling); i++) {
        const struct dying *d = &r->dying[i];
        if (d->removed && d->key != NULL)
            tell_one(r->store, d->key, d->found.key_len);
        else if (d->removed && d->memory_key != NULL)
            tell_one(r->store, d->memory_key, d->memory_key_len);
    }
}

void kv_set_on_expire(struct kv_store *store, kv_expire_fn fn, void *arg)
{
    (void)pthread_mutex_lock(&store->tell_lock);
    store->options.on_expire = fn;
    store->options.on_expire_arg = arg;
    atomic_store(&store->telling, fn != NULL);
    (void)pthread_mutex_unlock(&store->tell_lock);
}

enum kv_status kv_remove_expired(struct kv_store *store, struct kv_shard *shard,
                                 const struct kv_expired *list, size_t count, size_t *removed)
{
    *removed = 0;
    struct removal r = {.store = store, .shard = shard};
    uint8_t *buffer = malloc(BUFFER_BYTES);
    r.dying = calloc(count, sizeof *r.dying);
    enum kv_status status = buffer == NULL || r.dying == NULL ? KV_NO_MEMORY : KV_OK;
    if (status == KV_OK) {
        kv_block_reset(&r.block, buffer, BUFFER_BYTES);
        read_heads(&r, list, count);
        kv_write_lock(store, shard);
        status = atomic_load(&store->read_only) ? KV_READ_ONLY : remove_locked(&r, removed);
        kv_write_unlock(store, shard);
    }
    for (size_t i = 0; i < count && status == KV_OK; i++)
        kv_mrc_forget(&store->mrc, list[i].hash);
    atomic_fetch_add_explicit(&store->expired, *removed, memory_order_relaxed);
    tell(&r);
    for (size_t i = 0; i < r.count; i++) {
        free(r.dying[i].key);
        free(r.dying[i].memory_key);
    }
    free(r.dying);
    free(buffer);
    return status;
}
