// A connection of an edge: TLS, HTTP/1.1 with keep-alive and pipelining, requests in flight, answers in
// order.
//
//   accept ──▶ handshake ──▶ open ⇄ (reading a request | operations in flight | answers leaving) ──▶ closing
//   ──▶ gone
//
// Everything a peer controls has a bound: time for the handshake, for a request, for taking answers, of
// idling; size of head and body; requests in flight (then it is not read from). All functions run on the
// connection's loop.
#ifndef MEC_KEYSERVER_CONN_H
#define MEC_KEYSERVER_CONN_H

#include "common/net.h"
#include "keyserver/loop.h"

// Takes over the socket and starts the handshake, of the migration listener or of the other; on failure it is closed and
// accounted as closed.
void conn_open(struct loop *loop, int fd, const struct net_addr *addr, bool migration);

// The connection has operations that are done, or more to read: conn_run_ready() will go on with it.
void conn_mark_ready(struct conn *conn);
// Goes on with connections that are marked, for a part of a round, and edges take turns (conn_turns.h): sends the answers that are due,
// together, and takes what there is room for. A connection may be marked again meanwhile.
void conn_run_ready(struct loop *loop);

// Goes on with handshakes and makes connections of accepted sockets, oldest first, for a part of a round: one step costs as much
// as a dozen requests, and those who flood with them are to take no more of the loop than that. At least one step of each
// is done each time, so that edges get in whatever the others ask for.
void conn_run_handshakes(struct loop *loop);

// What all connections hold is too much: closes those of the loop that hold most. Not from within a connection's callback.
void conn_shed(struct loop *loop);

// A policy was loaded: closes those of the loop whose certificate is revoked. Not from within a connection's callback.
void conn_recheck(struct loop *loop);

// Draining; to be called again and again, as connections come to their ends one by one:
//   requests in flight      no more are read; the last answer says "Connection: close"
//   in a request            it is waited for, as ever
//   answered before, idle   closed after a moment: a request that it sends by then is answered so, and a client has to be
//                           ready to send one again that crosses with the close (RFC 9112, 9.3.1)
//   not answered yet        waited for until --drain-grace: a client does not expect such a connection to be closed
//   in the handshake        the same, as long as nothing has come at all
void conn_drain_all(struct loop *loop);
void conn_drop_all(struct loop *loop);

#endif
