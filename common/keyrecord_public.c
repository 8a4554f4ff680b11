// The public part of a key record: what anybody may know of the key.
#include <stdlib.h>
#include <string.h>

#include "common/keyrecord_parts.h"

#define MAGIC        "MKR1"
#define MAGIC_LEN    4
#define HEADER_LEN   20
#define CERT_MIN_LEN (20 + 8 + 1)

enum { FORM_SEALED = 1, FORM_COMPACT = 2, FORM_LABELS = 4 }; // bits
#define FORM_ALL (FORM_SEALED | FORM_COMPACT | FORM_LABELS)

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

bool keyrecord_label_valid(const char *text, size_t len)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\0' || strchr(allowed, text[i]) == NULL)
            return false;
    return len > 0 && len <= KEYRECORD_LABEL_LEN;
}

// Labels fill the rest of the public part. False: malformed.
static bool read_labels(const uint8_t *value, size_t at, size_t end, struct keyrecord_info *info)
{
    if (at == end || value[at] == 0 || value[at] > KEYRECORD_MAX_LABELS)
        return false;
    info->label_count = value[at++];
    for (unsigned i = 0; i < info->label_count; i++) {
        if (at == end || end - at - 1 < value[at] ||
            !keyrecord_label_valid((const char *)value + at + 1, value[at]))
            return false;
        memcpy(info->labels[i], value + at + 1, value[at]);
        at += 1 + (size_t)value[at];
    }
    return at == end;
}

bool keyrecord_read_public(const uint8_t *value, size_t len, struct keyrecord_info *info, size_t *body)
{
    memset(info, 0, sizeof *info);
    if (len < HEADER_LEN || len > KEYRECORD_MAX_LEN || value[4] > FORM_ALL ||
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
    *body = end;
    return (value[4] & FORM_LABELS) != 0 ? read_labels(value, at, end, info) : at == end;
}

// The texts one behind the other; returns their length. out NULL: only measures.
static size_t write_traits(const struct keyrecord_info *info, char *out)
{
    size_t at = 0;
    for (unsigned i = 0; i < info->cert_count + info->label_count; i++) {
        const char *text = i < info->cert_count ? info->certs[i].name : info->labels[i - info->cert_count];
        size_t len = strlen(text) + 1;
        if (out != NULL)
            memcpy(out + at, text, len);
        at += len;
    }
    return at;
}

enum keyrecord_status keyrecord_read_traits(const uint8_t *value, size_t len,
                                            struct keyrecord_traits **traits)
{
    struct keyrecord_info info;
    size_t body;
    *traits = NULL;
    if (!keyrecord_is_versioned(value, len))
        return KEYRECORD_OK;
    if (!keyrecord_read_public(value, len, &info, &body))
        return KEYRECORD_MALFORMED;
    if (info.cert_count + info.label_count == 0)
        return KEYRECORD_OK;
    *traits = malloc(sizeof **traits + write_traits(&info, NULL));
    if (*traits == NULL)
        return KEYRECORD_NO_MEMORY;
    (*traits)->name_count = info.cert_count;
    (*traits)->label_count = info.label_count;
    (void)write_traits(&info, (*traits)->text);
    return KEYRECORD_OK;
}

enum keyrecord_status keyrecord_last_not_after(const uint8_t *value, size_t len, uint64_t *not_after)
{
    struct keyrecord_info info;
    size_t body;
    *not_after = 0;
    if (!keyrecord_is_versioned(value, len))
        return KEYRECORD_OK;
    if (!keyrecord_read_public(value, len, &info, &body))
        return KEYRECORD_MALFORMED;
    for (unsigned i = 0; i < info.cert_count; i++)
        if (info.certs[i].not_after > *not_after)
            *not_after = info.certs[i].not_after;
    return KEYRECORD_OK;
}

static size_t write_labels(const struct keyrecord_info *info, uint8_t *out)
{
    size_t at = 1;
    if (info->label_count == 0)
        return 0;
    for (unsigned i = 0; i < info->label_count; i++) {
        size_t len = strlen(info->labels[i]);
        if (out != NULL) {
            out[at] = (uint8_t)len;
            memcpy(out + at + 1, info->labels[i], len);
        }
        at += 1 + len;
    }
    if (out != NULL)
        out[0] = (uint8_t)info->label_count;
    return at;
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
    at += write_labels(info, out != NULL ? out + at : NULL);
    if (out != NULL) {
        memcpy(out, MAGIC, MAGIC_LEN);
        out[4] = (uint8_t)((info->sealed ? FORM_SEALED : 0) |
                           (info->encoding == KEYRECORD_COMPACT ? FORM_COMPACT : 0) |
                           (info->label_count > 0 ? FORM_LABELS : 0));
        out[5] = (uint8_t)info->type;
        put_le(out + 6, info->bits, 2);
        put_le(out + 8, info->imported, 8);
        put_le(out + 16, info->cert_count, 2);
        put_le(out + 18, at - HEADER_LEN, 2);
    }
    return at;
}
