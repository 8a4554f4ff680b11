// 1,000 schedules of a few hundred steps, each by its seed. One of them again, with what happens in it:
//   FAULTS_SEED=417 FAULTS_COUNT=1 FAULTS_TRACE=1 build/tests/test_broker_faults
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fault_world.h"

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void test_schedules(void **state)
{
    (void)state;
    uint64_t first = number("FAULTS_SEED", 1), count = number("FAULTS_COUNT", 1000);
    uint64_t kills = 0, records = 0, reports = 0, steps = 0;
    unsigned failed = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        static struct world world;
        world_create(&world, seed);
        unsigned step = 0, all = 150 + (unsigned)(seed % 251);
        while (step < all && world.wrong[0] == '\0') {
            world_step(&world);
            step++;
        }
        if (world.wrong[0] == '\0')
            world_converge(&world);
        if (world.wrong[0] != '\0' && ++failed <= 5)
            print_error("FAULTS_SEED=%llu step %u: %s\n", (unsigned long long)seed, step, world.wrong);
        kills += world.kills;
        records += world.records;
        reports += world.reports;
        steps += step;
        world_destroy(&world);
    }
    print_message("%llu steps, %llu reports, %llu books, %llu deaths\n", (unsigned long long)steps,
                  (unsigned long long)reports, (unsigned long long)records, (unsigned long long)kills);
    assert_int_equal(failed, 0);
    assert_true(count < 100 || (kills > count && reports > 10 * count && records > 10 * count));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_schedules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
