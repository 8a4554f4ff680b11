// EC private keys straight from PKCS#8 DER: OpenSSL's decoders take 290 us for a P-256 key, this and EVP_PKEY_fromdata() 12 us, and a signature 14 us.
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>

#include "common/der.h"
#include "common/keyrecord_parts.h"

#define FIELD_MAX 66

static const struct keyrecord_curve curves[] = {
    {SN_X9_62_prime256v1,
     256,
     32,
     {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
      0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00},
     26},
    {SN_secp384r1,
     384,
     48,
     {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
      0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00},
     23},
    {SN_secp521r1,
     521,
     FIELD_MAX,
     {0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
      0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00},
     25},
};

const struct keyrecord_curve *keyrecord_curve_named(const char *group)
{
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
        if (strcmp(group, curves[i].group) == 0)
            return &curves[i];
    return NULL;
}

// ---- reading

static bool same(const struct der_span *a, const uint8_t *bytes, size_t len)
{
    return a->len == len && memcmp(a->at, bytes, len) == 0;
}

// Contents of the AlgorithmIdentifier in the curve's prefix: two OIDs, the algorithm's of 9 bytes and the curve's.
static struct der_span algorithm_of(const struct keyrecord_curve *curve)
{
    struct der_span in = {curve->prefix, curve->prefix_len}, algorithm = {NULL, 0};
    size_t header = curve->prefix[1] == 0x81 ? 3 : 2; // of what is longer than the prefix
    in.at += header;
    in.len -= header;
    (void)der_read(&in, DER_SEQUENCE, &algorithm);
    return algorithm;
}

static const struct keyrecord_curve *curve_of(const struct der_span *algorithm)
{
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        struct der_span want = algorithm_of(&curves[i]);
        if (same(algorithm, want.at, want.len))
            return &curves[i];
    }
    return NULL;
}

static bool is_number(const struct der_span *contents, uint8_t value)
{
    return contents->len == 1 && contents->at[0] == value;
}

// The curve's name once more, which may be missing.
static bool read_parameters(struct der_span *in, const struct keyrecord_curve *curve)
{
    struct der_span parameters, algorithm = algorithm_of(curve);
    if (in->len == 0 || *in->at != DER_EXPLICIT)
        return true;
    return der_read(in, DER_EXPLICIT, &parameters) && same(&parameters, algorithm.at + 9, algorithm.len - 9);
}

static bool read_point(struct der_span *in, struct keyrecord_ec *key)
{
    struct der_span outer, bits;
    if (!der_read(in, DER_EXPLICIT + 1, &outer) || !der_read(&outer, DER_BIT_STRING, &bits) ||
        outer.len != 0 || bits.len != 2 + 2 * key->curve->field_len || bits.at[0] != 0 ||
        bits.at[1] != POINT_CONVERSION_UNCOMPRESSED)
        return false;
    key->point = bits.at + 1;
    return true;
}

static bool read_private_key(struct der_span in, struct keyrecord_ec *key)
{
    struct der_span body, version, number;
    if (!der_read(&in, DER_SEQUENCE, &body) || in.len != 0 || !der_read(&body, DER_INTEGER, &version) ||
        !is_number(&version, 1) || !der_read(&body, DER_OCTET_STRING, &number) ||
        number.len != key->curve->field_len)
        return false;
    key->number = number.at;
    return read_parameters(&body, key->curve) && read_point(&body, key) && body.len == 0;
}

bool keyrecord_ec_read(const uint8_t *der, size_t len, struct keyrecord_ec *key)
{
    struct der_span in = {der, len}, outer, version, algorithm, private_key;
    if (!der_read(&in, DER_SEQUENCE, &outer) || in.len != 0 || !der_read(&outer, DER_INTEGER, &version) ||
        !is_number(&version, 0) || !der_read(&outer, DER_SEQUENCE, &algorithm) ||
        (key->curve = curve_of(&algorithm)) == NULL || !der_read(&outer, DER_OCTET_STRING, &private_key) ||
        outer.len != 0)
        return false;
    return read_private_key(private_key, key);
}

// ---- OpenSSL's form

// As OSSL_PARAM has unsigned integers: little-endian where the machine is.
static void native(uint8_t *out, const uint8_t *big_endian, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? len - 1 - i : i] = big_endian[i];
}

EVP_PKEY *keyrecord_ec_key(const struct keyrecord_ec *key)
{
    const struct keyrecord_curve *curve = key->curve;
    uint8_t number[FIELD_MAX];
    // The library takes them as not const, and only reads them.
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)curve->group, 0),
        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, number, curve->field_len),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)key->point,
                                          1 + 2 * curve->field_len),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *made = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    native(number, key->number, curve->field_len);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_KEYPAIR, params) != 1)
        ERR_clear_error();
    OPENSSL_cleanse(number, sizeof number);
    EVP_PKEY_CTX_free(ctx);
    return made;
}
