#include "kvstore/resp/access.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

bool resp_access_allowed(uid_t peer, uid_t own)
{
    return peer == 0 || peer == own;
}

bool resp_access_check(int fd, uid_t *peer)
{
    int domain = 0;
    socklen_t len = sizeof domain;
    *peer = (uid_t)-1;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0)
        return false;
    if (domain != AF_UNIX)
        return true;
    struct ucred credentials;
    len = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) != 0 || len != sizeof credentials)
        return false;
    *peer = credentials.uid;
    return resp_access_allowed(credentials.uid, geteuid());
}

void resp_hex(const uint8_t *bytes, size_t len, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *text++ = digits[bytes[i] >> 4];
        *text++ = digits[bytes[i] & 15];
    }
    *text = '\0';
}

// ---- the password

bool resp_access_init(struct resp_access *access)
{
    return pthread_mutex_init(&access->lock, NULL) == 0;
}

void resp_access_deinit(struct resp_access *access)
{
    OPENSSL_cleanse(access->digest, sizeof access->digest);
    OPENSSL_cleanse(access->salt, sizeof access->salt);
    (void)pthread_mutex_destroy(&access->lock);
}

static bool digest_of(const uint8_t salt[static RESP_SALT_BYTES], const void *password, size_t len,
                      uint8_t digest[static RESP_DIGEST_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned digest_len = 0;
    bool done = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(ctx, salt, RESP_SALT_BYTES) == 1 &&
                EVP_DigestUpdate(ctx, password, len) == 1 &&
                EVP_DigestFinal_ex(ctx, digest, &digest_len) == 1;
    EVP_MD_CTX_free(ctx); // wipes
    return done && digest_len == RESP_DIGEST_BYTES;
}

static void put_password(struct resp_access *access, const uint8_t salt[static RESP_SALT_BYTES],
                         const uint8_t digest[static RESP_DIGEST_BYTES], bool has)
{
    (void)pthread_mutex_lock(&access->lock);
    (void)memcpy(access->salt, salt, RESP_SALT_BYTES);
    (void)memcpy(access->digest, digest, RESP_DIGEST_BYTES);
    atomic_store(&access->has_password, has);
    (void)pthread_mutex_unlock(&access->lock);
}

enum resp_access_status resp_access_set_password(struct resp_access *access, const void *password, size_t len)
{
    uint8_t salt[RESP_SALT_BYTES] = {0}, digest[RESP_DIGEST_BYTES] = {0};
    if (len > RESP_PASSWORD_MAX)
        return RESP_ACCESS_TOO_LONG;
    if (len == 0 && atomic_load(&access->needs_password))
        return RESP_ACCESS_NEEDED;
    if (len != 0 && (RAND_bytes(salt, sizeof salt) != 1 || !digest_of(salt, password, len, digest)))
        return RESP_ACCESS_FAILED;
    put_password(access, salt, digest, len != 0);
    OPENSSL_cleanse(digest, sizeof digest);
    return RESP_ACCESS_OK;
}

// A copy of what is kept. False: there is no password.
static bool kept(struct resp_access *access, uint8_t salt[static RESP_SALT_BYTES],
                 uint8_t digest[static RESP_DIGEST_BYTES])
{
    (void)pthread_mutex_lock(&access->lock);
    bool has = atomic_load(&access->has_password);
    (void)memcpy(salt, access->salt, RESP_SALT_BYTES);
    (void)memcpy(digest, access->digest, RESP_DIGEST_BYTES);
    (void)pthread_mutex_unlock(&access->lock);
    return has;
}

bool resp_access_password_is(struct resp_access *access, const void *password, size_t len)
{
    uint8_t salt[RESP_SALT_BYTES], right[RESP_DIGEST_BYTES], offered[RESP_DIGEST_BYTES];
    if (!kept(access, salt, right))
        return true;
    bool is = len <= RESP_PASSWORD_MAX && digest_of(salt, password, len, offered) &&
              CRYPTO_memcmp(right, offered, sizeof right) == 0;
    OPENSSL_cleanse(right, sizeof right);
    OPENSSL_cleanse(offered, sizeof offered);
    return is;
}

bool resp_access_digest(struct resp_access *access, char hex[static 2 * RESP_DIGEST_BYTES + 1])
{
    uint8_t salt[RESP_SALT_BYTES], digest[RESP_DIGEST_BYTES];
    if (!kept(access, salt, digest))
        return false;
    resp_hex(digest, sizeof digest, hex);
    OPENSSL_cleanse(digest, sizeof digest);
    return true;
}

// ---- the password's file

static bool check_file(int fd, const char *path, struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        error_set(e, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        error_set(e, "%s: expected a file with a password", path);
    } else if ((st.st_mode & (S_IRWXO | S_IWGRP)) != 0 || (st.st_uid != geteuid() && st.st_uid != 0)) {
        error_set(e,
                  "%s: mode %04o of user %u: expected a file of user %u or root that nobody else may read or "
                  "write (chmod 600)",
                  path, (unsigned)st.st_mode & 07777u, (unsigned)st.st_uid, (unsigned)geteuid());
    } else {
        return true;
    }
    return false;
}

// What one read brings: the file is a line. -1 and *e set.
static ssize_t read_line(const char *path, char *buf, size_t len, struct error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        error_set(e, "%s: %s", path, strerror(errno));
        return -1;
    }
    ssize_t n = check_file(fd, path, e) ? 0 : -1;
    if (n == 0 && (n = read(fd, buf, len)) < 0)
        error_set(e, "%s: %s", path, strerror(errno));
    (void)close(fd);
    return n;
}

bool resp_access_load_password(struct resp_access *access, const char *path, struct error *e)
{
    char text[RESP_PASSWORD_MAX + 2]; // with the line's end
    ssize_t n = read_line(path, text, sizeof text, e);
    if (n < 0)
        return false;
    const char *end = memchr(text, '\n', (size_t)n);
    size_t len = end != NULL ? (size_t)(end - text) : (size_t)n;
    if (len != 0 && text[len - 1] == '\r')
        len--;
    enum resp_access_status status =
        len != 0 ? resp_access_set_password(access, text, len) : RESP_ACCESS_NEEDED;
    OPENSSL_cleanse(text, sizeof text);
    if (status == RESP_ACCESS_NEEDED)
        error_set(e, "%s: expected a password on the first line, found nothing", path);
    else if (status == RESP_ACCESS_TOO_LONG)
        error_set(e, "%s: expected a password of at most %u bytes", path, RESP_PASSWORD_MAX);
    else if (status != RESP_ACCESS_OK)
        error_set(e, "%s: the password cannot be taken over: out of memory or randomness", path);
    return status == RESP_ACCESS_OK;
}
