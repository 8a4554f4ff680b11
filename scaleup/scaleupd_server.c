#include "scaleup/scaleupd_session.h"

#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/tls.h"

#define PAUSE_MS  100 // out of descriptors: the backlog waits meanwhile
#define SLOT_BITS 16

// ---- log lines that strangers can cause

void server_log_rarely(const char *event, const struct session *s, const char *reason)
{
    static struct {
        const char *event;
        uint64_t last_ns, left_out;
    } seen[16];
    char quoted[512];
    uint64_t now = clock_ns();
    size_t i = 0;
    while (i < 15 && seen[i].event != NULL && strcmp(seen[i].event, event) != 0)
        i++;
    if (seen[i].event != NULL && now - seen[i].last_ns < 1000000000) {
        seen[i].left_out++;
        return;
    }
    log_warn(event, "addr=%s reason=%s left_out=%llu", s->addr, log_quote(reason, quoted, sizeof quoted),
             (unsigned long long)seen[i].left_out);
    seen[i].event = event;
    seen[i].last_ns = now;
    seen[i].left_out = 0;
}

// ---- the table

static struct session *find(const struct scaleupd_server *server, uint64_t id)
{
    uint64_t slot = id & ((1u << SLOT_BITS) - 1);
    struct session *s = slot < server->options.max_connections ? server->slots[slot] : NULL;
    return s != NULL && s->id == id ? s : NULL;
}

// max_connections: there is none.
static uint64_t free_slot(const struct scaleupd_server *server)
{
    uint64_t slot = 0;
    while (slot < server->options.max_connections && server->slots[slot] != NULL)
        slot++;
    return slot;
}

static void uncount(struct scaleupd_server *server, struct session *s)
{
    if (s->counted)
        server->plain--;
    s->counted = false;
}

// What it still holds goes when its place is needed: see expendable().
static bool drop_oldest_silent(struct scaleupd_server *server, const struct session *except)
{
    struct session *oldest = NULL;
    for (uint64_t i = 0; i < server->options.max_connections; i++) {
        struct session *s = server->slots[i];
        if (s != NULL && s != except && s->counted && s->state == SESSION_HELLO &&
            (oldest == NULL || s->id < oldest->id))
            oldest = s;
    }
    if (oldest == NULL)
        return false;
    uncount(server, oldest);
    session_refuse(oldest, ERROR_BUSY, "no hello yet, and others want the place");
    return true;
}

bool server_count_plain(struct scaleupd_server *server, struct session *s)
{
    s->privileged = false;
    if (!s->counted)
        server->plain++;
    s->counted = true;
    if (server->plain + SERVER_OPERATOR_CONNECTIONS <= server->options.max_connections ||
        drop_oldest_silent(server, s))
        return true;
    uncount(server, s);
    return false;
}

static void forget(struct scaleupd_server *server, struct session *s)
{
    server->slots[s->id & ((1u << SLOT_BITS) - 1)] = NULL;
    server->stats.connections--;
    uncount(server, s);
    session_free(s);
}

void server_reap(struct scaleupd_server *server, struct session *s)
{
    s->next_dead = server->dead;
    server->dead = s;
    event_active(server->reaper, 0, 0);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    struct scaleupd_server *server = arg;
    (void)fd;
    (void)what;
    while (server->dead != NULL) {
        struct session *s = server->dead;
        uint64_t id = s->id;
        bool greeted = s->greeted;
        server->dead = s->next_dead;
        if (greeted)
            log_info("session_ended", "addr=%s vnf=%s session=%llu", s->addr,
                     s->hello.vnf[0] != '\0' ? s->hello.vnf : "-", (unsigned long long)id);
        forget(server, s);
        if (greeted)
            server->events.gone(server->events.arg, id);
    }
}

// ---- accepting

// How soon a session goes when there is no place: it has been told to go; it has not said who it is; likewise, but it may be an operator. 0: it stays.
static unsigned expendable(const struct session *s)
{
    if (s == NULL || s->state == SESSION_OPEN || s->state == SESSION_DEAD)
        return 0;
    if (s->state == SESSION_CLOSING || s->state == SESSION_LINGERING)
        return 3;
    return s->privileged ? 1 : 2;
}

// All connections are taken: of those that are most expendable the oldest makes room.
static bool make_room(struct scaleupd_server *server)
{
    struct session *first = NULL;
    for (uint64_t i = 0; i < server->options.max_connections; i++) {
        struct session *s = server->slots[i];
        unsigned rank = expendable(s), best = expendable(first);
        if (rank > best || (rank > 0 && rank == best && s->id < first->id))
            first = s;
    }
    if (first == NULL)
        return false;
    server->stats.busy += expendable(first) < 3;
    session_drop(first);
    on_reap(-1, 0, server);
    return true;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *arg)
{
    const struct listener *from = arg;
    struct scaleupd_server *server = from->server;
    char text[NET_ADDR_TEXT];
    (void)listener;

    server->stats.accepted++;
    if (server->stats.connections >= server->options.max_connections && !make_room(server)) {
        static const char busy[] =
            "{\"type\":\"error\",\"code\":\"busy\",\"detail\":\"too many connections\"}\n";
        if (from->is_unix)
            (void)send(fd, busy, sizeof busy - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        server->stats.busy++;
        (void)close(fd);
        return;
    }
    uint64_t slot = free_slot(server), id = ++server->next_sequence << SLOT_BITS | slot;
    const char *addr = from->is_unix ? from->path : net_addr_format(sa, (socklen_t)len, text);
    struct session *s = session_create(server, id, fd, from->is_unix, addr);
    if (s == NULL)
        return;
    server->slots[slot] = s;
    server->stats.connections++;
    session_start(s);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    const struct listener *listener = arg;
    (void)fd;
    (void)what;
    (void)evconnlistener_enable(listener->listener);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    const struct listener *from = arg;
    const struct timeval pause = {.tv_usec = PAUSE_MS * 1000};
    log_error("accept_failed", "reason=\"%s\"", strerror(errno));
    (void)evconnlistener_disable(listener);
    (void)evtimer_add(from->pause, &pause);
}

// ---- listeners

static bool open_to_all(const struct net_addr *addr, struct error *e)
{
    const char *path = ((const struct sockaddr_un *)&addr->ss)->sun_path;
    if (chmod(path, 0666) == 0)
        return true;
    error_set(e, "%s: chmod: %s", path, strerror(errno));
    return false;
}

static bool start_listener(struct scaleupd_server *server, struct listener *l, const char *address,
                           struct error *e)
{
    struct net_addr addr, bound;
    char text[NET_ADDR_TEXT];
    if (!net_addr_parse(address, &addr, e))
        return false;
    l->server = server;
    l->is_unix = addr.ss.ss_family == AF_UNIX;
    int fd = net_listen(&addr, 256, &bound, e);
    if (fd < 0)
        return false;
    if (l->is_unix)
        (void)net_addr_format((const struct sockaddr *)&addr.ss, addr.len, l->path);
    l->pause = evtimer_new(server->base, on_pause_over, l);
    l->listener =
        evconnlistener_new(server->base, on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (l->listener == NULL) {
        (void)close(fd);
        error_set(e, "listener: out of memory");
        return false;
    }
    if (l->pause == NULL) {
        error_set(e, "listener: out of memory");
        return false;
    }
    evconnlistener_set_error_cb(l->listener, on_accept_error);
    if (l->is_unix && server->options.open_socket && !open_to_all(&addr, e))
        return false;
    log_info("listening", "addr=%s", net_addr_format((const struct sockaddr *)&bound.ss, bound.len, text));
    return true;
}

// The socket's name is removed: nobody would answer there.
static void stop_listener(struct listener *l)
{
    if (l->listener != NULL)
        evconnlistener_free(l->listener);
    if (l->pause != NULL)
        event_free(l->pause);
    if (l->listener != NULL && l->is_unix)
        (void)unlink(l->path + strlen("unix:"));
}

struct scaleupd_server *scaleupd_server_create(struct event_base *base,
                                               const struct scaleupd_server_options *options,
                                               const struct scaleupd_server_events *events, struct error *e)
{
    struct scaleupd_server *server = calloc(1, sizeof *server);
    if (server != NULL) {
        server->base = base;
        server->options = *options;
        server->events = *events;
        server->slots = calloc(options->max_connections, sizeof(struct session *));
        server->listeners = calloc(options->listen->count, sizeof *server->listeners);
        server->reaper = event_new(base, -1, 0, on_reap, server);
    }
    if (server == NULL || server->slots == NULL || server->listeners == NULL || server->reaper == NULL) {
        error_set(e, "out of memory");
        scaleupd_server_destroy(&server);
        return NULL;
    }
    if (options->tls != NULL && SSL_CTX_up_ref(options->tls) == 1)
        server->tls = options->tls;
    for (; server->listener_count < options->listen->count; server->listener_count++)
        if (!start_listener(server, &server->listeners[server->listener_count],
                            options->listen->items[server->listener_count], e)) {
            server->listener_count++;
            scaleupd_server_destroy(&server);
            return NULL;
        }
    return server;
}

void scaleupd_server_destroy(struct scaleupd_server **server)
{
    struct scaleupd_server *s = *server;
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->listener_count; i++)
        stop_listener(&s->listeners[i]);
    for (uint64_t i = 0; s->slots != NULL && i < s->options.max_connections; i++)
        if (s->slots[i] != NULL)
            session_free(s->slots[i]);
    if (s->reaper != NULL)
        event_free(s->reaper);
    SSL_CTX_free(s->tls);
    free(s->slots);
    free(s->listeners);
    free(s);
    *server = NULL;
}

// ---- for the owner

void scaleupd_server_send(struct scaleupd_server *server, uint64_t session, const struct message *message)
{
    struct session *s = find(server, session);
    if (s != NULL)
        session_send(s, message);
}

void scaleupd_server_close(struct scaleupd_server *server, uint64_t session)
{
    struct session *s = find(server, session);
    if (s != NULL)
        session_finish(s);
}

void scaleupd_server_set_tls(struct scaleupd_server *server, SSL_CTX *tls)
{
    if (SSL_CTX_up_ref(tls) != 1)
        return;
    SSL_CTX_free(server->tls);
    server->tls = tls;
    for (uint64_t i = 0; i < server->options.max_connections; i++) {
        struct session *s = server->slots[i];
        SSL *ssl = s != NULL ? bufferevent_openssl_get_ssl(s->bev) : NULL;
        if (ssl == NULL || s->state > SESSION_OPEN)
            continue;
        if (s->state == SESSION_HANDSHAKE) // it has begun with the old authorities
            session_drop(s);
        else if (!tls_peer_is_trusted(tls, ssl))
            session_refuse(s, ERROR_DENIED, "the certificate is no longer trusted");
    }
}

void scaleupd_server_recheck(struct scaleupd_server *server)
{
    for (uint64_t i = 0; i < server->options.max_connections; i++) {
        struct session *s = server->slots[i];
        enum message_error_code code = ERROR_DENIED;
        struct error why;
        if (s == NULL || s->state != SESSION_OPEN)
            continue;
        const SSL *ssl = bufferevent_openssl_get_ssl(s->bev);
        if (ssl != NULL && !tls_peer_in_date(ssl))
            session_refuse(s, ERROR_DENIED, "the certificate has run out");
        else if (!server->events.may(server->events.arg, &s->peer, &s->hello, &code, &why))
            session_refuse(s, code, why.text);
    }
}

void scaleupd_server_get_stats(const struct scaleupd_server *server, struct scaleupd_server_stats *stats)
{
    *stats = server->stats;
    for (uint64_t i = 0; i < server->options.max_connections; i++) {
        const struct session *s = server->slots[i];
        if (s == NULL || s->state != SESSION_OPEN)
            continue;
        if (s->hello.role == ROLE_VNF)
            stats->vnfs++;
        else
            stats->operators++;
    }
}
