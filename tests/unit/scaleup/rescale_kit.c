// cmocka wants these first
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "rescale_kit.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "common/clock.h"
#include "common/net.h"

#define PATIENCE_MS 60000
#define LOOK_MS     50 // so many at a time: a machine that stands still for a minute costs one of them

// Until fd can be read; false: not within so many milliseconds.
static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (int left = ms; left > 0; left -= LOOK_MS)
        if (poll(&p, 1, left < LOOK_MS ? left : LOOK_MS) == 1)
            return true;
    return false;
}

// ---- the server

void kit_listen(struct kit_server *server, const char *path)
{
    struct net_addr addr;
    struct error e = {""};
    memset(server, 0, sizeof *server);
    server->fd = -1;
    (void)snprintf(server->address, sizeof server->address, "unix:%s", path);
    assert_true(net_addr_parse(server->address, &addr, &e));
    server->listener = net_listen(&addr, 64, NULL, &e);
    assert_true(server->listener >= 0);
}

void kit_listen_tls(struct kit_server *server, const struct tls_files *files)
{
    struct net_addr addr, bound;
    struct error e = {""};
    memset(server, 0, sizeof *server);
    server->fd = -1;
    server->ctx = tls_server_ctx_create(files, &e);
    assert_non_null(server->ctx);
    assert_true(net_addr_parse("127.0.0.1:0", &addr, &e));
    server->listener = net_listen(&addr, 64, &bound, &e);
    assert_true(server->listener >= 0);
    (void)net_addr_format((const struct sockaddr *)&bound.ss, bound.len, server->address);
}

void kit_hang_up(struct kit_server *server)
{
    SSL_free(server->ssl);
    server->ssl = NULL;
    if (server->fd >= 0)
        (void)close(server->fd);
    server->fd = -1;
    server->in_len = 0;
}

void kit_unlisten(struct kit_server *server)
{
    if (server->listener >= 0)
        (void)close(server->listener);
    server->listener = -1;
}

void kit_stop(struct kit_server *server)
{
    kit_hang_up(server);
    kit_unlisten(server);
    SSL_CTX_free(server->ctx);
    server->ctx = NULL;
}

bool kit_handshake(struct kit_server *server)
{
    kit_hang_up(server);
    assert_true(readable(server->listener, PATIENCE_MS));
    server->fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server->fd >= 0);
    if (server->ctx == NULL)
        return true;
    struct timeval tv = {.tv_sec = PATIENCE_MS / 1000};
    (void)setsockopt(server->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    server->ssl = SSL_new(server->ctx);
    assert_non_null(server->ssl);
    assert_int_equal(SSL_set_fd(server->ssl, server->fd), 1);
    bool good = SSL_accept(server->ssl) == 1;
    ERR_clear_error();
    return good;
}

void kit_accept(struct kit_server *server)
{
    assert_true(kit_handshake(server));
}

// More bytes into server->in; false: nothing came in that time. *ended: the client has closed.
static bool fill(struct kit_server *server, int ms, bool *ended)
{
    assert_true(server->in_len < sizeof server->in);
    bool waiting = server->ssl != NULL && SSL_has_pending(server->ssl) == 1;
    if (!waiting && !readable(server->fd, ms))
        return false;
    char *to = server->in + server->in_len;
    size_t room = sizeof server->in - server->in_len;
    ssize_t n = server->ssl != NULL ? SSL_read(server->ssl, to, (int)room) : read(server->fd, to, room);
    *ended = n <= 0;
    server->in_len += n > 0 ? (size_t)n : 0;
    ERR_clear_error();
    return true;
}

// False: none within that time, or *ended.
static bool next_message(struct kit_server *server, struct message *message, int ms, bool *ended)
{
    struct error e = {""};
    char *lf;
    *ended = false;
    while ((lf = memchr(server->in, '\n', server->in_len)) == NULL)
        if (!fill(server, ms, ended) || *ended)
            return false;
    size_t len = (size_t)(lf - server->in);
    assert_true(len < MESSAGE_LINE_MAX);
    if (!message_parse(server->in, len, message, &e))
        fail_msg("the client says: %.*s: %s", (int)len, server->in, e.text);
    server->in_len -= len + 1;
    memmove(server->in, lf + 1, server->in_len);
    return true;
}

struct message kit_expect(struct kit_server *server, enum message_type type)
{
    struct message message;
    bool ended;
    for (;;) {
        if (!next_message(server, &message, PATIENCE_MS, &ended))
            fail_msg("expected a message of type %d, found %s", (int)type, ended ? "the end" : "nothing");
        if (message.type != MESSAGE_PING || type == MESSAGE_PING)
            break;
        kit_say(server, "{\"type\":\"pong\"}");
    }
    assert_int_equal(message.type, type);
    return message;
}

void kit_expect_end(struct kit_server *server)
{
    struct message message;
    bool ended = false;
    while (next_message(server, &message, PATIENCE_MS, &ended))
        ;
    assert_true(ended);
    kit_hang_up(server);
}

void kit_expect_nothing(struct kit_server *server, int ms)
{
    struct message message;
    bool ended;
    while (next_message(server, &message, ms, &ended))
        assert_int_equal(message.type, MESSAGE_PING);
    assert_false(ended);
}

void kit_say_bytes(struct kit_server *server, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = server->ssl != NULL ? SSL_write(server->ssl, at, (int)len)
                                        : send(server->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return; // it has gone: the test will see it
        at += n;
        len -= (size_t)n;
    }
}

void kit_say(struct kit_server *server, const char *format, ...)
{
    char line[4096];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    assert_true(n > 0 && (size_t)n < sizeof line - 1);
    line[n] = '\n';
    kit_say_bytes(server, line, (size_t)n + 1);
}

struct message kit_welcome(struct kit_server *server, unsigned lease_ms)
{
    kit_accept(server);
    struct message hello = kit_expect(server, MESSAGE_HELLO);
    kit_say(server,
            "{\"type\":\"welcome\",\"version\":1,\"granted_bytes\":268435456,\"granularity\":2097152,"
            "\"min_bytes\":134217728,\"max_bytes\":4294967296,\"lease_ms\":%u,\"backend\":\"simulated\"}",
            lease_ms);
    return hello;
}

// ---- the recorder

void kit_recorder_init(struct kit_recorder *recorder)
{
    pthread_condattr_t attr;
    memset(recorder, 0, sizeof *recorder);
    (void)pthread_mutex_init(&recorder->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&recorder->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
}

void kit_on_event(void *arg, const struct rescale_event *event)
{
    struct kit_recorder *r = arg;
    (void)pthread_mutex_lock(&r->lock);
    if (r->event_count < sizeof r->events / sizeof r->events[0])
        r->events[r->event_count++] = *event;
    (void)pthread_cond_broadcast(&r->wake);
    (void)pthread_mutex_unlock(&r->lock);
}

void kit_on_response(void *arg, const struct response *response)
{
    struct kit_recorder *r = arg;
    (void)pthread_mutex_lock(&r->lock);
    if (r->response_count < sizeof r->responses / sizeof r->responses[0])
        r->responses[r->response_count++] = *response;
    (void)pthread_cond_broadcast(&r->wake);
    (void)pthread_mutex_unlock(&r->lock);
}

// Lock held. Until *count is more than taken.
static bool wait_more(struct kit_recorder *r, const size_t *count, size_t taken)
{
    for (int left = PATIENCE_MS; *count <= taken; left -= LOOK_MS) {
        uint64_t at = clock_ns() + (uint64_t)LOOK_MS * 1000000;
        struct timespec until = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
        if (left <= 0)
            return false;
        (void)pthread_cond_timedwait(&r->wake, &r->lock, &until);
    }
    return true;
}

struct rescale_event kit_event(struct kit_recorder *r, enum rescale_event_type type)
{
    struct rescale_event event = {.type = type};
    bool found = false;
    (void)pthread_mutex_lock(&r->lock);
    while (!found && wait_more(r, &r->event_count, r->event_taken)) {
        event = r->events[r->event_taken++];
        found = event.type == type;
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (!found)
        fail_msg("no event of type %d has come", (int)type);
    return event;
}

struct response kit_response(struct kit_recorder *r)
{
    struct response response = {.final = false};
    (void)pthread_mutex_lock(&r->lock);
    bool found = wait_more(r, &r->response_count, r->response_taken);
    if (found)
        response = r->responses[r->response_taken++];
    (void)pthread_mutex_unlock(&r->lock);
    if (!found)
        fail_msg("no response has come");
    return response;
}
