#include "keyserver/rsa/rsa_compact.h"

#include <stdbool.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include "keyserver/rsa/rsa_der.h"
#include "keyserver/rsa/rsa_numbers.h"

#define VERSION    1
#define HEADER_LEN 10
#define E_MAX      8
#define PRIME_MAX  1024 // bytes: keys of 16384 bits

// ---- reading and writing of the bytes

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static bool is_number(const struct rsa_number *number, size_t max)
{
    return number->len >= 1 && number->len <= max && number->bytes[0] != 0;
}

// The views point into `in`.
static bool parse(const uint8_t *in, size_t len, struct rsa_der *key, uint32_t *divisor)
{
    if (len < HEADER_LEN || in[0] != VERSION)
        return false;
    key->e = (struct rsa_number){in + HEADER_LEN, in[1]};
    key->p = (struct rsa_number){key->e.bytes + key->e.len, get16(in + 2)};
    key->q = (struct rsa_number){key->p.bytes + key->p.len, get16(in + 4)};
    *divisor = (uint32_t)get16(in + 6) << 16 | get16(in + 8);
    return len == HEADER_LEN + key->e.len + key->p.len + key->q.len && is_number(&key->e, E_MAX) &&
           is_number(&key->p, PRIME_MAX) && is_number(&key->q, PRIME_MAX);
}

static uint8_t *put_number(uint8_t *at, const struct rsa_number *number)
{
    memcpy(at, number->bytes, number->len);
    return at + number->len;
}

static size_t write_form(const struct rsa_der *key, uint32_t divisor, uint8_t *out)
{
    const uint8_t header[HEADER_LEN] = {
        VERSION,
        (uint8_t)key->e.len,
        (uint8_t)(key->p.len >> 8),
        (uint8_t)key->p.len,
        (uint8_t)(key->q.len >> 8),
        (uint8_t)key->q.len,
        (uint8_t)(divisor >> 24),
        (uint8_t)(divisor >> 16),
        (uint8_t)(divisor >> 8),
        (uint8_t)divisor,
    };
    memcpy(out, header, sizeof header);
    uint8_t *at = put_number(out + HEADER_LEN, &key->e);
    at = put_number(at, &key->p);
    at = put_number(at, &key->q);
    return (size_t)(at - out);
}

// ---- the numbers

static bool load(BIGNUM *to, const struct rsa_number *from)
{
    return BN_bin2bn(from->bytes, (int)from->len, to) != NULL;
}

// A secure context with the numbers of a key in it, of which e, p and q are filled. NULL without memory.
static BN_CTX *begin(const struct rsa_der *key, struct rsa_numbers *k)
{
    BN_CTX *ctx = BN_CTX_secure_new();
    if (ctx == NULL)
        return NULL;
    BN_CTX_start(ctx);
    rsa_numbers_get(k, ctx);
    if (k->qinv != NULL && load(k->e, &key->e) && load(k->p, &key->p) && load(k->q, &key->q))
        return ctx;
    BN_CTX_end(ctx);
    BN_CTX_free(ctx);
    return NULL;
}

static void end(BN_CTX *ctx)
{
    if (ctx != NULL)
        BN_CTX_end(ctx);
    BN_CTX_free(ctx);
    ERR_clear_error();
}

// ---- decoding

static enum rsa_compact_status expand(const struct rsa_der *key, uint32_t divisor, uint8_t *der, size_t room,
                                      size_t *der_len)
{
    struct rsa_numbers k;
    BN_CTX *ctx = begin(key, &k);
    enum rsa_compact_status status = RSA_COMPACT_NO_MEMORY;
    if (ctx != NULL) {
        enum rsa_numbers_status derived = rsa_numbers_derive(&k, divisor, ctx);
        if (derived == RSA_NUMBERS_NO_KEY ||
            (derived == RSA_NUMBERS_OK && !rsa_numbers_write(&k, der, room, der_len)))
            status = RSA_COMPACT_MALFORMED;
        else if (derived == RSA_NUMBERS_OK)
            status = RSA_COMPACT_OK;
    }
    end(ctx);
    return status;
}

enum rsa_compact_status rsa_compact_decode(const uint8_t *compact, size_t len, uint8_t *der, size_t *der_len)
{
    struct rsa_der key;
    uint32_t divisor;
    size_t room = RSA_COMPACT_DER_ROOM(len);
    enum rsa_compact_status status = RSA_COMPACT_MALFORMED;
    *der_len = 0;
    if (parse(compact, len, &key, &divisor))
        status = expand(&key, divisor, der, room, der_len);
    if (status != RSA_COMPACT_OK)
        OPENSSL_cleanse(der, room);
    return status;
}

// ---- encoding

// Whether the form that was written gives the same DER again; scratch: secret memory of RSA_COMPACT_DER_ROOM(len) bytes.
static enum rsa_compact_status try(const uint8_t *der, size_t len, const uint8_t *form, size_t form_len,
                                   uint8_t *scratch)
{
    size_t again_len;
    enum rsa_compact_status status = rsa_compact_decode(form, form_len, scratch, &again_len);
    if (status == RSA_COMPACT_NO_MEMORY)
        return status;
    bool same = status == RSA_COMPACT_OK && again_len == len && CRYPTO_memcmp(scratch, der, len) == 0;
    return same ? RSA_COMPACT_OK : RSA_COMPACT_WHOLE;
}

static enum rsa_compact_status find_divisor(const struct rsa_der *key, uint32_t *divisor)
{
    struct rsa_numbers k;
    BN_CTX *ctx = begin(key, &k);
    if (ctx != NULL)
        *divisor = rsa_numbers_gcd(&k, ctx);
    end(ctx);
    if (ctx == NULL)
        return RSA_COMPACT_NO_MEMORY;
    return *divisor > 1 ? RSA_COMPACT_OK : RSA_COMPACT_WHOLE;
}

static enum rsa_compact_status encode(const uint8_t *der, size_t len, const struct rsa_der *key, uint8_t *out,
                                      size_t *out_len)
{
    *out_len = write_form(key, 1, out);
    size_t room = RSA_COMPACT_DER_ROOM(*out_len);
    uint8_t *scratch = OPENSSL_secure_zalloc(room);
    if (scratch == NULL)
        return RSA_COMPACT_NO_MEMORY;
    uint32_t divisor;
    enum rsa_compact_status status = try(der, len, out, *out_len, scratch);
    if (status == RSA_COMPACT_WHOLE)
        status = find_divisor(key, &divisor);
    else
        divisor = 1;
    if (status == RSA_COMPACT_OK && divisor != 1) {
        *out_len = write_form(key, divisor, out);
        status = try(der, len, out, *out_len, scratch);
    }
    OPENSSL_secure_clear_free(scratch, room);
    return status;
}

enum rsa_compact_status rsa_compact_encode(const uint8_t *der, size_t len, uint8_t *out, size_t *out_len,
                                           const char **why)
{
    struct rsa_der key;
    enum rsa_compact_status status = RSA_COMPACT_WHOLE;
    const char *reason = rsa_der_read(der, len, &key);
    *out_len = 0;
    if (reason == NULL && !is_number(&key.e, E_MAX))
        reason = "a public exponent of more than 64 bits";
    else if (reason == NULL && (!is_number(&key.p, PRIME_MAX) || !is_number(&key.q, PRIME_MAX)))
        reason = "primes of more than 8192 bits, or none";
    if (reason == NULL) {
        reason = "numbers that are not the usual ones of its primes";
        status = encode(der, len, &key, out, out_len);
        if (status != RSA_COMPACT_OK) {
            OPENSSL_cleanse(out, len);
            *out_len = 0;
        }
    }
    if (why != NULL)
        *why = status == RSA_COMPACT_WHOLE ? reason : NULL;
    return status;
}
