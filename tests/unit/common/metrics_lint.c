#include "metrics_lint.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NAME 128
#define LINE 2048

struct family {
    char name[NAME], help[LINE], type[16];
    char labels[256];                   // names, with blanks between
    char series[LINT_SERIES][LINE / 4]; // name and labels as they stand
    unsigned count;
    double bucket, limit, total; // of the histogram's last bucket line
    bool open;                   // its buckets have not come to +Inf
};

struct lint {
    FILE *errors, *table; // either may be NULL
    unsigned line, found;
    struct family family;
    char seen[512][NAME]; // names of families
    unsigned seen_count;
};

static void complain(struct lint *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(struct lint *l, const char *format, ...)
{
    va_list args;
    l->found++;
    if (l->errors == NULL)
        return;
    (void)fprintf(l->errors, "line %u: ", l->line);
    va_start(args, format);
    (void)vfprintf(l->errors, format, args);
    va_end(args);
    (void)fputc('\n', l->errors);
}

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

// ---- families

static void check_name(struct lint *l, const char *name)
{
    static const char *const prefixes[] = {"ks_", "kv_", "su_"};
    static const char *const units[] = {"_ms",       "_us",    "_ns",   "_milliseconds", "_microseconds",
                                        "_minutes",  "_hours", "_days", "_kb",           "_percent",
                                        "_percents", "_kib",   "_mb",   "_mib",          "_ratio_total"};
    bool known = false;
    for (size_t i = 0; i < 3; i++)
        known |= strncmp(name, prefixes[i], 3) == 0;
    if (!known || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(name) ||
        strstr(name, "__") != NULL)
        complain(l, "%s: not a name of ours", name);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (ends_in(name, units[i]))
            complain(l, "%s: not in a base unit", name);
    for (unsigned i = 0; i < l->seen_count; i++)
        if (strcmp(l->seen[i], name) == 0)
            complain(l, "%s: a second time", name);
    if (l->seen_count < 512)
        (void)snprintf(l->seen[l->seen_count++], NAME, "%s", name);
}

static void check_type(struct lint *l, const struct family *f)
{
    bool counter = strcmp(f->type, "counter") == 0, histogram = strcmp(f->type, "histogram") == 0;
    if (!counter && !histogram && strcmp(f->type, "gauge") != 0)
        complain(l, "%s: type %s", f->name, f->type);
    if (counter != ends_in(f->name, "_total"))
        complain(l, "%s: counters end in _total, and nothing else does", f->name);
    if (histogram && !ends_in(f->name, "_seconds") && !ends_in(f->name, "_bytes"))
        complain(l, "%s: a histogram of no unit", f->name);
    if (ends_in(f->name, "_count") || ends_in(f->name, "_sum") || ends_in(f->name, "_bucket"))
        complain(l, "%s: ends as a part of a histogram", f->name);
}

static void end_family(struct lint *l)
{
    struct family *f = &l->family;
    if (f->name[0] == '\0')
        return;
    if (f->open)
        complain(l, "%s: buckets without +Inf", f->name);
    if (f->count > LINT_SERIES)
        complain(l, "%s: %u series", f->name, f->count);
    if (l->table != NULL)
        (void)fprintf(l->table, "| `%s` | %s | %s | %s |\n", f->name, f->type, f->labels, f->help);
}

static void on_help(struct lint *l, const char *text)
{
    struct family *f = &l->family;
    end_family(l);
    memset(f, 0, sizeof *f);
    if (sscanf(text, "%127s %2047[^\n]", f->name, f->help) != 2 || !ends_in(f->help, ".") ||
        strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", f->help[0]) == NULL)
        complain(l, "%s: HELP is no sentence", f->name);
    check_name(l, f->name);
}

static void on_type(struct lint *l, const char *text)
{
    struct family *f = &l->family;
    char name[NAME];
    if (sscanf(text, "%127s %15s", name, f->type) != 2 || strcmp(name, f->name) != 0)
        complain(l, "%s: TYPE without its HELP", name);
    check_type(l, f);
}

// ---- samples

static void note_label(struct family *f, const char *name)
{
    char word[NAME + 4];
    (void)snprintf(word, sizeof word, "`%s`", name);
    if (strcmp(name, "le") == 0 || strstr(f->labels, word) != NULL ||
        strlen(f->labels) + strlen(word) + 2 > sizeof f->labels)
        return;
    if (f->labels[0] != '\0')
        (void)strcat(f->labels, " ");
    (void)strcat(f->labels, word);
}

// A quoted value; returns what follows it, NULL: it is broken.
static const char *skip_value(const char *at)
{
    if (*at++ != '"')
        return NULL;
    const char *start = at;
    for (; *at != '"'; at++) {
        if (*at == '\0' || (*at == '\\' && strchr("\\\"n", *++at) == NULL) || at - start > LINT_VALUE)
            return NULL;
    }
    return at + 1;
}

// {a="b",...}; *le: the value of that label. Returns what follows, NULL: broken.
static const char *read_labels(struct lint *l, const char *at, double *le)
{
    char name[NAME];
    if (*at != '{')
        return at;
    do {
        size_t len = strspn(++at, "abcdefghijklmnopqrstuvwxyz0123456789_");
        if (len == 0 || len >= sizeof name || at[len] != '=')
            return NULL;
        memcpy(name, at, len);
        name[len] = '\0';
        note_label(&l->family, name);
        if (strcmp(name, "le") == 0)
            *le = strtod(at + len + 2, NULL);
        at = skip_value(at + len + 1);
    } while (at != NULL && *at == ',');
    return at != NULL && *at == '}' ? at + 1 : NULL;
}

static void check_histogram(struct lint *l, const char *suffix, double le, double value)
{
    struct family *f = &l->family;
    if (strcmp(suffix, "_bucket") == 0) {
        if (f->open && (le <= f->limit || value < f->bucket))
            complain(l, "%s: buckets neither ascend nor add up", f->name);
        f->open = le < 1e300;
        f->limit = le;
        f->bucket = f->total = value;
    } else if (strcmp(suffix, "_count") == 0) {
        if (value != f->total)
            complain(l, "%s: _count is not +Inf", f->name);
    } else if (strcmp(suffix, "_sum") != 0) {
        complain(l, "%s: no part of a histogram", f->name);
    }
}

static void check_series(struct lint *l, const char *line, size_t len)
{
    struct family *f = &l->family;
    if (len >= sizeof f->series[0]) {
        complain(l, "%s: a series of %zu bytes", f->name, len);
        return;
    }
    for (unsigned i = 0; i < f->count && i < LINT_SERIES; i++)
        if (strlen(f->series[i]) == len && memcmp(f->series[i], line, len) == 0)
            complain(l, "%.*s: a second time", (int)len, line);
    if (f->count < LINT_SERIES)
        memcpy(f->series[f->count], line, len);
    f->count++;
}

static void on_sample(struct lint *l, const char *line)
{
    struct family *f = &l->family;
    size_t name_len = strlen(f->name);
    double le = 0;
    char *end;
    if (name_len == 0 || f->type[0] == '\0' || strncmp(line, f->name, name_len) != 0) {
        complain(l, "%.60s: not of %s, which came before", line, f->name);
        return;
    }
    char suffix[NAME] = "";
    size_t suffix_len = strcspn(line + name_len, "{ ");
    (void)snprintf(suffix, sizeof suffix, "%.*s", (int)(suffix_len < NAME ? suffix_len : NAME - 1),
                   line + name_len);
    const char *rest = read_labels(l, line + name_len + suffix_len, &le);
    if (rest == NULL || *rest != ' ') {
        complain(l, "%.60s: labels", line);
        return;
    }
    double value = strtod(rest + 1, &end);
    if (end == rest + 1 || *end != '\0')
        complain(l, "%.60s: no number", line);
    bool histogram = strcmp(f->type, "histogram") == 0;
    if (histogram)
        check_histogram(l, suffix, le, value);
    else if (suffix_len > 0)
        complain(l, "%.60s: not of %s, which came before", line, f->name);
    if (!histogram)
        check_series(l, line, (size_t)(rest - line));
    if (strcmp(f->type, "counter") == 0 && !(value >= 0))
        complain(l, "%s: less than none", f->name);
    if (ends_in(f->name, "_info") && value != 1)
        complain(l, "%s: an _info is 1", f->name);
}

// ---- pages

static unsigned walk(const char *page, FILE *errors, FILE *table)
{
    struct lint *l = calloc(1, sizeof *l);
    char line[LINE];
    if (l == NULL)
        abort();
    l->errors = errors;
    l->table = table;
    while (*page != '\0') {
        size_t len = strcspn(page, "\n");
        l->line++;
        (void)snprintf(line, sizeof line, "%.*s", (int)(len < LINE ? len : LINE - 1), page);
        if (page[len] == '\0')
            complain(l, "no newline at the end");
        page += len + (page[len] == '\n' ? 1 : 0);
        if (strncmp(line, "# HELP ", 7) == 0)
            on_help(l, line + 7);
        else if (strncmp(line, "# TYPE ", 7) == 0)
            on_type(l, line + 7);
        else
            on_sample(l, line);
    }
    end_family(l);
    if (l->seen_count == 0)
        complain(l, "no metrics");
    unsigned found = l->found;
    free(l);
    return found;
}

unsigned metrics_lint(const char *page, FILE *errors)
{
    return walk(page, errors, NULL);
}

void metrics_table(const char *page, FILE *out)
{
    (void)fputs("| name | type | labels | meaning |\n|---|---|---|---|\n", out);
    (void)walk(page, NULL, out);
}
