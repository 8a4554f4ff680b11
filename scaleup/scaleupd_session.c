#include "scaleup/scaleupd_session.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/tls.h"

#define TOKEN       ((int64_t)1000) // one message
#define OUTPUT_HIGH (64u << 10)     // bytes that wait for the peer beyond which it is not read from
#define FLUSH_MS    5000
#define LINGER_MS   1000

static uint64_t now_ms(void)
{
    return clock_ns() / 1000000;
}

static void wake_in(struct session *s, uint64_t ms)
{
    const struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)evtimer_add(s->timer, &tv);
}

static size_t output_waiting(const struct session *s)
{
    return evbuffer_get_length(bufferevent_get_output(s->bev));
}

// ---- ending

void session_drop(struct session *s)
{
    if (s->state == SESSION_DEAD)
        return;
    s->state = SESSION_DEAD;
    (void)bufferevent_disable(s->bev, EV_READ | EV_WRITE);
    (void)evtimer_del(s->timer);
    server_reap(s->server, s);
}

static void linger(struct session *s)
{
    SSL *ssl = bufferevent_openssl_get_ssl(s->bev);
    if (ssl != NULL) {
        (void)SSL_shutdown(ssl); // our close_notify; the peer's is not waited for
        ERR_clear_error();
    }
    (void)shutdown(bufferevent_getfd(s->bev), SHUT_WR);
    s->state = SESSION_LINGERING;
    (void)evbuffer_drain(bufferevent_get_input(s->bev), SIZE_MAX);
    (void)bufferevent_enable(s->bev, EV_READ);
    wake_in(s, LINGER_MS);
}

void session_finish(struct session *s)
{
    if (s->state == SESSION_HANDSHAKE) {
        session_drop(s);
    } else if (s->state < SESSION_CLOSING) {
        s->state = SESSION_CLOSING;
        (void)bufferevent_disable(s->bev, EV_READ);
        if (output_waiting(s) == 0)
            linger(s);
        else
            wake_in(s, FLUSH_MS);
    }
}

void session_refuse(struct session *s, enum message_error_code code, const char *detail)
{
    struct message message = {.type = MESSAGE_ERROR, .code = code};
    s->server->stats.busy += code == ERROR_BUSY;
    (void)strncpy(message.detail, detail, sizeof message.detail - 1);
    session_send(s, &message);
    session_finish(s);
}

// ---- out

// What is too much is judged before a message is added: one status of many VNFs may be longer than all that.
void session_send(struct session *s, const struct message *message)
{
    if (s->state != SESSION_HELLO && s->state != SESSION_OPEN)
        return;
    if (output_waiting(s) > SERVER_OUTPUT_MAX) {
        s->server->stats.overflows++;
        server_log_rarely("output_not_taken", s, "dropped");
        session_drop(s);
        return;
    }
    size_t len = 0;
    char *line = message_format(message, &len);
    bool good = line != NULL && bufferevent_write(s->bev, line, len) == 0;
    free(line);
    if (!good) {
        log_error("send_failed", "addr=%s reason=\"no memory, or an answer too long\"", s->addr);
        session_drop(s);
    }
}

// ---- in

static void take_hello(struct session *s, const struct message *hello)
{
    const struct scaleupd_server_events *events = &s->server->events;
    enum message_error_code code = ERROR_DENIED;
    struct error why = {0};
    char text[ACCESS_CERT_MAX + 16];

    if (hello->type != MESSAGE_HELLO) {
        session_refuse(s, ERROR_UNEXPECTED, "expected hello as the first message");
        return;
    }
    if (!events->may(events->arg, &s->peer, hello, &code, &why)) {
        s->server->stats.denied++;
        server_log_rarely("denied", s, why.text);
        session_refuse(s, code, why.text);
        return;
    }
    if (events->too_often(events->arg, hello)) {
        session_refuse(s, ERROR_BUSY, "too many hellos");
        return;
    }
    if (hello->role == ROLE_VNF && s->privileged && !server_count_plain(s->server, s)) {
        session_refuse(s, ERROR_BUSY, "too many connections");
        return;
    }
    (void)evtimer_del(s->timer);
    s->hello = *hello;
    s->state = SESSION_OPEN;
    s->greeted = true;
    log_info("session", "addr=%s peer=%s role=%s vnf=%s session=%llu", s->addr,
             access_peer_format(&s->peer, text, sizeof text), hello->role == ROLE_VNF ? "vnf" : "operator",
             hello->vnf[0] != '\0' ? hello->vnf : "-", (unsigned long long)s->id);
    events->hello(events->arg, s->id, hello);
}

static void unexpected(struct session *s, const struct message *message)
{
    struct message answer = {.type = MESSAGE_ERROR, .code = ERROR_UNEXPECTED};
    if (message->type == MESSAGE_UNKNOWN)
        (void)strncpy(answer.detail, "a type that is not known", sizeof answer.detail - 1);
    else if (message->type == MESSAGE_HELLO)
        (void)strncpy(answer.detail, "hello has been said", sizeof answer.detail - 1);
    else
        (void)strncpy(answer.detail, "a message of servers", sizeof answer.detail - 1);
    session_send(s, &answer);
}

static void take_line(struct session *s, const char *line, size_t len)
{
    struct message message;
    struct error why;

    if (!message_parse(line, len, &message, &why)) {
        s->server->stats.malformed++;
        server_log_rarely("malformed", s, why.text);
        session_refuse(s, ERROR_MALFORMED, why.text);
        return;
    }
    s->server->stats.messages++;
    if (message.type == MESSAGE_RESCALE)
        s->tokens -= (SERVER_RESCALE_COST - 1) * TOKEN;
    if (s->state == SESSION_HELLO)
        take_hello(s, &message);
    else if (message.type == MESSAGE_RESCALE || message.type == MESSAGE_RECLAIMING ||
             message.type == MESSAGE_PING || message.type == MESSAGE_STATUS_ASK)
        s->server->events.message(s->server->events.arg, s->id, &message);
    else
        unexpected(s, &message);
    message_release(&message);
}

// Milliseconds until there is a token; 0: one was taken.
static uint64_t take_token(struct session *s)
{
    const int64_t most = SERVER_MESSAGES_AT_ONCE * TOKEN;
    uint64_t now = now_ms(), passed = now - s->refilled_ms;
    int64_t more = passed > 60000 ? most : (int64_t)passed * SERVER_MESSAGES_PER_SECOND * TOKEN / 1000;
    s->refilled_ms = now;
    s->tokens = s->tokens + more < most ? s->tokens + more : most;
    if (s->tokens < TOKEN)
        return (uint64_t)((TOKEN - s->tokens) * 1000 / (SERVER_MESSAGES_PER_SECOND * TOKEN) + 1);
    s->tokens -= TOKEN;
    return 0;
}

// The length of the first line without its LF; -1: it is not all there; -2: it is too long, whole or not.
static ssize_t line_length(struct evbuffer *input)
{
    struct evbuffer_ptr end = evbuffer_search_eol(input, NULL, NULL, EVBUFFER_EOL_LF);
    size_t len = end.pos >= 0 ? (size_t)end.pos + 1 : evbuffer_get_length(input);
    if (len > MESSAGE_LINE_MAX || (end.pos < 0 && len == MESSAGE_LINE_MAX))
        return -2;
    return end.pos >= 0 ? end.pos : -1;
}

static bool may_read(const struct session *s)
{
    return (s->state == SESSION_HELLO || s->state == SESSION_OPEN) && output_waiting(s) <= OUTPUT_HIGH;
}

static void read_lines(struct session *s)
{
    struct evbuffer *input = bufferevent_get_input(s->bev);
    uint64_t pause = 0;
    while (may_read(s)) {
        ssize_t len = line_length(input);
        if (len == -1)
            break;
        if (len == -2) {
            s->server->stats.malformed++;
            session_refuse(s, ERROR_MALFORMED, "a line of more than 16384 bytes");
            break;
        }
        if ((pause = take_token(s)) != 0)
            break;
        const unsigned char *line = evbuffer_pullup(input, len + 1);
        if (line == NULL)
            session_drop(s);
        else
            take_line(s, (const char *)line, (size_t)len);
        if (s->state < SESSION_CLOSING)
            (void)evbuffer_drain(input, (size_t)len + 1);
    }
    if (s->state != SESSION_HELLO && s->state != SESSION_OPEN)
        return;
    if (pause != 0) {
        s->server->stats.throttled++;
        wake_in(s, pause);
    }
    if (pause != 0 || !may_read(s))
        (void)bufferevent_disable(s->bev, EV_READ);
    else
        (void)bufferevent_enable(s->bev, EV_READ);
}

// ---- what the loop says

static void on_read(struct bufferevent *bev, void *arg)
{
    struct session *s = arg;
    if (s->state == SESSION_HELLO || s->state == SESSION_OPEN)
        read_lines(s);
    else
        (void)evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct session *s = arg;
    (void)bev;
    if (s->state == SESSION_CLOSING && output_waiting(s) == 0)
        linger(s);
    else if (s->state == SESSION_HELLO || s->state == SESSION_OPEN)
        read_lines(s); // if it was not read from because it did not read
}

static void begin_hello(struct session *s)
{
    const struct scaleupd_server_events *events = &s->server->events;
    s->state = SESSION_HELLO;
    if (!events->is_known(events->arg, &s->peer)) { // whatever it may say
        s->server->stats.denied++;
        server_log_rarely("denied", s, "no rule names this peer");
        session_refuse(s, ERROR_DENIED, "may nothing here");
        return;
    }
    s->privileged = events->is_operator(events->arg, &s->peer);
    wake_in(s, s->server->options.hello_timeout_ms);
    if (!s->privileged && !server_count_plain(s->server, s))
        session_refuse(s, ERROR_BUSY, "too many connections");
}

static void on_handshake_done(struct session *s)
{
    const SSL *ssl = bufferevent_openssl_get_ssl(s->bev);
    if (!tls_peer_in_date(ssl)) { // a resumed session is not checked again by OpenSSL
        s->server->stats.handshakes_failed++;
        server_log_rarely("handshake_failed", s, "certificate out of date");
        session_drop(s);
        return;
    }
    access_peer_of_tls(ssl, &s->peer);
    begin_hello(s);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct session *s = arg;
    if (s->state == SESSION_DEAD)
        return;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        on_handshake_done(s);
        return;
    }
    if (s->state == SESSION_HANDSHAKE) {
        unsigned long code = bufferevent_get_openssl_error(bev);
        const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
        s->server->stats.handshakes_failed++;
        server_log_rarely("handshake_failed", s, reason != NULL ? reason : "connection closed");
    }
    ERR_clear_error();
    // A peer that has only closed its sending side still gets its answers.
    if ((what & BEV_EVENT_EOF) != 0 && (s->state == SESSION_HELLO || s->state == SESSION_OPEN) &&
        output_waiting(s) > 0)
        session_finish(s);
    else
        session_drop(s);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct session *s = arg;
    (void)fd;
    (void)what;
    switch (s->state) {
    case SESSION_HANDSHAKE:
        s->server->stats.timeouts++;
        session_drop(s);
        break;
    case SESSION_HELLO:
        s->server->stats.timeouts++;
        session_refuse(s, ERROR_TIMEOUT, "no hello in time");
        break;
    case SESSION_OPEN:
        read_lines(s);
        break;
    default:
        session_drop(s);
    }
}

// ---- beginning and end

// TLS on the socket, both given away: libevent closes them also when it fails.
static struct bufferevent *wrap_tls(struct scaleupd_server *server, int fd)
{
    enum { OPTIONS = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS };
    const int one = 1;
    SSL *ssl = SSL_new(server->tls);
    if (ssl == NULL)
        return NULL;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    struct bufferevent *bev =
        bufferevent_openssl_socket_new(server->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, OPTIONS);
    if (bev != NULL)
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

struct session *session_create(struct scaleupd_server *server, uint64_t id, int fd, bool is_unix,
                               const char *addr)
{
    struct bufferevent *bev =
        is_unix ? bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS)
                : wrap_tls(server, fd);
    if (bev == NULL) {
        (void)close(fd);
        return NULL;
    }
    struct session *s = calloc(1, sizeof *s);
    if (s != NULL)
        s->timer = evtimer_new(server->base, on_timer, s);
    if (s == NULL || s->timer == NULL) {
        free(s);
        bufferevent_free(bev);
        return NULL;
    }
    s->server = server;
    s->id = id;
    s->bev = bev;
    s->state = SESSION_HANDSHAKE;
    s->tokens = SERVER_MESSAGES_AT_ONCE * TOKEN;
    s->refilled_ms = now_ms();
    (void)strncpy(s->addr, addr, sizeof s->addr - 1);
    bufferevent_setcb(bev, on_read, on_written, on_event, s);
    bufferevent_setwatermark(bev, EV_READ, 0, MESSAGE_LINE_MAX);
    return s;
}

void session_start(struct session *s)
{
    if (bufferevent_openssl_get_ssl(s->bev) != NULL)
        wake_in(s, s->server->options.hello_timeout_ms);
    else if (access_peer_of_socket(bufferevent_getfd(s->bev), &s->peer))
        begin_hello(s);
    else
        session_drop(s);
    if (s->state < SESSION_CLOSING)
        (void)bufferevent_enable(s->bev, EV_READ | EV_WRITE);
}

void session_free(struct session *s)
{
    event_free(s->timer);
    bufferevent_free(s->bev);
    access_peer_release(&s->peer);
    free(s);
}
