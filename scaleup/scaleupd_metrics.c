#include "scaleup/scaleupd_metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#define BROKER(field) offsetof(struct scaleupd_numbers, broker.field)
#define SERVER(field) offsetof(struct scaleupd_numbers, server.field)
#define ENDED         "su_rescales_ended_total", "Requests of VNFs and operators by how they ended."
#define CLOSED        "su_connections_refused_total", "Connections that were refused or ended, by reason."

static const struct number {
    const char *name, *help, *labels;
    bool counter;
    size_t offset;
} numbers[] = {
    {"su_pool_bytes", "The memory to share out.", NULL, false, BROKER(pool_bytes)},
    {"su_committed_bytes", "What all VNFs have or are being given.", NULL, false, BROKER(committed_bytes)},
    {"su_free_bytes", "What nobody has.", NULL, false, BROKER(free_bytes)},
    {"su_rescales_total", "Requests by direction.", "direction=\"raise\"", true, BROKER(raises)},
    {"su_rescales_total", "Requests by direction.", "direction=\"return\"", true, BROKER(returns)},
    {ENDED, "state=\"partial\"", true, BROKER(partial)},
    {ENDED, "state=\"deferred\"", true, BROKER(deferred)},
    {ENDED, "state=\"infeasible\"", true, BROKER(infeasible)},
    {ENDED, "state=\"denied\"", true, BROKER(denied)},
    {ENDED, "state=\"error\"", true, BROKER(errors)},
    {"su_reclaims_total", "VNFs asked to give memory back.", NULL, true, BROKER(reclaims)},
    {"su_reclaims_overdue_total", "Of these, not answered in time.", NULL, true, BROKER(overdue)},
    {"su_leases_ended_total", "VNFs of which nothing was heard for a lease.", NULL, true,
     BROKER(leases_ended)},
    {"su_book_failures_total", "Writes of the book that failed.", NULL, true, BROKER(record_failures)},
    {"su_sessions", "Sessions now.", "role=\"vnf\"", false, SERVER(vnfs)},
    {"su_sessions", "Sessions now.", "role=\"operator\"", false, SERVER(operators)},
    {"su_connections", "Connections now, with those that have not said hello.", NULL, false,
     SERVER(connections)},
    {"su_connections_total", "Connections accepted.", NULL, true, SERVER(accepted)},
    {CLOSED, "reason=\"busy\"", true, SERVER(busy)},
    {CLOSED, "reason=\"handshake\"", true, SERVER(handshakes_failed)},
    {CLOSED, "reason=\"denied\"", true, SERVER(denied)},
    {CLOSED, "reason=\"malformed\"", true, SERVER(malformed)},
    {CLOSED, "reason=\"timeout\"", true, SERVER(timeouts)},
    {CLOSED, "reason=\"output\"", true, SERVER(overflows)},
    {"su_messages_total", "Messages received.", NULL, true, SERVER(messages)},
    {"su_throttled_total", "Pauses of connections that sent too many messages.", NULL, true,
     SERVER(throttled)},
};

static double read_number(void *arg)
{
    return (double)*(const uint64_t *)arg;
}

bool scaleupd_metrics_setup(struct scaleupd_metrics *m)
{
    *m = (struct scaleupd_metrics){.registry = metrics_create()};
    bool good = m->registry != NULL && metrics_build_info(m->registry, "su_build_info");
    for (size_t i = 0; good && i < sizeof numbers / sizeof *numbers; i++) {
        const struct number *n = &numbers[i];
        void *at = (char *)&m->numbers + n->offset;
        good = (n->counter ? metrics_counter_read : metrics_gauge)(m->registry, n->name, n->labels, n->help,
                                                                   read_number, at);
    }
    if (!good)
        scaleupd_metrics_teardown(m);
    return good;
}

void scaleupd_metrics_teardown(struct scaleupd_metrics *m)
{
    if (m->registry != NULL)
        metrics_destroy(&m->registry);
}

// ---- by VNF: they come and go, and the registry's do not

#define VNF(field) offsetof(struct message_vnf, field)

static const struct {
    const char *name, *help, *type;
    size_t offset;
} vnf_numbers[] = {
    {"su_vnf_granted_bytes", "What the VNF may use.", "gauge", VNF(granted_bytes)},
    {"su_vnf_actual_bytes", "What its back-end says it has.", "gauge", VNF(actual_bytes)},
    {"su_vnf_used_bytes", "What it uses, where that is known.", "gauge", VNF(used_bytes)},
    {"su_vnf_min_bytes", "What is never taken away.", "gauge", VNF(min_bytes)},
    {"su_vnf_max_bytes", "The most that it may have.", "gauge", VNF(max_bytes)},
    {"su_vnf_overdue_total", "Reclaims that it did not carry out in time.", "counter", VNF(overdue)},
};

static void render_connected(const struct message *status, FILE *out)
{
    (void)fputs("# HELP su_vnf_connected 1: it has a session.\n# TYPE su_vnf_connected gauge\n", out);
    for (size_t i = 0; i < status->vnf_count; i++)
        (void)fprintf(out, "su_vnf_connected{vnf=\"%s\"} %d\n", status->vnfs[i].vnf,
                      status->vnfs[i].connected);
}

// The names are of the configuration and need no escaping: see message_name_is_good().
bool scaleupd_metrics_render(struct scaleupd_metrics *m, const struct scaleupd *daemon, FILE *out)
{
    struct message status;
    broker_get_stats(daemon->broker, &m->numbers.broker);
    scaleupd_server_get_stats(daemon->server, &m->numbers.server);
    metrics_render(m->registry, out);
    if (!broker_status(daemon->broker, NULL, &status))
        return false;
    for (size_t n = 0; n < sizeof vnf_numbers / sizeof *vnf_numbers; n++) {
        (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", vnf_numbers[n].name, vnf_numbers[n].help,
                      vnf_numbers[n].name, vnf_numbers[n].type);
        for (size_t i = 0; i < status.vnf_count; i++)
            (void)fprintf(out, "%s{vnf=\"%s\"} %" PRIu64 "\n", vnf_numbers[n].name, status.vnfs[i].vnf,
                          *(const uint64_t *)((const char *)&status.vnfs[i] + vnf_numbers[n].offset));
    }
    render_connected(&status, out);
    message_release(&status);
    return true;
}
