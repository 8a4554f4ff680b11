// Chunked bodies: decoded in place whatever the cut, bounded in every dimension, refused when malformed.
#include "http_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "POST /ski HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"

static void assert_body(const char *text, size_t len, const char *body)
{
    const struct http_seen *s = http_see(&http_kit_limits, text, len);
    assert_int_equal(s->result, HTTP_DONE);
    assert_int_equal(s->body_len, strlen(body));
    assert_memory_equal(s->body, body, s->body_len);
    assert_string_equal(s->path, "/ski");
}
#define ASSERT_BODY(literal, body) assert_body(HEAD literal, sizeof(HEAD literal) - 1, body)

static void chunks_are_joined(void **state)
{
    (void)state;
    ASSERT_BODY("0\r\n\r\n", "");
    ASSERT_BODY("5\r\nhello\r\n0\r\n\r\n", "hello");
    ASSERT_BODY("5\r\nhello\r\n6\r\n world\r\n1\r\n!\r\n0\r\n\r\n", "hello world!");
    ASSERT_BODY("a\r\n0123456789\r\nB\r\n0123456789a\r\n00000001\r\nx\r\n000\r\n\r\n",
                "01234567890123456789ax");
    // Data may look like framing.
    ASSERT_BODY("9\r\n0\r\n\r\n5\r\nh\r\n0\r\n\r\n", "0\r\n\r\n5\r\nh");
}

static void extensions_and_trailers_are_read_over(void **state)
{
    (void)state;
    ASSERT_BODY("5;a\r\nhello\r\n0;b=\"c d\"\r\n\r\n", "hello");
    ASSERT_BODY("5 ; a\r\nhello\r\n0 \t\r\n\r\n", "hello");
    ASSERT_BODY("5\r\nhello\r\n0\r\nX: y\r\nDigest: z\r\n\r\n", "hello");
    // A trailer cannot change what the head said.
    ASSERT_BODY("5\r\nhello\r\n0\r\nContent-Length: 1\r\nConnection: close\r\n\r\n", "hello");
    const struct http_seen *s = http_see(&http_kit_limits, HEAD "0\r\nConnection: close\r\n\r\n",
                                         sizeof(HEAD "0\r\nConnection: close\r\n\r\n") - 1);
    assert_true(s->keep_alive);
}

// In-place decoding leaves the next request alone; http_see() compares it for every cut.
static void a_follower_stays_whole(void **state)
{
    (void)state;
    static const char next[] = "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok";
    char text[400];
    int n = snprintf(text, sizeof text, HEAD "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n%s", next);
    const struct http_seen *s = http_see(&http_kit_limits, text, (size_t)n);
    assert_int_equal(s->result, HTTP_DONE);
    assert_memory_equal(s->body, "abcde", 5);
    assert_string_equal(text + s->consumed, next);
}

static void unfinished_bodies_wait(void **state)
{
    (void)state;
    static const char text[] = HEAD "5;x\r\nhello\r\n0\r\nT: u\r\n\r\n";
    for (size_t len = sizeof HEAD - 1; len < sizeof text - 1; len++)
        assert_int_equal(http_see(&http_kit_limits, text, len)->result, HTTP_MORE);
    assert_int_equal(http_see(&http_kit_limits, text, sizeof text - 1)->result, HTTP_DONE);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int result;
    } cases[] = {
        {"\r\n\r\n", 400},
        {"g\r\n", 400},
        {" 5\r\nhello", 400},
        {"-5\r\nhello", 400},
        {"+5\r\nhello", 400},
        {"0x5\r\nhello", 400},
        {"5 5\r\nhello", 400},
        {"5 hello\r\nhello", 400},
        {"5,\r\nhello", 400},
        {"5\nhello\r\n0\r\n\r\n", 400},    // a bare LF behind a size
        {"5;a\nb\r\nhello", 400},          // in an extension
        {"5;a\rb\r\nhello", 400},          // a bare CR
        {"5\r\nhelloX\r\n0\r\n\r\n", 400}, // data longer than said
        {"5\r\nhello\n0\r\n\r\n", 400},
        {"5\r\nhello0\r\n\r\n", 400},
        {"0\r\nT: a\nb\r\n\r\n", 400},
        {"0\r\nT: a\x01\r\n\r\n", 400},
        {"100000000\r\n", 413},                   // 2^32, nine digits
        {"000000005\r\nhello\r\n0\r\n\r\n", 413}, // nine digits, whatever they say
        {"ffffffffffffffff\r\n", 413},
        {"ffffffff\r\n", 413},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[300];
        int n = snprintf(text, sizeof text, "%s%s", HEAD, cases[i].body);
        int result = http_see(&http_kit_limits, text, (size_t)n)->result;
        if (result != cases[i].result)
            print_error("%s\n", cases[i].body);
        assert_int_equal(result, cases[i].result);
    }
    // NUL is no text.
    assert_int_equal(HTTP_RESULT(HEAD "5;\0\r\nhello\r\n0\r\n\r\n"), 400);
}

// Writes `count` chunks of one byte behind the head. Returns the length, the last chunk included.
static size_t one_byte_chunks(char *text, size_t count)
{
    size_t len = sizeof HEAD - 1;
    memcpy(text, HEAD, len);
    for (size_t i = 0; i < count; i++, len += 6)
        memcpy(text + len, "1\r\nx\r\n", 6);
    memcpy(text + len, "0\r\n\r\n", 5);
    return len + 5;
}

static void one_byte_chunks_are_bounded(void **state)
{
    (void)state;
    static char text[HTTP_KIT_MAX];
    const struct http_seen *s = http_see(&http_kit_limits, text, one_byte_chunks(text, 1000));
    assert_int_equal(s->result, HTTP_DONE);
    assert_int_equal(s->body_len, 1000);
    // Five bytes of framing for each: beyond 16 KiB of it nobody is listened to, though the body is small.
    s = http_see(&http_kit_limits, text, one_byte_chunks(text, 3270));
    assert_int_equal(s->result, HTTP_DONE);
    assert_int_equal(s->body_len, 3270);
    assert_int_equal(http_see(&http_kit_limits, text, one_byte_chunks(text, 3280))->result, 400);
}

static void bodies_are_bounded(void **state)
{
    (void)state;
    struct http_limits l = http_kit_limits;
    l.body_max = 10;
    assert_int_equal(http_see(&l, HEAD "a\r\n0123456789\r\n0\r\n\r\n", sizeof HEAD - 1 + 20)->result,
                     HTTP_DONE);
    assert_int_equal(http_see(&l, HEAD "b\r\n", sizeof HEAD - 1 + 3)->result, 413);
    assert_int_equal(http_see(&l, HEAD "5\r\n01234\r\n6\r\n", sizeof HEAD - 1 + 13)->result, 413);
}

static void lines_are_bounded(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char long_text[300], text[800];
        memset(long_text, 'x', sizeof long_text);
        for (size_t n = 250; n < 260; n++) {
            long_text[n] = '\0';
            int len = i == 0 ? snprintf(text, sizeof text, HEAD "5;%s\r\nhello\r\n0\r\n\r\n", long_text)
                             : snprintf(text, sizeof text, HEAD "5\r\nhello\r\n0\r\n%s:\r\n\r\n", long_text);
            long_text[n] = 'x';
            // The line is the text and two, respectively one, more characters.
            bool fits = n + (i == 0 ? 2 : 1) <= 256;
            assert_int_equal(http_see(&http_kit_limits, text, (size_t)len)->result, fits ? HTTP_DONE : 400);
        }
        // Without end it is refused all the same.
        long_text[270] = '\0';
        int len = i == 0 ? snprintf(text, sizeof text, HEAD "5;%s", long_text)
                         : snprintf(text, sizeof text, HEAD "0\r\n%s", long_text);
        assert_int_equal(http_see(&http_kit_limits, text, (size_t)len)->result, 400);
    }
    // Trailers count as framing: not without end either.
    static char text[HTTP_KIT_MAX];
    size_t len = sizeof HEAD + 2;
    memcpy(text, HEAD "0\r\n", len);
    for (; len + 20 < 20000; len += 20)
        memcpy(text + len, "X-Trailer: 12345 \t\r\n", 20);
    assert_int_equal(http_see(&http_kit_limits, text, len)->result, 400);
}

// The peer is asked to go on with a chunked body, too.
static void expect_with_chunks(void **state)
{
    (void)state;
    struct http_reader reader;
    struct http_request request;
    char text[] =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n0\r\n\r\n";
    http_reader_reset(&reader);
    assert_int_equal(http_read(&reader, &http_kit_limits, text, sizeof text - 1 - 5, &request), HTTP_MORE);
    assert_true(reader.expects_continue);
    assert_int_equal(http_read(&reader, &http_kit_limits, text, sizeof text - 1, &request), HTTP_DONE);
    assert_false(reader.expects_continue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_joined),
        cmocka_unit_test(extensions_and_trailers_are_read_over),
        cmocka_unit_test(a_follower_stays_whole),
        cmocka_unit_test(unfinished_bodies_wait),
        cmocka_unit_test(refusals),
        cmocka_unit_test(one_byte_chunks_are_bounded),
        cmocka_unit_test(bodies_are_bounded),
        cmocka_unit_test(lines_are_bounded),
        cmocka_unit_test(expect_with_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
