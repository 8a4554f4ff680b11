// Opening records: from the bytes of the store to a key that is known to be the one its name says.
#include "common/keyrecord.h"

#include <string.h>
#include <openssl/crypto.h>
#include <openssl/cryptoerr.h>
#include <openssl/err.h>

#include "common/keyrecord_parts.h"
#include "common/secmem.h"

// ---- decoding by OpenSSL

int keyrecord_declared_type(const uint8_t *der, size_t len)
{
    const uint8_t *p = der;
    const ASN1_OBJECT *algorithm = NULL;
    int type = EVP_PKEY_NONE;
    PKCS8_PRIV_KEY_INFO *p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)len);
    if (p8 != NULL && p == der + len && PKCS8_pkey_get0(&algorithm, NULL, NULL, NULL, p8) == 1)
        type = OBJ_obj2nid(algorithm);
    PKCS8_PRIV_KEY_INFO_free(p8);
    return type == EVP_PKEY_RSA || type == EVP_PKEY_EC ? type : EVP_PKEY_NONE;
}

// Why OpenSSL did not decode a key; empties its queue of errors. A number that found no room in the secure
// heap must not be taken for a bad key: there will be room again.
static enum keyrecord_status decoding_failure(void)
{
    enum keyrecord_status status = KEYRECORD_BAD_KEY;
    unsigned long code;
    while ((code = ERR_get_error()) != 0)
        if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE ||
            (ERR_GET_LIB(code) == ERR_LIB_CRYPTO && ERR_GET_REASON(code) == CRYPTO_R_SECURE_MALLOC_FAILURE))
            status = KEYRECORD_NO_MEMORY;
    return status;
}

// Decodes PKCS#8 DER, all of it, into a key that we serve. The type is looked up first: it makes the decoder
// three times as fast, and the decoder alone would take PKCS#1 and SEC1 as well.
static enum keyrecord_status decode(const uint8_t *der, size_t len, EVP_PKEY **key, enum keyrecord_type *type,
                                    unsigned *bits)
{
    const uint8_t *p = der;
    struct keyrecord_ec ec;
    if (keyrecord_ec_read(der, len, &ec) && (*key = keyrecord_ec_key(&ec)) != NULL) {
        *type = KEYRECORD_EC;
        *bits = ec.curve->bits;
        return KEYRECORD_OK;
    }
    ERR_clear_error();
    int declared = keyrecord_declared_type(der, len);
    *key = declared != EVP_PKEY_NONE ? d2i_PrivateKey(declared, NULL, &p, (long)len) : NULL;
    if (*key != NULL && keyrecord_describe(*key, type, bits)) {
        ERR_clear_error();
        return KEYRECORD_OK;
    }
    enum keyrecord_status status = *key != NULL ? KEYRECORD_BAD_KEY : decoding_failure();
    EVP_PKEY_free(*key);
    *key = NULL;
    ERR_clear_error();
    return status;
}

enum keyrecord_status keyrecord_decode(const uint8_t *der, size_t len, EVP_PKEY **key)
{
    enum keyrecord_type type;
    unsigned bits;
    return decode(der, len, key, &type, &bits);
}

// ---- opening

// The DER that a record holds, not looked at yet, and the public part of the record, if it has one.
static enum keyrecord_status open_secret(const char *name, const uint8_t *value, size_t len,
                                         const struct seal_key *master, struct keyrecord_info *info,
                                         struct keyrecord_secret *secret)
{
    char other[KEYRECORD_NAME_LEN + 1];
    size_t body = 0;
    *secret = (struct keyrecord_secret){NULL, 0, 0};
    if (!keyrecord_is_versioned(value, len)) {
        memset(info, 0, sizeof *info);
        return keyrecord_decode_alias(value, len, other) == KEYRECORD_IS_ALIAS
                   ? KEYRECORD_IS_ALIAS
                   : keyrecord_decode_java(value, len, &secret->der, &secret->len, &secret->room);
    }
    if (!keyrecord_read_public(value, len, info, &body))
        return KEYRECORD_MALFORMED;
    return keyrecord_open_body(name, info, value, len, body, master, &secret->der, &secret->len,
                               &secret->room);
}

// Whether a record under this name may hold a key of this name, type and size. info->type 0: the record does not say.
static enum keyrecord_status check(const char *name, const char *real_name, const struct keyrecord_info *info,
                                   enum keyrecord_type type, unsigned bits)
{
    if (info->type != 0 && (type != info->type || bits != info->bits))
        return KEYRECORD_MALFORMED;
    return strlen(name) == KEYRECORD_NAME_LEN && strcmp(name, real_name) != 0 ? KEYRECORD_MISMATCH
                                                                              : KEYRECORD_OK;
}

static bool name_of(const struct keyrecord_secret *secret, EVP_PKEY *key,
                    char name[static KEYRECORD_NAME_LEN + 1])
{
    struct keyrecord_ec ec;
    return keyrecord_ec_read(secret->der, secret->len, &ec) ? keyrecord_ec_name(&ec, name)
                                                            : keyrecord_name(key, name);
}

// OpenSSL's form of what was opened, after all checks.
static enum keyrecord_status decode_checked(const char *name, const struct keyrecord_secret *secret,
                                            struct keyrecord_info *info, EVP_PKEY **key)
{
    char real_name[KEYRECORD_NAME_LEN + 1];
    enum keyrecord_type type = KEYRECORD_RSA;
    unsigned bits = 0;
    enum keyrecord_status status = decode(secret->der, secret->len, key, &type, &bits);
    if (status != KEYRECORD_OK)
        return status;
    // A key whose public part cannot be told (an EC key with the number zero, say) serves nobody.
    status = name_of(secret, *key, real_name) ? check(name, real_name, info, type, bits) : KEYRECORD_BAD_KEY;
    if (status == KEYRECORD_OK) {
        info->type = type;
        info->bits = bits;
        return KEYRECORD_OK;
    }
    EVP_PKEY_free(*key);
    *key = NULL;
    return status;
}

enum keyrecord_status keyrecord_open_whole(const char *name, const uint8_t *value, size_t len,
                                           const struct seal_key *master, struct keyrecord_info *info,
                                           EVP_PKEY **key, struct keyrecord_secret *secret)
{
    *key = NULL;
    enum keyrecord_status status = open_secret(name, value, len, master, info, secret);
    if (status == KEYRECORD_OK)
        status = decode_checked(name, secret, info, key);
    if (status != KEYRECORD_OK)
        secmem_free(&secret->der, secret->room);
    return status;
}

// Moves the DER to memory of its own length; on failure it is freed. Base64 and the compact form are decoded into more room
// than they need.
static enum keyrecord_status fit(struct keyrecord_secret *secret)
{
    if (secret->room == secret->len)
        return KEYRECORD_OK;
    uint8_t *exact = secmem_alloc(secret->len);
    if (exact != NULL)
        memcpy(exact, secret->der, secret->len);
    secmem_free(&secret->der, secret->room);
    secret->der = exact;
    secret->room = secret->len;
    return exact != NULL ? KEYRECORD_OK : KEYRECORD_NO_MEMORY;
}

// ---- the interface

enum keyrecord_status keyrecord_read_info(const uint8_t *value, size_t len, struct keyrecord_info *info)
{
    size_t body = 0;
    if (keyrecord_is_versioned(value, len))
        return keyrecord_read_public(value, len, info, &body) ? KEYRECORD_OK : KEYRECORD_MALFORMED;
    EVP_PKEY *key = NULL;
    struct keyrecord_secret secret;
    enum keyrecord_status status = keyrecord_open_whole("", value, len, NULL, info, &key, &secret);
    EVP_PKEY_free(key);
    secmem_free(&secret.der, secret.room);
    return status;
}

enum keyrecord_status keyrecord_open(const char *name, const uint8_t *value, size_t len,
                                     const struct seal_key *master, EVP_PKEY **key,
                                     struct keyrecord_info *info)
{
    struct keyrecord_info unasked;
    struct keyrecord_secret secret;
    enum keyrecord_status status =
        keyrecord_open_whole(name, value, len, master, info != NULL ? info : &unasked, key, &secret);
    secmem_free(&secret.der, secret.room);
    return status;
}

enum keyrecord_status keyrecord_open_der(const char *name, const uint8_t *value, size_t len,
                                         const struct seal_key *master, uint8_t **der, size_t *der_len)
{
    struct keyrecord_info unasked;
    struct keyrecord_secret secret;
    EVP_PKEY *key = NULL;
    *der = NULL;
    *der_len = 0;
    enum keyrecord_status status = keyrecord_open_whole(name, value, len, master, &unasked, &key, &secret);
    EVP_PKEY_free(key);
    if (status == KEYRECORD_OK)
        status = fit(&secret);
    if (status == KEYRECORD_OK) {
        *der = secret.der;
        *der_len = secret.len;
    }
    return status;
}

static unsigned number_bits(const struct rsa_number *number)
{
    unsigned bits = (unsigned)number->len * 8;
    for (uint8_t top = number->len != 0 ? number->bytes[0] : 0xff; (top & 0x80) == 0;
         top = (uint8_t)(top << 1))
        bits--;
    return bits;
}

// Whether the strict reader takes the DER, and the key passes every check: then OpenSSL need not look at it.
static bool read_checked(const char *name, const struct keyrecord_info *info, struct keyrecord_key *key)
{
    char real_name[KEYRECORD_NAME_LEN + 1];
    if (rsa_der_read(key->der, key->der_len, &key->rsa) != NULL)
        return false;
    key->type = KEYRECORD_RSA;
    key->bits = number_bits(&key->rsa.n);
    return keyrecord_serves_rsa(key->bits) && keyrecord_rsa_name(&key->rsa.n, &key->rsa.e, real_name) &&
           check(name, real_name, info, key->type, key->bits) == KEYRECORD_OK;
}

enum keyrecord_status keyrecord_open_key(const char *name, const uint8_t *value, size_t len,
                                         const struct seal_key *master, struct keyrecord_key *key)
{
    struct keyrecord_info info;
    struct keyrecord_secret secret;
    memset(key, 0, sizeof *key);
    enum keyrecord_status status = open_secret(name, value, len, master, &info, &secret);
    if (status == KEYRECORD_OK)
        status = fit(&secret);
    if (status != KEYRECORD_OK)
        return status;
    key->der = secret.der;
    key->der_len = secret.len;
    if (read_checked(name, &info, key))
        return KEYRECORD_OK;
    // No RSA key, an unusual one, or none that may be served: OpenSSL decides, and it says why.
    memset(key, 0, sizeof *key);
    status = decode_checked(name, &secret, &info, &key->pkey);
    secmem_free(&secret.der, secret.room);
    if (status == KEYRECORD_OK) {
        key->type = info.type;
        key->bits = info.bits;
    }
    return status;
}

void keyrecord_key_clear(struct keyrecord_key *key)
{
    EVP_PKEY_free(key->pkey);
    secmem_free(&key->der, key->der_len);
    memset(key, 0, sizeof *key);
}
