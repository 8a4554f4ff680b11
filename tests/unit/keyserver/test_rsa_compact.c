// Keys as their primes: the same PKCS#8 byte for byte comes back, or the key is kept whole.
#include "rsa_kit.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "keyserver/rsa/rsa_compact.h"

static enum rsa_compact_status encode(const struct rsa_kit_bytes *der, struct rsa_kit_bytes *out,
                                      const char **why)
{
    uint8_t *exact = malloc(der->len); // exactly the room that is promised to be enough
    size_t len = 1;
    assert_non_null(exact);
    memset(exact, 0, der->len);
    enum rsa_compact_status status = rsa_compact_encode(der->bytes, der->len, exact, &len, why);
    if (status != RSA_COMPACT_OK) {
        assert_int_equal(len, 0);
        for (size_t i = 0; i < der->len; i++)
            assert_int_equal(exact[i], 0);
    }
    out->len = 0;
    rsa_kit_append(out, exact, len);
    free(exact);
    return status;
}

static enum rsa_compact_status decode(const struct rsa_kit_bytes *compact, struct rsa_kit_bytes *out)
{
    size_t len = 1, room = RSA_COMPACT_DER_ROOM(compact->len);
    uint8_t *exact = malloc(room), *in = malloc(compact->len + 1);
    assert_true(exact != NULL && in != NULL);
    memcpy(in, compact->bytes, compact->len);
    memset(exact, 0xee, room);
    enum rsa_compact_status status = rsa_compact_decode(in, compact->len, exact, &len);
    assert_true((status == RSA_COMPACT_OK) == (len != 0));
    for (size_t i = len; i < room; i++)
        assert_int_equal(exact[i], 0);
    out->len = 0;
    rsa_kit_append(out, exact, len);
    free(exact);
    free(in);
    return status;
}

static void comes_back(const struct rsa_kit_bytes *der, size_t expected_len)
{
    struct rsa_kit_bytes compact, again;
    const char *why = "";
    assert_int_equal(encode(der, &compact, &why), RSA_COMPACT_OK);
    assert_null(why);
    assert_int_equal(compact.len, expected_len);
    assert_int_equal(decode(&compact, &again), RSA_COMPACT_OK);
    assert_int_equal(again.len, der->len);
    assert_memory_equal(again.bytes, der->bytes, der->len);
}

static void stays_whole(const struct rsa_kit_key *key, const char *what)
{
    struct rsa_kit_bytes der, compact;
    const char *why = NULL;
    rsa_kit_key_der(key, &der);
    assert_int_equal(encode(&der, &compact, &why), RSA_COMPACT_WHOLE);
    assert_non_null(strstr(why, what));
    assert_int_equal(encode(&der, &compact, NULL), RSA_COMPACT_WHOLE);
}

static void keys_of_openssl(void **state)
{
    (void)state;
    static const unsigned bits[] = {1024, 2048, 3072};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        EVP_PKEY *pkey = EVP_RSA_gen(bits[i]);
        PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(pkey);
        unsigned char *bytes = NULL;
        struct rsa_kit_bytes der = {.len = 0};
        int len = i2d_PKCS8_PRIV_KEY_INFO(p8, &bytes);
        assert_true(len > 0);
        rsa_kit_append(&der, bytes, (size_t)len);
        comes_back(&der, 10 + 3 + bits[i] / 8);
        OPENSSL_free(bytes);
        PKCS8_PRIV_KEY_INFO_free(p8);
        EVP_PKEY_free(pkey);
    }
}

// Both moduli of d, both orders of the primes, small and large e, primes of one length and of two.
static void every_usual_key(void **state)
{
    (void)state;
    static const int lengths[][2] = {{1024, 1024}, {1500, 548}, {1019, 1029}};
    for (size_t i = 0; i < 3; i++) {
        const BIGNUM *p = rsa_kit_prime(lengths[i][0], 0), *q = rsa_kit_prime(lengths[i][1], 1);
        for (unsigned kind = 0; kind < 8; kind++) {
            struct rsa_kit_key key;
            struct rsa_kit_bytes der;
            bool swapped = (kind & 2) != 0, small = (kind & 4) != 0;
            rsa_kit_key_make(&key, swapped ? q : p, swapped ? p : q, small ? 3 : 65537, (kind & 1) != 0);
            rsa_kit_key_der(&key, &der);
            comes_back(&der, (size_t)(10 + (small ? 1 : 3) + BN_num_bytes(p) + BN_num_bytes(q)));
            rsa_kit_key_free(&key);
        }
    }
}

static void largest_key(void **state)
{
    (void)state;
    struct rsa_kit_key key;
    struct rsa_kit_bytes der;
    rsa_kit_key_make(&key, rsa_kit_prime(2048, 0), rsa_kit_prime(2047, 1), 65537, true);
    rsa_kit_key_der(&key, &der);
    comes_back(&der, 10 + 3 + 512);
    rsa_kit_key_free(&key);
}

// One number at a time that is not the one its primes give, though some of these keys work.
static void unusual_numbers_stay_whole(void **state)
{
    (void)state;
    const BIGNUM *p = rsa_kit_prime(1024, 0), *q = rsa_kit_prime(1024, 1);
    for (int place = 0; place < RSA_KIT_NUMBERS; place++) {
        if (place == RSA_KIT_E)
            continue; // another e has another d
        struct rsa_kit_key key;
        rsa_kit_key_make(&key, p, q, 65537, true);
        assert_true(BN_add_word(key.number[place], 2));
        stays_whole(&key, "not the usual ones");
        rsa_kit_key_free(&key);
    }
    // d of twice the order more: a key that works.
    struct rsa_kit_key key, product;
    rsa_kit_key_make(&key, p, q, 65537, true);
    rsa_kit_key_make(&product, p, q, 65537, false);
    BIGNUM *order = BN_dup(key.number[RSA_KIT_N]);
    assert_true(BN_sub(order, order, p) && BN_sub(order, order, q) && BN_add_word(order, 1));
    assert_true(BN_add(key.number[RSA_KIT_D], product.number[RSA_KIT_D], order));
    stays_whole(&key, "not the usual ones");
    BN_free(order);
    rsa_kit_key_free(&key);
    rsa_kit_key_free(&product);
}

static void unusual_sizes_stay_whole(void **state)
{
    (void)state;
    const BIGNUM *p = rsa_kit_prime(1024, 0), *q = rsa_kit_prime(1024, 1);
    struct rsa_kit_key key;
    rsa_kit_key_make(&key, p, q, 65537, true);
    assert_true(BN_lshift(key.number[RSA_KIT_E], key.number[RSA_KIT_E], 64));
    stays_whole(&key, "exponent of more than 64 bits");
    BN_zero(key.number[RSA_KIT_E]);
    stays_whole(&key, "exponent");
    assert_true(BN_set_word(key.number[RSA_KIT_E], 65537));
    BN_zero(key.number[RSA_KIT_Q]);
    stays_whole(&key, "or none");
    assert_true(BN_lshift(key.number[RSA_KIT_Q], p, 8192));
    stays_whole(&key, "more than 8192 bits");
    rsa_kit_key_free(&key);
    // Even "primes", one, and two that are the same.
    static const unsigned long few[] = {1, 2, 4};
    for (size_t i = 0; i < 3; i++) {
        rsa_kit_key_make(&key, p, q, 65537, false);
        assert_true(BN_set_word(key.number[RSA_KIT_P], few[i]));
        stays_whole(&key, "not the usual ones");
        rsa_kit_key_free(&key);
    }
    rsa_kit_key_make(&key, p, q, 65537, false);
    assert_non_null(BN_copy(key.number[RSA_KIT_P], q));
    stays_whole(&key, "not the usual ones");
    rsa_kit_key_free(&key);
}

static void what_is_no_key(void **state)
{
    (void)state;
    struct rsa_kit_bytes der, compact;
    const char *why = NULL;
    rsa_kit_build(&(struct rsa_kit_parts){.version = NULL}, &der); // eight numbers of nothing
    assert_int_equal(encode(&der, &compact, &why), RSA_COMPACT_WHOLE);
    der.len--;
    assert_int_equal(encode(&der, &compact, &why), RSA_COMPACT_WHOLE);
    assert_string_equal(why, "not PKCS#8 in DER");
}

static void damaged_forms(void **state)
{
    (void)state;
    struct rsa_kit_key key;
    struct rsa_kit_bytes der, compact, again, bad;
    rsa_kit_key_make(&key, rsa_kit_prime(1024, 0), rsa_kit_prime(1024, 1), 65537, true);
    rsa_kit_key_der(&key, &der);
    rsa_kit_key_free(&key);
    assert_int_equal(encode(&der, &compact, NULL), RSA_COMPACT_OK);
    for (bad = compact; bad.len > 0;) { // cut anywhere
        bad.len--;
        assert_int_equal(decode(&bad, &again), RSA_COMPACT_MALFORMED);
    }
    bad = compact;
    rsa_kit_append(&bad, "", 1);
    assert_int_equal(decode(&bad, &again), RSA_COMPACT_MALFORMED);
    for (size_t i = 0; i < 6; i++) { // version and lengths
        bad = compact;
        bad.bytes[i] ^= 1;
        assert_int_equal(decode(&bad, &again), RSA_COMPACT_MALFORMED);
    }
    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {
        {6, 0xff},     // a divisor that does not divide
        {10, 0},       // e with a leading zero
        {12, 0},       // an even e
        {13, 0},       // p with a leading zero
        {13 + 127, 0}, // an even p
        {13 + 128, 0}, // q with a leading zero
        {13 + 255, 0}, // an even q
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bad = compact;
        bad.bytes[cases[i].at] = cases[i].value;
        assert_int_equal(decode(&bad, &again), RSA_COMPACT_MALFORMED);
    }
    bad = compact;
    memset(bad.bytes + 6, 0, 4); // divisor 0
    assert_int_equal(decode(&bad, &again), RSA_COMPACT_MALFORMED);
    bad = compact;
    memcpy(bad.bytes + 13, bad.bytes + 13 + 128, 128); // p is q
    assert_int_equal(decode(&bad, &again), RSA_COMPACT_MALFORMED);
}

static int release(void **state)
{
    (void)state;
    rsa_kit_release();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_openssl),
        cmocka_unit_test(every_usual_key),
        cmocka_unit_test(largest_key),
        cmocka_unit_test(unusual_numbers_stay_whole),
        cmocka_unit_test(unusual_sizes_stay_whole),
        cmocka_unit_test(what_is_no_key),
        cmocka_unit_test(damaged_forms),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
