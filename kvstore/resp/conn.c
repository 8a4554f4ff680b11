#include "kvstore/resp/conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kvstore/resp/pubsub.h"
#include "kvstore/resp/stats.h"

#define OVERHEAD 4096u // a connection's own memory, about

uint64_t resp_monotonic_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static struct resp_conn *conn_of(struct resp_session *session)
{
    return (struct resp_conn *)(void *)((char *)session - offsetof(struct resp_conn, session));
}

// ---- from any thread

static void wake(struct resp_conn *conn)
{
    if (!conn->woken)
        resp_loop_post(conn->loop, &conn->wake);
    conn->woken = true;
}

static void push_bytes(struct resp_session *session, const void *data, size_t len)
{
    struct resp_conn *conn = conn_of(session);
    size_t most = session->shared->output_limit_bytes;
    (void)pthread_mutex_lock(&conn->push_lock);
    if ((most != 0 && conn->pushed.length + len > most) || !resp_out_add(&conn->pushed, data, len))
        atomic_store(&conn->kill_asked, true); // it does not read what it asked for
    atomic_store(&session->pushed, true);
    wake(conn);
    (void)pthread_mutex_unlock(&conn->push_lock);
}

static void take_pushed(struct resp_session *session, struct resp_reply *reply)
{
    struct resp_conn *conn = conn_of(session);
    (void)pthread_mutex_lock(&conn->push_lock);
    atomic_store(&session->pushed, false);
    resp_out_append(&reply->out, &conn->pushed);
    (void)pthread_mutex_unlock(&conn->push_lock);
}

static void ask_kill(struct resp_session *session)
{
    struct resp_conn *conn = conn_of(session);
    (void)pthread_mutex_lock(&conn->push_lock);
    atomic_store(&session->killed, true);
    atomic_store(&conn->kill_asked, true);
    wake(conn);
    (void)pthread_mutex_unlock(&conn->push_lock);
}

static size_t unsent(struct resp_session *session)
{
    struct resp_conn *conn = conn_of(session);
    (void)pthread_mutex_lock(&conn->push_lock);
    size_t bytes = atomic_load(&conn->unsent) + conn->pushed.length;
    (void)pthread_mutex_unlock(&conn->push_lock);
    return bytes;
}

// ---- birth and death

static void name_ends(struct resp_session *session, int fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof ss;
    char text[NET_ADDR_TEXT] = "?";
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
        (void)net_addr_format((struct sockaddr *)&ss, len, text);
    if (ss.ss_family == AF_UNIX) {
        // Clients of a Unix socket have no name of their own: Redis shows the server's path and ":0" for
        // both.
        const char *path = strchr(text, '/');
        (void)snprintf(session->local, sizeof session->local, "%.*s:0", (int)sizeof session->local - 3,
                       path != NULL ? path : text);
        (void)memcpy(session->peer, session->local, sizeof session->peer);
        return;
    }
    (void)memcpy(session->local, text, sizeof session->local);
    len = sizeof ss;
    if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
        (void)net_addr_format((struct sockaddr *)&ss, len, session->peer);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

struct resp_conn *resp_conn_create(struct resp_loop *loop, int fd, SSL_CTX *ctx)
{
    struct resp_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL || !resp_io_init(&conn->io, fd, ctx)) {
        free(conn);
        (void)close(fd);
        return NULL;
    }
    (void)pthread_mutex_init(&conn->push_lock, NULL);
    resp_reply_init(&conn->reply, loop->shared->output_limit_bytes);
    atomic_fetch_add(&loop->shared->clients, 1);
    conn->loop = loop;
    conn->note = (struct resp_note){.kind = RESP_NOTE_NEW, .conn = conn};
    conn->wake = (struct resp_note){.kind = RESP_NOTE_WAKE, .conn = conn};
    conn->session.fd = fd;
    conn->session.push = push_bytes;
    conn->session.kill = ask_kill;
    conn->session.take_pushed = take_pushed;
    conn->session.unsent = unsent;
    name_ends(&conn->session, fd);
    resp_session_init(&conn->session, loop->shared);
    resp_parser_init(&conn->parser, &loop->shared->limits);
    return conn;
}

static void account(struct resp_conn *conn, uint64_t bytes)
{
    atomic_fetch_add_explicit(&conn->session.shared->buffer_bytes, bytes - conn->accounted,
                              memory_order_relaxed);
    conn->accounted = bytes;
}

// For CLIENT LIST.
static void show_held(struct resp_conn *conn)
{
    struct resp_held *held = &conn->session.held;
    size_t query = resp_buffer_length(&conn->query);
    atomic_store_explicit(&held->query_bytes, query, memory_order_relaxed);
    atomic_store_explicit(&held->query_room, conn->query.cap - query, memory_order_relaxed);
    atomic_store_explicit(&held->output_bytes, conn->out.length, memory_order_relaxed);
    atomic_store_explicit(&held->bytes, conn->accounted, memory_order_relaxed);
}

static void free_events(struct resp_conn *conn)
{
    if (conn->read_event != NULL)
        event_free(conn->read_event);
    if (conn->write_event != NULL)
        event_free(conn->write_event);
    conn->read_event = conn->write_event = NULL;
}

static void undefer(struct resp_conn *conn)
{
    struct resp_conn **at = &conn->loop->deferred;
    if (!conn->deferred)
        return;
    while (*at != conn)
        at = &(*at)->next_deferred;
    *at = conn->next_deferred;
    conn->deferred = false;
}

// Nobody else has it any more.
static void free_conn(struct resp_conn *conn)
{
    struct resp_loop *loop = conn->loop;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else if (loop->conns == conn)
        loop->conns = conn->next;
    resp_parser_deinit(&conn->parser);
    resp_buffer_deinit(&conn->query);
    resp_reply_deinit(&conn->reply);
    resp_out_clear(&conn->out);
    resp_out_clear(&conn->pushed);
    account(conn, 0);
    (void)pthread_mutex_destroy(&conn->push_lock);
    atomic_fetch_sub(&loop->shared->clients, 1);
    free(conn);
    resp_loop_check_done(loop);
}

// A worker has session and buffers, a thread of the store its fetches, and the inbox a note of it, until they come back.
void resp_conn_kill(struct resp_conn *conn)
{
    conn->dead = true;
    undefer(conn);
    free_events(conn);
    resp_out_clear(&conn->out); // no value stays lent while others have the connection
    if (conn->busy)
        return;
    resp_reply_clear(&conn->reply);
    if (conn->io.fd >= 0) {                  // the first time
        resp_session_deinit(&conn->session); // from here on nobody pushes
        resp_io_close(&conn->io);
    }
    (void)pthread_mutex_lock(&conn->push_lock);
    bool noted = conn->woken || conn->turn_posted;
    (void)pthread_mutex_unlock(&conn->push_lock);
    if (!noted && conn->fetches == 0)
        free_conn(conn);
}

// No more commands; frees the connection when nothing is left to send.
static void close_when_sent(struct resp_conn *conn)
{
    conn->closing = true;
    (void)resp_conn_flush(conn);
}

void resp_conn_finish(struct resp_conn *conn)
{
    if (!conn->busy && !conn->dead) // else resp_conn_batch_done() sees that the loop is stopping
        close_when_sent(conn);
}

// ---- events of the socket

static void want_reading(struct resp_conn *conn, bool on)
{
    if (conn->reading == on)
        return;
    conn->reading = on;
    if (on)
        (void)event_add(conn->read_event, NULL);
    else
        (void)event_del(conn->read_event);
}

static void want_writing(struct resp_conn *conn, bool on)
{
    if (conn->writing == on)
        return;
    conn->writing = on;
    if (on)
        (void)event_add(conn->write_event, NULL);
    else
        (void)event_del(conn->write_event);
}

size_t resp_conn_bytes(const struct resp_conn *conn)
{
    size_t bytes = OVERHEAD + conn->out.length + conn->query.cap + conn->reply.out.length;
    for (const struct resp_fetch *f = conn->first_fetch; f != NULL; f = f->next)
        bytes += sizeof *f + f->behind.length + (f->ready ? f->value.out.length : 0);
    return bytes;
}

// What was built so far goes behind what is waiting for its turn.
static void collect(struct resp_conn *conn)
{
    struct resp_out *end = conn->last_fetch != NULL ? &conn->last_fetch->behind : &conn->out;
    if (conn->busy)
        return;
    if (atomic_load(&conn->session.pushed))
        take_pushed(&conn->session, &conn->reply);
    if (conn->reply.out.length != 0)
        resp_out_append(end, &conn->reply.out);
}

// Sends as much as goes. False: the connection has failed.
static bool send_out(struct resp_conn *conn)
{
    size_t before = conn->out.length;
    enum resp_io_status status = RESP_IO_DONE;
    if (before != 0)
        status = resp_io_write(&conn->io, &conn->out);
    atomic_store(&conn->unsent, conn->out.length);
    if (conn->out.length != before) {
        conn->moved_ms = resp_monotonic_ms();
        resp_stats_net(conn->session.shared, 0, before - conn->out.length);
    }
    if (!resp_out_own(&conn->out)) // who reads slowly holds memory of its own, not the store's
        return false;
    if (!conn->busy)
        resp_out_take_spare(&conn->reply.out, &conn->out);
    want_writing(conn, status == RESP_IO_WAIT_WRITE);
    return status == RESP_IO_DONE || status == RESP_IO_WAIT_WRITE || status == RESP_IO_WAIT_READ;
}

// ---- replies to what is not in the log's file yet

// What is lent is sent at once, for it must not be kept; so is what is much, for who sent that waits for room.
static bool may_defer(const struct resp_conn *conn)
{
    return !conn->busy && !conn->closing && conn->out.views == 0 && conn->out.length <= RESP_OUTPUT_RESUME;
}

static void defer(struct resp_conn *conn)
{
    struct resp_loop *loop = conn->loop;
    if (conn->deferred)
        return;
    if (loop->deferred == NULL)
        event_active(loop->deferred_event, EV_TIMEOUT, 0); // behind all that is active now
    conn->deferred = true;
    conn->next_deferred = loop->deferred;
    loop->deferred = conn;
}

// False: what this connection has put is not in the log, and its replies would be lies.
static bool write_held(struct resp_conn *conn)
{
    bool held = conn->session.unwritten;
    conn->session.unwritten = false;
    return kv_write_held(conn->session.shared->store) == KV_OK || !held;
}

static bool flush_now(struct resp_conn *conn)
{
    struct resp_shared *shared = conn->session.shared;
    size_t most = shared->output_limit_bytes;
    bool too_much = most != 0 && conn->out.length > most;
    if (too_much)
        count(&shared->counters.cut_off);
    if (too_much || !send_out(conn) ||
        (conn->closing && conn->out.length == 0 && conn->first_fetch == NULL && !conn->busy)) {
        resp_conn_kill(conn);
        return false;
    }
    if (!conn->busy) { // else the worker has the buffers
        account(conn, resp_conn_bytes(conn));
        show_held(conn);
    }
    want_reading(conn, resp_conn_takes_input(conn));
    return true;
}

bool resp_conn_flush(struct resp_conn *conn)
{
    if (conn->dead) {
        resp_conn_kill(conn);
        return false;
    }
    collect(conn);
    if (!conn->io.shaken)
        return true;
    if (conn->out.length != 0 && (conn->session.unwritten || kv_holds(conn->session.shared->store))) {
        if (may_defer(conn)) {
            defer(conn);
            return true;
        }
        if (!write_held(conn)) {
            resp_conn_kill(conn);
            return false;
        }
    }
    return flush_now(conn);
}

void resp_conn_send_deferred(struct resp_loop *loop)
{
    for (struct resp_conn *conn; (conn = loop->deferred) != NULL;) {
        undefer(conn);
        if (conn->dead || !write_held(conn))
            resp_conn_kill(conn);
        else
            (void)flush_now(conn);
    }
}

static void shake_hands(struct resp_conn *conn)
{
    switch (resp_io_handshake(&conn->io)) {
    case RESP_IO_DONE:
        want_writing(conn, false);
        (void)resp_conn_flush(conn);
        return;
    case RESP_IO_WAIT_READ:
        want_writing(conn, false);
        return;
    case RESP_IO_WAIT_WRITE:
        want_writing(conn, true);
        return;
    default:
        count(&conn->session.shared->counters.refused_peers);
        resp_conn_kill(conn);
        return;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct resp_conn *conn = arg;
    struct resp_loop *loop = conn->loop;
    size_t got = 0;
    (void)fd;
    (void)what;
    if (!conn->io.shaken) {
        shake_hands(conn);
        return;
    }
    switch (resp_io_read(&conn->io, loop->scratch, RESP_READ_BYTES, &got)) {
    case RESP_IO_DONE:
        conn->moved_ms = resp_monotonic_ms();
        resp_stats_net(conn->session.shared, got, 0);
        resp_conn_run(conn, loop->scratch, got);
        explicit_bzero(loop->scratch, got);
        return;
    case RESP_IO_WAIT_READ:
    case RESP_IO_WAIT_WRITE:
        return;
    case RESP_IO_END:
        // What was sent before is still answered: `printf 'PING\r\n' | nc -U -N` gets its answer.
        conn->eof = true;
        if (!conn->busy)
            close_when_sent(conn);
        return;
    case RESP_IO_FAILED:
        resp_conn_kill(conn);
        return;
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct resp_conn *conn = arg;
    (void)fd;
    (void)what;
    if (!conn->io.shaken)
        shake_hands(conn);
    else
        resp_conn_run(conn, NULL, 0); // there may be room for more replies now
}

// ---- from the loop

void resp_conn_take_on(struct resp_conn *conn)
{
    struct resp_loop *loop = conn->loop;
    conn->next = loop->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    loop->conns = conn;
    conn->moved_ms = resp_monotonic_ms();
    if (!loop->stopping) {
        conn->read_event = event_new(loop->base, conn->io.fd, EV_READ | EV_PERSIST, on_readable, conn);
        conn->write_event = event_new(loop->base, conn->io.fd, EV_WRITE | EV_PERSIST, on_writable, conn);
    }
    if (conn->read_event == NULL || conn->write_event == NULL)
        resp_conn_kill(conn);
    else
        want_reading(conn, true);
}

void resp_conn_woken(struct resp_conn *conn)
{
    (void)pthread_mutex_lock(&conn->push_lock);
    conn->woken = false;
    (void)pthread_mutex_unlock(&conn->push_lock);
    if (conn->dead || atomic_load(&conn->kill_asked))
        resp_conn_kill(conn);
    else
        (void)resp_conn_flush(conn);
}

// Its silence is no sign that it is idle.
static bool waits_for_messages(const struct resp_session *session)
{
    return resp_pubsub_listens(session) || resp_pubsub_count(session, RESP_SHARD_CHANNELS) != 0 ||
           atomic_load_explicit(&session->monitor, memory_order_relaxed);
}

void resp_conn_check_idle(struct resp_conn *conn, uint64_t now_ms)
{
    struct resp_shared *shared = conn->session.shared;
    if (conn->busy || conn->dead || conn->first_fetch != NULL || now_ms < conn->moved_ms)
        return;
    uint64_t still_ms = now_ms - conn->moved_ms;
    bool stuck = (conn->out.length != 0 || !conn->io.shaken) && conn->loop->write_timeout_ms != 0 &&
                 still_ms >= conn->loop->write_timeout_ms;
    bool idle = shared->idle_timeout_ms != 0 && !conn->closing && still_ms >= shared->idle_timeout_ms &&
                !waits_for_messages(&conn->session);
    if (!stuck && !idle)
        return;
    count(stuck ? &shared->counters.cut_off : &shared->counters.idle_closed);
    resp_conn_kill(conn);
}
