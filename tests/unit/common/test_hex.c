#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/hex.h"

// Every byte there is: the 22 digits, and nothing else.
static void digits_and_nothing_else(void **state)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        const char *at = memchr(digits, byte, sizeof digits - 1);
        int place = at != NULL ? (int)(at - digits) : -1;
        assert_int_equal(hex_digit((char)byte), place < 16 ? place : place - 6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_and_nothing_else),
    };
    return cmocka_run_group_tests_name("hex", tests, NULL, NULL);
}
