// Loads over time: recorded ones from a file, made-up ones from a seed.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policysim.h"

#define ROWS_MAX   512
#define HOURS_MAX  (24 * 31)
#define MIB        1048576.0
#define DAY        86400
#define PI         3.14159265358979323846
#define BURSTS_MAX 4

struct row {
    double second;
    struct policysim_load load;
};

struct recording {
    double dataset_mb, hours, noise, seed;
    size_t count;
    struct row rows[ROWS_MAX];
};

double policysim_random(uint64_t *seed) // splitmix64
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static double mix(double a, double b, double part)
{
    return a + (b - a) * part;
}

static struct policysim_load load_at(const struct recording *r, double second)
{
    size_t i = 1;
    while (i + 1 < r->count && r->rows[i].second <= second)
        i++;
    const struct row *a = &r->rows[i - 1], *b = &r->rows[i];
    double part = (second - a->second) / (b->second - a->second);
    return (struct policysim_load){
        .gets = mix(a->load.gets, b->load.gets, part),
        .zipf = mix(a->load.zipf, b->load.zipf, part),
        .set_bytes = mix(a->load.set_bytes, b->load.set_bytes, part),
        .phase = mix(a->load.phase, b->load.phase, part),
    };
}

static bool header(struct recording *r, const char *line)
{
    char key[32];
    double value;
    if (sscanf(line, "# %31s %lf", key, &value) != 2)
        return true; // a comment
    const struct {
        const char *key;
        double *value;
    } keys[] = {
        {"dataset_mb", &r->dataset_mb}, {"hours", &r->hours}, {"noise", &r->noise}, {"seed", &r->seed}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(key, keys[i].key) == 0)
            *keys[i].value = value;
    return value >= 0;
}

static bool row(struct recording *r, const char *line)
{
    if (r->count == ROWS_MAX)
        return false;
    struct row *row = &r->rows[r->count];
    double mb;
    if (sscanf(line, "%lf,%lf,%lf,%lf,%lf", &row->second, &row->load.gets, &row->load.zipf, &mb,
               &row->load.phase) != 5)
        return false;
    row->load.set_bytes = mb * MIB;
    bool later = r->count == 0 ? row->second == 0 : row->second > r->rows[r->count - 1].second;
    r->count++;
    return later && row->load.gets >= 0 && row->load.zipf >= 0 && mb > 0;
}

static bool read_rows(FILE *file, const char *path, struct recording *r, struct error *e)
{
    char line[256];
    for (unsigned number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        if (line[0] == '\n' || line[0] == 's') // names of the columns
            continue;
        if (line[0] == '#' ? header(r, line) : row(r, line))
            continue;
        error_set(e, "%s: line %u: not second,gets,zipf,set_mb,phase", path, number);
        return false;
    }
    if (r->count >= 2 && r->dataset_mb > 0 && r->hours <= HOURS_MAX)
        return true;
    error_set(e, "%s: two rows, dataset_mb and a month at most are needed", path);
    return false;
}

static bool fill(const struct recording *r, struct policysim_trace *trace)
{
    double length = r->rows[r->count - 1].second;
    trace->seconds = (size_t)(r->hours > 0 ? r->hours * 3600 : length);
    trace->dataset_bytes = r->dataset_mb * MIB;
    trace->loads = calloc(trace->seconds, sizeof *trace->loads);
    if (trace->loads == NULL)
        return false;
    uint64_t seed = (uint64_t)r->seed;
    for (size_t i = 0; i < trace->seconds; i++) {
        struct policysim_load *load = &trace->loads[i];
        *load = load_at(r, fmod((double)i, length));
        double noise = r->noise * (policysim_random(&seed) + policysim_random(&seed) - 1);
        load->gets = floor(load->gets * (1 + noise));
        load->set_bytes = fmin(load->set_bytes, trace->dataset_bytes);
    }
    return true;
}

bool policysim_trace_read(const char *path, struct policysim_trace *trace, struct error *e)
{
    const char *base = strrchr(path, '/');
    *trace = (struct policysim_trace){0};
    (void)snprintf(trace->name, sizeof trace->name, "%s", base == NULL ? path : base + 1);
    char *dot = strrchr(trace->name, '.');
    if (dot != NULL)
        *dot = '\0';
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        error_set(e, "%s: open: %s", path, strerror(errno));
        return false;
    }
    struct recording *r = calloc(1, sizeof *r);
    bool good = r != NULL && read_rows(file, path, r, e);
    if (good && !fill(r, trace)) {
        error_set(e, "%s: no memory", path);
        good = false;
    }
    free(r);
    (void)fclose(file);
    return good;
}

struct burst {
    double at, length, factor;
};

static double bursts_at(const struct burst *bursts, double second)
{
    double factor = 1;
    for (int i = 0; i < BURSTS_MAX; i++) {
        double part = (second - bursts[i].at) / bursts[i].length;
        if (part >= 0 && part < 1)
            factor += bursts[i].factor * sin(part * PI);
    }
    return factor;
}

// A day's wave, a faster one, a random walk, bursts, noise; the working set breathes and may move.
bool policysim_trace_make(uint64_t seed, struct policysim_trace *trace)
{
    *trace = (struct policysim_trace){.seconds = DAY, .dataset_bytes = 8192 * MIB};
    (void)snprintf(trace->name, sizeof trace->name, "made-%llu", (unsigned long long)seed);
    trace->loads = calloc(trace->seconds, sizeof *trace->loads);
    if (trace->loads == NULL)
        return false;
    uint64_t s = seed;
    struct burst bursts[BURSTS_MAX];
    for (int i = 0; i < BURSTS_MAX; i++)
        bursts[i] = (struct burst){policysim_random(&s) * DAY, 60 + policysim_random(&s) * 7200,
                                   policysim_random(&s) * 3};
    double base = 3000 + policysim_random(&s) * 20000, depth = policysim_random(&s), walk = 0;
    double fast = 60 + policysim_random(&s) * 3000, ripple = policysim_random(&s) * 0.5;
    double noise = policysim_random(&s) * 0.2, zipf = 0.7 + policysim_random(&s) * 0.4,
           moves = policysim_random(&s) * 3;
    for (size_t i = 0; i < trace->seconds; i++) {
        double second = (double)i;
        walk = walk * 0.99995 + (policysim_random(&s) - 0.5) * 0.005;
        double wave = 1 - depth * cos(second / DAY * 2 * PI),
               ripples = 1 + ripple * sin(second / fast * 2 * PI);
        double gets = base * wave * ripples * exp(walk) * bursts_at(bursts, second);
        gets *= 1 + noise * (policysim_random(&s) + policysim_random(&s) - 1);
        trace->loads[i] = (struct policysim_load){
            .gets = floor(fmax(gets, 0)),
            .zipf = zipf,
            .set_bytes = trace->dataset_bytes * (0.5 + 0.3 * sin(second / DAY * 4 * PI)),
            .phase = floor(second / DAY * moves),
        };
    }
    return true;
}

void policysim_trace_free(struct policysim_trace *trace)
{
    free(trace->loads);
    trace->loads = NULL;
}
