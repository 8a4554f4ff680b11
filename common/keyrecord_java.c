// The form in which the Java key server keeps a key: Base64 of PKCS#8 DER on one line, or PKCS#8 PEM.
#include <string.h>
#include <openssl/crypto.h>

#include "common/keyrecord_parts.h"
#include "common/secmem.h"

#define PEM_BEGIN "-----BEGIN PRIVATE KEY-----"
#define PEM_END   "-----END PRIVATE KEY-----"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void trim(const uint8_t **text, size_t *len)
{
    while (*len > 0 && is_blank(**text)) {
        (*text)++;
        (*len)--;
    }
    while (*len > 0 && is_blank((*text)[*len - 1]))
        (*len)--;
}

// Base64 with line breaks into out (room for len bytes). Returns the number of bytes, 0 when it is none.
static size_t decode_base64(const uint8_t *text, size_t len, uint8_t *out)
{
    uint32_t group = 0;
    size_t digits = 0, padding = 0, out_len = 0;
    for (size_t i = 0; i < len; i++) {
        if (is_blank(text[i]))
            continue;
        int value = text[i] == '='                     ? 0
                    : text[i] == '-' || text[i] == '_' ? -1
                                                       : keyrecord_base64_digit((char)text[i]);
        if (text[i] == '=')
            padding++;
        else if (padding > 0 || value < 0)
            return 0;
        group = group << 6 | (uint32_t)value;
        if (++digits % 4 == 0) {
            out[out_len++] = (uint8_t)(group >> 16);
            out[out_len++] = (uint8_t)(group >> 8);
            out[out_len++] = (uint8_t)group;
        }
    }
    OPENSSL_cleanse(&group, sizeof group);
    return digits % 4 == 0 && padding <= 2 && padding <= out_len ? out_len - padding : 0;
}

enum keyrecord_status keyrecord_decode_java(const uint8_t *value, size_t len, uint8_t **der, size_t *der_len,
                                            size_t *room)
{
    static const size_t begin_len = sizeof PEM_BEGIN - 1, end_len = sizeof PEM_END - 1;
    trim(&value, &len);
    if (len > begin_len + end_len && memcmp(value, PEM_BEGIN, begin_len) == 0) {
        if (memcmp(value + len - end_len, PEM_END, end_len) != 0)
            return KEYRECORD_MALFORMED;
        value += begin_len;
        len -= begin_len + end_len;
    }
    // The shortest PKCS#8 of a key that we serve, P-256 without its public part, has 67 bytes (92 digits of
    // Base64).
    if (len < 64 || len > KEYRECORD_MAX_LEN)
        return KEYRECORD_MALFORMED;
    *room = len;
    *der = secmem_alloc(*room);
    if (*der == NULL)
        return KEYRECORD_NO_MEMORY;
    *der_len = decode_base64(value, len, *der);
    if (*der_len != 0)
        return KEYRECORD_OK;
    secmem_free(der, *room);
    return KEYRECORD_MALFORMED;
}
