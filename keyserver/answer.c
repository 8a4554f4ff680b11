#include "keyserver/answer.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "keyserver/ct.h"

static bool path_is(const struct http_request *http, const char *path)
{
    return http->path_len == strlen(path) && memcmp(http->path, path, http->path_len) == 0;
}

bool answer_route(const struct http_request *http, struct keyop *op)
{
    bool draft = path_is(http, "/ski"), java = path_is(http, "/");
    op->head_only = http->method == HTTP_HEAD;
    op->last = !http->keep_alive;
    op->http10 = http->http10;

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

void answer_http_error(struct keyop *op, unsigned http_status)
{
    op->http_status = http_status;
    op->status = http_status < 500 ? SKI_MALFORMED : SKI_UNSPECIFIED;
    op->last = true;
    op->done = true;
}

static size_t format_body(const struct keyop *op, char *body)
{
    if (op->status != SKI_OK) {
        int n = snprintf(body, ANSWER_MAX / 2, "{\"error\":\"%s\"}\n", ski_error_text(op->status));
        return (size_t)n;
    }
    static const char head[] = "{\"output\":\"", tail[] = "\"}\n";
    memcpy(body, head, sizeof head - 1);
    size_t n = sizeof head - 1;
    n += ct_base64_encode(op->output, op->output_len, body + n);
    memcpy(body + n, tail, sizeof tail - 1);
    return n + sizeof tail - 1;
}

static size_t body_length(const struct keyop *op)
{
    if (op->status == SKI_OK)
        return 14 + 4 * ((op->output_len + 2) / 3);
    return strlen(ski_error_text(op->status)) + 13;
}

size_t answer_format(const struct keyop *op, char out[static ANSWER_MAX])
{
    unsigned status =
        op->http_status != 0 ? op->http_status : ski_http_status(op->request.dialect, op->status);
    int n = snprintf(
        out, ANSWER_MAX / 4,
        "HTTP/1.1 %u %s\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: %zu\r\n%s%s%s\r\n",
        status, http_reason(status), body_length(op), status == 503 ? "Retry-After: 1\r\n" : "",
        status == 405 ? "Allow: POST\r\n" : "",
        op->last     ? "Connection: close\r\n"
        : op->http10 ? "Connection: keep-alive\r\n"
                     : "");
    size_t len = (size_t)n;
    return op->head_only ? len : len + format_body(op, out + len);
}
