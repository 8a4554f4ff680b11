#include "kvstore/kv_replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define READERS      2u // threads; a segment each
#define SLOT_READERS 8u // of single records: the device answers several at once
#define SLOTS_EACH   64u

// Runs a function in this thread and some more; with fewer when there are none to be had.
static void run_threads(void *(*fn)(void *), void *arg, size_t threads)
{
    pthread_t others[SLOT_READERS];
    size_t running = 0;
    while (running + 1 < threads && running < SLOT_READERS &&
           pthread_create(&others[running], NULL, fn, arg) == 0)
        running++;
    (void)fn(arg);
    for (size_t i = 0; i < running; i++)
        (void)pthread_join(others[i], NULL);
}

static void fail(_Atomic int *status, enum kv_status with)
{
    int ok = KV_OK;
    (void)atomic_compare_exchange_strong(status, &ok, (int)with);
}

static bool is_before(uint64_t segment, uint64_t offset, struct kv_place place)
{
    return segment != place.segment ? segment < place.segment : offset < place.offset;
}

// ---- reading segments

static bool take_record(struct kv_log_read *read, uint64_t segment, const struct kv_item *item)
{
    struct kv_hash hash = kv_hash_key(&read->store->seeds, item->key, item->record.key_len);
    if (read->snapshot != NULL && is_before(segment, item->offset, read->snapshot->positions[hash.low >> 56]))
        return true;
    return kv_seen_take(read->seen, hash, kv_where_disk(segment, item->offset), item, NULL);
}

// A part of a segment that the device does not let be read. What is there is as if damaged, but may come back another
// time: compaction leaves the segment alone.
static void note_unreadable(struct kv_store *store, struct kv_segment *segment, const struct kv_item *item)
{
    atomic_store(&segment->given_up, true);
    atomic_store(&store->index_incomplete, true);
    (void)kv_fail(store, KV_IO, item->error, "segment %08llu: read at %llu", (unsigned long long)segment->id,
                  (unsigned long long)item->offset);
}

static enum kv_status read_items(struct kv_log_read *read, size_t at, struct kv_walk *walk)
{
    struct kv_store *store = read->store;
    struct kv_segment *segment = store->segments.list[at];
    bool noted = kv_segment_noted_size(store, segment->id) != 0;
    struct kv_item item, *last = &read->last[at];
    while (atomic_load(&read->status) == KV_OK) {
        int error = kv_walk_next(walk, &item);
        if (error != 0)
            return KV_NO_MEMORY;
        if (item.kind == KV_ITEM_END)
            break;
        *last = item;
        bool unreadable = item.kind == KV_ITEM_UNREADABLE || item.unreadable;
        bool damaged = item.kind == KV_ITEM_DAMAGED || item.kind == KV_ITEM_UNREADABLE ||
                       (item.kind == KV_ITEM_TORN && noted);
        if (unreadable)
            note_unreadable(store, segment, &item);
        // One of which nothing can be read is as good as missing.
        if (item.kind == KV_ITEM_UNREADABLE && item.offset == KV_SEGMENT_HEAD && walk->at == walk->end)
            return KV_IO;
        if (damaged)
            kv_count_damaged(store);
        if ((damaged || unreadable) && read->snapshot != NULL)
            return kv_fail(store, KV_CORRUPT, 0, "segment %08llu: damaged at %llu, behind the index snapshot",
                           (unsigned long long)segment->id, (unsigned long long)item.offset);
        if (item.kind == KV_ITEM_RECORD && !take_record(read, segment->id, &item))
            return KV_NO_MEMORY;
    }
    return KV_OK;
}

// The manifest and the file's name say which segment it is; a damaged header costs nothing but a count. False: there is nothing
// behind it.
static bool check_header(struct kv_store *store, const struct kv_segment *segment)
{
    uint8_t head[KV_SEGMENT_HEAD];
    size_t got;
    int error = kv_io_read(segment->fd, head, sizeof head, 0, &got);
    if (error != 0 || got != sizeof head || !kv_segment_decode(&store->seeds, segment->id, head))
        kv_count_damaged(store);
    return error != 0 || got == sizeof head;
}

static enum kv_status read_segment(struct kv_log_read *read, size_t at)
{
    struct kv_store *store = read->store;
    struct kv_segment *segment = store->segments.list[at];
    if (!check_header(store, segment))
        return KV_OK;
    struct kv_walk walk;
    if (!kv_walk_begin(&walk, &store->seeds, segment->id, segment->fd, atomic_load(&segment->size)))
        return KV_NO_MEMORY;
    const struct kv_snapshot *snapshot = read->snapshot;
    if (snapshot != NULL && segment->id == snapshot->low.segment && snapshot->low.offset > walk.at)
        walk.at = snapshot->low.offset;
    (void)kv_io.fadvise(segment->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    enum kv_status status = read_items(read, at, &walk);
    (void)kv_io.fadvise(segment->fd, 0, 0, POSIX_FADV_NORMAL);
    kv_walk_end(&walk);
    return status;
}

static void *reader_main(void *arg)
{
    struct kv_log_read *read = arg;
    size_t at;
    while (atomic_load(&read->status) == KV_OK &&
           (at = atomic_fetch_add(&read->next, 1)) < read->store->segments.count) {
        enum kv_status status = read_segment(read, at);
        if (status != KV_OK)
            fail(&read->status, status);
    }
    return NULL;
}

enum kv_status kv_log_read(struct kv_log_read *read)
{
    const struct kv_segments *segments = &read->store->segments;
    read->last = calloc(segments->count + 1, sizeof *read->last);
    if (read->last == NULL)
        return KV_NO_MEMORY;
    for (size_t i = 0; i < segments->count; i++) {
        read->last[i].kind = KV_ITEM_END;
        atomic_store(&segments->list[i]->sealed, true);
        if (read->snapshot != NULL && segments->list[i]->id < read->snapshot->low.segment)
            read->first = i + 1;
    }
    atomic_store(&read->next, read->first);
    run_threads(reader_main, read, segments->count - read->first > 1 ? READERS : 1);
    return (enum kv_status)atomic_load(&read->status);
}

void kv_log_read_free(struct kv_log_read *read)
{
    free(read->last);
    read->last = NULL;
}

// ---- the ends of segments

// Cuts off what a crash left at the end of a segment that was open, but nothing in front of `floor`. False: the end cannot be
// appended to.
static bool cut_tail(struct kv_store *store, struct kv_segment *segment, const struct kv_item *last,
                     uint64_t floor)
{
    uint64_t size = atomic_load(&segment->size);
    if (last->kind != KV_ITEM_TORN && (last->kind != KV_ITEM_ZERO || last->offset + last->size != size))
        return last->kind != KV_ITEM_DAMAGED && last->kind != KV_ITEM_UNREADABLE && !last->unreadable;
    uint64_t end = last->offset > floor ? last->offset : floor;
    if (end == size)
        return true;
    if (!kv_segment_cut(store, segment, end))
        return false; // left as it is
    atomic_store(&segment->size, end);
    return true;
}

// The end of a segment: the log goes on behind the last one's, unless it ends in damage (that is kept) or is full.
static void settle_tail(struct kv_store *store, struct kv_segment *segment, bool is_last,
                        const struct kv_item *last, uint64_t floor)
{
    bool noted = kv_segment_noted_size(store, segment->id) != 0;
    bool whole = last->kind == KV_ITEM_RECORD || last->kind == KV_ITEM_ZERO || last->kind == KV_ITEM_END;
    bool clean = noted ? whole && !last->unreadable : cut_tail(store, segment, last, floor);
    uint64_t size = atomic_load(&segment->size);
    if (!is_last || !clean || segment->longer || size < KV_SEGMENT_HEAD || size % KV_RECORD_ALIGN != 0 ||
        size >= store->options.segment_bytes)
        return;
    // An append that a kill -9 tears ends at the end of the file, where the next open cuts it; in front of zeros it would
    // be taken for what a power failure has torn.
    if ((segment->room && !kv_segment_cut(store, segment, size)) ||
        kv_segment_reopen(store, segment) != KV_OK)
        return;
    atomic_store(&segment->sealed, false);
    atomic_fetch_add(&segment->refs, 1);
    store->active = segment;
}

void kv_log_settle(const struct kv_log_read *read)
{
    const struct kv_segments *segments = &read->store->segments;
    for (size_t i = read->first; i < segments->count; i++) {
        struct kv_segment *segment = segments->list[i];
        const struct kv_snapshot *snapshot = read->snapshot;
        uint64_t floor = snapshot != NULL && segment->id == snapshot->end.segment ? snapshot->end.offset : 0;
        settle_tail(read->store, segment, i + 1 == segments->count, &read->last[i], floor);
    }
}

// ---- the snapshot's slots of keys that the log tells more of

struct pulled {
    uint64_t hash, where, expire_ms;
    struct kv_seen_entry *entry; // the only one of its 56 bits; NULL: one of several, or one of several slots
    uint8_t size_class, want;
    bool mine; // the record is of a key that the log tells more of: the slot goes
};

struct pull {
    struct kv_store *store;
    struct kv_seen *seen;
    struct pulled *items;
    size_t count, capacity;
    _Atomic size_t next;
    _Atomic int status;
};

static bool add_slot(struct pull *pull, struct kv_shard *shard, const struct kv_slot *slot,
                     struct kv_seen_entry *entry)
{
    if (pull->count == pull->capacity) {
        size_t capacity = pull->capacity + pull->capacity / 2 + 64;
        struct pulled *items = realloc(pull->items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        pull->items = items;
        pull->capacity = capacity;
    }
    uint64_t where = kv_word_where(slot->word);
    pull->items[pull->count++] = (struct pulled){.hash = kv_slot_hash(slot),
                                                 .where = where,
                                                 .expire_ms = kv_index_expiry(shard, slot, where),
                                                 .entry = entry,
                                                 .size_class = kv_word_class(slot->word),
                                                 .want = (uint8_t)(slot->hash & KV_SLOT_KEPT_BITS)};
    return true;
}

static bool add_slots(struct pull *pull, struct kv_shard *shard, struct kv_seen_entry *entry)
{
    size_t from = pull->count;
    for (const struct kv_slot *slot = kv_table_find(&shard->keys, entry->hash.low); slot != NULL;
         slot = kv_table_next(&shard->keys, slot))
        if (!add_slot(pull, shard, slot, entry))
            return false;
    for (size_t i = from; i < pull->count && pull->count - from > 1; i++)
        pull->items[i].entry = NULL;
    return true;
}

static int by_place(const void *a, const void *b)
{
    uint64_t x = ((const struct pulled *)a)->where, y = ((const struct pulled *)b)->where;
    return x < y ? -1 : x > y;
}

// Each slot once, in the order in which their records lie on the disk.
static bool collect(struct pull *pull)
{
    for (unsigned i = 0; i < KV_SHARDS; i++) {
        size_t at = 0;
        for (struct kv_seen_entry *entry; (entry = kv_seen_next(pull->seen, i, &at)) != NULL;)
            if (!add_slots(pull, &pull->store->index.shards[i], entry))
                return false;
    }
    if (pull->count != 0)
        qsort(pull->items, pull->count, sizeof *pull->items, by_place);
    size_t kept = 0;
    for (size_t i = 0; i < pull->count; i++) {
        if (kept != 0 && pull->items[kept - 1].where == pull->items[i].where)
            pull->items[kept - 1].entry = NULL; // two keys seen have its 56 bits
        else
            pull->items[kept++] = pull->items[i];
    }
    pull->count = kept;
    return true;
}

// Reads the record at a place, as a walk does. False: none that holds is there; item->kind KV_ITEM_ZERO: compaction has copied what was
// there and punched it out.
static bool read_record(struct kv_store *store, struct kv_walk *walk, struct kv_segment *segment,
                        uint64_t offset, uint64_t most, struct kv_item *item)
{
    uint64_t size = atomic_load(&segment->size);
    walk->seeds = &store->seeds;
    walk->fd = segment->fd;
    walk->segment = segment->id;
    walk->at = offset;
    walk->end = size - offset < most ? size : offset + most;
    walk->buf_len = 0;
    walk->refused = 0;
    walk->buf_at = offset;
    item->kind = KV_ITEM_DAMAGED;
    return offset < size && kv_walk_next(walk, item) == 0 && item->kind == KV_ITEM_RECORD &&
           !item->unreadable;
}

// The copy of a record that is gone, alone or with its segment, is in the log, or what superseded it is: the one key of its 56 bits
// is its key.
static enum kv_status take_homeless(struct pull *pull, struct pulled *item)
{
    if (item->entry == NULL)
        return kv_fail(pull->store, KV_CORRUPT, 0, "index snapshot: a key that cannot be told from another");
    item->entry->want = item->want;
    item->mine = true;
    return KV_OK;
}

static enum kv_status take_slot(struct pull *pull, struct kv_walk *walk, struct pulled *slot)
{
    struct kv_segment *segment = kv_segment_get(pull->store, kv_where_segment(slot->where));
    if (segment == NULL)
        return take_homeless(pull, slot);
    struct kv_item item;
    bool read = read_record(pull->store, walk, segment, kv_where_offset(slot->where),
                            kv_class_size(slot->size_class), &item) &&
                item.record.type == KV_RECORD_PUT;
    kv_segment_put(segment);
    if (!read && item.kind == KV_ITEM_ZERO)
        return take_homeless(pull, slot);
    if (!read)
        return kv_fail(pull->store, KV_CORRUPT, 0,
                       "segment %08llu: damaged at %llu, where the index snapshot has a record",
                       (unsigned long long)kv_where_segment(slot->where),
                       (unsigned long long)kv_where_offset(slot->where));
    struct kv_hash hash = kv_hash_key(&pull->store->seeds, item.key, item.record.key_len);
    if ((hash.low & KV_HASH_BITS) != slot->hash)
        return kv_fail(pull->store, KV_CORRUPT, 0, "index snapshot: a slot of another key's record");
    struct kv_seen_entry *entry = kv_seen_find(pull->seen, hash);
    if (entry == NULL) // another key of the same 56 bits
        return KV_OK;
    entry->want = slot->want;
    slot->mine = true;
    return kv_seen_take(pull->seen, hash, slot->where, &item, &slot->expire_ms) ? KV_OK : KV_NO_MEMORY;
}

static void *puller_main(void *arg)
{
    struct pull *pull = arg;
    struct kv_walk walk;
    if (!kv_walk_begin(&walk, &pull->store->seeds, 0, -1, KV_SEGMENT_HEAD)) {
        fail(&pull->status, KV_NO_MEMORY);
        return NULL;
    }
    while (atomic_load(&pull->status) == KV_OK) {
        size_t at = atomic_fetch_add(&pull->next, SLOTS_EACH);
        if (at >= pull->count)
            break;
        for (size_t end = at + SLOTS_EACH; at < end && at < pull->count; at++) {
            enum kv_status status = take_slot(pull, &walk, &pull->items[at]);
            if (status != KV_OK)
                fail(&pull->status, status);
        }
    }
    kv_walk_end(&walk);
    return NULL;
}

static void remove_slot(struct kv_store *store, const struct pulled *pulled, struct kv_snapshot *snapshot)
{
    struct kv_shard *shard = kv_index_shard(&store->index, pulled->hash);
    struct kv_slot *slot = kv_slot_at(store, shard, pulled->hash, pulled->where);
    struct kv_segment *segment = kv_segment_get(store, kv_where_segment(pulled->where));
    if (segment == NULL)
        snapshot->homeless--;
    kv_segment_put(segment);
    kv_index_set_expiry(&store->index, shard, slot, pulled->where, 0);
    kv_live_add(store, pulled->where, -(int64_t)kv_class_floor(pulled->size_class), -1);
    kv_index_remove(&store->index, shard, slot);
    snapshot->keys--;
}

enum kv_status kv_replay_slots(struct kv_store *store, struct kv_seen *seen, struct kv_snapshot *snapshot)
{
    struct pull pull = {.store = store, .seen = seen};
    enum kv_status status = collect(&pull) ? KV_OK : KV_NO_MEMORY;
    if (status == KV_OK && pull.count != 0) {
        run_threads(puller_main, &pull, pull.count > SLOTS_EACH ? SLOT_READERS : 1);
        status = (enum kv_status)atomic_load(&pull.status);
    }
    for (size_t i = 0; i < pull.count && status == KV_OK; i++)
        if (pull.items[i].mine)
            remove_slot(store, &pull.items[i], snapshot);
    free(pull.items);
    if (status == KV_OK && snapshot->homeless != 0)
        status = kv_fail(store, KV_CORRUPT, 0, "index snapshot: %zu keys in segments that are gone",
                         snapshot->homeless);
    return status;
}

// ---- the snapshot's erasures

// Many are left to the eraser, which looks at each when it comes to it.
static bool leaves_to_eraser(struct kv_store *store, const struct kv_snapshot *snapshot)
{
    return store->options.fsync != KV_FSYNC_ALWAYS && kv_erase_is_long(store, snapshot->erasure_count);
}

static enum kv_status resume(struct kv_store *store, struct kv_erasure erasure)
{
    erasure.lsn = 0;
    erasure.unsure = true;
    return kv_erase_resume(store, &erasure) ? KV_OK : KV_NO_MEMORY;
}

// Queues one, unless it is done or the index points to the record: then what superseded it has turned out not to hold.
static enum kv_status replay_erasure(struct kv_store *store, struct kv_walk *walk, struct kv_segment *segment,
                                     struct kv_erasure erasure)
{
    erasure.lsn = 0;
    if (erasure.unreadable || erasure.whole) {
        kv_erase_later(store, &erasure);
        return KV_OK;
    }
    struct kv_item item;
    uint64_t most = erasure.by_head ? kv_class_size(erasure.size_class)
                                    : kv_record_size(erasure.key_len, erasure.value_len);
    bool read = read_record(store, walk, segment, kv_where_offset(erasure.where), most, &item);
    if (!read && item.kind == KV_ITEM_ZERO)
        return KV_OK;
    if (read && erasure.by_head && item.record.type == KV_RECORD_PUT) {
        erasure.key_len = item.record.key_len;
        erasure.value_len = item.record.value_len;
        erasure.by_head = false;
    }
    if (!read || erasure.by_head || item.record.key_len != erasure.key_len ||
        item.record.value_len != erasure.value_len)
        return kv_fail(store, KV_CORRUPT, 0, "segment %08llu: damaged at %llu, where a value is to be erased",
                       (unsigned long long)segment->id, (unsigned long long)kv_where_offset(erasure.where));
    uint64_t hash = kv_hash_key(&store->seeds, item.key, item.record.key_len).low;
    bool done = item.mark == KV_MARK_ERASED && item.value_zero;
    if (!done && kv_slot_at(store, kv_index_shard(&store->index, hash), hash, erasure.where) == NULL)
        kv_erase_later(store, &erasure);
    return KV_OK;
}

enum kv_status kv_replay_erasures(struct kv_store *store, const struct kv_snapshot *snapshot)
{
    struct kv_walk walk;
    if (!kv_walk_begin(&walk, &store->seeds, 0, -1, KV_SEGMENT_HEAD))
        return KV_NO_MEMORY;
    enum kv_status status = KV_OK;
    bool leave = leaves_to_eraser(store, snapshot);
    for (size_t i = 0; i < snapshot->erasure_count && status == KV_OK; i++) {
        const struct kv_erasure *erasure = &snapshot->erasures[i];
        struct kv_segment *segment = kv_segment_get(store, kv_where_segment(erasure->where));
        if (segment != NULL) // compaction has removed it since otherwise
            status = leave && erasure->by_head ? resume(store, *erasure)
                                               : replay_erasure(store, &walk, segment, *erasure);
        kv_segment_put(segment);
    }
    kv_walk_end(&walk);
    return status;
}
