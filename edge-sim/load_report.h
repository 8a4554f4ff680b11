// The result of a load run, for people and as JSON (edge-sim/README.md documents the members).
#ifndef MEC_EDGE_SIM_LOAD_REPORT_H
#define MEC_EDGE_SIM_LOAD_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "edge-sim/load_worker.h"

struct load_totals {
    uint64_t sent, answers, ok, wrong, verified, connected, connections_lost, retried;
    uint64_t outcome[SKI_STATUS_COUNT];
    double seconds;            // from the first clock's start to the last one's end
    struct histogram *latency; // of all kinds
    struct histogram *busy;    // of answers that said busy
};

// What the command line asked for.
struct load_settings {
    const char *keyserver, *method;
    unsigned connections, in_flight, threads;
    double rate; // 0: closed loop
};

// Sums the workers up as they stand. False without memory; free with load_totals_release.
bool load_totals_collect(struct load_worker *const *workers, unsigned count, struct load_totals *totals);
void load_totals_release(struct load_totals *totals);

void load_print_text(const struct load_totals *totals, struct load_worker *const *workers, unsigned count,
                     FILE *out);
bool load_print_json(const struct load_settings *settings, const struct load_totals *totals,
                     struct load_worker *const *workers, unsigned count, FILE *out);

#endif
