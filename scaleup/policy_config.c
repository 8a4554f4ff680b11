// Configuration and measurements before anything is made of them: defaults, what cannot be right, what is no number.
#include <math.h>

#include "scaleup/policy_internal.h"

#define DEFAULT_HIT_GOAL 0.95
#define MOST_COOLDOWN_MS 300000
#define MOST_HORIZON_MS  3600000
#define MOST_AFTER_MS    86400000
#define MOST_LOAD        1e15 // gets a second; keeps sums finite
#define MOST_US          1e12

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static double share_or(double value, double otherwise)
{
    return value == 0 ? otherwise : value;
}

struct policy_config policy_settings(const struct policy_config *config)
{
    struct policy_config c = *config;
    bool priced = c.gib_hour_price > 0 && c.miss_price > 0;
    c.max_bytes = or_default(c.max_bytes, UINT64_MAX);
    c.granularity = or_default(c.granularity, 2 << 20);
    if (c.hit_goal == 0 && c.lookup_goal_us == 0 && c.device_reads == 0 && !priced)
        c.hit_goal = DEFAULT_HIT_GOAL;
    c.raise_threshold = share_or(c.raise_threshold, 0.05);
    c.return_threshold = share_or(c.return_threshold, 0.15);
    c.return_step = share_or(c.return_step, 0.25);
    c.return_after_ms = or_default(c.return_after_ms, 60000);
    c.cooldown_ms = or_default(c.cooldown_ms, policy_least(c.return_after_ms, MOST_COOLDOWN_MS));
    c.horizon_ms = or_default(c.horizon_ms, 30000);
    c.psi_some_high = share_or(c.psi_some_high, 10);
    c.psi_full_high = share_or(c.psi_full_high, 1);
    return c;
}

static bool within(double value, double least, double most)
{
    return value >= least && value <= most; // not for what is no number
}

const char *policy_config_check(const struct policy_config *config)
{
    const struct policy_config c = policy_settings(config);
    if (c.min_bytes > c.max_bytes)
        return "the minimum is above the maximum";
    if (c.granularity > 1ULL << 40)
        return "the granularity is above 1 TiB";
    if (!within(c.hit_goal, 0, 1))
        return "the wanted hit ratio is not between 0 and 1";
    if (!within(c.lookup_goal_us, 0, MOST_US))
        return "the wanted lookup time is not a time";
    if (!within(c.device_reads, 0, MOST_LOAD))
        return "the device's reads a second are not a number from 0";
    if (!within(c.gib_hour_price, 0, 1e12) || !within(c.miss_price, 0, 1e12))
        return "a price is not a number from 0";
    if ((c.gib_hour_price > 0) != (c.miss_price > 0))
        return "of the prices of memory and of misses one is missing";
    if (!within(c.raise_threshold, 0.001, 1) || !within(c.return_threshold, 0.001, 0.9) ||
        !within(c.return_step, 0.01, 0.9))
        return "a threshold or step is out of range";
    if ((1 + c.raise_threshold) * (1 - c.return_threshold) >= 1)
        return "the return threshold is too near to the raise threshold: every raise would be returned";
    if (c.return_after_ms > MOST_AFTER_MS || c.cooldown_ms > MOST_COOLDOWN_MS ||
        c.horizon_ms > MOST_HORIZON_MS)
        return "a time is too long (returns after a day, cool-down 5 minutes, horizon an hour at most)";
    if (!within(c.psi_some_high, 0, 100) || !within(c.psi_full_high, 0, 100))
        return "a bound on pressure is not a percentage";
    return NULL;
}

static double clean(double value, double most, double otherwise)
{
    if (!(value >= 0)) // negative, or no number
        return otherwise;
    return value > most ? most : value;
}

struct policy_input policy_clean(const struct policy_input *input)
{
    struct policy_input in = *input;
    in.load = clean(in.load, MOST_LOAD, -1);
    in.hit_ratio = clean(in.hit_ratio, 1, -1);
    in.hit_us = clean(in.hit_us, MOST_US, 0);
    in.miss_us = clean(in.miss_us, MOST_US, 0);
    in.psi_some = clean(in.psi_some, 100, -1);
    in.psi_full = clean(in.psi_full, 100, -1);
    if (in.curve == NULL)
        in.curve_count = 0;
    return in;
}

const char *policy_reason_name(enum policy_reason reason)
{
    static const char *const names[] = {
        [POLICY_STEADY] = "steady",   [POLICY_UNKNOWN] = "unknown",   [POLICY_GOAL] = "goal",
        [POLICY_AHEAD] = "ahead",     [POLICY_SURPLUS] = "surplus",   [POLICY_PRICE] = "price",
        [POLICY_IDLE] = "idle",       [POLICY_PRESSURE] = "pressure", [POLICY_BOUNDS] = "bounds",
        [POLICY_COOLING] = "cooling",
    };
    return (unsigned)reason < sizeof names / sizeof names[0] ? names[reason] : "none";
}
