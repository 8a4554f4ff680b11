#include "certs/keycheck.h"

#include <stdio.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#define MIN_RSA_BITS 2048
#define MAX_RSA_BITS 8192
#define MAX_E_BITS   64 // OpenSSL verifies no longer ones for moduli over 3072 bits

static bool group_of(EVP_PKEY *key, char *group, size_t len)
{
    size_t written = 0;
    return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, len, &written) == 1;
}

// The name that people know a curve by; NULL when it is not one that is served.
static const char *served_curve(const char *group)
{
    static const char *const curves[][2] = {
        {SN_X9_62_prime256v1, "P-256"}, {SN_secp384r1, "P-384"}, {SN_secp521r1, "P-521"}};
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
        if (strcmp(group, curves[i][0]) == 0)
            return curves[i][1];
    return NULL;
}

char *keycheck_kind(EVP_PKEY *key, char *buf, size_t len)
{
    char group[80];
    const char *type = EVP_PKEY_get0_type_name(key);
    if (EVP_PKEY_is_a(key, "RSA"))
        (void)snprintf(buf, len, "RSA-%d", EVP_PKEY_get_bits(key));
    else if (EVP_PKEY_is_a(key, "EC") && group_of(key, group, sizeof group))
        (void)snprintf(buf, len, "%s", served_curve(group) != NULL ? served_curve(group) : group);
    else
        (void)snprintf(buf, len, "%s", type != NULL ? type : "unknown");
    ERR_clear_error();
    return buf;
}

// ---- RSA

enum { N, E, D, P, Q, DP, DQ, QINV, NUMBERS };

static bool rsa_numbers(EVP_PKEY *key, BIGNUM *number[static NUMBERS])
{
    static const char *const names[NUMBERS] = {
        [N] = OSSL_PKEY_PARAM_RSA_N,          [E] = OSSL_PKEY_PARAM_RSA_E,
        [D] = OSSL_PKEY_PARAM_RSA_D,          [P] = OSSL_PKEY_PARAM_RSA_FACTOR1,
        [Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,    [DP] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
        [DQ] = OSSL_PKEY_PARAM_RSA_EXPONENT2, [QINV] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    };
    for (size_t i = 0; i < NUMBERS; i++) {
        number[i] = BN_secure_new();
        if (number[i] == NULL || EVP_PKEY_get_bn_param(key, names[i], &number[i]) != 1)
            return false;
        BN_set_flags(number[i], BN_FLG_CONSTTIME);
    }
    return true;
}

// e * exponent = 1 (mod prime - 1), and crt = exponent mod (prime - 1).
static bool exponent_fits(const BIGNUM *e, const BIGNUM *exponent, const BIGNUM *crt, const BIGNUM *prime,
                          BN_CTX *ctx)
{
    BN_CTX_start(ctx);
    BIGNUM *order = BN_CTX_get(ctx), *t = BN_CTX_get(ctx);
    bool ok = t != NULL && BN_sub(order, prime, BN_value_one()) == 1 &&
              BN_mod_mul(t, e, exponent, order, ctx) == 1 && BN_is_one(t) &&
              BN_nnmod(t, exponent, order, ctx) == 1 && BN_cmp(t, crt) == 0;
    BN_CTX_end(ctx);
    return ok;
}

static bool rsa_consistent(BIGNUM *const number[static NUMBERS], BN_CTX *ctx)
{
    const BIGNUM *p = number[P], *q = number[Q];
    BN_CTX_start(ctx);
    BIGNUM *t = BN_CTX_get(ctx);
    bool ok = t != NULL && BN_is_odd(p) && BN_is_odd(q) && BN_cmp(p, q) != 0 && BN_mul(t, p, q, ctx) == 1 &&
              BN_cmp(t, number[N]) == 0 && exponent_fits(number[E], number[D], number[DP], p, ctx) &&
              exponent_fits(number[E], number[D], number[DQ], q, ctx) &&
              BN_mod_mul(t, q, number[QINV], p, ctx) == 1 && BN_is_one(t) && BN_cmp(number[QINV], p) < 0;
    BN_CTX_end(ctx);
    return ok;
}

// Primes that share their upper halves are found by Fermat's method (FIPS 186-4, B.3.3 asks for this
// distance).
static bool primes_apart(BIGNUM *const number[static NUMBERS], BN_CTX *ctx)
{
    BN_CTX_start(ctx);
    BIGNUM *t = BN_CTX_get(ctx);
    bool ok = t != NULL && BN_sub(t, number[P], number[Q]) == 1 &&
              BN_num_bits(t) > BN_num_bits(number[N]) / 2 - 100;
    BN_CTX_end(ctx);
    return ok;
}

static bool check_rsa_numbers(EVP_PKEY *key, BIGNUM *number[static NUMBERS], struct error *why)
{
    BIGNUM *third = NULL;
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR3, &third) == 1) {
        BN_clear_free(third);
        error_set(why, "RSA key with more than two primes: expected two");
        return false;
    }
    if (!rsa_numbers(key, number)) {
        error_set(why, "RSA key without its primes or their exponents: expected all eight numbers of PKCS#1");
        return false;
    }
    if (!BN_is_odd(number[E]) || BN_num_bits(number[E]) < 2 || BN_num_bits(number[E]) > MAX_E_BITS) {
        error_set(why,
                  "RSA key with a bad public exponent: found one %s, expected an odd one from 3 to 2^%d - 1",
                  !BN_is_odd(number[E])        ? "that is even"
                  : BN_num_bits(number[E]) < 2 ? "below 3"
                                               : "that is too large",
                  MAX_E_BITS);
        return false;
    }
    BN_CTX *ctx = BN_CTX_secure_new();
    bool ok = false;
    if (ctx == NULL)
        error_set(why, "out of secret memory");
    else if (!rsa_consistent(number, ctx))
        error_set(why, "damaged RSA key: its numbers do not belong together");
    else if (!primes_apart(number, ctx))
        error_set(why, "weak RSA key: its primes are so close to each other that anybody can find them");
    else
        ok = true;
    BN_CTX_free(ctx);
    return ok;
}

static bool check_rsa(EVP_PKEY *key, struct error *why)
{
    int bits = EVP_PKEY_get_bits(key);
    if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) {
        error_set(why, "RSA key too %s: found %d bits, expected %d to %d",
                  bits < MIN_RSA_BITS ? "weak" : "large", bits, MIN_RSA_BITS, MAX_RSA_BITS);
        return false;
    }
    BIGNUM *number[NUMBERS] = {NULL};
    bool ok = check_rsa_numbers(key, number, why);
    for (size_t i = 0; i < NUMBERS; i++)
        BN_clear_free(number[i]);
    return ok;
}

// ---- EC

static bool check_ec(EVP_PKEY *key, struct error *why)
{
    char group[80] = "unknown", encoding[20] = "";
    size_t len = 0;
    if (!group_of(key, group, sizeof group) || served_curve(group) == NULL) {
        error_set(why, "EC key on the curve %s: expected P-256, P-384 or P-521", group);
        return false;
    }
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof encoding, &len) ==
            1 &&
        strcmp(encoding, OSSL_PKEY_EC_ENCODING_EXPLICIT) == 0) {
        error_set(why, "EC key with explicit curve parameters: expected a named curve");
        return false;
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = ctx != NULL && EVP_PKEY_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!ok)
        error_set(why, "damaged EC key: its private and public parts do not belong together");
    return ok;
}

// ---- any

static bool signs_rightly(EVP_PKEY *key)
{
    static const unsigned char message[] = "does this key sign what its public part verifies?";
    unsigned char signature[MAX_RSA_BITS / 8];
    size_t len = sizeof signature;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, signature, &len, message, sizeof message) == 1;
    ok = ok && EVP_MD_CTX_reset(ctx) == 1 && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
         EVP_DigestVerify(ctx, signature, len, message, sizeof message) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

bool keycheck(EVP_PKEY *key, struct error *why)
{
    char kind[80];
    bool ok = false;
    if (EVP_PKEY_is_a(key, "RSA"))
        ok = check_rsa(key, why);
    else if (EVP_PKEY_is_a(key, "EC"))
        ok = check_ec(key, why);
    else
        error_set(why, "%s key: expected RSA, or EC on P-256, P-384 or P-521",
                  keycheck_kind(key, kind, sizeof kind));
    if (ok && !signs_rightly(key)) {
        error_set(why, "damaged key: a signature made with it does not verify");
        ok = false;
    }
    ERR_clear_error();
    return ok;
}
