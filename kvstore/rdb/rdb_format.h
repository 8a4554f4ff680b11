// The bytes of an RDB: lengths, strings, opcodes. Shared by reader, writer and DUMP payloads; not public.
//
//   length   00xxxxxx                 0..63
//            01xxxxxx xxxxxxxx        14 bits
//            10000000 + 4 bytes       32 bits, most significant first
//            10000001 + 8 bytes       64 bits, most significant first
//   string   length, bytes
//            11000000 + 1 byte        a number: 8, 16 (11000001), 32 (11000010) bits, least significant first
//            11000011                 LZF: compressed length, plain length, compressed bytes
#ifndef MEC_KVSTORE_RDB_FORMAT_H
#define MEC_KVSTORE_RDB_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RDB_VERSION_WRITTEN 10u // Redis 7.0
#define RDB_VERSION_NEWEST  12u // Redis 7.4, 8.0
#define RDB_MAX_VALUE       ((size_t)512 * 1024 * 1024)

enum rdb_opcode {
    RDB_OP_SLOT_INFO = 0xf4,
    RDB_OP_FUNCTION = 0xf5,
    RDB_OP_FUNCTION_RC = 0xf6, // of the release candidates of 7.0
    RDB_OP_MODULE_AUX = 0xf7,
    RDB_OP_IDLE = 0xf8,
    RDB_OP_FREQ = 0xf9,
    RDB_OP_AUX = 0xfa,
    RDB_OP_RESIZE_DB = 0xfb,
    RDB_OP_EXPIRES_MS = 0xfc,
    RDB_OP_EXPIRES_S = 0xfd,
    RDB_OP_SELECT_DB = 0xfe,
    RDB_OP_END = 0xff,
};
enum { RDB_TYPE_STRING = 0, RDB_TYPE_OLD_MODULE = 6 };

// The forms of a string whose first byte is 11xxxxxx.
enum rdb_form { RDB_FORM_INT8, RDB_FORM_INT16, RDB_FORM_INT32, RDB_FORM_LZF };

#define RDB_LENGTH_BYTES 9u // of the longest length
#define RDB_INT_TEXT     12u

static inline bool rdb_is_form(uint8_t first)
{
    return (first & 0xc0) == 0xc0;
}
// How many bytes of a length follow its first one; -1: no length begins like that.
int rdb_length_more(uint8_t first);
// Of all bytes of a length.
uint64_t rdb_length_value(const uint8_t *bytes);
// Returns how many bytes it took.
size_t rdb_length_put(uint8_t out[RDB_LENGTH_BYTES], uint64_t len);

// A number in one of the RDB_FORM_INTs as its digits; returns how many.
size_t rdb_int_text(enum rdb_form form, const uint8_t *bytes, char text[RDB_INT_TEXT]);

// Can `packed` bytes of LZF be `plain` bytes? Three bytes give at most 264: what claims more is refused
// before memory is spent on it.
bool rdb_lzf_plausible(uint64_t packed, uint64_t plain);
// False: the bytes are not LZF of exactly `plain` bytes; `out` may have been written to. Plausible lengths only.
bool rdb_lzf_expand(const uint8_t *in, size_t packed, uint8_t *out, size_t plain);

// A string as it is written: the head, then the body.
struct rdb_encoded {
    uint8_t head[2 + 2 * RDB_LENGTH_BYTES];
    size_t head_len;
    const uint8_t *body; // the caller's bytes or `packed`
    size_t body_len;
    uint8_t *packed; // NULL when not compressed
};
// As Redis does it. Compression takes memory for a second copy, and about 300 KiB of stack; without memory the
// string is written plain. The value has to stay until rdb_encoded_end().
void rdb_encode(struct rdb_encoded *encoded, const void *value, size_t len, bool compress);
void rdb_encoded_end(struct rdb_encoded *encoded);

#endif
