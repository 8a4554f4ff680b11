#include "keyserver/conn_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/tls.h"
#include "keyserver/access_migration.h"

#define DRAIN_IDLE_NS 50000000u // an edge that is busy asks again by then

void conn_mark_ready(struct conn *c)
{
    conn_turns_add(&c->loop->turns, c, c->peer->flow);
}

void conn_run_ready(struct loop *loop)
{
    struct conn *c = conn_turns_next(&loop->turns);
    uint64_t end = c != NULL ? clock_ns() + LOOP_TURNS_NS : 0;
    while (c != NULL) {
        conn_take_turn(c);
        c = clock_ns() < end ? conn_turns_next(&loop->turns) : NULL;
    }
}

static void conn_free(struct conn *c)
{
    conn_tls_close(c);
    if (c->timer != NULL)
        event_free(c->timer);
    peer_unref(&c->peer);
    free(c->in);
    free(c);
}

void conn_drop(struct conn *c)
{
    struct loop *loop = c->loop;

    for (struct keyop *op = c->ops; op != NULL;) {
        struct keyop *next = op->next_in_conn;
        op->conn = NULL;
        atomic_store_explicit(&op->abandoned, true, memory_order_relaxed);
        if (op->done)
            loop_release_op(loop, op); // else the pool has it, and it comes back
        op = next;
    }
    if (c->state == CONN_OPEN || c->state == CONN_CLOSING)
        conn_tls_shutdown(c);
    edge_leave(c->peer->account);
    conn_held_none(c);
    conn_dequeue(c);
    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    (void)atomic_fetch_sub_explicit(&loop->conn_count, 1, memory_order_relaxed);
    server_conn_closed(loop->server, &c->addr, c->peer->migration);
    conn_free(c);
}

// All answers are out: closes our side, then waits a moment for the peer to have read them.
static void start_lingering(struct conn *c)
{
    conn_tls_shutdown(c);
    (void)shutdown(c->fd, SHUT_WR);
    c->state = CONN_LINGERING;
    c->since_ns = clock_ns();
    conn_tls_want_read(c, true);
    conn_timer_update(c);
}

static void linger_if_done(struct conn *c)
{
    if (c->state == CONN_CLOSING && c->in_flight == 0 && c->out_len == 0)
        start_lingering(c);
}

void conn_finish(struct conn *c)
{
    if (c->state == CONN_OPEN) {
        c->state = CONN_CLOSING;
        c->reader.started = false;
        c->in_len = 0;
        conn_tls_want_read(c, false);
    }
    linger_if_done(c);
}

// ---- callbacks

static void log_tls_failure(const struct conn *c)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    server_count_handshake_failure(c->loop->server, c->peer->addr,
                                   reason != NULL ? reason : "connection closed");
}

static uint64_t not_after(const SSL *ssl)
{
    const X509 *cert = SSL_get0_peer_certificate(ssl);
    struct tm tm;
    if (cert == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
        return 0;
    time_t at = timegm(&tm);
    return at > 0 ? (uint64_t)at : 0;
}

// By which edges take turns: of the name in the certificate, or of the address where there is none.
static uint32_t flow_of(const struct conn *c)
{
    const char *name = c->peer->name;
    uint64_t seed = c->loop->server->flow_seed, address = access_migration_id(&c->addr);
    return (uint32_t)(c->peer->migration ? XXH3_64bits_withSeed(&address, sizeof address, seed)
                                         : XXH3_64bits_withSeed(name, strlen(name), seed));
}

// Counts the connection among those of its edge. False: it has as many as it may.
static bool enter_edge(struct conn *c)
{
    struct server *server = c->loop->server;
    struct peer *peer = c->peer;
    peer->account = edges_join(server->edges, peer->name);
    if (edge_enter(peer->account, server->options->max_connections_per_edge))
        return true;
    server_count_edge_rejection(server, peer);
    edge_release(&peer->account);
    return false;
}

// The connection may be gone afterwards.
static void on_handshake_done(struct conn *c)
{
    SSL *ssl = c->ssl;
    bool migration = c->peer->migration;
    (void)tls_peer_name(ssl, c->peer->name, sizeof c->peer->name);
    c->peer->flow = flow_of(c);
    if (!migration && !tls_peer_in_date(ssl)) { // a resumed session is not checked again by OpenSSL
        server_count_handshake_failure(c->loop->server, c->peer->addr, "certificate out of date");
        conn_drop(c);
        return;
    }
    if (!conn_admit(c)) {
        server_count_handshake_failure(c->loop->server, c->peer->addr, "certificate revoked, or no memory");
        conn_drop(c);
        return;
    }
    server_count_handshake(c->loop->server, SSL_session_reused(ssl) == 1);
    c->state = CONN_OPEN;
    if (!enter_edge(c)) {
        conn_drop(c);
        return;
    }
    c->trusted_until = migration ? UINT64_MAX : not_after(ssl);
    char edge[160];
    log_debug("connected", "addr=%s edge=%s version=%s cipher=%s resumed=%d", c->peer->addr,
              log_quote(c->peer->name, edge, sizeof edge), SSL_get_version(ssl), SSL_get_cipher_name(ssl),
              SSL_session_reused(ssl));
    c->since_ns = clock_ns();
    conn_advance(c); // its first request may have come with the end of the handshake
}

void conn_step_handshake(struct conn *c)
{
    enum conn_io io = conn_tls_handshake(c);
    if (io == CONN_IO_DONE) {
        on_handshake_done(c);
    } else if (io == CONN_IO_GONE) {
        log_tls_failure(c);
        ERR_clear_error();
        conn_drop(c);
    } else {
        conn_tls_want_read(c, true);
    }
}

// What a peer still sends after our last answer is thrown away, undecrypted.
static void discard(struct conn *c)
{
    ssize_t n = recv(c->fd, c->loop->out, sizeof c->loop->out, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        conn_drop(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    (void)fd;
    (void)what;
    loop_is_awake(c->loop);
    if (c->state == CONN_HANDSHAKE) {
        conn_handshake_ready(c);
    } else if (c->state == CONN_LINGERING) {
        discard(c);
    } else {
        c->may_read = true;
        conn_mark_ready(c);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    (void)fd;
    (void)what;
    loop_is_awake(c->loop);
    if (c->state == CONN_HANDSHAKE) {
        conn_handshake_ready(c);
    } else if (c->state == CONN_OPEN) {
        c->may_read = true; // TLS may have had to write before it could read
        conn_mark_ready(c);
    } else if (!conn_tls_flush(c)) {
        conn_drop(c);
    } else {
        linger_if_done(c);
        conn_account(c);
    }
}

// Takes over the socket, also when it fails.
static struct conn *conn_create(struct loop *loop, int fd, bool migration)
{
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        (void)close(fd);
        return NULL;
    }
    c->loop = loop;
    c->fd = fd;
    c->peer = calloc(1, sizeof *c->peer);
    c->timer = evtimer_new(loop->base, conn_on_timer, c);
    if (c->peer != NULL)
        *c->peer = (struct peer){.refs = 1, .migration = migration};
    if (c->peer != NULL && c->timer != NULL && conn_tls_open(c, on_readable, on_writable))
        return c;
    conn_free(c);
    return NULL;
}

void conn_open(struct loop *loop, int fd, const struct net_addr *addr, bool migration)
{
    unsigned generation = atomic_load(&loop->server->tls_generation); // before the context is taken
    struct conn *c = conn_create(loop, fd, migration);
    if (c == NULL) {
        (void)atomic_fetch_sub_explicit(&loop->conn_count, 1, memory_order_relaxed);
        server_conn_closed(loop->server, addr, migration);
        return;
    }
    c->tls_generation = generation;
    c->addr = *addr;
    c->ops_tail = &c->ops;
    c->since_ns = clock_ns();
    (void)strcpy(c->peer->name, "-");
    (void)net_addr_format((const struct sockaddr *)&addr->ss, addr->len, c->peer->addr);
    c->link = &loop->conns;
    c->next = loop->conns;
    if (c->next != NULL)
        c->next->link = &c->next;
    loop->conns = c;

    conn_tls_want_read(c, true);
    conn_timer_update(c);
}

// What has come for it has been read if it is in no queue: the loop's events of this round are behind it.
static void drain(struct conn *c, uint64_t now)
{
    uint64_t grace = c->answered ? DRAIN_IDLE_NS : c->loop->server->options->drain_grace * 1000;
    bool waited = now - c->since_ns >= grace;
    if (c->state == CONN_HANDSHAKE && waited && c->queue == NULL && SSL_in_before(c->ssl) == 1)
        conn_drop(c);
    else if (c->state == CONN_OPEN &&
             (c->in_flight > 0 || (waited && !c->reader.started && c->in_len == 0 && c->queue == NULL)))
        conn_finish(c);
}

void conn_drain_all(struct loop *loop)
{
    uint64_t now = clock_ns();
    for (struct conn *c = loop->conns, *next; c != NULL; c = next) {
        next = c->next;
        drain(c, now);
    }
}

void conn_drop_all(struct loop *loop)
{
    while (loop->conns != NULL)
        conn_drop(loop->conns);
}
