// KEYS, SCAN and RANDOMKEY on a database among others, and what they look at.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/kvstore/resp_kit.h"

// Keys "<prefix><number>", from 0 on.
static void put(const char *prefix, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "set %s%u %u", prefix, i, i);
        assert_string_equal(resp_kit_run(line), OK);
    }
}

static uint64_t cursor_of(const char *reply)
{
    const char *at = strstr(reply, "\r\n$");
    at = at != NULL ? strstr(at + 2, "\r\n") : NULL;
    assert_non_null(at);
    return strtoull(at + 2, NULL, 10);
}

// Runs SCAN to its end; counts how often "\r\n<prefix><number>\r\n" came. Returns the number of calls.
static unsigned scan_all(const char *prefix, const char *options, unsigned *seen, unsigned most)
{
    uint64_t cursor = 0;
    unsigned calls = 0;
    do {
        char line[128];
        (void)snprintf(line, sizeof line, "scan %llu %s", (unsigned long long)cursor, options);
        const char *reply = resp_kit_run(line);
        cursor = cursor_of(reply);
        for (const char *at = reply; (at = strstr(at, prefix)) != NULL; at += strlen(prefix)) {
            unsigned long number = strtoul(at + strlen(prefix), NULL, 10);
            assert_true(number < most);
            seen[number]++;
        }
        calls++;
    } while (cursor != 0 && calls < 100000);
    assert_true(cursor == 0);
    return calls;
}

// Proves: each key of the selected database once, none of another, however many lie between them.
static void one_database_of_two(void **state)
{
    unsigned seen[3000] = {0}, calls;
    (void)state;
    put("other:", 2000);
    EXPECT("select 5", OK);
    put("k", 30);
    calls = scan_all("\r\nk", "", seen, 3000);
    assert_in_range(calls, 3, 2030 / 10 + 3);
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(seen[i], 1);
    assert_null(strstr(resp_kit_run("keys *"), "other"));
    assert_memory_equal(resp_kit_run("keys k?"), "*10\r\n", 5);
    EXPECT("keys k29", "*1\r\n$3\r\nk29\r\n");
    assert_memory_equal(resp_kit_run("randomkey"), "$", 1);
    EXPECT("select 0", OK);
    memset(seen, 0, sizeof seen);
    (void)scan_all("\r\nother:", "count 100", seen, 3000);
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(seen[i], 1);
    EXPECT("select 7\r\nrandomkey\r\nkeys *\r\nscan 0 count 100000", OK NIL "*0\r\n*2\r\n$1\r\n0\r\n*0\r\n");
}

static void filters(void **state)
{
    unsigned seen[100] = {0};
    (void)state;
    put("k", 100);
    (void)scan_all("\r\nk", "match k1* count 7", seen, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(seen[i], i == 1 || i / 10 == 1);
    memset(seen, 0, sizeof seen);
    (void)scan_all("\r\nk", "type list", seen, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(seen[i], 0);
    (void)scan_all("\r\nk", "TYPE string COUNT 1", seen, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
}

// Proves: a key whose time has come is not shown, removed or not.
static void expired_ones_are_left_out(void **state)
{
    (void)state;
    EXPECT("set a 1 px 10\r\nset b 2", OK OK);
    fake.now_ms += 10;
    EXPECT("scan 0\r\nkeys *", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n*1\r\n$1\r\nb\r\n");
    for (unsigned i = 0; i < 20; i++)
        EXPECT("randomkey", "$1\r\nb\r\n");
}

static void refused(void **state)
{
    (void)state;
    EXPECT("scan x", "-ERR invalid cursor\r\n");
    EXPECT("scan \"\"", "*2\r\n$1\r\n0\r\n*0\r\n"); // as strtoul() has it
    EXPECT("scan 18446744073709551616", "-ERR invalid cursor\r\n");
    EXPECT("scan 0 count", "-ERR syntax error\r\n");
    EXPECT("scan 0 count 0", "-ERR syntax error\r\n");
    EXPECT("scan 0 count x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("scan 0 foo x", "-ERR syntax error\r\n");
    fake.fail_scan = KV_IO;
    EXPECT("scan 0", "-ERR the store failed: input/output error\r\n");
    EXPECT("keys *", "-ERR the store failed: input/output error\r\n");
    EXPECT("randomkey", "-ERR the store failed: input/output error\r\n");
    EXPECT("select 1\r\nset a 1\r\nflushdb", OK OK "-ERR the store failed: input/output error\r\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)
    const struct CMUnitTest tests[] = {TEST(one_database_of_two), TEST(filters),
                                       TEST(expired_ones_are_left_out), TEST(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
