#include "edge-sim/lookup_worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "edge-sim/lookup_conn.h"

#define REOPEN_MS     50
#define GRACE_NS      5000000000u
#define TICK_US       200
#define HOT_PERCENT   90
#define FILL_PIPELINE 16
#define FILL_VALUES   (1u << 20) // bytes of values in flight of one connection, about
#define VALUE_SLACK   4096       // a wrong value may be longer than ours

struct link {
    struct lookup_worker *worker;
    struct lookup_conn *conn;
    struct event *reopen;
    bool opened_once;
};

struct lookup_worker {
    struct lookup_run *run;
    unsigned index, connections;
    uint64_t goal_ns;
    struct lookup_counts counts;
    struct histogram *latency;
    struct event_base *base;
    struct event *tick;
    struct link *links;
    unsigned turn;
    struct workload_draw draw;
    struct workload_random random; // LOOKUP_HOT
    uint64_t next, end;            // fill: keys; else `next` is how many lookups this worker has begun
    uint8_t *value, key[WORKLOAD_KEY_MAX];
    bool begun, sending;
    bool hopeless; // not even the first connections, or no full store: no use in going on
    pthread_t thread;
    _Atomic bool ready, finished;
    char trouble[256];
};

static void note_trouble(struct lookup_worker *worker, const char *text)
{
    if (worker->trouble[0] == '\0')
        (void)snprintf(worker->trouble, sizeof worker->trouble, "%s", text);
}

static void count(struct lookup_worker *worker, enum lookup_outcome outcome, uint64_t n, uint64_t begin_ns)
{
    struct lookup_run *run = worker->run;
    uint64_t now = clock_ns();
    uint64_t latency = now > begin_ns ? now - begin_ns : 0;
    (void)atomic_fetch_add_explicit(&worker->counts.outcome[outcome], n, memory_order_relaxed);
    if (outcome == LOOKUP_RIGHT) {
        histogram_record_alone(worker->latency, latency);
        if (latency > worker->goal_ns)
            (void)atomic_fetch_add_explicit(&worker->counts.over_goal, 1, memory_order_relaxed);
    }
    for (; run->series != NULL && n > 0; n--)
        lookup_series_count(run->series, now - run->start_ns, outcome, latency);
}

// ---- sending

static uint64_t draw_key(struct lookup_worker *worker)
{
    const struct lookup_run *run = worker->run;
    if (run->order != LOOKUP_HOT)
        return workload_draw_next(&worker->draw);
    bool hot = workload_random_below(&worker->random, 100) < HOT_PERCENT;
    return workload_scatter(run->keys,
                            workload_random_below(&worker->random, hot ? run->hot_keys : run->keys->keys));
}

// When this worker's next lookup is due: the workers deal out the schedule's operations in turn.
static uint64_t next_due(const struct lookup_worker *worker)
{
    uint64_t due =
        lookup_schedule_due(worker->run->schedule, worker->next * worker->run->threads + worker->index);
    return due == UINT64_MAX ? due : worker->run->start_ns + due;
}

static bool send_one(struct lookup_worker *worker, struct link *link, uint64_t begin_ns)
{
    const struct lookup_run *run = worker->run;
    struct lookup_flight flight = {.begin_ns = begin_ns, .key = run->fill ? worker->next : draw_key(worker)};
    size_t len = 0;
    workload_key_write(run->keys, flight.key, worker->key);
    if (run->fill)
        len = workload_value_write(run->keys, flight.key, worker->value);
    bool sent = lookup_conn_send(link->conn, &flight, worker->key, run->keys->key_bytes,
                                 run->fill ? worker->value : NULL, len);
    if (run->fill)
        workload_value_restore(run->keys, worker->value, len);
    worker->next += sent;
    worker->counts.sent += sent;
    return sent;
}

// Closed loop, and filling: as much as has room.
static void send_closed(struct lookup_worker *worker, struct link *link)
{
    while (worker->sending && lookup_conn_has_room(link->conn) &&
           (!worker->run->fill || worker->next < worker->end))
        if (!send_one(worker, link, clock_ns()))
            break;
}

static struct link *link_with_room(struct lookup_worker *worker)
{
    struct link *best = NULL;
    for (unsigned i = 0; i < worker->connections; i++) {
        struct link *link = &worker->links[(worker->turn + i) % worker->connections];
        if (lookup_conn_has_room(link->conn) &&
            (best == NULL || lookup_conn_in_flight(link->conn) < lookup_conn_in_flight(best->conn)))
            best = link;
        if (best != NULL && lookup_conn_in_flight(best->conn) == 0)
            break;
    }
    worker->turn++;
    return best;
}

static uint64_t end_ns(const struct lookup_run *run)
{
    uint64_t stop = run->stop_ns, end = run->start_ns + run->duration_ns;
    return stop != 0 && stop < end ? stop : end;
}

// Open loop: everything that is due and finds a place. What finds none keeps its due time.
static void send_due(struct lookup_worker *worker)
{
    uint64_t now = clock_ns(), end = end_ns(worker->run);
    for (uint64_t due; worker->sending && (due = next_due(worker)) <= now && due < end;) {
        struct link *link = link_with_room(worker);
        if (link == NULL || !send_one(worker, link, due))
            return;
    }
}

static void flush_all(struct lookup_worker *worker)
{
    for (unsigned i = 0; i < worker->connections; i++)
        lookup_conn_flush(worker->links[i].conn);
}

// ---- replies

static enum lookup_outcome judge(struct lookup_worker *worker, const struct lookup_flight *flight,
                                 const struct lookup_reply *reply)
{
    const struct lookup_run *run = worker->run;
    char text[160];
    switch (reply->kind) {
    case LOOKUP_REPLY_STATUS:
        if (run->fill)
            return LOOKUP_RIGHT;
        break;
    case LOOKUP_REPLY_NONE:
        return LOOKUP_MISSING;
    case LOOKUP_REPLY_ERROR:
        (void)snprintf(text, sizeof text, "the server answers: %.*s",
                       reply->len < 100 ? (int)reply->len : 100, (const char *)reply->data);
        note_trouble(worker, text);
        return LOOKUP_ERROR;
    case LOOKUP_REPLY_VALUE:
        if (!run->fill &&
            (!run->verify || workload_value_is(run->keys, flight->key, reply->data, reply->len)))
            return LOOKUP_RIGHT;
        break;
    case LOOKUP_REPLY_MORE:
    case LOOKUP_REPLY_BAD:
        break;
    }
    (void)snprintf(text, sizeof text, "wrong value: key number %llu, %zu bytes",
                   (unsigned long long)flight->key, reply->len);
    note_trouble(worker, text);
    return LOOKUP_WRONG;
}

static void on_reply(void *arg, const struct lookup_flight *flight, const struct lookup_reply *reply)
{
    struct link *link = arg;
    struct lookup_worker *worker = link->worker;
    count(worker, judge(worker, flight, reply), 1, flight->begin_ns);
    if (worker->run->schedule != NULL)
        send_due(worker); // this connection flushes itself, the others at the next tick
    else
        send_closed(worker, link);
}

// ---- connections

static void on_opened(void *arg)
{
    struct link *link = arg;
    link->opened_once = true;
    if (link->worker->run->schedule == NULL)
        send_closed(link->worker, link);
}

static void on_closed(void *arg, unsigned lost, const char *why)
{
    struct link *link = arg;
    struct lookup_worker *worker = link->worker;
    const struct timeval soon = {.tv_usec = REOPEN_MS * 1000};
    char text[200];
    (void)snprintf(text, sizeof text, "connection: %s", why);
    note_trouble(worker, text);
    (void)atomic_fetch_add(&worker->counts.connections_lost, 1);
    count(worker, LOOKUP_LOST, lost, 0);
    if (!link->opened_once || worker->run->fill)
        worker->hopeless = true; // the next tick ends it: breaking a loop that has not begun has no effect
    else
        (void)event_add(link->reopen, &soon);
}

static void on_reopen(evutil_socket_t fd, short what, void *arg)
{
    const struct link *link = arg;
    (void)fd;
    (void)what;
    lookup_conn_open(link->conn);
}

// ---- the clock

static unsigned in_flight(const struct lookup_worker *worker)
{
    unsigned n = 0;
    for (unsigned i = 0; i < worker->connections; i++)
        n += lookup_conn_in_flight(worker->links[i].conn);
    return n;
}

static bool all_open(const struct lookup_worker *worker)
{
    for (unsigned i = 0; i < worker->connections; i++)
        if (!worker->links[i].opened_once)
            return false;
    return true;
}

// What was due and never sent, and what was never answered.
static void count_unanswered(struct lookup_worker *worker)
{
    uint64_t n = in_flight(worker), end = end_ns(worker->run);
    while (worker->run->schedule != NULL && next_due(worker) < end) {
        worker->next++;
        n++;
    }
    if (n != 0)
        count(worker, LOOKUP_UNANSWERED, n, 0);
}

static bool has_backlog(const struct lookup_worker *worker)
{
    return worker->run->schedule != NULL && next_due(worker) < end_ns(worker->run);
}

static void begin_sending(struct lookup_worker *worker)
{
    worker->begun = worker->sending = true;
    for (unsigned i = 0; i < worker->connections && worker->run->schedule == NULL; i++)
        send_closed(worker, &worker->links[i]);
}

static void on_tick_filling(struct lookup_worker *worker)
{
    if (worker->run->stop_ns != 0 || (worker->next == worker->end && in_flight(worker) == 0))
        (void)event_base_loopbreak(worker->base);
}

// A closed loop ends with its time; an open one when all that was due by then has been sent.
static void on_tick_looking_up(struct lookup_worker *worker)
{
    uint64_t now = clock_ns(), end = end_ns(worker->run);
    if (worker->run->schedule != NULL)
        send_due(worker);
    if (now < end)
        return;
    if (!has_backlog(worker))
        worker->sending = false;
    bool late = now >= end + (worker->run->grace_ns != 0 ? worker->run->grace_ns : GRACE_NS);
    if (late || (!worker->sending && in_flight(worker) == 0)) {
        worker->sending = false;
        count_unanswered(worker);
        (void)event_base_loopbreak(worker->base);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct lookup_worker *worker = arg;
    (void)fd;
    (void)what;
    if (!worker->ready && all_open(worker))
        worker->ready = true;
    if (worker->hopeless || (worker->run->stop_ns != 0 && worker->run->start_ns == 0))
        (void)event_base_loopbreak(worker->base);
    if (worker->hopeless || worker->run->start_ns == 0 || !worker->ready)
        return;
    // However late this thread comes to it: what was due is sent, and counted by when it was due.
    if (!worker->begun)
        begin_sending(worker);
    if (worker->run->fill)
        on_tick_filling(worker);
    else
        on_tick_looking_up(worker);
    flush_all(worker);
}

static void *work(void *arg)
{
    struct lookup_worker *worker = arg;
    const struct timeval tick = {.tv_usec = TICK_US};
    (void)event_add(worker->tick, &tick);
    for (unsigned i = 0; i < worker->connections; i++)
        lookup_conn_open(worker->links[i].conn);
    (void)event_base_loop(worker->base, 0);
    worker->finished = true;
    return NULL;
}

// ---- life

static void free_worker(struct lookup_worker *worker)
{
    for (unsigned i = 0; worker->links != NULL && i < worker->connections; i++) {
        lookup_conn_destroy(&worker->links[i].conn);
        if (worker->links[i].reopen != NULL)
            event_free(worker->links[i].reopen);
    }
    free(worker->links);
    if (worker->tick != NULL)
        event_free(worker->tick);
    if (worker->base != NULL)
        event_base_free(worker->base);
    histogram_destroy(&worker->latency);
    free(worker->value);
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

// As many SETs as keep the server busy, but not so many that large values fill memory.
static unsigned pipeline_of(const struct lookup_run *run)
{
    size_t fit = FILL_VALUES / (run->keys->value_max + 1);
    if (!run->fill)
        return run->pipeline;
    return fit == 0 ? 1 : fit < FILL_PIPELINE ? (unsigned)fit : FILL_PIPELINE;
}

static bool set_up_links(struct lookup_worker *worker)
{
    const struct lookup_run *run = worker->run;
    worker->links = calloc(worker->connections, sizeof *worker->links);
    if (worker->links == NULL)
        return false;
    for (unsigned i = 0; i < worker->connections; i++) {
        struct link *link = &worker->links[i];
        const struct lookup_conn_owner owner = {on_opened, on_reply, on_closed, link};
        link->worker = worker;
        link->conn = lookup_conn_create(worker->base, &run->server, pipeline_of(run),
                                        run->keys->value_max + VALUE_SLACK, &owner);
        link->reopen = event_new(worker->base, -1, 0, on_reopen, link);
        if (link->conn == NULL || link->reopen == NULL)
            return false;
    }
    return true;
}

static bool set_up(struct lookup_worker *worker)
{
    const struct lookup_run *run = worker->run;
    const struct workload_keyspace *keys = run->keys;
    worker->base = precise_base();
    worker->latency = histogram_create();
    worker->value = malloc(keys->value_max + 1);
    if (worker->base == NULL || worker->latency == NULL || worker->value == NULL)
        return false;
    workload_value_prepare(keys, worker->value);
    workload_draw_init(&worker->draw, keys, run->order == LOOKUP_ZIPF ? WORKLOAD_ZIPF : WORKLOAD_UNIFORM,
                       worker->index, run->threads, 1 + run->stream);
    worker->random = worker->draw.random;
    if (run->fill) {
        worker->next = keys->keys * worker->index / run->threads;
        worker->end = keys->keys * (worker->index + 1) / run->threads;
    }
    worker->tick = event_new(worker->base, -1, EV_PERSIST, on_tick, worker);
    return worker->tick != NULL && set_up_links(worker);
}

struct lookup_worker *lookup_worker_start(struct lookup_run *run, unsigned index, unsigned connections,
                                          uint64_t goal_ns, struct error *e)
{
    struct lookup_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL) {
        error_set(e, "load: no memory");
        return NULL;
    }
    worker->run = run;
    worker->index = index;
    worker->connections = connections;
    worker->goal_ns = goal_ns;
    if (!set_up(worker) || pthread_create(&worker->thread, NULL, work, worker) != 0) {
        error_set(e, "load: no memory or no thread");
        free_worker(worker);
        return NULL;
    }
    return worker;
}

bool lookup_worker_ready(const struct lookup_worker *worker)
{
    return worker->ready;
}

bool lookup_worker_finished(const struct lookup_worker *worker)
{
    return worker->finished;
}

const struct lookup_counts *lookup_worker_counts(const struct lookup_worker *worker)
{
    return &worker->counts;
}

const struct histogram *lookup_worker_latency(const struct lookup_worker *worker)
{
    return worker->latency;
}

const char *lookup_worker_trouble(const struct lookup_worker *worker)
{
    return worker->trouble;
}

void lookup_worker_join(struct lookup_worker **worker_ptr)
{
    struct lookup_worker *worker = *worker_ptr;
    if (worker == NULL)
        return;
    (void)pthread_join(worker->thread, NULL);
    free_worker(worker);
    *worker_ptr = NULL;
}
