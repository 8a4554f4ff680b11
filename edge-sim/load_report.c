#include "edge-sim/load_report.h"

#include <jansson.h>

#include "common/clock.h"
#include "common/units.h"
#include "edge-sim/ski_conn.h"

static void sum_worker(const struct load_worker *worker, struct load_totals *t, uint64_t *first,
                       uint64_t *last)
{
    const struct load_counts *c = load_worker_counts(worker);
    t->sent += c->sent;
    t->ok += c->outcome[SKI_OK];
    t->wrong += c->wrong;
    t->verified += c->verified;
    t->connected += c->connected;
    t->connections_lost += c->connections_lost;
    t->retried += c->retried;
    for (unsigned i = 0; i < SKI_STATUS_COUNT; i++) {
        t->outcome[i] += c->outcome[i];
        if (i < SKI_TIMEOUT || i == SKI_BAD_ANSWER)
            t->answers += c->outcome[i];
    }
    for (unsigned i = 0; i < load_pool_kinds(load_worker_pool(worker)); i++)
        histogram_merge(t->latency, load_worker_latency(worker, i));
    histogram_merge(t->busy, load_worker_busy(worker));
    uint64_t ended = c->ended_ns != 0 ? c->ended_ns : clock_ns();
    if (c->started_ns != 0 && (*first == 0 || c->started_ns < *first))
        *first = c->started_ns;
    if (c->started_ns != 0 && ended > *last)
        *last = ended;
}

bool load_totals_collect(struct load_worker *const *workers, unsigned count, struct load_totals *totals)
{
    uint64_t first = 0;
    uint64_t last = 0;
    *totals = (struct load_totals){.latency = histogram_create(), .busy = histogram_create()};
    if (totals->latency == NULL || totals->busy == NULL) {
        load_totals_release(totals);
        return false;
    }
    for (unsigned i = 0; i < count; i++)
        sum_worker(workers[i], totals, &first, &last);
    totals->seconds = last > first ? (double)(last - first) / 1e9 : 0;
    return true;
}

void load_totals_release(struct load_totals *totals)
{
    histogram_destroy(&totals->latency);
    histogram_destroy(&totals->busy);
}

static struct histogram *kind_latency(struct load_worker *const *workers, unsigned count, unsigned kind)
{
    struct histogram *h = histogram_create();
    for (unsigned i = 0; h != NULL && i < count; i++)
        histogram_merge(h, load_worker_latency(workers[i], kind));
    return h;
}

static double per_second(uint64_t n, double seconds)
{
    return seconds > 0 ? (double)n / seconds : 0;
}

// --- text

static void print_latency(const struct histogram *h, FILE *out)
{
    static const double points[] = {50, 90, 99, 99.9};
    char text[16];
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
        (void)fprintf(out, " p%g %s", points[i],
                      units_format_duration(histogram_percentile(h, points[i]) / 1000, text, sizeof text));
    (void)fprintf(out, " max %s\n", units_format_duration(histogram_max(h) / 1000, text, sizeof text));
}

void load_print_text(const struct load_totals *t, struct load_worker *const *workers, unsigned count,
                     FILE *out)
{
    const struct load_pool *pool = load_worker_pool(workers[0]);
    (void)fprintf(out, "%.1f s, %llu requests, %llu right answers, %.0f/s\n", t->seconds,
                  (unsigned long long)t->sent, (unsigned long long)(t->ok - t->wrong),
                  per_second(t->ok - t->wrong, t->seconds));
    (void)fprintf(out, "latency:");
    print_latency(t->latency, out);
    for (unsigned i = 0; load_pool_kinds(pool) > 1 && i < load_pool_kinds(pool); i++) {
        struct histogram *h = kind_latency(workers, count, i);
        if (h == NULL)
            return;
        (void)fprintf(out, "  %-9s %-5s %9llu:", load_kind_key(pool, i), load_kind_method(pool, i),
                      (unsigned long long)histogram_count(h));
        print_latency(h, out);
        histogram_destroy(&h);
    }
    for (unsigned i = 1; i < SKI_STATUS_COUNT; i++)
        if (t->outcome[i] != 0)
            (void)fprintf(out, "%s: %llu\n", ski_status_text((enum ski_status)i),
                          (unsigned long long)t->outcome[i]);
    if (t->wrong != 0)
        (void)fprintf(out, "WRONG ANSWERS: %llu\n", (unsigned long long)t->wrong);
    if (t->connections_lost != 0)
        (void)fprintf(out, "connections lost: %llu, requests sent again: %llu\n",
                      (unsigned long long)t->connections_lost, (unsigned long long)t->retried);
}

// --- JSON

static json_t *us(uint64_t ns)
{
    return json_real((double)ns / 1000);
}

static json_t *latency_json(const struct histogram *h)
{
    return json_pack("{s:f, s:o, s:o, s:o, s:o, s:o}", "mean", histogram_mean(h) / 1000, "p50",
                     us(histogram_percentile(h, 50)), "p90", us(histogram_percentile(h, 90)), "p99",
                     us(histogram_percentile(h, 99)), "p99_9", us(histogram_percentile(h, 99.9)), "max",
                     us(histogram_max(h)));
}

static json_t *kinds_json(struct load_worker *const *workers, unsigned count)
{
    const struct load_pool *pool = load_worker_pool(workers[0]);
    json_t *kinds = json_array();
    for (unsigned i = 0; i < load_pool_kinds(pool); i++) {
        struct histogram *h = kind_latency(workers, count, i);
        if (h == NULL)
            break;
        (void)json_array_append_new(
            kinds, json_pack("{s:s, s:s, s:s, s:I, s:o}", "site", load_kind_file(pool, i), "key",
                             load_kind_key(pool, i), "method", load_kind_method(pool, i), "right",
                             (json_int_t)histogram_count(h), "latency_us", latency_json(h)));
        histogram_destroy(&h);
    }
    return kinds;
}

static json_t *outcomes_json(const struct load_totals *t)
{
    json_t *outcomes = json_object();
    for (unsigned i = 0; i < SKI_STATUS_COUNT; i++)
        if (i != SKI_STOPPED)
            (void)json_object_set_new(outcomes, ski_status_text((enum ski_status)i),
                                      json_integer((json_int_t)t->outcome[i]));
    return outcomes;
}

bool load_print_json(const struct load_settings *s, const struct load_totals *t,
                     struct load_worker *const *workers, unsigned count, FILE *out)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:o, "
        "s:o, "
        "s:o, s:o}",
        "tool", "edge-sim load ski", "version", MEC_VERSION, "keyserver", s->keyserver, "method", s->method,
        "loop", s->rate > 0 ? "open" : "closed", "rate", s->rate, "connections", (json_int_t)s->connections,
        "in_flight", (json_int_t)s->in_flight, "threads", (json_int_t)s->threads, "seconds", t->seconds,
        "sent", (json_int_t)t->sent, "answers", (json_int_t)t->answers, "right",
        (json_int_t)(t->ok - t->wrong), "wrong", (json_int_t)t->wrong, "verified", (json_int_t)t->verified,
        "right_per_second", per_second(t->ok - t->wrong, t->seconds), "connections_lost",
        (json_int_t)t->connections_lost, "retried", (json_int_t)t->retried, "latency_us",
        latency_json(t->latency), "busy_us", latency_json(t->busy), "outcomes", outcomes_json(t), "kinds",
        kinds_json(workers, count));
    bool ok = root != NULL && json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0 &&
              fputc('\n', out) != EOF;
    json_decref(root);
    return ok;
}
