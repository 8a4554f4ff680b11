// Time limits of a connection. One timer each; it is armed for the earliest end seen so far and, when it
// fires early because the end has moved, armed again: most requests touch no timer at all.
#include "keyserver/conn_internal.h"

#include "common/clock.h"
#include "common/log.h"

#define LINGER_NS 1000000000ull

// Nobody knows it, by certificate or address: it is not to hold a connection for long.
static bool is_stranger(const struct conn *c)
{
    return c->peer->migration && !c->peer->listed;
}

// When the present state ends; 0: never (operations in flight have their own deadlines).
static uint64_t ends_at(const struct conn *c)
{
    const struct options *o = c->loop->server->options;
    uint64_t end = 0;

    switch (c->state) {
    case CONN_HANDSHAKE:
        return c->since_ns + o->handshake_timeout * 1000;
    case CONN_LINGERING:
        return c->since_ns + LINGER_NS;
    case CONN_OPEN:
        if (c->reader.started)
            end = c->since_ns + o->request_timeout * 1000;
        else if (c->in_flight == 0 && !c->output_pending)
            end = c->since_ns + (is_stranger(c) ? o->handshake_timeout : o->idle_timeout) * 1000;
        break;
    default:
        break;
    }
    uint64_t written = c->output_since_ns + o->write_timeout * 1000;
    if (c->output_pending && (end == 0 || written < end))
        end = written;
    return end;
}

static void arm(struct conn *c, uint64_t at, uint64_t now)
{
    uint64_t us = at > now ? (at - now) / 1000 + 1 : 0;
    const struct timeval tv = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    c->armed_ns = at;
    (void)event_add(c->timer, &tv);
}

void conn_timer_update(struct conn *c)
{
    uint64_t end = ends_at(c);
    if (end != 0 && (c->armed_ns == 0 || end < c->armed_ns))
        arm(c, end, clock_ns());
}

void conn_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    uint64_t now = clock_ns(), end = ends_at(c);
    (void)fd;
    (void)what;

    c->armed_ns = 0;
    if (end == 0)
        return;
    if (now < end) {
        arm(c, end, now);
        return;
    }
    bool write_stalled =
        c->output_pending && now >= c->output_since_ns + c->loop->server->options->write_timeout * 1000;
    if (c->state == CONN_OPEN && c->reader.started && !write_stalled) {
        (void)conn_refuse(c, 408);
        return;
    }
    if (c->state != CONN_LINGERING)
        server_count_timeout(c->loop->server, c->state == CONN_HANDSHAKE ? TIMEOUT_HANDSHAKE
                                              : c->output_pending        ? TIMEOUT_WRITE
                                                                         : TIMEOUT_IDLE);
    log_debug("timeout", "addr=%s", c->peer->addr);
    conn_drop(c);
}
