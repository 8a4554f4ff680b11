// The whole edge in one process: users' TLS connections to workers that hold only site certificates, SKI over
// mutual TLS to a server that holds the keys; and the load generator against the same server.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "common/net.h"
#include "edge-sim/edge_worker.h"
#include "edge-sim/serve.h"
#include "edge-sim/ski_client.h"
#include "fakeserver.h"

#define PATIENT_MS 120000 // limits that are not to be reached, however slow the machine
#define SHORT_MS   300    // limits that are

// An edge of its own: a key server client, what it needs of a certificate provider, and workers.
struct edge {
    struct ski_client *client;
    OSSL_LIB_CTX *libctx;
    struct ski_provider *provider;
    struct edge_sites *sites;
    struct edge_shared shared;
    struct edge_worker *workers[2];
    struct net_addr addr;
};

static struct {
    struct kit_pki pki;
    struct kit_keyserver keys;
    struct fake_server *keyserver;
    char *rsa_file, *ec_file, *both_rsa_file, *both_ec_file, *key_file;
    struct file_root *root;
    struct edge edge; // whose limits are patient
} kit;

static char *make_site(const char *name, EVP_PKEY *key, const char *san)
{
    static EVP_PKEY *ca_key;
    static X509 *ca;
    if (name == NULL) {
        EVP_PKEY_free(ca_key);
        X509_free(ca);
        return NULL;
    }
    if (ca == NULL) {
        ca_key = kit_ec_key("P-256");
        ca = kit_cert(ca_key, "Public CA", NULL, NULL, NULL);
    }
    X509 *cert = kit_cert(key, name, san, ca, ca_key);
    kit_keyserver_add(&kit.keys, cert, key);
    char *file = kit_write_cert(kit.pki.dir, name, cert);
    FILE *f = fopen(file, "a");
    assert_non_null(f);
    (void)PEM_write_X509(f, ca); // the chain
    (void)fclose(f);
    X509_free(cert);
    return file;
}

static void make_files(void)
{
    char path[512];
    EVP_PKEY *rsa = kit_rsa_key(2048);
    EVP_PKEY *rsa2 = kit_rsa_key(2048);
    EVP_PKEY *ec = kit_ec_key("P-256");
    EVP_PKEY *ec2 = kit_ec_key("P-384");
    kit_pki_create(&kit.pki);
    kit.rsa_file = make_site("rsa.pem", rsa, "DNS:rsa.example");
    kit.ec_file = make_site("ec.pem", ec, "DNS:ec.example,DNS:*.ec.example");
    kit.both_rsa_file = make_site("both-rsa.pem", rsa2, "DNS:both.example");
    kit.both_ec_file = make_site("both-ec.pem", ec2, "DNS:both.example");
    kit.key_file = kit_write_key(kit.pki.dir, "leak.pem", ec);
    (void)snprintf(path, sizeof path, "%s/www", kit.pki.dir);
    assert_int_equal(mkdir(path, 0755), 0);
    free(kit_write_file(path, "index.html", "<p>hello edge", 13));
    char *big = calloc(1, 500000);
    free(kit_write_file(path, "big.bin", big, 500000));
    free(big);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(rsa2);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ec2);
}

static void edge_open(struct edge *edge, unsigned keyserver_ms, unsigned handshake_ms, unsigned head_ms)
{
    struct error e = {{0}};
    struct net_addr any;
    struct tls_files files = kit_edge_files(&kit.pki);
    struct ski_client_config config = {.connections = 2, .timeout_ms = keyserver_ms};
    edge->client = ski_client_create(fake_server_url(kit.keyserver), &files, &config, &e);
    edge->libctx = OSSL_LIB_CTX_new();
    edge->provider = ski_provider_load(edge->libctx, ski_client_transport(edge->client), 0, &e);
    char *sites[] = {kit.rsa_file, kit.ec_file, kit.both_rsa_file, kit.both_ec_file};
    struct edge_site_options options = {
        .libctx = edge->libctx, .provider = edge->provider, .tls_max = TLS1_3_VERSION};
    edge->sites = edge_sites_create(sites, 4, &options, &e);
    if (edge->sites == NULL)
        fail_msg("%s", e.text);
    assert_true(net_addr_parse("127.0.0.1:0", &any, &e));
    edge->shared = (struct edge_shared){.sites = edge->sites,
                                        .root = kit.root,
                                        .max_connections = 50,
                                        .handshake_ms = handshake_ms,
                                        .head_ms = head_ms,
                                        .idle_ms = PATIENT_MS};
    edge->shared.listen_fd = net_listen(&any, 64, &edge->addr, &e);
    for (unsigned i = 0; i < 2; i++)
        assert_non_null(edge->workers[i] = edge_worker_start(&edge->shared, &e));
}

static void edge_close(struct edge *edge)
{
    for (unsigned i = 0; i < 2; i++)
        edge_worker_drain(edge->workers[i], 500);
    for (unsigned i = 0; i < 2; i++)
        edge_worker_join(&edge->workers[i]);
    assert_int_equal(edge->shared.connections, 0);
    (void)close(edge->shared.listen_fd);
    edge_sites_destroy(&edge->sites);
    ski_provider_unload(&edge->provider);
    OSSL_LIB_CTX_free(edge->libctx);
    ski_client_destroy(&edge->client);
}

static int start_edge(void **state)
{
    (void)state;
    struct error e = {{0}};
    char path[512];
    (void)signal(SIGPIPE, SIG_IGN);
    make_files();
    kit.keyserver = fake_server_start(&kit.pki, &kit.keys);
    (void)snprintf(path, sizeof path, "%s/www", kit.pki.dir);
    kit.root = file_root_open(path, &e);
    if (kit.root == NULL)
        fail_msg("%s", e.text);
    edge_open(&kit.edge, PATIENT_MS, PATIENT_MS, PATIENT_MS);
    return 0;
}

static int stop_edge(void **state)
{
    (void)state;
    edge_close(&kit.edge);
    file_root_close(&kit.root);
    fake_server_stop(&kit.keyserver);
    kit_keyserver_clear(&kit.keys);
    char *files[] = {kit.rsa_file, kit.ec_file, kit.both_rsa_file, kit.both_ec_file, kit.key_file};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        free(files[i]);
    (void)make_site(NULL, NULL, NULL);
    kit_pki_remove(&kit.pki);
    return 0;
}

// A user: a blocking TLS connection to the edge.
struct user {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static bool user_connect_to(const struct edge *edge, struct user *u, const char *name, int version,
                            const char *suite)
{
    struct timeval tv = {.tv_sec = PATIENT_MS / 1000};
    u->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(u->ctx, version);
    SSL_CTX_set_max_proto_version(u->ctx, version);
    if (suite != NULL)
        assert_int_equal(SSL_CTX_set_cipher_list(u->ctx, suite), 1);
    u->fd = net_connect(&edge->addr, PATIENT_MS, NULL);
    assert_true(u->fd >= 0);
    (void)setsockopt(u->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    u->ssl = SSL_new(u->ctx);
    SSL_set_fd(u->ssl, u->fd);
    if (name != NULL)
        SSL_set_tlsext_host_name(u->ssl, name);
    return SSL_connect(u->ssl) == 1;
}

static bool user_connect(struct user *u, const char *name, int version, const char *suite)
{
    return user_connect_to(&kit.edge, u, name, version, suite);
}

static void user_close(struct user *u)
{
    SSL_free(u->ssl);
    SSL_CTX_free(u->ctx);
    (void)close(u->fd);
    ERR_clear_error();
}

// Sends and reads until the connection closes or the answer's body is whole; the text is in buf.
static size_t converse(struct user *u, const char *request, char *buf, size_t cap)
{
    size_t len = 0;
    if (SSL_write(u->ssl, request, (int)strlen(request)) <= 0)
        return 0;
    for (;;) {
        buf[len] = '\0';
        const char *end = strstr(buf, "\r\n\r\n");
        const char *told = strstr(buf, "Content-Length: ");
        bool head_only = strncmp(request, "HEAD", 4) == 0;
        if (end != NULL && told != NULL &&
            (head_only || len >= (size_t)(end - buf) + 4 + strtoul(told + 16, NULL, 10)))
            return len;
        int n = SSL_read(u->ssl, buf + len, (int)(cap - len - 1));
        if (n <= 0)
            return len;
        len += (size_t)n;
    }
}

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// Every key exchange with every kind of key, chosen by name, fetches the page; the edge has certificates
// alone.
static void test_key_exchanges(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int version;
        const char *suite;
        const char *cn;
    } cases[] = {
        {"rsa.example", TLS1_2_VERSION, "AES128-GCM-SHA256", "rsa.pem"},
        {"rsa.example", TLS1_2_VERSION, "AES256-GCM-SHA384", "rsa.pem"},
        {"rsa.example", TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "rsa.pem"},
        {"ec.example", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", "ec.pem"},
        {"WWW.ec.example", TLS1_3_VERSION, NULL, "ec.pem"},
        {"rsa.example", TLS1_3_VERSION, NULL, "rsa.pem"},
        {"both.example", TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "both-rsa.pem"},
        {"both.example", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", "both-ec.pem"},
        {"both.example", TLS1_3_VERSION, NULL, "both-ec.pem"},
        {"unknown.example", TLS1_3_VERSION, NULL, "rsa.pem"},
        {NULL, TLS1_3_VERSION, NULL, "rsa.pem"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct user u;
        char buf[2048], cn[64];
        if (!user_connect(&u, cases[i].name, cases[i].version, cases[i].suite)) {
            ERR_print_errors_fp(stderr);
            fail_msg("case %zu: handshake failed", i);
        }
        X509 *cert = SSL_get1_peer_certificate(u.ssl);
        (void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof cn);
        X509_free(cert);
        assert_string_equal(cn, cases[i].cn);
        assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(u.ssl)), 2);
        assert_true(converse(&u, GET, buf, sizeof buf) > 0);
        assert_non_null(strstr(buf, "200 OK"));
        assert_non_null(strstr(buf, "<p>hello edge"));
        user_close(&u);
    }
}

// Keep-alive, HEAD, large files, pipelining, and refusals of what is not served.
static void test_http(void **state)
{
    (void)state;
    struct user u;
    static char buf[600000];
    assert_true(user_connect(&u, "ec.example", TLS1_3_VERSION, NULL));
    assert_true(converse(&u, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", buf, sizeof buf) > 0);
    assert_non_null(strstr(buf, "Content-Length: 13\r\n"));
    assert_null(strstr(buf, "hello"));
    size_t len = converse(&u, "GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n", buf, sizeof buf);
    assert_true(len > 500000);
    assert_true(converse(&u, "GET /none HTTP/1.1\r\nHost: h\r\n\r\n", buf, sizeof buf) > 0);
    assert_non_null(strstr(buf, "404 Not Found"));
    assert_true(converse(&u, "GET /../../etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n", buf, sizeof buf) > 0);
    assert_non_null(strstr(buf, "404 Not Found"));
    (void)SSL_write(u.ssl, GET GET, (int)strlen(GET GET));
    assert_true(converse(&u, "DELETE / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", buf, sizeof buf) >
                0);
    len = strlen(buf);
    while (len < sizeof buf - 1) {
        int n = SSL_read(u.ssl, buf + len, (int)(sizeof buf - 1 - len));
        if (n <= 0)
            break;
        len += (size_t)n;
        buf[len] = '\0';
    }
    const char *second = strstr(strstr(buf, "hello edge") + 1, "hello edge");
    assert_non_null(second);
    assert_non_null(strstr(second, "405 Method Not Allowed"));
    user_close(&u);
    assert_true(user_connect(&u, "ec.example", TLS1_3_VERSION, NULL));
    assert_true(converse(&u, "nonsense\r\n\r\n", buf, sizeof buf) > 0);
    assert_non_null(strstr(buf, "400 Bad Request"));
    assert_int_equal(SSL_read(u.ssl, buf, 10), 0); // closed
    user_close(&u);
}

// Slow users are let go: one who stops in the handshake, one who stops in a request's head.
static void test_slow_users(void **state)
{
    (void)state;
    struct user u;
    struct edge edge;
    char buf[256];
    struct timeval tv = {.tv_sec = PATIENT_MS / 1000};
    edge_open(&edge, PATIENT_MS, SHORT_MS, PATIENT_MS);
    int fd = net_connect(&edge.addr, PATIENT_MS, NULL);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    assert_int_equal(recv(fd, buf, sizeof buf, 0), 0); // closed, not timed out on our side
    (void)close(fd);
    edge_close(&edge);
    edge_open(&edge, PATIENT_MS, PATIENT_MS, SHORT_MS);
    assert_true(user_connect_to(&edge, &u, "ec.example", TLS1_3_VERSION, NULL));
    (void)SSL_write(u.ssl, "GET /", 5);
    int n = SSL_read(u.ssl, buf, sizeof buf);
    assert_true(n <= 0);
    assert_int_equal(SSL_get_error(u.ssl, n), SSL_ERROR_ZERO_RETURN);
    user_close(&u);
    edge_close(&edge);
}

// A key server that is silent, refuses or lies costs the one handshake; the edge lives on. A user who goes
// away while the key server works leaves nothing behind.
static void test_key_server_trouble(void **state)
{
    (void)state;
    struct user u;
    struct edge edge;
    char buf[2048];
    kit.keys.fault = KIT_WRONG_SIGNATURE;
    assert_false(user_connect(&u, "ec.example", TLS1_3_VERSION, NULL));
    user_close(&u);
    kit.keys.fault = KIT_REFUSE;
    assert_false(user_connect(&u, "rsa.example", TLS1_2_VERSION, "AES128-GCM-SHA256"));
    user_close(&u);
    kit.keys.fault = KIT_NO_FAULT;
    fake_server_behave(kit.keyserver, FAKE_GOOD, 300);
    int fd = net_connect(&kit.edge.addr, PATIENT_MS, NULL);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    (void)SSL_connect(ssl); // a ClientHello
    char *hello;
    long hello_len = BIO_get_mem_data(out, &hello);
    assert_true(send(fd, hello, (size_t)hello_len, 0) == hello_len);
    (void)usleep(50000);
    (void)close(fd);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    edge_open(&edge, SHORT_MS * 3, PATIENT_MS, PATIENT_MS);
    fake_server_behave(kit.keyserver, FAKE_SILENT, 0);
    assert_false(user_connect_to(&edge, &u, "ec.example", TLS1_3_VERSION, NULL));
    user_close(&u);
    fake_server_behave(kit.keyserver, FAKE_GOOD, 0);
    bool ok = false;
    for (unsigned i = 0; i < 100 && !ok; i++) { // a machine may be too slow for such a limit now and then
        ok = user_connect_to(&edge, &u, "ec.example", TLS1_3_VERSION, NULL);
        if (ok)
            assert_true(converse(&u, GET, buf, sizeof buf) > 0);
        user_close(&u);
    }
    assert_true(ok);
    edge_close(&edge);
    assert_true(user_connect(&u, "ec.example", TLS1_3_VERSION, NULL));
    assert_true(converse(&u, GET, buf, sizeof buf) > 0);
    user_close(&u);
}

// A site file with a private key, without a certificate, or with a broken one is refused, by name.
static void test_site_files(void **state)
{
    (void)state;
    struct error e = {{0}};
    struct edge_site_options options = {
        .libctx = kit.edge.libctx, .provider = kit.edge.provider, .tls_max = TLS1_3_VERSION};
    assert_null(edge_sites_create(&kit.key_file, 1, &options, &e));
    assert_non_null(strstr(e.text, "leak.pem: holds a private key"));
    static const char broken[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    char *file = kit_write_file(kit.pki.dir, "broken.pem", broken, sizeof broken - 1);
    assert_null(edge_sites_create(&file, 1, &options, &e));
    assert_non_null(strstr(e.text, "broken.pem"));
    free(file);
    file = kit_write_file(kit.pki.dir, "empty.pem", "", 0);
    assert_null(edge_sites_create(&file, 1, &options, &e));
    assert_non_null(strstr(e.text, "no PEM certificate"));
    free(file);
    assert_non_null(edge_sites_find(kit.edge.sites, "RSA.example"));
    assert_non_null(edge_sites_find(kit.edge.sites, "a.ec.example."));
    assert_null(edge_sites_find(kit.edge.sites, "a.b.ec.example"));
    assert_null(edge_sites_find(kit.edge.sites, ".ec.example"));
    assert_null(edge_sites_find(kit.edge.sites, ""));
}

static int load(const char *method, const char *rate, const char *json)
{
    const char *const argv[] = {"load",
                                "--keyserver",
                                fake_server_url(kit.keyserver),
                                "--cert",
                                kit.pki.edge_cert,
                                "--key",
                                kit.pki.edge_key,
                                "--ca",
                                kit.pki.ca,
                                "--site",
                                kit.rsa_file,
                                "--site",
                                kit.ec_file,
                                "--connections",
                                "4",
                                "--in-flight",
                                "4",
                                "--threads",
                                "2",
                                "--duration",
                                "300ms",
                                "--method",
                                method,
                                "--rate",
                                rate,
                                "--json",
                                json,
                                NULL};
    return load_main((int)(sizeof argv / sizeof argv[0]) - 1, (char **)argv);
}

static double number(json_t *root, const char *name)
{
    return json_number_value(json_object_get(root, name));
}

// The load generator finds right answers right, in closed and open loop, and says what it saw; wrong ones end
// in status 1.
static void test_load(void **state)
{
    (void)state;
    char json[512];
    (void)snprintf(json, sizeof json, "%s/load.json", kit.pki.dir);
    assert_int_equal(load("mix", "0", json), 0);
    json_t *root = json_load_file(json, 0, NULL);
    assert_non_null(root);
    assert_true(number(root, "right") >= 16); // what four connections have under way at first
    assert_true(number(root, "right") == number(root, "sent"));
    assert_true(number(root, "verified") == number(root, "right"));
    assert_true(number(root, "wrong") == 0);
    assert_int_equal(json_array_size(json_object_get(root, "kinds")), 3);
    assert_true(number(json_object_get(root, "latency_us"), "p99") >=
                number(json_object_get(root, "latency_us"), "p50"));
    json_decref(root);
    assert_int_equal(load("ECDHE", "200", json), 0);
    root = json_load_file(json, 0, NULL);
    // 200/s, never more; less where the machine does not keep up with the schedule.
    double due = 200 * number(root, "seconds");
    assert_in_range((unsigned)number(root, "sent"), 1, (unsigned)due + 2);
    json_decref(root);
    assert_int_equal(load("RSA", "0", json), 0);
    kit.keys.fault = KIT_WRONG_SIGNATURE;
    assert_int_equal(load("ECDHE", "0", json), 1);
    kit.keys.fault = KIT_WRONG_VERSION;
    assert_int_equal(load("RSA", "0", json), 1);
    kit.keys.fault = KIT_REFUSE;
    assert_int_equal(load("RSA", "0", json), 1); // nothing was right
    kit.keys.fault = KIT_NO_FAULT;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_exchanges), cmocka_unit_test(test_http),
        cmocka_unit_test(test_slow_users),    cmocka_unit_test(test_key_server_trouble),
        cmocka_unit_test(test_site_files),    cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, start_edge, stop_edge);
}
