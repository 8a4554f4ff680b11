#include "ttest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ttest_welch_add(struct ttest_welch *t, unsigned group, double value)
{
    double before = value - t->mean[group];
    t->count[group]++;
    t->mean[group] += before / t->count[group];
    t->squares[group] += before * (value - t->mean[group]);
}

double ttest_welch_t(const struct ttest_welch *t)
{
    double variance = 0;
    for (int group = 0; group < 2; group++) {
        if (t->count[group] < 2)
            return 0;
        variance += t->squares[group] / (t->count[group] - 1) / t->count[group];
    }
    double difference = t->mean[0] - t->mean[1];
    if (difference == 0)
        return 0;
    return variance > 0 ? difference / sqrt(variance) : copysign(INFINITY, difference);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Percentiles 1 - 0.5^(i / 10): close to each other at the upper end.
void ttest_init(struct ttest *t, double *measured, size_t count)
{
    memset(t, 0, sizeof *t);
    qsort(measured, count, sizeof *measured, by_value);
    for (int i = 0; i < TTEST_CROPS; i++) {
        double part = 1 - pow(0.5, 10.0 * (i + 1) / TTEST_CROPS);
        t->crop[i] = measured[(size_t)(part * (double)count)];
    }
}

void ttest_add(struct ttest *t, unsigned group, double value)
{
    struct ttest_welch *all = &t->test[0], *second = &t->test[TTEST_ALL - 1];
    ttest_welch_add(all, group, value);
    for (int i = 0; i < TTEST_CROPS; i++) {
        if (value <= t->crop[i])
            ttest_welch_add(&t->test[1 + i], group, value);
    }
    double distance = value - all->mean[group]; // the mean is not yet that of the end: the first are left out
    if (all->count[group] > 100)
        ttest_welch_add(second, group, distance * distance);
}

struct ttest_result ttest_worst(const struct ttest *t, double least)
{
    struct ttest_result worst = {.name = "none has enough measurements"};
    for (int i = 0; i < TTEST_ALL; i++) {
        const struct ttest_welch *test = &t->test[i];
        double value = ttest_welch_t(test);
        if (test->count[0] < least || test->count[1] < least || fabs(value) <= fabs(worst.t))
            continue;
        worst.t = value;
        if (i == 0)
            snprintf(worst.name, sizeof worst.name, "all");
        else if (i == TTEST_ALL - 1)
            snprintf(worst.name, sizeof worst.name, "second order");
        else
            snprintf(worst.name, sizeof worst.name, "percentile %.2f",
                     100 - 100 * pow(0.5, 10.0 * i / TTEST_CROPS));
    }
    return worst;
}
