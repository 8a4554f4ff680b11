#include "common/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "common/hex.h"
#include "common/secmem.h"

#define MAGIC      "MKS1"
#define MAGIC_LEN  4
#define ID_LEN     8
#define NONCE_LEN  12
#define TAG_LEN    16
#define HEADER_LEN (MAGIC_LEN + ID_LEN + NONCE_LEN)

_Static_assert(HEADER_LEN + TAG_LEN == SEAL_OVERHEAD, "the header says how long a sealed value is");

#define HEX_LEN (2 * SEAL_KEY_LEN)

// Two labels, so that the id, which stands in clear in every sealed value, says nothing about the encryption
// key.
static const char label_encryption[] = "MEC key server, sealing key, AES-256-GCM, version 1";
static const char label_id[] = "MEC key server, sealing key id, version 1";

struct seal_key {
    uint8_t encryption[SEAL_KEY_LEN];
    uint8_t id[ID_LEN];
    EVP_CIPHER *cipher; // fetched once: a fetch for every value costs as much as the sealing
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

static struct seal_key *key_create(const uint8_t master[static SEAL_KEY_LEN], struct error *e)
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

// The contents of a master key file, in either form. False when it is neither.
static bool parse_master(const uint8_t *text, size_t len, uint8_t master[static SEAL_KEY_LEN])
{
    if (len == SEAL_KEY_LEN) {
        memcpy(master, text, SEAL_KEY_LEN);
        return true;
    }
    if (len == HEX_LEN + 1 && text[HEX_LEN] == '\n')
        len--;
    if (len != HEX_LEN)
        return false;
    for (size_t i = 0; i < SEAL_KEY_LEN; i++) {
        int high = hex_digit((char)text[2 * i]), low = hex_digit((char)text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        master[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool check_file(int fd, const char *path, struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        error_set(e, "%s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        error_set(e, "%s: a master key must be a regular file", path);
        return false;
    }
    if ((st.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)) != 0) {
        error_set(
            e, "%s: the group or others may read or write the master key (mode %04o, expected 0600 or 0400)",
            path, (unsigned)(st.st_mode & 07777));
        return false;
    }
    return true;
}

// Reads up to len bytes; -1 with *e set on an error.
static ssize_t read_up_to(int fd, const char *path, uint8_t *buf, size_t len, struct error *e)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = read(fd, buf + got, len - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            error_set(e, "%s: read: %s", path, strerror(errno));
            return -1;
        }
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

struct seal_key *seal_key_load(const char *path, struct error *e)
{
    // One byte more than any form needs tells that a file is too long. O_NONBLOCK: a FIFO must not hang us.
    enum { ROOM = HEX_LEN + 2 };
    struct seal_key *key = NULL;
    uint8_t *text = NULL, *master = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        error_set(e, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (!check_file(fd, path, e))
        goto close_file;
    text = secmem_alloc(ROOM);
    master = secmem_alloc(SEAL_KEY_LEN);
    if (text == NULL || master == NULL) {
        error_set(e, "%s: out of secret memory", path);
        goto wipe;
    }
    ssize_t len = read_up_to(fd, path, text, ROOM, e);
    if (len < 0)
        goto wipe;
    if (parse_master(text, (size_t)len, master))
        key = key_create(master, e);
    else
        error_set(e, "%s: not a master key: expected %d hexadecimal digits or %d raw bytes, found %s", path,
                  HEX_LEN, SEAL_KEY_LEN,
                  len < HEX_LEN || len == ROOM ? "another length" : "other characters");
wipe:
    secmem_free(&master, SEAL_KEY_LEN);
    secmem_free(&text, ROOM);
close_file:
    (void)close(fd);
    return key;
}

static bool write_all(int fd, const uint8_t *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, buf, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        buf += n;
        len -= (size_t)n;
    }
    return true;
}

// Makes the new name itself durable.
static bool sync_folder_of(const char *path)
{
    char copy[4096];
    if (strlen(path) >= sizeof copy) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(copy, path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    (void)close(fd);
    return ok;
}

static bool write_key_file(const char *path, const uint8_t *text, size_t len, struct error *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        error_set(e, "%s: %s", path,
                  errno == EEXIST ? "exists; a master key is never overwritten" : strerror(errno));
        return false;
    }
    bool ok = fchmod(fd, 0600) == 0 && write_all(fd, text, len) && fsync(fd) == 0;
    if (!ok)
        error_set(e, "%s: write: %s", path, strerror(errno));
    if (close(fd) != 0 && ok) {
        error_set(e, "%s: close: %s", path, strerror(errno));
        ok = false;
    }
    if (ok && !sync_folder_of(path)) {
        error_set(e, "%s: sync its folder: %s", path, strerror(errno));
        ok = false;
    }
    if (!ok)
        (void)unlink(path);
    return ok;
}

bool seal_key_generate(const char *path, struct error *e)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *master = secmem_alloc(SEAL_KEY_LEN);
    uint8_t *text = secmem_alloc(HEX_LEN + 1);
    bool ok = false;
    if (master == NULL || text == NULL) {
        error_set(e, "%s: out of secret memory", path);
    } else if (RAND_priv_bytes(master, SEAL_KEY_LEN) != 1) {
        error_set_openssl(e, "%s: random bytes", path);
    } else {
        for (size_t i = 0; i < SEAL_KEY_LEN; i++) {
            text[2 * i] = (uint8_t)digits[master[i] >> 4];
            text[2 * i + 1] = (uint8_t)digits[master[i] & 15];
        }
        text[HEX_LEN] = '\n';
        ok = write_key_file(path, text, HEX_LEN + 1, e);
    }
    secmem_free(&text, HEX_LEN + 1);
    secmem_free(&master, SEAL_KEY_LEN);
    return ok;
}

void seal_key_destroy(struct seal_key **key)
{
    if (key == NULL || *key == NULL)
        return;
    EVP_CIPHER_free((*key)->cipher);
    secmem_free(key, sizeof **key);
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
    if (CRYPTO_memcmp(sealed + MAGIC_LEN, key->id, ID_LEN) != 0) {
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
