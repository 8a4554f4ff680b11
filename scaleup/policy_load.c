// What is measured, smoothed: the load's level and trend (Holt), so that memory is asked for before the load is there; times of hits and misses, whose means of
// one second jump about.
#include <math.h>

#include "scaleup/policy_internal.h"

#define TIMES_TAU_S   30.0
#define LEVEL_PART    3.0 // the level follows within a third of the horizon, the trend within all of it
#define MOST_GROWTH   2.0 // within a horizon: a jump looks like the beginning of a steep ramp
#define FORGET_FACTOR 20  // after so many horizons without a call all begins anew

// The weight of a new value that stands for the last dt seconds.
static double weight(double dt, double tau)
{
    return 1 - exp(-dt / tau);
}

static double smooth(double before, double value, double part)
{
    if (value <= 0)
        return before;
    return before <= 0 ? value : before + part * (value - before);
}

void policy_observe(const struct policy_config *config, const struct policy_input *input,
                    struct policy_state *state)
{
    uint64_t passed_ms = input->now_ms > state->level_at_ms ? input->now_ms - state->level_at_ms : 0;
    if (state->known && passed_ms == 0)
        return;
    double dt = (double)passed_ms / 1000, horizon = (double)config->horizon_ms / 1000;
    double part = state->known ? weight(dt, TIMES_TAU_S) : 1;
    state->hit_us = smooth(state->hit_us, input->hit_us, part);
    state->miss_us = smooth(state->miss_us, input->miss_us, part);
    if (input->load < 0)
        return;
    if (!state->known || dt > horizon * FORGET_FACTOR) {
        state->known = true;
        state->level = input->load;
        state->trend = 0;
    } else {
        double alpha = weight(dt, horizon / LEVEL_PART), beta = weight(dt, horizon);
        double before = state->level;
        double level = before + state->trend * dt;
        level += alpha * (input->load - level);
        state->level = level > 0 ? level : 0;
        state->trend += beta * ((state->level - before) / dt - state->trend);
    }
    state->level_at_ms = input->now_ms;
}

double policy_expected_load(const struct policy_config *config, const struct policy_state *state)
{
    double ahead = state->level + state->trend * (double)config->horizon_ms / 1000;
    // That load will fall is believed when it has.
    if (!(ahead > state->level))
        return state->level;
    return ahead > state->level * MOST_GROWTH ? state->level * MOST_GROWTH : ahead;
}
