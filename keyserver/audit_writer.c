// The thread that writes. Producers copy lines into the slots of a ring under a mutex (one memcpy); the thread takes what
// is there, up to a batch, and works without the mutex (audit_out.h). Slots between `tail` and `head` belong to the thread:
// producers never fill one before `tail` has passed it.
//
// Lines that nobody waits for are gathered for a moment, so that a busy server wakes the thread a few hundred times a second and not with each line
// (which took a sixth of an I/O thread's time).
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/pulse.h"
#include "common/thread_signals.h"
#include "keyserver/audit_out.h"

#define RING_LINES 4096
#define GATHER_NS  4000000u

struct slot {
    struct keyop *op;
    size_t len;
    char body[AUDIT_BODY_MAX];
};

struct audit_writer {
    pthread_t thread;
    pthread_mutex_t mutex; // guards all down to `stopping`
    pthread_cond_t work, done;
    uint64_t head, tail;
    uint64_t unreported; // lost lines that no line has told yet
    uint64_t turns_begun, turns_done;
    uint64_t gather_until_ns; // lines that have come wait for others until then
    bool hurry;               // unless somebody waits for one of them, or they are many
    bool writer_waits;        // and is to be woken by the next line
    bool reopen, stopping;

    struct pulse pulse;
    struct audit_counts *counts;
    struct audit_out out; // the thread's alone
    size_t capacity;
    struct slot slots[];
};

void audit_refuse(struct keyop *op)
{
    OPENSSL_cleanse(op->output, op->output_len);
    op->output_len = 0;
    op->status = SKI_UNSPECIFIED;
}

// ---- turns

// With the mutex held. While writing fails, a try a second is enough for what no one waits for.
static bool is_due(const struct audit_writer *w, uint64_t now)
{
    const struct audit_out *out = &w->out;
    if (out->retry_ns != 0)
        return now >= out->retry_ns;
    return out->start_due || w->unreported > 0 || (out->head_due_ns != 0 && now >= out->head_due_ns);
}

// Operations of slots [from, to): given back, or refused. Returns how many lines are lost.
static uint64_t settle_slots(struct audit_writer *w, uint64_t from, uint64_t to, size_t whole)
{
    uint64_t good = 0;
    for (size_t i = 0; i < whole; i++)
        good += w->out.batch.marks[i].kind == MARK_SLOT;
    for (uint64_t at = from; at != to; at++) {
        struct keyop *op = w->slots[at % w->capacity].op;
        if (op == NULL)
            continue;
        if (at - from >= good) {
            audit_refuse(op);
            (void)atomic_fetch_add(&w->counts->refused, 1);
        }
        op->audited = true;
        w->out.settings.complete(op);
    }
    return to - from - good;
}

static uint64_t drops_written(const struct batch *b, size_t whole)
{
    for (size_t i = 0; i < whole; i++)
        if (b->marks[i].kind == MARK_DROPPED)
            return b->drops_told;
    return 0;
}

static bool fill_batch(struct audit_writer *w, uint64_t from, uint64_t to, uint64_t unreported)
{
    if (!audit_out_first(&w->out, unreported))
        return false;
    for (uint64_t at = from; at != to; at++) {
        const struct slot *slot = &w->slots[at % w->capacity];
        if (!audit_out_line(&w->out, slot->body, slot->len))
            return false;
    }
    return audit_out_dropped(&w->out, unreported) && audit_out_head_if_due(&w->out, clock_ns());
}

// One turn, with the mutex held before and after: takes what is there, works without it, settles under it.
static void take_turn(struct audit_writer *w)
{
    uint64_t from = w->tail, to = w->head, unreported = w->unreported;
    bool reopen = w->reopen;
    if (to - from > BATCH_LINES)
        to = from + BATCH_LINES;
    w->reopen = false;
    w->hurry = to != w->head;
    w->gather_until_ns = clock_ns() + GATHER_NS;
    w->turns_begun++;
    (void)pthread_mutex_unlock(&w->mutex);

    bool made = fill_batch(w, from, to, unreported);
    size_t whole = audit_out_write(&w->out, made);
    uint64_t told = drops_written(&w->out.batch, whole);
    uint64_t lost = settle_slots(w, from, to, whole);
    (void)atomic_fetch_add(&w->counts->dropped, lost);
    if (reopen)
        audit_out_reopen(&w->out);
    else
        audit_out_rotate_if_due(&w->out);

    (void)pthread_mutex_lock(&w->mutex);
    w->tail = to;
    w->unreported = w->unreported - told + lost;
    atomic_store_explicit(&w->counts->waiting, w->head - w->tail, memory_order_relaxed);
    w->turns_done++;
    (void)pthread_cond_broadcast(&w->done);
}

// With the mutex held.
static bool has_work(const struct audit_writer *w, uint64_t now)
{
    bool lines = w->head != w->tail && (w->hurry || w->stopping || now >= w->gather_until_ns);
    return lines || w->reopen || is_due(w, now);
}

// Until there is something to do: a line, an order, the next head or the next try.
static void wait_for_work(struct audit_writer *w)
{
    uint64_t until = w->out.retry_ns != 0 ? w->out.retry_ns : w->out.head_due_ns;
    if (w->head != w->tail && (until == 0 || w->gather_until_ns < until))
        until = w->gather_until_ns;
    struct timespec at = {.tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u)};
    w->writer_waits = w->head == w->tail;
    if (until == 0)
        (void)pthread_cond_wait(&w->work, &w->mutex);
    else
        (void)pthread_cond_timedwait(&w->work, &w->mutex, &at);
    w->writer_waits = false;
}

static void *run_writer(void *arg)
{
    struct audit_writer *w = arg;
    (void)pthread_mutex_lock(&w->mutex);
    for (;;) {
        pulse_answer(&w->pulse);
        if (has_work(w, clock_ns()))
            take_turn(w);
        else if (w->stopping)
            break;
        else
            wait_for_work(w);
    }
    (void)pthread_mutex_unlock(&w->mutex);
    return NULL;
}

// ---- what others call

static bool start_thread(struct audit_writer *w, struct error *e)
{
    sigset_t before;
    thread_signals_block(&before);
    int rc = pthread_create(&w->thread, NULL, run_writer, w);
    thread_signals_restore(&before);
    if (rc != 0)
        error_set(e, "audit log: start its thread: %s", strerror(rc));
    else
        (void)pthread_setname_np(w->thread, "ks-audit");
    return rc == 0;
}

static void free_writer(struct audit_writer *w)
{
    audit_out_close(&w->out);
    free(w);
}

struct audit_writer *audit_writer_create(const struct audit_settings *settings, struct audit_counts *counts,
                                         struct error *e)
{
    size_t capacity = settings->ring_lines != 0 ? settings->ring_lines : RING_LINES;
    struct audit_writer *w = calloc(1, sizeof *w + capacity * sizeof w->slots[0]);
    if (w == NULL) {
        error_set(e, "audit log: out of memory");
        return NULL;
    }
    w->counts = counts;
    w->capacity = capacity;
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&w->mutex, NULL);
    (void)pthread_cond_init(&w->work, &monotonic);
    (void)pthread_cond_init(&w->done, NULL);
    (void)pthread_condattr_destroy(&monotonic);
    if (audit_out_open(&w->out, settings, counts, e) && start_thread(w, e))
        return w;
    free_writer(w);
    return NULL;
}

// With the mutex held, behind a line that was put in. True: the thread is to be woken.
static bool must_wake(struct audit_writer *w, bool awaited)
{
    uint64_t waiting = w->head - w->tail;
    bool hurry = awaited || waiting >= BATCH_LINES / 2 || waiting >= w->capacity / 2;
    bool wake = w->writer_waits || (hurry && !w->hurry);
    if (waiting == 1)
        w->gather_until_ns = clock_ns() + GATHER_NS;
    w->hurry |= hurry;
    w->writer_waits = false;
    return wake;
}

bool audit_writer_push(struct audit_writer *w, const char *body, size_t len, struct keyop *op)
{
    (void)pthread_mutex_lock(&w->mutex);
    bool fits = w->head - w->tail < w->capacity, wake = w->writer_waits;
    if (fits) {
        struct slot *slot = &w->slots[w->head % w->capacity];
        slot->op = op;
        slot->len = len;
        memcpy(slot->body, body, len);
        w->head++;
        atomic_store_explicit(&w->counts->waiting, w->head - w->tail, memory_order_relaxed);
        wake = must_wake(w, op != NULL);
    } else {
        w->unreported++;
        (void)atomic_fetch_add(&w->counts->dropped, 1);
    }
    (void)pthread_mutex_unlock(&w->mutex);
    if (wake)
        (void)pthread_cond_signal(&w->work);
    return fits;
}

void audit_writer_reopen(struct audit_writer *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    w->reopen = true;
    (void)pthread_cond_signal(&w->work);
    (void)pthread_mutex_unlock(&w->mutex);
}

// What is there now; lines that come later do not hold a flush up.
void audit_writer_flush(struct audit_writer *w)
{
    (void)pthread_mutex_lock(&w->mutex);
    uint64_t until = w->head, turn = w->turns_begun + (w->reopen ? 1 : 0);
    w->hurry = true;
    (void)pthread_cond_signal(&w->work);
    while ((int64_t)(w->tail - until) < 0 || w->turns_done < turn)
        (void)pthread_cond_wait(&w->done, &w->mutex);
    (void)pthread_mutex_unlock(&w->mutex);
}

void audit_writer_ask(struct audit_writer *w)
{
    pulse_ask(&w->pulse);
    if (pthread_mutex_trylock(&w->mutex) != 0)
        return;
    (void)pthread_cond_signal(&w->work);
    (void)pthread_mutex_unlock(&w->mutex);
}

bool audit_writer_stuck(const struct audit_writer *w)
{
    return !pulse_beats(&w->pulse);
}

void audit_writer_destroy(struct audit_writer **writer)
{
    struct audit_writer *w = *writer;
    if (w == NULL)
        return;
    (void)pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    (void)pthread_cond_signal(&w->work);
    (void)pthread_mutex_unlock(&w->mutex);
    (void)pthread_join(w->thread, NULL);
    audit_out_stop(&w->out, w->unreported);
    free_writer(w);
    *writer = NULL;
}
