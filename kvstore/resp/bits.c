#include "kvstore/resp/bits.h"

#include <string.h>

// ---- rows of bits

static unsigned ones(unsigned byte)
{
    return (unsigned)__builtin_popcount(byte);
}

// Of a byte the bits from `first` (0 to 7) on, and those up to `last`.
static unsigned from_bit(uint64_t first)
{
    return 0xffu >> (first & 7);
}

static unsigned to_bit(uint64_t last)
{
    return 0xffu & (0xffu << (7 - (last & 7)));
}

static uint64_t ones_of(const uint8_t *data, size_t len)
{
    uint64_t count = 0;
    for (; len >= 8; data += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        count += (uint64_t)__builtin_popcountll(word);
    }
    for (; len != 0; len--)
        count += ones(*data++);
    return count;
}

uint64_t resp_bits_count(const uint8_t *data, uint64_t from, uint64_t to)
{
    uint64_t first = from / 8, last = to / 8;
    if (first == last)
        return ones(data[first] & from_bit(from) & to_bit(to));
    return ones(data[first] & from_bit(from)) + ones_of(data + first + 1, last - first - 1) +
           ones(data[last] & to_bit(to));
}

// The first byte at or behind `at`, before `end`, that is not `skip`.
static uint64_t first_other(const uint8_t *data, uint64_t at, uint64_t end, uint8_t skip)
{
    uint64_t skipped;
    memset(&skipped, skip, sizeof skipped);
    for (uint64_t word; end - at >= sizeof word; at += sizeof word) {
        memcpy(&word, data + at, sizeof word);
        if (word != skipped)
            break;
    }
    while (at < end && data[at] == skip)
        at++;
    return at;
}

bool resp_bits_find(const uint8_t *data, uint64_t from, uint64_t to, bool bit, uint64_t *at)
{
    uint8_t skip = bit ? 0x00 : 0xff; // a byte that has none of them
    uint64_t byte = from / 8, end = to / 8 + 1;
    unsigned found = (data[byte] ^ (unsigned)skip) & from_bit(from);
    if (found == 0) {
        byte = first_other(data, byte + 1, end, skip);
        if (byte == end)
            return false;
        found = data[byte] ^ (unsigned)skip;
    }
    *at = byte * 8 + (unsigned)__builtin_clz(found) - 24;
    return *at <= to;
}

void resp_bits_combine(enum resp_bits_op op, uint8_t *into, const uint8_t *from, size_t len)
{
    switch (op) {
    case RESP_BITS_AND:
        for (size_t i = 0; i < len; i++)
            into[i] &= from[i];
        return;
    case RESP_BITS_OR:
        for (size_t i = 0; i < len; i++)
            into[i] |= from[i];
        return;
    case RESP_BITS_XOR:
        for (size_t i = 0; i < len; i++)
            into[i] ^= from[i];
        return;
    }
}

void resp_bits_invert(uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)~data[i];
}

// ---- fields

static uint64_t low_bits(unsigned bits)
{
    return bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

// A field touches at most nine bytes: its first 8 - offset % 8 bits are those of the first.
uint64_t resp_bits_read(const uint8_t *data, size_t len, uint64_t offset, unsigned bits)
{
    uint64_t value = 0;
    for (uint64_t at = offset, end = offset + bits; at < end;) {
        unsigned in_byte = 8 - (unsigned)(at & 7), take = in_byte;
        if (take > end - at)
            take = (unsigned)(end - at);
        unsigned byte = at / 8 < len ? data[at / 8] : 0;
        value = value << take | ((byte >> (in_byte - take)) & (0xffu >> (8 - take)));
        at += take;
    }
    return value;
}

static int64_t extended(uint64_t value, unsigned bits)
{
    if (bits < 64 && (value >> (bits - 1) & 1) != 0)
        value |= ~low_bits(bits);
    return (int64_t)value;
}

int64_t resp_bits_read_signed(const uint8_t *data, size_t len, uint64_t offset, unsigned bits)
{
    return extended(resp_bits_read(data, len, offset, bits), bits);
}

void resp_bits_write(uint8_t *data, uint64_t offset, unsigned bits, uint64_t value)
{
    for (uint64_t at = offset, end = offset + bits; at < end;) {
        unsigned in_byte = 8 - (unsigned)(at & 7), take = in_byte;
        if (take > end - at)
            take = (unsigned)(end - at);
        unsigned left = (unsigned)(end - at) - take; // bits of the value behind these
        unsigned mask = (0xffu >> (8 - take)) << (in_byte - take);
        unsigned part = (unsigned)(value >> left) << (in_byte - take) & mask;
        data[at / 8] = (uint8_t)((data[at / 8] & ~mask) | part);
        at += take;
    }
}

// ---- overflow

static int64_t greatest(bool is_signed, unsigned bits)
{
    return (int64_t)low_bits(is_signed ? bits - 1 : bits);
}

static int64_t least(bool is_signed, unsigned bits)
{
    return is_signed ? -greatest(true, bits) - 1 : 0;
}

// The value that did not fit, modulo 2^64, and the bound that it passed.
static bool settle(bool is_signed, unsigned bits, uint64_t value, int64_t bound, enum resp_overflow rule,
                   int64_t *result)
{
    value &= low_bits(bits);
    if (rule == RESP_OVERFLOW_WRAP)
        *result = is_signed ? extended(value, bits) : (int64_t)value;
    else
        *result = bound;
    return rule != RESP_OVERFLOW_FAIL;
}

bool resp_bits_increase(bool is_signed, unsigned bits, int64_t old, int64_t by, enum resp_overflow rule,
                        int64_t *result)
{
    int64_t max = greatest(is_signed, bits), min = least(is_signed, bits);
    int64_t sum;
    bool wide = __builtin_add_overflow(old, by, &sum);
    if (!wide && sum >= min && sum <= max) {
        *result = sum;
        return true;
    }
    bool above = wide ? by > 0 : sum > max;
    return settle(is_signed, bits, (uint64_t)old + (uint64_t)by, above ? max : min, rule, result);
}

bool resp_bits_assign(bool is_signed, unsigned bits, int64_t value, enum resp_overflow rule, int64_t *result)
{
    int64_t max = greatest(is_signed, bits), min = least(is_signed, bits);
    int64_t distance;
    if (value >= min && value <= max) {
        *result = value;
        return true;
    }
    // Redis takes a negative number for an unsigned field as a large one. So it does for a signed field with numbers that are further below its greatest than 63 bits say.
    bool above = !is_signed || value > max || __builtin_sub_overflow(max, value, &distance);
    return settle(is_signed, bits, (uint64_t)value, above ? max : min, rule, result);
}
