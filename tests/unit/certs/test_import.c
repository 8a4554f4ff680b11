// Imports from beginning to end, on a real store: what goes in can be opened under every name, what is weak,
// damaged, foreign or mismatched is refused with its reason while the rest goes on, and doing it again
// changes nothing.
#include "importkit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <openssl/pem.h>

#include "common/keyrecord.h"

static void expect_labels(const struct importkit_said *said, const char *result, const char *first,
                          size_t count)
{
    const json_t *labels = json_object_get(importkit_line_of(said, result, "/www.key"), "labels");
    assert_int_equal(json_array_size(labels), count);
    if (count > 0)
        assert_string_equal(json_string_value(json_array_get(labels, 0)), first);
}

// Labels stay when a key is imported again without any, and give way to others.
static void labels_stay_until_there_are_others(void **state)
{
    (void)state;
    char eu[] = "eu", web[] = "web", us[] = "us", *texts[2][2] = {{eu, web}, {us, NULL}};
    const struct {
        struct config_list labels;
        const char *result, *first;
        size_t count;
    } steps[] = {{{NULL, 0}, "imported", NULL, 0},      {{texts[0], 2}, "imported", "eu", 2},
                 {{texts[0], 2}, "unchanged", "eu", 2}, {{NULL, 0}, "unchanged", "eu", 2},
                 {{texts[1], 1}, "imported", "us", 1},  {{NULL, 0}, "unchanged", "us", 1}};
    X509_free(importkit_write_pair("www", fixture_ec("P-256", 0), 90));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct import_options options = importkit_sealed_options();
        options.labels = &steps[i].labels;
        struct importkit_said said = importkit_run_on(importkit.input, options);
        expect_labels(&said, steps[i].result, steps[i].first, steps[i].count);
        importkit_forget(&said);
    }
    importkit_expect_whole_store(importkit.master, 1, 1);
}

static void mixed_folder_comes_in_under_all_its_names(void **state)
{
    (void)state;
    char alias[3][41], name[45], text[] = "pass word";
    EVP_PKEY *rsa = fixture_rsa(2048, 0), *p256 = fixture_ec("P-256", 0), *p521 = fixture_ec("P-521", 0),
             *lonely = fixture_ec("P-384", 0);
    X509 *c0 = importkit_write_pair("www.example.org", rsa, 90);
    assert_int_equal(mkdir(importkit_in("deep"), 0700), 0);
    assert_int_equal(mkdir(importkit_in("deep/er"), 0700), 0);
    X509 *c1 = fixture_cert(p256, NULL, "cn", "DNS:api.example.org,DNS:x.example.org", 60);
    importkit_write_der(importkit_in("a.key"), p256, NULL);         // SEC1
    importkit_write_der(importkit_in("deep/er/zzz.der"), NULL, c1); // far from its key
    X509 *c2 = fixture_cert(p521, NULL, "p521.example.org", NULL, 60);
    importkit_write_p12(importkit_in("site.p12"), p521, c2, text);
    fixture_write_key_pem(importkit_in("lonely.pem"), lonely, text);
    fixture_write(importkit_in("README.txt"), "keys of the sites\n", 18, 0600);
    X509 *orphan = fixture_cert(fixture_ec("P-256", 3), NULL, "gone.example.org", NULL, 60);
    fixture_write_cert_pem(importkit_in("orphan.pem"), orphan);

    struct import_options options = importkit_sealed_options();
    options.passphrase = (struct passphrase){text, strlen(text)};
    struct importkit_said said = importkit_run_on(importkit.input, options);
    importkit_expect_counts(&said, 4, 0, 2, 0);
    assert_non_null(importkit_line_of(&said, "imported", "/a.key"));
    assert_string_equal(
        importkit_field(
            json_array_get(json_object_get(importkit_line_of(&said, "imported", "/a.key"), "certificates"),
                           0),
            "name"),
        "api.example.org");
    importkit_expect_reason(&said, "skipped", "/README.txt", "holds no certificate");
    importkit_expect_reason(&said, "skipped", "/orphan.pem", "no private key for it");
    importkit_forget(&said);

    EVP_PKEY *keys[] = {rsa, p256, p521};
    X509 *certs[] = {c0, c1, c2};
    for (unsigned i = 0; i < 3; i++) {
        assert_true(keyrecord_alias(certs[i], alias[i]));
        importkit_expect_in_store(alias[i], keys[i], importkit.master, 0);
        assert_true(keyrecord_name(keys[i], name));
        importkit_expect_in_store(name, keys[i], importkit.master, 0);
    }
    assert_true(keyrecord_name(lonely, name));
    importkit_expect_in_store(name, lonely, importkit.master, 0);
    importkit_expect_whole_store(importkit.master, 4, 3);

    // Again: nothing changes.
    importkit_expect(importkit.input, options, 0, 4, 2, 0);
    X509_free(c0);
    X509_free(c1);
    X509_free(c2);
    X509_free(orphan);
}

static void new_certificates_join_the_record(void **state)
{
    (void)state;
    char one[41], two[41];
    EVP_PKEY *key = fixture_rsa(2048, 0);
    X509 *old = importkit_write_pair("old", key, 30), *new = fixture_cert(key, NULL, "new", NULL, 300);
    assert_true(keyrecord_alias(old, one));
    assert_true(keyrecord_alias(new, two));
    importkit_expect(importkit.input, importkit_sealed_options(), 1, 0, 0, 0);
    assert_int_equal(unlink(importkit_in("old.crt")), 0);
    fixture_write_cert_pem(importkit_in("new.crt"), new);
    struct importkit_said said = importkit_run_on(importkit.input, importkit_sealed_options());
    importkit_expect_counts(&said, 1, 0, 0, 0);
    assert_int_equal(
        json_array_size(json_object_get(importkit_line_of(&said, "imported", "/old.key"), "certificates")),
        2);
    importkit_forget(&said);
    importkit_expect_in_store(one, key, importkit.master, 0);
    importkit_expect_in_store(two, key, importkit.master, 0);
    importkit_expect(importkit.input, importkit_sealed_options(), 0, 1, 0, 0);
    importkit_expect_whole_store(importkit.master, 1, 2);
    // Both at once: one key, two certificates, a warning.
    fixture_write_cert_pem(importkit_in("old.crt"), old);
    said = importkit_run_on(importkit.input, importkit_sealed_options());
    importkit_expect_counts(&said, 0, 1, 0, 0);
    importkit_expect_reason(&said, "warning", "/old.key", "one RSA key serves 2 certificates");
    importkit_forget(&said);
    X509_free(old);
    X509_free(new);
}

static void a_missing_alias_is_put_back(void **state)
{
    (void)state;
    char alias[41];
    struct error e = {""};
    X509 *cert = importkit_write_pair("site", fixture_ec("P-256", 0), 30);
    assert_true(keyrecord_alias(cert, alias));
    importkit_expect(importkit.input, importkit_sealed_options(), 1, 0, 0, 0);
    struct store *store = importkit_open_store();
    store_delete(store, alias, 40, &e);
    assert_true(store_flush(store));
    store_close(&store);
    importkit_expect(importkit.input, importkit_sealed_options(), 1, 0, 0, 0);
    importkit_expect_in_store(alias, fixture_ec("P-256", 0), importkit.master, 0);
    X509_free(cert);
}

static void key_and_certificate_that_do_not_belong_together(void **state)
{
    (void)state;
    EVP_PKEY *a = fixture_ec("P-256", 0), *b = fixture_ec("P-256", 1), *c = fixture_ec("P-256", 2);
    X509 *cert = importkit_write_pair("good", c, 30),
         *wrong = fixture_cert(b, NULL, "wrong.example.org", NULL, 30),
         *bundled = fixture_cert(b, NULL, "bundle.example.org", NULL, 30);
    fixture_write_cert_pem(importkit_in("site.pem"), wrong);
    fixture_write_key_pem(importkit_in("site.key"), a, NULL);
    FILE *f = fopen(importkit_in("bundle.pem"), "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, bundled), 1);
    assert_int_equal(PEM_write_PrivateKey(f, a, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    struct importkit_said said = importkit_run_on(importkit.input, importkit_sealed_options());
    importkit_expect_counts(&said, 1, 0, 2, 2);
    importkit_expect_reason(&said, "refused", "/site.key",
                            "does not belong to the certificate (wrong.example.org) in ");
    importkit_expect_reason(&said, "refused", "/bundle.pem", "(bundle.example.org) in the same file");
    importkit_forget(&said);
    importkit_expect_whole_store(importkit.master, 1, 1);
    X509_free(cert);
    X509_free(wrong);
    X509_free(bundled);
}

static void weak_damaged_and_foreign_input_is_refused_and_the_rest_goes_on(void **state)
{
    (void)state;
    EVP_PKEY *weak = EVP_RSA_gen(1024), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
             *k1 = EVP_EC_gen("secp256k1");
    fixture_write_key_pem(importkit_in("1-weak.key"), weak, NULL);
    fixture_write_key_pem(importkit_in("2-ed.key"), ed, NULL);
    fixture_write_key_pem(importkit_in("3-k1.key"), k1, NULL);
    fixture_write_key_pem(importkit_in("4-encrypted.key"), fixture_ec("P-256", 1), "secret");
    size_t len;
    fixture_write_key_pem(importkit_in("5-cut.key"), fixture_rsa(2048, 0), NULL);
    uint8_t *pem = fixture_read(importkit.path, &len);
    fixture_write(importkit.path, pem, len / 2, 0600);
    free(pem);
    assert_int_equal(mkfifo(importkit_in("6-fifo.key"), 0600), 0);
    assert_int_equal(symlink(importkit.folder, importkit_in("7-loop")), 0);
    int fd = open(importkit_in("8-huge.key"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 2 << 20), 0);
    (void)close(fd);
    // One wrong byte in the middle of the private numbers.
    unsigned char *der = NULL;
    int der_len = i2d_PrivateKey(fixture_rsa(2048, 1), &der);
    der[der_len / 2] ^= 1;
    fixture_write(importkit_in("9-flipped.key"), der, (size_t)der_len, 0600);
    OPENSSL_free(der);
    assert_int_equal(mkdir(importkit_in("sub"), 0700), 0);
    X509 *cert = importkit_write_pair("zz-good", fixture_ec("P-256", 0), 30);

    struct importkit_said said = importkit_run_on(importkit.input, importkit_sealed_options());
    importkit_expect_reason(&said, "refused", "1-weak.key", "found 1024 bits, expected 2048 to 8192");
    importkit_expect_reason(&said, "refused", "2-ed.key", "ED25519 key: expected RSA");
    importkit_expect_reason(&said, "refused", "3-k1.key", "secp256k1: expected P-256");
    importkit_expect_reason(&said, "refused", "4-encrypted.key", "no passphrase was given");
    importkit_expect_reason(&said, "refused", "5-cut.key", "damaged PEM");
    importkit_expect_reason(&said, "refused", "6-fifo.key", "FIFO");
    importkit_expect_reason(&said, "refused", "7-loop/in", "contains itself");
    importkit_expect_reason(&said, "refused", "8-huge.key", "too large");
    importkit_expect_reason(&said, "refused", "9-flipped.key", "damaged RSA key");
    assert_non_null(importkit_line_of(&said, "imported", "zz-good.key"));
    assert_int_equal(said.counts.imported, 1);
    importkit_forget(&said);

    struct import_options options = importkit_sealed_options();
    char wrong[] = "not it";
    options.passphrase = (struct passphrase){wrong, strlen(wrong)};
    said = importkit_run_on(importkit_in("4-encrypted.key"), options);
    importkit_expect_counts(&said, 0, 0, 0, 1);
    importkit_forget(&said);
    // A file that was named and holds nothing is refused, where one found in a folder is skipped.
    fixture_write(importkit_in("empty"), "", 0, 0600);
    said = importkit_run_on(importkit_in("empty"), options);
    importkit_expect_counts(&said, 0, 0, 0, 1);
    importkit_expect_reason(&said, "refused", "empty", "holds no certificate and no private key");
    importkit_forget(&said);
    EVP_PKEY_free(weak);
    EVP_PKEY_free(ed);
    EVP_PKEY_free(k1);
    X509_free(cert);
}

static void expired_certificates(void **state)
{
    (void)state;
    EVP_PKEY *key = fixture_ec("P-256", 0), *both = fixture_ec("P-256", 1);
    X509 *gone = importkit_write_pair("gone", key, -3), *past = importkit_write_pair("both", both, -3),
         *present = fixture_cert(both, NULL, "present", NULL, 30);
    fixture_write_cert_pem(importkit_in("present.pem"), present);
    struct importkit_said said = importkit_run_on(importkit.input, importkit_sealed_options());
    importkit_expect_counts(&said, 1, 0, 0, 2);
    importkit_expect_reason(&said, "refused", "/gone.key", "the key's certificate (gone) ended on");
    importkit_expect_reason(&said, "refused", "/both.crt", "a certificate (both) ended on");
    importkit_forget(&said);
    char alias[41];
    assert_true(keyrecord_alias(present, alias));
    importkit_expect_in_store(alias, both, importkit.master, 0);
    struct import_options options = importkit_sealed_options();
    options.allow_expired = true;
    importkit_expect(importkit.input, options, 2, 0, 0, 0);
    options.expire = true; // it would be gone at once
    said = importkit_run_on(importkit_in("gone.key"), options);
    importkit_forget(&said);
    said = importkit_run_on(importkit.input, options);
    importkit_expect_reason(&said, "refused", "/gone.key", "would leave the store at once");
    importkit_forget(&said);
    X509_free(gone);
    X509_free(past);
    X509_free(present);
}

static void expiry_follows_the_last_certificate(void **state)
{
    (void)state;
    char alias[41], name[45];
    EVP_PKEY *key = fixture_ec("P-256", 0);
    X509 *cert = importkit_write_pair("site", key, 30), *later = fixture_cert(key, NULL, "later", NULL, 60);
    struct import_options options = importkit_sealed_options();
    struct tm tm;
    assert_int_equal(ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm), 1);
    uint64_t first_ms = (uint64_t)timegm(&tm) * 1000;
    assert_int_equal(ASN1_TIME_to_tm(X509_get0_notAfter(later), &tm), 1);
    uint64_t later_ms = (uint64_t)timegm(&tm) * 1000;
    assert_true(keyrecord_alias(cert, alias));
    assert_true(keyrecord_name(key, name));
    importkit_expect(importkit.input, options, 1, 0, 0, 0);
    importkit_expect_in_store(name, key, importkit.master, 0);
    options.expire = true;
    importkit_expect(importkit.input, options, 1, 0, 0, 0);
    importkit_expect_in_store(name, key, importkit.master, first_ms);
    importkit_expect_in_store(alias, key, importkit.master, first_ms);
    importkit_expect(importkit.input, options, 0, 1, 0, 0);
    options.expire = false; // leaves the expiry that is there
    importkit_expect(importkit.input, options, 0, 1, 0, 0);
    fixture_write_cert_pem(importkit_in("later.pem"), later);
    options.expire = true;
    importkit_expect(importkit.input, options, 1, 0, 0, 0);
    importkit_expect_in_store(alias, key, importkit.master, later_ms);
    X509_free(cert);
    X509_free(later);
}

static void other_master_keys_and_plain_records(void **state)
{
    (void)state;
    char name[45];
    EVP_PKEY *key = fixture_ec("P-256", 0);
    X509 *cert = importkit_write_pair("site", key, 30);
    assert_true(keyrecord_name(key, name));
    struct import_options plain = importkit_sealed_options(), other = importkit_sealed_options();
    plain.master = NULL;
    other.master = importkit.other_master;
    importkit_expect(importkit.input, plain, 1, 0, 0, 0);
    importkit_expect_in_store(name, key, NULL, 0);
    importkit_expect(importkit.input, plain, 0, 1, 0, 0);
    importkit_expect(importkit.input, importkit_sealed_options(), 1, 0, 0, 0); // sealed now
    struct importkit_said said = importkit_run_on(importkit.input, plain);
    importkit_expect_counts(&said, 0, 0, 0, 1);
    importkit_expect_reason(&said, "refused", "/site.key", "--force replaces it");
    importkit_forget(&said);
    said = importkit_run_on(importkit.input, other);
    importkit_expect_counts(&said, 0, 0, 0, 1);
    importkit_expect_reason(&said, "refused", "/site.key", "sealed under another master key");
    importkit_forget(&said);
    importkit_expect_in_store(name, key, importkit.master, 0);
    other.force = true;
    importkit_expect(importkit.input, other, 1, 0, 0, 0);
    importkit_expect_in_store(name, key, importkit.other_master, 0);
    X509_free(cert);
}

static void a_damaged_record_is_replaced(void **state)
{
    (void)state;
    char name[45];
    struct error e = {""};
    X509 *cert = importkit_write_pair("site", fixture_ec("P-256", 0), 30);
    assert_true(keyrecord_name(fixture_ec("P-256", 0), name));
    importkit_expect(importkit.input, importkit_sealed_options(), 1, 0, 0, 0);
    struct store *store = importkit_open_store();
    uint8_t *value = NULL;
    size_t len = 0;
    assert_int_equal(store_get(store, name, 44, &value, &len, NULL, &e), STORE_OK);
    value[len - 1] ^= 1;
    store_put(store, name, 44, value, len, 0, &e);
    assert_true(store_flush(store));
    store_value_free(&value, len);
    store_close(&store);
    struct importkit_said said = importkit_run_on(importkit.input, importkit_sealed_options());
    importkit_expect_counts(&said, 1, 0, 0, 0);
    assert_non_null(strstr(importkit_field(importkit_line_of(&said, "imported", "/site.key"), "note"),
                           "replaces a record"));
    importkit_forget(&said);
    importkit_expect_whole_store(importkit.master, 1, 1);
    X509_free(cert);
}

static void more_keys_than_a_batch_and_the_same_key_twice(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 150; i++) {
        char name[20];
        EVP_PKEY *key = EVP_EC_gen("P-256");
        (void)snprintf(name, sizeof name, "%03u.key", i);
        fixture_write_key_pem(importkit_in(name), key, NULL);
        (void)snprintf(name, sizeof name, "%03u-copy.key", i);
        fixture_write_key_pem(importkit_in(name), key, NULL);
        EVP_PKEY_free(key);
    }
    importkit_expect(importkit.input, importkit_sealed_options(), 150, 150, 0, 0);
    importkit_expect_whole_store(importkit.master, 150, 0);
}

// Two keys and their certificates in one PEM file, and a name with bytes that must not reach a terminal.
static void several_pairs_in_one_file(void **state)
{
    (void)state;
    EVP_PKEY *a = fixture_ec("P-256", 0), *b = fixture_rsa(2048, 0);
    X509 *ca = fixture_cert(a, NULL, "a\033[31m.example.org", NULL, 30),
         *cb = fixture_cert(b, NULL, "b", NULL, 30);
    FILE *f = fopen(importkit_in("all.pem"), "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, a, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(PEM_write_X509(f, cb), 1);
    assert_int_equal(PEM_write_X509(f, ca), 1);
    assert_int_equal(PEM_write_PrivateKey(f, b, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    struct importkit_said said = importkit_run_on(importkit_in("all.pem"), importkit_sealed_options());
    importkit_expect_counts(&said, 2, 0, 0, 0);
    assert_string_equal(
        importkit_field(json_array_get(json_object_get(said.lines[0], "certificates"), 0), "name"),
        "a?[31m.example.org");
    importkit_forget(&said);
    importkit_expect_whole_store(importkit.master, 2, 2);
    X509_free(ca);
    X509_free(cb);
}

static int release(void **state)
{
    (void)state;
    fixtures_release();
    return 0;
}

int main(void)
{
#define ON_A_STORE(test) cmocka_unit_test_setup_teardown(test, importkit_setup, importkit_teardown)
    const struct CMUnitTest tests[] = {
        ON_A_STORE(mixed_folder_comes_in_under_all_its_names),
        ON_A_STORE(labels_stay_until_there_are_others),
        ON_A_STORE(new_certificates_join_the_record),
        ON_A_STORE(a_missing_alias_is_put_back),
        ON_A_STORE(key_and_certificate_that_do_not_belong_together),
        ON_A_STORE(weak_damaged_and_foreign_input_is_refused_and_the_rest_goes_on),
        ON_A_STORE(expired_certificates),
        ON_A_STORE(expiry_follows_the_last_certificate),
        ON_A_STORE(other_master_keys_and_plain_records),
        ON_A_STORE(a_damaged_record_is_replaced),
        ON_A_STORE(more_keys_than_a_batch_and_the_same_key_twice),
        ON_A_STORE(several_pairs_in_one_file),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
