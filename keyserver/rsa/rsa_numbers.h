// The eight numbers of an RSA private key from three of them, and their PKCS#8. Used by rsa_compact.c alone.
#ifndef RSA_NUMBERS_H
#define RSA_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/bn.h>

struct rsa_numbers {
    BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *qinv; // of a BN_CTX
};

enum rsa_numbers_status { RSA_NUMBERS_OK, RSA_NUMBERS_NO_KEY, RSA_NUMBERS_NO_MEMORY };

// Takes the eight out of ctx, which must be a secure one; they live until BN_CTX_end(). NULL inside: no memory.
void rsa_numbers_get(struct rsa_numbers *k, BN_CTX *ctx);

// The other five from e, p and q: d is the inverse of e modulo (p - 1)(q - 1) / divisor. RSA_NUMBERS_NO_KEY: there is no such d, or
// no inverse of q. Constant time for p and q of one length.
enum rsa_numbers_status rsa_numbers_derive(struct rsa_numbers *k, uint32_t divisor, BN_CTX *ctx);

// gcd(p - 1, q - 1) in constant time; 0 when it has more than 32 bits or there is no memory.
uint32_t rsa_numbers_gcd(const struct rsa_numbers *k, BN_CTX *ctx);

// Their PKCS#8 DER at the beginning of `out`, its length in *len; the rest of `room` is zero. False: no room.
bool rsa_numbers_write(const struct rsa_numbers *k, uint8_t *out, size_t room, size_t *len);

#endif
