// Arithmetic whose time and memory accesses do not depend on the values: masks instead of branches.
// A mask is all ones (true) or all zeros (false).
#ifndef MEC_KEYSERVER_CT_H
#define MEC_KEYSERVER_CT_H

#include <stddef.h>
#include <stdint.h>

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

// Base64 with padding, no NUL; out has 4 * ((len + 2) / 3) bytes. No table: a table's cache line would tell
// six bits of a premaster.
static inline char ct_base64_char(uint32_t v)
{
    uint32_t c = v + 'A';
    c += ct_hide(~ct_lt(v, 26)) & (uint32_t)('a' - 'A' - 26);
    c += ct_hide(~ct_lt(v, 52)) & (uint32_t)('0' - 'a' - 26);
    c += ct_hide(~ct_lt(v, 62)) & (uint32_t)('+' - '0' - 10);
    c += ct_hide(~ct_lt(v, 63)) & (uint32_t)('/' - '+' - 1);
    return (char)c;
}

static inline size_t ct_base64_encode(const uint8_t *in, size_t len, char *out)
{
    size_t o = 0;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t left = (uint32_t)(len - i); // public: only the length
        uint32_t v = (uint32_t)in[i] << 16;
        if (left > 1)
            v |= (uint32_t)in[i + 1] << 8;
        if (left > 2)
            v |= in[i + 2];
        out[o++] = ct_base64_char(v >> 18);
        out[o++] = ct_base64_char(v >> 12 & 63);
        out[o++] = left > 1 ? ct_base64_char(v >> 6 & 63) : '=';
        out[o++] = left > 2 ? ct_base64_char(v & 63) : '=';
    }
    return o;
}

#endif
