// What to do about the need: DESIGN.md "The policy", 3 to 5. Raises are quick, returns are slow, and a return that was a mistake makes the next one slower.
#include "scaleup/policy.h"

#include "scaleup/policy_internal.h"

#define REGRETS_MAX   5  // waits of 32 times return_after
#define REGRET_WITHIN 10 // a raise within so many waits shows that the return was a mistake
#define FORGET_AFTER  8  // so many waits without one, and a mistake is forgotten

uint64_t policy_step_down(const struct policy_config *config, uint64_t bytes)
{
    uint64_t to = policy_scale(bytes, 1 - config->return_step, config->granularity);
    return to < bytes ? to : bytes > config->granularity ? bytes - config->granularity : 0;
}

static uint64_t wait_ms(const struct policy_config *config, const struct policy_state *state)
{
    return config->return_after_ms << state->regrets;
}

static void forget_regrets(const struct policy_config *config, struct policy_state *state, uint64_t now_ms)
{
    if (state->regrets == 0 || now_ms - state->regrets_at_ms < FORGET_AFTER * wait_ms(config, state))
        return;
    state->regrets--;
    state->regrets_at_ms = now_ms;
}

static void note_raise(const struct policy_config *config, struct policy_state *state, uint64_t now_ms)
{
    if (state->returned && now_ms - state->returned_at_ms < REGRET_WITHIN * wait_ms(config, state)) {
        state->regrets += state->regrets < REGRETS_MAX;
        state->regrets_at_ms = now_ms;
    }
    state->returned = false;
    state->raised = true;
    state->raised_at_ms = now_ms;
}

// The need and some room, so that the next little growth is not another request. At once if that is a step worth making; what the table or the maximum
// leaves of a smaller one waits, lest a growing table asks for a granule each second.
static void consider_raise(const struct policy_config *config, const struct policy_input *input,
                           struct policy_state *state, const struct policy_need *need,
                           struct policy_decision *d)
{
    uint64_t room = policy_scale(need->bytes, 1 + config->raise_threshold, config->granularity);
    uint64_t target = policy_most(policy_least(room, need->most_bytes), need->bytes);
    bool worth_it =
        (double)(target - input->current_bytes) >= (double)input->current_bytes * config->raise_threshold;
    if (!worth_it) {
        if (!state->wanting)
            state->wanting_since_ms = input->now_ms;
        state->wanting = true;
        if (input->now_ms - state->wanting_since_ms < config->return_after_ms)
            return;
    }
    d->target_bytes = target;
    d->reason = POLICY_GOAL;
    note_raise(config, state, input->now_ms);
}

static enum policy_reason return_reason(const struct policy_input *input, const struct policy_need *need)
{
    if (input->load == 0)
        return POLICY_IDLE;
    return need->priced ? POLICY_PRICE : POLICY_SURPLUS;
}

static void begin_below(struct policy_state *state, uint64_t now_ms, uint64_t need)
{
    state->below = true;
    state->below_since_ms = now_ms;
    state->highest_need = need;
}

static void consider_return(const struct policy_config *config, const struct policy_input *input,
                            struct policy_state *state, const struct policy_need *need,
                            struct policy_decision *d)
{
    uint64_t now_ms = input->now_ms;
    if (!state->below)
        begin_below(state, now_ms, need->bytes);
    state->highest_need = policy_most(state->highest_need, need->bytes);
    d->reason = POLICY_COOLING;
    if (now_ms - state->below_since_ms < wait_ms(config, state) ||
        (state->raised && now_ms - state->raised_at_ms < config->cooldown_ms))
        return;
    uint64_t room = policy_scale(state->highest_need, 1 + config->raise_threshold, config->granularity);
    uint64_t target =
        policy_least(policy_most(room, policy_step_down(config, input->current_bytes)), need->most_bytes);
    target = policy_most(target, policy_floor(config, input));
    if (target >= input->current_bytes) { // the granularity is too coarse
        begin_below(state, now_ms, need->bytes);
        d->reason = POLICY_STEADY;
        return;
    }
    d->target_bytes = target;
    d->reason = return_reason(input, need);
    state->returned = true;
    state->returned_at_ms = now_ms;
}

// Each step down has its own wait. What others do to the limit by little and little is none.
static void follow_size(const struct policy_config *config, const struct policy_input *input,
                        struct policy_state *state)
{
    if ((double)input->current_bytes < (double)state->size_bytes * (1 - config->return_threshold / 2))
        state->below = false;
    state->size_bytes = input->current_bytes;
}

// The bounds hold at once, but that pressure goes before the minimum.
static void keep_bounds(const struct policy_config *config, uint64_t current, bool pressed, struct policy_decision *d)
{
    uint64_t least = pressed ? policy_least(current, config->min_bytes) : config->min_bytes;
    uint64_t target = policy_least(policy_most(d->target_bytes, least), config->max_bytes);
    if (target == d->target_bytes)
        return;
    d->target_bytes = target;
    d->reason = POLICY_BOUNDS;
}

static void by_need(const struct policy_config *config, const struct policy_input *input,
                    struct policy_state *state, const struct policy_need *now,
                    const struct policy_need *ahead, bool pressed, struct policy_decision *d)
{
    const struct policy_need *need = ahead->bytes > now->bytes ? ahead : now;
    uint64_t current = input->current_bytes;
    bool above = need->bytes > current;
    bool below = (double)need->bytes < (double)current * (1 - config->return_threshold);
    state->wanting &= above && !pressed;
    state->below &= below;
    d->need_bytes = need->bytes;
    if (above && !pressed) {
        consider_raise(config, input, state, need, d);
        if (d->reason == POLICY_GOAL && now->bytes <= current)
            d->reason = POLICY_AHEAD;
    } else if (below) {
        consider_return(config, input, state, need, d);
    } else if (need->cut) {
        d->reason = POLICY_BOUNDS;
    }
}

struct policy_decision policy_decide(const struct policy_config *config, const struct policy_input *input,
                                     struct policy_state *state)
{
    const struct policy_config c = policy_settings(config);
    const struct policy_input in = policy_clean(input);
    struct policy_decision d = {
        .target_bytes = in.current_bytes, .need_bytes = in.current_bytes, .reason = POLICY_STEADY};
    policy_observe(&c, &in, state);
    follow_size(&c, &in, state);
    forget_regrets(&c, state, in.now_ms);
    d.expected_load = policy_expected_load(&c, state);
    struct policy_need now = policy_need_at(&c, &in, state, state->level);
    struct policy_need ahead = policy_need_at(&c, &in, state, d.expected_load);
    bool pressed = policy_pressed(&c, &in, state);
    if (now.known) {
        by_need(&c, &in, state, &now, &ahead, pressed, &d);
    } else {
        state->below = state->wanting = false;
        d.reason = POLICY_UNKNOWN;
    }
    if (pressed && state->pressed_target < d.target_bytes) {
        d.target_bytes = state->pressed_target;
        d.reason = POLICY_PRESSURE;
    } else if (pressed && d.need_bytes > in.current_bytes) {
        d.reason = POLICY_PRESSURE;
    }
    keep_bounds(&c, in.current_bytes, pressed, &d);
    d.predicted_hit_ratio = policy_hit_ratio(&in, d.target_bytes);
    return d;
}
