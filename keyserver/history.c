#include "keyserver/history.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#define MINUTE_NS 60000000000u

struct ring {
    struct history_sample *samples;
    size_t capacity, count, next;
};

// Where a sample began.
struct mark {
    struct history_reading reading;
    struct histogram duration;
    float most_queue, most_connections;
};

struct history {
    struct ring rings[2];
    struct mark marks[2];
    struct histogram delta;
    struct history_sample samples[HISTORY_SECONDS + HISTORY_MINUTES];
};

static void begin(struct mark *mark, const struct history_reading *reading)
{
    mark->reading = *reading;
    mark->most_queue = mark->most_connections = 0;
}

struct history *history_create(const struct history_reading *first)
{
    struct history *h = calloc(1, sizeof *h);
    if (h == NULL)
        return NULL;
    h->rings[HISTORY_BY_SECOND] = (struct ring){.samples = h->samples, .capacity = HISTORY_SECONDS};
    h->rings[HISTORY_BY_MINUTE] =
        (struct ring){.samples = h->samples + HISTORY_SECONDS, .capacity = HISTORY_MINUTES};
    for (int i = 0; i < 2; i++) {
        begin(&h->marks[i], first);
        histogram_since(first->duration, &h->marks[i].duration, &h->delta);
    }
    return h;
}

void history_destroy(struct history **history)
{
    free(*history);
    *history = NULL;
}

// ---- samples

static float percentile(const struct histogram *h, double percent)
{
    return histogram_count(h) > 0 ? (float)((double)histogram_percentile(h, percent) / 1e3) : NAN;
}

static float share(uint64_t part, uint64_t rest)
{
    return part + rest > 0 ? (float)(100.0 * (double)part / (double)(part + rest)) : NAN;
}

static float most(float a, float b)
{
    return a > b ? a : b;
}

// What has happened since the mark, which moves on to now.
static struct history_sample take(struct history *h, struct mark *mark, const struct history_reading *r)
{
    const struct history_reading *from = &mark->reading;
    double seconds = (double)(r->now_ns - from->now_ns) / 1e9;
    histogram_since(r->duration, &mark->duration, &h->delta);
    struct history_sample sample = {
        .unix_ms = r->unix_ms,
        .requests_per_s = (float)((double)(r->requests - from->requests) / seconds),
        .errors_per_s = (float)((double)(r->errors - from->errors) / seconds),
        .p50_us = percentile(&h->delta, 50),
        .p99_us = percentile(&h->delta, 99),
        .p999_us = percentile(&h->delta, 99.9),
        .decoded_percent = share(r->cache_hits - from->cache_hits, r->cache_misses - from->cache_misses),
        .memory_percent = share(r->store_hits - from->store_hits, r->store_misses - from->store_misses),
        .queue = most(mark->most_queue, (float)r->queue),
        .connections = most(mark->most_connections, (float)r->connections),
        .memory_bytes = (float)r->memory_bytes,
        .limit_bytes = (float)r->limit_bytes,
    };
    begin(mark, r);
    return sample;
}

static void put(struct ring *ring, const struct history_sample *sample)
{
    ring->samples[ring->next] = *sample;
    ring->next = (ring->next + 1) % ring->capacity;
    if (ring->count < ring->capacity)
        ring->count++;
}

void history_add(struct history *h, const struct history_reading *reading)
{
    struct mark *second = &h->marks[HISTORY_BY_SECOND], *minute = &h->marks[HISTORY_BY_MINUTE];
    if (reading->now_ns <= second->reading.now_ns)
        return;
    struct history_sample sample = take(h, second, reading);
    put(&h->rings[HISTORY_BY_SECOND], &sample);
    if (reading->now_ns - minute->reading.now_ns < MINUTE_NS) {
        minute->most_queue = most(minute->most_queue, sample.queue);
        minute->most_connections = most(minute->most_connections, sample.connections);
        return;
    }
    sample = take(h, minute, reading);
    put(&h->rings[HISTORY_BY_MINUTE], &sample);
}

// ---- out

static const struct history_sample *sample_at(const struct ring *ring, size_t count, size_t i)
{
    return &ring->samples[(ring->next + ring->capacity - count + i) % ring->capacity];
}

size_t history_latest(const struct history *h, enum history_ring which, struct history_sample *samples,
                      size_t max)
{
    const struct ring *ring = &h->rings[which];
    size_t count = ring->count < max ? ring->count : max;
    for (size_t i = 0; i < count; i++)
        samples[i] = *sample_at(ring, count, i);
    return count;
}

static const struct column {
    const char *name;
    size_t offset; // of a float
} columns[] = {
#define COLUMN(member)                                                                                       \
    {                                                                                                        \
#member, offsetof(struct history_sample, member)                                                     \
    }
    COLUMN(requests_per_s), COLUMN(errors_per_s), COLUMN(p50_us),          COLUMN(p99_us),
    COLUMN(p999_us),        COLUMN(queue),        COLUMN(decoded_percent), COLUMN(memory_percent),
    COLUMN(memory_bytes),   COLUMN(limit_bytes),  COLUMN(connections),
#undef COLUMN
};

static void write_number(float value, FILE *out)
{
    if (isfinite(value))
        (void)fprintf(out, "%.6g", (double)value);
    else
        (void)fputs("null", out);
}

void history_write(const struct history *h, enum history_ring which, size_t max, FILE *out)
{
    const struct ring *ring = &h->rings[which];
    size_t count = ring->count < max ? ring->count : max;
    (void)fputs("{\"unix_ms\":[", out);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(out, "%s%" PRIu64, i > 0 ? "," : "", sample_at(ring, count, i)->unix_ms);
    for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) {
        (void)fprintf(out, "],\n\"%s\":[", columns[c].name);
        for (size_t i = 0; i < count; i++) {
            if (i > 0)
                (void)fputc(',', out);
            write_number(*(const float *)((const char *)sample_at(ring, count, i) + columns[c].offset), out);
        }
    }
    (void)fputs("]}", out);
}
