#include "scaleup/scaleupd_admin.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/admin.h"
#include "common/clock.h"
#include "common/tls.h"
#include "scaleup/scaleupd_metrics.h"

struct scaleupd_admin {
    const struct scaleupd *daemon;
    struct admin *port;
    struct scaleupd_metrics metrics;
};

static int metrics_page(void *arg, FILE *out)
{
    struct scaleupd_admin *admin = arg;
    return scaleupd_metrics_render(&admin->metrics, admin->daemon, out) ? 200 : 500;
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

static json_t *status_json(void *arg)
{
    const struct scaleupd *daemon = ((const struct scaleupd_admin *)arg)->daemon;
    json_t *status =
        json_pack("{s:s, s:I, s:s, s:o, s:o}", "version", MEC_VERSION, "uptime_s",
                  (json_int_t)((clock_ns() - daemon->started_ns) / 1000000000u), "book",
                  daemon->settings.book, "counters", counters_json(daemon), "pool", pool_json(daemon));
    if (status != NULL && daemon->tls != NULL)
        (void)json_object_set_new(status, "certificate_days_left",
                                  json_integer(tls_ctx_days_left(daemon->tls)));
    return status;
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
    admin->port = admin_start(daemon->base, daemon->options->admin, e);
    if (admin->port == NULL) {
        scaleupd_admin_stop(&admin);
        return false;
    }
    if (!admin_text(admin->port, "/metrics", metrics_page, admin) ||
        !admin_json(admin->port, "/status", status_json, admin)) {
        error_set(e, "admin port: out of memory");
        scaleupd_admin_stop(&admin);
        return false;
    }
    *admin_ptr = admin;
    return true;
}

void scaleupd_admin_stop(struct scaleupd_admin **admin)
{
    if (*admin == NULL)
        return;
    admin_stop(&(*admin)->port);
    scaleupd_metrics_teardown(&(*admin)->metrics);
    free(*admin);
    *admin = NULL;
}
