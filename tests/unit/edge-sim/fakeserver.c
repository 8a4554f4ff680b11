#include "fakeserver.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "common/net.h"

#define CONNS_MAX 512
#define BUF_CAP   (256 * 1024)

struct fake_server {
    SSL_CTX *ctx;
    struct kit_keyserver *keys;
    int fd;
    char url[64];
    _Atomic enum fake_manner manner;
    _Atomic unsigned delay_ms, connections, resumed, requests, most_waiting;
    _Atomic bool stop, closed_once, collected;
    pthread_t acceptor;
    pthread_t threads[CONNS_MAX];
    unsigned thread_count;
};

struct peer {
    struct fake_server *server;
    int fd;
};

void kit_pki_create(struct kit_pki *pki)
{
    EVP_PKEY *ca_key = kit_ec_key("P-256");
    EVP_PKEY *server_key = kit_ec_key("P-256");
    EVP_PKEY *edge_key = kit_ec_key("P-256");
    X509 *ca = kit_cert(ca_key, "Test CA", NULL, NULL, NULL);
    X509 *server = kit_cert(server_key, "server", "IP:127.0.0.1", ca, ca_key);
    X509 *edge = kit_cert(edge_key, "edge", "DNS:edge1", ca, ca_key);
    X509 *other_ca = kit_cert(edge_key, "Other CA", NULL, NULL, NULL);
    X509 *stranger = kit_cert(edge_key, "edge", "DNS:edge1", other_ca, edge_key);
    pki->dir = kit_make_dir();
    pki->ca = kit_write_cert(pki->dir, "ca.pem", ca);
    pki->server_cert = kit_write_cert(pki->dir, "server.pem", server);
    pki->server_key = kit_write_key(pki->dir, "server.key", server_key);
    pki->edge_cert = kit_write_cert(pki->dir, "edge.pem", edge);
    pki->edge_key = kit_write_key(pki->dir, "edge.key", edge_key);
    pki->stranger_cert = kit_write_cert(pki->dir, "stranger.pem", stranger);
    pki->stranger_key = kit_write_key(pki->dir, "stranger.key", edge_key);
    X509 *certs[] = {ca, server, edge, other_ca, stranger};
    for (size_t i = 0; i < sizeof certs / sizeof certs[0]; i++)
        X509_free(certs[i]);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(server_key);
    EVP_PKEY_free(edge_key);
}

void kit_pki_remove(struct kit_pki *pki)
{
    char *files[] = {pki->ca,       pki->server_cert,   pki->server_key,  pki->edge_cert,
                     pki->edge_key, pki->stranger_cert, pki->stranger_key};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        free(files[i]);
    kit_remove_dir(&pki->dir);
}

struct tls_files kit_edge_files(const struct kit_pki *pki)
{
    return (struct tls_files){.cert_file = pki->edge_cert, .key_file = pki->edge_key, .ca_file = pki->ca};
}

// Returns the length of the first whole request in buf, 0 when there is none yet.
static size_t whole_request(const char *buf, size_t len, const char **body, size_t *body_len)
{
    const char *end = memmem(buf, len, "\r\n\r\n", 4);
    const char *field = memmem(buf, len, "Content-Length: ", 16);
    if (end == NULL || field == NULL || field > end)
        return 0;
    *body = end + 4;
    *body_len = (size_t)atoi(field + 16);
    size_t total = (size_t)(*body - buf) + *body_len;
    return len >= total ? total : 0;
}

static size_t print_answer(char *out, size_t cap, unsigned status, const uint8_t *output, size_t len,
                           bool last)
{
    char body[2048] = "{\"error\":\"some error\"}";
    if (status == 200) {
        size_t n = (size_t)snprintf(body, sizeof body, "{\"output\":\"");
        n += (size_t)EVP_EncodeBlock((unsigned char *)body + n, output, (int)len);
        (void)snprintf(body + n, sizeof body - n, "\"}");
    }
    return (size_t)snprintf(
        out, cap, "HTTP/1.1 %u X\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
        status, last ? "Connection: close\r\n" : "", strlen(body), body);
}

// Answers one request. False: close.
static bool answer(struct fake_server *server, SSL *ssl, const char *body, size_t body_len)
{
    char out[4096];
    uint8_t output[SKI_OUTPUT_MAX];
    size_t output_len = 0;
    size_t len;
    while (server->manner == FAKE_HOLDS && !server->stop)
        (void)usleep(1000);
    enum fake_manner manner = server->manner;
    if (server->delay_ms != 0)
        (void)usleep(server->delay_ms * 1000);
    if (manner == FAKE_CLOSE_BEFORE ||
        (manner == FAKE_CLOSE_ONCE && !atomic_exchange(&server->closed_once, true)))
        return false;
    if (manner == FAKE_SILENT)
        return true;
    unsigned status = kit_keyserver_answer(server->keys, body, body_len, output, &output_len);
    len = print_answer(out, sizeof out, manner == FAKE_BUSY ? 503 : status, output, output_len,
                       manner == FAKE_LAST);
    if (manner == FAKE_GARBAGE)
        len = (size_t)snprintf(out, sizeof out, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
    else if (manner == FAKE_NOT_JSON)
        len = (size_t)snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    if (manner == FAKE_CLOSE_MID)
        len /= 2;
    for (int i = 0; i < (manner == FAKE_TWICE ? 2 : 1); i++)
        if (SSL_write(ssl, out, (int)len) <= 0)
            return false;
    return manner != FAKE_CLOSE_MID && manner != FAKE_LAST;
}

static bool readable(struct fake_server *server, SSL *ssl, int fd)
{
    while (!server->stop) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (SSL_has_pending(ssl) || poll(&p, 1, 20) > 0)
            return true;
    }
    return false;
}

// A request that came alone while the server collects: true when there is more to read, false when it is to be answered.
static bool more_comes(struct fake_server *server, SSL *ssl, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (!server->stop && server->manner == FAKE_COLLECTS && !server->collected)
        if (SSL_has_pending(ssl) || poll(&p, 1, 20) > 0)
            return true;
    return false;
}

static void converse(struct fake_server *server, SSL *ssl, int fd)
{
    char *buf = malloc(BUF_CAP);
    size_t len = 0;
    bool open = buf != NULL;
    while (open && readable(server, ssl, fd)) {
        int n = SSL_read(ssl, buf + len, (int)(BUF_CAP - len));
        if (n <= 0)
            break;
        len += (size_t)n;
        const char *body;
        size_t body_len;
        unsigned waiting = 0;
        for (size_t at = 0, used; (used = whole_request(buf + at, len - at, &body, &body_len)) != 0;
             at += used)
            waiting++;
        server->requests += waiting;
        if (waiting > server->most_waiting)
            server->most_waiting = waiting;
        server->collected = server->collected || waiting > 1;
        if (waiting == 1 && more_comes(server, ssl, fd))
            continue;
        for (size_t used; open && (used = whole_request(buf, len, &body, &body_len)) != 0;) {
            open = answer(server, ssl, body, body_len);
            memmove(buf, buf + used, len - used);
            len -= used;
        }
    }
    free(buf);
}

static void *serve(void *arg)
{
    struct peer peer = *(struct peer *)arg;
    free(arg);
    SSL *ssl = SSL_new(peer.server->ctx);
    (void)SSL_set_fd(ssl, peer.fd);
    struct timeval tv = {.tv_sec = 60};
    (void)setsockopt(peer.fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    if (SSL_accept(ssl) == 1) {
        peer.server->connections++;
        peer.server->resumed += SSL_session_reused(ssl) == 1;
        converse(peer.server, ssl, peer.fd);
        (void)SSL_shutdown(ssl);
    }
    ERR_clear_error();
    SSL_free(ssl);
    (void)close(peer.fd);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct fake_server *server = arg;
    while (!server->stop && server->thread_count < CONNS_MAX) {
        struct pollfd p = {.fd = server->fd, .events = POLLIN};
        if (poll(&p, 1, 20) <= 0)
            continue;
        int fd = accept(server->fd, NULL, NULL);
        if (fd < 0)
            continue;
        struct peer *peer = malloc(sizeof *peer);
        *peer = (struct peer){.server = server, .fd = fd};
        if (pthread_create(&server->threads[server->thread_count], NULL, serve, peer) == 0)
            server->thread_count++;
    }
    return NULL;
}

struct fake_server *fake_server_start(const struct kit_pki *pki, struct kit_keyserver *keys)
{
    struct fake_server *server = calloc(1, sizeof *server);
    struct tls_files files = {.cert_file = pki->server_cert, .key_file = pki->server_key, .ca_file = pki->ca};
    struct net_addr addr, bound;
    struct error e = {{0}};
    char text[NET_ADDR_TEXT];
    assert(server != NULL);
    server->keys = keys;
    server->ctx = tls_server_ctx_create(&files, &e);
    bool ok = server->ctx != NULL && net_addr_parse("127.0.0.1:0", &addr, &e) &&
              (server->fd = net_listen(&addr, 64, &bound, &e)) >= 0;
    if (!ok) {
        (void)fprintf(stderr, "%s\n", e.text);
        abort();
    }
    (void)snprintf(server->url, sizeof server->url, "https://%.40s",
                   net_addr_format((struct sockaddr *)&bound.ss, bound.len, text));
    int rc = pthread_create(&server->acceptor, NULL, accept_all, server);
    assert(rc == 0);
    (void)rc;
    return server;
}

const char *fake_server_url(const struct fake_server *server)
{
    return server->url;
}

void fake_server_behave(struct fake_server *server, enum fake_manner manner, unsigned delay_ms)
{
    server->manner = manner;
    server->delay_ms = delay_ms;
    server->closed_once = server->collected = false;
}

unsigned fake_server_connections(const struct fake_server *server)
{
    return server->connections;
}

unsigned fake_server_resumed(const struct fake_server *server)
{
    return server->resumed;
}

unsigned fake_server_requests(const struct fake_server *server)
{
    return server->requests;
}

unsigned fake_server_most_waiting(const struct fake_server *server)
{
    return server->most_waiting;
}

void fake_server_stop(struct fake_server **serverp)
{
    struct fake_server *server = *serverp;
    *serverp = NULL;
    server->stop = true;
    (void)pthread_join(server->acceptor, NULL);
    for (unsigned i = 0; i < server->thread_count; i++)
        (void)pthread_join(server->threads[i], NULL);
    (void)close(server->fd);
    SSL_CTX_free(server->ctx);
    free(server);
}
