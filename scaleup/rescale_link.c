#include "scaleup/rescale_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>

#include "common/net.h"
#include "scaleup/message.h"
#include "scaleup/rescale_resolve.h"

#define UNSENT_MAX ((size_t)256 * 1024)
#define HOST_MAX   256

struct rescale_link {
    struct event_base *base;
    struct rescale_link_owner owner;
    char *address;
    char host[HOST_MAX]; // "": a Unix socket
    struct tls_files files;
    SSL_CTX *ctx;
    struct rescale_resolve *resolve;
    struct event *resolved;
    struct event *greet; // a Unix socket connects at once: the owner hears of it from the loop
    struct bufferevent *bev;
    bool up;
    size_t searched; // bytes of the input without LF: a line that comes byte by byte is looked through once
};

static void lost(struct rescale_link *link, const char *what, const char *why)
{
    char text[320];
    (void)snprintf(text, sizeof text, "%.120s: %s%s%s", link->address, what, what[0] != '\0' ? ": " : "",
                   why);
    rescale_link_drop(link);
    link->owner.disconnected(link->owner.arg, text);
}

// ---- lines

static struct evbuffer_ptr find_lf(struct rescale_link *link, struct evbuffer *input)
{
    struct evbuffer_ptr from, none = {.pos = -1};
    if (evbuffer_ptr_set(input, &from, link->searched, EVBUFFER_PTR_SET) != 0)
        return none;
    return evbuffer_search(input, "\n", 1, &from);
}

// Hands over one line. False: there is no whole one, or the link is gone.
static bool take_line(struct rescale_link *link)
{
    struct bufferevent *bev = link->bev;
    struct evbuffer *input = bufferevent_get_input(bev);
    size_t have = evbuffer_get_length(input);
    ev_ssize_t at = have > link->searched ? find_lf(link, input).pos : -1;
    size_t line = at >= 0 ? (size_t)at + 1 : have;
    if (line > MESSAGE_ANSWER_MAX || (at < 0 && line == MESSAGE_ANSWER_MAX)) {
        lost(link, "", "malformed: a line of more than 1 MiB");
        return false;
    }
    if (at < 0) {
        link->searched = have;
        return false;
    }
    link->searched = 0;
    const unsigned char *text = evbuffer_pullup(input, (ev_ssize_t)line);
    if (text == NULL) {
        lost(link, "read", "no memory");
        return false;
    }
    link->owner.line(link->owner.arg, (const char *)text, line - 1);
    if (link->bev != bev)
        return false;
    return evbuffer_drain(input, line) == 0;
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct rescale_link *link = arg;
    while (link->bev == bev && link->up && take_line(link))
        ;
}

bool rescale_link_send(struct rescale_link *link, const char *line, size_t len)
{
    if (link->bev == NULL || !link->up)
        return false;
    struct evbuffer *output = bufferevent_get_output(link->bev);
    return evbuffer_get_length(output) + len <= UNSENT_MAX && bufferevent_write(link->bev, line, len) == 0;
}

// ---- events

// Why a TLS connection ended: the certificate that was refused, what OpenSSL says, or the socket's error.
static const char *reason(struct rescale_link *link, short what, int socket_error)
{
    SSL *ssl = link->host[0] != '\0' ? bufferevent_openssl_get_ssl(link->bev) : NULL;
    unsigned long code = ssl != NULL ? bufferevent_get_openssl_error(link->bev) : 0;
    const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;
    long verify = ssl != NULL && !link->up ? SSL_get_verify_result(ssl) : X509_V_OK;
    if (verify != X509_V_OK)
        return X509_verify_cert_error_string(verify);
    if (text != NULL)
        return text;
    if ((what & BEV_EVENT_EOF) == 0 && socket_error != 0)
        return strerror(socket_error);
    return "closed by the server";
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct rescale_link *link = arg;
    int socket_error = EVUTIL_SOCKET_ERROR();
    if (link->bev != bev)
        return;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        link->up = true;
        link->owner.connected(link->owner.arg);
        on_read(bev, link);
        return;
    }
    if (!link->up) { // of the connect(), which the handshake has stumbled over
        int err = 0;
        socklen_t len = sizeof err;
        if (getsockopt(bufferevent_getfd(bev), SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err != 0)
            socket_error = err;
    }
    const char *why = reason(link, what, socket_error);
    lost(link, link->up ? "" : "connect", why);
    ERR_clear_error();
}

static void on_greet(evutil_socket_t fd, short what, void *arg)
{
    struct rescale_link *link = arg;
    (void)fd;
    (void)what;
    if (link->bev != NULL)
        on_event(link->bev, BEV_EVENT_CONNECTED, link);
}

// ---- connecting

static bool open_bev(struct rescale_link *link, int fd, struct error *e)
{
    const int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
    if (link->host[0] == '\0') {
        link->bev = bufferevent_socket_new(link->base, fd, options);
    } else {
        SSL *ssl = SSL_new(link->ctx);
        if (ssl != NULL && !tls_client_set_host(ssl, link->host, e)) {
            SSL_free(ssl);
            return false;
        }
        if (ssl != NULL) // which frees it when it fails
            link->bev =
                bufferevent_openssl_socket_new(link->base, fd, ssl, BUFFEREVENT_SSL_CONNECTING, options);
        if (link->bev != NULL)
            bufferevent_openssl_set_allow_dirty_shutdown(link->bev, 1);
    }
    ERR_clear_error();
    if (link->bev == NULL) {
        error_set(e, "%.120s: no memory", link->address);
        return false;
    }
    bufferevent_setcb(link->bev, on_read, NULL, on_event, link);
    bufferevent_setwatermark(link->bev, EV_READ, 0, MESSAGE_ANSWER_MAX);
    (void)bufferevent_enable(link->bev, EV_READ | EV_WRITE);
    return true;
}

static bool connect_to(struct rescale_link *link, const struct net_addr *addr, struct error *e)
{
    int fd = socket(addr->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int one = 1;
    if (fd >= 0 && addr->ss.ss_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd < 0 || (connect(fd, (const struct sockaddr *)&addr->ss, addr->len) != 0 && errno != EINPROGRESS)) {
        error_set(e, "%.120s: connect: %s", link->address, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    link->searched = 0;
    link->up = false;
    if (!open_bev(link, fd, e)) {
        (void)close(fd);
        return false;
    }
    if (link->host[0] == '\0')
        event_active(link->greet, EV_TIMEOUT, 0);
    return true;
}

static void on_resolved(evutil_socket_t fd, short what, void *arg)
{
    struct rescale_link *link = arg;
    struct net_addr addr;
    struct error e = {""};
    (void)fd;
    (void)what;
    bool good = rescale_resolve_result(link->resolve, &addr, &e);
    event_free(link->resolved);
    link->resolved = NULL;
    rescale_resolve_end(&link->resolve);
    if (good && connect_to(link, &addr, &e))
        return;
    link->owner.disconnected(link->owner.arg, e.text);
}

static bool start_resolving(struct rescale_link *link, struct error *e)
{
    link->resolve = rescale_resolve_start(link->address, e);
    if (link->resolve == NULL)
        return false;
    link->resolved = event_new(link->base, rescale_resolve_fd(link->resolve), EV_READ, on_resolved, link);
    if (link->resolved != NULL && event_add(link->resolved, NULL) == 0)
        return true;
    error_set(e, "%.120s: no memory", link->address);
    rescale_link_drop(link);
    return false;
}

bool rescale_link_connect(struct rescale_link *link, struct error *e)
{
    struct net_addr addr;
    SSL_CTX *fresh = link->host[0] != '\0' ? tls_client_ctx_create(&link->files, NULL) : NULL;
    if (fresh != NULL) {
        SSL_CTX_free(link->ctx);
        link->ctx = fresh;
    }
    if (!rescale_resolve_is_literal(link->address))
        return start_resolving(link, e);
    return net_addr_parse(link->address, &addr, e) && connect_to(link, &addr, e);
}

void rescale_link_drop(struct rescale_link *link)
{
    if (link->resolved != NULL)
        event_free(link->resolved);
    link->resolved = NULL;
    rescale_resolve_end(&link->resolve);
    (void)event_del(link->greet);
    if (link->bev != NULL)
        bufferevent_free(link->bev);
    link->bev = NULL;
    link->up = false;
}

// ---- the link

static bool copy_tls(struct rescale_link *link, const struct tls_files *tls, struct error *e)
{
    if (tls == NULL || tls->cert_file == NULL || tls->key_file == NULL || tls->ca_file == NULL) {
        error_set(e, "%.120s: expected certificate, key and CA for TLS", link->address);
        return false;
    }
    link->ctx = tls_client_ctx_create(tls, e);
    if (link->ctx == NULL)
        return false;
    link->files = (struct tls_files){.cert_file = strdup(tls->cert_file),
                                     .key_file = strdup(tls->key_file),
                                     .ca_file = strdup(tls->ca_file)};
    if (link->files.cert_file != NULL && link->files.key_file != NULL && link->files.ca_file != NULL)
        return true;
    error_set(e, "%.120s: no memory", link->address);
    return false;
}

static bool check_address(struct rescale_link *link, const struct tls_files *tls, struct error *e)
{
    struct net_addr addr;
    char url[HOST_MAX + 32], host_port[HOST_MAX + 16];
    if (strncmp(link->address, "unix:", 5) == 0)
        return net_addr_parse(link->address, &addr, e);
    int len = snprintf(url, sizeof url, "https://%s", link->address);
    const char *colon = strrchr(link->address, ':'), *bracket = strrchr(link->address, ']');
    bool port = colon != NULL && (bracket == NULL || colon > bracket); // a URL could do without
    if (len >= (int)sizeof url || !port ||
        !net_url_parse(url, link->host, sizeof link->host, host_port, sizeof host_port, NULL) ||
        strchr(link->address, '/') != NULL) {
        error_set(e, "%.200s: expected unix:PATH or HOST:PORT", link->address);
        return false;
    }
    return copy_tls(link, tls, e);
}

struct rescale_link *rescale_link_create(struct event_base *base, const char *address,
                                         const struct tls_files *tls, const struct rescale_link_owner *owner,
                                         struct error *e)
{
    struct rescale_link *link = calloc(1, sizeof *link);
    if (link != NULL) {
        link->base = base;
        link->owner = *owner;
        link->address = strdup(address);
        link->greet = event_new(base, -1, 0, on_greet, link);
    }
    if (link == NULL || link->address == NULL || link->greet == NULL)
        error_set(e, "%.120s: no memory", address);
    else if (check_address(link, tls, e))
        return link;
    rescale_link_destroy(&link);
    return NULL;
}

void rescale_link_destroy(struct rescale_link **linkp)
{
    struct rescale_link *link = *linkp;
    if (link == NULL)
        return;
    *linkp = NULL;
    if (link->greet != NULL) {
        rescale_link_drop(link);
        event_free(link->greet);
    }
    SSL_CTX_free(link->ctx);
    free((char *)link->files.cert_file);
    free((char *)link->files.key_file);
    free((char *)link->files.ca_file);
    free(link->address);
    free(link);
}
