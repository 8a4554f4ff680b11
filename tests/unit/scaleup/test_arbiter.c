// Who gives: a table of pools and what the plan is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "scaleup/arbiter.h"

#define VNFS 4

struct row {
    const char *says;
    struct arbiter_vnf vnfs[VNFS]; // size, minimum, priority, askable; the first asks
    unsigned priority;
    uint64_t need;
    const char *plan; // "vnf:target ..."
    uint64_t missing;
};

// Pool 1000, granularity 10.
static const struct row rows[] = {
    {"the lowest priority gives first",
     {{100, 50, 7, true}, {300, 100, 3, true}, {300, 100, 1, true}, {300, 100, 5, true}},
     7,
     150,
     "2:150",
     0},
    {"then the next",
     {{100, 50, 7, true}, {300, 100, 3, true}, {300, 100, 1, true}, {300, 100, 5, true}},
     7,
     250,
     "2:100 1:250",
     0},
    {"minimums stay",
     {{100, 50, 7, true}, {300, 100, 3, true}, {300, 100, 1, true}, {300, 100, 5, true}},
     7,
     1000,
     "2:100 1:100 3:100",
     400},
    {"the request's priority counts, not the VNF's",
     {{100, 50, 7, true}, {300, 100, 3, true}, {300, 100, 1, true}, {300, 100, 5, true}},
     2,
     1000,
     "2:100",
     800},
    {"nobody is below",
     {{100, 50, 1, true}, {300, 100, 3, true}, {300, 100, 2, true}, {300, 100, 5, true}},
     1,
     100,
     "",
     100},
    {"within a priority the furthest above its fair share first",
     {{100, 0, 7, true}, {300, 0, 3, true}, {500, 0, 3, true}, {100, 0, 5, true}},
     7,
     350,
     "2:150",
     0},
    {"who cannot be asked is not",
     {{100, 50, 7, true}, {300, 100, 3, true}, {300, 100, 1, false}, {300, 100, 5, true}},
     7,
     150,
     "1:150",
     0},
    {"equals give what is above their fair share, until the asker has its own",
     {{100, 0, 5, true}, {500, 0, 5, true}, {200, 0, 5, true}, {200, 0, 5, true}},
     5,
     400,
     "1:350",
     250},
    {"equals give nothing to one above its fair share",
     {{300, 0, 5, true}, {500, 0, 5, true}, {200, 0, 5, true}, {0, 0, 5, true}},
     5,
     100,
     "",
     100},
    {"lower ones before equals",
     {{100, 0, 5, true}, {500, 0, 5, true}, {200, 100, 4, true}, {200, 0, 5, true}},
     5,
     200,
     "2:100 1:480", // its fair share is 220: 120 more than it has, of which the lower one gave 100
     80},
    {"rounded up to the granularity",
     {{100, 50, 7, true}, {300, 100, 3, true}, {0, 0, 1, true}, {0, 0, 5, true}},
     7,
     15,
     "1:280",
     0},
    {"nothing is needed",
     {{100, 50, 7, true}, {300, 100, 3, true}, {0, 0, 1, true}, {0, 0, 5, true}},
     7,
     0,
     "",
     0},
    {"a VNF below its minimum gives nothing",
     {{100, 50, 7, true}, {40, 100, 3, true}, {0, 0, 1, true}, {0, 0, 5, true}},
     7,
     10,
     "",
     10},
};

static void test_plans(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arbiter_pool pool = {1000, 10, rows[i].vnfs, VNFS};
        struct arbiter_ask ask = {0, rows[i].priority, rows[i].need};
        struct arbiter_target plan[VNFS];
        uint64_t missing;
        char text[128] = "";
        size_t count = arbiter_plan(&pool, &ask, plan, &missing);
        for (size_t k = 0; k < count; k++)
            (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%zu:%llu", k > 0 ? " " : "",
                           plan[k].vnf, (unsigned long long)plan[k].bytes);
        if (strcmp(text, rows[i].plan) != 0 || missing != rows[i].missing)
            fail_msg("%s: found %s missing %llu", rows[i].says, text, (unsigned long long)missing);
    }
}

static void test_fair_share(void **state)
{
    (void)state;
    const struct arbiter_vnf vnfs[] = {{0, 100, 0, true}, {0, 200, 0, true}, {0, 0, 0, true}};
    struct arbiter_pool pool = {1000, 10, vnfs, 3};
    assert_int_equal(arbiter_fair_share(&pool, 0), 330);
    assert_int_equal(arbiter_fair_share(&pool, 1), 430);
    assert_int_equal(arbiter_fair_share(&pool, 2), 230);
    pool.pool_bytes = 200; // less than the minimums
    assert_int_equal(arbiter_fair_share(&pool, 1), 200);
}

static void test_turns(void **state)
{
    (void)state;
    assert_true(arbiter_before(7, 9, 5, 1));
    assert_false(arbiter_before(5, 1, 7, 9));
    assert_true(arbiter_before(5, 1, 5, 2));
    assert_false(arbiter_before(5, 2, 5, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_fair_share),
        cmocka_unit_test(test_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
