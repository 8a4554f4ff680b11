#include "keyserver/rsa/rsa8_internal.h"

#include <string.h>
#include <openssl/crypto.h>

_Static_assert(RSA8_KEY_SIZE_MAX == sizeof(struct rsa8_key) + KEY_END * RSA8_HALF_MAX * sizeof(uint64_t),
               "the public size is that of a 4096-bit key");

// N, the limbs of a prime: whole blocks, with 16 bits or more to spare.
static unsigned half_limbs(unsigned bits)
{
    switch (bits) {
    case 2048:
        return 20;
    case 3072:
        return 30;
    case 4096:
        return 40;
    default:
        return 0;
    }
}

size_t rsa8_key_size(unsigned bits)
{
    unsigned half = half_limbs(bits);
    return half == 0 ? 0 : sizeof(struct rsa8_key) + (size_t)KEY_END * half * sizeof(uint64_t);
}

unsigned rsa8_key_bits(const struct rsa_der *der)
{
    size_t bits = der->n.len * 8;
    return bits <= RSA8_BITS_MAX && half_limbs((unsigned)bits) != 0 ? (unsigned)bits : 0;
}

unsigned rsa8_bits(const struct rsa8_key *key)
{
    return key->bits;
}

// What is seen of lengths and of the public part.
static const char *check_public(const struct rsa_der *der)
{
    unsigned bits = rsa8_key_bits(der);
    if (bits == 0 || (der->n.bytes[0] & 0x80) == 0)
        return "the modulus has not 2048, 3072 or 4096 bits";
    if (der->p.len != bits / 16 || der->q.len != bits / 16)
        return "the primes are not of equal length";
    if (der->dp.len > bits / 16 || der->dq.len > bits / 16 || der->qinv.len > bits / 16)
        return "a number of the private key is longer than the primes";
    if (der->e.len == 0 || der->e.len > 4 || (der->e.bytes[der->e.len - 1] & 1) == 0 ||
        (der->e.len == 1 && der->e.bytes[0] < 3))
        return "the public exponent is not odd and between 3 and 2^32";
    return NULL;
}

static void read_numbers(struct rsa8_key *key, const struct rsa_der *der)
{
    size_t half = key->half;
    const struct {
        const struct rsa_number *number;
        size_t at;
    } half_numbers[] = {
        {&der->p, KEY_P}, {&der->q, KEY_Q}, {&der->dp, KEY_DP1}, {&der->dq, KEY_DQ1}, {&der->qinv, KEY_QINV}};
    for (size_t i = 0; i < sizeof half_numbers / sizeof *half_numbers; i++)
        rsa8_num_from_bytes(key->limb + half_numbers[i].at * half, half, half_numbers[i].number->bytes,
                            half_numbers[i].number->len);
    rsa8_num_from_bytes(key->limb + KEY_N * half, 2 * half, der->n.bytes, der->n.len);
    rsa8_num_from_bytes(&key->e, 1, der->e.bytes, der->e.len);
}

// All ones when the primes have their full length and dp, dq and qinv are what the kernels' bounds ask for.
static uint64_t in_range(const struct rsa8_key *key, const struct rsa_der *der)
{
    size_t half = key->half;
    const uint64_t *p = key->limb + KEY_P * half, *q = key->limb + KEY_Q * half;
    const uint64_t *dp = key->limb + KEY_DP1 * half, *dq = key->limb + KEY_DQ1 * half;
    uint64_t bits = (uint64_t)(der->p.bytes[0] & der->q.bytes[0]) >> 7 & p[0] & q[0] & dp[0] & dq[0] & 1;
    return ~rsa8_mask_zero(bits) & rsa8_num_less(dp, p, half) & rsa8_num_less(dq, q, half) &
           rsa8_num_less(key->limb + KEY_QINV * half, p, half);
}

// e dp = 1 modulo p - 1, and the same for q. A key that fails would compute as fast as a good one, only to have
// each result held back as if the machine were at fault.
static uint64_t is_private(const struct rsa8_key *key)
{
    size_t half = key->half;
    const uint64_t *limb = key->limb;
    return rsa8_num_is_private(limb + KEY_DP1 * half, key->e, limb + KEY_P * half, key->bits / 2, half) &
           rsa8_num_is_private(limb + KEY_DQ1 * half, key->e, limb + KEY_Q * half, key->bits / 2, half);
}

// n = p q
static uint64_t is_product(const struct rsa8_key *key)
{
    size_t half = key->half;
    uint64_t product[RSA8_FULL_MAX];
    rsa8_num_mul(product, key->limb + KEY_P * half, key->limb + KEY_Q * half, half);
    uint64_t equal = rsa8_num_equal(product, key->limb + KEY_N * half, 2 * half);
    OPENSSL_cleanse(product, sizeof product);
    return equal;
}

static void precompute(struct rsa8_key *key)
{
    size_t half = key->half;
    uint64_t *limb = key->limb;
    key->k0p = rsa8_num_k0(limb[KEY_P * half]);
    key->k0q = rsa8_num_k0(limb[KEY_Q * half]);
    key->k0n = rsa8_num_k0(limb[KEY_N * half]);
    rsa8_num_r2(limb + KEY_R2P * half, limb + KEY_P * half, key->bits / 2, half);
    rsa8_num_r2(limb + KEY_R2Q * half, limb + KEY_Q * half, key->bits / 2, half);
    rsa8_num_r2(limb + KEY_R2N * half, limb + KEY_N * half, key->bits, 2 * half);
    limb[KEY_DP1 * half] &= ~UINT64_C(1); // odd numbers less 1
    limb[KEY_DQ1 * half] &= ~UINT64_C(1);
}

// qinv goes into Montgomery's form; all ones when its product with q is 1 modulo p. q < 2 p: both have their
// highest bit.
static uint64_t is_inverse(struct rsa8_key *key)
{
    size_t half = key->half;
    uint64_t *qinv = key->limb + KEY_QINV * half, *p = key->limb + KEY_P * half;
    uint64_t product[RSA8_HALF_MAX], one[RSA8_HALF_MAX] = {1};
    rsa8_num_amm(qinv, qinv, key->limb + KEY_R2P * half, p, key->k0p, half);
    rsa8_num_amm(product, qinv, key->limb + KEY_Q * half, p, key->k0p, half);
    uint64_t equal = rsa8_num_equal(product, one, half);
    OPENSSL_cleanse(product, sizeof product);
    return equal;
}

const char *rsa8_key_make(struct rsa8_key *key, const struct rsa_der *der)
{
    const char *why = check_public(der);
    if (why != NULL)
        return why;
    size_t size = rsa8_key_size(rsa8_key_bits(der));
    memset(key, 0, size);
    key->bits = rsa8_key_bits(der);
    key->half = half_limbs(key->bits);
    read_numbers(key, der);
    uint64_t good = in_range(key, der) & is_product(key);
    rsa8_test_public(&good, sizeof good);
    if (good != 0) // this and precompute() ask for odd numbers of full length
        good = is_private(key);
    rsa8_test_public(&good, sizeof good);
    if (good != 0) {
        precompute(key);
        good = is_inverse(key);
        rsa8_test_public(&good, sizeof good);
        if (good != 0)
            return NULL;
    }
    OPENSSL_cleanse(key, size);
    return "the numbers of the private key do not fit together";
}
