#include "ranks.h"

#include <math.h>
#include <stdlib.h>

struct value {
    double size;
    size_t of; // what it belongs to; of pairs, the sign's bit in front: 2 * i + negative
};

static int by_size(const void *a, const void *b)
{
    double x = ((const struct value *)a)->size, y = ((const struct value *)b)->size;
    return (x > y) - (x < y);
}

// Where those that are as large as the one at `at` end, in sorted values.
static size_t end_of_ties(const struct value *values, size_t count, size_t at)
{
    size_t end = at + 1;
    while (end < count && values[end].size == values[at].size)
        end++;
    return end;
}

double ranks_wilcoxon_z(const float *a, const float *b, size_t count)
{
    struct value *values = malloc((count + 1) * sizeof *values);
    size_t n = 0;
    if (values == NULL)
        return 0;
    for (size_t i = 0; i < count; i++) {
        double difference = (double)a[i] - (double)b[i];
        if (difference != 0)
            values[n++] = (struct value){fabs(difference), 2 * i + (difference < 0)};
    }
    qsort(values, n, sizeof *values, by_size);
    double sum = 0, ties = 0, size = (double)n;
    for (size_t i = 0, end; i < n; i = end) {
        end = end_of_ties(values, n, i);
        double same = (double)(end - i), rank = ((double)i + (double)end + 1) / 2;
        for (size_t k = i; k < end; k++)
            sum += values[k].of % 2 != 0 ? -rank : rank;
        ties += same * same * same - same;
    }
    free(values);
    double variance = size * (size + 1) * (2 * size + 1) / 6 - ties / 12;
    return n < 10 || variance <= 0 ? 0 : sum / sqrt(variance);
}

double ranks_friedman(const float *row, size_t rounds, size_t classes)
{
    struct value *values = malloc((classes + 1) * sizeof *values);
    double *sums = calloc(classes + 1, sizeof *sums);
    double ties = 0, k = (double)classes, n = (double)rounds, squares = 0;
    if (values == NULL || sums == NULL) {
        free(values);
        free(sums);
        return 0;
    }
    for (size_t i = 0; i < rounds; i++) {
        for (size_t c = 0; c < classes; c++)
            values[c] = (struct value){(double)row[i * classes + c], c};
        qsort(values, classes, sizeof *values, by_size);
        for (size_t c = 0, end; c < classes; c = end) {
            end = end_of_ties(values, classes, c);
            double same = (double)(end - c), rank = ((double)c + (double)end + 1) / 2;
            for (size_t t = c; t < end; t++)
                sums[values[t].of] += rank;
            ties += same * same * same - same;
        }
    }
    for (size_t c = 0; c < classes; c++) {
        double distance = sums[c] - n * (k + 1) / 2;
        squares += distance * distance;
    }
    free(values);
    free(sums);
    double scale = n * k * (k + 1) - ties / (k - 1);
    return scale <= 0 ? 0 : 12 * squares / scale;
}

double ranks_chi_squared_z(double chi_squared, double degrees)
{
    double small = 2 / (9 * degrees);
    return (cbrt(chi_squared / degrees) - (1 - small)) / sqrt(small);
}
