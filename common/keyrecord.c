#include "common/keyrecord.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include "common/keyrecord_parts.h"
#include "common/secmem.h"

#define MAGIC        "MKR1"
#define ALIAS_MAGIC  "MKA1"
#define MAGIC_LEN    4
#define HEADER_LEN   20
#define CERT_MIN_LEN (20 + 8 + 1)

enum { FORM_PLAIN = 0, FORM_SEALED = 1 };

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

// ---- little-endian integers

static void put_le(uint8_t *to, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *from, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

// ---- decoded keys

// What a PKCS#8 structure that fills its bytes exactly says it holds: EVP_PKEY_RSA or EVP_PKEY_EC, else
// EVP_PKEY_NONE.
static int declared_type(const uint8_t *der, size_t len)
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

// Decodes PKCS#8 DER, all of it, into a key that we serve. The type is looked up first: it makes the decoder
// three times as fast, and the decoder alone would take PKCS#1 and SEC1 as well.
static enum keyrecord_status decode_key(const uint8_t *der, size_t len, EVP_PKEY **key,
                                        enum keyrecord_type *type, unsigned *bits)
{
    const uint8_t *p = der;
    int declared = declared_type(der, len);
    *key = declared != EVP_PKEY_NONE ? d2i_PrivateKey(declared, NULL, &p, (long)len) : NULL;
    if (*key != NULL && keyrecord_describe(*key, type, bits))
        return KEYRECORD_OK;
    EVP_PKEY_free(*key);
    *key = NULL;
    ERR_clear_error();
    return KEYRECORD_BAD_KEY;
}

// ---- the versioned form

static bool is_versioned(const uint8_t *value, size_t len)
{
    return len >= MAGIC_LEN && memcmp(value, MAGIC, MAGIC_LEN) == 0;
}

// Reads the public part. *body is where the key begins. False: malformed.
static bool parse_public(const uint8_t *value, size_t len, struct keyrecord_info *info, size_t *body)
{
    memset(info, 0, sizeof *info);
    if (len < HEADER_LEN || len > KEYRECORD_MAX_LEN || value[4] > FORM_SEALED ||
        (value[5] != KEYRECORD_RSA && value[5] != KEYRECORD_EC))
        return false;
    info->sealed = value[4] == FORM_SEALED;
    info->type = value[5];
    info->bits = (unsigned)get_le(value + 6, 2);
    info->imported = get_le(value + 8, 8);
    info->cert_count = (unsigned)get_le(value + 16, 2);
    size_t end = HEADER_LEN + (size_t)get_le(value + 18, 2);
    if (info->cert_count > KEYRECORD_MAX_CERTS || end >= len)
        return false;
    size_t at = HEADER_LEN;
    for (unsigned i = 0; i < info->cert_count; i++) {
        struct keyrecord_cert *cert = &info->certs[i];
        if (end - at < CERT_MIN_LEN)
            return false;
        memcpy(cert->sha1, value + at, sizeof cert->sha1);
        cert->not_after = get_le(value + at + 20, 8);
        size_t name_len = value[at + 28];
        at += CERT_MIN_LEN;
        if (end - at < name_len)
            return false;
        memcpy(cert->name, value + at, name_len);
        at += name_len;
    }
    *body = at;
    return at == end;
}

// Header and certificate entries; returns their length. out NULL: only measures.
static size_t write_public(const struct keyrecord_info *info, uint8_t *out)
{
    size_t at = HEADER_LEN;
    for (unsigned i = 0; i < info->cert_count; i++) {
        const struct keyrecord_cert *cert = &info->certs[i];
        size_t name_len = strnlen(cert->name, sizeof cert->name - 1);
        if (out != NULL) {
            memcpy(out + at, cert->sha1, sizeof cert->sha1);
            put_le(out + at + 20, cert->not_after, 8);
            out[at + 28] = (uint8_t)name_len;
            memcpy(out + at + CERT_MIN_LEN, cert->name, name_len);
        }
        at += CERT_MIN_LEN + name_len;
    }
    if (out != NULL) {
        memcpy(out, MAGIC, MAGIC_LEN);
        out[4] = info->sealed ? FORM_SEALED : FORM_PLAIN;
        out[5] = (uint8_t)info->type;
        put_le(out + 6, info->bits, 2);
        put_le(out + 8, info->imported, 8);
        put_le(out + 16, info->cert_count, 2);
        put_le(out + 18, at - HEADER_LEN, 2);
    }
    return at;
}

// Associated data: the store name, then the public part.
static uint8_t *associated_data(const char *name, const uint8_t *public_part, size_t len)
{
    uint8_t *ad = malloc(KEYRECORD_NAME_LEN + len);
    if (ad != NULL) {
        memcpy(ad, name, KEYRECORD_NAME_LEN);
        memcpy(ad + KEYRECORD_NAME_LEN, public_part, len);
    }
    return ad;
}

static enum keyrecord_status unseal(const char *name, const uint8_t *value, size_t body,
                                    const uint8_t *sealed, size_t sealed_len, const struct seal_key *master,
                                    uint8_t *out)
{
    if (master == NULL)
        return KEYRECORD_NO_MASTER;
    uint8_t *ad = associated_data(name, value, body);
    if (ad == NULL)
        return KEYRECORD_NO_MEMORY;
    enum seal_status status = seal_open(master, ad, KEYRECORD_NAME_LEN + body, sealed, sealed_len, out);
    free(ad);
    switch (status) {
    case SEAL_OK:
        return KEYRECORD_OK;
    case SEAL_OTHER_KEY:
        return KEYRECORD_OTHER_MASTER;
    case SEAL_DAMAGED:
        return KEYRECORD_DAMAGED;
    case SEAL_FAILED:
        return KEYRECORD_NO_MEMORY;
    case SEAL_NOT_SEALED:
        break;
    }
    return KEYRECORD_MALFORMED;
}

// The PKCS#8 DER of a versioned record in *der (secret memory of *room bytes).
static enum keyrecord_status open_versioned(const char *name, const uint8_t *value, size_t len,
                                            const struct seal_key *master, struct keyrecord_info *info,
                                            uint8_t **der, size_t *der_len, size_t *room)
{
    size_t body = 0;
    if (!parse_public(value, len, info, &body))
        return KEYRECORD_MALFORMED;
    // An alias cannot hold the record itself: its seal is bound to the name of 44 characters.
    if (strlen(name) != KEYRECORD_NAME_LEN)
        return KEYRECORD_MISMATCH;
    size_t overhead = info->sealed ? SEAL_OVERHEAD : 0;
    if (len - body <= overhead)
        return KEYRECORD_MALFORMED;
    *der_len = *room = len - body - overhead;
    *der = secmem_alloc(*room);
    if (*der == NULL)
        return KEYRECORD_NO_MEMORY;
    enum keyrecord_status status = KEYRECORD_OK;
    if (info->sealed)
        status = unseal(name, value, body, value + body, len - body, master, *der);
    else
        memcpy(*der, value + body, *room);
    if (status != KEYRECORD_OK)
        secmem_free(der, *room);
    return status;
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
    if (!keyrecord_describe(key, &head.type, &head.bits))
        return KEYRECORD_BAD_KEY;
    if (!keyrecord_name(key, real_name) || strcmp(name, real_name) != 0)
        return KEYRECORD_MISMATCH;
    if (head.cert_count > KEYRECORD_MAX_CERTS)
        return KEYRECORD_MALFORMED;
    head.sealed = master != NULL;

    enum keyrecord_status status = KEYRECORD_NO_MEMORY;
    size_t body = write_public(&head, NULL);
    uint8_t *der = NULL, *ad = NULL;
    size_t der_len = encode_der(key, &der);
    size_t total = body + der_len + (head.sealed ? SEAL_OVERHEAD : 0);
    uint8_t *out = der_len != 0 ? malloc(total) : NULL;
    if (out == NULL)
        goto free_der;
    write_public(&head, out);
    if (!head.sealed) {
        memcpy(out + body, der, der_len);
        status = KEYRECORD_OK;
    } else {
        ad = associated_data(name, out, body);
        if (ad != NULL && seal(master, ad, KEYRECORD_NAME_LEN + body, der, der_len, out + body))
            status = KEYRECORD_OK;
    }
    if (status == KEYRECORD_OK && total > KEYRECORD_MAX_LEN)
        status = KEYRECORD_MALFORMED;
    if (status == KEYRECORD_OK) {
        *value = out;
        *len = total;
    } else {
        OPENSSL_cleanse(out, total);
        free(out);
    }
    free(ad);
free_der:
    if (der != NULL)
        secmem_free(&der, der_len);
    return status;
}

// Opens, decodes and checks. *der is secret memory of *room bytes, of which *der_len are the key. On failure
// neither key nor der stays.
static enum keyrecord_status open_whole(const char *name, const uint8_t *value, size_t len,
                                        const struct seal_key *master, struct keyrecord_info *info,
                                        EVP_PKEY **key, uint8_t **der, size_t *der_len, size_t *room)
{
    char other[KEYRECORD_NAME_LEN + 1];
    bool versioned = is_versioned(value, len);
    *key = NULL;
    *der = NULL;
    memset(info, 0, sizeof *info);
    if (keyrecord_decode_alias(value, len, other) == KEYRECORD_IS_ALIAS)
        return KEYRECORD_IS_ALIAS;
    enum keyrecord_status status = versioned
                                       ? open_versioned(name, value, len, master, info, der, der_len, room)
                                       : keyrecord_decode_java(value, len, der, der_len, room);
    if (status != KEYRECORD_OK)
        return status;
    enum keyrecord_type type = KEYRECORD_RSA;
    unsigned bits = 0;
    status = decode_key(*der, *der_len, key, &type, &bits);
    if (status == KEYRECORD_OK && versioned && (type != info->type || bits != info->bits))
        status = KEYRECORD_MALFORMED;
    // A key whose public part cannot be told (an EC key with the number zero, say) serves nobody.
    if (status == KEYRECORD_OK && !keyrecord_name(*key, other))
        status = KEYRECORD_BAD_KEY;
    else if (status == KEYRECORD_OK && strlen(name) == KEYRECORD_NAME_LEN && strcmp(name, other) != 0)
        status = KEYRECORD_MISMATCH;
    if (status == KEYRECORD_OK) {
        info->type = type;
        info->bits = bits;
        return KEYRECORD_OK;
    }
    EVP_PKEY_free(*key);
    *key = NULL;
    secmem_free(der, *room);
    return status;
}

enum keyrecord_status keyrecord_read_info(const uint8_t *value, size_t len, struct keyrecord_info *info)
{
    size_t body = 0, der_len = 0, room = 0;
    if (is_versioned(value, len))
        return parse_public(value, len, info, &body) ? KEYRECORD_OK : KEYRECORD_MALFORMED;
    EVP_PKEY *key = NULL;
    uint8_t *der = NULL;
    enum keyrecord_status status = open_whole("", value, len, NULL, info, &key, &der, &der_len, &room);
    if (status == KEYRECORD_OK) {
        EVP_PKEY_free(key);
        secmem_free(&der, room);
    }
    return status;
}

enum keyrecord_status keyrecord_open(const char *name, const uint8_t *value, size_t len,
                                     const struct seal_key *master, EVP_PKEY **key,
                                     struct keyrecord_info *info)
{
    struct keyrecord_info unasked;
    uint8_t *der = NULL;
    size_t der_len = 0, room = 0;
    enum keyrecord_status status =
        open_whole(name, value, len, master, info != NULL ? info : &unasked, key, &der, &der_len, &room);
    if (status == KEYRECORD_OK)
        secmem_free(&der, room);
    return status;
}

enum keyrecord_status keyrecord_open_der(const char *name, const uint8_t *value, size_t len,
                                         const struct seal_key *master, uint8_t **der, size_t *der_len)
{
    struct keyrecord_info unasked;
    EVP_PKEY *key = NULL;
    uint8_t *wide = NULL;
    size_t wide_len = 0, room = 0;
    *der = NULL;
    *der_len = 0;
    enum keyrecord_status status =
        open_whole(name, value, len, master, &unasked, &key, &wide, &wide_len, &room);
    if (status != KEYRECORD_OK)
        return status;
    EVP_PKEY_free(key);
    // The Base64 form was decoded into more room than it needs, and the caller frees by the exact length.
    *der = wide;
    *der_len = wide_len;
    if (room != wide_len) {
        *der = secmem_alloc(wide_len);
        if (*der != NULL)
            memcpy(*der, wide, wide_len);
        else
            status = KEYRECORD_NO_MEMORY;
        secmem_free(&wide, room);
    }
    if (*der == NULL)
        *der_len = 0;
    return status;
}
