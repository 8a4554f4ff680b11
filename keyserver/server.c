#include "keyserver/server.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "keyserver/control.h"
#include "keyserver/listener.h"
#include "keyserver/peer.h"
#include "keyserver/watch.h"
#include "kvstore/kvstore_elastic.h"

static unsigned processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned)n : 1;
}

// As many descriptors as connections may need, as far as the system allows.
static void raise_descriptor_limit(const struct options *o)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < o->max_connections + 1024)
        log_warn("few_descriptors", "limit=%llu max_connections=%llu", (unsigned long long)limit.rlim_cur,
                 (unsigned long long)o->max_connections);
}

static bool start_loops(struct server *server, struct error *e)
{
    unsigned wanted =
        server->options->io_threads != 0 ? (unsigned)server->options->io_threads : (processors() + 2) / 3;
    server->loops = calloc(wanted, sizeof *server->loops);
    if (server->loops == NULL) {
        error_set(e, "I/O threads: out of memory");
        return false;
    }
    while (server->loop_count < wanted) {
        if (!loop_start(&server->loops[server->loop_count], server, server->loop_count, e))
            return false;
        server->loop_count++;
    }
    return true;
}

static unsigned crypto_threads(const struct options *o)
{
    return o->crypto_threads != 0 ? (unsigned)o->crypto_threads : processors();
}

static bool start_engine(struct server *server, struct error *e)
{
    const struct engine_settings settings = {
        .pick = server->engine_pick,
        .threads = crypto_threads(server->options),
        .fill_wait_us = server->options->rsa_fill_wait,
        .stats = &server->stats,
    };
    server->engine = engine_create(&settings, e);
    return server->engine != NULL;
}

static bool start_pool(struct server *server, struct error *e)
{
    const struct options *o = server->options;
    struct pool_options options = {
        .threads = crypto_threads(o),
        .queue_limit = o->queue_limit,
        .admission = true,
        .target_ns = o->queue_delay * 1000,
        .batch = {[POOL_FAST] = POOL_BATCH_MAX, [POOL_SLOW] = POOL_BATCH_MAX},
        .run = work_run,
        .arg = &server->work,
    };
    if (engine_has_batches(server->engine)) {
        options.find = work_find;
        options.run_batch = work_run_batch;
        options.choose = work_choose;
        options.fill_wait_ns = engine_fill_wait_ns(server->engine);
    }
    server->work = (struct work){.ring = &server->ring, .engine = server->engine, .stats = &server->stats};
    server->pool = pool_create(&options, e);
    return server->pool != NULL;
}

// scaleupd sees the certificate that edges see, unless it is to see another.
static bool start_scaler(struct server *server, struct error *e)
{
    const struct options *o = server->options;
    struct scaler_settings settings = o->elastic;
    if (settings.scaleup_cert == NULL)
        settings.scaleup_cert = o->cert;
    if (settings.scaleup_key == NULL)
        settings.scaleup_key = o->key;
    if (settings.scaleup_ca == NULL)
        settings.scaleup_ca = o->client_ca;
    server->scaler = kvstore_elastic_start(&settings, server->store, e);
    if (server->scaler != NULL && !scaler_metrics(server->scaler, server->stats.metrics, "ks")) {
        error_set(e, "metrics: out of memory");
        return false;
    }
    return server->scaler != NULL;
}

#define TRIM_FEWEST 256 // connections fewer than at the peak that make it worth while

// What many connections have left lies free in malloc's arenas until they are trimmed. Each is locked meanwhile, so that is done once, when
// more than half of a crowd has gone.
static void trim_after_crowd(struct server *server)
{
    unsigned now = server_connections(server);
    if (now > server->crowd)
        server->crowd = now;
    if (server->crowd - now < TRIM_FEWEST || now > server->crowd / 2)
        return;
    (void)malloc_trim(0);
    server->crowd = now;
}

static void on_ceiling(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;
    (void)fd;
    (void)what;
    trim_after_crowd(server);
    server_bound_held(server, scaler_ceiling_bytes(server->scaler));
}

static bool follow_ceiling(struct server *server, struct error *e)
{
    const struct timeval often = {.tv_sec = 1};
    server_bound_held(server, scaler_ceiling_bytes(server->scaler));
    server->ceiling_timer = event_new(server->base, -1, EV_PERSIST, on_ceiling, server);
    if (server->ceiling_timer != NULL && event_add(server->ceiling_timer, &often) == 0)
        return true;
    error_set(e, "timers: out of memory");
    return false;
}

bool server_start(struct server *server, struct event_base *base, struct error *e)
{
    const struct options *o = server->options;

    server->base = base;
    server->started_ns = clock_ns();
    raise_descriptor_limit(o);
    if (!stats_setup(&server->stats, e))
        return false;
    if (!start_scaler(server, e))
        return false;
    server->cache = keycache_create(o->key_cache);
    server->addrs = addrs_create(o->max_connections);
    server->edges = edges_create();
    if (server->cache == NULL || server->addrs == NULL || server->edges == NULL) {
        error_set(e, "out of memory");
        return false;
    }
    (void)RAND_bytes((unsigned char *)&server->flow_seed, sizeof server->flow_seed);
    server->ring = (struct keyring){.store = server->store,
                                    .master = server->master,
                                    .cache = server->cache,
                                    .engine_form = server->engine_pick.batches,
                                    .lookup = server->stats.lookup,
                                    .cache_hits = server->stats.cache_hits,
                                    .cache_misses = server->stats.cache_misses};
    const struct audit_settings audit = options_audit(o);
    server->audit = audit_create(&audit, e);
    return server->audit != NULL && start_engine(server, e) && start_pool(server, e) &&
           start_loops(server, e) && follow_ceiling(server, e) && control_start(server, e) &&
           watch_start(server, e) && listener_start(server, e);
}

void server_stop(struct server *server)
{
    if (server->base != NULL)
        listener_stop(server);
    control_stop(server);
    watch_stop(server);
    if (server->ceiling_timer != NULL)
        event_free(server->ceiling_timer);
    server->ceiling_timer = NULL;
    pool_stop(server->pool); // what is queued comes back to the loops first; they get no more in
    for (unsigned i = 0; i < server->loop_count; i++)
        loop_stop(&server->loops[i]);
    pool_destroy(&server->pool);
    engine_destroy(&server->engine);
    free(server->loops);
    audit_destroy(&server->audit);
    keycache_destroy(&server->cache);
    addrs_destroy(&server->addrs);
    edges_destroy(&server->edges);
    scaler_stop(&server->scaler);
    stats_teardown(&server->stats);
    if (server->store != NULL && kv_close(&server->store) != KV_OK)
        log_error("store_close_failed", "dir=%s", server->options->store);
    seal_key_destroy(&server->master);
    SSL_CTX_free(server->tls);
    SSL_CTX_free(server->migration_tls);
    access_unref(&server->access);
    (void)pthread_mutex_destroy(&server->tls_lock);
}

void server_drain(struct server *server, bool keep_listening)
{
    atomic_store(&server->draining, true);
    if (keep_listening)
        listener_pause(server);
    else
        listener_stop(server);
}

void server_drain_on(struct server *server)
{
    for (unsigned i = 0; i < server->loop_count; i++)
        loop_drain(&server->loops[i], true);
}

void server_resume(struct server *server)
{
    atomic_store(&server->draining, false);
    for (unsigned i = 0; i < server->loop_count; i++)
        loop_drain(&server->loops[i], false);
    listener_resume(server);
}

unsigned server_connections(const struct server *server)
{
    return atomic_load(&server->connections);
}

bool server_submit(struct server *server, struct keyop *op)
{
    uint64_t wait_us = server->options->operation_timeout, given_us = UINT64_C(1000) * op->timeout_ms;
    op->deadline_ns = op->received_ns + (given_us != 0 && given_us < wait_us ? given_us : wait_us) * 1000;
    unsigned bits;
    bool fast = op->request.method == SKI_METHOD_ECDHE &&
                keyring_hint(&server->ring, op->request.spki, &bits) == KEYRECORD_EC;
    return pool_submit(server->pool, op, fast ? POOL_FAST : POOL_SLOW); // says why not in op->busy
}

bool server_account(struct server *server, struct keyop *op)
{
    if (!audit_write(server->audit, op))
        return false;
    stats_count(&server->stats, op);
    edge_count(op->peer->account, op->status != SKI_OK);
    return true;
}

void server_conn_closed(struct server *server, const struct net_addr *addr, bool migration)
{
    addrs_remove(server->addrs, addr);
    if (migration)
        (void)atomic_fetch_sub(&server->migration_connections, 1);
    (void)atomic_fetch_sub(&server->connections, 1);
}

void server_count_handshake(struct server *server, bool resumed)
{
    metric_add(server->stats.handshakes, 1);
    if (resumed)
        metric_add(server->stats.resumed, 1);
}

// Whether a line may be written, of those of which there is one a second at most.
static bool may_log(_Atomic uint64_t *last_s)
{
    uint64_t now_s = clock_ns() / 1000000000u + 1, last = atomic_load(last_s);
    return now_s != last && atomic_compare_exchange_strong(last_s, &last, now_s);
}

void server_count_edge_rejection(struct server *server, const struct peer *peer)
{
    char edge[160];
    metric_add(server->stats.edge_rejected, 1);
    if (may_log(&server->last_edge_log_s))
        log_warn("edge_connections_rejected",
                 "limit=max-connections-per-edge count=%llu last_addr=%s edge=%s",
                 (unsigned long long)metric_value(server->stats.edge_rejected), peer->addr,
                 log_quote(peer->name, edge, sizeof edge));
}

void server_count_handshake_failure(struct server *server, const char *addr, const char *reason)
{
    metric_add(server->stats.handshake_failures, 1);
    if (may_log(&server->last_handshake_log_s))
        log_info("handshake_failed", "addr=%s reason=\"%s\"", addr, reason);
}

void server_count_timeout(struct server *server, enum stats_timeout stage)
{
    metric_add(server->stats.timeouts[stage], 1);
}

void server_count_refusal(struct server *server)
{
    metric_add(server->stats.refused, 1);
}
