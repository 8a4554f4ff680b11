// The inverse modulo a prime, in constant time, at a tenth of the cost of OpenSSL's BN_mod_inverse() with BN_FLG_CONSTTIME: that is
// Euclid's algorithm with whole divisions, this is the division steps of Bernstein and Yang ("Fast constant-time gcd computation and
// modular inversion", 2019), 62 of them at a time.
//
// One step takes (delta, f, g), f odd, to
//
//   (1 - delta, g, (g - f) / 2)                  when delta > 0 and g is odd
//   (1 + delta, f, (g + (g mod 2) f) / 2)        else
//
// Begun with delta = 1, f the modulus and g the number, (49 b + 57) / 17 steps make g zero and f the greatest common divisor or its negative, for
// all f and g of at most b >= 46 bits (theorem 11.2 there; (49 b + 80) / 17 below that). What 62 steps do depends on the lowest 62 bits of f and g and on delta
// alone: it is a matrix of four numbers of at most 2^62, computed in registers, and then applied to f and g as a whole, and to d and
// e, which begin as 0 and 1 and keep d * number = f and e * number = g modulo the modulus.
#ifndef RSA_INVERSE_H
#define RSA_INVERSE_H

#include <openssl/bn.h>

enum rsa_inverse_status { RSA_INVERSE_OK, RSA_INVERSE_NONE, RSA_INVERSE_NO_MEMORY };

// *out = number^-1 modulo modulus, which is odd and at least 3; number is not negative. RSA_INVERSE_NONE: they have a common divisor. RSA_INVERSE_NO_MEMORY: also when one has more than 16384 bits.
// The time depends on the length in bytes of the longer one. The work is done in OpenSSL's secure heap. Any thread.
enum rsa_inverse_status rsa_inverse(BIGNUM *out, const BIGNUM *number, const BIGNUM *modulus, BN_CTX *ctx);

#endif
