// Connections that are not open yet, and their share of a loop's time: conn.h says why.
#include "keyserver/conn_internal.h"

#include <stdlib.h>

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

static void open_oldest(struct loop *loop)
{
    struct accepted *a = loop->opening;
    if (a == NULL)
        return;
    loop->opening = a->next;
    if (loop->opening == NULL)
        loop->opening_tail = &loop->opening;
    conn_open(loop, a->fd, &a->addr);
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
