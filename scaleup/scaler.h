// The loop in a server that keeps its store as large as it is worth and as the platform allows: measures, asks the policy, asks the orchestrator, sets the store's
// limit. DESIGN.md, "The scaler". Knows no store: it sees one through struct scaler_store.
//
// The core is pure (events with the time in, effects out) so that tests can run days and faults; scaler_start() puts a thread, limits.h and a rescale session around it.
#ifndef MEC_SCALEUP_SCALER_H
#define MEC_SCALEUP_SCALER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/metrics.h"
#include "common/report.h"
#include "common/tls.h"
#include "scaleup/policy.h"

struct scaler_usage {
    uint64_t store_bytes;     // what the store holds resident
    uint64_t limit_bytes;     // its limit
    uint64_t table_bytes;     // a limit with which everything would be in memory
    uint64_t hits, misses;    // since it was opened
    uint64_t hit_ns, miss_ns; // sums of their times; 0 both: not measured
    bool warming;
};

// The store, for the scaler. Called by the scaler's thread.
struct scaler_store {
    void (*usage)(void *arg, struct scaler_usage *usage);
    // Returns when the memory has been given back.
    void (*set_limit)(void *arg, uint64_t bytes);
    // The store's memory may grow to so many bytes until the next call, whatever its limit. NULL: it cannot be held back.
    void (*set_growth)(void *arg, uint64_t bytes);
    size_t (*curve)(void *arg, struct policy_point *points, size_t max);
    void *arg;
};

struct scaler_options {
    const char *address; // of scaleupd; NULL: no orchestrator
    const char *vnf;
    const struct tls_files *tls;
    struct policy_config policy;
    uint64_t
        fixed_bytes; // the store's limit without policy (only limits are followed), until somebody gives the store another; 0: the policy decides
    uint64_t reserve_bytes; // limits_create()
    uint64_t margin_bytes;  // 0: the more of 16 MiB and 3 % of the limit
    const char *root;       // limits_create(): "" but in tests
};

struct scaler;

// Learns the limits and sets the store's before it returns; then runs. NULL and *e set: options that cannot be right, limits that cannot be read.
struct scaler *scaler_start(const struct scaler_options *options, const struct scaler_store *store,
                            struct error *e);
// Stops the thread; the grant is kept until its lease ends. NULL is fine.
void scaler_stop(struct scaler **scaler);

// Takes over another policy or fixed size (a reload). Any thread.
void scaler_configure(struct scaler *scaler, const struct policy_config *policy, uint64_t fixed_bytes);

// The most that the store could have, by the last tick. Who sets the store's limit past the scaler (CONFIG SET maxmemory) goes no higher. Any thread.
uint64_t scaler_most_bytes(struct scaler *scaler);

// What the process may use, by the last tick: the least of limits and grant. Any thread.
uint64_t scaler_ceiling_bytes(struct scaler *scaler);

// For /status: a new object that the caller owns. Any thread.
json_t *scaler_status(struct scaler *scaler);
// Declares ks_memory_... gauges and counters (prefix: "ks" or "kv"). Before threads start rendering.
bool scaler_metrics(struct scaler *scaler, struct metrics *metrics, const char *prefix);

#endif
