#include "scaleup/scaler_core.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/scaler_internal.h"

const char *scaler_state_name(enum scaler_state state)
{
    static const char *const names[] = {
        [SCALER_STEADY] = "steady",
        [SCALER_RAISING] = "raising",
        [SCALER_RELEASING] = "releasing",
        [SCALER_RETURNING] = "returning",
        [SCALER_BACKING_OFF] = "backing_off",
        [SCALER_ALONE] = "alone",
        [SCALER_DISCONNECTED] = "disconnected",
    };
    return (size_t)state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

const char *scaler_result_name(enum scaler_result result)
{
    static const char *const names[SCALER_RESULTS] = {
        [SCALER_DONE] = "done",           [SCALER_PARTIAL] = "partial",
        [SCALER_DEFERRED] = "deferred",   [SCALER_INFEASIBLE] = "infeasible",
        [SCALER_DENIED] = "denied",       [SCALER_ERROR] = "error",
        [SCALER_NO_ANSWER] = "no_answer", [SCALER_NOT_FREED] = "not_freed",
    };
    return (size_t)result < SCALER_RESULTS ? names[result] : "unknown";
}

// An orchestrator that talks without end must not fill the disk.
void scaler_log(struct scaler_core *core, uint64_t now_ms, bool warning, const char *event,
                const char *format, ...)
{
    char text[1024];
    va_list args;
    uint64_t fresh = scaler_less(now_ms, core->log_at_ms) / 1000;
    if (fresh != 0) {
        core->log_tokens = scaler_min(SCALER_LOG_BURST, core->log_tokens + fresh);
        core->log_at_ms = now_ms;
    }
    if (core->log_tokens == 0) {
        core->log_dropped++;
        return;
    }
    core->log_tokens--;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (core->log_dropped != 0) {
        size_t len = strlen(text);
        (void)snprintf(text + len, sizeof text - len, " lines_left_out=%llu",
                       (unsigned long long)core->log_dropped);
        core->log_dropped = 0;
    }
    core->effects.log(core->effects.arg, warning, event, text);
}

struct scaler_core *scaler_core_create(const struct scaler_options *options, bool orchestrated, uint64_t seed,
                                       const struct scaler_effects *effects)
{
    struct scaler_core *core = calloc(1, sizeof *core);
    if (core == NULL)
        return NULL;
    core->policy = options->policy;
    core->fixed_bytes = options->fixed_bytes;
    core->margin_option = options->margin_bytes;
    core->orchestrated = orchestrated;
    core->seed = seed;
    core->random = seed != 0 ? seed : 1;
    core->effects = *effects;
    core->log_tokens = SCALER_LOG_BURST;
    core->wanted_bytes = SCALER_EVERYTHING;
    return core;
}

void scaler_core_destroy(struct scaler_core **core)
{
    free(*core);
    *core = NULL;
}

// The process's size at which the store has what it has now.
static uint64_t present_size(const struct scaler_core *core)
{
    uint64_t held = core->sample.usage.limit_bytes + scaler_other(core);
    return held + scaler_margin(core, held + held / 32 + 1);
}

void scaler_core_configure(struct scaler_core *core, const struct policy_config *policy, uint64_t fixed_bytes)
{
    bool was_fixed = core->fixed_bytes != 0;
    core->policy = *policy;
    core->fixed_bytes = fixed_bytes;
    core->will_bytes = 0; // what follows is a change, however small
    if (fixed_bytes != 0 && !was_fixed && !core->release.active && !core->ask.active)
        core->wanted_bytes = SCALER_EVERYTHING;
    if (fixed_bytes == 0 && was_fixed && !core->orchestrated && core->sampled)
        core->wanted_bytes = present_size(core);
    scaler_follow(core);
}

static void first_sample(struct scaler_core *core, uint64_t now_ms)
{
    core->sampled = true;
    core->begun_bytes = present_size(core);
    if (core->fixed_bytes == 0 && !core->welcomed)
        core->wanted_bytes = core->begun_bytes;
    if (core->fixed_bytes == 0)
        core->will_bytes = scaler_will(core); // what the store begins with is right but for a rounding
    scaler_count_from_here(core, now_ms);
}

// An operator has given the store another limit past us (CONFIG SET maxmemory): where no policy decides, that is the size from now on.
static void heed_operator(struct scaler_core *core, uint64_t now_ms)
{
    uint64_t limit = core->sample.usage.limit_bytes;
    if (core->fixed_bytes == 0 || limit == core->set_bytes || limit == 0)
        return;
    core->fixed_bytes = limit;
    scaler_log(core, now_ms, false, "memory_set", "limit=%llu", (unsigned long long)limit);
}

static void watch_ceiling(struct scaler_core *core, uint64_t now_ms)
{
    const struct limits_reading *limits = &core->sample.limits;
    bool over = scaler_used(core) > scaler_ceiling(core) ||
                scaler_max(limits->rss_bytes, limits->group_bytes) > limits->limit_bytes;
    if (over)
        core->view.over_ceiling++;
    if (over && !core->over)
        scaler_log(core, now_ms, true, "memory_over_ceiling", "used=%llu ceiling=%llu",
                   (unsigned long long)scaler_used(core), (unsigned long long)scaler_ceiling(core));
    core->over = over;
}

bool scaler_core_tick(struct scaler_core *core, uint64_t now_ms, const struct scaler_sample *sample)
{
    core->sample = *sample;
    if (!core->sampled)
        first_sample(core, now_ms);
    else
        heed_operator(core, now_ms);
    watch_ceiling(core, now_ms);
    scaler_learn_overhead(core, now_ms);
    scaler_follow(core);
    scaler_drive(core, now_ms);
    scaler_drive_reclaim(core, now_ms);
    if (core->curve_due)
        scaler_decide(core, now_ms);
    core->curve_due = now_ms + SCALER_TICK_MS >= core->decided_ms + SCALER_DECIDE_MS;
    core->sample.curve = NULL; // the caller's, for the length of the call
    core->sample.curve_count = 0;
    return core->curve_due;
}

static enum scaler_state state_of(const struct scaler_core *core)
{
    // A wish that was granted stands until the next decision: only one that has to wait is a wait.
    bool waiting = core->ask.silent || core->reclaim.open ||
                   (core->wish_raise && core->raise_wait.until_ms > core->decided_ms) ||
                   (core->wish_return && core->return_wait.until_ms > core->decided_ms);
    if (!core->orchestrated)
        return SCALER_ALONE;
    if (!core->connected)
        return SCALER_DISCONNECTED;
    if (core->release.active)
        return SCALER_RELEASING;
    if (core->ask.active)
        return core->ask.raise ? SCALER_RAISING : SCALER_RETURNING;
    return waiting ? SCALER_BACKING_OFF : SCALER_STEADY;
}

static uint64_t backoff_until(const struct scaler_core *core)
{
    bool raise = core->ask.silent ? core->ask.raise : core->wish_raise;
    return raise ? core->raise_wait.until_ms : core->return_wait.until_ms;
}

void scaler_core_view(const struct scaler_core *core, struct scaler_view *view)
{
    *view = core->view;
    view->state = state_of(core);
    view->connected = core->connected;
    view->asked = core->ask.active;
    view->granted_bytes = core->granted_bytes;
    view->granularity = core->granularity;
    view->min_bytes = core->min_bytes;
    view->max_bytes = core->max_bytes;
    view->ceiling_bytes = scaler_ceiling(core);
    view->target_bytes = scaler_cap(core);
    if (core->ask.active && core->ask.raise)
        view->target_bytes = scaler_less(core->ask.target_bytes, core->overhead_bytes);
    view->need_bytes = core->view.decision.need_bytes;
    view->store_limit_bytes = core->sample.usage.limit_bytes;
    view->other_bytes = scaler_other(core);
    view->margin_bytes = scaler_margin(core, scaler_cap(core));
    view->reclaim_bytes = core->reclaim.target_bytes;
    view->backoff_until_ms = view->state == SCALER_BACKING_OFF ? backoff_until(core) : 0;
    view->sample = core->sample;
}
