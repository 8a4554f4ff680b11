#include "tests/bench/hostile/peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <openssl/bio.h>
#include <openssl/err.h>

#define FIRST_ADDRESS 0x7f010001u // 127.1.0.1
#define HELLO_MOST    4096

static bool bind_as(const struct peers *p, int fd, unsigned who)
{
    const int one = 1; // the port is chosen when it is known where to: there are enough then
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(FIRST_ADDRESS + who / p->share)};
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    return bind(fd, (struct sockaddr *)&from, sizeof from) == 0;
}

int peers_connect(struct peers *p, unsigned who)
{
    const struct timeval patience = {.tv_sec = 1};
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)atomic_fetch_add(&p->connects, 1);
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    if (fd >= 0 && bind_as(p, fd, who) &&
        connect(fd, (const struct sockaddr *)&p->server.ss, p->server.len) == 0)
        return fd;
    (void)atomic_fetch_add(&p->failed, 1);
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

void peers_close_socket(int fd, bool abort)
{
    const struct linger now = {.l_onoff = 1};
    if (abort)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(fd);
}

void peers_close(SSL **ssl, bool abort)
{
    if (*ssl == NULL)
        return;
    int fd = SSL_get_fd(*ssl);
    SSL_free(*ssl);
    *ssl = NULL;
    ERR_clear_error();
    if (fd >= 0)
        peers_close_socket(fd, abort);
}

SSL *peers_connect_tls(struct peers *p, unsigned who)
{
    int fd = peers_connect(p, who);
    if (fd < 0)
        return NULL;
    SSL *ssl = SSL_new(p->tls);
    if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1)
        return ssl;
    (void)atomic_fetch_add(&p->failed, 1);
    if (ssl != NULL)
        peers_close(&ssl, true);
    else
        peers_close_socket(fd, true);
    return NULL;
}

bool peers_record_hello(struct peers *p)
{
    SSL *ssl = SSL_new(p->tls);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (ssl == NULL || in == NULL || out == NULL) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return false;
    }
    SSL_set_bio(ssl, in, out); // they are the SSL's now
    p->hello = malloc(HELLO_MOST);
    (void)SSL_connect(ssl); // waits for an answer that does not come
    int len = p->hello != NULL ? BIO_read(out, p->hello, HELLO_MOST) : 0;
    p->hello_len = len > 0 ? (size_t)len : 0;
    SSL_free(ssl);
    ERR_clear_error();
    return p->hello_len > 0;
}
