#include "common/masterkey.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "common/passphrase.h"
#include "common/seal_file.h"
#include "common/secmem.h"
#include "common/units.h"

#define CREDENTIAL "credential:"
#define OTHERS     ((mode_t)(S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH))

// About 128 MiB and a third of a second: what guessing costs for each passphrase.
#define NEW_LOG2_N 17
#define NEW_R      8
#define NEW_P      1

// ---- passphrases

static bool read_passphrase(const char *fd_text, struct passphrase *passphrase, struct error *e)
{
    uint64_t fd;
    *passphrase = (struct passphrase){NULL, 0};
    if (!units_parse_uint(fd_text, &fd) || fd > INT_MAX) {
        error_set(e, "passphrase: found %s, expected the number of an open descriptor", fd_text);
        return false;
    }
    bool ok = passphrase_read((int)fd, "passphrase", passphrase, e);
    if (fd > STDERR_FILENO)
        (void)close((int)fd);
    return ok;
}

// The key that a passphrase stands for.
static struct seal_key *stretch(const struct passphrase *passphrase, const struct master_key_line *line,
                                struct error *e)
{
    uint64_t n = UINT64_C(1) << line->log2_n, most = (UINT64_C(1) << 30) + (UINT64_C(64) << 20);
    uint32_t r = line->r, p = line->p;
    struct seal_key *key = NULL;
    uint8_t *bytes = secmem_alloc(SEAL_KEY_LEN);
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    // OSSL_PARAM has no const pointers; the KDF reads only.
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, passphrase->text, passphrase->len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)line->salt,
                                          sizeof line->salt),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &most),
        OSSL_PARAM_construct_end(),
    };
    if (bytes == NULL || ctx == NULL || EVP_KDF_derive(ctx, bytes, SEAL_KEY_LEN, params) != 1)
        error_set_openssl(e, "passphrase: scrypt");
    else
        key = seal_key_create(bytes, e);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    secmem_free(&bytes, SEAL_KEY_LEN);
    return key;
}

// ---- reading

static struct seal_key *open_line(const char *path, const uint8_t *text, const struct master_key_line *line,
                                  const struct passphrase *passphrase, struct error *e)
{
    struct seal_key *key = NULL, *wrap = stretch(passphrase, line, e);
    uint8_t *master = secmem_alloc(SEAL_KEY_LEN);
    if (wrap == NULL)
        goto done;
    if (master == NULL) {
        error_set(e, "%s: out of secret memory", path);
        goto done;
    }
    enum seal_status status = seal_open(wrap, text, line->ad_len, line->sealed, sizeof line->sealed, master);
    if (status == SEAL_OK)
        key = seal_key_create(master, e);
    else
        error_set(e, "%s: %s", path,
                  status == SEAL_OTHER_KEY ? "another passphrase than the one it was made with"
                                           : seal_status_text(status));
done:
    secmem_free(&master, SEAL_KEY_LEN);
    seal_key_destroy(&wrap);
    return key;
}

static struct seal_key *load_protected(const char *path, const uint8_t *text, size_t len,
                                       const char *passphrase_fd, struct error *e)
{
    struct master_key_line line;
    struct passphrase passphrase;
    struct seal_key *key = NULL;
    if (!master_key_read_line(text, len, &line)) {
        error_set(e, "%s: a master key with a passphrase, but cut off, changed or made by a later version",
                  path);
        return NULL;
    }
    if (passphrase_fd == NULL) {
        error_set(e, "%s: a passphrase protects this master key: give the descriptor that it comes by", path);
        return NULL;
    }
    if (read_passphrase(passphrase_fd, &passphrase, e))
        key = open_line(path, text, &line, &passphrase, e);
    passphrase_wipe(&passphrase);
    return key;
}

static struct seal_key *load_file(const char *path, mode_t refused, const char *passphrase_fd,
                                  struct error *e)
{
    struct seal_key *key = NULL;
    uint8_t *text = secmem_alloc(SEAL_FILE_ROOM);
    if (text == NULL) {
        error_set(e, "%s: out of secret memory", path);
        return NULL;
    }
    ssize_t len = seal_file_read(path, refused, text, SEAL_FILE_ROOM, e);
    if (len >= 0 && master_key_is_line(text, (size_t)len))
        key = load_protected(path, text, (size_t)len, passphrase_fd, e);
    else if (len >= 0 && passphrase_fd != NULL)
        error_set(e, "%s: found a passphrase's descriptor, but no passphrase protects this file", path);
    else if (len >= 0)
        key = seal_file_key(path, text, (size_t)len, e);
    secmem_free(&text, SEAL_FILE_ROOM);
    return key;
}

static bool credential_path(const char *name, char path[static PATH_MAX], struct error *e)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
        error_set(e, CREDENTIAL "%s: not the name of a credential", name);
    else if (folder == NULL || folder[0] != '/')
        error_set(e,
                  CREDENTIAL "%s: the service manager gave no credentials (CREDENTIALS_DIRECTORY is not set)",
                  name);
    else if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        error_set(e, CREDENTIAL "%s: the path is too long", name);
    else
        return true;
    return false;
}

struct seal_key *master_key_load(const char *source, const char *passphrase_fd, struct error *e)
{
    char path[PATH_MAX];
    if (strncmp(source, CREDENTIAL, sizeof CREDENTIAL - 1) != 0)
        return load_file(source, OTHERS, passphrase_fd, e);
    return credential_path(source + sizeof CREDENTIAL - 1, path, e)
               ? load_file(path, OTHERS & ~(mode_t)S_IRGRP, passphrase_fd, e)
               : NULL;
}

// ---- making

static size_t write_hex(const uint8_t *bytes, size_t len, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return 2 * len;
}

static struct seal_key *generate_protected(const char *path, const struct passphrase *passphrase,
                                           struct error *e)
{
    struct master_key_line line = {.log2_n = NEW_LOG2_N, .r = NEW_R, .p = NEW_P};
    char text[SEAL_FILE_ROOM];
    struct seal_key *key = NULL, *wrap = NULL;
    uint8_t *master = secmem_alloc(SEAL_KEY_LEN);
    if (master == NULL || RAND_priv_bytes(master, SEAL_KEY_LEN) != 1 ||
        RAND_bytes(line.salt, sizeof line.salt) != 1) {
        error_set_openssl(e, "%s: random bytes", path);
        goto done;
    }
    size_t len = (size_t)snprintf(text, sizeof text, "MKP1 scrypt %u %u %u ", line.log2_n, line.r, line.p);
    len += write_hex(line.salt, sizeof line.salt, text + len);
    text[len++] = ' ';
    wrap = stretch(passphrase, &line, e);
    if (wrap == NULL)
        goto done;
    if (!seal(wrap, text, len, master, SEAL_KEY_LEN, line.sealed)) {
        error_set(e, "%s: seal: no randomness or no memory", path);
        goto done;
    }
    len += write_hex(line.sealed, sizeof line.sealed, text + len);
    text[len++] = '\n';
    key = seal_key_create(master, e);
    if (key != NULL && !seal_file_write(path, (const uint8_t *)text, len, e))
        seal_key_destroy(&key);
done:
    secmem_free(&master, SEAL_KEY_LEN);
    seal_key_destroy(&wrap);
    return key;
}

struct seal_key *master_key_generate(const char *path, const char *passphrase_fd, struct error *e)
{
    struct passphrase passphrase;
    struct seal_key *key = NULL;
    if (passphrase_fd == NULL)
        return seal_key_generate(path, e) ? seal_key_load(path, e) : NULL;
    if (!read_passphrase(passphrase_fd, &passphrase, e))
        return NULL;
    if (passphrase.len < MASTER_KEY_PASSPHRASE_LEAST)
        error_set(e, "passphrase: found %zu bytes, expected at least %u", passphrase.len,
                  MASTER_KEY_PASSPHRASE_LEAST);
    else
        key = generate_protected(path, &passphrase, e);
    passphrase_wipe(&passphrase);
    return key;
}
