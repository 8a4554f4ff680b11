#include "keyserver/rsa_encode.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

// The algorithms are fetched once: OpenSSL 3 looks an implicit one up on every use.
static EVP_MD *fetched[SKI_HASHES];
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void fetch_all(void)
{
    static const char *const names[SKI_HASHES] = {
        [SKI_MD5_SHA1] = "MD5-SHA1", [SKI_SHA1] = "SHA1",       [SKI_SHA224] = "SHA2-224",
        [SKI_SHA256] = "SHA2-256",   [SKI_SHA384] = "SHA2-384", [SKI_SHA512] = "SHA2-512",
    };
    for (int i = 0; i < SKI_HASHES; i++)
        fetched[i] = EVP_MD_fetch(NULL, names[i], NULL);
}

static const EVP_MD *md_of(enum ski_hash hash)
{
    (void)pthread_once(&fetch_once, fetch_all);
    return fetched[hash];
}

size_t ski_digest(enum ski_hash hash, const uint8_t *data, size_t len, uint8_t digest[static SKI_DIGEST_MAX])
{
    const EVP_MD *md = md_of(hash);
    unsigned digest_len = 0;
    return md != NULL && EVP_Digest(data, len, digest, &digest_len, md, NULL) == 1 ? digest_len : 0;
}

// DER of SEQUENCE { SEQUENCE { OID, NULL }, OCTET STRING } up to the digest (RFC 8017 section 9.2, note 1).
#define SHA2_INFO(last, len)                                                                                 \
    {                                                                                                        \
        0x30, 0x11 + len, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last,      \
            0x05, 0x00, 0x04, len                                                                            \
    }
static const struct {
    uint8_t bytes[19];
    size_t len;
} digest_info[SKI_HASHES] = {
    [SKI_MD5_SHA1] = {{0}, 0},
    [SKI_SHA1] = {{0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14},
                  15},
    [SKI_SHA224] = {SHA2_INFO(0x04, 28), 19},
    [SKI_SHA256] = {SHA2_INFO(0x01, 32), 19},
    [SKI_SHA384] = {SHA2_INFO(0x02, 48), 19},
    [SKI_SHA512] = {SHA2_INFO(0x03, 64), 19},
};

bool rsa_encode_pkcs1(enum ski_hash hash, const uint8_t *digest, size_t digest_len, uint8_t *em,
                      size_t em_len)
{
    size_t info_len = digest_info[hash].len;
    if (em_len < info_len + digest_len + 11) // at least eight bytes of padding
        return false;
    size_t pad_len = em_len - 3 - info_len - digest_len;
    em[0] = 0;
    em[1] = 1;
    memset(em + 2, 0xff, pad_len);
    em[2 + pad_len] = 0;
    memcpy(em + 3 + pad_len, digest_info[hash].bytes, info_len);
    memcpy(em + 3 + pad_len + info_len, digest, digest_len);
    return true;
}

// XORs MGF1(seed) (RFC 8017 appendix B.2.1) over mask.
static bool mgf1_xor(const EVP_MD *md, const uint8_t *seed, size_t seed_len, uint8_t *mask, size_t mask_len)
{
    uint8_t block[SKI_DIGEST_MAX];
    unsigned block_len = 0;
    bool good = true;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    for (uint32_t counter = 0; good && mask_len > 0; counter++) {
        const uint8_t c[4] = {(uint8_t)(counter >> 24), (uint8_t)(counter >> 16), (uint8_t)(counter >> 8),
                              (uint8_t)counter};
        good = ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
               EVP_DigestUpdate(ctx, seed, seed_len) == 1 && EVP_DigestUpdate(ctx, c, sizeof c) == 1 &&
               EVP_DigestFinal_ex(ctx, block, &block_len) == 1;
        for (size_t i = 0; good && i < block_len && mask_len > 0; i++, mask_len--)
            *mask++ ^= block[i];
    }
    EVP_MD_CTX_free(ctx);
    return good;
}

// H = Hash(00 x 8 | digest | salt).
static bool pss_hash(const EVP_MD *md, const uint8_t *digest, const uint8_t *salt, size_t len, uint8_t *h)
{
    static const uint8_t zeros[8];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
                EVP_DigestUpdate(ctx, zeros, sizeof zeros) == 1 && EVP_DigestUpdate(ctx, digest, len) == 1 &&
                EVP_DigestUpdate(ctx, salt, len) == 1 && EVP_DigestFinal_ex(ctx, h, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

bool rsa_encode_pss(enum ski_hash hash, const uint8_t *digest, size_t digest_len, unsigned mod_bits,
                    uint8_t *em, size_t em_len)
{
    const EVP_MD *md = md_of(hash);
    uint8_t salt[SKI_DIGEST_MAX];
    unsigned em_bits = mod_bits - 1;
    size_t skipped = em_len - (em_bits + 7) / 8; // one zero byte when em_bits is a multiple of eight

    if (md == NULL || em_len < skipped + 2 * digest_len + 2 || RAND_bytes(salt, (int)digest_len) != 1)
        return false;
    memset(em, 0, skipped);
    em += skipped;
    em_len -= skipped;

    // DB = 00.. 01 salt, masked by MGF1(H); then H and 0xbc (RFC 8017 section 9.1.1).
    size_t db_len = em_len - digest_len - 1;
    uint8_t *h = em + db_len;
    memset(em, 0, db_len - digest_len - 1);
    em[db_len - digest_len - 1] = 1;
    memcpy(em + db_len - digest_len, salt, digest_len);
    if (!pss_hash(md, digest, salt, digest_len, h) || !mgf1_xor(md, h, digest_len, em, db_len))
        return false;
    em[0] &= (uint8_t)(0xff >> (8 * em_len - em_bits));
    em[em_len - 1] = 0xbc;
    return true;
}
