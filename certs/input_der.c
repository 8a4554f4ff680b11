// The binary form. What an object is shows from its first two elements, so that nothing has to be tried in
// turn:
//
//   SEQUENCE { SEQUENCE, SEQUENCE ..      certificate
//   SEQUENCE { SEQUENCE, OCTET STRING     encrypted PKCS#8
//   SEQUENCE { INTEGER 0 or 1, SEQUENCE   PKCS#8
//   SEQUENCE { INTEGER 0, INTEGER ..      PKCS#1 (DSA looks alike, and is refused by its decoder or its type)
//   SEQUENCE { INTEGER 1, OCTET STRING    SEC1
//   SEQUENCE { INTEGER 3, SEQUENCE        PKCS#12
#include <limits.h>
#include <string.h>
#include <openssl/asn1.h>
#include <openssl/err.h>

#include "certs/input_parts.h"

struct element {
    const unsigned char *contents;
    size_t len;  // of the contents; all that is left when the length is indefinite (BER)
    size_t size; // with tag and length
    int tag;     // -1: not a universal type
};

static bool read_element(const uint8_t *data, size_t len, struct element *out)
{
    const unsigned char *p = data;
    long contents = 0;
    int tag = 0, class = 0;
    int flags = len > 0 && len <= LONG_MAX ? ASN1_get_object(&p, &contents, &tag, &class, (long)len) : 0x80;
    if ((flags & 0x80) != 0 || contents < 0) {
        ERR_clear_error();
        return false;
    }
    out->contents = p;
    out->len = (flags & 1) != 0 ? len - (size_t)(p - data) : (size_t)contents;
    out->size = (size_t)(p - data) + out->len;
    out->tag = class == V_ASN1_UNIVERSAL ? tag : -1;
    return out->size <= len;
}

enum kind { UNKNOWN, CERTIFICATE, PKCS8, PKCS8_ENCRYPTED, PKCS1, SEC1, PKCS12_FILE };

static enum kind kind_of(const struct element *outer)
{
    struct element first, second;
    if (!read_element(outer->contents, outer->len, &first) ||
        !read_element(outer->contents + first.size, outer->len - first.size, &second))
        return UNKNOWN;
    if (first.tag == V_ASN1_SEQUENCE)
        return second.tag == V_ASN1_SEQUENCE       ? CERTIFICATE
               : second.tag == V_ASN1_OCTET_STRING ? PKCS8_ENCRYPTED
                                                   : UNKNOWN;
    if (first.tag != V_ASN1_INTEGER || first.len != 1)
        return UNKNOWN;
    switch (first.contents[0]) {
    case 0:
        return second.tag == V_ASN1_SEQUENCE ? PKCS8 : second.tag == V_ASN1_INTEGER ? PKCS1 : UNKNOWN;
    case 1:
        return second.tag == V_ASN1_SEQUENCE ? PKCS8 : second.tag == V_ASN1_OCTET_STRING ? SEC1 : UNKNOWN;
    case 3:
        return second.tag == V_ASN1_SEQUENCE ? PKCS12_FILE : UNKNOWN;
    default:
        return UNKNOWN;
    }
}

static void handle_object(const struct input *in, enum kind kind, const uint8_t *data, size_t len)
{
    switch (kind) {
    case CERTIFICATE:
        input_cert(in, data, len, false);
        break;
    case PKCS8:
    case PKCS1:
    case SEC1:
        input_plain_key(in, EVP_PKEY_NONE, data, len);
        break;
    case PKCS8_ENCRYPTED:
        input_encrypted_key(in, data, len);
        break;
    case PKCS12_FILE:
        input_pkcs12(in, data, len);
        break;
    case UNKNOWN:
        input_fault(in, "neither a certificate nor a private key nor PKCS#12");
        break;
    }
}

void input_der(const struct input *in, const uint8_t *data, size_t len)
{
    while (len > 0) {
        struct element outer;
        if (!read_element(data, len, &outer) || outer.tag != V_ASN1_SEQUENCE) {
            input_fault(in, "damaged DER: no whole object, or bytes after the last one");
            return;
        }
        handle_object(in, kind_of(&outer), data, outer.size);
        data += outer.size;
        len -= outer.size;
        while (len > 0 && memchr(" \t\r\n", *data, 4) != NULL) { // an editor's line end after the object
            data++;
            len--;
        }
    }
}
