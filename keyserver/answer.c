#include "keyserver/answer.h"

#include <string.h>

#include "common/clock.h"
#include "keyserver/ct.h"

static bool path_is(const struct http_request *http, const char *path)
{
    return http->path_len == strlen(path) && memcmp(http->path, path, http->path_len) == 0;
}

// How its answer is to look.
static void take_form(const struct http_request *http, struct keyop *op)
{
    op->head_only = http->method == HTTP_HEAD;
    op->last = !http->keep_alive;
    op->http10 = http->http10;
    op->timeout_ms = http->timeout_ms;
}

bool answer_route(const struct http_request *http, struct keyop *op)
{
    bool draft = !op->java_only && path_is(http, "/ski"), java = path_is(http, "/");
    take_form(http, op);

    if (http->method == HTTP_POST && (draft || java)) {
        op->is_operation = true;
        op->status =
            ski_request_parse(draft ? SKI_DRAFT : SKI_JAVA, http->body, http->body_len, &op->request);
        op->parsed = op->status == SKI_OK;
        op->done = !op->parsed;
        if (op->done)
            op->finished_ns = clock_ns();
        return op->parsed;
    }
    // As the Java server: another path, or GET of its own, is a 404.
    op->http_status = draft ? 405 : 404;
    op->status = SKI_UNSPECIFIED;
    op->done = true;
    return false;
}

void answer_deny(const struct http_request *http, struct keyop *op)
{
    take_form(http, op);
    op->is_operation = http->method == HTTP_POST;
    op->request.dialect = SKI_JAVA;
    op->http_status = 403;
    op->status = SKI_DENIED;
    op->finished_ns = clock_ns();
    op->done = true;
}

void answer_http_error(struct keyop *op, unsigned http_status)
{
    op->http_status = http_status;
    op->status = http_status < 500 ? SKI_MALFORMED : SKI_UNSPECIFIED;
    op->last = true;
    op->done = true;
}

// What an answer is written with: out has room for all of it (ANSWER_MAX).
static char *put(char *out, const char *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return out + len;
}

static char *put_text(char *out, const char *text)
{
    return put(out, text, strlen(text));
}

static char *put_number(char *out, size_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return put(out, digits + at, sizeof digits - at);
}

static const char output_head[] = "{\"output\":\"", error_head[] = "{\"error\":\"", body_tail[] = "\"}\n";

static char *put_body(char *out, const struct keyop *op)
{
    if (op->status == SKI_OK) {
        out = put(out, output_head, sizeof output_head - 1);
        out += ct_base64_encode(op->output, op->output_len, out);
    } else {
        out = put(out, error_head, sizeof error_head - 1);
        out = put_text(out, ski_error_text(op->status));
    }
    return put(out, body_tail, sizeof body_tail - 1);
}

static size_t body_length(const struct keyop *op)
{
    size_t tail = sizeof body_tail - 1;
    if (op->status == SKI_OK)
        return sizeof output_head - 1 + 4 * ((op->output_len + 2) / 3) + tail;
    return sizeof error_head - 1 + strlen(ski_error_text(op->status)) + tail;
}

static char *put_status_line(char *out, unsigned status)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\n";
    if (status == 200)
        return put(out, ok, sizeof ok - 1);
    out = put_text(out, "HTTP/1.1 ");
    out = put_number(out, status);
    out = put_text(out, " ");
    out = put_text(out, http_reason(status));
    return put_text(out, "\r\n");
}

size_t answer_format(const struct keyop *op, char out[static ANSWER_MAX])
{
    static const char content[] = "Content-Type: application/json;charset=utf-8\r\nContent-Length: ";
    unsigned status =
        op->http_status != 0 ? op->http_status : ski_http_status(op->request.dialect, op->status);
    char *at = put_status_line(out, status);
    at = put(at, content, sizeof content - 1);
    at = put_number(at, body_length(op));
    at = put_text(at, "\r\n");
    if (status == 503)
        at = put_text(at, "Retry-After: 1\r\n");
    if (status == 405)
        at = put_text(at, "Allow: POST\r\n");
    if (op->last)
        at = put_text(at, "Connection: close\r\n");
    else if (op->http10)
        at = put_text(at, "Connection: keep-alive\r\n");
    at = put_text(at, "\r\n");
    if (!op->head_only)
        at = put_body(at, op);
    return (size_t)(at - out);
}
