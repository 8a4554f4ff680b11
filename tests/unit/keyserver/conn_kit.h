// Connections for tests: a server of two loops, without listener, store and crypto threads, and peers by socket pairs.
// Requests to it must not be operations.
#ifndef MEC_TESTS_KEYSERVER_CONN_KIT_H
#define MEC_TESTS_KEYSERVER_CONN_KIT_H

#include "kit.h"

#include <openssl/ssl.h>

#include "keyserver/server.h"

#define CONN_KIT_LOOPS 2
#define CONN_KIT_PEERS 8

struct conn_kit_peer {
    SSL *ssl;
    int fd;
};

extern struct options
    conn_kit_options; // body_max and max_connections_per_edge are as they were after each set-up
extern struct server conn_kit_server;
extern struct conn_kit_peer conn_kit_peers[CONN_KIT_PEERS];

// Set-up and teardown of each test. The latter fails when what connections hold does not add up.
int conn_kit_set_up(void **state);
int conn_kit_tear_down(void **state);

// A connected socket of which the loop has the other end.
int conn_kit_socket(unsigned loop);
// TLS of a peer's for its socket, before the handshake; the peer's from then on.
SSL *conn_kit_client(size_t peer);
// A peer comes to a loop and shakes hands, at the migration listener from an address; says something; is gone.
void conn_kit_come(size_t peer, unsigned loop);
void conn_kit_come_to_migration(size_t peer, unsigned loop, const struct net_addr *addr);
void conn_kit_say(size_t peer, const char *bytes, size_t len);
void conn_kit_hang_up(size_t peer);
// It is answered a request.
bool conn_kit_is_served(size_t peer);
// Nothing comes any more but the end.
bool conn_kit_is_closed(size_t peer);

#endif
