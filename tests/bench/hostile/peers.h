// Peers that mean no good, for tests/bench/hostile/run: what each of them does, and what they share.
//
// Each has an address of its own out of 127.0.0.0/8 (--share N: N have one together), as a flood that comes from many hosts. Those that get past
// the handshake have a certificate of the key server's CA: an edge that was taken over.
#ifndef MEC_BENCH_PEERS_H
#define MEC_BENCH_PEERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/ssl.h>

#include "common/net.h"

struct peers {
    struct net_addr server;
    SSL_CTX *tls;
    char *request; // one whole request that the server answers
    size_t request_len;
    unsigned char *hello; // a ClientHello as it goes over the wire
    size_t hello_len;
    unsigned count, share;
    atomic_bool stop;
    // What came of it, by all threads.
    atomic_uint_fast64_t connects; // connections begun
    atomic_uint_fast64_t failed;   // of these, refused or ended before they were of use
    atomic_uint_fast64_t turns;    // of a flood: what it does, done once
    atomic_uint_fast64_t ended;    // by the server, later on
};

// ---- connections (peers_net.c)

// A blocking connection from the address of peer number `who`, whose calls give up after a second; -1 when it cannot be had.
int peers_connect(struct peers *p, unsigned who);
// The same with TLS, the handshake done, the client's certificate shown. NULL: none.
SSL *peers_connect_tls(struct peers *p, unsigned who);
// Closes socket and TLS. abort: by a reset, so that nothing of it stays at either end.
void peers_close(SSL **ssl, bool abort);
void peers_close_socket(int fd, bool abort);
// Makes p->hello.
bool peers_record_hello(struct peers *p);

// ---- what they do; each returns when p->stop is set

// All of them past the handshake, then silent. `ready` is called once when they are.
void peers_idle(struct peers *p, void (*ready)(void));
// In thirds: a handshake, a request's head and a request's body, each a byte every 100 ms; who is closed comes again.
void peers_slow(struct peers *p, void (*ready)(void));

// One turn of a flood by peer `who`.
typedef void (*peers_flood)(struct peers *p, unsigned who);
void peers_flood_connect(struct peers *p, unsigned who); // a connection and nothing on it
void peers_flood_garbage(struct peers *p, unsigned who); // random bytes for a handshake
void peers_flood_hello(
    struct peers *p,
    unsigned who); // a recorded ClientHello: half a handshake, which costs the sender nothing
void peers_flood_handshake(struct peers *p, unsigned who); // whole handshakes
void peers_flood_deaf(struct peers *p, unsigned who);      // requests without end, no answer is read
void peers_flood_reset(struct peers *p, unsigned who);     // twenty requests, then a reset

#endif
