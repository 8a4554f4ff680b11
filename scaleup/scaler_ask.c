// Rescales: asking, answers, silence, back-off; and the release that comes before a return (V2, V3).
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "scaleup/scaler_internal.h"

static uint64_t next_random(struct scaler_core *core) // xorshift64*
{
    core->random ^= core->random >> 12;
    core->random ^= core->random << 25;
    core->random ^= core->random >> 27;
    return core->random * 0x2545f4914f6cdd1dull;
}

void scaler_back_off(struct scaler_core *core, struct scaler_backoff *wait, uint64_t now_ms,
                     uint64_t least_ms)
{
    wait->delay_ms = wait->delay_ms == 0 ? SCALER_BACKOFF_MIN_MS : wait->delay_ms * 2;
    wait->delay_ms = scaler_min(wait->delay_ms, SCALER_BACKOFF_MAX_MS);
    uint64_t delay = wait->delay_ms - wait->delay_ms / 4;
    delay += next_random(core) % (wait->delay_ms / 2 + 1);
    if (least_ms != 0) { // never before it; the jitter comes on top, so that not all come at once
        least_ms = scaler_min(least_ms, SCALER_RETRY_MAX_MS);
        delay = least_ms + next_random(core) % (least_ms / 4 + 1);
    }
    wait->until_ms = now_ms + delay;
}

static void send_ask(struct scaler_core *core, uint64_t now_ms, const char *reason)
{
    struct scaler_ask *ask = &core->ask;
    const struct rescale_request request = {
        .target_bytes = ask->target_bytes,
        .deadline_ms = ask->raise ? SCALER_RAISE_MS : SCALER_RETURN_MS,
        .id = ask->id,
        .reason = reason,
        .reclaim = ask->reclaim[0] != '\0' ? ask->reclaim : NULL,
    };
    ask->active = true;
    ask->silent = false;
    ask->silent_at_ms = now_ms + request.deadline_ms + SCALER_SILENCE_MS;
    core->effects.request(core->effects.arg, &request);
}

static void leave_ask(struct scaler_core *core)
{
    if (core->ask.active || core->ask.silent)
        memcpy(core->former, core->ask.id, sizeof core->former);
    core->ask.active = core->ask.silent = false;
}

static void new_ask(struct scaler_core *core, bool raise, uint64_t target)
{
    leave_ask(core);
    core->ask = (struct scaler_ask){.raise = raise, .target_bytes = target};
    (void)snprintf(core->ask.id, sizeof core->ask.id, "%016" PRIx64 "-%" PRIu64, core->seed, ++core->next_id);
}

void scaler_raise(struct scaler_core *core, uint64_t now_ms, uint64_t target, const char *reason)
{
    char size[16];
    if (core->ask.silent && !core->ask.raise) // a return whose end is not known: as if it had been taken
        core->granted_bytes = scaler_min(core->granted_bytes, core->ask.target_bytes);
    new_ask(core, true, target);
    core->wanted_bytes = SCALER_EVERYTHING;
    scaler_log(core, now_ms, false, "memory_raise_asked", "target=%s reason=\"%s\"",
               units_format_size(target, size, sizeof size), reason);
    send_ask(core, now_ms, reason);
}

void scaler_return(struct scaler_core *core, uint64_t now_ms, uint64_t process, bool pressed,
                   const char *reclaim)
{
    char size[16];
    core->release = (struct scaler_release){.active = true,
                                            .pressed = pressed,
                                            .process_bytes = process,
                                            .target_bytes = scaler_to_grant(core, process),
                                            .until_ms = now_ms + SCALER_RELEASE_MS};
    (void)snprintf(core->release.reclaim, sizeof core->release.reclaim, "%s", reclaim);
    core->wanted_bytes = process;
    scaler_log(core, now_ms, false, "memory_release", "target=%s reason=%s",
               units_format_size(process, size, sizeof size),
               reclaim[0] != '\0' ? "reclaim" : policy_reason_name(core->view.decision.reason));
    scaler_follow(core);
}

static void ask_return(struct scaler_core *core, uint64_t now_ms, uint64_t process, uint64_t target)
{
    const struct scaler_release release = core->release;
    core->release.active = false;
    new_ask(core, false, target);
    core->ask.process_bytes = process;
    core->ask.pressed = release.pressed;
    memcpy(core->ask.reclaim, release.reclaim, sizeof core->ask.reclaim);
    send_ask(core, now_ms, NULL);
}

// Ten seconds, and it has not come down. For a reclaim what has is handed back; else the old size is kept.
static void give_up(struct scaler_core *core, uint64_t now_ms)
{
    char used[16], wanted[16];
    uint64_t down_to = scaler_used(core), asked = scaler_to_grant(core, down_to);
    (void)snprintf(core->view.last_answer, sizeof core->view.last_answer,
                   "not freed: %s in use after 10 s, %s wanted",
                   units_format_size(down_to, used, sizeof used),
                   units_format_size(core->release.process_bytes, wanted, sizeof wanted));
    scaler_log(core, now_ms, true, "memory_not_freed", "used=%s target=%s", used, wanted);
    core->view.results[SCALER_NOT_FREED]++;
    scaler_back_off(core, &core->return_wait, now_ms, 0);
    if (core->release.reclaim[0] != '\0' && asked < scaler_grant(core)) {
        ask_return(core, now_ms, core->release.process_bytes, asked);
        return;
    }
    core->release.active = false;
    if (!core->release.pressed)
        core->wanted_bytes = SCALER_EVERYTHING;
    scaler_follow(core);
}

static void drive_release(struct scaler_core *core, uint64_t now_ms)
{
    if (scaler_used(core) <= core->release.process_bytes)
        ask_return(core, now_ms, core->release.process_bytes, core->release.target_bytes);
    else if (now_ms >= core->release.until_ms)
        give_up(core, now_ms);
}

static void no_answer(struct scaler_core *core, uint64_t now_ms)
{
    core->ask.active = false;
    core->ask.silent = true;
    core->view.results[SCALER_NO_ANSWER]++;
    (void)snprintf(core->view.last_answer, sizeof core->view.last_answer, "no answer to %s", core->ask.id);
    scaler_log(core, now_ms, true, "memory_no_answer", "id=%s", core->ask.id);
    scaler_back_off(core, core->ask.raise ? &core->raise_wait : &core->return_wait, now_ms, 0);
}

static void ask_again(struct scaler_core *core, uint64_t now_ms)
{
    struct scaler_ask *ask = &core->ask;
    bool wanted = ask->raise ? core->wish_raise && core->reclaim.target_bytes == 0
                             : scaler_used(core) <= ask->process_bytes;
    if (now_ms < (ask->raise ? core->raise_wait : core->return_wait).until_ms)
        return;
    if (wanted) {
        send_ask(core, now_ms, NULL);
        return;
    }
    leave_ask(core);
    if (!ask->raise && !ask->pressed)
        core->wanted_bytes = SCALER_EVERYTHING;
}

void scaler_drive(struct scaler_core *core, uint64_t now_ms)
{
    if (core->ask.active && now_ms >= core->ask.silent_at_ms)
        no_answer(core, now_ms);
    if (core->release.active && core->connected)
        drive_release(core, now_ms);
    if (core->ask.silent && core->connected)
        ask_again(core, now_ms);
}

// ---- answers

void scaler_take_grant(struct scaler_core *core, uint64_t now_ms, uint64_t granted, uint64_t granularity)
{
    if ((granted == 0 && granularity == 0) || granted > MESSAGE_NUMBER_MAX)
        return; // an answer that knows nothing
    if (granted != core->granted_bytes)
        core->granted_at_ms = now_ms;
    core->granted_bytes = granted;
    if (granularity != 0)
        core->granularity = granularity;
}

static const enum scaler_result results[] = {
    [STATE_ACCEPTED] = SCALER_RESULTS,  [STATE_PROGRESS] = SCALER_RESULTS,
    [STATE_DONE] = SCALER_DONE,         [STATE_PARTIAL] = SCALER_PARTIAL,
    [STATE_DEFERRED] = SCALER_DEFERRED, [STATE_INFEASIBLE] = SCALER_INFEASIBLE,
    [STATE_DENIED] = SCALER_DENIED,     [STATE_ERROR] = SCALER_ERROR,
    [STATE_REFUSED] = SCALER_RESULTS,
};

static void show_answer(struct scaler_core *core, uint64_t now_ms, const struct response *r)
{
    char granted[16], target[16], quoted[600];
    (void)snprintf(core->view.last_answer, sizeof core->view.last_answer,
                   "%s: %s granted, %s asked for%s%.180s", message_state_name(r->state),
                   units_format_size(core->granted_bytes, granted, sizeof granted),
                   units_format_size(core->ask.target_bytes, target, sizeof target),
                   r->detail[0] != '\0' ? ": " : "", r->detail);
    scaler_log(core, now_ms, r->state != STATE_DONE, core->ask.raise ? "memory_raise" : "memory_return",
               "state=%s granted=%s target=%s detail=%s", message_state_name(r->state), granted, target,
               log_quote(r->detail, quoted, sizeof quoted));
}

static void wait_after(struct scaler_core *core, uint64_t now_ms, const struct response *r)
{
    struct scaler_backoff *wait = core->ask.raise ? &core->raise_wait : &core->return_wait;
    if (r->state == STATE_INFEASIBLE || r->state == STATE_DENIED)
        wait->delay_ms = SCALER_BACKOFF_MAX_MS; // asking soon again will not help
    scaler_back_off(core, wait, now_ms, r->state == STATE_DEFERRED ? r->retry_ms : 0);
}

static void answered(struct scaler_core *core, uint64_t now_ms, const struct response *r)
{
    struct scaler_ask *ask = &core->ask;
    bool full = r->state == STATE_DONE && (ask->raise ? core->granted_bytes >= ask->target_bytes
                                                      : core->granted_bytes <= ask->target_bytes);

    ask->active = ask->silent = false;
    core->view.results[results[r->state]]++;
    show_answer(core, now_ms, r);
    if (full) {
        *(ask->raise ? &core->raise_wait : &core->return_wait) = (struct scaler_backoff){0};
        ask->raise ? core->view.raises++ : core->view.returns++;
    } else {
        wait_after(core, now_ms, r);
    }
    if (!ask->raise && (full || !ask->pressed) && !core->release.active)
        core->wanted_bytes = SCALER_EVERYTHING; // the grant says how much that is
    if (core->reclaim.open && ask->reclaim[0] != '\0' && strcmp(ask->reclaim, core->reclaim.id) == 0)
        core->reclaim.open = r->state != STATE_DONE && r->state != STATE_PARTIAL;
}

static bool is_known_state(const struct response *r)
{
    return (size_t)r->state < sizeof results / sizeof results[0] && r->state != STATE_REFUSED &&
           r->final == message_state_is_final(r->state);
}

// librescale's own "no answer by the deadline" (rescale.h), or it could not take the request: nobody has said anything.
static bool is_silence(const struct response *r)
{
    static const char words[] = "no answer";
    return r->state == STATE_ERROR &&
           (r->granularity == 0 || strncmp(r->detail, words, sizeof words - 1) == 0);
}

// One that has been superseded has its end yet. What it grants may be out of date, so that only less is believed.
static void late_answer(struct scaler_core *core, uint64_t now_ms, const struct response *response)
{
    if (core->former[0] == '\0' || strcmp(core->former, response->id) != 0) {
        core->view.unexpected++;
        return;
    }
    if (response->final)
        core->former[0] = '\0';
    if (!is_silence(response) && response->granted_bytes < core->granted_bytes)
        scaler_take_grant(core, now_ms, response->granted_bytes, response->granularity);
    scaler_follow(core);
}

void scaler_core_response(struct scaler_core *core, uint64_t now_ms, const struct response *response)
{
    struct scaler_ask *ask = &core->ask;
    bool waited_for = (ask->active || ask->silent) && strcmp(ask->id, response->id) == 0;
    if (!is_known_state(response)) {
        core->view.unexpected++;
        return;
    }
    if (!waited_for) {
        late_answer(core, now_ms, response);
        return;
    }
    if (is_silence(response)) {
        if (ask->active)
            no_answer(core, now_ms);
        return;
    }
    scaler_take_grant(core, now_ms, response->granted_bytes, response->granularity);
    if (response->final)
        answered(core, now_ms, response);
    scaler_follow(core);
}
