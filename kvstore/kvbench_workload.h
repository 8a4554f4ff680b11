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
// Threads: a bench_keyspace is constant after its creation; the others belong to one thread.
#ifndef MEC_KVSTORE_KVBENCH_WORKLOAD_H
#define MEC_KVSTORE_KVBENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bench_order { BENCH_SEQUENTIAL, BENCH_UNIFORM, BENCH_ZIPF, BENCH_SCAN };

#define BENCH_KEY_MIN   8u
#define BENCH_KEY_MAX   1024u
#define BENCH_STAMP     16u
#define BENCH_STAMP_END 8u

struct bench_keyspace {
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
bool bench_keyspace_init(struct bench_keyspace *space, uint64_t keys, size_t key_bytes, size_t value_min,
                         size_t value_max, double theta, uint64_t seed);
void bench_keyspace_destroy(struct bench_keyspace *space);

void bench_key_write(const struct bench_keyspace *space, uint64_t number, uint8_t *key);
// The number of a key; false when it is none of ours.
bool bench_key_read(const struct bench_keyspace *space, const void *key, size_t len, uint64_t *number);

size_t bench_value_len(const struct bench_keyspace *space, uint64_t number);
// buf: value_max bytes that bench_value_prepare() has filled once; only the stamps change.
void bench_value_prepare(const struct bench_keyspace *space, uint8_t *buf);
size_t bench_value_write(const struct bench_keyspace *space, uint64_t number, uint8_t *buf);
// Puts the shared bytes back where the last value's end stamp was (before the next bench_value_write()).
void bench_value_restore(const struct bench_keyspace *space, uint8_t *buf, size_t len);
bool bench_value_is(const struct bench_keyspace *space, uint64_t number, const void *value, size_t len);

// ---- drawing

struct bench_random {
    uint64_t state;
};
uint64_t bench_random_next(struct bench_random *random);
// 0 to n - 1.
uint64_t bench_random_below(struct bench_random *random, uint64_t n);

// A rank, 0 (the hottest) to keys - 1.
uint64_t bench_zipf_rank(const struct bench_keyspace *space, struct bench_random *random);
// The key of a rank: a permutation of all keys.
uint64_t bench_scatter(const struct bench_keyspace *space, uint64_t rank);

// The keys that one thread asks for, one after the other.
struct bench_draw {
    const struct bench_keyspace *space;
    enum bench_order order;
    struct bench_random random;
    uint64_t next, first, end; // sequential: this thread's part
};
// Thread `index` of `threads` gets its own part (sequential) or its own stream of random numbers.
void bench_draw_init(struct bench_draw *draw, const struct bench_keyspace *space, enum bench_order order,
                     unsigned index, unsigned threads, uint64_t stream);
uint64_t bench_draw_next(struct bench_draw *draw);

// The share of draws that the `in_memory` hottest keys answer, the best that any fixed set can do: exact for
// uniform, counted over a million draws for Zipf.
double bench_best_hit_ratio(const struct bench_keyspace *space, enum bench_order order, uint64_t in_memory);

#endif
