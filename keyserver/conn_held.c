// What the connections hold together: bytes received and not yet a request, operations in flight, answers that wait for their peers. Each of it is bounded by connection; the sum
// is bounded by a share of what the process may use, which changes while it runs. Beyond it the connection that holds most is closed, until it is within again: a peer that
// sends half a request a thousand times over, or takes no answers, is the one to lose, and not whoever comes next.
//
// Each loop counts its own. Only one that holds more than an equal share of the bound sheds, and from its mailbox: nothing is closed from within another connection's callback.
#include "keyserver/conn_internal.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"

#define LEAST_LIMIT (1u << 20) // of all together, however small the ceiling
#define SHARE       4          // of the ceiling

static size_t holds(const struct conn *c)
{
    return c->in_capacity + c->out_capacity + c->in_flight * sizeof(struct keyop);
}

static void set_held(struct conn *c, size_t bytes)
{
    struct server *server = c->loop->server;
    uint64_t change = (uint64_t)bytes - c->held; // modulo 2^64: also what is less
    if (change == 0)
        return;
    bool more = bytes > c->held;
    c->held = bytes;
    (void)atomic_fetch_add_explicit(&c->loop->held, change, memory_order_relaxed);
    uint64_t all = atomic_fetch_add_explicit(&server->held, change, memory_order_relaxed) + change;
    if (more && all > atomic_load_explicit(&server->held_limit, memory_order_relaxed))
        server_shed(server);
}

void conn_account(struct conn *c)
{
    set_held(c, holds(c));
}

void conn_held_none(struct conn *c)
{
    set_held(c, 0);
}

// ---- too much

static uint64_t share_of_limit(const struct server *server)
{
    uint64_t limit = atomic_load_explicit(&server->held_limit, memory_order_relaxed);
    return limit / (server->loop_count != 0 ? server->loop_count : 1);
}

static bool too_much(const struct loop *loop)
{
    const struct server *server = loop->server;
    return atomic_load_explicit(&server->held, memory_order_relaxed) >
               atomic_load_explicit(&server->held_limit, memory_order_relaxed) &&
           atomic_load_explicit(&loop->held, memory_order_relaxed) > share_of_limit(server);
}

// Between requests a buffer is kept only because the next one will need it.
static void release_idle(struct loop *loop)
{
    for (struct conn *c = loop->conns; c != NULL && too_much(loop); c = c->next) {
        if (c->in_len != 0 || c->in_capacity == 0)
            continue;
        free(c->in);
        c->in = NULL;
        c->in_at = c->in_capacity = 0;
        conn_account(c);
    }
}

static struct conn *largest(const struct loop *loop)
{
    struct conn *most = NULL;
    for (struct conn *c = loop->conns; c != NULL; c = c->next)
        if (most == NULL || c->held > most->held)
            most = c;
    return most;
}

static void log_shed(struct server *server, const struct conn *c)
{
    uint64_t now_s = clock_ns() / 1000000000u + 1, last = atomic_load(&server->last_shed_log_s);
    if (now_s == last || !atomic_compare_exchange_strong(&server->last_shed_log_s, &last, now_s))
        return; // at most one a second; the counter has them all
    log_warn("connection_shed", "addr=%s holds_bytes=%zu all_hold_bytes=%llu limit_bytes=%llu count=%llu",
             c->peer->addr, c->held, (unsigned long long)atomic_load(&server->held),
             (unsigned long long)atomic_load(&server->held_limit),
             (unsigned long long)metric_value(server->stats.shed));
}

void conn_shed(struct loop *loop)
{
    release_idle(loop);
    while (too_much(loop)) {
        struct conn *c = largest(loop);
        if (c == NULL || c->held == 0)
            return;
        metric_add(loop->server->stats.shed, 1);
        log_shed(loop->server, c);
        conn_drop(c);
    }
}

// ---- the server's side

void server_shed(struct server *server)
{
    if (atomic_load(&server->held) <= atomic_load(&server->held_limit))
        return;
    for (unsigned i = 0; i < server->loop_count; i++)
        if (too_much(&server->loops[i]))
            loop_shed(&server->loops[i]);
}

void server_bound_held(struct server *server, uint64_t ceiling)
{
    uint64_t limit = ceiling / SHARE;
    atomic_store(&server->held_limit, limit > LEAST_LIMIT ? limit : LEAST_LIMIT);
    server_shed(server);
}
