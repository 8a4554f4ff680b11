// The eraser, a thread of its own: overwriting in old files is reads and writes all over the device, and neither the sync of the interval nor an event
// loop may wait for that. It takes what has been synced and is as old as erase_within_ms says, many at a time, in the order of the files, and asks the kernel
// for the blocks ahead. What compaction removes meanwhile needs no overwriting any more, and leaves the queue soon after: where
// values are replaced all the time that is nearly all of it.
//
// The queue is bounded: when half of it is full compaction takes segments that it would leave alone otherwise, when three quarters are values go before
// their time, when all of it is those who put wait (kv_catch_up()).
#include "kvstore/kv_internal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define TAKE        2048u // at a time
#define PROMPT_MOST (64u * 1024)
#define LIMIT_EACH  (64u * KV_WAITING_BYTES) // bytes of the limit
#define LOOK_MS     100u
#define NS_IN_MS    1000000u
#define SWEEP_MS    250u // not more often
#define SWEEP_SHARE 32u  // nor for more of the time than one part in so many

static size_t most_later(struct kv_store *store)
{
    uint64_t most = atomic_load_explicit(&store->tier.limit_bytes, memory_order_relaxed) / LIMIT_EACH;
    return most < KV_ERASE_LEAST ? KV_ERASE_LEAST : most > KV_ERASE_MOST ? KV_ERASE_MOST : (size_t)most;
}

bool kv_is_behind(struct kv_store *store)
{
    struct kv_erase_queue *queue = &store->erase;
    return atomic_load_explicit(&queue->prompt.count, memory_order_relaxed) > PROMPT_MOST ||
           atomic_load_explicit(&queue->later.count, memory_order_relaxed) > most_later(store);
}

bool kv_erase_is_long(struct kv_store *store, size_t count)
{
    size_t most = most_later(store) / 16;
    return count > (most < KV_ERASE_AT_ONCE ? most : KV_ERASE_AT_ONCE);
}

bool kv_erase_is_crowded(struct kv_store *store)
{
    return atomic_load_explicit(&store->erase.later.count, memory_order_relaxed) > most_later(store) / 2;
}

// Waits for the eraser.
static void wait_for_room(struct kv_store *store)
{
    struct kv_erase_queue *queue = &store->erase;
    (void)pthread_mutex_lock(&queue->lock);
    while (queue->later.count > most_later(store) && queue->runs && !queue->stops &&
           !atomic_load(&store->read_only)) {
        (void)pthread_cond_signal(&queue->wake);
        (void)pthread_cond_wait(&queue->done, &queue->lock);
    }
    (void)pthread_mutex_unlock(&queue->lock);
}

enum kv_status kv_catch_up(struct kv_store *store)
{
    wait_for_room(store);
    return kv_is_behind(store) ? kv_sync(store) : KV_OK;
}

uint64_t kv_synced_lsn(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->sync_lock);
    uint64_t lsn = store->synced_lsn;
    (void)pthread_mutex_unlock(&store->sync_lock);
    return lsn;
}

// Until somebody is in need, or some time has passed.
static void wait_a_while(struct kv_erase_queue *queue)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * (long)NS_IN_MS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&queue->wake, &queue->lock, &until);
}

// ---- what compaction has removed

void kv_erase_removed(struct kv_store *store)
{
    atomic_fetch_add(&store->erase.removals, 1);
}

// The segments as they are (free()). False: no memory.
static bool list_segments(struct kv_store *store, struct kv_gone_segment **list, struct kv_gone *gone)
{
    struct kv_segment *segment;
    size_t room = 0;
    bool ok = true;
    *list = NULL;
    *gone = (struct kv_gone){0};
    for (uint64_t id = 0; ok && (segment = kv_segment_from(store, id)) != NULL; id = gone->newest + 1) {
        if (gone->count == room) {
            room = room == 0 ? 64 : room * 2;
            struct kv_gone_segment *longer = realloc(*list, room * sizeof *longer);
            ok = longer != NULL;
            *list = ok ? longer : *list;
        }
        if (ok)
            (*list)[gone->count++] =
                (struct kv_gone_segment){.id = segment->id, .punched_to = atomic_load(&segment->punched_to)};
        gone->newest = segment->id;
        kv_segment_put(segment);
    }
    gone->segments = *list;
    return ok;
}

void kv_erase_sweep(struct kv_store *store)
{
    struct kv_erase_queue *queue = &store->erase;
    struct kv_gone_segment *list;
    struct kv_gone gone;
    queue->swept_for = atomic_load(&queue->removals);
    if (list_segments(store, &list, &gone)) {
        (void)pthread_mutex_lock(&queue->lock);
        kv_erase_list_begin(&queue->later, KV_ERASE_SWEEP);
        while (kv_erase_list_sweep(store, &queue->later, &gone)) {
            (void)pthread_mutex_unlock(&queue->lock);
            (void)sched_yield(); // nobody who puts waits for more than a block
            (void)pthread_mutex_lock(&queue->lock);
        }
        (void)pthread_cond_broadcast(&queue->done);
        (void)pthread_mutex_unlock(&queue->lock);
    }
    free(list);
}

static uint64_t now_ms(void)
{
    return kv_clock_ns() / NS_IN_MS;
}

static void sweep_if_due(struct kv_store *store)
{
    struct kv_erase_queue *queue = &store->erase;
    uint64_t began = now_ms();
    if (queue->swept_for == atomic_load(&queue->removals) || began < queue->sweep_at_ms)
        return;
    kv_erase_sweep(store);
    uint64_t ended = now_ms(), rest = (ended - began) * SWEEP_SHARE;
    queue->sweep_at_ms = ended + (rest > SWEEP_MS ? rest : SWEEP_MS);
}

// ---- the thread

// One round. False: there was nothing to do. queue->lock is held, but not all the time.
static bool erase_due(struct kv_store *store)
{
    struct kv_erase_queue *queue = &store->erase;
    enum kv_status status = KV_OK;
    (void)pthread_mutex_unlock(&queue->lock);
    sweep_if_due(store);
    bool pressed = queue->later.count > most_later(store) / 4 * 3, any = false;
    struct kv_due due = {.lsn = kv_synced_lsn(store)};
    // What is pressed for may not be on the device yet.
    if (pressed && kv_is_behind(store) && kv_commit_all(store) == KV_OK)
        due.lsn = kv_synced_lsn(store);
    (void)pthread_mutex_lock(&queue->lock);
    due.now = kv_erase_tick(store, &due.age); // not before that of what has been added
    if (pressed)
        due.age = 0;
    if (!queue->stops && !atomic_load(&store->read_only))
        any = kv_erase_some(store, true, &due, queue->buf, TAKE, &status);
    return any;
}

static void *eraser_main(void *arg)
{
    struct kv_store *store = arg;
    struct kv_erase_queue *queue = &store->erase;
    (void)pthread_mutex_lock(&queue->lock);
    while (!queue->stops) {
        bool any = erase_due(store);
        if (atomic_load(&store->read_only)) // who waits for room need not any more
            (void)pthread_cond_broadcast(&queue->done);
        if (!any && !queue->stops)
            wait_a_while(queue);
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return NULL;
}

int kv_eraser_start(struct kv_store *store)
{
    struct kv_erase_queue *queue = &store->erase;
    if (store->options.fsync == KV_FSYNC_ALWAYS)
        return 0;
    queue->buf = malloc(2 * TAKE * sizeof *queue->buf);
    if (queue->buf == NULL)
        return ENOMEM;
    int error = pthread_create(&queue->thread, NULL, eraser_main, store);
    queue->runs = error == 0;
    return error;
}

void kv_eraser_stop(struct kv_store *store)
{
    struct kv_erase_queue *queue = &store->erase;
    (void)pthread_mutex_lock(&queue->lock);
    queue->stops = true;
    (void)pthread_cond_signal(&queue->wake);
    (void)pthread_cond_broadcast(&queue->done);
    (void)pthread_mutex_unlock(&queue->lock);
    if (queue->runs)
        (void)pthread_join(queue->thread, NULL);
    queue->runs = false;
    free(queue->buf);
    queue->buf = NULL;
}
