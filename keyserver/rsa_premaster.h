// From a decrypted RSA block to a premaster secret, in constant time, with one outcome to the eye (RFC 5246
// section 7.4.7.1).
//
// A well-formed block is  00 | 02 | k-51 non-zero bytes | 00 | version (2) | 46 bytes. Whatever else it is,
// the answer is a premaster that looks like any other: the expected version followed by 46 bytes of
//   HMAC-SHA-384(fallback secret, version | ciphertext)
// where the fallback secret comes from the private key. So one ciphertext always gives the same answer: an
// edge that sends it twice, before or after a restart, learns nothing (draft-erb-lurk-rsalg-01
// section 3.3.1). The HMAC is computed for good blocks too, and the choice is by mask.
#ifndef MEC_KEYSERVER_RSA_PREMASTER_H
#define MEC_KEYSERVER_RSA_PREMASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keyserver/ski.h"

#define RSA_FALLBACK_SECRET_LEN 32

// The fallback secret of a key: SHA-256 over a label and the two primes, the larger first, each big-endian
// and as long as the modulus. They depend on the key alone, not on which of its private exponents or what
// order of the primes a file happens to have: two servers that imported it from different files give the same
// fallbacks, and comparing their answers tells nothing. False when OpenSSL fails.
bool rsa_fallback_secret(const uint8_t *primes, size_t len, uint8_t secret[static RSA_FALLBACK_SECRET_LEN]);

// block: what raw RSA gave, block_len (>= 64) bytes as long as the modulus; must_fail: all ones when the
// ciphertext was out of range (then the block is not looked at for the answer). ciphertext: block_len bytes.
// Writes 48 bytes to premaster. False only when OpenSSL's HMAC fails, which does not depend on the block.
bool rsa_premaster_extract(const uint8_t *block, size_t block_len, uint32_t must_fail,
                           const uint8_t version[static 2],
                           const uint8_t secret[static RSA_FALLBACK_SECRET_LEN], const uint8_t *ciphertext,
                           uint8_t premaster[static SKI_PREMASTER_LEN]);

#endif
