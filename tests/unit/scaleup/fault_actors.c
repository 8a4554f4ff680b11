// Back-ends, VNFs, operators.
#include "fault_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- back-ends

static enum world_mood mood(struct world *w)
{
    static const enum world_mood moods[] = {MOOD_WELL,    MOOD_WELL,  MOOD_WELL,   MOOD_WELL, MOOD_PARTIAL,
                                            MOOD_REFUSES, MOOD_FAILS, MOOD_SILENT, MOOD_DEAF};
    return w->faults ? moods[world_below(w, sizeof moods / sizeof *moods)] : MOOD_WELL;
}

void world_on_apply(void *arg, size_t i, uint64_t id, uint64_t bytes)
{
    struct world *w = arg;
    struct world_backend *b = &w->backends[i];
    const struct world_vnf *v = &w->vnfs[i];
    const struct book_vnf *entry = world_on_disk(w, i);
    if (world_killed(w))
        return;
    TRACE("apply %s %llu id %llu (actual %llu, told %llu)", w->config[i].name, U bytes, U id, U b->actual,
          U v->told);
    if ((entry == NULL ? 0 : entry->committed_bytes) < bytes) // P3
        world_wrong(w, "the back-end of %s is told %llu, which the book on disk does not have",
                    w->config[i].name, U bytes);
    if (bytes < w->config[i].min_bytes || bytes % WORLD_G != 0) // P6
        world_wrong(w, "the back-end of %s is told %llu", w->config[i].name, U bytes);
    if (v->session != 0 && !v->forced &&
        bytes < world_least(world_least(v->told, v->asking), world_down(b->reported)))
        world_wrong(w, "%s is there, has not returned anything, and its back-end is told %llu",
                    w->config[i].name, U bytes);
    if (!world_one_in(w, 4)) // else reports of what was replaced still come
        b->queued = 0;
    b->id = id;
    b->moved = false;
    b->target = bytes;
    b->mood = mood(w);
    uint64_t from = world_least(b->actual, 2 * w->options.pool_bytes);
    b->stop = world_least(from, bytes) + world_below(w, (from > bytes ? from - bytes : bytes - from) + 1);
}

void world_queue_report(struct world *w, size_t i, uint64_t id, enum backend_outcome outcome, uint64_t actual)
{
    struct world_backend *b = &w->backends[i];
    bool final = id != 0 && outcome != BACKEND_PROGRESS;
    bool unread =
        (final ? outcome == BACKEND_REFUSED || outcome == BACKEND_FAILED : id == 0) && world_fault(w, 6);
    if (b->queued < WORLD_REPORTS)
        b->queue[b->queued++] =
            (struct backend_report){.change_id = id,
                                    .outcome = unread && !final ? BACKEND_FAILED : outcome,
                                    .actual_bytes = unread ? 0 : actual,
                                    .detail = "x",
                                    .unknown = unread,
                                    .unlimited = !unread && actual == WORLD_MACHINE};
    b->unread = unread || (b->unread && outcome == BACKEND_PROGRESS);
}

// Never below what is in use.
static uint64_t towards(struct world *w, size_t i, uint64_t target)
{
    const struct world_backend *b = &w->backends[i];
    if (target >= b->actual)
        return b->actual + world_least(target - b->actual, 1 + world_below(w, 4 * WORLD_G));
    uint64_t bound = w->vnfs[i].used > target ? w->vnfs[i].used : target;
    if (b->actual == WORLD_MACHINE) // the first limit is there at once
        return bound;
    return bound >= b->actual ? b->actual
                              : b->actual - world_least(b->actual - bound, 1 + world_below(w, 4 * WORLD_G));
}

static void backend_ends(struct world *w, size_t i, enum backend_outcome outcome)
{
    struct world_backend *b = &w->backends[i];
    uint64_t id = b->id;
    b->id = 0;
    if (b->mood != MOOD_SILENT && b->mood != MOOD_DEAF)
        world_queue_report(w, i, id, outcome, b->actual);
}

void world_backend_moves(struct world *w, size_t i)
{
    struct world_backend *b = &w->backends[i];
    if (b->unread && world_one_in(w, 3))
        world_queue_report(w, i, 0, BACKEND_CHANGED, b->actual);
    if (b->id == 0)
        return;
    if (b->mood == MOOD_REFUSES || b->mood == MOOD_DEAF) {
        backend_ends(w, i, BACKEND_REFUSED);
        return;
    }
    uint64_t before = b->actual,
             target = b->mood == MOOD_PARTIAL || b->mood == MOOD_FAILS ? b->stop : b->target;
    b->actual = towards(w, i, target);
    if (b->mood == MOOD_STRAY) {
        b->id = b->actual == before || b->actual == target ? 0 : b->id;
        world_queue_report(w, i, 0, BACKEND_CHANGED, b->actual);
    } else if (b->actual == b->target)
        backend_ends(w, i, BACKEND_DONE);
    else if (b->mood == MOOD_FAILS && world_one_in(w, 2))
        backend_ends(w, i, BACKEND_FAILED);
    else if (b->actual == target || b->actual == before)
        backend_ends(w, i, b->mood == MOOD_FAILS ? BACKEND_FAILED : BACKEND_PARTIAL);
    else if (b->mood != MOOD_SILENT && world_one_in(w, 2))
        world_queue_report(w, i, b->id, BACKEND_PROGRESS, b->actual);
}

// ---- VNFs

void world_tell(struct world *w, uint64_t session, const struct message *m)
{
    broker_message(w->broker, session, m, w->now);
}

static void send_rescale(struct world *w, uint64_t session, struct message *m)
{
    struct world_ask *ask = world_ask_of(w, session, m->id);
    m->type = MESSAGE_RESCALE;
    m->deadline_ms = world_one_in(w, 3) ? 0 : 1 + world_below(w, 20000);
    m->has_priority = true;
    m->priority = world_below(w, 10);
    if (ask == NULL && w->ask_count == WORLD_ASKS)
        return;
    if (ask == NULL) {
        ask = &w->asks[w->ask_count++];
        *ask = (struct world_ask){.session = session};
        memcpy(ask->id, m->id, sizeof ask->id);
    }
    ask->asks++;
    TRACE("<- rescale id %s vnf %s target %llu min %llu deadline %llu reclaim %s", m->id, m->vnf,
          U m->target_bytes, U m->min_bytes, U m->deadline_ms, m->reclaim);
    world_tell(w, session, m);
}

static void vnf_asks(struct world *w, size_t i, uint64_t target, uint64_t min, bool again)
{
    struct world_vnf *v = &w->vnfs[i];
    struct message m = {.target_bytes = target, .min_bytes = min, .has_min = min != 0};
    if (again && v->last[0] != '\0') { // with a lie now and then
        memcpy(m.id, v->last, sizeof m.id);
        m.target_bytes = v->last_target + (world_one_in(w, 5) ? 1 : 0);
        m.min_bytes = v->last_min;
        m.has_min = m.min_bytes != 0;
    } else {
        (void)snprintf(m.id, sizeof m.id, "i%llu", U++ w->ids);
        memcpy(v->last, m.id, sizeof v->last);
        v->last_target = target;
        v->last_min = min;
    }
    if (v->reclaimed != 0 && target <= v->told)
        memcpy(m.reclaim, v->reclaim, sizeof m.reclaim);
    if (m.target_bytes < v->told && !world_fault(w, 5)) // frees first; or lies
        v->used = world_least(v->used, m.target_bytes);
    v->asking = m.target_bytes;
    send_rescale(w, v->session, &m);
    v->asking = UINT64_MAX;
}

void world_vnf_hello(struct world *w, size_t i)
{
    struct world_vnf *v = &w->vnfs[i];
    struct message m = {.type = MESSAGE_HELLO, .version = 1, .role = ROLE_VNF, .holding_bytes = v->told};
    memcpy(m.vnf, w->config[i].name, sizeof m.vnf);
    if (i >= w->options.vnf_count)
        return;
    uint64_t before = v->session, session = ++w->sessions;
    w->replaced = before; // gets its error
    if (before != 0 && world_one_in(w, 2)) {
        broker_disconnected(w->broker, before, w->now);
        world_forget_session(w, before);
        if (w->dead)
            return;
    }
    v->session = session;
    v->told = 0;
    v->reclaimed = 0;
    v->gone = false;
    TRACE("<- hello %s", w->config[i].name);
    broker_hello(w->broker, session, &m, w->now);
}

static void vnf_reclaimed(struct world *w, size_t i)
{
    struct world_vnf *v = &w->vnfs[i];
    struct message m = {.type = MESSAGE_RECLAIMING, .state = STATE_ACCEPTED, .target_bytes = v->reclaimed};
    uint64_t half = v->reclaimed + (v->told > v->reclaimed ? v->told - v->reclaimed : 0) / 2;
    memcpy(m.id, v->reclaim, sizeof m.id);
    switch (w->faults ? world_below(w, 6) : 0) {
    case 0:
        vnf_asks(w, i, v->reclaimed, 0, false);
        v->reclaimed = 0;
        break;
    case 1:
        m.state = STATE_REFUSED;
        world_tell(w, v->session, &m);
        v->reclaimed = 0;
        break;
    case 2:
        m.state = STATE_PARTIAL;
        m.target_bytes = half;
        world_tell(w, v->session, &m);
        break;
    case 3:
        vnf_asks(w, i, half, 0, false);
        v->reclaimed = 0;
        break;
    case 4:
        world_tell(w, v->session, &m);
        break;
    default: // ignores it
        v->reclaimed = 0;
    }
}

void world_vnf_acts(struct world *w, size_t i)
{
    struct world_vnf *v = &w->vnfs[i];
    uint64_t pool = w->options.pool_bytes;
    if (v->session == 0) {
        if (world_one_in(w, 4))
            world_vnf_hello(w, i);
        return;
    }
    uint64_t what = world_below(w, 16);
    if (v->reclaimed != 0 && what < 8) {
        vnf_reclaimed(w, i);
    } else if (what < 5) {
        uint64_t target = v->told + world_below(w, pool);
        vnf_asks(w, i, target, world_one_in(w, 3) ? world_below(w, target + 1) : 0, false);
    } else if (what < 8) {
        vnf_asks(w, i, world_below(w, v->told + 1), 0, false);
    } else if (what < 10) {
        vnf_asks(w, i, 0, 0, true);
    } else if (what == 10 && world_fault(w, 2)) { // crashes, or only its connection does
        uint64_t session = v->session;
        v->gone = world_one_in(w, 2);
        if (v->gone)
            v->used = 0;
        TRACE("<- %s disconnects", w->config[i].name);
        world_forget_session(w, session);
        broker_disconnected(w->broker, session, w->now);
    } else if (what == 11 && world_fault(w, 2)) {
        world_vnf_hello(w, i);
    } else if (what == 12 && world_fault(w, 2)) { // whatever
        struct message m = {.type = (enum message_type)world_below(w, MESSAGE_UNKNOWN + 1),
                            .id = "r1",
                            .state = STATE_PARTIAL};
        if (m.type != MESSAGE_RESCALE)
            world_tell(w, v->session, &m);
    } else {
        world_tell(w, v->session, &(struct message){.type = MESSAGE_PING});
    }
}

void world_operator_acts(struct world *w)
{
    struct message m = {.type = MESSAGE_HELLO, .version = 1, .role = ROLE_OPERATOR};
    if (w->operator== 0) {
        w->operator= ++ w->sessions;
        broker_hello(w->broker, w->operator, & m, w->now);
        return;
    }
    if (world_one_in(w, 8)) {
        uint64_t session = w->operator;
        world_forget_session(w, session);
        broker_disconnected(w->broker, session, w->now);
        return;
    }
    size_t i = world_below(
        w, w->options.vnf_count); // those left out would be released: the back-end knows nothing of it
    m = (struct message){.target_bytes = world_below(w, w->options.pool_bytes)};
    memcpy(m.vnf, w->config[i].name, sizeof m.vnf);
    (void)snprintf(m.id, sizeof m.id, "o%llu", U++ w->ids);
    send_rescale(w, w->operator, & m);
}
