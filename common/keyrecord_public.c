// The public part of a key record: what anybody may know of the key.
#include <string.h>

#include "common/keyrecord_parts.h"

#define MAGIC        "MKR1"
#define MAGIC_LEN    4
#define HEADER_LEN   20
#define CERT_MIN_LEN (20 + 8 + 1)

enum { FORM_SEALED = 1, FORM_COMPACT = 2 }; // bits

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

bool keyrecord_is_versioned(const uint8_t *value, size_t len)
{
    return len >= MAGIC_LEN && memcmp(value, MAGIC, MAGIC_LEN) == 0;
}

bool keyrecord_read_public(const uint8_t *value, size_t len, struct keyrecord_info *info, size_t *body)
{
    memset(info, 0, sizeof *info);
    if (len < HEADER_LEN || len > KEYRECORD_MAX_LEN || value[4] > (FORM_SEALED | FORM_COMPACT) ||
        (value[5] != KEYRECORD_RSA && (value[5] != KEYRECORD_EC || (value[4] & FORM_COMPACT) != 0)))
        return false;
    info->sealed = (value[4] & FORM_SEALED) != 0;
    info->encoding = (value[4] & FORM_COMPACT) != 0 ? KEYRECORD_COMPACT : KEYRECORD_PKCS8;
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

size_t keyrecord_write_public(const struct keyrecord_info *info, uint8_t *out)
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
        out[4] = (uint8_t)((info->sealed ? FORM_SEALED : 0) |
                           (info->encoding == KEYRECORD_COMPACT ? FORM_COMPACT : 0));
        out[5] = (uint8_t)info->type;
        put_le(out + 6, info->bits, 2);
        put_le(out + 8, info->imported, 8);
        put_le(out + 16, info->cert_count, 2);
        put_le(out + 18, at - HEADER_LEN, 2);
    }
    return at;
}
