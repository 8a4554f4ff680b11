#include "keyserver/handover.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/net.h"
#include "keyserver/handover_socket.h"
#include "kvstore/resp/access.h"

#define BACKLOG      4
#define GO_TIMEOUT_S 60 // from the offer to its go

struct handover {
    struct handover_calls calls;
    struct event_base *base;
    struct evconnlistener *listener;
    struct net_addr addr;
    struct bufferevent *successor; // NULL: nobody asks
    pid_t pid;                     // the successor's
    bool begun, done;
};

static void drop_successor(struct handover *h)
{
    bool begun = h->begun;
    if (h->successor != NULL)
        bufferevent_free(h->successor);
    h->successor = NULL;
    h->begun = false;
    if (!begun)
        return;
    log_error("handover_abandoned", "pid=%ld note=\"it ended before it had the store: serving on\"",
              (long)h->pid);
    h->calls.abandoned(h->calls.arg);
}

// ---- what the successor says

static bool offer(struct handover *h, const struct handover_message *ask)
{
    struct handover_message message = {.say = HANDOVER_OFFER};
    int fds[HANDOVER_SOCKETS];
    char version[160];
    struct error why;
    const struct timeval patience = {.tv_sec = GO_TIMEOUT_S};
    (void)snprintf(message.version, sizeof message.version, "%s", MEC_VERSION);
    h->calls.offer(h->calls.arg, &message, fds);
    if (!handover_send(bufferevent_getfd(h->successor), &message, fds, &why)) {
        log_warn("handover_failed", "pid=%ld reason=\"%s\"", (long)h->pid, why.text);
        return false;
    }
    bufferevent_set_timeouts(h->successor, &patience, NULL);
    log_info("handover_asked", "pid=%ld version=%s sockets=%u", (long)h->pid,
             log_quote(ask->version, version, sizeof version), message.count);
    return true;
}

// False: it is to be dropped.
static bool take_line(struct handover *h, const char *line, size_t len)
{
    struct handover_message message;
    struct error why;
    char quoted[300];
    if (!handover_parse(line, len, &message, &why)) {
        log_warn("handover_failed", "pid=%ld reason=%s", (long)h->pid,
                 log_quote(why.text, quoted, sizeof quoted));
        return false;
    }
    if (message.say == HANDOVER_ASK && !h->begun)
        return offer(h, &message);
    if (message.say != HANDOVER_GO || h->begun)
        return false;
    bufferevent_set_timeouts(h->successor, NULL, NULL);
    h->begun = true;
    log_info("handing_over", "pid=%ld", (long)h->pid);
    h->calls.begin(h->calls.arg, h->pid);
    return true;
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct handover *h = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    size_t len;
    bool good = true;
    char *line;
    while (good && (line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF)) != NULL) {
        good = take_line(h, line, len);
        free(line);
    }
    if (!good || evbuffer_get_length(input) >= HANDOVER_LINE_MAX)
        drop_successor(h);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what;
    drop_successor(arg);
}

// ---- who it is

static bool peer_pid(int fd, pid_t *pid)
{
    struct ucred credentials;
    socklen_t len = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) != 0)
        return false;
    *pid = credentials.pid;
    return true;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *arg)
{
    struct handover *h = arg;
    uid_t uid;
    pid_t pid;
    (void)listener;
    (void)sa;
    (void)len;
    if (!resp_access_check(fd, &uid) || !peer_pid(fd, &pid)) {
        log_warn("handover_refused", "uid=%ld", uid == (uid_t)-1 ? -1L : (long)uid);
        (void)close(fd);
        return;
    }
    if (h->successor != NULL) {
        log_warn("handover_refused", "pid=%ld reason=\"another one is at it\" other=%ld", (long)pid,
                 (long)h->pid);
        (void)close(fd);
        return;
    }
    h->successor = bufferevent_socket_new(h->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (h->successor == NULL) {
        (void)close(fd);
        return;
    }
    const struct timeval patience = {.tv_sec = GO_TIMEOUT_S};
    h->pid = pid;
    bufferevent_setcb(h->successor, on_read, NULL, on_event, h);
    bufferevent_setwatermark(h->successor, EV_READ, 0, HANDOVER_LINE_MAX);
    bufferevent_set_timeouts(h->successor, &patience, NULL);
    (void)bufferevent_enable(h->successor, EV_READ);
}

// ---- life

struct handover *handover_create(struct event_base *base, const char *addr, int fd,
                                 const struct handover_calls *calls, struct error *e)
{
    struct handover *h = calloc(1, sizeof *h);
    if (h == NULL)
        error_set(e, "hand-over: out of memory");
    if (h == NULL || !net_addr_parse(addr, &h->addr, e) ||
        (fd < 0 && (fd = net_listen(&h->addr, BACKLOG, NULL, e)) < 0)) {
        if (fd >= 0)
            (void)close(fd);
        free(h);
        return NULL;
    }
    h->base = base;
    h->calls = *calls;
    h->listener =
        evconnlistener_new(base, on_accept, h, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (h->listener == NULL) {
        error_set(e, "hand-over: out of memory");
        (void)close(fd);
        free(h);
        return NULL;
    }
    return h;
}

int handover_socket(const struct handover *h)
{
    return evconnlistener_get_fd(h->listener);
}

void handover_done(struct handover *h)
{
    const struct handover_message message = {.say = HANDOVER_DONE};
    struct error why;
    if (h->successor != NULL && !handover_send(bufferevent_getfd(h->successor), &message, NULL, &why))
        log_warn("handover_done_unsaid", "pid=%ld reason=\"%s\"", (long)h->pid, why.text);
    h->done = true;
}

void handover_destroy(struct handover **handover)
{
    struct handover *h = *handover;
    if (h == NULL)
        return;
    *handover = NULL;
    if (!h->done)
        (void)unlink(((const struct sockaddr_un *)&h->addr.ss)->sun_path);
    if (h->successor != NULL)
        bufferevent_free(h->successor);
    evconnlistener_free(h->listener);
    free(h);
}
