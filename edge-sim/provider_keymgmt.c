// Keys of the provider: the public half lives in a key of the default provider, which answers all questions
// about it.
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "edge-sim/provider_internal.h"

struct provider_key *provider_key_ref(struct provider_key *key)
{
    atomic_fetch_add(&key->refs, 1);
    return key;
}

void provider_key_unref(struct provider_key *key)
{
    if (key == NULL || atomic_fetch_sub(&key->refs, 1) != 1)
        return;
    EVP_PKEY_free(key->pub);
    free(key);
}

static void *key_new(void *provctx, const char *type)
{
    struct provider_key *key = calloc(1, sizeof *key);
    if (key == NULL)
        return NULL;
    key->provider = provctx;
    key->refs = 1;
    key->type = type;
    return key;
}

static void *rsa_new(void *provctx)
{
    return key_new(provctx, "RSA");
}

static void *ec_new(void *provctx)
{
    return key_new(provctx, "EC");
}

static void key_free(void *keydata)
{
    provider_key_unref(keydata);
}

static int key_has(const void *keydata, int selection)
{
    const struct provider_key *key = keydata;
    if (key == NULL)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0 && key->pub == NULL)
        return 0;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 || key->remote;
}

static int key_match(const void *a, const void *b, int selection)
{
    const struct provider_key *one = a;
    const struct provider_key *two = b;
    if (one->pub == NULL || two->pub == NULL)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0)
        return EVP_PKEY_eq(one->pub, two->pub) == 1;
    return EVP_PKEY_parameters_eq(one->pub, two->pub) == 1;
}

static int key_import(void *keydata, int selection, const OSSL_PARAM params[])
{
    struct provider_key *key = keydata;
    if (key->pub != NULL || (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) == 0)
        return 0;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(key->provider->own, key->type, NULL);
    // The cast: EVP_PKEY_fromdata only reads. EVP_PKEY_PUBLIC_KEY: private numbers, had there been any, stay
    // behind.
    int ok = ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
             EVP_PKEY_fromdata(ctx, &key->pub, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)params) == 1;
    EVP_PKEY_CTX_free(ctx);
    const OSSL_PARAM *spki = OSSL_PARAM_locate_const(params, SKI_PARAM_SPKI);
    if (ok && spki != NULL) {
        char *to = key->spki;
        ok = OSSL_PARAM_get_utf8_string(spki, &to, sizeof key->spki) == 1 &&
             strlen(key->spki) == SKI_SPKI_TEXT - 1;
        key->remote = ok;
    }
    return ok;
}

// The private half cannot be had, and saying so is essential: OpenSSL 3.0 first tries to move a key to the
// provider that its algorithm search finds (the default one), and only when that fails operates with the
// key's own provider.
static int key_export(void *keydata, int selection, OSSL_CALLBACK *callback, void *arg)
{
    const struct provider_key *key = keydata;
    OSSL_PARAM *params = NULL;
    if (key->pub == NULL || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
        return 0;
    if (EVP_PKEY_todata(key->pub, EVP_PKEY_PUBLIC_KEY, &params) != 1)
        return 0;
    int ok = callback(params, arg);
    OSSL_PARAM_free(params);
    return ok;
}

static const OSSL_PARAM rsa_types[] = {
    OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_RSA_N, OSSL_PARAM_UNSIGNED_INTEGER, NULL, 0),
    OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_RSA_E, OSSL_PARAM_UNSIGNED_INTEGER, NULL, 0),
    OSSL_PARAM_DEFN(SKI_PARAM_SPKI, OSSL_PARAM_UTF8_STRING, NULL, 0),
    OSSL_PARAM_END,
};
static const OSSL_PARAM ec_types[] = {
    OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_GROUP_NAME, OSSL_PARAM_UTF8_STRING, NULL, 0),
    OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_PUB_KEY, OSSL_PARAM_OCTET_STRING, NULL, 0),
    OSSL_PARAM_DEFN(SKI_PARAM_SPKI, OSSL_PARAM_UTF8_STRING, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *rsa_import_types(int selection)
{
    return (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 ? rsa_types : NULL;
}

static const OSSL_PARAM *ec_import_types(int selection)
{
    return (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 ? ec_types : NULL;
}

static const OSSL_PARAM *key_gettable(void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_BITS, OSSL_PARAM_INTEGER, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_SECURITY_BITS, OSSL_PARAM_INTEGER, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_MAX_SIZE, OSSL_PARAM_INTEGER, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_DEFAULT_DIGEST, OSSL_PARAM_UTF8_STRING, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_GROUP_NAME, OSSL_PARAM_UTF8_STRING, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_PUB_KEY, OSSL_PARAM_OCTET_STRING, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_RSA_N, OSSL_PARAM_UNSIGNED_INTEGER, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PKEY_PARAM_RSA_E, OSSL_PARAM_UNSIGNED_INTEGER, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)provctx;
    return params;
}

static int key_get_params(void *keydata, OSSL_PARAM params[])
{
    const struct provider_key *key = keydata;
    return key->pub != NULL && EVP_PKEY_get_params(key->pub, params) == 1;
}

static const char *rsa_operation_name(int operation_id)
{
    (void)operation_id;
    return "RSA";
}

static const char *ec_operation_name(int operation_id)
{
    return operation_id == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

#define KEYMGMT_TABLE(kind)                                                                                  \
    {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))kind##_new}, {OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))key_free}, \
        {OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))key_has},                                                    \
        {OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))key_match},                                                \
        {OSSL_FUNC_KEYMGMT_IMPORT, (void (*)(void))key_import},                                              \
        {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))kind##_import_types},                               \
        {OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void))key_export},                                              \
        {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))kind##_import_types},                               \
        {OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))key_get_params},                                      \
        {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))key_gettable},                                   \
        {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))kind##_operation_name},                     \
    {                                                                                                        \
        0, NULL                                                                                              \
    }

const OSSL_DISPATCH ski_rsa_keymgmt[] = {KEYMGMT_TABLE(rsa)};
const OSSL_DISPATCH ski_ec_keymgmt[] = {KEYMGMT_TABLE(ec)};
