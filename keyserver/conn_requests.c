// A connection's requests and answers: bytes in, operations begun, answers out in order.
#include "keyserver/conn_internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "keyserver/access_gate.h"
#include "keyserver/answer.h"
#include "keyserver/migration.h"

#define READ_CHUNK    4096  // first size of the input buffer, and what is kept between requests
#define CHUNK_FRAMING 20480 // room for the framing of a chunked body (http_chunked.c)
#define OUTPUT_HIGH   65536 // bytes of answers waiting for the peer beyond which it is not read from
#define TURN_BYTES    8192  // read of one connection before others have their turn

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

// Takes the oldest operation off and writes its answer. Returns the answer's length.
static size_t take_answer(struct conn *c, char out[static ANSWER_MAX])
{
    struct keyop *op = c->ops;
    size_t len = answer_format(op, out);
    c->ops = op->next_in_conn;
    if (c->ops == NULL)
        c->ops_tail = &c->ops;
    c->in_flight--;
    c->answered = true;
    loop_release_op(c->loop, op);
    return len;
}

// Sends the answers that are ready, in the order of their requests, as one piece. False: the connection is gone.
static bool flush_answers(struct conn *c)
{
    struct loop *loop = c->loop;
    bool last = false, sent = true;
    size_t len = 0;

    while (sent && c->ops != NULL && c->ops->done) {
        c->ops->last |= (loop->draining || c->state == CONN_CLOSING) && c->ops->next_in_conn == NULL;
        last |= c->ops->last;
        len += take_answer(c, loop->out + len);
        if (sizeof loop->out - len < ANSWER_MAX) {
            sent = conn_tls_send(c, loop->out, len);
            len = 0;
        }
    }
    if (c->continue_owed && c->ops == NULL && c->state == CONN_OPEN) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        c->continue_owed = false;
        memcpy(loop->out + len, go_on, sizeof go_on - 1);
        len += sizeof go_on - 1;
    }
    if (!sent || (len > 0 && !conn_tls_send(c, loop->out, len))) {
        conn_drop(c);
        return false;
    }
    if (last || c->state == CONN_CLOSING)
        conn_finish(c);
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
        if ((!c->peer->migration && !server_peer_is_trusted(server, c->ssl)) || !conn_admit(c))
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

// Among what its edge has in flight, until its answer has left. False: there is too much.
static bool count_in_edge(struct keyop *op, size_t limit)
{
    op->in_edge = edge_begin(op->peer->account, limit);
    if (!op->in_edge)
        op->busy = KEYOP_EDGE_LIMIT;
    return op->in_edge;
}

// At the migration listener, from an address that no rule lists (any more).
static bool is_stranger(struct conn *c, struct keyop *op)
{
    if (!c->peer->migration || !peer_still_trusted(c))
        return false;
    take_peer(c, op);
    return !c->peer->listed;
}

// Nothing of its request is looked at.
static void turn_away(struct conn *c, const struct http_request *http, struct keyop *op)
{
    answer_deny(http, op);
    op->denied = access_reason_word(ACCESS_BY_ADDRESS);
    metric_add(c->loop->server->stats.policy_denied[ACCESS_BY_ADDRESS], 1);
    op->last |= ++c->turned_away >= MIGRATION_STRANGER_REQUESTS;
    if (op->last)
        conn_finish(c);
}

// A well-formed operation goes its way, unless it is denied, or too much waits already.
static void begin(struct conn *c, struct keyop *op)
{
    struct server *server = c->loop->server;
    if (!peer_still_trusted(c)) {
        deny(c, op);
        return;
    }
    take_peer(c, op);
    if (!count_in_edge(op, server->options->max_in_flight_per_edge))
        end_at_once(op, SKI_BUSY);
    else if (!access_at_door(op, &server->stats))
        end_at_once(op, SKI_DENIED);
    else if (!server_submit(server, op))
        end_at_once(op, SKI_BUSY);
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
    op->java_only = c->peer->migration;
    if (is_stranger(c, op))
        turn_away(c, http, op);
    else if (answer_route(http, op))
        begin(c, op);
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
            c->in_waits = false;
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
    c->in_waits = c->in_len > 0;
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

// Whether it may have more requests taken from it now.
static bool has_room(const struct conn *c)
{
    return c->in_flight < c->loop->server->options->pipeline && c->out_len <= OUTPUT_HIGH;
}

enum pulled { PULLED, PULLED_NOTHING, PULLED_TOO_MUCH, PULLED_END };

// Reads into the input buffer. PULLED_TOO_MUCH: a request takes more room than its limits allow; PULLED_END: nothing
// comes any more.
static enum pulled pull_input(struct conn *c, size_t *len)
{
    if (!c->may_read)
        return PULLED_NOTHING;
    if (c->in_len == 0)
        c->in_at = 0;
    if (!reserve_input(c))
        return PULLED_TOO_MUCH;
    size_t at = c->in_at + c->in_len;
    enum conn_io io = conn_tls_read(c, c->in + at, c->in_capacity - at, len);
    if (io == CONN_IO_GONE)
        return PULLED_END;
    if (io == CONN_IO_WAIT)
        return PULLED_NOTHING;
    c->in_len += *len;
    return PULLED;
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

// Reads and takes requests for one turn. False: the connection is gone.
static bool take_turn(struct conn *c)
{
    size_t len, total = 0;
    if (c->in_waits && has_room(c) && !process(c)) // what was left when there was no room
        return false;
    while (c->state == CONN_OPEN && has_room(c) && total < TURN_BYTES) {
        enum pulled pulled = pull_input(c, &len);
        if (pulled == PULLED_NOTHING)
            return true;
        if (pulled == PULLED_TOO_MUCH)
            return conn_refuse(c, 413);
        if (pulled == PULLED_END) {
            if (flush_answers(c)) // it may still read
                conn_drop(c);
            return false;
        }
        total += len;
        if (!process(c))
            return false;
    }
    return true;
}

void conn_advance(struct conn *c)
{
    if (!take_turn(c) || !flush_answers(c))
        return;
    release_input(c);
    conn_account(c);
    if (c->state == CONN_OPEN) {
        conn_tls_want_read(c, has_room(c));
        if (has_room(c) && (c->may_read || c->in_waits))
            conn_mark_ready(c); // no event will tell of that
    }
    conn_timer_update(c);
}

void conn_take_turn(struct conn *c)
{
    if (!conn_tls_flush(c)) { // TLS may have had to read before it could write
        conn_drop(c);
        return;
    }
    bool answers = c->ops != NULL && c->ops->done; // else an older request is not done yet
    if (answers && !c->reader.started)
        c->since_ns = clock_ns();
    conn_advance(c);
}
