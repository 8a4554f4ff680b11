#include "scaleup/qmp.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/net.h"
#include "scaleup/qmp_message.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

enum state { STATE_WAITING, STATE_CONNECTING, STATE_GREETING, STATE_NEGOTIATING, STATE_READY };

struct command {
    uint64_t id, token;
    qmp_answer_fn answer;
    void *arg;
};

struct qmp {
    struct event_base *base;
    struct net_addr addr;
    struct qmp_handlers handlers;
    struct bufferevent *bev; // NULL in STATE_WAITING
    struct event *timer;     // WAITING: the next attempt; else: the oldest thing that is waited for
    uint64_t timeout_ms, backoff_ms;
    uint64_t last_id;
    struct command commands[QMP_OUTSTANDING]; // the oldest first
    size_t count;
    enum state state;
    unsigned inside; // calls of handlers under way: the object lives until they are through
    bool doomed;
    bool absent; // the last attempt has found nobody
};

static void arm(struct event *event, uint64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)event_add(event, &tv);
}

static void could_not_connect(struct qmp *q, int error)
{
    q->absent = q->addr.ss.ss_family == AF_UNIX && (error == ENOENT || error == ECONNREFUSED);
}

static void free_now(struct qmp *q)
{
    if (q->bev)
        bufferevent_free(q->bev);
    if (q->timer)
        event_free(q->timer);
    free(q);
}

static void enter(struct qmp *q)
{
    q->inside++;
}

// False: the object is gone.
static bool leave(struct qmp *q)
{
    if (--q->inside || !q->doomed)
        return true;
    free_now(q);
    return false;
}

static void answer(struct qmp *q, const struct command *c, const json_t *value, const char *error)
{
    if (c->answer && !q->doomed)
        c->answer(c->arg, c->token, value, error);
}

// Ends the connection: every command gets its error, the owner is told, and after the back-off it begins again.
static void drop(struct qmp *q, const char *why)
{
    struct command outstanding[QMP_OUTSTANDING];
    size_t count = q->count;
    char text[256];
    (void)snprintf(text, sizeof text, "%s", why);
    if (q->bev)
        bufferevent_free(q->bev);
    q->bev = NULL;
    q->state = STATE_WAITING;
    memcpy(outstanding, q->commands, count * sizeof outstanding[0]);
    q->count = 0;
    arm(q->timer, q->backoff_ms);
    q->backoff_ms = q->backoff_ms * 2 < BACKOFF_MAX_MS ? q->backoff_ms * 2 : BACKOFF_MAX_MS;
    for (size_t i = 0; i < count; i++)
        answer(q, &outstanding[i], NULL, text);
    if (!q->doomed)
        q->handlers.state(q->handlers.arg, false, text);
}

static bool send_command(struct qmp *q, const char *command, json_t *arguments, struct command c)
{
    size_t len;
    char *line =
        q->count < QMP_OUTSTANDING ? qmp_command_format(command, arguments, ++q->last_id, &len) : NULL;
    if (!line && q->count == QMP_OUTSTANDING)
        json_decref(arguments);
    bool sent = line && bufferevent_write(q->bev, line, len) == 0;
    free(line);
    if (!sent)
        return false;
    c.id = q->last_id;
    if (q->count == 0)
        arm(q->timer, q->timeout_ms);
    q->commands[q->count++] = c;
    return true;
}

static void on_capabilities(void *arg, uint64_t token, const json_t *value, const char *error)
{
    struct qmp *q = arg;
    (void)token;
    if (!value) {
        if (q->bev) // else the connection has ended
            drop(q, error);
        return;
    }
    q->state = STATE_READY;
    q->backoff_ms = BACKOFF_MIN_MS;
    q->handlers.state(q->handlers.arg, true, "");
}

// An answer to a command that is outstanding; what answers nothing is passed over.
static void handle_answer(struct qmp *q, const struct qmp_message *m)
{
    size_t i = 0;
    while (i < q->count && q->commands[i].id != m->id)
        i++;
    if (i == q->count)
        return;
    struct command c = q->commands[i];
    memmove(&q->commands[i], &q->commands[i + 1], (q->count - i - 1) * sizeof c);
    q->count--;
    if (q->count)
        arm(q->timer, q->timeout_ms);
    else
        (void)event_del(q->timer);
    answer(q, &c, m->kind == QMP_RETURN ? m->value : NULL, m->text);
}

static void handle(struct qmp *q, const struct qmp_message *m)
{
    if (m->kind == QMP_EVENT) {
        if (q->state == STATE_READY)
            q->handlers.event(q->handlers.arg, m->name, m->value);
    } else if (m->kind == QMP_GREETING) {
        if (q->state != STATE_GREETING)
            return;
        q->state = STATE_NEGOTIATING;
        if (!send_command(q, "qmp_capabilities", NULL, (struct command){.answer = on_capabilities, .arg = q}))
            drop(q, "QMP: out of memory");
    } else {
        handle_answer(q, m);
    }
}

// One line; false: there is none, or the connection has ended.
static bool read_line(struct qmp *q)
{
    struct evbuffer *in = bufferevent_get_input(q->bev);
    struct qmp_message m;
    struct error e;
    size_t len;
    char *line = evbuffer_readln(in, &len, EVBUFFER_EOL_CRLF);
    if (!line) {
        if (evbuffer_get_length(in) >= QMP_LINE_MAX)
            drop(q, "QMP: a line that is too long");
        return false;
    }
    if (qmp_message_parse(line, len, &m, &e)) {
        handle(q, &m);
        qmp_message_release(&m);
    } else {
        drop(q, e.text);
    }
    free(line);
    return q->bev && !q->doomed;
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct qmp *q = arg;
    enter(q);
    while (q->bev == bev && read_line(q))
        continue;
    (void)leave(q);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct qmp *q = arg;
    char text[256];
    (void)bev;
    enter(q);
    if (what & BEV_EVENT_CONNECTED) {
        q->state = STATE_GREETING;
        q->absent = false;
    } else if (what & BEV_EVENT_ERROR) {
        int error = EVUTIL_SOCKET_ERROR();
        if (q->state == STATE_CONNECTING)
            could_not_connect(q, error);
        (void)snprintf(text, sizeof text, "QMP: %s", evutil_socket_error_to_string(error));
        drop(q, text);
    } else {
        drop(q, "QMP: the connection has ended");
    }
    (void)leave(q);
}

static void connect_now(struct qmp *q)
{
    q->bev = bufferevent_socket_new(q->base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (!q->bev) {
        drop(q, "QMP: out of memory");
        return;
    }
    q->state = STATE_CONNECTING;
    bufferevent_setcb(q->bev, on_read, NULL, on_event, q);
    bufferevent_setwatermark(q->bev, EV_READ, 0, QMP_LINE_MAX);
    (void)bufferevent_enable(q->bev, EV_READ | EV_WRITE);
    arm(q->timer, q->timeout_ms);
    errno = 0;
    if (bufferevent_socket_connect(q->bev, (struct sockaddr *)&q->addr.ss, (int)q->addr.len) != 0) {
        char text[128];
        int error = errno;
        could_not_connect(q, error);
        (void)snprintf(text, sizeof text, "QMP: cannot connect: %s", strerror(error));
        drop(q, text);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct qmp *q = arg;
    (void)fd;
    (void)what;
    enter(q);
    if (q->state == STATE_WAITING)
        connect_now(q);
    else
        drop(q, q->state == STATE_READY ? "QMP: a command is not answered"
                                        : "QMP: no greeting (has somebody else the connection?)");
    (void)leave(q);
}

struct qmp *qmp_create(struct event_base *base, const char *address, uint64_t timeout_ms,
                       const struct qmp_handlers *handlers, struct error *e)
{
    struct qmp *q = calloc(1, sizeof *q);
    if (!q) {
        error_set(e, "QMP: out of memory");
        return NULL;
    }
    q->base = base;
    q->handlers = *handlers;
    q->timeout_ms = timeout_ms;
    q->backoff_ms = BACKOFF_MIN_MS;
    if (!net_addr_parse(address, &q->addr, e)) {
        free(q);
        return NULL;
    }
    q->timer = evtimer_new(base, on_timer, q);
    if (!q->timer) {
        error_set(e, "QMP: out of memory");
        free(q);
        return NULL;
    }
    arm(q->timer, 0);
    return q;
}

void qmp_destroy(struct qmp **qmp)
{
    struct qmp *q = *qmp;
    *qmp = NULL;
    if (!q)
        return;
    q->doomed = true;
    q->count = 0;
    if (!q->inside)
        free_now(q);
}

bool qmp_ready(const struct qmp *qmp)
{
    return qmp->state == STATE_READY && !qmp->doomed;
}

bool qmp_absent(const struct qmp *qmp)
{
    return qmp->absent;
}

bool qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, qmp_answer_fn answer_fn, void *arg,
                 uint64_t token)
{
    if (!qmp_ready(qmp)) {
        json_decref(arguments);
        return false;
    }
    return send_command(qmp, command, arguments,
                        (struct command){.token = token, .answer = answer_fn, .arg = arg});
}

void qmp_reconnect(struct qmp *qmp, const char *why)
{
    enter(qmp);
    if (qmp->bev && !qmp->doomed)
        drop(qmp, why);
    (void)leave(qmp);
}
