#include "keyserver/drain.h"

#include "common/clock.h"
#include "common/log.h"

#define LOOK_MS 10

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct drain *d = arg;
    const struct timeval soon = {.tv_usec = LOOK_MS * 1000};
    unsigned left = server_connections(d->server);
    (void)fd;
    (void)what;
    if (left == 0 || clock_ns() >= d->deadline_ns) {
        if (left != 0)
            log_warn("drain_timeout", "connections=%u", left);
        d->running = false;
        d->done(d->arg);
        return;
    }
    server_drain_on(d->server);
    (void)evtimer_add(d->timer, &soon);
}

bool drain_init(struct drain *d, struct event_base *base, struct server *server, void (*done)(void *arg),
                void *arg, struct error *e)
{
    *d = (struct drain){.server = server, .done = done, .arg = arg};
    d->timer = evtimer_new(base, on_tick, d);
    if (d->timer == NULL)
        error_set(e, "drain timer: out of memory");
    return d->timer != NULL;
}

void drain_begin(struct drain *d, uint64_t timeout_us, bool keep_listening)
{
    d->running = true;
    d->deadline_ns = clock_ns() + timeout_us * 1000;
    server_drain(d->server, keep_listening);
    on_tick(-1, 0, d);
}

void drain_cancel(struct drain *d)
{
    if (!d->running)
        return;
    d->running = false;
    (void)evtimer_del(d->timer);
    server_resume(d->server);
}

void drain_deinit(struct drain *d)
{
    if (d->timer != NULL)
        event_free(d->timer);
    d->timer = NULL;
}
