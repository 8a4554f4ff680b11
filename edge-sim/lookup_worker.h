// One thread of `edge-sim load lookup`: an event loop with some connections to a server of the Redis protocol, GETs out and replies judged, or, to fill it, SETs.
//
// Closed loop: each connection always has `pipeline` lookups under way; latency runs from sending. Open loop: lookups are due by a schedule whatever the replies
// do, and latency runs from the moment one was due, so that a stall is paid by all that it held up (no coordinated omission).
#ifndef MEC_EDGE_SIM_LOOKUP_WORKER_H
#define MEC_EDGE_SIM_LOOKUP_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/histogram.h"
#include "common/net.h"
#include "common/report.h"
#include "common/workload.h"
#include "edge-sim/lookup_schedule.h"
#include "edge-sim/lookup_series.h"

enum lookup_order { LOOKUP_UNIFORM, LOOKUP_ZIPF, LOOKUP_HOT };

// What all workers of a run share. Constant but for the atomics.
struct lookup_run {
    struct net_addr server;
    const struct workload_keyspace *keys;
    enum lookup_order order;
    uint64_t hot_keys;                      // LOOKUP_HOT: nine lookups of ten go to so many keys
    const struct lookup_schedule *schedule; // NULL: closed loop
    struct lookup_series *series;           // NULL while filling
    uint64_t duration_ns;
    uint64_t grace_ns; // for replies still outstanding at the end; 0: five seconds
    uint64_t stream;   // which of the workload's orders
    unsigned threads, pipeline;
    bool fill;                 // SET each key once instead
    bool verify;               // compare values
    _Atomic uint64_t start_ns; // set from outside when all workers are ready; 0: not yet
    _Atomic uint64_t stop_ns;  // set from outside: the run ends here, not after duration_ns; 0: not asked for
};

// Read by others while the worker runs.
struct lookup_counts {
    _Atomic uint64_t sent, outcome[LOOKUP_OUTCOMES], over_goal, connections_lost;
};

struct lookup_worker;

// Connects `connections` times, on its own thread. NULL and *e set on failure.
struct lookup_worker *lookup_worker_start(struct lookup_run *run, unsigned index, unsigned connections,
                                          uint64_t goal_ns, struct error *e);
bool lookup_worker_ready(const struct lookup_worker *worker); // all connections are open
bool lookup_worker_finished(
    const struct lookup_worker *worker); // also when the first connections could not be made
const struct lookup_counts *lookup_worker_counts(const struct lookup_worker *worker);
const struct histogram *lookup_worker_latency(const struct lookup_worker *worker); // ns, right ones
// After lookup_worker_finished(): the first thing that went wrong, "" if nothing did.
const char *lookup_worker_trouble(const struct lookup_worker *worker);
// Waits for the end and frees.
void lookup_worker_join(struct lookup_worker **worker);

#endif
