// Rebuilding the index at open, from the segments alone.
//
// Every record of every segment is seen once, in whatever order. For each key (told apart by 128 bits of
// hash) the highest seq decides:
//   a value that is there       the key's value, with the expiry it says or that of the latest change that names it
//   a tombstone, or an erased value   the key is gone
// Two records of one seq are one record and the copy that compaction made of it: the later one is kept.
//
// A value whose checksum does not hold gives way to an older one that is whole and not erased. That the older
// one has not been erased shows that the newer was not known to be on the device: a power failure tore it.
// Such a torn record is zeroed, head and all, so that it does not outlive what it gave way to. Without an
// older one it is the key's value, damaged.
//
// Values that lost and are still in the files were being erased when the process died: they are erased now,
// after what supersedes them is on the device. So is a copy that compaction did not get to erase.
#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvstore/kv_walk.h"

#define SEQ_STRIDE 65536u // seqs left out at each open, in case the last records cannot be read this time

// A value in the files.
struct value {
    uint64_t seq, where;
    uint64_t expire_ms, expire_seq;
    uint32_t value_len;
    uint16_t key_len;
    bool holds; // its checksum does, or the device does not let it be read: that tells of no torn write
    bool unreadable;
};

struct seen {
    struct kv_hash hash;
    uint64_t gone_seq;  // highest of tombstones and erased values; older values do not count
    struct value value; // where 0: none
    bool used;
};

// A value that does not hold; they are few, and decided on when all else is known.
struct torn {
    struct kv_hash hash;
    struct value value;
};

struct recovery {
    struct kv_store *store;
    struct seen *table; // open addressing by hash.low
    size_t capacity, count;
    struct torn *torn;
    size_t torn_count, torn_capacity;
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

static void erase_value(struct recovery *r, const struct value *value, bool whole)
{
    if (value->where == 0)
        return;
    struct kv_erasure erasure = {
        .where = value->where, .value_len = value->value_len, .key_len = value->key_len, .whole = whole};
    kv_erase_later(r->store, &erasure);
}

// What a put's record says of its key: its value is there (true) or has been erased. An erasure that was cut
// short is finished.
static bool value_is_there(struct recovery *r, const struct kv_item *item, const struct value *value)
{
    if (item->mark == KV_MARK_ERASED) {
        if (!item->value_zero)
            erase_value(r, value, false);
        return false;
    }
    if (item->mark == KV_MARK_NONE)
        return true;
    kv_count_damaged(r->store);
    // The value shows whether it has been erased. One that was zeros from the start does not: there the mark's bits
    // decide, of which few have changed.
    return !item->value_zero || (item->value_holds && !item->marks_erased);
}

static void take_gone(struct recovery *r, struct seen *entry, uint64_t seq)
{
    if (seq <= entry->gone_seq)
        return;
    entry->gone_seq = seq;
    // Of one seq: an original, erased after it was copied, and the copy. The copy counts.
    if (entry->value.seq < seq) {
        erase_value(r, &entry->value, false);
        entry->value = (struct value){0};
    }
}

static void take_value(struct recovery *r, struct seen *entry, const struct value *value)
{
    struct value *old = &entry->value;
    bool newer = value->seq != old->seq ? value->seq > old->seq : value->where > old->where;
    if (value->seq < entry->gone_seq || (old->where != 0 && !newer)) {
        erase_value(r, value, false);
    } else {
        erase_value(r, old, false);
        *old = *value;
    }
}

// A change counts for the value that it names and for no other. It lies behind it, so that has been seen: it is the key's
// present value, or one that does not hold, or gone.
static void take_change(struct recovery *r, struct seen *entry, const struct kv_record *record)
{
    struct value *value = entry->value.where == record->target ? &entry->value : NULL;
    for (size_t i = r->torn_count; i > 0 && value == NULL; i--)
        if (r->torn[i - 1].value.where == record->target)
            value = &r->torn[i - 1].value;
    if (value == NULL || record->seq <= value->expire_seq)
        return;
    value->expire_ms = record->expire_ms;
    value->expire_seq = record->seq;
}

static bool keep_torn(struct recovery *r, const struct torn *torn)
{
    if (r->torn_count == r->torn_capacity) {
        size_t capacity = r->torn_capacity * 2 + 16;
        struct torn *list = realloc(r->torn, capacity * sizeof *list);
        if (list == NULL)
            return false;
        r->torn = list;
        r->torn_capacity = capacity;
    }
    r->torn[r->torn_count++] = *torn;
    return true;
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
    struct value value = {.seq = record->seq,
                          .where = kv_where_disk(segment, item->offset),
                          .value_len = record->value_len,
                          .key_len = record->key_len,
                          .expire_ms = record->expire_ms,
                          .expire_seq = record->expire_seq,
                          .holds = item->value_holds || item->unreadable,
                          .unreadable = item->unreadable};
    bool there = record->type == KV_RECORD_PUT && value_is_there(r, item, &value);
    if (there && !value.holds)
        return keep_torn(r, &(struct torn){hash, value});
    if (there)
        take_value(r, entry, &value);
    else if (record->type == KV_RECORD_EXPIRY)
        take_change(r, entry, record);
    else
        take_gone(r, entry, record->seq);
    return true;
}

// Values that do not hold, now that every other record is known.
static void decide_torn(struct recovery *r)
{
    for (size_t i = 0; i < r->torn_count; i++) {
        const struct torn *torn = &r->torn[i];
        struct seen *entry = probe(r->table, r->capacity, torn->hash);
        if (entry->value.where != 0 && entry->value.holds && torn->value.seq > entry->value.seq) {
            kv_count_damaged(r->store);
            erase_value(r, &torn->value, true);
            continue;
        }
        if (entry->value.where != 0 && entry->value.holds) {
            erase_value(r, &torn->value, false);
            continue;
        }
        take_value(r, entry, &torn->value);
    }
}

// ---- one segment

// Cuts off what a crash left at the end of a segment that was open. False: the end cannot be appended to.
static bool cut_tail(struct kv_segment *segment, const struct kv_item *last)
{
    uint64_t size = atomic_load(&segment->size);
    if (last->kind != KV_ITEM_TORN && (last->kind != KV_ITEM_ZERO || last->offset + last->size != size))
        return last->kind != KV_ITEM_DAMAGED && last->kind != KV_ITEM_UNREADABLE && !last->unreadable;
    if (kv_io.ftruncate(segment->fd, (off_t)last->offset) != 0)
        return false; // left as it is
    atomic_store(&segment->size, last->offset);
    return true;
}

// The end of a segment: the log goes on behind the last one's, unless it ends in damage (that is kept) or is full.
static void settle_tail(struct kv_store *store, struct kv_segment *segment, bool is_last,
                        const struct kv_item *last)
{
    bool noted = kv_segment_noted_size(store, segment->id) != 0;
    bool whole = last->kind == KV_ITEM_RECORD || last->kind == KV_ITEM_ZERO || last->kind == KV_ITEM_END;
    bool clean = noted ? whole && !last->unreadable : cut_tail(segment, last);
    uint64_t size = atomic_load(&segment->size);
    if (!is_last || !clean || segment->longer || size % KV_RECORD_ALIGN != 0 ||
        size >= store->options.segment_bytes || kv_segment_reopen(store, segment) != KV_OK)
        return;
    atomic_store(&segment->sealed, false);
    atomic_fetch_add(&segment->refs, 1);
    store->active = segment;
}

// A part of a segment that the device does not let be read. What is there is as if damaged, but may come back another
// time: compaction leaves the segment alone.
static void note_unreadable(struct kv_store *store, struct kv_segment *segment, const struct kv_item *item)
{
    atomic_store(&segment->given_up, true);
    (void)kv_fail(store, KV_IO, item->error, "segment %08llu: read at %llu", (unsigned long long)segment->id,
                  (unsigned long long)item->offset);
}

static enum kv_status scan_items(struct recovery *r, struct kv_segment *segment, struct kv_walk *walk,
                                 bool is_last)
{
    struct kv_item item, last = {.kind = KV_ITEM_END};
    bool noted = kv_segment_noted_size(r->store, segment->id) != 0;
    for (;;) {
        int error = kv_walk_next(walk, &item);
        if (error != 0)
            return KV_NO_MEMORY;
        if (item.kind == KV_ITEM_END)
            break;
        last = item;
        if (item.kind == KV_ITEM_UNREADABLE || item.unreadable)
            note_unreadable(r->store, segment, &item);
        // One of which nothing can be read is as good as missing.
        if (item.kind == KV_ITEM_UNREADABLE && item.offset == KV_SEGMENT_HEAD && walk->at == walk->end)
            return KV_IO;
        if (item.kind == KV_ITEM_DAMAGED || item.kind == KV_ITEM_UNREADABLE ||
            (item.kind == KV_ITEM_TORN && noted))
            kv_count_damaged(r->store);
        if (item.kind == KV_ITEM_RECORD && !take_record(r, segment->id, &item))
            return KV_NO_MEMORY;
    }
    settle_tail(r->store, segment, is_last, &last);
    return KV_OK;
}

static enum kv_status scan_segment(struct recovery *r, struct kv_segment *segment, bool is_last)
{
    struct kv_store *store = r->store;
    atomic_store(&segment->sealed, true);
    uint8_t head[KV_SEGMENT_HEAD];
    size_t got;
    int error = kv_io_read(segment->fd, head, sizeof head, 0, &got);
    // The manifest and the file's name say which segment it is; a damaged header costs nothing but this
    // count.
    bool header_holds =
        error == 0 && got == sizeof head && kv_segment_decode(&store->seeds, segment->id, head);
    if (!header_holds)
        kv_count_damaged(store);
    if (error == 0 && got < sizeof head)
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
    uint64_t expire_ms = entry->value.expire_ms;
    if (!kv_index_reserve(&store->index, shard, expire_ms != 0))
        return false;
    const struct value *value = &entry->value;
    uint64_t size = kv_record_size(value->key_len, value->value_len);
    kv_index_insert(&store->index, shard, entry->hash.low, kv_word_make(kv_class_of(size), value->where));
    struct kv_slot *slot = kv_slot_at(store, shard, entry->hash.low, value->where);
    kv_index_set_expiry(&store->index, shard, slot, value->where, expire_ms);
    kv_live_add(store, value->where, (int64_t)size, 1);
    if (!value->holds || value->unreadable) {
        slot->word |= KV_WORD_DAMAGED;
        kv_count_damaged(store);
    }
    return true;
}

static enum kv_status build_index(struct recovery *r)
{
    decide_torn(r);
    for (size_t i = 0; i < r->capacity; i++)
        if (r->table[i].used && r->table[i].value.where != 0 && !index_value(r->store, &r->table[i]))
            return KV_NO_MEMORY;
    return KV_OK;
}

// Before anything is erased, what supersedes it has to be on the device: the process before may have left it
// in the page cache.
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
    free(r.torn);
    if (status == KV_OK)
        status = finish_erasures(store);
    store->recovery_us = now_us() - began;
    return status;
}
