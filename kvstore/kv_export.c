// Visiting every record by reading the segments from front to back, as compaction reads one (kv_walk.h), up to where the log
// ended when the export began.
//
// While a record is the index's, nobody but compaction moves it, and compaction leaves alone what has not been read yet
// (kv_export_needs()). So of a key's records up to that end, whose last one was its value when the export began:
//   the index points at the one that was read     it is visited; the key has no later one up to the end
//   the index points behind the end               it was replaced meanwhile: visited once with what it has now, and
//                                                 remembered, since older records of the key may come
//   anything else                                 another one of the key's is to come, or the key is gone
// So no key that stays is left out, and none comes twice.
//
// Where something is no record, what the index has in that place is looked for: memory may have it.
#include "kvstore/kv_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_walk.h"

// What compaction leaves alone: segments from `from` to `to`.
struct kv_export_run {
    struct kv_export_run *next;
    _Atomic uint64_t from;
    uint64_t to;
};

struct stretch {
    uint64_t from, to; // offsets
    bool refused;      // by the device: it may be readable another time
};

struct export
{
    struct kv_store *store;
    kv_export_fn fn;
    void *arg;
    struct kv_export_run run;
    struct kv_place end;
    uint64_t end_where;
    struct kv_table
        visited; // keys that were replaced meanwhile and have been visited: { high hash, more of it }
    struct stretch *stretches; // of the segment that is being read, ascending
    size_t stretch_count, stretch_capacity;
    uint64_t left_out; // records
    bool stopped;
};

// ---- what compaction is kept from

bool kv_export_needs(struct kv_store *store, uint64_t segment)
{
    bool needed = false;
    (void)pthread_mutex_lock(&store->exports.lock);
    for (const struct kv_export_run *run = store->exports.first; run != NULL && !needed; run = run->next)
        needed = segment >= atomic_load(&run->from) && segment <= run->to;
    (void)pthread_mutex_unlock(&store->exports.lock);
    return needed;
}

// Fixes the end: all that lies before it is in the index, and no compaction is in the middle of a segment.
static void begin(struct export *e)
{
    struct kv_store *store = e->store;
    kv_compact_hold(store);
    kv_write_lock_all(store);
    (void)pthread_mutex_lock(&store->append_lock);
    e->end = kv_log_end(store);
    (void)pthread_mutex_unlock(&store->append_lock);
    e->end_where = kv_where_disk(e->end.segment, e->end.offset);
    e->run.to = e->end.segment;
    (void)pthread_mutex_lock(&store->exports.lock);
    e->run.next = store->exports.first;
    store->exports.first = &e->run;
    (void)pthread_mutex_unlock(&store->exports.lock);
    kv_write_unlock_all(store);
    kv_compact_let_go(store);
}

static void end(struct export *e)
{
    struct kv_exports *exports = &e->store->exports;
    (void)pthread_mutex_lock(&exports->lock);
    struct kv_export_run **at = &exports->first;
    while (*at != &e->run)
        at = &(*at)->next;
    *at = e->run.next;
    (void)pthread_mutex_unlock(&exports->lock);
    kv_account(e->store, -(int64_t)kv_table_bytes(&e->visited));
    kv_table_destroy(&e->visited);
    free(e->stretches);
}

// ---- one record

static bool has_expired(struct export *e, uint64_t expire_ms)
{
    return expire_ms != 0 && expire_ms <= kv_now(e->store);
}

static void visit(struct export *e, const void *key, size_t key_len, const void *value, size_t len,
                  uint64_t expire_ms)
{
    if (!has_expired(e, expire_ms))
        e->stopped = !e->fn(e->arg, key, key_len, value, len, expire_ms);
}

// Remembers a key by 111 bits of its hash: a table compares 48 of a hash whose first byte is 0, the word has the rest.
static enum kv_status remember(struct export *e, struct kv_hash hash, bool *known)
{
    uint64_t at = hash.high >> 8, word = hash.low | 1;
    const struct kv_slot *slot = kv_table_find(&e->visited, at);
    while (slot != NULL && slot->word != word)
        slot = kv_table_next(&e->visited, slot);
    *known = slot != NULL;
    if (*known)
        return KV_OK;
    size_t before = kv_table_bytes(&e->visited);
    bool ok = kv_table_reserve(&e->visited);
    kv_account(e->store, (int64_t)kv_table_bytes(&e->visited) - (int64_t)before);
    return ok && kv_table_insert(&e->visited, at, word) ? KV_OK : KV_NO_MEMORY;
}

// A key whose record was read and cannot serve: it was replaced meanwhile, or does not hold. What a get says of it counts, unless
// it is another record that is to come.
static enum kv_status visit_current(struct export *e, struct kv_hash hash, uint64_t where,
                                    const struct kv_item *item)
{
    bool known;
    enum kv_status status = remember(e, hash, &known);
    if (status != KV_OK || known)
        return status;
    struct kv_view view;
    status = kv_get_view(e->store, item->key, item->record.key_len, &view);
    if (status == KV_OK && (view.version == where || view.version >= e->end_where))
        visit(e, item->key, item->record.key_len, view.data, view.len, view.expire_ms);
    if (status == KV_OK)
        kv_view_release(e->store, &view);
    if (status == KV_CORRUPT || status == KV_IO)
        e->left_out++;
    return status == KV_NO_MEMORY ? status : KV_OK;
}

// A value that is larger than the walk's buffer.
static enum kv_status visit_large(struct export *e, struct kv_hash hash, uint64_t where,
                                  const struct kv_item *item, uint64_t expire_ms)
{
    const struct kv_record *record = &item->record;
    uint8_t *value;
    kv_account(e->store, record->value_len);
    enum kv_status status = kv_read_value(e->store, where, record, &value);
    bool holds =
        status == KV_OK && kv_value_sum(&e->store->seeds, value, record->value_len) == record->value_sum;
    if (holds)
        visit(e, item->key, record->key_len, value, record->value_len, expire_ms);
    kv_free_value(value, record->value_len);
    kv_account(e->store, -(int64_t)record->value_len);
    return holds || status == KV_NO_MEMORY ? status : visit_current(e, hash, where, item);
}

enum standing { LIVE, REPLACED, PASSED };

static enum standing standing_of(struct export *e, uint64_t hash, uint64_t where, uint64_t *expire_ms)
{
    struct kv_shard *shard = kv_index_shard(&e->store->index, hash);
    enum standing standing = PASSED;
    (void)pthread_mutex_lock(&shard->lock);
    for (const struct kv_slot *slot = kv_table_find(&shard->keys, hash); slot != NULL && standing != LIVE;
         slot = kv_table_next(&shard->keys, slot)) {
        uint64_t at = kv_slot_disk(e->store, slot);
        if (at >= e->end_where)
            standing = REPLACED;
        if (at != where)
            continue;
        standing = LIVE;
        *expire_ms = kv_index_expiry(shard, slot, where);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return standing;
}

// The index is asked after the value was read: if it says that the record is the key's, what was read has not been overwritten.
static enum kv_status take_record(struct export *e, const struct kv_item *item)
{
    const struct kv_record *record = &item->record;
    uint64_t where = kv_where_disk(atomic_load(&e->run.from), item->offset), expire_ms = 0;
    struct kv_hash hash = kv_hash_key(&e->store->seeds, item->key, record->key_len);
    enum standing standing = standing_of(e, hash.low, where, &expire_ms);
    if (standing == PASSED || (standing == LIVE && has_expired(e, expire_ms)))
        return KV_OK;
    if (standing == REPLACED || !item->value_holds)
        return visit_current(e, hash, where, item);
    if (item->value == NULL)
        return visit_large(e, hash, where, item, expire_ms);
    visit(e, item->key, record->key_len, item->value, record->value_len, expire_ms);
    return KV_OK;
}

// ---- what is no record

static enum kv_status note_stretch(struct export *e, const struct kv_item *item)
{
    if (e->stretch_count == e->stretch_capacity) {
        size_t capacity = e->stretch_capacity * 2 + 16;
        struct stretch *list = realloc(e->stretches, capacity * sizeof *list);
        if (list == NULL)
            return KV_NO_MEMORY;
        e->stretches = list;
        e->stretch_capacity = capacity;
    }
    e->stretches[e->stretch_count++] =
        (struct stretch){item->offset, item->offset + item->size, item->kind == KV_ITEM_UNREADABLE};
    return KV_OK;
}

// The stretch that a place lies in; NULL: none.
static const struct stretch *stretch_of(const struct export *e, uint64_t where)
{
    if (kv_where_segment(where) != atomic_load(&e->run.from))
        return NULL;
    uint64_t offset = kv_where_offset(where);
    size_t low = 0, high = e->stretch_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (e->stretches[middle].to <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < e->stretch_count && e->stretches[low].from <= offset ? &e->stretches[low] : NULL;
}

// A key whose record could not be told from other bytes: memory has it, or it is left out.
static void take_from_memory(struct export *e, uint64_t hash, uint64_t where, bool refused)
{
    struct kv_store *store = e->store;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    struct kv_mem *mem = NULL;
    uint64_t expire_ms = 0;
    (void)pthread_mutex_lock(&shard->lock);
    const struct kv_slot *slot = kv_slot_at(store, shard, hash, where);
    if (slot != NULL)
        expire_ms = kv_index_expiry(shard, slot, where);
    if (slot != NULL && (slot->word & KV_WORD_CACHED) != 0) {
        mem = kv_tier_mem(&store->tier, kv_word_where(slot->word));
        kv_mem_pin(mem);
    }
    bool left_out = slot != NULL && mem == NULL && !has_expired(e, expire_ms);
    (void)pthread_mutex_unlock(&shard->lock);
    if (mem != NULL) {
        visit(e, kv_mem_key(mem), mem->key_len, kv_mem_value(mem), mem->value_len, expire_ms);
        kv_mem_unpin(store, mem);
    }
    if (left_out)
        e->left_out += kv_failure_is_real(store, shard, hash, where, refused ? KV_IO : KV_CORRUPT);
}

static void search_stretches(struct export *e)
{
    struct kv_group group = {.done = e->stretch_count == 0};
    for (uint64_t from = 0; !group.done && !e->stopped; from = group.next) {
        kv_group_collect(e->store, from, KV_GROUP, &group);
        for (size_t i = 0; i < group.count && !e->stopped; i++) {
            const struct stretch *stretch = stretch_of(e, group.places[i].where);
            if (stretch != NULL)
                take_from_memory(e, group.places[i].hash, group.places[i].where, stretch->refused);
        }
    }
    e->stretch_count = 0;
}

// ---- all

static enum kv_status take_item(struct export *e, const struct kv_item *item)
{
    switch (item->kind) {
    case KV_ITEM_RECORD:
        return item->record.type == KV_RECORD_PUT ? take_record(e, item) : KV_OK;
    case KV_ITEM_DAMAGED:
    case KV_ITEM_TORN:
    case KV_ITEM_UNREADABLE:
        return note_stretch(e, item);
    case KV_ITEM_ZERO:
    case KV_ITEM_END:
        break;
    }
    return KV_OK;
}

static enum kv_status export_segment(struct export *e, const struct kv_segment *segment)
{
    uint64_t size = atomic_load(&segment->size);
    struct kv_walk walk;
    if (segment->id == e->end.segment && size > e->end.offset)
        size = e->end.offset;
    if (!kv_walk_begin(&walk, &e->store->seeds, segment->id, segment->fd, size))
        return KV_NO_MEMORY;
    (void)kv_io.fadvise(segment->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    enum kv_status status = KV_OK;
    struct kv_item item = {.kind = KV_ITEM_ZERO};
    while (status == KV_OK && item.kind != KV_ITEM_END && !e->stopped) {
        status = kv_walk_next(&walk, &item) == 0 ? KV_OK : KV_NO_MEMORY;
        if (status == KV_OK)
            status = take_item(e, &item);
    }
    kv_walk_end(&walk);
    if (atomic_load(&segment->sealed))
        (void)kv_io.fadvise(segment->fd, 0, 0, POSIX_FADV_DONTNEED);
    if (status == KV_OK)
        search_stretches(e);
    return status;
}

enum kv_status kv_export(struct kv_store *store, kv_export_fn fn, void *arg)
{
    struct export e = {.store = store, .fn = fn, .arg = arg};
    enum kv_status status = KV_OK;
    kv_account(store, KV_WALK_BYTES);
    begin(&e);
    struct kv_segment *segment;
    for (uint64_t id = 0; status == KV_OK && !e.stopped && (segment = kv_segment_from(store, id)) != NULL;) {
        id = segment->id + 1;
        if (segment->id <= e.end.segment) {
            atomic_store(&e.run.from, segment->id);
            status = export_segment(&e, segment);
        } else {
            id = UINT64_MAX;
        }
        kv_segment_put(segment);
    }
    end(&e);
    kv_account(store, -(int64_t)KV_WALK_BYTES);
    if (status == KV_OK && e.left_out != 0)
        status = kv_fail(store, KV_CORRUPT, 0, "export: %llu records are damaged or cannot be read",
                         (unsigned long long)e.left_out);
    return status;
}
