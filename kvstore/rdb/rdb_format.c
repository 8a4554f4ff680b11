#include "kvstore/rdb/rdb_format.h"

#include <endian.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lzf.h>

#include "kvstore/kv_bytes.h"

#define LENGTH_32 0x80u
#define LENGTH_64 0x81u
#define FORM      0xc0u

// Redis does not try on shorter ones, nor keep it for less.
#define COMPRESS_OVER 20u
#define COMPRESS_GAIN 4u

int rdb_length_more(uint8_t first)
{
    switch (first >> 6) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return first == LENGTH_32 ? 4 : first == LENGTH_64 ? 8 : -1;
    default:
        return -1;
    }
}

uint64_t rdb_length_value(const uint8_t *bytes)
{
    uint64_t wide;
    uint32_t narrow;
    switch (rdb_length_more(bytes[0])) {
    case 1:
        return (uint64_t)(bytes[0] & 0x3f) << 8 | bytes[1];
    case 4:
        memcpy(&narrow, bytes + 1, sizeof narrow);
        return be32toh(narrow);
    case 8:
        memcpy(&wide, bytes + 1, sizeof wide);
        return be64toh(wide);
    default:
        return bytes[0] & 0x3f;
    }
}

size_t rdb_length_put(uint8_t out[RDB_LENGTH_BYTES], uint64_t len)
{
    if (len < 1u << 6) {
        out[0] = (uint8_t)len;
        return 1;
    }
    if (len < 1u << 14) {
        out[0] = (uint8_t)(0x40 | len >> 8);
        out[1] = (uint8_t)len;
        return 2;
    }
    if (len <= UINT32_MAX) {
        uint32_t narrow = htobe32((uint32_t)len);
        out[0] = LENGTH_32;
        memcpy(out + 1, &narrow, sizeof narrow);
        return 5;
    }
    uint64_t wide = htobe64(len);
    out[0] = LENGTH_64;
    memcpy(out + 1, &wide, sizeof wide);
    return 9;
}

size_t rdb_int_text(enum rdb_form form, const uint8_t *bytes, char text[RDB_INT_TEXT])
{
    int32_t n = form == RDB_FORM_INT8    ? (int8_t)bytes[0]
                : form == RDB_FORM_INT16 ? (int16_t)kv_get16(bytes)
                                         : (int32_t)kv_get32(bytes);
    return (size_t)snprintf(text, RDB_INT_TEXT, "%" PRId32, n);
}

bool rdb_lzf_plausible(uint64_t packed, uint64_t plain)
{
    // liblzf counts in unsigned int.
    return packed > 1 && plain > 0 && packed <= UINT_MAX && plain <= UINT_MAX && plain / 88 <= packed;
}

bool rdb_lzf_expand(const uint8_t *in, size_t packed, uint8_t *out, size_t plain)
{
    return lzf_decompress(in, (unsigned)packed, out, (unsigned)plain) == plain;
}

// The number that the text is, when it is written as Redis would write that number and fits 32 bits.
static bool is_int(const char *text, size_t len, int32_t *n)
{
    if (len == 0 || len >= RDB_INT_TEXT)
        return false;
    bool negative = text[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == len || (text[i] == '0' && len > 1)) // "-", "007", "-0"
        return false;
    int64_t value = 0;
    for (; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    value = negative ? -value : value;
    if (value < INT32_MIN || value > INT32_MAX)
        return false;
    *n = (int32_t)value;
    return true;
}

static void encode_int(struct rdb_encoded *e, int32_t n)
{
    enum rdb_form form = n >= INT8_MIN && n <= INT8_MAX     ? RDB_FORM_INT8
                         : n >= INT16_MIN && n <= INT16_MAX ? RDB_FORM_INT16
                                                            : RDB_FORM_INT32;
    uint8_t bytes[4];
    kv_put32(bytes, (uint32_t)n);
    e->head[0] = (uint8_t)(FORM | form);
    e->head_len = 1 + ((size_t)1 << form);
    memcpy(e->head + 1, bytes, e->head_len - 1);
}

static bool encode_lzf(struct rdb_encoded *e, const void *value, size_t len)
{
    if (len <= COMPRESS_OVER || len > UINT_MAX)
        return false;
    size_t room = len - COMPRESS_GAIN;
    uint8_t *packed = malloc(room);
    if (packed == NULL)
        return false;
    size_t got = lzf_compress(value, (unsigned)len, packed, (unsigned)room);
    if (got == 0) { // it does not fit
        explicit_bzero(packed, room);
        free(packed);
        return false;
    }
    e->head[0] = FORM | RDB_FORM_LZF;
    e->head_len = 1 + rdb_length_put(e->head + 1, got);
    e->head_len += rdb_length_put(e->head + e->head_len, len);
    e->packed = packed;
    e->body = packed;
    e->body_len = got;
    return true;
}

void rdb_encode(struct rdb_encoded *encoded, const void *value, size_t len, bool compress)
{
    int32_t n;
    *encoded = (struct rdb_encoded){0};
    if (is_int(value, len, &n)) {
        encode_int(encoded, n);
        return;
    }
    if (compress && encode_lzf(encoded, value, len))
        return;
    encoded->head_len = rdb_length_put(encoded->head, len);
    encoded->body = value;
    encoded->body_len = len;
}

void rdb_encoded_end(struct rdb_encoded *encoded)
{
    if (encoded->packed != NULL)
        explicit_bzero(encoded->packed, encoded->body_len);
    free(encoded->packed);
    explicit_bzero(encoded, sizeof *encoded);
}
