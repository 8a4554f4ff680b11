// Drives one back-end by hand: backend_driver CLASS GRANULARITY SETTINGS. Reads lines "set SIZE" and "measure" from stdin, prints a line for each report, and ends with stdin:
//
//   report ID OUTCOME ACTUAL USED DETAIL
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/report.h"
#include "common/units.h"
#include "scaleup/backend.h"

struct driver {
    struct event_base *base;
    const struct backend_class *class;
    struct backend *backend;
    uint64_t id;
};

static void on_report(void *arg, const struct backend_report *r)
{
    static const char *const outcomes[] = {"progress", "done", "partial", "refused", "failed", "changed"};
    (void)arg;
    (void)printf("report %" PRIu64 " %s %" PRIu64 " %" PRIu64 " %s\n", r->change_id, outcomes[r->outcome],
                 r->actual_bytes, r->used_bytes, r->detail);
    (void)fflush(stdout);
}

static void obey(struct driver *d, const char *line)
{
    uint64_t bytes;
    if (strcmp(line, "measure") == 0)
        d->class->measure(d->backend);
    else if (strncmp(line, "set ", 4) == 0 && units_parse_size(line + 4, &bytes))
        d->class->set(d->backend, ++d->id, bytes);
    else
        report("expected 'set SIZE' or 'measure'");
}

static void on_read(struct bufferevent *bev, void *arg)
{
    char *line;
    while ((line = evbuffer_readln(bufferevent_get_input(bev), NULL, EVBUFFER_EOL_LF))) {
        obey(arg, line);
        free(line);
    }
}

static void on_end(struct bufferevent *bev, short what, void *arg)
{
    struct driver *d = arg;
    (void)bev;
    (void)what;
    (void)event_base_loopbreak(d->base);
}

int main(int argc, char **argv)
{
    static const struct backend_class *const classes[] = {&backend_cgroup, &backend_qmp, &backend_simulated};
    struct driver d = {0};
    struct error e;
    uint64_t granularity;
    report_set_program("backend_driver");
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; argc == 4 && i < sizeof classes / sizeof classes[0]; i++)
        if (strcmp(classes[i]->name, argv[1]) == 0)
            d.class = classes[i];
    if (!d.class || !units_parse_size(argv[2], &granularity)) {
        report("usage: backend_driver cgroup|qmp|simulated GRANULARITY SETTINGS");
        return EXIT_USAGE;
    }
    struct event_config *config = event_config_new(); // stdin may be a file, which epoll does not take
    (void)event_config_avoid_method(config, "epoll");
    d.base = event_base_new_with_config(config);
    event_config_free(config);
    d.backend = d.class->create(argv[3], granularity, d.base, on_report, &d, &e);
    if (!d.backend) {
        report("%s", e.text);
        return EXIT_USAGE;
    }
    (void)evutil_make_socket_nonblocking(STDIN_FILENO);
    struct bufferevent *bev = bufferevent_socket_new(d.base, STDIN_FILENO, 0);
    bufferevent_setcb(bev, on_read, NULL, on_end, &d);
    (void)bufferevent_enable(bev, EV_READ);
    (void)event_base_dispatch(d.base);
    bufferevent_free(bev);
    d.class->destroy(&d.backend);
    event_base_free(d.base);
    return EXIT_DONE;
}
