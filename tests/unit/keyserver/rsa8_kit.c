#include "rsa8_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRIMES 4
#define PAIRS  12

static BIGNUM *primes[3][PRIMES];
static struct rsa8_scratch *scratch;

static bool fits(const BIGNUM *prime)
{
    return BN_mod_word(prime, 3) != 1 && BN_mod_word(prime, 17) != 1 && BN_mod_word(prime, 65537) != 1;
}

const BIGNUM *rsa8_kit_prime(unsigned bits, unsigned which)
{
    BIGNUM **prime = &primes[bits / 1024 - 2][which];
    while (*prime == NULL || !fits(*prime)) {
        if (*prime == NULL)
            *prime = BN_new();
        assert_int_equal(BN_generate_prime_ex(*prime, (int)bits / 2, 0, NULL, NULL, NULL), 1);
    }
    return *prime;
}

void rsa8_kit_encode(struct rsa8_kit_key *key)
{
    const BIGNUM *from[8] = {key->n, key->e, key->d, key->p, key->q, key->dp, key->dq, key->qinv};
    struct rsa_number *to[8] = {&key->der.n, &key->der.e,  &key->der.d,  &key->der.p,
                                &key->der.q, &key->der.dp, &key->der.dq, &key->der.qinv};
    for (int i = 0; i < 8; i++) {
        assert_true(BN_num_bytes(from[i]) <= (int)sizeof key->bytes[i]);
        *to[i] = (struct rsa_number){key->bytes[i], (size_t)BN_bn2bin(from[i], key->bytes[i])};
    }
}

struct rsa8_kit_key *rsa8_kit_make(const BIGNUM *p, const BIGNUM *q, unsigned long e)
{
    struct rsa8_kit_key *key = calloc(1, sizeof *key);
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p1 = BN_dup(p), *q1 = BN_dup(q), *phi = BN_new();
    assert_non_null(key);
    *key = (struct rsa8_kit_key){
        .n = BN_new(), .e = BN_new(), .p = BN_dup(p), .q = BN_dup(q), .dp = BN_new(), .dq = BN_new()};
    BN_sub_word(p1, 1);
    BN_sub_word(q1, 1);
    BN_set_word(key->e, e);
    assert_int_equal(BN_mul(key->n, p, q, ctx), 1);
    assert_int_equal(BN_mul(phi, p1, q1, ctx), 1);
    key->d = BN_mod_inverse(NULL, key->e, phi, ctx);
    key->qinv = BN_mod_inverse(NULL, q, p, ctx);
    assert_non_null(key->d);
    assert_non_null(key->qinv);
    assert_int_equal(BN_mod(key->dp, key->d, p1, ctx), 1);
    assert_int_equal(BN_mod(key->dq, key->d, q1, ctx), 1);
    BN_free(p1);
    BN_free(q1);
    BN_free(phi);
    BN_CTX_free(ctx);
    rsa8_kit_encode(key);
    return key;
}

struct rsa8_kit_key *rsa8_kit_key(unsigned bits, unsigned which, unsigned long e)
{
    unsigned p = which % PRIMES, q = (p + 1 + which / PRIMES % (PRIMES - 1)) % PRIMES;
    struct rsa8_kit_key *key = rsa8_kit_make(rsa8_kit_prime(bits, p), rsa8_kit_prime(bits, q), e);
    const char *why = rsa8_kit_engine(key);
    if (why != NULL)
        fail_msg("%u bits, key %u: %s", bits, which, why);
    return key;
}

const char *rsa8_kit_engine(struct rsa8_kit_key *key)
{
    free(key->key);
    key->key = NULL;
    size_t size = rsa8_key_size(rsa8_key_bits(&key->der));
    struct rsa8_key *made = malloc(size == 0 ? 1 : size);
    assert_non_null(made);
    const char *why = rsa8_key_make(made, &key->der);
    if (why == NULL)
        key->key = made;
    else
        free(made);
    return why;
}

void rsa8_kit_free(struct rsa8_kit_key *key)
{
    if (key == NULL)
        return;
    BIGNUM *numbers[8] = {key->n, key->e, key->d, key->p, key->q, key->dp, key->dq, key->qinv};
    for (int i = 0; i < 8; i++)
        BN_free(numbers[i]);
    free(key->key);
    free(key);
}

void rsa8_kit_release(void)
{
    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < PRIMES; i++) {
            BN_free(primes[s][i]);
            primes[s][i] = NULL;
        }
    }
    free(scratch);
    scratch = NULL;
}

void rsa8_kit_answer(const struct rsa8_kit_key *key, const uint8_t *in, uint8_t *out)
{
    int len = BN_num_bytes(key->n);
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *c = BN_bin2bn(in, len, NULL), *mp = BN_new(), *mq = BN_new();
    BIGNUM *h = BN_new();
    assert_int_equal(BN_mod_exp(mp, c, key->dp, key->p, ctx), 1);
    assert_int_equal(BN_mod_exp(mq, c, key->dq, key->q, ctx), 1);
    assert_int_equal(BN_mod_sub(h, mp, mq, key->p, ctx), 1);
    assert_int_equal(BN_mod_mul(h, h, key->qinv, key->p, ctx), 1);
    assert_int_equal(BN_mul(h, h, key->q, ctx), 1);
    assert_int_equal(BN_add(h, h, mq), 1);
    assert_int_equal(BN_bn2binpad(h, out, len), len);
    BN_free(c);
    BN_free(mp);
    BN_free(mq);
    BN_free(h);
    BN_CTX_free(ctx);
}

void rsa8_kit_input(const struct rsa8_kit_key *key, uint8_t *in)
{
    BIGNUM *c = BN_new();
    assert_int_equal(BN_rand_range(c, key->n), 1);
    BN_bn2binpad(c, in, BN_num_bytes(key->n));
    BN_free(c);
}

struct rsa8_scratch *rsa8_kit_scratch(void)
{
    if (scratch == NULL)
        scratch = aligned_alloc(RSA8_ALIGN, rsa8_scratch_size());
    assert_non_null(scratch);
    return scratch;
}

void rsa8_kit_each(void (*test)(enum rsa8_impl impl))
{
    for (enum rsa8_impl impl = 0; impl < RSA8_IMPLS; impl++) {
        if (!rsa8_available(impl)) {
            printf("rsa8: %s is not available on this machine, not tested\n", rsa8_impl_name(impl));
            continue;
        }
        printf("rsa8: %s\n", rsa8_impl_name(impl));
        test(impl);
    }
}
