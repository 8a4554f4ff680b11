// What the files of the scaler's core share. Two measures of size: what the process may use ("process": resident memory against limits), and what the orchestrator
// grants ("grant"). They differ by what the platform keeps of a grant (a guest's kernel and reserve, a memory.high below memory.max): `overhead`.
#ifndef MEC_SCALEUP_SCALER_INTERNAL_H
#define MEC_SCALEUP_SCALER_INTERNAL_H

#include "scaleup/scaler_core.h"

#define SCALER_TICK_MS         100u
#define SCALER_GROWING_TICK_MS 10u
#define SCALER_DECIDE_MS       1000u
#define SCALER_RAISE_MS        10000u // deadline of a raise: reclaims from others take their time
#define SCALER_RETURN_MS       30000u
#define SCALER_SILENCE_MS      5000u  // after the deadline, until it counts as not answered
#define SCALER_RELEASE_MS      10000u // for resident memory to come down
#define SCALER_RECLAIM_MS      60000u // for which a reclaim's target is the most
#define SCALER_BACKOFF_MIN_MS  1000u
#define SCALER_BACKOFF_MAX_MS  300000u
#define SCALER_RETRY_MAX_MS    3600000u // a retry_ms beyond is not believed
#define SCALER_SETTLE_MS                                                                                     \
    2000u // after a change of the grant, until the platform's limits say what it keeps of it
#define SCALER_EVERYTHING   UINT64_MAX // as a wish: all that ceiling and grant allow
#define SCALER_OVERHEAD_MIN (256ull << 20)
#define SCALER_MARGIN_MIN   (16ull << 20)
#define SCALER_LOG_BURST    20u // lines that an orchestrator can cause at once; then one a second

struct scaler_ask { // a rescale: under way (active), or not answered and to be asked again (silent)
    bool active, silent, raise, pressed;
    message_name id, reclaim;
    uint64_t target_bytes;  // as asked: grant
    uint64_t process_bytes; // a return: what may be used from now on
    uint64_t silent_at_ms;
};

struct scaler_release { // the store gives back, before a return is asked for
    bool active, pressed;
    message_name reclaim;
    uint64_t target_bytes, process_bytes; // as in struct scaler_ask
    uint64_t until_ms;
};

struct scaler_reclaim {
    message_name id;
    uint64_t target_bytes; // grant; 0: none stands
    uint64_t until_ms;
    bool open; // not yet carried out
};

struct scaler_backoff {
    uint64_t delay_ms, until_ms;
};

struct scaler_core {
    struct policy_config policy;
    struct policy_state policy_state;
    uint64_t fixed_bytes, margin_option;
    struct scaler_effects effects;
    uint64_t random, next_id, seed;

    bool orchestrated, connected, welcomed;
    uint64_t granted_bytes, granularity, min_bytes, max_bytes;
    uint64_t granted_at_ms;

    bool sampled;
    struct scaler_sample sample;
    uint64_t overhead_bytes;
    uint64_t wanted_bytes; // process, or SCALER_EVERYTHING
    uint64_t begun_bytes;  // process: what the size to begin with comes to
    uint64_t set_bytes;    // the store's limit as we last left it
    uint64_t will_bytes;   // scaler_will() as of the last follow
    bool over;

    bool curve_due;
    bool wish_raise, wish_return; // of the last decision, not fulfilled
    uint64_t decided_ms;
    uint64_t hits, misses, hit_ns, miss_ns; // at the last decision

    struct scaler_ask ask;
    message_name former; // the ask before, which ended without a final answer: one may come yet
    struct scaler_release release;
    struct scaler_reclaim reclaim;
    struct scaler_backoff raise_wait, return_wait;

    uint64_t log_tokens, log_at_ms, log_dropped;
    struct scaler_view view; // counters, decision and answers; the rest is filled in by scaler_core_view()
};

static inline uint64_t scaler_less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static inline uint64_t scaler_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t scaler_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

// ---- scaler_sizes.c: arithmetic on the last sample

uint64_t scaler_grant(const struct scaler_core *core);   // SCALER_EVERYTHING: none is known
uint64_t scaler_ceiling(const struct scaler_core *core); // least of grant and limits
uint64_t scaler_will(const struct scaler_core *core);    // process: least of grant, wish and reclaim
uint64_t scaler_cap(const struct scaler_core *core);     // and of the limits
uint64_t scaler_margin(const struct scaler_core *core, uint64_t bound);
// What counts against the grant: of the process, or of its group where the group's limit is what enforces the grant.
uint64_t scaler_used(const struct scaler_core *core);
uint64_t scaler_other(const struct scaler_core *core);
// The most for the store, with the process within `cap`; a fixed size not looked at.
uint64_t scaler_store_limit(const struct scaler_core *core, uint64_t cap);
// Rounds up to the orchestrator's granularity.
uint64_t scaler_round(const struct scaler_core *core, uint64_t bytes);
// Process to grant, rounded, within the orchestrator's bounds.
uint64_t scaler_to_grant(const struct scaler_core *core, uint64_t process);
void scaler_learn_overhead(struct scaler_core *core, uint64_t now_ms);
// Sets the store's limit to what is right now: falls always, rises of more than a dead band or when something else than `others` has changed.
void scaler_follow(struct scaler_core *core);

// ---- scaler_decide.c

void scaler_decide(struct scaler_core *core, uint64_t now_ms);
// Starts counting gets from the last sample on.
void scaler_count_from_here(struct scaler_core *core, uint64_t now_ms);

// ---- scaler_ask.c

void scaler_raise(struct scaler_core *core, uint64_t now_ms, uint64_t target, const char *reason);
// First the store gives back, then the return is asked for.
void scaler_return(struct scaler_core *core, uint64_t now_ms, uint64_t process, bool pressed,
                   const char *reclaim);
// Releases that are done or given up, requests that were not answered, those to be asked again.
void scaler_drive(struct scaler_core *core, uint64_t now_ms);
void scaler_back_off(struct scaler_core *core, struct scaler_backoff *wait, uint64_t now_ms,
                     uint64_t least_ms);
void scaler_take_grant(struct scaler_core *core, uint64_t now_ms, uint64_t granted, uint64_t granularity);

// ---- scaler_events.c

void scaler_drive_reclaim(struct scaler_core *core, uint64_t now_ms);

// ---- scaler_core.c

void scaler_log(struct scaler_core *core, uint64_t now_ms, bool warning, const char *event,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
