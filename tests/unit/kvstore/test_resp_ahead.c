// Looking ahead in a pipeline: which keys are taken to be next, where the look ends, and what the store is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_store.h"
#include "kvstore/resp/ahead.h"
#include "resp_kit.h"

#define GET(key) "*2\r\n$3\r\nGET\r\n$" key

struct found {
    char keys[256]; // each with a ';' behind it
    size_t count, commands;
};

// In an allocation of the exact size, so that a sanitizer sees a read too far.
static struct found look(const char *text, size_t len, size_t most)
{
    struct found found = {.keys = ""};
    struct resp_arg keys[8];
    uint8_t *bytes = malloc(len != 0 ? len : 1);
    assert_non_null(bytes);
    memcpy(bytes, text, len);
    found.count = resp_ahead_keys(bytes, len, keys, most, &found.commands);
    assert_true(found.count <= most);
    for (size_t i = 0; i < found.count; i++) {
        strncat(found.keys, (const char *)keys[i].data, keys[i].len);
        strcat(found.keys, ";");
    }
    free(bytes);
    return found;
}

static void expect_keys(const char *text, size_t most, const char *expected, size_t expected_commands)
{
    struct found found = look(text, strlen(text), most);
    assert_string_equal(found.keys, expected);
    assert_int_equal(found.commands, expected_commands);
}

static void test_keys(void **state)
{
    (void)state;
    const char *three =
        GET("1\r\na\r\n") "*3\r\n$3\r\nset\r\n$2\r\nbc\r\n$4\r\n\r\n*1\r\n" GET("3\r\ndef\r\n");
    expect_keys(three, 8, "a;bc;def;", 3);
    expect_keys(three, 2, "a;bc;", 2);
    expect_keys(GET("1\r\na\r\n") "*1\r\n$4\r\nPING\r\n" GET("1\r\nb\r\n"), 8, "a;b;", 3);
    expect_keys(GET("0\r\n\r\n"), 8, ";", 1);
    expect_keys("", 8, "", 0);
}

// Whatever is not whole, or not of the usual form, ends the look: nothing is lost by it.
static void test_ends(void **state)
{
    (void)state;
    const char *next[] = {
        "GET b\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*17\r\n$1\r\na\r\n",
        "*x\r\n",
        "*2\r\n:3\r\n",
        "*\r\n",
        "\r\n",
        "*2\r\n$-1\r\n",
        "*2\r\n$3\r\nGET\r\n$999999\r\n",
        "*2\r\n$3\r\nGET\r\n$99999\r\nb\r\n",
        "*02\r\n$3\r\nGET\r\n$1\r\nb\r\n",
        "*2x\r\n$3\r\nGET\r\n$1\r\nb\r\n",
    };
    for (size_t i = 0; i < sizeof next / sizeof *next; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "%s%s" GET("1\r\nc\r\n"), GET("1\r\na\r\n"), next[i]);
        expect_keys(text, 8, "a;", 1);
    }
    const char *whole = GET("1\r\na\r\n") GET("2\r\nbc\r\n");
    for (size_t len = 0; len < strlen(whole); len++) {
        struct found found = look(whole, len, 8);
        assert_int_equal(found.count, len >= strlen(GET("1\r\na\r\n")) ? 1 : 0);
        assert_int_equal(found.commands, found.count);
    }
}

// What reaches the store: names as it has them, not for a single command, and no more than it takes at once.
static void test_store_is_told(void **state)
{
    (void)state;
    struct resp_session *session = &kit.session;
    const char *one = GET("1\r\na\r\n"), *two = GET("1\r\na\r\n") GET("2\r\nbc\r\n");
    fake.expected = 0;
    assert_int_equal(resp_ahead(session, (const uint8_t *)one, strlen(one)), 1);
    assert_int_equal(resp_ahead(session, (const uint8_t *)"PING", 4), 1);
    assert_int_equal(fake.expected, 0);
    assert_int_equal(resp_ahead(session, (const uint8_t *)two, strlen(two)), 2);
    assert_int_equal(fake.expected, 2);
    session->db = 3; // behind a prefix
    assert_int_equal(resp_ahead(session, (const uint8_t *)two, strlen(two)), 2);
    assert_int_equal(fake.expected, 4);
    char many[64 * KV_EXPECT_MOST] = "";
    for (unsigned i = 0; i < KV_EXPECT_MOST + 5; i++)
        strcat(many, one);
    assert_int_equal(resp_ahead(session, (const uint8_t *)many, strlen(many)), KV_EXPECT_MOST);
    assert_int_equal(fake.expected, 4 + KV_EXPECT_MOST);
    // A name that no key can have is left out.
    static char huge[70000 + 200];
    int at = snprintf(huge, sizeof huge, "%s*2\r\n$3\r\nGET\r\n$70000\r\n", two);
    memset(huge + at, 'x', 70000);
    memcpy(huge + at + 70000, "\r\n", 2);
    assert_int_equal(resp_ahead(session, (const uint8_t *)huge, (size_t)at + 70002), 3);
    assert_int_equal(fake.expected, 4 + KV_EXPECT_MOST + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_ends),
        cmocka_unit_test_setup_teardown(test_store_is_told, resp_kit_setup, resp_kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
