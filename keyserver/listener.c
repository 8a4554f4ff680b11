// Accepting connections on the main thread: limits first, then to the loop with the fewest connections.
#include "keyserver/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define PAUSE_MS 100 // out of descriptors: the backlog waits meanwhile

static struct loop *least_loaded(struct server *server)
{
    struct loop *best = &server->loops[server->next_loop++ % server->loop_count];
    for (unsigned i = 0; i < server->loop_count; i++)
        if (atomic_load_explicit(&server->loops[i].conn_count, memory_order_relaxed) <
            atomic_load_explicit(&best->conn_count, memory_order_relaxed))
            best = &server->loops[i];
    return best;
}

// Closed on arrival, at no cost but this: a flood must not buy handshakes.
static void reject(struct server *server, evutil_socket_t fd, const struct net_addr *addr, const char *limit)
{
    static uint64_t last_log_ns, rejected;
    char text[NET_ADDR_TEXT];
    uint64_t now = clock_ns();

    metric_add(server->stats.rejected, 1);
    rejected++;
    if (last_log_ns == 0 || now - last_log_ns > 1000000000u) {
        log_warn("connections_rejected", "limit=%s count=%llu last_addr=%s", limit,
                 (unsigned long long)rejected,
                 net_addr_format((const struct sockaddr *)&addr->ss, addr->len, text));
        last_log_ns = now;
        rejected = 0;
    }
    (void)close(fd);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *arg)
{
    struct server *server = arg;
    const struct options *o = server->options;
    struct net_addr addr = {.len = (socklen_t)len};
    const int one = 1;
    (void)listener;

    memcpy(&addr.ss, sa, (size_t)len);
    if (atomic_load(&server->connections) >= o->max_connections) {
        reject(server, fd, &addr, "max-connections");
        return;
    }
    if (!addrs_add(server->addrs, &addr, o->max_connections_per_address)) {
        reject(server, fd, &addr, "max-connections-per-address");
        return;
    }
    (void)atomic_fetch_add(&server->connections, 1);
    metric_add(server->stats.connections, 1);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!loop_accept(least_loaded(server), fd, &addr)) {
        (void)close(fd);
        server_conn_closed(server, &addr);
    }
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;
    (void)fd;
    (void)what;
    if (server->listener != NULL && !atomic_load(&server->draining))
        (void)evconnlistener_enable(server->listener);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct server *server = arg;
    const struct timeval pause = {.tv_usec = PAUSE_MS * 1000};
    log_error("accept_failed", "reason=\"%s\"", strerror(errno));
    (void)evconnlistener_disable(listener);
    (void)evtimer_add(server->listener_pause, &pause);
}

// One that is open already, or our own. -1 and *e.
static int open_socket(struct server *server, struct error *e)
{
    struct net_addr addr;
    int fd = inherit_take(server->inherited, "ski", NULL);
    if (fd >= 0) {
        server->bound.len = sizeof server->bound.ss;
        (void)getsockname(fd, (struct sockaddr *)&server->bound.ss, &server->bound.len);
        return fd;
    }
    return net_addr_parse(server->options->listen, &addr, e) ? net_listen(&addr, 1024, &server->bound, e)
                                                             : -1;
}

bool listener_start(struct server *server, struct error *e)
{
    char text[NET_ADDR_TEXT];
    int fd = open_socket(server, e);
    if (fd < 0)
        return false;
    server->listener_pause = evtimer_new(server->base, on_pause_over, server);
    server->listener = evconnlistener_new(server->base, on_accept, server,
                                          LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (server->listener == NULL || server->listener_pause == NULL) {
        if (server->listener == NULL)
            (void)close(fd);
        error_set(e, "listener: out of memory");
        return false;
    }
    evconnlistener_set_error_cb(server->listener, on_accept_error);
    log_info("listening", "addr=%s",
             net_addr_format((const struct sockaddr *)&server->bound.ss, server->bound.len, text));
    return true;
}

void listener_pause(struct server *server)
{
    if (server->listener != NULL)
        (void)evconnlistener_disable(server->listener);
}

void listener_resume(struct server *server)
{
    if (server->listener != NULL)
        (void)evconnlistener_enable(server->listener);
}

int listener_socket(const struct server *server)
{
    return server->listener != NULL ? evconnlistener_get_fd(server->listener) : -1;
}

void listener_stop(struct server *server)
{
    if (server->listener != NULL)
        evconnlistener_free(server->listener);
    server->listener = NULL;
    if (server->listener_pause != NULL)
        event_free(server->listener_pause);
    server->listener_pause = NULL;
}
