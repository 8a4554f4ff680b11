// The request parser: the same commands whatever pieces the bytes come in, Redis's errors, limits, memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kvstore/resp/parse.h"

// Feeds `len` bytes with a boundary at each of two places and writes what comes out as text:
// "[3:GET][5:hello];...". Each feed lies in a fresh allocation of the exact size, so that a sanitizer sees a
// read too far, and a slice kept from an older one.
static char *parse_all(const char *bytes, size_t len, size_t cut1, size_t cut2,
                       const struct resp_limits *limits)
{
    const size_t ends[] = {cut1, cut2, len};
    struct resp_parser parser;
    size_t done = 0, cap = 8 * len + 256, used = 0;
    char *out = calloc(1, cap);
    resp_parser_init(&parser, limits);
    for (size_t i = 0; i < 3; i++) {
        for (;;) {
            size_t n = ends[i] - done;
            uint8_t *piece = malloc(n != 0 ? n : 1);
            memcpy(piece, bytes + done, n);
            enum resp_parse_status status = resp_parse(&parser, piece, n);
            if (status == RESP_COMMAND) {
                for (size_t a = 0; a < parser.argc; a++)
                    used += (size_t)snprintf(out + used, cap - used, "[%zu:%.*s]", parser.args[a].len,
                                             (int)parser.args[a].len, (const char *)parser.args[a].data);
                used += (size_t)snprintf(out + used, cap - used, ";");
                done += parser.consumed;
            }
            free(piece);
            if (status == RESP_PROTOCOL_ERROR) {
                used += (size_t)snprintf(out + used, cap - used, "!%s", parser.error);
                assert_int_equal(resp_parse(&parser, (const uint8_t *)"PING\r\n", 6),
                                 RESP_PROTOCOL_ERROR); // final
                resp_parser_deinit(&parser);
                return out;
            }
            assert_int_not_equal(status, RESP_NO_MEMORY);
            if (status == RESP_NEED_MORE)
                break;
        }
    }
    resp_parser_deinit(&parser);
    return out;
}

// Proves: `bytes` gives `expected` at every pair of split points.
static void check_limits(const char *bytes, size_t len, const char *expected,
                         const struct resp_limits *limits)
{
    for (size_t i = 0; i <= len; i++) {
        for (size_t j = i; j <= len; j += len > 100 ? 17 : 1) {
            char *got = parse_all(bytes, len, i, j, limits);
            assert_string_equal(got, expected);
            free(got);
        }
    }
}

#define CHECK(bytes, expected) check_limits(bytes, sizeof(bytes) - 1, expected, NULL)

static void arrays(void **state)
{
    (void)state;
    CHECK("*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n*1\r\n$00\r\n",
          "[3:GET][10:0123456789];!Protocol error: invalid bulk length");
    CHECK("*2\r\n$1\r\na\r\n$12x\r\n01234567890123", "!Protocol error: invalid bulk length");
    CHECK("*02\r\n$1\r\na\r\n", "!Protocol error: invalid multibulk length");
    CHECK("*1\r\n$4\r\nPING\r\n", "[4:PING];");
    CHECK("*2\r\n$3\r\nGET\r\n$5\r\nhello\r\n*1\r\n$4\r\nPING\r\n", "[3:GET][5:hello];[4:PING];");
    CHECK("*2\r\n$3\r\nGET\r\n$0\r\n\r\n", "[3:GET][0:];");
    CHECK("*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n",
          "[3:GET][2:\r\n];"); // binary: the length counts, not the bytes
    CHECK("*0\r\n*-1\r\n*-5\r\n*1\r\n$4\r\nPING\r\n", ";;;[4:PING];");
    CHECK("*1\r\n$4\r\nPINGxy*1\r\n$1\r\na\r\n",
          "[4:PING];[1:a];"); // Redis does not look at the end of a bulk string
}

static void inline_commands(void **state)
{
    (void)state;
    CHECK("PING\r\n", "[4:PING];");
    CHECK("PING\n  GET \t a\r\n\r\n\n", "[4:PING];[3:GET][1:a];;;");
    CHECK("SET a \"b c\\r\\n\\x41\\\"\\\\\\q\"\r\n", "[3:SET][1:a][9:b c\r\nA\"\\q];");
    CHECK("SET a 'b c\\'\\n'\r\n", "[3:SET][1:a][6:b c'\\n];");
    CHECK("a\"b c\"\r\n", "[4:ab c];");
    CHECK("\"\" ''\r\n", "[0:][0:];");
    CHECK("a\0b c\r\nd\r\n", "[1:a];[1:d];"); // a NUL ends the line, as in Redis
    CHECK("PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n", "[4:PING];[4:PING];[4:PING];");
}

static void array_errors(void **state)
{
    (void)state;
    CHECK("*a\r\n", "!Protocol error: invalid multibulk length");
    CHECK("*\r\n", "!Protocol error: invalid multibulk length");
    CHECK("*+1\r\n", "!Protocol error: invalid multibulk length");
    CHECK("*01\r\n", "!Protocol error: invalid multibulk length");
    CHECK("*99999999999999999999\r\n", "!Protocol error: invalid multibulk length");
    CHECK("*1048577\r\n", "!Protocol error: invalid multibulk length");
    CHECK("*1\r\nPING\r\n", "!Protocol error: expected '$', got 'P'");
    CHECK("*1\r\n\r\n", "!Protocol error: expected '$', got ' '");
    CHECK("*2\r\n$3\r\nGET\r\n:5\r\n", "!Protocol error: expected '$', got ':'");
    CHECK("*1\r\n$-1\r\n", "!Protocol error: invalid bulk length");
    CHECK("*1\r\n$x\r\n", "!Protocol error: invalid bulk length");
    CHECK("*1\r\n$\r\n", "!Protocol error: invalid bulk length");
    CHECK("*1\r\n$536870913\r\n", "!Protocol error: invalid bulk length");
    CHECK("*1\r\n$4\r\nPING\r\n*x\r\n", "[4:PING];!Protocol error: invalid multibulk length");
}

static void inline_errors(void **state)
{
    (void)state;
    CHECK("SET a \"b\r\n", "!Protocol error: unbalanced quotes in request");
    CHECK("SET a 'b\r\n", "!Protocol error: unbalanced quotes in request");
    CHECK("SET a \"b\"c\r\n", "!Protocol error: unbalanced quotes in request");
    CHECK("SET a 'b'c\r\n", "!Protocol error: unbalanced quotes in request");
    CHECK("SET a \"\\\r\n", "!Protocol error: unbalanced quotes in request");
}

// Proves: every limit holds at its exact value, and one past it is refused.
static void limits(void **state)
{
    (void)state;
    const struct resp_limits small = {
        .max_args = 2, .max_bulk_bytes = 5, .max_query_bytes = 30, .max_inline_bytes = 8};
#define LIMIT(bytes, expected) check_limits(bytes, sizeof(bytes) - 1, expected, &small)
    LIMIT("*2\r\n$1\r\na\r\n$1\r\nb\r\n", "[1:a][1:b];");
    LIMIT("*3\r\n", "!Protocol error: invalid multibulk length");
    LIMIT("*1\r\n$5\r\nabcde\r\n", "[5:abcde];");
    LIMIT("*1\r\n$6\r\n", "!Protocol error: invalid bulk length");
    LIMIT("*2\r\n$5\r\nabcde\r\n$5\r\nabcde\r\n", "[5:abcde][5:abcde];");
    LIMIT("abcdefgh\n", "[8:abcdefgh];");
    LIMIT("abcdefghi\n", "!Protocol error: too big inline request");
    LIMIT("a b c\n", "!Protocol error: too big inline request");
    LIMIT("*00000000", "!Protocol error: too big mbulk count string");
    LIMIT("*1\r\n$00000000", "!Protocol error: too big bulk count string");
    const struct resp_limits query = {.max_query_bytes = 20};
    check_limits("*1\r\n$10\r\n0123456789\r\n", 21, "!Protocol error: too big query", &query);
    check_limits("*1\r\n$8\r\n01234567\r\n", 18, "[8:01234567];", &query);
}

// Proves: announced lengths allocate nothing; a table grows with what came, and shrinks after.
static void announcements_cost_nothing(void **state)
{
    (void)state;
    struct resp_parser parser;
    resp_parser_init(&parser, NULL);
    static const char head[] = "*1048576\r\n$536870912\r\nabc";
    assert_int_equal(resp_parse(&parser, (const uint8_t *)head, sizeof head - 1), RESP_NEED_MORE);
    assert_int_equal(parser.args_cap, 0);
    assert_null(parser.line);
    assert_int_equal(resp_parser_wanted(&parser), 22 + 536870912 + 2);
    resp_parser_deinit(&parser);
}

static void many_arguments(void **state)
{
    (void)state;
    const size_t count = 5000;
    char *bytes = malloc(count * 8 + 32);
    size_t len = (size_t)sprintf(bytes, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        len += (size_t)sprintf(bytes + len, "$1\r\n%zu\r\n", i % 10);
    struct resp_parser parser;
    resp_parser_init(&parser, NULL);
    for (size_t n = 0; n < len; n += 97)
        assert_int_equal(resp_parse(&parser, (const uint8_t *)bytes, n), RESP_NEED_MORE);
    assert_int_equal(resp_parse(&parser, (const uint8_t *)bytes, len), RESP_COMMAND);
    assert_int_equal(parser.argc, count);
    assert_int_equal(parser.consumed, len);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(parser.args[i].data[0], '0' + i % 10);
    assert_int_equal(resp_parse(&parser, (const uint8_t *)"*", 1), RESP_NEED_MORE);
    assert_int_equal(parser.args_cap, 0); // the big table is not kept
    resp_parser_deinit(&parser);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays),         cmocka_unit_test(inline_commands),
        cmocka_unit_test(array_errors),   cmocka_unit_test(inline_errors),
        cmocka_unit_test(limits),         cmocka_unit_test(announcements_cost_nothing),
        cmocka_unit_test(many_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
