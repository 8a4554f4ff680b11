#include "kvstore/kv_seen.h"

#include <stdlib.h>
#include <string.h>

// An expiry of a value, or a change of one. Of those of one place the one of the highest as_of counts.
struct timing {
    uint64_t target; // place of the value
    uint64_t ms;
    uint64_t as_of; // seq of the change; for what the value says itself, the value's
    uint32_t next;  // counted from 1
};

struct shard {
    pthread_mutex_t lock;
    struct kv_seen_entry *entries; // open addressing, by hash.low
    size_t capacity, count;
    struct timing *timings;
    uint32_t timing_count, timing_capacity, timing_free;
};

struct value {
    uint64_t seq, where, expire_ms;
    uint8_t size_class;
    bool unreadable;
};
struct torn { // a value that does not hold
    struct kv_hash hash;
    struct value value;
};
struct loser { // a value to be erased
    uint64_t where;
    bool whole; // head and key as well
};

struct kv_seen {
    struct kv_store *store;
    _Atomic uint64_t max_seq;
    pthread_mutex_t lock; // guards the lists; taken after a shard's
    struct torn *torn;
    size_t torn_count, torn_capacity;
    struct loser *losers;
    size_t loser_count, loser_capacity;
    bool no_memory; // a loser could not be noted
    struct shard shards[KV_SHARDS];
};

struct kv_seen *kv_seen_create(struct kv_store *store)
{
    struct kv_seen *seen = calloc(1, sizeof *seen);
    if (seen == NULL)
        return NULL;
    seen->store = store;
    (void)pthread_mutex_init(&seen->lock, NULL);
    for (size_t i = 0; i < KV_SHARDS; i++)
        (void)pthread_mutex_init(&seen->shards[i].lock, NULL);
    return seen;
}

static void shard_free(struct shard *shard)
{
    free(shard->entries);
    free(shard->timings);
    shard->entries = NULL;
    shard->timings = NULL;
    shard->capacity = shard->count = 0;
    shard->timing_count = shard->timing_capacity = shard->timing_free = 0;
}

void kv_seen_destroy(struct kv_seen *seen)
{
    if (seen == NULL)
        return;
    for (size_t i = 0; i < KV_SHARDS; i++) {
        shard_free(&seen->shards[i]);
        (void)pthread_mutex_destroy(&seen->shards[i].lock);
    }
    (void)pthread_mutex_destroy(&seen->lock);
    free(seen->torn);
    free(seen->losers);
    free(seen);
}

// ---- tables

#define LEAST_ENTRIES 16u

__extension__ typedef unsigned __int128 uint128;

static struct kv_seen_entry *probe(struct kv_seen_entry *entries, size_t capacity, struct kv_hash hash)
{
    // In the order of the hashes, as the index is: so that filling it is one pass over its memory.
    size_t at = (size_t)(((uint128)(hash.low << 8) * capacity) >> 64);
    while ((entries[at].flags & KV_SEEN_USED) != 0 &&
           (entries[at].hash.low != hash.low || entries[at].hash.high != hash.high))
        at = at + 1 == capacity ? 0 : at + 1;
    return &entries[at];
}

static bool grow(struct shard *shard)
{
    size_t capacity = shard->capacity + shard->capacity * 7 / 20 + LEAST_ENTRIES;
    struct kv_seen_entry *entries = calloc(capacity, sizeof *entries);
    if (entries == NULL)
        return false;
    for (size_t i = 0; i < shard->capacity; i++)
        if ((shard->entries[i].flags & KV_SEEN_USED) != 0)
            *probe(entries, capacity, shard->entries[i].hash) = shard->entries[i];
    free(shard->entries);
    shard->entries = entries;
    shard->capacity = capacity;
    return true;
}

// Only a new key makes the table grow: entries stay where they are while those of known keys are taken.
static struct kv_seen_entry *entry_of(struct shard *shard, struct kv_hash hash)
{
    struct kv_seen_entry *entry = shard->capacity != 0 ? probe(shard->entries, shard->capacity, hash) : NULL;
    if (entry != NULL && (entry->flags & KV_SEEN_USED) != 0)
        return entry;
    if ((shard->count + 1) * 5 > shard->capacity * 4) {
        if (!grow(shard))
            return NULL;
        entry = probe(shard->entries, shard->capacity, hash);
    }
    *entry = (struct kv_seen_entry){.hash = hash, .flags = KV_SEEN_USED};
    shard->count++;
    return entry;
}

struct kv_seen_entry *kv_seen_find(struct kv_seen *seen, struct kv_hash hash)
{
    struct shard *shard = &seen->shards[hash.low >> 56];
    if (shard->count == 0)
        return NULL;
    struct kv_seen_entry *entry = probe(shard->entries, shard->capacity, hash);
    return (entry->flags & KV_SEEN_USED) != 0 ? entry : NULL;
}

struct kv_seen_entry *kv_seen_next(struct kv_seen *seen, unsigned shard, size_t *at)
{
    struct shard *s = &seen->shards[shard];
    for (; *at < s->capacity; ++*at)
        if ((s->entries[*at].flags & KV_SEEN_USED) != 0)
            return &s->entries[(*at)++];
    return NULL;
}

// ---- lists

static void *list_grow(void *list, size_t count, size_t *capacity, size_t item)
{
    if (count < *capacity)
        return list;
    size_t more = *capacity + *capacity / 2 + 64;
    list = realloc(list, more * item);
    if (list != NULL)
        *capacity = more;
    return list;
}

static void note_loser(struct kv_seen *seen, uint64_t where, bool whole)
{
    (void)pthread_mutex_lock(&seen->lock);
    struct loser *losers = list_grow(seen->losers, seen->loser_count, &seen->loser_capacity, sizeof *losers);
    if (losers != NULL) {
        seen->losers = losers;
        losers[seen->loser_count++] = (struct loser){where, whole};
    } else {
        seen->no_memory = true;
    }
    (void)pthread_mutex_unlock(&seen->lock);
}

static bool note_torn(struct kv_seen *seen, const struct torn *item)
{
    (void)pthread_mutex_lock(&seen->lock);
    struct torn *torn = list_grow(seen->torn, seen->torn_count, &seen->torn_capacity, sizeof *torn);
    if (torn != NULL) {
        seen->torn = torn;
        torn[seen->torn_count++] = *item;
    }
    (void)pthread_mutex_unlock(&seen->lock);
    return torn != NULL;
}

// ---- expiry

static struct timing *timing_at(struct shard *shard, uint32_t number)
{
    return &shard->timings[number - 1];
}

// What is from before the entry's seq was for a value that no longer counts.
static void forget_older(struct shard *shard, struct kv_seen_entry *entry)
{
    uint32_t kept = 0, number = entry->timings;
    while (number != 0) {
        struct timing *timing = timing_at(shard, number);
        uint32_t next = timing->next;
        uint32_t *list = timing->as_of < entry->seq ? &shard->timing_free : &kept;
        timing->next = *list;
        *list = number;
        number = next;
    }
    entry->timings = kept;
}

static bool add_timing(struct shard *shard, struct kv_seen_entry *entry, struct timing timing)
{
    for (uint32_t number = entry->timings; number != 0; number = timing_at(shard, number)->next) {
        struct timing *known = timing_at(shard, number);
        if (known->target != timing.target)
            continue;
        if (timing.as_of > known->as_of) {
            known->as_of = timing.as_of;
            known->ms = timing.ms;
        }
        return true;
    }
    uint32_t number = shard->timing_free;
    if (number != 0) {
        shard->timing_free = timing_at(shard, number)->next;
    } else {
        if (shard->timing_count == shard->timing_capacity) {
            uint32_t capacity = shard->timing_capacity + shard->timing_capacity / 2 + LEAST_ENTRIES;
            struct timing *timings = realloc(shard->timings, capacity * sizeof *timings);
            if (timings == NULL)
                return false;
            shard->timings = timings;
            shard->timing_capacity = capacity;
        }
        number = ++shard->timing_count;
    }
    timing.next = entry->timings;
    *timing_at(shard, number) = timing;
    entry->timings = number;
    return true;
}

static uint64_t expiry_of(struct shard *shard, const struct kv_seen_entry *entry)
{
    uint64_t where = kv_word_where(entry->word);
    for (uint32_t number = entry->timings; number != 0; number = timing_at(shard, number)->next)
        if (timing_at(shard, number)->target == where)
            return timing_at(shard, number)->ms;
    return 0;
}

static bool take_change(struct shard *shard, struct kv_seen_entry *entry, const struct kv_record *record)
{
    if (record->seq < entry->seq) // for a value older than the one that counts
        return true;
    return add_timing(
        shard, entry,
        (struct timing){.target = record->target, .ms = record->expire_ms, .as_of = record->seq});
}

// ---- values

static void drop_value(struct kv_seen *seen, struct kv_seen_entry *entry)
{
    if (entry->word != 0)
        note_loser(seen, kv_word_where(entry->word), false);
    entry->word = 0;
}

static void take_gone(struct kv_seen *seen, struct shard *shard, struct kv_seen_entry *entry, uint64_t seq)
{
    // Of one seq: an original, erased after it was copied, and the copy. The copy counts.
    if (seq <= entry->seq)
        return;
    drop_value(seen, entry);
    entry->seq = seq;
    forget_older(shard, entry);
}

static bool take_value(struct kv_seen *seen, struct shard *shard, struct kv_seen_entry *entry,
                       const struct value *value, bool holds)
{
    bool newer =
        value->seq != entry->seq ? value->seq > entry->seq : value->where > kv_word_where(entry->word);
    if (!newer) {
        note_loser(seen, value->where, false);
        return true;
    }
    drop_value(seen, entry);
    entry->word = kv_word_make(value->size_class, value->where) | (holds ? 0 : KV_WORD_DAMAGED);
    entry->flags = KV_SEEN_USED | (value->unreadable ? KV_SEEN_UNREADABLE : 0);
    if (value->seq > entry->seq) {
        entry->seq = value->seq;
        forget_older(shard, entry);
    }
    return value->expire_ms == 0 ||
           add_timing(shard, entry,
                      (struct timing){.target = value->where, .ms = value->expire_ms, .as_of = value->seq});
}

// What a put's record says of its key: its value is there (true) or has been erased. An erasure that was cut short is
// finished.
static bool value_is_there(struct kv_seen *seen, const struct kv_item *item, uint64_t where)
{
    if (item->mark == KV_MARK_ERASED) {
        if (!item->value_zero)
            note_loser(seen, where, false);
        return false;
    }
    if (item->mark == KV_MARK_NONE)
        return true;
    kv_count_damaged(seen->store);
    // The value shows whether it has been erased. One that was zeros from the start does not: there the mark's bits
    // decide, of which few have changed.
    return !item->value_zero || (item->value_holds && !item->marks_erased);
}

static void raise_max(struct kv_seen *seen, uint64_t seq)
{
    uint64_t known = atomic_load_explicit(&seen->max_seq, memory_order_relaxed);
    while (seq > known && !atomic_compare_exchange_weak(&seen->max_seq, &known, seq)) {
    }
}

static bool take_put(struct kv_seen *seen, struct shard *shard, struct kv_seen_entry *entry, uint64_t where,
                     const struct kv_item *item, uint64_t expire_ms)
{
    const struct kv_record *record = &item->record;
    if (!value_is_there(seen, item, where)) {
        take_gone(seen, shard, entry, record->seq);
        return true;
    }
    struct value value = {.seq = record->seq,
                          .where = where,
                          .expire_ms = expire_ms,
                          .size_class = kv_class_of(kv_record_size(record->key_len, record->value_len))};
    // One that the device does not let be read tells of no torn write.
    value.unreadable = item->unreadable;
    return item->value_holds || item->unreadable ? take_value(seen, shard, entry, &value, true)
                                                 : note_torn(seen, &(struct torn){entry->hash, value});
}

bool kv_seen_take(struct kv_seen *seen, struct kv_hash hash, uint64_t where, const struct kv_item *item,
                  const uint64_t *expire_ms)
{
    const struct kv_record *record = &item->record;
    raise_max(seen, record->seq > record->expire_seq ? record->seq : record->expire_seq);
    struct shard *shard = &seen->shards[hash.low >> 56];
    bool ok = true;
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_seen_entry *entry = entry_of(shard, hash);
    if (entry == NULL)
        ok = false;
    else if (record->type == KV_RECORD_PUT)
        ok = take_put(seen, shard, entry, where, item, expire_ms != NULL ? *expire_ms : record->expire_ms);
    else if (record->type == KV_RECORD_EXPIRY)
        ok = take_change(shard, entry, record);
    else
        take_gone(seen, shard, entry, record->seq);
    (void)pthread_mutex_unlock(&shard->lock);
    return ok;
}

uint64_t kv_seen_max_seq(const struct kv_seen *seen)
{
    return atomic_load(&seen->max_seq);
}

// ---- deciding

// Values that do not hold, now that every other record is known.
static bool decide_torn(struct kv_seen *seen)
{
    for (size_t i = 0; i < seen->torn_count; i++) {
        const struct torn *torn = &seen->torn[i];
        struct shard *shard = &seen->shards[torn->hash.low >> 56];
        struct kv_seen_entry *entry = kv_seen_find(seen, torn->hash);
        if (entry->word != 0 && (entry->word & KV_WORD_DAMAGED) == 0) {
            bool tore = torn->value.seq > entry->seq;
            if (tore)
                kv_count_damaged(seen->store);
            note_loser(seen, torn->value.where, tore);
        } else if (!take_value(seen, shard, entry, &torn->value, false)) {
            return false;
        }
    }
    return true;
}

static bool index_entry(struct kv_store *store, struct shard *from, const struct kv_seen_entry *entry)
{
    struct kv_shard *shard = kv_index_shard(&store->index, entry->hash.low);
    uint64_t expire_ms = expiry_of(from, entry), where = kv_word_where(entry->word);
    if (!kv_index_reserve(&store->index, shard, expire_ms != 0))
        return false;
    kv_index_insert(&store->index, shard, entry->hash.low, entry->word);
    struct kv_slot *slot = kv_slot_at(store, shard, entry->hash.low, where);
    slot->hash |= entry->want;
    kv_index_set_expiry(&store->index, shard, slot, where, expire_ms);
    kv_live_add(store, where, (int64_t)kv_class_floor(kv_word_class(entry->word)), 1);
    if ((entry->flags & KV_SEEN_UNREADABLE) != 0)
        slot->word |= KV_WORD_DAMAGED;
    if ((slot->word & KV_WORD_DAMAGED) != 0)
        kv_count_damaged(store);
    return true;
}

bool kv_seen_index(struct kv_seen *seen)
{
    bool ok = decide_torn(seen);
    for (size_t i = 0; i < KV_SHARDS && ok; i++) {
        struct shard *shard = &seen->shards[i];
        struct kv_shard *to = &seen->store->index.shards[i];
        ok = kv_index_reserve_for(&seen->store->index, to, to->keys.count + shard->count);
        for (size_t at = 0; at < shard->capacity && ok; at++)
            if (shard->entries[at].word != 0)
                ok = index_entry(seen->store, shard, &shard->entries[at]);
        shard_free(shard);
    }
    return ok && !seen->no_memory;
}

enum kv_status kv_seen_erase_losers(struct kv_seen *seen)
{
    for (size_t i = 0; i < seen->loser_count; i++) {
        const struct loser *loser = &seen->losers[i];
        struct kv_record record;
        void *key;
        enum kv_status status = kv_read_head(seen->store, loser->where, &record, &key);
        if (status != KV_OK) // it was read a moment ago
            return status == KV_NO_MEMORY ? status : KV_IO;
        free(key);
        struct kv_erasure erasure = {.where = loser->where,
                                     .value_len = record.value_len,
                                     .key_len = record.key_len,
                                     .size_class =
                                         kv_class_of(kv_record_size(record.key_len, record.value_len)),
                                     .whole = loser->whole};
        kv_erase_later(seen->store, &erasure);
    }
    return KV_OK;
}
