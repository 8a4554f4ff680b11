// Keys of a store in another encoding: the same keys before and after, whatever else is in the store, and what cannot be done is counted.
#include "importkit.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "certs/recode.h"
#include "certs/verify.h"
#include "common/keyrecord.h"
#include "common/secmem.h"

static char *said;

static struct recode_counts run(struct recode_options options)
{
    struct recode_counts counts;
    struct error e = {""};
    struct names names;
    size_t len = 0;
    struct store *store = importkit_open_store();
    free(said);
    options.out = open_memstream(&said, &len);
    assert_true(names_collect(store, &names, &e));
    if (!recode_names(store, &names, &options, &counts, &e))
        fail_msg("%s", e.text);
    assert_int_equal(fclose(options.out), 0);
    names_release(&names);
    store_close(&store);
    return counts;
}

static struct recode_counts recode(const struct seal_key *master, enum keyrecord_encoding encoding)
{
    return run((struct recode_options){.master = master, .encoding = encoding});
}

static void expect_counts(const struct recode_counts *c, uint64_t recoded, uint64_t unchanged, uint64_t whole,
                          uint64_t faults)
{
    if (c->recoded != recoded || c->unchanged != unchanged || c->whole != whole || c->faults != faults)
        fail_msg("recoded %u unchanged %u whole %u faults %u: %s", (unsigned)c->recoded,
                 (unsigned)c->unchanged, (unsigned)c->whole, (unsigned)c->faults, said);
}

static uint64_t count_compact(void)
{
    struct verify_counts counts;
    struct error e = {""};
    struct store *store = importkit_open_store();
    const struct verify_options options = {.master = importkit.master, .deep = true, .out = stderr};
    assert_true(verify_store(store, &options, &counts, &e));
    assert_int_equal(counts.faults, 0);
    store_close(&store);
    return counts.compact;
}

static void put(const char *name, const uint8_t *value, size_t len)
{
    struct error e = {""};
    struct store *store = importkit_open_store();
    store_put(store, name, strlen(name), value, len, 0, &e);
    assert_true(store_flush(store));
    store_close(&store);
}

static void there_and_back(void **state)
{
    (void)state;
    char name[45], alias[41];
    struct import_options options = importkit_sealed_options();
    options.expire = true;
    X509 *cert = importkit_write_pair("rsa", fixture_rsa(2048, 0), 30);
    X509 *other = importkit_write_pair("ec", fixture_ec("P-256", 0), 30);
    importkit_expect(importkit.input, options, 2, 0, 0, 0);
    assert_true(keyrecord_name(fixture_rsa(2048, 0), name) && keyrecord_alias(cert, alias));
    struct store *store = importkit_open_store();
    struct error e;
    uint8_t *value = NULL;
    size_t len = 0;
    uint64_t expire_ms = 0;
    assert_int_equal(store_get(store, name, 44, &value, &len, &expire_ms, &e), STORE_OK);
    assert_true(expire_ms != 0);
    store_value_free(&value, len);
    store_close(&store);

    assert_int_equal(count_compact(), 0);
    struct recode_counts counts = recode(importkit.master, KEYRECORD_COMPACT);
    expect_counts(&counts, 1, 0, 1, 0);
    assert_string_equal(counts.reasons[0].why, "no RSA key");
    assert_int_equal(counts.reasons[0].count, 1);
    assert_null(counts.reasons[1].why);
    assert_true(counts.bytes_before > 2 * counts.bytes_after && counts.bytes_after > 0);
    assert_int_equal(count_compact(), 1);
    importkit_expect_in_store(name, fixture_rsa(2048, 0), importkit.master, expire_ms);
    importkit_expect_in_store(alias, fixture_rsa(2048, 0), importkit.master, expire_ms);
    counts = recode(importkit.master, KEYRECORD_COMPACT);
    expect_counts(&counts, 0, 1, 1, 0);
    counts = recode(importkit.master, KEYRECORD_PKCS8);
    expect_counts(&counts, 1, 1, 0, 0);
    assert_int_equal(count_compact(), 0);
    importkit_expect_in_store(alias, fixture_rsa(2048, 0), importkit.master, expire_ms);
    importkit_expect_whole_store(importkit.master, 2, 2);
    X509_free(cert);
    X509_free(other);
}

// Under another master key: the same keys, encodings, expiries and aliases; a second run finds nothing to do, and one that
// was broken off is the second run of a part. Plain keys are left, and what opens under neither key is a fault.
static void under_another_master_key(void **state)
{
    (void)state;
    char name[45], alias[41];
    struct import_options options = importkit_sealed_options();
    options.encoding = KEYRECORD_COMPACT;
    X509 *cert = importkit_write_pair("rsa", fixture_rsa(2048, 0), 30);
    fixture_write_key_pem(importkit_in("ec.key"), fixture_ec("P-256", 0), NULL);
    importkit_expect(importkit.input, options, 2, 0, 0, 0);
    assert_true(keyrecord_name(fixture_rsa(2048, 0), name) && keyrecord_alias(cert, alias));
    seal_key_accept(importkit.master, &importkit.other_master);
    const struct seal_key *fresh = seal_key_next(importkit.master);
    const struct recode_options rekey = {.master = importkit.master, .fresh = fresh};
    struct recode_counts counts = run(rekey);
    expect_counts(&counts, 2, 0, 0, 0);
    assert_non_null(strstr(said, "rekeyed "));
    importkit_expect_in_store(name, fixture_rsa(2048, 0), fresh, 0);
    importkit_expect_in_store(alias, fixture_rsa(2048, 0), fresh, 0);
    importkit_expect_whole_store(fresh, 2, 1);
    assert_int_equal(count_compact(), 1);
    counts = run(rekey);
    expect_counts(&counts, 0, 2, 0, 0);
    // What was imported meanwhile under the old key is taken along; a plain key is left; a damaged one is a fault.
    struct keyrecord_info info = {.type = KEYRECORD_EC, .bits = 384};
    uint8_t *value = NULL;
    size_t len = 0;
    assert_true(keyrecord_name(fixture_ec("P-384", 0), name));
    assert_int_equal(keyrecord_encode(name, &info, fixture_ec("P-384", 0), importkit.master, &value, &len), KEYRECORD_OK);
    put(name, value, len);
    counts = run(rekey);
    expect_counts(&counts, 1, 2, 0, 0);
    value[len - 1] ^= 1;
    put(name, value, len);
    free(value);
    counts = run(rekey);
    expect_counts(&counts, 0, 2, 0, 1);
    assert_int_equal(keyrecord_encode(name, &info, fixture_ec("P-384", 0), NULL, &value, &len), KEYRECORD_OK);
    put(name, value, len);
    free(value);
    counts = run(rekey);
    expect_counts(&counts, 0, 2, 1, 0);
    assert_non_null(strstr(said, "left "));
    X509_free(cert);
}

// New keys are kept as asked; keys that are there keep their encoding until they are recoded.
static void import_in_an_encoding(void **state)
{
    (void)state;
    struct import_options compact = importkit_sealed_options(), usual = importkit_sealed_options();
    compact.encoding = KEYRECORD_COMPACT;
    fixture_write_key_pem(importkit_in("a.key"), fixture_rsa(2048, 0), NULL);
    fixture_write_key_pem(importkit_in("b.key"), fixture_ec("P-256", 0), NULL);
    importkit_expect(importkit.input, compact, 2, 0, 0, 0);
    assert_int_equal(count_compact(), 1);
    importkit_expect(importkit.input, usual, 0, 2, 0, 0);
    assert_int_equal(count_compact(), 1);
    X509 *cert = importkit_write_pair("a", fixture_rsa(2048, 0), 30); // a change of the record that is there
    importkit_expect(importkit.input, usual, 1, 1, 0, 0);
    assert_int_equal(count_compact(), 1);
    struct recode_counts counts = recode(importkit.master, KEYRECORD_PKCS8);
    expect_counts(&counts, 1, 1, 0, 0);
    importkit_expect(importkit.input, compact, 0, 2, 0, 0);
    assert_int_equal(count_compact(), 0);
    X509_free(cert);
}

// The same key with the order (p - 1)(q - 1) once more in d: it signs, and its PKCS#8 cannot be had from its primes.
static EVP_PKEY *unusual_key(EVP_PKEY *from)
{
    static const char *const names[] = {OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
                                        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
                                        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
                                        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    BIGNUM *n[8] = {NULL}, *order = BN_new();
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(EVP_PKEY_get_bn_param(from, names[i], &n[i]), 1);
    assert_true(BN_sub(order, n[0], n[3]) && BN_sub(order, order, n[4]) && BN_add_word(order, 1));
    assert_true(BN_add(n[2], n[2], order));
    for (size_t i = 0; i < 8; i++)
        assert_true(OSSL_PARAM_BLD_push_BN(build, names[i], n[i]));
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    assert_true(EVP_PKEY_fromdata_init(ctx) == 1 &&
                EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) == 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(order);
    for (size_t i = 0; i < 8; i++)
        BN_free(n[i]);
    return key;
}

static void unusual_keys_stay_whole(void **state)
{
    (void)state;
    char name[45];
    struct import_options compact = importkit_sealed_options();
    compact.encoding = KEYRECORD_COMPACT;
    EVP_PKEY *key = unusual_key(fixture_rsa(2048, 0));
    fixture_write_key_pem(importkit_in("odd.key"), key, NULL);
    struct importkit_said import = importkit_run_on(importkit.input, compact);
    importkit_expect_counts(&import, 1, 0, 0, 0);
    assert_non_null(strstr(importkit_field(importkit_line_of(&import, "imported", "odd.key"), "note"),
                           "not the usual ones"));
    importkit_forget(&import);
    importkit_expect(importkit.input, compact, 0, 1, 0, 0);
    assert_int_equal(count_compact(), 0);
    assert_true(keyrecord_name(key, name));
    importkit_expect_in_store(name, key, importkit.master, 0);
    struct recode_counts counts = recode(importkit.master, KEYRECORD_COMPACT);
    expect_counts(&counts, 0, 0, 1, 0);
    assert_non_null(strstr(counts.reasons[0].why, "not the usual ones"));
    EVP_PKEY_free(key);
}

// Records that cannot be recoded are named and counted; the rest goes on.
static void what_else_is_in_a_store(void **state)
{
    (void)state;
    static const char java[] = "A9993E364706816ABA3E25717850C26C9CD0D89D";
    static const char broken[] = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    char name[45], b64[3000];
    uint8_t *value = NULL, *der = NULL;
    size_t len = 0, der_len = 0;
    static struct keyrecord_info info;
    fixture_write_key_pem(importkit_in("a.key"), fixture_rsa(2048, 0), NULL);
    importkit_expect(importkit.input, importkit_sealed_options(), 1, 0, 0, 0);
    assert_true(keyrecord_name(fixture_rsa(2048, 1), name));
    assert_int_equal(
        keyrecord_encode(name, &info, fixture_rsa(2048, 1), importkit.other_master, &value, &len),
        KEYRECORD_OK);
    put(name, value, len);
    free(value);
    put(broken, (const uint8_t *)"no record", 9);
    put("somebody else's", (const uint8_t *)"value", 5);
    assert_true(keyrecord_name(fixture_rsa(2048, 2), name));
    assert_int_equal(keyrecord_encode(name, &info, fixture_rsa(2048, 2), NULL, &value, &len), KEYRECORD_OK);
    assert_int_equal(keyrecord_open_der(name, value, len, NULL, &der, &der_len), KEYRECORD_OK);
    put(java, (const uint8_t *)b64, (size_t)EVP_EncodeBlock((unsigned char *)b64, der, (int)der_len));
    secmem_free(&der, der_len);
    free(value);

    struct recode_counts counts = recode(importkit.master, KEYRECORD_COMPACT);
    expect_counts(&counts, 1, 0, 1, 2);
    assert_non_null(strstr(counts.reasons[0].why, "Java"));
    assert_non_null(strstr(said, "sealed under another master key"));
    assert_non_null(strstr(said, "not a key record"));
    importkit_expect_in_store(java, fixture_rsa(2048, 2), NULL, 0);
    counts = recode(NULL, KEYRECORD_PKCS8); // without a master key nothing sealed is touched
    expect_counts(&counts, 0, 0, 1, 3);
}

static void more_than_one_batch(void **state)
{
    (void)state;
    static struct keyrecord_info info;
    char name[45];
    uint8_t *value = NULL;
    size_t len = 0;
    assert_true(keyrecord_name(fixture_rsa(2048, 0), name));
    for (unsigned i = 0; i < 150;
         i++) { // the wrong names, but the right number of them, on both sides of the one
        char other[45];
        memcpy(other, name, sizeof other);
        other[1] = "ABCDEFGHIJ"[i % 10];
        other[2] = "ABCDEFGHIJKLMNO"[i / 10];
        if (strcmp(other, name) != 0)
            put(other, (const uint8_t *)"no record", 9);
    }
    assert_int_equal(keyrecord_encode(name, &info, fixture_rsa(2048, 0), NULL, &value, &len), KEYRECORD_OK);
    put(name, value, len);
    free(value);
    struct recode_counts counts = recode(NULL, KEYRECORD_COMPACT);
    assert_int_equal(counts.recoded, 1);
    assert_true(counts.faults >= 149);
    importkit_expect_in_store(name, fixture_rsa(2048, 0), NULL, 0);
}

static int release(void **state)
{
    (void)state;
    free(said);
    fixtures_release();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_and_back, importkit_setup, importkit_teardown),
        cmocka_unit_test_setup_teardown(under_another_master_key, importkit_setup, importkit_teardown),
        cmocka_unit_test_setup_teardown(import_in_an_encoding, importkit_setup, importkit_teardown),
        cmocka_unit_test_setup_teardown(unusual_keys_stay_whole, importkit_setup, importkit_teardown),
        cmocka_unit_test_setup_teardown(what_else_is_in_a_store, importkit_setup, importkit_teardown),
        cmocka_unit_test_setup_teardown(more_than_one_batch, importkit_setup, importkit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
