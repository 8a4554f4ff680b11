// The command line of cachesim and storesim, and how they print what they found.
#ifndef MEC_BENCH_SIM_OPTIONS_H
#define MEC_BENCH_SIM_OPTIONS_H

#include "tests/bench/store/sim/sim.h"

#define SIM_PERCENTS 16

struct sim_options {
    struct sim_shape shape;
    bool all_workloads;    // none was named: one after the other
    const char *trace_in;  // NULL: made as `shape` says
    const char *trace_out; // NULL: not written
    const char *dir;       // where storesim makes its stores
    double percents[SIM_PERCENTS];
    size_t percent_count;
    unsigned warm_percent; // of the gets: not counted
    size_t curve;          // points of LRU's curve to print; 0: none
    bool json;
};

// Exits with status 2 and a line on stderr when the command line is wrong; prints help and exits for --help.
void sim_options_parse(struct sim_options *options, int argc, char **argv, const char *what);

// The workload's trace, made or read; written where asked. Exits with status 1 when that fails.
void sim_options_trace(const struct sim_options *options, enum sim_workload workload,
                       struct sim_trace *trace);

uint64_t sim_capacity(const struct sim_trace *trace, double percent);
size_t sim_warm_gets(const struct sim_options *options, const struct sim_trace *trace);

// Hit ratios of one trace: a row a capacity, a column a policy (the last may be the store's).
struct sim_results {
    const char *workload;
    const struct sim_trace *trace;
    const char *names[SIM_POLICIES + 1];
    size_t columns, rows;
    double percents[SIM_PERCENTS];
    double hits[SIM_PERCENTS][SIM_POLICIES + 1];
    size_t curve_points; // LRU's curve
    const uint64_t *curve_bytes;
    const double *curve_hits;
};
// Runs the simulated policies.
void sim_results_run(struct sim_results *results, const struct sim_options *options,
                     const struct sim_trace *trace, const char *workload);
// One JSON object or a table on stdout.
void sim_results_print(const struct sim_results *results, bool json);

// Prints "program: what: why" and exits with status 1.
void sim_fail(const char *what, const char *why) __attribute__((noreturn));

#endif
