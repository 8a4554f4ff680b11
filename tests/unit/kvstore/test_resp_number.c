// Numbers: how floats are read and written, and the commands that count: each reply is the one of redis-server 7.0.15.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kvstore/resp/number.h"
#include "tests/unit/kvstore/resp_kit.h"

static bool parse(const char *text, long double *value)
{
    return resp_number_parse((const uint8_t *)text, strlen(text), value);
}

static void floats_are_read(void **state)
{
    long double value = 0;
    char text[RESP_NUMBER_TEXT + 2];
    (void)state;
    assert_true(parse("1.5", &value) && value == 1.5L);
    assert_true(parse("-.5e1", &value) && value == -5.0L);
    assert_true(parse("0x10", &value) && value == 16.0L);
    assert_true(parse("5.", &value) && value == 5.0L);
    assert_true(parse("-inf", &value) && isinf(value));
    static const char *const bad[] = {"", " 1", "1 ", "x", "1x", "nan", "1e", "1e5000", "1e-5000", "--1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(parse(bad[i], &value));
    assert_false(resp_number_parse((const uint8_t *)"1\0", 2, &value));
    memset(text, '1', sizeof text);
    assert_false(resp_number_parse((const uint8_t *)text, RESP_NUMBER_TEXT, &value));
    assert_true(resp_number_parse((const uint8_t *)text, 4000, &value));
}

static void floats_are_written(void **state)
{
    static const struct {
        long double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0L, "0"},
                 {10.5L, "10.5"},
                 {-3, "-3"},
                 {100, "100"},
                 {1e20L, "100000000000000000000"},
                 {1e-17L, "0.00000000000000001"},
                 {1e-18L, "0"},
                 {-1e-18L, "0"}};
    char text[RESP_NUMBER_TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(resp_number_format(cases[i].value, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
    long double large;
    assert_true(parse("-1.18e4932", &large));
    assert_int_equal(resp_number_format(large, text), 4934); // the longest
}

#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define NOT_FLOAT   "-ERR value is not a valid float\r\n"

static void counting(void **state)
{
    (void)state;
    EXPECT("incr a", ":1\r\n");
    EXPECT("get a", "$1\r\n1\r\n");
    EXPECT("incrby a 41", ":42\r\n");
    EXPECT("decr a", ":41\r\n");
    EXPECT("decrby a -9", ":50\r\n");
    EXPECT("expire a 100", ":1\r\n");
    EXPECT("decrby a 60", ":-10\r\n");
    EXPECT("ttl a", ":100\r\n"); // kept
    EXPECT("set a 9223372036854775807", OK);
    EXPECT("incr a", "-ERR increment or decrement would overflow\r\n");
    EXPECT("decrby a -1", "-ERR increment or decrement would overflow\r\n");
    EXPECT("incrby a -9223372036854775808", ":-1\r\n");
    EXPECT("decrby a -9223372036854775808", "-ERR decrement would overflow\r\n");
    EXPECT("set a -9223372036854775808", OK);
    EXPECT("decr a", "-ERR increment or decrement would overflow\r\n");
    EXPECT("incrby a x", NOT_INTEGER);
    EXPECT("decrby a 1.0", NOT_INTEGER);
    EXPECT("incrby a 9223372036854775808", NOT_INTEGER);
    static const char *const bad[] = {"abc", "01", "-0", "+1", "\" 1\"", "\"\"", "1.5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[32];
        (void)snprintf(line, sizeof line, "set b %s", bad[i]);
        EXPECT(line, OK);
        EXPECT("incr b", NOT_INTEGER);
    }
}

static void floats(void **state)
{
    (void)state;
    EXPECT("incrbyfloat a 10.50", "$4\r\n10.5\r\n");
    EXPECT("incrbyfloat a 0.1", "$4\r\n10.6\r\n");
    EXPECT("expire a 100", ":1\r\n");
    EXPECT("incrbyfloat a -5", "$3\r\n5.6\r\n");
    EXPECT("ttl a", ":100\r\n");
    EXPECT("set a 5.0e3", OK);
    EXPECT("incrbyfloat a 2.0e2", "$4\r\n5200\r\n");
    EXPECT("incrbyfloat a 3.0e-5", "$21\r\n5200.0000300000000002\r\n");
    EXPECT("incrbyfloat a inf", "-ERR increment would produce NaN or Infinity\r\n");
    EXPECT("incrbyfloat a nan", NOT_FLOAT);
    EXPECT("incrbyfloat a \" 1\"", NOT_FLOAT);
    EXPECT("set a abc", OK);
    EXPECT("incrbyfloat a 1", NOT_FLOAT);
    EXPECT("set a inf", OK);
    EXPECT("incrbyfloat a -inf", "-ERR increment would produce NaN or Infinity\r\n");
    EXPECT("get a", "$3\r\ninf\r\n");
}

static void failures(void **state)
{
    (void)state;
    EXPECT("set a 5", OK);
    fake.fail_put = KV_FULL;
    EXPECT("incr a", "-MISCONF No space left on the store's device; nothing was changed\r\n");
    EXPECT("incrbyfloat a 1", "-MISCONF No space left on the store's device; nothing was changed\r\n");
    fake.fail_put = KV_OK;
    fake.fail_get = KV_CORRUPT;
    EXPECT("incr a", "-ERR the record is damaged on disk\r\n");
    EXPECT("incrbyfloat a 1", "-ERR the record is damaged on disk\r\n");
    fake.fail_get = KV_OK;
    EXPECT("get a", "$1\r\n5\r\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_are_read),
        cmocka_unit_test(floats_are_written),
        TEST(counting),
        TEST(floats),
        TEST(failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
