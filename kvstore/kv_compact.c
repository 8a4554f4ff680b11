// Compaction: a sealed segment in which little is live is emptied and removed.
//
// Only live values are copied. Tombstones and changes of expiry need not be, because of what is made sure of
// first:
//   1. every writer that was at work when the segment was sealed has finished (each shard's write lock is taken once),
//   2. every value that any record in the segment supersedes has been erased, and the erasures are on the device.
// So no older value of a key is left that a tombstone here would have to hold down. A change of expiry is
// merged into a new copy of its key's record.
//
// Step by step, so that a crash at any moment loses nothing and brings nothing back: copies are appended with
// the seq of the original (recovery takes either); a batch of them is synced; then the originals are erased;
// when nothing live is left, the segment is taken out of the manifest and unlinked. Meanwhile store->moved
// tells those who delete a copied record where its original still is.
#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_walk.h"

#define LIVE_PERCENT 50 // segments with at most so much live are compacted
#define BATCH_BYTES  (4u * 1024 * 1024)
#define PAUSE_MS     2 // after each batch: others want the disk too
#define IDLE_MS      250

static struct kv_segment *choose_victim(struct kv_store *store)
{
    struct kv_segment *best = NULL, *segment;
    uint64_t best_percent = LIVE_PERCENT + 1;
    for (uint64_t id = 0; (segment = kv_segment_from(store, id)) != NULL;) {
        id = segment->id + 1;
        uint64_t size = atomic_load(&segment->size);
        int64_t live = atomic_load(&segment->live_bytes);
        uint64_t percent = live <= 0 || size == 0 ? 0 : (uint64_t)live * 100 / size;
        if (atomic_load(&segment->sealed) && !atomic_load(&segment->given_up) && percent < best_percent) {
            kv_segment_put(best);
            best = segment;
            best_percent = percent;
        } else {
            kv_segment_put(segment);
        }
    }
    return best;
}

static void wait_for_writers(struct kv_store *store)
{
    for (size_t i = 0; i < KV_SHARDS; i++) {
        (void)pthread_mutex_lock(&store->index.shards[i].write);
        (void)pthread_mutex_unlock(&store->index.shards[i].write);
    }
}

// Conditions 1 and 2 above.
static enum kv_status prepare(struct kv_store *store)
{
    wait_for_writers(store);
    uint64_t lsn = atomic_load(&store->written_lsn);
    enum kv_status status = kv_commit_all(store);
    if (status == KV_OK)
        status = kv_erase_upto(store, lsn);
    return status == KV_OK ? kv_commit_all(store) : status;
}

// The copies of this batch become durable, then the originals are erased. Whoever deletes one of the records
// meanwhile waits for the lock and finds its original either in the list or erased.
static enum kv_status finish_batch(struct kv_store *store)
{
    struct kv_moved *moved = &store->moved;
    enum kv_status status = moved->count == 0 ? KV_OK : kv_commit_all(store);
    (void)pthread_mutex_lock(&moved->lock);
    for (size_t i = 0; i < moved->count && status == KV_OK; i++)
        status = kv_erase_place(store, &moved->items[i].from);
    moved->count = 0;
    moved->bytes = 0;
    (void)pthread_mutex_unlock(&moved->lock);
    return status;
}

static void note_moved(struct kv_store *store, const struct kv_record *record, uint64_t from, uint64_t to)
{
    struct kv_moved *moved = &store->moved;
    (void)pthread_mutex_lock(&moved->lock);
    moved->items[moved->count].from =
        (struct kv_erasure){.where = from, .value_len = record->value_len, .key_len = record->key_len};
    moved->items[moved->count++].to = to;
    moved->bytes += kv_record_size(record->key_len, record->value_len);
    (void)pthread_mutex_unlock(&moved->lock);
}

// Whether the index points at a place, and the expiry it has for it.
static bool is_live(struct kv_store *store, struct kv_shard *shard, uint64_t hash, uint64_t where,
                    uint64_t *expire_ms)
{
    (void)pthread_mutex_lock(&shard->lock);
    const struct kv_slot *slot = kv_slot_at(store, shard, hash, where);
    if (slot != NULL)
        *expire_ms = kv_index_expiry(shard, slot, where);
    (void)pthread_mutex_unlock(&shard->lock);
    return slot != NULL;
}

static void index_moved(struct kv_store *store, struct kv_shard *shard, uint64_t hash, uint64_t from,
                        const struct kv_append *append)
{
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = kv_slot_at(store, shard, hash, from);
    kv_index_set_expiry(&store->index, shard, slot, from, 0);
    if ((slot->word & KV_WORD_CACHED) != 0)
        kv_tier_mem(&store->tier, kv_word_where(slot->word))->disk = append->where;
    else
        slot->word = (slot->word & ~KV_WORD_WHERE) | append->where;
    kv_index_set_expiry(&store->index, shard, slot, append->where, append->record.expire_ms);
    (void)pthread_mutex_unlock(&shard->lock);
    int64_t size = (int64_t)kv_record_size(append->record.key_len, append->record.value_len);
    kv_live_add(store, from, -size, -1);
    kv_live_add(store, append->where, size, 1);
}

// Appends a copy of a record with the key's present expiry, and points the index at it. The shard's write
// lock is held. A value whose checksum does not hold is copied as it is, checksum included, so that it stays
// the error it was.
static enum kv_status move_locked(struct kv_store *store, uint64_t hash, uint64_t from,
                                  const struct kv_record *record, const void *key, const void *value)
{
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    struct kv_append append = {.record = *record, .key = key, .value = value};
    if (!is_live(store, shard, hash, from, &append.record.expire_ms))
        return KV_OK;
    (void)pthread_mutex_lock(&shard->lock);
    bool room = kv_index_reserve(&store->index, shard, append.record.expire_ms != 0);
    (void)pthread_mutex_unlock(&shard->lock);
    if (!room)
        return KV_NO_MEMORY;
    append.record.expire_seq = UINT64_MAX; // a fresh one: it stands for all changes of expiry so far
    enum kv_status status = kv_append(store, &append);
    if (status != KV_OK)
        return status;
    index_moved(store, shard, hash, from, &append);
    note_moved(store, record, from, append.where);
    atomic_fetch_add_explicit(&store->compacted_bytes, kv_record_size(record->key_len, record->value_len),
                              memory_order_relaxed);
    return KV_OK;
}

// Reads a whole value that the caller does not have at hand.
static enum kv_status load_value(struct kv_store *store, uint64_t where, const struct kv_record *record,
                                 uint8_t **value)
{
    struct kv_segment *segment = kv_segment_get(store, kv_where_segment(where));
    *value = malloc(record->value_len != 0 ? record->value_len : 1);
    enum kv_status status = segment == NULL ? KV_IO : *value == NULL ? KV_NO_MEMORY : KV_OK;
    size_t got = 0;
    if (status == KV_OK &&
        (kv_io_read(segment->fd, *value, record->value_len,
                    kv_where_offset(where) + KV_RECORD_HEAD + record->key_len, &got) != 0 ||
         got != record->value_len))
        status = KV_IO;
    kv_segment_put(segment);
    return status;
}

static void free_value(uint8_t *value, size_t len)
{
    if (value != NULL)
        explicit_bzero(value, len);
    free(value);
}

static enum kv_status move_value(struct kv_store *store, uint64_t where, const struct kv_item *item)
{
    const struct kv_record *record = &item->record;
    uint64_t hash = kv_hash_key(&store->seeds, item->key, record->key_len).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    uint64_t expire_ms;
    if (!is_live(store, shard, hash, where, &expire_ms))
        return KV_OK;
    uint8_t *loaded = NULL;
    enum kv_status status = item->value == NULL ? load_value(store, where, record, &loaded) : KV_OK;
    if (status == KV_OK) {
        (void)pthread_mutex_lock(&shard->write);
        status = move_locked(store, hash, where, record, item->key, loaded != NULL ? loaded : item->value);
        (void)pthread_mutex_unlock(&shard->write);
    }
    free_value(loaded, record->value_len);
    return status;
}

// A change of expiry that still holds is merged into a new copy of its key's record, wherever that is.
static enum kv_status merge_expiry(struct kv_store *store, const struct kv_item *item)
{
    uint16_t key_len = item->record.key_len;
    uint64_t hash = kv_hash_key(&store->seeds, item->key, key_len).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    struct kv_found found;
    struct kv_record record;
    void *key = NULL;
    uint8_t *value = NULL;
    (void)pthread_mutex_lock(&shard->write);
    enum kv_status status = kv_find_for_write(store, hash, item->key, key_len, &found);
    uint64_t expire_ms =
        item->record.expire_ms < KV_EXPIRE_MAX_MS ? item->record.expire_ms : KV_EXPIRE_MAX_MS;
    if (status == KV_OK && !found.unreadable && found.where == item->record.target &&
        found.expire_ms == expire_ms) {
        status = kv_read_head(store, found.where, &record, &key);
        if (status == KV_OK && record.expire_seq < item->record.seq) {
            status = load_value(store, found.where, &record, &value);
            if (status == KV_OK)
                status = move_locked(store, hash, found.where, &record, key, value);
            free_value(value, record.value_len);
        }
    }
    (void)pthread_mutex_unlock(&shard->write);
    free(key);
    return status == KV_NOT_FOUND ? KV_OK : status;
}

static bool batch_is_full(struct kv_store *store)
{
    return store->moved.count == KV_MOVE_BATCH || store->moved.bytes >= BATCH_BYTES;
}

static enum kv_status move_item(struct kv_store *store, struct kv_segment *victim, const struct kv_item *item)
{
    if (item->kind != KV_ITEM_RECORD)
        return KV_OK;
    if (item->record.type == KV_RECORD_EXPIRY)
        return merge_expiry(store, item);
    if (item->record.type != KV_RECORD_PUT || item->mark == KV_MARK_ERASED)
        return KV_OK;
    return move_value(store, kv_where_disk(victim->id, item->offset), item);
}

static enum kv_status move_all(struct kv_store *store, struct kv_segment *victim)
{
    struct kv_walk walk;
    if (!kv_walk_begin(&walk, &store->seeds, victim->id, victim->fd, atomic_load(&victim->size)))
        return KV_NO_MEMORY;
    enum kv_status status = KV_OK;
    struct kv_item item = {.kind = KV_ITEM_ZERO};
    while (status == KV_OK && item.kind != KV_ITEM_END) {
        int error = kv_walk_next(&walk, &item);
        if (error != 0)
            status = KV_NO_MEMORY;
        else if (item.kind == KV_ITEM_UNREADABLE || item.unreadable)
            status = kv_fail(store, KV_IO, item.error, "segment %08llu: read for compaction at %llu",
                             (unsigned long long)victim->id, (unsigned long long)item.offset);
        else
            status = move_item(store, victim, &item);
        if (status == KV_OK && batch_is_full(store)) {
            status = finish_batch(store);
            if (kv_background_sleep(store, PAUSE_MS))
                status = KV_READ_ONLY; // being closed: the rest another time
        }
    }
    kv_walk_end(&walk);
    enum kv_status finished = finish_batch(store); // after a failure too: nothing may stay in the list
    return status == KV_OK ? finished : status;
}

static enum kv_status compact(struct kv_store *store, struct kv_segment *victim)
{
    enum kv_status status = prepare(store);
    if (status == KV_OK && atomic_load(&victim->size) > KV_SEGMENT_HEAD)
        status = move_all(store, victim);
    // The device does not let all of it be read, perhaps another time: it stays, and others are compacted.
    if ((status == KV_IO || status == KV_CORRUPT) && !atomic_load(&store->read_only)) {
        atomic_store(&victim->given_up, true);
        return KV_OK;
    }
    if (status != KV_OK)
        return status;
    if (atomic_load(&victim->live_count) == 0) {
        // What superseded its records may not be on the device yet: until then they are what a power failure
        // goes back to.
        status = kv_commit_all(store);
        if (status == KV_OK)
            status = kv_snapshot_let_go(store, victim->id);
        return status == KV_OK ? kv_segment_remove(store, victim) : status;
    }
    // A record that the index points to could not be read: its segment stays, and a get of it says what is
    // wrong.
    atomic_store(&victim->given_up, true);
    return KV_OK;
}

bool kv_compact_step(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->compact_lock);
    enum kv_status status = KV_READ_ONLY;
    struct kv_segment *victim = atomic_load(&store->read_only) ? NULL : choose_victim(store);
    if (victim != NULL) {
        status = compact(store, victim);
        kv_segment_put(victim);
    }
    (void)pthread_mutex_unlock(&store->compact_lock);
    return victim != NULL && status == KV_OK;
}

void *kv_compactor_main(void *arg)
{
    struct kv_store *store = arg;
    while (!kv_background_sleep(store, IDLE_MS))
        while (!kv_background_stopping(store) && kv_compact_step(store)) {
        }
    return NULL;
}
