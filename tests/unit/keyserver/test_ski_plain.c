// The reader of the usual form of a body: what it reads, what it passes on, and that what it reads is what the reader
// of all of JSON gives.
#include "ski_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/ski_json.h"
#include "keyserver/ski_plain.h"

static const char usual[] = "{\"protocol\":\"TLS 1.2\",\"spki\":\"" SKI_KIT_SPKI "\",\"method\":\"ECDHE\","
                            "\"hash\":\"SHA-256\",\"input\":\"AAAA+/==\"}";

// Reads from a block of exactly that size, and compares with the other reader when it is read.
static bool reads(const char *body, size_t len)
{
    struct ski_members plain, full;
    json_t *json;
    char *exact = malloc(len + 1);
    assert_non_null(exact);
    memcpy(exact + 1, body, len);
    memset(&plain, 0xa5, sizeof plain);
    bool read = ski_plain_read(exact + 1, len, &plain);
    if (read) {
        assert_true(ski_json_read(exact + 1, len, &full, &json));
        for (int m = 0; m < SKI_MEMBER_COUNT; m++) {
            assert_int_equal(plain.text[m].at == NULL, full.text[m].at == NULL);
            assert_int_equal(plain.text[m].len, full.text[m].len);
            if (plain.text[m].at != NULL)
                assert_memory_equal(plain.text[m].at, full.text[m].at, plain.text[m].len);
        }
        json_decref(json);
    }
    free(exact);
    return read;
}

static bool reads_text(const char *body)
{
    return reads(body, strlen(body));
}

static void members_are_slices(void **state)
{
    (void)state;
    struct ski_members m;
    assert_true(ski_plain_read(usual, sizeof usual - 1, &m));
    assert_true(m.text[SKI_MEMBER_PROTOCOL].at == usual + 13 && m.text[SKI_MEMBER_PROTOCOL].len == 7);
    assert_int_equal(m.text[SKI_MEMBER_SPKI].len, 44);
    assert_null(m.text[SKI_MEMBER_SCHEME].at);
    assert_null(m.text[SKI_MEMBER_CLIENT_VERSION].at);
    assert_int_equal(m.text[SKI_MEMBER_INPUT].len, 8);
    assert_memory_equal(m.text[SKI_MEMBER_INPUT].at, "AAAA+/==", 8);
}

static void the_usual_form(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        usual,
        "{\"input\":\"A\",\"client_version\":\"a "
        "b\",\"scheme\":\"s\",\"spki\":\"~!#[]{}:,\",\"protocol\":\"p\"}",
        " \t\r\n{ \t\r\n\"input\" \n:\t\"A\"\r, \"spki\":\"x\" }\r\n ",
        "{\"input\":\"A\"}",
        // Members that SKI does not have, also more than once.
        "{\"a\":0,\"b\":1,\"a\":123456789012345678,\"\":\"\",\"Input\":\"\",\"input\":\"A\"}",
        "{\"inputs\":1,\"inpu\":2}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_true(reads_text(bodies[i]));
}

static void what_is_passed_on(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        " ",
        "{",
        "}",
        "{}",
        "[]",
        "null",
        "\"a\"",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,\"a\":1}",
        "{\"a\":1}x",
        "{\"a\":1}}",
        "{\"a\":1 \"b\":1}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":\"b",
        "{\"a\":\"b\"",
        // Well-formed, but not usual.
        "{\"a\":true}",
        "{\"a\":null}",
        "{\"a\":[]}",
        "{\"a\":{}}",
        "{\"a\":-1}",
        "{\"a\":1.0}",
        "{\"a\":1e1}",
        "{\"a\":1234567890123456789}",
        "{\"a\":\"\\/\"}",
        "{\"\\u0061\":\"b\"}",
        "{\"a\":\"\xc3\xa9\"}",
        "{\"a\":\"\x7f\"}",
        "{\"input\":\"A\",\"input\":\"A\"}",
        // Malformed.
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":1\v}",
        "\xef\xbb\xbf{\"a\":1}",
        // Malformed for SKI.
        "{\"input\":\"\"}",
        "{\"input\":1}",
        "{\"spki\":null}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_false(reads_text(bodies[i]));
    assert_false(reads("{\"a\":1}\0", 8));
    assert_false(reads("{\"a\":\"\0\"}", 9));
}

static void cut_bodies(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof usual - 1; len++)
        assert_false(reads(usual, len));
}

// Every byte replaced by every other: wherever it lies in a string's words of eight.
static void every_byte_at_every_place(void **state)
{
    (void)state;
    char body[sizeof usual];
    unsigned count = 0;
    for (size_t at = 0; at < sizeof usual - 1; at++) {
        memcpy(body, usual, sizeof usual);
        for (unsigned c = 0; c < 256; c++) {
            body[at] = (char)c;
            count += reads(body, sizeof usual - 1);
        }
    }
    assert_true(count > 1000 && count < 256 * (sizeof usual - 1)); // both happen
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_slices),        cmocka_unit_test(the_usual_form),
        cmocka_unit_test(what_is_passed_on),         cmocka_unit_test(cut_bodies),
        cmocka_unit_test(every_byte_at_every_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
