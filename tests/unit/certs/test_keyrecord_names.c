// Names of key records and of their aliases: they agree with those of other tools, whatever form they are given in.
#include "recordkit.h"

#include <stdio.h>
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/sha.h>

// Our hand-written SubjectPublicKeyInfo is the one OpenSSL writes, for keys of every kind.
static void name_is_the_hash_of_the_spki(void **state)
{
    (void)state;
    struct recordkit_kind kinds[4];
    recordkit_served_kinds(kinds);
    for (size_t i = 0; i < 4; i++) {
        unsigned char *der = NULL, hash[32], expected[45];
        char name[45];
        int len = i2d_PUBKEY(kinds[i].key, &der);
        assert_true(len > 0);
        assert_non_null(SHA256(der, (size_t)len, hash));
        assert_int_equal(EVP_EncodeBlock(expected, hash, 32), 44);
        assert_true(keyrecord_name(kinds[i].key, name));
        assert_string_equal(name, (char *)expected);
        // The public key alone has the same name.
        const unsigned char *p = der;
        EVP_PKEY *public = d2i_PUBKEY(NULL, &p, len);
        assert_true(keyrecord_name(public, name));
        assert_string_equal(name, (char *)expected);
        EVP_PKEY_free(public);
        OPENSSL_free(der);
    }
}

static void name_does_not_depend_on_the_point_form(void **state)
{
    (void)state;
    char before[45], after[45];
    EVP_PKEY *key = EVP_PKEY_dup(fixture_ec("P-256", 0));
    assert_true(keyrecord_name(key, before));
    assert_int_equal(
        EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"), 1);
    assert_true(keyrecord_name(key, after));
    assert_string_equal(before, after);
    EVP_PKEY_free(key);
}

static void other_kinds_have_no_name_and_no_record(void **state)
{
    (void)state;
    EVP_PKEY *others[] = {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), EVP_EC_gen("secp256k1"),
                          EVP_EC_gen("P-224")};
    for (size_t i = 0; i < 3; i++) {
        char name[45] = "";
        uint8_t *value;
        size_t len;
        struct keyrecord_info info = recordkit_two_certs();
        assert_non_null(others[i]);
        assert_false(keyrecord_name(others[i], name));
        assert_int_equal(keyrecord_encode("x", &info, others[i], NULL, &value, &len), KEYRECORD_BAD_KEY);
        assert_null(value);
        EVP_PKEY_free(others[i]);
    }
}

static void alias_is_the_sha1_of_the_certificate(void **state)
{
    (void)state;
    X509 *cert = fixture_cert(fixture_ec("P-256", 0), NULL, "a", NULL, 10);
    unsigned char *der = NULL, hash[20];
    char alias[41], expected[41];
    int len = i2d_X509(cert, &der);
    assert_non_null(SHA1(der, (size_t)len, hash));
    for (int i = 0; i < 20; i++)
        (void)snprintf(expected + 2 * i, 3, "%02X", hash[i]);
    assert_true(keyrecord_alias(cert, alias));
    assert_string_equal(alias, expected);
    OPENSSL_free(der);
    X509_free(cert);
}

static void alias_values(void **state)
{
    (void)state;
    char name[45], back[45];
    uint8_t value[KEYRECORD_ALIAS_VALUE_LEN];
    EVP_PKEY *key = NULL;
    struct keyrecord_info info;
    assert_true(keyrecord_name(fixture_ec("P-256", 0), name));
    keyrecord_encode_alias(name, value);
    assert_int_equal(keyrecord_decode_alias(value, sizeof value, back), KEYRECORD_IS_ALIAS);
    assert_string_equal(name, back);
    assert_int_equal(keyrecord_open(name, value, sizeof value, recordkit.master, &key, &info),
                     KEYRECORD_IS_ALIAS);
    assert_int_equal(keyrecord_read_info(value, sizeof value, &info), KEYRECORD_IS_ALIAS);
    assert_int_equal(keyrecord_decode_alias(value, sizeof value - 1, back), KEYRECORD_OK);
    value[4] = '!';
    assert_int_equal(keyrecord_decode_alias(value, sizeof value, back), KEYRECORD_OK);
    value[0] = 'X';
    assert_int_equal(keyrecord_decode_alias(value, sizeof value, back), KEYRECORD_OK);
    assert_int_equal(keyrecord_decode_alias(NULL, 0, back), KEYRECORD_OK);
}

static bool normalises_to(const char *text, const char *expected)
{
    char out[45];
    return keyrecord_normalise(text, strlen(text), out) && strcmp(out, expected) == 0;
}

static void fingerprints_in_every_form(void **state)
{
    (void)state;
    // SHA-256 and SHA-1 of "abc" (FIPS 180-4 examples).
    static const char b64[] = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    static const char sha1[] = "A9993E364706816ABA3E25717850C26C9CD0D89D";
    assert_true(normalises_to(b64, b64));
    assert_true(normalises_to("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0", b64));
    assert_true(normalises_to("ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=", b64));
    assert_true(normalises_to("ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0", b64));
    assert_true(normalises_to("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", b64));
    assert_true(normalises_to("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD", b64));
    assert_true(normalises_to(
        "ba:78:16:bf:8f:01:cf:ea:41:41:40:de:5d:ae:22:23:b0:03:61:a3:96:17:7a:9c:b4:10:ff:61:f2:00:15:ad",
        b64));
    assert_true(normalises_to(sha1, sha1));
    assert_true(normalises_to("a9993e364706816aba3e25717850c26c9cd0d89d", sha1));
    assert_true(normalises_to("A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D", sha1));
}

static void what_is_no_fingerprint(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "a",
        ":",
        "A9993E364706816ABA3E25717850C26C9CD0D89",    // 39
        "A9993E364706816ABA3E25717850C26C9CD0D89DA",  // 41
        "A9993E364706816ABA3E25717850C26C9CD0D89DAB", // 21 bytes
        "A9993E364706816ABA3E25717850C26C9CD0D89G",
        "A9:993E364706816ABA3E25717850C26C9CD0D89D", // one colon only
        ":A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D",
        "A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D:",
        "A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8::D",
        "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0==",
        "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa1=", // bits that belong to no byte
        "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0a",
        "ungWv48Bz pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
        " ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0",
    };
    char out[45];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(keyrecord_normalise(bad[i], strlen(bad[i]), out));
    static const char nul[44] = "ungWv48Bz";
    assert_false(keyrecord_normalise(nul, sizeof nul, out));
    char lots[500];
    memset(lots, 'a', sizeof lots);
    for (size_t len = 0; len < sizeof lots; len++)
        assert_int_equal(keyrecord_normalise(lots, len, out), len == 40 || len == 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_is_the_hash_of_the_spki),
        cmocka_unit_test(name_does_not_depend_on_the_point_form),
        cmocka_unit_test(other_kinds_have_no_name_and_no_record),
        cmocka_unit_test(alias_is_the_sha1_of_the_certificate),
        cmocka_unit_test(alias_values),
        cmocka_unit_test(fingerprints_in_every_form),
        cmocka_unit_test(what_is_no_fingerprint),
    };
    return cmocka_run_group_tests(tests, recordkit_setup, recordkit_teardown);
}
