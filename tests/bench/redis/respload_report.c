#include "tests/bench/redis/respload_report.h"

#include <jansson.h>

static const struct {
    const char *name;
    double percent;
} percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99_9", 99.9}, {"p99_99", 99.99}};
#define PERCENTILES (sizeof percentiles / sizeof percentiles[0])

static const char *const kind_names[RESPLOAD_KINDS] = {"get", "set"};

// ---- adding up

bool respload_result_init(struct respload_result *result)
{
    *result = (struct respload_result){.all = histogram_create()};
    for (unsigned kind = 0; kind < RESPLOAD_KINDS; kind++)
        result->latency[kind] = histogram_create();
    return result->all != NULL && result->latency[RESPLOAD_READ] != NULL &&
           result->latency[RESPLOAD_WRITE] != NULL;
}

void respload_result_release(struct respload_result *result)
{
    histogram_destroy(&result->all);
    for (unsigned kind = 0; kind < RESPLOAD_KINDS; kind++)
        histogram_destroy(&result->latency[kind]);
}

void respload_result_add(struct respload_result *result, const struct respload_worker *worker)
{
    const struct respload_counts *from = &worker->counts;
    struct respload_counts *into = &result->counts;
    for (unsigned kind = 0; kind < RESPLOAD_KINDS; kind++) {
        into->right[kind] += from->right[kind];
        histogram_merge(result->latency[kind], worker->latency[kind]);
        histogram_merge(result->all, worker->latency[kind]);
    }
    into->missing += from->missing;
    into->wrong += from->wrong;
    into->failed += from->failed;
    into->lost += from->lost;
    into->unsent += from->unsent;
    into->connections_lost += from->connections_lost;
    if (from->end_ns > into->end_ns)
        into->end_ns = from->end_ns;
    if (result->trouble[0] == '\0')
        (void)snprintf(result->trouble, sizeof result->trouble, "%s", worker->trouble);
}

void respload_result_close(struct respload_result *result, const struct respload_run *run)
{
    uint64_t begin = run->start_ns + run->warm_up_ns;
    result->seconds = result->counts.end_ns > begin ? (double)(result->counts.end_ns - begin) / 1e9 : 0;
}

static uint64_t right(const struct respload_counts *c)
{
    return c->right[RESPLOAD_READ] + c->right[RESPLOAD_WRITE];
}

static uint64_t errors(const struct respload_counts *c)
{
    return c->missing + c->wrong + c->failed + c->lost + c->unsent;
}

bool respload_result_is_good(const struct respload_result *result)
{
    return right(&result->counts) != 0 && errors(&result->counts) + result->counts.connections_lost == 0;
}

static double rate(const struct respload_result *result)
{
    return result->seconds > 0 ? (double)right(&result->counts) / result->seconds : 0;
}

// ---- text

static void print_latency(const char *name, const struct histogram *h, FILE *out)
{
    if (histogram_count(h) == 0)
        return;
    (void)fprintf(out, "  %-3s us: mean %.1f", name, histogram_mean(h) / 1e3);
    for (size_t i = 0; i < PERCENTILES; i++)
        (void)fprintf(out, ", %s %.1f", percentiles[i].name,
                      (double)histogram_percentile(h, percentiles[i].percent) / 1e3);
    (void)fprintf(out, ", max %.1f\n", (double)histogram_max(h) / 1e3);
}

void respload_print_text(const struct respload_result *result, FILE *out)
{
    const struct respload_counts *c = &result->counts;
    (void)fprintf(out, "%llu requests in %.2f s: %.0f/s\n", (unsigned long long)right(c), result->seconds,
                  rate(result));
    for (unsigned kind = 0; kind < RESPLOAD_KINDS; kind++)
        print_latency(kind_names[kind], result->latency[kind], out);
    if (errors(c) + c->connections_lost != 0)
        (void)fprintf(
            out, "  missing %llu, wrong %llu, failed %llu, lost %llu, unsent %llu; connections lost %llu\n",
            (unsigned long long)c->missing, (unsigned long long)c->wrong, (unsigned long long)c->failed,
            (unsigned long long)c->lost, (unsigned long long)c->unsent,
            (unsigned long long)c->connections_lost);
}

// ---- JSON

static json_t *latency_json(const struct histogram *h)
{
    json_t *object =
        json_pack("{s:I, s:f}", "count", (json_int_t)histogram_count(h), "mean", histogram_mean(h) / 1e3);
    for (size_t i = 0; i < PERCENTILES; i++)
        (void)json_object_set_new(object, percentiles[i].name,
                                  json_real((double)histogram_percentile(h, percentiles[i].percent) / 1e3));
    (void)json_object_set_new(object, "max", json_real((double)histogram_max(h) / 1e3));
    return object;
}

static json_t *latencies_json(const struct respload_result *result)
{
    json_t *object = json_pack("{s:o}", "all", latency_json(result->all));
    for (unsigned kind = 0; kind < RESPLOAD_KINDS; kind++)
        if (histogram_count(result->latency[kind]) != 0)
            (void)json_object_set_new(object, kind_names[kind], latency_json(result->latency[kind]));
    return object;
}

bool respload_print_json(const struct respload_result *result, const struct respload_options *o, FILE *out)
{
    const struct respload_counts *c = &result->counts;
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:f, s:I, s:f, s:I, s:o, s:s}", "tool",
        "bench_respload", "version", MEC_VERSION, "server", o->server, "operation",
        respload_operation_name(o->operation), "workload", o->workload, "keys", (json_int_t)o->keys,
        "value_bytes", (json_int_t)o->value_bytes, "connections", (json_int_t)o->connections, "pipeline",
        (json_int_t)o->pipeline, "threads", (json_int_t)o->threads, "rounds", (int)o->rounds, "asked_rate",
        (json_int_t)o->rate, "seconds", result->seconds, "requests", (json_int_t)right(c), "rate",
        rate(result), "errors", (json_int_t)errors(c), "latency_us", latencies_json(result), "trouble",
        result->trouble);
    if (root == NULL)
        return false;
    (void)json_object_set_new(root, "errors_by_kind",
                              json_pack("{s:I, s:I, s:I, s:I, s:I}", "missing", (json_int_t)c->missing,
                                        "wrong", (json_int_t)c->wrong, "failed", (json_int_t)c->failed,
                                        "lost", (json_int_t)c->lost, "unsent", (json_int_t)c->unsent));
    (void)json_object_set_new(root, "connections_lost", json_integer((json_int_t)c->connections_lost));
    bool good = json_dumpf(root, out, JSON_INDENT(1)) == 0 && fputc('\n', out) != EOF;
    json_decref(root);
    return good;
}
