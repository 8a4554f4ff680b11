// The PKI: what it makes verifies as what it is for, private keys are private, and running it again keeps
// what is there and adds what is missing.
#include "fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "certs/objects.h"
#include "certs/pki.h"
#include "certs/x509make.h"

static char folder[256], out[300], path[700];
static unsigned created, kept;

static int setup(void **state)
{
    (void)state;
    fixture_folder(folder);
    (void)snprintf(out, sizeof out, "%s/pki", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_folder_remove(folder);
    return 0;
}

static const char *at(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", out, name);
    return path;
}

static void tell(void *arg, const char *file, bool was_kept)
{
    (void)arg;
    (void)file;
    (*(was_kept ? &kept : &created))++;
}

static bool make(const char *server, const char *edge, bool force, struct error *e)
{
    char *servers[] = {strdup(server)}, *edges[] = {strdup(edge)};
    const struct pki_options options = {.out = out,
                                        .servers = {servers, server[0] != '\0'},
                                        .edges = {edges, edge[0] != '\0'},
                                        .days = 825,
                                        .force = force};
    created = kept = 0;
    bool ok = pki_make(&options, tell, NULL, e);
    free(servers[0]);
    free(edges[0]);
    return ok;
}

static X509 *cert_of(const char *name)
{
    struct error e = {""};
    X509 *cert = objects_load_cert(at(name), &e);
    if (cert == NULL)
        fail_msg("%s", e.text);
    return cert;
}

static EVP_PKEY *key_of(const char *name)
{
    struct error e = {""};
    EVP_PKEY *key = objects_load_key(at(name), &e);
    if (key == NULL)
        fail_msg("%s", e.text);
    return key;
}

static bool verifies(const char *name, int purpose, const char *host)
{
    X509 *ca = cert_of("ca.pem"), *cert = cert_of(name);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_int_equal(X509_STORE_add_cert(store, ca), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, cert, NULL), 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    assert_int_equal(X509_VERIFY_PARAM_set_purpose(param, purpose), 1);
    if (host != NULL && X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1)
        assert_int_equal(X509_VERIFY_PARAM_set1_host(param, host, 0), 1);
    bool ok = X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(cert);
    X509_free(ca);
    return ok;
}

static void what_is_made_verifies_for_its_purpose(void **state)
{
    (void)state;
    struct error e = {""};
    if (!make("ks.example.org,10.0.0.1,::1", "paris,berlin=spiffe://mec/berlin", false, &e))
        fail_msg("%s", e.text);
    assert_int_equal(created, 2 + 3 + 4);
    assert_true(verifies("server.pem", X509_PURPOSE_SSL_SERVER, "ks.example.org"));
    assert_true(verifies("server.pem", X509_PURPOSE_SSL_SERVER, "10.0.0.1"));
    assert_true(verifies("server.pem", X509_PURPOSE_SSL_SERVER, "::1"));
    assert_false(verifies("server.pem", X509_PURPOSE_SSL_SERVER, "localhost"));
    assert_false(verifies("server.pem", X509_PURPOSE_SSL_CLIENT, NULL));
    assert_true(verifies("edge-paris.pem", X509_PURPOSE_SSL_CLIENT, "paris"));
    assert_false(verifies("edge-paris.pem", X509_PURPOSE_SSL_SERVER, NULL));
    assert_true(verifies("edge-berlin.pem", X509_PURPOSE_SSL_CLIENT, NULL));
    static const char *const bases[] = {"ca", "server", "edge-paris", "edge-berlin"};
    for (size_t i = 0; i < 4; i++) {
        char name[40];
        struct stat st;
        (void)snprintf(name, sizeof name, "%s.pem", bases[i]);
        X509 *cert = cert_of(name);
        (void)snprintf(name, sizeof name, "%s.key", bases[i]);
        EVP_PKEY *key = key_of(name);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(X509_check_private_key(cert, key), 1);
        assert_int_equal(X509_check_ca(cert), i == 0 ? 1 : 0);
        assert_int_equal(ASN1_STRING_length(X509_get0_serialNumber(cert)), 16);
        assert_non_null(X509_get0_subject_key_id(cert));
        assert_true(i == 0 || X509_get0_authority_key_id(cert) != NULL);
        EVP_PKEY_free(key);
        X509_free(cert);
    }
}

static void again_keeps_and_adds(void **state)
{
    (void)state;
    struct error e = {""};
    assert_true(make("ks.example.org", "one", false, &e));
    X509 *ca = cert_of("ca.pem"), *one = cert_of("edge-one.pem");
    if (!make("ks.example.org", "one,two", false, &e))
        fail_msg("%s", e.text);
    assert_int_equal(created, 2);
    assert_int_equal(kept, 6);
    X509 *ca2 = cert_of("ca.pem"), *one2 = cert_of("edge-one.pem");
    assert_int_equal(X509_cmp(ca, ca2), 0);
    assert_int_equal(X509_cmp(one, one2), 0);
    X509_free(one2);
    // With force the edge is made anew, under the same CA.
    assert_true(make("", "one", true, &e));
    one2 = cert_of("edge-one.pem");
    assert_int_not_equal(X509_cmp(one, one2), 0);
    assert_true(verifies("edge-one.pem", X509_PURPOSE_SSL_CLIENT, "one"));
    X509_free(ca);
    X509_free(ca2);
    X509_free(one);
    X509_free(one2);
}

static void expect_failure(const char *server, const char *edge, bool force, const char *part)
{
    struct error e = {""};
    assert_false(make(server, edge, force, &e));
    if (strstr(e.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", e.text, part);
}

static void what_does_not_fit_is_an_error(void **state)
{
    (void)state;
    struct error e = {""};
    struct stat before, after;
    assert_true(make("ks.example.org", "one", false, &e));
    assert_int_equal(stat(at("server.key"), &before), 0);
    expect_failure("other.example.org", "", false, "has other names (--force replaces it)");
    assert_int_equal(stat(at("server.key"), &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_true(make("other.example.org", "", true, &e));
    assert_int_equal(unlink(at("edge-one.pem")), 0);
    expect_failure("", "one", false, "without");
    // A certificate of another CA.
    fixture_write_key_pem(at("edge-two.key"), fixture_ec("P-256", 0), NULL);
    X509 *foreign = fixture_cert(fixture_ec("P-256", 0), NULL, "two", "DNS:two", 30);
    fixture_write_cert_pem(at("edge-two.pem"), foreign);
    expect_failure("", "two", false, "is not signed by this CA");
    // A key that is not the certificate's.
    fixture_write_key_pem(at("edge-two.key"), fixture_ec("P-256", 1), NULL);
    expect_failure("", "two", false, "does not belong to its key");
    // The CA is never replaced, not even by force.
    fixture_write_key_pem(at("ca.key"), fixture_ec("P-256", 1), NULL);
    expect_failure("", "three", true, "not the certificate's");
    assert_int_equal(unlink(at("ca.key")), 0);
    expect_failure("", "three", true, "a CA is never replaced");
    fixture_write_cert_pem(at("ca.pem"), foreign);
    fixture_write_key_pem(at("ca.key"), fixture_ec("P-256", 0), NULL);
    X509_free(foreign);
}

static void bad_names_make_nothing(void **state)
{
    (void)state;
    static const char *const servers[] = {
        "a b", "-x.org", "x..org", "host:8443", "a/b", "ex\xc3\xa4mple.org", "x.org."};
    static const char *const edges[] = {"../x", "a/b",      ".hidden", "-x",         "a b",
                                        "x=",   "x=no uri", "a_b",     "=spiffe://x"};
    struct stat st;
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++)
        expect_failure(servers[i], "", false, "no name for a certificate");
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        expect_failure("", edges[i], false, "--edge");
    expect_failure("ks.example.org", "fine,not/fine", false, "--edge");
    assert_int_not_equal(stat(out, &st), 0);
}

static void names_cannot_smuggle(void **state)
{
    (void)state;
    struct error e = {""};
    GENERAL_NAMES *names = NULL;
    assert_false(x509make_add_name(&names, "a.org,DNS:b.org", &e));
    assert_false(x509make_add_name(&names, "a.org\nDNS:b.org", &e));
    assert_false(x509make_add_name(&names, "", &e));
    assert_null(names);
    assert_true(x509make_add_name(&names, "*.example.org", &e));
    assert_true(x509make_add_name(&names, "urn:mec:edge:7", &e));
    assert_true(x509make_add_name(&names, "https://edge.example.org/a?b=c", &e));
    assert_int_equal(sk_GENERAL_NAME_num(names), 3);
    GENERAL_NAMES_free(names);
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
        cmocka_unit_test_setup_teardown(what_is_made_verifies_for_its_purpose, setup, teardown),
        cmocka_unit_test_setup_teardown(again_keeps_and_adds, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_names_make_nothing, setup, teardown),
        cmocka_unit_test(names_cannot_smuggle),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
