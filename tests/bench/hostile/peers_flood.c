// Floods: each peer does one thing, as often as it can.
#include "tests/bench/hostile/peers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <openssl/rand.h>

#define GARBAGE       200
#define RESET_AFTER   20
#define DEAF_WINDOW   4096
#define DEAF_REQUESTS 32 // written by one call

static void turn_done(struct peers *p)
{
    (void)atomic_fetch_add(&p->turns, 1);
}

// Sends, reads one piece of what comes, and is gone.
static void send_and_leave(struct peers *p, unsigned who, const unsigned char *bytes, size_t len)
{
    char answer[4096];
    int fd = peers_connect(p, who);
    if (fd < 0)
        return;
    if (len == 0 ||
        (send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len && recv(fd, answer, sizeof answer, 0) >= 0))
        turn_done(p);
    peers_close_socket(fd, true);
}

void peers_flood_connect(struct peers *p, unsigned who)
{
    send_and_leave(p, who, NULL, 0);
}

void peers_flood_garbage(struct peers *p, unsigned who)
{
    unsigned char garbage[GARBAGE];
    (void)RAND_bytes(garbage, sizeof garbage);
    send_and_leave(p, who, garbage, sizeof garbage);
}

void peers_flood_hello(struct peers *p, unsigned who)
{
    send_and_leave(p, who, p->hello, p->hello_len);
}

void peers_flood_handshake(struct peers *p, unsigned who)
{
    SSL *ssl = peers_connect_tls(p, who);
    if (ssl != NULL)
        turn_done(p);
    peers_close(&ssl, true);
}

void peers_flood_deaf(struct peers *p, unsigned who)
{
    const int window = DEAF_WINDOW;
    size_t len = p->request_len * DEAF_REQUESTS, sent;
    char *requests = malloc(len);
    SSL *ssl = requests != NULL ? peers_connect_tls(p, who) : NULL;
    for (unsigned i = 0; ssl != NULL && i < DEAF_REQUESTS; i++)
        memcpy(requests + i * p->request_len, p->request, p->request_len);
    if (ssl != NULL)
        (void)setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    while (ssl != NULL && !p->stop) {
        int done = SSL_write_ex(ssl, requests, len, &sent);
        if (done == 1) {
            turn_done(p);
        } else if (SSL_get_error(ssl, done) != SSL_ERROR_WANT_WRITE) { // else the second is over: again
            (void)atomic_fetch_add(&p->ended, 1);
            break;
        }
    }
    peers_close(&ssl, true);
    free(requests);
}

void peers_flood_reset(struct peers *p, unsigned who)
{
    size_t sent;
    SSL *ssl = peers_connect_tls(p, who);
    for (unsigned i = 0; ssl != NULL && i < RESET_AFTER; i++)
        if (SSL_write_ex(ssl, p->request, p->request_len, &sent) != 1)
            break;
    if (ssl != NULL)
        turn_done(p);
    peers_close(&ssl, true);
}
