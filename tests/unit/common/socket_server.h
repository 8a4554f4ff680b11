// A server that a test plays: listens on loopback, and each connection gets a thread that does what the test says.
#ifndef SOCKET_SERVER_H
#define SOCKET_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "common/net.h"

#define SOCKET_SERVER_CLIENTS 64u // in its whole life

struct socket_server {
    struct net_addr addr;
    _Atomic unsigned connections; // so far
    // Private.
    int listener;
    pthread_t thread, clients[SOCKET_SERVER_CLIENTS];
    void (*serve)(void *arg, int fd);
    void *arg;
};

// serve talks to one connection, on its own thread, and returns; the socket is closed then. Fails the running test itself when it cannot.
void socket_server_start(struct socket_server *server, void (*serve)(void *arg, int fd), void *arg);
// Waits for all connections to have ended: the peers must have closed theirs.
void socket_server_stop(struct socket_server *server);

// All of it, unless the peer goes away.
void socket_server_send(int fd, const void *bytes, size_t len);

#endif
