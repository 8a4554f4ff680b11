// The replica's thread: connects, moves bytes between socket and link, keeps the times, comes back.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/tls.h"
#include "kvstore/resp/replica_parts.h"

#define NS_OF_MS      1000000ull
#define ACK_NS        (1000 * NS_OF_MS)
#define BACK_OFF_MS   1000u // doubles with each failure
#define BACK_OFF_MOST 8000u
#define PIECE         ((size_t)64 * 1024)

struct attempt { // to follow a primary, from the connect on
    struct resp_replica *r;
    char host[RESP_REPLICA_HOST];
    unsigned port;
    struct resp_io io;
    struct resp_link link;
    struct resp_link_calls calls;
    uint8_t *piece;
    uint64_t heard_ns, ack_ns;
    struct error why;
};

static bool fail(struct attempt *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct attempt *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(a->why.text, sizeof a->why.text, format, args);
    va_end(args);
    return false;
}

// ---- waiting

// For events of the socket, until the next ACK is due, somebody wakes us, or the primary has been silent too long. False: it is over.
static bool wait_for(struct attempt *a, short events)
{
    struct pollfd fds[2] = {{.fd = a->io.fd, .events = events}, {.fd = a->r->wake_fd, .events = POLLIN}};
    uint64_t now_ns = clock_ns(), silent_ns = a->r->options.timeout_ms * NS_OF_MS;
    if (!resp_replica_is_current(a->r))
        return fail(a, "another primary was named");
    if (now_ns - a->heard_ns >= silent_ns)
        return fail(a, "%s: nothing came for %u s", a->io.shaken ? resp_link_awaits(&a->link) : "connect",
                    a->r->options.timeout_ms / 1000);
    uint64_t until_ns = a->heard_ns + silent_ns;
    if (a->ack_ns != 0 && a->ack_ns + ACK_NS < until_ns)
        until_ns = a->ack_ns + ACK_NS;
    int ms = until_ns <= now_ns ? 0 : (int)((until_ns - now_ns) / NS_OF_MS + 1);
    if (poll(fds, 2, ms) < 0 && errno != EINTR)
        return fail(a, "poll: %s", strerror(errno));
    return resp_replica_is_current(a->r) || fail(a, "another primary was named");
}

// Between two attempts.
static void rest(struct resp_replica *r, unsigned ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&r->lock);
    while (!r->stop && resp_replica_is_current(r) &&
           pthread_cond_timedwait(&r->changed, &r->lock, &until) != ETIMEDOUT)
        ;
    (void)pthread_mutex_unlock(&r->lock);
}

// ---- connecting

static bool resolve(struct attempt *a, struct net_addr *addr)
{
    char text[RESP_REPLICA_HOST + 16];
    bool six = strchr(a->host, ':') != NULL;
    (void)snprintf(text, sizeof text, six ? "[%s]:%u" : "%s:%u", a->host, a->port);
    return net_addr_parse(text, addr, &a->why);
}

static bool connect_to(struct attempt *a)
{
    struct net_addr addr;
    int error = 0, one = 1;
    socklen_t len = sizeof error;
    if (!resolve(a, &addr))
        return false;
    int fd = socket(addr.ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || !resp_io_init(&a->io, fd, a->r->options.tls)) {
        if (fd >= 0)
            (void)close(fd);
        a->io.fd = -1;
        return fail(a, "socket: cannot be set up");
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    if (connect(fd, (const struct sockaddr *)&addr.ss, addr.len) == 0)
        return true;
    if (errno != EINPROGRESS)
        return fail(a, "connect: %s", strerror(errno));
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    do {
        if (!wait_for(a, POLLOUT))
            return false;
    } while (poll(&ready, 1, 0) == 0);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
        return fail(a, "connect: %s", strerror(error != 0 ? error : errno));
    return true;
}

static bool shake_hands(struct attempt *a)
{
    if (a->io.ssl == NULL)
        return true;
    SSL_set_connect_state(a->io.ssl);
    if (!tls_client_set_host(a->io.ssl, a->host, &a->why))
        return false;
    for (;;) {
        enum resp_io_status status = resp_io_handshake(&a->io);
        if (status == RESP_IO_DONE)
            return true;
        if (status != RESP_IO_WAIT_READ && status != RESP_IO_WAIT_WRITE) {
            long verdict = SSL_get_verify_result(a->io.ssl);
            return fail(a, "TLS: %s",
                        verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
                                             : "the handshake failed");
        }
        if (!wait_for(a, status == RESP_IO_WAIT_READ ? POLLIN : POLLOUT))
            return false;
    }
}

// ---- talking

// What the link has come to, for the others.
static void publish(struct attempt *a)
{
    struct resp_replica *r = a->r;
    if (!a->link.streamed)
        return;
    (void)pthread_mutex_lock(&r->lock);
    memcpy(r->id, a->link.id, sizeof r->id);
    (void)pthread_mutex_unlock(&r->lock);
    atomic_store(&r->offset, a->link.offset);
    if (a->link.state == RESP_LINK_STREAM && atomic_load(&r->state) != RESP_REPLICA_CONNECTED) {
        resp_replica_drop_load(r);
        resp_replica_set_state(r, RESP_REPLICA_CONNECTED);
        log_info("replica_connected", "offset=%llu", (unsigned long long)a->link.offset);
    }
}

// Nothing of a primary that is not followed any more is carried out: see resp_replica_follow().
static bool feed(struct attempt *a, size_t len)
{
    struct resp_replica *r = a->r;
    (void)pthread_mutex_lock(&r->apply_lock);
    bool current = resp_replica_is_current(r);
    bool good = current && resp_link_feed(&a->link, a->piece, len);
    if (current)
        publish(a);
    (void)pthread_mutex_unlock(&r->apply_lock);
    explicit_bzero(a->piece, len);
    return good || fail(a, "%s", current ? a->link.error : "another primary was named");
}

static bool acknowledge(struct attempt *a)
{
    struct resp_replica *r = a->r;
    uint64_t now_ns = clock_ns();
    if (a->link.state < RESP_LINK_HEAD || now_ns - a->ack_ns < ACK_NS)
        return true;
    a->ack_ns = now_ns;
    if (r->session.wrote && r->shared->fsync == KV_FSYNC_ALWAYS) { // what is acknowledged is durable
        enum kv_status status = kv_sync(r->shared->store);
        if (status != KV_OK)
            return fail(a, "sync: %s", kv_status_text(status));
        r->session.wrote = false;
    }
    resp_link_ack(&a->link);
    return true;
}

static bool talk(struct attempt *a)
{
    for (;;) {
        size_t got = 0;
        short events = POLLIN;
        if (!acknowledge(a))
            return false;
        enum resp_io_status out =
            a->link.out.length != 0 ? resp_io_write(&a->io, &a->link.out) : RESP_IO_DONE;
        if (out == RESP_IO_FAILED)
            return fail(a, "%s: the connection broke", resp_link_awaits(&a->link));
        if (out == RESP_IO_WAIT_WRITE)
            events |= POLLOUT;
        switch (resp_io_read(&a->io, a->piece, PIECE, &got)) {
        case RESP_IO_DONE:
            a->heard_ns = clock_ns();
            atomic_store(&a->r->last_io_ns, a->heard_ns);
            if (!feed(a, got))
                return false;
            break;
        case RESP_IO_WAIT_READ:
            if (!wait_for(a, events))
                return false;
            break;
        case RESP_IO_WAIT_WRITE:
            if (!wait_for(a, POLLOUT))
                return false;
            break;
        default:
            return fail(a, "%s: the primary closed the connection", resp_link_awaits(&a->link));
        }
    }
}

static unsigned own_port(const struct resp_replica *r)
{
    const struct sockaddr_storage *ss = &r->shared->bound.ss;
    if (ss->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)ss)->sin_port);
    return ss->ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)ss)->sin6_port) : 0;
}

// Returns when the link is down; true: it had come to the stream.
static bool attempt(struct attempt *a)
{
    struct resp_replica *r = a->r;
    struct resp_link_options options = {
        .user = r->options.user, .password = r->options.password, .port = own_port(r)};
    (void)pthread_mutex_lock(&r->lock);
    memcpy(options.id, r->id, sizeof options.id);
    (void)pthread_mutex_unlock(&r->lock);
    options.offset = atomic_load(&r->offset);
    a->io.fd = -1;
    a->heard_ns = clock_ns();
    resp_replica_set_state(r, RESP_REPLICA_CONNECTING);
    a->calls = resp_replica_calls;
    a->calls.arg = r;
    resp_link_begin(&a->link, &options, NULL, &a->calls);
    bool connected = connect_to(a) && shake_hands(a);
    if (connected)
        a->heard_ns = clock_ns();
    if (connected)
        (void)talk(a);
    (void)pthread_mutex_lock(&r->apply_lock);
    resp_replica_drop_load(r);
    (void)pthread_mutex_unlock(&r->apply_lock);
    bool streamed = a->link.streamed;
    resp_link_end(&a->link);
    resp_io_close(&a->io);
    return streamed;
}

// The next one to follow; waits while there is none. False: we stop.
static bool next(struct resp_replica *r, struct attempt *a)
{
    uint64_t word;
    (void)pthread_mutex_lock(&r->lock);
    while (!r->stop && r->host[0] == '\0')
        (void)pthread_cond_wait(&r->changed, &r->lock);
    ssize_t n = read(r->wake_fd, &word, sizeof word);
    (void)n;
    memcpy(a->host, r->host, sizeof a->host);
    a->port = r->port;
    bool go_on = !r->stop;
    if (go_on)
        r->run = atomic_load(&r->generation);
    (void)pthread_mutex_unlock(&r->lock);
    return go_on;
}

void *resp_replica_run(void *arg)
{
    struct resp_replica *r = arg;
    unsigned pause_ms = BACK_OFF_MS;
    uint64_t last_run = 0;
    struct attempt a = {.r = r};
    a.piece = malloc(PIECE);
    while (a.piece != NULL && next(r, &a)) {
        char host[RESP_REPLICA_HOST + 16], why[512];
        a.ack_ns = 0;
        bool streamed = attempt(&a);
        if (!resp_replica_is_current(r))
            continue;
        resp_replica_set_state(r, RESP_REPLICA_CONNECT);
        atomic_fetch_add(&r->failures, 1);
        if (streamed || r->run != last_run)
            pause_ms = BACK_OFF_MS;
        last_run = r->run;
        log_warn("replica_link_down", "host=%s port=%u error=%s again_ms=%u",
                 log_quote(a.host, host, sizeof host), a.port, log_quote(a.why.text, why, sizeof why),
                 pause_ms);
        rest(r, pause_ms);
        pause_ms = pause_ms * 2 < BACK_OFF_MOST ? pause_ms * 2 : BACK_OFF_MOST;
    }
    free(a.piece);
    return NULL;
}
