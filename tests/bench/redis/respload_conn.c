#include "tests/bench/redis/respload_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_MS = 10000 };

bool respload_conn_open(struct respload_conn *conn, const struct net_addr *server, unsigned pipeline,
                        size_t command_max, size_t rest_capacity, struct error *e)
{
    *conn = (struct respload_conn){.fd = -1,
                                   .pipeline = pipeline,
                                   .out_capacity = pipeline * command_max,
                                   .rest_capacity = rest_capacity};
    conn->flights = calloc(pipeline, sizeof *conn->flights);
    conn->out = malloc(conn->out_capacity);
    conn->rest = malloc(rest_capacity);
    if (conn->flights == NULL || conn->out == NULL || conn->rest == NULL)
        error_set(e, "no memory for %u commands under way", pipeline);
    else
        conn->fd = net_connect(server, CONNECT_MS, e);
    if (conn->fd >= 0 && fcntl(conn->fd, F_SETFL, O_NONBLOCK) == 0)
        return true;
    if (conn->fd >= 0)
        error_set(e, "socket: %s", strerror(errno));
    respload_conn_release(conn);
    return false;
}

void respload_conn_close(struct respload_conn *conn)
{
    if (conn->fd >= 0)
        (void)close(conn->fd);
    conn->fd = -1;
    conn->head = conn->count = 0;
    conn->out_at = conn->out_len = conn->rest_len = 0;
}

void respload_conn_release(struct respload_conn *conn)
{
    if (conn->flights != NULL || conn->out != NULL || conn->rest != NULL)
        respload_conn_close(conn);
    free(conn->flights);
    free(conn->out);
    free(conn->rest);
    *conn = (struct respload_conn){.fd = -1};
}

uint8_t *respload_conn_room(struct respload_conn *conn, size_t len)
{
    // what is unsent belongs to commands under way, so moving it to the front always makes the room
    if (conn->out_at + conn->out_len + len > conn->out_capacity) {
        memmove(conn->out, conn->out + conn->out_at, conn->out_len);
        conn->out_at = 0;
    }
    return conn->out + conn->out_at + conn->out_len;
}

void respload_conn_sent(struct respload_conn *conn, size_t len, const struct respload_flight *flight)
{
    unsigned at = conn->head + conn->count++;
    conn->out_len += len;
    conn->flights[at < conn->pipeline ? at : at - conn->pipeline] = *flight;
}

struct respload_flight respload_conn_answered(struct respload_conn *conn)
{
    struct respload_flight flight = conn->flights[conn->head];
    conn->head = conn->head + 1 < conn->pipeline ? conn->head + 1 : 0;
    conn->count--;
    return flight;
}

enum respload_sent respload_conn_flush(struct respload_conn *conn)
{
    while (conn->out_len != 0) {
        ssize_t n = send(conn->fd, conn->out + conn->out_at, conn->out_len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? RESPLOAD_SENT_SOME : RESPLOAD_SENT_FAILED;
        conn->out_at += (size_t)n;
        conn->out_len -= (size_t)n;
    }
    conn->out_at = 0;
    return RESPLOAD_SENT_ALL;
}
