// Imports from beginning to end, on a real store: what goes in can be opened under every name, what is weak,
// damaged, foreign or mismatched is refused with its reason while the rest goes on, and doing it again
// changes nothing.
#include "fixtures.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <jansson.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "certs/import.h"
#include "certs/verify.h"
#include "common/keyrecord.h"

static char folder[256], input[300], store_dir[300];
static char path[700];
static struct seal_key *master, *other_master;
static uint64_t now;

// What an import said, one JSON object a line.
struct said {
    json_t *lines[400];
    size_t count;
    struct import_counts counts;
};

static const char *in(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", input, name);
    return path;
}

static struct seal_key *new_master(const char *name)
{
    struct error e = {""};
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_true(seal_key_generate(path, &e));
    return seal_key_load(path, &e);
}

static int setup(void **state)
{
    (void)state;
    fixture_folder(folder);
    (void)snprintf(input, sizeof input, "%s/in", folder);
    (void)snprintf(store_dir, sizeof store_dir, "%s/store", folder);
    assert_int_equal(mkdir(input, 0700), 0);
    master = new_master("m1");
    other_master = new_master("m2");
    now = (uint64_t)time(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    seal_key_destroy(&master);
    seal_key_destroy(&other_master);
    fixture_folder_remove(folder);
    return 0;
}

static struct store *open_store(void)
{
    struct error e = {""};
    struct store *store = store_open(store_dir, true, &e);
    if (store == NULL)
        fail_msg("%s", e.text);
    return store;
}

static struct import_options sealed_options(void)
{
    return (struct import_options){.master = master, .now = now, .json = true};
}

static struct said run_on(const char *what, struct import_options options)
{
    struct said said = {.count = 0};
    struct error e = {""};
    char *text = NULL, *item = strdup(what), *save = NULL;
    size_t len = 0;
    const struct config_list list = {&item, 1};
    struct input_files files;
    struct store *store = open_store();
    options.out = open_memstream(&text, &len);
    assert_true(files_collect(&list, &files));
    if (!import_run(store, &files, &options, &said.counts, &e))
        fail_msg("%s", e.text);
    files_release(&files);
    store_close(&store);
    free(item);
    assert_int_equal(fclose(options.out), 0);
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        assert_true(said.count < 400);
        said.lines[said.count] = json_loads(line, 0, NULL);
        assert_non_null(said.lines[said.count++]);
    }
    free(text);
    return said;
}

static void forget(struct said *said)
{
    for (size_t i = 0; i < said->count; i++)
        json_decref(said->lines[i]);
    said->count = 0;
}

static const char *field(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    return text != NULL ? text : "";
}

// The line about a file (the end of its path) with a result; NULL when there is none.
static json_t *line_of(const struct said *said, const char *result, const char *file)
{
    for (size_t i = 0; i < said->count; i++) {
        const char *path_said = field(said->lines[i], "file");
        size_t a = strlen(path_said), b = strlen(file);
        if (strcmp(field(said->lines[i], "result"), result) == 0 && a >= b &&
            strcmp(path_said + a - b, file) == 0)
            return said->lines[i];
    }
    return NULL;
}

static void expect_reason(const struct said *said, const char *result, const char *file, const char *part)
{
    const json_t *line = line_of(said, result, file);
    if (line == NULL)
        fail_msg("nothing %s about %s", result, file);
    if (strstr(field(line, "reason"), part) == NULL)
        fail_msg("%s: \"%s\", expected \"%s\"", file, field(line, "reason"), part);
}

static void expect_counts(struct said *said, uint64_t imported, uint64_t unchanged, uint64_t skipped,
                          uint64_t refused)
{
    const struct import_counts *c = &said->counts;
    if (c->imported != imported || c->unchanged != unchanged || c->skipped != skipped ||
        c->refused != refused) {
        for (size_t i = 0; i < said->count; i++) {
            char *text = json_dumps(said->lines[i], 0);
            print_message("%s\n", text);
            free(text);
        }
        fail_msg("imported %u unchanged %u skipped %u refused %u", (unsigned)c->imported,
                 (unsigned)c->unchanged, (unsigned)c->skipped, (unsigned)c->refused);
    }
    const json_t *summary = json_object_get(said->lines[said->count - 1], "summary");
    assert_int_equal(json_integer_value(json_object_get(summary, "imported")), (json_int_t)imported);
    assert_int_equal(json_integer_value(json_object_get(summary, "refused")), (json_int_t)refused);
}

static void import_expecting(const char *what, struct import_options options, uint64_t imported,
                             uint64_t unchanged, uint64_t skipped, uint64_t refused)
{
    struct said said = run_on(what, options);
    expect_counts(&said, imported, unchanged, skipped, refused);
    forget(&said);
}

// The key under a name of the store, after at most one alias.
static void expect_in_store(const char *name, EVP_PKEY *key, const struct seal_key *with,
                            uint64_t want_expire_ms)
{
    struct store *store = open_store();
    struct error e = {""};
    char target[45];
    uint8_t *value = NULL;
    size_t len = 0;
    uint64_t expire_ms = 1;
    EVP_PKEY *opened = NULL;
    assert_int_equal(store_get(store, name, strlen(name), &value, &len, &expire_ms, &e), STORE_OK);
    assert_true(expire_ms == want_expire_ms);
    if (keyrecord_decode_alias(value, len, target) == KEYRECORD_IS_ALIAS) {
        store_value_free(&value, len);
        assert_int_equal(store_get(store, target, strlen(target), &value, &len, &expire_ms, &e), STORE_OK);
        assert_true(expire_ms == want_expire_ms);
        name = target;
    }
    assert_int_equal(keyrecord_open(name, value, len, with, &opened, NULL), KEYRECORD_OK);
    assert_int_equal(EVP_PKEY_eq(key, opened), 1);
    EVP_PKEY_free(opened);
    store_value_free(&value, len);
    store_close(&store);
}

static void expect_whole_store(const struct seal_key *with, uint64_t keys, uint64_t aliases)
{
    struct verify_counts counts;
    struct error e = {""};
    struct store *store = open_store();
    const struct verify_options options = {.master = with, .deep = true, .out = stderr};
    assert_true(verify_store(store, &options, &counts, &e));
    assert_int_equal(counts.faults, 0);
    assert_int_equal(counts.keys, keys);
    assert_int_equal(counts.aliases, aliases);
    store_close(&store);
}

static X509 *write_pair(const char *base, EVP_PKEY *key, int days)
{
    char name[100];
    X509 *cert = fixture_cert(key, NULL, base, NULL, days);
    (void)snprintf(name, sizeof name, "%s.crt", base);
    fixture_write_cert_pem(in(name), cert);
    (void)snprintf(name, sizeof name, "%s.key", base);
    fixture_write_key_pem(in(name), key, NULL);
    return cert;
}

static void write_p12(const char *file, EVP_PKEY *key, X509 *cert, const char *pass)
{
    PKCS12 *p12 =
        PKCS12_create(pass, "site", key, cert, NULL, NID_aes_256_cbc, NID_aes_256_cbc, 1000, 1000, 0);
    unsigned char *der = NULL;
    int len = i2d_PKCS12(p12, &der);
    assert_true(len > 0);
    fixture_write(file, der, (size_t)len, 0600);
    OPENSSL_free(der);
    PKCS12_free(p12);
}

static void write_der(const char *file, EVP_PKEY *key, X509 *cert)
{
    unsigned char *der = NULL;
    int len = key != NULL ? i2d_PrivateKey(key, &der) : i2d_X509(cert, &der);
    assert_true(len > 0);
    fixture_write(file, der, (size_t)len, 0600);
    OPENSSL_free(der);
}

static void mixed_folder_comes_in_under_all_its_names(void **state)
{
    (void)state;
    char alias[3][41], name[45], text[] = "pass word";
    EVP_PKEY *rsa = fixture_rsa(2048, 0), *p256 = fixture_ec("P-256", 0), *p521 = fixture_ec("P-521", 0),
             *lonely = fixture_ec("P-384", 0);
    X509 *c0 = write_pair("www.example.org", rsa, 90);
    assert_int_equal(mkdir(in("deep"), 0700), 0);
    assert_int_equal(mkdir(in("deep/er"), 0700), 0);
    X509 *c1 = fixture_cert(p256, NULL, "cn", "DNS:api.example.org,DNS:x.example.org", 60);
    write_der(in("a.key"), p256, NULL);         // SEC1
    write_der(in("deep/er/zzz.der"), NULL, c1); // far from its key
    X509 *c2 = fixture_cert(p521, NULL, "p521.example.org", NULL, 60);
    write_p12(in("site.p12"), p521, c2, text);
    fixture_write_key_pem(in("lonely.pem"), lonely, text);
    fixture_write(in("README.txt"), "keys of the sites\n", 18, 0600);
    X509 *orphan = fixture_cert(fixture_ec("P-256", 3), NULL, "gone.example.org", NULL, 60);
    fixture_write_cert_pem(in("orphan.pem"), orphan);

    struct import_options options = sealed_options();
    options.passphrase = (struct passphrase){text, strlen(text)};
    struct said said = run_on(input, options);
    expect_counts(&said, 4, 0, 2, 0);
    assert_non_null(line_of(&said, "imported", "/a.key"));
    assert_string_equal(
        field(json_array_get(json_object_get(line_of(&said, "imported", "/a.key"), "certificates"), 0),
              "name"),
        "api.example.org");
    expect_reason(&said, "skipped", "/README.txt", "holds no certificate");
    expect_reason(&said, "skipped", "/orphan.pem", "no private key for it");
    forget(&said);

    EVP_PKEY *keys[] = {rsa, p256, p521};
    X509 *certs[] = {c0, c1, c2};
    for (unsigned i = 0; i < 3; i++) {
        assert_true(keyrecord_alias(certs[i], alias[i]));
        expect_in_store(alias[i], keys[i], master, 0);
        assert_true(keyrecord_name(keys[i], name));
        expect_in_store(name, keys[i], master, 0);
    }
    assert_true(keyrecord_name(lonely, name));
    expect_in_store(name, lonely, master, 0);
    expect_whole_store(master, 4, 3);

    // Again: nothing changes.
    import_expecting(input, options, 0, 4, 2, 0);
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
    X509 *old = write_pair("old", key, 30), *new = fixture_cert(key, NULL, "new", NULL, 300);
    assert_true(keyrecord_alias(old, one));
    assert_true(keyrecord_alias(new, two));
    import_expecting(input, sealed_options(), 1, 0, 0, 0);
    assert_int_equal(unlink(in("old.crt")), 0);
    fixture_write_cert_pem(in("new.crt"), new);
    struct said said = run_on(input, sealed_options());
    expect_counts(&said, 1, 0, 0, 0);
    assert_int_equal(json_array_size(json_object_get(line_of(&said, "imported", "/old.key"), "certificates")),
                     2);
    forget(&said);
    expect_in_store(one, key, master, 0);
    expect_in_store(two, key, master, 0);
    import_expecting(input, sealed_options(), 0, 1, 0, 0);
    expect_whole_store(master, 1, 2);
    // Both at once: one key, two certificates, a warning.
    fixture_write_cert_pem(in("old.crt"), old);
    said = run_on(input, sealed_options());
    expect_counts(&said, 0, 1, 0, 0);
    expect_reason(&said, "warning", "/old.key", "one RSA key serves 2 certificates");
    forget(&said);
    X509_free(old);
    X509_free(new);
}

static void a_missing_alias_is_put_back(void **state)
{
    (void)state;
    char alias[41];
    struct error e = {""};
    X509 *cert = write_pair("site", fixture_ec("P-256", 0), 30);
    assert_true(keyrecord_alias(cert, alias));
    import_expecting(input, sealed_options(), 1, 0, 0, 0);
    struct store *store = open_store();
    store_delete(store, alias, 40, &e);
    assert_true(store_flush(store));
    store_close(&store);
    import_expecting(input, sealed_options(), 1, 0, 0, 0);
    expect_in_store(alias, fixture_ec("P-256", 0), master, 0);
    X509_free(cert);
}

static void key_and_certificate_that_do_not_belong_together(void **state)
{
    (void)state;
    EVP_PKEY *a = fixture_ec("P-256", 0), *b = fixture_ec("P-256", 1), *c = fixture_ec("P-256", 2);
    X509 *cert = write_pair("good", c, 30), *wrong = fixture_cert(b, NULL, "wrong.example.org", NULL, 30),
         *bundled = fixture_cert(b, NULL, "bundle.example.org", NULL, 30);
    fixture_write_cert_pem(in("site.pem"), wrong);
    fixture_write_key_pem(in("site.key"), a, NULL);
    FILE *f = fopen(in("bundle.pem"), "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, bundled), 1);
    assert_int_equal(PEM_write_PrivateKey(f, a, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    struct said said = run_on(input, sealed_options());
    expect_counts(&said, 1, 0, 2, 2);
    expect_reason(&said, "refused", "/site.key",
                  "does not belong to the certificate (wrong.example.org) in ");
    expect_reason(&said, "refused", "/bundle.pem", "(bundle.example.org) in the same file");
    forget(&said);
    expect_whole_store(master, 1, 1);
    X509_free(cert);
    X509_free(wrong);
    X509_free(bundled);
}

static void weak_damaged_and_foreign_input_is_refused_and_the_rest_goes_on(void **state)
{
    (void)state;
    EVP_PKEY *weak = EVP_RSA_gen(1024), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
             *k1 = EVP_EC_gen("secp256k1");
    fixture_write_key_pem(in("1-weak.key"), weak, NULL);
    fixture_write_key_pem(in("2-ed.key"), ed, NULL);
    fixture_write_key_pem(in("3-k1.key"), k1, NULL);
    fixture_write_key_pem(in("4-encrypted.key"), fixture_ec("P-256", 1), "secret");
    size_t len;
    fixture_write_key_pem(in("5-cut.key"), fixture_rsa(2048, 0), NULL);
    uint8_t *pem = fixture_read(path, &len);
    fixture_write(path, pem, len / 2, 0600);
    free(pem);
    assert_int_equal(mkfifo(in("6-fifo.key"), 0600), 0);
    assert_int_equal(symlink(folder, in("7-loop")), 0);
    int fd = open(in("8-huge.key"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 2 << 20), 0);
    (void)close(fd);
    // One wrong byte in the middle of the private numbers.
    unsigned char *der = NULL;
    int der_len = i2d_PrivateKey(fixture_rsa(2048, 1), &der);
    der[der_len / 2] ^= 1;
    fixture_write(in("9-flipped.key"), der, (size_t)der_len, 0600);
    OPENSSL_free(der);
    assert_int_equal(mkdir(in("sub"), 0700), 0);
    X509 *cert = write_pair("zz-good", fixture_ec("P-256", 0), 30);

    struct said said = run_on(input, sealed_options());
    expect_reason(&said, "refused", "1-weak.key", "found 1024 bits, expected 2048 to 8192");
    expect_reason(&said, "refused", "2-ed.key", "ED25519 key: expected RSA");
    expect_reason(&said, "refused", "3-k1.key", "secp256k1: expected P-256");
    expect_reason(&said, "refused", "4-encrypted.key", "no passphrase was given");
    expect_reason(&said, "refused", "5-cut.key", "damaged PEM");
    expect_reason(&said, "refused", "6-fifo.key", "FIFO");
    expect_reason(&said, "refused", "7-loop/in", "contains itself");
    expect_reason(&said, "refused", "8-huge.key", "too large");
    expect_reason(&said, "refused", "9-flipped.key", "damaged RSA key");
    assert_non_null(line_of(&said, "imported", "zz-good.key"));
    assert_int_equal(said.counts.imported, 1);
    forget(&said);

    struct import_options options = sealed_options();
    char wrong[] = "not it";
    options.passphrase = (struct passphrase){wrong, strlen(wrong)};
    said = run_on(in("4-encrypted.key"), options);
    expect_counts(&said, 0, 0, 0, 1);
    forget(&said);
    // A file that was named and holds nothing is refused, where one found in a folder is skipped.
    fixture_write(in("empty"), "", 0, 0600);
    said = run_on(in("empty"), options);
    expect_counts(&said, 0, 0, 0, 1);
    expect_reason(&said, "refused", "empty", "holds no certificate and no private key");
    forget(&said);
    EVP_PKEY_free(weak);
    EVP_PKEY_free(ed);
    EVP_PKEY_free(k1);
    X509_free(cert);
}

static void expired_certificates(void **state)
{
    (void)state;
    EVP_PKEY *key = fixture_ec("P-256", 0), *both = fixture_ec("P-256", 1);
    X509 *gone = write_pair("gone", key, -3), *past = write_pair("both", both, -3),
         *present = fixture_cert(both, NULL, "present", NULL, 30);
    fixture_write_cert_pem(in("present.pem"), present);
    struct said said = run_on(input, sealed_options());
    expect_counts(&said, 1, 0, 0, 2);
    expect_reason(&said, "refused", "/gone.key", "the key's certificate (gone) ended on");
    expect_reason(&said, "refused", "/both.crt", "a certificate (both) ended on");
    forget(&said);
    char alias[41];
    assert_true(keyrecord_alias(present, alias));
    expect_in_store(alias, both, master, 0);
    struct import_options options = sealed_options();
    options.allow_expired = true;
    import_expecting(input, options, 2, 0, 0, 0);
    options.expire = true; // it would be gone at once
    said = run_on(in("gone.key"), options);
    forget(&said);
    said = run_on(input, options);
    expect_reason(&said, "refused", "/gone.key", "would leave the store at once");
    forget(&said);
    X509_free(gone);
    X509_free(past);
    X509_free(present);
}

static void expiry_follows_the_last_certificate(void **state)
{
    (void)state;
    char alias[41], name[45];
    EVP_PKEY *key = fixture_ec("P-256", 0);
    X509 *cert = write_pair("site", key, 30), *later = fixture_cert(key, NULL, "later", NULL, 60);
    struct import_options options = sealed_options();
    struct tm tm;
    assert_int_equal(ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm), 1);
    uint64_t first_ms = (uint64_t)timegm(&tm) * 1000;
    assert_int_equal(ASN1_TIME_to_tm(X509_get0_notAfter(later), &tm), 1);
    uint64_t later_ms = (uint64_t)timegm(&tm) * 1000;
    assert_true(keyrecord_alias(cert, alias));
    assert_true(keyrecord_name(key, name));
    import_expecting(input, options, 1, 0, 0, 0);
    expect_in_store(name, key, master, 0);
    options.expire = true;
    import_expecting(input, options, 1, 0, 0, 0);
    expect_in_store(name, key, master, first_ms);
    expect_in_store(alias, key, master, first_ms);
    import_expecting(input, options, 0, 1, 0, 0);
    options.expire = false; // leaves the expiry that is there
    import_expecting(input, options, 0, 1, 0, 0);
    fixture_write_cert_pem(in("later.pem"), later);
    options.expire = true;
    import_expecting(input, options, 1, 0, 0, 0);
    expect_in_store(alias, key, master, later_ms);
    X509_free(cert);
    X509_free(later);
}

static void other_master_keys_and_plain_records(void **state)
{
    (void)state;
    char name[45];
    EVP_PKEY *key = fixture_ec("P-256", 0);
    X509 *cert = write_pair("site", key, 30);
    assert_true(keyrecord_name(key, name));
    struct import_options plain = sealed_options(), other = sealed_options();
    plain.master = NULL;
    other.master = other_master;
    import_expecting(input, plain, 1, 0, 0, 0);
    expect_in_store(name, key, NULL, 0);
    import_expecting(input, plain, 0, 1, 0, 0);
    import_expecting(input, sealed_options(), 1, 0, 0, 0); // sealed now
    struct said said = run_on(input, plain);
    expect_counts(&said, 0, 0, 0, 1);
    expect_reason(&said, "refused", "/site.key", "--force replaces it");
    forget(&said);
    said = run_on(input, other);
    expect_counts(&said, 0, 0, 0, 1);
    expect_reason(&said, "refused", "/site.key", "sealed under another master key");
    forget(&said);
    expect_in_store(name, key, master, 0);
    other.force = true;
    import_expecting(input, other, 1, 0, 0, 0);
    expect_in_store(name, key, other_master, 0);
    X509_free(cert);
}

static void a_damaged_record_is_replaced(void **state)
{
    (void)state;
    char name[45];
    struct error e = {""};
    X509 *cert = write_pair("site", fixture_ec("P-256", 0), 30);
    assert_true(keyrecord_name(fixture_ec("P-256", 0), name));
    import_expecting(input, sealed_options(), 1, 0, 0, 0);
    struct store *store = open_store();
    uint8_t *value = NULL;
    size_t len = 0;
    assert_int_equal(store_get(store, name, 44, &value, &len, NULL, &e), STORE_OK);
    value[len - 1] ^= 1;
    store_put(store, name, 44, value, len, 0, &e);
    assert_true(store_flush(store));
    store_value_free(&value, len);
    store_close(&store);
    struct said said = run_on(input, sealed_options());
    expect_counts(&said, 1, 0, 0, 0);
    assert_non_null(strstr(field(line_of(&said, "imported", "/site.key"), "note"), "replaces a record"));
    forget(&said);
    expect_whole_store(master, 1, 1);
    X509_free(cert);
}

static void more_keys_than_a_batch_and_the_same_key_twice(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 150; i++) {
        char name[20];
        EVP_PKEY *key = EVP_EC_gen("P-256");
        (void)snprintf(name, sizeof name, "%03u.key", i);
        fixture_write_key_pem(in(name), key, NULL);
        (void)snprintf(name, sizeof name, "%03u-copy.key", i);
        fixture_write_key_pem(in(name), key, NULL);
        EVP_PKEY_free(key);
    }
    import_expecting(input, sealed_options(), 150, 150, 0, 0);
    expect_whole_store(master, 150, 0);
}

// Two keys and their certificates in one PEM file, and a name with bytes that must not reach a terminal.
static void several_pairs_in_one_file(void **state)
{
    (void)state;
    EVP_PKEY *a = fixture_ec("P-256", 0), *b = fixture_rsa(2048, 0);
    X509 *ca = fixture_cert(a, NULL, "a\033[31m.example.org", NULL, 30),
         *cb = fixture_cert(b, NULL, "b", NULL, 30);
    FILE *f = fopen(in("all.pem"), "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, a, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(PEM_write_X509(f, cb), 1);
    assert_int_equal(PEM_write_X509(f, ca), 1);
    assert_int_equal(PEM_write_PrivateKey(f, b, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    struct said said = run_on(in("all.pem"), sealed_options());
    expect_counts(&said, 2, 0, 0, 0);
    assert_string_equal(field(json_array_get(json_object_get(said.lines[0], "certificates"), 0), "name"),
                        "a?[31m.example.org");
    forget(&said);
    expect_whole_store(master, 2, 2);
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
#define ON_A_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ON_A_STORE(mixed_folder_comes_in_under_all_its_names),
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
