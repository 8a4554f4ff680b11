// The pool's arithmetic, the book, and telling a back-end. The order of effects (P3) is here and nowhere else.
#include <string.h>

#include "scaleup/broker_internal.h"

// ---- arithmetic

// What the pool is without because of it. More than is committed when the back-end has been found to have given more.
static uint64_t held(const struct broker *b, size_t i)
{
    const struct broker_member *m = &b->members[i];
    uint64_t bytes = broker_most(b->book.vnfs[i].committed_bytes, m->configured ? m->min : 0);
    return broker_most(bytes, broker_up(b, m->high));
}

static uint64_t held_by_all(const struct broker *b)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < b->count; i++)
        sum += held(b, i);
    return sum;
}

uint64_t broker_free(const struct broker *b)
{
    return broker_down(b, broker_above(b->pool, held_by_all(b)));
}

uint64_t broker_room(const struct broker *b, size_t i)
{
    uint64_t others = held_by_all(b) - held(b, i);
    for (size_t j = 0; j < b->count; j++)
        others += j != i ? b->members[j].request.reserved : 0;
    uint64_t room = broker_down(b, broker_above(b->pool, others));
    return broker_most(room, b->book.vnfs[i].committed_bytes);
}

uint64_t broker_visible(const struct broker *b, size_t i)
{
    const struct broker_member *m = &b->members[i];
    uint64_t granted = broker_least(b->book.vnfs[i].granted_bytes, m->doubt_granted);
    return broker_down(b, broker_least(granted, m->safe));
}

static uint64_t would_commit(const struct broker *b, size_t i)
{
    const struct broker_member *m = &b->members[i];
    uint64_t high = broker_up(b, m->high);
    if (high <= b->book.vnfs[i].committed_bytes)
        return high;
    return broker_least(high, broker_room(b, i));
}

uint64_t broker_would_grant(const struct broker *b, size_t i)
{
    const struct broker_member *m = &b->members[i];
    uint64_t bytes = broker_least(broker_down(b, m->safe), would_commit(b, i));
    if (m->configured)
        bytes = broker_least(bytes, m->max);
    // Less than the raise's own minimum is of no use to it: nothing is said of it before there is enough.
    if (m->request.active && m->request.raise && bytes < m->request.min)
        bytes = broker_least(bytes, m->request.start);
    return bytes;
}

// ---- the book

static void no_doubt(struct broker *b)
{
    for (size_t i = 0; i < b->count; i++)
        b->members[i].doubt_granted = b->members[i].doubt_committed = UINT64_MAX;
}

bool broker_record(struct broker *b)
{
    bool doubt = b->dirty;
    b->dirty = !b->effects.record(b->effects.arg, &b->book);
    if (!b->dirty) {
        if (doubt)
            no_doubt(b);
        return true;
    }
    for (size_t i = 0; i < b->count; i++) {
        struct broker_member *m = &b->members[i];
        m->doubt_granted = broker_least(m->doubt_granted, b->book.vnfs[i].granted_bytes);
        m->doubt_committed = broker_least(m->doubt_committed, b->book.vnfs[i].committed_bytes);
    }
    b->stats.record_failures++;
    b->record_again_ms = b->now_ms + BROKER_AGAIN_MS;
    broker_log(b, true, "book_failed", "again_ms=%d", BROKER_AGAIN_MS);
    return false;
}

// Memory that came back because somebody was asked for it is kept for the one who asked.
static void credit(struct broker *b, size_t i, uint64_t bytes)
{
    const struct broker_reclaim *reclaim = &b->members[i].reclaim;
    if (!reclaim->active || reclaim->asker == BROKER_NOBODY)
        return;
    struct broker_request *asker = &b->members[reclaim->asker].request;
    if (!asker->active || asker->number != reclaim->request)
        return;
    uint64_t has = b->book.vnfs[reclaim->asker].committed_bytes + asker->reserved;
    asker->reserved += broker_least(bytes, broker_above(asker->goal, has));
}

static void remember(struct book_vnf *entry, const struct book_request *ended)
{
    if (entry->finished_count == BOOK_IDS) {
        memmove(&entry->finished[0], &entry->finished[1], (BOOK_IDS - 1) * sizeof entry->finished[0]);
        entry->finished_count--;
    }
    entry->finished[entry->finished_count++] = *ended;
}

// What only remembers an id may be written a little later, with others: a flood of requests that change nothing is no flood of writes.
static void record_soon(struct broker *b)
{
    if (b->dirty)
        return;
    b->dirty = true;
    b->record_again_ms = b->now_ms + BROKER_AGAIN_MS;
}

struct target {
    message_name backend;
    char text[BOOK_TARGET_MAX + 1];
};

static void keep_target(struct target *to, const struct book_vnf *from)
{
    memcpy(to->backend, from->backend, sizeof to->backend);
    memcpy(to->text, from->target, strlen(from->target) + 1);
}

static void restore_target(struct book_vnf *to, const struct target *from)
{
    memcpy(to->backend, from->backend, sizeof to->backend);
    memset(to->target, 0, sizeof to->target);
    memcpy(to->target, from->text, strlen(from->text));
}

bool broker_update(struct broker *b, size_t i, const struct book_request *ended)
{
    struct book_vnf *entry = &b->book.vnfs[i];
    uint64_t granted = entry->granted_bytes, committed = entry->committed_bytes;
    // Numbers of the old one stay until there are some of the new one.
    bool moved = b->members[i].moved, noted = moved || broker_knows_target(b, i);
    uint64_t new_granted = moved ? granted : broker_would_grant(b, i);
    uint64_t new_committed = moved ? committed : would_commit(b, i);
    b->members[i].behind = false;
    if (ended != NULL)
        remember(entry, ended);
    if (granted == new_granted && committed == new_committed && noted) {
        if (ended != NULL)
            record_soon(b);
        return true;
    }
    struct target old;
    keep_target(&old, entry);
    entry->granted_bytes = new_granted;
    entry->committed_bytes = new_committed;
    if (!noted)
        broker_note_target(b, i);
    if (!broker_record(b)) {
        entry->granted_bytes = granted;
        entry->committed_bytes = committed;
        restore_target(entry, &old);
        b->members[i].behind = granted != new_granted || committed != new_committed || !noted;
        return !b->members[i].behind; // an id that a crash forgets is asked again
    }
    if (new_committed < committed) {
        credit(b, i, committed - new_committed);
        b->again = true;
    } else if (new_committed > committed) {
        struct broker_request *request = &b->members[i].request;
        request->reserved -= broker_least(request->reserved, new_committed - committed);
    }
    return true;
}

// ---- the back-end

static bool commit(struct broker *b, size_t i, uint64_t target)
{
    struct book_vnf *entry = &b->book.vnfs[i];
    struct broker_request *request = &b->members[i].request;
    uint64_t before = entry->committed_bytes;
    if (target <= broker_least(before, b->members[i].doubt_committed))
        return true;
    if (target > broker_room(b, i))
        return false;
    entry->committed_bytes = broker_most(target, before);
    if (!broker_record(b)) {
        entry->committed_bytes = before;
        return false;
    }
    request->reserved -= broker_least(request->reserved, broker_above(target, before));
    return true;
}

bool broker_begin(struct broker *b, size_t i, uint64_t target, uint64_t request, enum broker_why why)
{
    struct broker_member *m = &b->members[i];
    if (!commit(b, i, target))
        return false;
    m->safe = broker_least(m->safe, target);
    m->high = broker_most(m->high, target);
    m->why = why;
    m->stray = m->unsure = m->moved = false; // it will say what it has when it has done it
    m->change = (struct broker_change){.active = true,
                                       .id = ++b->last_change,
                                       .target = target,
                                       .request = request,
                                       .again_ms = b->now_ms + b->deadline_ms,
                                       .why = why};
    b->effects.apply(b->effects.arg, i, m->change.id, target);
    return true;
}

// ---- getting the book and the back-end together

// The book has it as the back-end does, within its bounds, and its VNF is there.
static bool is_at_rest(const struct broker *b, size_t i)
{
    const struct broker_member *m = &b->members[i];
    return m->begun && m->present && !m->stray && !m->unsure && m->safe == m->high &&
           broker_down(b, m->high) >= m->min && broker_down(b, m->high) <= m->max &&
           broker_up(b, m->high) <= b->book.vnfs[i].committed_bytes;
}

bool broker_unsettled(const struct broker *b, size_t i, uint64_t *target, enum broker_why *why)
{
    const struct broker_member *m = &b->members[i];
    if (!m->configured || m->change.active || m->request.active || m->moved)
        return false;
    if (is_at_rest(b, i)) // nearly always: without looking at all the others
        return false;
    *why = BROKER_TO_SETTLE;
    uint64_t bound = broker_least(broker_room(b, i), m->max);
    if (!m->begun || (m->safe == m->high && broker_down(b, m->high) < m->min)) {
        *target = m->min;
        *why = BROKER_TO_MINIMUM;
    } else if (m->stray && m->known && !m->unlimited) { // halted where it is
        *target = broker_most(broker_least(broker_up(b, m->actual), broker_down(b, bound)), m->min);
    } else if (m->unsure || m->safe != m->high) { // it failed, or a life of the broker ended meanwhile
        *target = broker_most(broker_least(broker_visible(b, i), bound), m->min);
    } else if (!m->present && broker_up(b, m->high) > m->min) {
        *target = m->min;
        *why = BROKER_LEASE_ENDED;
    } else if (broker_up(b, m->high) > broker_room(b, i) || broker_down(b, m->high) > m->max) {
        *target = broker_most(bound, m->min);
    } else {
        return false;
    }
    return *target <= broker_room(b, i);
}

// Once now; if that does not bring it about, later and later.
void broker_settle(struct broker *b, size_t i)
{
    struct broker_member *m = &b->members[i];
    uint64_t target;
    enum broker_why why;
    // What it was found to have beyond its commitment is committed as soon as there is room for it.
    if (m->begun && !m->change.active && !m->behind &&
        broker_up(b, m->high) > b->book.vnfs[i].committed_bytes &&
        would_commit(b, i) > b->book.vnfs[i].committed_bytes)
        (void)broker_update(b, i, NULL);
    if (b->now_ms < m->again_ms || !broker_unsettled(b, i, &target, &why))
        return;
    m->pause_ms = m->pause_ms == 0 ? BROKER_AGAIN_MS : broker_least(2 * m->pause_ms, BROKER_AGAIN_MAX);
    m->again_ms = b->now_ms + m->pause_ms;
    if (!m->begun && !broker_update(b, i, NULL)) // the minimum is its own before the back-end is asked for it
        return;
    m->begun = true;
    (void)broker_begin(b, i, target, 0, why);
}
