// The memory of a virtual machine, by QEMU's QMP. This file: connection, what is true, reports; how memory is given is a mode (backend_qmp.h).
//
// The truth is asked for on every new connection, at the beginning of every change, and when somebody wants to know. Commands carry a turn; when a change is replaced or the connection
// ends, the turn goes on and late answers find nobody.
#include "scaleup/backend_qmp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/qmp_message.h"

#define DEVICE "vmem0" // unless the settings say another
#define PREFIX "mec"

static const char *const keys[] = {"address", "mode",  "device",  "dimm", "prefix",
                                   "poll",    "stall", "timeout", NULL};

static void arm(struct event *event, uint64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)event_add(event, &tv);
}

uint64_t backend_qmp_actual(const struct backend *b)
{
    return b->base_bytes + b->other_bytes + b->device_bytes;
}

uint64_t backend_qmp_number(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static void post(struct backend *b, enum mailbox_kind kind, enum backend_outcome outcome, const char *detail)
{
    struct backend_report report = {.change_id = kind == MAILBOX_CHANGE ? b->change_id : 0,
                                    .outcome = outcome,
                                    .actual_bytes = backend_qmp_actual(b),
                                    .unknown = !b->known || !qmp_ready(b->qmp),
                                    .detail = detail};
    if (report.unknown && qmp_absent(b->qmp)) { // no QEMU, no memory
        report.unknown = false;
        report.actual_bytes = 0;
    }
    if (report.unknown) // what is found next is news
        b->told = false;
    mailbox_put(&b->box, kind, &report);
    b->told_bytes = report.actual_bytes;
    arm(b->deliver, 0);
}

static void on_deliver(evutil_socket_t fd, short what, void *arg)
{
    struct backend *b = arg;
    struct mailbox_letter letter;
    (void)fd;
    (void)what;
    if (!mailbox_take(&b->box, &letter))
        return;
    arm(b->deliver, 0); // one a call: the report may do with this object what it wants
    b->report(b->arg, &letter.report);
}

void backend_qmp_end(struct backend *b, enum backend_outcome outcome, const char *detail)
{
    char text[sizeof((struct error *)0)->text];
    (void)snprintf(text, sizeof text, "%s", detail);
    b->step = STEP_NONE;
    b->turn++;
    (void)event_del(b->poll);
    (void)event_del(b->stall);
    post(b, MAILBOX_CHANGE, outcome, text);
}

void backend_qmp_progress(struct backend *b)
{
    b->moved = true;
    post(b, MAILBOX_CHANGE, BACKEND_PROGRESS, "");
}

void backend_qmp_changed(struct backend *b, const char *detail)
{
    post(b, MAILBOX_TRUTH, BACKEND_CHANGED, detail);
}

void backend_qmp_wait(struct backend *b)
{
    b->step = STEP_WAITING;
    arm(b->poll, b->poll_ms);
    arm(b->stall, b->stall_ms);
}

static void on_answer(void *arg, uint64_t token, const json_t *value, const char *error)
{
    struct backend *b = arg;
    if (token != b->turn || b->step == STEP_NONE)
        return;
    b->asked = false;
    if (qmp_ready(b->qmp))
        b->answer(b, value, error);
    else // the connection has ended: whether it was carried out nobody knows
        backend_qmp_end(b, BACKEND_FAILED, error);
}

void backend_qmp_ask(struct backend *b, const char *command, json_t *arguments,
                     void (*answer)(struct backend *b, const json_t *value, const char *error))
{
    b->answer = answer;
    b->asked = true;
    if (!qmp_execute(b->qmp, command, arguments, on_answer, b, ++b->turn))
        backend_qmp_end(b, BACKEND_FAILED, "QMP: the command could not be sent");
}

// What is true is known, or why not.
static void looked(struct backend *b, const char *why_not)
{
    b->looking = false;
    b->known = !why_not;
    if (why_not && why_not != b->offline.text)
        error_set(&b->offline, "%s", why_not);
    bool news = b->known && (!b->told || backend_qmp_actual(b) != b->told_bytes);
    if (b->known && (news || b->measure_wanted))
        post(b, MAILBOX_TRUTH, BACKEND_CHANGED, "");
    else if (b->measure_wanted)
        post(b, MAILBOX_TRUTH, BACKEND_FAILED, b->offline.text);
    b->told = b->told || b->known;
    b->measure_wanted = false;
    if (b->step == STEP_LOOKING && b->known)
        b->mode->begin(b);
    else if (b->step == STEP_LOOKING)
        backend_qmp_end(b, BACKEND_REFUSED, b->offline.text);
}

static void on_devices(void *arg, uint64_t token, const json_t *value, const char *error)
{
    struct backend *b = arg;
    (void)token;
    if (!value)
        looked(b, error);
    else
        looked(b,
               json_is_array(value) ? b->mode->devices(b, value) : "QMP: query-memory-devices: not a list");
}

static void on_summary(void *arg, uint64_t token, const json_t *value, const char *error)
{
    struct backend *b = arg;
    (void)token;
    uint64_t base = backend_qmp_number(value, "base-memory");
    if (base != 0)
        b->base_bytes = base;
    if (!value)
        looked(b, error);
    else if (base == 0)
        looked(b, "QMP: query-memory-size-summary: no base-memory");
    else if (!qmp_execute(b->qmp, "query-memory-devices", NULL, on_devices, b, 0))
        looked(b, "QMP: the command could not be sent");
}

static void look(struct backend *b)
{
    if (b->looking)
        return;
    b->looking = true;
    if (!qmp_execute(b->qmp, "query-memory-size-summary", NULL, on_summary, b, 0))
        looked(b, qmp_ready(b->qmp) ? "QMP: the command could not be sent" : b->offline.text);
}

static void on_state(void *arg, bool ready, const char *why)
{
    struct backend *b = arg;
    if (ready) {
        b->told = false;
        look(b);
        return;
    }
    b->known = b->looking = false;
    error_set(&b->offline, "%s: %s", b->address, why);
    if (b->step != STEP_NONE)
        backend_qmp_end(b, b->step == STEP_LOOKING ? BACKEND_REFUSED : BACKEND_FAILED, b->offline.text);
}

static void on_event(void *arg, const char *name, const json_t *data)
{
    struct backend *b = arg;
    if (b->known)
        b->mode->event(b, name, data);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
    struct backend *b = arg;
    (void)fd;
    (void)what;
    arm(b->poll, b->poll_ms);
    if (b->step == STEP_WAITING && !b->asked) // a slow QEMU is not asked again before it has answered
        b->mode->poll(b);
}

static void on_stall(evutil_socket_t fd, short what, void *arg)
{
    struct backend *b = arg;
    (void)fd;
    (void)what;
    if (b->step == STEP_WAITING)
        b->mode->stall(b);
}

static void backend_qmp_set(struct backend *b, uint64_t change_id, uint64_t bytes)
{
    mailbox_drop(&b->box, MAILBOX_CHANGE);
    (void)event_del(b->poll);
    (void)event_del(b->stall);
    b->turn++;
    b->change_id = change_id;
    b->target_bytes = bytes;
    b->moved = false;
    b->limit[0] = '\0';
    b->step = STEP_LOOKING;
    if (qmp_ready(b->qmp))
        look(b);
    else
        backend_qmp_end(b, BACKEND_REFUSED, b->offline.text);
}

static void backend_qmp_measure(struct backend *b)
{
    b->measure_wanted = true;
    look(b);
}

static bool read_mode(struct backend *b, const char *settings, struct error *e)
{
    static const struct qmp_mode *const modes[] = {&qmp_mode_mem, &qmp_mode_dimm};
    char text[BACKEND_VALUE_MAX];
    b->mode = modes[0];
    if (!backend_setting(settings, "mode", text, sizeof text))
        return true;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(modes[i]->name, text) == 0) {
            b->mode = modes[i];
            return true;
        }
    }
    error_set(e, "qmp back-end: mode: expected virtio-mem or dimm");
    return false;
}

// An id as QEMU takes it: a letter, then letters, digits and -._
static bool read_id(const char *settings, const char *key, char *id, size_t len, const char *preset,
                    struct error *e)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char text[BACKEND_VALUE_MAX];
    if (!backend_setting(settings, key, text, sizeof text))
        (void)snprintf(text, sizeof text, "%s", preset);
    size_t first = strspn(text, letters);
    if (first == 0 || strlen(text) >= len ||
        text[first +
             strspn(text + first, "-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")]) {
        error_set(e, "qmp back-end: %s: not an id of QEMU's, of at most %zu characters", key, len - 1);
        return false;
    }
    (void)snprintf(id, len, "%s", text);
    return true;
}

static bool read_settings(struct backend *b, const char *s, uint64_t granularity, struct error *e)
{
    b->poll_ms = 200;
    b->stall_ms = 5000;
    b->timeout_ms = 10000;
    b->dimm_bytes = 1ull << 30;
    if (!backend_settings_known(s, keys, e) || !read_mode(b, s, e) ||
        !read_id(s, "device", b->device, sizeof b->device, DEVICE, e) ||
        !read_id(s, "prefix", b->prefix, sizeof b->prefix, PREFIX, e) ||
        !backend_setting_size(s, "dimm", &b->dimm_bytes, e) ||
        !backend_setting_ms(s, "poll", &b->poll_ms, e) || !backend_setting_ms(s, "stall", &b->stall_ms, e) ||
        !backend_setting_ms(s, "timeout", &b->timeout_ms, e))
        return false;
    if (!backend_setting(s, "address", b->address, sizeof b->address)) {
        error_set(e, "qmp back-end: address=unix:/path (of QEMU's -qmp) is needed");
        return false;
    }
    if (b->poll_ms < 10 || b->stall_ms < b->poll_ms || b->timeout_ms < 10) {
        error_set(e, "qmp back-end: poll and timeout are at least 10ms, stall at least as long as poll");
        return false;
    }
    if (b->mode == &qmp_mode_dimm &&
        (!b->dimm_bytes || b->dimm_bytes % granularity || b->dimm_bytes > 1ull << 46)) {
        error_set(e, "qmp back-end: dimm is not a multiple of the pool's granularity");
        return false;
    }
    return true;
}

static void backend_qmp_destroy(struct backend **backend)
{
    struct backend *b = *backend;
    if (!b)
        return;
    qmp_destroy(&b->qmp);
    struct event *events[] = {b->deliver, b->poll, b->stall};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i])
            event_free(events[i]);
    free(b);
    *backend = NULL;
}

static bool start(struct backend *b, struct event_base *base, struct error *e)
{
    struct qmp_handlers handlers = {.state = on_state, .event = on_event, .arg = b};
    b->deliver = evtimer_new(base, on_deliver, b);
    b->poll = evtimer_new(base, on_poll, b);
    b->stall = evtimer_new(base, on_stall, b);
    if (!b->deliver || !b->poll || !b->stall) {
        error_set(e, "qmp back-end: out of memory");
        return false;
    }
    error_set(&b->offline, "%s: not connected yet", b->address);
    b->qmp = qmp_create(base, b->address, b->timeout_ms, &handlers, e);
    return b->qmp != NULL;
}

static struct backend *backend_qmp_create(const char *settings, uint64_t granularity, struct event_base *base,
                                          backend_report_fn on_report, void *arg, struct error *e)
{
    struct backend *b = calloc(1, sizeof *b);
    if (!b) {
        error_set(e, "qmp back-end: out of memory");
        return NULL;
    }
    b->report = on_report;
    b->arg = arg;
    if (!read_settings(b, settings, granularity ? granularity : 1, e) || !start(b, base, e))
        backend_qmp_destroy(&b);
    return b;
}

static const struct backend_identity identity[] = {
    {"address", ""}, {"mode", "virtio-mem"}, {"device", DEVICE}, {"prefix", PREFIX}, {NULL, NULL}};

const struct backend_class backend_qmp = {
    .name = "qmp",
    .options = "address=unix:/path or HOST:PORT (QEMU's -qmp); mode=virtio-mem|dimm [virtio-mem]; device=ID "
               "[vmem0] of the "
               "virtio-mem device; dimm=SIZE [1gb] of each DIMM and prefix=TEXT [mec] of their ids; "
               "poll=DURATION [200ms]; "
               "stall=DURATION [5s] without any movement, after which what the guest has not done is not "
               "waited for; "
               "timeout=DURATION [10s] for an answer of QEMU",
    .identity = identity,
    .create = backend_qmp_create,
    .destroy = backend_qmp_destroy,
    .set = backend_qmp_set,
    .measure = backend_qmp_measure,
};
