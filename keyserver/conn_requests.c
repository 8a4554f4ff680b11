// A connection's requests and answers: bytes in, operations begun, answers out in order.
#include "keyserver/conn_internal.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "keyserver/access_gate.h"
#include "keyserver/answer.h"

#define READ_CHUNK    4096  // first size of the input buffer, and what is kept between requests
#define CHUNK_FRAMING 20480 // room for the framing of a chunked body (http_chunked.c)
#define OUTPUT_HIGH   65536 // bytes of answers waiting for the peer beyond which it is not read from

// ---- answers

static struct keyop *new_op(struct conn *c)
{
    struct keyop *op = loop_take_op(c->loop);
    if (op == NULL)
        return NULL;
    op->conn = c;
    op->peer = c->peer;
    op->flow = c->peer->flow;
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
    conn_account(c);
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
        if (!server_peer_is_trusted(server, bufferevent_openssl_get_ssl(c->bev)) || !conn_admit(c))
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
    op->denied = "untrusted";
    op->last = true;
    op->finished_ns = clock_ns();
    op->done = true;
    conn_finish(c);
}

// The operation's peer is the connection's: its pass may be another than when the operation was made.
static void take_peer(struct conn *c, struct keyop *op)
{
    peer_unref(&op->peer);
    op->peer = c->peer;
    c->peer->refs++;
}

static void end_at_once(struct keyop *op, enum ski_status status)
{
    op->status = status;
    op->finished_ns = clock_ns();
    op->done = true;
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
    } else if (compute) {
        take_peer(c, op);
        if (!access_at_door(op, &server->stats))
            end_at_once(op, SKI_DENIED);
        else if (!server_submit(server, op))
            end_at_once(op, SKI_BUSY);
    }
    if (op->done && op->is_operation)
        op->done = server_account(server, op); // never held: what is done here has no result
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
    if (c->in_flight >= o->pipeline || conn_output_waiting(c) > OUTPUT_HIGH ||
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

void conn_advance(struct conn *c)
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
    conn_account(c);
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
        conn_advance(c); // there is room for further requests now
}
