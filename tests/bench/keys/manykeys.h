// Many RSA keys from few moduli. Primes are what costs: a modulus of 4096 bits takes a second, a million of them days. A key is a modulus and a
// public exponent, and its fingerprint is of both: with another exponent e, and d = 1/e, the same primes are another key, with a name, a record
// and a seal of its own, which decrypts and signs what the others do not. So a thousand moduli and a thousand exponents make a million keys that
// import, open, are checked and served like any other. They are for measuring only: who knows one key's d knows all keys of its modulus.
#ifndef MEC_BENCH_MANYKEYS_H
#define MEC_BENCH_MANYKEYS_H

#include <stddef.h>
#include <stdint.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/keyrecord.h"

// ---- public exponents

// The primes from 65537 on, so many of them; NULL without memory. The caller frees it.
uint32_t *manykeys_exponents(size_t count);

// ---- a modulus

struct manykeys_modulus;

// A new one of so many bits; NULL on failure. One thread at a time for each.
struct manykeys_modulus *manykeys_modulus_make(unsigned bits);
void manykeys_modulus_free(struct manykeys_modulus *modulus);

// The key with this public exponent, a prime. NULL: there is none (the exponent divides one of the primes less one), or no memory. The caller
// frees it.
EVP_PKEY *manykeys_key(const struct manykeys_modulus *modulus, uint32_t exponent);

// ---- what is kept of a key

// Fills in certificates (made-up fingerprints and names, as of a site with several) until a record of this key has `bytes` bytes; a record
// that is as long without any gets none. der_bytes: of the key as PKCS#8.
void manykeys_pad(struct keyrecord_info *info, size_t der_bytes, size_t bytes);

// A certificate of the key for a host, signed by itself, good for two days; NULL on failure. The caller frees it.
X509 *manykeys_certificate(EVP_PKEY *key, const char *host);

#endif
