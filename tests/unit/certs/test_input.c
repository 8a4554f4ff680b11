// The reader of certificates and keys: every form it claims comes out as the key that went in; what is
// encrypted, damaged or cut says so, and never gives a key.
#include "fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>

#include "certs/input.h"

#define PASS "correct horse"

struct seen {
    unsigned keys, certs, faults;
    EVP_PKEY *key; // the last one
    X509 *cert;
    char fault[600];
};

static void on_key(void *arg, EVP_PKEY *key)
{
    struct seen *s = arg;
    s->keys++;
    EVP_PKEY_free(s->key);
    assert_int_equal(EVP_PKEY_up_ref(key), 1);
    s->key = key;
}

static void on_cert(void *arg, X509 *cert)
{
    struct seen *s = arg;
    s->certs++;
    X509_free(s->cert);
    assert_int_equal(X509_up_ref(cert), 1);
    s->cert = cert;
}

static void on_fault(void *arg, const char *why)
{
    struct seen *s = arg;
    s->faults++;
    (void)snprintf(s->fault, sizeof s->fault, "%s", why);
}

static void forget(struct seen *s)
{
    EVP_PKEY_free(s->key);
    X509_free(s->cert);
    memset(s, 0, sizeof *s);
}

// Parses an exact copy, so that AddressSanitizer sees a read past its end.
static struct seen parse(const void *data, size_t len, const char *pass)
{
    struct seen s = {0};
    char text[64];
    struct passphrase passphrase = {NULL, 0};
    if (pass != NULL) {
        (void)snprintf(text, sizeof text, "%s", pass);
        passphrase = (struct passphrase){text, strlen(text)};
    }
    uint8_t *copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, data, len);
    const struct input_sink sink = {&s, on_cert, on_key, on_fault};
    input_parse(copy, len, &passphrase, &sink);
    free(copy);
    return s;
}

static struct seen parse_bio(BIO *bio, const char *pass)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    struct seen s = parse(data, (size_t)len, pass);
    BIO_free(bio);
    return s;
}

static void expect_key(struct seen s, EVP_PKEY *key)
{
    if (s.faults != 0)
        fail_msg("unexpected fault: %s", s.fault);
    assert_int_equal(s.keys, 1);
    assert_int_equal(s.certs, 0);
    assert_int_equal(EVP_PKEY_eq(s.key, key), 1);
    forget(&s);
}

static void expect_fault(struct seen s, const char *part)
{
    assert_int_equal(s.keys, 0);
    assert_int_equal(s.faults, 1);
    if (strstr(s.fault, part) == NULL)
        fail_msg("fault is \"%s\", expected \"%s\"", s.fault, part);
    forget(&s);
}

static BIO *mem(void)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_non_null(bio);
    return bio;
}

static EVP_PKEY *kinds(unsigned i)
{
    return i == 0 ? fixture_rsa(2048, 0) : i == 1 ? fixture_ec("P-256", 0) : fixture_ec("P-521", 0);
}

static void plain_forms(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        EVP_PKEY *key = kinds(i);
        BIO *bio = mem();
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        expect_key(parse_bio(bio, NULL), key);
        bio = mem();
        assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        expect_key(parse_bio(bio, NULL), key); // PKCS#1 or SEC1
        bio = mem();
        assert_int_equal(i2d_PKCS8PrivateKey_bio(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        expect_key(parse_bio(bio, NULL), key);
        bio = mem();
        assert_int_equal(i2d_PrivateKey_bio(bio, key), 1); // PKCS#1 or SEC1
        expect_key(parse_bio(bio, NULL), key);
    }
}

static void encrypted_forms(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        EVP_PKEY *key = kinds(i);
        for (unsigned form = 0; form < 3; form++) {
            static const char *const passes[] = {PASS, "wrong", NULL};
            for (unsigned p = 0; p < 3; p++) {
                BIO *bio = mem();
                const EVP_CIPHER *cipher = EVP_aes_256_cbc();
                const unsigned char *pass = (const unsigned char *)PASS;
                if (form == 0)
                    assert_int_equal(
                        PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, PASS, (int)strlen(PASS), NULL, NULL),
                        1);
                else if (form == 1)
                    assert_int_equal(
                        i2d_PKCS8PrivateKey_bio(bio, key, cipher, PASS, (int)strlen(PASS), NULL, NULL), 1);
                else
                    assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, key, cipher, pass,
                                                                          (int)strlen(PASS), NULL, NULL),
                                     1);
                struct seen s = parse_bio(bio, passes[p]);
                if (p == 0)
                    expect_key(s, key);
                else if (p == 2)
                    expect_fault(s, "no passphrase was given");
                else if (strstr(s.fault, "damaged private key") != NULL) // one wrong passphrase in 256 unpads
                    expect_fault(s, "damaged private key");
                else
                    expect_fault(s, "the passphrase does not open it");
            }
        }
    }
}

static void certificates(void **state)
{
    (void)state;
    X509 *cert = fixture_cert(fixture_ec("P-256", 0), NULL, "one", "DNS:one.example.org", 30);
    for (unsigned form = 0; form < 3; form++) {
        BIO *bio = mem();
        if (form == 0)
            assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
        else if (form == 1)
            assert_int_equal(PEM_write_bio_X509_AUX(bio, cert), 1);
        else
            assert_int_equal(i2d_X509_bio(bio, cert), 1);
        struct seen s = parse_bio(bio, NULL);
        assert_int_equal(s.certs, 1);
        assert_int_equal(s.keys + s.faults, 0);
        assert_int_equal(X509_cmp(s.cert, cert), 0);
        forget(&s);
    }
    X509_free(cert);
}

static void several_objects_in_one_file(void **state)
{
    (void)state;
    EVP_PKEY *rsa = fixture_rsa(2048, 0), *ec = fixture_ec("P-256", 0);
    X509 *one = fixture_cert(rsa, NULL, "one", NULL, 30), *two = fixture_cert(ec, NULL, "two", NULL, 30);
    BIO *bio = mem();
    BIO_puts(bio, "Bag Attributes\r\n    friendlyName: site\r\n");
    assert_int_equal(PEM_write_bio_X509(bio, one), 1);
    BIO_puts(bio, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n");
    assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, ec, NULL, NULL, 0, NULL, NULL), 1);
    BIO_puts(bio, "text in between\n\n");
    assert_int_equal(PEM_write_bio_X509(bio, two), 1);
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, rsa, NULL, NULL, 0, NULL, NULL), 1);
    struct seen s = parse_bio(bio, NULL);
    assert_int_equal(s.certs, 2);
    assert_int_equal(s.keys, 2);
    assert_int_equal(s.faults, 0);
    forget(&s);
    bio = mem();
    assert_int_equal(i2d_X509_bio(bio, one), 1);
    BIO_puts(bio, "\r\n");
    assert_int_equal(i2d_PrivateKey_bio(bio, ec), 1);
    assert_int_equal(i2d_X509_bio(bio, two), 1);
    s = parse_bio(bio, NULL);
    assert_int_equal(s.certs, 2);
    assert_int_equal(s.keys, 1);
    assert_int_equal(s.faults, 0);
    forget(&s);
    X509_free(one);
    X509_free(two);
}

static void windows_line_ends(void **state)
{
    (void)state;
    BIO *bio = mem(), *crlf = mem();
    char *data = NULL;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, fixture_ec("P-256", 0), NULL, NULL, 0, NULL, NULL),
                     1);
    long len = BIO_get_mem_data(bio, &data);
    for (long i = 0; i < len; i++)
        BIO_write(crlf, data[i] == '\n' ? "\r\n" : data + i, data[i] == '\n' ? 2 : 1);
    BIO_free(bio);
    expect_key(parse_bio(crlf, NULL), fixture_ec("P-256", 0));
}

static BIO *pkcs12_of(EVP_PKEY *key, X509 *cert, STACK_OF(X509) * chain, const char *pass, int mac_iter)
{
    BIO *bio = mem();
    PKCS12 *p12 = PKCS12_create(pass, "site", key, cert, chain, pass != NULL ? NID_aes_256_cbc : -1,
                                pass != NULL ? NID_aes_256_cbc : -1, 1000, mac_iter, 0);
    assert_non_null(p12);
    assert_int_equal(i2d_PKCS12_bio(bio, p12), 1);
    PKCS12_free(p12);
    return bio;
}

static void pkcs12(void **state)
{
    (void)state;
    EVP_PKEY *key = fixture_rsa(2048, 0), *ca_key = fixture_ec("P-256", 1);
    X509 *cert = fixture_cert(key, NULL, "site", NULL, 30), *ca = fixture_cert(ca_key, NULL, "ca", NULL, 30);
    STACK_OF(X509) *chain = sk_X509_new_null();
    sk_X509_push(chain, ca);
    struct seen s = parse_bio(pkcs12_of(key, cert, chain, PASS, 1000), PASS);
    assert_int_equal(s.faults, 0);
    assert_int_equal(s.keys, 1);
    assert_int_equal(s.certs, 2);
    assert_int_equal(EVP_PKEY_eq(s.key, key), 1);
    forget(&s);
    expect_fault(parse_bio(pkcs12_of(key, cert, chain, PASS, 1000), "wrong"),
                 "the passphrase does not open it");
    expect_fault(parse_bio(pkcs12_of(key, cert, chain, PASS, 1000), NULL), "no passphrase was given");
    // Without encryption and MAC, and with the empty password.
    s = parse_bio(pkcs12_of(key, cert, NULL, NULL, -1), NULL);
    assert_int_equal(s.keys, 1);
    assert_int_equal(s.certs, 1);
    forget(&s);
    s = parse_bio(pkcs12_of(key, cert, NULL, "", 1000), NULL);
    assert_int_equal(s.keys, 1);
    assert_int_equal(s.faults, 0);
    forget(&s);
    s = parse_bio(pkcs12_of(key, cert, NULL, "", 1000), "");
    assert_int_equal(s.keys, 1);
    forget(&s);
    sk_X509_free(chain);
    X509_free(cert);
    X509_free(ca);
}

// Some hundred bytes must not keep us busy for hours.
static void unreasonable_key_derivation_is_refused_at_once(void **state)
{
    (void)state;
    unsigned char salt[8] = {0}, iv[16] = {0}, junk[64] = {0};
    X509_ALGOR *algorithm =
        PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), 2000000000, salt, sizeof salt, iv, NID_hmacWithSHA256);
    X509_SIG *sealed = X509_SIG_new();
    X509_ALGOR *into = NULL;
    ASN1_OCTET_STRING *text = NULL;
    assert_non_null(algorithm);
    X509_SIG_getm(sealed, &into, &text);
    assert_int_equal(X509_ALGOR_copy(into, algorithm), 1);
    assert_int_equal(ASN1_OCTET_STRING_set(text, junk, sizeof junk), 1);
    BIO *bio = mem();
    assert_int_equal(i2d_PKCS8_bio(bio, sealed), 1);
    expect_fault(parse_bio(bio, PASS), "unreasonable number");
    X509_SIG_free(sealed);
    X509_ALGOR_free(algorithm);
}

static void what_is_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "hello\n", "\0\0\0", "-----BEGIN",
                                        "MIIEvQIBADANBgkqhkiG9w0BAQEF"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct seen s = parse(texts[i], strlen(texts[i]), NULL);
        assert_int_equal(s.keys + s.certs + s.faults, 0);
    }
    // Blocks of other kinds are passed over.
    static const char request[] =
        "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n";
    struct seen s = parse(request, strlen(request), NULL);
    assert_int_equal(s.keys + s.certs + s.faults, 0);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const char openssh[] =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    static const char strange[] = "-----BEGIN FOO PRIVATE KEY-----\nAAAA\n-----END FOO PRIVATE KEY-----\n";
    static const char cut[] = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n";
    static const char base64[] =
        "-----BEGIN PRIVATE KEY-----\nM*IEvQIBADANBgkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----\n";
    static const char empty[] = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    static const char cert[] = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    static const unsigned char sequence[] = {0x30, 0x03, 0x02, 0x01, 0x07}, garbage[] = {0x30, 0x00, 0xff};
    expect_fault(parse(openssh, strlen(openssh), NULL), "OpenSSH");
    expect_fault(parse(strange, strlen(strange), NULL), "not known here");
    expect_fault(parse(cut, strlen(cut), NULL), "damaged PEM");
    expect_fault(parse(base64, strlen(base64), NULL), "damaged PEM");
    expect_fault(parse(empty, strlen(empty), NULL), "damaged private key");
    expect_fault(parse(cert, strlen(cert), NULL), "damaged certificate");
    expect_fault(parse(sequence, sizeof sequence, NULL), "neither a certificate nor a private key");
    struct seen s = parse(garbage, sizeof garbage, NULL);
    assert_int_equal(s.faults, 2);
    forget(&s);
}

// Cut anywhere, no form gives a key, and nothing reads past the end.
static void cut_anywhere(void **state)
{
    (void)state;
    EVP_PKEY *key = fixture_ec("P-256", 0);
    X509 *cert = fixture_cert(key, NULL, "site", NULL, 30);
    for (unsigned form = 0; form < 4; form++) {
        BIO *bio = form == 3 ? pkcs12_of(key, cert, NULL, NULL, -1) : mem();
        char *data = NULL;
        if (form == 0)
            assert_int_equal(i2d_PKCS8PrivateKey_bio(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        else if (form == 1)
            assert_int_equal(i2d_PrivateKey_bio(bio, key), 1);
        else if (form == 2)
            assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        long len = BIO_get_mem_data(bio, &data);
        for (long cut = 0; cut < len - 1; cut++) { // the last byte of PEM is a line end
            struct seen s = parse(data, (size_t)cut, NULL);
            assert_int_equal(s.keys, 0);
            forget(&s);
        }
        BIO_free(bio);
    }
    X509_free(cert);
}

// What a caller does not ask for is not decoded, and no passphrase is tried on it.
static void only_what_is_asked_for(void **state)
{
    (void)state;
    BIO *bio = mem();
    char *data = NULL;
    struct seen s = {0};
    const struct passphrase none = {NULL, 0};
    assert_int_equal(
        PEM_write_bio_PKCS8PrivateKey(bio, fixture_ec("P-256", 0), EVP_aes_256_cbc(), "x", 1, NULL, NULL), 1);
    long len = BIO_get_mem_data(bio, &data);
    const struct input_sink certs = {.arg = &s, .cert = on_cert, .fault = on_fault};
    input_parse((const uint8_t *)data, (size_t)len, &none, &certs);
    assert_int_equal(s.faults + s.certs, 0);
    BIO_free(bio);
}

static int release(void **state)
{
    (void)state;
    fixtures_release();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_forms),
        cmocka_unit_test(encrypted_forms),
        cmocka_unit_test(certificates),
        cmocka_unit_test(several_objects_in_one_file),
        cmocka_unit_test(windows_line_ends),
        cmocka_unit_test(pkcs12),
        cmocka_unit_test(unreasonable_key_derivation_is_refused_at_once),
        cmocka_unit_test(what_is_nothing),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(only_what_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
