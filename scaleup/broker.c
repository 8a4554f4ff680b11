// Events in; after each the rounds that bring everything to rest.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "scaleup/broker_internal.h"

// ---- small things

size_t broker_find(const struct broker *b, const char *name)
{
    for (size_t i = 0; i < b->count; i++)
        if (strcmp(b->members[i].config.name, name) == 0)
            return i;
    return BROKER_NOBODY;
}

void broker_log(const struct broker *b, bool warning, const char *event, const char *format, ...)
{
    char text[1600];
    va_list args;
    if (b->effects.log == NULL)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    b->effects.log(b->effects.arg, warning, event, text);
}

void broker_send(const struct broker *b, uint64_t session, const struct message *message)
{
    b->effects.send(b->effects.arg, session, message);
}

void broker_refuse(const struct broker *b, uint64_t session, enum message_error_code code, const char *detail)
{
    struct message m = {.type = MESSAGE_ERROR, .code = code};
    (void)snprintf(m.detail, sizeof m.detail, "%s", detail);
    broker_send(b, session, &m);
}

// ---- after each event

// The change is the request's, whose deadline is its.
static bool owned(const struct broker_member *m)
{
    return m->request.active && m->change.request == m->request.number;
}

// What was begun for a request is not continued when that has ended.
static uint64_t again_target(const struct broker *b, size_t i)
{
    const struct broker_member *m = &b->members[i];
    return m->change.request == 0 ? m->change.target : broker_most(broker_visible(b, i), m->min);
}

static void one_vnf(struct broker *b, size_t i)
{
    struct broker_member *m = &b->members[i];
    broker_lease(b, i);
    if (m->request.active && b->now_ms >= m->request.deadline_ms)
        broker_cut_short(b, i, m->change.active ? "the back-end is not done" : "no memory for it in time");
    broker_overdue(b, i);
    if (m->change.active && !owned(m) && b->now_ms >= m->change.again_ms) // it is silent: told again
        (void)broker_begin(b, i, again_target(b, i), 0, m->change.why);
    broker_settle(b, i);
}

static void record_again(struct broker *b)
{
    bool behind = false;
    if (b->now_ms < b->record_again_ms)
        return;
    for (size_t i = 0; i < b->count; i++)
        if (b->members[i].behind && !behind)
            behind = !broker_update(b, i, NULL);
    if (b->dirty && !behind) // what has no number to follow: ids
        (void)broker_record(b);
}

// Every round with another one to follow has ended a request or a reclaim, or taken memory back.
static void come_to_rest(struct broker *b)
{
    record_again(b);
    do {
        b->again = false;
        for (size_t i = 0; i < b->count; i++)
            one_vnf(b, i);
        broker_serve(b);
        for (size_t i = 0; i < b->count; i++)
            broker_waiters(b, i);
    } while (b->again);
    for (size_t i = 0; i < b->count; i++)
        broker_tell(b, i);
    broker_offers(b);
}

// ---- events

// It is called in time when nothing holds the daemon up. When something has, again what was sent to it waits.
static void set_now(struct broker *b, uint64_t now_ms)
{
    if (broker_above(now_ms, b->now_ms) > 2 * broker_grace(b))
        for (size_t i = 0; i < b->count; i++)
            b->members[i].lapsed_ms = 0;
    b->now_ms = broker_most(b->now_ms, now_ms);
}

void broker_hello(struct broker *b, uint64_t session, const struct message *hello, uint64_t now_ms)
{
    set_now(b, now_ms);
    come_to_rest(b); // a new VNF's minimum is in the book before it is welcomed
    broker_greet(b, session, hello);
    come_to_rest(b);
}

void broker_disconnected(struct broker *b, uint64_t session, uint64_t now_ms)
{
    set_now(b, now_ms);
    broker_gone(b, session);
    come_to_rest(b);
}

static void from_vnf(struct broker *b, const struct broker_session *from, const struct message *m)
{
    b->members[from->vnf].heard_ms = b->now_ms;
    if (m->type == MESSAGE_RESCALE)
        broker_rescale(b, from, m);
    else if (m->type == MESSAGE_RECLAIMING)
        broker_reclaiming(b, from->vnf, m);
    else if (m->type == MESSAGE_PING)
        broker_send(b, from->id, &(struct message){.type = MESSAGE_PONG});
    else
        broker_refuse(b, from->id, ERROR_UNEXPECTED, "not for a VNF, or not now");
}

static void from_operator(struct broker *b, const struct broker_session *from, const struct message *m)
{
    if (m->type == MESSAGE_RESCALE && m->vnf[0] != '\0')
        broker_rescale(b, from, m);
    else if (m->type == MESSAGE_STATUS_ASK)
        broker_send_status(b, from->id, m->vnf);
    else if (m->type == MESSAGE_PING)
        broker_send(b, from->id, &(struct message){.type = MESSAGE_PONG});
    else if (m->type == MESSAGE_RESCALE)
        broker_refuse(b, from->id, ERROR_UNEXPECTED, "rescale: an operator says of which VNF (member vnf)");
    else
        broker_refuse(b, from->id, ERROR_UNEXPECTED, "not for an operator, or not now");
}

void broker_message(struct broker *b, uint64_t session, const struct message *message, uint64_t now_ms)
{
    const struct broker_session *known = broker_session(b, session);
    set_now(b, now_ms);
    if (known == NULL)
        return; // it was closed while this was on its way
    struct broker_session from = *known;
    if (from.vnf == BROKER_NOBODY)
        from_operator(b, &from, message);
    else
        from_vnf(b, &from, message);
    come_to_rest(b);
}

// A group that has lost its limit (its container was restarted) may use what the machine has. That is no grant: only what it had counts, until it has a limit again.
static uint64_t safe_of(const struct broker *b, size_t i, const struct backend_report *report,
                        uint64_t actual)
{
    uint64_t own = broker_most(b->book.vnfs[i].granted_bytes, b->members[i].min);
    return report->unlimited ? broker_least(actual, own) : actual;
}

// Nobody asked. What could not be read is what it was.
static void changed(struct broker *b, size_t i, const struct backend_report *report, uint64_t actual)
{
    struct broker_member *m = &b->members[i];
    if (report->unknown)
        return;
    if (m->moved) { // what it has had is its own as far as there is that much where it is now
        m->safe = m->had;
        m->moved = false;
    }
    if (m->change.active || m->stray) { // measured before or after it was told: not known
        m->safe = broker_least(m->safe, actual);
        m->high = broker_most(m->high, actual);
    } else {
        m->safe = safe_of(b, i, report, actual);
        m->high = actual;
        m->why = BROKER_TO_SETTLE;
    }
}

static void own_report(struct broker *b, size_t i, const struct backend_report *report, uint64_t actual)
{
    struct broker_member *m = &b->members[i];
    if (report->outcome == BACKEND_PROGRESS) {
        m->change.again_ms = b->now_ms + b->deadline_ms;
        if (report->unknown)
            return;
        m->safe = broker_least(actual, m->change.target);
        m->high = broker_most(actual, m->change.target);
        return;
    }
    m->change.active = false;
    m->unsure = report->unknown; // told again
    if (report->unknown)
        return;
    if (report->outcome == BACKEND_FAILED) { // what it says is as far as it knows
        m->safe = broker_least(m->safe, actual);
        m->high = broker_most(m->high, actual);
        return;
    }
    m->safe = safe_of(b, i, report, actual);
    m->high = actual;
    if (actual == m->change.target)
        m->pause_ms = 0;
}

void broker_report(struct broker *b, size_t i, const struct backend_report *report, uint64_t now_ms)
{
    set_now(b, now_ms);
    if (i >= b->configured)
        return;
    struct broker_member *m = &b->members[i];
    uint64_t actual = broker_least(report->actual_bytes, MESSAGE_NUMBER_MAX);
    bool asked = report->outcome != BACKEND_CHANGED && report->change_id != 0;
    if (asked && (!m->change.active || report->change_id != m->change.id))
        return; // of a change that has been replaced
    if (!report->unknown) {
        m->actual = actual;
        m->known = true;
        m->unlimited = report->unlimited;
        m->unsure = false;
        m->used = report->used_bytes;
    }
    (void)snprintf(m->detail, sizeof m->detail, "%s", report->detail != NULL ? report->detail : "");
    if (asked)
        own_report(b, i, report, actual);
    else
        changed(b, i, report, actual);
    if (!m->begun) { // what it was before it was ours is not granted, but it is held
        m->safe = broker_least(m->safe, m->min);
    } else if (asked && owned(m)) {
        broker_request_reported(b, i, report);
    } else {
        (void)broker_update(b, i, NULL);
    }
    if (m->reclaim.forced && !m->change.active)
        broker_reclaim_ended(b, i);
    come_to_rest(b);
}

// ---- time

static void at(uint64_t *next, bool applies, uint64_t when)
{
    if (applies && when < *next)
        *next = when;
}

static uint64_t next_of(const struct broker *b, size_t i)
{
    const struct broker_member *m = &b->members[i];
    uint64_t next = UINT64_MAX, target;
    enum broker_why why;
    at(&next, m->configured && m->present,
       m->lapsed_ms != 0 ? m->lapsed_ms + broker_grace(b) : m->heard_ms + b->lease_ms);
    at(&next, m->request.active, m->request.deadline_ms);
    at(&next, m->waiter.active, m->waiter.deadline_ms);
    at(&next, m->reclaim.active && !m->reclaim.forced && !(m->request.active && !m->request.raise),
       m->reclaim.deadline_ms);
    at(&next, m->change.active && !owned(m), m->change.again_ms);
    at(&next, m->behind, b->record_again_ms);
    at(&next, broker_unsettled(b, i, &target, &why), m->again_ms);
    return next;
}

uint64_t broker_tick(struct broker *b, uint64_t now_ms)
{
    set_now(b, now_ms);
    come_to_rest(b);
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < b->count; i++)
        at(&next, true, next_of(b, i));
    at(&next, b->dirty, b->record_again_ms);
    return next;
}
