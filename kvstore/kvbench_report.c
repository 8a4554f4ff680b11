#include "kvstore/kvbench_report.h"

#include "common/units.h"

static const struct {
    const char *name;
    double percent;
} percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99_9", 99.9}, {"p99_99", 99.99}};
#define PERCENTILES (sizeof percentiles / sizeof percentiles[0])

static const char *const kind_names[BENCH_KINDS] = {"get", "put"};

static uint64_t operations(const struct bench_result *r)
{
    return r->operations[BENCH_READ] + r->operations[BENCH_WRITE];
}

static double hit_ratio(uint64_t hits, uint64_t misses)
{
    return hits + misses != 0 ? (double)hits / (double)(hits + misses) : 0;
}

// ---- text

static const char *nanoseconds(uint64_t ns, char *buf, size_t len)
{
    if (ns < 10000)
        (void)snprintf(buf, len, "%llu ns", (unsigned long long)ns);
    else if (ns < 10000000)
        (void)snprintf(buf, len, "%.1f us", (double)ns / 1e3);
    else
        (void)snprintf(buf, len, "%.1f ms", (double)ns / 1e6);
    return buf;
}

static void print_latency(const char *name, const struct histogram *h, FILE *out)
{
    char buf[32];
    if (histogram_count(h) == 0)
        return;
    (void)fprintf(out, "  %-4s %10s", name, nanoseconds((uint64_t)histogram_mean(h), buf, sizeof buf));
    for (size_t i = 0; i < PERCENTILES; i++)
        (void)fprintf(out, " %10s",
                      nanoseconds(histogram_percentile(h, percentiles[i].percent), buf, sizeof buf));
    (void)fprintf(out, " %10s\n", nanoseconds(histogram_max(h), buf, sizeof buf));
}

static void print_latencies(const struct bench_result *r, FILE *out)
{
    if (histogram_count(r->latency[BENCH_READ]) + histogram_count(r->latency[BENCH_WRITE]) == 0)
        return;
    (void)fprintf(out, "  %-4s %10s %10s %10s %10s %10s %10s %10s\n", "", "mean", "p50", "p90", "p99",
                  "p99.9", "p99.99", "max");
    for (unsigned kind = 0; kind < BENCH_KINDS; kind++)
        print_latency(kind_names[kind], r->latency[kind], out);
}

static void print_counts(const struct bench_counts *c, FILE *out)
{
    if (c->not_found != 0)
        (void)fprintf(out, "  not found: %llu\n", (unsigned long long)c->not_found);
    if (c->failed != 0)
        (void)fprintf(out, "  FAILED: %llu (%s)\n", (unsigned long long)c->failed,
                      kv_status_text(c->first_failure));
    if (c->wrong != 0)
        (void)fprintf(out, "  WRONG VALUES: %llu\n", (unsigned long long)c->wrong);
    if (c->behind != 0)
        (void)fprintf(out, "  behind the schedule at the end: %llu\n", (unsigned long long)c->behind);
}

static void print_changes(const struct bench_result *r, FILE *out)
{
    char from[16], to[16], rss[16];
    for (size_t i = 0; i < r->changed_count; i++) {
        const struct bench_changed *c = &r->changed[i];
        (void)fprintf(out, "  at %.1f s limit %s -> %s: %.1f ms", c->at_s,
                      units_format_size(c->from_bytes, from, sizeof from),
                      units_format_size(c->to_bytes, to, sizeof to), c->call_s * 1e3);
        if (c->settled_s >= 0)
            (void)fprintf(out, ", resident size within the limit after %.1f ms", c->settled_s * 1e3);
        else
            (void)fprintf(out, ", RESIDENT SIZE STILL %s", units_format_size(c->rss_after, rss, sizeof rss));
        (void)fputc('\n', out);
    }
}

static void print_result(const char *title, const struct bench_result *r, FILE *out)
{
    char rss[16];
    (void)fprintf(out, "%s: %llu in %.2f s, %.0f/s, %.0f MB/s", title, (unsigned long long)operations(r),
                  r->seconds, r->rate, r->seconds > 0 ? (double)r->counts.bytes / r->seconds / 1e6 : 0);
    if (r->sync_s > 0)
        (void)fprintf(out, ", synced %.2f s later", r->sync_s);
    if (r->hits + r->misses != 0)
        (void)fprintf(out, ", hits %.2f %%", 100 * hit_ratio(r->hits, r->misses));
    (void)fprintf(out, ", resident %s\n", units_format_size(r->rss_bytes, rss, sizeof rss));
    print_latencies(r, out);
    print_counts(&r->counts, out);
    print_changes(r, out);
}

void bench_print_text(const struct bench_run *run, FILE *out)
{
    char title[64];
    const struct bench_options *o = run->options;
    if (o->existing != NULL)
        (void)fprintf(out, "open: %.3f s\n", run->open_s);
    if (run->loaded)
        print_result("load", &run->load, out);
    if (run->measured.latency[BENCH_READ] == NULL)
        return;
    (void)snprintf(title, sizeof title, "%s %s", bench_operation_name(o), bench_workload_name(o));
    print_result(title, &run->measured, out);
}

// ---- JSON

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *latency_json(const struct histogram *h)
{
    json_t *o = json_pack("{s:o, s:f, s:f, s:f}", "count", number(histogram_count(h)), "mean",
                          histogram_mean(h) / 1e3, "min", (double)histogram_percentile(h, 0) / 1e3, "max",
                          (double)histogram_max(h) / 1e3);
    for (size_t i = 0; i < PERCENTILES; i++)
        (void)json_object_set_new(o, percentiles[i].name,
                                  json_real((double)histogram_percentile(h, percentiles[i].percent) / 1e3));
    static const struct {
        const char *name;
        uint64_t ns;
    } over[] = {{"over_1ms", 1000000}, {"over_2ms", 2000000}, {"over_5ms", 5000000}};
    for (size_t i = 0; i < sizeof over / sizeof over[0]; i++)
        (void)json_object_set_new(o, over[i].name,
                                  number(histogram_count(h) - histogram_count_le(h, over[i].ns)));
    return o;
}

static json_t *series_json(const struct bench_result *r)
{
    json_t *series = json_array();
    for (size_t i = 0; i < r->sample_count; i++) {
        const struct bench_sample *s = &r->samples[i];
        (void)json_array_append_new(
            series, json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "t", s->at_s, "rate",
                              s->span_s > 0 ? (double)(s->reads + s->writes) / s->span_s : 0, "p95_us",
                              (double)s->p95_ns / 1e3, "p99_us", (double)s->p99_ns / 1e3, "max_us",
                              (double)s->max_ns / 1e3, "hit_ratio", hit_ratio(s->hits, s->misses), "rss",
                              number(s->rss_bytes), "limit", number(s->limit_bytes)));
    }
    return series;
}

static json_t *changes_json(const struct bench_result *r)
{
    json_t *changes = json_array();
    for (size_t i = 0; i < r->changed_count; i++) {
        const struct bench_changed *c = &r->changed[i];
        (void)json_array_append_new(
            changes, json_pack("{s:f, s:o, s:o, s:f, s:f, s:o, s:o, s:s}", "at", c->at_s, "from",
                               number(c->from_bytes), "to", number(c->to_bytes), "call_seconds", c->call_s,
                               "settled_seconds", c->settled_s, "rss_before", number(c->rss_before),
                               "rss_after", number(c->rss_after), "status", kv_status_text(c->status)));
    }
    return changes;
}

static json_t *result_json(const struct bench_result *r)
{
    json_t *latency = json_object();
    if (r->latency[BENCH_READ] == NULL)
        return json_null();
    for (unsigned kind = 0; kind < BENCH_KINDS; kind++)
        if (histogram_count(r->latency[kind]) != 0)
            (void)json_object_set_new(latency, kind_names[kind], latency_json(r->latency[kind]));
    const struct bench_counts *c = &r->counts;
    return json_pack(
        "{s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:o}",
        "seconds", r->seconds, "rate", r->rate, "sync_seconds", r->sync_s, "operations",
        number(operations(r)), "gets", number(r->operations[BENCH_READ]), "puts",
        number(r->operations[BENCH_WRITE]), "bytes", number(c->bytes), "not_found", number(c->not_found),
        "failed", number(c->failed), "wrong", number(c->wrong), "behind", number(c->behind), "rss_peak",
        number(r->rss_peak_bytes), "hit_ratio", hit_ratio(r->hits, r->misses), "hits", number(r->hits), "rss",
        number(r->rss_bytes), "latency_us", latency, "limit_changes", changes_json(r), "series",
        series_json(r));
}

static json_t *settings_json(const struct bench_run *run)
{
    const struct bench_options *o = run->options;
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b}",
                     "operation", bench_operation_name(o), "workload", bench_workload_name(o), "keys",
                     number(o->keys), "key_bytes", number(o->key_bytes), "value_bytes_min",
                     number(o->value_min), "value_bytes_max", number(o->value_max), "theta", o->theta,
                     "threads", number(o->threads), "depth", number(o->depth), "memory", number(o->memory),
                     "rate", number(o->rate), "seed", number(o->seed), "read_percent",
                     number(o->read_percent), "verify", (int)o->verify, "buffered", (int)o->buffered,
                     "touched", (int)run->touched);
}

bool bench_print_json(const struct bench_run *run, FILE *out)
{
    bool measured = run->measured.latency[BENCH_READ] != NULL;
    double best = workload_best_hit_ratio(&run->space, (enum workload_order)run->options->workload,
                                          run->options->memory /
                                              (run->space.value_max != 0 ? run->space.value_max : 1));
    json_t *root =
        json_pack("{s:s, s:s, s:o, s:f, s:f, s:o, s:o, s:o}", "tool", run->class->program, "version",
                  MEC_VERSION, "settings", settings_json(run), "open_seconds", run->open_s,
                  "best_fixed_hit_ratio", best, "load", run->loaded ? result_json(&run->load) : json_null(),
                  "measured", measured ? result_json(&run->measured) : json_null(), "stats",
                  run->class->stats != NULL ? run->class->stats(run->target) : json_null());
    bool ok = root != NULL && json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) == 0 &&
              fputc('\n', out) != EOF;
    json_decref(root);
    return ok;
}
