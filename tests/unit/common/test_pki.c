#include "test_pki.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

static void need(int ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "test certificates: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(99);
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    need(extension != NULL && X509_add_ext(cert, extension, -1) == 1, value);
    X509_EXTENSION_free(extension);
}

static void set_serial(X509 *cert)
{
    unsigned char bytes[8];
    uint64_t serial;
    need(RAND_bytes(bytes, sizeof bytes) == 1, "serial number");
    memcpy(&serial, bytes, sizeof serial);
    need(ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1, "serial number");
}

static void set_dates(X509 *cert, int from_days, int until_days)
{
    if (from_days == 0 && until_days == 0) {
        from_days = -1;
        until_days = 30;
    }
    need(X509_time_adj_ex(X509_getm_notBefore(cert), from_days, 0, NULL) != NULL &&
             X509_time_adj_ex(X509_getm_notAfter(cert), until_days, 0, NULL) != NULL,
         "dates");
}

struct test_cert test_cert_create(const struct test_cert_spec *spec)
{
    struct test_cert made = {X509_new(), EVP_EC_gen("P-256")};
    X509 *issuer = spec->issuer != NULL ? spec->issuer->cert : made.cert;
    EVP_PKEY *issuer_key = spec->issuer != NULL ? spec->issuer->key : made.key;
    need(made.cert != NULL && made.key != NULL, "key");

    X509_NAME *subject = X509_get_subject_name(made.cert);
    need(X509_set_version(made.cert, X509_VERSION_3) == 1 && X509_set_pubkey(made.cert, made.key) == 1 &&
             X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                        (const unsigned char *)spec->name, -1, -1, 0) == 1 &&
             X509_set_issuer_name(made.cert, X509_get_subject_name(issuer)) == 1,
         spec->name);
    set_serial(made.cert);
    set_dates(made.cert, spec->from_days, spec->until_days);

    bool ca = spec->purpose == TEST_CERT_CA;
    add_extension(made.cert, issuer, NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(made.cert, issuer, NID_key_usage,
                  ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    add_extension(made.cert, issuer, NID_subject_key_identifier, "hash");
    if (spec->issuer != NULL)
        add_extension(made.cert, issuer, NID_authority_key_identifier, "keyid:always");
    if (!ca)
        add_extension(made.cert, issuer, NID_ext_key_usage,
                      spec->purpose == TEST_CERT_SERVER ? "serverAuth" : "clientAuth");
    if (spec->alt_names != NULL)
        add_extension(made.cert, issuer, NID_subject_alt_name, spec->alt_names);
    need(X509_sign(made.cert, issuer_key, EVP_sha256()) > 0, "sign");
    return made;
}

void test_cert_destroy(struct test_cert *cert)
{
    X509_free(cert->cert);
    EVP_PKEY_free(cert->key);
    *cert = (struct test_cert){0};
}

void test_cert_write(const char *path, const struct test_cert *const *certs, size_t count)
{
    FILE *f = fopen(path, "w");
    need(f != NULL, path);
    for (size_t i = 0; i < count; i++)
        need(PEM_write_X509(f, certs[i]->cert) == 1, path);
    need(fclose(f) == 0, path);
}

void test_key_write(const char *path, const struct test_cert *cert, const char *passphrase)
{
    FILE *f = fopen(path, "w");
    need(f != NULL && fchmod(fileno(f), S_IRUSR | S_IWUSR) == 0, path);
    int rc =
        PEM_write_PKCS8PrivateKey(f, cert->key, passphrase != NULL ? EVP_aes_256_cbc() : NULL, passphrase,
                                  passphrase != NULL ? (int)strlen(passphrase) : 0, NULL, NULL);
    need(rc == 1 && fclose(f) == 0, path);
}
