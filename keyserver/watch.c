#include "keyserver/watch.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"

static uint64_t count_requests(const struct stats *s, uint64_t *errors)
{
    uint64_t total = 0, good = 0;
    for (int m = 0; m < 2; m++)
        for (int k = 0; k < 3; k++)
            for (int r = 0; r < SKI_STATUSES; r++) {
                uint64_t n = metric_value(s->requests[m][k][r]);
                total += n;
                good += r == SKI_OK ? n : 0;
            }
    total += metric_value(s->unparsed);
    *errors = total - good;
    return total;
}

struct history_reading watch_read(struct server *server)
{
    struct kv_stats store;
    kv_get_stats(server->store, &store);
    struct history_reading r = {
        .now_ns = clock_ns(),
        .unix_ms = clock_unix_ms(),
        .duration = server->stats.duration,
        .cache_hits = metric_value(server->stats.cache_hits),
        .cache_misses = metric_value(server->stats.cache_misses),
        .store_hits = store.hits,
        .store_misses = store.misses,
        .queue = pool_waiting(server->pool),
        .connections = server_connections(server),
        .memory_bytes = store.memory_bytes,
        .limit_bytes = store.limit_bytes,
    };
    r.requests = count_requests(&server->stats, &r.errors);
    return r;
}

// ---- what expires

static uint64_t count_changes(void *arg)
{
    return metric_value(((struct server *)arg)->stats.changes);
}

// What the server has read, and no more once it has read it anew.
static void collect(struct server *server)
{
    struct watch *w = server->watch;
    w->generation = atomic_load(&server->tls_generation);
    (void)pthread_mutex_lock(&server->tls_lock);
    SSL_CTX *ctx = server->tls;
    (void)SSL_CTX_up_ref(ctx);
    (void)pthread_mutex_unlock(&server->tls_lock);
    struct access_policy *policy = server_access(server);
    expiry_collect(w->expiry, ctx, policy);
    access_unref(&policy);
    SSL_CTX_free(ctx);
}

static void look_at_expiry(struct server *server)
{
    if (atomic_load(&server->tls_generation) != server->watch->generation)
        collect(server);
    (void)expiry_tick(server->watch->expiry, (int64_t)(clock_unix_ms() / 1000));
}

// ---- once a second

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;
    struct watch *w = server->watch;
    (void)fd;
    (void)what;
    struct history_reading reading = watch_read(server);
    edges_tick(server->edges, (double)(reading.now_ns - w->ticked_ns) / 1e9);
    w->ticked_ns = reading.now_ns;
    history_add(w->history, &reading);
    look_at_expiry(server);
}

static bool start_timer(struct server *server)
{
    const struct timeval second = {.tv_sec = 1};
    struct watch *w = server->watch;
    w->timer = event_new(server->base, -1, EV_PERSIST, on_second, server);
    return w->timer != NULL && event_add(w->timer, &second) == 0;
}

bool watch_start(struct server *server, struct error *e)
{
    struct watch *w = server->watch = calloc(1, sizeof *w);
    const struct expiry_days days = options_expiry_days(server->options);
    error_set(e, "watching: out of memory");
    if (w == NULL)
        return false;
    const struct history_reading first = watch_read(server);
    w->ticked_ns = first.now_ns;
    w->history = history_create(&first);
    if (w->history == NULL || (w->keys = expiry_keys_start(server->store, count_changes, server, e)) == NULL)
        return false;
    w->expiry = expiry_create(&days, w->keys);
    if (w->expiry == NULL || !expiry_metrics(w->expiry, server->stats.metrics) || !start_timer(server)) {
        error_set(e, "watching: out of memory");
        return false;
    }
    collect(server);
    look_at_expiry(server);
    return true;
}

void watch_stop(struct server *server)
{
    struct watch *w = server->watch;
    if (w == NULL)
        return;
    if (w->timer != NULL)
        event_free(w->timer);
    expiry_keys_stop(&w->keys);
    expiry_destroy(&w->expiry);
    history_destroy(&w->history);
    free(w);
    server->watch = NULL;
}
