// Keys, certificates and folders for the tests of this area. Keys are made once per test program: an RSA key
// costs tens of milliseconds.
#ifndef MEC_TESTS_CERTS_FIXTURES_H
#define MEC_TESTS_CERTS_FIXTURES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

// Kept until fixtures_release(); the caller does not free them.
EVP_PKEY *fixture_rsa(unsigned bits, unsigned which); // `which` from 0 to 3 tells keys of one size apart
EVP_PKEY *fixture_ec(const char *group, unsigned which);
void fixtures_release(void);

// A self-signed certificate for `key` (or one that carries `subject_key` when that is not NULL). san:
// "DNS:a,DNS:b" or NULL. days from now; negative: expired. The caller frees it.
X509 *fixture_cert(EVP_PKEY *key, EVP_PKEY *subject_key, const char *cn, const char *san, int days);

// A new folder under $TMPDIR (or /tmp), removed with all in it by fixture_folder_remove().
char *fixture_folder(char path[static 256]);
void fixture_folder_remove(const char *path);

void fixture_write(const char *path, const void *data, size_t len, unsigned mode);
// PEM files. key_pem: PKCS#8, encrypted with AES-256 when a passphrase is given.
void fixture_write_key_pem(const char *path, EVP_PKEY *key, const char *passphrase);
void fixture_write_cert_pem(const char *path, X509 *cert);
// The whole file; malloc'ed.
uint8_t *fixture_read(const char *path, size_t *len);

#endif
