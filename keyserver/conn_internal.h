// Private to conn.c (life and callbacks), conn_handshake.c (before it is open), conn_tls.c (bytes by TLS), conn_turns.c (queues), conn_requests.c (requests and answers), conn_timer.c
// (time limits), conn_held.c (memory) and conn_access.c (the access policy).
#ifndef MEC_KEYSERVER_CONN_INTERNAL_H
#define MEC_KEYSERVER_CONN_INTERNAL_H

#include <event2/event.h>
#include <openssl/ssl.h>

#include "keyserver/conn.h"
#include "keyserver/conn_turns.h"
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
    struct conn *next_queued, **queue_link; // in *queue
    struct conn_queue *queue;               // of its loop; NULL: in none

    int fd;
    SSL *ssl;
    struct event *readable, *writable;
    bool reading;  // `readable` is waited for
    bool may_read; // there may be something that was not read yet, in TLS or at the socket

    struct net_addr addr;
    struct peer *peer;
    enum conn_state state;

    char *in; // received bytes that are no complete request yet
    size_t in_at, in_len, in_capacity;
    bool in_waits; // there was no room in flight for what they hold
    struct http_reader reader;
    char *out; // answers that the peer has not taken yet: wiped as they leave
    size_t out_at, out_len, out_capacity;

    struct keyop *ops, **ops_tail; // oldest first
    unsigned in_flight;
    unsigned turned_away; // of requests: the address is none that the access policy lists
    bool answered;        // a request at least
    bool continue_owed;   // "100 Continue" waits for the answers before it

    unsigned tls_generation; // server->tls_generation when the peer's certificate was last checked
    uint64_t trusted_until;  // Unix seconds: notAfter of that certificate

    size_t held; // of memory, as accounted

    struct event *timer;
    uint64_t since_ns; // when the state, the current request or the current wait began
    uint64_t armed_ns; // when the timer fires; 0: not armed
    bool output_pending;
    uint64_t output_since_ns; // when output last made progress
};

// One step of the handshake, or what follows its end. The connection may be gone afterwards.
void conn_step_handshake(struct conn *c);
// Something has come for the handshake: conn_run_handshakes() will go on with it, and nothing is waited for until then.
void conn_handshake_ready(struct conn *c);

// Closes at once and frees the connection. Operations in the pool are left to finish without it.
void conn_drop(struct conn *c);
// No further requests: closes when the answers are out.
void conn_finish(struct conn *c);
// Answers with an HTTP error behind the answers still due, and finishes. False: the connection is gone.
bool conn_refuse(struct conn *c, unsigned http_status);

// Takes the requests that have come and sends the answers that are ready. The requests in flight bound how
// much is taken at once; the rest goes on when answers have left. The connection may be gone afterwards.
void conn_advance(struct conn *c);
// The same when it is its turn: operations of it have ended, or there is something to read, or room to write.
void conn_take_turn(struct conn *c);

// ---- bytes by TLS (conn_tls.c)

enum conn_io {
    CONN_IO_DONE,
    CONN_IO_WAIT, // nothing for now; an event comes when there may be
    CONN_IO_GONE, // closed by the peer, or failed; OpenSSL's error queue may say why
};

// TLS for the socket c->fd, and its events. False without memory; what was made conn_tls_close() takes down.
bool conn_tls_open(struct conn *c, event_callback_fn on_readable, event_callback_fn on_writable);
void conn_tls_close(struct conn *c);
enum conn_io conn_tls_handshake(struct conn *c);
// Reads once, up to room bytes; updates c->may_read.
enum conn_io conn_tls_read(struct conn *c, char *buf, size_t room, size_t *len);
// Sends bytes behind those that wait already and keeps what the peer does not take now; bytes are wiped. False: it
// failed, and the connection is to be dropped.
bool conn_tls_send(struct conn *c, char *bytes, size_t len);
// Sends what was kept. False: as above.
bool conn_tls_flush(struct conn *c);
// Tells the peer that nothing more will come.
void conn_tls_shutdown(struct conn *c);
// Whether events of arriving bytes are wanted.
void conn_tls_want_read(struct conn *c, bool wanted);

// Has the handshake of c->ssl end where the present access policy says that the peer's chain is revoked.
void conn_verify(struct conn *c);
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
