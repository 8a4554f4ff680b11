#include "keyserver/watchdog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"

#define LOOKS 8 // in the time that the manager gives

struct watchdog {
    struct server *server;
    struct event *timer;
    uint64_t period_ns, asked_ns;
    bool told; // of the stuck thread
};

// No lock is waited for: a thread that is stuck may hold it.
static void ask_all(const struct watchdog *w)
{
    struct server *server = w->server;
    for (unsigned i = 0; i < server->loop_count; i++)
        loop_ask(&server->loops[i]);
    pool_ask(server->pool);
    audit_ask(server->audit);
}

// Those that have not answered may not have been woken.
static void wake_stuck(const struct watchdog *w)
{
    for (unsigned i = 0; i < w->server->loop_count; i++)
        if (!pulse_beats(&w->server->loops[i].pulse))
            loop_ask(&w->server->loops[i]);
    if (audit_stuck(w->server->audit))
        audit_ask(w->server->audit);
}

static void add_name(char *names, size_t size, const char *name, int number)
{
    size_t len = strlen(names);
    const char *comma = len > 0 ? "," : "";
    if (number >= 0)
        (void)snprintf(names + len, size - len, "%s%s.%d", comma, name, number);
    else
        (void)snprintf(names + len, size - len, "%s%s", comma, name);
}

// Whether threads have not answered, and which: one that is stuck may hold others up.
static bool find_stuck(const struct watchdog *w, char *names, size_t size)
{
    const struct server *server = w->server;
    int thread;
    names[0] = '\0';
    for (unsigned i = 0; i < server->loop_count; i++)
        if (!pulse_beats(&server->loops[i].pulse))
            add_name(names, size, "ks-io", (int)i);
    for (thread = -1; (thread = pool_stuck(server->pool, thread + 1)) >= 0;)
        add_name(names, size, "ks-crypto", thread);
    if (audit_stuck(server->audit))
        add_name(names, size, "ks-audit", -1);
    return names[0] != '\0';
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct watchdog *w = arg;
    char names[256];
    (void)fd;
    (void)what;
    if (!find_stuck(w, names, sizeof names)) {
        notify_alive();
        w->told = false;
        w->asked_ns = clock_ns();
        ask_all(w);
        return;
    }
    wake_stuck(w);
    uint64_t since_ns = clock_ns() - w->asked_ns;
    if (!w->told && since_ns > w->period_ns / 2) {
        log_error("thread_stuck", "threads=%s for_ms=%llu", names, (unsigned long long)(since_ns / 1000000));
        w->told = true;
    }
}

bool watchdog_start(struct watchdog **watchdog, struct event_base *base, struct server *server,
                    struct error *e)
{
    uint64_t us = notify_watchdog_us(), look_us = us / LOOKS;
    const struct timeval look = {.tv_sec = (time_t)(look_us / 1000000),
                                 .tv_usec = (suseconds_t)(look_us % 1000000)};
    *watchdog = NULL;
    if (us == 0)
        return true;
    struct watchdog *w = calloc(1, sizeof *w);
    if (w != NULL) {
        w->server = server;
        w->period_ns = us * 1000;
        w->timer = event_new(base, -1, EV_PERSIST, on_look, w);
    }
    if (w == NULL || w->timer == NULL || event_add(w->timer, &look) != 0) {
        error_set(e, "watchdog: out of memory");
        watchdog_stop(&w);
        return false;
    }
    notify_alive();
    w->asked_ns = clock_ns();
    ask_all(w);
    log_info("watchdog", "period_ms=%llu", (unsigned long long)(us / 1000));
    *watchdog = w;
    return true;
}

void watchdog_stop(struct watchdog **watchdog)
{
    struct watchdog *w = *watchdog;
    if (w == NULL)
        return;
    *watchdog = NULL;
    if (w->timer != NULL)
        event_free(w->timer);
    free(w);
}
