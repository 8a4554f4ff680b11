// The policy simulator: days of load against a store whose hit ratio follows the exact curve of its load, and an orchestrator that takes its time. The policy is the
// real one (scaleup/policy.h); all else here is a model. Second by second, and twice the same.
#ifndef MEC_TESTS_POLICYSIM_H
#define MEC_TESTS_POLICYSIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"
#include "scaleup/policy.h"

#define POLICYSIM_POINTS 96

// What is asked for in one second.
struct policysim_load {
    double gets;      // a second
    double zipf;      // exponent of the popularity over the working set; 0: uniform
    double set_bytes; // the working set
    double phase;     // where it is: all of it is elsewhere after 1
};

struct policysim_trace {
    char name[64];
    double dataset_bytes;
    size_t seconds;
    struct policysim_load *loads; // one a second; owned
};

// A recorded trace: lines "second,gets,zipf,set_mb,phase", straight lines between them; "# key value" before: dataset_mb, hours (the rows are repeated so long), noise (share),
// seed. False and *e set: cannot be read.
bool policysim_trace_read(const char *path, struct policysim_trace *trace, struct error *e);
// A made-up day. The same seed is the same day. False: no memory.
bool policysim_trace_make(uint64_t seed, struct policysim_trace *trace);
void policysim_trace_free(struct policysim_trace *trace);

// A number from 0 to 1, and the next seed.
double policysim_random(uint64_t *seed);

// The share of gets that the hottest bytes of the working set answer: exact.
double policysim_hits(const struct policysim_load *load, double bytes);
// The least that has this share of hits.
double policysim_bytes_for(const struct policysim_load *load, double ratio);
// As much as pays: the last value in it saves in an hour as much as it costs. Prices of a byte and hour, and of the hits of one get a second in an hour.
double policysim_bytes_worth(const struct policysim_load *load, double byte_price, double hit_price);
// A curve as a store would give it, for its limit.
size_t policysim_curve(const struct policysim_load *load, double dataset_bytes, double error,
                       struct policy_point *points, size_t max);

struct policysim_machine {                // the model's figures
    double device_bytes;                  // a second, to warm from
    double device_reads;                  // a second, at which the device is full
    double raise_seconds, return_seconds; // of the orchestrator
    double curve_error;                   // share by which the sizes of the curve wander about
    double curve_seconds;                 // how long the curve takes to follow the load
};

struct policysim_policy {
    const char *name;
    struct policy_config config;
};

struct policysim_second { // for the plot
    double gets, size, need, hit;
};

struct policysim_result {
    double hours;
    double memory, needed,
        oracle; // GiB hours: used; what was needed each second; of one who knows the future and stays a minute
    double gets, missed,
        late; // gets judged; of these while the size was too small for the goal; while the store did not reach it (warm-up too)
    unsigned changes, reversals, worst_hour; // worst_hour: most reversals within an hour
    double overload;                         // gets while the device was asked for more than it can serve
    struct policysim_second *seconds;        // owned; one a second
};

// False: no memory.
bool policysim_run(const struct policysim_trace *trace, const struct policysim_policy *policy,
                   const struct policysim_machine *machine, struct policysim_result *result);
void policysim_result_free(struct policysim_result *result);
void policysim_plot(const struct policysim_trace *trace, const struct policysim_policy *policy,
                    const struct policysim_result *result);

#endif
