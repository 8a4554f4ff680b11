// Arithmetic whose time and memory accesses do not depend on the values: masks instead of branches.
// A mask is all ones (true) or all zeros (false).
#ifndef MEC_KEYSERVER_CT_H
#define MEC_KEYSERVER_CT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Hides a value from the optimiser, which would otherwise turn masks back into branches.
static inline uint32_t ct_hide(uint32_t x)
{
    __asm__("" : "+r"(x));
    return x;
}

static inline uint32_t ct_is_zero(uint32_t x)
{
    return ct_hide((uint32_t)0 - ((~x & (x - 1)) >> 31));
}

static inline uint32_t ct_eq(uint32_t a, uint32_t b)
{
    return ct_is_zero(a ^ b);
}

// a < b, for values below 2^31.
static inline uint32_t ct_lt(uint32_t a, uint32_t b)
{
    return ct_hide((uint32_t)0 - ((a - b) >> 31));
}

static inline uint8_t ct_select8(uint32_t mask, uint8_t yes, uint8_t no)
{
    return (uint8_t)((mask & yes) | (~mask & no));
}

// Base64 (RFC 4648 section 4) of a premaster. No table: a table's cache line would tell six bits of it. No branch but
// on lengths, which are public.

// Eight six-bit values, one in each byte, to their digits. A byte is lifted by what each range of values that it has
// reached adds: sums and products stay within their bytes.
static inline uint64_t ct_base64_digits(uint64_t values)
{
    const uint64_t each = 0x0101010101010101u;
    uint64_t from26 = (values + each * (128 - 26)) >> 7 & each,
             from52 = (values + each * (128 - 52)) >> 7 & each;
    uint64_t from62 = (values + each * (128 - 62)) >> 7 & each,
             from63 = (values + each * (128 - 63)) >> 7 & each;
    return values + each * 'A' + from26 * ('a' - 'A' - 26) + from63 * ('/' - '+' - 1) -
           from52 * ('a' + 26 - '0') - from62 * ('0' + 10 - '+');
}

// The eight six-bit values of 48 bits, the first in the lowest byte.
static inline uint64_t ct_base64_values(uint64_t bits)
{
    uint64_t values = 0;
    for (unsigned i = 0; i < 8; i++)
        values |= (bits >> (42 - 6 * i) & 63) << 8 * i;
    return values;
}

// The digits of `bytes` bytes, 1 to 6, the first in the lowest byte.
static inline uint64_t ct_base64_block(const uint8_t *in, size_t bytes)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < bytes; i++)
        bits |= (uint64_t)in[i] << (40 - 8 * i);
    return ct_base64_digits(ct_base64_values(bits));
}

// With padding, no NUL; out has 4 * ((len + 2) / 3) bytes.
static inline size_t ct_base64_encode(const uint8_t *in, size_t len, char *out)
{
    size_t o = 0;
    for (; len >= 6; len -= 6, in += 6, o += 8) {
        uint64_t text = htole64(ct_base64_block(in, 6));
        memcpy(out + o, &text, sizeof text);
    }
    if (len == 0)
        return o;
    uint64_t text = ct_base64_block(in, len);
    for (size_t digits = (8 * len + 5) / 6; digits > 0; digits--, text >>= 8)
        out[o++] = (char)(text & 0x7f);
    while (o % 4 != 0)
        out[o++] = '=';
    return o;
}

#endif
