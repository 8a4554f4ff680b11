// What kv.h says of the miss-ratio curve: the sampler's curve of values in memory, in terms of the store's limit.
//
// A limit of so many bytes leaves for values what the rest of the store does not need now (kv_other_memory()). What fits in as a whole
// is a hit, also what has not been asked for yet: raising the limit so far brings everything in (kv_warm.h).
#include "kvstore/kv_internal.h"

#include <math.h>

#define SEARCH_STEPS  256u
#define LEAST_DIVISOR 65536.0 // the curve begins at so small a part of all values

uint64_t kv_all_values(struct kv_store *store)
{
    uint64_t sum = 0;
    struct kv_segment *segment;
    for (uint64_t id = 0; (segment = kv_segment_from(store, id)) != NULL;) {
        id = segment->id + 1;
        int64_t live = atomic_load(&segment->live_bytes);
        sum += live > 0 ? (uint64_t)live : 0;
        kv_segment_put(segment);
    }
    return sum + sum / 16 + KV_CHUNK_BYTES;
}

// Sizes from small to all, each the same factor above the one before. False: too little known.
static bool curve(struct kv_store *store, uint64_t *sizes, double *hits, size_t count)
{
    double all = (double)kv_all_values(store);
    for (size_t i = 0; i < count; i++) {
        double below = (double)(count - 1 - i) / (double)count;
        sizes[i] = (uint64_t)(all / pow(LEAST_DIVISOR, below));
    }
    if (!kv_mrc_hits(&store->mrc, sizes, count, hits))
        return false;
    hits[count - 1] = 1;
    return true;
}

enum kv_status kv_hit_ratio_at(struct kv_store *store, uint64_t limit_bytes, double *hit_ratio)
{
    uint64_t other = kv_other_memory(store);
    uint64_t size = limit_bytes > other ? limit_bytes - other : 0;
    if (!kv_mrc_hits(&store->mrc, &size, 1, hit_ratio))
        return KV_NOT_FOUND;
    if (size >= kv_all_values(store))
        *hit_ratio = 1;
    return KV_OK;
}

enum kv_status kv_least_memory(struct kv_store *store, double hit_ratio, uint64_t *limit_bytes)
{
    uint64_t sizes[SEARCH_STEPS];
    double hits[SEARCH_STEPS];
    if (!(hit_ratio <= 1) || !curve(store, sizes, hits, SEARCH_STEPS))
        return KV_NOT_FOUND;
    size_t at = 0;
    while (hits[at] < hit_ratio) // the last is 1
        at++;
    *limit_bytes = hit_ratio <= 0 ? 0 : kv_other_memory(store) + sizes[at];
    return KV_OK;
}

size_t kv_hit_curve(struct kv_store *store, struct kv_curve_point *points, size_t max)
{
    uint64_t sizes[SEARCH_STEPS];
    double hits[SEARCH_STEPS];
    size_t count = max < SEARCH_STEPS ? max : SEARCH_STEPS;
    if (count == 0 || !curve(store, sizes, hits, count))
        return 0;
    uint64_t other = kv_other_memory(store);
    for (size_t i = 0; i < count; i++)
        points[i] = (struct kv_curve_point){.limit_bytes = other + sizes[i], .hit_ratio = hits[i]};
    return count;
}
