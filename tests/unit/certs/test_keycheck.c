// The gate of an import: kinds and sizes that are served pass, weak and foreign ones are refused with what
// was found and what was expected, and every single damaged number of a key is noticed.
#include "fixtures.h"

#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "certs/keycheck.h"

static void expect_refused(EVP_PKEY *key, const char *part)
{
    struct error why = {""};
    assert_non_null(key);
    assert_false(keycheck(key, &why));
    if (strstr(why.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why.text, part);
}

static void served_keys_pass(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {fixture_rsa(2048, 0), fixture_rsa(3072, 0), fixture_ec("P-256", 0),
                        fixture_ec("P-384", 0), fixture_ec("P-521", 0)};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct error why = {""};
        if (!keycheck(keys[i], &why))
            fail_msg("%s", why.text);
    }
}

static void kinds_are_named(void **state)
{
    (void)state;
    char buf[80];
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_string_equal(keycheck_kind(fixture_rsa(2048, 0), buf, sizeof buf), "RSA-2048");
    assert_string_equal(keycheck_kind(fixture_ec("P-256", 0), buf, sizeof buf), "P-256");
    assert_string_equal(keycheck_kind(fixture_ec("P-521", 0), buf, sizeof buf), "P-521");
    assert_string_equal(keycheck_kind(ed, buf, sizeof buf), "ED25519");
    EVP_PKEY_free(ed);
}

static void foreign_kinds_are_refused(void **state)
{
    (void)state;
    static const char *const types[] = {"ED25519", "ED448", "X25519"};
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, types[i]);
        expect_refused(key, "expected RSA, or EC on P-256, P-384 or P-521");
        EVP_PKEY_free(key);
    }
    EVP_PKEY *k1 = EVP_EC_gen("secp256k1");
    expect_refused(k1, "secp256k1: expected P-256");
    EVP_PKEY_free(k1);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    EVP_PKEY *pss = NULL;
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048), 1);
    assert_int_equal(EVP_PKEY_generate(ctx, &pss), 1);
    EVP_PKEY_CTX_free(ctx);
    expect_refused(pss, "RSA-PSS key");
    EVP_PKEY_free(pss);
}

static void weak_keys_are_refused(void **state)
{
    (void)state;
    EVP_PKEY *weak = EVP_RSA_gen(1024), *odd = EVP_RSA_gen(2047);
    expect_refused(weak, "too weak: found 1024 bits, expected 2048 to 8192");
    expect_refused(odd, "found 2047 bits");
    EVP_PKEY_free(weak);
    EVP_PKEY_free(odd);
}

static const char *const rsa_names[] = {
    OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
    OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
    OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
    OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};
enum { N, E, D, P, Q, DP, DQ, QINV, NUMBERS };

static void numbers_of(EVP_PKEY *key, BIGNUM *number[static NUMBERS])
{
    for (size_t i = 0; i < NUMBERS; i++) {
        number[i] = NULL;
        assert_int_equal(EVP_PKEY_get_bn_param(key, rsa_names[i], &number[i]), 1);
    }
}

static EVP_PKEY *key_from(BIGNUM *const number[static NUMBERS], size_t count)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    for (size_t i = 0; i < count; i++)
        assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, rsa_names[i], number[i]), 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    return key;
}

static void drop_numbers(BIGNUM *number[static NUMBERS])
{
    for (size_t i = 0; i < NUMBERS; i++)
        BN_clear_free(number[i]);
}

static void every_damaged_number_is_noticed(void **state)
{
    (void)state;
    BIGNUM *number[NUMBERS];
    numbers_of(fixture_rsa(2048, 0), number);
    EVP_PKEY *whole = key_from(number, NUMBERS);
    assert_true(keycheck(whole, NULL));
    EVP_PKEY_free(whole);
    for (size_t i = 0; i < NUMBERS; i++) {
        static const int bits[] = {1, 17, 500};
        for (size_t b = 0; b < 3; b++) {
            if (i == E && bits[b] == 500)
                continue;
            int set = BN_is_bit_set(number[i], bits[b]);
            assert_int_equal(set ? BN_clear_bit(number[i], bits[b]) : BN_set_bit(number[i], bits[b]), 1);
            EVP_PKEY *damaged = key_from(number, NUMBERS);
            assert_false(keycheck(damaged, NULL));
            EVP_PKEY_free(damaged);
            assert_int_equal(set ? BN_set_bit(number[i], bits[b]) : BN_clear_bit(number[i], bits[b]), 1);
        }
    }
    drop_numbers(number);
}

// Makes all numbers of a key from p, q and e, so that they agree whatever p and q are.
static void derive(BIGNUM *number[static NUMBERS])
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p1 = BN_dup(number[P]), *q1 = BN_dup(number[Q]), *phi = BN_new();
    assert_int_equal(BN_sub_word(p1, 1), 1);
    assert_int_equal(BN_sub_word(q1, 1), 1);
    assert_int_equal(BN_mul(phi, p1, q1, ctx), 1);
    assert_int_equal(BN_mul(number[N], number[P], number[Q], ctx), 1);
    assert_non_null(BN_mod_inverse(number[D], number[E], phi, ctx));
    assert_int_equal(BN_mod(number[DP], number[D], p1, ctx), 1);
    assert_int_equal(BN_mod(number[DQ], number[D], q1, ctx), 1);
    assert_non_null(BN_mod_inverse(number[QINV], number[Q], number[P], ctx));
    BN_free(p1);
    BN_free(q1);
    BN_free(phi);
    BN_CTX_free(ctx);
}

static void composite_and_close_primes_are_noticed(void **state)
{
    (void)state;
    BIGNUM *number[NUMBERS];
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *gcd = BN_new(), *less = BN_new();
    numbers_of(fixture_rsa(2048, 0), number);
    // The next odd number with an inverse of e: almost surely composite, and all numbers agree.
    do {
        assert_int_equal(BN_add_word(number[P], 2), 1);
        assert_int_equal(BN_sub(less, number[P], BN_value_one()), 1);
        assert_int_equal(BN_gcd(gcd, less, number[E], ctx), 1);
    } while (!BN_is_one(gcd) || BN_check_prime(number[P], ctx, NULL) == 1);
    derive(number);
    EVP_PKEY *key = key_from(number, NUMBERS);
    expect_refused(key, "does not verify");
    EVP_PKEY_free(key);
    // Two neighbouring primes: found by anybody with Fermat's method.
    assert_non_null(BN_copy(number[P], number[Q]));
    do {
        assert_int_equal(BN_add_word(number[P], 2), 1);
        assert_int_equal(BN_sub(less, number[P], BN_value_one()), 1);
        assert_int_equal(BN_gcd(gcd, less, number[E], ctx), 1);
    } while (!BN_is_one(gcd) || BN_check_prime(number[P], ctx, NULL) != 1);
    derive(number);
    key = key_from(number, NUMBERS);
    expect_refused(key, "so close to each other");
    EVP_PKEY_free(key);
    drop_numbers(number);
    BN_free(gcd);
    BN_free(less);
    BN_CTX_free(ctx);
}

static void bad_exponents_and_missing_primes(void **state)
{
    (void)state;
    BIGNUM *number[NUMBERS];
    numbers_of(fixture_rsa(2048, 0), number);
    EVP_PKEY *key = key_from(number, D + 1); // n, e and d alone
    expect_refused(key, "without its primes");
    EVP_PKEY_free(key);
    static const struct {
        const char *e, *part;
    } cases[] = {
        {"1", "below 3"},
        {"10000", "even"},
        {"10000000000000001", "too large"},
    };
    for (size_t i = 0; i < 3; i++) {
        assert_true(BN_hex2bn(&number[E], cases[i].e) > 0);
        key = key_from(number, NUMBERS);
        expect_refused(key, cases[i].part);
        EVP_PKEY_free(key);
    }
    drop_numbers(number);
}

static void ec_halves_that_do_not_belong_together(void **state)
{
    (void)state;
    unsigned char point[133];
    size_t len = 0;
    BIGNUM *d = NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    assert_int_equal(EVP_PKEY_get_octet_string_param(fixture_ec("P-256", 0), OSSL_PKEY_PARAM_PUB_KEY, point,
                                                     sizeof point, &len),
                     1);
    assert_int_equal(EVP_PKEY_get_bn_param(fixture_ec("P-256", 1), OSSL_PKEY_PARAM_PRIV_KEY, &d), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, len), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d), 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params), 1);
    expect_refused(key, "do not belong together");
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_clear_free(d);
}

static int release(void **state)
{
    (void)state;
    fixtures_release();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(served_keys_pass),
        cmocka_unit_test(kinds_are_named),
        cmocka_unit_test(foreign_kinds_are_refused),
        cmocka_unit_test(weak_keys_are_refused),
        cmocka_unit_test(every_damaged_number_is_noticed),
        cmocka_unit_test(composite_and_close_primes_are_noticed),
        cmocka_unit_test(bad_exponents_and_missing_primes),
        cmocka_unit_test(ec_halves_that_do_not_belong_together),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
