// Reading DER strictly and in place, element by element (X.690): for private keys, of which OpenSSL's decoders allow more forms than one and
// take a good part of a millisecond. Nothing is copied or allocated, and no contents are looked at: tags and lengths decide, which are not secret.
#ifndef MEC_COMMON_DER_H
#define MEC_COMMON_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_SEQUENCE = 0x30,
    DER_EXPLICIT = 0xa0, // and the number of the tag
};

// What is left to read of the contents of one element.
struct der_span {
    const uint8_t *at;
    size_t len;
};

// The length of an element: definite, in as few bytes as it takes (X.690, 10.1 and 8.1.3), and no more than is there. Two
// bytes of length are enough for keys of over 100,000 bits.
static inline bool der_read_length(struct der_span *in, size_t *len)
{
    if (in->len == 0)
        return false;
    size_t value = *in->at, bytes = 0;
    if (value >= 0x80) {
        bytes = value & 0x7f;
        if (bytes < 1 || bytes > 2 || in->len - 1 < bytes)
            return false;
        value = bytes == 1 ? in->at[1] : (size_t)in->at[1] << 8 | in->at[2];
        if (value < (bytes == 1 ? 0x80u : 0x100u))
            return false;
    }
    in->at += 1 + bytes;
    in->len -= 1 + bytes;
    *len = value;
    return value <= in->len;
}

// Steps over one element of this tag; *contents is what it holds. False: there is none, or it is not whole.
static inline bool der_read(struct der_span *in, uint8_t tag, struct der_span *contents)
{
    size_t len;
    if (in->len == 0 || *in->at != tag)
        return false;
    in->at++;
    in->len--;
    if (!der_read_length(in, &len))
        return false;
    *contents = (struct der_span){in->at, len};
    in->at += len;
    in->len -= len;
    return true;
}

#endif
