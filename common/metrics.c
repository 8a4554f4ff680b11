// The registry is built before threads start and only read afterwards; values are atomic.
#include "common/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/report.h"

#define CACHE_LINE 64
#define STRIPES    16

struct metric_counter {
    struct {
        alignas(CACHE_LINE) _Atomic uint64_t value;
    } stripe[STRIPES];
};

enum metric_type {
    METRIC_COUNTER,
    METRIC_COUNTER_READ,
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
    METRIC_COUNTER_EACH,
    METRIC_GAUGE_EACH
};

struct metric {
    enum metric_type type;
    char *name;
    char *labels; // inside of the braces, "" for none
    char *help;
    struct metric_counter *counter;
    struct histogram *histogram;
    double (*read)(void *);
    void (*each)(void *, struct metrics_put *);
    void *arg;
};

struct metrics_put {
    const struct metric *metric;
    FILE *out;
};

struct metrics {
    struct metric *items;
    size_t count;
};

struct metrics *metrics_create(void)
{
    return calloc(1, sizeof(struct metrics));
}

static void release_metric(struct metric *metric)
{
    free(metric->name);
    free(metric->labels);
    free(metric->help);
    free(metric->counter);
    histogram_destroy(&metric->histogram);
}

void metrics_destroy(struct metrics **m)
{
    if (*m == NULL)
        return;
    for (size_t i = 0; i < (*m)->count; i++)
        release_metric(&(*m)->items[i]);
    free((*m)->items);
    free(*m);
    *m = NULL;
}

static bool name_is_valid(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_:";
    return name[0] != '\0' && strspn(name, allowed) == strlen(name) && strchr("0123456789", name[0]) == NULL;
}

// Declarations come from the program at its start: a bad one is a mistake of ours, and would spoil the whole
// page for the scraper. A name comes back only right after its namesakes.
static void check_declaration(const struct metrics *m, const char *name, const char *labels)
{
    bool valid = name_is_valid(name) && (labels == NULL || strchr(labels, '\n') == NULL);
    for (size_t i = 0; valid && i + 1 < m->count; i++)
        valid = strcmp(m->items[i].name, name) != 0 || strcmp(m->items[i + 1].name, name) == 0;
    if (valid)
        return;
    report("metric %s: bad name, bad label or apart from its namesakes", name);
    abort();
}

// Takes over counter and histogram of `model` only on success.
static struct metric *declare(struct metrics *m, const char *name, const char *labels, const char *help,
                              const struct metric *model)
{
    check_declaration(m, name, labels);
    struct metric *items = realloc(m->items, (m->count + 1) * sizeof *items);
    if (items == NULL)
        return NULL;
    m->items = items;
    struct metric *metric = &items[m->count];
    *metric = *model;
    metric->name = strdup(name);
    metric->labels = strdup(labels != NULL ? labels : "");
    metric->help = strdup(help);
    if (metric->name != NULL && metric->labels != NULL && metric->help != NULL) {
        m->count++;
        return metric;
    }
    free(metric->name);
    free(metric->labels);
    free(metric->help);
    return NULL;
}

struct metric_counter *metrics_counter(struct metrics *m, const char *name, const char *labels,
                                       const char *help)
{
    struct metric_counter *counter = aligned_alloc(CACHE_LINE, sizeof *counter);
    if (counter == NULL)
        return NULL;
    for (size_t i = 0; i < STRIPES; i++)
        atomic_init(&counter->stripe[i].value, 0);
    const struct metric model = {.type = METRIC_COUNTER, .counter = counter};
    if (declare(m, name, labels, help, &model) != NULL)
        return counter;
    free(counter);
    return NULL;
}

_Bool metrics_gauge(struct metrics *m, const char *name, const char *labels, const char *help,
                    double (*read)(void *), void *arg)
{
    const struct metric model = {.type = METRIC_GAUGE, .read = read, .arg = arg};
    return declare(m, name, labels, help, &model) != NULL;
}

_Bool metrics_counter_read(struct metrics *m, const char *name, const char *labels, const char *help,
                           double (*read)(void *), void *arg)
{
    const struct metric model = {.type = METRIC_COUNTER_READ, .read = read, .arg = arg};
    return declare(m, name, labels, help, &model) != NULL;
}

_Bool metrics_counter_each(struct metrics *m, const char *name, const char *help,
                           void (*each)(void *, struct metrics_put *), void *arg)
{
    const struct metric model = {.type = METRIC_COUNTER_EACH, .each = each, .arg = arg};
    return declare(m, name, NULL, help, &model) != NULL;
}

_Bool metrics_gauge_each(struct metrics *m, const char *name, const char *help,
                         void (*each)(void *, struct metrics_put *), void *arg)
{
    const struct metric model = {.type = METRIC_GAUGE_EACH, .each = each, .arg = arg};
    return declare(m, name, NULL, help, &model) != NULL;
}

static double read_one(void *arg)
{
    (void)arg;
    return 1;
}

_Bool metrics_build_info(struct metrics *m, const char *name)
{
    return metrics_gauge(m, name, "version=\"" MEC_VERSION "\"", "The version that runs.", read_one, NULL);
}

struct histogram *metrics_histogram(struct metrics *m, const char *name, const char *labels, const char *help)
{
    struct histogram *histogram = histogram_create();
    if (histogram == NULL)
        return NULL;
    const struct metric model = {.type = METRIC_HISTOGRAM, .histogram = histogram};
    if (declare(m, name, labels, help, &model) != NULL)
        return histogram;
    histogram_destroy(&histogram);
    return NULL;
}

// Threads take stripes in turn, each on its first count.
static size_t own_stripe(void)
{
    static _Atomic unsigned next;
    static _Thread_local unsigned taken; // stripe + 1, 0 before the first
    if (taken == 0)
        taken = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % STRIPES + 1;
    return taken - 1;
}

void metric_add(struct metric_counter *c, uint64_t n)
{
    (void)atomic_fetch_add_explicit(&c->stripe[own_stripe()].value, n, memory_order_relaxed);
}

uint64_t metric_value(const struct metric_counter *c)
{
    uint64_t total = 0;
    for (size_t i = 0; i < STRIPES; i++)
        total += atomic_load_explicit(&c->stripe[i].value, memory_order_relaxed);
    return total;
}

static void print_number(double value, FILE *out)
{
    if (isnan(value))
        (void)fputs("NaN", out);
    else if (isinf(value))
        (void)fputs(value > 0 ? "+Inf" : "-Inf", out);
    else if (fabs(value) < 1e15 && value == (double)(int64_t)value)
        (void)fprintf(out, "%" PRId64, (int64_t)value);
    else
        (void)fprintf(out, "%.12g", value);
}

// HELP text: backslash and newline are escaped, quotes are not (exposition format 0.0.4).
static void print_head(const struct metric *metric, FILE *out)
{
    static const char *const types[] = {"counter", "counter", "gauge", "histogram", "counter", "gauge"};
    (void)fprintf(out, "# HELP %s ", metric->name);
    for (const char *p = metric->help; *p != '\0'; p++) {
        if (*p == '\\')
            (void)fputs("\\\\", out);
        else if (*p == '\n')
            (void)fputs("\\n", out);
        else
            (void)fputc(*p, out);
    }
    (void)fprintf(out, "\n# TYPE %s %s\n", metric->name, types[metric->type]);
}

// name + suffix, and the labels in braces with `extra` (may be NULL) as the last one, and a blank.
static void print_series(const struct metric *metric, const char *suffix, const char *extra, FILE *out)
{
    (void)fprintf(out, "%s%s", metric->name, suffix);
    bool labels = metric->labels[0] != '\0';
    if (labels || extra != NULL)
        (void)fprintf(out, "{%s%s%s}", metric->labels, labels && extra != NULL ? "," : "",
                      extra != NULL ? extra : "");
    (void)fputc(' ', out);
}

#define FIRST_BUCKET_NS 10000ULL
#define BUCKETS         21

// Recording goes on meanwhile: the total is raised to the last bucket's, since scrapers expect cumulative
// buckets.
static void print_histogram(const struct metric *metric, FILE *out)
{
    const struct histogram *h = metric->histogram;
    uint64_t last = 0;
    for (unsigned k = 0; k < BUCKETS; k++) {
        uint64_t limit = FIRST_BUCKET_NS << k, count = histogram_count_le(h, limit);
        char le[32];
        (void)snprintf(le, sizeof le, "le=\"%.10g\"", (double)limit / 1e9);
        last = count > last ? count : last;
        print_series(metric, "_bucket", le, out);
        (void)fprintf(out, "%" PRIu64 "\n", last);
    }
    uint64_t total = histogram_count(h);
    total = total > last ? total : last;
    print_series(metric, "_bucket", "le=\"+Inf\"", out);
    (void)fprintf(out, "%" PRIu64 "\n", total);
    print_series(metric, "_sum", NULL, out);
    (void)fprintf(out, "%.9f\n", (double)atomic_load_explicit(&h->sum, memory_order_relaxed) / 1e9);
    print_series(metric, "_count", NULL, out);
    (void)fprintf(out, "%" PRIu64 "\n", total);
}

void metrics_put(struct metrics_put *to, const char *labels, uint64_t value)
{
    print_series(to->metric, "", labels, to->out);
    (void)fprintf(to->out, "%" PRIu64 "\n", value);
}

void metrics_put_number(struct metrics_put *to, const char *labels, double value)
{
    print_series(to->metric, "", labels, to->out);
    print_number(value, to->out);
    (void)fputc('\n', to->out);
}

char *metrics_label(const char *text, char *buf, size_t len)
{
    size_t at = 0;
    for (; *text != '\0'; text++) {
        char escape = *text == '\n' ? 'n' : *text == '\\' || *text == '"' ? *text : '\0';
        if (at + (escape != '\0' ? 2 : 1) >= len)
            break;
        if (escape != '\0')
            buf[at++] = '\\';
        buf[at++] = escape != '\0' ? escape : *text;
    }
    while (*text != '\0' && at > 0 && ((unsigned char)*text & 0xc0) == 0x80)
        text--, at--; // back to where the character begins that was cut
    buf[at] = '\0';
    return buf;
}

static void print_metric(const struct metric *metric, FILE *out)
{
    struct metrics_put put = {metric, out};
    switch (metric->type) {
    case METRIC_COUNTER_EACH:
    case METRIC_GAUGE_EACH:
        metric->each(metric->arg, &put);
        return;
    case METRIC_HISTOGRAM:
        print_histogram(metric, out);
        return;
    case METRIC_COUNTER:
        print_series(metric, "", NULL, out);
        (void)fprintf(out, "%" PRIu64, metric_value(metric->counter));
        break;
    case METRIC_COUNTER_READ:
    case METRIC_GAUGE:
        print_series(metric, "", NULL, out);
        print_number(metric->read(metric->arg), out);
        break;
    }
    (void)fputc('\n', out);
}

void metrics_render(const struct metrics *m, FILE *out)
{
    for (size_t i = 0; i < m->count; i++) {
        if (i == 0 || strcmp(m->items[i].name, m->items[i - 1].name) != 0)
            print_head(&m->items[i], out);
        print_metric(&m->items[i], out);
    }
}
