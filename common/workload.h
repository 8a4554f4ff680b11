// What is asked for: which key comes next, a key's bytes, a key's value. All of it is a function of the
// settings and the seed, so two runs ask for the same, and every answer can be checked without having been
// stored.
//
// A key is its number in hexadecimal, padded with 'k' behind: in the order of the numbers, so that a store
// that likes sorted loads gets one. A value of key i is
//
//   0         16                                         len - 8   len
//   | stamp   | the same bytes of a shared block ...      | stamp   |
//
// A shorter value is the beginning of the stamp. The stamp mixes the key's number and the seed. Making one costs
// the stamps only.
//
// Zipf: YCSB's generator (Gray et al., "Quickly generating billion-record synthetic databases", SIGMOD 1994),
// ranks scattered over the keys by a keyed permutation, so that no two ranks meet on one key (YCSB's hash
// lets them) and the hottest keys are no neighbours.
//
// Threads: a workload_keyspace is constant after its creation; the others belong to one thread.
#ifndef MEC_COMMON_WORKLOAD_H
#define MEC_COMMON_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum workload_order { WORKLOAD_SEQUENTIAL, WORKLOAD_UNIFORM, WORKLOAD_ZIPF, WORKLOAD_SCAN };

#define WORKLOAD_KEY_MIN   8u
#define WORKLOAD_KEY_MAX   1024u
#define WORKLOAD_STAMP     16u
#define WORKLOAD_STAMP_END 8u

struct workload_keyspace {
    uint64_t keys;
    size_t key_bytes;
    size_t value_min, value_max; // equal: all values have this length; else log-uniform between
    double theta;
    uint64_t seed;
    // Zipf, constants of the generator
    double zeta, eta, alpha, second;
    unsigned half_bits; // of the permutation: the least 2 * half_bits that number all keys
    uint8_t *block;     // value_max bytes that all values share
};

// False without memory or when something is out of range (0 keys, too many for the key's digits, theta not in
// (0, 1)).
bool workload_keyspace_init(struct workload_keyspace *space, uint64_t keys, size_t key_bytes,
                            size_t value_min, size_t value_max, double theta, uint64_t seed);
void workload_keyspace_destroy(struct workload_keyspace *space);
// A skew as options give it: a number over 0 and below 1, and nothing behind it. False: *theta means nothing.
bool workload_theta_parse(const char *text, double *theta);

void workload_key_write(const struct workload_keyspace *space, uint64_t number, uint8_t *key);
// The number of a key; false when it is none of ours.
bool workload_key_read(const struct workload_keyspace *space, const void *key, size_t len, uint64_t *number);

size_t workload_value_len(const struct workload_keyspace *space, uint64_t number);
// buf: value_max bytes that workload_value_prepare() has filled once; only the stamps change.
void workload_value_prepare(const struct workload_keyspace *space, uint8_t *buf);
size_t workload_value_write(const struct workload_keyspace *space, uint64_t number, uint8_t *buf);
// Puts the shared bytes back where the last value's end stamp was (before the next workload_value_write()).
void workload_value_restore(const struct workload_keyspace *space, uint8_t *buf, size_t len);
bool workload_value_is(const struct workload_keyspace *space, uint64_t number, const void *value, size_t len);

// ---- drawing

struct workload_random {
    uint64_t state;
};
uint64_t workload_random_next(struct workload_random *random);
// 0 to n - 1.
uint64_t workload_random_below(struct workload_random *random, uint64_t n);

// A rank, 0 (the hottest) to keys - 1.
uint64_t workload_zipf_rank(const struct workload_keyspace *space, struct workload_random *random);
// The key of a rank: a permutation of all keys.
uint64_t workload_scatter(const struct workload_keyspace *space, uint64_t rank);

// The keys that one thread asks for, one after the other.
struct workload_draw {
    const struct workload_keyspace *space;
    enum workload_order order;
    struct workload_random random;
    uint64_t next, first, end; // sequential: this thread's part
};
// Thread `index` of `threads` gets its own part (sequential) or its own stream of random numbers.
void workload_draw_init(struct workload_draw *draw, const struct workload_keyspace *space,
                        enum workload_order order, unsigned index, unsigned threads, uint64_t stream);
uint64_t workload_draw_next(struct workload_draw *draw);

// The share of draws that the `in_memory` hottest keys answer, the best that any fixed set can do: exact for
// uniform, counted over a million draws for Zipf.
double workload_best_hit_ratio(const struct workload_keyspace *space, enum workload_order order,
                               uint64_t in_memory);

#endif
