#include "kvstore/kvstore_pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define FRESH_NS 20000000u // one page asks for some 50 figures: they are of one moment

enum figure_type { FIGURE_U64, FIGURE_BOOL, FIGURE_UNSIGNED };

// One row a figure: it is a metric and, under the name of its field, a member of /status.
struct figure {
    const char *metric, *labels, *help; // metric NULL: only in /status
    bool counter;
    double unit; // of the metric in units of the field
    enum figure_type type;
    size_t offset; // in struct kvstore_figures
    const char *member;
};

struct reader {
    struct kvstore_figures *figures;
    const struct figure *figure;
};

struct kvstore_figures {
    struct kvstore_daemon *daemon;
    uint64_t read_ns;
    struct kv_stats store;
    struct resp_server_stats server;
    struct reader readers[]; // one a row
};

#define STORE(field)  offsetof(struct kvstore_figures, store.field), #field
#define SERVER(field) offsetof(struct kvstore_figures, server.field), #field

static const struct figure store_rows[] = {
    {"kv_keys", NULL, "Live keys.", false, 1, FIGURE_U64, STORE(keys)},
    {"kv_keys_with_expiry", NULL, "Of them, those that expire.", false, 1, FIGURE_U64,
     STORE(keys_with_expiry)},
    {"kv_store_limit_bytes", NULL, "Memory limit of the store.", false, 1, FIGURE_U64, STORE(limit_bytes)},
    {"kv_store_memory_bytes", NULL, "Memory held by the store: values, index, buffers.", false, 1, FIGURE_U64,
     STORE(memory_bytes)},
    {"kv_table_bytes", NULL, "A limit with which every value would be in memory.", false, 1, FIGURE_U64,
     STORE(table_bytes)},
    {"kv_index_bytes", NULL, "Of it, the index.", false, 1, FIGURE_U64, STORE(index_bytes)},
    {"kv_chunk_bytes", NULL, "Of it, held by the memory tier.", false, 1, FIGURE_U64, STORE(chunk_bytes)},
    {"kv_cached_bytes", NULL, "Records in memory, in bytes.", false, 1, FIGURE_U64, STORE(cached_bytes)},
    {"kv_cached_records", NULL, "Records in memory.", false, 1, FIGURE_U64, STORE(cached_records)},
    {"kv_tier_bytes", "queue=\"small\"", "Chunks by queue: what came lately, what has been read since.",
     false, 1, FIGURE_U64, STORE(small_bytes)},
    {"kv_tier_bytes", "queue=\"main\"", "Chunks by queue: what came lately, what has been read since.", false,
     1, FIGURE_U64, STORE(main_bytes)},
    {"kv_ghosts_hit_total", NULL, "Misses of what had been dropped shortly before.", true, 1, FIGURE_U64,
     STORE(ghosts_hit)},
    {"kv_promoted_total", NULL, "Records moved from the small queue to the main one.", true, 1, FIGURE_U64,
     STORE(promoted)},
    {"kv_readmitted_total", NULL, "Records that stayed in the main queue for another round.", true, 1,
     FIGURE_U64, STORE(readmitted)},
    {"kv_disk_bytes", NULL, "Size of the store's segments.", false, 1, FIGURE_U64, STORE(disk_bytes)},
    {"kv_values_to_erase", NULL, "Values that are gone and wait to be overwritten in the log's files.", false,
     1, FIGURE_U64, STORE(to_erase)},
    {"kv_live_bytes", NULL, "Of it, records that a get would return.", false, 1, FIGURE_U64,
     STORE(live_bytes)},
    {"kv_segments", NULL, "Segments.", false, 1, FIGURE_U64, STORE(segments)},
    {"kv_gets_total", "result=\"memory\"", "Gets by where the value was.", true, 1, FIGURE_U64, STORE(hits)},
    {"kv_gets_total", "result=\"disk\"", "Gets by where the value was.", true, 1, FIGURE_U64, STORE(misses)},
    {"kv_gets_total", "result=\"none\"", "Gets by where the value was.", true, 1, FIGURE_U64,
     STORE(not_found)},
    {"kv_miss_seconds_total", NULL, "Time of the gets whose value was on disk.", true, 1e-9, FIGURE_U64,
     STORE(miss_ns)},
    {"kv_disk_reads_total", NULL, "Records read from disk.", true, 1, FIGURE_U64, STORE(disk_reads)},
    {"kv_direct_reads_total", NULL, "Of them, past the page cache.", true, 1, FIGURE_U64,
     STORE(direct_reads)},
    {"kv_puts_total", NULL, "Puts.", true, 1, FIGURE_U64, STORE(puts)},
    {"kv_deletes_total", NULL, "Deletes.", true, 1, FIGURE_U64, STORE(deletes)},
    {"kv_expired_total", NULL, "Keys that have expired.", true, 1, FIGURE_U64, STORE(expired)},
    {"kv_evicted_total", NULL, "Records dropped from memory; they stay on disk.", true, 1, FIGURE_U64,
     STORE(evicted)},
    {"kv_compacted_bytes_total", NULL, "Bytes moved by compaction.", true, 1, FIGURE_U64,
     STORE(compacted_bytes)},
    {"kv_warmed_bytes_total", NULL, "Bytes brought back after the limit was raised.", true, 1, FIGURE_U64,
     STORE(warmed_bytes)},
    {"kv_warming", NULL, "1 while values are being brought back.", false, 1, FIGURE_BOOL, STORE(warming)},
    {"kv_snapshot_keys", NULL, "Keys that the last open took from the index snapshot.", false, 1, FIGURE_U64,
     STORE(snapshot_keys)},
    {"kv_damaged_records_total", NULL, "Records whose checksum did not hold.", true, 1, FIGURE_U64,
     STORE(damaged_records)},
    {"kv_recovery_seconds", NULL, "How long the last open took.", false, 1e-6, FIGURE_U64,
     STORE(recovery_us)},
    {"kv_read_only", NULL, "1 after a write has failed: no more are taken.", false, 1, FIGURE_BOOL,
     STORE(read_only)},
};

static const struct figure server_rows[] = {
    {"kv_clients", NULL, "Connections now.", false, 1, FIGURE_UNSIGNED, SERVER(clients)},
    {"kv_connections_total", NULL, "Connections accepted.", true, 1, FIGURE_U64, SERVER(connections)},
    {"kv_rejected_connections_total", NULL, "Connections over --max-clients.", true, 1, FIGURE_U64,
     SERVER(rejected)},
    {"kv_refused_peers_total", NULL, "Peers of the Unix socket that are another user.", true, 1, FIGURE_U64,
     SERVER(refused_peers)},
    {NULL, NULL, NULL, true, 1, FIGURE_U64, SERVER(commands)}, // as a metric: by command
    {"kv_command_errors_total", NULL, "Commands answered with an error.", true, 1, FIGURE_U64,
     SERVER(errors)},
    {"kv_protocol_errors_total", NULL, "Connections closed because of what they sent.", true, 1, FIGURE_U64,
     SERVER(protocol_errors)},
    {"kv_cut_off_total", NULL, "Peers that did not take their replies.", true, 1, FIGURE_U64,
     SERVER(cut_off)},
    {"kv_wrong_passwords_total", NULL, "Wrong passwords of peers that had not authenticated.", true, 1,
     FIGURE_U64, SERVER(wrong_passwords)},
    {"kv_guessers_closed_total", NULL, "Connections closed after ten of them.", true, 1, FIGURE_U64,
     SERVER(guessers_closed)},
    {"kv_idle_closed_total", NULL, "Connections closed after --idle-timeout.", true, 1, FIGURE_U64,
     SERVER(idle_closed)},
};

enum {
    STORE_ROWS = sizeof store_rows / sizeof store_rows[0],
    SERVER_ROWS = sizeof server_rows / sizeof server_rows[0],
};

static void refresh(struct kvstore_figures *figures)
{
    uint64_t now = clock_ns();
    if (figures->read_ns != 0 && now - figures->read_ns < FRESH_NS)
        return;
    figures->read_ns = now;
    kv_get_stats(figures->daemon->store, &figures->store);
    resp_server_get_stats(figures->daemon->server, &figures->server);
}

static uint64_t value_of(const struct kvstore_figures *figures, const struct figure *figure)
{
    const char *at = (const char *)figures + figure->offset;
    uint64_t wide = 0;
    unsigned narrow;
    bool flag;
    switch (figure->type) {
    case FIGURE_U64:
        memcpy(&wide, at, sizeof wide);
        break;
    case FIGURE_UNSIGNED:
        memcpy(&narrow, at, sizeof narrow);
        wide = narrow;
        break;
    case FIGURE_BOOL:
        memcpy(&flag, at, sizeof flag);
        wide = flag;
        break;
    }
    return wide;
}

static double read_figure(void *arg)
{
    const struct reader *reader = arg;
    refresh(reader->figures);
    return (double)value_of(reader->figures, reader->figure) * reader->figure->unit;
}

static double read_uptime(void *arg)
{
    const struct kvstore_daemon *daemon = arg;
    return (double)(clock_ns() - daemon->started_ns) / 1e9;
}

static bool declare(struct kvstore_figures *figures, size_t first, const struct figure *rows, size_t count)
{
    struct metrics *m = figures->daemon->metrics;
    bool good = true;
    for (size_t i = 0; i < count && good; i++) {
        struct reader *reader = &figures->readers[first + i];
        *reader = (struct reader){figures, &rows[i]};
        if (rows[i].metric == NULL)
            continue;
        good =
            rows[i].counter
                ? metrics_counter_read(m, rows[i].metric, rows[i].labels, rows[i].help, read_figure, reader)
                : metrics_gauge(m, rows[i].metric, rows[i].labels, rows[i].help, read_figure, reader);
    }
    return good;
}

static void put_calls(void *arg, const char *name, uint64_t calls)
{
    char labels[80];
    (void)snprintf(labels, sizeof labels, "cmd=\"%s\"", name);
    metrics_put(arg, labels, calls);
}

static void each_command(void *arg, struct metrics_put *to)
{
    const struct kvstore_daemon *daemon = arg;
    resp_server_each_called(daemon->server, put_calls, to);
}

struct kvstore_figures *kvstore_figures_create(struct kvstore_daemon *daemon)
{
    struct metrics *m = daemon->metrics;
    struct kvstore_figures *figures =
        calloc(1, sizeof *figures + (STORE_ROWS + SERVER_ROWS) * sizeof figures->readers[0]);
    if (figures == NULL || m == NULL) {
        free(figures);
        return NULL;
    }
    figures->daemon = daemon;
    if (!metrics_build_info(m, "kv_build_info") ||
        !metrics_gauge(m, "kv_uptime_seconds", NULL, "Since the start.", read_uptime, daemon) ||
        !declare(figures, 0, store_rows, STORE_ROWS) ||
        !declare(figures, STORE_ROWS, server_rows, SERVER_ROWS) ||
        !metrics_counter_each(m, "kv_commands_total", "Commands that ran, by name.", each_command, daemon))
        kvstore_figures_destroy(&figures);
    return figures;
}

void kvstore_figures_destroy(struct kvstore_figures **figures)
{
    free(*figures);
    *figures = NULL;
}

// ---- pages

static json_t *rows_json(const struct kvstore_figures *figures, const struct figure *rows, size_t count)
{
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++) {
        uint64_t value = value_of(figures, &rows[i]);
        (void)json_object_set_new(object, rows[i].member,
                                  rows[i].type == FIGURE_BOOL ? json_boolean(value != 0)
                                                              : json_integer((json_int_t)value));
    }
    return object;
}

static json_t *status_json(void *arg)
{
    struct kvstore_daemon *daemon = arg;
    refresh(daemon->figures);
    return json_pack("{s:s, s:s, s:I, s:o, s:o, s:o}", "version", MEC_VERSION, "state",
                     daemon->figures->store.read_only ? "read_only" : "serving", "uptime_s",
                     (json_int_t)((clock_ns() - daemon->started_ns) / 1000000000u), "store",
                     rows_json(daemon->figures, store_rows, STORE_ROWS), "server",
                     rows_json(daemon->figures, server_rows, SERVER_ROWS), "memory",
                     scaler_status(daemon->scaler));
}

bool kvstore_pages_add(struct kvstore_daemon *daemon)
{
    return admin_metrics(daemon->admin, daemon->metrics) &&
           admin_json(daemon->admin, "/status", status_json, daemon);
}
