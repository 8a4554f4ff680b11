#include "scaleup/scaleupd_admin.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/adminhttp.h"
#include "common/clock.h"
#include "common/tls.h"
#include "scaleup/scaleupd_metrics.h"

struct scaleupd_admin {
    const struct scaleupd *daemon;
    struct evhttp *http;
    struct scaleupd_metrics metrics;
};

static void on_metrics(struct evhttp_request *request, void *arg)
{
    struct scaleupd_admin *admin = arg;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    bool good = out != NULL && scaleupd_metrics_render(&admin->metrics, admin->daemon, out);
    if (out != NULL)
        good = fclose(out) == 0 && good;
    if (good)
        adminhttp_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", text, len);
    else
        evhttp_send_error(request, 500, NULL);
    free(text);
}

static void on_healthz(struct evhttp_request *request, void *arg)
{
    (void)arg;
    adminhttp_reply(request, 200, "text/plain", "ok\n", 3);
}

// What the protocol's status says, as it says it.
static json_t *pool_json(const struct scaleupd *daemon)
{
    struct message status;
    size_t len = 0;
    if (!broker_status(daemon->broker, NULL, &status))
        return NULL;
    char *line = message_format(&status, &len);
    json_t *pool = line != NULL ? json_loadb(line, len, 0, NULL) : NULL;
    message_release(&status);
    free(line);
    (void)json_object_del(pool, "type");
    return pool;
}

static json_t *counters_json(const struct scaleupd *daemon)
{
    struct broker_stats b;
    struct scaleupd_server_stats s;
    broker_get_stats(daemon->broker, &b);
    scaleupd_server_get_stats(daemon->server, &s);
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "connections",
        (json_int_t)s.connections, "vnf_sessions", (json_int_t)s.vnfs, "operator_sessions",
        (json_int_t)s.operators, "raises", (json_int_t)b.raises, "returns", (json_int_t)b.returns, "partial",
        (json_int_t)b.partial, "deferred", (json_int_t)b.deferred, "reclaims", (json_int_t)b.reclaims,
        "overdue", (json_int_t)b.overdue, "leases_ended", (json_int_t)b.leases_ended, "book_failures",
        (json_int_t)b.record_failures, "denied", (json_int_t)s.denied, "malformed", (json_int_t)s.malformed);
}

static json_t *status_json(const struct scaleupd *daemon)
{
    json_t *status =
        json_pack("{s:s, s:I, s:s, s:o, s:o}", "version", MEC_VERSION, "uptime_s",
                  (json_int_t)((clock_ns() - daemon->started_ns) / 1000000000u), "book",
                  daemon->settings.book, "counters", counters_json(daemon), "pool", pool_json(daemon));
    if (status != NULL && daemon->tls != NULL)
        (void)json_object_set_new(status, "certificate_days_left",
                                  json_integer(tls_ctx_days_left(daemon->tls)));
    return status;
}

static void on_status(struct evhttp_request *request, void *arg)
{
    const struct scaleupd_admin *admin = arg;
    json_t *status = status_json(admin->daemon);
    char *text = status != NULL ? json_dumps(status, JSON_INDENT(2)) : NULL;
    if (text != NULL)
        adminhttp_reply(request, 200, "application/json", text, strlen(text));
    else
        evhttp_send_error(request, 500, NULL);
    free(text);
    json_decref(status);
}

bool scaleupd_admin_start(struct scaleupd *daemon, struct scaleupd_admin **admin_ptr, struct error *e)
{
    *admin_ptr = NULL;
    if (daemon->options->admin == NULL)
        return true;
    struct scaleupd_admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL || !scaleupd_metrics_setup(&admin->metrics)) {
        error_set(e, "metrics: out of memory");
        free(admin);
        return false;
    }
    admin->daemon = daemon;
    admin->http = adminhttp_start(daemon->base, daemon->options->admin, e);
    if (admin->http == NULL) {
        scaleupd_admin_stop(&admin);
        return false;
    }
    (void)evhttp_set_cb(admin->http, "/metrics", on_metrics, admin);
    (void)evhttp_set_cb(admin->http, "/healthz", on_healthz, admin);
    (void)evhttp_set_cb(admin->http, "/status", on_status, admin);
    *admin_ptr = admin;
    return true;
}

void scaleupd_admin_stop(struct scaleupd_admin **admin)
{
    if (*admin == NULL)
        return;
    if ((*admin)->http != NULL)
        evhttp_free((*admin)->http);
    scaleupd_metrics_teardown(&(*admin)->metrics);
    free(*admin);
    *admin = NULL;
}
