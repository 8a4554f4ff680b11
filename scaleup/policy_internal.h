// Between the policy's files; not for others.
#ifndef MEC_SCALEUP_POLICY_INTERNAL_H
#define MEC_SCALEUP_POLICY_INTERNAL_H

#include "scaleup/policy.h"

// The configuration with its defaults put in.
struct policy_config policy_settings(const struct policy_config *config);
// The input with what is no number taken for not known.
struct policy_input policy_clean(const struct policy_input *input);

// Measurements into the state: load (level and trend) and times.
void policy_observe(const struct policy_config *config, const struct policy_input *input,
                    struct policy_state *state);
double policy_expected_load(const struct policy_config *config, const struct policy_state *state);

struct policy_need {
    bool known;          // else the numbers say nothing
    bool priced;         // the price made it less
    bool cut;            // the maximum did
    uint64_t bytes;      // of the process in all: a multiple of the granularity or a bound
    uint64_t most_bytes; // with room added, never more than this
};
struct policy_need policy_need_at(const struct policy_config *config, const struct policy_input *input,
                                  const struct policy_state *state, double load);
// Less than this is never asked for: the minimum, and what is used beside the store.
uint64_t policy_floor(const struct policy_config *config, const struct policy_input *input);
// Predicted by the curve; negative: not known.
double policy_hit_ratio(const struct policy_input *input, uint64_t bytes);

// bytes * factor, up to the next multiple of granularity, UINT64_MAX at most.
uint64_t policy_scale(uint64_t bytes, double factor, uint64_t granularity);

// PSI into the state; true while the pressure forbids raises.
bool policy_pressed(const struct policy_config *config, const struct policy_input *input,
                    struct policy_state *state);

// A step down from bytes, at least a granule.
uint64_t policy_step_down(const struct policy_config *config, uint64_t bytes);

static inline uint64_t policy_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t policy_most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
