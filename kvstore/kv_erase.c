// Values that are gone are overwritten in their files: zeros over the value, then the erase mark in the
// record's head.
//
// When. A deleted or replaced value is erased once the record that supersedes it is as durable as the policy
// promises. Until then it waits here, with the lsn of that record. A crash at any point between is mended at
// open: recovery sees that a newer record supersedes the old one and erases it again.
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

struct kv_erase_batch {
    struct kv_erase_batch *next;
    uint64_t least_lsn;
    const struct kv_erasure *items;
    size_t count;
};

bool kv_erase_init(struct kv_erase_queue *queue)
{
    return pthread_mutex_init(&queue->lock, NULL) == 0 && pthread_cond_init(&queue->done, NULL) == 0;
}

void kv_erase_destroy(struct kv_erase_queue *queue)
{
    free(queue->items);
    queue->items = NULL;
    (void)pthread_cond_destroy(&queue->done);
    (void)pthread_mutex_destroy(&queue->lock);
}

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

static int overwrite(struct kv_store *store, struct kv_segment *segment, uint64_t offset,
                     const struct kv_erasure *erasure)
{
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

// ---- queue

// Room for one more; queue->lock is held.
static bool grow(struct kv_erase_queue *queue)
{
    if (queue->count < queue->capacity)
        return true;
    size_t capacity = queue->capacity == 0 ? 64 : queue->capacity * 2;
    struct kv_erasure *items = realloc(queue->items, capacity * sizeof *items);
    if (items == NULL)
        return false;
    queue->items = items;
    queue->capacity = capacity;
    return true;
}

void kv_erase_later(struct kv_store *store, const struct kv_erasure *erasure)
{
    struct kv_erase_queue *queue = &store->erase;
    (void)pthread_mutex_lock(&queue->lock);
    bool queued = grow(queue);
    if (queued)
        queue->items[queue->count++] = *erasure;
    (void)pthread_mutex_unlock(&queue->lock);
    if (!queued && kv_commit_wait(store, erasure->lsn) == KV_OK)
        (void)kv_erase_now(store, erasure);
}

size_t kv_erase_pending(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->erase.lock);
    size_t pending = store->erase.count;
    (void)pthread_mutex_unlock(&store->erase.lock);
    return pending;
}

bool kv_erase_each(struct kv_store *store, bool (*fn)(void *arg, const struct kv_erasure *erasure), void *arg)
{
    struct kv_erase_queue *queue = &store->erase;
    bool ok = true;
    (void)pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < queue->count && ok; i++)
        ok = fn(arg, &queue->items[i]);
    for (const struct kv_erase_batch *b = queue->running; b != NULL; b = b->next)
        for (size_t i = 0; i < b->count && ok; i++)
            ok = fn(arg, &b->items[i]);
    (void)pthread_mutex_unlock(&queue->lock);
    return ok;
}

// Takes up to `most` erasures that are due out of the queue. queue->lock is held.
static size_t take_due(struct kv_erase_queue *queue, uint64_t lsn, struct kv_erasure *out, size_t most,
                       uint64_t *least_lsn)
{
    size_t taken = 0, kept = 0;
    *least_lsn = UINT64_MAX;
    for (size_t i = 0; i < queue->count; i++) {
        const struct kv_erasure *item = &queue->items[i];
        if (item->lsn > lsn || taken == most) {
            queue->items[kept++] = *item;
            continue;
        }
        *least_lsn = item->lsn < *least_lsn ? item->lsn : *least_lsn;
        out[taken++] = *item;
    }
    queue->count = kept;
    if (kept == 0 && queue->capacity > 1024) { // a burst's memory goes back
        free(queue->items);
        queue->items = NULL;
        queue->capacity = 0;
    }
    return taken;
}

static bool running_upto(const struct kv_erase_queue *queue, uint64_t lsn)
{
    for (const struct kv_erase_batch *b = queue->running; b != NULL; b = b->next)
        if (b->least_lsn <= lsn)
            return true;
    return false;
}

static void batch_unlink(struct kv_erase_queue *queue, struct kv_erase_batch *batch)
{
    struct kv_erase_batch **at = &queue->running;
    while (*at != batch)
        at = &(*at)->next;
    *at = batch->next;
}

#define TAKE 512u

enum kv_status kv_erase_upto(struct kv_store *store, uint64_t lsn)
{
    struct kv_erase_queue *queue = &store->erase;
    enum kv_status status = KV_OK;
    struct kv_erasure due[TAKE];
    (void)pthread_mutex_lock(&queue->lock);
    while (status == KV_OK) {
        struct kv_erase_batch batch;
        size_t count = take_due(queue, lsn, due, TAKE, &batch.least_lsn);
        if (count == 0)
            break;
        batch.items = due;
        batch.count = count;
        batch.next = queue->running;
        queue->running = &batch;
        (void)pthread_mutex_unlock(&queue->lock);
        for (size_t i = 0; i < count && status == KV_OK; i++)
            status = kv_erase_now(store, &due[i]);
        (void)pthread_mutex_lock(&queue->lock);
        batch_unlink(queue, &batch);
        (void)pthread_cond_broadcast(&queue->done);
    }
    while (running_upto(queue, lsn))
        (void)pthread_cond_wait(&queue->done, &queue->lock);
    (void)pthread_mutex_unlock(&queue->lock);
    return status;
}
