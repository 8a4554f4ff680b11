// Rebuilding the index at open, from the segments alone.
//
// Every record of every segment is seen once, in whatever order. For each key (told apart by 128 bits of hash) the highest seq decides:
//   a value that is there       the key's value; its expiry is the one of the highest expire_seq of all records of the key
//   a tombstone, or an erased value   the key is gone
// Two records of one seq are one record and the copy that compaction made of it: the one whose value holds, else the later one, is kept.
//
// Values that lost and are still in the files were being erased when the process died: they are erased now, after what
// supersedes them is on the device. So is a copy that compaction did not get to erase.
#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvstore/kv_walk.h"

#define SEQ_STRIDE 65536u // seqs left out at each open, in case the last records cannot be read this time

enum seen_state { SEEN_NOTHING, SEEN_VALUE, SEEN_GONE };

struct seen {
    struct kv_hash hash;
    uint64_t seq, expire_ms, expire_seq;
    uint64_t where;
    uint32_t value_len;
    uint16_t key_len;
    uint8_t state; // enum seen_state
    bool value_holds;
    bool used;
};

struct recovery {
    struct kv_store *store;
    struct seen *table; // open addressing by hash.low
    size_t capacity, count;
    uint64_t max_seq;
};

// ---- the table of keys seen

static struct seen *probe(struct seen *table, size_t capacity, struct kv_hash hash)
{
    size_t at = (size_t)hash.low & (capacity - 1);
    while (table[at].used && (table[at].hash.low != hash.low || table[at].hash.high != hash.high))
        at = (at + 1) & (capacity - 1);
    return &table[at];
}

static bool table_grow(struct recovery *r)
{
    size_t capacity = r->capacity == 0 ? 1024 : r->capacity * 2;
    struct seen *table = calloc(capacity, sizeof *table);
    if (table == NULL)
        return false;
    for (size_t i = 0; i < r->capacity; i++)
        if (r->table[i].used)
            *probe(table, capacity, r->table[i].hash) = r->table[i];
    free(r->table);
    r->table = table;
    r->capacity = capacity;
    return true;
}

static struct seen *table_entry(struct recovery *r, struct kv_hash hash)
{
    if (r->count * 4 >= r->capacity * 3 && !table_grow(r))
        return NULL;
    struct seen *entry = probe(r->table, r->capacity, hash);
    if (!entry->used) {
        *entry = (struct seen){.hash = hash, .used = true};
        r->count++;
    }
    return entry;
}

// ---- one record

static void erase_loser(struct recovery *r, const struct seen *loser)
{
    if (loser->state != SEEN_VALUE)
        return;
    struct kv_erasure erasure = {
        .where = loser->where, .value_len = loser->value_len, .key_len = loser->key_len};
    kv_erase_later(r->store, &erasure);
}

// What a record says of its key's value. An erasure that was cut short counts as one, and is finished.
static enum seen_state state_of(struct recovery *r, const struct kv_item *item, const struct seen *self)
{
    if (item->record.type == KV_RECORD_TOMBSTONE)
        return SEEN_GONE;
    if (item->record.type != KV_RECORD_PUT)
        return SEEN_NOTHING;
    struct seen unfinished = *self;
    unfinished.state = SEEN_VALUE;
    if (item->mark == KV_MARK_ERASED) {
        if (!item->value_zero)
            erase_loser(r, &unfinished);
        return SEEN_GONE;
    }
    if (item->value_zero && !item->value_holds) {
        erase_loser(r, &unfinished);
        return SEEN_GONE;
    }
    if (item->mark == KV_MARK_DAMAGED) {
        kv_count_damaged(r->store);
        // The value shows whether it has been erased. One that is all zeros anyway cannot: it is not brought back.
        return item->value_zero ? SEEN_GONE : SEEN_VALUE;
    }
    return SEEN_VALUE;
}

static bool supersedes(const struct seen *a, const struct seen *b)
{
    if (a->seq != b->seq)
        return a->seq > b->seq;
    if (a->state != b->state)
        return a->state == SEEN_VALUE; // the other is the original, erased after it was copied
    return a->value_holds != b->value_holds ? a->value_holds : a->where > b->where;
}

static bool take_record(struct recovery *r, uint64_t segment, const struct kv_item *item)
{
    const struct kv_record *record = &item->record;
    struct kv_hash hash = kv_hash_key(&r->store->seeds, item->key, record->key_len);
    struct seen *entry = table_entry(r, hash);
    if (entry == NULL)
        return false;
    r->max_seq = record->seq > r->max_seq ? record->seq : r->max_seq;
    r->max_seq = record->expire_seq > r->max_seq ? record->expire_seq : r->max_seq;
    if (record->expire_seq >= entry->expire_seq) {
        entry->expire_seq = record->expire_seq;
        entry->expire_ms = record->expire_ms;
    }
    struct seen self = *entry;
    self.seq = record->seq;
    self.where = kv_where_disk(segment, item->offset);
    self.value_len = record->value_len;
    self.key_len = record->key_len;
    self.value_holds = item->value_holds;
    enum seen_state state = state_of(r, item, &self);
    self.state = (uint8_t)state;
    if (state == SEEN_NOTHING)
        return true;
    if (entry->state == SEEN_NOTHING || supersedes(&self, entry)) {
        erase_loser(r, entry);
        *entry = self;
    } else {
        erase_loser(r, &self);
    }
    return true;
}

// ---- one segment

// The end of the last segment: what a crash left there is cut off, so that appending can go on. Damage that is whole is kept, and
// the log goes on in a new segment.
static enum kv_status settle_tail(struct kv_store *store, struct kv_segment *segment,
                                  const struct kv_item *last)
{
    uint64_t size = atomic_load(&segment->size);
    bool cut =
        last->kind == KV_ITEM_TORN || (last->kind == KV_ITEM_ZERO && last->offset + last->size == size);
    if (cut) {
        size = last->offset;
        if (kv_io.ftruncate(segment->fd, (off_t)size) != 0)
            return KV_OK; // left as it is; the log goes on in a new segment
        atomic_store(&segment->size, size);
    }
    bool clean =
        last->kind != KV_ITEM_DAMAGED && size % KV_RECORD_ALIGN == 0 && size < store->options.segment_bytes;
    if (clean) {
        atomic_store(&segment->sealed, false);
        atomic_fetch_add(&segment->refs, 1);
        store->active = segment;
    }
    return KV_OK;
}

static enum kv_status scan_items(struct recovery *r, struct kv_segment *segment, struct kv_walk *walk,
                                 bool is_last)
{
    struct kv_item item, last = {.kind = KV_ITEM_END};
    for (;;) {
        int error = kv_walk_next(walk, &item);
        if (error != 0)
            return kv_fail(r->store, KV_IO, error, "segment %08llu: read at %llu",
                           (unsigned long long)segment->id, (unsigned long long)walk->at);
        if (item.kind == KV_ITEM_END)
            break;
        last = item;
        if (item.kind == KV_ITEM_DAMAGED || (item.kind == KV_ITEM_TORN && !is_last))
            kv_count_damaged(r->store);
        if (item.kind == KV_ITEM_RECORD && !take_record(r, segment->id, &item))
            return KV_NO_MEMORY;
    }
    return is_last ? settle_tail(r->store, segment, &last) : KV_OK;
}

static enum kv_status scan_segment(struct recovery *r, struct kv_segment *segment, bool is_last)
{
    struct kv_store *store = r->store;
    atomic_store(&segment->sealed, true);
    uint8_t head[KV_SEGMENT_HEAD];
    size_t got;
    int error = kv_io_read(segment->fd, head, sizeof head, 0, &got);
    if (error != 0)
        return kv_fail(store, KV_IO, error, "segment %08llu: read", (unsigned long long)segment->id);
    // The manifest and the file's name say which segment it is; a damaged header costs nothing but this count.
    bool header_holds = got == sizeof head && kv_segment_decode(&store->seeds, segment->id, head);
    if (!header_holds)
        kv_count_damaged(store);
    if (got < sizeof head)
        return KV_OK;
    struct kv_walk walk;
    if (!kv_walk_begin(&walk, &store->seeds, segment->id, segment->fd, atomic_load(&segment->size)))
        return KV_NO_MEMORY;
    enum kv_status status = scan_items(r, segment, &walk, is_last);
    kv_walk_end(&walk);
    return status;
}

// ---- all

static bool index_value(struct kv_store *store, const struct seen *entry)
{
    struct kv_shard *shard = kv_index_shard(&store->index, entry->hash.low);
    if (!kv_index_reserve(&store->index, shard, entry->expire_ms != 0))
        return false;
    uint64_t size = kv_record_size(entry->key_len, entry->value_len);
    kv_index_insert(&store->index, shard, entry->hash.low, kv_word_make(kv_class_of(size), entry->where));
    struct kv_slot *slot = kv_slot_at(store, shard, entry->hash.low, entry->where);
    kv_index_set_expiry(&store->index, shard, slot, entry->where, entry->expire_ms);
    kv_live_add(store, entry->where, (int64_t)size, 1);
    if (!entry->value_holds) {
        slot->word |= KV_WORD_DAMAGED;
        kv_count_damaged(store);
    }
    return true;
}

static enum kv_status build_index(struct recovery *r)
{
    for (size_t i = 0; i < r->capacity; i++)
        if (r->table[i].used && r->table[i].state == SEEN_VALUE && !index_value(r->store, &r->table[i]))
            return KV_NO_MEMORY;
    return KV_OK;
}

// Before anything is erased, what supersedes it has to be on the device: the process before may have left it in the page cache.
static enum kv_status finish_erasures(struct kv_store *store)
{
    if (kv_erase_pending(store) == 0)
        return KV_OK;
    enum kv_status status = kv_commit_all(store);
    return status == KV_OK ? kv_erase_upto(store, 0) : status;
}

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

enum kv_status kv_recover(struct kv_store *store)
{
    uint64_t began = now_us();
    struct recovery r = {.store = store};
    enum kv_status status = KV_OK;
    size_t count = store->segments.count; // nobody else is there yet
    for (size_t i = 0; i < count && status == KV_OK; i++)
        status = scan_segment(&r, store->segments.list[i], i + 1 == count);
    if (status == KV_OK)
        status = build_index(&r);
    store->next_seq = r.max_seq + SEQ_STRIDE;
    free(r.table);
    if (status == KV_OK)
        status = finish_erasures(store);
    store->recovery_us = now_us() - began;
    return status;
}
