#include "keyserver/takeover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/net.h"
#include "keyserver/handover_socket.h"
#include "kvstore/resp/access.h"

#define ANSWER_TIMEOUT_S 60 // for its offer: a moment of its main thread

struct takeover {
    int fd;
    struct handover_message offer;
    int fds[HANDOVER_SOCKETS]; // of the offer; -1: taken
};

// -1 and errno.
static int connect_unix(const struct net_addr *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&addr->ss, addr->len) != 0) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static bool limit_wait(int fd, time_t seconds)
{
    const struct timeval limit = {.tv_sec = seconds};
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0;
}

// Whoever listens there gets our place in the queue of clients, and we its sockets: it has to be one of us.
static bool is_ours(int fd, const char *addr, struct error *e)
{
    uid_t uid;
    if (resp_access_check(fd, &uid))
        return true;
    error_set(e, "%s: found a server of user %ld, expected one of ours or root's", addr, (long)uid);
    return false;
}

static bool ask(struct takeover *t, const char *addr, struct error *e)
{
    struct handover_message message = {.say = HANDOVER_ASK};
    struct error why;
    bool ended = false;
    (void)snprintf(message.version, sizeof message.version, "%s", MEC_VERSION);
    if (!is_ours(t->fd, addr, e))
        return false;
    if (!limit_wait(t->fd, ANSWER_TIMEOUT_S) || !handover_send(t->fd, &message, NULL, &why) ||
        !handover_receive(t->fd, &t->offer, t->fds, &ended, &why)) {
        error_set(e, "%s: %s", addr,
                  ended ? "the running server refuses to hand over: its log says why" : why.text);
        t->offer.count = 0;
        return false;
    }
    if (t->offer.say == HANDOVER_OFFER)
        return true;
    error_set(e, "%s: found another answer than an offer", addr);
    return false;
}

bool takeover_ask(const char *addr_text, struct takeover **takeover, struct error *e)
{
    struct net_addr addr;
    *takeover = NULL;
    if (!net_addr_parse(addr_text, &addr, e))
        return false;
    int fd = connect_unix(&addr);
    if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED))
        return true;
    struct takeover *t = fd >= 0 ? calloc(1, sizeof *t) : NULL;
    if (t == NULL) {
        error_set(e, "%s: connect: %s", addr_text, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    t->fd = fd;
    if (ask(t, addr_text, e)) {
        *takeover = t;
        return true;
    }
    takeover_end(&t);
    return false;
}

const char *takeover_version(const struct takeover *t)
{
    return t->offer.version;
}

uint64_t takeover_watchdog_us(const struct takeover *t)
{
    return t->offer.watchdog_us;
}

const char *takeover_master_key(const struct takeover *t)
{
    return t->offer.master_key;
}

bool takeover_socket(struct takeover *t, const char *name, const char *addr, struct inherited *set,
                     struct error *e)
{
    for (unsigned i = 0; i < t->offer.count; i++) {
        const struct handover_socket *socket = &t->offer.sockets[i];
        if (t->fds[i] < 0 || strcmp(socket->name, name) != 0 || strcmp(socket->addr, addr) != 0)
            continue;
        int fd = t->fds[i];
        t->fds[i] = -1;
        return inherit_add(set, name, fd, socket->keeps_file, e);
    }
    return true;
}

bool takeover_go(struct takeover *t, struct error *e)
{
    struct handover_message message = {.say = HANDOVER_GO};
    struct error why;
    bool ended;
    if (!handover_send(t->fd, &message, NULL, e))
        return false;
    (void)limit_wait(t->fd, 0);
    if (!handover_receive(t->fd, &message, NULL, &ended,
                          &why)) // killed, maybe: then its locks are free as well
        log_warn("takeover_unfinished", "reason=\"%s\"", why.text);
    return true;
}

void takeover_end(struct takeover **takeover)
{
    struct takeover *t = *takeover;
    if (t == NULL)
        return;
    *takeover = NULL;
    for (unsigned i = 0; i < t->offer.count; i++)
        if (t->fds[i] >= 0)
            (void)close(t->fds[i]);
    (void)close(t->fd);
    free(t);
}
