#include "kvstore/resp/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <event2/listener.h>

#include "common/log.h"
#include "kvstore/resp/access.h"
#include "kvstore/resp/config.h"
#include "kvstore/resp/conn.h"
#include "kvstore/resp/rdb_load.h"
#include "kvstore/resp/rdb_save.h"
#include "kvstore/resp/replica.h"
#include "kvstore/resp/stats.h"
#include "kvstore/resp/db.h"

#define BACKLOG              511
#define DEFAULT_WORKERS      4
#define DEFAULT_CLIENTS      1000
#define DEFAULT_WRITE_MS     30000
#define DEFAULT_DRAIN_MS     2000
#define DEFAULT_OUTPUT_BYTES ((size_t)1024 * 1024 * 1024)

static const char too_many[] = "-ERR max number of clients reached\r\n";

struct listener {
    struct resp_server *server;
    struct net_addr addr, bound;
    bool tls;                        // with the server's context
    bool trusted;                    // its peers need no password
    struct evconnlistener *listener; // on loops[0]
    int fd;                          // -1 once the listener has it
    struct stat socket_file;         // what we bound; st_ino 0: no Unix socket
};

struct resp_server {
    struct resp_server_options options;
    struct resp_shared shared;
    struct resp_pool *pool;
    pthread_mutex_t tls_lock; // guards options.tls
    struct listener listeners[RESP_LISTENERS_MOST];
    unsigned listener_count;
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

static void turn_away(int fd) // also one that expects TLS: it sees that it is not wanted
{
    ssize_t n = send(fd, too_many, sizeof too_many - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n; // a peer whose fresh socket takes no 36 bytes learns nothing
    (void)close(fd);
}

// The context for new connections, with a reference.
static SSL_CTX *current_tls(struct resp_server *server)
{
    (void)pthread_mutex_lock(&server->tls_lock);
    SSL_CTX *ctx = server->options.tls;
    (void)SSL_CTX_up_ref(ctx);
    (void)pthread_mutex_unlock(&server->tls_lock);
    return ctx;
}

// Those that others use leave some connections to the trusted ones.
static bool is_full(const struct listener *from)
{
    const struct resp_server *server = from->server;
    unsigned most = atomic_load(&server->shared.max_clients);
    unsigned kept = from->trusted ? 0 : server->options.kept_clients;
    return atomic_load(&server->shared.clients) >= (kept < most ? most - kept : 0);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *arg)
{
    const struct listener *from = arg;
    struct resp_server *server = from->server;
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
    if (is_full(from)) {
        atomic_fetch_add(&counters->rejected, 1);
        turn_away(fd);
        return;
    }
    atomic_fetch_add(&counters->connections, 1);
    struct resp_loop *loop = &server->loops[server->next_loop++ % server->options.loops];
    SSL_CTX *tls = from->tls ? current_tls(server) : NULL;
    struct resp_conn *conn = resp_conn_create(loop, fd, tls);
    SSL_CTX_free(tls); // the connection has its own reference
    if (conn == NULL)
        return;
    if (from->trusted)
        resp_session_trust(&conn->session);
    resp_loop_post(loop, &conn->note);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct resp_server *server = ((struct listener *)arg)->server;
    log_error("resp_accept_failed", "error=\"%s\"", strerror(errno));
    (void)evconnlistener_disable(listener);
    server->accept_paused = true;
}

static void accept_again(struct resp_server *server)
{
    for (unsigned i = 0; i < server->listener_count; i++)
        if (server->listeners[i].listener != NULL)
            (void)evconnlistener_enable(server->listeners[i].listener);
    server->accept_paused = false;
}

static void on_tick(void *arg)
{
    struct resp_server *server = arg;
    uint64_t now_ms = resp_monotonic_ms();
    if (server->accept_paused)
        accept_again(server);
    resp_stats_tick(&server->shared);
    if (server->options.buffer_limit != NULL) {
        uint64_t most = server->options.buffer_limit(server->options.buffer_limit_arg);
        uint64_t asked = atomic_load(&server->shared.buffer_asked_bytes);
        atomic_store(&server->shared.buffer_limit_bytes, asked != 0 && asked < most ? asked : most);
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

static void close_listeners(struct resp_server *server)
{
    for (unsigned i = 0; i < server->listener_count; i++) {
        struct listener *l = &server->listeners[i];
        if (l->listener != NULL)
            evconnlistener_free(l->listener);
        else if (l->fd >= 0)
            (void)close(l->fd);
        l->listener = NULL;
        l->fd = -1;
    }
}

static void on_stop(void *arg)
{
    close_listeners(arg);
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
    s->databases = o->databases;
    atomic_store(&s->cluster_enabled, o->cluster_enabled);
    s->on_change = o->on_change;
    s->on_change_arg = o->on_change_arg;
    s->most_memory = o->most_memory;
    s->most_memory_arg = o->most_memory_arg;
    s->now_ms = o->now_ms;
    s->now_arg = o->now_arg;
    s->hooks = o->hooks;
    s->refused = o->refused;
    if (!resp_shared_init(s)) {
        error_set(e, "RESP server: cannot be set up: %s", strerror(errno));
        return false;
    }
    resp_naps_allow(&s->naps, o->workers / 2);
    if (resp_config_start(s, e))
        return true;
    resp_shared_deinit(s);
    return false;
}

static int adopt(int fd, struct net_addr *bound)
{
    bound->len = sizeof bound->ss;
    (void)getsockname(fd, (struct sockaddr *)&bound->ss, &bound->len);
    return fd;
}

static bool bind_socket(struct resp_server *server, const struct resp_listen *listen, struct error *e)
{
    struct listener *l = &server->listeners[server->listener_count];
    *l = (struct listener){.server = server, .addr = listen->addr};
    l->tls = listen->tls;
    l->trusted = listen->trusted;
    if (listen->tls && server->options.tls == NULL) {
        error_set(e, "RESP server: a listener for TLS, but no certificate");
        return false;
    }
    l->fd = listen->fd > 0 ? adopt(listen->fd, &l->bound) : net_listen(&l->addr, BACKLOG, &l->bound, e);
    if (l->fd < 0)
        return false;
    server->listener_count++;
    const char *path = socket_path(&l->addr);
    if (path != NULL && (listen->keeps_file || stat(path, &l->socket_file) != 0))
        l->socket_file.st_ino = 0;
    return true;
}

static bool bind_sockets(struct resp_server *server, struct error *e)
{
    const struct resp_listen first = {.addr = server->options.listen,
                                      .trusted = server->options.listen_trusted,
                                      .fd = server->options.listen_fd,
                                      .keeps_file = server->options.listen_keeps_file};
    if (!bind_socket(server, &first, e))
        return false;
    server->shared.bound = server->listeners[0].bound;
    for (unsigned i = 0; i < server->options.more_count; i++)
        if (!bind_socket(server, &server->options.more[i], e))
            return false;
    return true;
}

static bool open_modules(struct resp_server *server, struct error *e)
{
    const struct resp_server_options *o = &server->options;
    return resp_db_open(&server->shared, e) &&
           (o->save_dir == NULL || resp_saves_open(&server->shared, o->save_dir, o->save_name, e)) &&
           (o->replica == NULL || resp_replica_open(&server->shared, o->replica, e));
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
    if (server->options.tls != NULL)
        (void)SSL_CTX_up_ref(server->options.tls);
    (void)pthread_mutex_init(&server->tls_lock, NULL);
    fill_options(&server->options);
    if (!init_shared(server, store, e)) {
        SSL_CTX_free(server->options.tls);
        free(server);
        return NULL;
    }
    server->loops = calloc(server->options.loops, sizeof *server->loops);
    if (server->loops == NULL) {
        error_set(e, "RESP server: out of memory");
        resp_server_destroy(&server);
    } else if (!open_modules(server, e) || !bind_sockets(server, e)) {
        resp_server_destroy(&server);
    }
    return server;
}

bool resp_server_load(struct resp_server *server, const char *path, bool (*go_on)(void *arg), void *arg,
                      struct error *e)
{
    return resp_load_file(&server->shared, path, go_on, arg, e);
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

static bool make_listeners(struct resp_server *server, struct error *e)
{
    for (unsigned i = 0; i < server->listener_count; i++) {
        struct listener *l = &server->listeners[i];
        l->listener = evconnlistener_new(server->loops[0].base, on_accept, l,
                                         LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, l->fd);
        if (l->listener == NULL) {
            error_set(e, "RESP server: listener: cannot be set up");
            return false;
        }
        l->fd = -1;
        evconnlistener_set_error_cb(l->listener, on_accept_error);
    }
    return true;
}

bool resp_server_start(struct resp_server *server, struct error *e)
{
    server->sampled_ms = resp_monotonic_ms();
    server->pool = resp_pool_create(server->options.workers, e);
    if (server->pool == NULL || !make_loops(server, e) || !make_listeners(server, e))
        return false;
    // The first loop comes last: it hands connections to the others.
    for (unsigned i = server->options.loops; i-- != 0;) {
        if (!resp_loop_start(&server->loops[i], e))
            return false;
    }
    return resp_replica_start(&server->shared, e);
}

// ---- stopping

static void remove_socket_files(struct resp_server *server)
{
    for (unsigned i = 0; i < server->listener_count; i++) {
        struct stat *file = &server->listeners[i].socket_file, now;
        const char *path = socket_path(&server->listeners[i].addr);
        if (path == NULL || file->st_ino == 0 || stat(path, &now) != 0)
            continue;
        if (now.st_ino == file->st_ino && now.st_dev == file->st_dev)
            (void)unlink(path);
        file->st_ino = 0;
    }
}

void resp_server_stop(struct resp_server *server)
{
    // The file goes first, while nobody else can have bound the path in our place.
    remove_socket_files(server);
    resp_naps_stop(&server->shared.naps);
    resp_pause_stop(&server->shared.pause); // workers that hold commands back come home
    if (server->shared.saves != NULL)
        atomic_store(&server->shared.saves->stop, true); // a worker need not be waited for that saves
    for (unsigned i = 0; i < server->loops_ready; i++)
        resp_loop_ask_stop(&server->loops[i]);
    for (unsigned i = 0; i < server->loops_ready; i++)
        resp_loop_join(&server->loops[i]);
    close_listeners(server);
    resp_pool_destroy(&server->pool);
    resp_saves_close(&server->shared);
    resp_replica_close(&server->shared);
    for (unsigned i = 0; i < server->loops_ready; i++)
        resp_loop_deinit(&server->loops[i]);
    server->loops_ready = 0;
    resp_db_close(&server->shared);
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
    (void)pthread_mutex_destroy(&s->tls_lock);
    SSL_CTX_free(s->options.tls);
    free(s);
}

// ---- changing

void resp_server_set_tls(struct resp_server *server, SSL_CTX *tls)
{
    (void)SSL_CTX_up_ref(tls);
    (void)pthread_mutex_lock(&server->tls_lock);
    SSL_CTX *old = server->options.tls;
    server->options.tls = tls;
    (void)pthread_mutex_unlock(&server->tls_lock);
    SSL_CTX_free(old);
}

struct resp_access *resp_server_access(struct resp_server *server)
{
    return &server->shared.access;
}

// ---- asking

void resp_server_address(const struct resp_server *server, struct net_addr *addr)
{
    *addr = server->shared.bound;
}

bool resp_server_address_of(const struct resp_server *server, unsigned number, struct net_addr *addr)
{
    if (number >= server->listener_count)
        return false;
    *addr = server->listeners[number].bound;
    return true;
}

int resp_server_socket(const struct resp_server *server, unsigned number)
{
    if (number >= server->listener_count || server->listeners[number].listener == NULL)
        return -1;
    return evconnlistener_get_fd(server->listeners[number].listener);
}

void resp_server_keep_files(struct resp_server *server)
{
    for (unsigned i = 0; i < server->listener_count; i++)
        server->listeners[i].socket_file.st_ino = 0;
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
        .evicted = atomic_load(&c->evicted),
        .wrong_passwords = atomic_load(&c->wrong_passwords),
        .guessers_closed = atomic_load(&c->guessers_closed),
        .buffer_bytes = atomic_load(&server->shared.buffer_bytes),
    };
}

void resp_server_each_called(const struct resp_server *server,
                             void (*fn)(void *arg, const char *name, uint64_t calls), void *arg)
{
    resp_stats_each_called(&server->shared, fn, arg);
}
