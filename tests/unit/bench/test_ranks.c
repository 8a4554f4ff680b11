// Wilcoxon's and Friedman's tests against worked examples, and on what differs and what does not.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/bench/timing/ranks.h"

static void near(double value, double expected, double within)
{
    if (fabs(value - expected) > within)
        fail_msg("found %g, expected %g", value, expected);
}

// Eleven pairs, one without a difference, two that tie.
static void wilcoxon_by_hand(void **state)
{
    (void)state;
    const float a[] = {125, 115, 130, 140, 140, 115, 140, 125, 140, 135, 101};
    const float b[] = {110, 122, 125, 120, 140, 124, 123, 137, 135, 145, 100};
    // differences 15 -7 5 20 0 -9 17 -12 5 -10 1: sizes 1 5 5 7 9 10 12 15 17 20
    // ranks 1 2.5 2.5 4 5 6 7 8 9 10; positive 1 + 2.5 + 2.5 + 8 + 9 + 10 = 33, negative 4 + 5 + 6 + 7 = 22
    double variance = 10.0 * 11 * 21 / 6 - 6.0 / 12;
    near(ranks_wilcoxon_z(a, b, 11), 11 / sqrt(variance), 1e-9);
    near(ranks_wilcoxon_z(b, a, 11), -11 / sqrt(variance), 1e-9);
    near(ranks_wilcoxon_z(a, b, 9), 0, 0); // too few
    near(ranks_wilcoxon_z(a, a, 11), 0, 0);
}

// Four rounds of three: ranks 1 2 3, 1 2 3, 2 1 3, 1 3 2; sums 5 8 11.
static void friedman_by_hand(void **state)
{
    (void)state;
    const float rows[] = {1, 2, 3, 10, 20, 30, 5, 4, 6, 7, 9, 8};
    near(ranks_friedman(rows, 4, 3), 12.0 / (4 * 3 * 4) * (25 + 64 + 121) - 3.0 * 4 * 4, 1e-9);
    const float equal[] = {1, 1, 1, 2, 2, 2};
    near(ranks_friedman(equal, 2, 3), 0, 0);
    // with ties: ranks 1.5 1.5 3, 1 2 3; sums 2.5 3.5 6; 12 * 6.5 / (2 * 3 * 4 - 6 / 2)
    const float tied[] = {4, 4, 5, 1, 2, 3};
    near(ranks_friedman(tied, 2, 3), 12 * 6.5 / 21, 1e-9);
}

// Known quantiles: chi-squared of 8 degrees is above 15.507 with 5 %, above 26.124 with 0.1 %.
static void chi_squared(void **state)
{
    (void)state;
    near(ranks_chi_squared_z(15.507, 8), 1.645, 0.02);
    near(ranks_chi_squared_z(26.124, 8), 3.090, 0.03); // an approximation
}

static void differences_show(void **state)
{
    (void)state;
    enum { ROUNDS = 4000 };
    static float rows[ROUNDS * 3], a[ROUNDS], b[ROUNDS], c[ROUNDS];
    uint64_t random = 1;
    for (int i = 0; i < ROUNDS * 3; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        rows[i] = (float)(random >> 40);
    }
    for (int i = 0; i < ROUNDS; i++) {
        a[i] = rows[3 * i];
        b[i] = rows[3 * i + 1];
        c[i] = rows[3 * i + 2] + 2e6f; // an eighth of the range
    }
    assert_true(fabs(ranks_wilcoxon_z(a, b, ROUNDS)) < 4);
    assert_true(ranks_wilcoxon_z(c, a, ROUNDS) > 8);
    assert_true(ranks_chi_squared_z(ranks_friedman(rows, ROUNDS, 3), 2) < 4);
    for (int i = 0; i < ROUNDS; i++)
        rows[3 * i + 2] = c[i];
    assert_true(ranks_chi_squared_z(ranks_friedman(rows, ROUNDS, 3), 2) > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wilcoxon_by_hand),
        cmocka_unit_test(friedman_by_hand),
        cmocka_unit_test(chi_squared),
        cmocka_unit_test(differences_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
