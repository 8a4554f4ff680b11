// The result of `edge-sim load lookup`, for people and as JSON (edge-sim/README.md documents the members).
#ifndef MEC_EDGE_SIM_LOOKUP_REPORT_H
#define MEC_EDGE_SIM_LOOKUP_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "edge-sim/lookup_worker.h"

struct lookup_totals {
    uint64_t sent, outcome[LOOKUP_OUTCOMES], over_goal, connections_lost;
    double seconds;
    struct histogram *latency;
};

// What the command line asked for.
struct lookup_settings {
    const char *server, *workload, *schedule; // schedule NULL: closed loop
    uint64_t keys, value_bytes, goal_ns;
    unsigned connections, pipeline, threads;
    bool verify;
    uint64_t started_unix_ms;
};

// Sums the workers up. False: no memory; free with lookup_totals_release().
bool lookup_totals_collect(struct lookup_worker *const *workers, unsigned count, double seconds,
                           struct lookup_totals *totals);
void lookup_totals_release(struct lookup_totals *totals);
uint64_t lookup_totals_failed(const struct lookup_totals *totals); // all that is not right

void lookup_print_text(const struct lookup_settings *settings, const struct lookup_totals *totals, FILE *out);
// series' rows, and for each the rate that the schedule wanted (schedule NULL: none).
bool lookup_print_json(const struct lookup_settings *settings, const struct lookup_totals *totals,
                       const struct lookup_series *series, const struct lookup_schedule *schedule, FILE *out);

#endif
