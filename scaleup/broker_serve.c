// Raises that wait: who is given how much of what is free, and when others are asked to give.
#include <stdlib.h>

#include "scaleup/arbiter.h"
#include "scaleup/broker_internal.h"

struct turn {
    size_t vnf;
    unsigned priority;
    uint64_t number;
};

static int by_turn(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;
    return arbiter_before(x->priority, x->number, y->priority, y->number) ? -1 : 1;
}

static size_t waiting_raises(const struct broker *b, struct turn *turns)
{
    size_t count = 0;
    for (size_t i = 0; i < b->configured; i++) {
        const struct broker_request *r = &b->members[i].request;
        if (r->active && r->raise)
            turns[count++] = (struct turn){i, r->priority, r->number};
    }
    if (count > 1)
        qsort(turns, count, sizeof *turns, by_turn);
    return count;
}

// One request gets what there is: `taken` is kept for those before it. Returns what it still lacks.
static uint64_t serve_one(struct broker *b, size_t i, uint64_t taken)
{
    struct broker_member *m = &b->members[i];
    const struct broker_request *r = &m->request;
    uint64_t committed = b->book.vnfs[i].committed_bytes;
    uint64_t room = broker_most(broker_above(broker_room(b, i), taken), committed);
    uint64_t give = broker_least(r->goal, broker_down(b, room));
    if (m->change.active && m->change.request == r->number)
        return broker_above(r->goal, broker_most(committed, give)); // the next step when this one has ended
    if (give > broker_visible(b, i) && give >= r->min && give >= m->min &&
        !broker_begin(b, i, give, r->number, r->by_operator ? BROKER_FOR_OPERATOR : BROKER_FOR_REQUEST)) {
        broker_finish(b, i, STATE_ERROR, BROKER_BAD_BOOK);
        return 0;
    }
    return r->goal - give;
}

void broker_serve(struct broker *b)
{
    struct turn *turns = calloc(b->configured + 1, sizeof *turns);
    size_t count = turns == NULL ? 0 : waiting_raises(b, turns);
    uint64_t taken = 0;
    for (size_t t = 0; t < count; t++) {
        size_t i = turns[t].vnf;
        struct broker_request *r = &b->members[i].request;
        uint64_t lacks = serve_one(b, i, taken);
        if (!r->active)
            continue;
        taken += broker_above(r->goal, b->book.vnfs[i].committed_bytes);
        uint64_t coming = broker_coming(b, i);
        if (r->replan && lacks > coming) {
            r->replan = false;
            broker_plan(b, i, lacks - coming);
        }
    }
    free(turns);
}
