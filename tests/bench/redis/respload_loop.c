#include "tests/bench/redis/respload_loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "edge-sim/lookup_reply.h"

#define SECOND_NS 1000000000u
#define EVENTS    64

uint64_t respload_due_ns(double rate, uint64_t n)
{
    double ns = (double)n * 1e9 / rate;
    return ns < 1e18 ? (uint64_t)ns : UINT64_MAX;
}

void respload_note_trouble(struct respload_loop *loop, const char *text)
{
    char *trouble = loop->worker->trouble;
    if (trouble[0] == '\0')
        (void)snprintf(trouble, sizeof loop->worker->trouble, "%s", text);
}

static bool is_measured(const struct respload_loop *loop, uint64_t begin_ns)
{
    return begin_ns >= loop->measure_ns;
}

// ---- ends of connections

static void lose(struct respload_loop *loop, struct respload_conn *conn, const char *what, int error)
{
    char text[160];
    (void)snprintf(text, sizeof text, "connection: %s%s%s", what, error != 0 ? ": " : "",
                   error != 0 ? strerror(error) : "");
    respload_note_trouble(loop, text);
    loop->in_flight -= conn->count;
    while (conn->count != 0)
        loop->counts->lost += is_measured(loop, respload_conn_answered(conn).begin_ns);
    loop->counts->connections_lost++;
    respload_conn_close(conn); // the epoll set forgets it
    loop->open--;
}

// ---- sending

static void flush(struct respload_loop *loop, struct respload_conn *conn)
{
    enum respload_sent sent = respload_conn_flush(conn);
    bool blocked = sent == RESPLOAD_SENT_SOME;
    if (sent == RESPLOAD_SENT_FAILED) {
        lose(loop, conn, "write", errno);
    } else if (blocked != conn->watched_for_room) {
        struct epoll_event event = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.ptr = conn};
        if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, conn->fd, &event) == 0)
            conn->watched_for_room = blocked;
        else
            lose(loop, conn, "epoll", errno);
    }
}

static enum respload_kind next_kind(struct respload_loop *loop)
{
    const struct respload_run *run = loop->run;
    if (run->operation == RESPLOAD_MIXED)
        return workload_random_below(&loop->random, 100) < run->read_percent ? RESPLOAD_READ : RESPLOAD_WRITE;
    return run->operation == RESPLOAD_GET ? RESPLOAD_READ : RESPLOAD_WRITE;
}

static void begin_one(struct respload_loop *loop, struct respload_conn *conn, uint64_t begin_ns)
{
    struct respload_flight flight = {.begin_ns = begin_ns, .kind = next_kind(loop)};
    uint8_t *out = respload_conn_room(conn, loop->command_max);
    flight.number = workload_draw_next(&loop->draw);
    size_t len = flight.kind == RESPLOAD_READ ? respload_write_get(loop->run->form, flight.number, out)
                                              : respload_write_set(loop->run->form, flight.number, out);
    respload_conn_sent(conn, len, &flight);
    if (loop->in_flight++ == 0)
        loop->progress_ns = clock_ns(); // before it, silence was what there should be
    loop->begun++;
    loop->begun_measured += is_measured(loop, begin_ns);
}

// Closed loop: as many as the connection has room for. Not flushed.
static void fill(struct respload_loop *loop, struct respload_conn *conn, uint64_t now)
{
    if (loop->run->rate > 0 || now >= loop->end_ns || (loop->run->rounds && conn->count != 0))
        return;
    while (conn->count < conn->pipeline && loop->begun_measured < loop->limit)
        begin_one(loop, conn, now);
}

// When the next one of an open loop is due: the workers deal them out in turn. UINT64_MAX: there is no next.
static uint64_t next_due(const struct respload_loop *loop)
{
    const struct respload_run *run = loop->run;
    if (loop->begun_measured >= loop->limit)
        return UINT64_MAX;
    uint64_t due =
        run->start_ns + respload_due_ns(run->rate, loop->begun * run->threads + loop->worker->index);
    return due < loop->end_ns ? due : UINT64_MAX;
}

// In turn, and the least busy one: when all are alike, each gets its share.
static struct respload_conn *conn_with_room(struct respload_loop *loop)
{
    struct respload_conn *best = NULL;
    for (unsigned i = 0; i < loop->conn_count && (best == NULL || best->count != 0); i++) {
        struct respload_conn *conn = &loop->conns[(loop->turn + i) % loop->conn_count];
        if (conn->fd >= 0 && conn->count < (best != NULL ? best->count : conn->pipeline))
            best = conn;
    }
    loop->turn++;
    return best;
}

// Open loop: all that is due and finds a place. What finds none keeps its due time.
static void send_due(struct respload_loop *loop, uint64_t now)
{
    for (uint64_t due; (due = next_due(loop)) <= now;) {
        struct respload_conn *conn = conn_with_room(loop);
        if (conn == NULL)
            return;
        begin_one(loop, conn, due);
        flush(loop, conn);
    }
}

// ---- replies

static bool fits(const struct respload_loop *loop, const struct respload_flight *flight,
                 const struct lookup_reply *reply)
{
    if (flight->kind == RESPLOAD_WRITE)
        return reply->kind == LOOKUP_REPLY_STATUS;
    return reply->kind == LOOKUP_REPLY_VALUE &&
           (!loop->run->verify ||
            workload_value_is(loop->run->form->space, flight->number, reply->data, reply->len));
}

static void judge(struct respload_loop *loop, const struct respload_flight *flight,
                  const struct lookup_reply *reply, uint64_t now)
{
    struct respload_counts *counts = loop->counts;
    bool measured = is_measured(loop, flight->begin_ns);
    char text[160];
    counts->end_ns = now;
    if (fits(loop, flight, reply)) {
        counts->right[flight->kind] += measured;
        if (measured)
            histogram_record_alone(loop->worker->latency[flight->kind],
                                   now > flight->begin_ns ? now - flight->begin_ns : 0);
        return;
    }
    if (reply->kind == LOOKUP_REPLY_ERROR) {
        counts->failed += measured;
        (void)snprintf(text, sizeof text, "the server answers: %.*s",
                       reply->len < 100 ? (int)reply->len : 100, (const char *)reply->data);
    } else if (reply->kind == LOOKUP_REPLY_NONE && flight->kind == RESPLOAD_READ) {
        counts->missing += measured;
        (void)snprintf(text, sizeof text, "no value: key number %llu", (unsigned long long)flight->number);
    } else {
        counts->wrong += measured;
        (void)snprintf(text, sizeof text, "wrong answer: key number %llu, %zu bytes",
                       (unsigned long long)flight->number, reply->len);
    }
    respload_note_trouble(loop, text);
}

// All whole replies of these bytes; what is left becomes the connection's rest. False: it is lost.
static bool take_replies(struct respload_loop *loop, struct respload_conn *conn, size_t len, uint64_t now)
{
    size_t at = 0;
    for (;;) {
        struct lookup_reply reply;
        lookup_reply_parse(loop->in + at, len - at, loop->value_max, &reply);
        if (reply.kind == LOOKUP_REPLY_MORE)
            break;
        if (reply.kind == LOOKUP_REPLY_BAD || conn->count == 0) {
            lose(loop, conn, conn->count == 0 ? "a reply without a command" : "a reply that is none", 0);
            return false;
        }
        struct respload_flight flight = respload_conn_answered(conn);
        loop->in_flight--;
        at += reply.consumed;
        judge(loop, &flight, &reply, now);
    }
    conn->rest_len = len - at; // of a reply that is not whole: it fits
    memcpy(conn->rest, loop->in + at, conn->rest_len);
    return true;
}

static void receive(struct respload_loop *loop, struct respload_conn *conn)
{
    memcpy(loop->in, conn->rest, conn->rest_len);
    ssize_t n = recv(conn->fd, loop->in + conn->rest_len, RESPLOAD_READ_BYTES, 0);
    if (n <= 0) {
        if (n == 0)
            lose(loop, conn, "closed by the server", 0);
        else if (errno != EAGAIN && errno != EINTR)
            lose(loop, conn, "read", errno);
        return;
    }
    uint64_t now = clock_ns();
    loop->progress_ns = now;
    if (take_replies(loop, conn, conn->rest_len + (size_t)n, now)) {
        fill(loop, conn, now);
        flush(loop, conn);
    }
}

// ---- the loop

// What will not be answered, at the end.
static void give_up(struct respload_loop *loop)
{
    bool waiting = loop->in_flight != 0;
    for (unsigned i = 0; i < loop->conn_count; i++)
        while (loop->conns[i].count != 0)
            loop->counts->lost += is_measured(loop, respload_conn_answered(&loop->conns[i]).begin_ns);
    if (waiting)
        respload_note_trouble(loop, "no answer");
    for (uint64_t due; loop->run->rate > 0 && (due = next_due(loop)) != UINT64_MAX; loop->begun++) {
        loop->counts->unsent += is_measured(loop, due);
        loop->begun_measured += is_measured(loop, due);
    }
}

static bool more_to_send(const struct respload_loop *loop, uint64_t now)
{
    if (loop->run->rate > 0)
        return next_due(loop) != UINT64_MAX;
    return loop->begun_measured < loop->limit && now < loop->end_ns;
}

static bool goes_on(const struct respload_loop *loop, uint64_t now)
{
    if (loop->open == 0 || (loop->in_flight == 0 && !more_to_send(loop, now)))
        return false;
    // waiting for what is due later is no silence
    bool silent = loop->in_flight != 0 && now > loop->progress_ns + loop->run->timeout_ns;
    bool late = loop->end_ns != UINT64_MAX && now > loop->end_ns + loop->run->timeout_ns;
    return !silent && !late;
}

uint64_t respload_sleep_ns(uint64_t due_ns, uint64_t now_ns, bool room)
{
    if (due_ns <= now_ns)
        return room ? 0 : RESPLOAD_IDLE_NS;
    return due_ns - now_ns < RESPLOAD_IDLE_NS ? due_ns - now_ns : RESPLOAD_IDLE_NS;
}

static uint64_t sleep_ns(const struct respload_loop *loop)
{
    uint64_t due = loop->run->rate > 0 ? next_due(loop) : UINT64_MAX;
    return respload_sleep_ns(due, clock_ns(), loop->in_flight < loop->open * loop->run->pipeline);
}

static void turn(struct respload_loop *loop)
{
    struct epoll_event events[EVENTS];
    uint64_t ns = sleep_ns(loop);
    const struct timespec wait = {.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)};
    int n = epoll_pwait2(loop->epoll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < n; i++) {
        struct respload_conn *conn = events[i].data.ptr;
        if (conn->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
            receive(loop, conn);
        if (conn->fd >= 0 && (events[i].events & EPOLLOUT) != 0)
            flush(loop, conn);
    }
    if (loop->run->rate > 0)
        send_due(loop, clock_ns());
}

void respload_loop_run(struct respload_loop *loop)
{
    const struct respload_run *run = loop->run;
    loop->measure_ns = run->start_ns + run->warm_up_ns;
    loop->end_ns = run->operations != 0 || run->operation == RESPLOAD_LOAD
                       ? UINT64_MAX
                       : loop->measure_ns + run->duration_ns;
    loop->progress_ns = run->start_ns;
    for (unsigned i = 0; i < loop->conn_count; i++) {
        fill(loop, &loop->conns[i], clock_ns());
        flush(loop, &loop->conns[i]);
    }
    while (goes_on(loop, clock_ns()))
        turn(loop);
    give_up(loop);
}
