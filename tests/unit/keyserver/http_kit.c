#include "http_kit.h"

#include <stdlib.h>
#include <string.h>

const struct http_limits http_kit_limits = {.line_max = 1024, .head_max = 4096, .body_max = 16384};

// What the reader is fed: a block as long as what has arrived, replaced by a new one when more arrives.
struct arrival {
    struct http_reader reader;
    char *buf;
    size_t len;
};

static int arrive(struct arrival *a, const struct http_limits *limits, const char *bytes, size_t len,
                  struct http_request *request)
{
    char *moved = malloc(a->len + len + 1); // never read: AddressSanitizer watches the byte behind
    assert_non_null(moved);
    char *exact = moved + 1;
    if (a->len > 0)
        memcpy(exact, a->buf, a->len);
    memcpy(exact + a->len, bytes, len);
    if (a->buf != NULL)
        free(a->buf - 1);
    a->buf = exact;
    a->len += len;
    return http_read(&a->reader, limits, a->buf, a->len, request);
}

// Feeds the first `first` bytes, then `step` at a time, until the reader is satisfied.
static void see(const struct http_limits *limits, const char *bytes, size_t len, size_t first, size_t step,
                struct http_seen *seen)
{
    struct arrival a = {.buf = NULL};
    struct http_request request;
    http_reader_reset(&a.reader);
    memset(seen, 0, offsetof(struct http_seen, body));
    for (size_t at = 0, n = first; seen->result == HTTP_MORE && at < len; at += n, n = step) {
        if (n > len - at)
            n = len - at;
        seen->result = arrive(&a, limits, bytes + at, n, &request);
    }
    if (seen->result == HTTP_DONE) {
        seen->method = request.method;
        seen->keep_alive = request.keep_alive;
        seen->timeout_ms = request.timeout_ms;
        seen->path_len = request.path_len;
        seen->body_len = request.body_len;
        seen->consumed = request.consumed;
        assert_true(request.consumed <= a.len && request.path_len < sizeof seen->path &&
                    request.body_len <= sizeof seen->body);
        memcpy(seen->path, request.path, request.path_len);
        memcpy(seen->body, request.body, request.body_len);
        assert_memory_equal(a.buf + request.consumed, bytes + request.consumed, a.len - request.consumed);
    }
    if (a.buf != NULL)
        free(a.buf - 1);
}

static void assert_same(const struct http_seen *a, const struct http_seen *b)
{
    assert_int_equal(a->result, b->result);
    assert_int_equal(a->method, b->method);
    assert_int_equal(a->keep_alive, b->keep_alive);
    assert_int_equal(a->timeout_ms, b->timeout_ms);
    assert_int_equal(a->consumed, b->consumed);
    assert_string_equal(a->path, b->path);
    assert_int_equal(a->path_len, b->path_len);
    assert_int_equal(a->body_len, b->body_len);
    assert_memory_equal(a->body, b->body, a->body_len);
}

const struct http_seen *http_see(const struct http_limits *limits, const char *bytes, size_t len)
{
    static struct http_seen whole, other;
    assert_true(len <= HTTP_KIT_MAX);
    see(limits, bytes, len, len, len, &whole);
    see(limits, bytes, len, 1, 1, &other);
    assert_same(&whole, &other);
    size_t cuts = len < 5000 ? len : 200; // of a long stream the beginning, where the head is, and the end
    for (size_t cut = 1; cut < cuts; cut++) {
        see(limits, bytes, len, cut, len, &other);
        assert_same(&whole, &other);
        see(limits, bytes, len, len - cut, len, &other);
        assert_same(&whole, &other);
    }
    return &whole;
}
