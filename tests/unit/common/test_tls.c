// Handshakes in memory between our contexts, and between ours and peers that want something we do not give.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/tls.h"
#include "test_dir.h"
#include "test_pki.h"

static struct test_cert root, intermediate, other_root;
static char ca_file[512], server_file[512], server_key[512], client_file[512], client_key[512];

// A leaf of the given issuer in NAME.pem and NAME.key; the chain file holds the issuer as well when it is no
// root.
static struct test_cert issue(const char *file, const struct test_cert_spec *spec, char cert_path[512],
                              char key_path[512])
{
    char name[64];
    struct test_cert leaf = test_cert_create(spec);
    const struct test_cert *const chain[] = {&leaf, &intermediate, &root};
    (void)snprintf(name, sizeof name, "%s.pem", file);
    (void)snprintf(cert_path, 512, "%s", test_dir_path(name));
    test_cert_write(cert_path, chain, spec->issuer == &intermediate ? 3 : 1);
    (void)snprintf(name, sizeof name, "%s.key", file);
    (void)snprintf(key_path, 512, "%s", test_dir_path(name));
    test_key_write(key_path, &leaf, NULL);
    return leaf;
}

static void issue_and_forget(const char *file, const struct test_cert_spec *spec, char cert_path[512],
                             char key_path[512])
{
    struct test_cert leaf = issue(file, spec, cert_path, key_path);
    test_cert_destroy(&leaf);
}

static int set_up(void **state)
{
    (void)state;
    (void)test_dir_create();
    root = test_cert_create(&(struct test_cert_spec){.name = "Root", .purpose = TEST_CERT_CA});
    other_root = test_cert_create(&(struct test_cert_spec){.name = "Other root", .purpose = TEST_CERT_CA});
    intermediate = test_cert_create(
        &(struct test_cert_spec){.name = "Intermediate", .purpose = TEST_CERT_CA, .issuer = &root});
    const struct test_cert *const roots[] = {&root};
    (void)snprintf(ca_file, sizeof ca_file, "%s", test_dir_path("ca.pem"));
    test_cert_write(ca_file, roots, 1);
    issue_and_forget("server",
                     &(struct test_cert_spec){.name = "server",
                                              .alt_names = "DNS:keys.example,IP:127.0.0.1,IP:::1",
                                              .purpose = TEST_CERT_SERVER,
                                              .issuer = &intermediate},
                     server_file, server_key);
    issue_and_forget(
        "client", &(struct test_cert_spec){.name = "edge one", .purpose = TEST_CERT_CLIENT, .issuer = &root},
        client_file, client_key);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_cert_destroy(&root);
    test_cert_destroy(&intermediate);
    test_cert_destroy(&other_root);
    test_dir_remove();
    return 0;
}

static SSL_CTX *server_ctx(bool leaf_only)
{
    const struct tls_files files = {server_file, server_key, ca_file, leaf_only};
    struct error e = {{0}};
    SSL_CTX *ctx = tls_server_ctx_create(&files, &e);
    assert_string_equal(e.text, "");
    assert_non_null(ctx);
    return ctx;
}

static SSL_CTX *client_ctx(const char *cert, const char *key)
{
    const struct tls_files files = {cert, key, ca_file, false};
    struct error e = {{0}};
    SSL_CTX *ctx = tls_client_ctx_create(&files, &e);
    assert_string_equal(e.text, "");
    assert_non_null(ctx);
    return ctx;
}

struct pair {
    SSL *server, *client;
};

static struct pair connect_pair(SSL_CTX *server, SSL_CTX *client)
{
    struct pair p = {SSL_new(server), SSL_new(client)};
    BIO *a = NULL, *b = NULL;
    assert_true(p.server != NULL && p.client != NULL);
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(p.server, a, a);
    SSL_set_bio(p.client, b, b);
    SSL_set_accept_state(p.server);
    SSL_set_connect_state(p.client);
    return p;
}

// Runs both sides until neither moves. True when both are done; the client then also reads, which is when it
// learns what a TLS 1.3 server thinks of its certificate, and gets its ticket.
static bool handshake(struct pair p)
{
    int server = 0, client = 0;
    for (int i = 0; i < 20; i++) {
        if (client != 1)
            client = SSL_do_handshake(p.client);
        if (server != 1)
            server = SSL_do_handshake(p.server);
    }
    char byte;
    bool alive =
        server == 1 && client == 1 && SSL_write(p.server, "x", 1) == 1 && SSL_read(p.client, &byte, 1) == 1;
    ERR_clear_error();
    return alive;
}

static void free_pair(struct pair *p)
{
    (void)SSL_shutdown(p->client); // else OpenSSL takes the session for broken and forgets it
    (void)SSL_shutdown(p->server);
    SSL_free(p->server);
    SSL_free(p->client);
}

static bool accepted(SSL_CTX *server, SSL_CTX *client)
{
    struct pair p = connect_pair(server, client);
    bool done = handshake(p);
    free_pair(&p);
    return done;
}

// The case that must work, in both versions; each side knows the other, and what was agreed on is strong.
static void a_good_client_gets_in(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *server = server_ctx(false), *client = client_ctx(client_file, client_key);
        assert_int_equal(SSL_CTX_set_max_proto_version(client, version), 1);
        struct pair p = connect_pair(server, client);
        char name[64];
        assert_string_equal(tls_peer_name(p.server, name, sizeof name), "-");
        assert_false(tls_peer_in_date(p.server));
        assert_true(tls_client_set_host(p.client, "keys.example", NULL));
        assert_true(handshake(p));
        assert_int_equal(SSL_version(p.server), version);
        assert_int_equal(SSL_CIPHER_is_aead(SSL_get_current_cipher(p.server)), 1);
        assert_string_equal(tls_peer_name(p.server, name, sizeof name), "edge one");
        assert_string_equal(tls_peer_name(p.client, name, sizeof name), "keys.example");
        assert_string_equal(tls_peer_name(p.server, name, 5), "edge");
        assert_true(tls_peer_in_date(p.server));
        assert_true(tls_peer_in_date(p.client));
        assert_true(tls_ctx_days_left(server) >= 29 && tls_ctx_days_left(server) <= 30);
        free_pair(&p);
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

// A client with this certificate is refused, in TLS 1.2 as in 1.3.
static void client_refused(const char *file, const struct test_cert_spec *spec)
{
    char cert[512], key[512];
    issue_and_forget(file, spec, cert, key);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *server = server_ctx(false), *client = client_ctx(cert, key);
        assert_int_equal(SSL_CTX_set_max_proto_version(client, version), 1);
        assert_false(accepted(server, client));
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

static void bad_clients_stay_out(void **state)
{
    (void)state;
    client_refused("foreign", &(struct test_cert_spec){
                                  .name = "edge", .purpose = TEST_CERT_CLIENT, .issuer = &other_root});
    client_refused(
        "expired",
        &(struct test_cert_spec){
            .name = "edge", .purpose = TEST_CERT_CLIENT, .issuer = &root, .from_days = -9, .until_days = -1});
    client_refused(
        "early",
        &(struct test_cert_spec){
            .name = "edge", .purpose = TEST_CERT_CLIENT, .issuer = &root, .from_days = 1, .until_days = 9});
    client_refused("purpose",
                   &(struct test_cert_spec){.name = "edge", .purpose = TEST_CERT_SERVER, .issuer = &root});
    client_refused("selfsigned", &(struct test_cert_spec){.name = "edge", .purpose = TEST_CERT_CLIENT});
}

// A plain client with what the caller adds; it trusts anybody.
static SSL_CTX *plain_client(int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_use_certificate_file(ctx, client_file, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, client_key, SSL_FILETYPE_PEM), 1);
    return ctx;
}

static void a_client_without_certificate_stays_out(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *server = server_ctx(false), *client = SSL_CTX_new(TLS_client_method());
        assert_int_equal(SSL_CTX_set_max_proto_version(client, version), 1);
        assert_false(accepted(server, client));
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
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
    SSL_CTX *server = server_ctx(false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        SSL_CTX *client = plain_client(cases[i].version);
        assert_int_equal(SSL_CTX_set_cipher_list(client, cases[i].ciphers), 1);
        assert_int_equal(SSL_CTX_set1_groups_list(client, cases[i].groups), 1);
        assert_int_equal(accepted(server, client), cases[i].good);
        SSL_CTX_free(client);
    }
    SSL_CTX_free(server);
}

static int chain_length(bool leaf_only, int version)
{
    SSL_CTX *server = server_ctx(leaf_only), *client = plain_client(version);
    struct pair p = connect_pair(server, client);
    assert_true(handshake(p));
    int sent = sk_X509_num(SSL_get_peer_cert_chain(p.client));
    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(p.client);
    assert_int_equal(sk_X509_NAME_num(names), 1); // clients are told whose certificates are wanted
    assert_int_equal(X509_NAME_cmp(sk_X509_NAME_value(names, 0), X509_get_subject_name(root.cert)), 0);
    free_pair(&p);
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

static SSL_SESSION *last_session;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(last_session);
    last_session = session;
    return 1;
}

static bool resumes(SSL_CTX *server, SSL_CTX *client, SSL_SESSION *session)
{
    struct pair p = connect_pair(server, client);
    if (session != NULL)
        assert_int_equal(SSL_set_session(p.client, session), 1);
    assert_true(handshake(p));
    bool reused = SSL_session_reused(p.server) == 1;
    char name[64];
    assert_string_equal(tls_peer_name(p.server, name, sizeof name), "edge one"); // known from the ticket, too
    assert_true(tls_peer_in_date(p.server));
    free_pair(&p);
    return reused;
}

// A session resumes on the same context; not on a fresh one (after a reload that may have changed the CAs).
static void sessions_resume(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *server = server_ctx(false), *fresh = server_ctx(false),
                *client = client_ctx(client_file, client_key);
        assert_int_equal(SSL_CTX_set_max_proto_version(client, version), 1);
        SSL_CTX_sess_set_new_cb(client, keep_session);
        assert_false(resumes(server, client, NULL));
        assert_non_null(last_session);
        assert_true(resumes(server, client, last_session));
        assert_false(resumes(fresh, client, last_session));
        SSL_SESSION_free(last_session);
        last_session = NULL;
        SSL_CTX_free(server);
        SSL_CTX_free(fresh);
        SSL_CTX_free(client);
    }
}

// Old clients know no tickets: sessions by id, from the server's bounded cache.
static void sessions_resume_without_tickets(void **state)
{
    (void)state;
    SSL_CTX *server = server_ctx(false), *client = client_ctx(client_file, client_key);
    assert_int_equal(SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION), 1);
    (void)SSL_CTX_set_options(client, SSL_OP_NO_TICKET);
    SSL_CTX_sess_set_new_cb(client, keep_session);
    assert_false(resumes(server, client, NULL));
    assert_true(resumes(server, client, last_session));
    assert_true(SSL_CTX_sess_get_cache_size(server) <= 1024);
    SSL_SESSION_free(last_session);
    last_session = NULL;
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

static bool host_accepted(const char *host)
{
    SSL_CTX *server = server_ctx(false), *client = client_ctx(client_file, client_key);
    struct pair p = connect_pair(server, client);
    assert_true(tls_client_set_host(p.client, host, NULL));
    bool done = handshake(p);
    free_pair(&p);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return done;
}

static void the_client_checks_name_and_address(void **state)
{
    (void)state;
    assert_true(host_accepted("keys.example"));
    assert_true(host_accepted("KEYS.example"));
    assert_true(host_accepted("127.0.0.1"));
    assert_true(host_accepted("::1"));
    assert_false(host_accepted("other.example"));
    assert_false(host_accepted("sub.keys.example"));
    assert_false(host_accepted("127.0.0.2"));
    assert_false(host_accepted("server")); // the CN does not count when there are alternative names

    SSL_CTX *client = client_ctx(client_file, client_key);
    SSL *ssl = SSL_new(client);
    struct error e = {{0}};
    assert_false(tls_client_set_host(ssl, "", &e));
    assert_true(e.text[0] != '\0');
    SSL_free(ssl);
    SSL_CTX_free(client);
}

// The client refuses a server of another CA, an expired one, and a client certificate that plays server.
static void the_client_checks_the_server(void **state)
{
    (void)state;
    const struct test_cert_spec specs[] = {
        {.name = "s", .alt_names = "DNS:keys.example", .purpose = TEST_CERT_SERVER, .issuer = &other_root},
        {.name = "s",
         .alt_names = "DNS:keys.example",
         .purpose = TEST_CERT_SERVER,
         .issuer = &root,
         .from_days = -9,
         .until_days = -1},
        {.name = "s", .alt_names = "DNS:keys.example", .purpose = TEST_CERT_CLIENT, .issuer = &root},
    };
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        char cert[512], key[512];
        issue_and_forget("badserver", &specs[i], cert, key);
        const struct tls_files files = {cert, key, ca_file, false};
        SSL_CTX *server = tls_server_ctx_create(&files, NULL), *client = client_ctx(client_file, client_key);
        assert_non_null(server); // also when expired: the caller warns
        if (i == 1)
            assert_true(tls_ctx_days_left(server) <= -1);
        assert_false(accepted(server, client));
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

static void expired_today_is_negative(void **state)
{
    (void)state;
    char cert[512], key[512];
    issue_and_forget(
        "today",
        &(struct test_cert_spec){
            .name = "s", .purpose = TEST_CERT_SERVER, .issuer = &root, .from_days = -1, .until_days = 0},
        cert, key);
    const struct tls_files files = {cert, key, ca_file, false};
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
        issue_and_forget(
            "named",
            &(struct test_cert_spec){
                .name = cases[i].cn, .alt_names = cases[i].alt, .purpose = TEST_CERT_CLIENT, .issuer = &root},
            cert, key);
        SSL_CTX *server = server_ctx(false), *client = client_ctx(cert, key);
        struct pair p = connect_pair(server, client);
        assert_true(handshake(p));
        assert_string_equal(tls_peer_name(p.server, name, sizeof name), cases[i].shown);
        free_pair(&p);
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
    files_refused("/nonexistent.pem", server_key, ca_file,
                  "/nonexistent.pem: open: No such file or directory");
    files_refused(server_file, "/nonexistent.key", ca_file,
                  "/nonexistent.key: open: No such file or directory");
    files_refused(server_file, server_key, "/nonexistent-ca.pem",
                  "/nonexistent-ca.pem: open: No such file or directory");
    const char *empty = test_dir_write("empty.pem", "");
    (void)snprintf(text, sizeof text, "%s: found no certificate, expected PEM", empty);
    files_refused(empty, server_key, ca_file, text);
    files_refused(server_key, server_key, ca_file, ": found no certificate, expected PEM");
    files_refused(server_file, server_key, empty, text);
    files_refused(server_file, empty, ca_file, "empty.pem: expected a file of 1 to");
    files_refused(server_file, client_key, ca_file, "client.key: expected the key of the certificate in");
    files_refused(server_file, server_file, ca_file,
                  "server.pem: expected a PEM private key without a passphrase");
    files_refused(server_file, server_key, client_file, "client.pem: certificate 1 is not a CA's");
    const char *damaged =
        test_dir_write("damaged.pem", "-----BEGIN CERTIFICATE-----\nMIIB!!!!\n-----END CERTIFICATE-----\n");
    files_refused(damaged, server_key, ca_file, "damaged.pem: certificate 1: ");
    const char *cut = test_dir_write("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    files_refused(cut, server_key, ca_file, "cut.pem: certificate 1: ");

    const char *locked = test_dir_path("locked.key");
    struct test_cert leaf =
        test_cert_create(&(struct test_cert_spec){.name = "x", .purpose = TEST_CERT_SERVER, .issuer = &root});
    test_key_write(locked, &leaf, "secret words");
    test_cert_destroy(&leaf);
    files_refused(server_file, locked, ca_file,
                  "locked.key: expected a PEM private key without a passphrase");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_client_gets_in),
        cmocka_unit_test(bad_clients_stay_out),
        cmocka_unit_test(a_client_without_certificate_stays_out),
        cmocka_unit_test(weak_parameters_are_refused),
        cmocka_unit_test(the_chain_is_what_was_asked_for),
        cmocka_unit_test(sessions_resume),
        cmocka_unit_test(sessions_resume_without_tickets),
        cmocka_unit_test(the_client_checks_name_and_address),
        cmocka_unit_test(the_client_checks_the_server),
        cmocka_unit_test(expired_today_is_negative),
        cmocka_unit_test(peer_names_are_chosen_and_cleaned),
        cmocka_unit_test(bad_files_are_named),
    };
    return cmocka_run_group_tests_name("tls", tests, set_up, tear_down);
}
