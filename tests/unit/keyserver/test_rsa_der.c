// The strict reader of RSA private keys: every number of a whole key where it stands, and nothing that has a second form.
#include "rsa_kit.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/core_names.h>

#include "keyserver/rsa/rsa_der.h"

// Reads from a block of exactly the length, so that ASan sees a byte too many.
static const char *read_exact(const uint8_t *der, size_t len)
{
    struct rsa_der key;
    uint8_t *copy = malloc(len != 0 ? len : 1);
    assert_non_null(copy);
    if (len != 0)
        memcpy(copy, der, len);
    const char *why = rsa_der_read(copy, len, &key);
    free(copy);
    return why;
}

static void refuses(const struct rsa_kit_bytes *der, const char *what)
{
    const char *why = read_exact(der->bytes, der->len);
    if (why == NULL || strstr(why, what) == NULL)
        fail_msg("\"%s\", expected \"%s\"", why != NULL ? why : "taken", what);
}

static void refuses_parts(const struct rsa_kit_parts *parts, const char *what)
{
    struct rsa_kit_bytes der;
    rsa_kit_build(parts, &der);
    refuses(&der, what);
}

#define BYTES(...)                                                                                           \
    (&(const struct rsa_kit_bytes){.bytes = {__VA_ARGS__}, .len = sizeof((const uint8_t[]){__VA_ARGS__})})

static void numbers_are_found(void **state)
{
    (void)state;
    struct rsa_kit_bytes der;
    struct rsa_der k;
    rsa_kit_build(&(struct rsa_kit_parts){.version = NULL}, &der);
    assert_null(rsa_der_read(der.bytes, der.len, &k));
    const struct rsa_number *const found[] = {&k.n, &k.e, &k.d, &k.p, &k.q, &k.dp, &k.dq, &k.qinv};
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(found[i]->len, 1);
        assert_int_equal(found[i]->bytes[0], 0x11 * (i + 1));
        assert_true(found[i]->bytes > der.bytes && found[i]->bytes < der.bytes + der.len);
    }
}

static void keys_of_openssl(void **state)
{
    (void)state;
    static const char *const names[] = {OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
                                        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
                                        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
                                        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    static const unsigned bits[] = {512, 1024, 2048, 3072};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        EVP_PKEY *pkey = EVP_RSA_gen(bits[i]);
        PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(pkey);
        unsigned char *der = NULL;
        int len = i2d_PKCS8_PRIV_KEY_INFO(p8, &der);
        struct rsa_der k;
        assert_null(rsa_der_read(der, (size_t)len, &k));
        const struct rsa_number *const found[] = {&k.n, &k.e, &k.d, &k.p, &k.q, &k.dp, &k.dq, &k.qinv};
        for (size_t n = 0; n < 8; n++) {
            BIGNUM *want = NULL, *got = BN_bin2bn(found[n]->bytes, (int)found[n]->len, NULL);
            assert_int_equal(EVP_PKEY_get_bn_param(pkey, names[n], &want), 1);
            assert_int_equal(BN_cmp(want, got), 0);
            assert_int_equal(BN_num_bytes(got), (int)found[n]->len);
            BN_free(want);
            BN_free(got);
        }
        OPENSSL_free(der);
        PKCS8_PRIV_KEY_INFO_free(p8);
        EVP_PKEY_free(pkey);
    }
}

static void cut_anywhere(void **state)
{
    (void)state;
    struct rsa_kit_bytes der;
    rsa_kit_build(&(struct rsa_kit_parts){.version = NULL}, &der);
    for (size_t len = 0; len < der.len; len++)
        assert_non_null(read_exact(der.bytes, len));
    // Cut, with the outer length in order.
    for (size_t less = 1; der.bytes[1] > less; less++) {
        struct rsa_kit_bytes cut = der;
        cut.bytes[1] = (uint8_t)(cut.bytes[1] - less);
        assert_non_null(read_exact(cut.bytes, cut.len - less));
    }
}

// Only the numbers themselves may be otherwise: every other byte has one value.
static void every_byte_counts(void **state)
{
    (void)state;
    struct rsa_kit_bytes der;
    struct rsa_der k;
    rsa_kit_build(&(struct rsa_kit_parts){.version = NULL}, &der);
    assert_null(rsa_der_read(der.bytes, der.len, &k));
    size_t free_bytes = 0;
    for (size_t i = 0; i < der.len; i++) {
        unsigned taken = 0;
        for (unsigned value = 0; value < 256; value++) {
            struct rsa_kit_bytes other = der;
            other.bytes[i] = (uint8_t)value;
            taken += read_exact(other.bytes, other.len) == NULL;
        }
        assert_true(taken >= 1);
        free_bytes += taken > 1;
        assert_true(taken == 1 || taken == 128); // up to 7f without, from 80 with a zero in front
    }
    assert_int_equal(free_bytes, 9); // the last number has two bytes
}

static void lengths_have_one_form(void **state)
{
    (void)state;
    struct rsa_kit_bytes good, der;
    rsa_kit_build(&(struct rsa_kit_parts){.version = NULL}, &good);
    for (int bytes = 1; bytes <= 5; bytes++) { // the outer length in more bytes than it needs
        der.len = 0;
        const uint8_t head[] = {0x30, (uint8_t)(0x80 + bytes), 0, 0, 0, 0, 0};
        rsa_kit_append(&der, head, 2 + (size_t)bytes);
        der.bytes[der.len - 1] = good.bytes[1];
        rsa_kit_append(&der, good.bytes + 2, good.len - 2);
        refuses(&der, "not PKCS#8 in DER");
    }
    der = good; // indefinite, with its end mark
    der.bytes[1] = 0x80;
    rsa_kit_append(&der, "\0", 2);
    refuses(&der, "not PKCS#8 in DER");
    der = good; // as long as no memory is
    der.bytes[1] = 0xff;
    refuses(&der, "not PKCS#8 in DER");
    refuses_parts(&(struct rsa_kit_parts){.version = BYTES(2, 0x81, 1, 0)}, "not PKCS#8 in DER");
    refuses_parts(&(struct rsa_kit_parts){.key_version = BYTES(2, 0x81, 1, 0)},
                  "not an RSAPrivateKey in DER");
    refuses_parts(&(struct rsa_kit_parts){.algorithm = BYTES(0x30, 0x81, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86,
                                                             0xf7, 0x0d, 1, 1, 1, 5, 0)},
                  "not PKCS#8 in DER");
}

// A number of 128 to 255 and one of 256 bytes and more: the two long forms of a length, and each in a longer form than needed.
static void long_numbers(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint8_t head[5];
        size_t head_len;
        bool good;
    } cases[] = {
        {127, {2, 127}, 2, true},
        {127, {2, 0x81, 127}, 3, false},
        {128, {2, 0x81, 128}, 3, true},
        {255, {2, 0x81, 255}, 3, true},
        {255, {2, 0x82, 0, 255}, 4, false},
        {256, {2, 0x82, 1, 0}, 4, true},
        {256, {2, 0x83, 0, 1, 0}, 5, false},
        {2049, {2, 0x82, 8, 1}, 4, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rsa_kit_bytes numbers = {.len = 0}, der;
        uint8_t contents[2100];
        memset(contents, 0x5a, sizeof contents);
        rsa_kit_append(&numbers, cases[i].head, cases[i].head_len);
        rsa_kit_append(&numbers, contents, cases[i].len);
        for (int n = 1; n < 8; n++)
            rsa_kit_element(&numbers, 2, "\x01", 1);
        rsa_kit_build(&(struct rsa_kit_parts){.numbers = &numbers}, &der);
        struct rsa_der k;
        const char *why = rsa_der_read(der.bytes, der.len, &k);
        assert_true((why == NULL) == cases[i].good);
        if (why == NULL)
            assert_int_equal(k.n.len, cases[i].len);
    }
}

// Puts an INTEGER of these contents into each of the eight places in turn.
static void try_number(const uint8_t *contents, size_t len, bool good, size_t magnitude)
{
    for (int place = 0; place < 8; place++) {
        struct rsa_kit_bytes numbers = {.len = 0}, der;
        for (int n = 0; n < 8; n++)
            rsa_kit_element(&numbers, 2, n == place ? contents : (const uint8_t *)"\x01",
                            n == place ? len : 1);
        rsa_kit_build(&(struct rsa_kit_parts){.numbers = &numbers}, &der);
        struct rsa_der k;
        const char *why = rsa_der_read(der.bytes, der.len, &k);
        assert_true((why == NULL) == good);
        const struct rsa_number *const found[] = {&k.n, &k.e, &k.d, &k.p, &k.q, &k.dp, &k.dq, &k.qinv};
        if (good)
            assert_int_equal(found[place]->len, magnitude);
    }
}

static void integers(void **state)
{
    (void)state;
    try_number((const uint8_t[]){0}, 1, true, 0);
    try_number((const uint8_t[]){0x7f}, 1, true, 1);
    try_number((const uint8_t[]){0, 0x80}, 2, true, 1);
    try_number((const uint8_t[]){0, 0xff, 0}, 3, true, 2);
    try_number((const uint8_t[]){0}, 0, false, 0);          // no contents
    try_number((const uint8_t[]){0, 0}, 2, false, 0);       // leading zeros
    try_number((const uint8_t[]){0, 0x7f}, 2, false, 0);    // a zero without need
    try_number((const uint8_t[]){0, 0, 0x80}, 3, false, 0); // two zeros
    try_number((const uint8_t[]){0x80}, 1, false, 0);       // negative
    try_number((const uint8_t[]){0xff, 0x01}, 2, false, 0); // negative
    refuses_parts(&(struct rsa_kit_parts){.numbers = BYTES(2, 1, 1, 2, 1, 1)}, "not the eight numbers");
    refuses_parts(&(struct rsa_kit_parts){.numbers = BYTES(2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1,
                                                           1, 2, 1, 1)},
                  "not the eight numbers");
    refuses_parts(&(struct rsa_kit_parts){.numbers = BYTES(2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1,
                                                           1, 2, 1, 1, 4, 1, 1)},
                  "not the eight numbers");
}

static void what_stands_beside(void **state)
{
    (void)state;
    struct rsa_kit_bytes der;
    rsa_kit_build(&(struct rsa_kit_parts){.version = NULL}, &der);
    rsa_kit_append(&der, "\0", 1);
    refuses(&der, "something behind the PKCS#8");
    refuses_parts(&(struct rsa_kit_parts){.behind_key = BYTES(0xa0, 0)}, "attributes or a public key");
    refuses_parts(&(struct rsa_kit_parts){.behind_key = BYTES(0x81, 1, 0)}, "attributes or a public key");
    refuses_parts(&(struct rsa_kit_parts){.behind_sequence = BYTES(5, 0)}, "not an RSAPrivateKey");
    refuses_parts(&(struct rsa_kit_parts){.behind_numbers = BYTES(2, 1, 1)}, "behind the eight numbers");
    refuses_parts(&(struct rsa_kit_parts){.behind_numbers = BYTES(0x30, 0)}, "behind the eight numbers");
}

static void versions_and_algorithms(void **state)
{
    (void)state;
    refuses_parts(&(struct rsa_kit_parts){.version = BYTES(2, 1, 1)}, "later version");
    refuses_parts(&(struct rsa_kit_parts){.version = BYTES(2, 2, 1, 0)}, "not PKCS#8");
    refuses_parts(&(struct rsa_kit_parts){.version = BYTES(2, 1, 0xff)}, "not PKCS#8");
    refuses_parts(&(struct rsa_kit_parts){.key_version = BYTES(2, 1, 1)}, "more than two primes");
    refuses_parts(&(struct rsa_kit_parts){.key_version = BYTES(2, 1, 2)}, "unknown version");
    // Without NULL; with something else in its place; with more behind it; RSASSA-PSS; id-ecPublicKey.
    refuses_parts(&(struct rsa_kit_parts){.algorithm = BYTES(0x30, 0x0b, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                             0x0d, 1, 1, 1)},
                  "another algorithm");
    refuses_parts(&(struct rsa_kit_parts){.algorithm = BYTES(0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                             0x0d, 1, 1, 1, 0x30, 0)},
                  "another algorithm");
    refuses_parts(&(struct rsa_kit_parts){.algorithm = BYTES(0x30, 0x0f, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                             0x0d, 1, 1, 1, 5, 0, 5, 0)},
                  "another algorithm");
    refuses_parts(&(struct rsa_kit_parts){.algorithm = BYTES(0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                             0x0d, 1, 1, 10, 5, 0)},
                  "another algorithm");
    refuses_parts(
        &(struct rsa_kit_parts){.algorithm = BYTES(0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8,
                                                   0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7)},
        "another algorithm");
    refuses_parts(&(struct rsa_kit_parts){.algorithm = BYTES(0x31, 0)}, "not PKCS#8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_found),
        cmocka_unit_test(keys_of_openssl),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(lengths_have_one_form),
        cmocka_unit_test(long_numbers),
        cmocka_unit_test(integers),
        cmocka_unit_test(what_stands_beside),
        cmocka_unit_test(versions_and_algorithms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
