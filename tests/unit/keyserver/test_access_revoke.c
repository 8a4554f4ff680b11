// What a certificate says of an edge, and lists of those that are good no longer.
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "keyserver/access.h"
#include "tests/unit/common/test_pki.h"

static struct test_cert ca, other_ca, edge, other_edge;

static int setup(void **state)
{
    (void)state;
    kit_dir_create();
    ca = test_cert_create(&(struct test_cert_spec){.name = "CA", .purpose = TEST_CERT_CA});
    other_ca = test_cert_create(&(struct test_cert_spec){.name = "other", .purpose = TEST_CERT_CA});
    edge = test_cert_create(&(struct test_cert_spec){.name = "e,1",
                                                     .alt_names = "DNS:Edge.Test,URI:spiffe://T/e,DNS:b.test",
                                                     .purpose = TEST_CERT_CLIENT,
                                                     .issuer = &ca});
    other_edge = test_cert_create(
        &(struct test_cert_spec){.name = "e2", .purpose = TEST_CERT_CLIENT, .issuer = &other_ca});
    const struct test_cert *chain = &ca;
    test_cert_write(kit_path("ca.pem"), &chain, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_cert_destroy(&ca);
    test_cert_destroy(&other_ca);
    test_cert_destroy(&edge);
    test_cert_destroy(&other_edge);
    kit_dir_remove();
    return 0;
}

// ---- identities

static void what_a_certificate_says(void **state)
{
    (void)state;
    static struct access_edge who;
    static const struct {
        enum access_identity kind;
        const char *text;
    } wanted[] = {{ACCESS_DNS, "edge.test"},
                  {ACCESS_URI, "spiffe://T/e"},
                  {ACCESS_DNS, "b.test"},
                  {ACCESS_SUBJECT, "CN=e\\,1"}};
    enum access_identity kind;
    const char *text;
    char spki[KEYRECORD_NAME_LEN + 1];
    size_t at = 0;
    access_edge_from_cert(&who, edge.cert);
    assert_false(who.unusable);
    assert_int_equal(who.count, 5);
    for (size_t i = 0; i < 4; i++) {
        assert_true(access_edge_next(&who, &at, &kind, &text));
        assert_int_equal(kind, wanted[i].kind);
        assert_string_equal(text, wanted[i].text);
    }
    assert_true(access_edge_next(&who, &at, &kind, &text));
    assert_int_equal(kind, ACCESS_SPKI);
    assert_true(keyrecord_name(edge.key, spki));
    assert_string_equal(text, spki);
    assert_false(access_edge_next(&who, &at, &kind, &text));
    uint64_t id = access_edge_id(&who);
    access_edge_from_cert(&who, other_edge.cert);
    assert_int_equal(who.count, 2); // subject and key
    assert_true(access_edge_id(&who) != id);
}

// ---- lists

enum { REVOKED_EDGE = 1, DELTA = 2, INDIRECT = 4, OLD = 8, DER = 16, EARLY = 32 };

static void add_ext(X509_CRL *crl, int nid, void *value)
{
    assert_int_equal(X509_CRL_add1_ext_i2d(crl, nid, value, 1, 0), 1);
}

static void write_crl(const char *file, const struct test_cert *issuer, const struct test_cert *signer,
                      int how)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = X509_gmtime_adj(NULL, (how & EARLY) != 0 ? 7200 : -7200);
    ASN1_TIME *until = X509_gmtime_adj(NULL, (how & OLD) != 0 ? -3600 : 86400);
    assert_int_equal(X509_CRL_set_version(crl, 1), 1);
    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->cert)), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, from), 1);
    assert_int_equal(X509_CRL_set1_nextUpdate(crl, until), 1);
    if ((how & REVOKED_EDGE) != 0) {
        X509_REVOKED *entry = X509_REVOKED_new();
        assert_int_equal(X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(edge.cert)), 1);
        assert_int_equal(X509_REVOKED_set_revocationDate(entry, from), 1);
        assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
    }
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    assert_int_equal(ASN1_INTEGER_set(number, 1), 1);
    if ((how & DELTA) != 0)
        add_ext(crl, NID_delta_crl, number);
    ISSUING_DIST_POINT *point = ISSUING_DIST_POINT_new();
    point->indirectCRL = 0xff;
    if ((how & INDIRECT) != 0)
        add_ext(crl, NID_issuing_distribution_point, point);
    ISSUING_DIST_POINT_free(point);
    ASN1_INTEGER_free(number);
    assert_true(X509_CRL_sign(crl, signer->key, EVP_sha256()) > 0);
    FILE *out = fopen(kit_path(file), "wb");
    assert_non_null(out);
    assert_int_equal((how & DER) != 0 ? i2d_X509_CRL_fp(out, crl) : PEM_write_X509_CRL(out, crl), 1);
    assert_int_equal(fclose(out), 0);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    X509_CRL_free(crl);
}

static struct access_policy *load(const char *text, struct error *e)
{
    char path[600], cas[600];
    FILE *out = fopen(kit_path("policy"), "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
    (void)snprintf(path, sizeof path, "%s", kit_path("policy"));
    (void)snprintf(cas, sizeof cas, "%s", kit_path("ca.pem"));
    e->text[0] = '\0';
    return access_load(path, cas, e);
}

static void a_list_revokes(void **state)
{
    static const int ways[] = {0, DER, OLD, EARLY};
    struct error e;
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        write_crl("list", &ca, &ca, REVOKED_EDGE | ways[i]);
        struct access_policy *policy = load("crl list\n", &e);
        if (policy == NULL)
            fail_msg("%s", e.text);
        assert_int_equal(access_revocation_count(policy), 1);
        assert_true(access_is_revoked(policy, edge.cert, NULL));
        assert_false(access_is_revoked(policy, other_edge.cert, NULL));
        assert_false(access_is_revoked(policy, ca.cert, NULL));
        STACK_OF(X509) *chain = sk_X509_new_null(); // and whoever it has certified
        assert_true(sk_X509_push(chain, edge.cert) > 0);
        assert_true(access_is_revoked(policy, other_edge.cert, chain));
        sk_X509_free(chain);
        access_unref(&policy);
    }
    write_crl("list", &ca, &ca, 0);
    struct access_policy *policy = load("crl list\ncrl list\n", &e);
    assert_non_null(policy);
    assert_false(access_is_revoked(policy, edge.cert, NULL));
    access_unref(&policy);
}

// The same serial number of another authority is another certificate.
static void serial_numbers_are_of_an_authority(void **state)
{
    struct error e;
    (void)state;
    const struct test_cert *chain[] = {&ca, &other_ca};
    test_cert_write(kit_path("ca.pem"), chain, 2);
    write_crl("list", &other_ca, &other_ca, REVOKED_EDGE);
    struct access_policy *policy = load("crl list\n", &e);
    assert_non_null(policy);
    assert_int_equal(access_revocation_count(policy), 1);
    assert_false(access_is_revoked(policy, edge.cert, NULL));
    access_unref(&policy);
    test_cert_write(kit_path("ca.pem"), chain, 1);
}

static void lists_that_are_refused(void **state)
{
    struct error e;
    (void)state;
    static const struct {
        const struct test_cert *issuer, *signer;
        int how;
        const char *error;
    } cases[] = {
        {&other_ca, &other_ca, 0, "expected one signed by an authority of --client-ca"},
        {&ca, &other_ca, 0, "expected one signed by an authority of --client-ca"},
        {&ca, &ca, DELTA, "found a delta or indirect CRL"},
        {&ca, &ca, INDIRECT, "found a delta or indirect CRL"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_crl("list", cases[i].issuer, cases[i].signer, cases[i].how);
        assert_null(load("deny\ncrl list\n", &e));
        if (strstr(e.text, "policy:2: ") == NULL || strstr(e.text, cases[i].error) == NULL)
            fail_msg("case %zu: %s", i, e.text);
    }
    assert_null(load("crl nothing\n", &e));
    assert_non_null(strstr(e.text, "policy:1: "));
    assert_null(load("crl ca.pem\n", &e));
    assert_non_null(strstr(e.text, "found no CRL, expected PEM"));
}

static void a_public_key_is_revoked(void **state)
{
    struct error e;
    char text[200], spki[KEYRECORD_NAME_LEN + 1];
    (void)state;
    assert_true(access_edge_spki(edge.cert, spki));
    (void)snprintf(text, sizeof text,
                   "revoke spki:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzw=\nrevoke spki:%s\n", spki);
    struct access_policy *policy = load(text, &e);
    assert_non_null(policy);
    assert_true(access_is_revoked(policy, edge.cert, NULL));
    assert_false(access_is_revoked(policy, other_edge.cert, NULL));
    access_unref(&policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_certificate_says),
        cmocka_unit_test(a_list_revokes),
        cmocka_unit_test(serial_numbers_are_of_an_authority),
        cmocka_unit_test(lists_that_are_refused),
        cmocka_unit_test(a_public_key_is_revoked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
