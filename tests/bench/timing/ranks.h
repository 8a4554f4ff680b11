// Tests of ranks, which outliers do not move: whether one class of measurements tends to be longer than another. Each round
// measures every class once, so that what changes slowly changes all of them.
#ifndef MEC_TESTS_BENCH_TIMING_RANKS_H
#define MEC_TESTS_BENCH_TIMING_RANKS_H

#include <stddef.h>

// Wilcoxon's signed-rank test (F. Wilcoxon, 1945) of pairs a[i], b[i]: its normal approximation with the correction for ties; pairs without a
// difference are left out. Positive: a tends to be longer. 0 with fewer than 10 pairs that differ, or without memory.
double ranks_wilcoxon_z(const float *a, const float *b, size_t count);

// Friedman's test (M. Friedman, 1937) of `classes` measurements in each of `rounds`: row[i * classes + c]. Its statistic, chi-squared with
// classes - 1 degrees of freedom when the classes do not differ, with the correction for ties. 0 without memory.
double ranks_friedman(const float *row, size_t rounds, size_t classes);

// How many standard deviations of a normal distribution are as unlikely to be exceeded as this chi-squared (E. Wilson, M. Hilferty, 1931).
double ranks_chi_squared_z(double chi_squared, double degrees);

#endif
