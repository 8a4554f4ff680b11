// Private to conn.c (life and callbacks), conn_requests.c (requests and answers), conn_timer.c (time limits), conn_held.c
// (memory) and conn_access.c (the access policy).
#ifndef MEC_KEYSERVER_CONN_INTERNAL_H
#define MEC_KEYSERVER_CONN_INTERNAL_H

#include <event2/bufferevent.h>

#include "keyserver/conn.h"
#include "keyserver/http.h"
#include "keyserver/peer.h"
#include "keyserver/server.h"

enum conn_state {
    CONN_HANDSHAKE,
    CONN_OPEN,
    CONN_CLOSING,   // no more requests are read; answers still leave
    CONN_LINGERING, // our side is closed; what the peer still sends is thrown away, so that it gets to read
                    // our answer
};

struct conn {
    struct conn *next, **link; // in loop->conns
    struct loop *loop;
    struct bufferevent *bev;
    struct net_addr addr;
    struct peer *peer;
    enum conn_state state;

    char *in; // received bytes that are no complete request yet
    size_t in_at, in_len, in_capacity;
    struct http_reader reader;

    struct keyop *ops, **ops_tail; // oldest first
    unsigned in_flight;
    bool continue_owed; // "100 Continue" waits for the answers before it

    unsigned tls_generation; // server->tls_generation when the peer's certificate was last checked
    uint64_t trusted_until;  // Unix seconds: notAfter of that certificate

    size_t held; // of memory, as accounted

    struct event *timer;
    uint64_t since_ns; // when the state, the current request or the current wait began
    uint64_t armed_ns; // when the timer fires; 0: not armed
    bool output_pending;
    uint64_t output_since_ns; // when output last made progress
};

// Closes at once and frees the connection. Operations in the pool are left to finish without it.
void conn_drop(struct conn *c);
// No further requests: closes when the answers are out.
void conn_finish(struct conn *c);
// Answers with an HTTP error behind the answers still due, and finishes. False: the connection is gone.
bool conn_refuse(struct conn *c, unsigned http_status);

// Takes the requests that have come and sends the answers that are ready. The requests in flight bound how
// much is taken at once; the rest goes on when answers have left (on_written, conn_answer_ready). The
// connection may be gone afterwards.
void conn_advance(struct conn *c);
// Bytes of answers that the peer has not taken.
size_t conn_output_waiting(const struct conn *c);

// Asks the present access policy about the peer's certificate and gives c->peer its pass; operations keep the peer that
// they have. False: it is revoked (counted), or no memory.
bool conn_admit(struct conn *c);

// After what it holds may have changed. It may be shed later, not within.
void conn_account(struct conn *c);
// It is about to go.
void conn_held_none(struct conn *c);

// Makes sure the timer fires by the time the connection's present state may last until.
void conn_timer_update(struct conn *c);
void conn_on_timer(evutil_socket_t fd, short what, void *arg);

#endif
