// Keys and inputs that follow from a seed, with OpenSSL's form of each key beside the engine's.
#ifndef MEC_TESTS_SOAK_RSA8_SEEDED_H
#define MEC_TESTS_SOAK_RSA8_SEEDED_H

#include <stdbool.h>
#include <stdint.h>
#include <openssl/bn.h>
#include <openssl/evp.h>

#include "keyserver/rsa/rsa8.h"

#define SEEDED_BYTES  (RSA8_BITS_MAX / 8)
#define SEEDED_PRIMES 3
#define SEEDED_KEYS   8 // the six ordered pairs of three primes, and two of them with another e

// splitmix64: the same numbers on every machine.
struct seeded_random {
    uint64_t state;
};
void seeded_random_init(struct seeded_random *random, uint64_t seed, unsigned bits, unsigned long chunk);
uint64_t seeded_random_next(struct seeded_random *random);
unsigned seeded_random_below(struct seeded_random *random, unsigned end);
void seeded_random_bytes(struct seeded_random *random, uint8_t *bytes, size_t len);

struct seeded_key {
    BIGNUM *p, *q, *n;
    unsigned long e;
    uint8_t bytes[8][SEEDED_BYTES]; // the numbers that `der` points to
    struct rsa_der der;
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *ctx, *public_ctx; // without padding
    struct rsa8_key *engine;
};

// Keys of three new primes. e: of all of them, a prime; or 0, and each has one of its own. seeded_keys_make() ends the program, with words, when a key cannot be made.
struct seeded_keys {
    struct seeded_key key[SEEDED_KEYS];
};
void seeded_keys_make(struct seeded_keys *keys, struct seeded_random *random, unsigned bits, unsigned long e);
void seeded_keys_free(struct seeded_keys *keys);

// Input below n, as long as it: any number, and one time in sixteen one that arithmetic gets wrong first.
void seeded_input(const struct seeded_key *key, struct seeded_random *random, uint8_t *in);

// in^d mod n by OpenSSL. Ends the program, with words, when OpenSSL refuses.
void seeded_answer(const struct seeded_key *key, const uint8_t *in, uint8_t *out);

// Whether answer^e mod n is this input by OpenSSL. That and being below n is what one number alone, in^d mod n, is, and it
// costs a thirtieth to look. Ends the program, with words, when OpenSSL refuses.
bool seeded_gives_back(const struct seeded_key *key, const uint8_t *answer, const uint8_t *in);

// Ends the program: "rsa8: what: why" and status 2.
__attribute__((noreturn)) void seeded_die(const char *what, const char *why);

#endif
