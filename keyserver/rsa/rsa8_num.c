#include "keyserver/rsa/rsa8_num.h"

#include <endian.h>
#include <string.h>
#include <openssl/crypto.h>

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 i128;

// The 64 bits that begin `skip` bytes before the end of a big-endian number.
static uint64_t word_at(const uint8_t *bytes, size_t len, size_t skip)
{
    uint64_t word = 0;
    if (skip + sizeof word <= len) {
        memcpy(&word, bytes + len - skip - sizeof word, sizeof word);
        return be64toh(word);
    }
    for (size_t i = 0; skip + i < len; i++)
        word |= (uint64_t)bytes[len - skip - i - 1] << (8 * i);
    return word;
}

void rsa8_num_from_bytes(uint64_t *limb, size_t limbs, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < limbs; i++) {
        size_t bit = RSA8_LIMB_BITS * i; // begins at a byte or at half of one
        limb[i] = word_at(bytes, len, bit / 8) >> bit % 8 & RSA8_LIMB_MASK;
    }
}

void rsa8_num_to_bytes(uint8_t *bytes, size_t len, const uint64_t *limb, size_t limbs)
{
    u128 have = 0;
    unsigned bits = 0;
    size_t i = 0;
    while (len > 0) {
        if (bits < 8 && i < limbs) {
            have |= (u128)limb[i++] << bits;
            bits += RSA8_LIMB_BITS;
        }
        bytes[--len] = (uint8_t)have;
        have >>= 8;
        bits = bits > 8 ? bits - 8 : 0;
    }
}

uint64_t rsa8_num_less(const uint64_t *a, const uint64_t *b, size_t limbs)
{
    uint64_t borrow = 0;
    for (size_t i = 0; i < limbs; i++)
        borrow = (a[i] - b[i] - borrow) >> 63;
    return ~rsa8_mask_zero(borrow);
}

uint64_t rsa8_num_equal(const uint64_t *a, const uint64_t *b, size_t limbs)
{
    uint64_t differ = 0;
    for (size_t i = 0; i < limbs; i++)
        differ |= a[i] ^ b[i];
    return rsa8_mask_zero(differ);
}

void rsa8_num_mul(uint64_t *r, const uint64_t *a, const uint64_t *b, size_t limbs)
{
    memset(r, 0, 2 * limbs * sizeof *r);
    for (size_t i = 0; i < limbs; i++) {
        u128 carry = 0;
        for (size_t j = 0; j < limbs; j++) {
            carry += (u128)a[i] * b[j] + r[i + j]; // < 2^104 + 2^52 + 2^53
            r[i + j] = (uint64_t)carry & RSA8_LIMB_MASK;
            carry >>= RSA8_LIMB_BITS;
        }
        r[i + limbs] = (uint64_t)carry;
    }
}

uint64_t rsa8_num_k0(uint64_t m)
{
    uint64_t inverse = m; // right modulo 2^3, and each step doubles the bits that are
    for (int i = 0; i < 5; i++)
        inverse *= 2 - m * inverse;
    return (~inverse + 1) & RSA8_LIMB_MASK;
}

// x mod m for x < 2 m.
static void subtract_once(uint64_t *x, const uint64_t *m, size_t limbs)
{
    uint64_t d[RSA8_NUM_MAX], borrow = 0;
    for (size_t i = 0; i < limbs; i++) {
        uint64_t t = x[i] - m[i] - borrow;
        d[i] = t & RSA8_LIMB_MASK;
        borrow = t >> 63;
    }
    uint64_t take = rsa8_mask_zero(borrow);
    for (size_t i = 0; i < limbs; i++)
        x[i] = (d[i] & take) | (x[i] & ~take);
    OPENSSL_cleanse(d, sizeof d);
}

void rsa8_num_amm(uint64_t *r, const uint64_t *a, const uint64_t *b, const uint64_t *m, uint64_t k0,
                  size_t limbs)
{
    uint64_t t[RSA8_NUM_MAX + 1] = {
        0}; // before each round t < 2^(52 limbs) + 2 m, so its last limb is 0 or 1
    for (size_t i = 0; i < limbs; i++) {
        uint64_t q = (t[0] + a[i] * b[0]) * k0 & RSA8_LIMB_MASK;
        u128 carry = ((u128)a[i] * b[0] + (u128)q * m[0] + t[0]) >> RSA8_LIMB_BITS;
        for (size_t j = 1; j < limbs; j++) {
            carry += (u128)a[i] * b[j] + (u128)q * m[j] + t[j]; // < 2^106
            t[j - 1] = (uint64_t)carry & RSA8_LIMB_MASK;
            carry >>= RSA8_LIMB_BITS;
        }
        carry += t[limbs];
        t[limbs - 1] = (uint64_t)carry & RSA8_LIMB_MASK;
        t[limbs] = (uint64_t)(carry >> RSA8_LIMB_BITS);
    }
    memcpy(r, t, limbs * sizeof *r);
    subtract_once(r, m, limbs);
    OPENSSL_cleanse(t, sizeof t);
}

// The 64 bits of x from bit `from` on.
static uint64_t bits_from(const uint64_t *x, size_t limbs, unsigned from)
{
    size_t i = from / RSA8_LIMB_BITS;
    unsigned shift = from % RSA8_LIMB_BITS;
    u128 v = x[i];
    if (i + 1 < limbs)
        v |= (u128)x[i + 1] << RSA8_LIMB_BITS;
    if (i + 2 < limbs)
        v |= (u128)x[i + 2] << (2 * RSA8_LIMB_BITS); // its upper bits are beyond bit 116 and not asked for
    return (uint64_t)(v >> shift);
}

// floor(2^126 / d) for 2^62 < d <= 2^63, bit by bit: processors divide small numbers faster than large ones.
static uint64_t reciprocal(uint64_t d)
{
    u128 left = (u128)1 << 63; // of 2^126 the bits looked at so far: 2^63, then 63 zeros come down
    uint64_t quotient = 0;
    for (int i = 0; i < 64; i++) {
        u128 less = left - d;
        uint64_t fits = rsa8_mask_zero((uint64_t)(less >> 127));
        u128 wide = (u128)fits << 64 | fits;
        left = (less & wide) | (left & ~wide);
        quotient = quotient << 1 | (fits & 1);
        left <<= 1;
    }
    return quotient;
}

// Long division with digits of 52 bits, of which only the remainder is of interest and is let grow to less
// than 2 m. With P = floor(m / 2^(bits - 63)), T = floor(r / 2^(bits - 63)) < 2^64 and I = floor(2^126 / (P + 1)),
// the digit floor(T I / 2^74) is at most r 2^52 / m and less than 1 + 2^-6 below it, so that the next remainder
// is again in 0 to 2 m (DESIGN.md).
void rsa8_num_r2(uint64_t *r, const uint64_t *m, unsigned bits, size_t limbs)
{
    uint64_t inverse = reciprocal(bits_from(m, limbs, bits - 63) + 1);
    size_t start = (bits - 1) / RSA8_LIMB_BITS;
    memset(r, 0, limbs * sizeof *r);
    r[start] = 1; // 2^(52 start) < m
    for (size_t step = start; step < 2 * limbs; step++) {
        uint64_t digit = (uint64_t)((u128)bits_from(r, limbs, bits - 63) * inverse >> 74);
        i128 carry = 0;
        uint64_t below = 0;
        for (size_t i = 0; i < limbs; i++) {
            carry += (i128)below - (i128)((u128)digit * m[i]); // |carry| < 2^107
            below = r[i];
            r[i] = (uint64_t)carry & RSA8_LIMB_MASK;
            carry >>= RSA8_LIMB_BITS;
        }
    }
    subtract_once(r, m, limbs);
}

// r = a word + add, of limbs + 1 limbs; word, add < 2^33.
static void multiply_word(uint64_t *r, const uint64_t *a, uint64_t word, uint64_t add, size_t limbs)
{
    u128 carry = add;
    for (size_t i = 0; i < limbs; i++) {
        carry += (u128)a[i] * word;
        r[i] = (uint64_t)carry & RSA8_LIMB_MASK;
        carry >>= RSA8_LIMB_BITS;
    }
    r[limbs] = (uint64_t)carry;
}

// e d = 1 + k (m - 1) for some k, 0 < k < e. With P and I as above and T = floor(e d / 2^(bits - 31)) < 2^63,
// floor(T I / 2^94) is k - 1 (DESIGN.md): one comparison, e d + (k - 1) with k m, decides.
uint64_t rsa8_num_is_private(const uint64_t *d, uint64_t e, const uint64_t *m, unsigned bits, size_t limbs)
{
    struct {
        uint64_t ed[RSA8_NUM_MAX + 1], km[RSA8_NUM_MAX + 1];
    } v;
    uint64_t inverse = reciprocal(bits_from(m, limbs, bits - 63) + 1);
    multiply_word(v.ed, d, e, 0, limbs);
    uint64_t less = (uint64_t)((u128)bits_from(v.ed, limbs + 1, bits - 31) * inverse >> 94);
    multiply_word(v.ed, d, e, less, limbs);
    multiply_word(v.km, m, less + 1, 0, limbs);
    uint64_t equal = rsa8_num_equal(v.ed, v.km, limbs + 1);
    OPENSSL_cleanse(&v, sizeof v);
    return equal;
}
