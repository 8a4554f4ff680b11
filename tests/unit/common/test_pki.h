// Certificates and keys made while a test runs (ECDSA P-256), so that none is committed and none expires in
// the tree. Failures end the program: a test cannot go on without its certificates.
#ifndef MEC_TESTS_TEST_PKI_H
#define MEC_TESTS_TEST_PKI_H

#include <stddef.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

struct test_cert {
    X509 *cert;
    EVP_PKEY *key;
};

enum test_cert_purpose { TEST_CERT_CA, TEST_CERT_SERVER, TEST_CERT_CLIENT };

struct test_cert_spec {
    const char *name;      // subject CN, UTF-8
    const char *alt_names; // as OpenSSL's configuration writes it: "DNS:localhost,IP:127.0.0.1"; NULL: none
    enum test_cert_purpose purpose;
    int from_days, until_days;      // from now; both 0: from yesterday for 30 days
    const struct test_cert *issuer; // NULL: self-signed
};

// The caller releases with test_cert_destroy().
struct test_cert test_cert_create(const struct test_cert_spec *spec);
void test_cert_destroy(struct test_cert *cert);

// Writes the certificates as PEM, in order.
void test_cert_write(const char *path, const struct test_cert *const *certs, size_t count);
// Writes the private key as PKCS#8 PEM, mode 0600; passphrase may be NULL.
void test_key_write(const char *path, const struct test_cert *cert, const char *passphrase);

#endif
