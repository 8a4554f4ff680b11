#include "edge-sim/lookup_conn.h"

#include <errno.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 256 * 1024 };

struct lookup_conn {
    struct lookup_conn_owner owner;
    struct event_base *base;
    struct net_addr server;
    int fd; // -1: closed
    bool open;
    struct event *readable, *writable;
    struct evbuffer *out;
    uint8_t *in;
    size_t in_len, in_capacity, value_max;
    struct lookup_flight *ring;
    unsigned pipeline, head, count;
    unsigned
        generation; // changes when the connection closes: the loops below look whether an owner has done so
};

static void fail(struct lookup_conn *conn, const char *what, int error)
{
    char why[160];
    unsigned lost = conn->count;
    if (error != 0)
        (void)snprintf(why, sizeof why, "%s: %s", what, strerror(error));
    else
        (void)snprintf(why, sizeof why, "%s", what);
    lookup_conn_close(conn);
    conn->owner.closed(conn->owner.arg, lost, why);
}

// ---- replies

// Answers all whole replies; false: the connection is gone.
static bool take_replies(struct lookup_conn *conn)
{
    size_t at = 0;
    unsigned generation = conn->generation;
    for (;;) {
        struct lookup_reply reply;
        lookup_reply_parse(conn->in + at, conn->in_len - at, conn->value_max, &reply);
        if (reply.kind == LOOKUP_REPLY_MORE)
            break;
        if (reply.kind == LOOKUP_REPLY_BAD || conn->count == 0) {
            fail(conn,
                 conn->count == 0 ? "a reply without a command"
                                  : "found a reply that is none of GET's or SET's",
                 0);
            return false;
        }
        struct lookup_flight flight = conn->ring[conn->head];
        conn->head = (conn->head + 1) % conn->pipeline;
        conn->count--;
        at += reply.consumed;
        conn->owner.reply(conn->owner.arg, &flight, &reply);
        if (conn->generation != generation)
            return false;
    }
    memmove(conn->in, conn->in + at, conn->in_len - at);
    conn->in_len -= at;
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct lookup_conn *conn = arg;
    (void)what;
    ssize_t n = read(fd, conn->in + conn->in_len, conn->in_capacity - conn->in_len);
    if (n > 0) {
        conn->in_len += (size_t)n;
        if (take_replies(conn))
            lookup_conn_flush(conn);
    } else if (n == 0) {
        fail(conn, "closed by the server", 0);
    } else if (errno != EAGAIN && errno != EINTR) {
        fail(conn, "read", errno);
    }
}

// ---- commands

void lookup_conn_flush(struct lookup_conn *conn)
{
    if (!conn->open || evbuffer_get_length(conn->out) == 0)
        return;
    if (evbuffer_write(conn->out, conn->fd) < 0 && errno != EAGAIN && errno != EINTR)
        return; // the reader sees it, too, and ends the connection at a better moment
    if (evbuffer_get_length(conn->out) != 0)
        (void)event_add(conn->writable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct lookup_conn *conn = arg;
    (void)what;
    if (!conn->open) {
        int error = 0;
        socklen_t len = sizeof error;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            error = errno;
        if (error != 0) {
            fail(conn, "connect", error);
            return;
        }
        conn->open = true;
        (void)event_add(conn->readable, NULL);
        conn->owner.opened(conn->owner.arg);
    }
    lookup_conn_flush(conn);
}

bool lookup_conn_has_room(const struct lookup_conn *conn)
{
    return conn->open && conn->count < conn->pipeline;
}

unsigned lookup_conn_in_flight(const struct lookup_conn *conn)
{
    return conn->count;
}

bool lookup_conn_send(struct lookup_conn *conn, const struct lookup_flight *flight, const void *key,
                      size_t key_len, const void *value, size_t value_len)
{
    size_t before = evbuffer_get_length(conn->out);
    bool good = evbuffer_add_printf(
                    conn->out, value != NULL ? "*3\r\n$3\r\nSET\r\n$%zu\r\n" : "*2\r\n$3\r\nGET\r\n$%zu\r\n",
                    key_len) >= 0 &&
                evbuffer_add(conn->out, key, key_len) == 0 && evbuffer_add(conn->out, "\r\n", 2) == 0;
    if (good && value != NULL)
        good = evbuffer_add_printf(conn->out, "$%zu\r\n", value_len) >= 0 &&
               evbuffer_add(conn->out, value, value_len) == 0 && evbuffer_add(conn->out, "\r\n", 2) == 0;
    if (!good) {
        if (evbuffer_get_length(conn->out) != before) // half a command
            fail(conn, "no memory", 0);
        return false;
    }
    conn->ring[(conn->head + conn->count++) % conn->pipeline] = *flight;
    return true;
}

// ---- life

static bool make_socket(struct lookup_conn *conn, const char **what)
{
    const int on = 1;
    *what = "socket";
    conn->fd = socket(conn->server.ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return false;
    if (conn->server.ss.ss_family != AF_UNIX)
        (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *what = "connect";
    if (connect(conn->fd, (const struct sockaddr *)&conn->server.ss, conn->server.len) != 0 &&
        errno != EINPROGRESS)
        return false;
    *what = "event";
    errno = ENOMEM;
    return event_assign(conn->readable, conn->base, conn->fd, EV_READ | EV_PERSIST, on_readable, conn) == 0 &&
           event_assign(conn->writable, conn->base, conn->fd, EV_WRITE, on_writable, conn) == 0 &&
           event_add(conn->writable, NULL) == 0;
}

void lookup_conn_open(struct lookup_conn *conn)
{
    const char *what;
    lookup_conn_close(conn);
    if (!make_socket(conn, &what))
        fail(conn, what, errno);
}

void lookup_conn_close(struct lookup_conn *conn)
{
    conn->generation++;
    conn->open = false;
    conn->head = conn->count = 0;
    conn->in_len = 0;
    (void)evbuffer_drain(conn->out, evbuffer_get_length(conn->out));
    (void)event_del(conn->readable);
    (void)event_del(conn->writable);
    if (conn->fd >= 0)
        (void)close(conn->fd);
    conn->fd = -1;
}

struct lookup_conn *lookup_conn_create(struct event_base *base, const struct net_addr *server,
                                       unsigned pipeline, size_t value_max,
                                       const struct lookup_conn_owner *owner)
{
    struct lookup_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return NULL;
    *conn = (struct lookup_conn){.owner = *owner,
                                 .base = base,
                                 .server = *server,
                                 .fd = -1,
                                 .pipeline = pipeline,
                                 .value_max = value_max,
                                 .in_capacity = value_max + LOOKUP_LINE_MAX + READ_BYTES};
    conn->readable = event_new(base, -1, EV_READ, on_readable, conn);
    conn->writable = event_new(base, -1, EV_WRITE, on_writable, conn);
    conn->out = evbuffer_new();
    conn->in = malloc(conn->in_capacity);
    conn->ring = calloc(pipeline, sizeof *conn->ring);
    if (conn->readable == NULL || conn->writable == NULL || conn->out == NULL || conn->in == NULL ||
        conn->ring == NULL)
        lookup_conn_destroy(&conn);
    return conn;
}

void lookup_conn_destroy(struct lookup_conn **conn_ptr)
{
    struct lookup_conn *conn = *conn_ptr;
    if (conn == NULL)
        return;
    if (conn->readable != NULL && conn->writable != NULL && conn->out != NULL)
        lookup_conn_close(conn);
    if (conn->readable != NULL)
        event_free(conn->readable);
    if (conn->writable != NULL)
        event_free(conn->writable);
    if (conn->out != NULL)
        evbuffer_free(conn->out);
    free(conn->in);
    free(conn->ring);
    free(conn);
    *conn_ptr = NULL;
}
