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

// Takes over the socket and starts the handshake; on failure it is closed and accounted as closed.
void conn_open(struct loop *loop, int fd, const struct net_addr *addr);

// One of the connection's operations is done: sends every answer whose turn it is. The connection may be gone
// afterwards.
void conn_answer_ready(struct conn *conn);

// What all connections hold is too much: closes those of the loop that hold most. Not from within a connection's callback.
void conn_shed(struct loop *loop);

// A policy was loaded: closes those of the loop whose certificate is revoked. Not from within a connection's callback.
void conn_recheck(struct loop *loop);

// Draining: idle connections close now, the others when their answers are out.
void conn_drain_all(struct loop *loop);
void conn_drop_all(struct loop *loop);

#endif
