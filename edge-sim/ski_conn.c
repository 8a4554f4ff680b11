#include "edge-sim/ski_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include "common/clock.h"

// Holds several answers, and at least one of the largest.
#define IN_CAP (32 * 1024)

enum phase { CONNECTING, HANDSHAKING, OPEN, CLOSING };

struct ski_conn {
    struct event_base *base;
    struct ski_endpoint *endpoint;
    const struct ski_conn_owner *owner;
    void *arg;
    enum phase phase;
    int fd;
    SSL *ssl;
    struct event *readable; // persistent
    struct event *writable; // pending while there is something to write
    struct event *timer;    // connect and handshake
    char *out;              // out_pos .. out_len is unsent
    size_t out_pos, out_len, out_cap;
    size_t in_len;
    uint64_t last_read_ns;
    char why[256]; // set with CLOSING
    struct ski_answer answer;
    char in[IN_CAP];
};

// Marks the connection as lost; the owner hears of it from the event loop, never from inside one of its own
// calls.
static void lose(struct ski_conn *conn, const char *what, const char *why)
{
    if (conn->phase == CLOSING)
        return;
    conn->phase = CLOSING;
    (void)snprintf(conn->why, sizeof conn->why, "%s: %s", what, why);
    (void)event_del(conn->readable);
    (void)event_del(conn->writable);
    event_active(conn->timer, EV_TIMEOUT, 0);
}

// Why the TLS operation that just failed failed; empties the error queue.
static const char *tls_reason(const struct ski_conn *conn, int ssl_error)
{
    unsigned long code = ERR_peek_error();
    const char *text = NULL;
    long verify = SSL_get_verify_result(conn->ssl);
    if (conn->phase == HANDSHAKING && verify != X509_V_OK)
        text = X509_verify_cert_error_string(verify);
    else if (code != 0)
        text = ERR_reason_error_string(code);
    else if (ssl_error == SSL_ERROR_SYSCALL && errno != 0)
        text = strerror(errno);
    ERR_clear_error();
    return text != NULL ? text : "closed by the key server";
}

// True when the operation is to be tried again on an event, which has been asked for.
static bool would_block(struct ski_conn *conn, int rc, const char *what)
{
    int err = SSL_get_error(conn->ssl, rc);
    if (err == SSL_ERROR_WANT_READ)
        return true; // readable is persistent
    if (err == SSL_ERROR_WANT_WRITE) {
        (void)event_add(conn->writable, NULL);
        return true;
    }
    lose(conn, what, tls_reason(conn, err));
    return false;
}

void ski_conn_flush(struct ski_conn *conn)
{
    while (conn->phase == OPEN && conn->out_pos < conn->out_len) {
        errno = 0;
        int n = SSL_write(conn->ssl, conn->out + conn->out_pos, (int)(conn->out_len - conn->out_pos));
        if (n <= 0) {
            (void)would_block(conn, n, "write");
            return;
        }
        conn->out_pos += (size_t)n;
    }
    if (conn->out_pos == conn->out_len)
        conn->out_pos = conn->out_len = 0;
}

static bool make_room(struct ski_conn *conn, size_t len)
{
    if (conn->out_cap - conn->out_len >= len)
        return true;
    if (conn->out_pos > 0) {
        memmove(conn->out, conn->out + conn->out_pos, conn->out_len - conn->out_pos);
        conn->out_len -= conn->out_pos;
        conn->out_pos = 0;
    }
    if (conn->out_cap - conn->out_len >= len)
        return true;
    size_t cap = conn->out_cap * 2 > conn->out_len + len ? conn->out_cap * 2 : conn->out_len + len;
    char *grown = realloc(conn->out, cap); // requests hold no secrets
    if (grown == NULL)
        return false;
    conn->out = grown;
    conn->out_cap = cap;
    return true;
}

bool ski_conn_send(struct ski_conn *conn, const char *data, size_t len)
{
    if (conn->phase == CLOSING || !make_room(conn, len))
        return false;
    memcpy(conn->out + conn->out_len, data, len);
    conn->out_len += len;
    return true;
}

// Hands over every whole answer in the buffer. False when the connection is lost by it.
static bool take_answers(struct ski_conn *conn)
{
    size_t pos = 0;
    while (conn->phase == OPEN && pos < conn->in_len) {
        ssize_t used = ski_answer_read(conn->in + pos, conn->in_len - pos, &conn->answer);
        if (used == 0)
            break;
        if (used < 0) {
            lose(conn, "read", "not an HTTP answer that SKI could have");
            break;
        }
        pos += (size_t)used;
        conn->owner->answer(conn->arg, &conn->answer);
        bool last = conn->answer.close;
        OPENSSL_cleanse(&conn->answer, sizeof conn->answer);
        if (last)
            lose(conn, "read", "the key server closes the connection");
    }
    if (pos > 0) {
        memmove(conn->in, conn->in + pos, conn->in_len - pos);
        conn->in_len -= pos;
    }
    return conn->phase == OPEN;
}

static void read_answers(struct ski_conn *conn)
{
    while (conn->phase == OPEN) {
        errno = 0;
        int n = SSL_read(conn->ssl, conn->in + conn->in_len, (int)(IN_CAP - conn->in_len));
        if (n <= 0) {
            (void)would_block(conn, n, "read");
            break;
        }
        conn->last_read_ns = clock_ns();
        conn->in_len += (size_t)n;
        size_t filled = conn->in_len;
        bool alive = take_answers(conn);
        OPENSSL_cleanse(conn->in + conn->in_len, filled - conn->in_len); // premasters that were handed over
        if (!alive)
            break;
    }
    ski_conn_flush(conn);
}

static void handshake(struct ski_conn *conn)
{
    errno = 0;
    ERR_clear_error();
    int rc = SSL_do_handshake(conn->ssl);
    if (rc != 1) {
        (void)would_block(conn, rc, "TLS handshake");
        return;
    }
    if (!tls_peer_in_date(conn->ssl)) {
        ski_endpoint_forget_session(conn->endpoint);
        lose(conn, "TLS handshake", "the key server's certificate is out of date");
        return;
    }
    conn->phase = OPEN;
    (void)event_del(conn->timer);
    conn->owner->opened(conn->arg);
    ski_conn_flush(conn);
    read_answers(conn);
}

static void connected(struct ski_conn *conn)
{
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        err = errno;
    if (err != 0) {
        lose(conn, "connect", strerror(err));
        return;
    }
    conn->phase = HANDSHAKING;
    (void)event_add(conn->readable, NULL);
    handshake(conn);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
    struct ski_conn *conn = arg;
    (void)fd;
    (void)what;
    if (conn->phase == CONNECTING)
        connected(conn);
    else if (conn->phase == HANDSHAKING)
        handshake(conn);
    else if (conn->phase == OPEN)
        read_answers(conn);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct ski_conn *conn = arg;
    (void)fd;
    (void)what;
    if (conn->phase != CLOSING) {
        conn->phase = CLOSING;
        (void)event_del(conn->readable);
        (void)event_del(conn->writable);
        (void)snprintf(conn->why, sizeof conn->why, "connect: timed out");
    }
    conn->owner->closed(conn->arg, conn->why);
}

static bool start_connect(struct ski_conn *conn, struct error *e)
{
    const struct net_addr *addr = ski_endpoint_addr(conn->endpoint);
    conn->fd = socket(addr->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        error_set(e, "socket: %s", strerror(errno));
        return false;
    }
    int one = 1; // a request waits for no ACK: each flush is one write
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    conn->readable = event_new(conn->base, conn->fd, EV_READ | EV_PERSIST, on_io, conn);
    conn->writable = event_new(conn->base, conn->fd, EV_WRITE, on_io, conn);
    conn->timer = event_new(conn->base, -1, 0, on_timer, conn);
    if (conn->readable == NULL || conn->writable == NULL || conn->timer == NULL ||
        SSL_set_fd(conn->ssl, conn->fd) != 1) {
        error_set(e, "connection: no memory");
        return false;
    }
    SSL_set_connect_state(conn->ssl);
    return true;
}

struct ski_conn *ski_conn_open(struct event_base *base, struct ski_endpoint *endpoint, unsigned timeout_ms,
                               const struct ski_conn_owner *owner, void *arg, struct error *e)
{
    struct ski_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        error_set(e, "connection: no memory");
        return NULL;
    }
    conn->base = base;
    conn->endpoint = endpoint;
    conn->owner = owner;
    conn->arg = arg;
    conn->fd = -1;
    conn->phase = CONNECTING;
    conn->last_read_ns = clock_ns();
    conn->ssl = ski_endpoint_ssl(endpoint, e);
    if (conn->ssl == NULL || !start_connect(conn, e)) {
        ski_conn_destroy(&conn);
        return NULL;
    }
    struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = (int)(timeout_ms % 1000) * 1000};
    (void)event_add(conn->timer, &tv);
    const struct net_addr *addr = ski_endpoint_addr(endpoint);
    if (connect(conn->fd, (const struct sockaddr *)&addr->ss, addr->len) != 0 && errno != EINPROGRESS)
        lose(conn, "connect", strerror(errno));
    else
        (void)event_add(conn->writable, NULL);
    return conn;
}

void ski_conn_give_up(struct ski_conn *conn, const char *why)
{
    lose(conn, "given up", why);
}

bool ski_conn_mid_answer(const struct ski_conn *conn)
{
    return conn->in_len > 0;
}

uint64_t ski_conn_last_read_ns(const struct ski_conn *conn)
{
    return conn->last_read_ns;
}

void ski_conn_destroy(struct ski_conn **connp)
{
    struct ski_conn *conn = *connp;
    if (conn == NULL)
        return;
    *connp = NULL;
    if (conn->readable != NULL)
        event_free(conn->readable);
    if (conn->writable != NULL)
        event_free(conn->writable);
    if (conn->timer != NULL)
        event_free(conn->timer);
    if (conn->ssl != NULL && conn->phase == OPEN)
        (void)SSL_shutdown(conn->ssl); // close_notify, best effort
    else if (conn->ssl != NULL && !SSL_in_init(conn->ssl))
        SSL_set_shutdown(conn->ssl,
                         SSL_SENT_SHUTDOWN); // or the library would spoil the session for resumption
    ERR_clear_error();
    SSL_free(conn->ssl);
    if (conn->fd >= 0)
        (void)close(conn->fd);
    free(conn->out);
    OPENSSL_cleanse(conn, sizeof *conn);
    free(conn);
}
