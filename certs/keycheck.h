// Whether a private key may go into the store: of a kind that is served, strong enough, and whole. Whole
// means that a signature made with it verifies and that its redundant numbers agree: a key whose primes were
// damaged signs wrongly, and one wrong signature of an RSA key can give the key away.
//
// The cost is about that of a few private-key operations (RSA-2048 under 5 ms, RSA-8192 under 200 ms); the
// primality proofs of EVP_PKEY_check() would cost tens to thousands of milliseconds, and say no more: for a
// composite "prime" the signature is wrong except with negligible odds.
#ifndef MEC_CERTS_KEYCHECK_H
#define MEC_CERTS_KEYCHECK_H

#include <stdbool.h>
#include <openssl/evp.h>

#include "common/report.h"

// The kind of a key as people write it: "RSA-2048", "P-256", "ED25519"; returns buf.
char *keycheck_kind(EVP_PKEY *key, char *buf, size_t len);

// False with *why set: found and expected, nothing of the key.
bool keycheck(EVP_PKEY *key, struct error *why);

#endif
