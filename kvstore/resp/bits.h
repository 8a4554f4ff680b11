// Bits and integers of any width in a row of bytes. Bit 0 is the highest of byte 0, as the bitmap commands of Redis count. Pure functions, any thread.
#ifndef MEC_KVSTORE_RESP_BITS_H
#define MEC_KVSTORE_RESP_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How many bits from..to (both inclusive, within data) are set.
uint64_t resp_bits_count(const uint8_t *data, uint64_t from, uint64_t to);

// The first bit from..to (both inclusive, within data) that is `bit`. False: none.
bool resp_bits_find(const uint8_t *data, uint64_t from, uint64_t to, bool bit, uint64_t *at);

enum resp_bits_op { RESP_BITS_AND, RESP_BITS_OR, RESP_BITS_XOR };
// into = into op from, of len bytes each.
void resp_bits_combine(enum resp_bits_op op, uint8_t *into, const uint8_t *from, size_t len);
void resp_bits_invert(uint8_t *data, size_t len);

// An integer of 1 to 64 bits. What lies behind the end of data reads as zeros.
uint64_t resp_bits_read(const uint8_t *data, size_t len, uint64_t offset, unsigned bits);
int64_t resp_bits_read_signed(const uint8_t *data, size_t len, uint64_t offset, unsigned bits);
// The low bits of the value; all of the field is within data.
void resp_bits_write(uint8_t *data, uint64_t offset, unsigned bits, uint64_t value);

enum resp_overflow { RESP_OVERFLOW_WRAP, RESP_OVERFLOW_SAT, RESP_OVERFLOW_FAIL };

// What a field of 1 to 64 bits (unsigned: to 63) holds after it was increased or set, by Redis's rules. old is what it holds now. False: it does not fit, and the rule is to
// fail.
bool resp_bits_increase(bool is_signed, unsigned bits, int64_t old, int64_t by, enum resp_overflow rule,
                        int64_t *result);
bool resp_bits_assign(bool is_signed, unsigned bits, int64_t value, enum resp_overflow rule, int64_t *result);

#endif
