#include "keyserver/keyop_run.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "common/secmem.h"
#include "keyserver/ct.h"
#include "keyserver/rsa_encode.h"

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

// OpenSSL blinds the base and checks the CRT result against the public exponent, recomputing without CRT on a
// mismatch, so that a fault never leaves (rsa_ossl.c; Boneh, DeMillo, Lipton 1997).
bool keyop_rsa_raw(struct ks_key *key, const uint8_t *in, uint8_t *out)
{
    size_t out_len = key->size;
    EVP_PKEY *pkey = ks_key_pkey(key);
    EVP_PKEY_CTX *ctx = pkey != NULL ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
    bool good = ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1;
    secmem_begin(); // the first time, OpenSSL makes Montgomery contexts of the primes; each time, copies and powers
    good = good && EVP_PKEY_decrypt(ctx, out, &out_len, in, key->size) == 1 && out_len == key->size;
    secmem_end();
    EVP_PKEY_CTX_free(ctx);
    if (!good)
        ERR_clear_error();
    return good;
}

// A ciphertext that is no residue is replaced by one, so that every request costs one private-key operation.
static enum ski_status prepare_decryption(const struct ski_request *request, const struct ks_key *key,
                                          struct keyop_rsa *rsa)
{
    if (key->type != KEYRECORD_RSA || request->input_len != key->size)
        return SKI_MALFORMED;
    rsa->must_fail = out_of_range(request->input, key->modulus, key->size);
    for (size_t i = 0; i < key->size; i++)
        rsa->in[i] = ct_select8(rsa->must_fail, i == key->size - 1 ? 2 : 0, request->input[i]);
    return SKI_OK;
}

// What is signed: a digest. SKI_OK, or why the key does not sign this request.
static enum ski_status make_digest(const struct ski_request *request, const struct ks_key *key,
                                   uint8_t digest[static SKI_DIGEST_MAX], size_t *digest_len)
{
    if ((request->scheme_key != 0 && request->scheme_key != key->type) ||
        (request->scheme_bits != 0 && request->scheme_bits != key->bits))
        return SKI_MALFORMED;
    // TLS 1.0 and 1.1 sign MD5 and SHA-1 with RSA, SHA-1 alone with ECDSA (RFC 8422 section 5.10).
    enum ski_hash hash =
        key->type == KEYRECORD_EC && request->hash == SKI_MD5_SHA1 ? SKI_SHA1 : request->hash;
    *digest_len = ski_digest(hash, request->input, request->input_len, digest);
    return *digest_len != 0 ? SKI_OK : SKI_UNSPECIFIED;
}

static enum ski_status prepare_signature(const struct ski_request *request, const struct ks_key *key,
                                         struct keyop_rsa *rsa)
{
    uint8_t digest[SKI_DIGEST_MAX];
    size_t digest_len;

    enum ski_status status = make_digest(request, key, digest, &digest_len);
    if (status != SKI_OK)
        return status;
    rsa->must_fail = 0;
    bool encoded = request->padding == SKI_PSS
                       ? rsa_encode_pss(request->hash, digest, digest_len, key->bits, rsa->in, key->size)
                       : rsa_encode_pkcs1(request->hash, digest, digest_len, rsa->in, key->size);
    return encoded ? SKI_OK : SKI_UNSPECIFIED;
}

enum ski_status keyop_rsa_prepare(const struct ski_request *request, const struct ks_key *key,
                                  struct keyop_rsa *rsa)
{
    return request->method == SKI_METHOD_RSA ? prepare_decryption(request, key, rsa)
                                             : prepare_signature(request, key, rsa);
}

enum ski_status keyop_rsa_finish(const struct ski_request *request, const struct ks_key *key,
                                 struct keyop_rsa *rsa, bool good, uint8_t output[static SKI_OUTPUT_MAX],
                                 size_t *output_len)
{
    if (request->method == SKI_METHOD_RSA) {
        uint8_t version[2];
        ski_protocol_bytes(request->client_version, version);
        good = good && rsa_premaster_extract(rsa->out, key->size, rsa->must_fail, version,
                                             key->fallback_secret, request->input, output);
        OPENSSL_cleanse(rsa->out, key->size);
        *output_len = SKI_PREMASTER_LEN;
    } else if (good) {
        memcpy(output, rsa->out, key->size);
        *output_len = key->size;
    }
    return good ? SKI_OK : SKI_UNSPECIFIED;
}

static enum ski_status run_rsa(const struct ski_request *request, struct ks_key *key, uint8_t *output,
                               size_t *output_len)
{
    struct keyop_rsa rsa;
    enum ski_status status = keyop_rsa_prepare(request, key, &rsa);
    if (status != SKI_OK)
        return status;
    bool good = keyop_rsa_raw(key, rsa.in, rsa.out);
    return keyop_rsa_finish(request, key, &rsa, good, output, output_len);
}

static enum ski_status sign_ecdsa(struct ks_key *key, const uint8_t *digest, size_t digest_len,
                                  uint8_t *output, size_t *output_len)
{
    *output_len = SKI_OUTPUT_MAX;
    EVP_PKEY *pkey = ks_key_pkey(key);
    EVP_PKEY_CTX *ctx = pkey != NULL ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
    bool good = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
                EVP_PKEY_sign(ctx, output, output_len, digest, digest_len) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!good)
        ERR_clear_error();
    return good ? SKI_OK : SKI_UNSPECIFIED;
}

enum ski_status keyop_run(const struct ski_request *request, struct ks_key *key,
                          uint8_t output[static SKI_OUTPUT_MAX], size_t *output_len)
{
    uint8_t digest[SKI_DIGEST_MAX];
    size_t digest_len;

    *output_len = 0;
    if (key->type == KEYRECORD_RSA)
        return run_rsa(request, key, output, output_len);
    if (request->method == SKI_METHOD_RSA)
        return SKI_MALFORMED;
    enum ski_status status = make_digest(request, key, digest, &digest_len);
    return status == SKI_OK ? sign_ecdsa(key, digest, digest_len, output, output_len) : status;
}
