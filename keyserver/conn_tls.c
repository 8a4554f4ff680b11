// A connection's bytes: TLS straight between the socket and the buffers of requests and answers. libevent tells when
// the socket is ready; its own TLS buffers would cost a copy, an allocation and two changes of what is waited for each
// time.
//
// TLS reads ahead: one call fetches as many records as have come, and may leave some inside, of which no event will
// tell (c->may_read).
#include "keyserver/conn_internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define RECORD_MAX 4096 // of ours, which are short: OpenSSL takes and wipes a buffer of that size for each

bool conn_tls_open(struct conn *c, event_callback_fn on_readable, event_callback_fn on_writable)
{
    struct event_base *base = c->loop->base;
    c->ssl = server_new_ssl(c->loop->server, c->peer->migration);
    c->readable = event_new(base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(base, c->fd, EV_WRITE, on_writable, c);
    if (c->ssl == NULL || c->readable == NULL || c->writable == NULL || SSL_set_fd(c->ssl, c->fd) != 1) {
        ERR_clear_error();
        return false;
    }
    if (!c->peer->migration)
        conn_verify(c);
    (void)SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_set_max_send_fragment(c->ssl, RECORD_MAX);
    SSL_set_read_ahead(c->ssl, 1);
    SSL_set_accept_state(c->ssl);
    return true;
}

static void drop_output(struct conn *c)
{
    if (c->out != NULL)
        OPENSSL_cleanse(c->out + c->out_at, c->out_len);
    free(c->out);
    c->out = NULL;
    c->out_at = c->out_len = c->out_capacity = 0;
    c->output_pending = false;
}

void conn_tls_close(struct conn *c)
{
    drop_output(c);
    if (c->readable != NULL)
        event_free(c->readable);
    if (c->writable != NULL)
        event_free(c->writable);
    SSL_free(c->ssl);
    (void)close(c->fd);
}

void conn_tls_want_read(struct conn *c, bool wanted)
{
    if (wanted == c->reading)
        return;
    c->reading = wanted;
    if (wanted)
        (void)event_add(c->readable, NULL);
    else
        (void)event_del(c->readable);
}

// What a call of OpenSSL's came to.
static enum conn_io outcome(struct conn *c, int result)
{
    if (result > 0)
        return CONN_IO_DONE;
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_WRITE:
        return event_add(c->writable, NULL) == 0 ? CONN_IO_WAIT : CONN_IO_GONE;
    case SSL_ERROR_WANT_READ:
        return CONN_IO_WAIT;
    default:
        return CONN_IO_GONE;
    }
}

enum conn_io conn_tls_handshake(struct conn *c)
{
    ERR_clear_error(); // SSL_get_error() looks at what others left, too
    enum conn_io io = outcome(c, SSL_do_handshake(c->ssl));
    c->may_read = io == CONN_IO_DONE && SSL_has_pending(c->ssl) == 1;
    return io;
}

enum conn_io conn_tls_read(struct conn *c, char *buf, size_t room, size_t *len)
{
    ERR_clear_error();
    enum conn_io io = outcome(c, SSL_read_ex(c->ssl, buf, room, len));
    c->may_read = io == CONN_IO_DONE && SSL_has_pending(c->ssl) == 1;
    if (io == CONN_IO_GONE)
        ERR_clear_error();
    return io;
}

// Sends as much as the socket takes. False: it failed.
static bool send_some(struct conn *c, const char *bytes, size_t len, size_t *sent)
{
    enum conn_io io = CONN_IO_DONE;
    size_t n;
    *sent = 0;
    ERR_clear_error();
    while (*sent < len && io == CONN_IO_DONE) {
        io = outcome(c, SSL_write_ex(c->ssl, bytes + *sent, len - *sent, &n));
        if (io == CONN_IO_DONE)
            *sent += n;
    }
    if (io == CONN_IO_GONE)
        ERR_clear_error();
    return io != CONN_IO_GONE;
}

// Makes room for len more bytes of output. A block that is left is wiped.
static bool reserve_output(struct conn *c, size_t len)
{
    if (c->out_capacity - c->out_at - c->out_len >= len)
        return true;
    size_t capacity = 2 * (c->out_len + len);
    char *out = malloc(capacity);
    if (out == NULL)
        return false;
    if (c->out != NULL) {
        memcpy(out, c->out + c->out_at, c->out_len);
        OPENSSL_cleanse(c->out + c->out_at, c->out_len);
        free(c->out);
    }
    c->out = out;
    c->out_at = 0;
    c->out_capacity = capacity;
    return true;
}

static bool keep(struct conn *c, const char *bytes, size_t len)
{
    if (len == 0)
        return true;
    if (!reserve_output(c, len))
        return false;
    memcpy(c->out + c->out_at + c->out_len, bytes, len);
    c->out_len += len;
    if (!c->output_pending) {
        c->output_pending = true;
        c->output_since_ns = clock_ns();
    }
    return true;
}

bool conn_tls_send(struct conn *c, char *bytes, size_t len)
{
    size_t sent = 0;
    bool good = c->out_len > 0 || send_some(c, bytes, len, &sent);
    good = good && keep(c, bytes + sent, len - sent);
    OPENSSL_cleanse(bytes, len);
    return good;
}

bool conn_tls_flush(struct conn *c)
{
    size_t sent;
    if (c->out_len == 0)
        return true;
    if (!send_some(c, c->out + c->out_at, c->out_len, &sent))
        return false;
    OPENSSL_cleanse(c->out + c->out_at, sent);
    c->out_at += sent;
    c->out_len -= sent;
    if (sent > 0)
        c->output_since_ns = clock_ns(); // the peer takes its answers
    if (c->out_len == 0)
        drop_output(c);
    return true;
}

void conn_tls_shutdown(struct conn *c)
{
    ERR_clear_error();
    (void)SSL_shutdown(c->ssl); // our close_notify; the peer's is not waited for
    ERR_clear_error();
}
