#include "common/adminhttp.h"

#include <event2/buffer.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <unistd.h>

#include "common/log.h"
#include "common/net.h"

void adminhttp_reply(struct evhttp_request *request, int code, const char *type, const char *text, size_t len)
{
    struct evbuffer *body = evbuffer_new();
    if (body == NULL || evbuffer_add(body, text, len) != 0) {
        evhttp_send_error(request, 500, NULL);
    } else {
        (void)evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
        (void)evhttp_add_header(evhttp_request_get_output_headers(request), "Cache-Control", "no-store");
        evhttp_send_reply(request, code, NULL, body);
    }
    if (body != NULL)
        evbuffer_free(body);
}

static void on_other(struct evhttp_request *request, void *arg)
{
    (void)arg;
    adminhttp_reply(request, 404, "text/plain", "not found\n", 10);
}

static bool is_loopback(const struct net_addr *addr)
{
    if (addr->ss.ss_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)&addr->ss)->sin_addr.s_addr) >> 24) == 127;
    if (addr->ss.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&addr->ss)->sin6_addr);
    return true;
}

struct evhttp *adminhttp_start(struct event_base *base, const char *address, struct error *e)
{
    struct net_addr addr, bound;
    char text[NET_ADDR_TEXT];

    if (!net_addr_parse(address, &addr, e))
        return NULL;
    int fd = net_listen(&addr, 64, &bound, e);
    if (fd < 0)
        return NULL;
    struct evhttp *http = evhttp_new(base);
    if (http == NULL || evhttp_accept_socket(http, fd) != 0) {
        error_set(e, "admin port: out of memory");
        (void)close(fd);
        if (http != NULL)
            evhttp_free(http);
        return NULL;
    }
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(http, 8192);
    evhttp_set_max_body_size(http, 0);
    evhttp_set_timeout(http, 10);
    evhttp_set_gencb(http, on_other, NULL);
    log_info("admin_listening", "addr=%s",
             net_addr_format((const struct sockaddr *)&bound.ss, bound.len, text));
    if (!is_loopback(&bound))
        log_warn("admin_exposed",
                 "addr=%s note=\"the admin port has neither TLS nor authentication: keep it on loopback\"",
                 text);
    return http;
}
