// The operations of BITFIELD as its arguments say them, one after the other. Parsing only, with the rules of Redis 7.0; knows no store.
#ifndef MEC_KVSTORE_RESP_BITFIELD_H
#define MEC_KVSTORE_RESP_BITFIELD_H

#include "kvstore/resp/bits.h"
#include "kvstore/resp/parse.h"

// "12", or with field_bits not 0 also "#12", which counts in fields: a position in bits. False: none, or in a byte that a value of max_bytes does not have.
bool resp_bits_offset(const struct resp_arg *arg, unsigned field_bits, uint64_t max_bytes, uint64_t *offset);

struct resp_bitfield {
    enum resp_bitfield_kind { RESP_BITFIELD_GET, RESP_BITFIELD_SET, RESP_BITFIELD_INCRBY } kind;
    bool is_signed;
    unsigned bits;
    uint64_t offset; // in bits
    int64_t number;  // of SET and INCRBY
    enum resp_overflow overflow;
};

struct resp_bitfield_parser {
    const struct resp_arg *args; // what is left of them
    size_t count;
    uint64_t max_bytes; // of a value
    enum resp_overflow overflow;
};

enum resp_bitfield_status {
    RESP_BITFIELD_OK,
    RESP_BITFIELD_END,
    RESP_BITFIELD_SYNTAX,
    RESP_BITFIELD_BAD_OVERFLOW,
    RESP_BITFIELD_BAD_TYPE,
    RESP_BITFIELD_BAD_OFFSET,
    RESP_BITFIELD_BAD_NUMBER,
};

// args: what is behind the key. Nothing is allocated: the same arguments may be gone through again.
struct resp_bitfield_parser resp_bitfield_begin(const struct resp_arg *args, size_t count,
                                                uint64_t max_bytes);
enum resp_bitfield_status resp_bitfield_next(struct resp_bitfield_parser *parser,
                                             struct resp_bitfield *operation);

#endif
