// Writing: find the key's current record, append the new one, let the index say so, see to the old one's
// erasure. All of this under the shard's write lock; the wait for the device comes after it.
#include "kvstore/kv_write.h"

#include <stdlib.h>
#include <string.h>

enum kv_status kv_write_check(struct kv_store *store, size_t key_len, size_t value_len)
{
    if (key_len == 0)
        return KV_INVALID;
    if (key_len > KV_KEY_MAX || value_len > KV_VALUE_MAX)
        return KV_TOO_LARGE;
    return atomic_load(&store->read_only) ? KV_READ_ONLY : KV_OK;
}

static bool has_expired(struct kv_store *store, uint64_t expire_ms)
{
    return expire_ms != 0 && expire_ms <= kv_now(store);
}

static struct kv_erasure erasure_of(const struct kv_found *found, uint64_t lsn)
{
    return (struct kv_erasure){.where = found->where,
                               .lsn = lsn,
                               .value_len = found->value_len,
                               .key_len = found->key_len,
                               .size_class = found->size_class,
                               .unreadable = found->unreadable};
}

static bool reserve(struct kv_store *store, struct kv_shard *shard, bool expires)
{
    (void)pthread_mutex_lock(&shard->lock);
    bool ok = kv_index_reserve(&store->index, shard, expires);
    (void)pthread_mutex_unlock(&shard->lock);
    return ok;
}

enum kv_status kv_write_settle(struct kv_store *store, uint64_t lsn, unsigned flags)
{
    if (store->options.fsync == KV_FSYNC_ALWAYS && (flags & KV_PUT_NO_WAIT) == 0) {
        enum kv_status status = kv_commit_wait(store, lsn);
        return status == KV_OK ? kv_erase_upto(store, lsn, false) : status;
    }
    return (flags & KV_PUT_NO_WAIT) == 0 && kv_is_behind(store) ? kv_catch_up(store) : KV_OK;
}

enum kv_status kv_sync(struct kv_store *store)
{
    if (atomic_load(&store->read_only))
        return KV_READ_ONLY;
    enum kv_status status = kv_write_held(store);
    if (status != KV_OK)
        return status;
    uint64_t lsn = atomic_load(&store->written_lsn);
    status = kv_commit_all(store);
    return status == KV_OK ? kv_erase_upto(store, lsn, store->options.erase_within_ms == 0) : status;
}

// ---- put

static void fill_memory(struct kv_store *store, struct kv_put_op *put)
{
    const struct kv_record *record = &put->item.append.record;
    struct kv_mem_head head = {
        .hash = put->hash, .key_len = record->key_len, .value_len = record->value_len, .queue = KV_SMALL};
    if (put->replaces)
        head.queue = kv_tier_queue(store, put->hash, put->old.where);
    put->mem = kv_tier_reserve(store, &head, !put->bulk || put->replaces);
    if (put->mem != NULL)
        kv_mem_fill(put->mem, put->item.append.key, put->item.append.value);
}

// Points the index at the new record, on disk and in memory. Shard lock held.
static void index_put(struct kv_store *store, struct kv_put_op *put)
{
    struct kv_shard *shard = put->shard;
    uint64_t where = put->item.append.where;
    uint64_t size = kv_record_size(put->item.append.record.key_len, put->item.append.record.value_len);
    uint64_t word = kv_word_make(kv_class_of(size), where);
    struct kv_slot *slot = put->replaces ? kv_slot_at(store, shard, put->hash, put->old.where) : NULL;
    if (slot != NULL) {
        put->old_mem = kv_slot_uncache(store, shard, slot);
        kv_index_set_expiry(&store->index, shard, slot, put->old.where, 0);
        kv_live_add(store, put->old.where, -(int64_t)kv_found_size(&put->old), -1);
        slot->word = word;
    } else {
        kv_index_insert(&store->index, shard, put->hash, word);
        slot = kv_slot_at(store, shard, put->hash, where);
    }
    kv_index_set_expiry(&store->index, shard, slot, where, put->item.append.record.expire_ms);
    kv_live_add(store, where, (int64_t)size, 1);
    if (put->mem == NULL || !kv_tier_usable(&store->tier, put->mem))
        return;
    // A value that was in memory keeps its standing.
    kv_tier_install(store, shard, slot, put->mem, put->old_mem != NULL ? kv_slot_want(slot) : 0);
}

bool kv_put_reserve(struct kv_store *store, const struct kv_put_op *put)
{
    return reserve(store, put->shard, put->item.append.record.expire_ms != 0);
}

void kv_put_install(struct kv_store *store, struct kv_put_op *put)
{
    fill_memory(store, put);
    (void)pthread_mutex_lock(&put->shard->lock);
    index_put(store, put);
    (void)pthread_mutex_unlock(&put->shard->lock);
    atomic_fetch_add_explicit(&store->puts, 1, memory_order_relaxed);
    if (put->replaces) {
        struct kv_erasure erasure = erasure_of(&put->old, put->item.append.lsn);
        kv_erase_replaced(store, &erasure);
    }
}

// The part under the shard's write lock.
static enum kv_status put_locked(struct kv_store *store, struct kv_put_op *put, unsigned flags)
{
    const struct kv_append *append = &put->item.append;
    enum kv_status status =
        kv_find_for_write(store, put->hash, append->key, append->record.key_len, &put->old);
    put->replaces = status == KV_OK;
    if (status != KV_OK && status != KV_NOT_FOUND)
        return status;
    if ((flags & KV_PUT_IF_ABSENT) != 0 && put->replaces && !has_expired(store, put->old.expire_ms))
        return KV_EXISTS;
    if (!kv_put_reserve(store, put))
        return KV_NO_MEMORY;
    status = kv_append(store, &put->item.append);
    if (status == KV_OK)
        kv_put_install(store, put);
    return status;
}

// A copy that the index did not take (its chunk was being reclaimed) holds a value that nobody will wipe
// later.
void kv_put_release(struct kv_store *store, struct kv_put_op *put)
{
    kv_mem_kill(store, put->old_mem);
    if (put->mem == NULL)
        return;
    if (put->mem->disk == 0)
        kv_mem_kill(store, put->mem);
    else
        kv_mem_unpin(store, put->mem);
}

struct kv_put_op kv_put_op_of(struct kv_store *store, const void *key, size_t key_len, const void *value,
                              size_t len, uint64_t expire_ms)
{
    struct kv_put_op put = {.hash = kv_hash_key(&store->seeds, key, key_len).low};
    put.shard = kv_index_shard(&store->index, put.hash);
    put.item.append = (struct kv_append){.key = key, .value = value};
    put.item.append.record = (struct kv_record){.type = KV_RECORD_PUT,
                                                .key_len = (uint16_t)key_len,
                                                .value_len = (uint32_t)len,
                                                .expire_ms = expire_ms};
    return put;
}

enum kv_status kv_put_over(struct kv_store *store, const void *key, size_t key_len, const void *value,
                           size_t len, uint64_t expire_ms, unsigned flags, struct kv_put_old *old)
{
    enum kv_status status = kv_write_check(store, key_len, len);
    if (status != KV_OK)
        return status;
    struct kv_put_op put = kv_put_op_of(store, key, key_len, value, len, expire_ms);
    put.item.append.record.value_sum = kv_value_sum(&store->seeds, value, len);
    put.item.append.hold = (flags & KV_PUT_HOLD) != 0 && store->options.fsync != KV_FSYNC_ALWAYS;
    kv_write_lock(store, put.shard);
    status = put_locked(store, &put, flags);
    kv_write_unlock(store, put.shard);
    if (status != KV_OK)
        return status;
    *old = (struct kv_put_old){put.replaces, put.replaces ? put.old.expire_ms : 0};
    kv_put_release(store, &put);
    return kv_write_settle(store, put.item.append.lsn, flags);
}

enum kv_status kv_put(struct kv_store *store, const void *key, size_t key_len, const void *value, size_t len,
                      uint64_t expire_ms, unsigned flags)
{
    struct kv_put_old old;
    return kv_put_over(store, key, key_len, value, len, expire_ms, flags, &old);
}

// ---- delete

struct kv_append kv_tombstone_of(struct kv_store *store, const void *key, size_t key_len)
{
    struct kv_append append = {.key = key};
    append.record = (struct kv_record){.type = KV_RECORD_TOMBSTONE,
                                       .key_len = (uint16_t)key_len,
                                       .value_sum = kv_value_sum(&store->seeds, NULL, 0)};
    return append;
}

enum kv_status kv_remove_found(struct kv_store *store, struct kv_shard *shard, uint64_t hash,
                               const struct kv_found *found, uint64_t lsn)
{
    struct kv_mem *mem = NULL;
    // Nothing in the log will say that the key is gone: an index snapshot must not say that it is there.
    if (lsn == 0 && kv_snapshot_remove(store) != KV_OK)
        return KV_IO;
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = kv_slot_at(store, shard, hash, found->where);
    if (slot != NULL)
        mem = kv_slot_drop(store, shard, slot, kv_found_size(found));
    (void)pthread_mutex_unlock(&shard->lock);
    kv_mem_kill(store, mem);
    struct kv_erasure erasure = erasure_of(found, lsn);
    if (lsn != 0) {
        kv_erase_later(store, &erasure);
        return KV_OK;
    }
    // The key's older values first: nothing but its erased record holds those down that wait for the eraser, and its segment may be compacted.
    enum kv_status status = kv_commit_all(store);
    if (status == KV_OK)
        status = kv_erase_upto(store, kv_synced_lsn(store), true);
    return status == KV_OK ? kv_erase_now(store, &erasure) : status;
}

// The tombstone first, so that from here on the key is gone whatever happens to its record. That is erased after
// the sync that the caller shares with others, when the locks have been let go.
static enum kv_status delete_locked(struct kv_store *store, struct kv_shard *shard, uint64_t hash,
                                    struct kv_append *append)
{
    struct kv_found found;
    enum kv_status status = kv_find_for_write(store, hash, append->key, append->record.key_len, &found);
    if (status == KV_OK && has_expired(store, found.expire_ms))
        status = KV_NOT_FOUND; // the sweeper's business
    if (status != KV_OK)
        return status;
    status = kv_append(store, append);
    // A full disk must not keep one from deleting: the erased record alone says that the key is gone. It must
    // be readable for that.
    if (status == KV_FULL && !found.unreadable)
        status = KV_OK;
    return status == KV_OK ? kv_remove_found(store, shard, hash, &found, append->lsn) : status;
}

// A deleted value is gone when the call returns, whatever the policy says of puts; unless the caller will sync.
static enum kv_status settle_delete(struct kv_store *store, uint64_t lsn, unsigned flags)
{
    if (store->options.fsync == KV_FSYNC_ALWAYS || (flags & KV_DELETE_LATER) != 0)
        return kv_write_settle(store, lsn, flags);
    enum kv_status status = kv_commit_wait(store, lsn);
    return status == KV_OK ? kv_erase_upto(store, lsn, false) : status;
}

enum kv_status kv_delete(struct kv_store *store, const void *key, size_t key_len, unsigned flags)
{
    enum kv_status status = kv_write_check(store, key_len, 0);
    if (status != KV_OK)
        return status;
    uint64_t hash = kv_hash_key(&store->seeds, key, key_len).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    struct kv_append append = kv_tombstone_of(store, key, key_len);
    kv_write_lock(store, shard);
    status = delete_locked(store, shard, hash, &append);
    kv_write_unlock(store, shard);
    if (status != KV_OK)
        return status;
    kv_mrc_forget(&store->mrc, hash);
    atomic_fetch_add_explicit(&store->deletes, 1, memory_order_relaxed);
    if (append.lsn != 0)
        return settle_delete(store, append.lsn, flags);
    // Without a tombstone it is the erasure that has to be durable.
    return store->options.fsync == KV_FSYNC_ALWAYS && (flags & KV_PUT_NO_WAIT) == 0 ? kv_commit_all(store)
                                                                                    : KV_OK;
}

// ---- expiry

static enum kv_status set_expiry_locked(struct kv_store *store, struct kv_shard *shard, uint64_t hash,
                                        struct kv_append *append)
{
    struct kv_found found;
    enum kv_status status = kv_find_for_write(store, hash, append->key, append->record.key_len, &found);
    if (status == KV_OK && has_expired(store, found.expire_ms))
        status = KV_NOT_FOUND;
    if (status != KV_OK)
        return status;
    if (!reserve(store, shard, append->record.expire_ms != 0))
        return KV_NO_MEMORY;
    append->record.target = found.where; // stays the key's place while the shard's write lock is held
    status = kv_append(store, append);
    if (status != KV_OK)
        return status;
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = kv_slot_at(store, shard, hash, found.where);
    if (slot != NULL)
        kv_index_set_expiry(&store->index, shard, slot, found.where, append->record.expire_ms);
    (void)pthread_mutex_unlock(&shard->lock);
    return KV_OK;
}

enum kv_status kv_set_expiry(struct kv_store *store, const void *key, size_t key_len, uint64_t expire_ms,
                             unsigned flags)
{
    enum kv_status status = kv_write_check(store, key_len, 0);
    if (status != KV_OK)
        return status;
    uint64_t hash = kv_hash_key(&store->seeds, key, key_len).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    struct kv_append append = {.key = key};
    append.record =
        (struct kv_record){.type = KV_RECORD_EXPIRY, .key_len = (uint16_t)key_len, .expire_ms = expire_ms};
    kv_write_lock(store, shard);
    status = set_expiry_locked(store, shard, hash, &append);
    kv_write_unlock(store, shard);
    return status == KV_OK ? kv_write_settle(store, append.lsn, flags) : status;
}
