#include "fixtures.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#define MAX_KEYS 32

static struct {
    char label[40];
    EVP_PKEY *key;
} kept[MAX_KEYS];

static EVP_PKEY **slot(const char *label)
{
    for (size_t i = 0; i < MAX_KEYS; i++) {
        if (kept[i].key == NULL)
            (void)snprintf(kept[i].label, sizeof kept[i].label, "%s", label);
        if (strcmp(kept[i].label, label) == 0)
            return &kept[i].key;
    }
    fail_msg("too many keys");
    return NULL;
}

EVP_PKEY *fixture_rsa(unsigned bits, unsigned which)
{
    char label[40];
    (void)snprintf(label, sizeof label, "rsa-%u-%u", bits, which);
    EVP_PKEY **key = slot(label);
    if (*key == NULL)
        *key = EVP_RSA_gen(bits);
    assert_non_null(*key);
    return *key;
}

EVP_PKEY *fixture_ec(const char *group, unsigned which)
{
    char label[40];
    (void)snprintf(label, sizeof label, "%s-%u", group, which);
    EVP_PKEY **key = slot(label);
    if (*key == NULL)
        *key = EVP_EC_gen(group);
    assert_non_null(*key);
    return *key;
}

void fixtures_release(void)
{
    for (size_t i = 0; i < MAX_KEYS; i++) {
        EVP_PKEY_free(kept[i].key);
        kept[i].key = NULL;
    }
}

X509 *fixture_cert(EVP_PKEY *key, EVP_PKEY *subject_key, const char *cn, const char *san, int days)
{
    static long serial = 1;
    X509 *cert = X509_new();
    assert_non_null(cert);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -400L * 24 * 3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * 24 * 3600));
    X509_NAME *name = X509_get_subject_name(cert);
    if (cn != NULL)
        assert_int_equal(
            X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0), 1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    assert_int_equal(X509_set_pubkey(cert, subject_key != NULL ? subject_key : key), 1);
    if (san != NULL) {
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
        assert_non_null(ext);
        assert_int_equal(X509_add_ext(cert, ext, -1), 1);
        X509_EXTENSION_free(ext);
    }
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

char *fixture_folder(char path[static 256])
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(path, 256, "%s/certs-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void fixture_folder_remove(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fixture_write(const char *path, const void *data, size_t len, unsigned mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

void fixture_write_key_pem(const char *path, EVP_PKEY *key, const char *passphrase)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, passphrase != NULL ? EVP_aes_256_cbc() : NULL,
                                               passphrase, passphrase != NULL ? (int)strlen(passphrase) : 0,
                                               NULL, NULL),
                     1);
    assert_int_equal(fclose(f), 0);
}

void fixture_write_cert_pem(const char *path, X509 *cert)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, cert), 1);
    assert_int_equal(fclose(f), 0);
}

uint8_t *fixture_read(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long end = ftell(f);
    assert_true(end >= 0);
    rewind(f);
    uint8_t *data = malloc((size_t)end + 1);
    assert_non_null(data);
    *len = fread(data, 1, (size_t)end, f);
    assert_int_equal(*len, (size_t)end);
    assert_int_equal(fclose(f), 0);
    return data;
}
