#include "kvstore/resp_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <event2/listener.h>

#include "common/log.h"
#include "kvstore/resp_access.h"
#include "kvstore/resp_conn.h"

#define BACKLOG              511
#define DEFAULT_WORKERS      4
#define DEFAULT_CLIENTS      1000
#define DEFAULT_WRITE_MS     30000
#define DEFAULT_DRAIN_MS     2000
#define DEFAULT_OUTPUT_BYTES ((size_t)1024 * 1024 * 1024)

static const char too_many[] = "-ERR max number of clients reached\r\n";

struct resp_server {
    struct resp_server_options options;
    struct resp_shared shared;
    struct resp_pool *pool;
    struct evconnlistener *listener; // on loops[0]
    int listen_fd;                   // -1 once the listener has it
    struct stat socket_file;         // what we bound; st_ino 0: no Unix socket
    unsigned loops_ready;
    unsigned next_loop;
    bool accept_paused; // out of descriptors: until the next tick
    uint64_t sampled_ms, sampled_commands;
    struct resp_loop *loops;
};

static const char *socket_path(const struct net_addr *addr)
{
    return addr->ss.ss_family == AF_UNIX ? ((const struct sockaddr_un *)&addr->ss)->sun_path : NULL;
}

// ---- accepting, on the first loop's thread

static void turn_away(int fd)
{
    ssize_t n = send(fd, too_many, sizeof too_many - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n; // a peer whose fresh socket takes no 36 bytes learns nothing
    (void)close(fd);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *arg)
{
    struct resp_server *server = arg;
    struct resp_counters *counters = &server->shared.counters;
    uid_t peer;
    (void)listener;
    (void)sa;
    (void)len;
    if (!resp_access_check(fd, &peer)) {
        atomic_fetch_add(&counters->refused_peers, 1);
        log_warn("resp_peer_refused", "uid=%ld", peer == (uid_t)-1 ? -1L : (long)peer);
        (void)close(fd);
        return;
    }
    if (atomic_load(&server->shared.clients) >= server->shared.max_clients) {
        atomic_fetch_add(&counters->rejected, 1);
        turn_away(fd);
        return;
    }
    atomic_fetch_add(&counters->connections, 1);
    struct resp_loop *loop = &server->loops[server->next_loop++ % server->options.loops];
    struct resp_conn *conn = resp_conn_create(loop, fd);
    if (conn != NULL)
        resp_loop_post(loop, conn);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct resp_server *server = arg;
    log_error("resp_accept_failed", "error=\"%s\"", strerror(errno));
    (void)evconnlistener_disable(listener);
    server->accept_paused = true;
}

static void on_tick(void *arg)
{
    struct resp_server *server = arg;
    uint64_t now_ms = resp_monotonic_ms();
    if (server->accept_paused && server->listener != NULL) {
        server->accept_paused = false;
        (void)evconnlistener_enable(server->listener);
    }
    if (now_ms - server->sampled_ms < 1000)
        return;
    uint64_t commands = atomic_load_explicit(&server->shared.counters.commands, memory_order_relaxed);
    atomic_store_explicit(&server->shared.counters.ops_per_sec,
                          (commands - server->sampled_commands) * 1000 / (now_ms - server->sampled_ms),
                          memory_order_relaxed);
    server->sampled_commands = commands;
    server->sampled_ms = now_ms;
}

static void close_listener(struct resp_server *server)
{
    if (server->listener != NULL)
        evconnlistener_free(server->listener);
    else if (server->listen_fd >= 0)
        (void)close(server->listen_fd);
    server->listener = NULL;
    server->listen_fd = -1;
}

static void on_stop(void *arg)
{
    close_listener(arg);
}

// ---- setting up

static void fill_options(struct resp_server_options *o)
{
    o->loops = o->loops != 0 ? o->loops : 1;
    o->workers = o->workers != 0 ? o->workers : DEFAULT_WORKERS;
    o->max_clients = o->max_clients != 0 ? o->max_clients : DEFAULT_CLIENTS;
    o->write_timeout_ms = o->write_timeout_ms != 0 ? o->write_timeout_ms : DEFAULT_WRITE_MS;
    o->drain_timeout_ms = o->drain_timeout_ms != 0 ? o->drain_timeout_ms : DEFAULT_DRAIN_MS;
    o->output_limit_bytes = o->output_limit_bytes != 0 ? o->output_limit_bytes : DEFAULT_OUTPUT_BYTES;
}

static bool init_shared(struct resp_server *server, struct kv_store *store, struct error *e)
{
    const struct resp_server_options *o = &server->options;
    struct resp_shared *s = &server->shared;
    s->store = store;
    s->fsync = o->fsync;
    s->max_clients = o->max_clients;
    s->idle_timeout_ms = o->idle_timeout_ms;
    s->output_limit_bytes = o->output_limit_bytes;
    s->limits = o->limits;
    s->on_change = o->on_change;
    s->on_change_arg = o->on_change_arg;
    s->most_memory = o->most_memory;
    s->most_memory_arg = o->most_memory_arg;
    s->now_ms = o->now_ms;
    s->now_arg = o->now_arg;
    if (resp_shared_init(s))
        return true;
    error_set(e, "RESP server: cannot be set up: %s", strerror(errno));
    return false;
}

static bool bind_socket(struct resp_server *server, struct error *e)
{
    server->listen_fd = net_listen(&server->options.listen, BACKLOG, &server->shared.bound, e);
    if (server->listen_fd < 0)
        return false;
    const char *path = socket_path(&server->options.listen);
    if (path != NULL && stat(path, &server->socket_file) != 0)
        server->socket_file.st_ino = 0;
    return true;
}

struct resp_server *resp_server_create(struct kv_store *store, const struct resp_server_options *options,
                                       struct error *e)
{
    struct resp_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        error_set(e, "RESP server: out of memory");
        return NULL;
    }
    server->options = *options;
    server->listen_fd = -1;
    fill_options(&server->options);
    if (!init_shared(server, store, e)) {
        free(server);
        return NULL;
    }
    server->loops = calloc(server->options.loops, sizeof *server->loops);
    if (server->loops == NULL) {
        error_set(e, "RESP server: out of memory");
        resp_server_destroy(&server);
    } else if (!bind_socket(server, e)) {
        resp_server_destroy(&server);
    }
    return server;
}

// ---- starting

static bool make_loops(struct resp_server *server, struct error *e)
{
    for (; server->loops_ready < server->options.loops; server->loops_ready++) {
        struct resp_loop *loop = &server->loops[server->loops_ready];
        if (!resp_loop_init(loop, &server->shared, server->pool, e))
            return false;
        loop->write_timeout_ms = server->options.write_timeout_ms;
        loop->drain_timeout_ms = server->options.drain_timeout_ms;
    }
    server->loops[0].on_tick = on_tick;
    server->loops[0].on_stop = on_stop;
    server->loops[0].hook_arg = server;
    return true;
}

static bool make_listener(struct resp_server *server, struct error *e)
{
    server->listener =
        evconnlistener_new(server->loops[0].base, on_accept, server,
                           LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, server->listen_fd);
    if (server->listener == NULL) {
        error_set(e, "RESP server: listener: cannot be set up");
        return false;
    }
    server->listen_fd = -1;
    evconnlistener_set_error_cb(server->listener, on_accept_error);
    return true;
}

bool resp_server_start(struct resp_server *server, struct error *e)
{
    server->sampled_ms = resp_monotonic_ms();
    server->pool = resp_pool_create(server->options.workers, e);
    if (server->pool == NULL || !make_loops(server, e) || !make_listener(server, e))
        return false;
    // The first loop comes last: it hands connections to the others.
    for (unsigned i = server->options.loops; i-- != 0;) {
        if (!resp_loop_start(&server->loops[i], e))
            return false;
    }
    return true;
}

// ---- stopping

static void remove_socket_file(struct resp_server *server)
{
    const char *path = socket_path(&server->options.listen);
    struct stat now;
    if (path == NULL || server->socket_file.st_ino == 0 || stat(path, &now) != 0)
        return;
    if (now.st_ino == server->socket_file.st_ino && now.st_dev == server->socket_file.st_dev)
        (void)unlink(path);
    server->socket_file.st_ino = 0;
}

void resp_server_stop(struct resp_server *server)
{
    // The file goes first, while nobody else can have bound the path in our place.
    remove_socket_file(server);
    for (unsigned i = 0; i < server->loops_ready; i++)
        resp_loop_ask_stop(&server->loops[i]);
    for (unsigned i = 0; i < server->loops_ready; i++)
        resp_loop_join(&server->loops[i]);
    close_listener(server);
    resp_pool_destroy(&server->pool);
    for (unsigned i = 0; i < server->loops_ready; i++)
        resp_loop_deinit(&server->loops[i]);
    server->loops_ready = 0;
}

void resp_server_destroy(struct resp_server **server)
{
    struct resp_server *s = *server;
    *server = NULL;
    if (s == NULL)
        return;
    resp_server_stop(s);
    resp_shared_deinit(&s->shared);
    free(s->loops);
    free(s);
}

// ---- asking

void resp_server_address(const struct resp_server *server, struct net_addr *addr)
{
    *addr = server->shared.bound;
}

void resp_server_get_stats(const struct resp_server *server, struct resp_server_stats *stats)
{
    const struct resp_counters *c = &server->shared.counters;
    *stats = (struct resp_server_stats){
        .clients = atomic_load(&server->shared.clients),
        .connections = atomic_load(&c->connections),
        .rejected = atomic_load(&c->rejected),
        .refused_peers = atomic_load(&c->refused_peers),
        .commands = atomic_load(&c->commands),
        .errors = atomic_load(&c->errors),
        .protocol_errors = atomic_load(&c->protocol_errors),
        .cut_off = atomic_load(&c->cut_off),
        .idle_closed = atomic_load(&c->idle_closed),
    };
}
