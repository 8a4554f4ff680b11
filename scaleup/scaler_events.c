// What the orchestrator says unasked: welcome, grant, offer, reclaim.
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "scaleup/scaler_internal.h"

static void log_size(struct scaler_core *core, uint64_t now_ms, bool warning, const char *event,
                     const char *what, uint64_t bytes, const char *detail)
{
    char size[16], quoted[600];
    scaler_log(core, now_ms, warning, event, "%s=%s detail=%s", what,
               units_format_size(bytes, size, sizeof size), log_quote(detail, quoted, sizeof quoted));
}

static void stop_release(struct scaler_core *core)
{
    if (core->release.active && !core->release.pressed)
        core->wanted_bytes = SCALER_EVERYTHING;
    core->release.active = false;
}

static void on_connected(struct scaler_core *core, uint64_t now_ms, const struct rescale_event *event)
{
    core->min_bytes = event->min_bytes;
    core->max_bytes = event->max_bytes;
    scaler_take_grant(core, now_ms, event->granted_bytes, event->granularity);
    if (!core->welcomed)
        core->wanted_bytes =
            SCALER_EVERYTHING; // what the platform has set apart may be used; the policy says what is too much
    core->connected = core->welcomed = true;
    core->raise_wait.until_ms = core->return_wait.until_ms = 0;
    log_size(core, now_ms, false, "memory_orchestrator", "granted", core->granted_bytes, "");
}

static void on_disconnected(struct scaler_core *core, uint64_t now_ms, const struct rescale_event *event)
{
    char quoted[600];
    if (core->connected)
        scaler_log(core, now_ms, true, "memory_orchestrator_lost", "reason=%s",
                   log_quote(event->detail, quoted, sizeof quoted));
    core->connected = false;
    stop_release(core);
    (void)snprintf(core->view.last_answer, sizeof core->view.last_answer, "disconnected: %.200s",
                   event->detail);
}

static void on_grant(struct scaler_core *core, uint64_t now_ms, const struct rescale_event *event)
{
    if (!core->welcomed)
        return;
    if (event->granted_bytes != core->granted_bytes)
        log_size(core, now_ms, event->granted_bytes < core->granted_bytes, "memory_grant", "granted",
                 event->granted_bytes, event->detail);
    scaler_take_grant(core, now_ms, event->granted_bytes, event->granularity);
    if (core->release.target_bytes >= scaler_grant(core))
        stop_release(core); // it has been taken
}

static void end_reclaim(struct scaler_core *core)
{
    if (core->release.reclaim[0] != '\0')
        stop_release(core);
    core->reclaim = (struct scaler_reclaim){0};
}

static void on_offer(struct scaler_core *core)
{
    core->raise_wait = (struct scaler_backoff){0};
    if (core->reclaim.target_bytes != 0)
        end_reclaim(core);
}

static void carry_out(struct scaler_core *core, uint64_t now_ms)
{
    uint64_t process = scaler_less(core->reclaim.target_bytes, core->overhead_bytes);
    if (core->release.active)
        process = scaler_min(process, core->release.process_bytes);
    scaler_return(core, now_ms, process, false, core->reclaim.id);
}

// What it can come down to: all that is not the store, which can do without any value in memory.
static uint64_t least(const struct scaler_core *core)
{
    uint64_t other = scaler_other(core);
    uint64_t process = scaler_max(other + scaler_margin(core, other), core->policy.min_bytes);
    return scaler_to_grant(core, process);
}

static void on_reclaim(struct scaler_core *core, uint64_t now_ms, const struct rescale_event *event)
{
    uint64_t grant = scaler_grant(core), target = scaler_max(event->target_bytes, core->min_bytes);
    bool same = core->reclaim.target_bytes != 0 && strcmp(core->reclaim.id, event->id) == 0;
    enum message_state state = STATE_ACCEPTED;

    if (target >= grant) { // taken back, or delivered before it was asked for
        if (core->reclaim.target_bytes != 0)
            end_reclaim(core);
        if (!same)
            core->effects.reclaiming(core->effects.arg, event->id, STATE_ACCEPTED, target);
        return;
    }
    core->view.reclaims++;
    if (least(core) > target) {
        target = least(core);
        state = target < grant ? STATE_PARTIAL : STATE_REFUSED;
    }
    log_size(core, now_ms, true, "memory_reclaim", message_state_name(state), target, event->detail);
    core->effects.reclaiming(core->effects.arg, event->id, state, target);
    if (state == STATE_REFUSED)
        return;
    core->reclaim =
        (struct scaler_reclaim){.target_bytes = target, .until_ms = now_ms + SCALER_RECLAIM_MS, .open = true};
    memcpy(core->reclaim.id, event->id, sizeof core->reclaim.id);
    core->return_wait = (struct scaler_backoff){0};
    if (!core->ask.active || core->ask.raise)
        carry_out(core, now_ms);
}

// A raise that is under way does not hold up a reclaim: the return's request supersedes it.
void scaler_drive_reclaim(struct scaler_core *core, uint64_t now_ms)
{
    struct scaler_reclaim *reclaim = &core->reclaim;
    if (reclaim->target_bytes == 0)
        return;
    if (now_ms >= reclaim->until_ms) {
        end_reclaim(core);
        return;
    }
    if (scaler_grant(core) <= reclaim->target_bytes)
        reclaim->open = false;
    bool busy = core->release.active || ((core->ask.active || core->ask.silent) && !core->ask.raise);
    if (reclaim->open && core->connected && !busy && now_ms >= core->return_wait.until_ms)
        carry_out(core, now_ms);
}

void scaler_core_event(struct scaler_core *core, uint64_t now_ms, const struct rescale_event *event)
{
    switch (event->type) {
    case RESCALE_CONNECTED:
        on_connected(core, now_ms, event);
        break;
    case RESCALE_DISCONNECTED:
        on_disconnected(core, now_ms, event);
        break;
    case RESCALE_RECLAIM:
        if (core->welcomed)
            on_reclaim(core, now_ms, event);
        break;
    case RESCALE_GRANT:
        on_grant(core, now_ms, event);
        break;
    case RESCALE_OFFER:
        on_offer(core);
        break;
    case RESCALE_REFUSED:
        core->connected = false;
        (void)snprintf(core->view.last_answer, sizeof core->view.last_answer, "not taken: %.200s",
                       event->detail);
        log_size(core, now_ms, true, "memory_orchestrator_refuses", "granted", core->granted_bytes,
                 event->detail);
        break;
    }
    scaler_follow(core);
}
