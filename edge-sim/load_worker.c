#include "edge-sim/load_worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "edge-sim/ski_conn.h"
#include "common/clock.h"

#define CONNECT_TIMEOUT_MS 60000 // a key server that is being replaced lets connections wait
#define REOPEN_MS          100
#define GRACE_NS           5000000000u // for answers still outstanding at the end
#define TICK_CLOSED_US     5000
#define TICK_OPEN_US       200

struct flight {
    struct load_request *request;
    uint64_t begin_ns; // sent, or due
};

struct slot {
    struct load_worker *worker;
    struct ski_conn *conn;
    struct event *reopen;
    struct flight *ring; // in_flight places
    unsigned head, count;
    bool open;
    bool dirty;
    bool answered; // this connection has brought an answer
};

struct load_worker {
    struct load_worker_config config;
    struct load_pool *pool;
    struct histogram *latency[LOAD_KINDS_MAX];
    struct histogram *busy;
    struct load_counts counts;
    struct event_base *base;
    struct event *tick;
    struct slot *slots;
    unsigned turn;
    uint64_t next; // number of the next request
    bool running;  // between the start of the clock and its end
    pthread_t thread;
    _Atomic bool finished;
    char trouble[512];
};

static void note_trouble(struct load_worker *worker, const char *text)
{
    if (worker->trouble[0] == '\0')
        (void)snprintf(worker->trouble, sizeof worker->trouble, "%s", text);
}

// --- sending

static bool send_next(struct slot *slot, uint64_t begin_ns)
{
    struct load_worker *worker = slot->worker;
    size_t len;
    struct load_request *request = load_pool_get(worker->pool, worker->next);
    const char *wire = load_request_wire(request, &len);
    if (!ski_conn_send(slot->conn, wire, len))
        return false;
    slot->ring[(slot->head + slot->count++) % worker->config.in_flight] =
        (struct flight){.request = request, .begin_ns = begin_ns};
    slot->dirty = true;
    worker->next++;
    worker->counts.sent++;
    return true;
}

static void fill(struct slot *slot)
{
    uint64_t now = clock_ns();
    while (slot->worker->running && slot->open && slot->count < slot->worker->config.in_flight)
        if (!send_next(slot, now))
            break;
}

static uint64_t due_ns(const struct load_worker *worker, uint64_t n)
{
    return worker->counts.started_ns + (uint64_t)((double)n * 1e9 / worker->config.rate);
}

static struct slot *slot_with_room(struct load_worker *worker)
{
    struct slot *best = NULL;
    for (unsigned i = 0; i < worker->config.connections; i++) {
        struct slot *slot = &worker->slots[(worker->turn + i) % worker->config.connections];
        if (slot->open && slot->count < worker->config.in_flight &&
            (best == NULL || slot->count < best->count))
            best = slot;
        if (best != NULL && best->count == 0)
            break;
    }
    worker->turn++;
    return best;
}

// Open loop: everything that is due and finds a place. What finds none keeps its due time.
static void send_due(struct load_worker *worker)
{
    uint64_t now = clock_ns();
    while (worker->running && due_ns(worker, worker->next) <= now) {
        struct slot *slot = slot_with_room(worker);
        if (slot == NULL || !send_next(slot, due_ns(worker, worker->next)))
            return;
    }
}

static void flush_all(struct load_worker *worker)
{
    for (unsigned i = 0; i < worker->config.connections; i++) {
        struct slot *slot = &worker->slots[i];
        if (slot->dirty && slot->conn != NULL)
            ski_conn_flush(slot->conn);
        slot->dirty = false;
    }
}

// --- answers

static void judge(struct load_worker *worker, const struct flight *flight, const struct ski_answer *answer)
{
    struct load_counts *counts = &worker->counts;
    unsigned kind = load_request_kind(flight->request);
    uint64_t latency = clock_ns() - flight->begin_ns;
    counts->outcome[answer->status]++;
    if (answer->status == SKI_BUSY)
        histogram_record(worker->busy, latency);
    if (answer->status != SKI_OK)
        return;
    unsigned every = worker->config.verify_every;
    bool verify = every != 0 && counts->outcome[SKI_OK] % every == 0;
    enum load_verdict verdict = load_request_check(flight->request, answer, verify);
    if (verdict == LOAD_WRONG) {
        char text[512];
        counts->wrong++;
        (void)snprintf(text, sizeof text, "wrong answer: site %.300s method %s: %s",
                       load_kind_file(worker->pool, kind), load_kind_method(worker->pool, kind),
                       strcmp(load_kind_method(worker->pool, kind), "RSA") == 0
                           ? "the premaster secret is another one"
                           : "the signature does not fit the certificate");
        note_trouble(worker, text);
        return;
    }
    counts->verified += verdict == LOAD_RIGHT;
    histogram_record(worker->latency[kind], latency);
}

static void on_answer(void *arg, const struct ski_answer *answer)
{
    struct slot *slot = arg;
    struct load_worker *worker = slot->worker;
    if (slot->count == 0) {
        note_trouble(worker, "an answer without a request");
        ski_conn_give_up(slot->conn, "an answer without a request");
        return;
    }
    struct flight flight = slot->ring[slot->head];
    slot->head = (slot->head + 1) % worker->config.in_flight;
    slot->count--;
    slot->answered = true;
    judge(worker, &flight, answer);
    if (worker->config.rate > 0)
        send_due(worker); // the connection flushes itself after the batch, the others at the next tick
    else
        fill(slot);
}

// --- connections

// What the connection before it has left unanswered.
static void send_again(struct slot *slot)
{
    for (unsigned i = 0; i < slot->count; i++) {
        size_t len;
        const struct flight *flight = &slot->ring[(slot->head + i) % slot->worker->config.in_flight];
        const char *wire = load_request_wire(flight->request, &len);
        if (!ski_conn_send(slot->conn, wire, len)) {
            ski_conn_give_up(slot->conn, "no memory");
            return;
        }
    }
    slot->worker->counts.retried += slot->count;
    slot->dirty = slot->count > 0;
}

static void on_opened(void *arg)
{
    struct slot *slot = arg;
    slot->open = true;
    send_again(slot);
    slot->worker->counts.connected++;
    if (slot->worker->running && slot->worker->config.rate <= 0)
        fill(slot);
}

static void give_up_flights(struct slot *slot, const char *why)
{
    struct load_worker *worker = slot->worker;
    char text[400];
    (void)snprintf(text, sizeof text, "key server %s: connection: %s",
                   ski_endpoint_authority(worker->config.endpoint), why);
    note_trouble(worker, text);
    worker->counts.outcome[SKI_UNREACHABLE] += slot->count;
    slot->head = slot->count = 0;
}

// A server may close a connection between two answers, and what was asked meanwhile is sent again by a fresh one, as
// HTTP clients do (RFC 9112, 9.3.1 and 9.3.2: asking twice does no harm). One that has brought no answer is a failure.
static void on_closed(void *arg, const char *why)
{
    struct slot *slot = arg;
    struct load_worker *worker = slot->worker;
    bool again = slot->answered && !ski_conn_mid_answer(slot->conn);
    struct timeval tv = {.tv_usec = again ? 0 : REOPEN_MS * 1000};
    worker->counts.connections_lost++;
    if (!again)
        give_up_flights(slot, why);
    slot->open = slot->dirty = slot->answered = false;
    ski_conn_destroy(&slot->conn);
    if (worker->counts.started_ns == 0)
        (void)event_base_loopbreak(worker->base); // not even the first connections: no use in going on
    else
        (void)event_add(slot->reopen, &tv);
}

static const struct ski_conn_owner owner = {.opened = on_opened, .answer = on_answer, .closed = on_closed};

static void open_slot(struct slot *slot)
{
    struct error e = {{0}};
    struct timeval tv = {.tv_usec = REOPEN_MS * 1000};
    slot->conn = ski_conn_open(slot->worker->base, slot->worker->config.endpoint, CONNECT_TIMEOUT_MS, &owner,
                               slot, &e);
    if (slot->conn == NULL) {
        note_trouble(slot->worker, e.text);
        (void)event_add(slot->reopen, &tv);
    }
}

static void on_reopen(evutil_socket_t fd, short what, void *arg)
{
    struct slot *slot = arg;
    (void)fd;
    (void)what;
    if (slot->conn == NULL)
        open_slot(slot);
}

// --- the clock

static bool all_open(const struct load_worker *worker)
{
    for (unsigned i = 0; i < worker->config.connections; i++)
        if (!worker->slots[i].open)
            return false;
    return true;
}

static unsigned outstanding(const struct load_worker *worker)
{
    unsigned count = 0;
    for (unsigned i = 0; i < worker->config.connections; i++)
        count += worker->slots[i].count;
    return count;
}

static void start_clock(struct load_worker *worker)
{
    worker->counts.started_ns = clock_ns();
    worker->running = true;
    for (unsigned i = 0; i < worker->config.connections && worker->config.rate <= 0; i++)
        fill(&worker->slots[i]);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct load_worker *worker = arg;
    (void)fd;
    (void)what;
    uint64_t now = clock_ns();
    uint64_t started = worker->counts.started_ns;
    if (started == 0 && all_open(worker))
        start_clock(worker);
    else if (started == 0 && *worker->config.stop)
        (void)event_base_loopbreak(worker->base);
    else if (worker->running && (now - started >= worker->config.duration_ns || *worker->config.stop)) {
        worker->running = false;
        worker->config.duration_ns = now - started;
    } else if (!worker->running && started != 0 &&
               (outstanding(worker) == 0 || now - started >= worker->config.duration_ns + GRACE_NS)) {
        worker->counts.outcome[SKI_TIMEOUT] += outstanding(worker);
        (void)event_base_loopbreak(worker->base);
    }
    if (worker->config.rate > 0)
        send_due(worker);
    flush_all(worker);
}

static void *run(void *arg)
{
    struct load_worker *worker = arg;
    for (unsigned i = 0; i < worker->config.connections; i++)
        open_slot(&worker->slots[i]);
    struct timeval tick = {.tv_usec = worker->config.rate > 0 ? TICK_OPEN_US : TICK_CLOSED_US};
    (void)event_add(worker->tick, &tick);
    (void)event_base_loop(worker->base, 0);
    worker->counts.ended_ns = clock_ns();
    worker->finished = true;
    return NULL;
}

// --- life

static void free_worker(struct load_worker *worker)
{
    for (unsigned i = 0; worker->slots != NULL && i < worker->config.connections; i++) {
        ski_conn_destroy(&worker->slots[i].conn);
        if (worker->slots[i].reopen != NULL)
            event_free(worker->slots[i].reopen);
        free(worker->slots[i].ring);
    }
    free(worker->slots);
    if (worker->tick != NULL)
        event_free(worker->tick);
    if (worker->base != NULL)
        event_base_free(worker->base);
    for (unsigned i = 0; i < LOAD_KINDS_MAX; i++)
        histogram_destroy(&worker->latency[i]);
    histogram_destroy(&worker->busy);
    load_pool_destroy(&worker->pool);
    free(worker);
}

static struct event_base *precise_base(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        return NULL;
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER); // the schedule of an open loop
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static bool set_up(struct load_worker *worker)
{
    worker->base = precise_base();
    worker->slots = calloc(worker->config.connections, sizeof *worker->slots);
    if (worker->base == NULL || worker->slots == NULL)
        return false;
    worker->tick = event_new(worker->base, -1, EV_PERSIST, on_tick, worker);
    for (unsigned i = 0; i < worker->config.connections; i++) {
        struct slot *slot = &worker->slots[i];
        slot->worker = worker;
        slot->ring = calloc(worker->config.in_flight, sizeof *slot->ring);
        slot->reopen = event_new(worker->base, -1, 0, on_reopen, slot);
        if (slot->ring == NULL || slot->reopen == NULL)
            return false;
    }
    for (unsigned i = 0; i < load_pool_kinds(worker->pool); i++)
        if ((worker->latency[i] = histogram_create()) == NULL)
            return false;
    worker->busy = histogram_create();
    return worker->tick != NULL && worker->busy != NULL;
}

struct load_worker *load_worker_start(const struct load_worker_config *config, struct load_pool *pool,
                                      struct error *e)
{
    struct load_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL) {
        error_set(e, "load: no memory");
        load_pool_destroy(&pool);
        return NULL;
    }
    worker->config = *config;
    worker->pool = pool;
    if (!set_up(worker) || pthread_create(&worker->thread, NULL, run, worker) != 0) {
        error_set(e, "load: no memory or no thread");
        free_worker(worker);
        return NULL;
    }
    return worker;
}

bool load_worker_finished(const struct load_worker *worker)
{
    return worker->finished;
}

const struct load_counts *load_worker_counts(const struct load_worker *worker)
{
    return &worker->counts;
}

const struct histogram *load_worker_latency(const struct load_worker *worker, unsigned kind)
{
    return worker->latency[kind];
}

const struct histogram *load_worker_busy(const struct load_worker *worker)
{
    return worker->busy;
}

struct load_pool *load_worker_pool(const struct load_worker *worker)
{
    return worker->pool;
}

const char *load_worker_trouble(const struct load_worker *worker)
{
    return worker->trouble;
}

void load_worker_join(struct load_worker **workerp)
{
    if (*workerp == NULL)
        return;
    (void)pthread_join((*workerp)->thread, NULL);
    free_worker(*workerp);
    *workerp = NULL;
}
