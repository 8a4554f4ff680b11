// Once a second: asking the policy, and doing what it says as far as the orchestrator lets us.
#include <stdio.h>

#include "common/units.h"
#include "scaleup/scaler_internal.h"

void scaler_count_from_here(struct scaler_core *core, uint64_t now_ms)
{
    const struct scaler_usage *usage = &core->sample.usage;
    core->hits = usage->hits;
    core->misses = usage->misses;
    core->hit_ns = usage->hit_ns;
    core->miss_ns = usage->miss_ns;
    core->decided_ms = now_ms;
}

static double mean_us(uint64_t ns, uint64_t count)
{
    return count != 0 ? (double)ns / (double)count / 1e3 : 0;
}

static void fill_load(struct scaler_core *core, uint64_t now_ms, struct policy_input *input)
{
    const struct scaler_usage *usage = &core->sample.usage;
    uint64_t hits = scaler_less(usage->hits, core->hits), misses = scaler_less(usage->misses, core->misses);
    uint64_t elapsed_ms = scaler_less(now_ms, core->decided_ms);

    input->load = elapsed_ms != 0 ? (double)(hits + misses) * 1e3 / (double)elapsed_ms : 0;
    input->hit_ratio = hits + misses != 0 ? (double)hits / (double)(hits + misses) : -1;
    input->hit_us = mean_us(scaler_less(usage->hit_ns, core->hit_ns), hits);
    input->miss_us = mean_us(scaler_less(usage->miss_ns, core->miss_ns), misses);
    scaler_count_from_here(core, now_ms);
}

// The most that asking could bring.
static uint64_t reachable(const struct scaler_core *core)
{
    uint64_t limit = core->sample.limits.limit_bytes, grant = scaler_grant(core), most;
    if (!core->orchestrated)
        return limit;
    if (!core->connected)
        most = core->welcomed ? scaler_ceiling(core) : scaler_min(limit, core->begun_bytes);
    else if (grant != SCALER_EVERYTHING && limit > grant)
        most = limit; // somebody else's bound above the grant's
    else if (core->overhead_bytes != 0 || limit == grant)
        most = SCALER_EVERYTHING; // the limit is the grant's, and moves with it
    else
        most = limit; // somebody else's bound below the grant's: more of a grant would be of no use
    if (core->connected && core->max_bytes != 0)
        most = scaler_min(most, scaler_less(core->max_bytes, core->overhead_bytes));
    if (core->reclaim.target_bytes != 0)
        most = scaler_min(most, scaler_less(core->reclaim.target_bytes, core->overhead_bytes));
    return most;
}

static struct policy_config bounded(const struct scaler_core *core)
{
    struct policy_config config = core->policy;
    uint64_t most = scaler_max(reachable(core), 1); // to the policy 0 is no bound
    uint64_t least = scaler_less(core->min_bytes, core->overhead_bytes);
    uint64_t other = scaler_other(core), cap = scaler_cap(core);
    if (other > cap) // granted less than it takes to live, even without any value in memory
        least = scaler_max(least, other + 2 * scaler_margin(core, other));
    if (most != SCALER_EVERYTHING && (config.max_bytes == 0 || most < config.max_bytes))
        config.max_bytes = most;
    if (core->orchestrated && least > config.min_bytes)
        config.min_bytes = least;
    if (config.max_bytes != 0 && config.min_bytes > config.max_bytes)
        config.min_bytes = config.max_bytes;
    if (core->granularity != 0)
        config.granularity = core->granularity;
    return config;
}

static void describe(const struct scaler_core *core, const struct policy_input *input, message_text text)
{
    const struct policy_decision *d = &core->view.decision;
    (void)snprintf(text, sizeof(message_text), "%s: load %.0f/s, hit ratio %.3f, at the target %.3f",
                   policy_reason_name(d->reason), input->load, input->hit_ratio, d->predicted_hit_ratio);
}

static void want_more(struct scaler_core *core, uint64_t now_ms, uint64_t target, const char *why)
{
    uint64_t asked = scaler_to_grant(core, target);
    if (!core->connected || asked <= scaler_grant(core)) {
        core->wanted_bytes = target; // it is there already
        scaler_follow(core);
        return;
    }
    if (core->reclaim.target_bytes != 0)
        return;
    core->wish_raise = true;
    bool busy = core->ask.active || (core->ask.silent && core->ask.raise) || core->release.active;
    if (!busy && now_ms >= core->raise_wait.until_ms)
        scaler_raise(core, now_ms, asked, why);
}

static void want_less(struct scaler_core *core, uint64_t now_ms, uint64_t target)
{
    bool pressed = core->view.decision.reason == POLICY_PRESSURE;
    if (!core->connected ||
        pressed) { // on a machine that is short of memory using less helps, whoever it belongs to
        core->wanted_bytes = target;
        scaler_follow(core);
    }
    if (!core->connected || scaler_to_grant(core, target) >= scaler_grant(core))
        return;
    core->wish_return = true;
    if (!core->ask.active && !core->ask.silent && !core->release.active &&
        now_ms >= core->return_wait.until_ms)
        scaler_return(core, now_ms, target, pressed, "");
}

// What was given up while there was no connection, or under pressure with the orchestrator refusing it, is still granted.
static void hand_back_surplus(struct scaler_core *core, uint64_t now_ms)
{
    if (!core->connected || core->ask.active || core->ask.silent || core->release.active)
        return;
    if (scaler_to_grant(core, core->wanted_bytes) >= scaler_grant(core)) {
        core->wanted_bytes = SCALER_EVERYTHING;
        return;
    }
    core->wish_return = true;
    if (now_ms >= core->return_wait.until_ms)
        scaler_return(core, now_ms, core->wanted_bytes, true, "");
}

void scaler_decide(struct scaler_core *core, uint64_t now_ms)
{
    struct policy_input input = {.now_ms = now_ms, .current_bytes = scaler_cap(core)};
    const struct policy_config config = bounded(core);
    message_text why;

    input.other_bytes = scaler_other(core) + scaler_margin(core, input.current_bytes);
    input.table_bytes = core->sample.usage.table_bytes;
    input.curve = core->sample.curve;
    input.curve_count = core->sample.curve_count;
    input.psi_some = core->sample.limits.psi_some;
    input.psi_full = core->sample.limits.psi_full;
    fill_load(core, now_ms, &input);
    core->wish_raise = core->wish_return = false;
    if (core->fixed_bytes != 0)
        return;
    core->view.decision = policy_decide(&config, &input, &core->policy_state);
    describe(core, &input, why);
    uint64_t target = core->view.decision.target_bytes;
    if (target == input.current_bytes) {
        if (core->wanted_bytes != SCALER_EVERYTHING && core->orchestrated)
            hand_back_surplus(core, now_ms);
        return;
    }
    if (!core->orchestrated) {
        core->wanted_bytes = target;
        char size[16];
        scaler_log(core, now_ms, false, "memory_target", "target=%s %s",
                   units_format_size(target, size, sizeof size), why);
        scaler_follow(core);
    } else if (target > input.current_bytes) {
        want_more(core, now_ms, target, why);
    } else {
        want_less(core, now_ms, target);
    }
}
