#include "common/keyrecord.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include "common/keyrecord_parts.h"
#include "common/secmem.h"
#include "keyserver/rsa/rsa_compact.h"

#define ALIAS_MAGIC "MKA1"
#define MAGIC_LEN   4

const char *keyrecord_status_text(enum keyrecord_status status)
{
    static const char *const texts[] = {
        [KEYRECORD_OK] = "ok",
        [KEYRECORD_IS_ALIAS] = "an alias of another record",
        [KEYRECORD_MALFORMED] = "not a key record",
        [KEYRECORD_NO_MASTER] = "sealed, and no master key was given",
        [KEYRECORD_OTHER_MASTER] = "sealed under another master key",
        [KEYRECORD_DAMAGED] = "the seal does not hold: changed or moved since it was written",
        [KEYRECORD_BAD_KEY] = "holds no RSA key of 2048 to 8192 bits nor a P-256, P-384 or P-521 key",
        [KEYRECORD_MISMATCH] = "holds another key than its name says",
        [KEYRECORD_NO_MEMORY] = "out of memory",
    };
    return (unsigned)status < sizeof texts / sizeof *texts ? texts[status] : "unknown status";
}

// ---- the interface

void keyrecord_encode_alias(const char *name, uint8_t out[static KEYRECORD_ALIAS_VALUE_LEN])
{
    memcpy(out, ALIAS_MAGIC, MAGIC_LEN);
    memcpy(out + MAGIC_LEN, name, KEYRECORD_NAME_LEN);
}

enum keyrecord_status keyrecord_decode_alias(const uint8_t *value, size_t len,
                                             char name[static KEYRECORD_NAME_LEN + 1])
{
    if (len != KEYRECORD_ALIAS_VALUE_LEN || memcmp(value, ALIAS_MAGIC, MAGIC_LEN) != 0 ||
        !keyrecord_normalise((const char *)value + MAGIC_LEN, KEYRECORD_NAME_LEN, name))
        return KEYRECORD_OK;
    return KEYRECORD_IS_ALIAS;
}

// PKCS#8 DER of a key in secret memory; 0 on failure.
static size_t encode_der(EVP_PKEY *key, uint8_t **der)
{
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
    int len = p8 != NULL ? i2d_PKCS8_PRIV_KEY_INFO(p8, NULL) : 0;
    *der = len > 0 ? secmem_alloc((size_t)len) : NULL;
    if (*der != NULL) {
        unsigned char *p = *der;
        (void)i2d_PKCS8_PRIV_KEY_INFO(p8, &p);
    }
    PKCS8_PRIV_KEY_INFO_free(p8);
    ERR_clear_error();
    return *der != NULL ? (size_t)len : 0;
}

enum keyrecord_status keyrecord_encode(const char *name, const struct keyrecord_info *info, EVP_PKEY *key,
                                       const struct seal_key *master, uint8_t **value, size_t *len)
{
    *value = NULL;
    *len = 0;
    struct keyrecord_info head = *info;
    char real_name[KEYRECORD_NAME_LEN + 1];
    const char *whole;
    if (!keyrecord_describe(key, &head.type, &head.bits))
        return KEYRECORD_BAD_KEY;
    if (!keyrecord_name(key, real_name) || strcmp(name, real_name) != 0)
        return KEYRECORD_MISMATCH;
    if (head.cert_count > KEYRECORD_MAX_CERTS)
        return KEYRECORD_MALFORMED;
    uint8_t *der = NULL;
    size_t der_len = encode_der(key, &der);
    if (der_len == 0)
        return KEYRECORD_NO_MEMORY;
    enum keyrecord_status status = keyrecord_build(name, &head, der, der_len, master, value, len, &whole);
    secmem_free(&der, der_len);
    return status;
}

enum keyrecord_status keyrecord_kept_whole(EVP_PKEY *key, const char **why)
{
    enum rsa_compact_status status = RSA_COMPACT_NO_MEMORY;
    size_t compact_len;
    uint8_t *der = NULL, *compact = NULL;
    *why = EVP_PKEY_is_a(key, "RSA") ? NULL : "no RSA key";
    if (*why != NULL)
        return KEYRECORD_OK;
    size_t der_len = encode_der(key, &der);
    if (der_len != 0 && (compact = secmem_alloc(der_len)) != NULL)
        status = rsa_compact_encode(der, der_len, compact, &compact_len, why);
    secmem_free(&compact, der_len);
    secmem_free(&der, der_len);
    return status == RSA_COMPACT_NO_MEMORY ? KEYRECORD_NO_MEMORY : KEYRECORD_OK;
}

enum keyrecord_status keyrecord_recode(const char *name, const uint8_t *value, size_t len,
                                       const struct seal_key *master, enum keyrecord_encoding encoding,
                                       uint8_t **out, size_t *out_len, const char **whole)
{
    struct keyrecord_info info;
    EVP_PKEY *key = NULL;
    struct keyrecord_secret secret;
    *out = NULL;
    *out_len = 0;
    *whole = NULL;
    enum keyrecord_status status = keyrecord_open_whole(name, value, len, master, &info, &key, &secret);
    if (status != KEYRECORD_OK)
        return status;
    EVP_PKEY_free(key);
    if (!keyrecord_is_versioned(value, len)) {
        *whole = "a record of the Java key server: import it";
    } else if (info.encoding != encoding) {
        info.encoding = encoding;
        status = keyrecord_build(name, &info, secret.der, secret.len, info.sealed ? master : NULL, out,
                                 out_len, whole);
        if (*whole != NULL && *out != NULL) { // nothing but what is there already
            OPENSSL_cleanse(*out, *out_len);
            free(*out);
            *out = NULL;
            *out_len = 0;
        }
    }
    secmem_free(&secret.der, secret.room);
    return status;
}

enum keyrecord_status keyrecord_rekey(const char *name, const uint8_t *value, size_t len,
                                      const struct seal_key *master, const struct seal_key *fresh,
                                      uint8_t **out, size_t *out_len, const char **whole)
{
    struct keyrecord_info info;
    EVP_PKEY *key = NULL;
    struct keyrecord_secret secret;
    size_t body;
    *out = NULL;
    *out_len = 0;
    *whole = NULL;
    enum keyrecord_status status = keyrecord_open_whole(name, value, len, master, &info, &key, &secret);
    if (status != KEYRECORD_OK)
        return status;
    EVP_PKEY_free(key);
    if (!keyrecord_is_versioned(value, len) || !info.sealed)
        *whole = "it is not sealed: import it, with a master key";
    else if (!keyrecord_read_public(value, len, &info, &body))
        status = KEYRECORD_MALFORMED;
    else if (!seal_is_under(fresh, value + body, len - body))
        status = keyrecord_build(name, &info, secret.der, secret.len, fresh, out, out_len, whole);
    secmem_free(&secret.der, secret.room);
    return status;
}
