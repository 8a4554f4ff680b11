#include "seeded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

void seeded_die(const char *what, const char *why)
{
    fprintf(stderr, "rsa8: %s: %s\n", what, why);
    exit(2);
}

// Of calls that fail only without memory.
static void check(int good)
{
    if (good != 1)
        seeded_die("OpenSSL", "out of memory");
}

uint64_t seeded_random_next(struct seeded_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void seeded_random_init(struct seeded_random *random, uint64_t seed, unsigned bits, unsigned long chunk)
{
    random->state = seed;
    random->state = seeded_random_next(random) ^ bits;
    random->state = seeded_random_next(random) ^ chunk;
}

unsigned seeded_random_below(struct seeded_random *random, unsigned end)
{
    return (unsigned)(seeded_random_next(random) % end);
}

void seeded_random_bytes(struct seeded_random *random, uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)seeded_random_next(random);
}

// Fermat's test with base 2: what it lets through of random numbers of this length is a prime but for 2^-100, and a key of
// one that is not would show as a fault.
static int is_prime(const BIGNUM *p, const BIGNUM *two, BIGNUM *power, BN_CTX *ctx)
{
    static const unsigned small[] = {3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        if (BN_mod_word(p, small[i]) == 0)
            return 0;
    }
    check(BN_mod_exp(power, two, p, p, ctx)); // 2^p = 2
    return BN_cmp(power, two) == 0;
}

// The first prime p from a random odd number on, with its two highest bits set: products have their full length. e: 0, or
// a prime that may not divide p - 1.
static BIGNUM *make_prime(struct seeded_random *random, unsigned bits, unsigned long e, BN_CTX *ctx)
{
    uint8_t bytes[SEEDED_BYTES / 2];
    seeded_random_bytes(random, bytes, bits / 8);
    bytes[0] |= 0xc0;
    bytes[bits / 8 - 1] |= 1;
    BIGNUM *p = BN_bin2bn(bytes, (int)bits / 8, NULL), *two = BN_new(), *power = BN_new();
    check(p != NULL && two != NULL && power != NULL && BN_set_word(two, 2));
    while (!is_prime(p, two, power, ctx) || (e != 0 && BN_mod_word(p, e) == 1))
        check(BN_add_word(p, 2));
    BN_free(two);
    BN_free(power);
    return p;
}

// The key's numbers, in the order of struct rsa_der.
enum { N, E, D, P, Q, DP, DQ, QINV, NUMBERS };

// All of a key from p, q and e; 0 when e has no inverse.
static int make_numbers(BIGNUM *number[NUMBERS], const struct seeded_key *key, BN_CTX *ctx)
{
    BIGNUM *p1 = BN_dup(key->p), *q1 = BN_dup(key->q), *phi = BN_new();
    for (int i = 0; i < NUMBERS; i++)
        check((number[i] = BN_new()) != NULL);
    check(p1 != NULL && q1 != NULL && phi != NULL && BN_sub_word(p1, 1) && BN_sub_word(q1, 1));
    check(BN_mul(phi, p1, q1, ctx) && BN_mul(number[N], key->p, key->q, ctx) &&
          BN_set_word(number[E], key->e) && BN_copy(number[P], key->p) && BN_copy(number[Q], key->q));
    int good = BN_mod_inverse(number[D], number[E], phi, ctx) != NULL;
    if (good)
        check(BN_mod(number[DP], number[D], p1, ctx) && BN_mod(number[DQ], number[D], q1, ctx) &&
              BN_mod_inverse(number[QINV], key->q, key->p, ctx));
    BN_free(p1);
    BN_free(q1);
    BN_free(phi);
    return good;
}

static void make_engine(struct seeded_key *key, BIGNUM *const number[NUMBERS])
{
    struct rsa_der *der = &key->der;
    struct rsa_number *to[NUMBERS] = {&der->n, &der->e,  &der->d,  &der->p,
                                      &der->q, &der->dp, &der->dq, &der->qinv};
    for (int i = 0; i < NUMBERS; i++)
        *to[i] = (struct rsa_number){key->bytes[i], (size_t)BN_bn2bin(number[i], key->bytes[i])};
    key->engine = malloc(rsa8_key_size(rsa8_key_bits(der)));
    if (key->engine == NULL)
        seeded_die("a key", "out of memory");
    const char *why = rsa8_key_make(key->engine, der);
    if (why != NULL)
        seeded_die("a good key was refused", why);
}

static void make_pkey(struct seeded_key *key, BIGNUM *const number[NUMBERS])
{
    static const char *const name[NUMBERS] = {
        OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,           OSSL_PKEY_PARAM_RSA_D,
        OSSL_PKEY_PARAM_RSA_FACTOR1,   OSSL_PKEY_PARAM_RSA_FACTOR2,     OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    check(build != NULL);
    for (int i = 0; i < NUMBERS; i++)
        check(OSSL_PARAM_BLD_push_BN(build, name[i], number[i]));
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    check(params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1);
    if (EVP_PKEY_fromdata(ctx, &key->pkey, EVP_PKEY_KEYPAIR, params) != 1)
        seeded_die("a key", "OpenSSL refuses it");
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    key->ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    check(key->ctx != NULL && EVP_PKEY_decrypt_init(key->ctx) == 1 &&
          EVP_PKEY_CTX_set_rsa_padding(key->ctx, RSA_NO_PADDING) == 1);
    key->public_ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    check(key->public_ctx != NULL && EVP_PKEY_encrypt_init(key->public_ctx) == 1 &&
          EVP_PKEY_CTX_set_rsa_padding(key->public_ctx, RSA_NO_PADDING) == 1);
}

static unsigned long make_exponent(struct seeded_random *random)
{
    static const unsigned long usual[] = {65537, 65537, 65537, 3, 17};
    unsigned which = seeded_random_below(random, 6);
    return which < 5 ? usual[which] : ((unsigned long)seeded_random_next(random) & 0xffffffff) | 3;
}

static void make_key(struct seeded_key *key, struct seeded_random *random, unsigned long e, BN_CTX *ctx)
{
    BIGNUM *number[NUMBERS];
    int good;
    do {
        key->e = e != 0 ? e : make_exponent(random);
        good = make_numbers(number, key, ctx);
        if (good) {
            make_engine(key, number);
            make_pkey(key, number);
            check((key->n = BN_dup(number[N])) != NULL);
        }
        for (int i = 0; i < NUMBERS; i++)
            BN_free(number[i]);
    } while (!good);
}

void seeded_keys_make(struct seeded_keys *keys, struct seeded_random *random, unsigned bits, unsigned long e)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *prime[SEEDED_PRIMES];
    check(ctx != NULL);
    memset(keys, 0, sizeof *keys);
    for (int i = 0; i < SEEDED_PRIMES; i++)
        prime[i] = make_prime(random, bits / 2, e, ctx);
    for (unsigned i = 0; i < SEEDED_KEYS; i++) {
        unsigned p = i % SEEDED_PRIMES, q = (p + 1 + i / SEEDED_PRIMES % 2) % SEEDED_PRIMES;
        keys->key[i].p = BN_dup(prime[p]);
        keys->key[i].q = BN_dup(prime[q]);
        check(keys->key[i].p != NULL && keys->key[i].q != NULL);
        make_key(&keys->key[i], random, e, ctx);
    }
    for (int i = 0; i < SEEDED_PRIMES; i++)
        BN_free(prime[i]);
    BN_CTX_free(ctx);
}

void seeded_keys_free(struct seeded_keys *keys)
{
    for (unsigned i = 0; i < SEEDED_KEYS; i++) {
        struct seeded_key *key = &keys->key[i];
        EVP_PKEY_CTX_free(key->ctx);
        EVP_PKEY_CTX_free(key->public_ctx);
        EVP_PKEY_free(key->pkey);
        BN_free(key->p);
        BN_free(key->q);
        BN_free(key->n);
        free(key->engine);
    }
}

// 0, 1, n - 1 and near them, multiples of p and of q, whole limbs of ones.
static void special_input(const struct seeded_key *key, struct seeded_random *random, BIGNUM *c)
{
    switch (seeded_random_below(random, 5)) {
    case 0:
        check(BN_set_word(c, seeded_random_below(random, 3)));
        break;
    case 1:
        check(BN_copy(c, key->n) != NULL && BN_sub_word(c, 1 + seeded_random_below(random, 3)));
        break;
    case 2: // p and q have the same length, so that these are below n
        check(BN_copy(c, key->p) != NULL && BN_mul_word(c, 1 + seeded_random_below(random, 1u << 30)));
        break;
    case 3:
        check(BN_copy(c, key->q) != NULL && BN_mul_word(c, 1 + seeded_random_below(random, 1u << 30)) &&
              BN_sub(c, key->n, c));
        break;
    default:
        check(BN_one(c) &&
              BN_lshift(c, c, 52 * (int)seeded_random_below(random, (unsigned)BN_num_bits(key->n) / 52)) &&
              BN_sub_word(c, seeded_random_below(random, 2)));
        break;
    }
}

void seeded_input(const struct seeded_key *key, struct seeded_random *random, uint8_t *in)
{
    int len = BN_num_bytes(key->n);
    BIGNUM *c = BN_new();
    check(c != NULL);
    if (seeded_random_below(random, 16) == 0) {
        special_input(key, random, c);
    } else {
        do {
            seeded_random_bytes(random, in, (size_t)len);
            check(BN_bin2bn(in, len, c) != NULL);
        } while (BN_cmp(c, key->n) >= 0);
    }
    check(BN_bn2binpad(c, in, len) == len);
    BN_free(c);
}

void seeded_answer(const struct seeded_key *key, const uint8_t *in, uint8_t *out)
{
    size_t len = (size_t)BN_num_bytes(key->n), got = len;
    if (EVP_PKEY_decrypt(key->ctx, out, &got, in, len) != 1 || got != len)
        seeded_die("an operation", "OpenSSL refuses it");
}

bool seeded_gives_back(const struct seeded_key *key, const uint8_t *answer, const uint8_t *in)
{
    uint8_t out[SEEDED_BYTES], n[SEEDED_BYTES];
    size_t len = (size_t)BN_num_bytes(key->n), got = len;
    if (BN_bn2binpad(key->n, n, (int)len) < 0 || memcmp(answer, n, len) >= 0)
        return false;
    if (EVP_PKEY_encrypt(key->public_ctx, out, &got, answer, len) != 1 || got != len)
        seeded_die("an operation", "OpenSSL refuses it");
    return memcmp(out, in, len) == 0;
}
