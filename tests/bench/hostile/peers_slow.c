// Peers that hold on to what they have: past the handshake and silent, or a byte now and then.
#include "tests/bench/hostile/peers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN_US 100000

static void rest(const struct peers *p)
{
    if (!p->stop)
        (void)usleep(TURN_US);
}

// ---- silent

void peers_idle(struct peers *p, void (*ready)(void))
{
    SSL **all = calloc(p->count, sizeof *all);
    for (unsigned i = 0; all != NULL && i < p->count && !p->stop; i++)
        while (all[i] == NULL && !p->stop)
            all[i] = peers_connect_tls(p, i);
    ready();
    while (!p->stop)
        rest(p);
    for (unsigned i = 0; all != NULL && i < p->count; i++) {
        char byte;
        if (all[i] != NULL && recv(SSL_get_fd(all[i]), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
            (void)atomic_fetch_add(&p->ended, 1);
        peers_close(&all[i], true);
    }
    free(all);
}

// ---- slow

enum kind { HANDSHAKE, HEAD, BODY, KINDS };

struct slow {
    int fd;   // HANDSHAKE; -1: not connected
    SSL *ssl; // HEAD, BODY
    size_t at;
};

static bool is_open(const struct slow *s)
{
    return s->fd >= 0 || s->ssl != NULL;
}

static void open_one(struct peers *p, struct slow *s, unsigned who)
{
    const char *body = strstr(p->request, "\r\n\r\n");
    size_t head = body != NULL ? (size_t)(body + 4 - p->request) : p->request_len, sent;
    s->at = 0;
    if (who % KINDS == HANDSHAKE)
        s->fd = peers_connect(p, who);
    else
        s->ssl = peers_connect_tls(p, who);
    if (s->ssl != NULL && who % KINDS == BODY && SSL_write_ex(s->ssl, p->request, head, &sent) == 1)
        s->at = head;
}

// One byte more, and none of what would end it. False: the server has ended it.
static bool send_byte(const struct peers *p, struct slow *s)
{
    size_t sent, len = s->ssl != NULL ? p->request_len : p->hello_len;
    if (s->at + 1 >= len)
        return true;
    bool good = s->ssl != NULL ? SSL_write_ex(s->ssl, p->request + s->at, 1, &sent) == 1
                               : send(s->fd, p->hello + s->at, 1, MSG_NOSIGNAL) == 1;
    s->at += good;
    return good;
}

static void close_one(struct slow *s)
{
    peers_close(&s->ssl, true);
    if (s->fd >= 0)
        peers_close_socket(s->fd, true);
    s->fd = -1;
}

static void slow_turn(struct peers *p, struct slow *all)
{
    for (unsigned i = 0; i < p->count && !p->stop; i++) {
        if (!is_open(&all[i])) {
            open_one(p, &all[i], i);
        } else if (!send_byte(p, &all[i])) {
            (void)atomic_fetch_add(&p->ended, 1);
            close_one(&all[i]);
        }
    }
}

void peers_slow(struct peers *p, void (*ready)(void))
{
    struct slow *all = calloc(p->count, sizeof *all);
    for (unsigned i = 0; all != NULL && i < p->count; i++)
        all[i].fd = -1;
    if (all != NULL)
        slow_turn(p, all);
    ready();
    while (all != NULL && !p->stop) {
        rest(p);
        slow_turn(p, all);
    }
    for (unsigned i = 0; all != NULL && i < p->count; i++)
        close_one(&all[i]);
    free(all);
}
