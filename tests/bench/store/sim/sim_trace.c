#include "tests/bench/store/sim/sim.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKEW        0.99
#define SCAN_EVERY  5u  // a scan of all keys after so many times as many gets
#define ONE_OFF_IN  20u // one get in so many
#define SHIFTS      16u // how often the popular keys change in SIM_MIXED
#define SIZE_LEAST  64u
#define SIZE_SPREAD 256u // the largest key is so many times the least

const char *sim_workload_name(enum sim_workload workload)
{
    static const char *const names[SIM_WORKLOADS] = {"zipf", "scan", "mixed"};
    return names[workload];
}

// splitmix64 (Steele, Lea, Flood, OOPSLA 2014)
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double next_unit(uint64_t *state)
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

// What the traces are drawn from.
struct source {
    uint64_t random;
    uint32_t keys;
    double *below;     // probability that the rank is at most this one
    uint32_t *by_rank; // the key of a rank: popularity is not in the order of the keys
};

static bool source_init(struct source *source, const struct sim_shape *shape)
{
    *source = (struct source){.random = shape->seed, .keys = shape->keys};
    source->below = malloc(shape->keys * sizeof *source->below);
    source->by_rank = malloc(shape->keys * sizeof *source->by_rank);
    if (source->below == NULL || source->by_rank == NULL)
        return false;
    double sum = 0, skew = shape->skew != 0 ? shape->skew : SKEW;
    for (uint32_t i = 0; i < shape->keys; i++) {
        sum += 1 / pow(i + 1.0, skew);
        source->below[i] = sum;
        source->by_rank[i] = i;
    }
    for (uint32_t i = 0; i < shape->keys; i++)
        source->below[i] /= sum;
    for (uint32_t i = shape->keys - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(next_random(&source->random) % (i + 1u)), key = source->by_rank[i];
        source->by_rank[i] = source->by_rank[j];
        source->by_rank[j] = key;
    }
    return true;
}

static void source_free(struct source *source)
{
    free(source->below);
    free(source->by_rank);
}

static uint32_t zipf_rank(struct source *source)
{
    double u = next_unit(&source->random);
    uint32_t low = 0, high = source->keys - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (source->below[middle] < u)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void fill_zipf(struct sim_trace *trace, struct source *source)
{
    for (size_t i = 0; i < trace->count; i++)
        trace->gets[i] = source->by_rank[zipf_rank(source)];
}

static void fill_scan(struct sim_trace *trace, struct source *source)
{
    uint32_t next_one_off = source->keys;
    size_t until_scan = (size_t)source->keys * SCAN_EVERY;
    for (size_t i = 0; i < trace->count;) {
        if (until_scan-- == 0) {
            for (uint32_t key = 0; key < source->keys && i < trace->count; key++)
                trace->gets[i++] = key;
            until_scan = (size_t)source->keys * SCAN_EVERY;
        } else if (next_random(&source->random) % ONE_OFF_IN == 0 && next_one_off < trace->keys) {
            trace->gets[i++] = next_one_off++;
        } else {
            trace->gets[i++] = source->by_rank[zipf_rank(source)];
        }
    }
}

// Every now and then a hundredth of the ranks moves on: the most popular keys become the least popular.
static void fill_mixed(struct sim_trace *trace, struct source *source)
{
    size_t period = trace->count / SHIFTS + 1;
    for (size_t i = 0; i < trace->count; i++) {
        size_t shift = i / period * (source->keys / 100);
        trace->gets[i] = source->by_rank[(zipf_rank(source) + shift) % source->keys];
    }
}

static void fill_sizes(struct sim_trace *trace, struct source *source, const struct sim_shape *shape)
{
    // The mean of a log-uniform size in [a, b] is (b - a) / ln(b / a).
    double least = shape->size * log(SIZE_SPREAD) / (SIZE_SPREAD - 1.0);
    for (uint32_t i = 0; i < trace->keys; i++) {
        uint32_t size = shape->size;
        if (shape->workload == SIM_MIXED) {
            size = (uint32_t)(least * pow(SIZE_SPREAD, next_unit(&source->random)));
            size = size < SIZE_LEAST ? SIZE_LEAST : size & ~15u;
        }
        trace->sizes[i] = size;
        trace->bytes += size;
    }
}

bool sim_trace_make(struct sim_trace *trace, const struct sim_shape *shape)
{
    uint32_t one_off = shape->workload == SIM_SCAN ? (uint32_t)(shape->gets / ONE_OFF_IN) : 0;
    *trace = (struct sim_trace){.count = shape->gets, .keys = shape->keys + one_off};
    trace->gets = malloc((trace->count + 1) * sizeof *trace->gets);
    trace->sizes = malloc(trace->keys * sizeof *trace->sizes);
    struct source source = {0};
    bool ok = trace->gets != NULL && trace->sizes != NULL && source_init(&source, shape);
    if (ok) {
        static void (*const fill[SIM_WORKLOADS])(struct sim_trace *, struct source *) = {fill_zipf, fill_scan,
                                                                                         fill_mixed};
        fill_sizes(trace, &source, shape);
        fill[shape->workload](trace, &source);
    }
    source_free(&source);
    return ok;
}

void sim_trace_free(struct sim_trace *trace)
{
    free(trace->gets);
    free(trace->sizes);
    *trace = (struct sim_trace){0};
}

// ---- files

static const char MAGIC[8] = {'K', 'V', 'T', 'R', 'A', 'C', 'E', '1'};

static bool put_words(FILE *f, const uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t word = htole32(words[i]);
        if (fwrite(&word, sizeof word, 1, f) != 1)
            return false;
    }
    return true;
}

static bool get_words(FILE *f, uint32_t *words, size_t count)
{
    if (fread(words, sizeof *words, count, f) != count)
        return false;
    for (size_t i = 0; i < count; i++)
        words[i] = le32toh(words[i]);
    return true;
}

int sim_trace_write(const struct sim_trace *trace, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL)
        return errno;
    uint32_t head[3] = {trace->keys, (uint32_t)trace->count, (uint32_t)((uint64_t)trace->count >> 32)};
    errno = EIO;
    bool ok = fwrite(MAGIC, sizeof MAGIC, 1, f) == 1 && put_words(f, head, 3) &&
              put_words(f, trace->sizes, trace->keys) && put_words(f, trace->gets, trace->count);
    int error = ok ? 0 : errno;
    if (fclose(f) != 0 && error == 0)
        error = errno;
    return error;
}

static int read_body(struct sim_trace *trace, FILE *f)
{
    char magic[sizeof MAGIC];
    uint32_t head[3];
    if (fread(magic, sizeof magic, 1, f) != 1 || memcmp(magic, MAGIC, sizeof magic) != 0 ||
        !get_words(f, head, 3))
        return EPROTO;
    trace->keys = head[0];
    trace->count = head[1] | (uint64_t)head[2] << 32;
    if (trace->count > SIZE_MAX / sizeof *trace->gets - 1)
        return EPROTO;
    trace->sizes = malloc(((size_t)trace->keys + 1) * sizeof *trace->sizes);
    trace->gets = malloc((trace->count + 1) * sizeof *trace->gets);
    if (trace->sizes == NULL || trace->gets == NULL)
        return ENOMEM;
    if (!get_words(f, trace->sizes, trace->keys) || !get_words(f, trace->gets, trace->count))
        return EPROTO;
    for (size_t i = 0; i < trace->count; i++)
        if (trace->gets[i] >= trace->keys)
            return EPROTO;
    for (uint32_t i = 0; i < trace->keys; i++)
        trace->bytes += trace->sizes[i];
    return 0;
}

int sim_trace_read(struct sim_trace *trace, const char *path)
{
    *trace = (struct sim_trace){0};
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return errno;
    int error = read_body(trace, f);
    (void)fclose(f);
    if (error != 0)
        sim_trace_free(trace);
    return error;
}
