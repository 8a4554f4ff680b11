// The secret part of a key record: PKCS#8 or the compact form of it, plain or sealed.
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>

#include "common/keyrecord_parts.h"
#include "common/secmem.h"
#include "keyserver/rsa/rsa_compact.h"

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

// Puts the PKCS#8 DER in place of its compact form, which is freed in any case.
static enum keyrecord_status expand(uint8_t **der, size_t *der_len, size_t *room)
{
    uint8_t *compact = *der;
    size_t compact_len = *der_len, compact_room = *room;
    enum rsa_compact_status status = RSA_COMPACT_NO_MEMORY;
    *room = RSA_COMPACT_DER_ROOM(compact_len);
    *der = secmem_alloc(*room);
    if (*der != NULL)
        status = rsa_compact_decode(compact, compact_len, *der, der_len);
    secmem_free(&compact, compact_room);
    if (status == RSA_COMPACT_OK)
        return KEYRECORD_OK;
    secmem_free(der, *room);
    return status == RSA_COMPACT_NO_MEMORY ? KEYRECORD_NO_MEMORY : KEYRECORD_BAD_KEY;
}

enum keyrecord_status keyrecord_open_body(const char *name, const struct keyrecord_info *info,
                                          const uint8_t *value, size_t len, size_t body,
                                          const struct seal_key *master, uint8_t **der, size_t *der_len,
                                          size_t *room)
{
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
    if (status == KEYRECORD_OK && info->encoding == KEYRECORD_COMPACT)
        return expand(der, der_len, room);
    if (status != KEYRECORD_OK)
        secmem_free(der, *room);
    return status;
}

// ---- writing

// Public part and secret, as the head says, into a new block.
static enum keyrecord_status assemble(const char *name, const struct keyrecord_info *head,
                                      const uint8_t *secret, size_t secret_len, const struct seal_key *master,
                                      uint8_t **value, size_t *len)
{
    size_t body = keyrecord_write_public(head, NULL);
    size_t total = body + secret_len + (head->sealed ? SEAL_OVERHEAD : 0);
    if (total > KEYRECORD_MAX_LEN)
        return KEYRECORD_MALFORMED;
    uint8_t *out = malloc(total), *ad = NULL;
    bool ok = out != NULL;
    if (ok)
        (void)keyrecord_write_public(head, out);
    if (ok && head->sealed) {
        ad = associated_data(name, out, body);
        ok = ad != NULL && seal(master, ad, KEYRECORD_NAME_LEN + body, secret, secret_len, out + body);
    } else if (ok) {
        memcpy(out + body, secret, secret_len);
    }
    free(ad);
    if (!ok) {
        free(out); // sealing has wiped what it wrote
        return KEYRECORD_NO_MEMORY;
    }
    *value = out;
    *len = total;
    return KEYRECORD_OK;
}

enum keyrecord_status keyrecord_build(const char *name, const struct keyrecord_info *info, const uint8_t *der,
                                      size_t der_len, const struct seal_key *master, uint8_t **value,
                                      size_t *len, const char **whole)
{
    struct keyrecord_info head = *info;
    bool compact = head.encoding == KEYRECORD_COMPACT && head.type == KEYRECORD_RSA;
    head.sealed = master != NULL;
    head.encoding = KEYRECORD_PKCS8;
    *whole = info->encoding == KEYRECORD_COMPACT && !compact ? "no RSA key" : NULL;
    if (!compact)
        return assemble(name, &head, der, der_len, master, value, len);

    size_t secret_len = 0;
    uint8_t *secret = secmem_alloc(der_len);
    enum keyrecord_status status = KEYRECORD_NO_MEMORY;
    enum rsa_compact_status found =
        secret != NULL ? rsa_compact_encode(der, der_len, secret, &secret_len, whole) : RSA_COMPACT_NO_MEMORY;
    if (found == RSA_COMPACT_OK) {
        head.encoding = KEYRECORD_COMPACT;
        status = assemble(name, &head, secret, secret_len, master, value, len);
    } else if (found == RSA_COMPACT_WHOLE) {
        status = assemble(name, &head, der, der_len, master, value, len);
    }
    secmem_free(&secret, der_len);
    return status;
}
