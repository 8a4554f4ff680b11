// Which record of a key counts: what opening decides (FORMAT.md, "What decides"), without doing anything about it.
#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_index.h"
#include "kvstore/kvcheck.h"

struct value {
    uint64_t seq, where; // where 0: none
    uint32_t size;       // of the record, in units of KV_RECORD_ALIGN
    bool unreadable;
};

struct key {
    struct kv_hash hash;
    uint64_t gone_seq; // highest of tombstones and erased values
    struct value value;
    bool used;
};

struct torn {
    struct kv_hash hash;
    struct value value;
};

struct check_table {
    struct key *keys; // open addressing by hash.low
    size_t capacity, count;
    struct torn *torn; // values that do not hold
    size_t torn_count, torn_capacity;
};

void check_table_free(struct check_table *table)
{
    if (table == NULL)
        return;
    free(table->keys);
    free(table->torn);
    free(table);
}

static struct key *probe(struct key *keys, size_t capacity, struct kv_hash hash)
{
    size_t at = (size_t)hash.low & (capacity - 1);
    while (keys[at].used && (keys[at].hash.low != hash.low || keys[at].hash.high != hash.high))
        at = (at + 1) & (capacity - 1);
    return &keys[at];
}

static bool grow(struct check_table *table)
{
    size_t capacity = table->capacity == 0 ? 1024 : table->capacity * 2;
    struct key *keys = calloc(capacity, sizeof *keys);
    if (keys == NULL)
        return false;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->keys[i].used)
            *probe(keys, capacity, table->keys[i].hash) = table->keys[i];
    free(table->keys);
    table->keys = keys;
    table->capacity = capacity;
    return true;
}

// NULL: no memory.
static struct key *find(struct check *check, struct kv_hash hash)
{
    if (check->table == NULL)
        check->table = calloc(1, sizeof *check->table);
    struct check_table *table = check->table;
    if (table == NULL || (table->count * 4 >= table->capacity * 3 && !grow(table)))
        return NULL;
    struct key *key = probe(table->keys, table->capacity, hash);
    if (!key->used) {
        *key = (struct key){.hash = hash, .used = true};
        table->count++;
    }
    return key;
}

static bool keep_torn(struct check_table *table, const struct torn *torn)
{
    if (table->torn_count == table->torn_capacity) {
        size_t capacity = table->torn_capacity * 2 + 16;
        struct torn *list = realloc(table->torn, capacity * sizeof *list);
        if (list == NULL)
            return false;
        table->torn = list;
        table->torn_capacity = capacity;
    }
    table->torn[table->torn_count++] = *torn;
    return true;
}

static bool add_for(struct check *check, enum check_kind kind, const struct value *value, uint64_t hash,
                    struct error *e)
{
    return check_add(check,
                     &(struct check_finding){.kind = kind,
                                             .segment = kv_where_segment(value->where),
                                             .offset = kv_where_offset(value->where),
                                             .length = (uint64_t)value->size * KV_RECORD_ALIGN,
                                             .key = hash},
                     e);
}

static struct check_segment *segment_of(struct check *check, uint64_t where)
{
    size_t low = 0, high = check->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (check->segments[middle].id < kv_where_segment(where))
            low = middle + 1;
        else
            high = middle;
    }
    return &check->segments[low];
}

// A value that is there and has lost against another record: the server overwrites it.
static void take_superseded(struct check *check, const struct value *value)
{
    if (value->where != 0)
        segment_of(check, value->where)->unerased++;
}

static void take_value(struct check *check, struct key *key, const struct value *value)
{
    const struct value old = key->value;
    bool newer = value->seq != old.seq ? value->seq > old.seq : value->where > old.where;
    bool superseded = value->seq < key->gone_seq || (old.where != 0 && !newer);
    if (!superseded)
        key->value = *value;
    take_superseded(check, superseded ? value : &old);
}

static void take_gone(struct check *check, struct key *key, uint64_t seq)
{
    if (seq <= key->gone_seq)
        return;
    key->gone_seq = seq;
    if (key->value.seq >= seq)
        return;
    take_superseded(check, &key->value);
    key->value = (struct value){0};
}

// A damaged mark goes back to what it was, as the value shows or, of a value that was zeros from the start, its bits.
static bool take_damaged_mark(struct check *check, const struct value *value, bool there, uint64_t hash,
                              struct error *e)
{
    struct kv_place place = {kv_where_segment(value->where), kv_where_offset(value->where)};
    segment_of(check, value->where)->damaged++;
    return add_for(check, CHECK_MARK, value, hash, e) &&
           check_act(check,
                     &(struct check_action){.act = CHECK_SET_MARK,
                                            .segment = place.segment,
                                            .offset = place.offset + KV_ERASE_MARK_AT,
                                            .length = sizeof(uint64_t),
                                            .mark = there ? 0 : kv_erase_mark(&check->manifest.seeds, place)},
                     e);
}

static bool take_put(struct check *check, struct check_segment *segment, struct key *key,
                     const struct kv_item *item, struct error *e)
{
    struct value value = {.seq = item->record.seq,
                          .where = kv_where_disk(segment->id, item->offset),
                          .size = (uint32_t)(item->size / KV_RECORD_ALIGN),
                          .unreadable = item->unreadable};
    bool there =
        item->mark == KV_MARK_NONE ||
        (item->mark == KV_MARK_DAMAGED && (!item->value_zero || (item->value_holds && !item->marks_erased)));
    if (item->mark == KV_MARK_DAMAGED && !take_damaged_mark(check, &value, there, key->hash.low, e))
        return false;
    if (!there) {
        segment->erased++;
        if (!item->value_zero)
            take_superseded(check, &value);
        take_gone(check, key, value.seq);
        return true;
    }
    if (item->value_holds || item->unreadable) {
        take_value(check, key, &value);
        return true;
    }
    if (keep_torn(check->table, &(struct torn){key->hash, value}))
        return true;
    error_set(e, "out of memory");
    return false;
}

bool check_take_item(struct check *check, struct check_segment *segment, const struct kv_item *item,
                     struct error *e)
{
    const struct kv_record *record = &item->record;
    struct key *key = find(check, kv_hash_key(&check->manifest.seeds, item->key, record->key_len));
    if (key == NULL) {
        error_set(e, "out of memory");
        return false;
    }
    segment->records++;
    if (item->unreadable) {
        segment->unreadable++;
        struct check_finding finding = {.kind = CHECK_UNREADABLE,
                                        .segment = segment->id,
                                        .offset = item->offset,
                                        .length = item->size,
                                        .key = key->hash.low,
                                        .error = item->error};
        if (!check_add(check, &finding, e))
            return false;
    }
    if (record->type == KV_RECORD_PUT)
        return take_put(check, segment, key, item, e);
    if (record->type == KV_RECORD_TOMBSTONE)
        take_gone(check, key, record->seq);
    return true;
}

// A value that does not hold: torn when an older one holds, dead when a newer record says so, damaged otherwise.
static bool decide_torn(struct check *check, const struct torn *torn, struct error *e)
{
    struct key *key = probe(check->table->keys, check->table->capacity, torn->hash);
    const struct value *value = &torn->value;
    if (value->seq < key->gone_seq || (key->value.where != 0 && key->value.seq >= value->seq)) {
        take_superseded(check, value);
        return true;
    }
    if (key->value.where != 0)
        return add_for(check, CHECK_GIVES_WAY, value, key->hash.low, e);
    segment_of(check, value->where)->damaged++;
    check->keys_lost++;
    return add_for(check, CHECK_VALUE, value, key->hash.low, e) &&
           check_act(check,
                     &(struct check_action){.act = CHECK_ZERO,
                                            .segment = kv_where_segment(value->where),
                                            .offset = kv_where_offset(value->where),
                                            .length = (uint64_t)value->size * KV_RECORD_ALIGN},
                     e);
}

static bool tell_unerased(struct check *check, struct error *e)
{
    for (size_t i = 0; i < check->count; i++) {
        const struct check_segment *s = &check->segments[i];
        struct check_finding finding = {.kind = CHECK_UNERASED, .segment = s->id, .count = s->unerased};
        if (s->unerased != 0 && !check_add(check, &finding, e))
            return false;
    }
    return true;
}

bool check_decide(struct check *check, struct error *e)
{
    struct check_table *table = check->table;
    for (size_t i = 0; table != NULL && i < table->torn_count; i++)
        if (!decide_torn(check, &table->torn[i], e))
            return false;
    for (size_t i = 0; table != NULL && i < table->capacity; i++) {
        const struct value *value = &table->keys[i].value;
        if (!table->keys[i].used || value->where == 0)
            continue;
        struct check_segment *segment = segment_of(check, value->where);
        segment->live++;
        segment->live_bytes += (uint64_t)value->size * KV_RECORD_ALIGN;
        check->keys++;
        check->keys_lost += value->unreadable;
    }
    return tell_unerased(check, e);
}
