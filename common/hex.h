// Hexadecimal digits.
#ifndef MEC_COMMON_HEX_H
#define MEC_COMMON_HEX_H

// The value of a digit in either case, -1 of any other byte (also one above 127).
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
