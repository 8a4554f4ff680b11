// Checking a store: every kind of fault is found and named, and a whole store has none. And the ways to name
// a key.
#include "fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/certinfo.h"
#include "certs/names.h"
#include "certs/verify.h"

static char folder[256], path[700];
static struct seal_key *master, *other_master;
static struct store *store;
static char *said; // by the last check

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
    struct error e = {""};
    fixture_folder(folder);
    master = new_master("m1");
    other_master = new_master("m2");
    (void)snprintf(path, sizeof path, "%s/store", folder);
    store = store_open(path, true, &e);
    return store == NULL;
}

static int teardown(void **state)
{
    (void)state;
    free(said);
    said = NULL;
    store_close(&store);
    seal_key_destroy(&master);
    seal_key_destroy(&other_master);
    fixture_folder_remove(folder);
    return 0;
}

static void put(const char *key, const void *value, size_t len)
{
    struct error e = {""};
    store_put(store, key, strlen(key), value, len, 0, &e);
    assert_true(store_flush(store));
}

static void put_alias(const char *alias, const char *name)
{
    uint8_t value[KEYRECORD_ALIAS_VALUE_LEN];
    keyrecord_encode_alias(name, value);
    put(alias, value, sizeof value);
}

// Puts a key with one certificate into the store, as an import would; alias may be NULL.
static void put_key(EVP_PKEY *key, const struct seal_key *with, char name[static 45], char alias[static 41])
{
    static struct keyrecord_info info;
    struct certinfo cert_info;
    uint8_t *value;
    size_t len;
    X509 *cert = fixture_cert(key, NULL, "site.example.org", NULL, 30);
    assert_true(certinfo_read(cert, &cert_info));
    assert_true(keyrecord_alias(cert, alias));
    X509_free(cert);
    memset(&info, 0, sizeof info);
    info.imported = 1;
    info.cert_count = 1;
    info.certs[0] = cert_info.entry;
    strcpy(name, cert_info.spki);
    assert_int_equal(keyrecord_encode(name, &info, key, with, &value, &len), KEYRECORD_OK);
    put(name, value, len);
    put_alias(alias, name);
    free(value);
}

static struct verify_counts check(const struct seal_key *with)
{
    struct verify_counts counts;
    struct error e = {""};
    size_t len = 0;
    free(said);
    said = NULL;
    FILE *out = open_memstream(&said, &len);
    const struct verify_options options = {.master = with, .deep = true, .out = out};
    assert_true(verify_store(store, &options, &counts, &e));
    assert_int_equal(fclose(out), 0);
    return counts;
}

static void expect_fault(const struct seal_key *with, const char *part)
{
    struct verify_counts counts = check(with);
    assert_int_equal(counts.faults, 1);
    if (strstr(said, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", said, part);
}

static void a_whole_store(void **state)
{
    (void)state;
    char name[45], alias[41];
    put_key(fixture_rsa(2048, 0), master, name, alias);
    put_key(fixture_ec("P-256", 0), master, name, alias);
    put_key(fixture_ec("P-521", 0), NULL, name, alias);
    put("somebody else's key", "value", 5);
    struct verify_counts counts = check(master);
    assert_int_equal(counts.keys, 3);
    assert_int_equal(counts.aliases, 3);
    assert_int_equal(counts.others, 1);
    assert_int_equal(counts.faults, 0);
    // Without the master key the sealed ones are counted, and said not to be opened.
    counts = check(NULL);
    assert_int_equal(counts.keys, 3);
    assert_int_equal(counts.unopened, 2);
    assert_int_equal(counts.faults, 0);
    // With another one each of them is a fault.
    counts = check(other_master);
    assert_int_equal(counts.keys, 1);
    assert_int_equal(counts.faults, 2);
    assert_non_null(strstr(said, "sealed under another master key"));
}

static void a_changed_record(void **state)
{
    (void)state;
    char name[45], alias[41];
    struct error e = {""};
    uint8_t *value = NULL;
    size_t len = 0;
    put_key(fixture_ec("P-256", 0), master, name, alias);
    assert_int_equal(store_get(store, name, 44, &value, &len, NULL, &e), STORE_OK);
    value[len - 20] ^= 4;
    put(name, value, len);
    expect_fault(master, "the seal does not hold");
    value[len - 20] ^= 4;
    value[31] ^= 1; // in the certificate's entry: the public part is sealed as well
    put(name, value, len);
    assert_int_not_equal(check(master).faults, 0);
    store_value_free(&value, len);
}

static void a_moved_record(void **state)
{
    (void)state;
    char name[45], alias[41], elsewhere[45];
    struct error e = {""};
    uint8_t *value = NULL;
    size_t len = 0;
    put_key(fixture_ec("P-256", 0), master, name, alias);
    assert_int_equal(store_get(store, name, 44, &value, &len, NULL, &e), STORE_OK);
    assert_true(keyrecord_name(fixture_ec("P-256", 1), elsewhere));
    put(elsewhere, value, len);
    store_value_free(&value, len);
    expect_fault(master, elsewhere);
}

static void aliases_that_lead_astray(void **state)
{
    (void)state;
    char name[45], alias[41], other[45], other_alias[41];
    struct error e = {""};
    put_key(fixture_ec("P-256", 0), master, name, alias);
    put_key(fixture_ec("P-256", 1), master, other, other_alias);
    static const char stray[] = "A9993E364706816ABA3E25717850C26C9CD0D89D";
    put_alias(stray, name);
    expect_fault(master, "which has no such certificate");
    store_delete(store, stray, 40, &e);
    store_delete(store, alias, 40, &e);
    assert_true(store_flush(store));
    expect_fault(master, "is not found by its fingerprint");
    put_alias(alias, name);
    store_delete(store, other, 44, &e); // what a crash in the middle of a delete leaves
    assert_true(store_flush(store));
    expect_fault(master, "leads nowhere");
    struct names aliases;
    assert_true(names_pointing_to(store, other, &aliases, &e));
    assert_int_equal(aliases.count, 1);
    assert_string_equal(aliases.items[0], other_alias);
    names_release(&aliases);
    store_delete(store, other_alias, 40, &e);
    assert_true(store_flush(store));
    assert_int_equal(check(master).faults, 0);
    put_alias(other, name);
    expect_fault(master, "an alias where a key should be");
}

static void junk_under_a_fingerprint(void **state)
{
    (void)state;
    char name[45];
    assert_true(keyrecord_name(fixture_ec("P-256", 0), name));
    put(name, "junk", 4);
    expect_fault(master, "not a key record");
}

static bool resolves(const char *text, bool by_name, const char *expected, const char *part)
{
    char name[45];
    struct error e = {""};
    bool ok = names_resolve(store, text, by_name, name, &e);
    if (!ok && (part == NULL || strstr(e.text, part) == NULL))
        fail_msg("%s: %s", text, e.text);
    if (ok && expected != NULL)
        assert_string_equal(name, expected);
    return ok;
}

static void keys_are_named_in_many_ways(void **state)
{
    (void)state;
    char name[45], alias[41], other[45], other_alias[41];
    put_key(fixture_ec("P-256", 0), master, name, alias);
    assert_true(resolves(name, false, name, NULL));
    assert_true(resolves(alias, false, alias, NULL));
    X509 *cert = fixture_cert(fixture_ec("P-256", 0), NULL, "x", NULL, 3);
    (void)snprintf(path, sizeof path, "%s/cert.pem", folder);
    fixture_write_cert_pem(path, cert);
    X509_free(cert);
    assert_true(resolves(path, false, name, NULL));
    assert_true(resolves("SITE.example.org", true, name, NULL));
    assert_false(resolves("site.example.org", false, NULL, "neither a fingerprint nor the file"));
    assert_false(resolves("else.example.org", true, NULL, "no key's certificate has that name"));
    put_key(fixture_ec("P-256", 1), master, other, other_alias);
    assert_false(resolves("site.example.org", true, NULL, "of 2 keys"));
    assert_false(resolves(folder, false, NULL, "not a regular file"));

    struct record record;
    struct error e = {""};
    assert_int_equal(record_get(store, alias, &record, &e), STORE_OK);
    assert_string_equal(record.name, name);
    record_release(&record);
    assert_int_equal(record_get(store, "A9993E364706816ABA3E25717850C26C9CD0D89D", &record, &e),
                     STORE_NOT_FOUND);
    struct names all;
    assert_true(names_collect(store, &all, &e));
    assert_int_equal(all.count, 4);
    for (size_t i = 1; i < all.count; i++)
        assert_true(strcmp(all.items[i - 1], all.items[i]) < 0);
    names_release(&all);
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
        ON_A_STORE(a_whole_store),
        ON_A_STORE(a_changed_record),
        ON_A_STORE(a_moved_record),
        ON_A_STORE(aliases_that_lead_astray),
        ON_A_STORE(junk_under_a_fingerprint),
        ON_A_STORE(keys_are_named_in_many_ways),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
