// The names of keys and certificates in the store, and what kind of key one is.
#include "common/keyrecord.h"

#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/sha.h>

#include "common/hex.h"
#include "common/keyrecord_parts.h"

// ---- the SubjectPublicKeyInfo
//
// Written by hand: OpenSSL's encoders take a good part of a millisecond, and keep the point form a key
// happened to be read with, while a fingerprint must not depend on that (RFC 5480 section 2.2: uncompressed
// is what everybody uses).

// The named curve of a key; NULL for any other curve.
static const struct keyrecord_curve *curve_of(EVP_PKEY *key)
{
    char group[80];
    size_t len = 0;
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, &len) != 1)
        return NULL;
    return keyrecord_curve_named(group);
}

// The largest: RSA of 16384 bits with an exponent as long.
#define RSA_NUMBER_MAX 2048
#define SPKI_MAX_LEN   4200

static uint8_t *der_length(uint8_t *out, size_t len)
{
    if (len < 0x80) {
        *out++ = (uint8_t)len;
    } else if (len < 0x100) {
        *out++ = 0x81;
        *out++ = (uint8_t)len;
    } else {
        *out++ = 0x82;
        *out++ = (uint8_t)(len >> 8);
        *out++ = (uint8_t)len;
    }
    return out;
}

static size_t der_header_len(size_t len)
{
    return len < 0x80 ? 2 : len < 0x100 ? 3 : 4;
}

// Contents of an INTEGER that is not negative: a zero byte in front when the top bit is set, or for the number zero.
static size_t der_integer_len(const struct rsa_number *n)
{
    return n->len == 0 || (n->bytes[0] & 0x80) != 0 ? n->len + 1 : n->len;
}

static uint8_t *der_integer(uint8_t *out, const struct rsa_number *n)
{
    size_t len = der_integer_len(n);
    *out++ = 0x02;
    out = der_length(out, len);
    if (len != n->len)
        *out++ = 0;
    if (n->len != 0)
        memcpy(out, n->bytes, n->len);
    return out + n->len;
}

static size_t rsa_spki(const struct rsa_number *n, const struct rsa_number *e,
                       uint8_t out[static SPKI_MAX_LEN])
{
    static const uint8_t algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    if (n->len > RSA_NUMBER_MAX || e->len > RSA_NUMBER_MAX)
        return 0;
    size_t n_len = der_integer_len(n), e_len = der_integer_len(e);
    size_t numbers = der_header_len(n_len) + n_len + der_header_len(e_len) + e_len;
    size_t bits = 1 + der_header_len(numbers) + numbers; // BIT STRING: unused bits, then the SEQUENCE
    uint8_t *p = out;
    *p++ = 0x30;
    p = der_length(p, sizeof algorithm + der_header_len(bits) + bits);
    memcpy(p, algorithm, sizeof algorithm);
    p += sizeof algorithm;
    *p++ = 0x03;
    p = der_length(p, bits);
    *p++ = 0;
    *p++ = 0x30;
    p = der_length(p, numbers);
    p = der_integer(p, n);
    p = der_integer(p, e);
    return (size_t)(p - out);
}

// A public number of an RSA key, into `bytes`.
static bool public_number(EVP_PKEY *key, const char *param, uint8_t bytes[static RSA_NUMBER_MAX],
                          struct rsa_number *number)
{
    BIGNUM *bn = NULL;
    bool good = EVP_PKEY_get_bn_param(key, param, &bn) == 1 && BN_num_bytes(bn) <= RSA_NUMBER_MAX;
    if (good)
        *number = (struct rsa_number){bytes, (size_t)BN_bn2bin(bn, bytes)};
    BN_free(bn);
    return good;
}

static size_t rsa_key_spki(EVP_PKEY *key, uint8_t out[static SPKI_MAX_LEN])
{
    uint8_t n_bytes[RSA_NUMBER_MAX], e_bytes[RSA_NUMBER_MAX];
    struct rsa_number n, e;
    return public_number(key, OSSL_PKEY_PARAM_RSA_N, n_bytes, &n) &&
                   public_number(key, OSSL_PKEY_PARAM_RSA_E, e_bytes, &e)
               ? rsa_spki(&n, &e, out)
               : 0;
}

static size_t ec_spki(EVP_PKEY *key, const struct keyrecord_curve *curve, uint8_t out[static SPKI_MAX_LEN])
{
    BIGNUM *x = NULL, *y = NULL;
    size_t len = 0;
    uint8_t *point = out + curve->prefix_len;
    memcpy(out, curve->prefix, curve->prefix_len);
    point[0] = POINT_CONVERSION_UNCOMPRESSED;
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1 &&
        BN_bn2binpad(x, point + 1, (int)curve->field_len) > 0 &&
        BN_bn2binpad(y, point + 1 + curve->field_len, (int)curve->field_len) > 0)
        len = curve->prefix_len + 1 + 2 * curve->field_len;
    BN_free(y);
    BN_free(x);
    return len;
}

bool keyrecord_serves_rsa(unsigned bits)
{
    return bits >= 2048 && bits <= 8192;
}

// Public numbers only.
bool keyrecord_describe(EVP_PKEY *key, enum keyrecord_type *type, unsigned *bits)
{
    if (EVP_PKEY_is_a(key, "RSA")) {
        int n = EVP_PKEY_get_bits(key);
        *type = KEYRECORD_RSA;
        *bits = (unsigned)n;
        return n > 0 && keyrecord_serves_rsa(*bits);
    }
    const struct keyrecord_curve *curve = EVP_PKEY_is_a(key, "EC") ? curve_of(key) : NULL;
    if (curve == NULL)
        return false;
    *type = KEYRECORD_EC;
    *bits = curve->bits;
    return true;
}

// ---- names

static void base64_of(const uint8_t hash[static SHA256_DIGEST_LENGTH],
                      char name[static KEYRECORD_NAME_LEN + 1])
{
    (void)EVP_EncodeBlock((unsigned char *)name, hash, SHA256_DIGEST_LENGTH);
}

static bool name_of(const uint8_t *spki, size_t len, char name[static KEYRECORD_NAME_LEN + 1])
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    if (len == 0 || SHA256(spki, len, hash) == NULL) {
        ERR_clear_error();
        return false;
    }
    base64_of(hash, name);
    return true;
}

bool keyrecord_rsa_name(const struct rsa_number *n, const struct rsa_number *e,
                        char name[static KEYRECORD_NAME_LEN + 1])
{
    uint8_t spki[SPKI_MAX_LEN];
    return name_of(spki, rsa_spki(n, e, spki), name);
}

bool keyrecord_ec_name(const struct keyrecord_ec *key, char name[static KEYRECORD_NAME_LEN + 1])
{
    const struct keyrecord_curve *curve = key->curve;
    uint8_t spki[SPKI_MAX_LEN];
    memcpy(spki, curve->prefix, curve->prefix_len);
    memcpy(spki + curve->prefix_len, key->point, 1 + 2 * curve->field_len);
    return name_of(spki, curve->prefix_len + 1 + 2 * curve->field_len, name);
}

bool keyrecord_name(EVP_PKEY *key, char name[static KEYRECORD_NAME_LEN + 1])
{
    uint8_t spki[SPKI_MAX_LEN];
    size_t len = 0;
    const struct keyrecord_curve *curve;
    if (EVP_PKEY_is_a(key, "RSA"))
        len = rsa_key_spki(key, spki);
    else if (EVP_PKEY_is_a(key, "EC") && (curve = curve_of(key)) != NULL)
        len = ec_spki(key, curve, spki);
    return name_of(spki, len, name);
}

static void hex_of(const uint8_t *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

bool keyrecord_alias(X509 *cert, char alias[static KEYRECORD_ALIAS_LEN + 1])
{
    uint8_t hash[SHA_DIGEST_LENGTH];
    unsigned len = 0;
    if (X509_digest(cert, EVP_sha1(), hash, &len) != 1 || len != sizeof hash) {
        ERR_clear_error();
        return false;
    }
    hex_of(hash, sizeof hash, alias);
    return true;
}

// Reads hex, with a colon between all bytes or without any. Returns the number of bytes, 0 when the text is
// no hex of 1 to `room` bytes.
static size_t read_hex(const char *text, size_t len, uint8_t *out, size_t room)
{
    size_t step = len > 2 && text[2] == ':' ? 3 : 2;
    size_t count = (len + step - 2) / step;
    if (count > room || len != count * step - (step - 2))
        return 0;
    for (size_t i = 0; i < count; i++) {
        const char *at = text + i * step;
        int high = hex_digit(at[0]), low = hex_digit(at[1]);
        if (high < 0 || low < 0 || (step == 3 && i + 1 < count && at[2] != ':'))
            return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return count;
}

int keyrecord_base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

// 43 digits, '=' optional; the two bits of the last digit that belong to no byte must be zero, so that a hash
// has one spelling only.
static bool normalise_base64(const char *text, size_t len, char out[static KEYRECORD_NAME_LEN + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (len != KEYRECORD_NAME_LEN - 1 && !(len == KEYRECORD_NAME_LEN && text[len - 1] == '='))
        return false;
    int value = 0;
    for (size_t i = 0; i < KEYRECORD_NAME_LEN - 1; i++) {
        value = keyrecord_base64_digit(text[i]);
        if (value < 0)
            return false;
        out[i] = digits[value];
    }
    out[KEYRECORD_NAME_LEN - 1] = '=';
    out[KEYRECORD_NAME_LEN] = '\0';
    return (value & 3) == 0;
}

bool keyrecord_normalise(const char *text, size_t len, char out[static KEYRECORD_NAME_LEN + 1])
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    size_t bytes = read_hex(text, len, hash, sizeof hash);
    if (bytes == SHA_DIGEST_LENGTH)
        hex_of(hash, bytes, out);
    else if (bytes == SHA256_DIGEST_LENGTH)
        base64_of(hash, out);
    else
        return normalise_base64(text, len, out);
    return true;
}
