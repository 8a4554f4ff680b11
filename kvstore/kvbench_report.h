// The result of a run, for people and as JSON (kvbench.1 documents the members).
#ifndef MEC_KVSTORE_KVBENCH_REPORT_H
#define MEC_KVSTORE_KVBENCH_REPORT_H

#include <stdio.h>

#include "kvstore/kvbench_run.h"

void bench_print_text(const struct bench_run *run, FILE *out);
bool bench_print_json(const struct bench_run *run, FILE *out);

// The whole program: options, run, report. Returns the exit status.
int bench_main(int argc, char **argv, const struct bench_target_class *class);

#endif
