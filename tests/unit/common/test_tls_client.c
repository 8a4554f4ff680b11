// Our client: the name, address and certificate that it wants of a server, and sessions that it resumes.
#include "tlskit.h"

#include "test_dir.h"

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
    struct tlskit_pair p = tlskit_connect(server, client);
    if (session != NULL)
        assert_int_equal(SSL_set_session(p.client, session), 1);
    assert_true(tlskit_handshake(p));
    bool reused = SSL_session_reused(p.server) == 1;
    char name[64];
    assert_string_equal(tls_peer_name(p.server, name, sizeof name), "edge one"); // known from the ticket, too
    assert_true(tls_peer_in_date(p.server));
    tlskit_free(&p);
    return reused;
}

// A session resumes on the same context; not on a fresh one (after a reload that may have changed the CAs).
static void sessions_resume(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *server = tlskit_server_ctx(false), *fresh = tlskit_server_ctx(false),
                *client = tlskit_client_ctx(tlskit.client_file, tlskit.client_key);
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
    SSL_CTX *server = tlskit_server_ctx(false),
            *client = tlskit_client_ctx(tlskit.client_file, tlskit.client_key);
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

static void share_ticket_keys(SSL_CTX *from, SSL_CTX *to)
{
    unsigned char keys[256];
    long len = SSL_CTX_set_tlsext_ticket_keys(from, NULL, 0);
    assert_true(len > 0 && (size_t)len <= sizeof keys);
    assert_int_equal(SSL_CTX_get_tlsext_ticket_keys(from, keys, len), 1);
    assert_int_equal(SSL_CTX_set_tlsext_ticket_keys(to, keys, len), 1);
}

// A session of a server that asks for no certificate does not get past one that requires it, should both even have the
// same ticket keys.
static void sessions_without_certificates_stay_out(void **state)
{
    struct error e;
    const struct tls_files files = {.cert_file = tlskit.server_file, .key_file = tlskit.server_key};
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *open = tls_server_ctx_create_for(&files, TLS_CLIENTS_NONE, &e),
                *strict = tlskit_server_ctx(false), *client = tlskit_client_ctx(NULL, NULL);
        assert_non_null(open);
        share_ticket_keys(open, strict);
        assert_int_equal(SSL_CTX_set_max_proto_version(client, version), 1);
        SSL_CTX_sess_set_new_cb(client, keep_session);
        assert_true(tlskit_accepted(open, client));
        assert_non_null(last_session);
        for (int i = 0; i < 2; i++) { // where it is from it resumes
            struct tlskit_pair p = tlskit_connect(i == 0 ? strict : open, client);
            assert_int_equal(SSL_set_session(p.client, last_session), 1);
            assert_int_equal(tlskit_handshake(p), i == 1);
            assert_int_equal(SSL_session_reused(p.server), i == 1);
            tlskit_free(&p);
        }
        SSL_SESSION_free(last_session);
        last_session = NULL;
        SSL_CTX_free(open);
        SSL_CTX_free(strict);
        SSL_CTX_free(client);
    }
}

static bool host_accepted(const char *host)
{
    SSL_CTX *server = tlskit_server_ctx(false),
            *client = tlskit_client_ctx(tlskit.client_file, tlskit.client_key);
    struct tlskit_pair p = tlskit_connect(server, client);
    assert_true(tls_client_set_host(p.client, host, NULL));
    bool done = tlskit_handshake(p);
    tlskit_free(&p);
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

    SSL_CTX *client = tlskit_client_ctx(tlskit.client_file, tlskit.client_key);
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
        {.name = "s",
         .alt_names = "DNS:keys.example",
         .purpose = TEST_CERT_SERVER,
         .issuer = &tlskit.other_root},
        {.name = "s",
         .alt_names = "DNS:keys.example",
         .purpose = TEST_CERT_SERVER,
         .issuer = &tlskit.root,
         .from_days = -9,
         .until_days = -1},
        {.name = "s", .alt_names = "DNS:keys.example", .purpose = TEST_CERT_CLIENT, .issuer = &tlskit.root},
    };
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        char cert[512], key[512];
        tlskit_issue_and_forget("badserver", &specs[i], cert, key);
        const struct tls_files files = {cert, key, tlskit.ca_file, false};
        SSL_CTX *server = tls_server_ctx_create(&files, NULL),
                *client = tlskit_client_ctx(tlskit.client_file, tlskit.client_key);
        assert_non_null(server); // also when expired: the caller warns
        if (i == 1)
            assert_true(tls_ctx_days_left(server) <= -1);
        assert_false(tlskit_accepted(server, client));
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_resume),
        cmocka_unit_test(sessions_resume_without_tickets),
        cmocka_unit_test(sessions_without_certificates_stay_out),
        cmocka_unit_test(the_client_checks_name_and_address),
        cmocka_unit_test(the_client_checks_the_server),
    };
    return cmocka_run_group_tests_name("tls_client", tests, tlskit_set_up, tlskit_tear_down);
}
