#include "keyserver/rsa_premaster.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "keyserver/ct.h"

bool rsa_fallback_secret(const uint8_t *primes, size_t len, uint8_t secret[static RSA_FALLBACK_SECRET_LEN])
{
    static const char label[] = "MEC key server: RSA fallback premaster, version 1";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(ctx, label, sizeof label) == 1 && EVP_DigestUpdate(ctx, primes, len) == 1 &&
                EVP_DigestFinal_ex(ctx, secret, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

// All ones when the block is 00 02 <non-zero> 00 <version> <46 bytes>.
static uint32_t block_is_good(const uint8_t *block, size_t len, const uint8_t version[static 2])
{
    size_t separator = len - SKI_PREMASTER_LEN - 1;
    uint32_t good = ct_is_zero(block[0]) & ct_eq(block[1], 2);

    for (size_t i = 2; i < separator; i++)
        good &= ~ct_is_zero(block[i]);
    good &= ct_is_zero(block[separator]);
    good &= ct_eq(block[separator + 1], version[0]) & ct_eq(block[separator + 2], version[1]);
    return ct_hide(good);
}

bool rsa_premaster_extract(const uint8_t *block, size_t block_len, uint32_t must_fail,
                           const uint8_t version[static 2],
                           const uint8_t secret[static RSA_FALLBACK_SECRET_LEN], const uint8_t *ciphertext,
                           uint8_t premaster[static SKI_PREMASTER_LEN])
{
    uint8_t message[2 + SKI_INPUT_MAX];
    uint8_t fallback[EVP_MAX_MD_SIZE];
    unsigned fallback_len = 0;

    memcpy(message, version, 2);
    memcpy(message + 2, ciphertext, block_len);
    if (HMAC(EVP_sha384(), secret, RSA_FALLBACK_SECRET_LEN, message, 2 + block_len, fallback,
             &fallback_len) == NULL)
        return false;

    uint32_t good = block_is_good(block, block_len, version) & ~must_fail;
    const uint8_t *decrypted = block + block_len - SKI_PREMASTER_LEN;
    for (size_t i = 2; i < SKI_PREMASTER_LEN; i++)
        premaster[i] = ct_select8(good, decrypted[i], fallback[i]);
    premaster[0] = version[0]; // the same either way
    premaster[1] = version[1];
    OPENSSL_cleanse(fallback, sizeof fallback);
    return true;
}
