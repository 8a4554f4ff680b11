// The scaler without its thread, files and sockets: readings, orchestrator's events and the time in, effects out. One thread. For scaler.c and tests.
#ifndef MEC_SCALEUP_SCALER_CORE_H
#define MEC_SCALEUP_SCALER_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "scaleup/limits.h"
#include "scaleup/policy.h"
#include "scaleup/rescale.h"
#include "scaleup/scaler.h"

enum scaler_state {
    SCALER_STEADY,
    SCALER_RAISING,      // the orchestrator has been asked for more
    SCALER_RELEASING,    // the store gives back; resident memory is not yet below the target
    SCALER_RETURNING,    // the orchestrator has been asked to take it
    SCALER_BACKING_OFF,  // refused or not answered: waits
    SCALER_ALONE,        // no orchestrator is configured
    SCALER_DISCONNECTED, // it is, but there is no connection
};
const char *scaler_state_name(enum scaler_state state);

// How rescales ended, to count them.
enum scaler_result {
    SCALER_DONE,
    SCALER_PARTIAL,
    SCALER_DEFERRED,
    SCALER_INFEASIBLE,
    SCALER_DENIED,
    SCALER_ERROR,
    SCALER_NO_ANSWER, // nothing final by the deadline and 5 s
    SCALER_NOT_FREED, // a return that was not asked for: resident memory did not come down
    SCALER_RESULTS,
};
const char *scaler_result_name(enum scaler_result result);

struct scaler_effects { // called from within the functions below; must not call the core
    void (*set_limit)(void *arg, uint64_t bytes); // of the store
    void (*request)(void *arg, const struct rescale_request *request);
    void (*reclaiming)(void *arg, const char *id, enum message_state state, uint64_t target_bytes);
    void (*log)(void *arg, bool warning, const char *event, const char *text);
    void *arg;
};

struct scaler_sample {
    struct limits_reading limits;
    struct scaler_usage usage;
    const struct policy_point *curve; // filled once a second; count 0: not this time, or too little known
    size_t curve_count;
};

struct scaler_core;

// orchestrated: there is a session, which will say RESCALE_CONNECTED or not. seed: for jitter and ids. Copies what options point to.
struct scaler_core *scaler_core_create(const struct scaler_options *options, bool orchestrated, uint64_t seed,
                                       const struct scaler_effects *effects);
void scaler_core_destroy(struct scaler_core **core);
void scaler_core_configure(struct scaler_core *core, const struct policy_config *policy,
                           uint64_t fixed_bytes);

// Every 100 ms. True: the next sample should have a curve.
bool scaler_core_tick(struct scaler_core *core, uint64_t now_ms, const struct scaler_sample *sample);
void scaler_core_event(struct scaler_core *core, uint64_t now_ms, const struct rescale_event *event);
void scaler_core_response(struct scaler_core *core, uint64_t now_ms, const struct response *response);

// What /status and the metrics say.
struct scaler_view {
    enum scaler_state state;
    bool connected, asked; // asked: a rescale is under way
    uint64_t granted_bytes, granularity, min_bytes,
        max_bytes;          // of the orchestrator; granted 0: it has said nothing
    uint64_t ceiling_bytes; // the least of grant and limits
    uint64_t target_bytes, need_bytes, store_limit_bytes, other_bytes, margin_bytes;
    uint64_t most_bytes;      // for the store, as of now
    uint64_t reclaim_bytes;   // the most while a reclaim stands; 0: none
    uint64_t raises, returns; // that were granted or taken back in full
    uint64_t results[SCALER_RESULTS];
    uint64_t reclaims, unexpected; // unexpected: answers that nothing waited for
    uint64_t over_ceiling;         // ticks on which more was used than allowed
    uint64_t backoff_until_ms;     // of what waits for it, else 0
    struct policy_decision decision;
    struct scaler_sample sample; // the latest; curve not to be used
    message_text last_answer;    // "partial: 512mb of 1gb" or the last error
};
void scaler_core_view(const struct scaler_core *core, struct scaler_view *view);

#endif
