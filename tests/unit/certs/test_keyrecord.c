// Key records: names agree with those of other tools, records open as what was put in, and a record that was
// changed, moved or sealed by somebody else never opens.
#include "fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "common/keyrecord.h"
#include "common/secmem.h"

static char folder[256];
static struct seal_key *master, *other_master;

static struct seal_key *new_master(const char *name)
{
    char path[300];
    struct error e = {""};
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_true(seal_key_generate(path, &e));
    return seal_key_load(path, &e);
}

static int setup(void **state)
{
    (void)state;
    fixture_folder(folder);
    master = new_master("m1");
    other_master = new_master("m2");
    return master == NULL || other_master == NULL;
}

static int teardown(void **state)
{
    (void)state;
    seal_key_destroy(&master);
    seal_key_destroy(&other_master);
    fixture_folder_remove(folder);
    fixtures_release();
    return 0;
}

struct key_kind {
    EVP_PKEY *key;
    enum keyrecord_type type;
    unsigned bits;
};

static void served_kinds(struct key_kind kinds[static 4])
{
    kinds[0] = (struct key_kind){fixture_rsa(2048, 0), KEYRECORD_RSA, 2048};
    kinds[1] = (struct key_kind){fixture_ec("P-256", 0), KEYRECORD_EC, 256};
    kinds[2] = (struct key_kind){fixture_ec("P-384", 0), KEYRECORD_EC, 384};
    kinds[3] = (struct key_kind){fixture_ec("P-521", 0), KEYRECORD_EC, 521};
}

static struct keyrecord_info two_certs(void)
{
    static struct keyrecord_info info;
    memset(&info, 0, sizeof info);
    info.imported = 1790000000;
    info.cert_count = 2;
    memset(info.certs[0].sha1, 0xa1, 20);
    info.certs[0].not_after = 1800000000;
    (void)snprintf(info.certs[0].name, sizeof info.certs[0].name, "www.example.org");
    memset(info.certs[1].sha1, 0xb2, 20);
    info.certs[1].not_after = UINT64_MAX;
    memset(info.certs[1].name, 'n', 255);
    return info;
}

// The record of a key in the form asked for; malloc'ed.
static uint8_t *record_of(EVP_PKEY *key, const struct seal_key *seal_with, char name[static 45], size_t *len)
{
    struct keyrecord_info info = two_certs();
    uint8_t *value = NULL;
    assert_true(keyrecord_name(key, name));
    assert_int_equal(keyrecord_encode(name, &info, key, seal_with, &value, len), KEYRECORD_OK);
    return value;
}

static enum keyrecord_status try_open(const char *name, const uint8_t *value, size_t len,
                                      const struct seal_key *m)
{
    EVP_PKEY *key = NULL;
    enum keyrecord_status status = keyrecord_open(name, value, len, m, &key, NULL);
    assert_true((status == KEYRECORD_OK) == (key != NULL));
    EVP_PKEY_free(key);
    return status;
}

// Our hand-written SubjectPublicKeyInfo is the one OpenSSL writes, for keys of every kind.
static void name_is_the_hash_of_the_spki(void **state)
{
    (void)state;
    struct key_kind kinds[4];
    served_kinds(kinds);
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
        struct keyrecord_info info = two_certs();
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
    assert_int_equal(keyrecord_open(name, value, sizeof value, master, &key, &info), KEYRECORD_IS_ALIAS);
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

static void round_trip(EVP_PKEY *key, enum keyrecord_type type, unsigned bits, const struct seal_key *m)
{
    char name[45];
    size_t len;
    struct keyrecord_info want = two_certs(), info;
    uint8_t *value = record_of(key, m, name, &len);
    assert_int_equal(keyrecord_read_info(value, len, &info), KEYRECORD_OK);
    assert_int_equal(info.type, type);
    assert_int_equal(info.bits, bits);
    assert_int_equal(info.sealed, m != NULL);
    assert_true(info.imported == want.imported);
    assert_int_equal(info.cert_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_memory_equal(info.certs[i].sha1, want.certs[i].sha1, 20);
        assert_true(info.certs[i].not_after == want.certs[i].not_after);
        assert_string_equal(info.certs[i].name, want.certs[i].name);
    }
    EVP_PKEY *opened = NULL;
    assert_int_equal(keyrecord_open(name, value, len, m, &opened, &info), KEYRECORD_OK);
    assert_int_equal(EVP_PKEY_eq(key, opened), 1);
    assert_int_equal(info.cert_count, 2);
    EVP_PKEY_free(opened);

    uint8_t *der = NULL;
    size_t der_len = 0;
    assert_int_equal(keyrecord_open_der(name, value, len, m, &der, &der_len), KEYRECORD_OK);
    const unsigned char *p = der;
    opened = d2i_AutoPrivateKey(NULL, &p, (long)der_len);
    assert_non_null(opened);
    assert_ptr_equal(p, der + der_len);
    assert_int_equal(EVP_PKEY_eq(key, opened), 1);
    EVP_PKEY_free(opened);
    secmem_free(&der, der_len);
    free(value);
}

static void every_kind_comes_back_plain_and_sealed(void **state)
{
    (void)state;
    struct key_kind kinds[4];
    served_kinds(kinds);
    for (size_t i = 0; i < 4; i++) {
        round_trip(kinds[i].key, kinds[i].type, kinds[i].bits, NULL);
        round_trip(kinds[i].key, kinds[i].type, kinds[i].bits, master);
    }
}

static void sealed_record_shows_no_private_number(void **state)
{
    (void)state;
    char name[45];
    size_t len;
    uint8_t *value = record_of(fixture_rsa(2048, 0), master, name, &len);
    BIGNUM *p = NULL;
    uint8_t prime[128];
    assert_int_equal(EVP_PKEY_get_bn_param(fixture_rsa(2048, 0), OSSL_PKEY_PARAM_RSA_FACTOR1, &p), 1);
    assert_int_equal(BN_bn2binpad(p, prime, sizeof prime), (int)sizeof prime);
    assert_null(memmem(value, len, prime, 16));
    BN_clear_free(p);
    free(value);
}

static void every_changed_byte_of_a_sealed_record_is_noticed(void **state)
{
    (void)state;
    char name[45];
    size_t len;
    uint8_t *value = record_of(fixture_ec("P-256", 0), master, name, &len);
    assert_int_equal(try_open(name, value, len, master), KEYRECORD_OK);
    for (size_t i = 0; i < len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            value[i] ^= (uint8_t)(1u << bit);
            assert_int_not_equal(try_open(name, value, len, master), KEYRECORD_OK);
            value[i] ^= (uint8_t)(1u << bit);
        }
    for (size_t shorter = 0; shorter < len; shorter++) {
        uint8_t *exact = malloc(shorter + 1);
        memcpy(exact, value, shorter);
        assert_int_not_equal(try_open(name, exact, shorter, master), KEYRECORD_OK);
        free(exact);
    }
    free(value);
}

static void moved_record_and_wrong_master_are_told_apart(void **state)
{
    (void)state;
    char name[45], other_name[45], alias[] = "A9993E364706816ABA3E25717850C26C9CD0D89D";
    size_t len;
    uint8_t *value = record_of(fixture_ec("P-256", 0), master, name, &len);
    assert_true(keyrecord_name(fixture_ec("P-256", 1), other_name));
    assert_int_equal(try_open(other_name, value, len, master), KEYRECORD_DAMAGED);
    assert_int_equal(try_open(alias, value, len, master), KEYRECORD_MISMATCH);
    assert_int_equal(try_open(name, value, len, other_master), KEYRECORD_OTHER_MASTER);
    assert_int_equal(try_open(name, value, len, NULL), KEYRECORD_NO_MASTER);
    free(value);
    value = record_of(fixture_ec("P-256", 0), NULL, name, &len);
    assert_int_equal(try_open(other_name, value, len, NULL), KEYRECORD_MISMATCH);
    // A plain record opens with a master key at hand, too: stores may be mixed.
    assert_int_equal(try_open(name, value, len, master), KEYRECORD_OK);
    free(value);
}

static void encode_refuses_a_wrong_name_and_too_much(void **state)
{
    (void)state;
    char name[45];
    uint8_t *value;
    size_t len;
    struct keyrecord_info info = two_certs();
    assert_true(keyrecord_name(fixture_ec("P-256", 1), name));
    assert_int_equal(keyrecord_encode(name, &info, fixture_ec("P-256", 0), master, &value, &len),
                     KEYRECORD_MISMATCH);
    assert_true(keyrecord_name(fixture_ec("P-256", 0), name));
    info.cert_count = KEYRECORD_MAX_CERTS + 1;
    assert_int_equal(keyrecord_encode(name, &info, fixture_ec("P-256", 0), master, &value, &len),
                     KEYRECORD_MALFORMED);
    // As many certificates as fit, with the longest names, do fit.
    info.cert_count = KEYRECORD_MAX_CERTS;
    for (unsigned i = 0; i < info.cert_count; i++)
        memset(info.certs[i].name, 'x', 255);
    assert_int_equal(keyrecord_encode(name, &info, fixture_ec("P-256", 0), master, &value, &len),
                     KEYRECORD_OK);
    assert_int_equal(try_open(name, value, len, master), KEYRECORD_OK);
    free(value);
}

static uint8_t *pkcs8_of(EVP_PKEY *key, size_t *len)
{
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
    unsigned char *der = NULL;
    int n = i2d_PKCS8_PRIV_KEY_INFO(p8, &der);
    assert_true(n > 0);
    PKCS8_PRIV_KEY_INFO_free(p8);
    *len = (size_t)n;
    return der;
}

static void records_of_the_java_server(void **state)
{
    (void)state;
    static const char alias[] = "A9993E364706816ABA3E25717850C26C9CD0D89D";
    EVP_PKEY *key = fixture_rsa(2048, 0), *opened = NULL;
    char name[45], wrong[45];
    size_t der_len, exact_len;
    uint8_t *der = pkcs8_of(key, &der_len), *exact = NULL;
    char *b64 = malloc(2 * der_len);
    int b64_len = EVP_EncodeBlock((unsigned char *)b64, der, (int)der_len);
    struct keyrecord_info info;
    assert_true(keyrecord_name(key, name));
    assert_true(keyrecord_name(fixture_rsa(2048, 1), wrong));
    assert_int_equal(keyrecord_read_info((uint8_t *)b64, (size_t)b64_len, &info), KEYRECORD_OK);
    assert_int_equal(info.type, KEYRECORD_RSA);
    assert_int_equal(info.bits, 2048);
    assert_int_equal(info.cert_count, 0);
    assert_false(info.sealed);
    assert_int_equal(keyrecord_open(alias, (uint8_t *)b64, (size_t)b64_len, master, &opened, &info),
                     KEYRECORD_OK);
    assert_int_equal(EVP_PKEY_eq(key, opened), 1);
    EVP_PKEY_free(opened);
    assert_int_equal(try_open(name, (uint8_t *)b64, (size_t)b64_len, NULL), KEYRECORD_OK);
    assert_int_equal(try_open(wrong, (uint8_t *)b64, (size_t)b64_len, NULL), KEYRECORD_MISMATCH);
    b64[b64_len] = '\n';
    assert_int_equal(try_open(alias, (uint8_t *)b64, (size_t)b64_len + 1, NULL), KEYRECORD_OK);
    assert_int_equal(keyrecord_open_der(alias, (uint8_t *)b64, (size_t)b64_len, NULL, &exact, &exact_len),
                     KEYRECORD_OK);
    assert_int_equal(exact_len, der_len);
    assert_memory_equal(exact, der, der_len);
    secmem_free(&exact, exact_len);
    // Cut at any place it is malformed, or no key; never a crash, never a key.
    for (int cut = 0; cut < b64_len; cut += 7)
        assert_int_not_equal(try_open(alias, (uint8_t *)b64, (size_t)cut, NULL), KEYRECORD_OK);
    b64[100] = '*';
    assert_int_equal(try_open(alias, (uint8_t *)b64, (size_t)b64_len, NULL), KEYRECORD_MALFORMED);

    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long pem_len = BIO_get_mem_data(bio, &pem);
    assert_int_equal(try_open(alias, (uint8_t *)pem, (size_t)pem_len, NULL), KEYRECORD_OK);
    assert_int_equal(try_open(alias, (uint8_t *)pem, (size_t)pem_len - 5, NULL), KEYRECORD_MALFORMED);
    BIO_free(bio);
    free(b64);
    OPENSSL_free(der);
}

static void records_with_keys_that_we_do_not_serve(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {EVP_RSA_gen(1024), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), EVP_EC_gen("secp256k1")};
    for (size_t i = 0; i < 3; i++) {
        size_t len;
        uint8_t *der = pkcs8_of(keys[i], &len);
        unsigned char *b64 = malloc(2 * len + 4);
        int b64_len = EVP_EncodeBlock(b64, der, (int)len);
        enum keyrecord_status status =
            try_open("A9993E364706816ABA3E25717850C26C9CD0D89D", b64, (size_t)b64_len, NULL);
        assert_int_equal(status, b64_len < 64 ? KEYRECORD_MALFORMED : KEYRECORD_BAD_KEY);
        free(b64);
        OPENSSL_free(der);
        EVP_PKEY_free(keys[i]);
    }
}

static void hostile_public_parts(void **state)
{
    (void)state;
    char name[45];
    size_t len;
    struct keyrecord_info info;
    uint8_t *value = record_of(fixture_ec("P-256", 0), NULL, name, &len);
    static const struct {
        size_t at;
        uint8_t byte;
    } changes[] = {
        {4, 2},    {5, 0},     {5, 3},     // form, type
        {16, 3},   {16, 1},    {17, 1},    // count
        {18, 0},   {18, 0xff}, {19, 0xff}, // length of the entries
        {48, 200},                         // name length
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t was = value[changes[i].at];
        value[changes[i].at] = changes[i].byte;
        assert_int_equal(keyrecord_read_info(value, len, &info), KEYRECORD_MALFORMED);
        assert_int_equal(try_open(name, value, len, NULL), KEYRECORD_MALFORMED);
        value[changes[i].at] = was;
    }
    // In the plain form the type and size must be those of the key.
    value[6]++;
    assert_int_equal(try_open(name, value, len, NULL), KEYRECORD_MALFORMED);
    value[6]--;
    // Bytes after the key are no part of it.
    uint8_t *longer = malloc(len + 1);
    memcpy(longer, value, len);
    longer[len] = 0;
    assert_int_equal(try_open(name, longer, len + 1, NULL), KEYRECORD_BAD_KEY);
    free(longer);
    free(value);
    for (unsigned s = KEYRECORD_OK; s <= KEYRECORD_NO_MEMORY; s++)
        assert_non_null(keyrecord_status_text((enum keyrecord_status)s));
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
        cmocka_unit_test(every_kind_comes_back_plain_and_sealed),
        cmocka_unit_test(sealed_record_shows_no_private_number),
        cmocka_unit_test(every_changed_byte_of_a_sealed_record_is_noticed),
        cmocka_unit_test(moved_record_and_wrong_master_are_told_apart),
        cmocka_unit_test(encode_refuses_a_wrong_name_and_too_much),
        cmocka_unit_test(records_of_the_java_server),
        cmocka_unit_test(records_with_keys_that_we_do_not_serve),
        cmocka_unit_test(hostile_public_parts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
