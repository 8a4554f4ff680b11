#include "keyserver/admin.h"

#include <jansson.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/secmem.h"
#include "common/tls.h"
#include "keyserver/live.h"
#include "keyserver/migration.h"
#include "keyserver/watch.h"

static int readyz(void *arg, FILE *out)
{
    const struct server *server = arg;
    bool draining = atomic_load(&server->draining);
    (void)fputs(draining ? "draining\n" : "ready\n", out);
    return draining ? 503 : 200;
}

static json_t *latency_json(const struct histogram *h)
{
    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "count", (json_int_t)histogram_count(h), "p50_us",
                     (double)histogram_percentile(h, 50) / 1e3, "p99_us",
                     (double)histogram_percentile(h, 99) / 1e3, "p999_us",
                     (double)histogram_percentile(h, 99.9) / 1e3, "max_us", (double)histogram_max(h) / 1e3);
}

static json_t *store_json(struct kv_store *store)
{
    struct kv_stats s;
    kv_get_stats(store, &s);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "entries", (json_int_t)s.keys,
                     "limit_bytes", (json_int_t)s.limit_bytes, "memory_bytes", (json_int_t)s.memory_bytes,
                     "index_bytes", (json_int_t)s.index_bytes, "disk_bytes", (json_int_t)s.disk_bytes,
                     "live_bytes", (json_int_t)s.live_bytes, "hits", (json_int_t)s.hits, "misses",
                     (json_int_t)s.misses, "damaged_records", (json_int_t)s.damaged_records, "recovery_us",
                     (json_int_t)s.recovery_us, "read_only", (int)s.read_only);
}

static json_t *status_json(void *arg)
{
    struct server *server = arg;
    struct stats *s = &server->stats;
    int days;
    (void)pthread_mutex_lock(&server->tls_lock);
    days = tls_ctx_days_left(server->tls);
    (void)pthread_mutex_unlock(&server->tls_lock);
    return json_pack(
        "{s:s, s:s, s:I, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:o, s:o, s:o, s:o}",
        "version", MEC_VERSION, "state", atomic_load(&server->draining) ? "draining" : "serving", "uptime_s",
        (json_int_t)((clock_ns() - server->started_ns) / 1000000000u), "certificate_days_left", days,
        "connections", (int)server_connections(server), "queue", (json_int_t)pool_waiting(server->pool),
        "decoded_keys", (json_int_t)keycache_count(server->cache), "secret_memory_bytes",
        (json_int_t)secmem_used(), "handshakes", (json_int_t)metric_value(s->handshakes),
        "handshake_failures", (json_int_t)metric_value(s->handshake_failures), "audit_lines_dropped",
        (json_int_t)audit_dropped(server->audit), "audit", audit_status(server->audit), "store",
        store_json(server->store), "memory", scaler_status(server->scaler), "queue_time",
        latency_json(s->waited), "key_lookup", latency_json(s->lookup), "rsa_operation",
        latency_json(s->worked[KEYRECORD_RSA]), "ec_operation", latency_json(s->worked[KEYRECORD_EC]),
        "rsa_engine", engine_status(server->engine), "migration", migration_status(server), "request",
        latency_json(s->duration), "edges", live_edges(server), "expiry",
        expiry_json(server->watch->expiry, (int64_t)(clock_unix_ms() / 1000)));
}

// ---- gauges

static double read_connections(void *arg)
{
    return (double)server_connections(arg);
}

static double read_queue(void *arg)
{
    return (double)pool_waiting(((struct server *)arg)->pool);
}

static double read_target(void *arg)
{
    return (double)pool_target_ns(((struct server *)arg)->pool) / 1e9;
}

static double read_held(void *arg)
{
    return (double)atomic_load(&((struct server *)arg)->held);
}

static double read_held_limit(void *arg)
{
    return (double)atomic_load(&((struct server *)arg)->held_limit);
}

static double read_decoded(void *arg)
{
    return (double)keycache_count(((struct server *)arg)->cache);
}

static double read_policy_rules(void *arg)
{
    struct access_policy *policy = server_access(arg);
    double rules = policy != NULL ? (double)access_rule_count(policy) : 0;
    access_unref(&policy);
    return rules;
}

static double read_policy_revocations(void *arg)
{
    struct access_policy *policy = server_access(arg);
    double entries = policy != NULL ? (double)access_revocation_count(policy) : 0;
    access_unref(&policy);
    return entries;
}

#define STORE_READER(field)                                                                                  \
    static double read_store_##field(void *arg)                                                              \
    {                                                                                                        \
        struct kv_stats s;                                                                                   \
        kv_get_stats(((struct server *)arg)->store, &s);                                                     \
        return (double)s.field;                                                                              \
    }
STORE_READER(keys)
STORE_READER(memory_bytes)
STORE_READER(limit_bytes)
STORE_READER(disk_bytes)
STORE_READER(hits)
STORE_READER(misses)
STORE_READER(damaged_records)

static bool declare_gauges(struct server *server)
{
    struct metrics *m = server->stats.metrics;
    return metrics_build_info(m, "ks_build_info") && engine_metrics(server->engine, m) &&
           live_metrics(server) &&
           metrics_gauge(m, "ks_edges_connected", NULL, "Connections now.", read_connections, server) &&
           metrics_gauge(m, "ks_connections_held_bytes", NULL,
                         "Memory that connections hold: requests not complete, operations in flight, "
                         "answers not taken.",
                         read_held, server) &&
           metrics_gauge(m, "ks_connections_held_limit_bytes", NULL, "Of this, the most that all may.",
                         read_held_limit, server) &&
           metrics_gauge(m, "ks_queue_operations", NULL, "Operations waiting for a crypto thread.",
                         read_queue, server) &&
           metrics_gauge(m, "ks_queue_target_seconds", NULL,
                         "How long operations may wait while more is asked for than can be computed.",
                         read_target, server) &&
           metrics_gauge(m, "ks_decoded_keys", NULL, "Keys decoded and cached.", read_decoded, server) &&
           audit_metrics(server->audit, m) && migration_metrics(server) &&
           metrics_gauge(m, "ks_policy_rules", NULL, "Rules of the access policy; 0 without one.",
                         read_policy_rules, server) &&
           metrics_gauge(m, "ks_policy_revocations", NULL, "Revoked keys and entries of CRLs in it.",
                         read_policy_revocations, server) &&
           metrics_gauge(m, "ks_db_keys", NULL, "Entries in the store, aliases among them.", read_store_keys,
                         server) &&
           metrics_gauge(m, "ks_db_memory_bytes", NULL, "Memory held by the store.", read_store_memory_bytes,
                         server) &&
           metrics_gauge(m, "ks_db_memory_limit_bytes", NULL, "Memory limit of the store.",
                         read_store_limit_bytes, server) &&
           metrics_gauge(m, "ks_db_disk_bytes", NULL, "Size of the store's files.", read_store_disk_bytes,
                         server) &&
           metrics_counter_read(m, "ks_db_hits_total", "tier=\"memory\"",
                                "Store reads by where the value was.", read_store_hits, server) &&
           metrics_counter_read(m, "ks_db_hits_total", "tier=\"disk\"", "Store reads by where the value was.",
                                read_store_misses, server) &&
           metrics_counter_read(m, "ks_db_damaged_records_total", NULL,
                                "Records whose checksum did not hold.", read_store_damaged_records, server);
}

bool server_admin(struct server *server, struct admin **admin, struct error *e)
{
    *admin = NULL;
    if (!declare_gauges(server)) {
        error_set(e, "metrics: out of memory");
        return false;
    }
    if (server->options->admin == NULL && !inherit_has(server->inherited, "admin"))
        return true;
    int fd = inherit_take(server->inherited, "admin", NULL);
    *admin = fd >= 0 ? admin_start_on(server->base, fd, e)
                     : admin_start(server->base, server->options->admin, e);
    if (*admin == NULL)
        return false;
    if (!admin_metrics(*admin, server->stats.metrics) || !admin_text(*admin, "/readyz", readyz, server) ||
        !admin_json(*admin, "/status", status_json, server) || !live_pages(server, *admin)) {
        error_set(e, "admin port: out of memory");
        admin_stop(admin);
        return false;
    }
    return true;
}
