// An RSA private key as its primes: a quarter of the PKCS#8 it stands for, which it gives back byte for byte.
//
//   0   1  version, 1
//   1   1  length of e, 1 to 8
//   2   2  length of p
//   4   2  length of q
//   6   4  divisor g: d is the inverse of e modulo (p - 1)(q - 1) / g. OpenSSL 3 makes d modulo the least common multiple (g is
//          the greatest common divisor then), others modulo the product (g is 1); both are in use
//   10  .. e, p, q: big-endian (as all numbers here), without leading zeros
//
// p stands before q as it does in the PKCS#8, whichever is the larger. n, d, dp, dq and qinv are computed anew, in constant
// time for primes of one length, in OpenSSL's secure heap. A key whose PKCS#8 cannot be had back in this way is not taken:
// that is tried before a compact form is given out.
//
// The compact form is as secret as the key. Any thread.
#ifndef RSA_COMPACT_H
#define RSA_COMPACT_H

#include <stddef.h>
#include <stdint.h>

enum rsa_compact_status {
    RSA_COMPACT_OK,
    RSA_COMPACT_WHOLE,     // this key must be kept as it is
    RSA_COMPACT_MALFORMED, // no compact form, or of no key
    RSA_COMPACT_NO_MEMORY, // the secure heap is full
};

// The compact form of PKCS#8 DER. out: room for len bytes, more than it takes; secret memory of the caller's. RSA_COMPACT_WHOLE:
// *why (may be NULL) is a static text about what is special in the key. What was written is wiped on failure.
enum rsa_compact_status rsa_compact_encode(const uint8_t *der, size_t len, uint8_t *out, size_t *out_len,
                                           const char **why);

// Room that the PKCS#8 DER of a compact form of `len` bytes needs at most.
#define RSA_COMPACT_DER_ROOM(len) (5 * (len) + 128)

// The PKCS#8 DER of a compact form. der: RSA_COMPACT_DER_ROOM(len) bytes of secret memory of the caller's; on RSA_COMPACT_OK the first
// *der_len are the key and the others are zero, else all are zero. That the primes are prime is not checked: a seal or the name of
// the key tells who wrote it. Costs about 0.9 million instructions for RSA-4096 and 0.4 million for RSA-2048 (a private operation of OpenSSL: 72 and 6).
enum rsa_compact_status rsa_compact_decode(const uint8_t *compact, size_t len, uint8_t *der, size_t *der_len);

#endif
