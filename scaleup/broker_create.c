// Making a broker from the configuration and the book, and ending it.
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "scaleup/broker_internal.h"

static bool take_config(struct broker *b, const struct broker_options *options, struct error *e)
{
    uint64_t minimums = 0;
    for (size_t i = 0; i < options->vnf_count; i++) {
        struct broker_member *m = &b->members[i];
        const struct broker_vnf *config = &options->vnfs[i];
        if (broker_find(b, config->name) != BROKER_NOBODY) {
            error_set(e, "VNF %s: is there twice", config->name);
            return false;
        }
        m->config = *config;
        m->configured = true;
        m->min = broker_up(b, config->min_bytes);
        m->max = broker_down(b, config->max_bytes != 0 ? config->max_bytes : b->pool);
        minimums += m->min;
        if (m->min > m->max) {
            error_set(e, "VNF %s: no multiple of the granularity lies between its minimum and its maximum",
                      config->name);
            return false;
        }
    }
    if (minimums <= b->pool)
        return true;
    error_set(e, "the minimums of all VNFs are %llu bytes, the pool has %llu", (unsigned long long)minimums,
              (unsigned long long)b->pool);
    return false;
}

// A VNF of the book: its own place, or one behind the configured ones.
static size_t place_of(struct broker *b, const struct book_vnf *entry)
{
    char target[600];
    size_t i = broker_find(b, entry->name);
    if (i != BROKER_NOBODY)
        return i;
    i = b->count++;
    memcpy(b->members[i].config.name, entry->name, sizeof entry->name);
    memcpy(b->members[i].config.backend, "unknown", sizeof "unknown");
    memcpy(b->members[i].detail, "not in the configuration", sizeof "not in the configuration");
    broker_log(b, true, "vnf_unknown", "vnf=%s backend=%s target=%s committed=%llu", entry->name,
               entry->backend[0] != '\0' ? entry->backend : "-",
               log_quote(entry->target, target, sizeof target), (unsigned long long)entry->committed_bytes);
    return i;
}

static void take_book(struct broker *b, const struct book *book, uint64_t now_ms)
{
    uint64_t committed = 0;
    for (size_t k = 0; k < book->count; k++) {
        size_t i = place_of(b, &book->vnfs[k]);
        struct broker_member *m = &b->members[i];
        b->book.vnfs[i] = book->vnfs[k];
        committed += book->vnfs[k].committed_bytes;
        if (m->configured && book->vnfs[k].committed_bytes == 0) { // it was not begun
            broker_note_target(b, i);
            continue;
        }
        m->begun = m->present = true;
        m->stray = m->configured;
        m->heard_ms = now_ms;
        m->actual = m->safe = book->vnfs[k].granted_bytes;
        m->high = book->vnfs[k].committed_bytes;
        m->why = BROKER_TO_SETTLE;
        if (m->configured)
            broker_compare_target(b, i);
    }
    b->beyond = broker_above(committed, b->pool);
    if (b->beyond > 0)
        broker_log(b, true, "pool_exceeded", "committed=%llu pool=%llu", (unsigned long long)committed,
                   (unsigned long long)b->pool);
}

static bool fill(struct broker *b, const struct broker_options *options, const struct book *book,
                 uint64_t now_ms, struct error *e)
{
    size_t room = options->vnf_count + (book != NULL ? book->count : 0) + 1;
    b->members = calloc(room, sizeof *b->members);
    b->book.vnfs = calloc(room, sizeof *b->book.vnfs);
    if (b->members == NULL || b->book.vnfs == NULL) {
        error_set(e, "out of memory");
        return false;
    }
    b->count = b->configured = options->vnf_count;
    if (!take_config(b, options, e))
        return false;
    for (size_t i = 0; i < b->configured; i++) {
        memcpy(b->book.vnfs[i].name, options->vnfs[i].name, sizeof options->vnfs[i].name);
        broker_note_target(b, i);
        b->members[i].safe = b->members[i].high = b->members[i].min;
    }
    for (size_t i = 0; i < room; i++)
        b->members[i].doubt_granted = b->members[i].doubt_committed = UINT64_MAX;
    if (book != NULL)
        take_book(b, book, now_ms);
    b->book.count = b->count;
    b->book.pool_bytes = b->pool;
    b->book.granularity = b->granularity;
    return true;
}

struct broker *broker_create(const struct broker_options *options, const struct broker_effects *effects,
                             const struct book *book, uint64_t now_ms, struct error *e)
{
    if (options->granularity == 0 || options->pool_bytes == 0 || options->pool_bytes > MESSAGE_NUMBER_MAX ||
        options->granularity > options->pool_bytes || options->lease_ms == 0 || options->deadline_ms == 0) {
        error_set(e, "pool, granularity, lease and deadline: found 0 or too much");
        return NULL;
    }
    struct broker *b = calloc(1, sizeof *b);
    if (b == NULL) {
        error_set(e, "out of memory");
        return NULL;
    }
    *b = (struct broker){.pool = options->pool_bytes,
                         .granularity = options->granularity,
                         .lease_ms = options->lease_ms,
                         .deadline_ms = options->deadline_ms,
                         .effects = *effects,
                         .now_ms = now_ms};
    if (!fill(b, options, book, now_ms, e))
        broker_destroy(&b);
    return b;
}

void broker_destroy(struct broker **broker)
{
    struct broker *b = *broker;
    if (b == NULL)
        return;
    free(b->members);
    free(b->book.vnfs);
    free(b->sessions);
    free(b);
    *broker = NULL;
}
