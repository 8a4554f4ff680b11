#include "common/admin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/net.h"

enum { ADMIN_BACKLOG = 64, ADMIN_HEADERS_MAX = 8192, ADMIN_TIMEOUT_S = 10, ADMIN_PAUSE_MS = 100 };

struct admin_page {
    struct admin_page *next;
    const char *path;
    const char *type;   // of a text; NULL: plain
    admin_text_fn text; // one of the four
    admin_json_fn json;
    const struct metrics *metrics;
    const struct admin_file *file;
    void *arg;
};

// A connection: evhttp does not say when one ends. So its bufferevent is held here as well; evhttp has callbacks in it for as long as it uses it, and
// frees it with bufferevent_free(), which takes them out. Descriptors say nothing: the number of one that is closed is soon another thread's.
struct admin_place {
    struct bufferevent *held; // NULL: the place is free
};

struct admin {
    struct admin *next_port;
    struct evhttp *http;
    struct evconnlistener *listener; // evhttp's
    struct event *pause;
    struct admin_place places[ADMIN_CONNECTIONS_MAX];
    struct admin_page *pages;
};

// What a browser may do with any of the pages: names of edges are in some of them, and come from outside.
static const char *const headers[][2] = {
    {"Cache-Control", "no-store"},
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
};

static void reply(struct evhttp_request *request, int code, const char *type, const void *text, size_t len)
{
    struct evbuffer *body = evbuffer_new();
    if (body == NULL || evbuffer_add(body, text, len) != 0) {
        evhttp_send_error(request, 500, NULL);
    } else {
        struct evkeyvalq *head = evhttp_request_get_output_headers(request);
        (void)evhttp_add_header(head, "Content-Type", type);
        for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
            (void)evhttp_add_header(head, headers[i][0], headers[i][1]);
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
    if (page->type != NULL)
        *type = page->type;
    return page->text(page->arg, out);
}

static void on_page(struct evhttp_request *request, void *arg)
{
    const struct admin_page *page = arg;
    const char *type = NULL;
    char *text = NULL;
    size_t len = 0;
    int code = 500;
    if (page->file != NULL) {
        reply(request, 200, page->file->type, page->file->bytes, page->file->len);
        return;
    }
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

// ---- so many connections and no more: an operator's port must not eat the descriptors of the daemon

static bool is_in_use(struct bufferevent *bev)
{
    bufferevent_event_cb on_event = NULL;
    bufferevent_getcb(bev, NULL, NULL, &on_event, NULL);
    return on_event != NULL;
}

static bool is_taken(struct admin_place *place)
{
    if (place->held != NULL && !is_in_use(place->held)) {
        (void)bufferevent_decref(place->held);
        place->held = NULL;
    }
    return place->held != NULL;
}

// NULL: all are taken.
static struct admin_place *free_place(struct admin *admin)
{
    for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        if (!is_taken(&admin->places[i]))
            return &admin->places[i];
    return NULL;
}

// evhttp puts its own callbacks in the place of this one before it does anything else.
static void on_event_before_evhttp(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what;
    (void)arg;
}

// New ones wait in the backlog.
static void pause_listening(const struct admin *admin)
{
    const struct timeval pause = {.tv_usec = ADMIN_PAUSE_MS * 1000};
    (void)evconnlistener_disable(admin->listener);
    (void)evtimer_add(admin->pause, &pause);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct admin *admin = arg;
    (void)fd;
    (void)what;
    if (free_place(admin) == NULL)
        pause_listening(admin);
    else
        (void)evconnlistener_enable(admin->listener);
}

// For each connection that has been accepted. NULL: evhttp makes its own.
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
    struct admin *admin = arg;
    struct admin_place *place = free_place(admin);
    struct bufferevent *bev = place != NULL ? bufferevent_socket_new(base, -1, 0) : NULL;
    if (bev != NULL) {
        bufferevent_incref(bev);
        bufferevent_setcb(bev, NULL, NULL, on_event_before_evhttp, NULL);
        place->held = bev;
    }
    if (free_place(admin) == NULL)
        pause_listening(admin);
    return bev;
}

// The listener's callbacks have evhttp's argument, not ours: so ports are found by their listeners.
static struct admin *all_ports;
static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER;

static void enlist(struct admin *admin)
{
    (void)pthread_mutex_lock(&ports_lock);
    admin->next_port = all_ports;
    all_ports = admin;
    (void)pthread_mutex_unlock(&ports_lock);
}

static void delist(const struct admin *admin)
{
    (void)pthread_mutex_lock(&ports_lock);
    for (struct admin **at = &all_ports; *at != NULL; at = &(*at)->next_port)
        if (*at == admin) {
            *at = admin->next_port;
            break;
        }
    (void)pthread_mutex_unlock(&ports_lock);
}

// Out of descriptors, say. Without a pause the loop would try again without end.
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    int error = errno;
    (void)arg;
    (void)pthread_mutex_lock(&ports_lock);
    const struct admin *admin = all_ports;
    while (admin != NULL && admin->listener != listener)
        admin = admin->next_port;
    (void)pthread_mutex_unlock(&ports_lock);
    log_error("admin_accept_failed", "reason=\"%s\"", strerror(error));
    if (admin != NULL) // its loop's thread is this one
        pause_listening(admin);
}

// Takes the socket, unless it fails.
static bool serve(struct admin *admin, struct event_base *base, int fd)
{
    admin->http = evhttp_new(base);
    admin->pause = evtimer_new(base, on_pause_over, admin);
    if (admin->http == NULL || admin->pause == NULL)
        return false;
    struct evhttp_bound_socket *socket = evhttp_accept_socket_with_handle(admin->http, fd);
    if (socket == NULL)
        return false;
    admin->listener = evhttp_bound_socket_get_listener(socket);
    enlist(admin);
    evconnlistener_set_error_cb(admin->listener, on_accept_error);
    evhttp_set_bevcb(admin->http, on_connection, admin);
    return true;
}

// ---- start

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
    struct net_addr addr;
    if (!net_addr_parse(addr_text, &addr, e))
        return NULL;
    int fd = net_listen(&addr, ADMIN_BACKLOG, NULL, e);
    return fd >= 0 ? admin_start_on(base, fd, e) : NULL;
}

int admin_socket(const struct admin *admin)
{
    return evconnlistener_get_fd(admin->listener);
}

struct admin *admin_start_on(struct event_base *base, int fd, struct error *e)
{
    struct net_addr bound = {.len = sizeof bound.ss};
    (void)getsockname(fd, (struct sockaddr *)&bound.ss, &bound.len);
    struct admin *admin = calloc(1, sizeof *admin);
    bool accepting = admin != NULL && serve(admin, base, fd);
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

bool admin_typed(struct admin *admin, const char *path, const char *type, admin_text_fn page, void *arg)
{
    return add(admin, (struct admin_page){.path = path, .type = type, .text = page, .arg = arg});
}

bool admin_file(struct admin *admin, const struct admin_file *file)
{
    return add(admin, (struct admin_page){.path = file->path, .file = file});
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
    delist(admin);
    if (admin->http != NULL)
        evhttp_free(admin->http);
    for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        (void)is_taken(&admin->places[i]); // all have ended: lets go of them
    if (admin->pause != NULL)
        event_free(admin->pause);
    while (admin->pages != NULL) {
        struct admin_page *page = admin->pages;
        admin->pages = page->next;
        free(page);
    }
    free(admin);
    *admin_ptr = NULL;
}
