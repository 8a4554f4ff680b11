// Decryption of RSA premaster secrets by the key server: TLS 1.2 and before, RSA key exchange.
//
// Whatever goes wrong (the key server refuses, is away, answers nonsense, the ciphertext has the wrong
// length) the result is the same to the eye: success, 48 bytes, the client's version in front. RFC 5246
// section 7.4.7.1.
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "edge-sim/provider_internal.h"

#define PREMASTER_LEN 48

struct cipher_ctx {
    struct provider_ctx *provider;
    struct provider_key *key;
    int padding;
    unsigned client_version;     // as in the ClientHello; 0: not set
    unsigned negotiated_version; // set only for clients with the rollback bug; 0: not set
};

static void *ctx_new(void *provctx)
{
    struct cipher_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx != NULL) {
        ctx->provider = provctx;
        ctx->padding = RSA_PKCS1_PADDING;
    }
    return ctx;
}

static void ctx_free(void *vctx)
{
    struct cipher_ctx *ctx = vctx;
    if (ctx == NULL)
        return;
    provider_key_unref(ctx->key);
    free(ctx);
}

static void *ctx_dup(void *vctx)
{
    const struct cipher_ctx *ctx = vctx;
    struct cipher_ctx *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return NULL;
    *copy = *ctx;
    if (copy->key != NULL)
        (void)provider_key_ref(copy->key);
    return copy;
}

static int set_ctx_params(void *vctx, const OSSL_PARAM params[])
{
    struct cipher_ctx *ctx = vctx;
    const OSSL_PARAM *p;
    if (params == NULL)
        return 1;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_PAD_MODE)) != NULL &&
        (p->data_type == OSSL_PARAM_UTF8_STRING || OSSL_PARAM_get_int(p, &ctx->padding) != 1)) {
        ERR_raise_data(ERR_LIB_PROV, ERR_R_UNSUPPORTED,
                       "RSA padding: SKI decrypts TLS premaster secrets alone");
        return 0;
    }
    if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION)) != NULL &&
        OSSL_PARAM_get_uint(p, &ctx->client_version) != 1)
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION)) != NULL &&
        OSSL_PARAM_get_uint(p, &ctx->negotiated_version) != 1)
        return 0;
    return 1;
}

static const OSSL_PARAM *settable_ctx_params(void *vctx, void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_DEFN(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, OSSL_PARAM_INTEGER, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, OSSL_PARAM_UNSIGNED_INTEGER, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, OSSL_PARAM_UNSIGNED_INTEGER, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)vctx;
    (void)provctx;
    return params;
}

static int decrypt_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    struct cipher_ctx *ctx = vctx;
    struct provider_key *key = provkey;
    if (key == NULL || !key->remote)
        return 0;
    struct provider_key *old = ctx->key;
    ctx->key = provider_key_ref(key);
    provider_key_unref(old);
    return set_ctx_params(ctx, params);
}

static const char *version_text(unsigned version)
{
    switch (version) {
    case 0x0301:
        return "TLS 1.0";
    case 0x0302:
        return "TLS 1.1";
    case 0x0303:
        return "TLS 1.2";
    case 0xfeff:
        return "DTLS 1.0";
    case 0xfefd:
        return "DTLS 1.2";
    default:
        // A client may offer more than it gets; ours negotiates at most TLS 1.2 with RSA key exchange.
        return version > 0x0303 && version < 0x0400 ? "TLS 1.3" : NULL;
    }
}

static const char *negotiated_text(const struct cipher_ctx *ctx)
{
    if (ctx->negotiated_version != 0)
        return version_text(ctx->negotiated_version);
    // At most TLS 1.2, and no more than the client offered.
    return ctx->client_version > 0x0303 && ctx->client_version < 0x0400 ? "TLS 1.2"
                                                                        : version_text(ctx->client_version);
}

// 0xff when the two bytes carry the version, else 0; without a branch on secret bytes.
static unsigned char version_mask(const uint8_t *premaster, unsigned version)
{
    unsigned diff = (premaster[0] ^ (version >> 8 & 0xff)) | (premaster[1] ^ (version & 0xff));
    return (unsigned char)((diff - 1) >> 8 & 0xff);
}

static int decrypt(void *vctx, unsigned char *out, size_t *out_len, size_t out_size, const unsigned char *in,
                   size_t in_len)
{
    struct cipher_ctx *ctx = vctx;
    if (ctx->padding != RSA_PKCS1_WITH_TLS_PADDING || version_text(ctx->client_version) == NULL) {
        ERR_raise_data(ERR_LIB_PROV, ERR_R_UNSUPPORTED, "SKI decrypts TLS premaster secrets alone");
        return 0;
    }
    if (out == NULL) {
        *out_len = PREMASTER_LEN;
        return 1;
    }
    if (out_size < PREMASTER_LEN || RAND_bytes_ex(ctx->provider->own, out, PREMASTER_LEN, 0) != 1)
        return 0;
    out[0] = (unsigned char)(ctx->client_version >> 8);
    out[1] = (unsigned char)ctx->client_version;
    *out_len = PREMASTER_LEN;

    struct ski_request request = {.protocol = negotiated_text(ctx),
                                  .method = SKI_METHOD_RSA,
                                  .client_version = version_text(ctx->client_version),
                                  .input = in,
                                  .input_len = in_len};
    uint8_t premaster[SKI_OUTPUT_MAX];
    size_t len = 0;
    if (in_len == (size_t)EVP_PKEY_get_size(ctx->key->pub) &&
        provider_ask(ctx->key, &request, premaster, sizeof premaster, &len) == SKI_OK &&
        len == PREMASTER_LEN) {
        unsigned char mask = version_mask(premaster, ctx->client_version);
        for (size_t i = 0; i < PREMASTER_LEN; i++)
            out[i] = (unsigned char)((premaster[i] & mask) | (out[i] & (unsigned char)~mask));
    }
    OPENSSL_cleanse(premaster, sizeof premaster);
    return 1;
}

const OSSL_DISPATCH ski_rsa_cipher[] = {
    {OSSL_FUNC_ASYM_CIPHER_NEWCTX, (void (*)(void))ctx_new},
    {OSSL_FUNC_ASYM_CIPHER_FREECTX, (void (*)(void))ctx_free},
    {OSSL_FUNC_ASYM_CIPHER_DUPCTX, (void (*)(void))ctx_dup},
    {OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, (void (*)(void))decrypt_init},
    {OSSL_FUNC_ASYM_CIPHER_DECRYPT, (void (*)(void))decrypt},
    {OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS, (void (*)(void))set_ctx_params},
    {OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS, (void (*)(void))settable_ctx_params},
    {0, NULL},
};
