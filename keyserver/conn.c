#include "keyserver/conn_internal.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/tls.h"

static void close_tls(struct conn *c)
{
    SSL *ssl = bufferevent_openssl_get_ssl(c->bev);
    if (ssl != NULL && c->state != CONN_HANDSHAKE) {
        (void)SSL_shutdown(ssl); // our close_notify; the peer's is not waited for
        ERR_clear_error();
    }
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
        close_tls(c);
    conn_held_none(c);
    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    (void)atomic_fetch_sub_explicit(&loop->conn_count, 1, memory_order_relaxed);
    server_conn_closed(loop->server, &c->addr);
    event_free(c->timer);
    bufferevent_free(c->bev);
    peer_unref(&c->peer);
    free(c->in);
    free(c);
}

size_t conn_output_waiting(const struct conn *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->bev));
}

// All answers are out: closes our side, then waits a moment for the peer to have read them.
static void start_lingering(struct conn *c)
{
    close_tls(c);
    (void)shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    c->state = CONN_LINGERING;
    c->since_ns = clock_ns();
    c->output_pending = false;
    (void)bufferevent_enable(c->bev, EV_READ);
    conn_timer_update(c);
}

static void linger_if_done(struct conn *c)
{
    if (c->state == CONN_CLOSING && c->in_flight == 0 && conn_output_waiting(c) == 0)
        start_lingering(c);
}

void conn_finish(struct conn *c)
{
    if (c->state == CONN_OPEN) {
        c->state = CONN_CLOSING;
        c->reader.started = false;
        c->in_len = 0;
        (void)bufferevent_disable(c->bev, EV_READ);
    }
    linger_if_done(c);
}

// ---- callbacks

static void on_read(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_OPEN)
        conn_advance(c);
    else
        (void)evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX); // lingering
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;
    (void)bev;
    c->output_pending = conn_output_waiting(c) > 0;
    c->output_since_ns = clock_ns();
    if (c->state == CONN_CLOSING)
        linger_if_done(c);
    if (c->state == CONN_OPEN)
        conn_advance(c);
    else
        conn_account(c);
}

// The bytes left in the output shrank: the peer takes its answers.
static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
    struct conn *c = arg;
    (void)output;
    if (info->n_deleted > 0)
        c->output_since_ns = clock_ns();
}

static void log_tls_failure(const struct conn *c)
{
    unsigned long code = bufferevent_get_openssl_error(c->bev);
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

static void on_handshake_done(struct conn *c)
{
    SSL *ssl = bufferevent_openssl_get_ssl(c->bev);
    (void)tls_peer_name(ssl, c->peer->name, sizeof c->peer->name);
    c->peer->flow =
        (uint32_t)XXH3_64bits_withSeed(c->peer->name, strlen(c->peer->name), c->loop->server->flow_seed);
    if (!tls_peer_in_date(ssl)) { // a resumed session is not checked again by OpenSSL
        server_count_handshake_failure(c->loop->server, c->peer->addr, "certificate out of date");
        conn_drop(c);
        return;
    }
    if (!conn_admit(c)) {
        server_count_handshake_failure(c->loop->server, c->peer->addr, "certificate revoked");
        conn_drop(c);
        return;
    }
    c->trusted_until = not_after(ssl);
    server_count_handshake(c->loop->server, SSL_session_reused(ssl) == 1);
    char edge[160];
    log_debug("connected", "addr=%s edge=%s version=%s cipher=%s resumed=%d", c->peer->addr,
              log_quote(c->peer->name, edge, sizeof edge), SSL_get_version(ssl), SSL_get_cipher_name(ssl),
              SSL_session_reused(ssl));
    c->state = CONN_OPEN;
    c->since_ns = clock_ns();
    if (c->loop->draining)
        conn_finish(c);
    else
        conn_timer_update(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct conn *c = arg;
    (void)bev;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        on_handshake_done(c);
        return;
    }
    if (c->state == CONN_HANDSHAKE)
        log_tls_failure(c);
    ERR_clear_error();
    // Closed by the peer, who may still take answers only if it closed its sending side alone; TLS peers
    // close both.
    conn_drop(c);
}

// TLS on the socket, both given away: libevent closes them also when it fails.
static struct bufferevent *wrap(struct loop *loop, int fd)
{
    SSL *ssl = server_new_ssl(loop->server);
    if (ssl == NULL) {
        (void)close(fd);
        return NULL;
    }
    // On failure it has freed the SSL, which does not own the socket yet.
    struct bufferevent *bev = bufferevent_openssl_socket_new(loop->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                             BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (bev == NULL)
        (void)close(fd);
    return bev;
}

static struct conn *conn_create(struct loop *loop, int fd)
{
    struct bufferevent *bev = wrap(loop, fd);
    if (bev == NULL)
        return NULL;
    struct conn *c = calloc(1, sizeof *c);
    if (c != NULL) {
        c->bev = bev;
        c->peer = calloc(1, sizeof *c->peer);
        c->timer = evtimer_new(loop->base, conn_on_timer, c);
    }
    if (c == NULL || c->peer == NULL || c->timer == NULL) {
        if (c != NULL && c->timer != NULL)
            event_free(c->timer);
        if (c != NULL)
            free(c->peer);
        free(c);
        bufferevent_free(bev);
        return NULL;
    }
    return c;
}

void conn_open(struct loop *loop, int fd, const struct net_addr *addr)
{
    unsigned generation = atomic_load(&loop->server->tls_generation); // before the context is taken
    struct conn *c = conn_create(loop, fd);
    if (c == NULL) {
        server_conn_closed(loop->server, addr);
        return;
    }
    c->loop = loop;
    c->tls_generation = generation;
    c->addr = *addr;
    c->ops_tail = &c->ops;
    c->since_ns = clock_ns();
    c->peer->refs = 1;
    (void)strcpy(c->peer->name, "-");
    (void)net_addr_format((const struct sockaddr *)&addr->ss, addr->len, c->peer->addr);
    c->link = &loop->conns;
    c->next = loop->conns;
    if (c->next != NULL)
        c->next->link = &c->next;
    loop->conns = c;
    (void)atomic_fetch_add_explicit(&loop->conn_count, 1, memory_order_relaxed);

    bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
    bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
    (void)evbuffer_add_cb(bufferevent_get_output(c->bev), on_output, c);
    (void)bufferevent_enable(c->bev, EV_READ | EV_WRITE);
    conn_timer_update(c);
}

void conn_drain_all(struct loop *loop)
{
    for (struct conn *c = loop->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (c->state == CONN_OPEN)
            conn_finish(c);
    }
}

void conn_drop_all(struct loop *loop)
{
    while (loop->conns != NULL)
        conn_drop(loop->conns);
}
