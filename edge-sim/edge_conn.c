// A user's connection until TLS stands: the handshake, paused while the key server does the private-key
// operation.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/async.h>
#include <openssl/err.h>

#include "common/clock.h"
#include "common/log.h"
#include "edge-sim/edge_internal.h"
#include "edge-sim/ski_conn.h"

void edge_conn_arm(struct edge_conn *conn, unsigned ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    (void)event_add(conn->timer, &tv);
}

static void free_handshake_events(struct edge_conn *conn)
{
    struct event **events[] = {&conn->readable, &conn->writable, &conn->job};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (*events[i] != NULL)
            event_free(*events[i]);
        *events[i] = NULL;
    }
}

static void destroy(struct edge_conn *conn)
{
    free_handshake_events(conn);
    if (conn->timer != NULL)
        event_free(conn->timer);
    if (conn->file_fd >= 0)
        (void)close(conn->file_fd);
    if (conn->bev != NULL) {
        // close_notify, as far as the socket takes it; we do not wait for the user's.
        SSL_set_shutdown(conn->ssl, SSL_get_shutdown(conn->ssl) | SSL_RECEIVED_SHUTDOWN);
        (void)SSL_shutdown(conn->ssl);
        ERR_clear_error();
        bufferevent_free(conn->bev); // with the SSL and the socket
    } else {
        SSL_free(conn->ssl);
        (void)close(conn->fd);
    }
    edge_worker_forget(conn);
    free(conn);
}

void edge_conn_close(struct edge_conn *conn)
{
    // libssl cannot take a paused job back; freeing its SSL would leave the job's stack behind. The key
    // server client bounds the wait.
    if (conn->phase == EDGE_PAUSED)
        conn->doomed = true;
    else
        destroy(conn);
}

static void handshake_failed(struct edge_conn *conn, const char *why)
{
    char quoted[256];
    conn->worker->shared->handshake_failures++;
    log_info("handshake_failed", "reason=%s", log_quote(why, quoted, sizeof quoted));
    destroy(conn);
}

static void handshake_done(struct edge_conn *conn)
{
    const char *name = SSL_get_servername(conn->ssl, TLSEXT_NAMETYPE_host_name);
    char quoted[300];
    conn->worker->shared->handshakes++;
    if (log_get_level() >= LOG_LEVEL_DEBUG)
        log_debug("handshake", "version=%s suite=%s resumed=%s name=%s us=%llu", SSL_get_version(conn->ssl),
                  SSL_get_cipher_name(conn->ssl), SSL_session_reused(conn->ssl) ? "yes" : "no",
                  log_quote(name != NULL ? name : "-", quoted, sizeof quoted),
                  (unsigned long long)((clock_ns() - conn->accepted_ns) / 1000));
    free_handshake_events(conn);
    (void)SSL_clear_mode(conn->ssl, SSL_MODE_ASYNC); // no private key is needed from here on
    conn->phase = EDGE_HTTP;
    if (!edge_http_start(conn))
        destroy(conn);
}

static void step(struct edge_conn *conn);

static void on_job(evutil_socket_t fd, short what, void *arg)
{
    struct edge_conn *conn = arg;
    (void)fd;
    (void)what;
    // The job closes this descriptor when it goes on: the event must be gone by then.
    event_free(conn->job);
    conn->job = NULL;
    step(conn);
}

// Watches the descriptor of the paused job. Our provider has one.
static bool watch_job(struct edge_conn *conn)
{
    OSSL_ASYNC_FD fds[4];
    size_t count = 0;
    if (SSL_get_all_async_fds(conn->ssl, NULL, &count) != 1 || count == 0 || count > 4 ||
        SSL_get_all_async_fds(conn->ssl, fds, &count) != 1)
        return false;
    conn->job = event_new(conn->worker->base, fds[0], EV_READ, on_job, conn);
    return conn->job != NULL && event_add(conn->job, NULL) == 0;
}

// What the error queue tells best: the provider's own words about the key server, else libssl's last reason.
static const char *reason(int ssl_error, char *buf, size_t len)
{
    const char *data = NULL;
    int flags = 0;
    const char *text = ssl_error == SSL_ERROR_SYSCALL && errno != 0 ? strerror(errno) : "closed by the user";
    for (unsigned long code; (code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0;) {
        if (ERR_GET_LIB(code) == ERR_LIB_PROV && (flags & ERR_TXT_STRING) != 0 && *data != '\0') {
            (void)snprintf(buf, len, "%s", data);
            return buf;
        }
        if (ERR_reason_error_string(code) != NULL)
            text = ERR_reason_error_string(code);
    }
    (void)snprintf(buf, len, "%s", text);
    return buf;
}

// After the timer served for something else: what is left of the handshake's time.
static void arm_handshake(struct edge_conn *conn)
{
    uint64_t spent_ms = (clock_ns() - conn->accepted_ns) / 1000000;
    unsigned limit_ms = conn->worker->shared->handshake_ms;
    edge_conn_arm(conn, spent_ms < limit_ms ? limit_ms - (unsigned)spent_ms : 1);
}

// One step of the handshake; the connection may be freed on return.
static void step(struct edge_conn *conn)
{
    char why[256];
    ERR_clear_error();
    errno = 0;
    conn->phase = EDGE_SHAKING;
    int rc = SSL_do_handshake(conn->ssl);
    int err = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(conn->ssl, rc);
    if (err == SSL_ERROR_WANT_ASYNC) {
        conn->phase = EDGE_PAUSED;
        if (!watch_job(conn)) {
            // Without an event the job can only be ended by asking again and again.
            edge_conn_arm(conn, 1);
        }
        return;
    }
    if (conn->doomed)
        handshake_failed(conn, "timed out");
    else if (err == SSL_ERROR_NONE)
        handshake_done(conn);
    else if (err == SSL_ERROR_WANT_READ)
        (void)event_add(conn->readable, NULL);
    else if (err == SSL_ERROR_WANT_WRITE)
        (void)event_add(conn->writable, NULL);
    else if (err == SSL_ERROR_WANT_ASYNC_JOB)
        edge_conn_arm(conn, 1); // no memory for a job's stack: try again
    else
        handshake_failed(conn, reason(err, why, sizeof why));
    ERR_clear_error();
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    step(arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct edge_conn *conn = arg;
    (void)fd;
    (void)what;
    uint64_t limit_ns = (uint64_t)conn->worker->shared->handshake_ms * 1000000u;
    bool late = clock_ns() - conn->accepted_ns >= limit_ns;
    if (conn->phase == EDGE_HTTP)
        destroy(conn);
    else if (conn->phase == EDGE_SHAKING && late)
        handshake_failed(conn, "timed out");
    else if (conn->phase == EDGE_PAUSED && conn->job != NULL)
        conn->doomed = true;
    else {
        conn->doomed = conn->doomed || late;
        arm_handshake(conn);
        step(conn);
    }
}

void edge_conn_accept(struct edge_worker *worker, int fd)
{
    struct edge_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        worker->shared->connections--;
        (void)close(fd);
        return;
    }
    conn->worker = worker;
    conn->fd = fd;
    conn->file_fd = -1;
    conn->accepted_ns = clock_ns();
    conn->next = worker->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    worker->conns = conn;

    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    conn->ssl = SSL_new(edge_sites_default(worker->shared->sites));
    conn->readable = event_new(worker->base, fd, EV_READ, on_socket, conn);
    conn->writable = event_new(worker->base, fd, EV_WRITE, on_socket, conn);
    conn->timer = event_new(worker->base, -1, 0, on_timer, conn);
    if (conn->ssl == NULL || conn->readable == NULL || conn->writable == NULL || conn->timer == NULL ||
        SSL_set_fd(conn->ssl, fd) != 1) {
        destroy(conn);
        return;
    }
    SSL_set_accept_state(conn->ssl);
    (void)SSL_set_mode(conn->ssl, SSL_MODE_ASYNC);
    edge_conn_arm(conn, worker->shared->handshake_ms);
    step(conn);
}
