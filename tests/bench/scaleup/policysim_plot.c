// A day as text: what was needed, what there was, load and hit ratio.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "policysim.h"

#define COLUMNS 100
#define ROWS    16
#define GIB     1073741824.0

struct column {
    double gets, size, need, hit; // the most of size and need, the least of hit, the mean of gets
};

static struct column column_of(const struct policysim_result *r, size_t from, size_t to)
{
    struct column c = {.hit = 1};
    for (size_t i = from; i < to; i++) {
        c.gets += r->seconds[i].gets / (double)(to - from);
        c.size = fmax(c.size, r->seconds[i].size);
        c.need = fmax(c.need, r->seconds[i].need);
        c.hit = fmin(c.hit, r->seconds[i].hit);
    }
    return c;
}

static void line(const struct column *columns, const char *name, double most, size_t offset)
{
    static const char marks[] = " .:-=+*#%@";
    char text[COLUMNS + 1] = {0};
    for (size_t i = 0; i < COLUMNS; i++) {
        double value;
        memcpy(&value, (const char *)&columns[i] + offset, sizeof value);
        double part = most > 0 ? value / most * 9 : 0;
        text[i] = marks[(size_t)fmin(fmax(part, 0), 9)];
    }
    printf("%8s |%s|\n", name, text);
}

void policysim_plot(const struct policysim_trace *trace, const struct policysim_policy *policy,
                    const struct policysim_result *result)
{
    struct column columns[COLUMNS];
    double most = 0, gets = 0;
    for (size_t i = 0; i < COLUMNS; i++) {
        columns[i] = column_of(result, i * trace->seconds / COLUMNS, (i + 1) * trace->seconds / COLUMNS);
        most = fmax(most, fmax(columns[i].size, columns[i].need));
        gets = fmax(gets, columns[i].gets);
    }
    printf("\n%s, %s: memory in GiB (# what there was, o what was needed), %.0f hours\n", trace->name,
           policy->name, result->hours);
    for (int at = ROWS; at >= 1; at--) {
        char text[COLUMNS + 1] = {0};
        for (size_t i = 0; i < COLUMNS; i++) {
            int size = (int)ceil(columns[i].size / most * ROWS),
                need = (int)ceil(columns[i].need / most * ROWS);
            text[i] = at == need ? 'o' : at <= size ? '#' : ' ';
        }
        printf("%8.2f |%s|\n", most * at / ROWS / GIB, text);
    }
    line(columns, "gets/s", gets, offsetof(struct column, gets));
    line(columns, "hits", 1, offsetof(struct column, hit));
}
