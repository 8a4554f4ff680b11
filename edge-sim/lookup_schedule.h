// The rate of an open loop over time, and from it when each operation is due. Pure; constant after parsing.
//
//   "0s=1000,10s=20000,30s~5000"   TIME=RATE: from TIME on so many a second; TIME~RATE: reached at TIME, in a straight line from the rate before.
//
// The last rate stays. Operation n is due when the sum of the rate over time reaches n.
#ifndef MEC_EDGE_SIM_LOOKUP_SCHEDULE_H
#define MEC_EDGE_SIM_LOOKUP_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"

#define LOOKUP_STEPS_MAX 256
#define LOOKUP_RATE_MAX  10000000u

struct lookup_step {
    uint64_t at_ns;
    double rate;  // at its beginning, a second
    double slope; // of the rate, a second and second
    double first; // number of the first operation
};

struct lookup_schedule {
    struct lookup_step steps[LOOKUP_STEPS_MAX];
    size_t count;
};

// False and *e set: text that is no schedule, times that do not rise, a first step that is not 0s=RATE.
bool lookup_schedule_parse(const char *text, struct lookup_schedule *schedule, struct error *e);
void lookup_schedule_constant(struct lookup_schedule *schedule, uint64_t rate);

double lookup_schedule_rate(const struct lookup_schedule *schedule, uint64_t at_ns);
// When operation n (from 0) is due, ns after the start; UINT64_MAX: never.
uint64_t lookup_schedule_due(const struct lookup_schedule *schedule, uint64_t n);

#endif
