// Asking VNFs to give memory back, for a raise of another VNF or for an operator; and telling those who were sent away when there is memory again.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/arbiter.h"
#include "scaleup/broker_internal.h"

// ---- the plan

static bool askable(const struct broker *b, size_t i, uint64_t request)
{
    const struct broker_member *m = &b->members[i];
    return m->session != 0 && !m->reclaim.active && !m->waiter.active && m->asked != request;
}

static void gather(const struct broker *b, uint64_t request, struct arbiter_vnf *vnfs)
{
    for (size_t i = 0; i < b->configured; i++)
        vnfs[i] = (struct arbiter_vnf){.size_bytes = broker_visible(b, i),
                                       .min_bytes = b->members[i].min,
                                       .priority = b->members[i].config.priority,
                                       .askable = askable(b, i, request)};
}

void broker_plan(struct broker *b, size_t asker, uint64_t need)
{
    const struct broker_request *r = &b->members[asker].request;
    struct arbiter_vnf *vnfs = calloc(b->configured, sizeof *vnfs);
    struct arbiter_target *plan = calloc(b->configured, sizeof *plan);
    uint64_t missing, left = broker_above(r->deadline_ms, b->now_ms);
    if (vnfs != NULL && plan != NULL) {
        gather(b, r->number, vnfs);
        vnfs[asker].size_bytes = b->book.vnfs[asker].committed_bytes + r->reserved + broker_coming(b, asker);
        struct arbiter_pool pool = {b->pool, b->granularity, vnfs, b->configured};
        struct arbiter_ask ask = {asker, r->priority, need};
        size_t count = arbiter_plan(&pool, &ask, plan, &missing);
        for (size_t k = 0; k < count; k++) // half of the time: if they do not deliver, others may
            broker_reclaim_from(b, plan[k].vnf,
                                &(struct broker_reclaim){.target = plan[k].bytes,
                                                         .deadline_ms = b->now_ms + (left + 1) / 2,
                                                         .priority = r->priority,
                                                         .asker = asker,
                                                         .request = r->number});
    }
    free(vnfs);
    free(plan);
}

static bool is_for(const struct broker *b, size_t i, size_t asker)
{
    const struct broker_reclaim *reclaim = &b->members[i].reclaim;
    return reclaim->active && reclaim->asker == asker;
}

uint64_t broker_coming(const struct broker *b, size_t asker)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < b->configured; i++)
        if (is_for(b, i, asker))
            bytes += broker_above(b->book.vnfs[i].committed_bytes, b->members[i].reclaim.target);
    return bytes;
}

// ---- one reclaim

void broker_send_reclaim(const struct broker *b, size_t i)
{
    const struct broker_member *m = &b->members[i];
    struct message message = {.type = MESSAGE_RECLAIM,
                              .target_bytes = m->reclaim.target,
                              .deadline_ms = broker_above(m->reclaim.deadline_ms, b->now_ms),
                              .has_priority = true,
                              .priority = m->reclaim.priority};
    memcpy(message.id, m->reclaim.id, sizeof message.id);
    if (m->reclaim.asker == BROKER_NOBODY)
        memcpy(message.reason, "operator", sizeof "operator");
    else
        (void)snprintf(message.reason, sizeof message.reason, "%s asks with priority %u",
                       b->members[m->reclaim.asker].config.name, m->reclaim.priority);
    broker_send(b, m->session, &message);
}

static void ask_others(struct broker *b, const struct broker_reclaim *ended)
{
    if (ended->asker == BROKER_NOBODY)
        return;
    struct broker_request *r = &b->members[ended->asker].request;
    if (r->active && r->number == ended->request)
        r->replan = b->again = true;
}

void broker_reclaim_from(struct broker *b, size_t i, const struct broker_reclaim *reclaim)
{
    struct broker_member *m = &b->members[i];
    struct broker_reclaim before = m->reclaim;
    m->reclaim = *reclaim;
    m->reclaim.active = true;
    m->asked = reclaim->request;
    (void)snprintf(m->reclaim.id, sizeof m->reclaim.id, "r%llu", (unsigned long long)++b->last_reclaim);
    b->stats.reclaims++;
    broker_log(b, false, "reclaim", "vnf=%s id=%s target=%llu", m->config.name, m->reclaim.id,
               (unsigned long long)m->reclaim.target);
    broker_send_reclaim(b, i);
    if (before.active)
        ask_others(b, &before);
}

void broker_reclaim_ended(struct broker *b, size_t i)
{
    struct broker_member *m = &b->members[i];
    struct broker_reclaim ended = m->reclaim;
    m->reclaim = (struct broker_reclaim){0};
    if (ended.active)
        ask_others(b, &ended);
}

void broker_take_back(struct broker *b, size_t asker)
{
    for (size_t i = 0; i < b->configured; i++) {
        struct broker_member *m = &b->members[i];
        if (!is_for(b, i, asker))
            continue;
        m->reclaim.target = broker_visible(b, i);
        if (m->session != 0 && !(m->request.active && m->request.delivers) && !m->reclaim.forced)
            broker_send_reclaim(b, i);
        m->reclaim = (struct broker_reclaim){0};
    }
}

void broker_reclaiming(struct broker *b, size_t i, const struct message *message)
{
    struct broker_member *m = &b->members[i];
    if (!m->reclaim.active || strcmp(m->reclaim.id, message->id) != 0)
        return; // an earlier one, that has been replaced or has ended
    uint64_t promised = broker_most(broker_up(b, message->target_bytes), m->min);
    broker_log(b, false, "reclaiming", "vnf=%s id=%s state=%s", m->config.name, m->reclaim.id,
               message_state_name(message->state));
    if (message->state == STATE_REFUSED ||
        (message->state == STATE_PARTIAL && promised >= broker_visible(b, i))) {
        if (!m->config.force_overdue)
            broker_reclaim_ended(b, i);
        else
            m->reclaim.deadline_ms = b->now_ms; // it will not do it by itself
    } else if (message->state == STATE_PARTIAL && promised > m->reclaim.target) {
        if (!m->config.force_overdue)
            m->reclaim.target = promised;
        struct broker_reclaim now = m->reclaim;
        ask_others(b, &now);
    }
}

// The deadline has passed. The VNF is not harmed: at most its back-end is told to take what is not in use.
void broker_overdue(struct broker *b, size_t i)
{
    struct broker_member *m = &b->members[i];
    if (!m->reclaim.active || m->reclaim.forced || b->now_ms < m->reclaim.deadline_ms)
        return;
    if (m->request.active && !m->request.raise)
        return; // it is delivering, only its back-end is slow; the return has a deadline of its own
    m->overdue++;
    b->stats.overdue++;
    broker_log(b, true, "reclaim_overdue", "vnf=%s id=%s force=%d", m->config.name, m->reclaim.id,
               m->config.force_overdue);
    uint64_t target = m->reclaim.target;
    if (m->config.force_overdue && target < broker_visible(b, i) && !m->request.active) {
        m->reclaim.forced = true;
        (void)broker_begin(b, i, target, 0, BROKER_FORCED);
    } else {
        broker_reclaim_ended(b, i);
    }
}

// ---- operators' returns, offers

void broker_waiters(struct broker *b, size_t i)
{
    struct broker_member *m = &b->members[i];
    struct broker_waiter *w = &m->waiter;
    if (!w->active)
        return;
    bool there = b->book.vnfs[i].committed_bytes <= w->goal;
    bool given_up = !m->reclaim.active && !m->request.active && !m->change.active && m->present;
    if (!there && !given_up && b->now_ms < w->deadline_ms)
        return;
    struct broker_waiter ended = *w;
    *w = (struct broker_waiter){0};
    b->again = true;
    b->stats.partial += !there;
    broker_respond(b, i, ended.session, ended.id, there ? STATE_DONE : STATE_PARTIAL, "");
}

void broker_offers(struct broker *b)
{
    uint64_t free_bytes = broker_free(b), kept = 0;
    for (size_t i = 0; i < b->configured; i++) {
        const struct broker_request *r = &b->members[i].request;
        kept += r->active && r->raise ? broker_above(r->goal, b->book.vnfs[i].committed_bytes) : 0;
    }
    free_bytes = broker_above(free_bytes, kept);
    for (size_t i = 0; i < b->configured; i++) {
        struct broker_member *m = &b->members[i];
        if (!m->wants_offer || m->request.active)
            continue;
        if (free_bytes > m->offer_over && m->session != 0 && broker_visible(b, i) < m->max) {
            m->wants_offer = false;
            struct message offer = {.type = MESSAGE_OFFER, .available_bytes = free_bytes};
            broker_send(b, m->session, &offer);
        } else {
            m->offer_over = broker_least(m->offer_over, free_bytes);
        }
    }
}
