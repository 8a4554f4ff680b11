// Functions of kv.h that the library at hand may not have yet: these take their place then, and the checker leaves the
// operation out.
#include "tests/soak/soak.h"

#define WEAK __attribute__((weak))

WEAK enum kv_status kv_get_batch(struct kv_store *store, struct kv_get *gets, size_t count)
{
    (void)store, (void)gets, (void)count;
    return (enum kv_status)SOAK_ABSENT;
}

WEAK enum kv_status kv_get_async(struct kv_store *store, const void *key, size_t key_len,
                                 struct kv_view *view, kv_done_fn done, void *arg)
{
    (void)store, (void)key, (void)key_len, (void)view, (void)done, (void)arg;
    return (enum kv_status)SOAK_ABSENT;
}

WEAK enum kv_status kv_put_batch(struct kv_store *store, struct kv_put_item *items, size_t count,
                                 unsigned flags)
{
    (void)store, (void)items, (void)count, (void)flags;
    return (enum kv_status)SOAK_ABSENT;
}

WEAK enum kv_status kv_checkpoint(struct kv_store *store)
{
    (void)store;
    return (enum kv_status)SOAK_ABSENT;
}

WEAK void kv_set_latency_goal(struct kv_store *store, uint64_t us)
{
    (void)store, (void)us;
}

WEAK enum kv_status kv_hit_ratio_at(struct kv_store *store, uint64_t limit_bytes, double *hit_ratio)
{
    (void)store, (void)limit_bytes, (void)hit_ratio;
    return KV_NOT_FOUND;
}

WEAK enum kv_status kv_least_memory(struct kv_store *store, double hit_ratio, uint64_t *limit_bytes)
{
    (void)store, (void)hit_ratio, (void)limit_bytes;
    return KV_NOT_FOUND;
}

WEAK size_t kv_hit_curve(struct kv_store *store, struct kv_curve_point *points, size_t max)
{
    (void)store, (void)points, (void)max;
    return 0;
}
