// Connections that are not open yet, and their share of a loop's time: conn.h says why.
#include "keyserver/conn_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

void conn_handshake_ready(struct conn *c)
{
    conn_tls_want_read(c, false);
    conn_enqueue(c, &c->loop->handshakes);
}

static void step_oldest(struct loop *loop)
{
    struct conn *c = loop->handshakes.first;
    if (c == NULL)
        return;
    conn_dequeue(c);
    conn_step_handshake(c);
}

// Who has hung up by now is not worth the memory of a connection.
static bool has_gone(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void turn_away(struct loop *loop, const struct accepted *a)
{
    char addr[NET_ADDR_TEXT];
    (void)net_addr_format((const struct sockaddr *)&a->addr.ss, a->addr.len, addr);
    server_count_handshake_failure(loop->server, addr, "connection closed");
    (void)atomic_fetch_sub_explicit(&loop->conn_count, 1, memory_order_relaxed);
    server_conn_closed(loop->server, &a->addr, a->migration);
    (void)close(a->fd);
}

static void open_oldest(struct loop *loop)
{
    struct accepted *a = loop->opening;
    if (a == NULL)
        return;
    loop->opening = a->next;
    if (loop->opening == NULL)
        loop->opening_tail = &loop->opening;
    if (has_gone(a->fd))
        turn_away(loop, a);
    else
        conn_open(loop, a->fd, &a->addr, a->migration);
    free(a);
}

void conn_run_handshakes(struct loop *loop)
{
    if (loop->handshakes.count == 0 && loop->opening == NULL)
        return;
    uint64_t end = clock_ns() + LOOP_OPEN_NS;
    do {
        step_oldest(loop);
        open_oldest(loop);
    } while ((loop->handshakes.count > 0 || loop->opening != NULL) && clock_ns() < end);
}
