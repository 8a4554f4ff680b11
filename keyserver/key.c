#include "keyserver/key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "common/secmem.h"
#include "keyserver/ct.h"

// ---- the fallback secret

// Puts the larger of two numbers of `len` bytes, one behind the other, first: one key has several private
// exponents (modulo lcm or phi) and two orders of its primes, depending on who made or wrote it, but these two
// numbers are always the same. In constant time.
static void order_primes(uint8_t *primes, size_t len)
{
    uint8_t *first = primes, *second = primes + len;
    uint32_t swap = 0, decided = 0;
    for (size_t i = 0; i < len; i++) {
        uint32_t differs = ~ct_eq(first[i], second[i]);
        swap |= ~decided & differs & ct_lt(first[i], second[i]);
        decided |= differs;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t x = first[i], y = second[i];
        first[i] = ct_select8(swap, y, x);
        second[i] = ct_select8(swap, x, y);
    }
}

// Takes over `primes`, two of key->size bytes in secret memory, in any order; NULL is a failure.
static bool make_fallback(struct ks_key *key, uint8_t *primes)
{
    key->fallback_secret = secmem_alloc(RSA_FALLBACK_SECRET_LEN);
    bool good = primes != NULL && key->fallback_secret != NULL;
    if (good) {
        order_primes(primes, key->size);
        good = rsa_fallback_secret(primes, 2 * key->size, key->fallback_secret);
    }
    secmem_free(&primes, 2 * key->size);
    return good;
}

// ---- from OpenSSL's form

static bool export_number(EVP_PKEY *pkey, const char *param, uint8_t *out, size_t len)
{
    BIGNUM *bn = BN_secure_new();
    bool good = bn != NULL && EVP_PKEY_get_bn_param(pkey, param, &bn) == 1 &&
                BN_bn2binpad(bn, out, (int)len) == (int)len;
    BN_clear_free(bn);
    return good;
}

static bool fill_rsa(struct ks_key *key, EVP_PKEY *pkey)
{
    key->size = (size_t)EVP_PKEY_get_size(pkey);
    if (key->size < 256 || key->size > SKI_INPUT_MAX)
        return false;
    key->modulus = malloc(key->size);
    uint8_t *primes = secmem_alloc(2 * key->size);
    if (key->modulus == NULL || primes == NULL ||
        !export_number(pkey, OSSL_PKEY_PARAM_RSA_N, key->modulus, key->size) ||
        !export_number(pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, primes, key->size) ||
        !export_number(pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, primes + key->size, key->size)) {
        secmem_free(&primes, 2 * key->size);
        return false;
    }
    return make_fallback(key, primes);
}

// ---- from the numbers of PKCS#8 DER

static bool fill_from_numbers(struct ks_key *key, const struct rsa_der *rsa)
{
    key->size = rsa->n.len;
    key->modulus = malloc(key->size);
    uint8_t *primes = secmem_alloc(2 * key->size);
    if (key->modulus == NULL || primes == NULL) {
        secmem_free(&primes, 2 * key->size);
        return false;
    }
    memcpy(key->modulus, rsa->n.bytes, key->size);
    memcpy(primes + key->size - rsa->p.len, rsa->p.bytes, rsa->p.len);
    memcpy(primes + 2 * key->size - rsa->q.len, rsa->q.bytes, rsa->q.len);
    return make_fallback(key, primes);
}

// KEYRECORD_BAD_KEY: not a key for the engine, which says nothing against it.
static enum keyrecord_status make_engine_form(struct ks_key *key, const struct rsa_der *rsa)
{
    size_t size = rsa8_key_size(rsa8_key_bits(rsa));
    if (size == 0)
        return KEYRECORD_BAD_KEY;
    struct rsa8_key *form = secmem_alloc(size);
    if (form == NULL)
        return KEYRECORD_NO_MEMORY;
    if (rsa8_key_make(form, rsa) != NULL) {
        secmem_free(&form, size);
        return KEYRECORD_BAD_KEY;
    }
    key->rsa8 = form;
    return fill_from_numbers(key, rsa) ? KEYRECORD_OK : KEYRECORD_NO_MEMORY;
}

// ---- the life of a key

static struct ks_key *allocate(const char *name, uint64_t version)
{
    struct ks_key *key = calloc(1, sizeof *key);
    if (key == NULL || pthread_mutex_init(&key->decoding, NULL) != 0) {
        free(key);
        return NULL;
    }
    key->refs = 1;
    key->version = version;
    (void)strncpy(key->name, name, sizeof key->name - 1);
    return key;
}

static void destroy(struct ks_key *key)
{
    EVP_PKEY_free(key->evp);
    if (key->rsa8 != NULL)
        secmem_free(&key->rsa8, rsa8_key_size(key->bits));
    secmem_free(&key->der, key->der_len);
    secmem_free(&key->fallback_secret, RSA_FALLBACK_SECRET_LEN);
    free(key->modulus);
    free(key->traits);
    (void)pthread_mutex_destroy(&key->decoding);
    free(key);
}

struct ks_key *ks_key_create(const char *name, uint64_t version, EVP_PKEY *pkey)
{
    struct ks_key *key = allocate(name, version);
    if (key == NULL) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    key->evp = pkey;
    key->bits = (unsigned)EVP_PKEY_get_bits(pkey);
    key->type = EVP_PKEY_is_a(pkey, "RSA") ? KEYRECORD_RSA : KEYRECORD_EC;
    if (key->type == KEYRECORD_RSA ? !fill_rsa(key, pkey) : !EVP_PKEY_is_a(pkey, "EC")) {
        ERR_clear_error();
        destroy(key);
        return NULL;
    }
    return key;
}

// The key in the engine's form, with its DER for later; KEYRECORD_BAD_KEY as make_engine_form() says.
static enum keyrecord_status create_cold(const char *name, uint64_t version, struct keyrecord_key *record,
                                         struct ks_key **made)
{
    struct ks_key *key = allocate(name, version);
    if (key == NULL)
        return KEYRECORD_NO_MEMORY;
    key->type = KEYRECORD_RSA;
    key->bits = record->bits;
    enum keyrecord_status status = make_engine_form(key, &record->rsa);
    if (status != KEYRECORD_OK) {
        destroy(key);
        return status;
    }
    key->der = record->der;
    key->der_len = record->der_len;
    record->der = NULL;
    *made = key;
    return KEYRECORD_OK;
}

enum keyrecord_status ks_key_from_record(const char *name, uint64_t version, struct keyrecord_key *record,
                                         struct ks_key **key)
{
    enum keyrecord_status status = KEYRECORD_BAD_KEY;
    *key = NULL;
    if (record->pkey == NULL)
        status = create_cold(name, version, record, key);
    if (status == KEYRECORD_BAD_KEY) {
        status = record->pkey != NULL ? KEYRECORD_OK
                                      : keyrecord_decode(record->der, record->der_len, &record->pkey);
        if (status == KEYRECORD_OK) {
            *key = ks_key_create(name, version, record->pkey);
            record->pkey = NULL;
            status = *key != NULL ? KEYRECORD_OK : KEYRECORD_NO_MEMORY;
        }
    }
    keyrecord_key_clear(record);
    return status;
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

// ---- OpenSSL's form of a cold key

enum keyrecord_status ks_key_decode(struct ks_key *key)
{
    if (atomic_load_explicit(&key->evp, memory_order_acquire) != NULL)
        return KEYRECORD_OK;
    enum keyrecord_status status = KEYRECORD_OK;
    (void)pthread_mutex_lock(&key->decoding);
    if (atomic_load_explicit(&key->evp, memory_order_relaxed) == NULL) {
        EVP_PKEY *made;
        status = keyrecord_decode(key->der, key->der_len, &made);
        if (status == KEYRECORD_OK) {
            atomic_store_explicit(&key->evp, made, memory_order_release);
            secmem_free(&key->der, key->der_len);
        }
    }
    (void)pthread_mutex_unlock(&key->decoding);
    return status;
}

EVP_PKEY *ks_key_pkey(struct ks_key *key)
{
    return ks_key_decode(key) == KEYRECORD_OK ? atomic_load_explicit(&key->evp, memory_order_acquire) : NULL;
}
