#include "common/workload.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 1000000u

__extension__ typedef unsigned __int128 wide;

// The finaliser of SplitMix64: a bijection in which every input bit reaches every output bit.
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t workload_random_next(struct workload_random *random)
{
    return mix(random->state += 0x9e3779b97f4a7c15u);
}

uint64_t workload_random_below(struct workload_random *random, uint64_t n)
{
    return (uint64_t)(((wide)workload_random_next(random) * n) >> 64);
}

// ---- the space of keys

static unsigned digits_of(size_t key_bytes)
{
    return key_bytes < 16 ? (unsigned)key_bytes : 16;
}

static bool fits(uint64_t keys, size_t key_bytes)
{
    unsigned digits = digits_of(key_bytes);
    return digits == 16 || keys <= (uint64_t)1 << (4 * digits);
}

static void set_up_zipf(struct workload_keyspace *space)
{
    double n = (double)space->keys;
    for (uint64_t i = 1; i <= space->keys; i++)
        space->zeta += pow((double)i, -space->theta);
    space->second = pow(0.5, space->theta);
    space->alpha = 1 / (1 - space->theta);
    space->eta = (1 - pow(2 / n, 1 - space->theta)) / (1 - (1 + space->second) / space->zeta);
    space->half_bits = 1;
    while (space->half_bits < 32 && (uint64_t)1 << (2 * space->half_bits) < space->keys)
        space->half_bits++;
}

bool workload_keyspace_init(struct workload_keyspace *space, uint64_t keys, size_t key_bytes,
                            size_t value_min, size_t value_max, double theta, uint64_t seed)
{
    *space = (struct workload_keyspace){.keys = keys,
                                        .key_bytes = key_bytes,
                                        .value_min = value_min,
                                        .value_max = value_max,
                                        .theta = theta,
                                        .seed = seed};
    if (keys == 0 || key_bytes < WORKLOAD_KEY_MIN || key_bytes > WORKLOAD_KEY_MAX || !fits(keys, key_bytes) ||
        value_min > value_max || !(theta > 0) || !(theta < 1))
        return false;
    space->block = malloc(value_max != 0 ? value_max : 1);
    if (space->block == NULL)
        return false;
    struct workload_random random = {.state = ~seed};
    for (size_t at = 0; at < value_max; at += 8) {
        uint64_t word = workload_random_next(&random);
        memcpy(space->block + at, &word, value_max - at < 8 ? value_max - at : 8);
    }
    set_up_zipf(space);
    return true;
}

bool workload_theta_parse(const char *text, double *theta)
{
    char *end;
    *theta = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*theta) && *theta > 0 && *theta < 1;
}

void workload_keyspace_destroy(struct workload_keyspace *space)
{
    free(space->block);
    space->block = NULL;
}

// ---- keys

void workload_key_write(const struct workload_keyspace *space, uint64_t number, uint8_t *key)
{
    unsigned digits = digits_of(space->key_bytes);
    for (unsigned i = digits; i-- > 0; number >>= 4)
        key[i] = (uint8_t) "0123456789abcdef"[number & 15];
    if (space->key_bytes > digits)
        memset(key + digits, 'k', space->key_bytes - digits);
}

bool workload_key_read(const struct workload_keyspace *space, const void *key, size_t len, uint64_t *number)
{
    const uint8_t *bytes = key;
    *number = 0;
    if (len != space->key_bytes)
        return false;
    for (unsigned i = 0; i < digits_of(len); i++) {
        uint8_t c = bytes[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        *number = *number << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return *number < space->keys;
}

// ---- values

size_t workload_value_len(const struct workload_keyspace *space, uint64_t number)
{
    if (space->value_min == space->value_max)
        return space->value_min;
    double unit = (double)(mix(number ^ mix(space->seed + 1)) >> 11) * 0x1p-53;
    double low = (double)space->value_min + 1, high = (double)space->value_max + 2;
    size_t len = (size_t)(low * pow(high / low, unit)) - 1;
    return len < space->value_min ? space->value_min : len > space->value_max ? space->value_max : len;
}

static void stamp_of(const struct workload_keyspace *space, uint64_t number, uint64_t stamp[2])
{
    stamp[0] = mix(number + 0x632be59bd9b4e019u + mix(space->seed));
    stamp[1] = number ^ stamp[0];
}

static bool has_end_stamp(size_t len)
{
    return len >= WORKLOAD_STAMP + WORKLOAD_STAMP_END;
}

void workload_value_prepare(const struct workload_keyspace *space, uint8_t *buf)
{
    memcpy(buf, space->block, space->value_max);
}

size_t workload_value_write(const struct workload_keyspace *space, uint64_t number, uint8_t *buf)
{
    uint64_t stamp[2];
    size_t len = workload_value_len(space, number);
    stamp_of(space, number, stamp);
    memcpy(buf, stamp, len < WORKLOAD_STAMP ? len : WORKLOAD_STAMP);
    if (has_end_stamp(len))
        memcpy(buf + len - WORKLOAD_STAMP_END, stamp, WORKLOAD_STAMP_END);
    return len;
}

void workload_value_restore(const struct workload_keyspace *space, uint8_t *buf, size_t len)
{
    if (has_end_stamp(len))
        memcpy(buf + len - WORKLOAD_STAMP_END, space->block + len - WORKLOAD_STAMP_END, WORKLOAD_STAMP_END);
}

bool workload_value_is(const struct workload_keyspace *space, uint64_t number, const void *value, size_t len)
{
    uint64_t stamp[2];
    const uint8_t *bytes = value;
    if (len != workload_value_len(space, number))
        return false;
    stamp_of(space, number, stamp);
    if (len == 0 || memcmp(bytes, stamp, len < WORKLOAD_STAMP ? len : WORKLOAD_STAMP) != 0)
        return len == 0;
    if (len <= WORKLOAD_STAMP)
        return true;
    if (!has_end_stamp(len))
        return memcmp(bytes + WORKLOAD_STAMP, space->block + WORKLOAD_STAMP, len - WORKLOAD_STAMP) == 0;
    return memcmp(bytes + WORKLOAD_STAMP, space->block + WORKLOAD_STAMP,
                  len - WORKLOAD_STAMP - WORKLOAD_STAMP_END) == 0 &&
           memcmp(bytes + len - WORKLOAD_STAMP_END, stamp, WORKLOAD_STAMP_END) == 0;
}

// ---- drawing

uint64_t workload_zipf_rank(const struct workload_keyspace *space, struct workload_random *random)
{
    double unit = (double)(workload_random_next(random) >> 11) * 0x1p-53;
    double scaled = unit * space->zeta;
    if (scaled < 1)
        return 0;
    if (scaled < 1 + space->second)
        return space->keys > 1 ? 1 : 0;
    uint64_t rank = (uint64_t)((double)space->keys * pow(space->eta * unit - space->eta + 1, space->alpha));
    return rank < space->keys ? rank : space->keys - 1;
}

// Four rounds of a Feistel network over 2 * half_bits bits; a result outside the keys goes through again.
uint64_t workload_scatter(const struct workload_keyspace *space, uint64_t rank)
{
    uint64_t mask = ((uint64_t)1 << space->half_bits) - 1;
    do {
        uint64_t left = rank >> space->half_bits, right = rank & mask;
        for (unsigned round = 0; round < 4; round++) {
            uint64_t next = left ^ (mix(right + space->seed * 4 + round) & mask);
            left = right;
            right = next;
        }
        rank = left << space->half_bits | right;
    } while (rank >= space->keys);
    return rank;
}

void workload_draw_init(struct workload_draw *draw, const struct workload_keyspace *space,
                        enum workload_order order, unsigned index, unsigned threads, uint64_t stream)
{
    *draw = (struct workload_draw){
        .space = space,
        .order = order,
        .random = {.state = mix(space->seed ^ mix(stream * 4096 + index + 1))},
        .first = space->keys * index / threads,
        .end = space->keys * (index + 1) / threads,
    };
    if (draw->first == draw->end) // fewer keys than threads
        draw->first = 0, draw->end = space->keys;
    draw->next = draw->first;
}

uint64_t workload_draw_next(struct workload_draw *draw)
{
    if (draw->order == WORKLOAD_UNIFORM)
        return workload_random_below(&draw->random, draw->space->keys);
    if (draw->order == WORKLOAD_ZIPF)
        return workload_scatter(draw->space, workload_zipf_rank(draw->space, &draw->random));
    uint64_t number = draw->next++;
    if (draw->next == draw->end)
        draw->next = draw->first;
    return number;
}

double workload_best_hit_ratio(const struct workload_keyspace *space, enum workload_order order,
                               uint64_t in_memory)
{
    if (in_memory >= space->keys)
        return 1;
    if (order != WORKLOAD_ZIPF)
        return (double)in_memory / (double)space->keys;
    struct workload_random random = {.state = space->seed};
    uint64_t hits = 0;
    for (unsigned i = 0; i < SAMPLES; i++)
        hits += workload_zipf_rank(space, &random) < in_memory ? 1 : 0;
    return (double)hits / SAMPLES;
}
