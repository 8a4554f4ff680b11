// Values that are gone are overwritten in their files: zeros over the value, then the erase mark in the
// record's head. When: kv_erase_queue.c. A crash at any point between is mended at open: recovery sees that a newer record
// supersedes the old one and erases it again.
//
// Large values are also punched out of the file, so that their blocks go back to the file system at once; for
// small ones the file system's work for a hole costs more than the space is worth before compaction comes by.
#include "kvstore/kv_internal.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#define PUNCH_FROM (16u * 1024) // bytes of whole blocks
#define BLOCK      4096u

// ---- overwriting

// Where a record with an unreadable head ends: at the next place where a record begins, but after the least that its class
// can be and before the most. When none begins there (the next one's head is damaged as well, or there is none) it is the most: the value must
// be gone whole, and what else that takes nobody could read. A place that cannot be read may be the beginning of a record: the end is
// before it.
static uint64_t unreadable_end(struct kv_store *store, struct kv_segment *segment, uint64_t offset,
                               uint8_t size_class)
{
    uint64_t limit = offset + kv_class_size(size_class), size = atomic_load(&segment->size);
    uint64_t least = offset + kv_class_floor(size_class), end = limit < size ? limit : size;
    uint8_t head[KV_RECORD_HEAD];
    for (uint64_t at = least; at < limit && at + KV_RECORD_HEAD <= size; at += KV_RECORD_ALIGN) {
        struct kv_record record;
        size_t got;
        int error = kv_io_read(segment->fd, head, sizeof head, at, &got);
        if (error == 0 && got != sizeof head)
            break;
        if (error != 0 ||
            kv_record_decode(&store->seeds, (struct kv_place){segment->id, at}, head, &record)) {
            end = at;
            break;
        }
    }
    explicit_bzero(head, sizeof head); // from within a value, maybe
    return end;
}

static void punch(struct kv_segment *segment, uint64_t from, uint64_t to)
{
    from = (from + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
    to &= ~(uint64_t)(BLOCK - 1);
    // A file system that cannot punch has the zeros.
    if (to > from && to - from >= PUNCH_FROM)
        (void)kv_io.fallocate(segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                              (off_t)(to - from));
}

// The lengths of a value whose erasure has not kept them. False: nothing is to be overwritten: there is no value (any more).
static bool read_lengths(struct kv_store *store, struct kv_segment *segment, uint64_t offset,
                         struct kv_erasure *erasure)
{
    uint8_t head[KV_RECORD_HEAD];
    struct kv_record record;
    size_t got;
    int error = kv_io_read(segment->fd, head, sizeof head, offset, &got);
    bool whole = error == 0 && got == sizeof head;
    // Before the store was opened compaction had punched it out, or its head had been erased as well.
    if (whole && erasure->unsure && kv_is_zero(head, sizeof head))
        return false;
    erasure->unreadable =
        !whole || !kv_record_decode(&store->seeds, (struct kv_place){segment->id, offset}, head, &record);
    explicit_bzero(head, sizeof head);
    if (erasure->unreadable)
        return true;
    erasure->key_len = record.key_len;
    erasure->value_len = record.value_len;
    return record.type == KV_RECORD_PUT;
}

static int overwrite(struct kv_store *store, struct kv_segment *segment, uint64_t offset,
                     const struct kv_erasure *noted)
{
    struct kv_erasure copy = *noted;
    const struct kv_erasure *erasure = &copy;
    if (copy.by_head && !read_lengths(store, segment, offset, &copy))
        return 0;
    if (erasure->unreadable) {
        uint64_t end = unreadable_end(store, segment, offset, erasure->size_class);
        if (end <= offset) // behind the end
            return 0;
        return kv_io_zero(segment->fd, offset, end - offset);
    }
    if (erasure->whole)
        return kv_io_zero(segment->fd, offset, kv_record_size(erasure->key_len, erasure->value_len));
    uint64_t from = offset + KV_RECORD_HEAD + erasure->key_len;
    int error = kv_io_zero(segment->fd, from, erasure->value_len);
    if (error != 0)
        return error;
    punch(segment, from, from + erasure->value_len);
    uint64_t mark = kv_erase_mark(&store->seeds, (struct kv_place){segment->id, offset});
    return kv_io_write(segment->fd, &mark, sizeof mark, offset + KV_ERASE_MARK_AT);
}

// Overwrites at a place; the lengths are the erasure's.
static enum kv_status erase_at(struct kv_store *store, uint64_t where, const struct kv_erasure *erasure)
{
    struct kv_segment *segment = kv_segment_get(store, kv_where_segment(where));
    if (segment == NULL)
        return KV_OK; // compaction was faster: the file is gone
    enum kv_status status = KV_OK;
    int error = 0;
    if (kv_where_offset(where) >= atomic_load(&segment->punched_to)) // else it is gone already
        error = overwrite(store, segment, kv_where_offset(where), erasure);
    if (error != 0)
        status = kv_fail_writes(store, error, "segment %08llu: erase", (unsigned long long)segment->id);
    kv_mark_dirty(store, segment, false);
    kv_segment_put(segment);
    return status;
}

// Compaction may just have copied the record from another segment and not yet erased it there.
static enum kv_status erase_moved_from(struct kv_store *store, const struct kv_erasure *erasure)
{
    enum kv_status status = KV_OK;
    (void)pthread_mutex_lock(&store->moved.lock);
    for (size_t i = 0; i < store->moved.count && status == KV_OK; i++)
        if (store->moved.items[i].to == erasure->where)
            status = erase_at(store, store->moved.items[i].from.where, erasure);
    (void)pthread_mutex_unlock(&store->moved.lock);
    return status;
}

bool kv_erase_is_current(struct kv_store *store, const struct kv_erasure *erasure)
{
    struct kv_record record;
    void *key;
    uint64_t expire_ms;
    // One that cannot be read is nobody's.
    if (kv_read_head(store, erasure->where, &record, &key) != KV_OK)
        return false;
    uint64_t hash = kv_hash_key(&store->seeds, key, record.key_len).low;
    free(key);
    return kv_slot_is_live(store, kv_index_shard(&store->index, hash), hash, erasure->where, &expire_ms);
}

enum kv_status kv_erase_place_locked(struct kv_store *store, const struct kv_erasure *erasure)
{
    return erase_at(store, erasure->where, erasure);
}

// In the segment that compaction is emptying nothing is written while it punches.
enum kv_status kv_erase_place(struct kv_store *store, const struct kv_erasure *erasure)
{
    if (kv_where_segment(erasure->where) != atomic_load(&store->compacting))
        return erase_at(store, erasure->where, erasure);
    (void)pthread_mutex_lock(&store->moved.lock);
    enum kv_status status = erase_at(store, erasure->where, erasure);
    (void)pthread_mutex_unlock(&store->moved.lock);
    return status;
}

enum kv_status kv_erase_now(struct kv_store *store, const struct kv_erasure *erasure)
{
    enum kv_status status = kv_erase_place(store, erasure);
    return status == KV_OK ? erase_moved_from(store, erasure) : status;
}
