#include "keyserver/rsa/rsa_der.h"

#include <stdbool.h>
#include <string.h>

#include "common/der.h"

// An INTEGER that is not negative, in as few bytes as it takes (X.690, 8.3.2). Of the bytes of a secret number only the top
// bits are looked at, and they say its length.
static bool read_number(struct der_span *in, struct rsa_number *number)
{
    struct der_span c;
    if (!der_read(in, DER_INTEGER, &c) || c.len == 0 || (c.at[0] & 0x80) != 0)
        return false;
    bool zero_in_front = c.at[0] == 0;
    if (zero_in_front && c.len > 1 && (c.at[1] & 0x80) == 0)
        return false;
    number->bytes = c.at + zero_in_front;
    number->len = c.len - zero_in_front;
    return true;
}

static bool read_version(struct der_span *in, struct rsa_number *version)
{
    return read_number(in, version) && version->len <= 1;
}

// AlgorithmIdentifier of rsaEncryption: the OID 1.2.840.113549.1.1.1, and NULL for its parameters (RFC 8017, A.1).
static bool is_rsa(const struct der_span *algorithm)
{
    static const uint8_t rsa[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                  0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    return algorithm->len == sizeof rsa && memcmp(algorithm->at, rsa, sizeof rsa) == 0;
}

static const char *read_rsa_private_key(struct der_span in, struct rsa_der *key)
{
    struct rsa_number *const numbers[] = {&key->n, &key->e,  &key->d,  &key->p,
                                          &key->q, &key->dp, &key->dq, &key->qinv};
    struct der_span body;
    struct rsa_number version;
    if (!der_read(&in, DER_SEQUENCE, &body) || in.len != 0 || !read_version(&body, &version))
        return "not an RSAPrivateKey in DER";
    if (version.len != 0)
        return version.bytes[0] == 1 ? "an RSA key with more than two primes"
                                     : "an RSAPrivateKey of an unknown version";
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!read_number(&body, numbers[i]))
            return "not the eight numbers of an RSAPrivateKey in DER";
    return body.len == 0 ? NULL : "something behind the eight numbers of its RSAPrivateKey";
}

const char *rsa_der_read(const uint8_t *der, size_t len, struct rsa_der *key)
{
    struct der_span in = {der, len}, outer, algorithm, private_key;
    struct rsa_number version;
    if (!der_read(&in, DER_SEQUENCE, &outer))
        return "not PKCS#8 in DER";
    if (in.len != 0)
        return "something behind the PKCS#8";
    if (!read_version(&outer, &version))
        return "not PKCS#8 in DER";
    if (version.len != 0)
        return "PKCS#8 of a later version";
    if (!der_read(&outer, DER_SEQUENCE, &algorithm))
        return "not PKCS#8 in DER";
    if (!is_rsa(&algorithm))
        return "another algorithm than rsaEncryption";
    if (!der_read(&outer, DER_OCTET_STRING, &private_key))
        return "not PKCS#8 in DER";
    if (outer.len != 0)
        return "attributes or a public key beside the private key";
    return read_rsa_private_key(private_key, key);
}
