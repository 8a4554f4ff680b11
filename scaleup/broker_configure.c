// VNFs that come, and bounds that change, while the broker runs.
#include <stdlib.h>
#include <string.h>

#include "scaleup/broker_internal.h"

// Room for one member more.
static bool grow(struct broker *b)
{
    struct broker_member *members = realloc(b->members, (b->count + 1) * sizeof *members);
    if (members == NULL)
        return false;
    b->members = members;
    struct book_vnf *vnfs = realloc(b->book.vnfs, (b->count + 1) * sizeof *vnfs);
    if (vnfs == NULL)
        return false;
    b->book.vnfs = vnfs;
    return true;
}

// Behind the configured ones; those that only the book knows, whom nothing names by index, move on.
static void insert(struct broker *b)
{
    size_t at = b->configured, behind = b->count - at;
    memmove(&b->members[at + 1], &b->members[at], behind * sizeof *b->members);
    memmove(&b->book.vnfs[at + 1], &b->book.vnfs[at], behind * sizeof *b->book.vnfs);
    b->members[at] = (struct broker_member){.doubt_granted = UINT64_MAX, .doubt_committed = UINT64_MAX};
    b->book.vnfs[at] = (struct book_vnf){0};
    b->book.count = ++b->count;
}

// One that only the book knew changes places with the first of its kind.
static void adopt(struct broker *b, size_t i)
{
    struct broker_member member = b->members[i];
    struct book_vnf entry = b->book.vnfs[i];
    b->members[i] = b->members[b->configured];
    b->book.vnfs[i] = b->book.vnfs[b->configured];
    b->members[b->configured] = member;
    b->book.vnfs[b->configured] = entry;
    b->members[b->configured].detail[0] = '\0';
    b->members[b->configured].stray = true; // an earlier life may have told its back-end something
}

// i: BROKER_NOBODY when it is new.
static bool check(const struct broker *b, size_t i, const struct broker_vnf *vnf, uint64_t min, uint64_t max,
                  struct error *e)
{
    const struct broker_member *m = i != BROKER_NOBODY ? &b->members[i] : NULL;
    uint64_t had = m != NULL ? broker_most(b->book.vnfs[i].committed_bytes, m->configured ? m->min : 0) : 0;
    if (m != NULL && m->configured && strcmp(m->config.backend, vnf->backend) != 0)
        error_set(e, "found back-end %s, expected %s: it cannot change", vnf->backend, m->config.backend);
    else if (m != NULL && m->configured && strcmp(m->config.target, vnf->target) != 0)
        error_set(e, "its back-end acts on something else: that cannot change while the broker runs");
    else if (min > max)
        error_set(e, "no multiple of the granularity lies between its minimum and its maximum");
    else if (broker_above(min, had) > broker_free(b))
        error_set(e, "its minimum needs %llu bytes more, %llu are free",
                  (unsigned long long)broker_above(min, had), (unsigned long long)broker_free(b));
    else if (m != NULL &&
             ((m->change.active && m->change.target < min) ||
              (m->reclaim.active && m->reclaim.target < min) || (m->request.active && m->request.goal < min)))
        error_set(e, "it is giving back memory of its new minimum just now");
    else
        return true;
    return false;
}

bool broker_set_vnf(struct broker *b, const struct broker_vnf *vnf, uint64_t now_ms, size_t *index,
                    struct error *e)
{
    size_t i = broker_find(b, vnf->name);
    uint64_t min = broker_up(b, vnf->min_bytes);
    uint64_t max = broker_down(b, vnf->max_bytes != 0 ? vnf->max_bytes : b->pool);
    b->now_ms = broker_most(b->now_ms, now_ms);
    if (!check(b, i, vnf, min, max, e))
        return false;
    if (i == BROKER_NOBODY && !grow(b)) {
        error_set(e, "out of memory");
        return false;
    }
    if (i == BROKER_NOBODY)
        insert(b);
    else if (!b->members[i].configured)
        adopt(b, i);
    bool is_new = i == BROKER_NOBODY || i >= b->configured;
    size_t at = is_new ? b->configured++ : i;
    struct broker_member *m = &b->members[at];
    m->config = *vnf;
    m->configured = true;
    m->min = min;
    m->max = max;
    if (i == BROKER_NOBODY) {
        memcpy(b->book.vnfs[at].name, vnf->name, sizeof vnf->name);
        broker_note_target(b, at);
        m->safe = m->high = min;
    } else if (is_new) {
        broker_compare_target(b, at);
    }
    m->again_ms = b->now_ms;
    m->pause_ms = 0;
    *index = at;
    broker_log(b, false, is_new ? "vnf_added" : "vnf_changed", "vnf=%s min=%llu max=%llu priority=%u",
               vnf->name, (unsigned long long)min, (unsigned long long)max, vnf->priority);
    (void)broker_tick(b, now_ms); // its minimum is in the book before anybody asks for more
    return true;
}
