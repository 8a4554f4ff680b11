#include "kvstore/rdb/rdb_dump.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_bytes.h"
#include "kvstore/rdb/rdb_crc64.h"
#include "kvstore/rdb/rdb_format.h"
#include "kvstore/rdb/rdb_layout.h"

#define FOOTER 10u // version, checksum

enum rdb_dump_status rdb_dump_make(const void *value, size_t len, bool compress, uint8_t **payload,
                                   size_t *payload_len)
{
    struct rdb_encoded encoded;
    rdb_encode(&encoded, value, len, compress);
    size_t body = 1 + encoded.head_len + encoded.body_len;
    uint8_t *out = malloc(body + FOOTER);
    if (out != NULL) {
        out[0] = RDB_TYPE_STRING;
        memcpy(out + 1, encoded.head, encoded.head_len);
        if (encoded.body_len > 0)
            memcpy(out + 1 + encoded.head_len, encoded.body, encoded.body_len);
        kv_put16(out + body, RDB_VERSION_WRITTEN);
        kv_put64(out + body + 2, rdb_crc64(0, out, body + 2));
        *payload = out;
        *payload_len = body + FOOTER;
    }
    rdb_encoded_end(&encoded);
    return out != NULL ? RDB_DUMP_OK : RDB_DUMP_NO_MEMORY;
}

struct cursor { // what is left before the footer. Bytes behind the string are passed over, as Redis does
    const uint8_t *at;
    size_t left;
};

static bool take_length(struct cursor *c, uint64_t *len)
{
    int more = c->left > 0 ? rdb_length_more(c->at[0]) : -1;
    if (more < 0 || (size_t)more >= c->left)
        return false;
    *len = rdb_length_value(c->at);
    c->at += 1 + more;
    c->left -= 1 + (size_t)more;
    return true;
}

static enum rdb_dump_status copy_of(const void *bytes, size_t len, size_t max, uint8_t **value,
                                    size_t *value_len)
{
    if (len > max)
        return RDB_DUMP_TOO_LARGE;
    uint8_t *copy = malloc(len != 0 ? len : 1);
    if (copy == NULL)
        return RDB_DUMP_NO_MEMORY;
    if (len != 0)
        memcpy(copy, bytes, len);
    *value = copy;
    *value_len = len;
    return RDB_DUMP_OK;
}

static enum rdb_dump_status read_lzf(struct cursor *c, size_t max, uint8_t **value, size_t *value_len)
{
    uint64_t packed, plain;
    if (!take_length(c, &packed) || !take_length(c, &plain) || packed > c->left ||
        !rdb_lzf_plausible(packed, plain))
        return RDB_DUMP_BAD_FORMAT;
    if (plain > max)
        return RDB_DUMP_TOO_LARGE;
    uint8_t *out = malloc(plain);
    if (out == NULL)
        return RDB_DUMP_NO_MEMORY;
    if (!rdb_lzf_expand(c->at, packed, out, plain)) {
        explicit_bzero(out, plain);
        free(out);
        return RDB_DUMP_BAD_FORMAT;
    }
    *value = out;
    *value_len = plain;
    return RDB_DUMP_OK;
}

static enum rdb_dump_status read_string(struct cursor *c, size_t max, uint8_t **value, size_t *value_len)
{
    char text[RDB_INT_TEXT];
    uint64_t len;
    if (c->left == 0 || !rdb_is_form(c->at[0])) {
        if (!take_length(c, &len) || len > c->left)
            return RDB_DUMP_BAD_FORMAT;
        return copy_of(c->at, len, max, value, value_len);
    }
    unsigned form = c->at[0] & 0x3f;
    c->at++;
    c->left--;
    if (form == RDB_FORM_LZF)
        return read_lzf(c, max, value, value_len);
    if (form > RDB_FORM_LZF || c->left < (size_t)1 << form)
        return RDB_DUMP_BAD_FORMAT;
    return copy_of(text, rdb_int_text((enum rdb_form)form, c->at, text), max, value, value_len);
}

enum rdb_dump_status rdb_dump_read(const void *payload, size_t len, size_t max_bytes, uint8_t **value,
                                   size_t *value_len, enum rdb_kind *kind)
{
    const uint8_t *bytes = payload;
    if (len < FOOTER || kv_get16(bytes + len - FOOTER) > RDB_VERSION_NEWEST)
        return RDB_DUMP_BAD_VERSION;
    if (rdb_crc64(0, bytes, len - 8) != kv_get64(bytes + len - 8))
        return RDB_DUMP_BAD_CHECKSUM;
    if (len == FOOTER)
        return RDB_DUMP_BAD_FORMAT;
    if (bytes[0] != RDB_TYPE_STRING) {
        const struct rdb_layout *layout = rdb_layout_of(bytes[0]);
        if (layout == NULL || !layout->is_value)
            return RDB_DUMP_BAD_FORMAT;
        if (kind != NULL)
            *kind = layout->kind;
        return RDB_DUMP_OTHER_KIND;
    }
    struct cursor cursor = {.at = bytes + 1, .left = len - FOOTER - 1};
    return read_string(&cursor, max_bytes != 0 ? max_bytes : RDB_MAX_VALUE, value, value_len);
}

const char *rdb_dump_status_text(enum rdb_dump_status status)
{
    switch (status) {
    case RDB_DUMP_OK:
        return "ok";
    case RDB_DUMP_BAD_VERSION:
        return "the version is newer than 12, or the payload too short for one";
    case RDB_DUMP_BAD_CHECKSUM:
        return "the checksum is wrong";
    case RDB_DUMP_OTHER_KIND:
        return "the value is no string";
    case RDB_DUMP_BAD_FORMAT:
        return "the string is damaged";
    case RDB_DUMP_TOO_LARGE:
        return "the string is too long";
    case RDB_DUMP_NO_MEMORY:
        return "no memory";
    }
    return "?";
}
