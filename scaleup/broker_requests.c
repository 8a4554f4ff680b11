// rescale: what is asked for, and how it ends.
#include <string.h>

#include "scaleup/broker_internal.h"

static void count_final(struct broker *b, enum message_state state)
{
    struct broker_stats *s = &b->stats;
    s->partial += state == STATE_PARTIAL;
    s->deferred += state == STATE_DEFERRED;
    s->infeasible += state == STATE_INFEASIBLE;
    s->denied += state == STATE_DENIED;
    s->errors += state == STATE_ERROR;
}

static void copy_text(message_text to, const char *from)
{
    size_t len = strnlen(from, MESSAGE_TEXT_MAX);
    memcpy(to, from, len);
    to[len] = '\0';
}

// i BROKER_NOBODY: of a VNF that there is not.
void broker_respond(struct broker *b, size_t i, uint64_t session, const char *id, enum message_state state,
                    const char *detail)
{
    struct message m = {.type = MESSAGE_RESPONSE,
                        .state = state,
                        .final = message_state_is_final(state),
                        .granularity = b->granularity,
                        .granted_bytes = i == BROKER_NOBODY ? 0 : broker_visible(b, i),
                        .retry_ms = state == STATE_DEFERRED ? BROKER_RETRY_MS : 0};
    if (session == 0)
        return;
    memcpy(m.id, id, strlen(id) + 1);
    copy_text(m.detail, detail);
    if (i != BROKER_NOBODY && session == b->members[i].session)
        b->members[i].told = m.granted_bytes;
    broker_send(b, session, &m);
}

// ---- the end

// What it comes down to when nothing more happens.
static enum message_state as_it_stands(const struct broker *b, size_t i)
{
    const struct broker_request *r = &b->members[i].request;
    uint64_t granted = broker_would_grant(b, i);
    if (!r->raise)
        return granted <= r->goal && !b->members[i].change.active ? STATE_DONE : STATE_PARTIAL;
    if (granted >= r->goal && !r->cut)
        return STATE_DONE;
    return granted > r->start ? STATE_PARTIAL : STATE_DEFERRED;
}

static bool end_in_book(struct broker *b, size_t i, const struct broker_request *r, enum message_state state)
{
    if (r->by_operator)
        return broker_update(b, i, NULL);
    struct book_vnf *entry = &b->book.vnfs[i];
    struct book_request ended = {.target_bytes = r->target, .min_bytes = r->min, .state = state};
    memcpy(ended.id, r->id, sizeof ended.id);
    entry->pending = (struct book_request){0};
    bool good = broker_update(b, i, &ended);
    if (!good)
        entry->finished[entry->finished_count - 1].state = STATE_ERROR;
    return good;
}

void broker_finish(struct broker *b, size_t i, enum message_state state, const char *detail)
{
    struct broker_member *m = &b->members[i];
    struct broker_request r = m->request;
    if (!end_in_book(b, i, &r, state)) { // while the request still holds back what is too little for it
        state = STATE_ERROR;
        detail = BROKER_BAD_BOOK;
    }
    m->request = (struct broker_request){0};
    b->again = true;
    count_final(b, state);
    if (r.raise && (state == STATE_DEFERRED || state == STATE_PARTIAL)) {
        m->wants_offer = true;
        m->offer_over = broker_free(b);
    }
    broker_log(b, state == STATE_ERROR, "request_ended", "vnf=%s id=%s %s target=%llu state=%s granted=%llu",
               m->config.name, r.id, r.raise ? "raise" : "return", (unsigned long long)r.target,
               message_state_name(state), (unsigned long long)broker_visible(b, i));
    broker_respond(b, i, r.session, r.id, state, detail);
    if (r.raise)
        broker_take_back(b, i);
    else if (m->reclaim.active && (r.delivers || broker_visible(b, i) <= m->reclaim.target))
        broker_reclaim_ended(b, i);
    // What was given in vain, or is still being given: back to what it was told.
    if (r.raise && (m->change.active || broker_down(b, m->safe) > b->book.vnfs[i].granted_bytes) &&
        state != STATE_ERROR)
        (void)broker_begin(b, i, broker_most(broker_visible(b, i), m->min), 0, BROKER_TO_SETTLE);
}

void broker_cut_short(struct broker *b, size_t i, const char *detail)
{
    broker_finish(b, i, as_it_stands(b, i), detail);
}

void broker_request_reported(struct broker *b, size_t i, const struct backend_report *report)
{
    struct broker_member *m = &b->members[i];
    const struct broker_request *r = &m->request;
    if (m->change.active) { // progress
        (void)broker_update(b, i, NULL);
        return;
    }
    bool reached = !report->unknown && (r->raise ? m->safe >= m->change.target : m->safe <= m->change.target);
    if (r->raise && reached && m->change.target < r->goal) { // a step; the next one when there is memory
        (void)broker_update(b, i, NULL);
        b->again = true;
        return;
    }
    if (report->outcome == BACKEND_FAILED && !reached)
        broker_finish(b, i, STATE_ERROR, m->detail);
    else if (report->unknown && !r->raise) // the pool does not have it yet
        broker_finish(b, i, STATE_PARTIAL, m->detail);
    else
        broker_finish(b, i, as_it_stands(b, i), reached ? "" : m->detail);
}

// ---- the beginning

struct asked { // for one VNF, by whom
    size_t vnf;
    uint64_t session;
    bool by_operator;
};

static void reject(struct broker *b, const struct asked *from, const struct message *m,
                   enum message_state state, const char *detail)
{
    count_final(b, state);
    broker_respond(b, from->vnf, from->session, m->id, state, detail);
}

static bool same(const struct message *m, uint64_t target, uint64_t min)
{
    return m->target_bytes == target && (m->has_min ? m->min_bytes : 0) == min;
}

// An id that has been seen: true, and it has been answered.
static bool seen(struct broker *b, const struct asked *from, const struct message *m)
{
    struct broker_member *member = &b->members[from->vnf];
    struct broker_request *r = &member->request;
    const struct book_vnf *entry = &b->book.vnfs[from->vnf];
    bool own = !from->by_operator || r->session == 0 || r->session == from->session; // operators choose alike
    if (r->active && r->by_operator == from->by_operator && own && strcmp(r->id, m->id) == 0) {
        if (!same(m, r->target, r->min)) {
            reject(b, from, m, STATE_ERROR, "id used before");
        } else {
            r->session = from->session;
            broker_respond(b, from->vnf, from->session, m->id, STATE_ACCEPTED, "");
        }
        return true;
    }
    if (from->by_operator)
        return false;
    if (!r->active && strcmp(entry->pending.id, m->id) == 0 && // of an earlier life: asked anew
        !same(m, entry->pending.target_bytes, entry->pending.min_bytes)) {
        reject(b, from, m, STATE_ERROR, "id used before");
        return true;
    }
    for (size_t i = 0; i < entry->finished_count; i++) {
        const struct book_request *old = &entry->finished[i];
        if (strcmp(old->id, m->id) != 0)
            continue;
        if (same(m, old->target_bytes, old->min_bytes))
            broker_respond(b, from->vnf, from->session, m->id, old->state, "");
        else
            reject(b, from, m, STATE_ERROR, "id used before");
        return true;
    }
    return false;
}

// What the pool could ever spare for one VNF.
static uint64_t most_ever(const struct broker *b, size_t i)
{
    uint64_t others = 0;
    for (size_t j = 0; j < b->count; j++)
        others += j != i && b->members[j].configured ? b->members[j].min : 0;
    return broker_least(broker_down(b, broker_above(b->pool, others)), b->members[i].max);
}

static void start_raise(struct broker *b, size_t i)
{
    struct broker_member *m = &b->members[i];
    struct broker_request *r = &m->request;
    uint64_t most = most_ever(b, i);
    b->stats.raises++;
    r->cut = r->goal > most;
    r->goal = broker_least(r->goal, most);
    if (r->min > r->target) {
        broker_finish(b, i, STATE_ERROR, "min_bytes is above target_bytes");
    } else if (broker_up(b, r->min) > most || r->goal <= r->start) {
        broker_finish(b, i, STATE_INFEASIBLE, "above the maximum or the pool");
    } else {
        r->replan = true;
        m->wants_offer = false;
        broker_respond(b, i, r->session, r->id, STATE_ACCEPTED, "");
        b->again = true; // served with the others, by priority
    }
}

static void start_return(struct broker *b, size_t i)
{
    struct broker_member *m = &b->members[i];
    struct broker_request *r = &m->request;
    b->stats.returns++;
    if (broker_begin(b, i, r->goal, r->number, r->by_operator ? BROKER_FOR_OPERATOR : BROKER_FOR_REQUEST))
        broker_respond(b, i, r->session, r->id, STATE_ACCEPTED, "");
    else
        broker_finish(b, i, STATE_ERROR, BROKER_BAD_BOOK);
}

// A raise that waits keeps what is free from those behind it: not for ever.
static uint64_t deadline_of(const struct broker *b, const struct message *m)
{
    uint64_t most = broker_most(BROKER_DEADLINE_MAX_MS, b->deadline_ms);
    return b->now_ms + (m->deadline_ms != 0 ? broker_least(m->deadline_ms, most) : b->deadline_ms);
}

static void start(struct broker *b, const struct asked *from, const struct message *m)
{
    size_t i = from->vnf;
    struct broker_member *member = &b->members[i];
    struct broker_request *r = &member->request;
    uint64_t priority = m->has_priority ? m->priority : 5;
    *r = (struct broker_request){
        .active = true,
        .by_operator = from->by_operator,
        .number = ++b->last_request,
        .session = from->session,
        .target = m->target_bytes,
        .min = m->has_min ? m->min_bytes : 0,
        .goal = broker_most(broker_up(b, m->target_bytes), member->min),
        .start = broker_visible(b, i),
        .delivers = member->reclaim.active && strcmp(m->reclaim, member->reclaim.id) == 0,
        .deadline_ms = deadline_of(b, m),
        .priority = (unsigned)broker_least(priority, member->config.priority),
    };
    r->raise = r->goal > r->start;
    memcpy(r->id, m->id, sizeof r->id);
    if (from->by_operator && r->raise && !member->present) { // as if the VNF had asked: its lease begins
        member->present = true;
        member->heard_ms = b->now_ms;
    }
    if (!from->by_operator) {
        struct book_request *pending = &b->book.vnfs[i].pending;
        *pending = (struct book_request){.target_bytes = r->target, .min_bytes = r->min};
        memcpy(pending->id, r->id, sizeof pending->id);
    }
    broker_log(b, false, "request", "vnf=%s id=%s %s target=%llu has=%llu priority=%u by=%s",
               member->config.name, r->id, r->raise ? "raise" : "return", (unsigned long long)r->target,
               (unsigned long long)r->start, r->priority, from->by_operator ? "operator" : "vnf");
    if (r->goal == r->start)
        broker_finish(b, i, STATE_DONE, "");
    else if (r->raise)
        start_raise(b, i);
    else
        start_return(b, i);
}

// Another id ends what is under way, here or in an earlier life. The same one begins anew what an earlier life has not ended.
static void supersede(struct broker *b, size_t i, const char *id)
{
    struct book_vnf *entry = &b->book.vnfs[i];
    if (b->members[i].request.active) {
        broker_cut_short(b, i, "superseded");
    } else if (entry->pending.id[0] != '\0' && strcmp(entry->pending.id, id) != 0) {
        struct book_request ended = entry->pending;
        ended.state = STATE_DEFERRED;
        entry->pending = (struct book_request){0};
        (void)broker_update(b, i, &ended);
    }
}

// ---- operators

// Its VNF is there: it is asked, and the operator waits for what it delivers.
static void ask_for_operator(struct broker *b, const struct asked *from, const struct message *m,
                             uint64_t goal)
{
    struct broker_member *member = &b->members[from->vnf];
    const struct broker_waiter *w = &member->waiter;
    if (w->active && w->session == from->session && w->goal == goal && strcmp(w->id, m->id) == 0) {
        broker_respond(b, from->vnf, from->session, m->id, STATE_ACCEPTED, "");
        return;
    }
    if (w->active) {
        count_final(b, STATE_PARTIAL);
        broker_respond(b, from->vnf, w->session, w->id, STATE_PARTIAL, "superseded");
    }
    b->stats.returns++;
    member->waiter = (struct broker_waiter){
        .active = true, .session = from->session, .goal = goal, .deadline_ms = deadline_of(b, m)};
    memcpy(member->waiter.id, m->id, sizeof m->id);
    broker_respond(b, from->vnf, from->session, m->id, STATE_ACCEPTED, "");
    broker_reclaim_from(b, from->vnf,
                        &(struct broker_reclaim){.target = goal,
                                                 .deadline_ms = member->waiter.deadline_ms,
                                                 .priority = 9,
                                                 .asker = BROKER_NOBODY});
}

// A VNF that only the book knows has no back-end here and cannot speak: an operator who knows that it is gone gives its memory back.
static void release_unknown(struct broker *b, const struct asked *from, const struct message *m)
{
    struct broker_member *member = &b->members[from->vnf];
    uint64_t target = broker_up(b, m->target_bytes);
    if (target > b->book.vnfs[from->vnf].committed_bytes) {
        reject(b, from, m, STATE_INFEASIBLE, "not in the configuration");
        return;
    }
    member->safe = broker_least(member->safe, target);
    member->high = target;
    bool good = broker_update(b, from->vnf, NULL);
    broker_log(b, true, "released_unknown", "vnf=%s bytes=%llu recorded=%d", member->config.name,
               (unsigned long long)target, good);
    reject(b, from, m, good ? STATE_DONE : STATE_ERROR, good ? "" : BROKER_BAD_BOOK);
}

void broker_rescale(struct broker *b, const struct broker_session *from, const struct message *message)
{
    struct asked asked = {from->vnf, from->id, from->vnf == BROKER_NOBODY};
    if (asked.by_operator) {
        asked.vnf = broker_find(b, message->vnf);
        if (asked.vnf == BROKER_NOBODY) {
            reject(b, &asked, message, STATE_ERROR, "there is no such VNF");
            return;
        }
    } else if (message->vnf[0] != '\0' && strcmp(message->vnf, b->members[asked.vnf].config.name) != 0) {
        reject(b, &asked, message, STATE_DENIED, "of another VNF");
        return;
    }
    struct broker_member *member = &b->members[asked.vnf];
    uint64_t goal = broker_most(broker_up(b, message->target_bytes), member->min);
    if (!member->configured) {
        release_unknown(b, &asked, message);
    } else if (asked.by_operator && member->session != 0 && goal < broker_visible(b, asked.vnf)) {
        ask_for_operator(b, &asked, message, goal);
    } else if (!seen(b, &asked, message)) {
        supersede(b, asked.vnf, asked.by_operator ? "" : message->id);
        start(b, &asked, message);
    }
}
