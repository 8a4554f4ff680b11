// One connection to a key server on one event loop: mutual TLS, requests out, answers in, in order. It knows
// nothing of what a request means: the owner (the client's pool, the load generator) counts answers against
// what it sent.
//
// Everything here runs on the thread of the event base. The owner may not destroy a connection inside its
// opened or answer callback; in closed and anywhere else it may.
#ifndef MEC_EDGE_SIM_SKI_CONN_H
#define MEC_EDGE_SIM_SKI_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

#include "edge-sim/ski_endpoint.h"
#include "edge-sim/ski_message.h"

struct ski_conn;

struct ski_conn_owner {
    void (*opened)(void *arg); // the handshake is done, the server is who it should be
    // The next answer. The output is wiped after the call. Bytes sent in here leave together when the batch
    // of answers has been handed over.
    void (*answer)(void *arg, const struct ski_answer *answer);
    // The connection is gone: refused, timed out, closed by the peer, garbage received. Called once, as the
    // last; only ski_conn_destroy() and the queries are left to call.
    void (*closed)(void *arg, const char *why);
};

// Begins to connect. NULL and *e set only without memory or descriptors.
struct ski_conn *ski_conn_open(struct event_base *base, struct ski_endpoint *endpoint, unsigned timeout_ms,
                               const struct ski_conn_owner *owner, void *arg, struct error *e);

// Queues bytes to send. False without memory or on a connection that is closing; then nothing is queued.
bool ski_conn_send(struct ski_conn *conn, const char *data, size_t len);
// Writes what is queued, as far as the socket takes it; the rest follows by itself. Never calls back.
void ski_conn_flush(struct ski_conn *conn);

// Gives the connection up: closed() comes from the loop. Allowed in every callback.
void ski_conn_give_up(struct ski_conn *conn, const char *why);

// A part of the next answer has arrived.
bool ski_conn_mid_answer(const struct ski_conn *conn);
// When bytes last arrived (CLOCK_MONOTONIC, ns); when it was opened, before the first.
uint64_t ski_conn_last_read_ns(const struct ski_conn *conn);

// Closes without ceremony. Sets *conn to NULL; NULL is fine. No callback comes.
void ski_conn_destroy(struct ski_conn **conn);

#endif
