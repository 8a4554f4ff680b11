#include "kvstore/resp_conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void advance(struct resp_conn *conn);

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

static void free_conn(struct resp_conn *conn)
{
    struct resp_shared *shared = conn->session.shared;
    if (conn->bev != NULL)
        bufferevent_free(conn->bev);
    else
        (void)close(conn->session.fd);
    resp_session_deinit(&conn->session);
    resp_parser_deinit(&conn->parser);
    resp_buffer_deinit(&conn->query);
    resp_reply_deinit(&conn->reply);
    atomic_fetch_sub(&shared->clients, 1);
    free(conn);
}

static void run_batch(struct resp_job *job)
{
    struct resp_conn *conn = (struct resp_conn *)job;
    struct resp_batch batch = {&conn->session, &conn->query, &conn->parser, &conn->reply};
    resp_batch_run(&batch);
    resp_loop_post(conn->loop, conn);
}

struct resp_conn *resp_conn_create(struct resp_loop *loop, int fd)
{
    struct resp_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL || !resp_reply_init(&conn->reply, loop->shared->output_limit_bytes)) {
        free(conn);
        (void)close(fd);
        return NULL;
    }
    atomic_fetch_add(&loop->shared->clients, 1);
    conn->job.run = run_batch;
    conn->loop = loop;
    conn->session.fd = fd;
    name_ends(&conn->session, fd);
    resp_session_init(&conn->session, loop->shared);
    resp_parser_init(&conn->parser, &loop->shared->limits);
    return conn;
}

void resp_conn_kill(struct resp_conn *conn)
{
    struct resp_loop *loop = conn->loop;
    if (conn->busy) {
        conn->dead = true;
        (void)bufferevent_disable(conn->bev, EV_READ | EV_WRITE);
        return;
    }
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        loop->conns = conn->next;
    free_conn(conn);
    resp_loop_check_done(loop);
}

// No more batches; frees the connection when nothing is left to send.
static void close_when_sent(struct resp_conn *conn)
{
    if (!conn->closing) {
        conn->closing = true;
        (void)bufferevent_disable(conn->bev, EV_READ);
        bufferevent_setwatermark(conn->bev, EV_WRITE, 0, 0); // on_write when all is sent
    }
    if (evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0)
        resp_conn_kill(conn);
}

void resp_conn_finish(struct resp_conn *conn)
{
    if (!conn->busy) // else resp_conn_batch_done() sees that the loop is stopping
        close_when_sent(conn);
}

// ---- events

static void on_read(struct bufferevent *bev, void *arg)
{
    struct resp_conn *conn = arg;
    (void)bev;
    conn->moved_ms = resp_monotonic_ms();
    advance(conn);
}

static void on_write(struct bufferevent *bev, void *arg)
{
    struct resp_conn *conn = arg;
    (void)bev;
    conn->moved_ms = resp_monotonic_ms();
    if (conn->busy)
        return;
    if (conn->closing)
        close_when_sent(conn);
    else
        advance(conn);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct resp_conn *conn = arg;
    (void)bev;
    if ((what & BEV_EVENT_EOF) != 0 && (what & BEV_EVENT_READING) != 0) {
        // What was sent before is still answered: `printf 'PING\r\n' | nc -U -N` gets its answer.
        conn->eof = true;
        advance(conn);
        return;
    }
    if ((what & BEV_EVENT_TIMEOUT) != 0)
        count(&conn->session.shared->counters.cut_off);
    resp_conn_kill(conn);
}

// ---- batches

// Replies what the parser found wrong, and closes.
static void refuse(struct resp_conn *conn)
{
    count(&conn->session.shared->counters.protocol_errors);
    resp_error(&conn->reply, "ERR %s", conn->parser.error);
    (void)bufferevent_write_buffer(conn->bev, conn->reply.out);
    close_when_sent(conn);
}

// Starts a batch when there is a whole command and the peer has taken most of the replies so far. May free
// the connection.
static void advance(struct resp_conn *conn)
{
    if (conn->busy || conn->closing)
        return;
    if (evbuffer_get_length(bufferevent_get_output(conn->bev)) > RESP_OUTPUT_RESUME)
        return;
    if (!resp_buffer_take(&conn->query, bufferevent_get_input(conn->bev),
                          resp_parser_wanted(&conn->parser))) {
        resp_conn_kill(conn);
        return;
    }
    switch (resp_parse(&conn->parser, resp_buffer_data(&conn->query), resp_buffer_length(&conn->query))) {
    case RESP_COMMAND:
        conn->busy = true;
        resp_pool_submit(conn->loop->pool, &conn->job);
        return;
    case RESP_NEED_MORE:
        resp_buffer_compact(&conn->query);
        if (conn->eof)
            close_when_sent(conn);
        return;
    case RESP_PROTOCOL_ERROR:
        refuse(conn);
        return;
    case RESP_NO_MEMORY:
        resp_conn_kill(conn);
        return;
    }
}

void resp_conn_batch_done(struct resp_conn *conn)
{
    conn->busy = false;
    conn->moved_ms = resp_monotonic_ms();
    if (!resp_reply_ok(&conn->reply)) {
        count(&conn->session.shared->counters.cut_off);
        conn->dead = true;
    }
    if (conn->dead) {
        resp_conn_kill(conn);
        return;
    }
    (void)bufferevent_write_buffer(conn->bev, conn->reply.out);
    if (conn->session.close_after || conn->loop->stopping)
        close_when_sent(conn);
    else
        advance(conn);
}

void resp_conn_take_on(struct resp_conn *conn)
{
    struct resp_loop *loop = conn->loop;
    struct timeval write_timeout = {loop->write_timeout_ms / 1000, loop->write_timeout_ms % 1000 * 1000};
    conn->bev =
        loop->stopping ? NULL : bufferevent_socket_new(loop->base, conn->session.fd, BEV_OPT_CLOSE_ON_FREE);
    if (conn->bev == NULL) {
        free_conn(conn);
        return;
    }
    conn->moved_ms = resp_monotonic_ms();
    conn->next = loop->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    loop->conns = conn;
    bufferevent_setcb(conn->bev, on_read, on_write, on_event, conn);
    bufferevent_setwatermark(conn->bev, EV_READ, 0, RESP_INPUT_BYTES);
    bufferevent_setwatermark(conn->bev, EV_WRITE, RESP_OUTPUT_RESUME, 0);
    (void)bufferevent_set_max_single_read(conn->bev, RESP_INPUT_BYTES / 4);
    (void)bufferevent_set_max_single_write(conn->bev, RESP_INPUT_BYTES / 4);
    (void)bufferevent_set_timeouts(conn->bev, NULL, loop->write_timeout_ms != 0 ? &write_timeout : NULL);
    (void)bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
}

void resp_conn_check_idle(struct resp_conn *conn, uint64_t now_ms)
{
    uint64_t idle_ms = conn->session.shared->idle_timeout_ms;
    if (idle_ms == 0 || conn->busy || conn->closing || now_ms < conn->moved_ms ||
        now_ms - conn->moved_ms < idle_ms)
        return;
    count(&conn->session.shared->counters.idle_closed);
    resp_conn_kill(conn);
}
