// What happened in each interval of a run: counts by outcome and percentiles of latency, binned by when the answer came. Any number of threads count; one thread
// closes intervals as they pass. A ring of histograms is enough for runs of any length: what is closed is a row of numbers.
#ifndef MEC_EDGE_SIM_LOOKUP_SERIES_H
#define MEC_EDGE_SIM_LOOKUP_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lookup_outcome {
    LOOKUP_RIGHT,      // the value (checked when that was asked for)
    LOOKUP_MISSING,    // no such key
    LOOKUP_WRONG,      // another value
    LOOKUP_ERROR,      // the server answered with an error
    LOOKUP_LOST,       // its connection died before the answer
    LOOKUP_UNANSWERED, // no answer when the run had ended and a grace had passed
    LOOKUP_OUTCOMES,
};
// "right"; never NULL.
const char *lookup_outcome_name(enum lookup_outcome outcome);

struct lookup_row {
    uint64_t count[LOOKUP_OUTCOMES];
    uint64_t over_goal; // of the right ones
    uint64_t p50_ns, p99_ns, p999_ns, max_ns;
};

struct lookup_series;

// goal_ns: latencies above it are counted. NULL: no memory.
struct lookup_series *lookup_series_create(uint64_t interval_ns, uint64_t goal_ns);
void lookup_series_destroy(struct lookup_series **series);

// since_ns: since the start of the run. latency_ns is used for LOOKUP_RIGHT only. Any thread.
void lookup_series_count(struct lookup_series *series, uint64_t since_ns, enum lookup_outcome outcome,
                         uint64_t latency_ns);
// Closes the intervals that ended long enough ago that nobody counts in them any more; with all, everything up to that moment. One thread.
// False: no memory; the series then stays as it is.
bool lookup_series_close(struct lookup_series *series, uint64_t since_ns, bool all);
// The closed rows, until the next close.
const struct lookup_row *lookup_series_rows(const struct lookup_series *series, size_t *count);
uint64_t lookup_series_interval(const struct lookup_series *series);

#endif
