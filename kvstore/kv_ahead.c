// Things done before an append has to wait for them, by a thread of their own:
//
//   the next segment   made (file, folder, manifest, folder: four syncs) and listed when the active one is half full. Moving on to
//                      it is then taking a pointer. The same manifest write notes the sizes of sealed segments.
//   writeback          of what was appended, begun every few MiB (sync_file_range), so that the next sync finds little to do and
//                      appends are not held up by a flood of dirty pages.
//
// After a crash the listed segment is empty and the last: the log goes on in it. A clean close removes it. Small segments
// (tests) are made when they are needed.
#include "kvstore/kv_internal.h"

#include <fcntl.h>

#define LEAST_SEGMENT  (4ull << 20)
#define WRITEBACK_STEP (4ull << 20)

static bool wants_segment(const struct kv_store *store, uint64_t size)
{
    return store->ahead.ready == NULL && store->ahead.failed_for != store->active->id && store->options.segment_bytes >= LEAST_SEGMENT &&
           size >= store->options.segment_bytes / 2;
}

static bool wants_writeback(const struct kv_store *store, uint64_t size)
{
    return store->options.fsync != KV_FSYNC_NEVER && size >= store->ahead.started_to + WRITEBACK_STEP;
}

void kv_ahead_look(struct kv_store *store, uint64_t size)
{
    if (!wants_segment(store, size) && !wants_writeback(store, size))
        return;
    struct kv_ahead *ahead = &store->ahead;
    (void)pthread_mutex_lock(&ahead->lock);
    if (!ahead->work)
        (void)pthread_cond_signal(&ahead->wake);
    ahead->work = true;
    (void)pthread_mutex_unlock(&ahead->lock);
}

struct kv_segment *kv_ahead_take(struct kv_store *store)
{
    struct kv_segment *ready = store->ahead.ready;
    store->ahead.ready = NULL;
    return ready;
}

static void start_writeback(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->append_lock);
    struct kv_segment *segment = store->active;
    uint64_t from = store->ahead.started_to, size = segment != NULL ? atomic_load(&segment->size) : 0;
    bool wanted = segment != NULL && wants_writeback(store, size);
    if (wanted) {
        atomic_fetch_add(&segment->refs, 1);
        store->ahead.started_to = size;
    }
    (void)pthread_mutex_unlock(&store->append_lock);
    if (!wanted)
        return;
    (void)kv_io.sync_file_range(segment->fd, (off_t)from, (off_t)(size - from), SYNC_FILE_RANGE_WRITE);
    kv_segment_put(segment);
}

// Without the append lock while the disk works: nobody else makes a segment unless the active one is full before this one
// is ready; then there are two, and the second is used later.
static void make_segment(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->append_lock);
    bool wanted = store->active != NULL && wants_segment(store, atomic_load(&store->active->size)) &&
                  !atomic_load(&store->read_only);
    (void)pthread_mutex_unlock(&store->append_lock);
    if (!wanted)
        return;
    struct kv_segment *ready = NULL;
    enum kv_status status = kv_segment_create(store, &ready);
    (void)pthread_mutex_lock(&store->append_lock);
    if (status != KV_OK) { // the append that needs one tries again, and says what is wrong
        store->ahead.failed_for = store->active != NULL ? store->active->id : 0;
        (void)pthread_mutex_unlock(&store->append_lock);
        return;
    }
    // Ids are the order of the log: one that was overtaken is not used.
    bool usable = store->active == NULL || store->active->id < ready->id;
    if (usable)
        store->ahead.ready = ready;
    (void)pthread_mutex_unlock(&store->append_lock);
    if (usable)
        return;
    (void)kv_segment_remove(store, ready);
    kv_segment_put(ready);
}

static void *ahead_main(void *arg)
{
    struct kv_store *store = arg;
    struct kv_ahead *ahead = &store->ahead;
    (void)pthread_mutex_lock(&ahead->lock);
    while (!ahead->stop) {
        if (!ahead->work) {
            (void)pthread_cond_wait(&ahead->wake, &ahead->lock);
            continue;
        }
        ahead->work = false;
        (void)pthread_mutex_unlock(&ahead->lock);
        make_segment(store);
        start_writeback(store);
        (void)pthread_mutex_lock(&ahead->lock);
    }
    (void)pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

bool kv_ahead_start(struct kv_store *store)
{
    store->ahead.runs = pthread_create(&store->ahead.thread, NULL, ahead_main, store) == 0;
    return store->ahead.runs;
}

void kv_ahead_stop(struct kv_store *store)
{
    struct kv_ahead *ahead = &store->ahead;
    (void)pthread_mutex_lock(&ahead->lock);
    ahead->stop = true;
    (void)pthread_cond_signal(&ahead->wake);
    (void)pthread_mutex_unlock(&ahead->lock);
    if (ahead->runs)
        (void)pthread_join(ahead->thread, NULL);
    ahead->runs = false;
}
