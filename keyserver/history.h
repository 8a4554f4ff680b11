// What the server did lately, for its live page: a sample a second for ten minutes, and one a minute for a day. Rings of
// fixed size, about 200 KiB in all: 2,040 samples of 56 bytes and copies of a histogram. Pure: what it is told is all it
// knows, the time included. One thread.
#ifndef MEC_KEYSERVER_HISTORY_H
#define MEC_KEYSERVER_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/histogram.h"

#define HISTORY_SECONDS 600
#define HISTORY_MINUTES 1440

// What a server has counted since it started, and its gauges now.
struct history_reading {
    uint64_t now_ns;  // never goes backwards (clock_ns)
    uint64_t unix_ms; // for people
    uint64_t requests, errors;
    const struct histogram *duration;   // of requests, ns
    uint64_t cache_hits, cache_misses;  // keys found decoded, or not
    uint64_t store_hits, store_misses;  // of the others: values found in memory, or read from the disk
    uint64_t queue, connections;        // now
    uint64_t memory_bytes, limit_bytes; // of the store, now
};

struct history_sample {
    uint64_t unix_ms; // its end
    float requests_per_s, errors_per_s;
    float p50_us, p99_us, p999_us; // of requests within it; NAN: there were none
    float decoded_percent;         // of keys looked for; NAN: none was
    float memory_percent;          // of store reads; NAN: there were none
    float queue, connections;      // a minute's: the most of its seconds
    float memory_bytes, limit_bytes;
};

struct history;

struct history *history_create(const struct history_reading *first); // NULL without memory
void history_destroy(struct history **history);

// Once a second or later: what has happened since the last call is one sample, as long as that took.
void history_add(struct history *history, const struct history_reading *reading);

enum history_ring { HISTORY_BY_SECOND, HISTORY_BY_MINUTE };
// The samples of a ring, oldest first: fills at most `max` with the latest ones. Returns how many.
size_t history_latest(const struct history *history, enum history_ring ring, struct history_sample *samples,
                      size_t max);

// Writes the latest samples, `max` at most, as a JSON object of arrays of the same length, one a member of
// history_sample, the oldest first: {"unix_ms":[...],"requests_per_s":[...],...}. NAN is null.
void history_write(const struct history *history, enum history_ring ring, size_t max, FILE *out);

#endif
