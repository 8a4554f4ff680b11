// Power failures with several threads, each call durable when it returns: KV_FSYNC_ALWAYS (kv_crash_kit.h).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv_crash_kit.h"

static void test_always(void **state)
{
    (void)state;
    crash_run(&(struct crash_plan){.name = "always",
                                   .always = true,
                                   .segment_bytes = 12288,
                                   .record = crash_record_history,
                                   .ops = 120,
                                   .crashes = 100,
                                   .share = 1});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_always)};
    return cmocka_run_group_tests(tests, crash_setup, crash_teardown);
}
