// The connection's side: phases, back-off, greeting, lease, and what the server says.
#include "scaleup/rescale_core.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void copy_text(message_text to, const char *text)
{
    (void)snprintf(to, sizeof(message_text), "%.*s", MESSAGE_TEXT_MAX, text);
}

void rescale_core_fail(struct rescale_core *core, const char *format, ...)
{
    if (core->failed.text[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(core->failed.text, sizeof core->failed.text, format, args);
    va_end(args);
}

static void say(struct rescale_core *core, const struct message *message)
{
    if (!core->effects.send(core->effects.arg, message))
        rescale_core_fail(core, "the server does not read what it is sent");
}

static void tell(struct rescale_core *core, const struct rescale_event *event)
{
    core->effects.event(core->effects.arg, event);
}

// ---- ending a connection

// Where there is a lease to keep we are back in time, unless the server does not take us.
static uint64_t longest_delay(const struct rescale_core *core)
{
    uint64_t third = core->lease_ms / 3, most = core->backoff_max_ms;
    if (core->lease_ms == 0 || core->seldom || third >= most)
        return most;
    return third > core->backoff_min_ms ? third : core->backoff_min_ms;
}

// Doubled as long as connections do not hold: one that has lasted longer than the last back-off starts it anew. A server that takes us and
// throws us out at once is not asked without end.
static uint64_t next_delay(struct rescale_core *core, bool was_open, uint64_t now_ms)
{
    if (was_open && now_ms - core->welcomed_ms >= core->backoff_ms)
        core->backoff_ms = 0;
    core->backoff_ms = core->backoff_ms == 0 ? core->backoff_min_ms : core->backoff_ms * 2;
    uint64_t most = longest_delay(core);
    if (core->seldom || core->backoff_ms > most)
        core->backoff_ms = most;
    core->seldom = false;
    uint64_t quarter = core->backoff_ms / 4;
    return core->backoff_ms - quarter + core->effects.random(core->effects.arg) % (2 * quarter + 1);
}

static void leave(struct rescale_core *core, const char *why, uint64_t now_ms)
{
    bool was_open = core->phase == RESCALE_OPEN;
    core->effects.drop(core->effects.arg);
    core->phase = RESCALE_RESTING;
    core->due_ms = now_ms + next_delay(core, was_open, now_ms);
    copy_text(core->why, why);
    core->failed.text[0] = '\0';
    rescale_items_unsent(core);
    if (was_open)
        (void)atomic_fetch_add(&core->disconnects, 1);
    atomic_store(&core->connected, false);
    struct rescale_event event = {.type = RESCALE_DISCONNECTED};
    copy_text(event.detail, core->why);
    tell(core, &event);
}

// Every entry ends here: what has failed on the way ends the connection.
static void settle(struct rescale_core *core, uint64_t now_ms)
{
    if (core->failed.text[0] == '\0')
        return;
    struct error failed = core->failed;
    leave(core, failed.text, now_ms);
}

void rescale_core_disconnected(struct rescale_core *core, const char *why, uint64_t now_ms)
{
    if (core->phase == RESCALE_RESTING)
        return;
    rescale_core_fail(core, "%s", why);
    settle(core, now_ms);
}

// ---- beginning one

static void start(struct rescale_core *core, uint64_t now_ms)
{
    struct error e = {""};
    core->phase = RESCALE_CONNECTING;
    core->due_ms = now_ms + RESCALE_CONNECT_MS;
    if (!core->effects.connect(core->effects.arg, &e))
        rescale_core_fail(core, "%s", e.text);
}

void rescale_core_connected(struct rescale_core *core, uint64_t now_ms)
{
    struct message hello = {.type = MESSAGE_HELLO, .version = MESSAGE_VERSION};
    if (core->phase != RESCALE_CONNECTING)
        return;
    core->phase = RESCALE_GREETING;
    core->due_ms = now_ms + RESCALE_CONNECT_MS;
    hello.role = core->vnf[0] != '\0' ? ROLE_VNF : ROLE_OPERATOR;
    memcpy(hello.vnf, core->vnf, sizeof hello.vnf);
    hello.has_holding = hello.role == ROLE_VNF;
    hello.holding_bytes = core->granted_bytes;
    say(core, &hello);
    settle(core, now_ms);
}

static void welcome(struct rescale_core *core, const struct message *m, uint64_t now_ms)
{
    if (m->version != MESSAGE_VERSION) {
        rescale_core_fail(core, "welcome: found version %" PRIu64 ", expected %d", m->version,
                          MESSAGE_VERSION);
        return;
    }
    if (core->vnf[0] != '\0' && m->vnf[0] != '\0' && strcmp(m->vnf, core->vnf) != 0) {
        rescale_core_fail(core, "welcome: it is for %s, expected %s", m->vnf, core->vnf);
        return;
    }
    core->phase = RESCALE_OPEN;
    core->lease_ms = m->lease_ms > RESCALE_LEASE_LEAST_MS ? m->lease_ms : RESCALE_LEASE_LEAST_MS;
    core->welcomed_ms = core->pinged_ms = core->heard_ms = now_ms;
    core->unanswered = false;
    core->granted_bytes = m->granted_bytes;
    core->granularity = m->granularity;
    (void)atomic_fetch_add(&core->connects, 1);
    atomic_store(&core->connected, true);
    tell(core, &(struct rescale_event){.type = RESCALE_CONNECTED,
                                       .granted_bytes = m->granted_bytes,
                                       .granularity = m->granularity,
                                       .min_bytes = m->min_bytes,
                                       .max_bytes = m->max_bytes,
                                       .lease_ms = m->lease_ms});
    rescale_items_send(core, now_ms);
}

// ---- what the server says

static void refused(struct rescale_core *core, const struct message *m, uint64_t now_ms)
{
    const char *colon = m->detail[0] != '\0' ? ": " : "";
    if (m->code == ERROR_UNEXPECTED) { // the connection stays
        rescale_items_unexpected(core, m->detail, now_ms);
        return;
    }
    rescale_core_fail(core, "%s%s%s", message_error_code_name(m->code), colon, m->detail);
    if (m->code == ERROR_BUSY || m->code == ERROR_TIMEOUT)
        return; // nothing against us
    core->seldom = true;
    struct rescale_event event = {.type = RESCALE_REFUSED};
    copy_text(event.detail, core->failed.text);
    tell(core, &event);
}

static void reclaim(struct rescale_core *core, const struct message *m)
{
    struct rescale_event event = {.type = RESCALE_RECLAIM,
                                  .granted_bytes = core->granted_bytes,
                                  .granularity = core->granularity,
                                  .target_bytes = m->target_bytes,
                                  .deadline_ms = m->deadline_ms,
                                  .priority = (unsigned)m->priority};
    memcpy(event.id, m->id, sizeof event.id);
    memcpy(event.detail, m->reason, sizeof event.detail);
    tell(core, &event);
}

static void grant(struct rescale_core *core, const struct message *m)
{
    struct rescale_event event = {
        .type = RESCALE_GRANT, .granted_bytes = m->granted_bytes, .granularity = m->granularity};
    core->granted_bytes = m->granted_bytes;
    core->granularity = m->granularity;
    memcpy(event.detail, m->reason, sizeof event.detail);
    tell(core, &event);
}

static void unexpected(struct rescale_core *core)
{
    (void)atomic_fetch_add(&core->unexpected, 1);
}

static void take_open(struct rescale_core *core, struct message *m, uint64_t now_ms)
{
    bool vnf = core->vnf[0] != '\0';
    if (m->type == MESSAGE_RESPONSE)
        rescale_items_response(core, m);
    else if (m->type == MESSAGE_STATUS && !vnf)
        rescale_items_status(core, m, now_ms);
    else if (m->type == MESSAGE_RECLAIM && vnf)
        reclaim(core, m);
    else if (m->type == MESSAGE_GRANT && vnf)
        grant(core, m);
    else if (m->type == MESSAGE_OFFER && vnf)
        tell(core, &(struct rescale_event){.type = RESCALE_OFFER, .available_bytes = m->available_bytes});
    else if (m->type == MESSAGE_ERROR)
        refused(core, m, now_ms);
    else if (m->type != MESSAGE_PONG) // also types of a later version: they must not hurt
        unexpected(core);
}

static void take(struct rescale_core *core, struct message *m, uint64_t now_ms)
{
    if (core->phase == RESCALE_OPEN)
        take_open(core, m, now_ms);
    else if (m->type == MESSAGE_WELCOME)
        welcome(core, m, now_ms);
    else if (m->type == MESSAGE_ERROR && m->code != ERROR_UNEXPECTED)
        refused(core, m, now_ms);
    else
        rescale_core_fail(core, "the server's first message is no welcome");
}

void rescale_core_line(struct rescale_core *core, const char *line, size_t len, uint64_t now_ms)
{
    struct message message;
    struct error e = {""};
    if (core->phase != RESCALE_GREETING && core->phase != RESCALE_OPEN)
        return;
    core->heard_ms = now_ms;
    core->unanswered = false;
    if (message_parse(line, len, &message, &e)) {
        take(core, &message, now_ms);
        message_release(&message);
    } else {
        (void)atomic_fetch_add(&core->malformed, 1);
        rescale_core_fail(core, "malformed: %s", e.text);
    }
    settle(core, now_ms);
}

// ---- time, and what the program says

// A thread that was stopped for longer than the lease finds it over, but may have answers waiting: a ping must have had its time too.
static void keep_lease(struct rescale_core *core, uint64_t now_ms)
{
    uint64_t third = core->lease_ms / 3;
    if (core->unanswered && now_ms - core->heard_ms >= core->lease_ms &&
        now_ms - core->unanswered_ms >= third) {
        rescale_core_fail(core, "nothing heard for %" PRIu64 " ms", now_ms - core->heard_ms);
    } else if (now_ms - core->pinged_ms >= third) {
        core->pinged_ms = now_ms;
        if (!core->unanswered)
            core->unanswered_ms = now_ms;
        core->unanswered = true;
        say(core, &(struct message){.type = MESSAGE_PING});
    }
}

static uint64_t lease_due(const struct rescale_core *core)
{
    uint64_t third = core->lease_ms / 3, ping = core->pinged_ms + third;
    if (!core->unanswered)
        return ping;
    uint64_t dead = core->heard_ms + core->lease_ms, given = core->unanswered_ms + third;
    dead = dead > given ? dead : given;
    return dead < ping ? dead : ping;
}

uint64_t rescale_core_tick(struct rescale_core *core, uint64_t now_ms)
{
    if (core->phase == RESCALE_OPEN)
        keep_lease(core, now_ms);
    else if (now_ms >= core->due_ms && core->phase == RESCALE_RESTING)
        start(core, now_ms);
    else if (now_ms >= core->due_ms)
        rescale_core_fail(core, "no %s within %d s",
                          core->phase == RESCALE_GREETING ? "welcome" : "connection",
                          RESCALE_CONNECT_MS / 1000);
    uint64_t next = rescale_items_expire(core, now_ms);
    settle(core, now_ms);
    uint64_t due = core->phase == RESCALE_OPEN ? lease_due(core) : core->due_ms;
    return due < next ? due : next;
}

void rescale_core_ask(struct rescale_core *core, struct rescale_item *item, uint64_t now_ms)
{
    rescale_items_ask(core, item, now_ms);
    settle(core, now_ms);
}

void rescale_core_reclaiming(struct rescale_core *core, const struct message *reclaiming, uint64_t now_ms)
{
    if (core->phase == RESCALE_OPEN)
        say(core, reclaiming);
    settle(core, now_ms);
}

void rescale_core_init(struct rescale_core *core, const struct rescale_options *options,
                       const struct rescale_effects *effects, uint64_t now_ms)
{
    memset(core, 0, sizeof *core);
    if (options->vnf != NULL)
        (void)snprintf(core->vnf, sizeof core->vnf, "%s", options->vnf);
    core->effects = *effects;
    core->granted_bytes = options->holding_bytes;
    core->granularity = 1;
    core->backoff_min_ms = options->backoff_min_ms;
    core->backoff_max_ms = options->backoff_max_ms;
    core->due_ms = now_ms;
    rescale_items_init(core);
}

void rescale_core_close(struct rescale_core *core)
{
    core->effects.drop(core->effects.arg);
    core->phase = RESCALE_RESTING;
    core->due_ms = UINT64_MAX;
    atomic_store(&core->connected, false);
    rescale_items_unsent(core);
    rescale_items_end(core, "closed");
}
