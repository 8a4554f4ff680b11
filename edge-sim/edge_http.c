// A user's connection once TLS stands: HTTP/1.1, GET and HEAD on files. One answer at a time; further
// requests wait in the input, and the input is bounded, so a user who does not read is not read from.
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>

#include "common/log.h"
#include "edge-sim/edge_internal.h"
#include "edge-sim/http_request.h"

#define BODY_CHUNK (64 * 1024)

static const char *status_text(unsigned status)
{
    switch (status) {
    case 200:
        return "200 OK";
    case 301:
        return "301 Moved Permanently";
    case 400:
        return "400 Bad Request";
    case 404:
        return "404 Not Found";
    case 405:
        return "405 Method Not Allowed";
    case 414:
        return "414 URI Too Long";
    case 431:
        return "431 Request Header Fields Too Large";
    case 505:
        return "505 HTTP Version Not Supported";
    default:
        return "500 Internal Server Error";
    }
}

static void add_head(struct evbuffer *out, const struct edge_conn *conn, unsigned status, const char *type,
                     uint64_t length, const char *extra)
{
    char date[40];
    struct tm tm;
    time_t now = time(NULL);
    (void)gmtime_r(&now, &tm);
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    (void)evbuffer_add_printf(out,
                              "HTTP/1.1 %s\r\nDate: %s\r\nServer: edge-sim\r\nContent-Type: %s\r\n"
                              "Content-Length: %llu\r\n%s%s\r\n",
                              status_text(status), date, type, (unsigned long long)length, extra,
                              conn->last ? "Connection: close\r\n" : "");
}

// Moves the next piece of the file into out. False when the file has become shorter than was promised.
static bool add_body(struct edge_conn *conn, struct evbuffer *out)
{
    struct evbuffer_iovec space;
    size_t want = conn->file_left < BODY_CHUNK ? (size_t)conn->file_left : BODY_CHUNK;
    if (want == 0)
        return true;
    if (evbuffer_reserve_space(out, (ev_ssize_t)want, &space, 1) != 1)
        return false;
    ssize_t n = pread(conn->file_fd, space.iov_base, want, conn->file_pos);
    if (n <= 0)
        return false;
    space.iov_len = (size_t)n;
    (void)evbuffer_commit_space(out, &space, 1);
    conn->file_pos += n;
    conn->file_left -= (uint64_t)n;
    return true;
}

static void end_body(struct edge_conn *conn)
{
    if (conn->file_fd >= 0 && conn->file_left == 0) {
        (void)close(conn->file_fd);
        conn->file_fd = -1;
    }
}

// Hands out to the connection as one write. False when it is of no use any more.
static bool send_out(struct edge_conn *conn, struct evbuffer *out)
{
    conn->worker->shared->bytes_sent += evbuffer_get_length(out);
    bool ok = bufferevent_write_buffer(conn->bev, out) == 0;
    evbuffer_free(out);
    conn->head_begun = false;
    edge_conn_arm(conn, conn->worker->shared->idle_ms);
    end_body(conn);
    return ok;
}

static bool send_status(struct edge_conn *conn, unsigned status, bool head_only, const char *extra)
{
    struct evbuffer *out = evbuffer_new();
    char body[64];
    if (out == NULL)
        return false;
    int len = snprintf(body, sizeof body, "%s\n", status_text(status));
    add_head(out, conn, status, "text/plain; charset=utf-8", (uint64_t)len, extra);
    if (!head_only)
        (void)evbuffer_add(out, body, (size_t)len);
    return send_out(conn, out);
}

static bool send_file(struct edge_conn *conn, const struct file *file, bool head_only)
{
    struct evbuffer *out = evbuffer_new();
    conn->file_fd = file->fd;
    conn->file_pos = 0;
    conn->file_left = head_only ? 0 : (uint64_t)file->size;
    if (out == NULL)
        return false;
    add_head(out, conn, 200, file->content_type, (uint64_t)file->size, "");
    if (!add_body(conn, out)) {
        evbuffer_free(out);
        return false;
    }
    return send_out(conn, out);
}

static bool send_redirect(struct edge_conn *conn, const struct http_request *request, bool head_only)
{
    char location[HTTP_PATH_MAX + 32];
    // The path has no empty segment (file_root), so it cannot begin with "//" and lead to another host.
    (void)snprintf(location, sizeof location, "Location: %s/\r\n", request->raw_path);
    return send_status(conn, 301, head_only, location);
}

static unsigned refusal(enum http_result result)
{
    switch (result) {
    case HTTP_REQUEST_LARGE:
        return 431;
    case HTTP_REQUEST_URI:
        return 414;
    case HTTP_REQUEST_VERSION:
        return 505;
    default:
        return 400;
    }
}

// Answers one request. False: the connection is to be closed at once.
static bool answer(struct edge_conn *conn, const struct http_request *request)
{
    struct file file;
    bool head_only = request->method == HTTP_HEAD;
    char quoted[300];
    conn->worker->shared->requests++;
    conn->last = conn->last || !request->keep_alive || request->has_body || conn->worker->draining;
    if (log_get_level() >= LOG_LEVEL_DEBUG)
        log_debug("request", "path=%s", log_quote(request->path, quoted, sizeof quoted));
    if (request->method == HTTP_OTHER)
        return send_status(conn, 405, false, "Allow: GET, HEAD\r\n");
    switch (file_root_find(conn->worker->shared->root, request->path, &file)) {
    case FILE_FOUND:
        return send_file(conn, &file, head_only);
    case FILE_ADD_SLASH:
        return send_redirect(conn, request, head_only);
    case FILE_MISSING:
        return send_status(conn, 404, head_only, "");
    default:
        return send_status(conn, 500, head_only, "");
    }
}

// Reads and answers requests until one is under way or the input is used up. The connection may be freed on
// return.
static void serve(struct edge_conn *conn)
{
    struct evbuffer *in = bufferevent_get_input(conn->bev);
    struct evbuffer *out = bufferevent_get_output(conn->bev);
    while (conn->file_fd < 0 && !conn->last && evbuffer_get_length(out) < BODY_CHUNK) {
        struct http_request request;
        size_t used = 0;
        size_t len = evbuffer_get_length(in);
        if (len == 0)
            return;
        len = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
        const char *head = (const char *)evbuffer_pullup(in, (ev_ssize_t)len);
        enum http_result result =
            head != NULL ? http_request_read(head, len, &request, &used) : HTTP_REQUEST_BAD;
        if (result == HTTP_REQUEST_MORE) {
            if (!conn->head_begun)
                edge_conn_arm(conn, conn->worker->shared->head_ms);
            conn->head_begun = true;
            return;
        }
        (void)evbuffer_drain(in, used);
        conn->last = result != HTTP_REQUEST_OK;
        bool ok = result == HTTP_REQUEST_OK ? answer(conn, &request)
                                            : send_status(conn, refusal(result), false, "");
        if (!ok) {
            edge_conn_close(conn);
            return;
        }
    }
}

static void on_read(struct bufferevent *bev, void *arg)
{
    (void)bev;
    serve(arg);
}

// Everything so far has left.
static void on_written(struct bufferevent *bev, void *arg)
{
    struct edge_conn *conn = arg;
    (void)bev;
    if (conn->file_fd >= 0) {
        struct evbuffer *out = evbuffer_new();
        bool ok = out != NULL && add_body(conn, out);
        if (ok)
            ok = send_out(conn, out);
        else if (out != NULL)
            evbuffer_free(out);
        if (!ok)
            edge_conn_close(conn);
    } else if (conn->last && evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0) {
        edge_conn_close(conn);
    } else {
        serve(conn);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what;
    edge_conn_close(arg);
}

bool edge_http_start(struct edge_conn *conn)
{
    // Deferred: a callback never runs inside a call of ours into the bufferevent.
    conn->bev = bufferevent_openssl_socket_new(conn->worker->base, conn->fd, conn->ssl, BUFFEREVENT_SSL_OPEN,
                                               BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (conn->bev == NULL) {
        conn->ssl = NULL; // freed by libevent
        return false;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(conn->bev, 1);
    bufferevent_setcb(conn->bev, on_read, on_written, on_event, conn);
    bufferevent_setwatermark(conn->bev, EV_READ, 0, HTTP_HEAD_MAX * 2);
    edge_conn_arm(conn, conn->worker->shared->idle_ms);
    if (conn->worker->draining)
        conn->last = true;
    return bufferevent_enable(conn->bev, EV_READ | EV_WRITE) == 0;
}

bool edge_http_idle(const struct edge_conn *conn)
{
    return conn->phase == EDGE_HTTP && conn->file_fd < 0 &&
           evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0;
}
