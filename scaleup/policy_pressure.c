// A machine short of memory: DESIGN.md "The policy", 5.
#include "scaleup/policy_internal.h"

#define STEP_EVERY_MS                                                                                        \
    10000 // what the kernel averages over: sooner it would answer to a step that has been taken
#define RELIEF_MS   30000
#define STRIKES_MAX 6 // 16 minutes

static bool above(double value, double bound)
{
    return value > bound;
}

static bool high(const struct policy_config *config, const struct policy_input *input)
{
    return above(input->psi_some, config->psi_some_high) || above(input->psi_full, config->psi_full_high);
}

static bool low(const struct policy_config *config, const struct policy_input *input)
{
    return !above(input->psi_some, config->psi_some_high / 2) &&
           !above(input->psi_full, config->psi_full_high / 2);
}

// How long it must have been low before anything is raised: longer each time that the raise brought the pressure back.
static uint64_t hold_ms(const struct policy_state *state)
{
    return (uint64_t)RELIEF_MS << (state->strikes > 0 ? state->strikes - 1 : 0);
}

static void press(const struct policy_config *config, const struct policy_input *input,
                  struct policy_state *state)
{
    if (!state->pressed) {
        bool again = state->strikes > 0 && input->now_ms - state->released_at_ms < 4 * hold_ms(state);
        state->strikes = !again ? 1 : state->strikes < STRIKES_MAX ? state->strikes + 1 : STRIKES_MAX;
    } else if (input->now_ms - state->stepped_at_ms < STEP_EVERY_MS) {
        return;
    }
    uint64_t floor = policy_least(policy_floor(config, input), input->current_bytes);
    state->pressed = true;
    state->stepped_at_ms = input->now_ms;
    state->pressed_target = policy_most(policy_step_down(config, input->current_bytes), floor);
}

bool policy_pressed(const struct policy_config *config, const struct policy_input *input,
                    struct policy_state *state)
{
    if (high(config, input))
        press(config, input, state);
    if (!state->pressed)
        return false;
    bool was_relieved = state->relieved;
    state->relieved = low(config, input);
    if (!state->relieved)
        return true;
    if (!was_relieved)
        state->relieved_at_ms = input->now_ms;
    if (input->now_ms - state->relieved_at_ms < hold_ms(state))
        return true;
    state->pressed = state->relieved = false;
    state->released_at_ms = input->now_ms;
    return false;
}
