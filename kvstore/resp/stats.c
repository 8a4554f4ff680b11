#include "kvstore/resp/stats.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "kvstore/resp/latency.h"
#include "kvstore/resp/slowlog.h"

#define STRIPES     4u // threads that count are spread over so many sets of counters
#define ERROR_KINDS 64u
#define SAMPLES     16u
#define SAMPLE_NS   100000000u

struct row {
    _Atomic uint64_t calls, ns, rejected, failed;
    _Atomic uint64_t calls_base;         // of calls, by CONFIG RESETSTAT
    struct histogram *_Atomic histogram; // made with the first call
};

struct error_kind {
    char code[24];
    _Atomic uint64_t count;
};

struct resp_stats {
    size_t commands;
    struct row *stripes[STRIPES];
    _Atomic bool track_latency;
    char run_id[41];
    _Atomic uint64_t net_in, net_out;
    _Atomic uint64_t peak_memory;

    pthread_mutex_t lock; // a leaf
    struct error_kind errors[ERROR_KINDS];
    _Atomic unsigned error_kinds; // those below are there for good; grows under lock
    struct resp_totals base;      // guarded by lock
    // Guarded by lock.
    struct sample {
        double ops, in, out; // per second
    } samples[SAMPLES];
    unsigned next_sample;
    uint64_t sampled_ns, sampled_commands, sampled_in, sampled_out;
    double most_ops;
};

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    (void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

// ---- making

static bool make_run_id(char id[static 41])
{
    uint8_t random[20];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", random[i]);
    return true;
}

struct resp_stats *resp_stats_create(void)
{
    struct resp_stats *stats = calloc(1, sizeof *stats);
    if (stats == NULL)
        return NULL;
    if (pthread_mutex_init(&stats->lock, NULL) != 0) {
        free(stats);
        return NULL;
    }
    stats->commands = resp_command_numbers();
    bool good = make_run_id(stats->run_id);
    for (unsigned s = 0; s < STRIPES && good; s++)
        good = (stats->stripes[s] = calloc(stats->commands, sizeof *stats->stripes[s])) != NULL;
    atomic_store(&stats->track_latency, true);
    stats->sampled_ns = clock_ns();
    if (!good)
        resp_stats_destroy(&stats);
    return stats;
}

void resp_stats_destroy(struct resp_stats **stats)
{
    struct resp_stats *s = *stats;
    *stats = NULL;
    if (s == NULL)
        return;
    for (unsigned i = 0; i < STRIPES; i++) {
        for (size_t n = 0; s->stripes[i] != NULL && n < s->commands; n++) {
            struct histogram *histogram = atomic_load(&s->stripes[i][n].histogram);
            histogram_destroy(&histogram);
        }
        free(s->stripes[i]);
    }
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

// ---- recording

// The calling thread's set of counters.
static struct row *row_of(struct resp_stats *stats, const struct resp_command *command)
{
    static _Atomic unsigned threads;
    static _Thread_local unsigned number; // from 1; 0: none yet
    if (number == 0)
        number = atomic_fetch_add(&threads, 1) % STRIPES + 1;
    return &stats->stripes[number - 1][resp_command_number(command)];
}

static void record_time(const struct resp_stats *stats, struct row *row, uint64_t ns)
{
    add(&row->ns, ns);
    if (!atomic_load_explicit(&stats->track_latency, memory_order_relaxed))
        return;
    struct histogram *histogram = atomic_load_explicit(&row->histogram, memory_order_acquire);
    if (histogram == NULL) {
        struct histogram *mine = histogram_create(), *none = NULL;
        if (mine == NULL)
            return; // one time less is known
        histogram = mine;
        if (!atomic_compare_exchange_strong(&row->histogram, &none, mine)) {
            histogram = none;
            histogram_destroy(&mine);
        }
    }
    histogram_record(histogram, ns);
}

static struct error_kind *find_error(struct resp_stats *stats, const char *code)
{
    unsigned kinds = atomic_load_explicit(&stats->error_kinds, memory_order_acquire);
    for (unsigned i = 0; i < kinds; i++)
        if (strcmp(stats->errors[i].code, code) == 0)
            return &stats->errors[i];
    return NULL;
}

static void count_error(struct resp_stats *stats, const char *code, uint64_t n)
{
    struct error_kind *kind = find_error(stats, code);
    if (kind == NULL) {
        (void)pthread_mutex_lock(&stats->lock);
        unsigned kinds = atomic_load_explicit(&stats->error_kinds, memory_order_relaxed);
        kind = find_error(stats, code); // another thread may have been first
        if (kind == NULL && kinds < ERROR_KINDS) {
            kind = &stats->errors[kinds];
            (void)snprintf(kind->code, sizeof kind->code, "%s", code);
            atomic_store_explicit(&stats->error_kinds, kinds + 1, memory_order_release);
        }
        (void)pthread_mutex_unlock(&stats->lock);
    }
    if (kind != NULL)
        add(&kind->count, n);
}

struct resp_begin resp_stats_begin(const struct resp_session *session, const struct resp_reply *reply)
{
    return (struct resp_begin){clock_ns(), reply->errors, session->errors_counted};
}

// Error replies since the beginning that nobody has counted yet.
static bool count_errors(struct resp_session *session, const struct resp_reply *reply,
                         const struct resp_begin *begin)
{
    uint64_t seen = reply->errors - begin->errors, counted = session->errors_counted - begin->counted;
    if (reply->errors < begin->errors || seen <= counted)
        return false;
    session->errors_counted += seen - counted;
    count_error(session->shared->stats, reply->error_code, seen - counted);
    return true;
}

void resp_stats_end(const struct resp_call *call, const struct resp_begin *begin)
{
    struct resp_shared *shared = call->session->shared;
    uint64_t ns = clock_ns() - begin->ns;
    struct row *row = row_of(shared->stats, call->command);
    add(&row->calls, 1);
    if (count_errors(call->session, call->reply, begin))
        add(&row->failed, 1);
    record_time(shared->stats, row, ns);
    resp_slowlog_note(call, ns / 1000);
    resp_latency_note(shared, (call->command->flags & RESP_CMD_FAST) != 0 ? "fast-command" : "command",
                      ns / 1000000);
}

void resp_stats_answered(struct resp_session *session, const struct resp_reply *reply,
                         const struct resp_command *command, const struct resp_begin *begin)
{
    if (count_errors(session, reply, begin) && command != NULL)
        add(&row_of(session->shared->stats, command)->rejected, 1);
}

void resp_stats_fetching(struct resp_shared *shared, const struct resp_command *command)
{
    add(&row_of(shared->stats, command)->calls, 1);
}

void resp_stats_fetched(struct resp_shared *shared, const struct resp_command *command, uint64_t ns)
{
    record_time(shared->stats, row_of(shared->stats, command), ns);
}

void resp_stats_net(struct resp_shared *shared, uint64_t in, uint64_t out)
{
    if (in != 0)
        add(&shared->stats->net_in, in);
    if (out != 0)
        add(&shared->stats->net_out, out);
}

void resp_stats_tick(struct resp_shared *shared)
{
    struct resp_stats *s = shared->stats;
    struct kv_stats store;
    uint64_t now_ns = clock_ns(), commands = load(&shared->counters.commands);
    uint64_t in = load(&s->net_in), out = load(&s->net_out);
    (void)pthread_mutex_lock(&s->lock);
    bool due = now_ns - s->sampled_ns >= SAMPLE_NS;
    if (due) {
        double seconds = (double)(now_ns - s->sampled_ns) / 1e9;
        struct sample *sample = &s->samples[s->next_sample++ % SAMPLES];
        *sample =
            (struct sample){(double)(commands - s->sampled_commands) / seconds,
                            (double)(in - s->sampled_in) / seconds, (double)(out - s->sampled_out) / seconds};
        if (sample->ops > s->most_ops)
            s->most_ops = sample->ops;
        s->sampled_ns = now_ns;
        s->sampled_commands = commands;
        s->sampled_in = in;
        s->sampled_out = out;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (!due)
        return;
    kv_get_stats(shared->store, &store);
    (void)resp_stats_memory(shared, &store);
}

// ---- asking

struct resp_command_stats resp_stats_command(const struct resp_shared *shared, size_t number)
{
    struct resp_command_stats sum = {0};
    for (unsigned i = 0; i < STRIPES; i++) {
        const struct row *row = &shared->stats->stripes[i][number];
        uint64_t base = load(&row->calls_base); // before calls, which only grows
        sum.calls += load(&row->calls) - base;
        sum.ns += load(&row->ns);
        sum.rejected += load(&row->rejected);
        sum.failed += load(&row->failed);
    }
    return sum;
}

static uint64_t calls_ever(const struct resp_shared *shared, const struct resp_command *command)
{
    size_t number = resp_command_number(command);
    uint64_t calls = 0;
    for (unsigned i = 0; i < STRIPES; i++)
        calls += load(&shared->stats->stripes[i][number].calls);
    return calls;
}

void resp_stats_each_called(const struct resp_shared *shared,
                            void (*fn)(void *arg, const char *name, uint64_t calls), void *arg)
{
    char name[64];
    for (size_t i = 0; i < resp_command_count(); i++) {
        const struct resp_command *command = resp_command_at(i);
        uint64_t calls = calls_ever(shared, command);
        if (calls != 0)
            fn(arg, resp_command_full_name(command, NULL, name, sizeof name), calls);
        for (size_t s = 0; s < command->subcommand_count; s++)
            if ((calls = calls_ever(shared, &command->subcommands[s])) != 0)
                fn(arg, resp_command_full_name(&command->subcommands[s], command, name, sizeof name), calls);
    }
}

bool resp_stats_histogram(const struct resp_shared *shared, size_t number, struct histogram *into)
{
    bool any = false;
    for (unsigned i = 0; i < STRIPES; i++) {
        const struct histogram *h =
            atomic_load_explicit(&shared->stats->stripes[i][number].histogram, memory_order_acquire);
        if (h == NULL || histogram_count(h) == 0)
            continue;
        histogram_merge(into, h);
        any = true;
    }
    return any;
}

size_t resp_stats_errors(const struct resp_shared *shared, struct resp_error_stats *errors, size_t max)
{
    const struct resp_stats *s = shared->stats;
    unsigned kinds = atomic_load_explicit(&s->error_kinds, memory_order_acquire);
    size_t count = 0;
    for (unsigned i = 0; i < kinds && count < max; i++) {
        uint64_t n = load(&s->errors[i].count);
        if (n == 0)
            continue;
        memcpy(errors[count].code, s->errors[i].code, sizeof errors[count].code);
        errors[count++].count = n;
    }
    return count;
}

static struct resp_totals totals_ever(const struct resp_shared *shared, const struct kv_stats *store)
{
    const struct resp_counters *c = &shared->counters;
    return (struct resp_totals){
        .connections = load(&c->connections),
        .rejected = load(&c->rejected),
        .refused_peers = load(&c->refused_peers),
        .commands = load(&c->commands),
        .errors = load(&c->errors),
        .protocol_errors = load(&c->protocol_errors),
        .cut_off = load(&c->cut_off),
        .idle_closed = load(&c->idle_closed),
        .evicted_clients = load(&c->evicted),
        .expired = store->expired,
        .hits = store->hits + store->misses,
        .misses = store->not_found,
        .net_in = load(&shared->stats->net_in),
        .net_out = load(&shared->stats->net_out),
    };
}

struct resp_totals resp_stats_totals(const struct resp_shared *shared, const struct kv_stats *store)
{
    struct resp_stats *s = shared->stats;
    struct resp_totals totals = totals_ever(shared, store);
    (void)pthread_mutex_lock(&s->lock);
    const struct resp_totals base = s->base;
    (void)pthread_mutex_unlock(&s->lock);
    uint64_t *at = (uint64_t *)&totals;
    const uint64_t *less = (const uint64_t *)&base;
    _Static_assert(sizeof totals % sizeof *at == 0, "only numbers");
    for (size_t i = 0; i < sizeof totals / sizeof *at; i++)
        at[i] -= less[i] < at[i] ? less[i] : at[i]; // counters are read one after the other
    return totals;
}

struct resp_rates resp_stats_rates(const struct resp_shared *shared)
{
    struct resp_stats *s = shared->stats;
    double ops = 0, in = 0, out = 0;
    (void)pthread_mutex_lock(&s->lock);
    unsigned known = s->next_sample < SAMPLES ? s->next_sample : SAMPLES;
    for (unsigned i = 0; i < known; i++) {
        ops += s->samples[i].ops;
        in += s->samples[i].in;
        out += s->samples[i].out;
    }
    double most = s->most_ops;
    (void)pthread_mutex_unlock(&s->lock);
    double by = known != 0 ? known : 1;
    return (struct resp_rates){(uint64_t)(ops / by), (uint64_t)most, in / by, out / by};
}

uint64_t resp_stats_memory(const struct resp_shared *shared, const struct kv_stats *store)
{
    uint64_t used = store->memory_bytes + atomic_load_explicit(&shared->buffer_bytes, memory_order_relaxed);
    uint64_t peak = load(&shared->stats->peak_memory);
    while (used > peak && !atomic_compare_exchange_weak(&shared->stats->peak_memory, &peak, used))
        ;
    return used;
}

uint64_t resp_stats_peak_memory(const struct resp_shared *shared)
{
    return load(&shared->stats->peak_memory);
}

const char *resp_stats_run_id(const struct resp_shared *shared)
{
    return shared->stats->run_id;
}

void resp_stats_track_latency(struct resp_shared *shared, bool on)
{
    atomic_store(&shared->stats->track_latency, on);
}

bool resp_stats_tracks_latency(const struct resp_shared *shared)
{
    return atomic_load(&shared->stats->track_latency);
}

// ---- back to zero

static void reset_row(struct row *row)
{
    struct histogram *histogram = atomic_load(&row->histogram);
    atomic_store(&row->calls_base, atomic_load(&row->calls));
    atomic_store(&row->ns, 0);
    atomic_store(&row->rejected, 0);
    atomic_store(&row->failed, 0);
    if (histogram != NULL)
        histogram_reset(histogram);
}

void resp_stats_reset(struct resp_shared *shared, const struct kv_stats *store)
{
    struct resp_stats *s = shared->stats;
    for (unsigned i = 0; i < STRIPES; i++)
        for (size_t n = 0; n < s->commands; n++)
            reset_row(&s->stripes[i][n]);
    unsigned kinds = atomic_load(&s->error_kinds);
    for (unsigned i = 0; i < kinds; i++)
        atomic_store(&s->errors[i].count, 0);
    atomic_store(&s->peak_memory, 0);
    (void)resp_stats_memory(shared, store);
    (void)pthread_mutex_lock(&s->lock);
    s->base = totals_ever(shared, store);
    memset(s->samples, 0, sizeof s->samples);
    s->next_sample = 0;
    s->most_ops = 0;
    (void)pthread_mutex_unlock(&s->lock);
}
