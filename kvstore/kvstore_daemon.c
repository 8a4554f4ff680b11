#include "kvstore/kvstore_daemon.h"

#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "kvstore/kvstore_hooks.h"
#include "common/tls.h"
#include "kvstore/kvstore_pages.h"
#include "kvstore/kvstore_replica.h"
#include "kvstore/resp/access.h"

#define CONNECTION_SHARE 8          // of the ceiling
#define CONNECTION_MIN   (1u << 20) // less serves nobody

static unsigned processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned)n : 1;
}

// A worker waits for the disk most of its time, so there are more of them than processors.
static unsigned default_workers(void)
{
    unsigned n = 4 * processors();
    return n < 8 ? 8 : n > 64 ? 64 : n;
}

static SSL_CTX *make_tls(const struct kvstore_options *o, struct error *e)
{
    const struct tls_files files = {.cert_file = o->tls_cert, .key_file = o->tls_key, .ca_file = o->tls_ca};
    return tls_server_ctx_create_for(&files, (enum tls_clients)o->tls_auth_clients, e);
}

static bool check_tls(const struct kvstore_options *o, struct error *e)
{
    SSL_CTX *tls = o->tls_listen != NULL ? make_tls(o, e) : NULL;
    bool good = o->tls_listen == NULL || tls != NULL;
    SSL_CTX_free(tls);
    return good;
}

static bool check_password(const struct kvstore_options *o, struct error *e)
{
    struct resp_access access = {.salt = {0}};
    if (o->password_file == NULL)
        return true;
    if (!resp_access_init(&access)) {
        error_set(e, "%s: no lock", o->password_file);
        return false;
    }
    bool good = resp_access_load_password(&access, o->password_file, e);
    resp_access_deinit(&access);
    return good;
}

// What a start reads beside the store.
static bool check_files(const struct kvstore_options *o, struct error *e)
{
    struct kvstore_replica replica;
    bool good = kvstore_replica_read(o, &replica, e) && check_tls(o, e) && check_password(o, e);
    kvstore_replica_release(&replica);
    return good;
}

bool kvstore_daemon_load(struct kvstore_daemon *daemon, const struct kvstore_options *o, struct error *e)
{
    const struct kv_options options = {.limit_bytes = scaler_options_first_limit(&o->elastic),
                                       .fsync = (enum kv_fsync)o->fsync,
                                       .fsync_interval_ms = (unsigned)(o->fsync_interval / 1000),
                                       .erase_within_ms = (unsigned)(o->erase_within / 1000),
                                       .latency_goal_us = o->latency_goal,
                                       .segment_bytes = o->segment_bytes,
                                       .create = !o->check};
    struct kv_stats stats;
    char why[256], quoted[1024];
    *daemon = (struct kvstore_daemon){.options = o, .started_ns = clock_ns()};
    if (o->check && !check_files(o, e))
        return false;
    enum kv_status status = kv_open(o->dir, &options, &daemon->store, why, sizeof why);
    (void)log_quote(o->dir, quoted, sizeof quoted);
    if (status == KV_LOCKED && o->check) {
        log_info("store_in_use", "dir=%s note=\"not checked: another process runs on it\"", quoted);
        return true;
    }
    if (status != KV_OK) {
        error_set(e, "store: %s", why);
        return false;
    }
    kv_get_stats(daemon->store, &stats);
    log_info("store_open", "dir=%s keys=%llu damaged_records=%llu recovery_us=%llu", quoted,
             (unsigned long long)stats.keys, (unsigned long long)stats.damaged_records,
             (unsigned long long)stats.recovery_us);
    if (stats.damaged_records != 0)
        log_error("store_damaged", "dir=%s records=%llu", quoted, (unsigned long long)stats.damaged_records);
    return true;
}

static size_t at_most(size_t bytes, uint64_t most)
{
    return bytes < most ? bytes : (size_t)most;
}

void kvstore_daemon_bound(struct resp_server_options *options, uint64_t ceiling)
{
    uint64_t share = ceiling / CONNECTION_SHARE;
    if (share < CONNECTION_MIN)
        share = CONNECTION_MIN;
    resp_limits_fill(&options->limits);
    options->output_limit_bytes = at_most(options->output_limit_bytes, share);
    options->limits.max_query_bytes = at_most(options->limits.max_query_bytes, share);
    options->limits.max_bulk_bytes = at_most(options->limits.max_bulk_bytes, share);
}

// ---- TLS and the password

static bool add_tls(const struct kvstore_options *o, struct resp_server_options *options, struct error *e)
{
    if (o->tls_listen == NULL)
        return true;
    options->more[0].tls = true;
    options->more_count = 1;
    return net_addr_parse(o->tls_listen, &options->more[0].addr, e) &&
           (options->tls = make_tls(o, e)) != NULL;
}

static bool set_password(struct resp_server *server, const struct kvstore_options *o, struct error *e)
{
    struct resp_access *access = resp_server_access(server);
    if (o->password_file != NULL && !resp_access_load_password(access, o->password_file, e))
        return false;
    atomic_store(&access->needs_password, kvstore_options_need_password(o));
    return true;
}

// Files are read anew, with the options that go with them; the addresses stay.
static bool reload_access(struct kvstore_daemon *daemon, const struct kvstore_options *fresh, struct error *e)
{
    struct kvstore_options o = *fresh;
    SSL_CTX *tls = NULL;
    o.listen = daemon->options->listen;
    o.tls_listen = daemon->options->tls_listen;
    if (!kvstore_options_check(&o, e) || (o.tls_listen != NULL && (tls = make_tls(&o, e)) == NULL))
        return false;
    bool set = set_password(daemon->server, &o, e);
    if (set && tls != NULL)
        resp_server_set_tls(daemon->server, tls);
    SSL_CTX_free(tls);
    return set;
}

// ---- the server

static void log_listening(const struct resp_server *server, const struct resp_server_options *options)
{
    struct net_addr bound;
    char text[NET_ADDR_TEXT];
    resp_server_address(server, &bound);
    log_info("listening", "addr=%s loops=%u workers=%u output_limit=%zu query_limit=%zu",
             net_addr_format((const struct sockaddr *)&bound.ss, bound.len, text), options->loops,
             options->workers, options->output_limit_bytes, options->limits.max_query_bytes);
    if (resp_server_address_of(server, 1, &bound))
        log_info("tls_listening", "addr=%s",
                 net_addr_format((const struct sockaddr *)&bound.ss, bound.len, text));
}

// Signals that come while a file is loaded are heard.
static bool go_on(void *arg)
{
    struct event_base *base = arg;
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    return !event_base_got_break(base);
}

static bool start_server(struct kvstore_daemon *daemon, const struct kvstore_replica *replica,
                         struct event_base *base, struct error *e)
{
    const struct kvstore_options *o = daemon->options;
    unsigned quarter = processors() / 4;
    struct resp_server_options options = {
        .fsync = (enum kv_fsync)o->fsync,
        .loops = o->loops != 0 ? (unsigned)o->loops : (quarter != 0 ? quarter : 1),
        .workers = o->workers != 0 ? (unsigned)o->workers : default_workers(),
        .max_clients = (unsigned)o->max_clients,
        .idle_timeout_ms = (unsigned)(o->idle_timeout / 1000),
        .write_timeout_ms = (unsigned)(o->write_timeout / 1000),
        .drain_timeout_ms = (unsigned)(o->drain_timeout / 1000),
        .output_limit_bytes = o->output_limit,
        .most_memory = kvstore_elastic_most,
        .most_memory_arg = daemon->scaler,
        .hooks = kvstore_hooks(daemon),
        .cluster_enabled = o->cluster_enabled != 0,
        .buffer_limit = kvstore_elastic_buffers,
        .buffer_limit_arg = daemon->scaler,
        .save_dir = o->save_dir != NULL ? o->save_dir : o->dir,
        .save_name = o->save_name,
        .replica = &replica->options,
    };
    kvstore_daemon_bound(&options, scaler_ceiling_bytes(daemon->scaler));
    if (!net_addr_parse(o->listen, &options.listen, e) || !add_tls(o, &options, e))
        return false;
    daemon->server = resp_server_create(daemon->store, &options, e);
    SSL_CTX_free(options.tls); // the server has its own reference
    if (daemon->server == NULL || !set_password(daemon->server, o, e) ||
        (o->load != NULL && !resp_server_load(daemon->server, o->load, go_on, base, e)) ||
        !resp_server_start(daemon->server, e))
        return false;
    log_listening(daemon->server, &options);
    return true;
}

bool kvstore_daemon_start(struct kvstore_daemon *daemon, struct event_base *base, struct error *e)
{
    daemon->metrics = metrics_create();
    daemon->figures = kvstore_figures_create(daemon);
    if (daemon->metrics == NULL || daemon->figures == NULL) {
        error_set(e, "metrics: out of memory");
        return false;
    }
    if ((daemon->scaler = kvstore_elastic_start(&daemon->options->elastic, daemon->store, e)) == NULL)
        return false;
    if (!scaler_metrics(daemon->scaler, daemon->metrics, "kv")) {
        error_set(e, "metrics: out of memory");
        return false;
    }
    struct kvstore_replica replica;
    bool started =
        kvstore_replica_read(daemon->options, &replica, e) && start_server(daemon, &replica, base, e);
    kvstore_replica_release(&replica);
    if (!started)
        return false;
    if (daemon->options->admin == NULL)
        return true;
    daemon->admin = admin_start(base, daemon->options->admin, e);
    if (daemon->admin == NULL)
        return false;
    if (!kvstore_pages_add(daemon)) {
        error_set(e, "admin port: out of memory");
        return false;
    }
    return true;
}

void kvstore_daemon_reload(struct kvstore_daemon *daemon, const struct kvstore_options *fresh)
{
    struct policy_config policy;
    uint64_t fixed_bytes;
    struct error why;
    char quoted[1024];
    if (!scaler_options_reload(&daemon->options->elastic, &fresh->elastic, &policy, &fixed_bytes, &why) ||
        !reload_access(daemon, fresh, &why)) {
        log_error("reload_failed", "reason=%s", log_quote(why.text, quoted, sizeof quoted));
        return;
    }
    scaler_configure(daemon->scaler, &policy, fixed_bytes);
    log_info("reloaded", "memory=%llu", (unsigned long long)fresh->elastic.memory);
}

bool kvstore_daemon_stop(struct kvstore_daemon *daemon, struct error *e)
{
    resp_server_destroy(&daemon->server);
    admin_stop(&daemon->admin);
    scaler_stop(&daemon->scaler);
    metrics_destroy(&daemon->metrics);
    kvstore_figures_destroy(&daemon->figures);
    enum kv_status status = kv_close(&daemon->store);
    if (status != KV_OK)
        error_set(e, "store: close: %s", kv_status_text(status));
    return status == KV_OK;
}
