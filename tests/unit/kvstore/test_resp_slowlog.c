// SLOWLOG: what is logged, how much of it, and what never is.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/slowlog.h"
#include "kvstore/resp/stats.h"
#include "tests/unit/kvstore/resp_kit.h"

#define ALL "config set slowlog-log-slower-than 0"

static void test_entry(void **state)
{
    char expected[256];
    (void)state;
    EXPECT("slowlog len", ":0\r\n");
    EXPECT("slowlog get", "*0\r\n");
    EXPECT("slowlog GET 1 2",
           "-ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.\r\n");
    EXPECT(ALL, OK);
    EXPECT("client setname bob", OK);
    EXPECT("slowlog reset", OK);
    EXPECT("set k v", OK);
    const char *reply = resp_kit_run("slowlog get 1"); // the RESET is older
    assert_memory_equal(reply, "*1\r\n*6\r\n:3\r\n:1700000000\r\n:", 26);
    (void)snprintf(expected, sizeof expected,
                   "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n$%zu\r\n%s\r\n$3\r\nbob\r\n",
                   strlen(kit.session.peer), kit.session.peer);
    assert_non_null(strstr(reply, expected));
    EXPECT("config set slowlog-log-slower-than -1", OK);
    EXPECT("slowlog reset", OK);
    EXPECT("set k v", OK);
    EXPECT("slowlog len", ":0\r\n");
}

static void test_lengths(void **state)
{
    char line[1024] = "mget";
    (void)state;
    EXPECT(ALL, OK);
    for (int i = 0; i < 40; i++)
        (void)strcat(line, " k");
    (void)resp_kit_run(line);
    assert_non_null(strstr(resp_kit_run("slowlog get 1"), "*32\r\n$4\r\nmget\r\n"));
    (void)resp_kit_run(line);
    assert_non_null(strstr(resp_kit_run("slowlog get 1"), "$23\r\n... (10 more arguments)\r\n"));
    memset(line, 'x', 300);
    memcpy(line, "set k ", 6);
    line[306] = '\0';
    memset(line + 6, 'y', 300);
    EXPECT(line, OK);
    const char *reply = resp_kit_run("slowlog get 1");
    assert_non_null(strstr(reply, "y... (172 more bytes)\r\n"));
    EXPECT("config set slowlog-max-len 2", OK);
    EXPECT("set a b", OK);
    EXPECT("slowlog len", ":2\r\n");
    EXPECT("config set slowlog-max-len 0", OK);
    EXPECT("set a b", OK);
    EXPECT("slowlog len", ":0\r\n");
}

static void test_counts(void **state)
{
    (void)state;
    EXPECT(ALL, OK);
    for (int i = 0; i < 15; i++)
        EXPECT("set a b", OK);
    assert_memory_equal(resp_kit_run("slowlog get"), "*10\r\n", 5);
    assert_memory_equal(resp_kit_run("slowlog get 3"), "*3\r\n", 4);
    assert_memory_equal(resp_kit_run("slowlog get 0"), "*0\r\n", 4);
    assert_memory_equal(resp_kit_run("slowlog get -1"), "*19\r\n", 5);
    EXPECT("slowlog get -2", "-ERR count should be greater than or equal to -1\r\n");
    EXPECT("slowlog get x", "-ERR count should be greater than or equal to -1\r\n");
    EXPECT("slowlog get 1 2",
           "-ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.\r\n");
    EXPECT("slowlog foo", "-ERR unknown subcommand 'foo'. Try SLOWLOG HELP.\r\n");
    EXPECT("slowlog len 1", "-ERR wrong number of arguments for 'slowlog|len' command\r\n");
}

static void test_secrets(void **state)
{
    static const char *const lines[] = {
        "auth hush",
        "auth default hush",
        "hello 3 auth default hush",
        "hello 2 setname x auth hush2 hush",
        "config set requirepass hush",
        "config set hz 10 MASTERAUTH hush",
        "config set hz 10 requirepass hush",
    };
    (void)state;
    EXPECT(ALL, OK);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        (void)resp_kit_run(lines[i]);
        const char *reply = resp_kit_run("slowlog get 1");
        assert_null(strstr(reply, "hush"));
        assert_non_null(strstr(reply, "(redacted)"));
    }
    (void)resp_kit_run("config set hz 11");
    assert_non_null(strstr(resp_kit_run("slowlog get 1"), "$2\r\n11\r\n"));
}

// Commands that are not of this server yet, or never: the rule knows them by name.
static void test_secret_arguments(void **state)
{
    static const struct resp_command acl = {.name = "acl"}, setuser = {.name = "setuser"},
                                     migrate = {.name = "migrate"};
    const struct resp_arg words[] = {{(const uint8_t *)"migrate", 7}, {(const uint8_t *)"h", 1},
                                     {(const uint8_t *)"AUTH2", 5},   {(const uint8_t *)"u", 1},
                                     {(const uint8_t *)"p", 1},       {(const uint8_t *)"keys", 4}};
    struct resp_call call = {.command = &migrate, .session = &kit.session, .args = words, .argc = 6};
    (void)state;
    assert_false(resp_argument_is_secret(&call, 1));
    assert_false(resp_argument_is_secret(&call, 2));
    assert_true(resp_argument_is_secret(&call, 3));
    assert_true(resp_argument_is_secret(&call, 4));
    assert_false(resp_argument_is_secret(&call, 5));
    call.command = &setuser;
    call.parent = &acl;
    assert_false(resp_argument_is_secret(&call, 1));
    assert_true(resp_argument_is_secret(&call, 2));
    assert_true(resp_argument_is_secret(&call, 5));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_entry), TEST(test_lengths), TEST(test_counts),
                                       TEST(test_secrets), TEST(test_secret_arguments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
