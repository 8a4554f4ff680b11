#include "keyserver/key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "common/secmem.h"

static bool export_number(EVP_PKEY *pkey, const char *param, uint8_t *out, size_t len)
{
    BIGNUM *bn = BN_secure_new();
    bool good = bn != NULL && EVP_PKEY_get_bn_param(pkey, param, &bn) == 1 &&
                BN_bn2binpad(bn, out, (int)len) == (int)len;
    BN_clear_free(bn);
    return good;
}

// The primes, the larger first: one key has several private exponents (modulo lcm or phi) and two orders of
// its primes, depending on who made or wrote it, but these two numbers are always the same.
static bool export_primes(const struct ks_key *key, uint8_t *primes)
{
    uint8_t *larger = primes, *smaller = primes + key->size;
    BIGNUM *p = BN_secure_new(), *q = BN_secure_new();
    bool good = p != NULL && q != NULL &&
                EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, &p) == 1 &&
                EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, &q) == 1;
    bool ordered = good && BN_ucmp(p, q) > 0;
    good = good && BN_bn2binpad(ordered ? p : q, larger, (int)key->size) == (int)key->size &&
           BN_bn2binpad(ordered ? q : p, smaller, (int)key->size) == (int)key->size;
    BN_clear_free(p);
    BN_clear_free(q);
    return good;
}

static bool fill_rsa(struct ks_key *key)
{
    key->size = (size_t)EVP_PKEY_get_size(key->pkey);
    if (key->size < 256 || key->size > SKI_INPUT_MAX)
        return false;
    key->modulus = malloc(key->size);
    key->fallback_secret = secmem_alloc(RSA_FALLBACK_SECRET_LEN);
    uint8_t *primes = secmem_alloc(2 * key->size);
    bool good = key->modulus != NULL && key->fallback_secret != NULL && primes != NULL &&
                export_number(key->pkey, OSSL_PKEY_PARAM_RSA_N, key->modulus, key->size) &&
                export_primes(key, primes) &&
                rsa_fallback_secret(primes, 2 * key->size, key->fallback_secret);
    secmem_free(&primes, 2 * key->size);
    return good;
}

static void destroy(struct ks_key *key)
{
    EVP_PKEY_free(key->pkey);
    free(key->modulus);
    secmem_free(&key->fallback_secret, RSA_FALLBACK_SECRET_LEN);
    free(key);
}

struct ks_key *ks_key_create(const char *name, uint64_t version, EVP_PKEY *pkey)
{
    struct ks_key *key = calloc(1, sizeof *key);
    if (key == NULL) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    key->refs = 1;
    key->pkey = pkey;
    key->version = version;
    key->bits = (unsigned)EVP_PKEY_get_bits(pkey);
    (void)strncpy(key->name, name, sizeof key->name - 1);
    key->type = EVP_PKEY_is_a(pkey, "RSA") ? KEYRECORD_RSA : KEYRECORD_EC;
    if (key->type == KEYRECORD_RSA ? !fill_rsa(key) : !EVP_PKEY_is_a(pkey, "EC")) {
        ERR_clear_error();
        destroy(key);
        return NULL;
    }
    return key;
}

struct ks_key *ks_key_ref(struct ks_key *key)
{
    (void)atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void ks_key_unref(struct ks_key **key)
{
    if (*key != NULL && atomic_fetch_sub_explicit(&(*key)->refs, 1, memory_order_acq_rel) == 1)
        destroy(*key);
    *key = NULL;
}
