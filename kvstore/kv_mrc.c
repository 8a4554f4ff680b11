#include "kvstore/kv_mrc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SAMPLES     16384u
#define FEW_SAMPLES 1024u
#define DENSE       (UINT64_MAX / 16) // with a threshold above it there are FEW_SAMPLES at most
#define TABLE       (2 * SAMPLES)
#define POSITIONS   (2 * SAMPLES)
#define BLOCK       128u
#define UNIT        16u // bytes

#define FINE      32u // buckets of a power of two
#define FINE_BITS 5u
#define BUCKETS   ((60u - FINE_BITS + 2) * FINE)

#define GETS_LEAST     100u
#define HALF_LIFE      (1u << 20)
#define HALF_LIFE_KEYS 8u

struct sample {
    uint64_t rank;
    uint32_t position; // of its last get
    uint32_t units;    // its size
};

struct kv_mrc_state {
    struct sample samples[SAMPLES];
    uint32_t count;
    uint16_t table[TABLE];     // by rank, open addressing: index of a sample + 1; 0: empty
    uint16_t heap[SAMPLES];    // of samples, highest rank first
    uint16_t heap_at[SAMPLES]; // where a sample is in it
    // Last gets in their order: the size of the sample, 0 when it has been asked for since; and which it is.
    uint32_t units[POSITIONS];
    uint16_t sample_at[POSITIONS];
    uint64_t block_units[POSITIONS / BLOCK];
    uint32_t next_position;
    // Gets by the bytes of memory that would have made them hits.
    double gets[BUCKETS];
    double sampled;        // all that samples stood for, first gets of a key too
    double expected;       // all there were
    double until_halving;  // gets
    uint64_t gets_then;    // what mrc->gets() said when `expected` was brought up to date
    uint64_t dropped_then; // and mrc->dropped
    uint64_t seen;         // samples
    bool settled;          // there was a halving: what comes for the first time is what the load is like
};

size_t kv_mrc_bytes(void)
{
    return sizeof(struct kv_mrc_state);
}

bool kv_mrc_init(struct kv_mrc *mrc, uint64_t (*gets)(void *arg), void *arg)
{
    *mrc = (struct kv_mrc){.gets = gets, .arg = arg};
    void *p = mmap(NULL, sizeof(struct kv_mrc_state), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0); // resident as it is used
    if (p == MAP_FAILED)
        return false;
    mrc->state = p;
    mrc->state->until_halving = HALF_LIFE;
    (void)pthread_mutex_init(&mrc->lock, NULL);
    atomic_store(&mrc->threshold, UINT64_MAX);
    return true;
}

void kv_mrc_destroy(struct kv_mrc *mrc)
{
    if (mrc->state == NULL)
        return;
    (void)munmap(mrc->state, sizeof *mrc->state);
    (void)pthread_mutex_destroy(&mrc->lock);
    mrc->state = NULL;
}

// ---- samples by rank

// The low bits of a rank are as good as random; the high ones are all below the threshold.
static uint32_t table_find(const struct kv_mrc_state *s, uint64_t rank)
{
    uint32_t at = (uint32_t)rank % TABLE;
    while (s->table[at] != 0 && s->samples[s->table[at] - 1u].rank != rank)
        at = (at + 1) % TABLE;
    return at;
}

static void table_remove(struct kv_mrc_state *s, uint32_t at)
{
    for (uint32_t next = (at + 1) % TABLE; s->table[next] != 0; next = (next + 1) % TABLE) {
        uint32_t home = (uint32_t)s->samples[s->table[next] - 1u].rank % TABLE;
        if ((next - home) % TABLE >= (next - at) % TABLE) { // it may move back to the gap
            s->table[at] = s->table[next];
            at = next;
        }
    }
    s->table[at] = 0;
}

// ---- the heap

static void heap_set(struct kv_mrc_state *s, uint32_t at, uint32_t sample)
{
    s->heap[at] = (uint16_t)sample;
    s->heap_at[sample] = (uint16_t)at;
}

static uint64_t heap_rank(const struct kv_mrc_state *s, uint32_t at)
{
    return s->samples[s->heap[at]].rank;
}

static void heap_up(struct kv_mrc_state *s, uint32_t at)
{
    uint32_t sample = s->heap[at];
    for (uint32_t up; at > 0 && heap_rank(s, up = (at - 1) / 2) < s->samples[sample].rank; at = up)
        heap_set(s, at, s->heap[up]);
    heap_set(s, at, sample);
}

static void heap_down(struct kv_mrc_state *s, uint32_t at, uint32_t count)
{
    uint32_t sample = s->heap[at];
    for (uint32_t down; (down = 2 * at + 1) < count; at = down) {
        if (down + 1 < count && heap_rank(s, down + 1) > heap_rank(s, down))
            down++;
        if (heap_rank(s, down) <= s->samples[sample].rank)
            break;
        heap_set(s, at, s->heap[down]);
    }
    heap_set(s, at, sample);
}

static void heap_remove(struct kv_mrc_state *s, uint32_t at)
{
    uint32_t last = s->count - 1; // the heap has one entry a sample
    uint32_t moved = s->heap[last];
    if (at == last)
        return;
    heap_set(s, at, moved);
    heap_up(s, at);
    heap_down(s, s->heap_at[moved], last);
}

// ---- the order of last gets

static void position_clear(struct kv_mrc_state *s, uint32_t position)
{
    s->block_units[position / BLOCK] -= s->units[position];
    s->units[position] = 0;
}

static void position_set(struct kv_mrc_state *s, uint32_t position, uint32_t sample)
{
    s->units[position] = s->samples[sample].units;
    s->block_units[position / BLOCK] += s->units[position];
    s->sample_at[position] = (uint16_t)sample;
    s->samples[sample].position = position;
}

static void close_gaps(struct kv_mrc_state *s)
{
    uint32_t to = 0;
    for (uint32_t from = 0; from < POSITIONS; from++) {
        if (s->units[from] == 0)
            continue;
        uint32_t sample = s->sample_at[from];
        position_clear(s, from);
        position_set(s, to++, sample);
    }
    s->next_position = to;
}

static void to_the_end(struct kv_mrc_state *s, uint32_t sample)
{
    if (s->next_position == POSITIONS)
        close_gaps(s);
    position_set(s, s->next_position++, sample);
}

// Units of all samples that were asked for after this position.
static uint64_t units_after(const struct kv_mrc_state *s, uint32_t position)
{
    uint64_t sum = 0;
    uint32_t block = position / BLOCK;
    uint32_t end = (block + 1) * BLOCK < s->next_position ? (block + 1) * BLOCK : s->next_position;
    for (uint32_t at = position + 1; at < end; at++)
        sum += s->units[at];
    for (block++; block * BLOCK < s->next_position; block++)
        sum += s->block_units[block];
    return sum;
}

// ---- adding and removing samples

static void remove_sample(struct kv_mrc_state *s, uint32_t sample)
{
    table_remove(s, table_find(s, s->samples[sample].rank));
    position_clear(s, s->samples[sample].position);
    heap_remove(s, s->heap_at[sample]);
    uint32_t last = --s->count;
    if (sample == last)
        return;
    s->table[table_find(s, s->samples[last].rank)] = (uint16_t)(sample + 1);
    s->samples[sample] = s->samples[last];
    s->sample_at[s->samples[sample].position] = (uint16_t)sample;
    heap_set(s, s->heap_at[last], sample);
}

static bool full(const struct kv_mrc_state *s, uint64_t threshold)
{
    return s->count >= (threshold > DENSE ? FEW_SAMPLES : SAMPLES);
}

static void add_sample(struct kv_mrc *mrc, uint64_t rank, uint32_t units)
{
    struct kv_mrc_state *s = mrc->state;
    uint64_t threshold = atomic_load_explicit(&mrc->threshold, memory_order_relaxed);
    while (rank < threshold && full(s, threshold)) {
        threshold = heap_rank(s, 0);
        remove_sample(s, s->heap[0]);
    }
    atomic_store_explicit(&mrc->threshold, threshold, memory_order_relaxed);
    if (rank >= threshold)
        return;
    uint32_t sample = s->count;
    s->samples[sample] = (struct sample){.rank = rank, .units = units};
    s->table[table_find(s, rank)] = (uint16_t)(sample + 1);
    heap_set(s, sample, sample);
    s->count++;
    heap_up(s, sample);
    to_the_end(s, sample);
}

// ---- counting

static uint32_t bucket_of(uint64_t bytes)
{
    uint64_t units = bytes / UNIT;
    if (units < FINE)
        return (uint32_t)units;
    uint32_t top = 63u - (uint32_t)__builtin_clzll(units);
    return (top - FINE_BITS + 1) * FINE + (uint32_t)(units >> (top - FINE_BITS)) % FINE;
}

static uint64_t bucket_from(uint32_t bucket)
{
    if (bucket < FINE)
        return (uint64_t)bucket * UNIT;
    return (uint64_t)(FINE + bucket % FINE) << (bucket / FINE - 1) << 4;
}

// Gets that one sample stands for.
static double stands_for(uint64_t threshold)
{
    return 0x1p64 / ((double)threshold + 1);
}

static void catch_up(struct kv_mrc *mrc)
{
    struct kv_mrc_state *s = mrc->state;
    uint64_t gets = mrc->gets(mrc->arg);
    uint64_t dropped = atomic_load_explicit(&mrc->dropped, memory_order_relaxed);
    s->expected += (double)(gets - s->gets_then) - (double)(dropped - s->dropped_then);
    s->gets_then = gets;
    s->dropped_then = dropped;
}

static void halve(struct kv_mrc *mrc, double weight)
{
    struct kv_mrc_state *s = mrc->state;
    catch_up(mrc);
    for (uint32_t i = 0; i < BUCKETS; i++)
        s->gets[i] /= 2;
    s->sampled /= 2;
    s->expected /= 2;
    s->settled = true;
    // Most keys are gone: sample more of those that are left. The new samples are few gets' error, which fades.
    uint64_t threshold = atomic_load_explicit(&mrc->threshold, memory_order_relaxed);
    if (s->count < SAMPLES / 8 && threshold <= DENSE / 2)
        atomic_store_explicit(&mrc->threshold, 2 * threshold, memory_order_relaxed);
    double by_keys = HALF_LIFE_KEYS * (double)s->count * weight;
    s->until_halving = by_keys > HALF_LIFE ? by_keys : HALF_LIFE;
}

static void sample_locked(struct kv_mrc *mrc, uint64_t rank, uint64_t bytes)
{
    struct kv_mrc_state *s = mrc->state;
    uint64_t threshold = atomic_load_explicit(&mrc->threshold, memory_order_relaxed);
    if (rank >= threshold)
        return;
    double weight = stands_for(threshold);
    uint32_t units = (uint32_t)(bytes / UNIT) + 1;
    uint32_t known = s->table[table_find(s, rank)];
    if (known != 0) {
        struct sample *sample = &s->samples[known - 1];
        double distance = (double)units_after(s, sample->position) * UNIT * weight + (double)bytes;
        s->gets[bucket_of((uint64_t)distance)] += weight;
        position_clear(s, sample->position);
        sample->units = units;
        to_the_end(s, known - 1);
    } else {
        add_sample(mrc, rank, units);
    }
    s->seen++;
    s->sampled += weight;
    s->until_halving -= weight;
    if (s->until_halving <= 0)
        halve(mrc, weight);
}

void kv_mrc_sample(struct kv_mrc *mrc, uint64_t hash, uint64_t bytes)
{
    if (pthread_mutex_trylock(&mrc->lock) != 0) {
        uint64_t threshold = atomic_load_explicit(&mrc->threshold, memory_order_relaxed);
        atomic_fetch_add_explicit(&mrc->dropped, (uint64_t)stands_for(threshold), memory_order_relaxed);
        return;
    }
    sample_locked(mrc, kv_mrc_rank(hash), bytes);
    (void)pthread_mutex_unlock(&mrc->lock);
}

void kv_mrc_forget_sample(struct kv_mrc *mrc, uint64_t hash)
{
    (void)pthread_mutex_lock(&mrc->lock);
    uint32_t known = mrc->state->table[table_find(mrc->state, kv_mrc_rank(hash))];
    if (known != 0)
        remove_sample(mrc->state, known - 1);
    (void)pthread_mutex_unlock(&mrc->lock);
}

void kv_mrc_forget_all(struct kv_mrc *mrc)
{
    (void)pthread_mutex_lock(&mrc->lock);
    catch_up(mrc);
    struct kv_mrc_state *s = mrc->state;
    uint64_t gets_then = s->gets_then, dropped_then = s->dropped_then;
    memset(s, 0, sizeof *s);
    s->gets_then = gets_then;
    s->dropped_then = dropped_then;
    s->until_halving = HALF_LIFE;
    atomic_store(&mrc->threshold, UINT64_MAX);
    (void)pthread_mutex_unlock(&mrc->lock);
}

// ---- the curve

// A bucket's gets are taken to be spread evenly over it.
static double share_of_bucket(uint32_t bucket, uint64_t size)
{
    uint64_t from = bucket_from(bucket), to = bucket_from(bucket + 1);
    if (size >= to)
        return 1;
    return size <= from ? 0 : (double)(size - from) / (double)(to - from);
}

static void add_up(const struct kv_mrc_state *s, const uint64_t *sizes, size_t count, double *hit_ratios)
{
    double below = s->expected - s->sampled; // SHARDS' adjustment
    uint32_t bucket = 0;
    for (size_t i = 0; i < count; i++) {
        for (; bucket < BUCKETS - 1 && bucket_from(bucket + 1) <= sizes[i]; bucket++)
            below += s->gets[bucket];
        double hits = below + s->gets[bucket] * share_of_bucket(bucket, sizes[i]);
        double ratio = sizes[i] == 0 || hits < 0 || s->expected <= 0 ? 0 : hits / s->expected;
        hit_ratios[i] = ratio > 1 ? 1 : ratio;
    }
}

// In a store that was just opened every get is a key's first, and the curve says that no memory is enough.
static bool knows_enough(const struct kv_mrc_state *s)
{
    double again = 0;
    for (uint32_t i = 0; i < BUCKETS; i++)
        again += s->gets[i];
    return s->seen >= GETS_LEAST && (s->settled || again >= s->sampled / 2);
}

bool kv_mrc_hits(struct kv_mrc *mrc, const uint64_t *sizes, size_t count, double *hit_ratios)
{
    (void)pthread_mutex_lock(&mrc->lock);
    catch_up(mrc);
    bool enough = knows_enough(mrc->state);
    if (enough)
        add_up(mrc->state, sizes, count, hit_ratios);
    (void)pthread_mutex_unlock(&mrc->lock);
    return enough;
}
