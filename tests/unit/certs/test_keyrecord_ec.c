// EC keys read straight from PKCS#8 DER: the usual form is taken, and gives the key that OpenSSL's decoder gives; all others are left to it.
#include "recordkit.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "common/keyrecord_parts.h"

static const char *const groups[] = {"P-256", "P-384", "P-521"};

struct pkcs8 {
    unsigned char *der;
    int len;
};

// The key with one of its settings changed, as PKCS#8.
static struct pkcs8 pkcs8_of(EVP_PKEY *key, const char *point_format, int with_public)
{
    struct pkcs8 out = {NULL, 0};
    EVP_PKEY *copy = EVP_PKEY_dup(key);
    assert_int_equal(
        EVP_PKEY_set_utf8_string_param(copy, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, point_format), 1);
    assert_int_equal(EVP_PKEY_set_int_param(copy, OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC, with_public), 1);
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(copy);
    out.len = i2d_PKCS8_PRIV_KEY_INFO(p8, &out.der);
    assert_true(out.len > 0);
    PKCS8_PRIV_KEY_INFO_free(p8);
    EVP_PKEY_free(copy);
    return out;
}

// With the curve's name inside as well: SEC1 in PKCS#8, as Java writes it.
static struct pkcs8 pkcs8_with_parameters(EVP_PKEY *key, const char *group)
{
    struct pkcs8 out = {NULL, 0};
    unsigned char *inner = NULL;
    int inner_len = i2d_PrivateKey(key, &inner);
    int nid = EC_curve_nist2nid(group);
    PKCS8_PRIV_KEY_INFO *p8 = PKCS8_PRIV_KEY_INFO_new();
    assert_true(inner_len > 0);
    assert_int_equal(
        PKCS8_pkey_set0(p8, OBJ_nid2obj(EVP_PKEY_EC), 0, V_ASN1_OBJECT, OBJ_nid2obj(nid), inner, inner_len),
        1);
    out.len = i2d_PKCS8_PRIV_KEY_INFO(p8, &out.der);
    assert_true(out.len > 0);
    PKCS8_PRIV_KEY_INFO_free(p8);
    return out;
}

static bool reads(const struct pkcs8 *p, struct keyrecord_ec *ec)
{
    return keyrecord_ec_read(p->der, (size_t)p->len, ec);
}

static void expect_left_to_openssl(struct pkcs8 p, enum keyrecord_status status)
{
    struct keyrecord_ec ec;
    EVP_PKEY *key = NULL;
    assert_false(reads(&p, &ec));
    assert_int_equal(keyrecord_decode(p.der, (size_t)p.len, &key), status);
    EVP_PKEY_free(key);
    OPENSSL_free(p.der);
}

static void the_usual_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = fixture_ec(groups[i], 0);
        char want[KEYRECORD_NAME_LEN + 1], name[KEYRECORD_NAME_LEN + 1];
        for (unsigned with = 0; with < 2; with++) {
            struct pkcs8 p = with ? pkcs8_with_parameters(key, groups[i]) : pkcs8_of(key, "uncompressed", 1);
            struct keyrecord_ec ec;
            assert_true(reads(&p, &ec));
            EVP_PKEY *made = keyrecord_ec_key(&ec);
            assert_non_null(made);
            assert_int_equal(EVP_PKEY_eq(key, made), 1);
            assert_int_equal(EVP_PKEY_get_bits(made), (int)ec.curve->bits);
            assert_true(keyrecord_name(key, want) && keyrecord_ec_name(&ec, name));
            assert_string_equal(name, want);
            EVP_PKEY_free(made);
            for (int len = 0; len < p.len; len++) // cut anywhere
                assert_false(keyrecord_ec_read(p.der, (size_t)len, &ec));
            OPENSSL_free(p.der);
        }
    }
}

static void other_forms(void **state)
{
    (void)state;
    EVP_PKEY *key = fixture_ec("P-256", 0), *foreign = EVP_EC_gen("secp256k1");
    expect_left_to_openssl(pkcs8_of(key, "compressed", 1), KEYRECORD_OK);
    expect_left_to_openssl(pkcs8_of(key, "hybrid", 1), KEYRECORD_OK);
    expect_left_to_openssl(pkcs8_of(key, "uncompressed", 0), KEYRECORD_OK);
    expect_left_to_openssl(pkcs8_of(foreign, "uncompressed", 1), KEYRECORD_BAD_KEY);
    struct pkcs8 p = pkcs8_of(key, "uncompressed", 1);
    p.der[5] = 1; // the version
    struct keyrecord_ec ec;
    assert_false(reads(&p, &ec));
    OPENSSL_free(p.der);
    EVP_PKEY_free(foreign);
}

// Numbers that are none for the curve, and points that are not on it: what OpenSSL's decoder makes of them, this makes.
static void bad_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = fixture_ec(groups[i], 0);
        BIGNUM *order = NULL;
        assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_ORDER, &order), 1);
        for (int which = 0; which < 5; which++) { // 0, the order, one more, all bits, another point
            struct pkcs8 p = pkcs8_of(key, "uncompressed", 1);
            struct keyrecord_ec ec;
            assert_true(reads(&p, &ec));
            uint8_t *number = p.der + (ec.number - p.der), *point = p.der + (ec.point - p.der);
            size_t len = ec.curve->field_len;
            if (which == 0)
                memset(number, 0, len);
            else if (which < 3)
                assert_true(BN_add_word(order, (BN_ULONG)which - 1) == 1 &&
                            BN_bn2binpad(order, number, (int)len) > 0);
            else if (which == 3)
                memset(number, 0xff, len);
            else
                point[len] ^= 1;
            const unsigned char *at = p.der;
            assert_true(reads(&p, &ec));
            EVP_PKEY *made = keyrecord_ec_key(&ec), *decoded = d2i_PrivateKey(EVP_PKEY_EC, NULL, &at, p.len);
            assert_int_equal(made != NULL, decoded != NULL);
            if (which == 4)
                assert_null(made);
            EVP_PKEY_free(made);
            EVP_PKEY_free(decoded);
            OPENSSL_free(p.der);
        }
        BN_free(order);
    }
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_form),
        cmocka_unit_test(other_forms),
        cmocka_unit_test(bad_numbers),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixtures_release();
    return failed;
}
