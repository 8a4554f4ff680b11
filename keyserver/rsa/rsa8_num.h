// Numbers of one key as limbs of 52 bits, least significant first: what making a key needs, a lane at a time.
// All functions take the same time for all values of one length: no branch and no address depends on a limb.
#ifndef MEC_KEYSERVER_RSA8_NUM_H
#define MEC_KEYSERVER_RSA8_NUM_H

#include <stddef.h>
#include <stdint.h>

#define RSA8_LIMB_BITS 52
#define RSA8_LIMB_MASK ((UINT64_C(1) << RSA8_LIMB_BITS) - 1)
#define RSA8_NUM_MAX   80 // limbs of a 4096-bit modulus

// All ones when x is 0, else 0.
static inline uint64_t rsa8_mask_zero(uint64_t x)
{
    x = (x | (~x + 1)) >> 63; // 1 unless x is 0
    __asm__("" : "+r"(x));    // or the compiler would make a branch of what follows
    return x - 1;
}

// Big-endian bytes to `limbs` limbs and back. to_limbs: len * 8 <= limbs * 52. to_bytes: the limbs' bits
// beyond len * 8 are 0.
void rsa8_num_from_bytes(uint64_t *limb, size_t limbs, const uint8_t *bytes, size_t len);
void rsa8_num_to_bytes(uint8_t *bytes, size_t len, const uint64_t *limb, size_t limbs);

// A mask: all ones when a < b, a == b.
uint64_t rsa8_num_less(const uint64_t *a, const uint64_t *b, size_t limbs);
uint64_t rsa8_num_equal(const uint64_t *a, const uint64_t *b, size_t limbs);

// r = a b, 2 * limbs limbs; r is neither a nor b.
void rsa8_num_mul(uint64_t *r, const uint64_t *a, const uint64_t *b, size_t limbs);

// -1/m mod 2^52, m odd.
uint64_t rsa8_num_k0(uint64_t m);

// r = a b / 2^(52 limbs) mod m, below m. a, b < 2 m; m odd with 4 m < 2^(52 limbs). r may be a or b.
void rsa8_num_amm(uint64_t *r, const uint64_t *a, const uint64_t *b, const uint64_t *m, uint64_t k0,
                  size_t limbs);

// r = 2^(104 limbs) mod m, for m of exactly `bits` bits, 63 <= bits <= 52 limbs - 1.
void rsa8_num_r2(uint64_t *r, const uint64_t *m, unsigned bits, size_t limbs);

// A mask: all ones when e d = 1 modulo m - 1. d < m, m of exactly `bits` bits as above, 3 <= e < 2^32.
uint64_t rsa8_num_is_private(const uint64_t *d, uint64_t e, const uint64_t *m, unsigned bits, size_t limbs);

#endif
