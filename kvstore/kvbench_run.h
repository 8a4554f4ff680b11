// A run: load or open, touch, warm up, measure; beside the asking threads one that watches (time series, live
// line, end) and one that changes the memory limit as scheduled.
#ifndef MEC_KVSTORE_KVBENCH_RUN_H
#define MEC_KVSTORE_KVBENCH_RUN_H

#include "kvstore/kvbench_worker.h"

// One step of the time series.
struct bench_sample {
    double at_s; // its end, from the start of the measurement
    double span_s;
    uint64_t reads, writes; // in it
    uint64_t p95_ns, p99_ns, max_ns;
    uint64_t hits, misses; // in it
    uint64_t rss_bytes, limit_bytes;
};

// What a change of the memory limit did.
struct bench_changed {
    double at_s;
    uint64_t from_bytes, to_bytes;
    double call_s; // in the call
    // From its beginning until the resident size was within 5 % + 16 MiB of a lower limit; -1: not in 5 s.
    double settled_s;
    uint64_t rss_before, rss_after;
    enum kv_status status;
};

struct bench_result {
    struct histogram *latency[BENCH_KINDS];
    struct bench_counts counts;
    uint64_t operations[BENCH_KINDS];
    double seconds; // by the wall clock
    double rate;    // closed loop: without the time for making keys; else by the wall clock
    double sync_s;  // after a load: until all was on the device
    uint64_t hits, misses;
    struct bench_sample *samples;
    size_t sample_count, sample_capacity;
    struct bench_changed changed[BENCH_CHANGES_MAX];
    size_t changed_count;
    uint64_t rss_bytes, rss_peak_bytes; // at the end; largest seen in the series
};

struct bench_run {
    const struct bench_options *options;
    const struct bench_target_class *class;
    void *target;
    struct workload_keyspace space;
    char dir[4096];
    bool made_dir;
    double open_s; // opening --existing, or making the store
    bool loaded, touched;
    struct bench_result load, measured;
};

// SIGINT and SIGTERM end what runs, properly.
extern _Atomic bool bench_interrupted;

// Resident bytes of this process.
uint64_t bench_rss(void);

// Does all of it. False: *e says why. In both cases bench_run_close() follows.
bool bench_run(struct bench_run *run, const struct bench_options *options,
               const struct bench_target_class *class, struct error *e);
// Closes the store and removes what is not kept. False: *e is set.
bool bench_run_close(struct bench_run *run, struct error *e);

// ---- kvbench_phase.c

// Runs one phase with all threads; *result (zeroed) is filled, to be released by bench_result_release().
// watch: with time series, schedule and duration_us (else until the operations are done).
bool bench_phase_run(struct bench_run *run, const struct bench_phase *phase, uint64_t duration_us, bool watch,
                     struct bench_result *result, struct error *e);
void bench_result_release(struct bench_result *result);

#endif
