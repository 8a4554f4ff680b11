#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/units.h"

// Every suffix, in any case, means a power of 1024, and fractions are exact.
static void sizes_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"0b", 0},
        {"7B", 7},
        {"64k", 65536},
        {"64kb", 65536},
        {"64KiB", 65536},
        {"512mb", 536870912},
        {"512M", 536870912},
        {"1mib", 1048576},
        {"4gb", 4294967296},
        {"4G", 4294967296},
        {"4GiB", 4294967296},
        {"2tb", 2199023255552},
        {"2T", 2199023255552},
        {"2tib", 2199023255552},
        {"1.5gb", 1610612736},
        {"0.5k", 512},
        {"0.1gb", 107374182},
        {"007k", 7168},
        {"18446744073709551615", UINT64_MAX},
        {"16777215tb", 16777215ULL << 40},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bytes = 99;
        assert_true(units_parse_size(cases[i].text, &bytes));
        assert_int_equal(bytes, cases[i].bytes);
    }
}

// What is no size, or does not fit, is refused and leaves the value alone.
static void bad_sizes_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        " ",
                                        "b",
                                        "kb",
                                        "-1",
                                        "+1",
                                        "1 kb",
                                        " 1",
                                        "1kb ",
                                        "1.",
                                        ".5gb",
                                        "1..5",
                                        "1.5.1",
                                        "1e3",
                                        "0x10",
                                        "1kbb",
                                        "1pb",
                                        "1,5gb",
                                        "1\n",
                                        "nan",
                                        "inf",
                                        "1k1",
                                        "--1k",
                                        "16777216tb",
                                        "18446744073709551616",
                                        "99999999999999999999999999",
                                        "0.00000000000000000000001gb",
                                        "18014398509481984k"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bytes = 99;
        assert_false(units_parse_size(cases[i], &bytes));
        assert_int_equal(bytes, 99);
    }
}

static void durations_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t us;
    } cases[] = {
        {"0", 0},          {"1", 1000000},    {"1us", 1},         {"200ms", 200000},   {"10s", 10000000},
        {"1.5s", 1500000}, {"5m", 300000000}, {"2h", 7200000000}, {"1d", 86400000000}, {"0.25ms", 250},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t us = 99;
        assert_true(units_parse_duration(cases[i].text, &us));
        assert_int_equal(us, cases[i].us);
    }
}

// Capital M could be a month or a million: only lower case is a duration.
static void bad_durations_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"",    "s",    "-1s", "5M",  "5S",
                                        "1 s", "1min", "1.s", "1s1", "18446744073710s"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t us = 99;
        assert_false(units_parse_duration(cases[i], &us));
        assert_int_equal(us, 99);
    }
}

static void plain_integers_take_digits_only(void **state)
{
    (void)state;
    uint64_t value = 99;
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1k", "0x1", "1.0", "18446744073709551616"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(units_parse_uint(bad[i], &value));
        assert_int_equal(value, 99);
    }
    assert_true(units_parse_uint("18446744073709551615", &value));
    assert_true(value == UINT64_MAX);
    assert_true(units_parse_uint("0", &value));
    assert_int_equal(value, 0);
}

static void sizes_are_formatted(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0b"},
        {1, "1b"},
        {999, "999b"},
        {1000, "0.977kb"},
        {1023, "0.999kb"},
        {1024, "1kb"},
        {65536, "64kb"},
        {1536, "1.5kb"},
        {10240 + 512, "10.5kb"},
        {1023 * 1024, "0.999mb"},
        {536870912, "512mb"},
        {4198235000, "3.91gb"},
        {1ULL << 40, "1tb"},
        {UINT64_MAX, "16700000tb"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char buf[16];
        assert_string_equal(units_format_size(cases[i].bytes, buf, sizeof buf), cases[i].text);
    }
}

static void durations_are_formatted(void **state)
{
    (void)state;
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {
        {0, "0us"},        {999, "999us"},     {1000, "1ms"},       {1234, "1.23ms"},
        {200000, "200ms"}, {999900, "1s"},     {10000000, "10s"},   {90000000, "1.5m"},
        {300000000, "5m"}, {7200000000, "2h"}, {86400000000, "1d"}, {UINT64_MAX, "213000000d"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char buf[16];
        assert_string_equal(units_format_duration(cases[i].us, buf, sizeof buf), cases[i].text);
    }
}

// Whatever is written can be read again, and is within half a unit of the third digit (a whole one at the top
// of the range, where rounding up would leave it).
static void formatted_values_are_read_back(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252ULL;
    for (int i = 0; i < 200000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t value = x >> (x % 64), back = 0;
        char buf[16];
        double share = value > UINT64_MAX / 100 * 98 ? 0.0101 : 0.0051;
        assert_true(units_parse_size(units_format_size(value, buf, sizeof buf), &back));
        double error = (double)back - (double)value;
        assert_true((error < 0 ? -error : error) <= share * (double)value + 1);
        assert_true(units_parse_duration(units_format_duration(value, buf, sizeof buf), &back));
        error = (double)back - (double)value;
        assert_true((error < 0 ? -error : error) <= share * (double)value + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_parsed),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(durations_are_parsed),
        cmocka_unit_test(bad_durations_are_refused),
        cmocka_unit_test(plain_integers_take_digits_only),
        cmocka_unit_test(sizes_are_formatted),
        cmocka_unit_test(durations_are_formatted),
        cmocka_unit_test(formatted_values_are_read_back),
    };
    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
