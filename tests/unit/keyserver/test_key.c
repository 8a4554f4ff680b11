// A decoded key: its fallback secret is the key's own, not its file's. Two servers with the same key from
// different files must give the same fallback premasters, or an edge that asks both could tell good padding
// (equal answers) from bad.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "keyserver/key.h"

struct numbers {
    BIGNUM *n, *e, *d, *p, *q;
};

static void take(EVP_PKEY *key, const char *name, BIGNUM **number)
{
    *number = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, number), 1);
}

// The same key written differently: another private exponent, or the primes in the other order.
static EVP_PKEY *rebuild(const struct numbers *x, const BIGNUM *d, const BIGNUM *p, const BIGNUM *q)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p1 = BN_dup(p), *q1 = BN_dup(q), *dp = BN_new(), *dq = BN_new(), *qinv = BN_new();
    assert_true(BN_sub_word(p1, 1) == 1 && BN_sub_word(q1, 1) == 1);
    assert_true(BN_mod(dp, d, p1, ctx) == 1 && BN_mod(dq, d, q1, ctx) == 1 &&
                BN_mod_inverse(qinv, q, p, ctx) != NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    const struct {
        const char *name;
        const BIGNUM *number;
    } parts[] = {
        {OSSL_PKEY_PARAM_RSA_N, x->n},       {OSSL_PKEY_PARAM_RSA_E, x->e},
        {OSSL_PKEY_PARAM_RSA_D, d},          {OSSL_PKEY_PARAM_RSA_FACTOR1, p},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, q},    {OSSL_PKEY_PARAM_RSA_EXPONENT1, dp},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, dq}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, qinv},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        assert_int_equal(OSSL_PARAM_BLD_push_BN(build, parts[i].name, parts[i].number), 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(make), 1);
    assert_int_equal(EVP_PKEY_fromdata(make, &key, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(make);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BIGNUM *scratch[] = {p1, q1, dp, dq, qinv};
    for (size_t i = 0; i < sizeof scratch / sizeof scratch[0]; i++)
        BN_free(scratch[i]);
    BN_CTX_free(ctx);
    return key;
}

// d + lcm(p-1, q-1), as long as it is below n: another exponent that does the same.
static BIGNUM *other_exponent(const struct numbers *x)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p1 = BN_dup(x->p), *q1 = BN_dup(x->q), *phi = BN_new(), *gcd = BN_new(), *lcm = BN_new(),
           *d = BN_new();
    assert_true(BN_sub_word(p1, 1) == 1 && BN_sub_word(q1, 1) == 1 && BN_mul(phi, p1, q1, ctx) == 1);
    assert_true(BN_gcd(gcd, p1, q1, ctx) == 1 && BN_div(lcm, NULL, phi, gcd, ctx) == 1);
    assert_true(BN_mod(d, x->d, lcm, ctx) == 1);
    if (BN_cmp(d, x->d) == 0)
        assert_int_equal(BN_add(d, d, lcm), 1);
    assert_int_not_equal(BN_cmp(d, x->d), 0);
    BIGNUM *scratch[] = {p1, q1, phi, gcd, lcm};
    for (size_t i = 0; i < sizeof scratch / sizeof scratch[0]; i++)
        BN_free(scratch[i]);
    BN_CTX_free(ctx);
    return d;
}

static void the_fallback_secret_is_the_keys_not_the_files(void **state)
{
    (void)state;
    EVP_PKEY *original = EVP_RSA_gen(2048), *stranger = EVP_RSA_gen(2048);
    struct numbers x;
    take(original, OSSL_PKEY_PARAM_RSA_N, &x.n);
    take(original, OSSL_PKEY_PARAM_RSA_E, &x.e);
    take(original, OSSL_PKEY_PARAM_RSA_D, &x.d);
    take(original, OSSL_PKEY_PARAM_RSA_FACTOR1, &x.p);
    take(original, OSSL_PKEY_PARAM_RSA_FACTOR2, &x.q);
    BIGNUM *d = other_exponent(&x);

    struct ks_key *keys[] = {
        ks_key_create("a", 1, rebuild(&x, d, x.p, x.q)),
        ks_key_create("b", 1, rebuild(&x, x.d, x.q, x.p)),
        ks_key_create("c", 1, rebuild(&x, d, x.q, x.p)),
        ks_key_create("d", 1, original),
        ks_key_create("e", 1, stranger),
    };
    for (size_t i = 0; i < 5; i++) {
        assert_non_null(keys[i]);
        int differs =
            memcmp(keys[i]->fallback_secret, keys[0]->fallback_secret, RSA_FALLBACK_SECRET_LEN) != 0;
        assert_int_equal(differs, i == 4);
    }
    for (size_t i = 0; i < 5; i++)
        ks_key_unref(&keys[i]);
    BIGNUM *all[] = {x.n, x.e, x.d, x.p, x.q, d};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        BN_clear_free(all[i]);
}

static void keys_of_other_kinds_are_refused(void **state)
{
    (void)state;
    assert_null(ks_key_create("a", 1, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")));
    assert_null(ks_key_create("a", 1, EVP_RSA_gen(1024)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fallback_secret_is_the_keys_not_the_files),
        cmocka_unit_test(keys_of_other_kinds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
