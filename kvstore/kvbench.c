// kvbench: measures the elastic store.
#include "kvstore/kvbench_report.h"

#include <stdlib.h>

static void *open_store(const char *dir, const struct bench_options *options, bool create, struct error *e)
{
    static const enum kv_fsync fsyncs[] = {KV_FSYNC_ALWAYS, KV_FSYNC_INTERVAL, KV_FSYNC_NEVER};
    static const enum kv_read_mode read_modes[] = {KV_READ_AUTO, KV_READ_URING, KV_READ_PREAD};
    const struct kv_options o = {.limit_bytes = options->memory,
                                 .fsync = fsyncs[options->fsync],
                                 .fsync_interval_ms = (unsigned)(options->fsync_interval / 1000),
                                 .segment_bytes = options->segment_bytes,
                                 .create = create,
                                 .read_mode = read_modes[options->read_mode],
                                 .buffered_reads = options->buffered,
                                 .no_bring_back = options->no_bring_back,
                                 .latency_goal_us = options->latency_goal};
    struct kv_store *store;
    char why[256];
    enum kv_status status = kv_open(dir, &o, &store, why, sizeof why);
    if (status != KV_OK)
        error_set(e, "%s: open: %s", dir, why);
    return store;
}

static bool close_store(void *target, struct error *e)
{
    struct kv_store *store = target;
    enum kv_status status = kv_close(&store);
    if (status != KV_OK)
        error_set(e, "close: %s", kv_status_text(status));
    return status == KV_OK;
}

// The store is its own session.
static void *attach(void *target)
{
    return target;
}

static void detach(void *session)
{
    (void)session;
}

static enum kv_status get(void *session, const void *key, size_t key_len, void *buf, size_t *len)
{
    return kv_get(session, key, key_len, buf, len);
}

static enum kv_status put(void *session, const void *key, size_t key_len, const void *value, size_t len)
{
    return kv_put(session, key, key_len, value, len, 0, 0);
}

static enum kv_status put_batch(void *session, struct kv_put_item *items, size_t count)
{
    return kv_put_batch(session, items, count, 0);
}

static enum kv_status view(void *session, const void *key, size_t key_len, struct kv_view *view)
{
    return kv_get_view(session, key, key_len, view);
}

static void release(void *session, struct kv_view *view)
{
    kv_view_release(session, view);
}

static enum kv_status get_batch(void *session, struct kv_get *gets, size_t count)
{
    return kv_get_batch(session, gets, count);
}

static enum kv_status get_async(void *session, const void *key, size_t key_len, struct kv_view *view,
                                kv_done_fn done, void *arg)
{
    return kv_get_async(session, key, key_len, view, done, arg);
}

static enum kv_status scan(void *session, uint64_t *cursor, unsigned count, kv_scan_fn fn, void *arg)
{
    return kv_scan(session, cursor, count, fn, arg);
}

static enum kv_status sync_store(void *target)
{
    return kv_sync(target);
}

static enum kv_status set_limit(void *target, uint64_t bytes)
{
    return kv_set_memory_limit(target, bytes);
}

static void figures(void *target, struct bench_figures *figures)
{
    struct kv_stats s;
    kv_get_stats(target, &s);
    *figures = (struct bench_figures){.hits = s.hits, .misses = s.misses, .limit_bytes = s.limit_bytes};
}

static json_t *stats(void *target)
{
    struct kv_stats s;
    kv_get_stats(target, &s);
    const struct {
        const char *name;
        uint64_t value;
    } members[] = {
        {"keys", s.keys},
        {"limit_bytes", s.limit_bytes},
        {"memory_bytes", s.memory_bytes},
        {"index_bytes", s.index_bytes},
        {"chunk_bytes", s.chunk_bytes},
        {"cached_bytes", s.cached_bytes},
        {"cached_records", s.cached_records},
        {"disk_bytes", s.disk_bytes},
        {"live_bytes", s.live_bytes},
        {"segments", s.segments},
        {"hits", s.hits},
        {"misses", s.misses},
        {"not_found", s.not_found},
        {"puts", s.puts},
        {"evicted", s.evicted},
        {"compacted_bytes", s.compacted_bytes},
        {"warmed_bytes", s.warmed_bytes},
        {"snapshot_keys", s.snapshot_keys},
        {"damaged_records", s.damaged_records},
        {"recovery_us", s.recovery_us},
    };
    json_t *o = json_object();
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        (void)json_object_set_new(o, members[i].name, json_integer((json_int_t)members[i].value));
    return o;
}

static void error_text(void *target, char *buf, size_t len)
{
    kv_error_text(target, buf, len);
}

static const struct bench_target_class class = {
    .program = "kvbench",
    .summary = "Measures the elastic store: loads keys, asks for them, checks the answers, reports rates, "
               "latencies and "
               "resident memory. Exit status 1 when an answer was wrong, missing or an error.",
    .open = open_store,
    .close = close_store,
    .attach = attach,
    .detach = detach,
    .get = get,
    .put = put,
    .put_batch = put_batch,
    .view = view,
    .release = release,
    .get_batch = get_batch,
    .get_async = get_async,
    .scan = scan,
    .sync = sync_store,
    .set_limit = set_limit,
    .figures = figures,
    .stats = stats,
    .error_text = error_text,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &class);
}
