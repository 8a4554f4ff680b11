// One thread of a load generator: an event loop, some connections of its own, requests out and answers
// judged.
//
// Closed loop: each connection always has in_flight requests under way; latency runs from sending. Open loop:
// requests are due at a constant rate whatever the answers do, and latency runs from the moment a request was
// due, so that a key server that stalls is charged for all that should have been asked meanwhile (no
// coordinated omission).
#ifndef MEC_EDGE_SIM_LOAD_WORKER_H
#define MEC_EDGE_SIM_LOAD_WORKER_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/histogram.h"
#include "edge-sim/load_requests.h"
#include "edge-sim/ski_endpoint.h"

struct load_worker_config {
    struct ski_endpoint *endpoint;
    unsigned connections;
    unsigned in_flight;
    double rate; // requests/s of this worker; 0: closed loop
    uint64_t duration_ns;
    unsigned verify_every; // 0: ECDSA signatures are not verified
    _Atomic bool *stop;    // set from outside: end early
};

// Read by others while the worker runs.
struct load_counts {
    _Atomic uint64_t sent;
    _Atomic uint64_t
        outcome[SKI_STATUS_COUNT]; // SKI_UNREACHABLE: its connection died; SKI_TIMEOUT: no answer by the end
    _Atomic uint64_t wrong;        // among SKI_OK
    _Atomic uint64_t verified;     // SKI_OK answers found right
    _Atomic uint64_t connected, connections_lost;
    _Atomic uint64_t retried;      // sent again by another connection; `sent` counts them once
    _Atomic uint64_t started_ns, ended_ns; // 0: not yet
};

struct load_worker;

// Takes the pool over. Starts connecting on its own thread; the clock starts when all connections are open.
// NULL and *e set on failure.
struct load_worker *load_worker_start(const struct load_worker_config *config, struct load_pool *pool,
                                      struct error *e);
bool load_worker_finished(const struct load_worker *worker);
const struct load_counts *load_worker_counts(const struct load_worker *worker);
// Latencies in ns of the right answers of one kind.
const struct histogram *load_worker_latency(const struct load_worker *worker, unsigned kind);
// The same of the answers that said busy (503).
const struct histogram *load_worker_busy(const struct load_worker *worker);
struct load_pool *load_worker_pool(const struct load_worker *worker);
// After load_worker_finished: the first thing that went wrong, "" if nothing did.
const char *load_worker_trouble(const struct load_worker *worker);

// Waits for the end and frees.
void load_worker_join(struct load_worker **worker);

#endif
