// The request reader: what a client may send is read as meant, and what could be read in two ways is refused.
// http_see() proves on the way that no cut of the stream changes anything.
#include "http_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void an_ordinary_request(void **state)
{
    (void)state;
    static const char text[] =
        "POST /ski HTTP/1.1\r\nHost: ks.example:8443\r\nContent-Type: application/json\r\n"
        "content-length:  13\t\r\n\r\n{\"spki\":\"x\"}\nGET";
    const struct http_seen *s = http_see(&http_kit_limits, text, sizeof text - 1);
    assert_int_equal(s->result, HTTP_DONE);
    assert_int_equal(s->method, HTTP_POST);
    assert_string_equal(s->path, "/ski");
    assert_int_equal(s->body_len, 13);
    assert_memory_equal(s->body, "{\"spki\":\"x\"}\n", 13);
    assert_true(s->keep_alive);
    assert_int_equal(s->consumed, sizeof text - 1 - 3);
}

static void methods_and_paths(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum http_method method;
        const char *path;
    } cases[] = {
        {"GET / HTTP/1.1", HTTP_GET, "/"},
        {"HEAD /ski HTTP/1.1", HTTP_HEAD, "/ski"},
        {"POST /ski?a=b?c HTTP/1.1", HTTP_POST, "/ski"},
        {"POST ? HTTP/1.1", HTTP_POST, ""},
        {"POST https://ks.example:8443/ski?q HTTP/1.1", HTTP_POST, "/ski"}, // absolute form
        {"POST HTTP://[::1]/ HTTP/1.1", HTTP_POST, "/"},
        {"POST https://ks.example HTTP/1.1", HTTP_POST, ""},
        {"POST https:/ski HTTP/1.1", HTTP_POST, "https:/ski"},
        {"post / HTTP/1.1", HTTP_OTHER, "/"}, // methods are case-sensitive
        {"POSTS / HTTP/1.1", HTTP_OTHER, "/"},
        {"PUT / HTTP/1.1", HTTP_OTHER, "/"},
        {"OPTIONS * HTTP/1.1", HTTP_OTHER, "*"},
        {"M!#$%&'*+-.^_`|~9 /x HTTP/1.9", HTTP_OTHER, "/x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        int n = snprintf(text, sizeof text, "%s\r\nHost: h\r\n\r\n", cases[i].line);
        const struct http_seen *s = http_see(&http_kit_limits, text, (size_t)n);
        assert_int_equal(s->result, HTTP_DONE);
        assert_int_equal(s->method, cases[i].method);
        assert_string_equal(s->path, cases[i].path);
        assert_int_equal(s->body_len, 0);
        assert_int_equal(s->consumed, n);
    }
}

static void how_long_the_client_waits(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        int result;
        uint32_t timeout_ms;
    } cases[] = {
        {"", HTTP_DONE, 0},
        {"X-Envoy-Expected-Rq-Timeout-Ms: 250\r\n", HTTP_DONE, 250},
        {"x-envoy-expected-rq-timeout-ms:1\t\r\n", HTTP_DONE, 1},
        {"X-Envoy-Expected-Rq-Timeout-Ms: 99999999\r\n", HTTP_DONE, 99999999},
        {"X-Envoy-Expected-Rq-Timeout-Ms: 0000007\r\n", HTTP_DONE, 7},
        {"X-Envoy-Expected-Rq-Timeout-Ms: 100000000\r\n", 400, 0},
        {"X-Envoy-Expected-Rq-Timeout-Ms: 0\r\n", 400, 0},
        {"X-Envoy-Expected-Rq-Timeout-Ms:\r\n", 400, 0},
        {"X-Envoy-Expected-Rq-Timeout-Ms: -1\r\n", 400, 0},
        {"X-Envoy-Expected-Rq-Timeout-Ms: 1.5\r\n", 400, 0},
        {"X-Envoy-Expected-Rq-Timeout-Ms: 1s\r\n", 400, 0},
        {"X-Envoy-Expected-Rq-Timeout-Ms: 1, 2\r\n", 400, 0},
        {"X-Envoy-Expected-Rq-Timeout-Ms: 5\r\nX-Envoy-Expected-Rq-Timeout-Ms: 5\r\n", 400, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        int n = snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n", cases[i].fields);
        const struct http_seen *s = http_see(&http_kit_limits, text, (size_t)n);
        assert_int_equal(s->result, cases[i].result);
        if (s->result == HTTP_DONE)
            assert_int_equal(s->timeout_ms, cases[i].timeout_ms);
    }
}

static void keep_alive_rules(void **state)
{
    (void)state;
    static const struct {
        unsigned minor;
        const char *fields;
        bool keep;
    } cases[] = {
        {1, "", true},
        {1, "Connection: close\r\n", false},
        {1, "connection: CLOSE\r\n", false},
        {1, "Connection: keep-alive\r\n", true},
        {1, "Connection: foo , close,bar\r\n", false},
        {1, "Connection: foo\r\nConnection: close\r\n", false},
        {1, "Connection: keep-alive, close\r\n", false},
        {1, "Connection: closed\r\n", true},
        {1, "Connection:\r\n", true},
        {1, "Connection: ,,\r\n", true},
        {0, "", false},
        {0, "Connection: keep-alive\r\n", true},
        {0, "Connection: Keep-Alive\r\n", true},
        {0, "Connection: close\r\n", false},
        {0, "Connection: close, keep-alive\r\n", false},
        {0, "Connection: keep-alive2\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        int n = snprintf(text, sizeof text, "POST / HTTP/1.%u\r\nHost: h\r\n%s\r\n", cases[i].minor,
                         cases[i].fields);
        const struct http_seen *s = http_see(&http_kit_limits, text, (size_t)n);
        assert_int_equal(s->result, HTTP_DONE);
        assert_int_equal(s->keep_alive, cases[i].keep);
    }
    // A client of HTTP/1.0 need not name the host.
    assert_int_equal(HTTP_RESULT("GET / HTTP/1.0\r\n\r\n"), HTTP_DONE);
}

static void requests_one_behind_the_other(void **state)
{
    (void)state;
    static const char text[] = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
                               "\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
                               "GET /c HTTP/1.1\r\nHost: h\r\n\r\n"
                               "POST /d HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nfou";
    static const char *const paths[] = {"/a", "/b", "/c"};
    size_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        const struct http_seen *s = http_see(&http_kit_limits, text + at, sizeof text - 1 - at);
        assert_int_equal(s->result, HTTP_DONE);
        assert_string_equal(s->path, paths[i]);
        assert_int_equal(s->body_len, i == 0 ? 3 : 0);
        at += s->consumed;
    }
    // The last one lacks a byte.
    assert_int_equal(http_see(&http_kit_limits, text + at, sizeof text - 1 - at)->result, HTTP_MORE);
}

static void empty_lines_before_a_request(void **state)
{
    (void)state;
    assert_int_equal(HTTP_RESULT("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_DONE);
    assert_int_equal(HTTP_RESULT("\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_DONE);
    // Not without end.
    assert_int_equal(HTTP_RESULT("\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);

    // They are no beginning of a request: an idle connection stays an idle one.
    struct http_reader reader;
    struct http_request request;
    char buf[] = "\r\nG";
    http_reader_reset(&reader);
    assert_int_equal(http_read(&reader, &http_kit_limits, buf, 0, &request), HTTP_MORE);
    assert_false(reader.started);
    assert_int_equal(http_read(&reader, &http_kit_limits, buf, 2, &request), HTTP_MORE);
    assert_false(reader.started);
    assert_int_equal(http_read(&reader, &http_kit_limits, buf, 3, &request), HTTP_MORE);
    assert_true(reader.started);
}

static void lengths_of_the_body(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        int result;
    } cases[] = {
        {"Content-Length: 0\r\n", HTTP_DONE},
        {"Content-Length: 00003\r\n", HTTP_DONE},
        {"Content-Length: 4\r\n", HTTP_MORE},
        {"Content-Length: 16384\r\n", HTTP_MORE},
        {"Content-Length: 16385\r\n", 413},
        {"Content-Length: 999999999999999999\r\n", 413},
        {"Content-Length: 18446744073709551619\r\n", 400}, // 3 modulo 2^64
        {"Content-Length:\r\n", 400},
        {"Content-Length: +3\r\n", 400},
        {"Content-Length: -3\r\n", 400},
        {"Content-Length: 0x3\r\n", 400},
        {"Content-Length: 3 3\r\n", 400},
        {"Content-Length: 3, 3\r\n", 400},
        {"Content-Length: 3\r\nContent-Length: 3\r\n", 400},
        {"Content-Length: 3\r\nContent-Length: 4\r\n", 400},
        {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400},
        {"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400},
        {"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        int n = snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\nabc", cases[i].fields);
        assert_int_equal(http_see(&http_kit_limits, text, (size_t)n)->result, cases[i].result);
    }
}

static void expectations(void **state)
{
    (void)state;
    struct http_reader reader;
    struct http_request request;
    char text[] = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nab";
    size_t len = sizeof text - 1;

    // The peer waits when the head is there and the body is not, and is told so once.
    http_reader_reset(&reader);
    assert_int_equal(http_read(&reader, &http_kit_limits, text, len - 3, &request), HTTP_MORE);
    assert_false(reader.expects_continue);
    assert_int_equal(http_read(&reader, &http_kit_limits, text, len - 2, &request), HTTP_MORE);
    assert_true(reader.expects_continue);
    reader.expects_continue = false;
    assert_int_equal(http_read(&reader, &http_kit_limits, text, len - 1, &request), HTTP_MORE);
    assert_false(reader.expects_continue);
    assert_int_equal(http_read(&reader, &http_kit_limits, text, len, &request), HTTP_DONE);

    // It did not wait: nothing is owed.
    http_reader_reset(&reader);
    assert_int_equal(http_read(&reader, &http_kit_limits, text, len, &request), HTTP_DONE);
    assert_false(reader.expects_continue);

    // Nobody waits without a body to send, or with HTTP/1.0 (RFC 9110 section 10.1.1).
    char bodyless[] = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n";
    http_reader_reset(&reader);
    assert_int_equal(http_read(&reader, &http_kit_limits, bodyless, sizeof bodyless - 1, &request),
                     HTTP_DONE);
    assert_false(reader.expects_continue);
    char old[] = "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    http_reader_reset(&reader);
    assert_int_equal(http_read(&reader, &http_kit_limits, old, sizeof old - 1, &request), HTTP_MORE);
    assert_false(reader.expects_continue);

    assert_int_equal(HTTP_RESULT("POST / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n"), 417);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        // the request line
        {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
        {"GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET /\tHTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET /\r\nHost: h\r\n\r\n", 400}, // HTTP/0.9
        {"GET\r\nHost: h\r\n\r\n", 400},
        {"/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET / http/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/11\r\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/1.x\r\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
        {"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"\x16\x03\x01\x02\r\n\r\n", 400}, // TLS inside TLS
        // field lines
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400}, // obsolete folding
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400}, // a blank before the colon
        {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\nabc", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nX(: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400}, // RFC 9112 section 3.2: no Host, or two
        {"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
        // line ends
        {"GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\n\nX: y\r\n\r\n", 400},
        // transfer codings
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int result = http_see(&http_kit_limits, cases[i].text, strlen(cases[i].text))->result;
        if (result != cases[i].result)
            print_error("%s\n", cases[i].text);
        assert_int_equal(result, cases[i].result);
    }
}

// Every byte value, in every kind of place: control characters nowhere, text of other alphabets in values
// only.
static void every_byte_value(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char value[] = "GET / HTTP/1.1\r\nHost: h\r\nX: a_b\r\n\r\n";
        *strchr(value, '_') = (char)c;
        bool good = c == '\t' || (c >= ' ' && c != 0x7f);
        assert_int_equal(http_see(&http_kit_limits, value, sizeof value - 1)->result, good ? HTTP_DONE : 400);

        char name[] = "GET / HTTP/1.1\r\nHost: h\r\nX_Y: a\r\n\r\n";
        *strchr(name, '_') = (char)c;
        good = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == ':' ||
               (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
        assert_int_equal(http_see(&http_kit_limits, name, sizeof name - 1)->result, good ? HTTP_DONE : 400);

        char path[] = "GET /a_b HTTP/1.1\r\nHost: h\r\n\r\n";
        *strchr(path, '_') = (char)c;
        good = c > ' ' && c < 0x7f;
        assert_int_equal(http_see(&http_kit_limits, path, sizeof path - 1)->result, good ? HTTP_DONE : 400);
    }
}

static void limits_hold_to_the_byte(void **state)
{
    (void)state;
    static const char text[] = "POST /1234567890 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
    size_t line = strlen("POST /1234567890 HTTP/1.1");
    size_t head = sizeof text - 1 - 4 - 4; // without its last CRLF and the empty line
    struct http_limits l = {line, head, 4};
    assert_int_equal(http_see(&l, text, sizeof text - 1)->result, HTTP_DONE);
    l.line_max = line - 1;
    assert_int_equal(http_see(&l, text, sizeof text - 1)->result, 414);
    l = (struct http_limits){line, head - 1, 4};
    assert_int_equal(http_see(&l, text, sizeof text - 1)->result, 431);
    l = (struct http_limits){line, head, 3};
    assert_int_equal(http_see(&l, text, sizeof text - 1)->result, 413);
    // A request that is nothing but its line.
    static const char bare[] = "GET / HTTP/1.0\r\n\r\n";
    l = (struct http_limits){sizeof bare - 5, sizeof bare - 5, 0};
    assert_int_equal(http_see(&l, bare, sizeof bare - 1)->result, HTTP_DONE);
    l.line_max--;
    assert_int_equal(http_see(&l, bare, sizeof bare - 1)->result, 414);
}

// A peer that sends without end is refused when the limit is passed, not when it ends.
static void endless_heads(void **state)
{
    (void)state;
    static char text[6000];
    struct http_limits l = {1000, 2000, 100};
    memset(text, 'a', sizeof text);
    assert_int_equal(http_see(&l, text, 1000)->result, HTTP_MORE);
    assert_int_equal(http_see(&l, text, 1100)->result, 414);
    memcpy(text, "GET /", 5);
    assert_int_equal(http_see(&l, text, 1100)->result, 414);
    static const char start[] = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
    memcpy(text, start, sizeof start - 1);
    assert_int_equal(http_see(&l, text, 2000)->result, HTTP_MORE);
    assert_int_equal(http_see(&l, text, 2100)->result, 431);
    // Many short fields weigh as much.
    for (size_t at = 16; at + 5 <= sizeof text; at += 5)
        memcpy(text + at, "a:b\r\n", 5);
    assert_int_equal(http_see(&l, text, 2100)->result, 431);
}

// Bytes that are no HTTP at all: any answer but a request, and the same for every cut.
static void garbage(void **state)
{
    (void)state;
    uint32_t x = 12345;
    for (int round = 0; round < 300; round++) {
        static const char some[] = "GET POST/ HTP1.\r\n\r\n:\t\0\x7f\xff";
        char text[64];
        for (size_t i = 0; i < sizeof text; i++) {
            x = x * 1664525 + 1013904223;
            text[i] = some[(x >> 16) % (sizeof some - 1)];
        }
        int result = http_see(&http_kit_limits, text, sizeof text)->result;
        assert_true(result == HTTP_MORE || result == 400 || result == 505);
    }
}

static void every_status_has_a_reason(void **state)
{
    (void)state;
    static const unsigned used[] = {200, 400, 403, 404, 405, 408, 413, 414, 417, 431, 500, 501, 503, 505};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        assert_string_not_equal(http_reason(used[i]), "Unknown");
    assert_string_equal(http_reason(431), "Request Header Fields Too Large");
    assert_string_equal(http_reason(299), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_request),
        cmocka_unit_test(methods_and_paths),
        cmocka_unit_test(how_long_the_client_waits),
        cmocka_unit_test(keep_alive_rules),
        cmocka_unit_test(requests_one_behind_the_other),
        cmocka_unit_test(empty_lines_before_a_request),
        cmocka_unit_test(lengths_of_the_body),
        cmocka_unit_test(expectations),
        cmocka_unit_test(refusals),
        cmocka_unit_test(every_byte_value),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(endless_heads),
        cmocka_unit_test(garbage),
        cmocka_unit_test(every_status_has_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
