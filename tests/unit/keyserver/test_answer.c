// From an HTTP request to the bytes of its answer: routing by method and path in both dialects, and every
// kind of answer to the byte.
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>

#include "keyserver/answer.h"

static char good_body[1024]; // an ECDHE request
static char text[ANSWER_MAX + 1];

static int setup(void **state)
{
    (void)state;
    uint8_t input[SKI_INPUT_MAX];
    size_t len = kit_ecdhe_input(&kit_curves[0], input);
    (void)snprintf(good_body, sizeof good_body,
                   "{\"protocol\":\"TLS 1.2\",\"spki\":\"A9993E364706816ABA3E25717850C26C9CD0D89D\","
                   "\"method\":\"ECDHE\",\"input\":\"%s\"}",
                   kit_base64(input, len));
    return 0;
}

static struct keyop *route(enum http_method method, const char *path, const char *body, bool keep_alive)
{
    static struct keyop op;
    memset(&op, 0, sizeof op);
    struct http_request http = {.method = method,
                                .path = path,
                                .path_len = strlen(path),
                                .body = body,
                                .body_len = strlen(body),
                                .keep_alive = keep_alive};
    bool work = answer_route(&http, &op);
    assert_int_equal(work, !op.done);
    assert_int_equal(op.last, !keep_alive);
    return &op;
}

static const char *format(const struct keyop *op, size_t *len)
{
    // The exact size: a byte more is seen.
    char *out = malloc(ANSWER_MAX);
    assert_non_null(out);
    *len = answer_format(op, out);
    assert_true(*len <= ANSWER_MAX);
    memcpy(text, out, *len);
    text[*len] = '\0';
    free(out);
    return text;
}

static void assert_answer(const struct keyop *op, const char *expected)
{
    size_t len;
    assert_string_equal(format(op, &len), expected);
    assert_int_equal(len, strlen(expected));
}

#define TYPE "Content-Type: application/json;charset=utf-8\r\n"

static void well_formed_operations(void **state)
{
    (void)state;
    struct keyop *op = route(HTTP_POST, "/ski", good_body, true);
    assert_true(op->is_operation && op->parsed && !op->done);
    assert_int_equal(op->request.dialect, SKI_DRAFT);
    op = route(HTTP_POST, "/", good_body, false);
    assert_true(op->is_operation && op->parsed && !op->done);
    assert_int_equal(op->request.dialect, SKI_JAVA);
}

// At the migration listener there is no /ski.
static void java_only(void **state)
{
    (void)state;
    static struct keyop op;
    static const struct {
        enum http_method method;
        const char *path;
        bool operation;
    } cases[] = {{HTTP_POST, "/", true},
                 {HTTP_POST, "/ski", false},
                 {HTTP_GET, "/ski", false},
                 {HTTP_GET, "/", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct http_request http = {.method = cases[i].method,
                                          .path = cases[i].path,
                                          .path_len = strlen(cases[i].path),
                                          .body = good_body,
                                          .body_len = strlen(good_body),
                                          .keep_alive = true};
        memset(&op, 0, sizeof op);
        op.java_only = true;
        assert_int_equal(answer_route(&http, &op), cases[i].operation);
        if (!cases[i].operation)
            assert_answer(&op, "HTTP/1.1 404 Not Found\r\n" TYPE
                               "Content-Length: 30\r\n\r\n{\"error\":\"unspecified error\"}\n");
    }
}

// Whatever is asked: denied, and the body is not looked at.
static void who_may_ask_for_nothing(void **state)
{
    (void)state;
    static struct keyop op;
    static const enum http_method methods[] = {HTTP_POST, HTTP_GET, HTTP_OTHER, HTTP_HEAD};
    for (size_t i = 0; i < 4; i++) {
        const struct http_request http = {.method = methods[i],
                                          .path = "/ski",
                                          .path_len = 4,
                                          .body = "x",
                                          .body_len = 1,
                                          .keep_alive = i != 1};
        memset(&op, 0, sizeof op);
        answer_deny(&http, &op);
        assert_true(op.done && !op.parsed && op.finished_ns != 0 && op.status == SKI_DENIED);
        assert_int_equal(op.is_operation, methods[i] == HTTP_POST); // it has an audit line
        char expected[300];
        (void)snprintf(expected, sizeof expected,
                       "HTTP/1.1 403 Forbidden\r\n" TYPE "Content-Length: 27\r\n%s\r\n%s",
                       i == 1 ? "Connection: close\r\n" : "",
                       methods[i] == HTTP_HEAD ? "" : "{\"error\":\"request denied\"}\n");
        assert_answer(&op, expected);
    }
}

static void malformed_operations(void **state)
{
    (void)state;
    struct keyop *op = route(HTTP_POST, "/ski", "{}", true);
    assert_true(op->is_operation && !op->parsed && op->done && op->finished_ns != 0);
    assert_answer(op, "HTTP/1.1 400 Bad Request\r\n" TYPE
                      "Content-Length: 30\r\n\r\n{\"error\":\"malformed request\"}\n");
    // The Java server answers everything with 200, and its clients look at the body only.
    op = route(HTTP_POST, "/", "", true);
    assert_true(op->is_operation && !op->parsed && op->done);
    assert_answer(op,
                  "HTTP/1.1 200 OK\r\n" TYPE "Content-Length: 30\r\n\r\n{\"error\":\"malformed request\"}\n");
}

static void other_paths_and_methods(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *path;
        bool not_allowed; // 405, else 404
    } cases[] = {
        {HTTP_GET, "/", false},        {HTTP_OTHER, "/", false}, {HTTP_POST, "/x", false},
        {HTTP_POST, "", false},        {HTTP_POST, "*", false},  {HTTP_POST, "/ski/", false},
        {HTTP_POST, "/SKI", false},    {HTTP_POST, "//", false}, {HTTP_POST, "/skii", false},
        {HTTP_POST, "/sk", false},     {HTTP_GET, "/ski", true}, {HTTP_OTHER, "/ski", true},
        {HTTP_GET, "/metrics", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct keyop *op = route(cases[i].method, cases[i].path, good_body, true);
        assert_true(op->done && !op->is_operation && !op->parsed);
        assert_answer(op, cases[i].not_allowed
                              ? "HTTP/1.1 405 Method Not Allowed\r\n" TYPE
                                "Content-Length: 30\r\nAllow: POST\r\n\r\n{\"error\":\"unspecified error\"}\n"
                              : "HTTP/1.1 404 Not Found\r\n" TYPE
                                "Content-Length: 30\r\n\r\n{\"error\":\"unspecified error\"}\n");
    }
}

static void head_has_no_body(void **state)
{
    (void)state;
    assert_answer(route(HTTP_HEAD, "/ski", "", true),
                  "HTTP/1.1 405 Method Not Allowed\r\n" TYPE "Content-Length: 30\r\nAllow: POST\r\n\r\n");
    assert_answer(route(HTTP_HEAD, "/", "", false),
                  "HTTP/1.1 404 Not Found\r\n" TYPE "Content-Length: 30\r\nConnection: close\r\n\r\n");
}

static void http_errors_close(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *answer;
    } cases[] = {
        {400, "HTTP/1.1 400 Bad Request\r\n" TYPE
              "Content-Length: 30\r\nConnection: close\r\n\r\n{\"error\":\"malformed request\"}\n"},
        {431, "HTTP/1.1 431 Request Header Fields Too Large\r\n" TYPE
              "Content-Length: 30\r\nConnection: close\r\n\r\n{\"error\":\"malformed request\"}\n"},
        {505, "HTTP/1.1 505 HTTP Version Not Supported\r\n" TYPE
              "Content-Length: 30\r\nConnection: close\r\n\r\n{\"error\":\"unspecified error\"}\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct keyop op;
        memset(&op, 0, sizeof op);
        answer_http_error(&op, cases[i].status);
        assert_true(op.done && op.last && !op.is_operation);
        assert_answer(&op, cases[i].answer);
    }
}

static void an_output_is_base64(void **state)
{
    (void)state;
    struct keyop *op = route(HTTP_POST, "/ski", good_body, true);
    op->status = SKI_OK;
    op->output_len = 4;
    memcpy(op->output, "\xfb\xff\xbf\x00", 4);
    assert_answer(op, "HTTP/1.1 200 OK\r\n" TYPE "Content-Length: 22\r\n\r\n{\"output\":\"+/+/AA==\"}\n");
    op->last = true;
    assert_answer(op, "HTTP/1.1 200 OK\r\n" TYPE
                      "Content-Length: 22\r\nConnection: close\r\n\r\n{\"output\":\"+/+/AA==\"}\n");
}

// The length said is the length sent, for every length of output; the longest fits.
static void every_length_of_output(void **state)
{
    (void)state;
    struct keyop *op = route(HTTP_POST, "/", good_body, true);
    op->status = SKI_OK;
    op->last = true;
    assert_int_equal(RAND_bytes(op->output, sizeof op->output), 1);
    for (op->output_len = 1; op->output_len <= SKI_OUTPUT_MAX; op->output_len++) {
        size_t len;
        const char *answer = format(op, &len), *body = strstr(answer, "\r\n\r\n") + 4;
        char said[40], expected[2000];
        (void)snprintf(said, sizeof said, "Content-Length: %zu\r\n", len - (size_t)(body - answer));
        assert_non_null(strstr(answer, said));
        (void)snprintf(expected, sizeof expected, "{\"output\":\"%s\"}\n",
                       kit_base64(op->output, op->output_len));
        assert_string_equal(body, expected);
    }
}

// Neither length nor head of a premaster's answer depends on what it is.
static void rsa_answers_have_one_length(void **state)
{
    (void)state;
    char first[ANSWER_MAX + 1] = "";
    size_t first_len = 0;
    for (int i = 0; i < 200; i++) {
        struct keyop *op = route(HTTP_POST, "/ski", good_body, true);
        size_t len;
        op->status = SKI_OK;
        op->request.method = SKI_METHOD_RSA;
        op->output_len = SKI_PREMASTER_LEN;
        if (i == 0)
            memset(op->output, 0xff, 48); // all slashes, which some encoders escape
        else if (i > 1)
            assert_int_equal(RAND_bytes(op->output, 48), 1);
        const char *answer = format(op, &len);
        if (i == 0) {
            memcpy(first, answer, len);
            first_len = len;
        }
        assert_int_equal(len, first_len);
        size_t head = (size_t)(strstr(answer, "\"output\":\"") - answer);
        assert_memory_equal(answer, first, head);
    }
}

static void every_status(void **state)
{
    (void)state;
    static const struct {
        enum ski_status status;
        const char *draft, *java;
    } cases[] = {
        {SKI_NOT_FOUND,
         "HTTP/1.1 404 Not Found\r\n" TYPE "Content-Length: 27\r\n\r\n{\"error\":\"spki not found\"}\n",
         "HTTP/1.1 200 OK\r\n" TYPE "Content-Length: 27\r\n\r\n{\"error\":\"spki not found\"}\n"},
        {SKI_DENIED,
         "HTTP/1.1 403 Forbidden\r\n" TYPE "Content-Length: 27\r\n\r\n{\"error\":\"request denied\"}\n",
         "HTTP/1.1 403 Forbidden\r\n" TYPE "Content-Length: 27\r\n\r\n{\"error\":\"request denied\"}\n"},
        {SKI_UNSPECIFIED,
         "HTTP/1.1 500 Internal Server Error\r\n" TYPE
         "Content-Length: 30\r\n\r\n{\"error\":\"unspecified error\"}\n",
         "HTTP/1.1 200 OK\r\n" TYPE "Content-Length: 30\r\n\r\n{\"error\":\"unspecified error\"}\n"},
        {SKI_BUSY,
         "HTTP/1.1 503 Service Unavailable\r\n" TYPE
         "Content-Length: 30\r\nRetry-After: 1\r\n\r\n{\"error\":\"unspecified error\"}\n",
         "HTTP/1.1 503 Service Unavailable\r\n" TYPE
         "Content-Length: 30\r\nRetry-After: 1\r\n\r\n{\"error\":\"unspecified error\"}\n"},
        {SKI_EXPIRED,
         "HTTP/1.1 503 Service Unavailable\r\n" TYPE
         "Content-Length: 30\r\nRetry-After: 1\r\n\r\n{\"error\":\"unspecified error\"}\n",
         "HTTP/1.1 503 Service Unavailable\r\n" TYPE
         "Content-Length: 30\r\nRetry-After: 1\r\n\r\n{\"error\":\"unspecified error\"}\n"},
        {SKI_STORE_DOWN,
         "HTTP/1.1 503 Service Unavailable\r\n" TYPE
         "Content-Length: 30\r\nRetry-After: 1\r\n\r\n{\"error\":\"unspecified error\"}\n",
         "HTTP/1.1 200 OK\r\n" TYPE "Content-Length: 30\r\n\r\n{\"error\":\"unspecified error\"}\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct keyop *op = route(HTTP_POST, "/ski", good_body, true);
        op->status = cases[i].status;
        // What an operation had computed before it failed does not leave.
        op->output_len = 48;
        memset(op->output, 'S', 48);
        assert_answer(op, cases[i].draft);
        op = route(HTTP_POST, "/", good_body, true);
        op->status = cases[i].status;
        assert_answer(op, cases[i].java);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_operations),
        cmocka_unit_test(java_only),
        cmocka_unit_test(who_may_ask_for_nothing),
        cmocka_unit_test(malformed_operations),
        cmocka_unit_test(other_paths_and_methods),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(http_errors_close),
        cmocka_unit_test(an_output_is_base64),
        cmocka_unit_test(every_length_of_output),
        cmocka_unit_test(rsa_answers_have_one_length),
        cmocka_unit_test(every_status),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
