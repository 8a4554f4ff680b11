#include "tests/bench/keys/manykeys.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#define FIRST_EXPONENT 65537u
#define ENTRY_BYTES    29u // of a certificate in a record, without its name: keyrecord.h
#define HEAD_BYTES     20u
#define NAME_MOST      255u
#define TWO_DAYS       (2L * 24 * 3600)

// ---- public exponents

static bool is_prime(uint32_t n)
{
    for (uint32_t d = 3; (uint64_t)d * d <= n; d += 2)
        if (n % d == 0)
            return false;
    return n % 2 != 0;
}

uint32_t *manykeys_exponents(size_t count)
{
    uint32_t *found = calloc(count + 1, sizeof *found), n = FIRST_EXPONENT;
    for (size_t i = 0; found != NULL && i < count; n += 2)
        if (is_prime(n))
            found[i++] = n;
    return found;
}

// ---- a modulus

struct manykeys_modulus {
    BIGNUM *n, *p, *q, *qinv;
    BIGNUM *p1, *q1, *order; // p - 1, q - 1, their product
};

static bool read_numbers(struct manykeys_modulus *m, EVP_PKEY *key)
{
    return EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &m->n) == 1 &&
           EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR1, &m->p) == 1 &&
           EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR2, &m->q) == 1 &&
           EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, &m->qinv) == 1;
}

struct manykeys_modulus *manykeys_modulus_make(unsigned bits)
{
    struct manykeys_modulus *m = calloc(1, sizeof *m);
    EVP_PKEY *key = EVP_RSA_gen(bits);
    BN_CTX *ctx = BN_CTX_new();
    bool ok = m != NULL && key != NULL && ctx != NULL && read_numbers(m, key) &&
              (m->p1 = BN_dup(m->p)) != NULL && (m->q1 = BN_dup(m->q)) != NULL &&
              (m->order = BN_new()) != NULL && BN_sub_word(m->p1, 1) == 1 && BN_sub_word(m->q1, 1) == 1 &&
              BN_mul(m->order, m->p1, m->q1, ctx) == 1;
    BN_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (ok)
        return m;
    manykeys_modulus_free(m);
    return NULL;
}

void manykeys_modulus_free(struct manykeys_modulus *m)
{
    if (m == NULL)
        return;
    BIGNUM *numbers[] = {m->n, m->p, m->q, m->qinv, m->p1, m->q1, m->order};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        BN_clear_free(numbers[i]);
    free(m);
}

static EVP_PKEY *from_numbers(const struct manykeys_modulus *m, const BIGNUM *e, const BIGNUM *d,
                              const BIGNUM *dp, const BIGNUM *dq)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (build != NULL && ctx != NULL && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, m->n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_D, d) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_FACTOR1, m->p) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_FACTOR2, m->q) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_EXPONENT1, dp) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_EXPONENT2, dq) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, m->qinv) == 1 &&
        (params = OSSL_PARAM_BLD_to_param(build)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

EVP_PKEY *manykeys_key(const struct manykeys_modulus *m, uint32_t exponent)
{
    EVP_PKEY *key = NULL;
    BN_CTX *ctx = BN_CTX_new();
    if (ctx == NULL)
        return NULL;
    BN_CTX_start(ctx);
    BIGNUM *e = BN_CTX_get(ctx), *d = BN_CTX_get(ctx), *dp = BN_CTX_get(ctx), *dq = BN_CTX_get(ctx);
    if (dq != NULL && BN_set_word(e, exponent) == 1 && BN_mod_inverse(d, e, m->order, ctx) != NULL &&
        BN_nnmod(dp, d, m->p1, ctx) == 1 && BN_nnmod(dq, d, m->q1, ctx) == 1)
        key = from_numbers(m, e, d, dp, dq);
    BN_CTX_end(ctx);
    BN_CTX_free(ctx);
    return key;
}

// ---- what is kept of a key

void manykeys_pad(struct keyrecord_info *info, size_t der_bytes, size_t bytes)
{
    size_t now = HEAD_BYTES + der_bytes + SEAL_OVERHEAD, left = bytes > now ? bytes - now : 0;
    size_t count = (left + ENTRY_BYTES + NAME_MOST - 1) / (ENTRY_BYTES + NAME_MOST);
    count = count < KEYRECORD_MAX_CERTS ? count : KEYRECORD_MAX_CERTS;
    info->cert_count = (unsigned)count;
    for (size_t i = 0; i < count; i++) {
        struct keyrecord_cert *cert = &info->certs[i];
        size_t share = left / (count - i); // of what is still to be filled
        size_t name = share > ENTRY_BYTES ? share - ENTRY_BYTES : 1;
        name = name < NAME_MOST ? name : NAME_MOST;
        (void)RAND_bytes(cert->sha1, sizeof cert->sha1);
        cert->not_after = UINT32_MAX;
        memset(cert->name, 'a' + (int)(i % 26), name);
        cert->name[name] = '\0';
        left -= left < ENTRY_BYTES + name ? left : ENTRY_BYTES + name;
    }
}

X509 *manykeys_certificate(EVP_PKEY *key, const char *host)
{
    X509 *cert = X509_new();
    X509_NAME *name = cert != NULL ? X509_get_subject_name(cert) : NULL;
    if (name != NULL && X509_set_version(cert, X509_VERSION_3) == 1 &&
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(cert), 0) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(cert), TWO_DAYS) != NULL &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)host, -1, -1, 0) == 1 &&
        X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
        X509_sign(cert, key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}
