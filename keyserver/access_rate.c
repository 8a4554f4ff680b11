#include "keyserver/access_rate.h"

#include <stdlib.h>

#define NEIGHBOURHOOD 32 // slots looked at for an id

bool access_rate_take(_Atomic uint64_t *bucket, uint64_t now_ns, uint64_t interval_ns, unsigned burst)
{
    uint64_t due = atomic_load_explicit(bucket, memory_order_relaxed), next;
    do {
        uint64_t from = due > now_ns ? due : now_ns;
        if (from - now_ns > (uint64_t)(burst - 1) * interval_ns)
            return false;
        next = from + interval_ns;
    } while (!atomic_compare_exchange_weak_explicit(bucket, &due, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

struct slot {
    _Atomic uint64_t id; // 0: free
    _Atomic uint64_t bucket;
};

struct access_buckets {
    size_t mask;
    struct slot slots[];
};

struct access_buckets *access_buckets_create(size_t slots)
{
    struct access_buckets *buckets = calloc(1, sizeof *buckets + slots * sizeof buckets->slots[0]);
    if (buckets != NULL)
        buckets->mask = slots - 1;
    return buckets;
}

void access_buckets_destroy(struct access_buckets **buckets)
{
    free(*buckets);
    *buckets = NULL;
}

_Atomic uint64_t *access_bucket(struct access_buckets *buckets, uint64_t id)
{
    id += id == 0;
    for (size_t i = 0; i < NEIGHBOURHOOD; i++) {
        struct slot *slot = &buckets->slots[(id + i) & buckets->mask];
        uint64_t found = atomic_load_explicit(&slot->id, memory_order_relaxed);
        if (found == 0 && atomic_compare_exchange_strong_explicit(&slot->id, &found, id, memory_order_relaxed,
                                                                  memory_order_relaxed))
            return &slot->bucket;
        if (found == id)
            return &slot->bucket;
    }
    return &buckets->slots[id & buckets->mask].bucket;
}
