// Reading: find the key's slot, then take the value from memory or from its record on disk.
//
// A reader of the disk holds no lock while it reads. Meanwhile the record may be erased, moved, or its segment removed; all of
// these change the index first. So whatever goes wrong with a read, the index is asked again: only when it still points to the
// same place is the error real.
#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>

#define WHOLE_READ_MAX                                                                                       \
    (256u * 1024) // larger records: head and key first, then the value straight to where it is wanted
#define FIRST_READ 1024u
#define CANDIDATES 8u // keys of one 64-bit hash; two are already a wonder

// ---- the disk

// A value read from disk: `len` bytes at block + at. The block is wiped when it is freed.
struct disk_value {
    uint8_t *block;
    size_t block_len;
    size_t at, len;
};

static void disk_value_free(struct disk_value *value)
{
    if (value->block != NULL)
        explicit_bzero(value->block, value->block_len);
    free(value->block);
    value->block = NULL;
}

static struct kv_place place_of(uint64_t where)
{
    return (struct kv_place){.segment = kv_where_segment(where), .offset = kv_where_offset(where)};
}

static enum kv_status read_failed(struct kv_store *store, uint64_t where, int error)
{
    return kv_fail(store, KV_IO, error, "segment %08llu: read at %llu",
                   (unsigned long long)kv_where_segment(where), (unsigned long long)kv_where_offset(where));
}

// Reads a record's head and the beginning of what follows; *got bytes in all, at least the head.
static enum kv_status read_first(struct kv_store *store, struct kv_segment *segment, uint64_t where,
                                 uint8_t *buf, size_t len, size_t *got, struct kv_record *record)
{
    int error = kv_io_read(segment->fd, buf, len, kv_where_offset(where), got);
    if (error != 0)
        return read_failed(store, where, error);
    if (*got < KV_RECORD_HEAD || !kv_record_decode(&store->seeds, place_of(where), buf, record))
        return KV_CORRUPT;
    return KV_OK;
}

static enum kv_status read_key(struct kv_store *store, struct kv_segment *segment, uint64_t where,
                               const uint8_t *first, size_t got, const struct kv_record *record, void **key)
{
    uint8_t *bytes = malloc(record->key_len);
    if (bytes == NULL)
        return KV_NO_MEMORY;
    size_t have = got - KV_RECORD_HEAD < record->key_len ? got - KV_RECORD_HEAD : record->key_len;
    memcpy(bytes, first + KV_RECORD_HEAD, have);
    size_t more = 0;
    int error = 0;
    if (have < record->key_len)
        error = kv_io_read(segment->fd, bytes + have, record->key_len - have,
                           kv_where_offset(where) + KV_RECORD_HEAD + have, &more);
    enum kv_status status = KV_OK;
    if (error != 0)
        status = read_failed(store, where, error);
    else if (have + more < record->key_len ||
             !kv_record_key_holds(&store->seeds, place_of(where), first, bytes, record->key_len))
        status = KV_CORRUPT;
    if (status != KV_OK) {
        free(bytes);
        return status;
    }
    *key = bytes;
    return KV_OK;
}

enum kv_status kv_read_head(struct kv_store *store, uint64_t where, struct kv_record *record, void **key)
{
    *key = NULL;
    struct kv_segment *segment = kv_segment_get(store, kv_where_segment(where));
    if (segment == NULL)
        return KV_NOT_FOUND;
    uint8_t first[FIRST_READ];
    size_t got;
    enum kv_status status = read_first(store, segment, where, first, sizeof first, &got, record);
    if (status == KV_OK)
        status = read_key(store, segment, where, first, got, record, key);
    explicit_bzero(first, sizeof first);
    kv_segment_put(segment);
    return status;
}

static enum kv_status read_whole(struct kv_store *store, struct kv_segment *segment, uint64_t where,
                                 size_t size, const void *key, size_t key_len, struct disk_value *out)
{
    out->block = malloc(size);
    out->block_len = size;
    if (out->block == NULL)
        return KV_NO_MEMORY;
    size_t got;
    struct kv_record record;
    enum kv_status status = read_first(store, segment, where, out->block, size, &got, &record);
    if (status != KV_OK)
        return status;
    out->at = (size_t)KV_RECORD_HEAD + record.key_len;
    out->len = record.value_len;
    const uint8_t *stored = out->block + KV_RECORD_HEAD;
    if (got < out->at + out->len ||
        !kv_record_key_holds(&store->seeds, place_of(where), out->block, stored, record.key_len))
        return KV_CORRUPT;
    if (record.key_len != key_len || memcmp(stored, key, key_len) != 0)
        return KV_NOT_FOUND;
    return kv_value_sum(&store->seeds, out->block + out->at, out->len) == record.value_sum ? KV_OK
                                                                                           : KV_CORRUPT;
}

static enum kv_status read_in_parts(struct kv_store *store, struct kv_segment *segment, uint64_t where,
                                    const void *key, size_t key_len, struct disk_value *out)
{
    struct kv_record record;
    void *stored;
    enum kv_status status = kv_read_head(store, where, &record, &stored);
    if (status != KV_OK)
        return status == KV_NOT_FOUND ? KV_IO : status; // the segment has just gone: look again
    bool same = record.key_len == key_len && memcmp(stored, key, key_len) == 0;
    free(stored);
    if (!same)
        return KV_NOT_FOUND;
    out->block_len = record.value_len != 0 ? record.value_len : 1;
    out->block = malloc(out->block_len);
    if (out->block == NULL)
        return KV_NO_MEMORY;
    out->at = 0;
    out->len = record.value_len;
    size_t got;
    int error = kv_io_read(segment->fd, out->block, out->len,
                           kv_where_offset(where) + KV_RECORD_HEAD + key_len, &got);
    if (error != 0)
        return read_failed(store, where, error);
    return got == out->len && kv_value_sum(&store->seeds, out->block, got) == record.value_sum ? KV_OK
                                                                                               : KV_CORRUPT;
}

// KV_NOT_FOUND: the record there is another key's. Anything but that and KV_OK may mean that the place is out of date.
static enum kv_status read_value(struct kv_store *store, uint64_t where, uint8_t size_class, const void *key,
                                 size_t key_len, struct disk_value *out)
{
    *out = (struct disk_value){0};
    struct kv_segment *segment = kv_segment_get(store, kv_where_segment(where));
    if (segment == NULL)
        return KV_IO;
    uint64_t size = kv_class_size(size_class);
    enum kv_status status = size <= WHOLE_READ_MAX
                                ? read_whole(store, segment, where, (size_t)size, key, key_len, out)
                                : read_in_parts(store, segment, where, key, key_len, out);
    kv_segment_put(segment);
    if (status != KV_OK)
        disk_value_free(out);
    return status;
}

// ---- slots

uint64_t kv_slot_disk(struct kv_store *store, const struct kv_slot *slot)
{
    uint64_t where = kv_word_where(slot->word);
    return (slot->word & KV_WORD_CACHED) != 0 ? kv_tier_mem(&store->tier, where)->disk : where;
}

struct kv_slot *kv_slot_at(struct kv_store *store, struct kv_shard *shard, uint64_t hash, uint64_t where_disk)
{
    struct kv_slot *slot = kv_table_find(&shard->keys, hash);
    while (slot != NULL && kv_slot_disk(store, slot) != where_disk)
        slot = kv_table_next(&shard->keys, slot);
    return slot;
}

struct kv_mem *kv_slot_uncache(struct kv_store *store, struct kv_shard *shard, struct kv_slot *slot)
{
    if ((slot->word & KV_WORD_CACHED) == 0)
        return NULL;
    struct kv_mem *mem = kv_tier_mem(&store->tier, kv_word_where(slot->word));
    kv_mem_pin(mem);
    shard->cached_bytes -= mem->size;
    shard->cached_records--;
    slot->word = (slot->word & ~(KV_WORD_WHERE | KV_WORD_CACHED | KV_WORD_VISITED)) | mem->disk;
    return mem;
}

void kv_live_add(struct kv_store *store, uint64_t where_disk, int64_t bytes, int64_t count)
{
    struct kv_segment *segment = kv_segment_get(store, kv_where_segment(where_disk));
    if (segment == NULL)
        return;
    atomic_fetch_add(&segment->live_bytes, bytes);
    atomic_fetch_add(&segment->live_count, count);
    kv_segment_put(segment);
}

struct kv_mem *kv_slot_drop(struct kv_store *store, struct kv_shard *shard, struct kv_slot *slot,
                            uint64_t size)
{
    struct kv_mem *mem = kv_slot_uncache(store, shard, slot);
    uint64_t where = kv_word_where(slot->word);
    kv_index_set_expiry(&store->index, shard, slot, where, 0);
    kv_live_add(store, where, -(int64_t)size, -1);
    kv_index_remove(&store->index, shard, slot);
    return mem;
}

void kv_count_damaged(struct kv_store *store)
{
    atomic_fetch_add_explicit(&store->damaged_records, 1, memory_order_relaxed);
}

static bool same_key(const struct kv_mem *mem, const void *key, size_t key_len)
{
    return mem->key_len == key_len && memcmp(kv_mem_key(mem), key, key_len) == 0;
}

uint64_t kv_found_size(const struct kv_found *found)
{
    return found->unreadable ? kv_class_floor(found->size_class)
                             : kv_record_size(found->key_len, found->value_len);
}

// ---- finding for writers

struct candidate {
    uint64_t where, expire_ms;
    uint8_t size_class;
};

// Compares the cached ones; true: found. Collects the others.
static bool find_cached(struct kv_store *store, uint64_t hash, const void *key, size_t key_len,
                        struct kv_found *found, struct candidate *others, size_t *count)
{
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    bool hit = false;
    *count = 0;
    (void)pthread_mutex_lock(&shard->lock);
    for (const struct kv_slot *slot = kv_table_find(&shard->keys, hash); slot != NULL && !hit;
         slot = kv_table_next(&shard->keys, slot)) {
        struct candidate c = {.where = kv_slot_disk(store, slot), .size_class = kv_word_class(slot->word)};
        c.expire_ms = kv_index_expiry(shard, slot, c.where);
        if ((slot->word & KV_WORD_CACHED) == 0) {
            if (*count < CANDIDATES)
                others[(*count)++] = c;
            continue;
        }
        const struct kv_mem *mem = kv_tier_mem(&store->tier, kv_word_where(slot->word));
        hit = same_key(mem, key, key_len);
        if (hit)
            *found = (struct kv_found){.where = c.where,
                                       .expire_ms = c.expire_ms,
                                       .value_len = mem->value_len,
                                       .key_len = mem->key_len,
                                       .size_class = c.size_class};
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return hit;
}

enum kv_status kv_find_for_write(struct kv_store *store, uint64_t hash, const void *key, size_t key_len,
                                 struct kv_found *found)
{
    struct candidate others[CANDIDATES];
    size_t count;
    if (find_cached(store, hash, key, key_len, found, others, &count))
        return KV_OK;
    for (size_t i = 0; i < count; i++) {
        struct kv_record record = {0};
        void *stored;
        enum kv_status status = kv_read_head(store, others[i].where, &record, &stored);
        // An unreadable head under the key's fingerprint is taken for the key's: what is written now takes its place.
        bool same = status == KV_CORRUPT ||
                    (status == KV_OK && record.key_len == key_len && memcmp(stored, key, key_len) == 0);
        free(stored);
        if (status != KV_OK && status != KV_CORRUPT)
            return status == KV_NOT_FOUND ? KV_IO : status;
        if (!same)
            continue;
        *found = (struct kv_found){.where = others[i].where,
                                   .expire_ms = others[i].expire_ms,
                                   .value_len = record.value_len,
                                   .key_len = record.key_len,
                                   .size_class = others[i].size_class,
                                   .unreadable = status == KV_CORRUPT};
        return KV_OK;
    }
    return KV_NOT_FOUND;
}

// ---- get

// What a get found: a pinned record in memory, or a value from disk.
struct got {
    struct kv_mem *mem;
    struct disk_value disk;
    uint64_t version, expire_ms;
};

static const uint8_t *got_data(const struct got *got)
{
    return got->mem != NULL ? kv_mem_value(got->mem) : got->disk.block + got->disk.at;
}

static size_t got_len(const struct got *got)
{
    return got->mem != NULL ? got->mem->value_len : got->disk.len;
}

static void got_release(struct kv_store *store, struct got *got)
{
    if (got->mem != NULL)
        kv_mem_unpin(store, got->mem);
    disk_value_free(&got->disk);
}

// Looks in memory; true: answered (*got filled). Otherwise the places on disk where the key may be.
static bool look_in_memory(struct kv_store *store, struct kv_shard *shard, uint64_t hash, const void *key,
                           size_t key_len, struct got *got, struct candidate *others, size_t *count)
{
    bool hit = false;
    *count = 0;
    (void)pthread_mutex_lock(&shard->lock);
    for (struct kv_slot *slot = kv_table_find(&shard->keys, hash); slot != NULL && !hit;
         slot = kv_table_next(&shard->keys, slot)) {
        uint64_t where = kv_slot_disk(store, slot);
        uint64_t expire_ms = kv_index_expiry(shard, slot, where);
        if (expire_ms != 0 && expire_ms <= kv_now(store))
            continue;
        if ((slot->word & KV_WORD_CACHED) == 0) {
            if (*count < CANDIDATES)
                others[(*count)++] = (struct candidate){where, expire_ms, kv_word_class(slot->word)};
            continue;
        }
        struct kv_mem *mem = kv_tier_mem(&store->tier, kv_word_where(slot->word));
        if (!same_key(mem, key, key_len))
            continue;
        kv_mem_pin(mem);
        if ((slot->word & KV_WORD_VISITED) == 0)
            slot->word |= KV_WORD_VISITED;
        *got = (struct got){.mem = mem, .version = where, .expire_ms = expire_ms};
        hit = true;
    }
    if (hit)
        shard->hits++;
    else if (*count == 0)
        shard->not_found++;
    (void)pthread_mutex_unlock(&shard->lock);
    return hit;
}

// Puts a value that was read from disk into memory, unless the index has moved on.
static void admit(struct kv_store *store, struct kv_shard *shard, uint64_t hash, const void *key,
                  size_t key_len, const struct got *got)
{
    struct kv_mem *mem = kv_tier_reserve(store, hash, key_len, got->disk.len);
    if (mem == NULL)
        return;
    memcpy(mem->data, got_data(got), got->disk.len);
    memcpy(mem->data + got->disk.len, key, key_len);
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = kv_slot_at(store, shard, hash, got->version);
    bool install = slot != NULL && (slot->word & KV_WORD_CACHED) == 0 && kv_tier_usable(&store->tier, mem);
    if (install) {
        mem->disk = got->version;
        slot->word = (slot->word & ~KV_WORD_WHERE) | KV_WORD_CACHED | kv_tier_where(&store->tier, mem);
        shard->cached_bytes += mem->size;
        shard->cached_records++;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    if (install)
        kv_mem_unpin(store, mem);
    else
        kv_mem_kill(store, mem);
}

// After a read from a place failed: whether the index still points there, so that the failure is real. Counts the damage once.
static bool failure_is_real(struct kv_store *store, struct kv_shard *shard, uint64_t hash, uint64_t where,
                            enum kv_status status)
{
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = kv_slot_at(store, shard, hash, where);
    bool real = slot != NULL && (slot->word & KV_WORD_CACHED) == 0;
    if (real && status == KV_CORRUPT && (slot->word & KV_WORD_DAMAGED) == 0) {
        slot->word |= KV_WORD_DAMAGED;
        kv_count_damaged(store);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return real;
}

// Reads the candidates. KV_NOT_FOUND: none is the key's. *again: something moved meanwhile, look anew.
static enum kv_status look_on_disk(struct kv_store *store, struct kv_shard *shard, uint64_t hash,
                                   const void *key, size_t key_len, struct got *got,
                                   const struct candidate *others, size_t count, bool *again)
{
    *again = false;
    for (size_t i = 0; i < count; i++) {
        enum kv_status status =
            read_value(store, others[i].where, others[i].size_class, key, key_len, &got->disk);
        if (status == KV_NOT_FOUND)
            continue;
        got->mem = NULL;
        got->version = others[i].where;
        got->expire_ms = others[i].expire_ms;
        if (status == KV_CORRUPT || status == KV_IO)
            *again = !failure_is_real(store, shard, hash, others[i].where, status);
        return status;
    }
    return KV_NOT_FOUND;
}

// Finds a key's value. On KV_OK the caller calls got_release().
static enum kv_status get_value(struct kv_store *store, const void *key, size_t key_len, struct got *got)
{
    if (key_len == 0 || key_len > KV_KEY_MAX)
        return key_len == 0 ? KV_INVALID : KV_TOO_LARGE;
    uint64_t hash = kv_hash_key(&store->seeds, key, key_len).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    struct candidate others[CANDIDATES];
    size_t count;
    enum kv_status status;
    bool again;
    *got = (struct got){0};
    do {
        if (look_in_memory(store, shard, hash, key, key_len, got, others, &count))
            return KV_OK;
        if (count == 0)
            return KV_NOT_FOUND;
        status = look_on_disk(store, shard, hash, key, key_len, got, others, count, &again);
    } while (again);
    if (status == KV_OK)
        admit(store, shard, hash, key, key_len, got);
    (void)pthread_mutex_lock(&shard->lock);
    if (status == KV_NOT_FOUND)
        shard->not_found++;
    else
        shard->misses++;
    (void)pthread_mutex_unlock(&shard->lock);
    return status;
}

enum kv_status kv_get(struct kv_store *store, const void *key, size_t key_len, void *buf, size_t *len)
{
    struct got got;
    enum kv_status status = get_value(store, key, key_len, &got);
    if (status != KV_OK)
        return status;
    size_t need = got_len(&got);
    if (need > *len)
        status = KV_TOO_LARGE;
    else if (need != 0)
        memcpy(buf, got_data(&got), need);
    *len = need;
    got_release(store, &got);
    return status;
}

enum kv_status kv_get_alloc(struct kv_store *store, const void *key, size_t key_len, void **value,
                            size_t *len, uint64_t *version)
{
    *value = NULL;
    *len = 0;
    struct got got;
    enum kv_status status = get_value(store, key, key_len, &got);
    if (status != KV_OK)
        return status;
    *len = got_len(&got);
    if (version != NULL)
        *version = got.version;
    if (got.mem == NULL && got.disk.at == 0) { // the block is the value: hand it over
        *value = got.disk.block;
        return KV_OK;
    }
    *value = malloc(*len != 0 ? *len : 1);
    if (*value == NULL)
        status = KV_NO_MEMORY;
    else if (*len != 0)
        memcpy(*value, got_data(&got), *len);
    got_release(store, &got);
    return status;
}

// A view's hold: a pinned record in memory, or (odd address) a disk_value of its own.
enum kv_status kv_get_view(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view)
{
    *view = (struct kv_view){0};
    struct got got;
    enum kv_status status = get_value(store, key, key_len, &got);
    if (status != KV_OK)
        return status;
    view->data = got_data(&got);
    view->len = got_len(&got);
    view->version = got.version;
    view->expire_ms = got.expire_ms;
    view->hold = got.mem;
    if (got.mem != NULL)
        return KV_OK;
    struct disk_value *owned = malloc(sizeof *owned);
    if (owned == NULL) {
        got_release(store, &got);
        *view = (struct kv_view){0};
        return KV_NO_MEMORY;
    }
    *owned = got.disk;
    view->hold = (uint8_t *)owned + 1;
    return KV_OK;
}

void kv_view_release(struct kv_store *store, struct kv_view *view)
{
    if (view->hold == NULL)
        return;
    if (((uintptr_t)view->hold & 1) != 0) {
        struct disk_value *owned = (struct disk_value *)(void *)((uint8_t *)view->hold - 1);
        disk_value_free(owned);
        free(owned);
    } else {
        kv_mem_unpin(store, view->hold);
    }
    *view = (struct kv_view){0};
}

// ---- answers from the index alone

static enum kv_status peek(struct kv_store *store, const void *key, size_t key_len, uint64_t *version,
                           uint64_t *expire_ms)
{
    if (key_len == 0 || key_len > KV_KEY_MAX)
        return key_len == 0 ? KV_INVALID : KV_TOO_LARGE;
    uint64_t hash = kv_hash_key(&store->seeds, key, key_len).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    enum kv_status status = KV_NOT_FOUND;
    (void)pthread_mutex_lock(&shard->lock);
    for (const struct kv_slot *slot = kv_table_find(&shard->keys, hash); slot != NULL && status != KV_OK;
         slot = kv_table_next(&shard->keys, slot)) {
        // A cached key is at hand: another key of the same hash is told apart.
        if ((slot->word & KV_WORD_CACHED) != 0 &&
            !same_key(kv_tier_mem(&store->tier, kv_word_where(slot->word)), key, key_len))
            continue;
        *version = kv_slot_disk(store, slot);
        *expire_ms = kv_index_expiry(shard, slot, *version);
        if (*expire_ms == 0 || *expire_ms > kv_now(store))
            status = KV_OK;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return status;
}

enum kv_status kv_exists(struct kv_store *store, const void *key, size_t key_len)
{
    uint64_t version, expire_ms;
    return peek(store, key, key_len, &version, &expire_ms);
}

enum kv_status kv_version(struct kv_store *store, const void *key, size_t key_len, uint64_t *version)
{
    uint64_t expire_ms;
    return peek(store, key, key_len, version, &expire_ms);
}

enum kv_status kv_get_expiry(struct kv_store *store, const void *key, size_t key_len, uint64_t *expire_ms)
{
    uint64_t version;
    return peek(store, key, key_len, &version, expire_ms);
}
