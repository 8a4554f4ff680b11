// The statistics of timing_rsa: numbers worked out by hand, no difference found where there is none, and the kinds of
// difference that there can be found.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/bench/rsa/ttest.h"

static uint64_t state = 1;

// Uniform between 0 and 1.
static double uniform(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

// Of mean 0 and variance 1, nearly enough.
static double normal(void)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += uniform();
    return sum;
}

static void test_welch(void **unused)
{
    (void)unused;
    // means 3 and 5, variances 2.5 and 10, five each: t = -2 / sqrt(0.5 + 2)
    static const double a[] = {1, 2, 3, 4, 5}, b[] = {1, 3, 5, 7, 9};
    struct ttest_welch t = {0};
    assert_true(ttest_welch_t(&t) == 0);
    for (int i = 0; i < 5; i++) {
        ttest_welch_add(&t, 0, a[i]);
        ttest_welch_add(&t, 1, b[i]);
    }
    assert_true(fabs(t.mean[0] - 3) < 1e-12 && fabs(t.mean[1] - 5) < 1e-12);
    assert_true(fabs(ttest_welch_t(&t) + 2 / sqrt(2.5)) < 1e-12);
}

static void test_constants(void **unused)
{
    (void)unused;
    struct ttest_welch t = {0};
    for (int i = 0; i < 10; i++)
        ttest_welch_add(&t, (unsigned)i % 2, 7);
    assert_true(ttest_welch_t(&t) == 0);
    memset(&t, 0, sizeof t);
    for (int i = 0; i < 10; i++)
        ttest_welch_add(&t, (unsigned)i % 2, i % 2);
    assert_true(isinf(ttest_welch_t(&t)));
}

// Like times: a floor, some noise, and now and then something long. shift, spread: how the fixed group differs.
static struct ttest_result run(unsigned count, double shift, double spread)
{
    static struct ttest t;
    static double first[1000];
    for (size_t i = 0; i < 1000; i++)
        first[i] = 1000 + fabs(normal()) + (uniform() < 0.05 ? 500 * uniform() : 0);
    ttest_init(&t, first, 1000);
    for (unsigned i = 0; i < count; i++) {
        unsigned group = uniform() < 0.5;
        double noise = fabs(normal()) + (uniform() < 0.05 ? 500 * uniform() : 0);
        ttest_add(&t, group, 1000 + (group == 0 ? shift + spread * (noise - 12) + noise : noise));
    }
    return ttest_worst(&t, 200);
}

static void test_differences(void **unused)
{
    (void)unused;
    assert_true(fabs(run(50000, 0, 0).t) < TTEST_LIMIT);
    struct ttest_result shifted = run(50000, 0.2, 0); // lost among the long ones, when all are taken together
    assert_true(fabs(shifted.t) > 2 * TTEST_LIMIT);
    assert_int_equal(strncmp(shifted.name, "percentile", 10), 0);
    assert_true(fabs(run(50000, 0, 0.5).t) > TTEST_LIMIT);
}

static void test_too_few(void **unused)
{
    (void)unused;
    assert_true(run(300, 5, 0).t == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_welch),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_too_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
