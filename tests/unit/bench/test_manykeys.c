// Many keys from few moduli: each is a key of its own, opens as any imported key does, and does what the others do not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs/keycheck.h"
#include "tests/bench/keys/manykeys.h"

#define KEYS      4
#define EXPONENTS 16

struct state {
    struct manykeys_modulus *modulus;
    struct seal_key *master;
    EVP_PKEY *key[KEYS];
};

static int set_up(void **state)
{
    static struct state s;
    char folder[] = "/tmp/test_manykeys.XXXXXX", path[64];
    struct error e;
    uint32_t *exponents = manykeys_exponents(EXPONENTS);
    unsigned keys = 0;
    s.modulus = manykeys_modulus_make(2048);
    assert_non_null(exponents);
    assert_non_null(s.modulus);
    // One exponent in 33,000 divides p - 1 or q - 1 of this modulus and has no key: the next one serves, as in kpi-report.
    for (unsigned i = 0; i < EXPONENTS && keys < KEYS; i++)
        if ((s.key[keys] = manykeys_key(s.modulus, exponents[i])) != NULL)
            keys++;
    free(exponents);
    assert_int_equal(keys, KEYS);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/master", folder);
    assert_true(seal_key_generate(path, &e));
    assert_non_null(s.master = seal_key_load(path, &e));
    (void)unlink(path);
    (void)rmdir(folder);
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    struct state *s = *state;
    for (unsigned i = 0; s != NULL && i < KEYS; i++)
        EVP_PKEY_free(s->key[i]);
    if (s != NULL) {
        seal_key_destroy(&s->master);
        manykeys_modulus_free(s->modulus);
    }
    return 0;
}

static void exponents_are_primes_in_order(void **state)
{
    (void)state;
    static const uint32_t first[] = {65537, 65539, 65543, 65551, 65557};
    uint32_t *found = manykeys_exponents(1000);
    assert_non_null(found);
    assert_memory_equal(found, first, sizeof first);
    assert_int_equal(found[999], 76679); // the 7,542nd prime: 6,542 are below 65,537
    free(found);
}

static void keys_are_whole_and_differ(void **state)
{
    const struct state *s = *state;
    char name[KEYS][KEYRECORD_NAME_LEN + 1];
    struct error why = {""};
    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(keycheck(s->key[i], &why));
        assert_true(keyrecord_name(s->key[i], name[i]));
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(name[i], name[j]);
    }
}

static void an_exponent_that_divides_a_prime_less_one_has_no_key(void **state)
{
    const struct state *s = *state;
    assert_null(manykeys_key(s->modulus, 2));
}

static void records_have_the_wanted_length_and_open(void **state)
{
    const struct state *s = *state;
    static const size_t lengths[] = {1400, 2000, 4096, 8000, 16384};
    char name[KEYRECORD_NAME_LEN + 1], other[KEYRECORD_NAME_LEN + 1];
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(s->key[0]);
    size_t der = (size_t)i2d_PKCS8_PRIV_KEY_INFO(p8, NULL);
    PKCS8_PRIV_KEY_INFO_free(p8);
    assert_true(keyrecord_name(s->key[0], name));
    assert_true(keyrecord_name(s->key[1], other));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct keyrecord_info info = {0};
        uint8_t *value;
        size_t len;
        EVP_PKEY *opened = NULL;
        manykeys_pad(&info, der, lengths[i]);
        assert_int_equal(keyrecord_encode(name, &info, s->key[0], s->master, &value, &len), KEYRECORD_OK);
        assert_int_equal(len, lengths[i]);
        assert_int_equal(keyrecord_open(name, value, len, s->master, &opened, NULL), KEYRECORD_OK);
        assert_int_equal(EVP_PKEY_eq(opened, s->key[0]), 1);
        EVP_PKEY_free(opened);
        assert_int_equal(keyrecord_open(other, value, len, s->master, &opened, NULL), KEYRECORD_DAMAGED);
        free(value);
    }
}

static void a_record_that_is_long_enough_gets_nothing(void **state)
{
    (void)state;
    struct keyrecord_info info = {0};
    manykeys_pad(&info, 2375, 0);
    assert_int_equal(info.cert_count, 0);
    manykeys_pad(&info, 2375, 2375 + 60);
    assert_int_equal(info.cert_count, 0);
}

static void certificates_are_of_the_key(void **state)
{
    const struct state *s = *state;
    X509 *cert = manykeys_certificate(s->key[2], "key-2.test");
    assert_non_null(cert);
    assert_int_equal(X509_verify(cert, s->key[2]), 1);
    assert_int_not_equal(X509_verify(cert, s->key[1]), 1);
    X509_free(cert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponents_are_primes_in_order),
        cmocka_unit_test(keys_are_whole_and_differ),
        cmocka_unit_test(an_exponent_that_divides_a_prime_less_one_has_no_key),
        cmocka_unit_test(records_have_the_wanted_length_and_open),
        cmocka_unit_test(a_record_that_is_long_enough_gets_nothing),
        cmocka_unit_test(certificates_are_of_the_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
