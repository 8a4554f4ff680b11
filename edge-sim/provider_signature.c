// Signing by the key server: PKCS#1 v1.5 and PSS with RSA keys, ECDSA with EC keys. Only the "digest sign"
// form, which brings the whole message: the key server parses what it signs and would refuse a bare digest.
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "edge-sim/provider_internal.h"

// A digest and the protocol's words that depend on it.
struct digest {
    const char *name;  // OpenSSL's
    const char *hash;  // member `hash`; NULL: the default of the protocol
    const char *pss;   // member `scheme`
    const char *ecdsa; // member `scheme` in TLS 1.3: the curve is bound to the digest
};

static const struct digest digests[] = {
    {"SHA256", "SHA-256", "rsa_pss_rsae_sha256", "ecdsa_secp256r1_sha256"},
    {"SHA384", "SHA-384", "rsa_pss_rsae_sha384", "ecdsa_secp384r1_sha384"},
    {"SHA512", "SHA-512", "rsa_pss_rsae_sha512", "ecdsa_secp521r1_sha512"},
    {"SHA224", "SHA-224", NULL, NULL},
    {"SHA1", NULL, NULL, NULL},
    {"MD5-SHA1", NULL, NULL, NULL}, // TLS 1.1 and before, RSA
};

struct signature_ctx {
    struct provider_ctx *provider;
    struct provider_key *key;
    const struct digest *digest;
    int padding; // RSA_PKCS1_PADDING or RSA_PKCS1_PSS_PADDING
    // The message, when it comes in pieces.
    uint8_t message[SKI_INPUT_MAX];
    size_t message_len;
};

static void *ctx_new(void *provctx, const char *propq)
{
    (void)propq;
    struct signature_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx != NULL) {
        ctx->provider = provctx;
        ctx->padding = RSA_PKCS1_PADDING;
    }
    return ctx;
}

static void ctx_free(void *vctx)
{
    struct signature_ctx *ctx = vctx;
    if (ctx == NULL)
        return;
    provider_key_unref(ctx->key);
    free(ctx);
}

static void *ctx_dup(void *vctx)
{
    const struct signature_ctx *ctx = vctx;
    struct signature_ctx *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return NULL;
    *copy = *ctx;
    if (copy->key != NULL)
        (void)provider_key_ref(copy->key);
    return copy;
}

static const struct digest *find_digest(struct provider_ctx *provider, const char *name)
{
    const struct digest *found = NULL;
    EVP_MD *md = EVP_MD_fetch(provider->own, name, NULL);
    for (size_t i = 0; md != NULL && i < sizeof digests / sizeof digests[0]; i++)
        if (EVP_MD_is_a(md, digests[i].name))
            found = &digests[i];
    EVP_MD_free(md);
    return found;
}

// TLS knows one salt length, that of the digest, and the key server makes no other.
static int check_saltlen(const OSSL_PARAM *p)
{
    int len = 0;
    if (p->data_type == OSSL_PARAM_UTF8_STRING)
        return strcmp(p->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0;
    return OSSL_PARAM_get_int(p, &len) == 1 && len == RSA_PSS_SALTLEN_DIGEST;
}

static int set_padding(struct signature_ctx *ctx, const OSSL_PARAM *p)
{
    int padding = 0;
    if (p->data_type == OSSL_PARAM_UTF8_STRING) {
        if (strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0)
            padding = RSA_PKCS1_PADDING;
        else if (strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0)
            padding = RSA_PKCS1_PSS_PADDING;
    } else if (OSSL_PARAM_get_int(p, &padding) != 1) {
        return 0;
    }
    if (padding != RSA_PKCS1_PADDING && padding != RSA_PKCS1_PSS_PADDING) {
        ERR_raise_data(ERR_LIB_PROV, ERR_R_UNSUPPORTED, "RSA padding: SKI signs PKCS#1 v1.5 and PSS");
        return 0;
    }
    ctx->padding = padding;
    return 1;
}

static int set_ctx_params(void *vctx, const OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;
    const OSSL_PARAM *p;
    if (params == NULL)
        return 1;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE)) != NULL && !set_padding(ctx, p))
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN)) != NULL &&
        !check_saltlen(p)) {
        ERR_raise_data(ERR_LIB_PROV, ERR_R_UNSUPPORTED, "PSS salt: SKI salts are as long as the digest");
        return 0;
    }
    return 1;
}

static const OSSL_PARAM *settable_ctx_params(void *vctx, void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_DEFN(OSSL_SIGNATURE_PARAM_PAD_MODE, OSSL_PARAM_UTF8_STRING, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, OSSL_PARAM_UTF8_STRING, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)vctx;
    (void)provctx;
    return params;
}

static int digest_sign_init(void *vctx, const char *mdname, void *provkey, const OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;
    if (provkey != NULL) {
        struct provider_key *old = ctx->key;
        ctx->key = provider_key_ref(provkey);
        provider_key_unref(old);
    }
    if (ctx->key == NULL || !ctx->key->remote)
        return 0;
    ctx->message_len = 0;
    ctx->digest = find_digest(ctx->provider, mdname != NULL && *mdname != '\0' ? mdname : "SHA256");
    if (ctx->digest == NULL) {
        ERR_raise_data(ERR_LIB_PROV, ERR_R_UNSUPPORTED, "digest %s: SKI has no name for it", mdname);
        return 0;
    }
    return set_ctx_params(ctx, params);
}

static bool is_tls13_content(const uint8_t *tbs, size_t len)
{
    // RFC 8446 section 4.4.3. In TLS 1.2 the first 64 bytes are the two randoms, half of which are our own
    // side's.
    static const char label[] = "TLS 1.3, server CertificateVerify";
    if (len < 64 + sizeof label || memcmp(tbs + 64, label, sizeof label) != 0)
        return false;
    for (size_t i = 0; i < 64; i++)
        if (tbs[i] != 0x20)
            return false;
    return true;
}

static bool describe(const struct signature_ctx *ctx, const uint8_t *tbs, size_t len,
                     struct ski_request *request)
{
    bool tls13 = is_tls13_content(tbs, len);
    bool rsa = strcmp(ctx->key->type, "RSA") == 0;
    *request = (struct ski_request){.protocol = tls13 ? "TLS 1.3" : "TLS 1.2",
                                    .method = SKI_METHOD_ECDHE,
                                    .input = tbs,
                                    .input_len = len};
    if (rsa && ctx->padding == RSA_PKCS1_PSS_PADDING)
        request->scheme = ctx->digest->pss;
    else if (tls13)
        request->scheme = rsa ? NULL : ctx->digest->ecdsa;
    else
        request->hash = ctx->digest->hash;
    if (!tls13 && strcmp(ctx->digest->name, "MD5-SHA1") == 0)
        request->protocol = "TLS 1.1";
    return request->scheme != NULL || (!tls13 && !(rsa && ctx->padding == RSA_PKCS1_PSS_PADDING));
}

// What comes back must be a signature by the certificate's key over these very bytes: a faulty or hostile key
// server must not make us send anything else.
static bool verify(const struct signature_ctx *ctx, const uint8_t *sig, size_t sig_len, const uint8_t *tbs,
                   size_t tbs_len)
{
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestVerifyInit_ex(md, &pctx, ctx->digest->name, ctx->provider->own, NULL,
                                                    ctx->key->pub, NULL) == 1;
    if (ok && ctx->padding == RSA_PKCS1_PSS_PADDING)
        ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestVerify(md, sig, sig_len, tbs, tbs_len) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static int digest_sign(void *vctx, unsigned char *sig, size_t *sig_len, size_t sig_size,
                       const unsigned char *tbs, size_t tbs_len)
{
    struct signature_ctx *ctx = vctx;
    size_t most = (size_t)EVP_PKEY_get_size(ctx->key->pub);
    if (sig == NULL) {
        *sig_len = most;
        return 1;
    }
    struct ski_request request;
    if (ctx->digest == NULL || sig_size < most || !describe(ctx, tbs, tbs_len, &request)) {
        ERR_raise_data(ERR_LIB_PROV, ERR_R_UNSUPPORTED, "SKI has no request for this signature");
        return 0;
    }
    enum ski_status status = provider_ask(ctx->key, &request, sig, most, sig_len);
    if (status != SKI_OK) {
        ERR_raise_data(ERR_LIB_PROV, ERR_R_OPERATION_FAIL, "key server: %s", ski_status_text(status));
        return 0;
    }
    if (!verify(ctx, sig, *sig_len, tbs, tbs_len)) {
        OPENSSL_cleanse(sig, most);
        ERR_clear_error();
        ERR_raise_data(ERR_LIB_PROV, ERR_R_OPERATION_FAIL,
                       "key server: the signature does not fit the certificate (spki %.8s)", ctx->key->spki);
        return 0;
    }
    return 1;
}

static int digest_sign_update(void *vctx, const unsigned char *data, size_t len)
{
    struct signature_ctx *ctx = vctx;
    if (len > sizeof ctx->message - ctx->message_len) {
        ERR_raise_data(ERR_LIB_PROV, ERR_R_UNSUPPORTED, "message too long to be a TLS handshake signature's");
        return 0;
    }
    if (len > 0)
        memcpy(ctx->message + ctx->message_len, data, len);
    ctx->message_len += len;
    return 1;
}

static int digest_sign_final(void *vctx, unsigned char *sig, size_t *sig_len, size_t sig_size)
{
    struct signature_ctx *ctx = vctx;
    return digest_sign(ctx, sig, sig_len, sig_size, ctx->message, ctx->message_len);
}

#define COMMON_TABLE                                                                                         \
    {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))ctx_new},                                                   \
        {OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))ctx_free},                                             \
        {OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))ctx_dup},                                               \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))digest_sign_init},                            \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, (void (*)(void))digest_sign_update},                        \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, (void (*)(void))digest_sign_final},                          \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void))digest_sign},                                      \
        {OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))set_ctx_params},                                \
        {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))settable_ctx_params},                      \
    {                                                                                                        \
        0, NULL                                                                                              \
    }

const OSSL_DISPATCH ski_rsa_signature[] = {COMMON_TABLE};
const OSSL_DISPATCH ski_ecdsa_signature[] = {COMMON_TABLE};
