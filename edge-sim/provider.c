#include "edge-sim/provider.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/sha.h>

#include "edge-sim/provider_internal.h"

struct ski_provider {
    OSSL_LIB_CTX *libctx;
    OSSL_PROVIDER *fallback; // "default"
    OSSL_PROVIDER *ski;
};

// --- what OpenSSL sees

#define PROPERTIES "provider=" SKI_PROVIDER_NAME

// The names are those of the default provider, so that libssl takes our keys for what they are.
static const OSSL_ALGORITHM keymgmts[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, ski_rsa_keymgmt, "RSA key at a key server"},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTIES, ski_ec_keymgmt, "EC key at a key server"},
    {NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM signatures[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, ski_rsa_signature, "RSA signing by a key server"},
    {"ECDSA", PROPERTIES, ski_ecdsa_signature, "ECDSA signing by a key server"},
    {NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM ciphers[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, ski_rsa_cipher,
     "RSA premaster decryption by a key server"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *query_operation(void *provctx, int operation_id, int *no_cache)
{
    (void)provctx;
    *no_cache = 0;
    switch (operation_id) {
    case OSSL_OP_KEYMGMT:
        return keymgmts;
    case OSSL_OP_SIGNATURE:
        return signatures;
    case OSSL_OP_ASYM_CIPHER:
        return ciphers;
    default:
        return NULL;
    }
}

static void teardown(void *provctx)
{
    struct provider_ctx *ctx = provctx;
    OSSL_LIB_CTX_free(ctx->own);
    free(ctx);
}

static const OSSL_PARAM *gettable_params(void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_NAME, OSSL_PARAM_UTF8_PTR, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_VERSION, OSSL_PARAM_UTF8_PTR, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_STATUS, OSSL_PARAM_INTEGER, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)provctx;
    return params;
}

static int get_params(void *provctx, OSSL_PARAM params[])
{
    (void)provctx;
    OSSL_PARAM *p;
    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME)) != NULL &&
        !OSSL_PARAM_set_utf8_ptr(p, "MEC key server (SKI) provider"))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_VERSION)) != NULL &&
        !OSSL_PARAM_set_utf8_ptr(p, MEC_VERSION))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS)) != NULL && !OSSL_PARAM_set_int(p, 1))
        return 0;
    return 1;
}

static const OSSL_DISPATCH provider_functions[] = {
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))teardown},
    {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))gettable_params},
    {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))get_params},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query_operation},
    {0, NULL},
};

static int init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                void **provctx)
{
    (void)in;
    struct provider_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL)
        return 0;
    ctx->core = handle;
    ctx->own = OSSL_LIB_CTX_new();
    if (ctx->own == NULL) {
        free(ctx);
        return 0;
    }
    *provctx = ctx;
    *out = provider_functions;
    return 1;
}

// --- what the edge sees

struct ski_provider *ski_provider_load(OSSL_LIB_CTX *libctx, struct ski_transport *transport,
                                       unsigned timeout_ms, struct error *e)
{
    struct ski_provider *provider = calloc(1, sizeof *provider);
    if (provider == NULL) {
        error_set(e, "provider: no memory");
        return NULL;
    }
    provider->libctx = libctx;
    // The default one first: among implementations that answer a query equally well, the first loaded is
    // taken.
    if ((provider->fallback = OSSL_PROVIDER_load(libctx, "default")) == NULL ||
        OSSL_PROVIDER_add_builtin(libctx, SKI_PROVIDER_NAME, init) != 1 ||
        (provider->ski = OSSL_PROVIDER_load(libctx, SKI_PROVIDER_NAME)) == NULL) {
        error_set_openssl(e, "provider %s", SKI_PROVIDER_NAME);
        ski_provider_unload(&provider);
        return NULL;
    }
    struct provider_ctx *ctx = OSSL_PROVIDER_get0_provider_ctx(provider->ski);
    ctx->transport = transport;
    ctx->timeout_ms = timeout_ms;
    return provider;
}

void ski_provider_unload(struct ski_provider **providerp)
{
    struct ski_provider *provider = *providerp;
    if (provider == NULL)
        return;
    *providerp = NULL;
    if (provider->ski != NULL)
        (void)OSSL_PROVIDER_unload(provider->ski);
    if (provider->fallback != NULL)
        (void)OSSL_PROVIDER_unload(provider->fallback);
    free(provider);
}

bool ski_spki_of(X509 *cert, char text[static SKI_SPKI_TEXT])
{
    unsigned char *der = NULL;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    if (len <= 0)
        return false;
    bool ok = SHA256(der, (size_t)len, digest) != NULL;
    OPENSSL_free(der);
    if (ok)
        (void)EVP_EncodeBlock((unsigned char *)text, digest, sizeof digest);
    return ok;
}

static const char *key_type(const EVP_PKEY *pub)
{
    static const char *const curves[] = {"prime256v1", "secp384r1", "secp521r1"};
    char group[64];
    if (EVP_PKEY_is_a(pub, "RSA"))
        return "RSA";
    if (!EVP_PKEY_is_a(pub, "EC") || !EVP_PKEY_get_group_name(pub, group, sizeof group, NULL))
        return NULL;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
        if (strcmp(group, curves[i]) == 0)
            return "EC";
    return NULL;
}

static EVP_PKEY *key_from_params(struct ski_provider *provider, const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(provider->libctx, type, PROPERTIES);
    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

EVP_PKEY *ski_provider_key(struct ski_provider *provider, X509 *cert, struct error *e)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY *pub = X509_get0_pubkey(cert);
    const char *type = pub != NULL ? key_type(pub) : NULL;
    char spki[SKI_SPKI_TEXT];
    if (type == NULL) {
        ERR_clear_error();
        error_set(e, "the certificate's key is neither RSA nor EC over P-256, P-384 or P-521");
        return NULL;
    }
    OSSL_PARAM *public_half = NULL;
    OSSL_PARAM *all = NULL;
    if (ski_spki_of(cert, spki) && EVP_PKEY_todata(pub, EVP_PKEY_PUBLIC_KEY, &public_half) == 1) {
        const OSSL_PARAM ours[] = {OSSL_PARAM_construct_utf8_string(SKI_PARAM_SPKI, spki, 0), OSSL_PARAM_END};
        if ((all = OSSL_PARAM_merge(public_half, ours)) != NULL)
            key = key_from_params(provider, type, all);
    }
    if (key == NULL)
        error_set_openssl(e, "provider %s: key", SKI_PROVIDER_NAME);
    OPENSSL_free(all); // merge copies the descriptors, not what they point to
    OSSL_PARAM_free(public_half);
    return key;
}
