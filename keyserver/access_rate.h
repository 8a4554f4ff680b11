// Token buckets of the access policy. A bucket is one atomic word: the theoretical arrival time of the generic cell rate
// algorithm (ITU-T I.371, annex A), in nanoseconds. No locks.
#ifndef MEC_KEYSERVER_ACCESS_RATE_H
#define MEC_KEYSERVER_ACCESS_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Takes a token at now_ns: one comes every interval_ns (at least 1), burst (at least 1) may be saved up. False: none left.
// now_ns is of any clock that does not go backwards by much. Any thread.
bool access_rate_take(_Atomic uint64_t *bucket, uint64_t now_ns, uint64_t interval_ns, unsigned burst);

// A table of buckets, all full. Slots are claimed once and kept.
struct access_buckets;
struct access_buckets *access_buckets_create(size_t slots); // a power of two; NULL without memory
void access_buckets_destroy(struct access_buckets **buckets);
// The bucket of an id; when its neighbourhood is taken, one that it shares with another. Any thread.
_Atomic uint64_t *access_bucket(struct access_buckets *buckets, uint64_t id);

#endif
