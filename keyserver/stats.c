#include "keyserver/stats.h"

#include <stdio.h>

#include "keyserver/peer.h"

static const char *const key_types[3] = {"none", "RSA", "EC"};

static bool declare_requests(struct stats *s)
{
    static const char name[] = "ks_requests_total", help[] = "SKI requests by method, key type and result.";
    char labels[128];

    for (int m = 0; m < 2; m++)
        for (int k = 0; k < 3; k++)
            for (int r = 0; r < SKI_STATUSES; r++) {
                (void)snprintf(labels, sizeof labels, "method=\"%s\",key_type=\"%s\",result=\"%s\"",
                               ski_method_word((enum ski_method)m), key_types[k],
                               ski_status_word((enum ski_status)r));
                if ((s->requests[m][k][r] = metrics_counter(s->metrics, name, labels, help)) == NULL)
                    return false;
            }
    s->unparsed =
        metrics_counter(s->metrics, name, "method=\"unknown\",key_type=\"none\",result=\"malformed\"", help);
    s->unread =
        metrics_counter(s->metrics, name, "method=\"unknown\",key_type=\"none\",result=\"denied\"", help);
    return s->unparsed != NULL && s->unread != NULL;
}

static bool declare_migration(struct stats *s)
{
    char labels[64];
    for (int r = 0; r < SKI_STATUSES; r++) {
        (void)snprintf(labels, sizeof labels, "result=\"%s\"", ski_status_word((enum ski_status)r));
        if ((s->migration[r] = metrics_counter(s->metrics, "ks_migration_requests_total", labels,
                                               "SKI requests at the migration listener.")) == NULL)
            return false;
    }
    return true;
}

const char *stats_busy_word(enum keyop_busy busy)
{
    static const char *const words[KEYOP_BUSY_REASONS] = {"", "queue_full", "queue_long", "edge_limit",
                                                          "abandoned"};
    return words[busy];
}

static bool declare_busy(struct stats *s)
{
    char labels[64];
    for (int b = KEYOP_NOT_BUSY + 1; b < KEYOP_BUSY_REASONS; b++) {
        (void)snprintf(labels, sizeof labels, "reason=\"%s\"", stats_busy_word((enum keyop_busy)b));
        if ((s->busy[b] = metrics_counter(s->metrics, "ks_requests_busy_total", labels,
                                          "Requests with the result busy, by what was too much.")) == NULL)
            return false;
    }
    return true;
}

static bool declare_times(struct stats *s)
{
    static const char name[] = "ks_crypto_duration_seconds",
                      help[] = "Time a key operation took on its crypto thread.";
    char labels[64];

    s->duration = metrics_histogram(s->metrics, "ks_request_duration_seconds", NULL,
                                    "Time from a request's last byte to its result.");
    s->waited = metrics_histogram(s->metrics, "ks_queue_duration_seconds", NULL,
                                  "Time an operation waited for a crypto thread.");
    s->lookup = metrics_histogram(s->metrics, "ks_key_lookup_duration_seconds", NULL,
                                  "Time to find a key, decoded or to be read and decoded.");
    for (int k = 0; k < 3; k++) {
        (void)snprintf(labels, sizeof labels, "key_type=\"%s\"", key_types[k]);
        if ((s->worked[k] = metrics_histogram(s->metrics, name, labels, help)) == NULL)
            return false;
    }
    return s->duration != NULL && s->waited != NULL && s->lookup != NULL;
}

static bool declare_counters(struct stats *s)
{
    static const char *const timeouts[TIMEOUTS] = {"stage=\"handshake\"", "stage=\"idle\"",
                                                   "stage=\"write\""};
    const struct {
        struct metric_counter **counter;
        const char *name, *help;
    } counters[] = {
        {&s->refused, "ks_http_refused_total", "Requests refused before their body was looked at."},
        {&s->cache_hits, "ks_key_cache_hits_total", "Keys found decoded."},
        {&s->cache_misses, "ks_key_cache_misses_total", "Keys read from the store and decoded."},
        {&s->connections, "ks_connections_total", "Connections accepted."},
        {&s->rejected, "ks_connections_rejected_total", "Connections closed on arrival, over a limit."},
        {&s->edge_rejected, "ks_connections_edge_rejected_total",
         "Connections closed after their handshake: their edge has as many as it may."},
        {&s->shed, "ks_connections_shed_total",
         "Connections closed because all together held too much memory, and they most."},
        {&s->handshakes, "ks_tls_handshakes_total", "TLS handshakes completed."},
        {&s->resumed, "ks_tls_handshakes_resumed_total", "Of these, resumed sessions."},
        {&s->handshake_failures, "ks_tls_handshake_failures_total", "TLS handshakes failed."},
        {&s->changes, "ks_store_changes_total", "Keys written or deleted through the control socket."},
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        if ((*counters[i].counter = metrics_counter(s->metrics, counters[i].name, NULL, counters[i].help)) ==
            NULL)
            return false;
    for (int t = 0; t < TIMEOUTS; t++)
        if ((s->timeouts[t] = metrics_counter(s->metrics, "ks_timeouts_total", timeouts[t],
                                              "Connections dropped for taking too long.")) == NULL)
            return false;
    return true;
}

static bool declare_policy(struct stats *s)
{
    static const char name[] = "ks_policy_decisions_total",
                      help[] = "Requests by what the access policy said, and why it denied.",
                      loads[] = "ks_policy_reloads_total", loads_help[] = "Reloads with an access policy.";
    char labels[64];

    s->policy_allowed = metrics_counter(s->metrics, name, "decision=\"allow\",reason=\"rule\"", help);
    for (int r = 0; r < ACCESS_REASONS; r++) {
        (void)snprintf(labels, sizeof labels, "decision=\"deny\",reason=\"%s\"",
                       access_reason_word((enum access_reason)r));
        if ((s->policy_denied[r] = metrics_counter(s->metrics, name, labels, help)) == NULL)
            return false;
    }
    s->policy_revoked = metrics_counter(s->metrics, "ks_policy_connections_revoked_total", NULL,
                                        "Connections closed because their certificate is revoked.");
    s->policy_loads[0] = metrics_counter(s->metrics, loads, "result=\"failed\"", loads_help);
    s->policy_loads[1] = metrics_counter(s->metrics, loads, "result=\"ok\"", loads_help);
    return s->policy_allowed != NULL && s->policy_revoked != NULL && s->policy_loads[0] != NULL &&
           s->policy_loads[1] != NULL;
}

static bool declare_batches(struct stats *s)
{
    static const char name[] = "ks_rsa_batches_total",
                      help[] = "RSA operations computed together, by size and by how many they were.";
    char labels[64];

    for (unsigned size = 0; size < ENGINE_SIZES; size++)
        for (unsigned fill = 1; fill <= ENGINE_LANES; fill++) {
            (void)snprintf(labels, sizeof labels, "bits=\"%u\",fill=\"%u\"", engine_size_bits(size), fill);
            if ((s->rsa_batches[size][fill - 1] = metrics_counter(s->metrics, name, labels, help)) == NULL)
                return false;
        }
    return true;
}

static bool declare_singles(struct stats *s)
{
    static const char name[] = "ks_rsa_singles_total",
                      help[] = "RSA operations computed by OpenSSL, by size.";
    char labels[64];

    for (unsigned size = 0; size <= ENGINE_SIZES; size++) {
        if (size < ENGINE_SIZES)
            (void)snprintf(labels, sizeof labels, "bits=\"%u\"", engine_size_bits(size));
        else
            (void)snprintf(labels, sizeof labels, "bits=\"other\"");
        if ((s->rsa_singles[size] = metrics_counter(s->metrics, name, labels, help)) == NULL)
            return false;
    }
    return true;
}

static bool declare_engine(struct stats *s)
{
    static const char refused[] = "ks_rsa_engine_refused_total",
                      refused_help[] = "RSA operations that the engine did not compute; OpenSSL did.";

    s->rsa_faults =
        metrics_counter(s->metrics, "ks_rsa_engine_faults_total", NULL,
                        "RSA results that failed their check and were computed again by OpenSSL.");
    s->rsa_refused = metrics_counter(s->metrics, refused, "reason=\"input\"", refused_help);
    s->rsa_no_random = metrics_counter(s->metrics, refused, "reason=\"random\"", refused_help);
    s->rsa_gathered =
        metrics_histogram(s->metrics, "ks_rsa_gather_duration_seconds", NULL,
                          "Time an RSA operation with its key waited for others of its size or a thread.");
    return s->rsa_faults != NULL && s->rsa_refused != NULL && s->rsa_no_random != NULL &&
           s->rsa_gathered != NULL && declare_batches(s) && declare_singles(s);
}

bool stats_setup(struct stats *s, struct error *e)
{
    s->metrics = metrics_create();
    if (s->metrics != NULL && declare_requests(s) && declare_migration(s) && declare_busy(s) &&
        declare_times(s) && declare_counters(s) && declare_policy(s) && declare_engine(s))
        return true;
    error_set(e, "metrics: out of memory");
    stats_teardown(s);
    return false;
}

void stats_teardown(struct stats *s)
{
    metrics_destroy(&s->metrics);
}

void stats_count(struct stats *s, const struct keyop *op)
{
    if (op->peer->migration)
        metric_add(s->migration[op->status], 1);
    if (!op->parsed) {
        metric_add(op->status == SKI_DENIED ? s->unread : s->unparsed, 1);
        return;
    }
    metric_add(s->requests[op->request.method][op->key_type][op->status], 1);
    if (op->busy != KEYOP_NOT_BUSY)
        metric_add(s->busy[op->busy], 1);
    histogram_record(s->duration, op->finished_ns - op->received_ns);
    if (op->started_ns != 0) {
        histogram_record(s->waited, op->started_ns - op->received_ns);
        histogram_record(s->worked[op->key_type], op->finished_ns - op->started_ns);
    }
}
