// A latency histogram with a fixed error: values (nanoseconds, any 64-bit number) fall into log-linear
// buckets of 64 per power of two, so a percentile is within 1.6 % of the true value. Recording is a relaxed
// atomic add: any number of threads may record and read at once (a reader may miss values being recorded).
#ifndef MEC_COMMON_HISTOGRAM_H
#define MEC_COMMON_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS (64 + 58 * 64)

struct histogram {
    _Atomic uint64_t count;
    _Atomic uint64_t sum;
    _Atomic uint64_t max;
    _Atomic uint64_t bucket[HISTOGRAM_BUCKETS]; // about 30 KiB in all
};

struct histogram *histogram_create(void); // zeroed; NULL without memory
void histogram_destroy(struct histogram **h);
void histogram_reset(struct histogram *h);
void histogram_record(struct histogram *h, uint64_t value);
// The same with plain loads and stores in place of atomic additions, a third of the time: for a histogram
// that one thread alone records into; others may read at once.
void histogram_record_alone(struct histogram *h, uint64_t value);
// Records `count` times the same value.
void histogram_record_n(struct histogram *h, uint64_t value, uint64_t count);
// Adds all of `from` to `into`.
void histogram_merge(struct histogram *into, const struct histogram *from);
// What `h` has recorded since `before`, which is a copy of it: into *delta, and `before` becomes a copy of now. The
// maximum of *delta is that of its highest bucket. One thread; others may record into `h` meanwhile.
void histogram_since(const struct histogram *h, struct histogram *before, struct histogram *delta);
uint64_t histogram_count(const struct histogram *h);
uint64_t histogram_max(const struct histogram *h);
double histogram_mean(const struct histogram *h);
// The smallest recorded value v (upper edge of its bucket, at most the maximum) such that at least `percent`
// % of the values are <= v. 0 when empty. percent from 0 to 100.
uint64_t histogram_percentile(const struct histogram *h, double percent);
// How many recorded values are at most `limit` (by bucket upper edge): for Prometheus buckets.
uint64_t histogram_count_le(const struct histogram *h, uint64_t limit);

#endif
