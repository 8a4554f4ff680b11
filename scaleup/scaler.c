// The thread around the core: a tick each 100 ms, the session's mail as it comes.
#include "scaleup/scaler.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/thread_signals.h"
#include "scaleup/scaler_internal.h"
#include "scaleup/scaler_thread.h"

#define TOGETHER_BYTES (1u << 20)
#define TOGETHER_TRIES 3
#define LEAVE_BYTES    (8ull << 20) // half of the least margin

static uint64_t now_ms(void)
{
    return clock_ns() / 1000000;
}

// ---- from the session's thread

static void post_event(void *arg, const struct rescale_event *event)
{
    struct scaler *scaler = arg;
    (void)pthread_mutex_lock(&scaler->lock);
    scaler_mail_event(&scaler->mail, event);
    scaler->mailed = true;
    (void)pthread_cond_signal(&scaler->wake);
    (void)pthread_mutex_unlock(&scaler->lock);
}

static void post_answer(void *arg, const struct response *response)
{
    struct scaler *scaler = arg;
    (void)pthread_mutex_lock(&scaler->lock);
    scaler_mail_answer(&scaler->mail, response);
    scaler->mailed = true;
    (void)pthread_cond_signal(&scaler->wake);
    (void)pthread_mutex_unlock(&scaler->lock);
}

// ---- effects of the core

static void set_limit(void *arg, uint64_t bytes)
{
    const struct scaler *scaler = arg;
    scaler->store.set_limit(scaler->store.arg, bytes);
}

static void request(void *arg, const struct rescale_request *r)
{
    struct scaler *scaler = arg;
    if (rescale_async(scaler->session, r, post_answer, scaler))
        return;
    struct response none = {.state = STATE_ERROR, .final = true, .detail = "no answer: not accepted"};
    (void)snprintf(none.id, sizeof none.id, "%s", r->id);
    post_answer(scaler, &none);
}

static void reclaiming(void *arg, const char *id, enum message_state state, uint64_t target)
{
    const struct scaler *scaler = arg;
    rescale_reclaiming(scaler->session, id, state, target);
}

static void log_line(void *arg, bool warning, const char *event, const char *text)
{
    (void)arg;
    log_write(warning ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, event, "%s", text);
}

// ---- the thread

static void read_limits(struct scaler *scaler)
{
    struct error why;
    char quoted[600];
    bool good = limits_read(scaler->limits, &scaler->sample.limits, &why);
    if (!good && !scaler->limits_failed)
        log_error("memory_limits_unread", "reason=%s note=\"the last ones known are kept to\"",
                  log_quote(why.text, quoted, sizeof quoted));
    scaler->limits_failed = !good;
}

// Limits and resident size as they are while the store holds what it says. Read apart, a store that is being filled has grown in between, and what the process holds
// beside it would look smaller than it is. What grows within TOGETHER_BYTES is the margin's.
static void read_world(struct scaler *scaler)
{
    struct scaler_usage before, *usage = &scaler->sample.usage;
    scaler->store.usage(scaler->store.arg, usage);
    for (int i = 0; i < TOGETHER_TRIES; i++) {
        before = *usage;
        read_limits(scaler);
        scaler->store.usage(scaler->store.arg, usage);
        if (usage->store_bytes <= before.store_bytes + TOGETHER_BYTES)
            return;
    }
    usage->store_bytes = before.store_bytes; // what it held at least
}

static void publish(struct scaler *scaler)
{
    struct scaler_view view;
    scaler_core_view(scaler->core, &view);
    (void)pthread_mutex_lock(&scaler->lock);
    scaler->view = view;
    (void)pthread_mutex_unlock(&scaler->lock);
}

// Between two looks at the limits the store grows by LEAVE_BYTES at most: a limit lowered to no less than that above what is in use cannot be overtaken (V6),
// however late this thread gets to run. One that uses up its leave is looked at more often.
static void give_leave(struct scaler *scaler)
{
    uint64_t held = scaler->sample.usage.store_bytes;
    scaler->growing = scaler->sample.usage.warming || held + LEAVE_BYTES / 2 > scaler->grow_to;
    scaler->grow_to = held + LEAVE_BYTES;
    if (scaler->store.set_growth != NULL)
        scaler->store.set_growth(scaler->store.arg, scaler->grow_to);
}

static void tick(struct scaler *scaler)
{
    read_world(scaler);
    give_leave(scaler);
    scaler->sample.curve = scaler->curve;
    scaler->sample.curve_count =
        scaler->curve_due ? scaler->store.curve(scaler->store.arg, scaler->curve, POLICY_CURVE_MAX) : 0;
    scaler->curve_due = scaler_core_tick(scaler->core, now_ms(), &scaler->sample);
    publish(scaler);
}

// At most a box full: an orchestrator that talks faster than it can be heeded must not keep us from ticks, nor from the end. `mailed` stays set for what is left.
static void take_mail(struct scaler *scaler)
{
    for (int i = 0; i < SCALER_MAIL_EVENTS + SCALER_MAIL_ANSWERS; i++) {
        struct rescale_event event;
        struct response response;
        struct policy_config policy;
        (void)pthread_mutex_lock(&scaler->lock);
        enum scaler_mail_kind kind = scaler_mail_take(&scaler->mail, &event, &response);
        bool configured = scaler->configured;
        uint64_t fixed_bytes = scaler->fixed_bytes;
        policy = scaler->policy;
        scaler->configured = false;
        scaler->mailed = kind != SCALER_MAIL_NONE;
        (void)pthread_mutex_unlock(&scaler->lock);
        if (configured)
            scaler_core_configure(scaler->core, &policy, fixed_bytes);
        if (kind == SCALER_MAIL_EVENT)
            scaler_core_event(scaler->core, now_ms(), &event);
        else if (kind == SCALER_MAIL_ANSWER)
            scaler_core_response(scaler->core, now_ms(), &response);
        else
            return;
    }
}

// Until the time of the next tick, or there is mail. False: to stop.
static bool wait_until(struct scaler *scaler, uint64_t due_ns)
{
    const struct timespec due = {.tv_sec = (time_t)(due_ns / 1000000000u),
                                 .tv_nsec = (long)(due_ns % 1000000000u)};
    (void)pthread_mutex_lock(&scaler->lock);
    while (!scaler->stop && !scaler->configured && !scaler->mailed && clock_ns() < due_ns)
        (void)pthread_cond_timedwait(&scaler->wake, &scaler->lock, &due);
    bool stop = scaler->stop;
    (void)pthread_mutex_unlock(&scaler->lock);
    return !stop;
}

static uint64_t tick_ns(const struct scaler *scaler)
{
    return (scaler->growing ? SCALER_GROWING_TICK_MS : SCALER_TICK_MS) * 1000000ull;
}

static void *run(void *arg)
{
    struct scaler *scaler = arg;
    uint64_t due_ns = clock_ns() + tick_ns(scaler); // the first has been made
    for (;;) {
        take_mail(scaler);
        if (clock_ns() >= due_ns) {
            tick(scaler);
            due_ns += tick_ns(scaler);
            if (due_ns < clock_ns()) // a store that took its time to give back: no ticks to be made up for
                due_ns = clock_ns() + tick_ns(scaler);
        } else {
            publish(scaler);
        }
        if (!wait_until(scaler, due_ns))
            return NULL;
    }
}

// ---- start and stop

static bool start_thread(struct scaler *scaler, struct error *e)
{
    sigset_t before;
    thread_signals_block(&before);
    int failed = pthread_create(&scaler->thread, NULL, run, scaler);
    thread_signals_restore(&before);
    if (failed != 0) {
        error_set(e, "scaler: thread: %s", strerror(failed));
        return false;
    }
    (void)pthread_setname_np(scaler->thread, "scaler");
    scaler->running = true;
    return true;
}

static bool open_session(struct scaler *scaler, const struct scaler_options *options, struct error *e)
{
    const struct rescale_options session = {.address = options->address,
                                            .vnf = options->vnf,
                                            .tls = options->tls,
                                            .on_event = post_event,
                                            .arg = scaler};
    if (options->address == NULL)
        return true;
    scaler->address = strdup(options->address);
    scaler->vnf = strdup(options->vnf);
    if (scaler->address == NULL || scaler->vnf == NULL) {
        error_set(e, "scaler: out of memory");
        return false;
    }
    scaler->session = rescale_open(&session, e);
    return scaler->session != NULL;
}

static bool check(const struct scaler_options *options, struct error *e)
{
    const char *wrong = policy_config_check(&options->policy);
    if (wrong != NULL)
        error_set(e, "memory policy: %s", wrong);
    else if (options->address != NULL && options->vnf == NULL)
        error_set(e, "scaler: %s: found no name of the VNF, expected one", options->address);
    else
        return true;
    return false;
}

static struct scaler *create(const struct scaler_options *options, const struct scaler_store *store,
                             struct error *e)
{
    uint64_t seed = now_ms();
    pthread_condattr_t monotonic;
    struct scaler *scaler = calloc(1, sizeof *scaler);
    if (scaler == NULL) {
        error_set(e, "scaler: out of memory");
        return NULL;
    }
    const struct scaler_effects effects = {
        .set_limit = set_limit, .request = request, .reclaiming = reclaiming, .log = log_line, .arg = scaler};
    (void)RAND_bytes((unsigned char *)&seed, sizeof seed); // ids must not come twice, also after a restart
    scaler->store = *store;
    (void)pthread_mutex_init(&scaler->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&scaler->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    scaler->core = scaler_core_create(options, options->address != NULL, seed, &effects);
    scaler->limits = limits_create(options->root, options->reserve_bytes, e);
    if (scaler->core == NULL)
        error_set(e, "scaler: out of memory");
    if (scaler->core == NULL || scaler->limits == NULL)
        scaler_stop(&scaler);
    return scaler;
}

struct scaler *scaler_start(const struct scaler_options *options, const struct scaler_store *store,
                            struct error *e)
{
    struct scaler *scaler = check(options, e) ? create(options, store, e) : NULL;
    if (scaler == NULL)
        return NULL;
    if (!limits_read(scaler->limits, &scaler->sample.limits, e)) {
        scaler_stop(&scaler);
        return NULL;
    }
    tick(scaler);
    if (!open_session(scaler, options, e) || !start_thread(scaler, e))
        scaler_stop(&scaler);
    return scaler;
}

void scaler_stop(struct scaler **scaler_ptr)
{
    struct scaler *scaler = *scaler_ptr;
    if (scaler == NULL)
        return;
    (void)pthread_mutex_lock(&scaler->lock);
    scaler->stop = true;
    (void)pthread_cond_signal(&scaler->wake);
    (void)pthread_mutex_unlock(&scaler->lock);
    if (scaler->running)
        (void)pthread_join(scaler->thread, NULL);
    rescale_close(&scaler->session);
    scaler_core_destroy(&scaler->core);
    limits_destroy(&scaler->limits);
    (void)pthread_cond_destroy(&scaler->wake);
    (void)pthread_mutex_destroy(&scaler->lock);
    free(scaler->address);
    free(scaler->vnf);
    free(scaler->metrics);
    free(scaler);
    *scaler_ptr = NULL;
}

void scaler_configure(struct scaler *scaler, const struct policy_config *policy, uint64_t fixed_bytes)
{
    (void)pthread_mutex_lock(&scaler->lock);
    scaler->policy = *policy;
    scaler->fixed_bytes = fixed_bytes;
    scaler->configured = true;
    (void)pthread_cond_signal(&scaler->wake);
    (void)pthread_mutex_unlock(&scaler->lock);
}

uint64_t scaler_most_bytes(struct scaler *scaler)
{
    (void)pthread_mutex_lock(&scaler->lock);
    uint64_t most = scaler->view.most_bytes;
    (void)pthread_mutex_unlock(&scaler->lock);
    return most;
}

uint64_t scaler_ceiling_bytes(struct scaler *scaler)
{
    (void)pthread_mutex_lock(&scaler->lock);
    uint64_t ceiling = scaler->view.ceiling_bytes;
    (void)pthread_mutex_unlock(&scaler->lock);
    return ceiling;
}

void scaler_look(struct scaler *scaler, struct scaler_view *view)
{
    (void)pthread_mutex_lock(&scaler->lock);
    *view = scaler->view;
    (void)pthread_mutex_unlock(&scaler->lock);
}
