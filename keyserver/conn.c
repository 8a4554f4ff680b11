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

#include "common/clock.h"
#include "common/log.h"
#include "common/tls.h"
#include "keyserver/answer.h"
#include "keyserver/pool.h"

#define READ_CHUNK    4096  // first size of the input buffer, and what is kept between requests
#define CHUNK_FRAMING 20480 // room for the framing of a chunked body (http_chunked.c)
#define OUTPUT_HIGH   65536 // bytes of answers waiting for the peer beyond which it is not read from

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

static size_t output_waiting(const struct conn *c)
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
    if (c->state == CONN_CLOSING && c->in_flight == 0 && output_waiting(c) == 0)
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

// ---- answers

static struct keyop *new_op(struct conn *c)
{
    struct keyop *op = loop_take_op(c->loop);
    if (op == NULL)
        return NULL;
    op->conn = c;
    op->peer = c->peer;
    c->peer->refs++;
    *c->ops_tail = op;
    c->ops_tail = &op->next_in_conn;
    c->in_flight++;
    return op;
}

static void note_output(struct conn *c)
{
    if (!c->output_pending) {
        c->output_pending = true;
        c->output_since_ns = clock_ns();
    }
}

// Appends one answer to the output, formatted in place. False without memory.
static bool send_answer(struct conn *c, const struct keyop *op)
{
    struct evbuffer *output = bufferevent_get_output(c->bev);
    struct evbuffer_iovec space;
    if (evbuffer_reserve_space(output, ANSWER_MAX, &space, 1) < 1)
        return false;
    space.iov_len = answer_format(op, space.iov_base);
    return evbuffer_commit_space(output, &space, 1) == 0;
}

// Sends the answers that are ready, in the order of their requests. False: the connection is gone.
static bool flush_answers(struct conn *c)
{
    while (c->ops != NULL && c->ops->done) {
        struct keyop *op = c->ops;
        op->last |= c->loop->draining && op->next_in_conn == NULL;
        bool last = op->last, sent = send_answer(c, op);
        c->ops = op->next_in_conn;
        if (c->ops == NULL)
            c->ops_tail = &c->ops;
        c->in_flight--;
        loop_release_op(c->loop, op);
        if (!sent) {
            conn_drop(c);
            return false;
        }
        note_output(c);
        if (last)
            conn_finish(c);
    }
    if (c->continue_owed && c->ops == NULL && c->state == CONN_OPEN) {
        c->continue_owed = false;
        (void)bufferevent_write(c->bev, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        note_output(c);
    }
    return true;
}

bool conn_refuse(struct conn *c, unsigned http_status)
{
    struct keyop *op = new_op(c);
    server_count_refusal(c->loop->server);
    log_debug("refused", "addr=%s status=%u", c->peer->addr, http_status);
    if (op == NULL) {
        conn_drop(c);
        return false;
    }
    answer_http_error(op, http_status);
    conn_finish(c);
    if (!flush_answers(c))
        return false;
    conn_timer_update(c);
    return true;
}

// ---- requests

// What the handshake found out about the peer holds no longer than its certificate and the authorities it was
// checked against: a connection can stay open, and busy, for months.
static bool peer_still_trusted(struct conn *c)
{
    struct server *server = c->loop->server;
    unsigned generation = atomic_load_explicit(&server->tls_generation, memory_order_relaxed);
    if (clock_unix_ms() / 1000 > c->trusted_until)
        return false;
    if (generation != c->tls_generation) {
        if (!server_peer_is_trusted(server, bufferevent_openssl_get_ssl(c->bev)))
            return false;
        c->tls_generation = generation;
    }
    return true;
}

static void deny(struct conn *c, struct keyop *op)
{
    char edge[160];
    log_warn("edge_no_longer_trusted", "addr=%s edge=%s", c->peer->addr,
             log_quote(c->peer->name, edge, sizeof edge));
    op->status = SKI_DENIED;
    op->last = true;
    op->finished_ns = clock_ns();
    op->done = true;
    conn_finish(c);
}

static void take_request(struct conn *c, const struct http_request *http)
{
    struct server *server = c->loop->server;
    struct keyop *op = new_op(c);
    if (op ==
        NULL) { // out of memory: this request gets no answer, the connection ends behind the earlier ones
        conn_finish(c);
        return;
    }
    op->received_ns = clock_ns();
    bool compute = answer_route(http, op);
    if (compute && !peer_still_trusted(c)) {
        deny(c, op);
    } else if (compute && !server_submit(server, op)) {
        op->status = SKI_BUSY;
        op->finished_ns = clock_ns();
        op->done = true;
    }
    if (op->done && op->is_operation)
        server_account(server, op);
}

// Reads requests off the input buffer as long as there are whole ones and room in flight. False: the
// connection is gone.
static bool process(struct conn *c)
{
    const struct options *o = c->loop->server->options;
    const struct http_limits limits = {
        .line_max = o->header_max, .head_max = o->header_max, .body_max = o->body_max};
    struct http_request http;

    while (c->state == CONN_OPEN && c->in_len > 0 && c->in_flight < o->pipeline) {
        bool fresh = !c->reader.started;
        int result = http_read(&c->reader, &limits, c->in + c->in_at, c->in_len, &http);
        if (fresh && c->reader.started)
            c->since_ns = clock_ns();
        if (result == HTTP_MORE) {
            c->continue_owed |= c->reader.expects_continue;
            c->reader.expects_continue = false;
            return true;
        }
        if (result != HTTP_DONE)
            return conn_refuse(c, (unsigned)result);
        c->continue_owed = false; // its body has come: nobody waits for it any more
        c->in_at += http.consumed;
        c->in_len -= http.consumed;
        http_reader_reset(&c->reader);
        take_request(c, &http);
        if (!http.keep_alive)
            conn_finish(c); // what follows a last request is not read
    }
    return true;
}

// Makes room for more input behind what is there. False without memory, or when a request takes more than its
// limits allow.
static bool reserve_input(struct conn *c)
{
    const struct options *o = c->loop->server->options;
    size_t bound = o->header_max + o->body_max + CHUNK_FRAMING;

    if (c->in_at + c->in_len < c->in_capacity)
        return true;
    if (c->in_at > 0) {
        memmove(c->in, c->in + c->in_at, c->in_len);
        c->in_at = 0;
        return true;
    }
    size_t capacity = c->in_capacity == 0 ? READ_CHUNK : 2 * c->in_capacity;
    if (c->in_capacity >= bound)
        return false;
    char *in = realloc(c->in, capacity < bound ? capacity : bound);
    if (in == NULL)
        return false;
    c->in = in;
    c->in_capacity = capacity < bound ? capacity : bound;
    return true;
}

static void read_policy(struct conn *c)
{
    const struct options *o = c->loop->server->options;
    if (c->state != CONN_OPEN)
        return;
    // What has been read and not been taken yet is bounded by not reading more; libevent's own watermark
    // would leave what TLS has decrypted already without an event to fetch it.
    if (c->in_flight >= o->pipeline || output_waiting(c) > OUTPUT_HIGH ||
        evbuffer_get_length(bufferevent_get_input(c->bev)) > 0)
        (void)bufferevent_disable(c->bev, EV_READ);
    else if ((bufferevent_get_enabled(c->bev) & EV_READ) == 0)
        (void)bufferevent_enable(c->bev, EV_READ);
}

// Moves what has come into the input buffer; how many bytes, or -1 when a request takes more room than its
// limits allow.
static int pull_input(struct conn *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    if (evbuffer_get_length(input) == 0)
        return 0;
    if (!reserve_input(c))
        return -1;
    int n = evbuffer_remove(input, c->in + c->in_at + c->in_len, c->in_capacity - c->in_at - c->in_len);
    if (n > 0)
        c->in_len += (size_t)n;
    return n;
}

static void release_input(struct conn *c)
{
    if (c->in_len == 0)
        c->in_at = 0;
    if (c->in_len == 0 && c->in_capacity > READ_CHUNK) {
        free(c->in);
        c->in = NULL;
        c->in_capacity = 0;
    }
}

// Takes the requests that have come and sends the answers that are ready. The requests in flight bound how
// much is taken at once; the rest goes on when answers have left (on_written, conn_answer_ready). The
// connection may be gone afterwards.
static void advance(struct conn *c)
{
    const struct options *o = c->loop->server->options;

    for (int pulled = 1; pulled > 0 && c->state == CONN_OPEN && c->in_flight < o->pipeline;) {
        pulled = pull_input(c);
        if (pulled < 0) {
            (void)conn_refuse(c, 413);
            return;
        }
        if (!process(c))
            return;
    }
    if (!flush_answers(c))
        return;
    release_input(c);
    read_policy(c);
    conn_timer_update(c);
}

void conn_answer_ready(struct conn *c)
{
    if (c->ops == NULL || !c->ops->done)
        return; // an older request is not done yet
    if (!c->reader.started)
        c->since_ns = clock_ns();
    if (flush_answers(c))
        advance(c); // there is room for further requests now
}

// ---- callbacks

static void on_read(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_OPEN)
        advance(c);
    else
        (void)evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX); // lingering
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;
    (void)bev;
    c->output_pending = output_waiting(c) > 0;
    c->output_since_ns = clock_ns();
    if (c->state == CONN_CLOSING)
        linger_if_done(c);
    else if (c->state == CONN_OPEN)
        advance(c);
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
    if (!tls_peer_in_date(ssl)) { // a resumed session is not checked again by OpenSSL
        server_count_handshake_failure(c->loop->server, c->peer->addr, "certificate out of date");
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
