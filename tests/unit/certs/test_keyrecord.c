// Key records: they open as what was put in, and one that was changed, moved or sealed by somebody else never opens.
#include "recordkit.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "common/secmem.h"

static void round_trip(EVP_PKEY *key, enum keyrecord_type type, unsigned bits, const struct seal_key *m)
{
    char name[45];
    size_t len;
    struct keyrecord_info want = recordkit_two_certs(), info;
    uint8_t *value = recordkit_record_of(key, m, name, &len);
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

// Labels are in the public part: read without the master key, covered by the seal; records without are as ever.
static void labels(void **state)
{
    (void)state;
    EVP_PKEY *key = fixture_ec("P-256", 0);
    struct keyrecord_info info = recordkit_two_certs(), read;
    struct keyrecord_traits *traits;
    uint8_t *value = NULL, *bare = NULL;
    char name[45];
    size_t len, bare_len;
    bare = recordkit_record_of(key, recordkit.master, name, &bare_len);
    assert_int_equal(bare[4], 1);
    info.label_count = 2;
    memcpy(info.labels[0], "a", 2);
    memset(info.labels[1], '-', KEYRECORD_LABEL_LEN);
    assert_int_equal(keyrecord_encode(name, &info, key, recordkit.master, &value, &len), KEYRECORD_OK);
    assert_int_equal(value[4], 1 | 4);
    assert_int_equal(len, bare_len + 1 + 2 + 1 + KEYRECORD_LABEL_LEN);
    assert_int_equal(keyrecord_read_info(value, len, &read), KEYRECORD_OK);
    assert_int_equal(read.label_count, 2);
    assert_memory_equal(read.labels, info.labels, sizeof info.labels);
    assert_int_equal(keyrecord_read_traits(value, len, &traits), KEYRECORD_OK);
    assert_int_equal(traits->name_count, 2);
    assert_int_equal(traits->label_count, 2);
    assert_string_equal(traits->text, "www.example.org");
    assert_string_equal(traits->text + 16 + 256, "a");
    assert_memory_equal(traits->text + 16 + 256 + 2, info.labels[1], KEYRECORD_LABEL_LEN + 1);
    free(traits);
    assert_int_equal(recordkit_try_open(name, value, len, recordkit.master), KEYRECORD_OK);
    size_t at = 20 + 29 + 15 + 29 + 255; // the labels
    assert_int_equal(value[at + 2], 'a');
    value[at + 2] = 'b';
    assert_int_equal(recordkit_try_open(name, value, len, recordkit.master), KEYRECORD_DAMAGED);
    static const struct {
        size_t at;
        uint8_t byte;
    } wrong[] = {{0, 0}, {0, 1}, {0, 3}, {0, 9}, {1, 0}, {1, 2}, {1, 33}, {2, ' '}, {2, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t kept = value[at + wrong[i].at];
        value[at + wrong[i].at] = wrong[i].byte;
        assert_int_equal(keyrecord_read_info(value, len, &read), KEYRECORD_MALFORMED);
        assert_int_equal(keyrecord_read_traits(value, len, &traits), KEYRECORD_MALFORMED);
        value[at + wrong[i].at] = kept;
    }
    free(value);
    free(bare);
}

static void every_kind_comes_back_plain_and_sealed(void **state)
{
    (void)state;
    struct recordkit_kind kinds[4];
    recordkit_served_kinds(kinds);
    for (size_t i = 0; i < 4; i++) {
        round_trip(kinds[i].key, kinds[i].type, kinds[i].bits, NULL);
        round_trip(kinds[i].key, kinds[i].type, kinds[i].bits, recordkit.master);
    }
}

static void sealed_record_shows_no_private_number(void **state)
{
    (void)state;
    char name[45];
    size_t len;
    uint8_t *value = recordkit_record_of(fixture_rsa(2048, 0), recordkit.master, name, &len);
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
    uint8_t *value = recordkit_record_of(fixture_ec("P-256", 0), recordkit.master, name, &len);
    assert_int_equal(recordkit_try_open(name, value, len, recordkit.master), KEYRECORD_OK);
    for (size_t i = 0; i < len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            value[i] ^= (uint8_t)(1u << bit);
            assert_int_not_equal(recordkit_try_open(name, value, len, recordkit.master), KEYRECORD_OK);
            value[i] ^= (uint8_t)(1u << bit);
        }
    for (size_t shorter = 0; shorter < len; shorter++) {
        uint8_t *exact = malloc(shorter + 1);
        memcpy(exact, value, shorter);
        assert_int_not_equal(recordkit_try_open(name, exact, shorter, recordkit.master), KEYRECORD_OK);
        free(exact);
    }
    free(value);
}

static void moved_record_and_wrong_master_are_told_apart(void **state)
{
    (void)state;
    char name[45], other_name[45], alias[] = "A9993E364706816ABA3E25717850C26C9CD0D89D";
    size_t len;
    uint8_t *value = recordkit_record_of(fixture_ec("P-256", 0), recordkit.master, name, &len);
    assert_true(keyrecord_name(fixture_ec("P-256", 1), other_name));
    assert_int_equal(recordkit_try_open(other_name, value, len, recordkit.master), KEYRECORD_DAMAGED);
    assert_int_equal(recordkit_try_open(alias, value, len, recordkit.master), KEYRECORD_MISMATCH);
    assert_int_equal(recordkit_try_open(name, value, len, recordkit.other_master), KEYRECORD_OTHER_MASTER);
    assert_int_equal(recordkit_try_open(name, value, len, NULL), KEYRECORD_NO_MASTER);
    free(value);
    value = recordkit_record_of(fixture_ec("P-256", 0), NULL, name, &len);
    assert_int_equal(recordkit_try_open(other_name, value, len, NULL), KEYRECORD_MISMATCH);
    // A plain record opens with a master key at hand, too: stores may be mixed.
    assert_int_equal(recordkit_try_open(name, value, len, recordkit.master), KEYRECORD_OK);
    free(value);
}

static void encode_refuses_a_wrong_name_and_too_much(void **state)
{
    (void)state;
    char name[45];
    uint8_t *value;
    size_t len;
    struct keyrecord_info info = recordkit_two_certs();
    assert_true(keyrecord_name(fixture_ec("P-256", 1), name));
    assert_int_equal(keyrecord_encode(name, &info, fixture_ec("P-256", 0), recordkit.master, &value, &len),
                     KEYRECORD_MISMATCH);
    assert_true(keyrecord_name(fixture_ec("P-256", 0), name));
    info.cert_count = KEYRECORD_MAX_CERTS + 1;
    assert_int_equal(keyrecord_encode(name, &info, fixture_ec("P-256", 0), recordkit.master, &value, &len),
                     KEYRECORD_MALFORMED);
    // As many certificates as fit, with the longest names, do fit.
    info.cert_count = KEYRECORD_MAX_CERTS;
    for (unsigned i = 0; i < info.cert_count; i++)
        memset(info.certs[i].name, 'x', 255);
    assert_int_equal(keyrecord_encode(name, &info, fixture_ec("P-256", 0), recordkit.master, &value, &len),
                     KEYRECORD_OK);
    assert_int_equal(recordkit_try_open(name, value, len, recordkit.master), KEYRECORD_OK);
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
    assert_int_equal(keyrecord_open(alias, (uint8_t *)b64, (size_t)b64_len, recordkit.master, &opened, &info),
                     KEYRECORD_OK);
    assert_int_equal(EVP_PKEY_eq(key, opened), 1);
    EVP_PKEY_free(opened);
    assert_int_equal(recordkit_try_open(name, (uint8_t *)b64, (size_t)b64_len, NULL), KEYRECORD_OK);
    assert_int_equal(recordkit_try_open(wrong, (uint8_t *)b64, (size_t)b64_len, NULL), KEYRECORD_MISMATCH);
    b64[b64_len] = '\n';
    assert_int_equal(recordkit_try_open(alias, (uint8_t *)b64, (size_t)b64_len + 1, NULL), KEYRECORD_OK);
    assert_int_equal(keyrecord_open_der(alias, (uint8_t *)b64, (size_t)b64_len, NULL, &exact, &exact_len),
                     KEYRECORD_OK);
    assert_int_equal(exact_len, der_len);
    assert_memory_equal(exact, der, der_len);
    secmem_free(&exact, exact_len);
    // Cut at any place it is malformed, or no key; never a crash, never a key.
    for (int cut = 0; cut < b64_len; cut += 7)
        assert_int_not_equal(recordkit_try_open(alias, (uint8_t *)b64, (size_t)cut, NULL), KEYRECORD_OK);
    b64[100] = '*';
    assert_int_equal(recordkit_try_open(alias, (uint8_t *)b64, (size_t)b64_len, NULL), KEYRECORD_MALFORMED);

    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long pem_len = BIO_get_mem_data(bio, &pem);
    assert_int_equal(recordkit_try_open(alias, (uint8_t *)pem, (size_t)pem_len, NULL), KEYRECORD_OK);
    assert_int_equal(recordkit_try_open(alias, (uint8_t *)pem, (size_t)pem_len - 5, NULL),
                     KEYRECORD_MALFORMED);
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
            recordkit_try_open("A9993E364706816ABA3E25717850C26C9CD0D89D", b64, (size_t)b64_len, NULL);
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
    uint8_t *value = recordkit_record_of(fixture_ec("P-256", 0), NULL, name, &len);
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
        assert_int_equal(recordkit_try_open(name, value, len, NULL), KEYRECORD_MALFORMED);
        value[changes[i].at] = was;
    }
    // In the plain form the type and size must be those of the key.
    value[6]++;
    assert_int_equal(recordkit_try_open(name, value, len, NULL), KEYRECORD_MALFORMED);
    value[6]--;
    // Bytes after the key are no part of it.
    uint8_t *longer = malloc(len + 1);
    memcpy(longer, value, len);
    longer[len] = 0;
    assert_int_equal(recordkit_try_open(name, longer, len + 1, NULL), KEYRECORD_BAD_KEY);
    free(longer);
    free(value);
    for (unsigned s = KEYRECORD_OK; s <= KEYRECORD_NO_MEMORY; s++)
        assert_non_null(keyrecord_status_text((enum keyrecord_status)s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back_plain_and_sealed),
        cmocka_unit_test(labels),
        cmocka_unit_test(sealed_record_shows_no_private_number),
        cmocka_unit_test(every_changed_byte_of_a_sealed_record_is_noticed),
        cmocka_unit_test(moved_record_and_wrong_master_are_told_apart),
        cmocka_unit_test(encode_refuses_a_wrong_name_and_too_much),
        cmocka_unit_test(records_of_the_java_server),
        cmocka_unit_test(records_with_keys_that_we_do_not_serve),
        cmocka_unit_test(hostile_public_parts),
    };
    return cmocka_run_group_tests(tests, recordkit_setup, recordkit_teardown);
}
