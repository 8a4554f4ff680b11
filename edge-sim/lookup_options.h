// The options of `edge-sim load lookup`.
#ifndef MEC_EDGE_SIM_LOOKUP_OPTIONS_H
#define MEC_EDGE_SIM_LOOKUP_OPTIONS_H

#include "common/config.h"
#include "common/report.h"
#include "edge-sim/lookup_worker.h"

#define LOOKUP_THREADS_MAX 64

struct lookup_options {
    char *config, *server, *workload, *schedule, *json;
    uint64_t keys, key_bytes, value_bytes, seed, stream;
    uint64_t connections, pipeline, threads, rate;
    uint64_t duration, interval, goal; // us
    bool fill, verify, quiet;
};

extern const struct config_spec lookup_options_spec;

struct lookup_workload {
    enum lookup_order order;
    double theta;         // LOOKUP_ZIPF
    unsigned hot_percent; // LOOKUP_HOT: of the keys
};

// "uniform", "zipf", "zipf:0.8", "hot", "hot:5".
bool lookup_workload_parse(const char *text, struct lookup_workload *workload, struct error *e);

// What one field's bounds cannot say, with the parts that are text parsed. *open: there is a schedule. False and *e set ("--rate: ...").
bool lookup_options_check(const struct lookup_options *options, struct net_addr *server,
                          struct lookup_workload *workload, struct lookup_schedule *schedule, bool *open,
                          struct error *e);

#endif
