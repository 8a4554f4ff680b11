#include "tlskit.h"

#include <stdio.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "test_dir.h"

struct tlskit tlskit;

// A leaf of the given issuer in NAME.pem and NAME.key; the chain file holds the issuer as well when it is no
// root.
struct test_cert tlskit_issue(const char *file, const struct test_cert_spec *spec, char cert_path[512],
                              char key_path[512])
{
    char name[64];
    struct test_cert leaf = test_cert_create(spec);
    const struct test_cert *const chain[] = {&leaf, &tlskit.intermediate, &tlskit.root};
    (void)snprintf(name, sizeof name, "%s.pem", file);
    (void)snprintf(cert_path, 512, "%s", test_dir_path(name));
    test_cert_write(cert_path, chain, spec->issuer == &tlskit.intermediate ? 3 : 1);
    (void)snprintf(name, sizeof name, "%s.key", file);
    (void)snprintf(key_path, 512, "%s", test_dir_path(name));
    test_key_write(key_path, &leaf, NULL);
    return leaf;
}

void tlskit_issue_and_forget(const char *file, const struct test_cert_spec *spec, char cert_path[512],
                             char key_path[512])
{
    struct test_cert leaf = tlskit_issue(file, spec, cert_path, key_path);
    test_cert_destroy(&leaf);
}

int tlskit_set_up(void **state)
{
    (void)state;
    (void)test_dir_create();
    tlskit.root = test_cert_create(&(struct test_cert_spec){.name = "Root", .purpose = TEST_CERT_CA});
    tlskit.other_root =
        test_cert_create(&(struct test_cert_spec){.name = "Other root", .purpose = TEST_CERT_CA});
    tlskit.intermediate = test_cert_create(
        &(struct test_cert_spec){.name = "Intermediate", .purpose = TEST_CERT_CA, .issuer = &tlskit.root});
    const struct test_cert *const roots[] = {&tlskit.root};
    (void)snprintf(tlskit.ca_file, sizeof tlskit.ca_file, "%s", test_dir_path("ca.pem"));
    test_cert_write(tlskit.ca_file, roots, 1);
    tlskit_issue_and_forget("server",
                            &(struct test_cert_spec){.name = "server",
                                                     .alt_names = "DNS:keys.example,IP:127.0.0.1,IP:::1",
                                                     .purpose = TEST_CERT_SERVER,
                                                     .issuer = &tlskit.intermediate},
                            tlskit.server_file, tlskit.server_key);
    tlskit_issue_and_forget(
        "client",
        &(struct test_cert_spec){.name = "edge one", .purpose = TEST_CERT_CLIENT, .issuer = &tlskit.root},
        tlskit.client_file, tlskit.client_key);
    return 0;
}

int tlskit_tear_down(void **state)
{
    (void)state;
    test_cert_destroy(&tlskit.root);
    test_cert_destroy(&tlskit.intermediate);
    test_cert_destroy(&tlskit.other_root);
    test_dir_remove();
    return 0;
}

SSL_CTX *tlskit_server_ctx(bool leaf_only)
{
    const struct tls_files files = {tlskit.server_file, tlskit.server_key, tlskit.ca_file, leaf_only};
    struct error e = {{0}};
    SSL_CTX *ctx = tls_server_ctx_create(&files, &e);
    assert_string_equal(e.text, "");
    assert_non_null(ctx);
    return ctx;
}

SSL_CTX *tlskit_client_ctx(const char *cert, const char *key)
{
    const struct tls_files files = {cert, key, tlskit.ca_file, false};
    struct error e = {{0}};
    SSL_CTX *ctx = tls_client_ctx_create(&files, &e);
    assert_string_equal(e.text, "");
    assert_non_null(ctx);
    return ctx;
}

struct tlskit_pair tlskit_connect(SSL_CTX *server, SSL_CTX *client)
{
    struct tlskit_pair p = {SSL_new(server), SSL_new(client)};
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
bool tlskit_handshake(struct tlskit_pair p)
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

void tlskit_free(struct tlskit_pair *p)
{
    (void)SSL_shutdown(p->client); // else OpenSSL takes the session for broken and forgets it
    (void)SSL_shutdown(p->server);
    SSL_free(p->server);
    SSL_free(p->client);
}

bool tlskit_accepted(SSL_CTX *server, SSL_CTX *client)
{
    struct tlskit_pair p = tlskit_connect(server, client);
    bool done = tlskit_handshake(p);
    tlskit_free(&p);
    return done;
}

// A plain client with what the caller adds; it trusts anybody.
SSL_CTX *tlskit_plain_client(int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_use_certificate_file(ctx, tlskit.client_file, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, tlskit.client_key, SSL_FILETYPE_PEM), 1);
    return ctx;
}
