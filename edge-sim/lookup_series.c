#include "edge-sim/lookup_series.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/histogram.h"

enum {
    SLOTS = 16, // intervals that can be counted in at once
    LAG = 2,    // of them, how many have passed before one is closed
};

struct slot {
    _Atomic uint64_t count[LOOKUP_OUTCOMES];
    _Atomic uint64_t over_goal;
    struct histogram latency;
};

struct lookup_series {
    uint64_t interval_ns, goal_ns;
    _Atomic uint64_t closed; // intervals; the slot of interval i is i % SLOTS
    struct lookup_row *rows;
    size_t capacity;
    struct slot slots[SLOTS];
};

const char *lookup_outcome_name(enum lookup_outcome outcome)
{
    static const char *const names[LOOKUP_OUTCOMES] = {"right",  "missing", "wrong",
                                                       "errors", "lost",    "unanswered"};
    return names[outcome];
}

struct lookup_series *lookup_series_create(uint64_t interval_ns, uint64_t goal_ns)
{
    struct lookup_series *series = calloc(1, sizeof *series);
    if (series != NULL) {
        series->interval_ns = interval_ns;
        series->goal_ns = goal_ns;
    }
    return series;
}

void lookup_series_destroy(struct lookup_series **series)
{
    if (*series == NULL)
        return;
    free((*series)->rows);
    free(*series);
    *series = NULL;
}

// A thread that was held up between reading the clock and counting, or a closing thread that was, must not reach a slot that stands for another interval.
static struct slot *slot_of(struct lookup_series *series, uint64_t since_ns)
{
    uint64_t closed = atomic_load(&series->closed), interval = since_ns / series->interval_ns;
    if (interval < closed)
        interval = closed;
    if (interval >= closed + SLOTS)
        interval = closed + SLOTS - 1;
    return &series->slots[interval % SLOTS];
}

void lookup_series_count(struct lookup_series *series, uint64_t since_ns, enum lookup_outcome outcome,
                         uint64_t latency_ns)
{
    struct slot *slot = slot_of(series, since_ns);
    (void)atomic_fetch_add_explicit(&slot->count[outcome], 1, memory_order_relaxed);
    if (outcome != LOOKUP_RIGHT)
        return;
    histogram_record(&slot->latency, latency_ns);
    if (latency_ns > series->goal_ns)
        (void)atomic_fetch_add_explicit(&slot->over_goal, 1, memory_order_relaxed);
}

static void close_one(struct lookup_series *series, uint64_t interval)
{
    struct slot *slot = &series->slots[interval % SLOTS];
    struct lookup_row *row = &series->rows[interval];
    *row = (struct lookup_row){.p50_ns = histogram_percentile(&slot->latency, 50),
                               .p99_ns = histogram_percentile(&slot->latency, 99),
                               .p999_ns = histogram_percentile(&slot->latency, 99.9),
                               .max_ns = histogram_max(&slot->latency),
                               .over_goal = atomic_exchange(&slot->over_goal, 0)};
    for (unsigned i = 0; i < LOOKUP_OUTCOMES; i++)
        row->count[i] = atomic_exchange(&slot->count[i], 0);
    histogram_reset(&slot->latency);
    atomic_store(&series->closed, interval + 1);
}

bool lookup_series_close(struct lookup_series *series, uint64_t since_ns, bool all)
{
    uint64_t passed = since_ns / series->interval_ns;
    uint64_t until = all ? passed + 1 : passed > LAG ? passed - LAG : 0;
    uint64_t closed = atomic_load(&series->closed);
    if (until > series->capacity) {
        size_t capacity = (size_t)until * 2;
        struct lookup_row *rows = realloc(series->rows, capacity * sizeof *rows);
        if (rows == NULL)
            return false;
        series->rows = rows;
        series->capacity = capacity;
    }
    for (; closed < until; closed++)
        close_one(series, closed);
    return true;
}

const struct lookup_row *lookup_series_rows(const struct lookup_series *series, size_t *count)
{
    *count = (size_t)atomic_load(&series->closed);
    return series->rows;
}

uint64_t lookup_series_interval(const struct lookup_series *series)
{
    return series->interval_ns;
}
