// Whether two classes of measurements differ, as in "Dude, is my code constant time?" (O. Reparaz, J. Balasch,
// I. Verbauwhede, 2017): Welch's t-test of the measurements as they are, of those below each of many
// percentiles (what interrupts a computation only makes it longer), and of the squared distances from the mean.
#ifndef MEC_TESTS_BENCH_RSA_TTEST_H
#define MEC_TESTS_BENCH_RSA_TTEST_H

#include <stdbool.h>
#include <stddef.h>

#define TTEST_CROPS 100
#define TTEST_ALL   (TTEST_CROPS + 2) // all measurements, each crop, second order
#define TTEST_LIMIT 4.5               // beyond this the classes are taken to differ

// Counts, means and sums of squared distances from the mean, updated one measurement at a time (B. Welford, 1962).
struct ttest_welch {
    double count[2], mean[2], squares[2];
};
void ttest_welch_add(struct ttest_welch *t, unsigned group, double value);
double ttest_welch_t(const struct ttest_welch *t); // 0 when a group has less than two measurements

struct ttest {
    double crop[TTEST_CROPS]; // a measurement above is not in that test
    struct ttest_welch test[TTEST_ALL];
};

// The crops are percentiles of these measurements, of both classes, which are not tested themselves and are sorted here. count > 0.
void ttest_init(struct ttest *t, double *measured, size_t count);
void ttest_add(struct ttest *t, unsigned group, double value);

struct ttest_result {
    double t;      // of greatest absolute value, of tests with `least` measurements of each group or more
    char name[32]; // of that test
};
struct ttest_result ttest_worst(const struct ttest *t, double least);

#endif
