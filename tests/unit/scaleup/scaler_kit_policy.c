// A policy that says what a test wants. Linked in place of the real one.
#include "scaler_kit.h"

_Atomic uint64_t kit_policy_target;
enum policy_reason kit_policy_reason;
struct policy_config kit_policy_config;
struct policy_input kit_policy_input;
unsigned kit_policy_calls;

const char *policy_reason_name(enum policy_reason reason)
{
    return reason == POLICY_PRESSURE ? "pressure" : "test";
}

const char *policy_config_check(const struct policy_config *config)
{
    (void)config;
    return NULL;
}

struct policy_decision policy_decide(const struct policy_config *config, const struct policy_input *input,
                                     struct policy_state *state)
{
    uint64_t target = kit_policy_target;
    if (target == 0)
        target = input->current_bytes;
    (void)state;
    if (config->max_bytes != 0 && target > config->max_bytes)
        target = config->max_bytes;
    if (target < config->min_bytes)
        target = config->min_bytes;
    kit_policy_config = *config;
    kit_policy_input = *input;
    kit_policy_calls++;
    return (struct policy_decision){
        .target_bytes = target, .need_bytes = target, .predicted_hit_ratio = -1, .reason = kit_policy_reason};
}
