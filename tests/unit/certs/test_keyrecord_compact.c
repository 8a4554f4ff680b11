// Records whose RSA key is kept as its primes: they open as the same key, can be written back, and bear no change.
#include "recordkit.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>

#include "common/secmem.h"

static uint8_t *compact_record_of(EVP_PKEY *key, const struct seal_key *m, char name[static 45], size_t *len)
{
    struct keyrecord_info info = recordkit_two_certs();
    uint8_t *value = NULL;
    info.encoding = KEYRECORD_COMPACT;
    assert_true(keyrecord_name(key, name));
    assert_int_equal(keyrecord_encode(name, &info, key, m, &value, len), KEYRECORD_OK);
    return value;
}

static enum keyrecord_encoding encoding_of(const uint8_t *value, size_t len)
{
    struct keyrecord_info info;
    assert_int_equal(keyrecord_read_info(value, len, &info), KEYRECORD_OK);
    return info.encoding;
}

// Both records open as the same PKCS#8.
static void same_key(const char *name, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
                     const struct seal_key *m)
{
    uint8_t *a_der = NULL, *b_der = NULL;
    size_t a_der_len = 0, b_der_len = 0;
    assert_int_equal(keyrecord_open_der(name, a, a_len, m, &a_der, &a_der_len), KEYRECORD_OK);
    assert_int_equal(keyrecord_open_der(name, b, b_len, m, &b_der, &b_der_len), KEYRECORD_OK);
    assert_int_equal(a_der_len, b_der_len);
    assert_memory_equal(a_der, b_der, a_der_len);
    secmem_free(&a_der, a_der_len);
    secmem_free(&b_der, b_der_len);
}

static void opens_as_the_same_key(void **state)
{
    (void)state;
    EVP_PKEY *key = fixture_rsa(2048, 0);
    const struct seal_key *const masters[] = {NULL, recordkit.master};
    for (size_t i = 0; i < 2; i++) {
        char name[45];
        size_t whole_len, len;
        uint8_t *whole = recordkit_record_of(key, masters[i], name, &whole_len);
        uint8_t *value = compact_record_of(key, masters[i], name, &len);
        struct keyrecord_info info, want = recordkit_two_certs();
        EVP_PKEY *opened = NULL;
        assert_int_equal(encoding_of(whole, whole_len), KEYRECORD_PKCS8);
        assert_int_equal(encoding_of(value, len), KEYRECORD_COMPACT);
        assert_true(len + 850 < whole_len); // 1,190 to 1,220 bytes of PKCS#8 are 269
        assert_int_equal(keyrecord_open(name, value, len, masters[i], &opened, &info), KEYRECORD_OK);
        assert_int_equal(EVP_PKEY_eq(key, opened), 1);
        assert_int_equal(info.encoding, KEYRECORD_COMPACT);
        assert_int_equal(info.sealed, masters[i] != NULL);
        assert_int_equal(info.cert_count, 2);
        assert_memory_equal(info.certs, want.certs, sizeof info.certs);
        same_key(name, whole, whole_len, value, len, masters[i]);
        EVP_PKEY_free(opened);
        free(whole);
        free(value);
    }
}

static void other_keys_are_written_whole(void **state)
{
    (void)state;
    char name[45];
    size_t len;
    const char *why = NULL;
    uint8_t *value = compact_record_of(fixture_ec("P-256", 0), recordkit.master, name, &len);
    assert_int_equal(encoding_of(value, len), KEYRECORD_PKCS8);
    assert_int_equal(recordkit_try_open(name, value, len, recordkit.master), KEYRECORD_OK);
    free(value);
    assert_int_equal(keyrecord_kept_whole(fixture_ec("P-256", 0), &why), KEYRECORD_OK);
    assert_string_equal(why, "no RSA key");
    assert_int_equal(keyrecord_kept_whole(fixture_rsa(2048, 0), &why), KEYRECORD_OK);
    assert_null(why);
}

static void recode_there_and_back(void **state)
{
    (void)state;
    const struct seal_key *const masters[] = {NULL, recordkit.master};
    for (size_t i = 0; i < 2; i++) {
        char name[45];
        size_t whole_len, len, back_len, none_len;
        uint8_t *whole = recordkit_record_of(fixture_rsa(2048, 0), masters[i], name, &whole_len);
        uint8_t *value = NULL, *back = NULL, *none = NULL;
        const char *why = "";
        // The master key is at hand for plain records as well, and they stay plain.
        assert_int_equal(
            keyrecord_recode(name, whole, whole_len, recordkit.master, KEYRECORD_COMPACT, &value, &len, &why),
            KEYRECORD_OK);
        assert_null(why);
        assert_non_null(value);
        assert_int_equal(encoding_of(value, len), KEYRECORD_COMPACT);
        assert_int_equal(
            keyrecord_recode(name, value, len, recordkit.master, KEYRECORD_COMPACT, &none, &none_len, &why),
            KEYRECORD_OK);
        assert_null(none);
        assert_null(why);
        assert_int_equal(
            keyrecord_recode(name, value, len, recordkit.master, KEYRECORD_PKCS8, &back, &back_len, &why),
            KEYRECORD_OK);
        assert_null(why);
        assert_int_equal(back_len, whole_len);
        if (masters[i] == NULL)
            assert_memory_equal(back, whole, whole_len);
        same_key(name, whole, whole_len, value, len, recordkit.master);
        same_key(name, whole, whole_len, back, back_len, recordkit.master);
        free(whole);
        free(value);
        free(back);
    }
}

static void recode_refuses(void **state)
{
    (void)state;
    char name[45], other[45], b64[3000];
    size_t len, out_len, der_len = 0;
    uint8_t *out = NULL, *der = NULL;
    const char *why = NULL;
    uint8_t *value = recordkit_record_of(fixture_rsa(2048, 0), recordkit.master, name, &len);
    assert_true(keyrecord_name(fixture_rsa(2048, 1), other));
    assert_int_equal(keyrecord_recode(name, value, len, NULL, KEYRECORD_COMPACT, &out, &out_len, &why),
                     KEYRECORD_NO_MASTER);
    assert_int_equal(
        keyrecord_recode(name, value, len, recordkit.other_master, KEYRECORD_COMPACT, &out, &out_len, &why),
        KEYRECORD_OTHER_MASTER);
    assert_int_equal(
        keyrecord_recode(other, value, len, recordkit.master, KEYRECORD_COMPACT, &out, &out_len, &why),
        KEYRECORD_DAMAGED);
    assert_int_equal(
        keyrecord_recode(name, value, len - 1, recordkit.master, KEYRECORD_COMPACT, &out, &out_len, &why),
        KEYRECORD_DAMAGED);
    assert_null(out);
    // A record of the Java key server, and an EC key, stay as they are.
    assert_int_equal(keyrecord_open_der(name, value, len, recordkit.master, &der, &der_len), KEYRECORD_OK);
    assert_true(der_len < sizeof b64 / 2);
    int b64_len = EVP_EncodeBlock((unsigned char *)b64, der, (int)der_len);
    secmem_free(&der, der_len);
    assert_int_equal(keyrecord_recode(name, (uint8_t *)b64, (size_t)b64_len, NULL, KEYRECORD_COMPACT, &out,
                                      &out_len, &why),
                     KEYRECORD_OK);
    assert_null(out);
    assert_non_null(strstr(why, "Java"));
    free(value);
    value = recordkit_record_of(fixture_ec("P-384", 0), recordkit.master, name, &len);
    assert_int_equal(
        keyrecord_recode(name, value, len, recordkit.master, KEYRECORD_COMPACT, &out, &out_len, &why),
        KEYRECORD_OK);
    assert_null(out);
    assert_string_equal(why, "no RSA key");
    free(value);
}

// Of a sealed record no byte can be otherwise. Of a plain one the public part has no seal, but its key is the one that its name
// says or does not open.
static void no_change_passes(void **state)
{
    (void)state;
    char name[45];
    size_t len;
    uint8_t *value = compact_record_of(fixture_rsa(2048, 0), recordkit.master, name, &len);
    for (size_t i = 0; i < len; i++) {
        value[i] ^= 0x02;
        assert_int_not_equal(recordkit_try_open(name, value, len, recordkit.master), KEYRECORD_OK);
        value[i] ^= 0x02;
    }
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(recordkit_try_open(name, value, cut, recordkit.master), KEYRECORD_OK);
    free(value);
    value = compact_record_of(fixture_rsa(2048, 0), NULL, name, &len);
    const size_t secret = 10 + 3 + 256; // the compact form; its version, lengths, e, and primes
    for (size_t i = len - secret; i < len; i += i < len - 256 ? 1 : 15) {
        if (i - (len - secret) >= 6 && i - (len - secret) < 10)
            continue; // the divisor changes d only, as in a PKCS#8 whose d was changed
        value[i] ^= 0x02;
        assert_int_not_equal(recordkit_try_open(name, value, len, NULL), KEYRECORD_OK);
        value[i] ^= 0x02;
    }
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(recordkit_try_open(name, value, cut, NULL), KEYRECORD_OK);
    free(value);
}

// The form byte says how the secret is to be read, and only forms that there are.
static void forms(void **state)
{
    (void)state;
    char name[45];
    size_t len;
    struct keyrecord_info info;
    uint8_t *value = compact_record_of(fixture_rsa(2048, 0), NULL, name, &len);
    assert_int_equal(value[4], 2);
    value[4] = 0;
    assert_int_equal(recordkit_try_open(name, value, len, NULL), KEYRECORD_BAD_KEY);
    for (unsigned form = 4; form < 256; form++) {
        value[4] = (uint8_t)form;
        assert_int_equal(keyrecord_read_info(value, len, &info), KEYRECORD_MALFORMED);
    }
    value[4] = 2;
    value[5] = KEYRECORD_EC;
    assert_int_equal(keyrecord_read_info(value, len, &info), KEYRECORD_MALFORMED);
    free(value);
    value = recordkit_record_of(fixture_rsa(2048, 0), NULL, name, &len);
    value[4] = 2;
    assert_int_equal(recordkit_try_open(name, value, len, NULL), KEYRECORD_BAD_KEY);
    free(value);
    value = compact_record_of(fixture_rsa(2048, 0), recordkit.master, name, &len);
    assert_int_equal(value[4], 3);
    value[4] = 1;
    assert_int_equal(recordkit_try_open(name, value, len, recordkit.master), KEYRECORD_DAMAGED);
    free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_as_the_same_key), cmocka_unit_test(other_keys_are_written_whole),
        cmocka_unit_test(recode_there_and_back), cmocka_unit_test(recode_refuses),
        cmocka_unit_test(no_change_passes),      cmocka_unit_test(forms),
    };
    return cmocka_run_group_tests(tests, recordkit_setup, recordkit_teardown);
}
