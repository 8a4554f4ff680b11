#include "keyserver/keyop_run.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "keyserver/ct.h"
#include "keyserver/rsa_encode.h"

// out = in^d mod n, both as long as the modulus. OpenSSL blinds the base and checks the CRT result against
// the public exponent, recomputing without CRT on a mismatch, so that a fault never leaves (rsa_ossl.c;
// Boneh, DeMillo, Lipton 1997).
static bool rsa_private(const struct ks_key *key, const uint8_t *in, uint8_t *out)
{
    size_t out_len = key->size;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    bool good = ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1 &&
                EVP_PKEY_decrypt(ctx, out, &out_len, in, key->size) == 1 && out_len == key->size;
    EVP_PKEY_CTX_free(ctx);
    if (!good)
        ERR_clear_error();
    return good;
}

// All ones when the ciphertext, as a number, is not below the modulus. Both are public; constant time all the
// same.
static uint32_t out_of_range(const uint8_t *ciphertext, const uint8_t *modulus, size_t len)
{
    uint32_t below = 0, decided = 0;
    for (size_t i = 0; i < len; i++) {
        uint32_t differs = ~ct_eq(ciphertext[i], modulus[i]);
        below |= ~decided & differs & ct_lt(ciphertext[i], modulus[i]);
        decided |= differs;
    }
    return ~below;
}

static enum ski_status decrypt_premaster(const struct ski_request *request, const struct ks_key *key,
                                         uint8_t *output, size_t *output_len)
{
    uint8_t block[SKI_INPUT_MAX], operand[SKI_INPUT_MAX] = {0}, version[2];

    if (key->type != KEYRECORD_RSA || request->input_len != key->size)
        return SKI_MALFORMED;

    // A ciphertext that is no residue is replaced by one, so that every request costs one private-key
    // operation.
    uint32_t must_fail = out_of_range(request->input, key->modulus, key->size);
    for (size_t i = 0; i < key->size; i++)
        operand[i] = ct_select8(must_fail, i == key->size - 1 ? 2 : 0, request->input[i]);

    ski_protocol_bytes(request->client_version, version);
    bool good = rsa_private(key, operand, block) &&
                rsa_premaster_extract(block, key->size, must_fail, version, key->fallback_secret,
                                      request->input, output);
    OPENSSL_cleanse(block, key->size);
    *output_len = SKI_PREMASTER_LEN;
    return good ? SKI_OK : SKI_UNSPECIFIED;
}

static enum ski_status sign_rsa(const struct ski_request *request, const struct ks_key *key,
                                const uint8_t *digest, size_t digest_len, uint8_t *output, size_t *output_len)
{
    uint8_t em[SKI_OUTPUT_MAX];
    bool encoded = request->padding == SKI_PSS
                       ? rsa_encode_pss(request->hash, digest, digest_len, key->bits, em, key->size)
                       : rsa_encode_pkcs1(request->hash, digest, digest_len, em, key->size);
    if (!encoded || !rsa_private(key, em, output))
        return SKI_UNSPECIFIED;
    *output_len = key->size;
    return SKI_OK;
}

static enum ski_status sign_ecdsa(const struct ks_key *key, const uint8_t *digest, size_t digest_len,
                                  uint8_t *output, size_t *output_len)
{
    *output_len = SKI_OUTPUT_MAX;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    bool good = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
                EVP_PKEY_sign(ctx, output, output_len, digest, digest_len) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!good)
        ERR_clear_error();
    return good ? SKI_OK : SKI_UNSPECIFIED;
}

static enum ski_status sign(const struct ski_request *request, const struct ks_key *key, uint8_t *output,
                            size_t *output_len)
{
    uint8_t digest[SKI_DIGEST_MAX];

    if ((request->scheme_key != 0 && request->scheme_key != key->type) ||
        (request->scheme_bits != 0 && request->scheme_bits != key->bits))
        return SKI_MALFORMED;
    // TLS 1.0 and 1.1 sign MD5 and SHA-1 with RSA, SHA-1 alone with ECDSA (RFC 8422 section 5.10).
    enum ski_hash hash =
        key->type == KEYRECORD_EC && request->hash == SKI_MD5_SHA1 ? SKI_SHA1 : request->hash;
    size_t digest_len = ski_digest(hash, request->input, request->input_len, digest);
    if (digest_len == 0)
        return SKI_UNSPECIFIED;
    if (key->type == KEYRECORD_RSA)
        return sign_rsa(request, key, digest, digest_len, output, output_len);
    return sign_ecdsa(key, digest, digest_len, output, output_len);
}

enum ski_status keyop_run(const struct ski_request *request, const struct ks_key *key,
                          uint8_t output[static SKI_OUTPUT_MAX], size_t *output_len)
{
    *output_len = 0;
    if (request->method == SKI_METHOD_RSA)
        return decrypt_premaster(request, key, output, output_len);
    return sign(request, key, output, output_len);
}
