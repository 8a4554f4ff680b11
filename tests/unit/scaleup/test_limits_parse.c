#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "scaleup/limits.h"
#include "scaleup/limits_parse.h"
#include "scaleup/pressure.h"

#define NO_LIMIT "9223372036854771712\n"

// What the kernel writes, what it never would, and that a refusal leaves the value alone.
static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } numbers[] = {{"0\n", true, 0},
                   {"123", true, 123},
                   {"max\n", true, LIMITS_NONE},
                   {NO_LIMIT, true, LIMITS_NONE},
                   {"", false, 0},
                   {"\n", false, 0},
                   {"-1\n", false, 0},
                   {"12 3\n", false, 0},
                   {"1\n2\n", false, 0},
                   {"maximum\n", false, 0},
                   {"0x10\n", false, 0},
                   {"99999999999999999999999\n", false, 0}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uint64_t value = 77;
        assert_int_equal(limits_parse_number(numbers[i].text, strlen(numbers[i].text), &value),
                         numbers[i].good);
        assert_int_equal(value, numbers[i].good ? numbers[i].value : 77);
    }
    static const struct {
        const char *text, *key;
        bool good;
        uint64_t value;
    } fields[] = {{"a 1\nb 2\n", "b", true, 2},
                  {"ab 1\na 2\n", "a", true, 2},
                  {"a:   12 kB\n", "a:", true, 12288},
                  {"a 7", "a", true, 7},
                  {"a\n", "a", false, 0},
                  {"a \n", "a", false, 0},
                  {"a 1 GB\n", "a", false, 0},
                  {"a: 18446744073709551615 kB\n", "a:", false, 0},
                  {"x a 1\n", "a", false, 0}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint64_t value = 77;
        assert_int_equal(limits_parse_field(fields[i].text, strlen(fields[i].text), fields[i].key, &value),
                         fields[i].good);
        assert_int_equal(value, fields[i].good ? fields[i].value : 77);
    }
    static const struct {
        const char *text;
        bool good;
        double some, full;
    } pressures[] = {{"some avg10=0.12 avg60=1\nfull avg10=100.00 a\n", true, 0.12, 100},
                     {"some avg10=5", true, 5, -1},
                     {"full avg10=1.00\n", false, 0, 0},
                     {"some avg10=101 \n", false, 0, 0},
                     {"some avg10=nan\n", false, 0, 0},
                     {"some avg10=1,5\n", false, 0, 0},
                     {"some avg10=-1\n", false, 0, 0},
                     {"", false, 0, 0}};
    for (size_t i = 0; i < sizeof pressures / sizeof pressures[0]; i++) {
        double some = 77, full = 78;
        assert_int_equal(pressure_parse(pressures[i].text, strlen(pressures[i].text), &some, &full),
                         pressures[i].good);
        assert_true(some == (pressures[i].good ? pressures[i].some : 77));
        assert_true(full == (pressures[i].good ? pressures[i].full : 78));
    }
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(limits_source_name(LIMITS_MACHINE), "MemTotal");
    assert_string_equal(limits_source_name(LIMITS_CGROUP_V1), "memory.limit_in_bytes");
    assert_string_equal(limits_source_name(LIMITS_CGROUP_V2), "memory.max");
    assert_string_equal(limits_source_name(LIMITS_CGROUP_HIGH), "memory.high");
    assert_string_equal(limits_source_name((enum limits_source)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts), cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
