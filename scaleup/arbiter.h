// Who gives how much to whom when the pool is short. Pure: numbers in, a plan out. Any thread.
#ifndef MEC_SCALEUP_ARBITER_H
#define MEC_SCALEUP_ARBITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arbiter_vnf {
    uint64_t size_bytes; // what it has
    uint64_t min_bytes;  // what is never taken
    unsigned priority;
    bool askable; // it is there, and has not yet been asked for the same
};

struct arbiter_pool {
    uint64_t pool_bytes, granularity;
    const struct arbiter_vnf *vnfs; // sizes and minimums are multiples of the granularity
    size_t count;
};

struct arbiter_ask {
    size_t vnf;          // of the pool's: never asked itself
    unsigned priority;   // of its request
    uint64_t need_bytes; // beyond what is free
};

struct arbiter_target { // "shall come down to"
    size_t vnf;
    uint64_t bytes;
};

// The VNF's minimum and its equal part of what the pool has beyond all minimums, a multiple of the granularity.
uint64_t arbiter_fair_share(const struct arbiter_pool *pool, size_t vnf);

// Fills plan (room for pool->count) with who shall come down to what, and returns how many. VNFs of lower priority give first, the lowest before all
// others, within one priority those furthest above their fair share, down to their minimum. VNFs of the asker's own priority give only what they have above
// their fair share, and only until the asker has its own. *missing_bytes: what nobody gives. No memory: an empty plan.
size_t arbiter_plan(const struct arbiter_pool *pool, const struct arbiter_ask *ask,
                    struct arbiter_target *plan, uint64_t *missing_bytes);

// Whether a waiting raise is served before another: by priority, then by age (the smaller number is the older).
bool arbiter_before(unsigned priority_a, uint64_t age_a, unsigned priority_b, uint64_t age_b);

#endif
