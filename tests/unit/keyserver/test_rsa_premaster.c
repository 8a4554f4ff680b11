// One outcome to the eye: a good block gives its premaster, every other one 48 bytes that depend on the key,
// the ciphertext and the version alone.
#include "keyserver/rsa_premaster.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#define K 256 // bytes of the modulus

static const uint8_t version[2] = {3, 3};
static uint8_t secret[RSA_FALLBACK_SECRET_LEN], ciphertext[K], block[K];

// 00 02 | padding | 00 | premaster, with a premaster of `len` bytes that starts with the version.
static void make_block(size_t len)
{
    assert_int_equal(RAND_bytes(block, sizeof block), 1);
    for (size_t i = 0; i < K; i++)
        block[i] |= 1; // no zero anywhere but where one is put
    block[0] = 0;
    block[1] = 2;
    block[K - len - 1] = 0;
    if (len >= 1)
        block[K - len] = version[0];
    if (len >= 2)
        block[K - len + 1] = version[1];
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(RAND_bytes(secret, sizeof secret), 1);
    assert_int_equal(RAND_bytes(ciphertext, sizeof ciphertext), 1);
    return 0;
}

static void extract(uint32_t must_fail, uint8_t premaster[static 48])
{
    uint8_t out[50];
    memset(out, 0xee, sizeof out);
    assert_true(rsa_premaster_extract(block, K, must_fail, version, secret, ciphertext, out));
    assert_int_equal(out[48], 0xee); // 48 bytes, neither more nor less
    memcpy(premaster, out, 48);
}

// What the header promises, computed on its own.
static void expected_fallback(const uint8_t v[2], uint8_t premaster[static 48])
{
    uint8_t message[2 + K], mac[48];
    unsigned len = sizeof mac;
    memcpy(message, v, 2);
    memcpy(message + 2, ciphertext, K);
    assert_non_null(HMAC(EVP_sha384(), secret, sizeof secret, message, sizeof message, mac, &len));
    memcpy(premaster, mac, 48);
    memcpy(premaster, v, 2);
}

static void assert_good(void)
{
    uint8_t out[48];
    extract(0, out);
    assert_memory_equal(out, block + K - 48, 48);
}

static void assert_bad_with(uint32_t must_fail)
{
    uint8_t out[48], again[48], expected[48];
    extract(must_fail, out);
    extract(must_fail, again);
    expected_fallback(version, expected);
    assert_memory_equal(out, expected, 48);
    assert_memory_equal(out, again, 48);
}

static void assert_bad(void)
{
    assert_bad_with(0);
}

static void a_good_block(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        make_block(48);
        assert_good();
    }
    // The premaster itself may hold anything, zeros too.
    memset(block + K - 46, 0, 46);
    assert_good();
    memset(block + K - 46, 0xff, 46);
    assert_good();
}

static void every_wrong_first_or_type_byte(void **state)
{
    (void)state;
    make_block(48);
    for (unsigned v = 0; v < 256; v++) {
        block[0] = (uint8_t)v;
        v == 0 ? assert_good() : assert_bad();
    }
    block[0] = 0;
    for (unsigned v = 0; v < 256; v++) {
        block[1] = (uint8_t)v;
        v == 2 ? assert_good() : assert_bad();
    }
}

static void a_zero_at_every_place_of_the_padding(void **state)
{
    (void)state;
    make_block(48);
    for (size_t i = 2; i < K - 49; i++) {
        uint8_t kept = block[i];
        block[i] = 0;
        assert_bad();
        block[i] = kept;
        assert_good();
    }
}

static void no_separator_or_another_byte_in_its_place(void **state)
{
    (void)state;
    make_block(48);
    for (unsigned v = 1; v < 256; v++) {
        block[K - 49] = (uint8_t)v;
        assert_bad();
    }
}

// A premaster of any other length is a separator too early or too late.
static void premasters_of_other_lengths(void **state)
{
    (void)state;
    for (size_t len = 0; len <= K - 3; len++) {
        make_block(len);
        len == 48 ? assert_good() : assert_bad();
    }
}

static void every_wrong_version(void **state)
{
    (void)state;
    make_block(48);
    for (unsigned v = 0; v < 65536; v += (v >> 8) == 3 ? 1 : 97) {
        block[K - 48] = (uint8_t)(v >> 8);
        block[K - 47] = (uint8_t)v;
        v == 0x0303 ? assert_good() : assert_bad();
    }
}

static void all_alike(void **state)
{
    (void)state;
    static const uint8_t fills[] = {0, 1, 2, 0xff};
    for (size_t i = 0; i < sizeof fills; i++) {
        memset(block, fills[i], sizeof block);
        assert_bad();
    }
}

static void must_fail_wins_over_a_good_block(void **state)
{
    (void)state;
    make_block(48);
    assert_good();
    assert_bad_with(0xffffffff);
    make_block(47);
    assert_bad_with(0xffffffff);
}

static void the_fallback_depends_on_key_ciphertext_and_version(void **state)
{
    (void)state;
    static const uint8_t other_version[2] = {3, 1};
    uint8_t first[48], out[48];
    make_block(47);
    extract(0, first);

    ciphertext[K - 1] ^= 1;
    extract(0, out);
    assert_memory_not_equal(out + 2, first + 2, 46);
    ciphertext[K - 1] ^= 1;

    secret[0] ^= 1;
    extract(0, out);
    assert_memory_not_equal(out + 2, first + 2, 46);
    secret[0] ^= 1;

    assert_true(rsa_premaster_extract(block, K, 0, other_version, secret, ciphertext, out));
    assert_memory_equal(out, other_version, 2);
    assert_memory_not_equal(out + 2, first + 2, 46);

    // And not on what was decrypted.
    make_block(49);
    extract(0, out);
    assert_memory_equal(out, first, 48);
}

static void versions_of_dtls(void **state)
{
    (void)state;
    static const uint8_t dtls[2] = {0xfe, 0xfd};
    uint8_t out[48];
    make_block(48);
    memcpy(block + K - 48, dtls, 2);
    assert_true(rsa_premaster_extract(block, K, 0, dtls, secret, ciphertext, out));
    assert_memory_equal(out, block + K - 48, 48);
    assert_bad(); // for TLS 1.2 it is a wrong one
}

static void secrets_of_keys_differ(void **state)
{
    (void)state;
    uint8_t d[256] = {1}, a[RSA_FALLBACK_SECRET_LEN], b[RSA_FALLBACK_SECRET_LEN];
    assert_true(rsa_fallback_secret(d, sizeof d, a));
    assert_true(rsa_fallback_secret(d, sizeof d, b));
    assert_memory_equal(a, b, sizeof a);
    d[255] ^= 1;
    assert_true(rsa_fallback_secret(d, sizeof d, b));
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_block),
        cmocka_unit_test(every_wrong_first_or_type_byte),
        cmocka_unit_test(a_zero_at_every_place_of_the_padding),
        cmocka_unit_test(no_separator_or_another_byte_in_its_place),
        cmocka_unit_test(premasters_of_other_lengths),
        cmocka_unit_test(every_wrong_version),
        cmocka_unit_test(all_alike),
        cmocka_unit_test(must_fail_wins_over_a_good_block),
        cmocka_unit_test(the_fallback_depends_on_key_ciphertext_and_version),
        cmocka_unit_test(versions_of_dtls),
        cmocka_unit_test(secrets_of_keys_differ),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
