// Bodies as JSON: what deployed clients write is read, and nothing odd, cut, endless or deep gets further.
#include "ski_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void bodies_as_deployed_clients_write_them(void **state)
{
    (void)state;
    char body[2048];
    (void)snprintf(body, sizeof body,
                   "{\n\t\"protocol\" : \"TLS 1.2\",\r\n\t\"spki\":\t\"%s\",\n\t\"method\": \"ECDHE\",\n"
                   "\t\"hash\": \"SHA-256\",\n\t\"input\": %s\n}\n \t\r\n",
                   "A9993E364706816ABA3E25717850C26C9CD0D89D", ski_kit_ecdhe_json);
    assert_true(ski_kit_reads_text(SKI_JAVA, body));
    assert_int_equal(ski_kit_got.hash, SKI_SHA256);
    (void)snprintf(body, sizeof body, "{\"\\u0070rotocol\":\"\\u0054LS 1.2\",\"spki\":\"x\",\"input\":%s}",
                   ski_kit_ecdhe_json);
    assert_true(ski_kit_reads_text(SKI_DRAFT, body));
}

static void what_is_no_json_object(void **state)
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
        "true",
        "1",
        "\"TLS 1.2\"",
        "{\"protocol\"}",
        "{\"protocol\":}",
        "{'protocol':'TLS 1.2'}",
        "{\"a\":1,}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":NaN}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\x80\"}",
        "{\"a\":\"tab\there\"}",
        "{a:1}",
        "\xef\xbb\xbf{}",
        "<xml/>",
        "protocol=TLS+1.2&spki=x",
    };
    for (enum ski_dialect d = SKI_DRAFT; d <= SKI_JAVA; d++)
        for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
            assert_false(ski_kit_reads_text(d, bodies[i]));
}

// Every beginning of a good body is malformed, and so is anything behind it.
static void cut_and_continued_bodies(void **state)
{
    (void)state;
    char body[2048];
    int n =
        snprintf(body, sizeof body, "{\"protocol\":\"TLS 1.2\",\"spki\":\"" SKI_KIT_SPKI "\",\"input\":%s}",
                 ski_kit_ecdhe_json);
    size_t len = (size_t)n;
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(ski_kit_parse(SKI_DRAFT, body, cut), SKI_MALFORMED);
    assert_int_equal(ski_kit_parse(SKI_DRAFT, body, len), SKI_OK);
    static const char *const more[] = {"x", "{}", "}", ",", "\"", "// comment"};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        (void)snprintf(body + len, sizeof body - len, "%s", more[i]);
        assert_false(ski_kit_reads_text(SKI_DRAFT, body));
    }
    body[len] = '\0'; // NUL behind the object is garbage as well
    assert_int_equal(ski_kit_parse(SKI_DRAFT, body, len + 1), SKI_MALFORMED);
}

static void nul_bytes(void **state)
{
    (void)state;
    struct ski_kit_members m = ski_kit_ecdhe();
    // What C would take for the end of a word is none.
    m.protocol = "\"TLS 1.2\\u0000\"";
    assert_false(ski_kit_reads(SKI_DRAFT, m));
    m.protocol = "\"TLS 1.2\\u0000x\"";
    assert_false(ski_kit_reads(SKI_DRAFT, m));
    m = ski_kit_ecdhe();
    m.more = ",\"a\\u0000\":1";
    assert_false(ski_kit_reads(SKI_DRAFT, m));
    m = ski_kit_ecdhe();
    m.more = ",\"a\":\"@\"";
    assert_true(ski_kit_reads(SKI_DRAFT, m));
    char raw[] = "{\"protocol\":\"TLS 1.2@\",\"spki\":\"x\",\"input\":\"AAAA\"}";
    *strchr(raw, '@') = '\0';
    assert_int_equal(ski_kit_parse(SKI_DRAFT, raw, sizeof raw - 1), SKI_MALFORMED);
}

// A body within the server's limits can hold some 10,000 brackets; ten times that must not exhaust a stack.
static void deep_nesting(void **state)
{
    (void)state;
    static const char *const openings[] = {"[", "{\"a\":", "[{\"a\":"};
    for (size_t i = 0; i < 3; i++) {
        size_t step = strlen(openings[i]), len = 100000 * step;
        char *body = malloc(len);
        assert_non_null(body);
        for (size_t at = 0; at < len; at += step)
            memcpy(body + at, openings[i], step);
        assert_int_equal(ski_kit_parse(SKI_DRAFT, body, len), SKI_MALFORMED);
        free(body);
    }
}

static void long_inputs(void **state)
{
    (void)state;
    // The longest: an RSA-8192 ciphertext.
    uint8_t bytes[SKI_INPUT_MAX + 1] = {1};
    for (size_t len = SKI_INPUT_MAX - 2; len <= SKI_INPUT_MAX + 1; len++) {
        char input[2000];
        struct ski_kit_members m = ski_kit_rsa();
        (void)snprintf(input, sizeof input, "\"%s\"", kit_base64(bytes, len));
        m.input = input;
        assert_int_equal(ski_kit_reads(SKI_DRAFT, m), len <= SKI_INPUT_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_as_deployed_clients_write_them),
        cmocka_unit_test(what_is_no_json_object),
        cmocka_unit_test(cut_and_continued_bodies),
        cmocka_unit_test(nul_bytes),
        cmocka_unit_test(deep_nesting),
        cmocka_unit_test(long_inputs),
    };
    return cmocka_run_group_tests(tests, ski_kit_setup, NULL);
}
