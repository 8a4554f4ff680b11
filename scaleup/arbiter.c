#include "scaleup/arbiter.h"

#include <stdlib.h>

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t above(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

uint64_t arbiter_fair_share(const struct arbiter_pool *pool, size_t vnf)
{
    uint64_t minimums = 0;
    for (size_t i = 0; i < pool->count; i++)
        minimums += pool->vnfs[i].min_bytes;
    uint64_t part = above(pool->pool_bytes, minimums) / (pool->count > 0 ? pool->count : 1);
    return pool->vnfs[vnf].min_bytes + part / pool->granularity * pool->granularity;
}

bool arbiter_before(unsigned priority_a, uint64_t age_a, unsigned priority_b, uint64_t age_b)
{
    return priority_a != priority_b ? priority_a > priority_b : age_a < age_b;
}

struct candidate {
    size_t vnf;
    unsigned priority;
    uint64_t excess; // above its fair share
};

static int by_turn(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    if (x->excess != y->excess)
        return x->excess > y->excess ? -1 : 1;
    return x->vnf < y->vnf ? -1 : 1;
}

static size_t gather(const struct arbiter_pool *pool, const struct arbiter_ask *ask, struct candidate *list)
{
    size_t count = 0;
    uint64_t part = pool->count > 0 ? arbiter_fair_share(pool, 0) - pool->vnfs[0].min_bytes : 0;
    for (size_t i = 0; i < pool->count; i++) {
        const struct arbiter_vnf *vnf = &pool->vnfs[i];
        if (i != ask->vnf && vnf->askable && vnf->priority <= ask->priority)
            list[count++] =
                (struct candidate){i, vnf->priority, above(vnf->size_bytes, vnf->min_bytes + part)};
    }
    qsort(list, count, sizeof *list, by_turn);
    return count;
}

size_t arbiter_plan(const struct arbiter_pool *pool, const struct arbiter_ask *ask,
                    struct arbiter_target *plan, uint64_t *missing_bytes)
{
    uint64_t granularity = pool->granularity;
    uint64_t need = (ask->need_bytes + granularity - 1) / granularity * granularity;
    // From equals the asker gets no more than its own fair share.
    uint64_t among_equals = above(arbiter_fair_share(pool, ask->vnf), pool->vnfs[ask->vnf].size_bytes);
    struct candidate *list = calloc(pool->count, sizeof *list);
    size_t candidates = list == NULL ? 0 : gather(pool, ask, list), count = 0;
    for (size_t i = 0; i < candidates && need > 0; i++) {
        const struct arbiter_vnf *vnf = &pool->vnfs[list[i].vnf];
        bool equal = vnf->priority == ask->priority;
        uint64_t give = equal ? least(list[i].excess, among_equals) : above(vnf->size_bytes, vnf->min_bytes);
        give = least(give, need);
        if (give == 0)
            continue;
        plan[count++] = (struct arbiter_target){list[i].vnf, vnf->size_bytes - give};
        need -= give;
        among_equals -= least(give, among_equals);
    }
    free(list);
    *missing_bytes = need;
    return count;
}
