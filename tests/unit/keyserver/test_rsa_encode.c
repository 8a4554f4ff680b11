// Blocks that we encode and raise to d ourselves verify as signatures by OpenSSL, for every hash, both
// paddings and moduli whose length is no multiple of eight bits; a modulus too short is refused.
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "keyserver/rsa_encode.h"

static const struct {
    enum ski_hash hash;
    const char *name; // OpenSSL's
    size_t len;
} hashes[] = {
    {SKI_MD5_SHA1, "MD5-SHA1", 36}, {SKI_SHA1, "SHA1", 20},     {SKI_SHA224, "SHA224", 28},
    {SKI_SHA256, "SHA256", 32},     {SKI_SHA384, "SHA384", 48}, {SKI_SHA512, "SHA512", 64},
};
#define HASHES (sizeof hashes / sizeof hashes[0])

static const unsigned sizes[] = {2048, 2049, 3001}; // 2049: the PSS block is a byte shorter than the modulus

static int teardown(void **state)
{
    (void)state;
    kit_release();
    return 0;
}

static void raw_private(EVP_PKEY *key, const uint8_t *em, size_t len, uint8_t *signature)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t out_len = len;
    assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    assert_int_equal(EVP_PKEY_decrypt(ctx, signature, &out_len, em, len), 1);
    assert_int_equal(out_len, len);
    EVP_PKEY_CTX_free(ctx);
}

static bool verifies(EVP_PKEY *key, int padding, const char *md_name, const uint8_t *digest,
                     size_t digest_len, const uint8_t *signature, size_t len)
{
    EVP_MD *md = EVP_MD_fetch(NULL, md_name, NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, padding), 1);
    assert_int_equal(EVP_PKEY_CTX_set_signature_md(ctx, md), 1);
    if (padding == RSA_PKCS1_PSS_PADDING)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST), 1);
    bool good = EVP_PKEY_verify(ctx, signature, len, digest, digest_len) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_MD_free(md);
    return good;
}

static void digests_are_those_of_openssl(void **state)
{
    (void)state;
    uint8_t data[201], digest[SKI_DIGEST_MAX], expected[EVP_MAX_MD_SIZE];
    assert_int_equal(RAND_bytes(data, sizeof data), 1);
    for (size_t h = 0; h < HASHES; h++) {
        size_t len;
        assert_int_equal(ski_digest(hashes[h].hash, data, sizeof data, digest), hashes[h].len);
        assert_int_equal(EVP_Q_digest(NULL, hashes[h].name, NULL, data, sizeof data, expected, &len), 1);
        assert_int_equal(len, hashes[h].len);
        assert_memory_equal(digest, expected, len);
    }
    // TLS 1.0: MD5, then SHA-1.
    size_t len;
    assert_int_equal(ski_digest(SKI_MD5_SHA1, data, sizeof data, digest), 36);
    assert_int_equal(EVP_Q_digest(NULL, "MD5", NULL, data, sizeof data, expected, &len), 1);
    assert_memory_equal(digest, expected, 16);
    assert_int_equal(EVP_Q_digest(NULL, "SHA1", NULL, data, sizeof data, expected, &len), 1);
    assert_memory_equal(digest + 16, expected, 20);
}

static void every_hash_and_size_verifies(int padding)
{
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        EVP_PKEY *key = kit_rsa(sizes[s], 0);
        size_t em_len = (sizes[s] + 7) / 8;
        for (size_t h = 0; h < HASHES; h++) {
            uint8_t em[512], signature[512], digest[SKI_DIGEST_MAX], data[133];
            if (padding == RSA_PKCS1_PSS_PADDING && hashes[h].hash == SKI_MD5_SHA1)
                continue;
            assert_int_equal(RAND_bytes(data, sizeof data), 1);
            size_t len = ski_digest(hashes[h].hash, data, sizeof data, digest);
            memset(em, 0xee, sizeof em);
            assert_true(padding == RSA_PKCS1_PADDING
                            ? rsa_encode_pkcs1(hashes[h].hash, digest, len, em, em_len)
                            : rsa_encode_pss(hashes[h].hash, digest, len, sizes[s], em, em_len));
            assert_int_equal(em[em_len], 0xee);
            raw_private(key, em, em_len, signature);
            assert_true(verifies(key, padding, hashes[h].name, digest, len, signature, em_len));
            digest[0] ^= 1;
            assert_false(verifies(key, padding, hashes[h].name, digest, len, signature, em_len));
        }
    }
}

static void pkcs1_verifies(void **state)
{
    (void)state;
    every_hash_and_size_verifies(RSA_PKCS1_PADDING);
}

static void pss_verifies(void **state)
{
    (void)state;
    every_hash_and_size_verifies(RSA_PKCS1_PSS_PADDING);
}

static void md5_sha1_has_no_digest_info(void **state)
{
    (void)state;
    uint8_t digest[36], em[256];
    assert_int_equal(RAND_bytes(digest, sizeof digest), 1);
    assert_true(rsa_encode_pkcs1(SKI_MD5_SHA1, digest, sizeof digest, em, sizeof em));
    assert_int_equal(em[0], 0);
    assert_int_equal(em[1], 1);
    for (size_t i = 2; i < 256 - 37; i++)
        assert_int_equal(em[i], 0xff);
    assert_int_equal(em[256 - 37], 0);
    assert_memory_equal(em + 256 - 36, digest, 36);
}

static void salts_are_fresh(void **state)
{
    (void)state;
    uint8_t digest[32] = {0}, a[256], b[256];
    assert_true(rsa_encode_pss(SKI_SHA256, digest, sizeof digest, 2048, a, sizeof a));
    assert_true(rsa_encode_pss(SKI_SHA256, digest, sizeof digest, 2048, b, sizeof b));
    assert_memory_not_equal(a, b, sizeof a);
}

// The number must be below the modulus: its top bits are zero.
static void pss_blocks_fit_any_modulus(void **state)
{
    (void)state;
    for (unsigned bits = 2041; bits <= 2060; bits++) {
        size_t em_len = (bits + 7) / 8;
        for (int round = 0; round < 16; round++) {
            uint8_t digest[32] = {(uint8_t)round}, em[512];
            assert_true(rsa_encode_pss(SKI_SHA256, digest, sizeof digest, bits, em, em_len));
            assert_int_equal(em[em_len - 1], 0xbc);
            unsigned top = (unsigned)em[0] << 8 | em[1];
            assert_int_equal(top >> (15 - (8 * em_len - bits)), 0);
        }
    }
}

static void too_short_moduli(void **state)
{
    (void)state;
    static const size_t info[] = {0, 15, 19, 19, 19, 19};
    for (size_t h = 0; h < HASHES; h++) {
        uint8_t digest[SKI_DIGEST_MAX] = {1};
        // PKCS#1: eight bytes of padding at least (RFC 8017 section 9.2). PSS: digest, salt and two bytes.
        size_t least = 11 + info[h] + hashes[h].len;
        for (size_t len = 0; len <= least; len++) {
            uint8_t *em = malloc(len + 1); // the exact size: a write beyond is seen
            assert_int_equal(rsa_encode_pkcs1(hashes[h].hash, digest, hashes[h].len, em + 1, len),
                             len == least);
            free(em);
        }
        if (hashes[h].hash == SKI_MD5_SHA1)
            continue;
        least = 2 * hashes[h].len + 2;
        for (size_t len = 1; len <= least; len++) {
            uint8_t *em = malloc(len + 1);
            assert_int_equal(
                rsa_encode_pss(hashes[h].hash, digest, hashes[h].len, (unsigned)(8 * len), em + 1, len),
                len == least);
            free(em);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_openssl),
        cmocka_unit_test(pkcs1_verifies),
        cmocka_unit_test(pss_verifies),
        cmocka_unit_test(md5_sha1_has_no_digest_info),
        cmocka_unit_test(salts_are_fresh),
        cmocka_unit_test(pss_blocks_fit_any_modulus),
        cmocka_unit_test(too_short_moduli),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
