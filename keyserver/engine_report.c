// What operators see of the engine.
#include "keyserver/engine_internal.h"

#include <stdio.h>

static double read_one(void *arg)
{
    (void)arg;
    return 1;
}

static double read_cost(void *arg)
{
    const _Atomic uint64_t *ns = arg;
    return (double)atomic_load_explicit(ns, memory_order_relaxed) / 1e9;
}

bool engine_metrics(struct engine *engine, struct metrics *metrics)
{
    static const char cost_name[] = "ks_rsa_engine_cost_seconds",
                      cost_help[] =
                          "Processor time of an RSA operation by OpenSSL and of a batch of any fill, lately.";
    char labels[64];

    (void)snprintf(labels, sizeof labels, "engine=\"%s\"", engine->settings.pick.name);
    bool good =
        metrics_gauge(metrics, "ks_rsa_engine_info", labels, "Which RSA engine runs.", read_one, NULL);
    for (unsigned size = 0; size < ENGINE_SIZES && good && engine->settings.pick.batches; size++) {
        (void)snprintf(labels, sizeof labels, "bits=\"%u\",of=\"single\"", engine_size_bits(size));
        good =
            metrics_gauge(metrics, cost_name, labels, cost_help, read_cost, &engine->costs[size].single_ns);
        (void)snprintf(labels, sizeof labels, "bits=\"%u\",of=\"batch\"", engine_size_bits(size));
        good = good &&
               metrics_gauge(metrics, cost_name, labels, cost_help, read_cost, &engine->costs[size].batch_ns);
    }
    return good;
}

static json_t *size_status(const struct engine *engine, unsigned size)
{
    const struct stats *stats = engine->settings.stats;
    const struct engine_costs *costs = &engine->costs[size];
    uint64_t batches = 0, operations = 0;
    for (unsigned fill = 1; fill <= ENGINE_LANES; fill++) {
        uint64_t n = metric_value(stats->rsa_batches[size][fill - 1]);
        batches += n;
        operations += n * fill;
    }
    return json_pack("{s:I, s:I, s:I, s:f, s:f}", "singles",
                     (json_int_t)metric_value(stats->rsa_singles[size]), "batches", (json_int_t)batches,
                     "in_batches", (json_int_t)operations, "single_us",
                     (double)atomic_load(&costs->single_ns) / 1e3, "batch_us",
                     (double)atomic_load(&costs->batch_ns) / 1e3);
}

json_t *engine_status(const struct engine *engine)
{
    const struct engine_settings *s = &engine->settings;
    json_t *status = json_pack(
        "{s:s, s:s, s:I, s:I, s:I}", "engine", s->pick.name, "reason", s->pick.reason, "fill_wait_us",
        (json_int_t)s->fill_wait_us, "faults", (json_int_t)metric_value(s->stats->rsa_faults), "refused",
        (json_int_t)(metric_value(s->stats->rsa_refused) + metric_value(s->stats->rsa_no_random)));
    for (unsigned size = 0; size < ENGINE_SIZES && status != NULL; size++) {
        char name[16];
        (void)snprintf(name, sizeof name, "rsa%u", engine_size_bits(size));
        (void)json_object_set_new(status, name, size_status(engine, size));
    }
    return status;
}
