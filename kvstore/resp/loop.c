// An event loop on a thread of its own: connections live here, workers post them back here.
#include "kvstore/resp/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/log.h"

#define TICK_MAX_MS 500u
#define TICK_MIN_MS 10u

static void wake(struct resp_loop *loop)
{
    uint64_t one = 1;
    ssize_t n = write(loop->wake_fd, &one, sizeof one);
    (void)n; // full means that a wake-up is under way
}

void resp_loop_post(struct resp_loop *loop, struct resp_note *note)
{
    note->next = NULL;
    (void)pthread_mutex_lock(&loop->lock);
    bool first = loop->inbox == NULL;
    *loop->inbox_end = note;
    loop->inbox_end = &note->next;
    (void)pthread_mutex_unlock(&loop->lock);
    if (first)
        wake(loop);
}

void resp_loop_ask_stop(struct resp_loop *loop)
{
    (void)pthread_mutex_lock(&loop->lock);
    loop->stop_asked = true;
    (void)pthread_mutex_unlock(&loop->lock);
    wake(loop);
}

void resp_loop_check_done(struct resp_loop *loop)
{
    if (loop->stopping && loop->conns == NULL)
        (void)event_base_loopbreak(loop->base);
}

static void begin_stop(struct resp_loop *loop)
{
    struct timeval timeout = {loop->drain_timeout_ms / 1000, loop->drain_timeout_ms % 1000 * 1000};
    loop->stopping = true;
    if (loop->on_stop != NULL)
        loop->on_stop(loop->hook_arg);
    for (struct resp_conn *conn = loop->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        resp_conn_finish(conn);
    }
    (void)evtimer_add(loop->drain_event, &timeout);
    resp_loop_check_done(loop);
}

// Peers that did not take their replies in time are dropped; batches that are still out end the loop when
// they are back.
static void on_drain_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct resp_loop *loop = arg;
    (void)fd;
    (void)what;
    for (struct resp_conn *conn = loop->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        resp_conn_kill(conn);
    }
}

static void take_note(struct resp_note *note)
{
    switch (note->kind) {
    case RESP_NOTE_NEW:
        resp_conn_take_on(note->conn);
        return;
    case RESP_NOTE_DONE:
        resp_conn_batch_done(note->conn);
        return;
    case RESP_NOTE_TURN:
        resp_conn_turn(note->conn);
        return;
    case RESP_NOTE_WAKE:
        resp_conn_woken(note->conn);
        return;
    case RESP_NOTE_FETCHED:
        resp_conn_fetched((struct resp_fetch *)note);
        return;
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct resp_loop *loop = arg;
    uint64_t wakes;
    (void)what;
    ssize_t n = read(fd, &wakes, sizeof wakes);
    (void)n;
    (void)pthread_mutex_lock(&loop->lock);
    struct resp_note *note = loop->inbox;
    loop->inbox = NULL;
    loop->inbox_end = &loop->inbox;
    bool stop = loop->stop_asked && !loop->stopping;
    (void)pthread_mutex_unlock(&loop->lock);
    for (struct resp_note *next; note != NULL; note = next) {
        next = note->next;
        take_note(note);
    }
    if (stop)
        begin_stop(loop);
}

// All connections together hold more than they may: the one that holds most goes, as with Redis's maxmemory-clients. Each loop looks at its own.
static void evict(struct resp_loop *loop)
{
    struct resp_shared *shared = loop->shared;
    uint64_t most = atomic_load_explicit(&shared->buffer_limit_bytes, memory_order_relaxed);
    if (most == 0 || atomic_load_explicit(&shared->buffer_bytes, memory_order_relaxed) <= most)
        return;
    struct resp_conn *largest = NULL;
    for (struct resp_conn *conn = loop->conns; conn != NULL; conn = conn->next)
        if (!conn->dead && !atomic_load(&conn->session.manners.no_evict) &&
            (largest == NULL || conn->accounted > largest->accounted))
            largest = conn;
    if (largest == NULL)
        return;
    atomic_fetch_add_explicit(&shared->counters.evicted, 1, memory_order_relaxed);
    log_warn("resp_client_evicted", "client=%llu bytes=%llu all=%llu limit=%llu",
             (unsigned long long)largest->session.id, (unsigned long long)largest->accounted,
             (unsigned long long)atomic_load(&shared->buffer_bytes), (unsigned long long)most);
    resp_conn_kill(largest);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct resp_loop *loop = arg;
    uint64_t now_ms = resp_monotonic_ms();
    (void)fd;
    (void)what;
    for (struct resp_conn *conn = loop->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        resp_conn_check_idle(conn, now_ms);
    }
    evict(loop);
    if (loop->on_tick != NULL)
        loop->on_tick(loop->hook_arg);
}

static void on_deferred(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    resp_conn_send_deferred(arg);
}

// ---- values from disk

static void on_reads(evutil_socket_t fd, short what, void *arg)
{
    struct resp_loop *loop = arg;
    (void)fd;
    (void)what;
    kv_reader_run(loop->reader);
}

// By the thread itself, since a ring is its maker's.
static void open_reader(struct resp_loop *loop)
{
    loop->reader_tried = true;
    loop->reader = kv_reader_open(loop->shared->store);
    if (loop->reader == NULL)
        return;
    loop->reads_event = event_new(loop->base, -1, 0, on_reads, loop);
    loop->reader_event =
        event_new(loop->base, kv_reader_fd(loop->reader), EV_READ | EV_PERSIST | EV_ET, on_reads, loop);
    if (loop->reads_event == NULL || loop->reader_event == NULL || event_add(loop->reader_event, NULL) != 0)
        kv_reader_close(&loop->reader);
}

enum kv_status resp_loop_get(struct resp_loop *loop, const void *key, size_t key_len, struct kv_view *view,
                             kv_done_fn done, void *arg)
{
    if (!loop->reader_tried)
        open_reader(loop);
    if (loop->reader == NULL)
        return kv_get_async(loop->shared->store, key, key_len, view, done, arg);
    enum kv_status status = kv_reader_get(loop->reader, key, key_len, view, done, arg);
    if (status == KV_PENDING)
        event_active(loop->reads_event, EV_TIMEOUT, 0); // behind all that is active now
    return status;
}

static void *run_loop(void *arg)
{
    struct resp_loop *loop = arg;
    loop->self = pthread_self();
    (void)event_base_dispatch(loop->base);
    return NULL;
}

static bool make_events(struct resp_loop *loop)
{
    unsigned tick_ms = loop->shared->idle_timeout_ms / 4;
    if (tick_ms == 0 || tick_ms > TICK_MAX_MS)
        tick_ms = TICK_MAX_MS;
    if (tick_ms < TICK_MIN_MS)
        tick_ms = TICK_MIN_MS;
    loop->wake_event = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    loop->tick_event = event_new(loop->base, -1, EV_PERSIST, on_tick, loop);
    loop->drain_event = evtimer_new(loop->base, on_drain_timeout, loop);
    loop->deferred_event = event_new(loop->base, -1, 0, on_deferred, loop);
    return loop->wake_event != NULL && loop->deferred_event != NULL && loop->tick_event != NULL &&
           loop->drain_event != NULL && event_add(loop->wake_event, NULL) == 0 &&
           event_add(loop->tick_event, &(struct timeval){0, (suseconds_t)tick_ms * 1000}) == 0;
}

bool resp_loop_init(struct resp_loop *loop, struct resp_shared *shared, struct resp_pool *pool,
                    struct error *e)
{
    *loop =
        (struct resp_loop){.shared = shared, .pool = pool, .wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    if (loop->wake_fd < 0) {
        error_set(e, "event loop: eventfd: %s", strerror(errno));
        return false;
    }
    (void)pthread_mutex_init(&loop->lock, NULL);
    loop->inbox_end = &loop->inbox;
    loop->base = event_base_new();
    loop->scratch = malloc(RESP_READ_BYTES);
    if (loop->base == NULL || loop->scratch == NULL || !make_events(loop)) {
        error_set(e, "event loop: cannot be set up");
        resp_loop_deinit(loop);
        return false;
    }
    return true;
}

bool resp_loop_start(struct resp_loop *loop, struct error *e)
{
    int rc = resp_thread_start(run_loop, loop, &loop->thread);
    loop->running = rc == 0;
    if (rc != 0)
        error_set(e, "event loop: %s", strerror(rc));
    return loop->running;
}

void resp_loop_join(struct resp_loop *loop)
{
    if (loop->running)
        (void)pthread_join(loop->thread, NULL);
    loop->running = false;
}

// Connections that were posted after the loop had ended.
static void drop_inbox(struct resp_loop *loop)
{
    loop->stopping = true;
    struct resp_note *note = loop->inbox;
    loop->inbox = NULL;
    loop->inbox_end = &loop->inbox;
    for (struct resp_note *next; note != NULL; note = next) {
        next = note->next;
        take_note(note);
    }
}

void resp_loop_deinit(struct resp_loop *loop)
{
    if (loop->wake_fd < 0)
        return;
    drop_inbox(loop);
    if (loop->wake_event != NULL)
        event_free(loop->wake_event);
    if (loop->tick_event != NULL)
        event_free(loop->tick_event);
    if (loop->drain_event != NULL)
        event_free(loop->drain_event);
    if (loop->deferred_event != NULL)
        event_free(loop->deferred_event);
    if (loop->reader_event != NULL)
        event_free(loop->reader_event);
    if (loop->reads_event != NULL)
        event_free(loop->reads_event);
    kv_reader_close(&loop->reader);
    if (loop->base != NULL)
        event_base_free(loop->base);
    free(loop->scratch);
    (void)close(loop->wake_fd);
    (void)pthread_mutex_destroy(&loop->lock);
    loop->wake_fd = -1;
}
