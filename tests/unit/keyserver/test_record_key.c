// Keys of records as the key server opens them, without OpenSSL's decoding: RSA keys with two primes come as numbers, under no other
// name than OpenSSL's form of them has; all else takes the other way. Refusals are compared wherever keyrecord_open()'s are tested
// (tests/unit/certs/recordkit.c).
#include "kit.h"
#include "rsa_kit.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "common/keyrecord.h"

#define ALIAS "A9993E364706816ABA3E25717850C26C9CD0D89D"

static int release(void **state)
{
    (void)state;
    kit_release();
    return 0;
}

static EVP_PKEY *decoded(const struct rsa_kit_bytes *der)
{
    EVP_PKEY *key;
    assert_int_equal(keyrecord_decode(der->bytes, der->len, &key), KEYRECORD_OK);
    return key;
}

// A record of the Java key server, which can hold any PKCS#8; freed by the caller.
static uint8_t *java_record(const uint8_t *der, size_t der_len, size_t *len)
{
    unsigned char *text = malloc(4 * ((der_len + 2) / 3) + 1);
    *len = (size_t)EVP_EncodeBlock(text, der, (int)der_len);
    return text;
}

static void assert_number(const struct rsa_number *number, const BIGNUM *expected)
{
    uint8_t bytes[RSA_KIT_MAX];
    assert_int_equal(number->len, BN_bn2bin(expected, bytes));
    assert_memory_equal(number->bytes, bytes, number->len);
}

// The key of this DER comes as numbers, in memory of its own length.
static void assert_cold(const struct keyrecord_key *key, const struct rsa_kit_key *expected,
                        const struct rsa_kit_bytes *der)
{
    assert_null(key->pkey);
    assert_int_equal(key->type, KEYRECORD_RSA);
    assert_int_equal(key->bits, BN_num_bits(expected->number[RSA_KIT_N]));
    assert_int_equal(key->der_len, der->len);
    assert_memory_equal(key->der, der->bytes, der->len);
    assert_number(&key->rsa.n, expected->number[RSA_KIT_N]);
    assert_number(&key->rsa.e, expected->number[RSA_KIT_E]);
    assert_number(&key->rsa.p, expected->number[RSA_KIT_P]);
    assert_number(&key->rsa.qinv, expected->number[RSA_KIT_QINV]);
}

static void opens_under_its_name_alone(const struct rsa_kit_key *numbers, const struct rsa_kit_bytes *der)
{
    char name[45], other[45];
    size_t len;
    struct keyrecord_key key;
    EVP_PKEY *pkey = decoded(der);
    uint8_t *value = java_record(der->bytes, der->len, &len);
    assert_true(keyrecord_name(pkey, name));
    assert_int_equal(keyrecord_open_key(name, value, len, NULL, &key), KEYRECORD_OK);
    assert_cold(&key, numbers, der);
    keyrecord_key_clear(&key);
    assert_null(key.der);
    keyrecord_key_clear(&key); // an empty one is fine
    assert_int_equal(keyrecord_open_key(ALIAS, value, len, NULL, &key), KEYRECORD_OK);
    assert_cold(&key, numbers, der);
    keyrecord_key_clear(&key);
    memcpy(other, name, sizeof other);
    other[0] = other[0] == 'A' ? 'B' : 'A';
    assert_int_equal(keyrecord_open_key(other, value, len, NULL, &key), KEYRECORD_MISMATCH);
    assert_null(key.der);
    free(value);
    EVP_PKEY_free(pkey);
}

// 2^bits - 1, a prime for some: to make large keys of at no cost.
static BIGNUM *mersenne(int bits)
{
    BIGNUM *p = BN_new();
    assert_true(BN_set_bit(p, bits) && BN_sub_word(p, 1));
    return p;
}

// A prime with p - 1 and e coprime; the caller frees it.
static BIGNUM *prime_for(int bits, unsigned long e)
{
    if (bits > 1200)
        return mersenne(bits);
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p = BN_new(), *p1 = BN_new(), *exponent = BN_new(), *gcd = BN_new();
    assert_int_equal(BN_set_word(exponent, e), 1);
    do
        assert_true(BN_generate_prime_ex(p, bits, 0, NULL, NULL, NULL) && BN_sub(p1, p, BN_value_one()) &&
                    BN_gcd(gcd, p1, exponent, ctx));
    while (!BN_is_one(gcd));
    BN_free(gcd);
    BN_free(exponent);
    BN_free(p1);
    BN_CTX_free(ctx);
    return p;
}

static void names_are_openssls_for_every_size_and_exponent(void **state)
{
    (void)state;
    static const struct {
        int p_bits, q_bits;
        unsigned long e;
    } cases[] = {
        {1024, 1024, 65537}, {1024, 1024, 3},     {1024, 1024, 17},    {1024, 1024, 0xffffffffffffffc5},
        {1025, 1024, 257},   {1032, 1024, 65537}, {2203, 1279, 65537}, {2203, 2281, 65537},
        {4253, 3217, 65537},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static struct rsa_kit_bytes der;
        struct rsa_kit_key key;
        BIGNUM *p = prime_for(cases[i].p_bits, cases[i].e), *q = prime_for(cases[i].q_bits, cases[i].e);
        rsa_kit_key_make(&key, p, q, cases[i].e, i % 2 == 0);
        rsa_kit_key_der(&key, &der);
        opens_under_its_name_alone(&key, &der);
        rsa_kit_key_free(&key);
        BN_free(p);
        BN_free(q);
    }
}

static void all_forms_of_a_record(void **state)
{
    (void)state;
    struct error e;
    kit_dir_create();
    assert_true(seal_key_generate(kit_path("master"), &e));
    struct seal_key *master = seal_key_load(kit_path("master"), &e);
    assert_non_null(master);
    static const unsigned bits[] = {2048, 2049, 3072, 4096};
    for (size_t i = 0; i < 4 * 4; i++) {
        static struct keyrecord_info info;
        char name[45];
        uint8_t *value;
        size_t len;
        EVP_PKEY *pkey = kit_rsa(bits[i / 4], 0);
        const struct seal_key *seal_with = i % 2 == 0 ? master : NULL;
        struct keyrecord_key key;
        info.encoding = i % 4 < 2 ? KEYRECORD_PKCS8 : KEYRECORD_COMPACT;
        assert_true(keyrecord_name(pkey, name));
        assert_int_equal(keyrecord_encode(name, &info, pkey, seal_with, &value, &len), KEYRECORD_OK);
        assert_int_equal(keyrecord_open_key(name, value, len, master, &key), KEYRECORD_OK);
        assert_null(key.pkey);
        assert_int_equal(key.bits, bits[i / 4]);
        assert_int_equal(keyrecord_decode(key.der, key.der_len, &key.pkey), KEYRECORD_OK);
        assert_int_equal(EVP_PKEY_eq(key.pkey, pkey), 1);
        keyrecord_key_clear(&key);
        // One bit of the seal or of the secret, and it is nobody's key.
        value[len - 1] ^= 1;
        if (seal_with != NULL)
            assert_int_equal(keyrecord_open_key(name, value, len, master, &key), KEYRECORD_DAMAGED);
        free(value);
    }
    seal_key_destroy(&master);
    kit_dir_remove();
}

// The sizes that are served are those of keyrecord_open(), and the public part must not say another.
static void other_sizes_are_refused(void **state)
{
    (void)state;
    static const int half[][2] = {{512, 512}, {1023, 1024}, {4253, 4423}};
    for (size_t i = 0; i < sizeof half / sizeof *half; i++) {
        static struct rsa_kit_bytes der;
        struct rsa_kit_key numbers;
        struct keyrecord_key key;
        size_t len;
        BIGNUM *p = prime_for(half[i][0], 65537), *q = prime_for(half[i][1], 65537);
        rsa_kit_key_make(&numbers, p, q, 65537, true);
        rsa_kit_key_der(&numbers, &der);
        uint8_t *value = java_record(der.bytes, der.len, &len);
        assert_int_equal(keyrecord_open_key(ALIAS, value, len, NULL, &key), KEYRECORD_BAD_KEY);
        free(value);
        rsa_kit_key_free(&numbers);
        BN_free(p);
        BN_free(q);
    }
    static struct keyrecord_info info;
    char name[45];
    uint8_t *value;
    size_t len;
    struct keyrecord_key key;
    EVP_PKEY *pkey = kit_rsa(2048, 0);
    assert_true(keyrecord_name(pkey, name));
    assert_int_equal(keyrecord_encode(name, &info, pkey, NULL, &value, &len), KEYRECORD_OK);
    value[6] ^= 1; // bits
    assert_int_equal(keyrecord_open_key(name, value, len, NULL, &key), KEYRECORD_MALFORMED);
    value[6] ^= 1;
    value[5] = KEYRECORD_EC;
    assert_int_equal(keyrecord_open_key(name, value, len, NULL, &key), KEYRECORD_MALFORMED);
    free(value);
}

// What is no RSA key with two primes is OpenSSL's to read, and comes in OpenSSL's form.
static void all_else_is_openssls(void **state)
{
    (void)state;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *three_primes = NULL;
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) == 1 &&
                EVP_PKEY_CTX_set_rsa_keygen_primes(ctx, 3) == 1);
    assert_int_equal(EVP_PKEY_keygen(ctx, &three_primes), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY *keys[] = {kit_ec("P-256", 0), kit_ec("P-521", 0), three_primes};
    for (size_t i = 0; i < 3; i++) {
        static struct keyrecord_info info;
        char name[45];
        uint8_t *value;
        size_t len;
        struct keyrecord_key key;
        assert_true(keyrecord_name(keys[i], name));
        assert_int_equal(keyrecord_encode(name, &info, keys[i], NULL, &value, &len), KEYRECORD_OK);
        assert_int_equal(keyrecord_open_key(name, value, len, NULL, &key), KEYRECORD_OK);
        assert_null(key.der);
        assert_int_equal(key.type, i < 2 ? KEYRECORD_EC : KEYRECORD_RSA);
        assert_int_equal(key.bits, EVP_PKEY_get_bits(keys[i]));
        assert_int_equal(EVP_PKEY_eq(key.pkey, keys[i]), 1);
        keyrecord_key_clear(&key);
        free(value);
    }
    EVP_PKEY_free(three_primes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_openssls_for_every_size_and_exponent),
        cmocka_unit_test(all_forms_of_a_record),
        cmocka_unit_test(other_sizes_are_refused),
        cmocka_unit_test(all_else_is_openssls),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
