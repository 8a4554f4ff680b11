#include "common/seal.h"

#include <stdatomic.h>
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "common/secmem.h"

#define MAGIC      "MKS1"
#define MAGIC_LEN  4
#define ID_LEN     8
#define NONCE_LEN  12
#define TAG_LEN    16
#define HEADER_LEN (MAGIC_LEN + ID_LEN + NONCE_LEN)

_Static_assert(HEADER_LEN + TAG_LEN == SEAL_OVERHEAD, "the header says how long a sealed value is");

// Two labels, so that the id, which stands in clear in every sealed value, says nothing about the encryption
// key.
static const char label_encryption[] = "MEC key server, sealing key, AES-256-GCM, version 1";
static const char label_id[] = "MEC key server, sealing key id, version 1";

struct seal_key {
    uint8_t encryption[SEAL_KEY_LEN];
    uint8_t id[ID_LEN];
    EVP_CIPHER *cipher; // fetched once: a fetch for every value costs as much as the sealing
    struct seal_key *_Atomic next; // that values are opened with as well; set once
};

const char *seal_status_text(enum seal_status status)
{
    static const char *const texts[] = {
        [SEAL_OK] = "ok",
        [SEAL_NOT_SEALED] = "not a sealed value",
        [SEAL_OTHER_KEY] = "sealed under another master key",
        [SEAL_DAMAGED] = "the seal does not hold: changed or moved since it was written",
        [SEAL_FAILED] = "out of memory",
    };
    return (unsigned)status < sizeof texts / sizeof *texts ? texts[status] : "unknown status";
}

// ---- master keys

static bool hkdf(const uint8_t master[static SEAL_KEY_LEN], const char *label, uint8_t *out, size_t out_len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    // OSSL_PARAM has no const pointers; the KDF reads only.
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)master, SEAL_KEY_LEN),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)label, strlen(label)),
        OSSL_PARAM_construct_end(),
    };
    bool ok = ctx != NULL && EVP_KDF_derive(ctx, out, out_len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

struct seal_key *seal_key_create(const uint8_t master[static SEAL_KEY_LEN], struct error *e)
{
    struct seal_key *key = secmem_alloc(sizeof *key);
    if (key == NULL) {
        error_set(e, "master key: out of secret memory");
        return NULL;
    }
    key->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (key->cipher == NULL || !hkdf(master, label_encryption, key->encryption, sizeof key->encryption) ||
        !hkdf(master, label_id, key->id, sizeof key->id)) {
        error_set_openssl(e, "master key: derive the sealing key");
        seal_key_destroy(&key);
    }
    return key;
}

void seal_key_destroy(struct seal_key **key)
{
    if (key == NULL || *key == NULL)
        return;
    for (struct seal_key *next; *key != NULL; *key = next) {
        struct seal_key *done = *key;
        next = atomic_load(&done->next);
        EVP_CIPHER_free(done->cipher);
        secmem_free(&done, sizeof *done);
    }
}

// The one of these keys that has the id; NULL: none. Ids stand in clear in every sealed value.
static const struct seal_key *find_key(const struct seal_key *key, const uint8_t id[static ID_LEN])
{
    while (key != NULL && memcmp(key->id, id, ID_LEN) != 0)
        key = atomic_load_explicit(&key->next, memory_order_acquire);
    return key;
}

void seal_key_accept(struct seal_key *key, struct seal_key **other)
{
    if (find_key(key, (*other)->id) != NULL) {
        seal_key_destroy(other);
        return;
    }
    struct seal_key *last = key, *next;
    while ((next = atomic_load(&last->next)) != NULL)
        last = next;
    atomic_store_explicit(&last->next, *other, memory_order_release);
    *other = NULL;
}

const struct seal_key *seal_key_next(const struct seal_key *key)
{
    return atomic_load_explicit(&key->next, memory_order_acquire);
}

bool seal_is_under(const struct seal_key *key, const uint8_t *sealed, size_t sealed_len)
{
    return sealed_len >= SEAL_OVERHEAD && memcmp(sealed, MAGIC, MAGIC_LEN) == 0 &&
           memcmp(sealed + MAGIC_LEN, key->id, ID_LEN) == 0;
}

void seal_key_id(const struct seal_key *key, char text[static 17])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < ID_LEN; i++) {
        text[2 * i] = digits[key->id[i] >> 4];
        text[2 * i + 1] = digits[key->id[i] & 15];
    }
    text[2 * ID_LEN] = '\0';
}

// ---- sealing

// EVP takes lengths as int; what we seal is far smaller.
static bool fits_int(size_t len)
{
    return len <= 0x7fffffff - SEAL_OVERHEAD;
}

bool seal(const struct seal_key *key, const void *ad, size_t ad_len, const void *plain, size_t plain_len,
          uint8_t *out)
{
    if (!fits_int(ad_len) || !fits_int(plain_len))
        return false;
    uint8_t *nonce = out + MAGIC_LEN + ID_LEN;
    uint8_t *body = out + HEADER_LEN;
    memcpy(out, MAGIC, MAGIC_LEN);
    memcpy(out + MAGIC_LEN, key->id, ID_LEN);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    // GCM is a stream mode: the final call adds nothing, an empty text needs no update call.
    bool ok = ctx != NULL && RAND_bytes(nonce, NONCE_LEN) == 1 &&
              EVP_EncryptInit_ex2(ctx, key->cipher, key->encryption, nonce, NULL) == 1 &&
              (ad_len == 0 || EVP_EncryptUpdate(ctx, NULL, &n, ad, (int)ad_len) == 1) &&
              (plain_len == 0 || EVP_EncryptUpdate(ctx, body, &n, plain, (int)plain_len) == 1) &&
              EVP_EncryptFinal_ex(ctx, body + plain_len, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, body + plain_len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok) {
        OPENSSL_cleanse(out, plain_len + SEAL_OVERHEAD);
        ERR_clear_error();
    }
    return ok;
}

enum seal_status seal_open(const struct seal_key *key, const void *ad, size_t ad_len, const uint8_t *sealed,
                           size_t sealed_len, uint8_t *out)
{
    if (sealed_len < SEAL_OVERHEAD || memcmp(sealed, MAGIC, MAGIC_LEN) != 0)
        return SEAL_NOT_SEALED;
    size_t plain_len = sealed_len - SEAL_OVERHEAD;
    if (!fits_int(ad_len) || !fits_int(plain_len))
        return SEAL_NOT_SEALED;
    key = find_key(key, sealed + MAGIC_LEN);
    if (key == NULL) {
        OPENSSL_cleanse(out, plain_len);
        return SEAL_OTHER_KEY;
    }
    const uint8_t *nonce = sealed + MAGIC_LEN + ID_LEN;
    const uint8_t *body = sealed + HEADER_LEN;
    uint8_t tag[TAG_LEN], none[1]; // `none`: the final call wants an address even where it writes nothing
    memcpy(tag, body + plain_len, TAG_LEN);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    enum seal_status status = SEAL_FAILED;
    if (ctx != NULL && EVP_DecryptInit_ex2(ctx, key->cipher, key->encryption, nonce, NULL) == 1 &&
        (ad_len == 0 || EVP_DecryptUpdate(ctx, NULL, &n, ad, (int)ad_len) == 1) &&
        (plain_len == 0 || EVP_DecryptUpdate(ctx, out, &n, body, (int)plain_len) == 1) &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1)
        status = EVP_DecryptFinal_ex(ctx, none, &n) == 1 ? SEAL_OK : SEAL_DAMAGED;
    EVP_CIPHER_CTX_free(ctx);
    if (status != SEAL_OK) {
        OPENSSL_cleanse(out, plain_len);
        ERR_clear_error();
    }
    return status;
}
