#include "scaler_kit.h"

#include <stdio.h>
#include <string.h>

static void set_limit(void *arg, uint64_t bytes)
{
    struct kit *kit = arg;
    kit->limits_set++;
    kit->store_limit = bytes;
    if (kit->frees_per_tick == 0 && kit->store_bytes > bytes)
        kit->store_bytes = bytes;
}

static void request(void *arg, const struct rescale_request *r)
{
    struct kit *kit = arg;
    kit->requests++;
    kit->request = *r;
    assert_non_null(r->id);
    assert_true(message_name_is_good(r->id));
    (void)snprintf(kit->id, sizeof kit->id, "%s", r->id);
    (void)snprintf(kit->reclaim, sizeof kit->reclaim, "%s", r->reclaim != NULL ? r->reclaim : "");
    kit->used_at_request = kit_rss(kit);
}

static void reclaiming(void *arg, const char *id, enum message_state state, uint64_t target)
{
    struct kit *kit = arg;
    kit->reclaimings++;
    (void)snprintf(kit->reclaiming_id, sizeof kit->reclaiming_id, "%s", id);
    kit->reclaiming_state = state;
    kit->reclaiming_target = target;
}

static void on_log(void *arg, bool warning, const char *event, const char *text)
{
    struct kit *kit = arg;
    kit->lines++;
    kit->warnings += warning;
    assert_non_null(text);
    (void)snprintf(kit->last_event, sizeof kit->last_event, "%s", event);
}

void kit_begin(struct kit *kit, bool orchestrated, uint64_t fixed_bytes)
{
    const struct scaler_options options = {.fixed_bytes = fixed_bytes, .margin_bytes = 16 * MB};
    const struct scaler_effects effects = {
        .set_limit = set_limit, .request = request, .reclaiming = reclaiming, .log = on_log, .arg = kit};
    memset(kit, 0, sizeof *kit);
    kit_policy_target = 0;
    kit_policy_calls = 0;
    kit_policy_reason = POLICY_GOAL;
    kit->now_ms = 1000000;
    kit->limit_bytes = 16 * GB;
    kit->available_bytes = 12 * GB;
    kit->other_bytes = 100 * MB;
    kit->store_limit = kit->store_bytes = 256 * MB;
    kit->table_bytes = 8 * GB;
    kit->psi_some = -1;
    kit->core = scaler_core_create(&options, orchestrated, 42, &effects);
    assert_non_null(kit->core);
}

void kit_end(struct kit *kit)
{
    scaler_core_destroy(&kit->core);
    assert_null(kit->core);
}

uint64_t kit_rss(const struct kit *kit)
{
    return kit->store_bytes + kit->other_bytes;
}

static void look(struct kit *kit)
{
    scaler_core_view(kit->core, &kit->view);
}

static void store_moves(struct kit *kit)
{
    uint64_t goal = kit->store_limit < kit->table_bytes ? kit->store_limit : kit->table_bytes;
    uint64_t free_step = kit->frees_per_tick != 0 ? kit->frees_per_tick : UINT64_MAX;
    uint64_t fill_step = kit->fills_per_tick != 0 ? kit->fills_per_tick : UINT64_MAX;
    if (kit->store_bytes > goal)
        kit->store_bytes -= kit->store_bytes - goal < free_step ? kit->store_bytes - goal : free_step;
    else
        kit->store_bytes += goal - kit->store_bytes < fill_step ? goal - kit->store_bytes : fill_step;
}

void kit_tick(struct kit *kit)
{
    static const struct policy_point curve[] = {{64 * MB, 0.3}, {GB, 0.9}};
    struct scaler_sample sample = {
        .limits = {.limit_bytes = kit->limit_bytes,
                   .source = kit->grouped ? LIMITS_CGROUP_V2 : LIMITS_MACHINE,
                   .machine_bytes = 16 * GB,
                   .available_bytes = kit->available_bytes,
                   .psi_some = kit->psi_some,
                   .psi_full = -1},
        .curve = curve,
        .curve_count = 2,
    };
    store_moves(kit);
    sample.limits.rss_bytes = kit_rss(kit);
    sample.limits.group_bytes = kit->grouped ? kit_rss(kit) + kit->kernel_bytes : 0;
    sample.usage = (struct scaler_usage){.store_bytes = kit->store_bytes,
                                         .limit_bytes = kit->store_limit,
                                         .table_bytes = kit->table_bytes,
                                         .hits = kit->hits,
                                         .misses = kit->misses};
    kit->now_ms += 100;
    (void)scaler_core_tick(kit->core, kit->now_ms, &sample);
    look(kit);
}

void kit_run(struct kit *kit, uint64_t ms)
{
    for (uint64_t end = kit->now_ms + ms; kit->now_ms < end;)
        kit_tick(kit);
}

void kit_event(struct kit *kit, struct rescale_event event)
{
    scaler_core_event(kit->core, kit->now_ms, &event);
    look(kit);
}

void kit_welcome(struct kit *kit, uint64_t granted)
{
    kit_event(kit, (struct rescale_event){.type = RESCALE_CONNECTED,
                                          .granted_bytes = granted,
                                          .granularity = 2 * MB,
                                          .min_bytes = 128 * MB,
                                          .max_bytes = 4 * GB,
                                          .lease_ms = 10000});
}

void kit_answer_full(struct kit *kit, struct response response)
{
    scaler_core_response(kit->core, kit->now_ms, &response);
    look(kit);
}

void kit_answer(struct kit *kit, const char *id, enum message_state state, uint64_t granted)
{
    struct response response = {.state = state,
                                .final = message_state_is_final(state),
                                .granted_bytes = granted,
                                .granularity = 2 * MB};
    (void)snprintf(response.id, sizeof response.id, "%s", id);
    kit_answer_full(kit, response);
}
