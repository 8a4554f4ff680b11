#include "edge-sim/lookup_report.h"

#include <jansson.h>

#include "common/units.h"

bool lookup_totals_collect(struct lookup_worker *const *workers, unsigned count, double seconds,
                           struct lookup_totals *totals)
{
    *totals = (struct lookup_totals){.seconds = seconds, .latency = histogram_create()};
    if (totals->latency == NULL)
        return false;
    for (unsigned i = 0; i < count; i++) {
        const struct lookup_counts *c = lookup_worker_counts(workers[i]);
        totals->sent += c->sent;
        totals->over_goal += c->over_goal;
        totals->connections_lost += c->connections_lost;
        for (unsigned k = 0; k < LOOKUP_OUTCOMES; k++)
            totals->outcome[k] += c->outcome[k];
        histogram_merge(totals->latency, lookup_worker_latency(workers[i]));
    }
    return true;
}

void lookup_totals_release(struct lookup_totals *totals)
{
    histogram_destroy(&totals->latency);
}

uint64_t lookup_totals_failed(const struct lookup_totals *totals)
{
    uint64_t failed = 0;
    for (unsigned i = 0; i < LOOKUP_OUTCOMES; i++)
        failed += i != LOOKUP_RIGHT ? totals->outcome[i] : 0;
    return failed;
}

static double per_second(uint64_t n, double seconds)
{
    return seconds > 0 ? (double)n / seconds : 0;
}

static double goal_percent(const struct lookup_totals *t)
{
    uint64_t right = t->outcome[LOOKUP_RIGHT];
    return right != 0 ? 100.0 * (double)(right - t->over_goal) / (double)right : 0;
}

// ---- text

void lookup_print_text(const struct lookup_settings *settings, const struct lookup_totals *t, FILE *out)
{
    static const double points[] = {50, 90, 99, 99.9};
    char text[16];
    (void)fprintf(out, "%.1f s, %llu lookups, %llu right, %.0f/s\nlatency:", t->seconds,
                  (unsigned long long)t->sent, (unsigned long long)t->outcome[LOOKUP_RIGHT],
                  per_second(t->outcome[LOOKUP_RIGHT], t->seconds));
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
        (void)fprintf(
            out, " p%g %s", points[i],
            units_format_duration(histogram_percentile(t->latency, points[i]) / 1000, text, sizeof text));
    (void)fprintf(out, " max %s\n",
                  units_format_duration(histogram_max(t->latency) / 1000, text, sizeof text));
    (void)fprintf(out, "within %s: %.4f %% (%llu were not)\n",
                  units_format_duration(settings->goal_ns / 1000, text, sizeof text), goal_percent(t),
                  (unsigned long long)t->over_goal);
    for (unsigned i = 0; i < LOOKUP_OUTCOMES; i++)
        if (i != LOOKUP_RIGHT && t->outcome[i] != 0)
            (void)fprintf(out, "%s: %llu\n", lookup_outcome_name((enum lookup_outcome)i),
                          (unsigned long long)t->outcome[i]);
    if (t->connections_lost != 0)
        (void)fprintf(out, "connections lost: %llu\n", (unsigned long long)t->connections_lost);
}

// ---- JSON

static json_t *us(uint64_t ns)
{
    return json_real((double)ns / 1000);
}

static void put_outcomes(json_t *object, const uint64_t *count)
{
    for (unsigned i = 0; i < LOOKUP_OUTCOMES; i++)
        (void)json_object_set_new(object, lookup_outcome_name((enum lookup_outcome)i),
                                  json_integer((json_int_t)count[i]));
}

static json_t *latency_json(const struct histogram *h)
{
    return json_pack("{s:f, s:o, s:o, s:o, s:o, s:o}", "mean", histogram_mean(h) / 1000, "p50",
                     us(histogram_percentile(h, 50)), "p90", us(histogram_percentile(h, 90)), "p99",
                     us(histogram_percentile(h, 99)), "p99_9", us(histogram_percentile(h, 99.9)), "max",
                     us(histogram_max(h)));
}

static json_t *row_json(const struct lookup_row *row, double t_s, double interval_s,
                        const struct lookup_schedule *schedule)
{
    json_t *object = json_pack("{s:f, s:f, s:I, s:o, s:o, s:o, s:o}", "t", t_s, "rate",
                               per_second(row->count[LOOKUP_RIGHT], interval_s), "over_goal",
                               (json_int_t)row->over_goal, "p50_us", us(row->p50_ns), "p99_us",
                               us(row->p99_ns), "p99_9_us", us(row->p999_ns), "max_us", us(row->max_ns));
    if (object == NULL)
        return NULL;
    put_outcomes(object, row->count);
    if (schedule != NULL)
        (void)json_object_set_new(object, "wanted",
                                  json_real(lookup_schedule_rate(schedule, (uint64_t)(t_s * 1e9))));
    return object;
}

static json_t *series_json(const struct lookup_series *series, const struct lookup_schedule *schedule)
{
    size_t count;
    const struct lookup_row *rows = lookup_series_rows(series, &count);
    double interval_s = (double)lookup_series_interval(series) / 1e9;
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(array, row_json(&rows[i], (double)i * interval_s, interval_s, schedule));
    return array;
}

bool lookup_print_json(const struct lookup_settings *s, const struct lookup_totals *t,
                       const struct lookup_series *series, const struct lookup_schedule *schedule, FILE *out)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:i, s:i, s:i, s:b, s:I, s:f, s:I, s:f, s:I, s:o, s:f, "
        "s:I, s:f, s:f}",
        "tool", "edge-sim load lookup", "version", MEC_VERSION, "server", s->server, "workload", s->workload,
        "keys", (json_int_t)s->keys, "value_bytes", (json_int_t)s->value_bytes, "loop",
        s->schedule != NULL ? "open" : "closed", "schedule", s->schedule != NULL ? s->schedule : "",
        "connections", (int)s->connections, "pipeline", (int)s->pipeline, "threads", (int)s->threads,
        "verify", (int)s->verify, "started_unix_ms", (json_int_t)s->started_unix_ms, "seconds", t->seconds,
        "sent", (json_int_t)t->sent, "right_per_second", per_second(t->outcome[LOOKUP_RIGHT], t->seconds),
        "connections_lost", (json_int_t)t->connections_lost, "latency_us", latency_json(t->latency),
        "goal_ms", (double)s->goal_ns / 1e6, "over_goal", (json_int_t)t->over_goal, "within_goal_percent",
        goal_percent(t), "interval_s", (double)lookup_series_interval(series) / 1e9);
    if (root == NULL)
        return false;
    put_outcomes(root, t->outcome);
    (void)json_object_set_new(root, "series", series_json(series, schedule));
    bool good = json_dumpf(root, out, JSON_INDENT(1)) == 0 && fputc('\n', out) != EOF;
    json_decref(root);
    return good;
}
