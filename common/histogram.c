// Bucket i < 64 holds the value i. Above, a value with its highest bit at e falls into one of the 64 equal
// parts of [2^e, 2^(e+1)): each is 2^(e-6) wide, at most 1/64 of the values in it.
#include "common/histogram.h"

#include <stdlib.h>

#define LINEAR   64
#define LOG2_SUB 6

static size_t bucket_of(uint64_t value)
{
    if (value < LINEAR)
        return (size_t)value;
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - LOG2_SUB;
    return LINEAR + (size_t)shift * LINEAR + (size_t)(value >> shift) - LINEAR;
}

// The largest value that falls into the bucket.
static uint64_t upper_edge(size_t bucket)
{
    if (bucket < LINEAR)
        return bucket;
    unsigned shift = (unsigned)(bucket / LINEAR) - 1;
    uint64_t start = (uint64_t)(bucket % LINEAR + LINEAR) << shift;
    return start + ((uint64_t)1 << shift) - 1;
}

struct histogram *histogram_create(void)
{
    return calloc(1, sizeof(struct histogram));
}

void histogram_destroy(struct histogram **h)
{
    free(*h);
    *h = NULL;
}

static uint64_t load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void add(_Atomic uint64_t *value, uint64_t n)
{
    (void)atomic_fetch_add_explicit(value, n, memory_order_relaxed);
}

static void raise_to(_Atomic uint64_t *max, uint64_t value)
{
    uint64_t seen = load(max);
    while (seen < value && !atomic_compare_exchange_weak_explicit(max, &seen, value, memory_order_relaxed,
                                                                  memory_order_relaxed)) {
    }
}

void histogram_reset(struct histogram *h)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        atomic_store_explicit(&h->bucket[i], 0, memory_order_relaxed);
    atomic_store_explicit(&h->count, 0, memory_order_relaxed);
    atomic_store_explicit(&h->sum, 0, memory_order_relaxed);
    atomic_store_explicit(&h->max, 0, memory_order_relaxed);
}

void histogram_record(struct histogram *h, uint64_t value)
{
    histogram_record_n(h, value, 1);
}

void histogram_record_n(struct histogram *h, uint64_t value, uint64_t count)
{
    if (count == 0)
        return;
    raise_to(&h->max, value);
    add(&h->bucket[bucket_of(value)], count);
    add(&h->sum, value * count);
    add(&h->count, count);
}

static void add_alone(_Atomic uint64_t *value, uint64_t n)
{
    atomic_store_explicit(value, load(value) + n, memory_order_relaxed);
}

void histogram_record_alone(struct histogram *h, uint64_t value)
{
    if (load(&h->max) < value)
        atomic_store_explicit(&h->max, value, memory_order_relaxed);
    add_alone(&h->bucket[bucket_of(value)], 1);
    add_alone(&h->sum, value);
    add_alone(&h->count, 1);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    raise_to(&into->max, load(&from->max));
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t n = load(&from->bucket[i]);
        if (n != 0)
            add(&into->bucket[i], n);
    }
    add(&into->sum, load(&from->sum));
    add(&into->count, load(&from->count));
}

void histogram_since(const struct histogram *h, struct histogram *before, struct histogram *delta)
{
    uint64_t total = 0, highest = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t now = load(&h->bucket[i]), n = now - load(&before->bucket[i]);
        atomic_store_explicit(&before->bucket[i], now, memory_order_relaxed);
        atomic_store_explicit(&delta->bucket[i], n, memory_order_relaxed);
        total += n;
        highest = n != 0 ? upper_edge(i) : highest;
    }
    uint64_t sum = load(&h->sum);
    atomic_store_explicit(&delta->sum, sum - load(&before->sum), memory_order_relaxed);
    atomic_store_explicit(&before->sum, sum, memory_order_relaxed);
    atomic_store_explicit(&delta->count, total, memory_order_relaxed);
    atomic_store_explicit(&delta->max, highest, memory_order_relaxed);
}

uint64_t histogram_count(const struct histogram *h)
{
    return load(&h->count);
}

uint64_t histogram_max(const struct histogram *h)
{
    return load(&h->max);
}

double histogram_mean(const struct histogram *h)
{
    uint64_t count = load(&h->count);
    return count == 0 ? 0 : (double)load(&h->sum) / (double)count;
}

// How many values make up `percent` % of count, rounded up: 1 to count. The allowance keeps 99.9 % of 1000 at
// 999, which in binary comes out a little above.
static uint64_t rank_of(uint64_t count, double percent)
{
    if (!(percent > 0))
        return 1;
    if (percent >= 100)
        return count;
    double exact = percent / 100 * (double)count * (1 - 1e-12);
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact ? 1 : 0;
    return rank < 1 ? 1 : rank > count ? count : rank;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    uint64_t count = load(&h->count), max = load(&h->max);
    if (count == 0)
        return 0;
    uint64_t rank = rank_of(count, percent), seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += load(&h->bucket[i]);
        if (seen >= rank)
            return upper_edge(i) < max ? upper_edge(i) : max;
    }
    return max;
}

uint64_t histogram_count_le(const struct histogram *h, uint64_t limit)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS && upper_edge(i) <= limit; i++)
        seen += load(&h->bucket[i]);
    return seen;
}
