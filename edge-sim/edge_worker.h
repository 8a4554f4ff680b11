// The serving side of `edge-sim serve`: worker threads, each with an event loop, on one listening socket.
//
//   accept ──▶ TLS handshake (edge_conn.c; pauses while the key server works) ──▶ HTTP (edge_http.c) ──▶ close
//
// A connection lives its whole life on one loop. The key server's answer makes the descriptor of the paused
// OpenSSL job readable, which the loop watches like any socket.
#ifndef MEC_EDGE_SIM_EDGE_WORKER_H
#define MEC_EDGE_SIM_EDGE_WORKER_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/report.h"
#include "edge-sim/edge_sites.h"
#include "edge-sim/file_root.h"

// Shared by all workers; read-only but for the counters.
struct edge_shared {
    const struct edge_sites *sites;
    const struct file_root *root;
    int listen_fd;
    unsigned max_connections;
    unsigned handshake_ms; // a TLS handshake, the key server's part included
    unsigned head_ms;      // from the first byte of a request to the end of its head
    unsigned idle_ms;      // between requests, and without progress of an answer

    _Atomic unsigned connections;
    _Atomic uint64_t accepted, handshakes, handshake_failures, requests, bytes_sent;
};

struct edge_worker;

// Starts the thread. NULL and *e set on failure.
struct edge_worker *edge_worker_start(struct edge_shared *shared, struct error *e);
// Asks the worker to stop: no new connections, idle ones are closed, answers under way get drain_ms. Returns
// at once.
void edge_worker_drain(struct edge_worker *worker, unsigned drain_ms);
// Waits for the thread and frees. The key server client must still run: paused handshakes wait for its
// answers.
void edge_worker_join(struct edge_worker **worker);

#endif
