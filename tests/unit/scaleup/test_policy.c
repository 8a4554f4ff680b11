#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/policy.h"

#define MIB          (1024ULL * 1024)
#define GIB          (1024 * MIB)
#define MINUTE       60000ULL
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// A store of 1,000 MiB: 0.5 at 100, 0.8 at 200, 0.9 at 400, 0.95 at 600, all at 1,000.
static const struct policy_point smooth[] = {
    {100 * MIB, 0.5}, {200 * MIB, 0.8}, {400 * MIB, 0.9}, {600 * MIB, 0.95}, {1000 * MIB, 1}};
// Nothing between 100 and 800, then everything.
static const struct policy_point cliff[] = {
    {100 * MIB, 0.3}, {200 * MIB, 0.3}, {400 * MIB, 0.3}, {800 * MIB, 0.98}, {1000 * MIB, 1}};

// Something to begin each case with: 1 GiB, of which nothing is beside the store, 10,000 gets a second.
static struct policy_input usual(void)
{
    return (struct policy_input){.now_ms = 1000,
                                 .current_bytes = 640 * MIB,
                                 .table_bytes = 1000 * MIB,
                                 .load = 10000,
                                 .hit_ratio = 0.9,
                                 .hit_us = 2,
                                 .miss_us = 102,
                                 .curve = smooth,
                                 .curve_count = COUNT(smooth),
                                 .psi_some = -1,
                                 .psi_full = -1};
}

static struct policy_decision first(struct policy_config config, struct policy_input input)
{
    struct policy_state state = {0};
    assert_null(policy_config_check(&config));
    return policy_decide(&config, &input, &state);
}

// Calls once a second until the target differs, for so long at most. The size stays what it was.
static struct policy_decision until_change(const struct policy_config *config, struct policy_input *input,
                                           struct policy_state *state, uint64_t most_ms)
{
    struct policy_decision d = policy_decide(config, input, state);
    for (uint64_t end = input->now_ms + most_ms;
         d.target_bytes == input->current_bytes && input->now_ms < end;) {
        input->now_ms += 1000;
        d = policy_decide(config, input, state);
    }
    return d;
}

// The need by each kind of goal; all in MiB, rounded up to 2.
static void needs(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct policy_config config;
        double load, miss_us;
        uint64_t need;
    } cases[] = {
        {"without any goal it is 0.95", {0}, 10000, 102, 600},
        {"a hit ratio", {.hit_goal = 0.8}, 10000, 102, 200},
        {"between two points: the next", {.hit_goal = 0.81}, 10000, 102, 400},
        {"all", {.hit_goal = 1}, 10000, 102, 1000},
        {"a lookup time: 12 us are 0.9 of 2 and 0.1 of 102", {.lookup_goal_us = 12}, 10000, 102, 400},
        {"a lookup time that misses meet", {.lookup_goal_us = 200}, 10000, 102, 0},
        {"a lookup time that no hit meets", {.lookup_goal_us = 1}, 10000, 102, 1000},
        {"misses as fast as hits: memory is of no use", {.lookup_goal_us = 1}, 10000, 2, 0},
        {"both: the stricter", {.hit_goal = 0.8, .lookup_goal_us = 7}, 10000, 102, 600},
        {"the device: 2,000 of 10,000", {.hit_goal = 0.1, .device_reads = 2000}, 10000, 102, 200},
        {"the device: 500 of 10,000", {.hit_goal = 0.1, .device_reads = 500}, 10000, 102, 600},
        {"the device bears all", {.hit_goal = 0.1, .device_reads = 20000}, 10000, 102, 100},
        // A million hits are worth 1: at 10,000/s a share of 0.01 saves 0.36 an hour.
        {"memory is cheap: all pays", {.gib_hour_price = 1, .miss_price = 1}, 10000, 102, 1000},
        {"0.05 for 200 MiB pays 1.8, 0.1 for 200 MiB pays 3.6",
         {.gib_hour_price = 15, .miss_price = 1},
         10000,
         102,
         400},
        {"memory is dear: nothing pays", {.gib_hour_price = 1000, .miss_price = 1}, 10000, 102, 0},
        {"less load, less worth", {.gib_hour_price = 15, .miss_price = 1}, 1000, 102, 100},
        {"the goal is wanted, but not at that price",
         {.hit_goal = 0.95, .gib_hour_price = 15, .miss_price = 1},
         10000,
         102,
         400},
        {"it would pay, but is not wanted",
         {.hit_goal = 0.8, .gib_hour_price = 1, .miss_price = 1},
         10000,
         102,
         200},
        {"the device goes before the price",
         {.gib_hour_price = 1000, .miss_price = 1, .device_reads = 2000},
         10000,
         102,
         200},
        {"minimum", {.hit_goal = 0.8, .min_bytes = 300 * MIB}, 10000, 102, 300},
        {"maximum", {.hit_goal = 0.95, .max_bytes = 300 * MIB}, 10000, 102, 300},
        {"granularity", {.hit_goal = 0.8, .granularity = 128 * MIB}, 10000, 102, 256},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct policy_input in = usual();
        in.load = cases[i].load;
        in.miss_us = cases[i].miss_us;
        uint64_t need = first(cases[i].config, in).need_bytes;
        if (need != cases[i].need * MIB)
            fail_msg("%s: need %.1f MiB", cases[i].what, (double)need / (double)MIB);
    }
}

// Worth is looked for beyond a plateau, and a goal beyond it is found.
static void plateaus_and_cliffs(void **state)
{
    (void)state;
    struct policy_input in = usual();
    in.curve = cliff;
    in.curve_count = COUNT(cliff);
    assert_int_equal(first((struct policy_config){.hit_goal = 0.31}, in).need_bytes, 800 * MIB);
    assert_int_equal(first((struct policy_config){.hit_goal = 0.3}, in).need_bytes, 100 * MIB);
    // 0.68 for 700 MiB saves 24.5 an hour.
    assert_int_equal(first((struct policy_config){.gib_hour_price = 15, .miss_price = 1}, in).need_bytes,
                     800 * MIB);
    assert_int_equal(first((struct policy_config){.gib_hour_price = 50, .miss_price = 1}, in).need_bytes,
                     100 * MIB);
}

// The first decision, by size: what is at once, what waits, and why.
static void first_decisions(void **state)
{
    (void)state;
    static const struct {
        struct policy_config config;
        uint64_t current, target; // MiB
        enum policy_reason reason;
    } cases[] = {
        {{0}, 640, 640, POLICY_STEADY},
        {{0}, 600, 600, POLICY_STEADY},
        {{0}, 598, 630, POLICY_GOAL}, // no room: what comes next would be another request
        {{0}, 700, 700, POLICY_STEADY},
        {{0}, 100, 630, POLICY_GOAL},
        {{0}, 0, 630, POLICY_GOAL},
        {{0}, 800, 800, POLICY_COOLING},
        {{.max_bytes = 500 * MIB}, 400, 500, POLICY_GOAL},
        {{.max_bytes = 500 * MIB}, 500, 500, POLICY_BOUNDS},
        {{.max_bytes = 500 * MIB}, 490, 490, POLICY_STEADY}, // a step too small waits
        {{.max_bytes = 500 * MIB}, 600, 500, POLICY_BOUNDS},
        {{.min_bytes = 700 * MIB}, 100, 736, POLICY_GOAL},
        {{.min_bytes = 700 * MIB}, 690, 736, POLICY_GOAL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct policy_input in = usual();
        in.current_bytes = cases[i].current * MIB;
        struct policy_decision d = first(cases[i].config, in);
        if (d.target_bytes != cases[i].target * MIB || d.reason != cases[i].reason)
            fail_msg("case %zu: %.1f MiB, %s", i, (double)d.target_bytes / (double)MIB,
                     policy_reason_name(d.reason));
    }
}

// The minimum is kept whatever is needed, also what is no multiple of the granularity.
static void minimum(void **state)
{
    (void)state;
    struct policy_input in = usual();
    in.current_bytes = 100 * MIB;
    in.curve_count = 0; // nothing is known
    struct policy_decision d = first((struct policy_config){.min_bytes = 300 * MIB + 1}, in);
    assert_int_equal(d.target_bytes, 300 * MIB + 1);
    assert_int_equal(d.reason, POLICY_BOUNDS);
}

// The seed's Table 5: beyond the table's size memory is of no use, and is never asked for, whatever the goal, the price, the curve, the room.
static void never_more_than_the_table(void **state)
{
    (void)state;
    const struct policy_point beyond[] = {{500 * MIB, 0.5}, {4 * GIB, 0.9}, {64 * GIB, 1}};
    const struct policy_config configs[] = {{.hit_goal = 1},
                                            {.lookup_goal_us = 0.1},
                                            {.device_reads = 0.001},
                                            {.gib_hour_price = 1e-9, .miss_price = 1e9},
                                            {.hit_goal = 1, .granularity = 64 * MIB},
                                            {.hit_goal = 1, .max_bytes = 100 * GIB}};
    for (size_t i = 0; i < COUNT(configs); i++)
        for (int steep = 0; steep < 2; steep++) {
            struct policy_input in = usual();
            struct policy_state s = {0};
            in.current_bytes = 256 * MIB;
            in.other_bytes = 100 * MIB;
            in.curve = steep ? beyond : smooth;
            in.curve_count = steep ? COUNT(beyond) : COUNT(smooth);
            uint64_t granule = configs[i].granularity != 0 ? configs[i].granularity : 2 * MIB;
            for (int second = 0; second < 600; second++, in.now_ms += 1000) {
                struct policy_decision d = policy_decide(&configs[i], &in, &s);
                assert_true(d.target_bytes <= 1100 * MIB + granule - 1);
                in.current_bytes = d.target_bytes;
            }
            if (!steep)
                assert_true(in.current_bytes >= 1100 * MIB);
        }
    // What is had beyond it is given back.
    struct policy_input in = usual();
    struct policy_state s = {0};
    in.current_bytes = 4 * GIB;
    for (int second = 0; second < 3600; second++, in.now_ms += 1000)
        in.current_bytes = policy_decide(&configs[0], &in, &s).target_bytes;
    assert_int_equal(in.current_bytes, 1000 * MIB);
}

// Memory beside the store comes on top.
static void other_memory(void **state)
{
    (void)state;
    struct policy_input in = usual();
    in.other_bytes = 77 * MIB + 1;
    assert_int_equal(first((struct policy_config){0}, in).need_bytes, 678 * MIB);
    in.load = 0; // idle: what is used beside the store stays
    assert_int_equal(first((struct policy_config){0}, in).need_bytes, 78 * MIB);
}

// A return waits, goes in steps of a quarter, each with its own wait, and stops with room above the need.
static void returns_in_steps(void **state)
{
    (void)state;
    const struct policy_config config = {0};
    struct policy_state s = {0};
    struct policy_input in = usual();
    in.current_bytes = 2000 * MIB;
    in.table_bytes = 4 * GIB;
    static const uint64_t steps[] = {1500, 1126, 846, 636};
    for (size_t i = 0; i < COUNT(steps); i++) {
        uint64_t since = in.now_ms;
        struct policy_decision d = until_change(&config, &in, &s, 10 * MINUTE);
        assert_int_equal(d.target_bytes, steps[i] * MIB);
        assert_int_equal(d.reason, POLICY_SURPLUS);
        assert_true(in.now_ms - since >= MINUTE);
        // It stands until it has been done.
        in.now_ms += 5000;
        assert_int_equal(policy_decide(&config, &in, &s).target_bytes, d.target_bytes);
        in.current_bytes = d.target_bytes;
        in.now_ms += 1000;
    }
    assert_int_equal(until_change(&config, &in, &s, 60 * MINUTE).reason, POLICY_STEADY);
}

// The highest need of the wait counts, and a need that comes back within it ends it.
static void highest_need(void **state)
{
    (void)state;
    const struct policy_config config = {.hit_goal = 0.8};
    struct policy_state s = {0};
    struct policy_input in = usual();
    in.current_bytes = 500 * MIB;
    static const struct policy_point more[] = {{100 * MIB, 0.5}, {400 * MIB, 0.8}, {1000 * MIB, 1}};
    for (int second = 0; second < 30; second++, in.now_ms += 1000)
        assert_int_equal(policy_decide(&config, &in, &s).reason, POLICY_COOLING);
    in.curve = more;
    in.curve_count = COUNT(more);
    assert_int_equal(policy_decide(&config, &in, &s).reason, POLICY_COOLING);
    in.now_ms += 1000;
    in.curve = smooth;
    in.curve_count = COUNT(smooth);
    struct policy_decision d = until_change(&config, &in, &s, 2 * MINUTE);
    assert_int_equal(d.target_bytes, 420 * MIB);
    assert_int_equal(in.now_ms, 61000);
}

// After a raise nothing is returned before the cool-down has passed.
static void cooldown(void **state)
{
    (void)state;
    const struct policy_config config = {.hit_goal = 0.95, .return_after_ms = 10000, .cooldown_ms = 200000};
    struct policy_state s = {0};
    struct policy_input in = usual();
    in.current_bytes = 100 * MIB;
    struct policy_decision d = policy_decide(&config, &in, &s);
    in.current_bytes = d.target_bytes;
    struct policy_config less = config;
    less.hit_goal = 0.5;
    d = until_change(&less, &in, &s, 10 * MINUTE);
    assert_int_equal(d.reason, POLICY_SURPLUS);
    assert_int_equal(in.now_ms, 201000);
}

// A return that is followed by a raise makes the next return wait longer.
static void regrets(void **state)
{
    (void)state;
    const struct policy_config low = {.hit_goal = 0.8}, high = {.hit_goal = 0.95};
    struct policy_state s = {0};
    struct policy_input in = usual();
    static const uint64_t waits[] = {1, 4, 16, 32, 32};
    for (size_t i = 0; i < COUNT(waits); i++) {
        uint64_t since = in.now_ms;
        struct policy_decision d = until_change(&low, &in, &s, 60 * MINUTE);
        assert_true(d.target_bytes < in.current_bytes);
        assert_int_equal(in.now_ms - since, waits[i] * MINUTE);
        in.current_bytes = d.target_bytes;
        in.now_ms += 1000;
        d = policy_decide(&high, &in, &s);
        assert_int_equal(d.reason, POLICY_GOAL);
        in.current_bytes = d.target_bytes;
        in.now_ms += 1000;
    }
    in.now_ms += 100 * 60 * MINUTE; // long ago
    for (int i = 0; i < 4; i++, in.now_ms += 100 * 60 * MINUTE)
        (void)policy_decide(&high, &in, &s);
    assert_int_equal(s.regrets, 0);
}

// A small growth is not worth a request a second: it is asked for when it has lasted.
static void growing_table(void **state)
{
    (void)state;
    const struct policy_config config = {.hit_goal = 1};
    struct policy_state s = {0};
    struct policy_input in = usual();
    unsigned requests = 0;
    in.table_bytes = in.current_bytes = 1000 * MIB;
    for (int second = 0; second < 600; second++, in.now_ms += 1000) {
        struct policy_point curve[] = {{500 * MIB, 0.5}, {in.table_bytes, 1}};
        in.curve = curve;
        in.curve_count = 2;
        struct policy_decision d = policy_decide(&config, &in, &s);
        requests += d.target_bytes != in.current_bytes;
        in.current_bytes = d.target_bytes;
        in.table_bytes += MIB / 4;
    }
    assert_in_range(requests, 5, 10);
    assert_true(in.current_bytes + 50 * MIB >= in.table_bytes);
}

// Load that rises is met before it is there; what is noise or falls is not run after.
static void ahead_of_load(void **state)
{
    (void)state;
    const struct policy_config config = {.hit_goal = 0.1, .device_reads = 1000};
    struct policy_state s = {0};
    struct policy_input in = usual();
    in.current_bytes = 250 * MIB; // 0.8: good for 5,000 gets a second
    struct policy_decision d = {0};
    in.load = 3000;
    for (; d.target_bytes <= in.current_bytes && in.load < 9000; in.load += 25, in.now_ms += 1000)
        d = policy_decide(&config, &in, &s);
    assert_int_equal(d.reason, POLICY_AHEAD);
    assert_in_range((uint64_t)in.load, 4000, 4900);
    assert_true(d.expected_load > 5000 && d.expected_load < 6000);
    for (int second = 0; second < 300; second++, in.now_ms += 1000, in.load -= 10)
        d = policy_decide(&config, &in, &s);
    assert_true(d.expected_load >= s.level); // falling is believed when it has happened
    in.load = 4000;
    for (int second = 0; second < 300; second++, in.now_ms += 1000)
        d = policy_decide(&config, &in, &s);
    assert_true(d.expected_load < 4100);
}

static void pressure(void **state)
{
    (void)state;
    const struct policy_config config = {.min_bytes = 200 * MIB};
    struct policy_state s = {0};
    struct policy_input in = usual();
    in.psi_some = 10; // not above
    in.psi_full = 1;
    assert_int_equal(policy_decide(&config, &in, &s).target_bytes, 640 * MIB);
    in.now_ms += 1000;
    in.psi_some = 10.1;
    struct policy_decision d = policy_decide(&config, &in, &s);
    assert_int_equal(d.target_bytes, 480 * MIB); // at once, though it is needed
    assert_int_equal(d.reason, POLICY_PRESSURE);
    in.current_bytes = 480 * MIB;
    in.now_ms += 9000; // the kernel's mean has not had the time to fall
    d = policy_decide(&config, &in, &s);
    assert_int_equal(d.target_bytes, 480 * MIB);
    assert_int_equal(d.reason, POLICY_PRESSURE);
    in.now_ms += 1000;
    assert_int_equal(policy_decide(&config, &in, &s).target_bytes, 360 * MIB);
    for (int second = 0; second < 100; second++, in.now_ms += 1000)
        in.current_bytes = policy_decide(&config, &in, &s).target_bytes;
    assert_int_equal(in.current_bytes, 200 * MIB); // the minimum stays
    in.psi_some = 6;                               // not yet low
    in.now_ms += 10 * MINUTE;
    assert_int_equal(policy_decide(&config, &in, &s).reason, POLICY_PRESSURE);
    in.psi_some = 4;
    in.psi_full = 0;
    uint64_t since = in.now_ms;
    d = until_change(&config, &in, &s, 5 * MINUTE);
    assert_int_equal(in.now_ms - since, 30000);
    assert_int_equal(d.reason, POLICY_GOAL);
    in.current_bytes = d.target_bytes;
    in.now_ms += 1000;
    in.psi_full = 1.5; // the raise brought it back: the next waits longer
    in.current_bytes = policy_decide(&config, &in, &s).target_bytes;
    in.psi_full = 0;
    since = in.now_ms += 1000;
    (void)until_change(&config, &in, &s, 5 * MINUTE);
    assert_int_equal(in.now_ms - since, 60000);
}

static void idle(void **state)
{
    (void)state;
    const struct policy_config config = {.min_bytes = 100 * MIB};
    struct policy_state s = {0};
    struct policy_input in = usual();
    in.load = 0;
    in.hit_ratio = -1;
    in.curve_count = 0;
    struct policy_decision d = until_change(&config, &in, &s, 5 * MINUTE);
    assert_int_equal(d.reason, POLICY_IDLE);
    assert_int_equal(in.now_ms, 61000);
    for (int second = 0; second < 1200; second++, in.now_ms += 1000)
        in.current_bytes = policy_decide(&config, &in, &s).target_bytes;
    assert_in_range(in.current_bytes, 100 * MIB, 118 * MIB);
    // A get now and then is not idle.
    memset(&s, 0, sizeof s);
    in = usual();
    for (int second = 0; second < 600; second++, in.now_ms += 1000) {
        in.load = second % 20 == 0 ? 1 : 0;
        assert_int_equal(policy_decide(&config, &in, &s).target_bytes, 640 * MIB);
    }
}

static void unknown(void **state)
{
    (void)state;
    struct policy_input in = usual();
    in.curve_count = 0;
    struct policy_decision d = first((struct policy_config){0}, in);
    assert_int_equal(d.reason, POLICY_UNKNOWN);
    assert_int_equal(d.target_bytes, 640 * MIB);
    assert_true(d.predicted_hit_ratio < 0);
    in = usual(); // a lookup goal, and times that are not known
    in.hit_us = in.miss_us = 0;
    assert_int_equal(first((struct policy_config){.lookup_goal_us = 5}, in).reason, POLICY_UNKNOWN);
    assert_int_equal(first((struct policy_config){.lookup_goal_us = 5, .hit_goal = 0.8}, in).need_bytes,
                     200 * MIB);
}

static void granularity(void **state)
{
    (void)state;
    const struct policy_config config = {.hit_goal = 0.8, .granularity = GIB};
    struct policy_state s = {0};
    struct policy_input in = usual();
    in.current_bytes = 2 * GIB; // a quarter of it is no granule, but it must not stick
    struct policy_decision d = until_change(&config, &in, &s, 5 * MINUTE);
    assert_int_equal(d.target_bytes, GIB);
    in.current_bytes = GIB;
    in.now_ms += 1000;
    assert_int_equal(until_change(&config, &in, &s, 60 * MINUTE).target_bytes, GIB);
}

static void predicted(void **state)
{
    (void)state;
    struct policy_input in = usual();
    assert_true(first((struct policy_config){0}, in).predicted_hit_ratio == 0.95);
    in.current_bytes = 10 * MIB;
    assert_true(first((struct policy_config){.max_bytes = 20 * MIB}, in).predicted_hit_ratio == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(needs),
        cmocka_unit_test(plateaus_and_cliffs),
        cmocka_unit_test(first_decisions),
        cmocka_unit_test(minimum),
        cmocka_unit_test(never_more_than_the_table),
        cmocka_unit_test(other_memory),
        cmocka_unit_test(returns_in_steps),
        cmocka_unit_test(highest_need),
        cmocka_unit_test(cooldown),
        cmocka_unit_test(regrets),
        cmocka_unit_test(growing_table),
        cmocka_unit_test(ahead_of_load),
        cmocka_unit_test(pressure),
        cmocka_unit_test(idle),
        cmocka_unit_test(unknown),
        cmocka_unit_test(granularity),
        cmocka_unit_test(predicted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
