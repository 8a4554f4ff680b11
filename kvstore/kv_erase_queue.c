// What is to be erased, and when.
//
// A value that is gone is erased once the record that supersedes it is as durable as the policy promises. Until then it waits here, with the lsn
// of that record: deleted ones, and with KV_FSYNC_ALWAYS replaced ones, for the call that made them so (`prompt`); with the other policies replaced ones
// for the eraser (`later`, kv_erase_list.h; kv_eraser.c).
#include "kvstore/kv_internal.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define TAKE      2048u        // at a time
#define FEW       64u          // without memory
#define AHEAD     64u          // blocks asked for ahead of those that are overwritten
#define TAKE_MOST (16u * 1024) // by who erases all that waits: the more in one order, the fewer places
#define NS_IN_MS  1000000u

// Taken out of a queue and not yet finished.
struct kv_erase_batch {
    struct kv_erase_batch *next;
    uint64_t least_lsn, number;
    bool later;
    const struct kv_erasure *items;
    size_t count;
};

bool kv_erase_init(struct kv_erase_queue *queue)
{
    pthread_condattr_t monotonic;
    bool ok = pthread_condattr_init(&monotonic) == 0 &&
              pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
              pthread_mutex_init(&queue->lock, NULL) == 0 && pthread_cond_init(&queue->done, NULL) == 0 &&
              pthread_cond_init(&queue->wake, &monotonic) == 0;
    (void)pthread_condattr_destroy(&monotonic);
    return ok;
}

void kv_erase_destroy(struct kv_store *store)
{
    struct kv_erase_queue *queue = &store->erase;
    kv_erase_list_free(store, &queue->later);
    free(queue->prompt.items);
    queue->prompt = (struct kv_erasures){0};
    (void)pthread_cond_destroy(&queue->wake);
    (void)pthread_cond_destroy(&queue->done);
    (void)pthread_mutex_destroy(&queue->lock);
}

uint16_t kv_erase_tick(const struct kv_store *store, uint16_t *age)
{
    uint64_t within = store->options.erase_within_ms;
    uint64_t unit = within <= KV_WAITING_TICKS ? 1 : within / KV_WAITING_TICKS;
    *age = (uint16_t)(within / unit); // less than twice KV_WAITING_TICKS
    return (uint16_t)(kv_clock_ns() / NS_IN_MS / unit);
}

// ---- putting in

static void set_capacity(struct kv_store *store, struct kv_erasures *list, size_t capacity)
{
    kv_account(store, ((int64_t)capacity - (int64_t)list->capacity) * (int64_t)sizeof *list->items);
    list->capacity = capacity;
}

static void set_count(struct kv_erasures *list, size_t count)
{
    atomic_store_explicit(&list->count, count, memory_order_relaxed);
}

// Room for one more; queue->lock is held.
static bool grow(struct kv_store *store, struct kv_erasures *list)
{
    if (list->first + list->count < list->capacity)
        return true;
    if (list->first > list->capacity / 2) {
        memmove(list->items, list->items + list->first, list->count * sizeof *list->items);
        list->first = 0;
        return true;
    }
    size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
    struct kv_erasure *items = realloc(list->items, capacity * sizeof *items);
    if (items == NULL)
        return false;
    list->items = items;
    set_capacity(store, list, capacity);
    return true;
}

static bool add_prompt(struct kv_store *store, const struct kv_erasure *erasure)
{
    struct kv_erasures *list = &store->erase.prompt;
    if (!grow(store, list))
        return false;
    list->items[list->first + list->count] = *erasure;
    set_count(list, list->count + 1);
    return true;
}

// overdue: its time is over already.
static bool add_later(struct kv_store *store, const struct kv_erasure *erasure, bool overdue)
{
    uint16_t age, now = kv_erase_tick(store, &age);
    return kv_erase_list_add(store, &store->erase.later, erasure, (uint16_t)(overdue ? now - age : now));
}

static void note(struct kv_store *store, const struct kv_erasure *erasure, bool later)
{
    struct kv_erase_queue *queue = &store->erase;
    (void)pthread_mutex_lock(&queue->lock);
    bool added = later ? add_later(store, erasure, false) : add_prompt(store, erasure);
    (void)pthread_mutex_unlock(&queue->lock);
    if (!added && kv_commit_wait(store, erasure->lsn) == KV_OK)
        (void)kv_erase_now(store, erasure);
}

void kv_erase_later(struct kv_store *store, const struct kv_erasure *erasure)
{
    note(store, erasure, false);
}

void kv_erase_replaced(struct kv_store *store, const struct kv_erasure *erasure)
{
    note(store, erasure, store->options.fsync != KV_FSYNC_ALWAYS);
}

bool kv_erase_resume(struct kv_store *store, const struct kv_erasure *erasure)
{
    struct kv_erase_queue *queue = &store->erase;
    (void)pthread_mutex_lock(&queue->lock);
    bool added = add_later(store, erasure, true);
    (void)pthread_mutex_unlock(&queue->lock);
    return added;
}

static void clear(struct kv_store *store, struct kv_erasures *list)
{
    free(list->items);
    list->items = NULL;
    list->first = 0;
    set_count(list, 0);
    set_capacity(store, list, 0);
}

void kv_erase_forget(struct kv_store *store)
{
    struct kv_erase_queue *queue = &store->erase;
    (void)pthread_mutex_lock(&queue->lock);
    clear(store, &queue->prompt);
    struct kv_erase_list gone = {.first = queue->later.first};
    queue->later.first = queue->later.last = NULL;
    memset(queue->later.next, 0, sizeof queue->later.next);
    atomic_store_explicit(&queue->later.count, 0, memory_order_relaxed);
    (void)pthread_cond_broadcast(&queue->done);
    (void)pthread_mutex_unlock(&queue->lock);
    kv_erase_list_free(store, &gone);
}

// ---- looking

size_t kv_erase_pending(struct kv_store *store)
{
    struct kv_erase_queue *queue = &store->erase;
    return atomic_load_explicit(&queue->prompt.count, memory_order_relaxed) +
           atomic_load_explicit(&queue->later.count, memory_order_relaxed);
}

bool kv_erase_each(struct kv_store *store, bool (*fn)(void *arg, const struct kv_erasure *erasure), void *arg)
{
    struct kv_erase_queue *queue = &store->erase;
    bool ok = true;
    (void)pthread_mutex_lock(&queue->lock);
    kv_erase_list_begin(&queue->later, KV_ERASE_EACH);
    while (kv_erase_list_each(&queue->later, fn, arg, &ok)) {
        (void)pthread_mutex_unlock(&queue->lock);
        (void)sched_yield();
        (void)pthread_mutex_lock(&queue->lock);
    }
    // Last: what has been taken meanwhile is with those who erase it, or done.
    for (size_t i = 0; i < queue->prompt.count && ok; i++)
        ok = fn(arg, &queue->prompt.items[queue->prompt.first + i]);
    for (const struct kv_erase_batch *b = queue->running; b != NULL; b = b->next)
        for (size_t i = 0; i < b->count && ok; i++)
            ok = fn(arg, &b->items[i]);
    (void)pthread_mutex_unlock(&queue->lock);
    return ok;
}

// ---- taking out

// Takes up to `most` whose superseding record is not behind `lsn`; the others stay, in order. queue->lock is held.
static size_t take_prompt(struct kv_store *store, uint64_t lsn, struct kv_erasure *out, size_t most)
{
    struct kv_erasures *list = &store->erase.prompt;
    if (list->count == 0)
        return 0;
    struct kv_erasure *items = list->items + list->first;
    size_t taken = 0, kept = 0, i = 0;
    for (; i < list->count && taken < most; i++) {
        if (items[i].lsn <= lsn)
            out[taken++] = items[i];
        else
            items[kept++] = items[i];
    }
    if (taken == 0)
        return 0;
    memmove(&items[i - kept], items, kept * sizeof *items);
    list->first += i - kept;
    set_count(list, list->count - taken);
    if (list->count == 0 && list->capacity > 1024) // a burst's memory goes back
        clear(store, list);
    return taken;
}

static int by_place(const void *a, const void *b)
{
    uint64_t x = ((const struct kv_erasure *)a)->where, y = ((const struct kv_erasure *)b)->where;
    return x < y ? -1 : x > y;
}

// The blocks around the value will be read, for they are overwritten in part.
static void ask_ahead(struct kv_store *store, const struct kv_erasure *erasure)
{
    struct kv_segment *segment = kv_segment_get(store, kv_where_segment(erasure->where));
    if (segment == NULL)
        return;
    (void)kv_io.fadvise(segment->fd, (off_t)kv_where_offset(erasure->where),
                        (off_t)kv_class_size(erasure->size_class), POSIX_FADV_WILLNEED);
    kv_segment_put(segment);
}

static enum kv_status erase_all(struct kv_store *store, const struct kv_erasure *items, size_t count,
                                bool ahead)
{
    enum kv_status status = KV_OK;
    for (size_t i = 0; i < count && status == KV_OK; i++) {
        if (ahead && i % AHEAD == 0)
            for (size_t next = i == 0 ? 0 : i + AHEAD; next < count && next < i + 2 * AHEAD; next++)
                ask_ahead(store, &items[next]);
        status = kv_erase_now(store, &items[i]);
    }
    return status;
}

static void unlink_batch(struct kv_erase_queue *queue, struct kv_erase_batch *batch)
{
    struct kv_erase_batch **at = &queue->running;
    while (*at != batch)
        at = &(*at)->next;
    *at = batch->next;
}

// Of what comes from a snapshot nothing to which the index points, and the others when that is so on the device as well. The count of what is left.
static size_t drop_current(struct kv_store *store, struct kv_erasure *items, size_t count,
                           enum kv_status *status)
{
    size_t kept = 0, unsure = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].unsure && kv_erase_is_current(store, &items[i]))
            continue;
        unsure += items[i].unsure;
        items[kept++] = items[i];
    }
    if (unsure > 0)
        *status = kv_commit_all(store);
    return kept;
}

// Those who ask what is being worked at see it in one half of `buf`, the other half is sorted.
bool kv_erase_some(struct kv_store *store, bool later, const struct kv_due *due, struct kv_erasure *buf,
                   size_t most, enum kv_status *status)
{
    struct kv_erase_queue *queue = &store->erase;
    struct kv_erase_batch batch = {.least_lsn = UINT64_MAX, .later = later, .items = buf};
    batch.count = later ? kv_erase_list_take(store, &queue->later, due, buf, most)
                        : take_prompt(store, due->lsn, buf, most);
    if (batch.count == 0)
        return false;
    for (size_t i = 0; i < batch.count; i++)
        batch.least_lsn = buf[i].lsn < batch.least_lsn ? buf[i].lsn : batch.least_lsn;
    batch.number = ++queue->begun;
    batch.next = queue->running;
    queue->running = &batch;
    (void)pthread_mutex_unlock(&queue->lock);
    struct kv_erasure *items = buf + most;
    memcpy(items, buf, batch.count * sizeof *buf);
    qsort(items, batch.count, sizeof *buf, by_place);
    size_t count = drop_current(store, items, batch.count, status);
    if (*status == KV_OK)
        *status = erase_all(store, items, count, later);
    (void)pthread_mutex_lock(&queue->lock);
    unlink_batch(queue, &batch);
    (void)pthread_cond_broadcast(&queue->done);
    return *status == KV_OK;
}

static bool is_running(const struct kv_erase_queue *queue, uint64_t lsn, bool later)
{
    for (const struct kv_erase_batch *b = queue->running; b != NULL; b = b->next)
        if (b->least_lsn <= lsn && (later || !b->later))
            return true;
    return false;
}

static bool is_running_since(const struct kv_erase_queue *queue, uint64_t number)
{
    for (const struct kv_erase_batch *b = queue->running; b != NULL; b = b->next)
        if (b->number <= number)
            return true;
    return false;
}

void kv_erase_wait_running(struct kv_store *store)
{
    struct kv_erase_queue *queue = &store->erase;
    (void)pthread_mutex_lock(&queue->lock);
    for (uint64_t number = queue->begun; is_running_since(queue, number);)
        (void)pthread_cond_wait(&queue->done, &queue->lock);
    (void)pthread_mutex_unlock(&queue->lock);
}

enum kv_status kv_erase_upto(struct kv_store *store, uint64_t lsn, bool replaced)
{
    struct kv_erase_queue *queue = &store->erase;
    const struct kv_due due = {.lsn = lsn};
    enum kv_status status = KV_OK;
    struct kv_erasure few[2 * FEW], *buf = few;
    size_t most = FEW;
    (void)pthread_mutex_lock(&queue->lock);
    size_t pending = queue->prompt.count + (replaced ? queue->later.count : 0);
    if (pending > FEW) {
        most = replaced ? TAKE_MOST : TAKE;
        most = pending < most ? pending : most;
        buf = malloc(2 * most * sizeof *buf);
        most = buf != NULL ? most : FEW;
        buf = buf != NULL ? buf : few;
    }
    while (kv_erase_some(store, false, &due, buf, most, &status)) {
    }
    while (replaced && status == KV_OK && kv_erase_some(store, true, &due, buf, most, &status)) {
    }
    while (is_running(queue, lsn, replaced))
        (void)pthread_cond_wait(&queue->done, &queue->lock);
    (void)pthread_mutex_unlock(&queue->lock);
    if (buf != few)
        free(buf);
    return status;
}
