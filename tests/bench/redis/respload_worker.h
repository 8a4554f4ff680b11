// One thread of bench_respload: an epoll loop over some connections to a server of the Redis protocol, GETs
// and SETs out, replies judged.
//
// Closed loop: each connection always has `pipeline` commands under way (or, with `rounds`, sends so many
// when all before are answered, as redis-benchmark -P does); latency runs from sending. Open loop (a rate):
// commands are due on a constant schedule whatever the replies do, and latency runs from the moment one was
// due, so that a stall is paid by all that it held up (no coordinated omission).
//
// Made to cost little: no allocation, one read and one write a turn of a connection, and one buffer for what
// is read by all of them, which stays in the processor's cache.
//
// A connection that ends is not opened again: what it carried is lost, and when the last one has ended so
// does the run.
#ifndef MEC_BENCH_RESPLOAD_WORKER_H
#define MEC_BENCH_RESPLOAD_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/histogram.h"
#include "common/net.h"
#include "common/report.h"
#include "common/workload.h"
#include "tests/bench/redis/respload_command.h"

enum respload_operation { RESPLOAD_GET, RESPLOAD_SET, RESPLOAD_MIXED, RESPLOAD_LOAD };
enum respload_kind { RESPLOAD_READ, RESPLOAD_WRITE, RESPLOAD_KINDS };

// What all workers of a run share.
struct respload_run {
    struct net_addr server;
    const struct respload_form *form;
    enum respload_operation operation; // LOAD: each key is set once, in order
    enum workload_order order;
    unsigned read_percent; // MIXED
    unsigned threads, connections, pipeline;
    bool rounds, verify;
    uint64_t seed;
    double rate;                      // of all threads, a second; 0: closed loop
    uint64_t operations;              // of all threads, after the warm-up; 0: duration_ns says when it ends
    uint64_t warm_up_ns, duration_ns; // counted from start_ns, one after the other
    uint64_t timeout_ns;              // without any reply a worker gives up after so long
    uint64_t start_ns;                // set between the two waits at the gate; 0: do not begin
    pthread_barrier_t gate;           // all workers and the one who starts them
};

// Of what was begun (closed loop) or due (open loop) after the warm-up.
struct respload_counts {
    uint64_t right[RESPLOAD_KINDS];
    uint64_t missing; // GETs that found nothing
    uint64_t wrong;   // values that are not the key's, replies that do not fit the command
    uint64_t failed;  // error replies
    uint64_t lost;    // under way when a connection ended, or never answered
    uint64_t unsent;  // due, but there was no connection for it
    uint64_t connections_lost;
    uint64_t end_ns; // when the last reply came; 0: none came
};

struct respload_worker {
    // for the owner, after respload_worker_join()
    struct respload_counts counts;
    struct histogram *latency[RESPLOAD_KINDS]; // ns, of right answers
    char trouble[256];                         // the first thing that went wrong, "" if nothing did
    bool connected;
    // its own
    struct respload_run *run;
    unsigned index;
    pthread_t thread;
    struct respload_loop *loop;
};

// Starts a thread that connects and then waits twice at the run's gate; begins when start_ns is set between.
// False and *e set: no thread, nothing to join.
bool respload_worker_start(struct respload_worker *worker, struct respload_run *run, unsigned index,
                           struct error *e);
void respload_worker_join(struct respload_worker *worker);
// Frees what a joined worker holds.
void respload_worker_release(struct respload_worker *worker);

// How many of `total` worker `index` of `threads` gets.
uint64_t respload_share(uint64_t total, unsigned index, unsigned threads);
// When number n of a schedule of so many a second is due, in ns after the start.
uint64_t respload_due_ns(double rate, uint64_t n);

#endif
