#include "common/admin.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/net.h"

enum { ADMIN_BACKLOG = 64, ADMIN_HEADERS_MAX = 8192, ADMIN_TIMEOUT_S = 10 };

struct admin_page {
    struct admin_page *next;
    const char *path;
    admin_text_fn text; // one of the three
    admin_json_fn json;
    const struct metrics *metrics;
    void *arg;
};

struct admin {
    struct evhttp *http;
    struct admin_page *pages;
};

static void reply(struct evhttp_request *request, int code, const char *type, const char *text, size_t len)
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

static int write_json(const struct admin_page *page, FILE *out)
{
    json_t *object = page->json(page->arg);
    bool good = object != NULL && json_dumpf(object, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF;
    json_decref(object);
    return good ? 200 : 500;
}

static int write_page(const struct admin_page *page, FILE *out, const char **type)
{
    *type = strcmp(page->path, "/metrics") == 0 ? "text/plain; version=0.0.4; charset=utf-8" : "text/plain";
    if (page->metrics != NULL) {
        metrics_render(page->metrics, out);
        return 200;
    }
    if (page->json != NULL) {
        *type = "application/json";
        return write_json(page, out);
    }
    return page->text(page->arg, out);
}

static void on_page(struct evhttp_request *request, void *arg)
{
    const struct admin_page *page = arg;
    const char *type = NULL;
    char *text = NULL;
    size_t len = 0;
    int code = 500;
    FILE *out = open_memstream(&text, &len);
    if (out != NULL) {
        code = write_page(page, out, &type);
        if (fclose(out) != 0)
            code = 500;
    }
    if (text != NULL && code != 500)
        reply(request, code, type, text, len);
    else
        evhttp_send_error(request, 500, NULL);
    free(text);
}

static void on_other(struct evhttp_request *request, void *arg)
{
    static const char text[] = "not found\n";
    (void)arg;
    reply(request, 404, "text/plain", text, sizeof text - 1);
}

static int healthz(void *arg, FILE *out)
{
    (void)arg;
    (void)fputs("ok\n", out);
    return 200;
}

static void tell(const struct net_addr *bound)
{
    char text[NET_ADDR_TEXT];
    (void)net_addr_format((const struct sockaddr *)&bound->ss, bound->len, text);
    log_info("admin_listening", "addr=%s", text);
    if (!net_addr_is_loopback(bound))
        log_warn("admin_exposed",
                 "addr=%s note=\"the admin port has neither TLS nor authentication: keep it on loopback\"",
                 text);
}

struct admin *admin_start(struct event_base *base, const char *addr_text, struct error *e)
{
    struct net_addr addr, bound;
    if (!net_addr_parse(addr_text, &addr, e))
        return NULL;
    int fd = net_listen(&addr, ADMIN_BACKLOG, &bound, e);
    if (fd < 0)
        return NULL;
    struct admin *admin = calloc(1, sizeof *admin);
    if (admin != NULL)
        admin->http = evhttp_new(base);
    bool accepting = admin != NULL && admin->http != NULL && evhttp_accept_socket(admin->http, fd) == 0;
    if (!accepting)
        (void)close(fd);
    if (!accepting || !admin_text(admin, "/healthz", healthz, NULL)) {
        error_set(e, "admin port: out of memory");
        admin_stop(&admin);
        return NULL;
    }
    evhttp_set_allowed_methods(admin->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(admin->http, ADMIN_HEADERS_MAX);
    evhttp_set_max_body_size(admin->http, 0);
    evhttp_set_timeout(admin->http, ADMIN_TIMEOUT_S);
    evhttp_set_gencb(admin->http, on_other, NULL);
    tell(&bound);
    return admin;
}

static bool add(struct admin *admin, struct admin_page page)
{
    struct admin_page *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return false;
    (void)evhttp_del_cb(admin->http, page.path);
    *copy = page;
    copy->next = admin->pages;
    if (evhttp_set_cb(admin->http, page.path, on_page, copy) != 0) {
        free(copy);
        return false;
    }
    admin->pages = copy;
    return true;
}

bool admin_text(struct admin *admin, const char *path, admin_text_fn page, void *arg)
{
    return add(admin, (struct admin_page){.path = path, .text = page, .arg = arg});
}

bool admin_json(struct admin *admin, const char *path, admin_json_fn page, void *arg)
{
    return add(admin, (struct admin_page){.path = path, .json = page, .arg = arg});
}

bool admin_metrics(struct admin *admin, const struct metrics *metrics)
{
    return add(admin, (struct admin_page){.path = "/metrics", .metrics = metrics});
}

void admin_stop(struct admin **admin_ptr)
{
    struct admin *admin = *admin_ptr;
    if (admin == NULL)
        return;
    if (admin->http != NULL)
        evhttp_free(admin->http);
    while (admin->pages != NULL) {
        struct admin_page *page = admin->pages;
        admin->pages = page->next;
        free(page);
    }
    free(admin);
    *admin_ptr = NULL;
}
