// How much memory is wanted: measurements in, a target out. Pure: no clock, no I/O, no memory of its own but struct policy_state, which the caller keeps. DESIGN.md says
// the rules in words. One thread at a time on a state.
#ifndef MEC_SCALEUP_POLICY_H
#define MEC_SCALEUP_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_CURVE_MAX 256

struct policy_config {             // 0: the default in brackets
    uint64_t min_bytes, max_bytes; // of the process in all [0, no bound]
    uint64_t granularity;          // targets are multiples of it [2 MiB]
    double hit_goal;               // 0..1 [none]
    double lookup_goal_us;         // mean [none]. Without any goal, device_reads or price: hit_goal 0.95
    double device_reads;           // misses a second that the device serves well [no bound]
    double gib_hour_price;         // of memory; with miss_price: what one is ready to pay [none]
    double miss_price;             // of a million misses, in the same money
    double raise_threshold;        // room above the need, and the least raise that is made at once [0.05]
    double return_threshold;       // the need must be below by this share of what there is [0.15]
    uint64_t return_after_ms;      // [60,000]
    uint64_t cooldown_ms;          // from a raise to a return, at most 300,000 [return_after_ms]
    double return_step;            // at most this share at once [0.25]
    uint64_t horizon_ms;           // how far ahead load is expected [30,000]
    double psi_some_high, psi_full_high; // percent over 10 s [10, 1]
};

struct policy_point {
    uint64_t bytes; // of the store's limit
    double hit_ratio;
};

struct policy_input {
    uint64_t now_ms;        // any clock that only goes forward
    uint64_t current_bytes; // what the process may use at present
    uint64_t other_bytes;   // what it uses beside the store, margin included
    uint64_t
        table_bytes; // a store limit with which everything is in memory; more is never asked for; 0: not known
    double load;     // gets/s since the last call
    double hit_ratio;                 // measured since the last call; negative: nothing was asked
    double hit_us, miss_us;           // mean times; 0: not known
    const struct policy_point *curve; // ascending in bytes and hit ratio
    size_t curve_count;               // 0: too little known
    double psi_some, psi_full;        // avg10, percent; negative: not known
};

enum policy_reason {
    POLICY_STEADY,   // within the thresholds
    POLICY_UNKNOWN,  // too little asked for to say: what there is stays
    POLICY_GOAL,     // raise: the goal is not met
    POLICY_AHEAD,    // raise: load is coming
    POLICY_SURPLUS,  // return: less is enough
    POLICY_PRICE,    // return: it does not pay
    POLICY_IDLE,     // return to the minimum: nothing is asked for
    POLICY_PRESSURE, // return: the machine is short of memory
    POLICY_BOUNDS,   // minimum or maximum
    POLICY_COOLING,  // a return is due but too early
};
const char *policy_reason_name(enum policy_reason reason);

// Zero to begin with.
struct policy_state {
    bool known;
    double level, trend; // of the load: Holt's double exponential smoothing
    uint64_t level_at_ms;
    double hit_us, miss_us; // smoothed; 0: never known
    uint64_t size_bytes;    // current_bytes of the call before
    bool below; // the need is below the return threshold, since below_since_ms; highest_need: since then
    uint64_t below_since_ms, highest_need;
    bool wanting; // a raise too small to be made at once is due, since wanting_since_ms
    uint64_t wanting_since_ms;
    bool raised, returned; // returned: the latest change of size that was asked for was a return
    uint64_t raised_at_ms, returned_at_ms;
    unsigned regrets; // returns that were followed by a raise; each doubles the wait for the next
    uint64_t regrets_at_ms;
    bool pressed, relieved; // relieved: pressure has been low since relieved_at_ms
    uint64_t stepped_at_ms, relieved_at_ms, pressed_target;
    unsigned strikes; // times that pressure came back soon; each doubles the wait for a raise
    uint64_t released_at_ms;
};

struct policy_decision {
    uint64_t target_bytes; // what the process should be allowed to use in all; current_bytes: nothing to do
    uint64_t need_bytes;   // the least that meets the goal, before thresholds and calm; for status
    double expected_load;
    double predicted_hit_ratio; // at the target; negative: not known
    enum policy_reason reason;
};

// NULL, or what cannot be right in the configuration.
const char *policy_config_check(const struct policy_config *config);
struct policy_decision policy_decide(const struct policy_config *config, const struct policy_input *input,
                                     struct policy_state *state);

#endif
