#include "kvstore/resp/latency.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"

struct kind {
    const char *event;
    uint64_t most_ms;
    size_t next; // samples so far: where the next goes, modulo their number
    struct resp_latency_sample samples[RESP_LATENCY_SAMPLES];
};

struct resp_latency {
    _Atomic uint64_t threshold_ms;
    pthread_mutex_t lock; // a leaf
    size_t count;
    struct kind kinds[RESP_LATENCY_EVENTS];
};

struct resp_latency *resp_latency_create(void)
{
    struct resp_latency *latency = calloc(1, sizeof *latency);
    if (latency == NULL || pthread_mutex_init(&latency->lock, NULL) != 0) {
        free(latency);
        return NULL;
    }
    return latency;
}

void resp_latency_destroy(struct resp_latency **latency)
{
    if (*latency != NULL)
        (void)pthread_mutex_destroy(&(*latency)->lock);
    free(*latency);
    *latency = NULL;
}

// Under the lock. NULL: no room for another kind.
static struct kind *kind_of(struct resp_latency *latency, const char *event)
{
    for (size_t i = 0; i < latency->count; i++)
        if (strcmp(latency->kinds[i].event, event) == 0)
            return &latency->kinds[i];
    if (latency->count == RESP_LATENCY_EVENTS)
        return NULL;
    struct kind *kind = &latency->kinds[latency->count++];
    *kind = (struct kind){.event = event};
    return kind;
}

static void enter(struct kind *kind, uint64_t unix_s, uint64_t ms)
{
    if (ms > kind->most_ms)
        kind->most_ms = ms;
    if (kind->next != 0) {
        struct resp_latency_sample *last = &kind->samples[(kind->next - 1) % RESP_LATENCY_SAMPLES];
        if (last->unix_s == unix_s) {
            last->ms = ms > last->ms ? ms : last->ms;
            return;
        }
    }
    kind->samples[kind->next++ % RESP_LATENCY_SAMPLES] = (struct resp_latency_sample){unix_s, ms};
}

void resp_latency_note(struct resp_shared *shared, const char *event, uint64_t ms)
{
    struct resp_latency *latency = shared->latency;
    uint64_t threshold = atomic_load_explicit(&latency->threshold_ms, memory_order_relaxed);
    if (threshold == 0 || ms < threshold)
        return;
    uint64_t unix_s = resp_now_ms(shared) / 1000;
    (void)pthread_mutex_lock(&latency->lock);
    struct kind *kind = kind_of(latency, event);
    if (kind != NULL)
        enter(kind, unix_s, ms);
    (void)pthread_mutex_unlock(&latency->lock);
}

void resp_latency_set_threshold(struct resp_shared *shared, uint64_t ms)
{
    atomic_store(&shared->latency->threshold_ms, ms);
}

uint64_t resp_latency_threshold(const struct resp_shared *shared)
{
    return atomic_load(&shared->latency->threshold_ms);
}

// ---- asking

static void copy(const struct kind *kind, struct resp_latency_history *history)
{
    size_t count = kind->next < RESP_LATENCY_SAMPLES ? kind->next : RESP_LATENCY_SAMPLES;
    history->event = kind->event;
    history->most_ms = kind->most_ms;
    history->count = count;
    for (size_t i = 0; i < count; i++)
        history->samples[i] = kind->samples[(kind->next - count + i) % RESP_LATENCY_SAMPLES];
}

bool resp_latency_at(const struct resp_shared *shared, size_t at, struct resp_latency_history *history)
{
    struct resp_latency *latency = shared->latency;
    (void)pthread_mutex_lock(&latency->lock);
    bool found = at < latency->count;
    if (found)
        copy(&latency->kinds[at], history);
    (void)pthread_mutex_unlock(&latency->lock);
    return found;
}

bool resp_latency_find(const struct resp_shared *shared, const struct resp_arg *event,
                       struct resp_latency_history *history)
{
    for (size_t at = 0; resp_latency_at(shared, at, history); at++)
        if (event->len == strlen(history->event) && memcmp(event->data, history->event, event->len) == 0)
            return true;
    return false;
}

size_t resp_latency_forget(struct resp_shared *shared, const struct resp_arg *event)
{
    struct resp_latency *latency = shared->latency;
    size_t kept = 0, before;
    (void)pthread_mutex_lock(&latency->lock);
    before = latency->count;
    for (size_t i = 0; i < before; i++) {
        const struct kind *kind = &latency->kinds[i];
        bool keep = event != NULL &&
                    (event->len != strlen(kind->event) || memcmp(event->data, kind->event, event->len) != 0);
        if (!keep)
            continue;
        if (kept != i)
            latency->kinds[kept] = *kind;
        kept++;
    }
    latency->count = kept;
    (void)pthread_mutex_unlock(&latency->lock);
    return before - kept;
}
