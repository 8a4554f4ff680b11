#include "keyserver/audit_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "keyserver/peer.h"

struct audit {
    struct audit_settings settings;
    struct audit_counts counts;
    struct audit_writer *writer; // NULL: lines go to the program's log
    struct audit_alarm *alarm;   // NULL: none wanted
    _Atomic uint64_t alarms[AUDIT_ALARMS], alarm_told_s[AUDIT_ALARMS];
    _Atomic uint64_t looked_s, told; // losses: when they were last looked at, how many have been logged
};

// ---- life

bool audit_check(const struct audit_settings *settings, struct error *e)
{
    if (settings->key_file == NULL)
        return true;
    EVP_PKEY *key = audit_key_load(settings->key_file, e);
    EVP_PKEY_free(key);
    return key != NULL;
}

struct audit *audit_create(const struct audit_settings *settings, struct error *e)
{
    struct audit *audit = calloc(1, sizeof *audit);
    if (audit == NULL) {
        error_set(e, "audit log: out of memory");
        return NULL;
    }
    audit->settings = *settings;
    bool good =
        settings->alarm_us == 0 || (audit->alarm = audit_alarm_create(settings->alarm_us * 1000, e)) != NULL;
    if (good && settings->path != NULL)
        good = (audit->writer = audit_writer_create(settings, &audit->counts, e)) != NULL;
    if (!good)
        audit_destroy(&audit);
    return audit;
}

void audit_destroy(struct audit **audit)
{
    if (*audit == NULL)
        return;
    audit_writer_destroy(&(*audit)->writer);
    audit_alarm_destroy(&(*audit)->alarm);
    free(*audit);
    *audit = NULL;
}

void audit_reopen(struct audit *audit)
{
    if (audit->writer != NULL)
        audit_writer_reopen(audit->writer);
}

void audit_flush(struct audit *audit)
{
    if (audit != NULL && audit->writer != NULL)
        audit_writer_flush(audit->writer);
}

void audit_ask(struct audit *audit)
{
    if (audit->writer != NULL)
        audit_writer_ask(audit->writer);
}

bool audit_stuck(const struct audit *audit)
{
    return audit->writer != NULL && audit_writer_stuck(audit->writer);
}

uint64_t audit_dropped(const struct audit *audit)
{
    return audit->writer != NULL ? atomic_load(&audit->counts.dropped) : log_dropped();
}

// ---- lines

// Whether the second of `told_s` has passed; the caller that gets true has it for itself.
static bool once_a_second(_Atomic uint64_t *told_s)
{
    uint64_t now_s = clock_ns() / 1000000000u + 1, last = atomic_load_explicit(told_s, memory_order_relaxed);
    return now_s != last && atomic_compare_exchange_strong(told_s, &last, now_s);
}

static void raise_alarm(struct audit *audit, enum audit_alarm_kind kind, const struct keyop *op)
{
    char body[AUDIT_BODY_MAX], edge[512];
    uint64_t count = atomic_fetch_add(&audit->alarms[kind], 1) + 1;
    if (!once_a_second(&audit->alarm_told_s[kind]))
        return; // the count has it
    (void)log_quote(op->peer->name, edge, sizeof edge);
    log_warn("audit_alarm", "alarm=%s edge=%s addr=%s key=%.8s count=%" PRIu64, audit_alarm_word(kind), edge,
             op->peer->addr, op->parsed ? op->request.spki : "", count);
    size_t len = audit_format_event(
        body, "alarm", NULL,
        "\"alarm\":\"%s\",\"edge\":%s,\"addr\":\"%s\"%s,\"key\":\"%.8s\",\"count\":%" PRIu64,
        audit_alarm_word(kind), edge, op->peer->addr, audit_listener(op), op->parsed ? op->request.spki : "",
        count);
    if (audit->writer != NULL && len > 0)
        (void)audit_writer_push(audit->writer, body, len, NULL);
}

static void look_for_alarms(struct audit *audit, const struct keyop *op)
{
    unsigned raised = audit->alarm != NULL ? audit_alarm_note(audit->alarm, op, clock_ns()) : 0;
    for (int kind = 0; raised != 0 && kind < AUDIT_ALARMS; kind++)
        if ((raised & (1u << kind)) != 0)
            raise_alarm(audit, (enum audit_alarm_kind)kind, op);
}

// Lines that found the ring full, told to the operator at most once a second.
static void note_losses(struct audit *audit)
{
    if (!once_a_second(&audit->looked_s))
        return;
    uint64_t dropped = audit_dropped(audit), told = atomic_exchange(&audit->told, dropped);
    if (dropped > told)
        log_error("audit_lost", "lines=%" PRIu64 " total=%" PRIu64, dropped - told, dropped);
}

// Only a result is held back: an error gives nothing away that needs a witness.
static bool is_held(const struct audit *audit, const struct keyop *op)
{
    return audit->settings.mode == AUDIT_STRICT && op->status == SKI_OK;
}

static void refuse(struct audit *audit, struct keyop *op)
{
    audit_refuse(op);
    (void)atomic_fetch_add(&audit->counts.refused, 1);
}

bool audit_write(struct audit *audit, struct keyop *op)
{
    char body[AUDIT_BODY_MAX];
    if (op->audited) { // comes back from the writer
        look_for_alarms(audit, op);
        return true;
    }
    bool held = is_held(audit, op);
    size_t len = audit_format_operation(op, body);
    if (audit->writer == NULL) {
        log_info("audit", "%.*s}", (int)len, body);
    } else if (len > 0 && audit_writer_push(audit->writer, body, len, held ? op : NULL)) {
        if (held)
            return false;
    } else {
        if (held)
            refuse(audit, op);
        note_losses(audit);
    }
    look_for_alarms(audit, op);
    return true;
}

// ---- metrics

#define READER(field)                                                                                        \
    static double read_##field(void *arg)                                                                    \
    {                                                                                                        \
        return (double)atomic_load(&((struct audit *)arg)->counts.field);                                    \
    }
READER(lines)
READER(refused)
READER(failures)
READER(writes)
READER(heads)
READER(rotations)
READER(waiting)
READER(failing)

static double read_dropped(void *arg)
{
    return (double)audit_dropped(arg);
}

static double read_alarm(void *arg)
{
    return (double)atomic_load((_Atomic uint64_t *)arg);
}

static bool alarm_metrics(struct audit *audit, struct metrics *metrics)
{
    static const char *const labels[AUDIT_ALARMS] = {
        "alarm=\"ciphertext_again\"", "alarm=\"ciphertext_other_edge\"", "alarm=\"error_share\""};
    for (int kind = 0; kind < AUDIT_ALARMS; kind++)
        if (!metrics_counter_read(
                metrics, "ks_audit_alarms_total", labels[kind],
                "Operations that raised an alarm: a ciphertext came again, or from another edge; an "
                "edge's share of errors jumped.",
                read_alarm, &audit->alarms[kind]))
            return false;
    return true;
}

bool audit_metrics(struct audit *audit, struct metrics *metrics)
{
    const struct {
        const char *name, *help;
        double (*read)(void *);
    } counters[] = {
        {"ks_audit_lines_total", "Lines written to the audit log.", read_lines},
        {"ks_audit_dropped_total", "Audit lines lost: the log could not keep up, or could not be written.",
         read_dropped},
        {"ks_audit_refused_total", "Results refused because they could not be audited (strict).",
         read_refused},
        {"ks_audit_write_failures_total", "Failed writes of the audit log.", read_failures},
        {"ks_audit_writes_total", "Writes of the audit log; each is of many lines.", read_writes},
        {"ks_audit_heads_total", "Heads written, which are signed when there is a key.", read_heads},
        {"ks_audit_rotations_total", "Files of the audit log begun after another.", read_rotations},
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        if (!metrics_counter_read(metrics, counters[i].name, NULL, counters[i].help, counters[i].read, audit))
            return false;
    return metrics_gauge(metrics, "ks_audit_waiting_lines", NULL, "Lines that wait to be written.",
                         read_waiting, audit) &&
           metrics_gauge(metrics, "ks_audit_failing", NULL, "1 while the audit log cannot be written.",
                         read_failing, audit) &&
           alarm_metrics(audit, metrics);
}

json_t *audit_status(const struct audit *audit)
{
    const struct audit_counts *c = &audit->counts;
    return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "mode",
                     audit->writer == NULL                  ? "log"
                     : audit->settings.mode == AUDIT_STRICT ? "strict"
                                                            : "lossy",
                     "failing", (int)atomic_load(&c->failing), "seq", (json_int_t)atomic_load(&c->seq),
                     "head_seq", (json_int_t)atomic_load(&c->head_seq), "lines",
                     (json_int_t)atomic_load(&c->lines), "dropped", (json_int_t)audit_dropped(audit),
                     "refused", (json_int_t)atomic_load(&c->refused), "waiting",
                     (json_int_t)atomic_load(&c->waiting));
}
