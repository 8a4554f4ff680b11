// The keyserver's metrics (names after PROMETHEUS naming conventions), declared in one place.
#ifndef MEC_KEYSERVER_STATS_H
#define MEC_KEYSERVER_STATS_H

#include "common/metrics.h"
#include "common/report.h"
#include "keyserver/access.h"
#include "keyserver/engine_choice.h"
#include "keyserver/keyop.h"

enum stats_timeout { TIMEOUT_HANDSHAKE, TIMEOUT_IDLE, TIMEOUT_WRITE, TIMEOUTS };

struct stats {
    struct metrics *metrics;
    struct metric_counter *requests[2][3][SKI_STATUSES]; // method, key type (0: none, RSA, EC), status
    struct metric_counter *unparsed;                     // operations whose body was malformed
    struct metric_counter *unread;                       // denied before their body was looked at
    struct metric_counter *migration[SKI_STATUSES];      // of the migration listener, by status
    struct metric_counter *refused;                      // HTTP errors
    struct metric_counter *busy[KEYOP_BUSY_REASONS];     // from 1: why operations were refused
    struct histogram *waited, *worked[3], *lookup;       // ns; worked by key type
    struct histogram *duration;                          // ns from a request's last byte to its result
    struct metric_counter *cache_hits, *cache_misses;
    struct metric_counter *connections, *rejected, *edge_rejected, *handshakes, *resumed, *handshake_failures,
        *shed;
    struct metric_counter *timeouts[TIMEOUTS];
    // The access policy: decisions (denials by reason), connections closed, loads (0: failed).
    struct metric_counter *policy_allowed, *policy_denied[ACCESS_REASONS], *policy_revoked, *policy_loads[2];
    struct metric_counter *changes; // of the store through the control socket
    // RSA operations: batches by size and fill (less one), singles by size (last: any other), lanes without a result.
    struct metric_counter *rsa_batches[ENGINE_SIZES][ENGINE_LANES], *rsa_singles[ENGINE_SIZES + 1];
    struct metric_counter *rsa_faults, *rsa_refused, *rsa_no_random;
    struct histogram *rsa_gathered; // ns that operations with their keys waited for others or for a thread
};

bool stats_setup(struct stats *stats, struct error *e);
void stats_teardown(struct stats *stats);

// Why an operation is SKI_BUSY, for logs and metrics: "queue_full", ...; "" when it is not.
const char *stats_busy_word(enum keyop_busy busy);

// Counts a finished operation.
void stats_count(struct stats *stats, const struct keyop *op);

#endif
