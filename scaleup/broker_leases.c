// Who speaks for a VNF, since when nothing was heard of it, and what it has been told.
#include <stdlib.h>
#include <string.h>

#include "scaleup/broker_internal.h"

struct broker_session *broker_session(const struct broker *b, uint64_t id)
{
    for (size_t k = 0; k < b->session_count; k++)
        if (b->sessions[k].id == id)
            return &b->sessions[k];
    return NULL;
}

// ---- grants

static const char *reason_of(enum broker_why why)
{
    switch (why) {
    case BROKER_FOR_OPERATOR:
        return "operator";
    case BROKER_LEASE_ENDED:
        return "the lease had ended";
    case BROKER_FORCED:
        return "reclaim overdue";
    case BROKER_TO_MINIMUM:
        return "minimum";
    case BROKER_FOR_REQUEST:
    case BROKER_TO_SETTLE:
        break;
    }
    return "the back-end has another size";
}

// It has not been told what it has now: by a response when it waits for one, else by a grant.
void broker_tell(struct broker *b, size_t i)
{
    struct broker_member *m = &b->members[i];
    const struct broker_request *r = &m->request;
    uint64_t granted = broker_visible(b, i);
    if (m->session == 0 || m->told == granted)
        return;
    if (r->active && r->session != 0)
        broker_respond(b, i, r->session, r->id, STATE_PROGRESS, "");
    if (m->told == granted)
        return;
    struct message grant = {.type = MESSAGE_GRANT, .granted_bytes = granted, .granularity = b->granularity};
    const char *reason = reason_of(m->why);
    memcpy(grant.reason, reason, strlen(reason) + 1);
    m->told = granted;
    broker_send(b, m->session, &grant);
}

// ---- sessions

static bool add_session(struct broker *b, uint64_t id, size_t vnf)
{
    if (b->session_count == b->session_room) {
        size_t room = b->session_room == 0 ? 16 : 2 * b->session_room;
        struct broker_session *more = realloc(b->sessions, room * sizeof *more);
        if (more == NULL)
            return false;
        b->sessions = more;
        b->session_room = room;
    }
    b->sessions[b->session_count++] = (struct broker_session){id, vnf};
    return true;
}

// What it has asked is not answered any more, but goes on: its VNF may come back and ask again.
static void leave_session(struct broker *b, struct broker_session *session)
{
    for (size_t i = 0; i < b->count; i++) {
        struct broker_member *m = &b->members[i];
        if (m->session == session->id)
            m->session = 0;
        if (m->request.session == session->id)
            m->request.session = 0;
        if (m->waiter.session == session->id)
            m->waiter.session = 0;
    }
    *session = b->sessions[--b->session_count];
}

static void end_session(struct broker *b, uint64_t id, enum message_error_code code, const char *detail)
{
    broker_refuse(b, id, code, detail);
    b->effects.close(b->effects.arg, id);
    struct broker_session *session = broker_session(b, id);
    if (session != NULL)
        leave_session(b, session);
}

static void welcome(struct broker *b, size_t i, uint64_t session)
{
    struct message m = {
        .type = MESSAGE_WELCOME, .version = 1, .granularity = b->granularity, .lease_ms = b->lease_ms};
    if (i != BROKER_NOBODY) {
        const struct broker_vnf *config = &b->members[i].config;
        memcpy(m.vnf, config->name, sizeof m.vnf);
        memcpy(m.backend, config->backend, sizeof m.backend);
        m.granted_bytes = b->members[i].told = broker_visible(b, i);
        m.min_bytes = config->min_bytes;
        m.max_bytes = config->max_bytes != 0 ? config->max_bytes : b->pool;
    }
    broker_send(b, session, &m);
}

static void come_back(struct broker *b, size_t i, uint64_t session)
{
    struct broker_member *m = &b->members[i];
    m->session = session;
    m->heard_ms = b->now_ms;
    m->present = true;
    m->pause_ms = 0;
    // What was being taken because nobody was there any more, it has again as far as it has not gone back yet.
    if (m->change.active && m->change.why == BROKER_LEASE_ENDED)
        (void)broker_begin(b, i, broker_most(b->book.vnfs[i].granted_bytes, m->min), 0, BROKER_TO_SETTLE);
    welcome(b, i, session);
    if (m->reclaim.active && !m->reclaim.forced)
        broker_send_reclaim(b, i);
}

void broker_greet(struct broker *b, uint64_t session, const struct message *hello)
{
    size_t i = BROKER_NOBODY;
    if (hello->role == ROLE_VNF) {
        i = broker_find(b, hello->vnf);
        if (i == BROKER_NOBODY || !b->members[i].configured) {
            end_session(b, session, ERROR_UNKNOWN_VNF, "not in the configuration");
            return;
        }
        if (b->members[i].session != 0)
            end_session(b, b->members[i].session, ERROR_REPLACED, "a later connection of this VNF");
    }
    if (!add_session(b, session, i)) {
        end_session(b, session, ERROR_BUSY, "out of memory");
        return;
    }
    broker_log(b, false, "hello", "session=%llu vnf=%s holding=%llu granted=%llu",
               (unsigned long long)session, i == BROKER_NOBODY ? "-" : hello->vnf,
               (unsigned long long)hello->holding_bytes,
               (unsigned long long)(i == BROKER_NOBODY ? 0 : broker_visible(b, i)));
    if (i == BROKER_NOBODY)
        welcome(b, i, session);
    else
        come_back(b, i, session);
}

void broker_gone(struct broker *b, uint64_t id)
{
    struct broker_session *session = broker_session(b, id);
    if (session == NULL)
        return;
    if (session->vnf != BROKER_NOBODY)
        b->members[session->vnf].heard_ms = b->now_ms; // from now on it has lease_ms to come back
    leave_session(b, session);
}

// ---- the lease

void broker_lease(struct broker *b, size_t i)
{
    struct broker_member *m = &b->members[i];
    if (!m->configured || !m->present || b->now_ms - m->heard_ms < b->lease_ms) {
        m->lapsed_ms = 0;
        return;
    }
    if (m->lapsed_ms == 0)
        m->lapsed_ms = b->now_ms;
    if (b->now_ms - m->lapsed_ms < broker_grace(b))
        return;
    m->present = false;
    m->lapsed_ms = 0;
    b->stats.leases_ended++;
    broker_log(b, true, "lease_ended", "vnf=%s granted=%llu", m->config.name,
               (unsigned long long)broker_visible(b, i));
    if (m->session != 0)
        end_session(b, m->session, ERROR_TIMEOUT, "nothing was heard for the time of the lease");
    if (m->request.active && !m->request.by_operator)
        broker_cut_short(b, i, "the lease has ended");
    broker_reclaim_ended(b, i);
    m->wants_offer = false;
    m->again_ms = b->now_ms;
    m->pause_ms = 0;
    // Now, even if the back-end has not yet answered something else.
    if (!m->request.active && m->begun && broker_up(b, m->high) > m->min)
        (void)broker_begin(b, i, m->min, 0, BROKER_LEASE_ENDED);
}
