// The requests of `edge-sim load ski`: sites alternate, kinds are what is reported together, answers are judged.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge-sim/load_requests.h"
#include "testkit.h"

#define MANY (LOAD_KINDS_MAX + 6)

static char *dir;
static char *files[MANY]; // the first RSA, all others P-256

static int make_sites(void **state)
{
    (void)state;
    dir = kit_make_dir();
    for (int i = 0; i < MANY; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%d.pem", i);
        EVP_PKEY *key = i == 0 ? kit_rsa_key(2048) : kit_ec_key("P-256");
        X509 *cert = kit_cert(key, name, "DNS:a.example", NULL, NULL);
        files[i] = kit_write_cert(dir, name, cert);
        X509_free(cert);
        EVP_PKEY_free(key);
    }
    return 0;
}

static int remove_sites(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++)
        free(files[i]);
    kit_remove_dir(&dir);
    return 0;
}

static void few_sites_are_kinds_of_their_own(void **state)
{
    (void)state;
    struct error e = {""};
    struct load_pool *pool = load_pool_create(files, 3, LOAD_MIX, "h:1", &e);
    assert_non_null(pool);
    assert_int_equal(load_pool_kinds(pool), 4);
    static const char *const methods[] = {"RSA", "ECDHE", "ECDHE", "ECDHE"};
    static const char *const keys[] = {"RSA-2048", "RSA-2048", "P-256", "P-256"};
    static const int file[] = {0, 0, 1, 2};
    for (unsigned i = 0; i < 4; i++) {
        assert_string_equal(load_kind_method(pool, i), methods[i]);
        assert_string_equal(load_kind_key(pool, i), keys[i]);
        assert_string_equal(load_kind_file(pool, i), files[file[i]]);
        assert_int_equal(load_request_kind(load_pool_get(pool, i)), i);
        assert_int_equal(load_request_kind(load_pool_get(pool, i + 4)), i);
    }
    assert_ptr_equal(load_pool_get(pool, 1), load_pool_get(pool, 1 + 4 * LOAD_REQUESTS_PER_KIND));
    assert_ptr_not_equal(load_pool_get(pool, 1), load_pool_get(pool, 5));
    load_pool_destroy(&pool);
}

// Each is asked for in turn, and those with keys of one size are reported together.
static void many_sites_share_kinds(void **state)
{
    (void)state;
    struct error e = {""};
    struct load_pool *pool = load_pool_create(files, MANY, LOAD_ECDHE, "h:1", &e);
    assert_non_null(pool);
    assert_int_equal(load_pool_kinds(pool), 2);
    assert_string_equal(load_kind_file(pool, 0), files[0]);
    assert_string_equal(load_kind_key(pool, 0), "RSA-2048");
    assert_string_equal(load_kind_file(pool, 1), "69 sites");
    assert_string_equal(load_kind_key(pool, 1), "P-256");
    const char *before = NULL;
    for (unsigned i = 0; i < MANY; i++) {
        size_t len;
        const char *wire = load_request_wire(load_pool_get(pool, i), &len);
        assert_int_equal(load_request_kind(load_pool_get(pool, i)), i > 0);
        assert_ptr_not_equal(wire, before);
        before = wire;
    }
    assert_int_equal(load_request_kind(load_pool_get(pool, MANY)), 0);
    load_pool_destroy(&pool);
}

static void answers_are_judged(void **state)
{
    (void)state;
    struct error e = {""};
    struct load_pool *pool = load_pool_create(files, 2, LOAD_MIX, "h:1", &e);
    assert_non_null(pool);
    struct ski_answer answer = {.status = SKI_OK, .output_len = 48, .output = {3, 3}};
    for (unsigned i = 0; i < 3; i++) // a premaster that was not sent, and signatures that are none
        assert_int_equal(load_request_check(load_pool_get(pool, i), &answer, true), LOAD_WRONG);
    assert_int_equal(load_request_check(load_pool_get(pool, 2), &answer, false), LOAD_UNCHECKED);
    load_pool_destroy(&pool);
}

static void refusals(void **state)
{
    (void)state;
    struct error e = {""};
    assert_null(load_pool_create(files + 1, 1, LOAD_RSA, "h:1", &e));
    assert_non_null(strstr(e.text, "no site with an RSA key"));
    char *missing = files[1];
    missing[strlen(missing) - 1] = 'x';
    assert_null(load_pool_create(&missing, 1, LOAD_MIX, "h:1", &e));
    missing[strlen(missing) - 1] = 'm';
    assert_non_null(strstr(e.text, ".pex"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_sites_are_kinds_of_their_own),
        cmocka_unit_test(many_sites_share_kinds),
        cmocka_unit_test(answers_are_judged),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, make_sites, remove_sites);
}
