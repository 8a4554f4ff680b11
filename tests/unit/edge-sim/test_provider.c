// The provider under real libssl: whole TLS handshakes in memory between a server that holds only site
// certificates and a stock client, with a key server that has the keys at the other end of a transport
// without sockets.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <poll.h>

#include "edge-sim/provider.h"
#include "testkit.h"

static struct {
    EVP_PKEY *ca_key, *rsa, *ec, *ec384;
    X509 *ca, *rsa_cert, *ec_cert, *ec384_cert;
    struct kit_keyserver keyserver;
    struct kit_transport direct, late;
} kit;

static int make_keys(void **state)
{
    (void)state;
    kit.ca_key = kit_ec_key("P-256");
    kit.ca = kit_cert(kit.ca_key, "CA", NULL, NULL, NULL);
    kit.rsa = kit_rsa_key(2048);
    kit.ec = kit_ec_key("P-256");
    kit.ec384 = kit_ec_key("P-384");
    kit.rsa_cert = kit_cert(kit.rsa, "rsa", "DNS:rsa.example", kit.ca, kit.ca_key);
    kit.ec_cert = kit_cert(kit.ec, "ec", "DNS:ec.example", kit.ca, kit.ca_key);
    kit.ec384_cert = kit_cert(kit.ec384, "ec384", "DNS:ec384.example", kit.ca, kit.ca_key);
    kit_keyserver_add(&kit.keyserver, kit.rsa_cert, kit.rsa);
    kit_keyserver_add(&kit.keyserver, kit.ec_cert, kit.ec);
    kit_keyserver_add(&kit.keyserver, kit.ec384_cert, kit.ec384);
    kit_transport_init(&kit.direct, &kit.keyserver, 0);
    kit_transport_init(&kit.late, &kit.keyserver, 5);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    for (unsigned i = 0; i < kit.keyserver.count; i++)
        EVP_PKEY_free(kit.keyserver.keys[i]);
    EVP_PKEY_free(kit.ca_key);
    X509_free(kit.ca);
    EVP_PKEY_free(kit.rsa);
    EVP_PKEY_free(kit.ec);
    EVP_PKEY_free(kit.ec384);
    X509_free(kit.rsa_cert);
    X509_free(kit.ec_cert);
    X509_free(kit.ec384_cert);
    return 0;
}

static int no_fault(void **state)
{
    (void)state;
    kit.keyserver.fault = KIT_NO_FAULT;
    kit.keyserver.asked = 0;
    ERR_clear_error();
    return 0;
}

// An edge with one certificate, a client, and the bytes between them.
struct session {
    OSSL_LIB_CTX *libctx;
    struct ski_provider *provider;
    SSL_CTX *server_ctx, *client_ctx;
    SSL *server, *client;
    bool async;
    unsigned pauses;
};

static void session_open(struct session *s, struct kit_transport *transport, X509 *cert, int version,
                         const char *suite, const char *sigalgs)
{
    struct error e = {{0}};
    s->libctx = OSSL_LIB_CTX_new();
    s->provider = ski_provider_load(s->libctx, &transport->transport, 0, &e);
    assert_non_null(s->provider);
    s->server_ctx = SSL_CTX_new_ex(s->libctx, NULL, TLS_server_method());
    EVP_PKEY *key = ski_provider_key(s->provider, cert, &e);
    assert_non_null(key);
    // This compares the key with the certificate's, which belongs to the default provider.
    assert_int_equal(SSL_CTX_use_certificate(s->server_ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(s->server_ctx, key), 1);
    assert_int_equal(SSL_CTX_check_private_key(s->server_ctx), 1);
    EVP_PKEY_free(key);
    SSL_CTX_set_min_proto_version(s->server_ctx, TLS1_2_VERSION);

    s->client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(s->client_ctx, version);
    SSL_CTX_set_max_proto_version(s->client_ctx, version);
    if (suite != NULL)
        assert_int_equal(SSL_CTX_set_cipher_list(s->client_ctx, suite), 1);
    if (sigalgs != NULL)
        assert_int_equal(SSL_CTX_set1_sigalgs_list(s->client_ctx, sigalgs), 1);

    BIO *a, *b;
    assert_int_equal(BIO_new_bio_pair(&a, 65536, &b, 65536), 1);
    s->server = SSL_new(s->server_ctx);
    s->client = SSL_new(s->client_ctx);
    SSL_set_bio(s->server, a, a);
    SSL_set_bio(s->client, b, b);
    SSL_set_accept_state(s->server);
    SSL_set_connect_state(s->client);
    if (s->async)
        SSL_set_mode(s->server, SSL_MODE_ASYNC);
}

static void session_close(struct session *s)
{
    SSL_free(s->server);
    SSL_free(s->client);
    SSL_CTX_free(s->server_ctx);
    SSL_CTX_free(s->client_ctx);
    ski_provider_unload(&s->provider);
    OSSL_LIB_CTX_free(s->libctx);
}

// Waits for the paused job's descriptor, as an event loop would. An answer that was held may come now.
static void wait_for_job(struct session *s)
{
    kit.late.held = false;
    OSSL_ASYNC_FD fds[4];
    size_t n = 0;
    assert_int_equal(SSL_get_all_async_fds(s->server, NULL, &n), 1);
    assert_int_equal(n, 1);
    assert_int_equal(SSL_get_all_async_fds(s->server, fds, &n), 1);
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 120000), 1);
    s->pauses++;
}

// True when both sides finished; false when either failed.
static bool shake(struct session *s)
{
    for (unsigned i = 0; i < 50; i++) {
        int c = SSL_do_handshake(s->client);
        int ce = c == 1 ? 0 : SSL_get_error(s->client, c);
        int v = SSL_do_handshake(s->server);
        int ve = v == 1 ? 0 : SSL_get_error(s->server, v);
        if (c == 1 && v == 1)
            return true;
        if (ve == SSL_ERROR_WANT_ASYNC)
            wait_for_job(s);
        else if ((ce != 0 && ce != SSL_ERROR_WANT_READ) || (ve != 0 && ve != SSL_ERROR_WANT_READ))
            return false;
    }
    return false;
}

struct handshake {
    const char *name;
    X509 **cert;
    int version;
    const char *suite, *sigalgs;
    const char *protocol, *hash, *scheme, *client_version; // what the key server must have been told
};

static const struct handshake handshakes[] = {
    {"RSA key exchange", &kit.rsa_cert, TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, "TLS 1.2", "", "",
     "TLS 1.2"},
    {"RSA key exchange, SHA-384 suite", &kit.rsa_cert, TLS1_2_VERSION, "AES256-GCM-SHA384", NULL, "TLS 1.2",
     "", "", "TLS 1.2"},
    {"ECDHE-RSA, PKCS#1", &kit.rsa_cert, TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "RSA+SHA256",
     "TLS 1.2", "SHA-256", "", ""},
    {"ECDHE-RSA, PKCS#1, SHA-512", &kit.rsa_cert, TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "RSA+SHA512",
     "TLS 1.2", "SHA-512", "", ""},
    {"ECDHE-RSA, PSS", &kit.rsa_cert, TLS1_2_VERSION, "ECDHE-RSA-AES256-GCM-SHA384",
     "rsa_pss_rsae_sha256:RSA+SHA256", "TLS 1.2", "", "rsa_pss_rsae_sha256", ""},
    {"ECDHE-ECDSA", &kit.ec_cert, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDSA+SHA256", "TLS 1.2",
     "SHA-256", "", ""},
    {"ECDHE-ECDSA P-384", &kit.ec384_cert, TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDSA+SHA384",
     "TLS 1.2", "SHA-384", "", ""},
    {"TLS 1.3 RSA", &kit.rsa_cert, TLS1_3_VERSION, NULL, NULL, "TLS 1.3", "", "rsa_pss_rsae_sha256", ""},
    {"TLS 1.3 ECDSA", &kit.ec_cert, TLS1_3_VERSION, NULL, NULL, "TLS 1.3", "", "ecdsa_secp256r1_sha256", ""},
    {"TLS 1.3 ECDSA P-384", &kit.ec384_cert, TLS1_3_VERSION, NULL, NULL, "TLS 1.3", "",
     "ecdsa_secp384r1_sha384", ""},
};
#define HANDSHAKES (sizeof handshakes / sizeof handshakes[0])

static void all_handshakes(struct kit_transport *transport, bool async)
{
    for (size_t i = 0; i < HANDSHAKES; i++) {
        const struct handshake *h = &handshakes[i];
        struct session s = {.async = async};
        kit.keyserver.asked = 0;
        kit.late.held = async; // until the job has paused, however slow this thread is
        session_open(&s, transport, *h->cert, h->version, h->suite, h->sigalgs);
        if (!shake(&s)) {
            ERR_print_errors_fp(stderr);
            fail_msg("%s: handshake failed", h->name);
        }
        assert_int_equal(kit.keyserver.asked, 1);
        assert_string_equal(kit.keyserver.last_protocol, h->protocol);
        assert_string_equal(kit.keyserver.last_hash, h->hash);
        assert_string_equal(kit.keyserver.last_scheme, h->scheme);
        assert_string_equal(kit.keyserver.last_client_version, h->client_version);
        assert_int_equal(s.pauses, async ? 1 : 0);
        // Application data flows: both ends hold the same keys.
        char got[8];
        assert_int_equal(SSL_write(s.client, "ping", 4), 4);
        assert_int_equal(SSL_read(s.server, got, sizeof got), 4);
        session_close(&s);
    }
}

// Every key exchange works when the thread waits for the key server.
static void test_blocking(void **state)
{
    (void)state;
    all_handshakes(&kit.direct, false);
    all_handshakes(&kit.late, false);
    kit_transport_drain(&kit.late);
}

// Every key exchange works in an ASYNC job, which pauses once and is woken by its descriptor.
static void test_async(void **state)
{
    (void)state;
    if (!ASYNC_is_capable())
        skip();
    all_handshakes(&kit.late, true);
    kit_transport_drain(&kit.late);
}

// An SSL that is freed while its job waits leaves nothing behind that the late answer could damage.
static void test_abandoned_job(void **state)
{
    (void)state;
    struct session s = {.async = true};
    kit.late.held = true;
    session_open(&s, &kit.late, kit.ec_cert, TLS1_3_VERSION, NULL, NULL);
    (void)SSL_do_handshake(s.client);
    int rc = SSL_do_handshake(s.server);
    assert_int_equal(SSL_get_error(s.server, rc), SSL_ERROR_WANT_ASYNC);
    // libssl leaves the job itself (its stack) behind: let it finish first, as the edge does, and free then.
    wait_for_job(&s);
    (void)SSL_do_handshake(s.server);
    session_close(&s);
    kit_transport_drain(&kit.late);
}

// Strict mode: a signature that the certificate's key did not make never reaches the user.
static void test_wrong_signature(void **state)
{
    (void)state;
    static const size_t signing[] = {2, 4, 5, 7, 8};
    kit.keyserver.fault = KIT_WRONG_SIGNATURE;
    for (size_t i = 0; i < sizeof signing / sizeof signing[0]; i++) {
        const struct handshake *h = &handshakes[signing[i]];
        struct session s = {.async = false};
        session_open(&s, &kit.direct, *h->cert, h->version, h->suite, h->sigalgs);
        assert_false(shake(&s));
        // It is the server that gave up, and says why.
        bool named = false;
        for (unsigned long code; (code = ERR_get_error()) != 0;)
            named = named || ERR_GET_REASON(code) == ERR_R_OPERATION_FAIL;
        assert_true(named);
        session_close(&s);
    }
}

// A key server that refuses to sign, or answers with nothing, ends the handshake and no more.
static void test_refused_signature(void **state)
{
    (void)state;
    static const enum kit_fault faults[] = {KIT_REFUSE, KIT_EMPTY_OUTPUT};
    for (size_t f = 0; f < 2; f++) {
        struct session s = {.async = false};
        kit.keyserver.fault = faults[f];
        session_open(&s, &kit.direct, kit.rsa_cert, TLS1_3_VERSION, NULL, NULL);
        assert_false(shake(&s));
        session_close(&s);
        ERR_clear_error();
    }
}

// RSA key exchange: whatever the key server does wrong, the user sees the same as for a wrong premaster: the
// handshake goes on to Finished and fails there, by a MAC that does not fit.
static void test_decrypt_faults_look_alike(void **state)
{
    (void)state;
    static const enum kit_fault faults[] = {KIT_REFUSE, KIT_WRONG_VERSION, KIT_SHORT_PREMASTER,
                                            KIT_EMPTY_OUTPUT};
    for (size_t f = 0; f < sizeof faults / sizeof faults[0]; f++) {
        struct session s = {.async = false};
        kit.keyserver.fault = faults[f];
        session_open(&s, &kit.direct, kit.rsa_cert, TLS1_2_VERSION, "AES128-GCM-SHA256", NULL);
        assert_false(shake(&s));
        assert_int_equal(kit.keyserver.asked, f + 1);
        unsigned long code = ERR_peek_last_error();
        assert_int_equal(ERR_GET_REASON(code), SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
        session_close(&s);
        ERR_clear_error();
    }
}

static EVP_PKEY_CTX *decrypt_ctx(EVP_PKEY *key, OSSL_LIB_CTX *libctx)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    assert_non_null(ctx);
    assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
    return ctx;
}

// The provider offers the TLS premaster decryption alone: no raw RSA, no PKCS#1 decryption, no signature over
// a digest, no export of a private half; and a ciphertext of the wrong length is not even sent.
static void test_what_is_not_offered(void **state)
{
    (void)state;
    struct session s = {.async = false};
    session_open(&s, &kit.direct, kit.rsa_cert, TLS1_2_VERSION, NULL, NULL);
    EVP_PKEY *key = ski_provider_key(s.provider, kit.rsa_cert, NULL);
    unsigned char in[256] = {1}, out[512];
    size_t len = sizeof out;
    EVP_PKEY_CTX *ctx = decrypt_ctx(key, s.libctx);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) <= 0 ||
                EVP_PKEY_decrypt(ctx, out, &len, in, sizeof in) <= 0);
    EVP_PKEY_CTX_free(ctx);
    ctx = decrypt_ctx(key, s.libctx);
    assert_true(EVP_PKEY_decrypt(ctx, out, &len, in, sizeof in) <= 0);
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new_from_pkey(s.libctx, key, NULL);
    assert_true(EVP_PKEY_sign_init(ctx) <= 0);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM *params = NULL;
    assert_int_equal(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params), 0);
    assert_int_equal(kit.keyserver.asked, 0);

    ctx = decrypt_ctx(key, s.libctx);
    unsigned version = 0x0303;
    OSSL_PARAM set[] = {OSSL_PARAM_construct_uint("tls-client-version", &version),
                        OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_WITH_TLS_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_params(ctx, set), 1);
    len = sizeof out;
    assert_int_equal(EVP_PKEY_decrypt(ctx, out, &len, in, 255), 1);
    assert_int_equal(len, 48);
    assert_int_equal(out[0], 3);
    assert_int_equal(out[1], 3);
    assert_int_equal(kit.keyserver.asked, 0);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    session_close(&s);
}

// Signing in pieces gives the same as at once; a certificate with another kind of key is refused with words.
static void test_pieces_and_key_types(void **state)
{
    (void)state;
    struct session s = {.async = false};
    struct error e = {{0}};
    session_open(&s, &kit.direct, kit.rsa_cert, TLS1_2_VERSION, NULL, NULL);
    EVP_PKEY *key = ski_provider_key(s.provider, kit.rsa_cert, &e);
    unsigned char sig[512], tbs[133] = {7};
    size_t len = sizeof sig;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit_ex(md, NULL, "SHA256", s.libctx, NULL, key, NULL), 1);
    assert_int_equal(EVP_DigestSignUpdate(md, tbs, 100), 1);
    assert_int_equal(EVP_DigestSignUpdate(md, tbs + 100, 33), 1);
    assert_int_equal(EVP_DigestSignFinal(md, sig, &len), 1);
    EVP_MD_CTX_reset(md);
    assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, kit.rsa), 1);
    assert_int_equal(EVP_DigestVerify(md, sig, len, tbs, sizeof tbs), 1);
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);

    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *cert = kit_cert(kit.ec, "ed", NULL, NULL, NULL);
    X509_set_pubkey(cert, ed);
    assert_null(ski_provider_key(s.provider, cert, &e));
    assert_non_null(strstr(e.text, "neither RSA nor EC"));
    X509_free(cert);
    EVP_PKEY_free(ed);
    session_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_blocking, no_fault),
        cmocka_unit_test_setup(test_async, no_fault),
        cmocka_unit_test_setup(test_abandoned_job, no_fault),
        cmocka_unit_test_setup(test_wrong_signature, no_fault),
        cmocka_unit_test_setup(test_refused_signature, no_fault),
        cmocka_unit_test_setup(test_decrypt_faults_look_alike, no_fault),
        cmocka_unit_test_setup(test_what_is_not_offered, no_fault),
        cmocka_unit_test_setup(test_pieces_and_key_types, no_fault),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
