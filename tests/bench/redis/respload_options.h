// What bench_respload is told.
#ifndef MEC_BENCH_RESPLOAD_OPTIONS_H
#define MEC_BENCH_RESPLOAD_OPTIONS_H

#include "common/config.h"
#include "tests/bench/redis/respload_worker.h"

#define RESPLOAD_THREADS_MAX 64u
#define RESPLOAD_VALUE_MAX   (1u << 20)

struct respload_options {
    char *config, *server, *workload, *json;
    unsigned operation, names;
    uint64_t read_percent, keys, key_bytes, value_bytes, seed;
    uint64_t connections, pipeline, threads, rate;
    uint64_t operations, duration, warm_up, timeout;
    bool rounds, verify;
};

extern const struct config_spec respload_options_spec;

// "get", "set", "mixed", "load".
const char *respload_operation_name(unsigned operation);

// Fills what the options say of a run, but for its form, its gate and its start; *theta is the keyspace's.
// False and *e set: options that do not fit together.
bool respload_options_check(const struct respload_options *options, struct respload_run *run, double *theta,
                            struct error *e);

#endif
