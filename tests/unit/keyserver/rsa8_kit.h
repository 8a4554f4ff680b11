// What the tests of the RSA engine share: keys made on each run from a few primes, and OpenSSL's answers.
#ifndef MEC_TESTS_KEYSERVER_RSA8_KIT_H
#define MEC_TESTS_KEYSERVER_RSA8_KIT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <openssl/bn.h>

#include "keyserver/rsa/rsa8.h"

// Sanitizer builds are several times slower, and valgrind does not run them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RSA8_KIT_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RSA8_KIT_SANITIZED
#endif
#endif

struct rsa8_kit_key {
    BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *qinv;
    uint8_t bytes[8][512]; // the same, which `der` points into
    struct rsa_der der;
    struct rsa8_key *key; // NULL until rsa8_kit_engine()
};

// Primes of bits / 2 bits with p - 1 and e coprime for e = 3, 17 and 65537; made at the first call, kept until
// rsa8_kit_release(). which: 0 to 3.
const BIGNUM *rsa8_kit_prime(unsigned bits, unsigned which);

// A key of these primes and this e; NULL when e has no inverse. Freed by rsa8_kit_free().
struct rsa8_kit_key *rsa8_kit_make(const BIGNUM *p, const BIGNUM *q, unsigned long e);
// One of twelve keys a size: p and q are any two of the four primes, in either order.
struct rsa8_kit_key *rsa8_kit_key(unsigned bits, unsigned which, unsigned long e);
// Sets key->der from its numbers, once more after a test has changed one.
void rsa8_kit_encode(struct rsa8_kit_key *key);
// Makes key->key; why it could not be made, or NULL.
const char *rsa8_kit_engine(struct rsa8_kit_key *key);
void rsa8_kit_free(struct rsa8_kit_key *key);
void rsa8_kit_release(void);

// in^d mod n by OpenSSL, as long as the modulus.
void rsa8_kit_answer(const struct rsa8_kit_key *key, const uint8_t *in, uint8_t *out);
// Random bytes below n, as long as the modulus.
void rsa8_kit_input(const struct rsa8_kit_key *key, uint8_t *in);

struct rsa8_scratch *rsa8_kit_scratch(void);

// Calls `test` with each implementation that this machine can run, and says which.
void rsa8_kit_each(void (*test)(enum rsa8_impl impl));

#endif
