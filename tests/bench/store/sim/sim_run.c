#include "tests/bench/store/sim/sim.h"

#include <stdlib.h>

const struct sim_policy *const sim_policies[SIM_POLICIES] = {&sim_lru, &sim_arc, &sim_s3fifo, &sim_sieve};

double sim_run(const struct sim_policy *policy, const struct sim_trace *trace, uint64_t capacity_bytes,
               size_t from)
{
    void *cache = policy->create(trace->keys, capacity_bytes);
    if (cache == NULL)
        return -1;
    size_t hits = 0;
    for (size_t i = 0; i < trace->count; i++) {
        uint32_t key = trace->gets[i];
        bool hit = policy->get(cache, key, trace->sizes[key]);
        hits += i >= from && hit;
    }
    policy->destroy(cache);
    return trace->count > from ? (double)hits / (double)(trace->count - from) : 0;
}

// ---- LRU's curve

// A Fenwick tree over the gets' times (1 to count): the sum of the sizes of the keys whose last get was then.
struct times {
    uint64_t *tree;
    size_t count;
};

static void times_add(struct times *times, size_t at, uint64_t bytes)
{
    for (; at <= times->count; at += at & (~at + 1))
        times->tree[at] += bytes; // negative amounts wrap around
}

static uint64_t times_upto(const struct times *times, size_t at)
{
    uint64_t sum = 0;
    for (; at > 0; at &= at - 1)
        sum += times->tree[at];
    return sum;
}

// The first point whose capacity is enough; `points` when none is.
static size_t first_enough(const uint64_t *capacities, size_t points, uint64_t bytes)
{
    size_t low = 0, high = points;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (capacities[middle] < bytes)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void count_hits(const struct sim_trace *trace, size_t from, const uint64_t *capacities, size_t points,
                       struct times *times, size_t *last, size_t *hits)
{
    uint64_t all = 0;
    for (size_t i = 0; i < trace->count; i++) {
        uint32_t key = trace->gets[i];
        uint64_t size = trace->sizes[key];
        if (last[key] != 0) {
            uint64_t distance = all - times_upto(times, last[key]) + size;
            if (i >= from)
                hits[first_enough(capacities, points, distance)]++;
            times_add(times, last[key], ~size + 1);
        } else {
            all += size;
        }
        last[key] = i + 1;
        times_add(times, i + 1, size);
    }
}

bool sim_lru_curve(const struct sim_trace *trace, size_t from, const uint64_t *capacities, size_t points,
                   double *hit_ratios)
{
    struct times times = {calloc(trace->count + 1, sizeof *times.tree), trace->count};
    size_t *last = calloc(trace->keys, sizeof *last); // time of the last get; 0: none
    size_t *hits = calloc(points + 1, sizeof *hits);
    bool ok = times.tree != NULL && last != NULL && hits != NULL;
    if (ok) {
        count_hits(trace, from, capacities, points, &times, last, hits);
        size_t sum = 0;
        for (size_t i = 0; i < points; i++) {
            sum += hits[i];
            hit_ratios[i] = trace->count > from ? (double)sum / (double)(trace->count - from) : 0;
        }
    }
    free(times.tree);
    free(last);
    free(hits);
    return ok;
}
