// An RSA private key as DER: PKCS#8 (RFC 5958, version 1) around RSAPrivateKey (RFC 8017, appendix A.1.2), read strictly and in place.
//
// Numbers are big-endian magnitudes without leading zeros, views into the caller's DER: nothing is copied or allocated, and no value of a
// secret decides a branch (lengths and tags do, which are not secret: an observer of the store sees them).
#ifndef RSA_DER_H
#define RSA_DER_H

#include <stddef.h>
#include <stdint.h>

struct rsa_number {
    const uint8_t *bytes;
    size_t len; // 0: the number is 0
};

struct rsa_der {
    struct rsa_number n, e, d, p, q, dp, dq, qinv;
};

// Reads `len` bytes of DER. NULL: good, and *key points into `der`. Otherwise why not, a static text: not DER in its one form, another algorithm
// than rsaEncryption, more than two primes, attributes or a public key beside it, bytes behind it. What is arithmetic (n = p q) is not checked here. Any thread.
const char *rsa_der_read(const uint8_t *der, size_t len, struct rsa_der *key);

#endif
