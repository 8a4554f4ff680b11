// Accepting connections on the main thread: limits first, then to the loop with the fewest connections.
#include "keyserver/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "keyserver/migration.h"

#define PAUSE_MS 100 // out of descriptors: the backlog waits meanwhile
#define SEND_BUFFER                                                                                          \
    32768 // the kernel's, for answers that the peer does not take (Linux takes it twice): not the megabytes that it grows to by itself

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
        log_warn("connections_rejected", "limit=\"%s\" count=%llu last_addr=%s", limit,
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
    bool migration = listener == server->migration_listener;
    const char *limit;
    const int one = 1, output = SEND_BUFFER;

    memcpy(&addr.ss, sa, (size_t)len);
    if (atomic_load(&server->connections) >= o->max_connections) {
        reject(server, fd, &addr, "max-connections");
        return;
    }
    if (migration && !migration_admits(server, &addr, &limit)) {
        reject(server, fd, &addr, limit);
        return;
    }
    if (!addrs_add(server->addrs, &addr, o->max_connections_per_address)) {
        reject(server, fd, &addr, "max-connections-per-address");
        return;
    }
    (void)atomic_fetch_add(&server->connections, 1);
    if (migration)
        (void)atomic_fetch_add(&server->migration_connections, 1);
    metric_add(server->stats.connections, 1);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &output, sizeof output);
    if (!loop_accept(least_loaded(server), fd, &addr, migration)) {
        (void)close(fd);
        server_conn_closed(server, &addr, migration);
    }
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;
    (void)fd;
    (void)what;
    if (!atomic_load(&server->draining))
        listener_resume(server);
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
static int open_socket(struct server *server, const char *name, const char *where, struct net_addr *bound,
                       struct error *e)
{
    struct net_addr addr;
    int fd = inherit_take(server->inherited, name, NULL);
    if (fd >= 0) {
        bound->len = sizeof bound->ss;
        (void)getsockname(fd, (struct sockaddr *)&bound->ss, &bound->len);
        return fd;
    }
    return net_addr_parse(where, &addr, e) ? net_listen(&addr, 1024, bound, e) : -1;
}

static bool listen_at(struct server *server, const char *name, const char *where,
                      struct evconnlistener **listener, struct net_addr *bound, struct error *e)
{
    int fd = open_socket(server, name, where, bound, e);
    if (fd < 0)
        return false;
    *listener = evconnlistener_new(server->base, on_accept, server,
                                   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (*listener == NULL) {
        (void)close(fd);
        error_set(e, "listener: out of memory");
        return false;
    }
    evconnlistener_set_error_cb(*listener, on_accept_error);
    return true;
}

bool listener_start(struct server *server, struct error *e)
{
    const struct options *o = server->options;
    char text[NET_ADDR_TEXT];

    server->listener_pause = evtimer_new(server->base, on_pause_over, server);
    if (server->listener_pause == NULL) {
        error_set(e, "listener: out of memory");
        return false;
    }
    if (!listen_at(server, "ski", o->listen, &server->listener, &server->bound, e) ||
        (o->migration_listen != NULL && !listen_at(server, "migration", o->migration_listen,
                                                   &server->migration_listener, &server->migration_bound, e)))
        return false;
    log_info("listening", "addr=%s",
             net_addr_format((const struct sockaddr *)&server->bound.ss, server->bound.len, text));
    migration_announce(server);
    return true;
}

void listener_pause(struct server *server)
{
    if (server->listener != NULL)
        (void)evconnlistener_disable(server->listener);
    if (server->migration_listener != NULL)
        (void)evconnlistener_disable(server->migration_listener);
}

void listener_resume(struct server *server)
{
    if (server->listener != NULL)
        (void)evconnlistener_enable(server->listener);
    if (server->migration_listener != NULL)
        (void)evconnlistener_enable(server->migration_listener);
}

int listener_socket(const struct server *server, bool migration)
{
    struct evconnlistener *listener = migration ? server->migration_listener : server->listener;
    return listener != NULL ? evconnlistener_get_fd(listener) : -1;
}

void listener_stop(struct server *server)
{
    if (server->listener != NULL)
        evconnlistener_free(server->listener);
    server->listener = NULL;
    if (server->migration_listener != NULL)
        evconnlistener_free(server->migration_listener);
    server->migration_listener = NULL;
    if (server->listener_pause != NULL)
        event_free(server->listener_pause);
    server->listener_pause = NULL;
}
