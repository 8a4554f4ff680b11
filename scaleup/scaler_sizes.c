// How much the store may have: the arithmetic of ceilings, margins and what else the process holds (V1, V5).
#include "scaleup/scaler_internal.h"

#define BAND_MIN (4ull << 20)
#define STEP     (1ull << 20) // others that creep up lower the limit by whole steps

uint64_t scaler_grant(const struct scaler_core *core)
{
    // Below its minimum nothing is ever taken from a VNF: a lower number is the orchestrator's mistake.
    uint64_t granted = scaler_max(core->granted_bytes, core->min_bytes);
    return core->welcomed ? granted : SCALER_EVERYTHING;
}

uint64_t scaler_ceiling(const struct scaler_core *core)
{
    return scaler_min(scaler_grant(core), core->sample.limits.limit_bytes);
}

uint64_t scaler_will(const struct scaler_core *core)
{
    uint64_t will = scaler_min(scaler_grant(core), core->wanted_bytes);
    if (core->reclaim.target_bytes != 0)
        will = scaler_min(will, scaler_less(core->reclaim.target_bytes, core->overhead_bytes));
    return will;
}

uint64_t scaler_cap(const struct scaler_core *core)
{
    return scaler_min(scaler_will(core), core->sample.limits.limit_bytes);
}

uint64_t scaler_margin(const struct scaler_core *core, uint64_t bound)
{
    if (core->margin_option != 0)
        return core->margin_option;
    return scaler_max(SCALER_MARGIN_MIN, bound / 100 * 3);
}

static bool group_has_the_grant(const struct scaler_core *core)
{
    const struct limits_reading *limits = &core->sample.limits;
    uint64_t grant = scaler_grant(core);
    return limits->group_bytes != 0 &&
           (grant == SCALER_EVERYTHING || limits->limit_bytes <= grant + core->granularity);
}

uint64_t scaler_used(const struct scaler_core *core)
{
    const struct limits_reading *limits = &core->sample.limits;
    return group_has_the_grant(core) ? scaler_max(limits->rss_bytes, limits->group_bytes) : limits->rss_bytes;
}

uint64_t scaler_other(const struct scaler_core *core)
{
    return scaler_less(scaler_used(core), core->sample.usage.store_bytes);
}

static uint64_t room(const struct scaler_core *core, uint64_t bound, uint64_t other)
{
    return scaler_less(bound, other + scaler_margin(core, bound));
}

uint64_t scaler_store_limit(const struct scaler_core *core, uint64_t cap)
{
    const struct limits_reading *limits = &core->sample.limits;
    uint64_t store = core->sample.usage.store_bytes;
    uint64_t limit = room(core, cap, scaler_other(core));

    if (limits->group_bytes != 0) {
        uint64_t group = scaler_max(limits->group_bytes, limits->rss_bytes);
        limit = scaler_min(limit, room(core, limits->limit_bytes, scaler_less(group, store)));
    } else if (limits->available_bytes != 0) {
        // Nothing but the machine binds, and others are on it: no more than it really has left.
        limit = scaler_min(limit, scaler_less(store + limits->available_bytes, SCALER_MARGIN_MIN));
    }
    return limit;
}

uint64_t scaler_round(const struct scaler_core *core, uint64_t bytes)
{
    uint64_t granularity = core->granularity != 0 ? core->granularity : 1;
    uint64_t over = bytes % granularity;
    return over == 0 || bytes > MESSAGE_NUMBER_MAX - granularity ? bytes : bytes - over + granularity;
}

uint64_t scaler_to_grant(const struct scaler_core *core, uint64_t process)
{
    uint64_t grant =
        scaler_max(scaler_min(process, MESSAGE_NUMBER_MAX / 2) + core->overhead_bytes, core->min_bytes);
    if (core->max_bytes != 0)
        grant = scaler_min(grant, core->max_bytes);
    return scaler_round(core, grant);
}

// What the platform keeps of the grant, seen when both have come to rest: while a rescale is under way the limit changes before the answer comes. A limit that is
// far below the grant is none of that, but somebody else's will.
void scaler_learn_overhead(struct scaler_core *core, uint64_t now_ms)
{
    uint64_t grant = scaler_grant(core), limit = core->sample.limits.limit_bytes;
    if (grant == SCALER_EVERYTHING || core->ask.active || core->ask.silent ||
        now_ms < core->granted_at_ms + SCALER_SETTLE_MS)
        return;
    uint64_t gap = scaler_less(grant, limit);
    core->overhead_bytes = gap <= scaler_max(SCALER_OVERHEAD_MIN, grant / 4) ? gap : 0;
}

void scaler_follow(struct scaler_core *core)
{
    uint64_t will, limit, now;
    if (!core->sampled)
        return;
    will = scaler_will(core);
    limit = scaler_store_limit(core, scaler_cap(core));
    core->view.most_bytes = limit;
    if (core->fixed_bytes != 0)
        limit = scaler_min(limit, core->fixed_bytes);
    now = core->sample.usage.limit_bytes;
    // Without the band, others' breathing would rewrite the limit ten times a second and set off the store's bringing back of values each time. Others are also
    // the siblings below an upper level's limit: the limits that are read breathe with them.
    uint64_t band = scaler_max(BAND_MIN, now / 64);
    bool changed = will != core->will_bytes;
    core->will_bytes = will;
    if (!changed && limit < now)
        limit -= limit % STEP;
    if (limit < now || (limit > now && (changed || limit - now >= band))) {
        core->sample.usage.limit_bytes = limit;
        core->effects.set_limit(core->effects.arg, limit);
    }
    core->set_bytes = core->sample.usage.limit_bytes;
}
