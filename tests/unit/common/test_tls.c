// Who gets in and what is agreed on: handshakes between our contexts, and between ours and peers that want something we do not give; names, dates, files.
#include "tlskit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include "test_dir.h"

// The case that must work, in both versions; each side knows the other, and what was agreed on is strong.
static void a_good_client_gets_in(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *server = tlskit_server_ctx(false),
                *client = tlskit_client_ctx(tlskit.client_file, tlskit.client_key);
        assert_int_equal(SSL_CTX_set_max_proto_version(client, version), 1);
        struct tlskit_pair p = tlskit_connect(server, client);
        char name[64];
        assert_string_equal(tls_peer_name(p.server, name, sizeof name), "-");
        assert_false(tls_peer_in_date(p.server));
        assert_true(tls_client_set_host(p.client, "keys.example", NULL));
        assert_true(tlskit_handshake(p));
        assert_int_equal(SSL_version(p.server), version);
        assert_int_equal(SSL_CIPHER_is_aead(SSL_get_current_cipher(p.server)), 1);
        assert_string_equal(tls_peer_name(p.server, name, sizeof name), "edge one");
        assert_string_equal(tls_peer_name(p.client, name, sizeof name), "keys.example");
        assert_string_equal(tls_peer_name(p.server, name, 5), "edge");
        assert_true(tls_peer_in_date(p.server));
        assert_true(tls_peer_in_date(p.client));
        assert_true(tls_ctx_days_left(server) >= 29 && tls_ctx_days_left(server) <= 30);
        tlskit_free(&p);
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

// A client with this certificate is refused, in TLS 1.2 as in 1.3.
static void client_refused(const char *file, const struct test_cert_spec *spec)
{
    char cert[512], key[512];
    tlskit_issue_and_forget(file, spec, cert, key);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *server = tlskit_server_ctx(false), *client = tlskit_client_ctx(cert, key);
        assert_int_equal(SSL_CTX_set_max_proto_version(client, version), 1);
        assert_false(tlskit_accepted(server, client));
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

static void bad_clients_stay_out(void **state)
{
    (void)state;
    client_refused("foreign", &(struct test_cert_spec){
                                  .name = "edge", .purpose = TEST_CERT_CLIENT, .issuer = &tlskit.other_root});
    client_refused("expired", &(struct test_cert_spec){.name = "edge",
                                                       .purpose = TEST_CERT_CLIENT,
                                                       .issuer = &tlskit.root,
                                                       .from_days = -9,
                                                       .until_days = -1});
    client_refused("early", &(struct test_cert_spec){.name = "edge",
                                                     .purpose = TEST_CERT_CLIENT,
                                                     .issuer = &tlskit.root,
                                                     .from_days = 1,
                                                     .until_days = 9});
    client_refused("purpose", &(struct test_cert_spec){
                                  .name = "edge", .purpose = TEST_CERT_SERVER, .issuer = &tlskit.root});
    client_refused("selfsigned", &(struct test_cert_spec){.name = "edge", .purpose = TEST_CERT_CLIENT});
}

static void a_client_without_certificate_stays_out(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *server = tlskit_server_ctx(false), *client = SSL_CTX_new(TLS_client_method());
        assert_int_equal(SSL_CTX_set_max_proto_version(client, version), 1);
        assert_false(tlskit_accepted(server, client));
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

// A server that knows its clients by other means, too: none is asked for a certificate, or one that is shown must be good.
static void certificates_can_be_optional(void **state)
{
    const struct tls_files files = {
        .cert_file = tlskit.server_file, .key_file = tlskit.server_key, .ca_file = tlskit.ca_file};
    const struct tls_files no_ca = {.cert_file = tlskit.server_file, .key_file = tlskit.server_key};
    struct error e;
    (void)state;
    for (enum tls_clients clients = TLS_CLIENTS_NONE; clients <= TLS_CLIENTS_OPTIONAL; clients++) {
        SSL_CTX *server =
            tls_server_ctx_create_for(clients == TLS_CLIENTS_NONE ? &no_ca : &files, clients, &e);
        SSL_CTX *stranger = SSL_CTX_new(TLS_client_method()),
                *good = tlskit_client_ctx(tlskit.client_file, tlskit.client_key);
        SSL_CTX *bad =
            tlskit_client_ctx(tlskit.server_file, tlskit.server_key); // a certificate for another purpose
        assert_non_null(server);
        assert_true(tlskit_accepted(server, stranger));
        assert_true(tlskit_accepted(server, good));
        assert_int_equal(tlskit_accepted(server, bad), clients == TLS_CLIENTS_NONE);
        SSL_CTX_free(bad);
        SSL_CTX_free(good);
        SSL_CTX_free(stranger);
        SSL_CTX_free(server);
    }
    assert_null(tls_server_ctx_create_for(&no_ca, TLS_CLIENTS_OPTIONAL, &e));
    const struct tls_files only_ca = {.ca_file = tlskit.ca_file};
    assert_null(tls_server_ctx_create_for(&only_ca, TLS_CLIENTS_REQUIRED, &e)); // a client's
    SSL_CTX *anonymous = tls_client_ctx_create(&only_ca, &e),
            *known = tls_server_ctx_create_for(&no_ca, TLS_CLIENTS_NONE, &e),
            *strict = tls_server_ctx_create(&files, &e);
    assert_non_null(anonymous);
    assert_true(tlskit_accepted(known, anonymous));
    assert_false(tlskit_accepted(strict, anonymous));
    SSL_CTX_free(anonymous);
    SSL_CTX_free(known);
    SSL_CTX_free(strict);
    assert_null(tls_server_ctx_create(&no_ca, &e));
    assert_non_null(strstr(e.text, "CAs"));
}

// Versions before 1.2, suites without AEAD or forward secrecy, and groups that we do not list.
static void weak_parameters_are_refused(void **state)
{
    (void)state;
    static const struct {
        int version;
        const char *ciphers;
        const char *groups;
        bool good;
    } cases[] = {
        {TLS1_VERSION, "ALL:@SECLEVEL=0", "P-256", false},
        {TLS1_1_VERSION, "ALL:@SECLEVEL=0", "P-256", false},
        {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0", "P-256", false},
        {TLS1_2_VERSION, "AES128-GCM-SHA256:AES256-GCM-SHA384:@SECLEVEL=0", "P-256", false},
        {TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-CCM:@SECLEVEL=0", "P-256", false},
        {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", "P-521", false},
        {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", "P-256", true},
        {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", "P-256:X25519", true},
        {TLS1_3_VERSION, "ALL", "P-521", false},
        {TLS1_3_VERSION, "ALL", "P-384:P-256", true},
    };
    SSL_CTX *server = tlskit_server_ctx(false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        SSL_CTX *client = tlskit_plain_client(cases[i].version);
        assert_int_equal(SSL_CTX_set_cipher_list(client, cases[i].ciphers), 1);
        assert_int_equal(SSL_CTX_set1_groups_list(client, cases[i].groups), 1);
        assert_int_equal(tlskit_accepted(server, client), cases[i].good);
        SSL_CTX_free(client);
    }
    SSL_CTX_free(server);
}

static int chain_length(bool leaf_only, int version)
{
    SSL_CTX *server = tlskit_server_ctx(leaf_only), *client = tlskit_plain_client(version);
    struct tlskit_pair p = tlskit_connect(server, client);
    assert_true(tlskit_handshake(p));
    int sent = sk_X509_num(SSL_get_peer_cert_chain(p.client));
    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(p.client);
    assert_int_equal(sk_X509_NAME_num(names), 1); // clients are told whose certificates are wanted
    assert_int_equal(X509_NAME_cmp(sk_X509_NAME_value(names, 0), X509_get_subject_name(tlskit.root.cert)), 0);
    tlskit_free(&p);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return sent;
}

// The file holds leaf, intermediate and root: the root is never sent, and with leaf_only nothing but the leaf
// is.
static void the_chain_is_what_was_asked_for(void **state)
{
    (void)state;
    assert_int_equal(chain_length(true, TLS1_2_VERSION), 1);
    assert_int_equal(chain_length(true, TLS1_3_VERSION), 1);
    assert_int_equal(chain_length(false, TLS1_2_VERSION), 2);
    assert_int_equal(chain_length(false, TLS1_3_VERSION), 2);
}

static void expired_today_is_negative(void **state)
{
    (void)state;
    char cert[512], key[512];
    tlskit_issue_and_forget("today",
                            &(struct test_cert_spec){.name = "s",
                                                     .purpose = TEST_CERT_SERVER,
                                                     .issuer = &tlskit.root,
                                                     .from_days = -1,
                                                     .until_days = 0},
                            cert, key);
    const struct tls_files files = {cert, key, tlskit.ca_file, false};
    SSL_CTX *ctx = tls_server_ctx_create(&files, NULL);
    assert_non_null(ctx);
    (void)sleep(1);
    assert_int_equal(tls_ctx_days_left(ctx), -1);
    SSL_CTX_free(ctx);
    ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(tls_ctx_days_left(ctx), 0);
    SSL_CTX_free(ctx);
}

// Which name of a certificate is shown, and that bytes from outside cannot break a log line.
static void peer_names_are_chosen_and_cleaned(void **state)
{
    (void)state;
    static const struct {
        const char *cn, *alt, *shown;
    } cases[] = {
        {"cn", "DNS:edge1.example", "edge1.example"},
        {"cn", "IP:10.0.0.1,URI:spiffe://mec/edge1,DNS:edge1.example", "spiffe://mec/edge1"},
        {"cn", "DNS:edge1.example,URI:spiffe://mec/edge1", "edge1.example"},
        {"cn", "IP:10.0.0.1", "cn"},
        {"cn", NULL, "cn"},
        {"a\nb\x1b[1m", NULL, "a?b?[1m"},
        {"M\xc3\xbcnchen", NULL, "M??nchen"},
        {"cn", "URI:x\x01y", "x?y"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char cert[512], key[512], name[64];
        tlskit_issue_and_forget("named",
                                &(struct test_cert_spec){.name = cases[i].cn,
                                                         .alt_names = cases[i].alt,
                                                         .purpose = TEST_CERT_CLIENT,
                                                         .issuer = &tlskit.root},
                                cert, key);
        SSL_CTX *server = tlskit_server_ctx(false), *client = tlskit_client_ctx(cert, key);
        struct tlskit_pair p = tlskit_connect(server, client);
        assert_true(tlskit_handshake(p));
        assert_string_equal(tls_peer_name(p.server, name, sizeof name), cases[i].shown);
        tlskit_free(&p);
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

// Both constructors refuse, and the text has the file and the reason.
static void files_refused(const char *cert, const char *key, const char *ca, const char *expected)
{
    const struct tls_files files = {cert, key, ca, false};
    struct error e = {{0}};
    assert_null(tls_server_ctx_create(&files, &e));
    if (strstr(e.text, expected) == NULL)
        assert_string_equal(e.text, expected);
    assert_null(tls_client_ctx_create(&files, &e));
    assert_non_null(strstr(e.text, expected));
    assert_null(tls_server_ctx_create(&files, NULL));
    assert_int_equal(ERR_peek_error(), 0); // the queue is left empty
}

static void bad_files_are_named(void **state)
{
    (void)state;
    char text[600];
    files_refused("/nonexistent.pem", tlskit.server_key, tlskit.ca_file,
                  "/nonexistent.pem: open: No such file or directory");
    files_refused(tlskit.server_file, "/nonexistent.key", tlskit.ca_file,
                  "/nonexistent.key: open: No such file or directory");
    files_refused(tlskit.server_file, tlskit.server_key, "/nonexistent-ca.pem",
                  "/nonexistent-ca.pem: open: No such file or directory");
    const char *empty = test_dir_write("empty.pem", "");
    (void)snprintf(text, sizeof text, "%s: found no certificate, expected PEM", empty);
    files_refused(empty, tlskit.server_key, tlskit.ca_file, text);
    files_refused(tlskit.server_key, tlskit.server_key, tlskit.ca_file,
                  ": found no certificate, expected PEM");
    files_refused(tlskit.server_file, tlskit.server_key, empty, text);
    files_refused(tlskit.server_file, empty, tlskit.ca_file, "empty.pem: expected a file of 1 to");
    files_refused(tlskit.server_file, tlskit.client_key, tlskit.ca_file,
                  "client.key: expected the key of the certificate in");
    files_refused(tlskit.server_file, tlskit.server_file, tlskit.ca_file,
                  "server.pem: expected a PEM private key without a passphrase");
    files_refused(tlskit.server_file, tlskit.server_key, tlskit.client_file,
                  "client.pem: certificate 1 is not a CA's");
    const char *damaged =
        test_dir_write("damaged.pem", "-----BEGIN CERTIFICATE-----\nMIIB!!!!\n-----END CERTIFICATE-----\n");
    files_refused(damaged, tlskit.server_key, tlskit.ca_file, "damaged.pem: certificate 1: ");
    const char *cut = test_dir_write("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    files_refused(cut, tlskit.server_key, tlskit.ca_file, "cut.pem: certificate 1: ");

    const char *locked = test_dir_path("locked.key");
    struct test_cert leaf = test_cert_create(
        &(struct test_cert_spec){.name = "x", .purpose = TEST_CERT_SERVER, .issuer = &tlskit.root});
    test_key_write(locked, &leaf, "secret words");
    test_cert_destroy(&leaf);
    files_refused(tlskit.server_file, locked, tlskit.ca_file,
                  "locked.key: expected a PEM private key without a passphrase");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_client_gets_in),
        cmocka_unit_test(bad_clients_stay_out),
        cmocka_unit_test(a_client_without_certificate_stays_out),
        cmocka_unit_test(certificates_can_be_optional),
        cmocka_unit_test(weak_parameters_are_refused),
        cmocka_unit_test(the_chain_is_what_was_asked_for),
        cmocka_unit_test(expired_today_is_negative),
        cmocka_unit_test(peer_names_are_chosen_and_cleaned),
        cmocka_unit_test(bad_files_are_named),
    };
    return cmocka_run_group_tests_name("tls", tests, tlskit_set_up, tlskit_tear_down);
}
