// Power failures with several threads, synced now and then: KV_FSYNC_INTERVAL (kv_crash_kit.h).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv_crash_kit.h"

static void test_interval(void **state)
{
    (void)state;
    crash_run(&(struct crash_plan){.name = "interval",
                                   .always = false,
                                   .segment_bytes = 12288,
                                   .record = crash_record_history,
                                   .ops = 120,
                                   .crashes = 100,
                                   .share = 1});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_interval)};
    return cmocka_run_group_tests(tests, crash_setup, crash_teardown);
}
