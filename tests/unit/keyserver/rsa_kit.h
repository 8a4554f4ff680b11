// PKCS#8 of RSA keys put together piece by piece, so that a test can have any piece otherwise.
#ifndef MEC_TESTS_RSA_KIT_H
#define MEC_TESTS_RSA_KIT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <openssl/bn.h>

#define RSA_KIT_MAX 6000

enum {
    RSA_KIT_N,
    RSA_KIT_E,
    RSA_KIT_D,
    RSA_KIT_P,
    RSA_KIT_Q,
    RSA_KIT_DP,
    RSA_KIT_DQ,
    RSA_KIT_QINV,
    RSA_KIT_NUMBERS
};

struct rsa_kit_bytes {
    uint8_t bytes[RSA_KIT_MAX];
    size_t len;
};

// One element: tag, length, contents; appended.
void rsa_kit_element(struct rsa_kit_bytes *to, uint8_t tag, const void *contents, size_t len);
void rsa_kit_append(struct rsa_kit_bytes *to, const void *bytes, size_t len);

// The parts of a PKCS#8, each whole elements; what is NULL is as it should be, or absent (the last three).
struct rsa_kit_parts {
    const struct rsa_kit_bytes *version, *algorithm, *key_version, *numbers;
    const struct rsa_kit_bytes *behind_numbers, *behind_sequence, *behind_key;
};
void rsa_kit_build(const struct rsa_kit_parts *parts, struct rsa_kit_bytes *der);

// A key as numbers, from its primes and e: d modulo the product of p - 1 and q - 1, or modulo their least common multiple.
struct rsa_kit_key {
    BIGNUM *number[RSA_KIT_NUMBERS];
};
void rsa_kit_key_make(struct rsa_kit_key *key, const BIGNUM *p, const BIGNUM *q, unsigned long e, bool lcm);
void rsa_kit_key_free(struct rsa_kit_key *key);
void rsa_kit_key_der(const struct rsa_kit_key *key, struct rsa_kit_bytes *der);

// A prime of so many bits, p - 1 prime to 3 and 65537; made at the first call, kept until rsa_kit_release(). which: 0 to 3.
const BIGNUM *rsa_kit_prime(int bits, unsigned which);
void rsa_kit_release(void);

#endif
