// Message encodings for RSA signatures (RFC 8017 section 9), so that what goes to the RSA engine is always
// one raw private-key operation on a block as long as the modulus, whichever engine computes it. Signing
// inputs are public: nothing here is secret.
#ifndef MEC_KEYSERVER_RSA_ENCODE_H
#define MEC_KEYSERVER_RSA_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keyserver/ski.h"

#define SKI_DIGEST_MAX 64

// Hashes data with a SKI hash (SKI_MD5_SHA1: MD5 followed by SHA-1, 36 bytes; RFC 4346 section 7.4.3).
// Returns the digest's length, 0 when OpenSSL fails.
size_t ski_digest(enum ski_hash hash, const uint8_t *data, size_t len, uint8_t digest[static SKI_DIGEST_MAX]);

// EMSA-PKCS1-v1_5: 00 01 FF.. 00 DigestInfo digest, em_len bytes; with SKI_MD5_SHA1 without DigestInfo, as
// TLS 1.0 and 1.1 sign. False when em_len is too short.
bool rsa_encode_pkcs1(enum ski_hash hash, const uint8_t *digest, size_t digest_len, uint8_t *em,
                      size_t em_len);

// EMSA-PSS with MGF1 of the same hash and a random salt as long as the hash (RFC 8446 section 4.2.3).
// mod_bits: of the modulus; em_len: of the modulus in bytes. False when the modulus is too short or OpenSSL
// fails.
bool rsa_encode_pss(enum ski_hash hash, const uint8_t *digest, size_t digest_len, unsigned mod_bits,
                    uint8_t *em, size_t em_len);

#endif
