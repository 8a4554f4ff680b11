// The result of bench_respload: the sum of its workers, as text and as JSON.
#ifndef MEC_BENCH_RESPLOAD_REPORT_H
#define MEC_BENCH_RESPLOAD_REPORT_H

#include <stdio.h>

#include "tests/bench/redis/respload_options.h"

struct respload_result {
    struct respload_counts counts;
    struct histogram *latency[RESPLOAD_KINDS], *all;
    double seconds; // from the end of the warm-up to the last reply
    char trouble[256];
};

// False without memory; release is fine then, too.
bool respload_result_init(struct respload_result *result);
void respload_result_release(struct respload_result *result);
// After the worker has been joined.
void respload_result_add(struct respload_result *result, const struct respload_worker *worker);
// When all have been added.
void respload_result_close(struct respload_result *result, const struct respload_run *run);

// Something was answered, and nothing otherwise than it should be.
bool respload_result_is_good(const struct respload_result *result);

void respload_print_text(const struct respload_result *result, FILE *out);
// False: out could not be written, or no memory.
bool respload_print_json(const struct respload_result *result, const struct respload_options *options,
                         FILE *out);

#endif
