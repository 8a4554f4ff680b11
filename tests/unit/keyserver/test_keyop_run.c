// The operation with real keys: what it signs verifies by OpenSSL as each version of TLS and each hash ask,
// and what it decrypts looks alike whatever the ciphertext is.
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "keyserver/keyop_run.h"

static int teardown(void **state)
{
    (void)state;
    kit_release();
    return 0;
}

static const struct {
    enum ski_protocol protocol;
    bool old; // TLS 1.0 and 1.1: the hash is not chosen
} protocols[] = {{SKI_TLS_1_0, true},
                 {SKI_TLS_1_1, true},
                 {SKI_DTLS_1_0, true},
                 {SKI_TLS_1_2, false},
                 {SKI_DTLS_1_2, false}};

static const char *const md_names[SKI_HASHES] = {
    [SKI_MD5_SHA1] = "MD5-SHA1", [SKI_SHA1] = "SHA1",     [SKI_SHA224] = "SHA224",
    [SKI_SHA256] = "SHA256",     [SKI_SHA384] = "SHA384", [SKI_SHA512] = "SHA512",
};

static struct ski_request sign_request(enum ski_protocol protocol, enum ski_hash hash)
{
    struct ski_request r;
    memset(&r, 0, sizeof r);
    r.method = SKI_METHOD_ECDHE;
    r.protocol = protocol;
    r.hash = hash;
    r.input_len = kit_ecdhe_input(&kit_curves[hash % KIT_CURVES], r.input);
    return r;
}

// As a TLS client verifies: over the input itself.
static bool verifies(EVP_PKEY *pkey, const char *md, bool pss, const struct ski_request *r,
                     const uint8_t *signature, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_ctx;
    assert_int_equal(EVP_DigestVerifyInit_ex(ctx, &key_ctx, md, NULL, NULL, pkey, NULL), 1);
    if (pss) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    bool good = EVP_DigestVerify(ctx, signature, len, r->input, r->input_len) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static void assert_signs(EVP_PKEY *pkey, struct ks_key *key, const struct ski_request *r, const char *md)
{
    uint8_t output[SKI_OUTPUT_MAX];
    size_t len = 0;
    assert_int_equal(keyop_run(r, key, output, &len), SKI_OK);
    if (key->type == KEYRECORD_RSA)
        assert_int_equal(len, key->size);
    assert_true(verifies(pkey, md, r->padding == SKI_PSS, r, output, len));
    output[len - 1] ^= 1;
    assert_false(verifies(pkey, md, r->padding == SKI_PSS, r, output, len));
}

static void signs_as_every_protocol_asks(EVP_PKEY *pkey)
{
    struct ks_key *key = kit_key(pkey);
    for (size_t p = 0; p < sizeof protocols / sizeof protocols[0]; p++)
        for (enum ski_hash hash = SKI_MD5_SHA1; hash < SKI_HASHES; hash++) {
            if (protocols[p].old != (hash == SKI_MD5_SHA1))
                continue;
            struct ski_request r = sign_request(protocols[p].protocol, hash);
            // ECDSA before TLS 1.2 is over SHA-1 alone (RFC 8422 section 5.10).
            bool sha1 = key->type == KEYRECORD_EC && hash == SKI_MD5_SHA1;
            assert_signs(pkey, key, &r, md_names[sha1 ? SKI_SHA1 : hash]);
        }
    ks_key_unref(&key);
}

static void rsa_signs(void **state)
{
    (void)state;
    signs_as_every_protocol_asks(kit_rsa(2048, 0));
}

static void rsa_4096_signs(void **state)
{
    (void)state;
    struct ks_key *key = kit_key(kit_rsa(4096, 0));
    struct ski_request r = sign_request(SKI_TLS_1_2, SKI_SHA256);
    assert_signs(kit_rsa(4096, 0), key, &r, "SHA256");
    ks_key_unref(&key);
}

static void rsa_of_an_odd_size_signs_and_decrypts(void **state)
{
    (void)state;
    EVP_PKEY *pkey = kit_rsa(2049, 0);
    struct ks_key *key = kit_key(pkey);
    assert_int_equal(key->size, 257);
    struct ski_request r = sign_request(SKI_TLS_1_2, SKI_SHA512);
    assert_signs(pkey, key, &r, "SHA512");
    r.padding = SKI_PSS;
    assert_signs(pkey, key, &r, "SHA512");
    ks_key_unref(&key);
}

static void ec_signs(void **state)
{
    (void)state;
    signs_as_every_protocol_asks(kit_ec("P-256", 0));
    signs_as_every_protocol_asks(kit_ec("P-384", 0));
    signs_as_every_protocol_asks(kit_ec("P-521", 0));
}

static void schemes_bind_key_type_and_curve(void **state)
{
    (void)state;
    struct ks_key *keys[] = {kit_key(kit_rsa(2048, 0)), kit_key(kit_ec("P-256", 0)),
                             kit_key(kit_ec("P-384", 0)), kit_key(kit_ec("P-521", 0))};
    for (size_t k = 0; k < 4; k++)
        for (unsigned type = 0; type <= KEYRECORD_EC; type++)
            for (unsigned bits = 0; bits < 3; bits++) {
                static const unsigned sizes[] = {0, 256, 521};
                uint8_t output[SKI_OUTPUT_MAX];
                size_t len;
                struct ski_request r = sign_request(SKI_TLS_1_2, SKI_SHA256);
                r.scheme_key = type;
                r.scheme_bits = sizes[bits];
                bool fits = (type == 0 || type == keys[k]->type) &&
                            (sizes[bits] == 0 || sizes[bits] == keys[k]->bits);
                assert_int_equal(keyop_run(&r, keys[k], output, &len), fits ? SKI_OK : SKI_MALFORMED);
            }
    for (size_t k = 0; k < 4; k++)
        ks_key_unref(&keys[k]);
}

static void tls13_signatures(void **state)
{
    (void)state;
    static const struct {
        const char *group; // NULL: RSA with PSS
        enum ski_hash hash;
    } cases[] = {{NULL, SKI_SHA256},    {NULL, SKI_SHA384},    {NULL, SKI_SHA512},
                 {"P-256", SKI_SHA256}, {"P-384", SKI_SHA384}, {"P-521", SKI_SHA512}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        EVP_PKEY *pkey = cases[i].group == NULL ? kit_rsa(2048, 0) : kit_ec(cases[i].group, 0);
        struct ks_key *key = kit_key(pkey);
        struct ski_request r = sign_request(SKI_TLS_1_3, cases[i].hash);
        r.input_len = kit_tls13_input(48, r.input);
        r.padding = cases[i].group == NULL ? SKI_PSS : SKI_PKCS1;
        r.scheme_key = key->type;
        r.scheme_bits = cases[i].group == NULL ? 0 : key->bits;
        assert_signs(pkey, key, &r, md_names[cases[i].hash]);
        ks_key_unref(&key);
    }
}

// ---- decryption

static struct ski_request decrypt_request(const struct ks_key *key)
{
    struct ski_request r;
    memset(&r, 0, sizeof r);
    r.method = SKI_METHOD_RSA;
    r.protocol = r.client_version = SKI_TLS_1_2;
    r.input_len = key->size;
    return r;
}

// m^e mod n of a whole block.
static void encrypt_block(EVP_PKEY *pkey, const uint8_t *block, size_t len, uint8_t *ciphertext)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    size_t out_len = len;
    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    assert_int_equal(EVP_PKEY_encrypt(ctx, ciphertext, &out_len, block, len), 1);
    assert_int_equal(out_len, len);
    EVP_PKEY_CTX_free(ctx);
}

static void expected_fallback(const struct ks_key *key, const struct ski_request *r,
                              uint8_t premaster[static 48])
{
    uint8_t message[2 + SKI_INPUT_MAX];
    unsigned len = 48;
    ski_protocol_bytes(r->client_version, message);
    memcpy(message + 2, r->input, r->input_len);
    assert_non_null(HMAC(EVP_sha384(), key->fallback_secret, RSA_FALLBACK_SECRET_LEN, message,
                         2 + r->input_len, premaster, &len));
    memcpy(premaster, message, 2);
}

static void decrypt(struct ks_key *key, const struct ski_request *r, uint8_t premaster[static 48])
{
    uint8_t output[SKI_OUTPUT_MAX];
    size_t len = 0;
    memset(output, 0xee, sizeof output);
    assert_int_equal(keyop_run(r, key, output, &len), SKI_OK);
    assert_int_equal(len, 48);
    assert_int_equal(output[48], 0xee);
    memcpy(premaster, output, 48);
}

static void good_ciphertexts(void **state)
{
    (void)state;
    static const struct {
        enum ski_protocol version;
        uint8_t bytes[2];
    } versions[] = {{SKI_TLS_1_0, {3, 1}},
                    {SKI_TLS_1_1, {3, 2}},
                    {SKI_TLS_1_2, {3, 3}},
                    {SKI_DTLS_1_0, {0xfe, 0xff}},
                    {SKI_DTLS_1_2, {0xfe, 0xfd}}};
    static const unsigned sizes[] = {2048, 2049, 4096};
    for (size_t s = 0; s < 3; s++) {
        EVP_PKEY *pkey = kit_rsa(sizes[s], 0);
        struct ks_key *key = kit_key(pkey);
        for (size_t v = 0; v < sizeof versions / sizeof versions[0]; v++) {
            struct ski_request r = decrypt_request(key);
            uint8_t premaster[48], output[48];
            EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
            assert_int_equal(RAND_bytes(premaster, sizeof premaster), 1);
            memcpy(premaster, versions[v].bytes, 2);
            assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1); // PKCS#1 v1.5 by default: as a TLS client does
            assert_int_equal(EVP_PKEY_encrypt(ctx, r.input, &r.input_len, premaster, sizeof premaster), 1);
            EVP_PKEY_CTX_free(ctx);
            r.client_version = versions[v].version;
            decrypt(key, &r, output);
            assert_memory_equal(output, premaster, 48);
            // The version that the client offered counts, not the negotiated one.
            r.protocol = SKI_TLS_1_0;
            decrypt(key, &r, output);
            assert_memory_equal(output, premaster, 48);
            r.client_version = versions[v].version == SKI_TLS_1_0 ? SKI_TLS_1_2 : SKI_TLS_1_0;
            decrypt(key, &r, output);
            expected_fallback(key, &r, premaster);
            assert_memory_equal(output, premaster, 48);
        }
        ks_key_unref(&key);
    }
}

// Random ciphertexts, nearly all of them malformed: each is answered in the form of a good one, the same
// again, and the same by a key that was decoded anew, as after a restart.
static void random_ciphertexts(void **state)
{
    (void)state;
    struct ks_key *key = kit_key(kit_rsa(2048, 0)), *restarted = kit_key(kit_rsa(2048, 0));
    uint8_t last[48] = {0};
    for (int i = 0; i < 1000; i++) {
        struct ski_request r = decrypt_request(key);
        uint8_t output[48], again[48], expected[48];
        assert_int_equal(RAND_bytes(r.input, (int)key->size), 1);
        decrypt(key, &r, output);
        expected_fallback(key, &r, expected);
        assert_memory_equal(output, expected, 48);
        assert_memory_not_equal(output + 2, last + 2, 46);
        memcpy(last, output, 48);
        if (i % 10 == 0) {
            decrypt(key, &r, again);
            assert_memory_equal(output, again, 48);
            decrypt(restarted, &r, again);
            assert_memory_equal(output, again, 48);
        }
    }
    ks_key_unref(&key);
    ks_key_unref(&restarted);
}

static void edges_of_the_range(void **state)
{
    (void)state;
    EVP_PKEY *pkey = kit_rsa(2048, 0);
    struct ks_key *key = kit_key(pkey), *restarted = kit_key(pkey);
    BIGNUM *n = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    struct ski_request cases[8]; // 0, 1, 2, n - 2, n - 1, n, n + 1, all ff
    for (size_t i = 0; i < 8; i++) {
        cases[i] = decrypt_request(key);
        if (i < 3) {
            cases[i].input[key->size - 1] = (uint8_t)i;
        } else if (i < 7) {
            BIGNUM *c = BN_dup(n);
            assert_int_equal(i < 5 ? BN_sub_word(c, 5 - i) : BN_add_word(c, i - 5), 1);
            assert_int_equal(BN_bn2binpad(c, cases[i].input, (int)key->size), (int)key->size);
            BN_free(c);
        } else {
            memset(cases[i].input, 0xff, key->size);
        }
    }
    uint8_t outputs[8][48];
    for (size_t i = 0; i < 8; i++) {
        uint8_t again[48], expected[48];
        decrypt(key, &cases[i], outputs[i]);
        decrypt(restarted, &cases[i], again);
        expected_fallback(key, &cases[i], expected);
        assert_memory_equal(outputs[i], again, 48);
        assert_memory_equal(outputs[i], expected, 48);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(outputs[i], outputs[k], 48);
    }
    BN_free(n);
    ks_key_unref(&key);
    ks_key_unref(&restarted);
}

// c and c + n decrypt to the same block; only the first is a ciphertext.
static void a_good_ciphertext_plus_the_modulus(void **state)
{
    (void)state;
    EVP_PKEY *pkey = kit_rsa(2048, 0);
    struct ks_key *key = kit_key(pkey);
    struct ski_request r = decrypt_request(key);
    uint8_t block[256], output[48], expected[48];
    BIGNUM *n = NULL, *c = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    do { // until the sum still has 2048 bits
        memset(block, 0x55, sizeof block);
        assert_int_equal(RAND_bytes(block + 256 - 46, 46), 1);
        block[0] = 0;
        block[1] = 2;
        block[256 - 49] = 0;
        block[256 - 48] = block[256 - 47] = 3;
        encrypt_block(pkey, block, sizeof block, r.input);
        BN_free(c);
        c = BN_bin2bn(r.input, 256, NULL);
        assert_int_equal(BN_add(c, c, n), 1);
    } while (BN_num_bits(c) > 2048);
    decrypt(key, &r, output);
    assert_memory_equal(output, block + 256 - 48, 48);
    assert_int_equal(BN_bn2binpad(c, r.input, 256), 256);
    decrypt(key, &r, output);
    expected_fallback(key, &r, expected);
    assert_memory_equal(output, expected, 48);
    BN_free(n);
    BN_free(c);
    ks_key_unref(&key);
}

// Every kind of malformed plaintext, through the whole operation.
static void malformed_plaintexts(void **state)
{
    (void)state;
    EVP_PKEY *pkey = kit_rsa(2048, 0);
    struct ks_key *key = kit_key(pkey);
    for (int kind = 0; kind < 12; kind++) {
        struct ski_request r = decrypt_request(key);
        uint8_t block[256], output[48], expected[48];
        static const size_t lengths[] = {48, 48, 48, 48, 48, 48, 48, 47, 49, 0, 1, 2};
        size_t premaster = sizeof block - lengths[kind];
        memset(block, 0x55, sizeof block);
        block[0] = 0;
        block[1] = 2;
        block[premaster - 1] = 0;
        if (premaster < 255) {
            block[premaster] = 3;
            block[premaster + 1] = 3;
        }
        switch (kind) {
        case 1:
            block[1] = 1; // type
            break;
        case 2:
            block[1] = 3;
            break;
        case 3:
            block[2] = 0; // a zero in the first byte of the padding
            break;
        case 4:
            block[premaster - 2] = 0; // and in its last
            break;
        case 5:
            block[premaster - 1] = 0x55; // no separator
            break;
        case 6:
            block[premaster + 1] = 2; // version
            break;
        default:
            break;
        }
        encrypt_block(pkey, block, sizeof block, r.input);
        decrypt(key, &r, output);
        expected_fallback(key, &r, expected);
        assert_memory_equal(output, kind == 0 ? block + premaster : expected, 48);
    }
    ks_key_unref(&key);
}

static void keys_differ_in_their_fallback(void **state)
{
    (void)state;
    struct ks_key *a = kit_key(kit_rsa(2048, 0)), *b = kit_key(kit_rsa(2048, 1));
    struct ski_request r = decrypt_request(a);
    uint8_t of_a[48], of_b[48];
    memset(r.input, 0xff, r.input_len);
    decrypt(a, &r, of_a);
    decrypt(b, &r, of_b);
    assert_memory_equal(of_a, of_b, 2);
    assert_memory_not_equal(of_a + 2, of_b + 2, 46);
    ks_key_unref(&a);
    ks_key_unref(&b);
}

static void what_does_not_fit_the_key(void **state)
{
    (void)state;
    struct ks_key *rsa = kit_key(kit_rsa(2048, 0)), *ec = kit_key(kit_ec("P-256", 0));
    uint8_t output[SKI_OUTPUT_MAX];
    size_t len;
    struct ski_request r = decrypt_request(rsa);
    static const size_t lengths[] = {10, 48, 255, 257, 512, SKI_INPUT_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        r.input_len = lengths[i];
        assert_int_equal(keyop_run(&r, rsa, output, &len), SKI_MALFORMED);
        assert_int_equal(len, 0);
    }
    r.input_len = 256;
    assert_int_equal(keyop_run(&r, rsa, output, &len), SKI_OK);
    assert_int_equal(keyop_run(&r, ec, output, &len), SKI_MALFORMED);
    r.input_len = 0; // as long as the modulus of a key that has none
    assert_int_equal(keyop_run(&r, ec, output, &len), SKI_MALFORMED);
    ks_key_unref(&rsa);
    ks_key_unref(&ec);
}

static void keys_that_are_not_served(void **state)
{
    (void)state;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_null(ks_key_create("x", 1, pkey)); // and freed: the leak checker looks
    assert_null(ks_key_create("x", 1, EVP_RSA_gen(1024)));
    // A public key has nothing to compute with.
    EVP_PKEY *whole = kit_rsa(2048, 0);
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(whole, &der);
    const unsigned char *p = der;
    assert_null(ks_key_create("x", 1, d2i_PUBKEY(NULL, &p, len)));
    OPENSSL_free(der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_signs),
        cmocka_unit_test(rsa_4096_signs),
        cmocka_unit_test(rsa_of_an_odd_size_signs_and_decrypts),
        cmocka_unit_test(ec_signs),
        cmocka_unit_test(schemes_bind_key_type_and_curve),
        cmocka_unit_test(tls13_signatures),
        cmocka_unit_test(good_ciphertexts),
        cmocka_unit_test(random_ciphertexts),
        cmocka_unit_test(edges_of_the_range),
        cmocka_unit_test(a_good_ciphertext_plus_the_modulus),
        cmocka_unit_test(malformed_plaintexts),
        cmocka_unit_test(keys_differ_in_their_fallback),
        cmocka_unit_test(what_does_not_fit_the_key),
        cmocka_unit_test(keys_that_are_not_served),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
