#include "keyserver/rsa/rsa_numbers.h"

#include <string.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include "keyserver/rsa/rsa_inverse.h"

void rsa_numbers_get(struct rsa_numbers *k, BN_CTX *ctx)
{
    BIGNUM **const all[] = {&k->n, &k->e, &k->d, &k->p, &k->q, &k->dp, &k->dq, &k->qinv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if ((*all[i] = BN_CTX_get(ctx)) != NULL && all[i] != &k->n && all[i] != &k->e)
            BN_set_flags(*all[i], BN_FLG_CONSTTIME);
}

// ---- arithmetic

// The oldest fault in OpenSSL's queue: arithmetic that has no result, or else a number that found no room.
static enum rsa_numbers_status fault(void)
{
    unsigned long code = ERR_peek_error();
    bool arithmetic = ERR_GET_LIB(code) == ERR_LIB_BN &&
                      (ERR_GET_REASON(code) == BN_R_NO_INVERSE || ERR_GET_REASON(code) == BN_R_DIV_BY_ZERO);
    ERR_clear_error();
    return arithmetic ? RSA_NUMBERS_NO_KEY : RSA_NUMBERS_NO_MEMORY;
}

// order = (p - 1)(q - 1) / divisor; *exact: without a rest.
static bool make_order(BIGNUM *order, const BIGNUM *p1, const BIGNUM *q1, uint32_t divisor, bool *exact,
                       BN_CTX *ctx)
{
    BN_CTX_start(ctx);
    BIGNUM *by = BN_CTX_get(ctx), *rest = BN_CTX_get(ctx);
    bool ok = rest != NULL && BN_mul(order, p1, q1, ctx) == 1 && BN_set_word(by, divisor) == 1;
    *exact = true;
    if (ok && divisor != 1) {
        ok = BN_div(order, rest, order, by, ctx) == 1;
        *exact = ok && BN_is_zero(rest);
    }
    BN_set_flags(order, BN_FLG_CONSTTIME);
    BN_CTX_end(ctx);
    return ok;
}

static bool is_odd_prime_maybe(const BIGNUM *p)
{
    return BN_is_odd(p) && !BN_is_one(p);
}

static enum rsa_numbers_status invert_q(struct rsa_numbers *k, BN_CTX *ctx)
{
    switch (rsa_inverse(k->qinv, k->q, k->p, ctx)) {
    case RSA_INVERSE_OK:
        return RSA_NUMBERS_OK;
    case RSA_INVERSE_NONE:
        return RSA_NUMBERS_NO_KEY;
    case RSA_INVERSE_NO_MEMORY:
        break;
    }
    ERR_clear_error();
    return RSA_NUMBERS_NO_MEMORY;
}

enum rsa_numbers_status rsa_numbers_derive(struct rsa_numbers *k, uint32_t divisor, BN_CTX *ctx)
{
    bool exact = true, ok = false;
    if (divisor == 0 || !is_odd_prime_maybe(k->p) || !is_odd_prime_maybe(k->q) || !is_odd_prime_maybe(k->e))
        return RSA_NUMBERS_NO_KEY;
    BN_CTX_start(ctx);
    BIGNUM *p1 = BN_CTX_get(ctx), *q1 = BN_CTX_get(ctx), *order = BN_CTX_get(ctx);
    if (order != NULL && BN_sub(p1, k->p, BN_value_one()) == 1 && BN_sub(q1, k->q, BN_value_one()) == 1) {
        BN_set_flags(p1, BN_FLG_CONSTTIME);
        BN_set_flags(q1, BN_FLG_CONSTTIME);
        ok = BN_mul(k->n, k->p, k->q, ctx) == 1 && make_order(order, p1, q1, divisor, &exact, ctx) &&
             BN_mod_inverse(k->d, k->e, order, ctx) != NULL && BN_mod(k->dp, k->d, p1, ctx) == 1 &&
             BN_mod(k->dq, k->d, q1, ctx) == 1;
    }
    BN_CTX_end(ctx);
    if (!ok)
        return fault();
    return exact ? invert_q(k, ctx) : RSA_NUMBERS_NO_KEY;
}

uint32_t rsa_numbers_gcd(const struct rsa_numbers *k, BN_CTX *ctx)
{
    uint32_t divisor = 0;
    BN_CTX_start(ctx);
    BIGNUM *p1 = BN_CTX_get(ctx), *q1 = BN_CTX_get(ctx), *gcd = BN_CTX_get(ctx);
    if (gcd != NULL && BN_sub(p1, k->p, BN_value_one()) == 1 && BN_sub(q1, k->q, BN_value_one()) == 1) {
        BN_set_flags(p1, BN_FLG_CONSTTIME);
        BN_set_flags(q1, BN_FLG_CONSTTIME);
        if (BN_gcd(gcd, p1, q1, ctx) == 1 && BN_num_bits(gcd) <= 32)
            divisor = (uint32_t)BN_get_word(gcd);
    }
    BN_CTX_end(ctx);
    ERR_clear_error();
    return divisor;
}

// ---- DER, written from its end to its beginning: a header needs the length of what follows it

struct back {
    uint8_t *start, *at; // what is written begins at `at`
    bool ok;
};

static uint8_t *claim(struct back *b, size_t len)
{
    if (!b->ok || (size_t)(b->at - b->start) < len) {
        b->ok = false;
        return NULL;
    }
    return b->at -= len;
}

static void put_bytes(struct back *b, const uint8_t *bytes, size_t len)
{
    uint8_t *at = claim(b, len);
    if (at != NULL)
        memcpy(at, bytes, len);
}

// Tag and length of an element whose contents reach from `at` to `end`.
static void put_header(struct back *b, uint8_t tag, const uint8_t *end)
{
    size_t len = (size_t)(end - b->at);
    const uint8_t high = (uint8_t)(len >> 8), low = (uint8_t)len;
    if (len > 0xffff)
        b->ok = false;
    else if (len >= 0x100)
        put_bytes(b, (const uint8_t[]){tag, 0x82, high, low}, 4);
    else if (len >= 0x80)
        put_bytes(b, (const uint8_t[]){tag, 0x81, low}, 3);
    else
        put_bytes(b, (const uint8_t[]){tag, low}, 2);
}

static void put_number(struct back *b, const BIGNUM *number)
{
    const uint8_t *end = b->at;
    int len = BN_num_bits(number) / 8 + 1; // with the zero in front of a top bit
    uint8_t *at = claim(b, (size_t)len);
    if (at != NULL && BN_bn2binpad(number, at, len) != len)
        b->ok = false;
    put_header(b, 0x02, end);
}

bool rsa_numbers_write(const struct rsa_numbers *k, uint8_t *out, size_t room, size_t *len)
{
    static const uint8_t head[] = {0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86,
                                   0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    const BIGNUM *const numbers[] = {k->n, k->e, k->d, k->p, k->q, k->dp, k->dq, k->qinv};
    const uint8_t *end = out + room;
    struct back b = {out, out + room, true};
    for (size_t i = sizeof numbers / sizeof *numbers; i-- > 0;)
        put_number(&b, numbers[i]);
    put_bytes(&b, head, 3); // INTEGER 0, the version
    put_header(&b, 0x30, end);
    put_header(&b, 0x04, end);
    put_bytes(&b, head, sizeof head);
    put_header(&b, 0x30, end);
    *len = b.ok ? (size_t)(end - b.at) : 0;
    memmove(out, b.at, *len);
    OPENSSL_cleanse(out + *len, room - *len);
    return b.ok;
}
