// What the scaler shows: /status and metrics, from the view that its thread has left.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "scaleup/message_text.h"
#include "scaleup/scaler.h"
#include "scaleup/scaler_thread.h"

static const char *ceiling_source(const struct scaler_view *v)
{
    return v->ceiling_bytes < v->sample.limits.limit_bytes ? "grant"
                                                           : limits_source_name(v->sample.limits.source);
}

static json_t *limits_json(const struct scaler_view *v)
{
    const struct limits_reading *r = &v->sample.limits;
    json_t *o = json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I}", "limit_bytes", (json_int_t)r->limit_bytes,
                          "source", limits_source_name(r->source), "machine_bytes",
                          (json_int_t)r->machine_bytes, "available_bytes", (json_int_t)r->available_bytes,
                          "resident_bytes", (json_int_t)r->rss_bytes, "group_bytes",
                          (json_int_t)r->group_bytes, "oom_kills", (json_int_t)r->oom_kills);
    if (o != NULL && r->psi_some >= 0) // left out where the kernel has none
        (void)json_object_set_new(
            o, "pressure", json_pack("{s:f, s:f}", "some_percent", r->psi_some, "full_percent", r->psi_full));
    return o;
}

static json_t *policy_json(const struct scaler_view *v)
{
    const struct policy_decision *d = &v->decision;
    json_t *o = json_pack("{s:s, s:I, s:f}", "reason", policy_reason_name(d->reason), "need_bytes",
                          (json_int_t)v->need_bytes, "expected_load", d->expected_load);
    if (o != NULL && d->predicted_hit_ratio >= 0)
        (void)json_object_set_new(o, "predicted_hit_ratio", json_real(d->predicted_hit_ratio));
    return o;
}

static json_t *counts_json(const struct scaler_view *v)
{
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I}", "raises", (json_int_t)v->raises, "returns",
                          (json_int_t)v->returns, "reclaims", (json_int_t)v->reclaims, "unexpected_answers",
                          (json_int_t)v->unexpected, "over_ceiling_ticks", (json_int_t)v->over_ceiling);
    for (int i = 0; o != NULL && i < SCALER_RESULTS; i++)
        (void)json_object_set_new(o, scaler_result_name((enum scaler_result)i),
                                  json_integer((json_int_t)v->results[i]));
    return o;
}

static json_t *orchestrator_json(const struct scaler *scaler, const struct scaler_view *v)
{
    struct rescale_stats s;
    if (scaler->session == NULL)
        return json_null();
    rescale_get_stats(scaler->session, &s);
    return json_pack("{s:o, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "address",
                     message_text_value(scaler->address), "vnf", scaler->vnf, "connected", (int)v->connected,
                     "asked", (int)v->asked, "granted_bytes", (json_int_t)v->granted_bytes, "granularity",
                     (json_int_t)v->granularity, "min_bytes", (json_int_t)v->min_bytes, "max_bytes",
                     (json_int_t)v->max_bytes, "reclaim_bytes", (json_int_t)v->reclaim_bytes, "connects",
                     (json_int_t)s.connects, "malformed", (json_int_t)s.malformed, "unexpected",
                     (json_int_t)s.unexpected, "last_answer", message_text_value(v->last_answer));
}

json_t *scaler_status(struct scaler *scaler)
{
    struct scaler_view v;
    uint64_t now = clock_ns() / 1000000;
    scaler_look(scaler, &v);
    uint64_t wait = v.backoff_until_ms > now ? v.backoff_until_ms - now : 0;
    return json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "state",
                     scaler_state_name(v.state), "ceiling_bytes", (json_int_t)v.ceiling_bytes, "ceiling",
                     ceiling_source(&v), "target_bytes", (json_int_t)v.target_bytes, "store_limit_bytes",
                     (json_int_t)v.store_limit_bytes, "store_bytes", (json_int_t)v.sample.usage.store_bytes,
                     "table_bytes", (json_int_t)v.sample.usage.table_bytes, "other_bytes",
                     (json_int_t)v.other_bytes, "margin_bytes", (json_int_t)v.margin_bytes, "backoff_ms",
                     (json_int_t)wait, "limits", limits_json(&v), "policy", policy_json(&v), "counts",
                     counts_json(&v), "orchestrator", orchestrator_json(scaler, &v));
}

// ---- metrics

struct scaler_metric { // the argument of one reader
    struct scaler *scaler;
    double (*read)(const struct scaler_view *view, int which);
    int which;
};

static double read_metric(void *arg)
{
    const struct scaler_metric *m = arg;
    struct scaler_view view;
    scaler_look(m->scaler, &view);
    return m->read(&view, m->which);
}

#define READER(name, expression)                                                                             \
    static double read_##name(const struct scaler_view *v, int which)                                        \
    {                                                                                                        \
        (void)which;                                                                                         \
        return (double)(expression);                                                                         \
    }
READER(limit, v->sample.limits.limit_bytes)
READER(granted, v->granted_bytes)
READER(ceiling, v->ceiling_bytes)
READER(target, v->target_bytes)
READER(other, v->other_bytes)
READER(resident, v->sample.limits.rss_bytes)
READER(reclaims, v->reclaims)
READER(over_ceiling, v->over_ceiling)
READER(state, (int)v->state == which ? 1 : 0)
READER(result, v->results[which])

static double read_pressure(const struct scaler_view *v, int which)
{
    double percent = which == 0 ? v->sample.limits.psi_some : v->sample.limits.psi_full;
    return percent >= 0 ? percent / 100 : 0;
}

static const char *state_value(int which)
{
    return scaler_state_name((enum scaler_state)which);
}

static const char *result_value(int which)
{
    return scaler_result_name((enum scaler_result)which);
}

static const char *pressure_value(int which)
{
    return which == 0 ? "some" : "full";
}

static const struct {
    const char *name, *label, *help;
    double (*read)(const struct scaler_view *view, int which);
    const char *(*value)(int which); // of the label
    int count;
    bool counter;
} table[] = {
    {"limit_bytes", NULL, "Memory that cgroups and machine allow.", read_limit, NULL, 1, false},
    {"granted_bytes", NULL,
     "Memory that the orchestrator grants; 0: none is configured or it has said nothing.", read_granted, NULL,
     1, false},
    {"ceiling_bytes", NULL, "The least of limits and grant: what the process may use.", read_ceiling, NULL, 1,
     false},
    {"target_bytes", NULL, "Memory that the process wants to use.", read_target, NULL, 1, false},
    {"other_bytes", NULL, "Memory in use beside the store.", read_other, NULL, 1, false},
    {"resident_bytes", NULL, "Resident memory of the process, file pages left out.", read_resident, NULL, 1,
     false},
    {"state", "state", "1 for the state that the scaler is in.", read_state, state_value,
     SCALER_DISCONNECTED + 1, false},
    {"rescale_total", "result", "Rescales by how they ended.", read_result, result_value, SCALER_RESULTS,
     true},
    {"reclaims_total", NULL, "Reclaims by the orchestrator.", read_reclaims, NULL, 1, true},
    {"over_ceiling_ticks_total", NULL, "Tenths of a second in which more was used than allowed.",
     read_over_ceiling, NULL, 1, true},
    {"pressure_ratio", "kind",
     "Share of the last 10 s in which tasks waited for memory (PSI); 0 also where the kernel "
     "does not say.",
     read_pressure, pressure_value, 2, false},
};
enum { ROWS = sizeof table / sizeof table[0] };

bool scaler_metrics(struct scaler *scaler, struct metrics *metrics, const char *prefix)
{
    size_t count = 0, next = 0;
    for (size_t row = 0; row < ROWS; row++)
        count += (size_t)table[row].count;
    struct scaler_metric *all = calloc(count, sizeof *all);
    bool good = all != NULL;
    for (size_t row = 0; row < ROWS && good; row++) {
        char name[128], labels[128] = "";
        (void)snprintf(name, sizeof name, "%s_memory_%s", prefix, table[row].name);
        for (int i = 0; i < table[row].count && good; i++) {
            struct scaler_metric *m = &all[next++];
            *m = (struct scaler_metric){.scaler = scaler, .read = table[row].read, .which = i};
            if (table[row].label != NULL)
                (void)snprintf(labels, sizeof labels, "%s=\"%s\"", table[row].label, table[row].value(i));
            good = (table[row].counter ? metrics_counter_read : metrics_gauge)(
                metrics, name, labels, table[row].help, read_metric, m);
        }
    }
    free(scaler->metrics);
    scaler->metrics = all;
    return good;
}
