#include "keyserver/live.h"

#include "common/clock.h"
#include "keyserver/live_files.h"
#include "keyserver/watch.h"

#define LATEST 60 // samples in /live.json: what a page that was away for less does not have to ask for again

// ---- edges

json_t *live_edges(struct server *server)
{
    struct edge_view views[EDGES_NAMED + 1];
    size_t count = edges_view(server->edges, views);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct edge_view *v = &views[i];
        (void)json_array_append_new(
            array,
            json_pack("{s:s, s:b, s:f, s:f, s:I, s:I, s:I, s:I}", "edge", v->name, "others", i == count - 1,
                      "requests_per_s", v->requests_per_s, "errors_per_s", v->errors_per_s, "requests",
                      (json_int_t)v->requests, "errors", (json_int_t)v->errors, "in_flight",
                      (json_int_t)v->in_flight, "connections", (json_int_t)v->connections));
    }
    return array;
}

// One metric of all edges; offset: of a uint64_t in their views.
static void put_edges(struct server *server, size_t offset, struct metrics_put *to)
{
    struct edge_view views[EDGES_NAMED + 1];
    char name[2 * EDGES_NAME_MAX], labels[2 * EDGES_NAME_MAX + 16];
    size_t count = edges_view(server->edges, views);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(labels, sizeof labels, "edge=\"%s\"", metrics_label(views[i].name, name, sizeof name));
        metrics_put(to, labels, *(const uint64_t *)((const char *)&views[i] + offset));
    }
}

#define EDGE_METRIC(member)                                                                                  \
    static void put_##member(void *arg, struct metrics_put *to)                                              \
    {                                                                                                        \
        put_edges(arg, offsetof(struct edge_view, member), to);                                              \
    }
EDGE_METRIC(requests)
EDGE_METRIC(errors)
EDGE_METRIC(in_flight)
EDGE_METRIC(connections)

bool live_metrics(struct server *server)
{
    struct metrics *m = server->stats.metrics;
    return metrics_counter_each(m, "ks_edge_requests_total",
                                "SKI requests of the busiest edges, by name; of all others: other.",
                                put_requests, server) &&
           metrics_counter_each(m, "ks_edge_errors_total", "Of these, answered with an error.", put_errors,
                                server) &&
           metrics_gauge_each(m, "ks_edge_operations_in_flight", "Operations of an edge that are not done.",
                              put_in_flight, server) &&
           metrics_gauge_each(m, "ks_edge_connections", "Connections of an edge.", put_connections, server);
}

// ---- JSON

static int write_history(void *arg, FILE *out)
{
    const struct history *history = ((struct server *)arg)->watch->history;
    (void)fputs("{\"seconds\":", out);
    history_write(history, HISTORY_BY_SECOND, HISTORY_SECONDS, out);
    (void)fputs(",\n\"minutes\":", out);
    history_write(history, HISTORY_BY_MINUTE, HISTORY_MINUTES, out);
    (void)fputs("}\n", out);
    return 200;
}

static json_t *about(struct server *server)
{
    uint64_t now_ms = clock_unix_ms();
    return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "version", MEC_VERSION, "state",
                     atomic_load(&server->draining) ? "draining" : "serving", "unix_ms", (json_int_t)now_ms,
                     "uptime_s", (json_int_t)((clock_ns() - server->started_ns) / 1000000000u), "edges",
                     live_edges(server), "expiry",
                     expiry_json(server->watch->expiry, (int64_t)(now_ms / 1000)));
}

static int write_live(void *arg, FILE *out)
{
    struct server *server = arg;
    json_t *object = about(server);
    (void)fputs("{\"about\":", out);
    bool good = object != NULL && json_dumpf(object, out, JSON_COMPACT) == 0;
    json_decref(object);
    (void)fputs(",\n\"seconds\":", out);
    history_write(server->watch->history, HISTORY_BY_SECOND, LATEST, out);
    (void)fputs("}\n", out);
    return good ? 200 : 500;
}

bool live_pages(struct server *server, struct admin *admin)
{
    static const char json[] = "application/json";
    for (size_t i = 0; i < LIVE_FILES; i++)
        if (!admin_file(admin, &live_files[i]))
            return false;
    return admin_typed(admin, "/history.json", json, write_history, server) &&
           admin_typed(admin, "/live.json", json, write_live, server);
}
