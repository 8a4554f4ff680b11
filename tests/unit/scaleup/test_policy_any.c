#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/policy.h"

#define MIB          (1024ULL * 1024)
#define GIB          (1024 * MIB)
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// What cannot be right is refused, what is odd but possible is not.
static void configurations(void **state)
{
    (void)state;
    const struct policy_config bad[] = {{.min_bytes = 2, .max_bytes = 1},
                                        {.granularity = 1ULL << 41},
                                        {.hit_goal = 1.1},
                                        {.hit_goal = -0.1},
                                        {.hit_goal = NAN},
                                        {.lookup_goal_us = -1},
                                        {.lookup_goal_us = INFINITY},
                                        {.device_reads = -1},
                                        {.device_reads = NAN},
                                        {.gib_hour_price = 1},
                                        {.miss_price = 1},
                                        {.gib_hour_price = -1, .miss_price = 1},
                                        {.raise_threshold = -0.1},
                                        {.raise_threshold = 0.2}, // every raise would be returned
                                        {.return_threshold = 0.04},
                                        {.return_threshold = 1},
                                        {.return_step = 1},
                                        {.return_after_ms = 86400001},
                                        {.cooldown_ms = 300001},
                                        {.horizon_ms = 3600001},
                                        {.psi_some_high = 101},
                                        {.psi_full_high = NAN}};
    for (size_t i = 0; i < COUNT(bad); i++)
        if (policy_config_check(&bad[i]) == NULL)
            fail_msg("configuration %zu was taken", i);
    const struct policy_config good[] = {
        {0}, {.hit_goal = 1}, {.raise_threshold = 0.2, .return_threshold = 0.3}};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_null(policy_config_check(&good[i]));
    for (int reason = POLICY_STEADY; reason <= POLICY_COOLING; reason++)
        assert_true(strlen(policy_reason_name((enum policy_reason)reason)) > 3);
    assert_string_equal(policy_reason_name((enum policy_reason)99), "none");
}

static uint64_t seed = 1;

static uint64_t random64(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

// Of any size, small ones as likely as huge ones.
static uint64_t any_bytes(void)
{
    return random64() >> (random64() % 64);
}

static double any_number(void)
{
    static const double odd[] = {0, -1, 1, 0.5, NAN, INFINITY, -INFINITY, 1e300, 1e-300, -0.0};
    return random64() % 3 == 0 ? odd[random64() % COUNT(odd)]
                               : (double)random64() * 0x1p-64 * pow(10, (double)(random64() % 8));
}

static struct policy_config any_config(void)
{
    struct policy_config c;
    do {
        c = (struct policy_config){.hit_goal = (double)(random64() % 101) / 100};
        c.min_bytes = random64() % 2 ? any_bytes() >> 8 : 0;
        c.max_bytes = random64() % 2 ? any_bytes() : 0;
        c.granularity = random64() % 2 ? 1 + any_bytes() % GIB : 0;
        c.lookup_goal_us = random64() % 2 ? (double)(random64() % 1000) : 0;
        c.device_reads = random64() % 2 ? (double)(random64() % 100000) : 0;
        c.gib_hour_price = random64() % 2 ? (double)(random64() % 1000) : 0;
        c.miss_price = c.gib_hour_price > 0 ? 1 : 0;
        c.return_after_ms = random64() % 100000;
    } while (policy_config_check(&c) != NULL);
    return c;
}

static struct policy_input any_input(uint64_t now_ms, struct policy_point *curve, size_t max)
{
    struct policy_input in = {
        .now_ms = now_ms, .current_bytes = any_bytes(), .other_bytes = any_bytes() >> (random64() % 20)};
    in.table_bytes = any_bytes();
    in.load = random64() % 2 ? (double)(random64() % 100000) : any_number();
    in.hit_ratio = any_number();
    in.hit_us = any_number();
    in.miss_us = any_number();
    in.psi_some = random64() % 4 ? 0 : any_number();
    in.psi_full = random64() % 4 ? 0 : any_number();
    in.curve = curve;
    in.curve_count = random64() % (max + 1);
    bool sane = random64() % 2;
    for (size_t i = 0; i < in.curve_count; i++)
        curve[i] = sane ? (struct policy_point){(i + 1) * (any_bytes() >> 16), (double)(i + 1) / (double)max}
                        : (struct policy_point){any_bytes(), any_number()};
    return in;
}

static uint64_t up(uint64_t bytes, uint64_t granule)
{
    uint64_t rest = bytes % granule;
    return rest == 0 ? bytes : bytes > UINT64_MAX - (granule - rest) ? UINT64_MAX : bytes + (granule - rest);
}

// Whatever comes in: within the bounds, in granules, no more than the table, no number that is none, and twice the same.
static void properties(void **state)
{
    (void)state;
    struct policy_point curve[16];
    for (int round = 0; round < 4000; round++) {
        const struct policy_config c = any_config();
        struct policy_state s = {0}, twin = {0};
        uint64_t max = c.max_bytes == 0 ? UINT64_MAX : c.max_bytes, now_ms = random64() >> 8;
        uint64_t granule = c.granularity == 0 ? 2 * MIB : c.granularity;
        for (int call = 0; call < 50; call++, now_ms += random64() % 100000) {
            struct policy_input in = any_input(now_ms, curve, COUNT(curve));
            struct policy_decision d = policy_decide(&c, &in, &s), e = policy_decide(&c, &in, &twin);
            uint64_t t = d.target_bytes;
            assert_true(t <= max);
            assert_true(t >= c.min_bytes || s.pressed);
            assert_true(t == in.current_bytes || t % granule == 0 || t == c.min_bytes || t == max ||
                        t == UINT64_MAX);
            uint64_t table =
                in.table_bytes > UINT64_MAX - in.other_bytes ? UINT64_MAX : in.table_bytes + in.other_bytes;
            if (in.table_bytes != 0 && t > in.current_bytes)
                assert_true(t <= up(table, granule) || t == c.min_bytes);
            assert_true(isfinite(d.expected_load) && d.expected_load >= 0);
            assert_true(d.predicted_hit_ratio >= -1 && d.predicted_hit_ratio <= 1);
            assert_true(isfinite(s.level) && isfinite(s.trend) && isfinite(s.hit_us) && isfinite(s.miss_us));
            assert_true(e.target_bytes == t && e.reason == d.reason && e.need_bytes == d.need_bytes);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(configurations), cmocka_unit_test(properties)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
