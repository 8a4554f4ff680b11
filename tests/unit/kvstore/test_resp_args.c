// Arguments: numbers, sizes, patterns, the options of SET and EXPIRE.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/options.h"

static struct resp_arg arg(const char *text)
{
    return (struct resp_arg){(const uint8_t *)text, strlen(text)};
}

static void integers(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"7", 7},
                {"-1", -1},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "-0",
                                      "-01",
                                      "1a",
                                      "0x1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999",
                                      "184467440737095516160"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct resp_arg a = arg(good[i].text);
        int64_t value = 42;
        assert_true(resp_arg_int64(&a, &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct resp_arg a = arg(bad[i]);
        int64_t value = 42;
        assert_false(resp_arg_int64(&a, &value));
        assert_int_equal(value, 42);
    }
}

static void cursors_and_sizes(void **state)
{
    uint64_t n;
    (void)state;
    assert_true(resp_arg_cursor(&(struct resp_arg){(const uint8_t *)"18446744073709551615", 20}, &n));
    assert_true(n == UINT64_MAX);
    struct resp_arg minus = arg("-1");
    assert_true(resp_arg_cursor(&minus, &n) && n == UINT64_MAX);
    struct resp_arg nothing = arg(""), ended = {(const uint8_t *)"7\0x", 3};
    assert_true(resp_arg_cursor(&nothing, &n) && n == 0);
    assert_true(resp_arg_cursor(&ended, &n) && n == 7);
    const char *bad_cursors[] = {"-", "a", "1a", "18446744073709551616", " 1"};
    for (size_t i = 0; i < 5; i++) {
        struct resp_arg a = arg(bad_cursors[i]);
        assert_false(resp_arg_cursor(&a, &n));
    }
    struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {{"0", 0},         {"100", 100},      {"64k", 64000}, {"64kB", 65536},
                 {"2mb", 2097152}, {"1GB", 1u << 30}, {"3b", 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct resp_arg a = arg(sizes[i].text);
        assert_true(resp_arg_memory(&a, &n));
        assert_true(n == sizes[i].bytes);
    }
    const char *bad_sizes[] = {"", "kb", "-1", "1.5gb", "1tb", "99999999999999gb"};
    for (size_t i = 0; i < 6; i++) {
        struct resp_arg a = arg(bad_sizes[i]);
        assert_false(resp_arg_memory(&a, &n));
    }
}

static bool glob(const char *pattern, const char *text, bool nocase)
{
    return resp_glob((const uint8_t *)pattern, strlen(pattern), (const uint8_t *)text, strlen(text), nocase);
}

static void globs(void **state)
{
    (void)state;
    assert_true(glob("*", "", false));
    assert_true(glob("", "", false));
    assert_false(glob("", "a", false));
    assert_true(glob("h?llo", "hello", false));
    assert_true(glob("h*llo", "heeeello", false));
    assert_true(glob("*a*b*c", "xaxbxbxc", false));
    assert_false(glob("*a*b*c", "xaxcxb", false));
    assert_true(glob("h[ae]llo", "hallo", false));
    assert_false(glob("h[ae]llo", "hillo", false));
    assert_true(glob("h[^e]llo", "hallo", false));
    assert_false(glob("h[^e]llo", "hello", false));
    assert_true(glob("h[a-b]llo", "hbllo", false));
    assert_true(glob("h[b-a]llo", "hallo", false)); // a range may stand the wrong way round
    assert_true(glob("h\\*llo", "h*llo", false));
    assert_false(glob("h\\*llo", "hello", false));
    assert_true(glob("h[\\]]llo", "h]llo", false));
    assert_true(glob("MAX*", "maxmemory", true));
    assert_false(glob("MAX*", "maxmemory", false));
    assert_true(glob("[ab", "a", false)); // an open set ends with the pattern
    assert_true(glob("a\\", "a\\", false));
    assert_true(glob("a**", "a", false));
    // Many stars cost no more than pattern x text.
    assert_false(glob("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false));
}

static bool set_options(struct resp_set_options *o, const char *const *words)
{
    static struct resp_arg args[16];
    size_t count = 0;
    for (; words[count] != NULL; count++)
        args[count] = arg(words[count]);
    return resp_set_options_parse(args, count, o);
}
#define SET(...) set_options(&o, (const char *const[]){__VA_ARGS__, NULL})

static void set_option_rules(void **state)
{
    struct resp_set_options o;
    (void)state;
    assert_true(SET("NX", "get", "Ex", "10"));
    assert_true(o.if_absent && o.get_old && o.time_kind == RESP_TIME_EX && resp_arg_is(o.time, "10"));
    assert_true(SET("ex", "1", "EX", "2")); // the last one counts
    assert_true(resp_arg_is(o.time, "2"));
    assert_true(SET("keepttl", "xx"));
    assert_true(o.keep_ttl && o.if_present);
    assert_false(SET("nx", "xx"));
    assert_false(SET("xx", "nx"));
    assert_false(SET("ex"));
    assert_false(SET("ex", "1", "px", "1"));
    assert_false(SET("keepttl", "ex", "1"));
    assert_false(SET("pxat", "1", "keepttl"));
    assert_false(SET("persist"));
    assert_false(SET(""));
}

static void set_times(void **state)
{
    uint64_t ms;
    struct resp_arg ten = arg("10"), zero = arg("0"), word = arg("x"), most = arg("9223372036854775807");
    (void)state;
    assert_int_equal(resp_set_time(RESP_TIME_EX, &ten, 1000, &ms), RESP_TIME_OK);
    assert_int_equal(ms, 11000);
    assert_int_equal(resp_set_time(RESP_TIME_PXAT, &ten, 1000, &ms), RESP_TIME_OK);
    assert_int_equal(ms, 10);
    assert_int_equal(resp_set_time(RESP_TIME_EX, &zero, 1000, &ms), RESP_TIME_INVALID);
    assert_int_equal(resp_set_time(RESP_TIME_EX, &word, 1000, &ms), RESP_TIME_NO_INTEGER);
    assert_int_equal(resp_set_time(RESP_TIME_EX, &most, 1000, &ms), RESP_TIME_INVALID);
    assert_int_equal(resp_set_time(RESP_TIME_PX, &most, 1000, &ms), RESP_TIME_INVALID);
    assert_int_equal(resp_set_time(RESP_TIME_PXAT, &most, 1000, &ms), RESP_TIME_OK);
    struct resp_arg past = arg("-5");
    assert_int_equal(resp_expire_time(RESP_TIME_EX, &past, 1000, &ms), RESP_TIME_OK);
    assert_int_equal(ms, 0);
    assert_int_equal(resp_expire_time(RESP_TIME_EXAT, &most, 1000, &ms), RESP_TIME_INVALID);
}

static void expire_rules(void **state)
{
    struct resp_expire_options o;
    const struct resp_arg *unknown = NULL;
    struct resp_arg words[] = {arg("nx"), arg("gt"), arg("lt"), arg("maybe")};
    (void)state;
    assert_int_equal(resp_expire_options_parse(words, 2, &o, &unknown), RESP_EXPIRE_NX_AND_ANY);
    assert_int_equal(resp_expire_options_parse(words + 1, 2, &o, &unknown), RESP_EXPIRE_GT_AND_LT);
    assert_int_equal(resp_expire_options_parse(words, 4, &o, &unknown), RESP_EXPIRE_UNKNOWN);
    assert_ptr_equal(unknown, &words[3]);
    assert_int_equal(resp_expire_options_parse(words + 1, 1, &o, &unknown), RESP_EXPIRE_OK);
    assert_false(resp_expire_allowed(&o, 0, 10)); // none counts as infinitely late
    assert_true(resp_expire_allowed(&o, 9, 10));
    assert_false(resp_expire_allowed(&o, 10, 10));
    assert_int_equal(resp_expire_options_parse(words + 2, 1, &o, &unknown), RESP_EXPIRE_OK);
    assert_true(resp_expire_allowed(&o, 0, 10));
    assert_false(resp_expire_allowed(&o, 10, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),  cmocka_unit_test(cursors_and_sizes),
        cmocka_unit_test(globs),     cmocka_unit_test(set_option_rules),
        cmocka_unit_test(set_times), cmocka_unit_test(expire_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
