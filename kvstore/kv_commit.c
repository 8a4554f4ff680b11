// The end of the log: appending, group commit, and what happens when the system refuses.
//
// Appends are one pwritev each (many records of one call: kv_block.c; many calls of one caller: kv_held.c), one at a time. After each, its segment is put in the list
// of dirty ones and then written_lsn says that it is there. A sync reads written_lsn, then takes the list and syncs those
// files: so it covers every append up to what it read. One thread syncs at a time (the leader); those that come
// meanwhile wait, and one of them leads the next sync for all.
//
// A commit waits for segments that were appended to, which is one, sometimes two; those in which values were only
// overwritten wait for the next sync of everything (recovery repeats an overwriting that a power failure undid).
#include "kvstore/kv_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

// ---- errors

__attribute__((format(printf, 3, 0))) static void keep_error(struct kv_store *store, int errno_value,
                                                             const char *format, va_list args)
{
    char text[KV_ERROR_TEXT];
    (void)vsnprintf(text, sizeof text, format, args);
    (void)pthread_mutex_lock(&store->error_lock);
    if (errno_value != 0) {
        char why[96];
        (void)snprintf(store->error, sizeof store->error, "%.*s: %s", (int)(sizeof store->error - sizeof why),
                       text, strerror_r(errno_value, why, sizeof why));
    } else {
        (void)snprintf(store->error, sizeof store->error, "%s", text);
    }
    (void)pthread_mutex_unlock(&store->error_lock);
}

enum kv_status kv_fail(struct kv_store *store, enum kv_status status, int errno_value, const char *format,
                       ...)
{
    va_list args;
    va_start(args, format);
    keep_error(store, errno_value, format, args);
    va_end(args);
    return status;
}

enum kv_status kv_fail_writes(struct kv_store *store, int errno_value, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    // The first failure is the one to tell.
    if (!atomic_exchange(&store->read_only, true))
        keep_error(store, errno_value, format, args);
    va_end(args);
    return KV_IO;
}

uint64_t kv_now(struct kv_store *store)
{
    if (store->options.now_ms != NULL)
        return store->options.now_ms(store->options.now_arg);
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

// ---- the end of the log

bool kv_log_no_space(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

enum kv_status kv_log_refuses(struct kv_store *store, bool frees_space)
{
    if (atomic_load(&store->read_only))
        return KV_READ_ONLY;
    if (frees_space || kv_reserve_keep(store))
        return KV_OK;
    return kv_fail(store, KV_FULL, ENOSPC, "the disk is full: the reserve is kept for deletes");
}

void kv_log_written(struct kv_store *store, struct kv_segment *segment, bool direct)
{
    uint64_t size = atomic_load(&segment->size);
    kv_mark_dirty(store, segment, true);
    atomic_store(&segment->last_lsn, store->last_lsn);
    atomic_store(&store->written_lsn, store->last_lsn);
    if (direct) // nothing of it is left to be written back
        store->ahead.started_to = size;
    kv_ahead_look(store, size);
}

// Nothing is appended to the active segment any more: what has been allocated behind its end goes back.
static void seal_active(struct kv_store *store)
{
    if (store->active == NULL)
        return;
    kv_held_seal(store);
    (void)kv_log_cut(store); // if it stays longer than it should be, the next open leaves the rest alone
    kv_log_close_direct(store);
    store->active_extended = false;
    store->active_allocated = 0;
    atomic_store(&store->active->sealed, true);
    kv_segment_put(store->active);
    store->active = NULL;
}

enum kv_status kv_log_make_room(struct kv_store *store, uint64_t size)
{
    uint64_t used = store->active != NULL ? atomic_load(&store->active->size) : 0;
    if (store->active != NULL && !store->tail_bad &&
        (used == KV_SEGMENT_HEAD || used + size <= store->options.segment_bytes))
        return KV_OK;
    enum kv_status status = kv_held_write(store);
    if (status != KV_OK)
        return status;
    struct kv_segment *fresh = kv_ahead_take(store);
    status = fresh != NULL ? KV_OK : kv_segment_create(store, &fresh);
    if (status == KV_IO)
        (void)atomic_exchange(&store->read_only, true);
    if (status != KV_OK)
        return status;
    seal_active(store);
    store->active = fresh;
    store->tail_bad = false;
    store->ahead.started_to = 0;
    return KV_OK;
}

// ---- append

// Cuts off what a failed write left. When that fails too, the next record goes to a new segment: recovery
// skips the rest.
static enum kv_status write_failed(struct kv_store *store, int error, uint64_t offset)
{
    struct kv_segment *segment = store->active;
    unsigned long long id = segment->id;
    if (!kv_segment_cut(store, segment, offset))
        store->tail_bad = true;
    if (kv_log_no_space(error))
        return kv_fail(store, KV_FULL, error, "segment %08llu: write", id);
    return kv_fail_writes(store, error, "segment %08llu: write", id);
}

static void hold(const struct kv_append *append, const uint8_t head[KV_RECORD_HEAD], uint8_t *to,
                 uint64_t size)
{
    const struct kv_record *record = &append->record;
    size_t used = KV_RECORD_HEAD + (size_t)record->key_len + record->value_len;
    memcpy(to, head, KV_RECORD_HEAD);
    memcpy(to + KV_RECORD_HEAD, append->key, record->key_len);
    memcpy(to + KV_RECORD_HEAD + record->key_len, append->value, record->value_len);
    memset(to + used, 0, (size_t)size - used);
}

static enum kv_status append_locked(struct kv_store *store, struct kv_append *append)
{
    struct kv_record *record = &append->record;
    uint64_t size = kv_record_size(record->key_len, record->value_len);
    enum kv_status status = kv_log_make_room(store, size);
    if (status == KV_OK && !kv_log_cut(store))
        status =
            kv_fail_writes(store, errno, "segment %08llu: ftruncate", (unsigned long long)store->active->id);
    if (status != KV_OK)
        return status;
    if (record->type == KV_RECORD_TOMBSTONE)
        atomic_store(&store->active->tombstones, true);
    if (record->seq == 0)
        record->seq = store->next_seq++;
    if (record->expire_seq == 0)
        record->expire_seq = record->seq;
    else if (record->expire_seq == UINT64_MAX)
        record->expire_seq = store->next_seq++;

    struct kv_segment *segment = store->active;
    uint64_t offset = atomic_load(&segment->size);
    uint8_t *held = append->hold ? kv_held_take(store, size) : NULL;
    status = held != NULL ? KV_OK : kv_held_write(store);
    if (status != KV_OK || atomic_load(&store->read_only))
        return KV_IO;
    struct kv_place place = {.segment = segment->id, .offset = offset};
    uint8_t head[KV_RECORD_HEAD];
    kv_record_encode(&store->seeds, place, record, append->key, head);
    append->where = kv_where_disk(segment->id, offset);
    if (held != NULL) {
        hold(append, head, held, size);
        atomic_store(&segment->size, offset + size);
        append->lsn = ++store->last_lsn;
        return KV_OK;
    }
    static const uint8_t zeros[KV_RECORD_ALIGN];
    union { // pwritev() only reads
        const void *from;
        void *to;
    } key = {append->key}, value = {append->value}, pad = {zeros};
    struct iovec parts[4] = {
        {head, sizeof head},
        {key.to, record->key_len},
        {value.to, record->value_len},
        {pad.to, (size_t)size - sizeof head - record->key_len - record->value_len},
    };
    int error = kv_io_writev(segment->fd, parts, 4, offset);
    if (error != 0)
        return write_failed(store, error, offset);
    atomic_store(&segment->size, offset + size);
    append->lsn = ++store->last_lsn;
    kv_log_written(store, segment, false);
    return KV_OK;
}

static enum kv_status append_once(struct kv_store *store, struct kv_append *append, bool frees)
{
    (void)pthread_mutex_lock(&store->append_lock);
    enum kv_status status = kv_log_refuses(store, frees);
    if (status == KV_OK)
        status = append_locked(store, append);
    (void)pthread_mutex_unlock(&store->append_lock);
    return status;
}

enum kv_status kv_append(struct kv_store *store, struct kv_append *append)
{
    bool frees = append->frees_space || append->record.type == KV_RECORD_TOMBSTONE;
    enum kv_status status = append_once(store, append, frees);
    if (status == KV_FULL && frees && kv_reserve_lend(store))
        status = append_once(store, append, true);
    return status;
}

// ---- group commit

// The mark and the place in the list change together under the lock; whoever finds the mark set without it wrote before it
// was last set, so before the next sync takes the list.
void kv_mark_dirty(struct kv_store *store, struct kv_segment *segment, bool appended)
{
    if (atomic_load(&segment->dirty) && (!appended || atomic_load(&segment->appended)))
        return;
    struct kv_dirty *dirty = &store->dirty;
    (void)pthread_mutex_lock(&dirty->lock);
    if (!atomic_load(&segment->dirty)) {
        atomic_fetch_add(&segment->refs, 1);
        segment->next_dirty = dirty->first;
        dirty->first = segment;
        atomic_store(&segment->dirty, true);
    }
    if (appended)
        atomic_store(&segment->appended, true);
    (void)pthread_mutex_unlock(&dirty->lock);
}

// Takes the segments to sync out of the list: all, or those that have been appended to. Who leads a sync only: next_taken links
// what it takes.
static struct kv_segment *take_dirty(struct kv_store *store, bool all)
{
    struct kv_dirty *dirty = &store->dirty;
    struct kv_segment *taken = NULL;
    (void)pthread_mutex_lock(&dirty->lock);
    for (struct kv_segment **at = &dirty->first; *at != NULL;) {
        struct kv_segment *segment = *at;
        if (!all && !atomic_load(&segment->appended)) {
            at = &segment->next_dirty;
            continue;
        }
        *at = segment->next_dirty;
        atomic_store(&segment->dirty, false);
        atomic_store(&segment->appended, false);
        segment->next_taken = taken;
        taken = segment;
    }
    (void)pthread_mutex_unlock(&dirty->lock);
    return taken;
}

static enum kv_status sync_one(struct kv_store *store, struct kv_segment *segment)
{
    struct kv_segment *there = kv_segment_get(store, segment->id);
    if (there == NULL)
        return KV_OK; // removed meanwhile: nothing in it counts
    kv_segment_put(there);
    uint64_t size = atomic_load(&segment->size);
    if (kv_io.fdatasync(segment->fd) != 0)
        return kv_fail_writes(store, errno, "segment %08llu: fdatasync", (unsigned long long)segment->id);
    atomic_store(&segment->synced_size, size);
    return KV_OK;
}

static enum kv_status sync_segments(struct kv_store *store, bool all)
{
    enum kv_status status = KV_OK;
    for (struct kv_segment *next, *segment = take_dirty(store, all); segment != NULL; segment = next) {
        next = segment->next_taken;
        if (status == KV_OK)
            status = sync_one(store, segment);
        kv_segment_put(segment);
    }
    return status;
}

// sync_lock is held on entry and on return, not while syncing.
static enum kv_status lead_sync(struct kv_store *store, bool all)
{
    store->syncing = true;
    (void)pthread_mutex_unlock(&store->sync_lock);
    (void)kv_write_held(store);
    uint64_t covers = atomic_load(&store->written_lsn);
    enum kv_status status = atomic_load(&store->read_only) ? KV_READ_ONLY : sync_segments(store, all);
    (void)pthread_mutex_lock(&store->sync_lock);
    store->syncing = false;
    if (status == KV_OK)
        store->synced_lsn = covers;
    (void)pthread_cond_broadcast(&store->sync_done);
    return status;
}

enum kv_status kv_commit_wait(struct kv_store *store, uint64_t lsn)
{
    enum kv_status status = KV_OK;
    (void)pthread_mutex_lock(&store->sync_lock);
    while (status == KV_OK && store->synced_lsn < lsn) {
        if (!store->syncing)
            status = lead_sync(store, false);
        else
            (void)pthread_cond_wait(&store->sync_done, &store->sync_lock);
    }
    (void)pthread_mutex_unlock(&store->sync_lock);
    // This record was written before the store went read-only: to its writer that is a failed sync.
    return status == KV_READ_ONLY ? KV_IO : status;
}

enum kv_status kv_commit_all(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->sync_lock);
    while (store->syncing) // it may have begun before the caller's last write
        (void)pthread_cond_wait(&store->sync_done, &store->sync_lock);
    enum kv_status status = lead_sync(store, true);
    (void)pthread_mutex_unlock(&store->sync_lock);
    return status == KV_READ_ONLY ? KV_IO : status;
}

// ---- beginning anew

static struct kv_segment *take_one_dirty(struct kv_store *store)
{
    struct kv_dirty *dirty = &store->dirty;
    (void)pthread_mutex_lock(&dirty->lock);
    struct kv_segment *segment = dirty->first;
    if (segment != NULL) {
        dirty->first = segment->next_dirty;
        atomic_store(&segment->dirty, false);
        atomic_store(&segment->appended, false);
    }
    (void)pthread_mutex_unlock(&dirty->lock);
    return segment;
}

// What was appended to segments that no longer count need not be synced, and their files shall not be held. One at a time: a
// sync may be at work on some that were written to again meanwhile, and next_taken is its own.
static void forget_dirty(struct kv_store *store)
{
    for (struct kv_segment *segment; (segment = take_one_dirty(store)) != NULL;)
        kv_segment_put(segment);
}

enum kv_status kv_log_renew(struct kv_store *store, struct kv_segments_gone *gone)
{
    struct kv_segment *fresh;
    (void)pthread_mutex_lock(&store->append_lock);
    enum kv_status status = atomic_load(&store->read_only) ? KV_READ_ONLY : kv_held_write(store);
    if (status == KV_OK)
        status = kv_segments_renew(store, &fresh, gone);
    if (status == KV_OK) {
        kv_segment_put(kv_ahead_take(store));
        seal_active(store);
        store->active = fresh;
        store->tail_bad = false;
        store->ahead.started_to = store->ahead.failed_for = 0;
        forget_dirty(store);
    }
    (void)pthread_mutex_unlock(&store->append_lock);
    return status;
}
