// One thread that asks. It prepares keys in blocks, outside what is measured, asks for them one at a time, in
// batches or asynchronously, checks the answers, and counts.
//
// Closed loop: the next is asked when the last has been answered; latency is the call's. Open loop: operation
// i is due at start + i / rate, whatever happened to those before it, and its latency counts from then.
#ifndef MEC_KVSTORE_KVBENCH_WORKER_H
#define MEC_KVSTORE_KVBENCH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/histogram.h"
#include "kvstore/kvbench_target.h"

enum bench_kind { BENCH_READ, BENCH_WRITE, BENCH_KINDS };

// What a phase does: loading, touching, warming up, measuring.
struct bench_phase {
    enum bench_operation operation;
    enum workload_order order;
    uint64_t operations; // in all; 0: until stopped
    double rate;         // of all threads; 0: closed loop
    unsigned depth;
    bool timed;      // latencies are recorded
    uint64_t stream; // of random numbers
};

// What the threads of a phase share.
struct bench_shared {
    const struct bench_options *options;
    const struct bench_target_class *class;
    void *target;
    const struct workload_keyspace *space;
    struct bench_phase phase;
    unsigned threads;
    pthread_mutex_t gate;   // held until all are ready
    _Atomic unsigned ready; // threads that are
    _Atomic bool stop;
};

struct bench_counts {
    uint64_t not_found, failed, wrong, bytes;
    enum kv_status first_failure; // KV_OK: none
    uint64_t behind;              // open loop: due, and not asked when the phase ended
};

#define BENCH_BLOCK 4096u
struct bench_block {
    uint64_t numbers[BENCH_BLOCK];
    uint8_t *keys; // BENCH_BLOCK of them
    size_t at, count;
    uint64_t cursor; // of a scan
};

struct bench_worker {
    struct bench_shared *shared;
    unsigned index;
    pthread_t thread;
    void *session; // the target's
    struct workload_draw draw;
    struct workload_random coin;
    struct bench_block block;
    uint64_t quota; // operations; UINT64_MAX: until stopped
    uint64_t asked;
    uint8_t *buffers; // depth values
    struct histogram *latency[BENCH_KINDS];
    struct bench_counts counts;
    uint64_t begin, end, preparing; // ticks; preparing: spent on making keys
    double ticks_per_operation;     // open loop; 0: closed
    bool no_memory;
    _Atomic bool finished;
    _Atomic uint64_t done[BENCH_KINDS]; // for the time series
    _Atomic uint64_t worst_ns;          // since the time series last took it
};

// Everything but the thread. False without memory; bench_worker_destroy() in any case.
bool bench_worker_init(struct bench_worker *worker, struct bench_shared *shared, unsigned index);
void bench_worker_destroy(struct bench_worker *worker);
// The thread: attach, wait for the others, work, detach. arg: struct bench_worker.
void *bench_worker_main(void *arg);

// ---- for kvbench_async.c

// Runs the phase through get_async. False without memory.
bool bench_async_run(struct bench_worker *worker);
bool bench_worker_goes_on(const struct bench_worker *worker);
// The next key: *number, and its bytes as the result, valid until the block's end. NULL: a scan failed, the
// worker stops.
const uint8_t *bench_worker_next(struct bench_worker *worker, uint64_t *number);
// When the next operation is due (ticks). 0 in a closed loop.
uint64_t bench_worker_due(const struct bench_worker *worker);
// Counts a get that has been answered; from, to: ticks of its latency (0, 0: not timed).
void bench_worker_answer(struct bench_worker *worker, uint64_t number, enum kv_status status,
                         const void *value, size_t len, uint64_t from, uint64_t to);

#endif
