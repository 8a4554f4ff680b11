// Reading one record from its segment file: one read for a record of up to 256 KiB, whose size the index
// knows well enough.
#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>

// Larger records: head and key first, then the value straight to where it is wanted.
#define WHOLE_READ_MAX (256u * 1024)
#define FIRST_READ     1024u

void kv_disk_value_free(struct kv_disk_value *value)
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
                                 size_t size, const void *key, size_t key_len, struct kv_disk_value *out)
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
                                    const void *key, size_t key_len, struct kv_disk_value *out)
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

enum kv_status kv_read_value(struct kv_store *store, uint64_t where, uint8_t size_class, const void *key,
                             size_t key_len, struct kv_disk_value *out)
{
    *out = (struct kv_disk_value){0};
    struct kv_segment *segment = kv_segment_get(store, kv_where_segment(where));
    if (segment == NULL)
        return KV_IO;
    uint64_t size = kv_class_size(size_class);
    enum kv_status status = size <= WHOLE_READ_MAX
                                ? read_whole(store, segment, where, (size_t)size, key, key_len, out)
                                : read_in_parts(store, segment, where, key, key_len, out);
    kv_segment_put(segment);
    if (status != KV_OK)
        kv_disk_value_free(out);
    return status;
}
