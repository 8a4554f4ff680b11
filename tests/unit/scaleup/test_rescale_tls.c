// librescale over mutual TLS: whom it believes, whom it shows itself as, and certificates that change.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rescale_kit.h"
#include "tests/unit/common/test_dir.h"
#include "tests/unit/common/test_pki.h"

#define LEASE_MS 600000

static struct kit_server server;
static struct kit_recorder recorder;
static struct test_cert root, other_root;
static char ca_file[512], other_ca_file[512];

struct identity {
    char cert[512], key[512];
};
static struct identity server_id, elsewhere_id, client_id, stranger_id;

static void write_ca(const char *name, const struct test_cert *ca, char path[512])
{
    (void)snprintf(path, 512, "%s", test_dir_path(name));
    test_cert_write(path, &ca, 1);
}

static void issue(struct identity *id, const char *name, const char *alt_names,
                  enum test_cert_purpose purpose, const struct test_cert *issuer)
{
    struct test_cert leaf = test_cert_create(
        &(struct test_cert_spec){.name = name, .alt_names = alt_names, .purpose = purpose, .issuer = issuer});
    const struct test_cert *chain = &leaf;
    char file[80];
    (void)snprintf(file, sizeof file, "%s.pem", name);
    (void)snprintf(id->cert, sizeof id->cert, "%s", test_dir_path(file));
    test_cert_write(id->cert, &chain, 1);
    (void)snprintf(file, sizeof file, "%s.key", name);
    (void)snprintf(id->key, sizeof id->key, "%s", test_dir_path(file));
    test_key_write(id->key, &leaf, NULL);
    test_cert_destroy(&leaf);
}

static struct tls_files files_of(const struct identity *id, const char *ca)
{
    return (struct tls_files){.cert_file = id->cert, .key_file = id->key, .ca_file = ca};
}

static void listen_as(const struct identity *id)
{
    const struct tls_files files = files_of(id, ca_file);
    kit_listen_tls(&server, &files);
}

static int set_up(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)test_dir_create();
    kit_recorder_init(&recorder);
    root = test_cert_create(&(struct test_cert_spec){.name = "Root", .purpose = TEST_CERT_CA});
    other_root = test_cert_create(&(struct test_cert_spec){.name = "Other root", .purpose = TEST_CERT_CA});
    write_ca("ca.pem", &root, ca_file);
    write_ca("other.pem", &other_root, other_ca_file);
    issue(&server_id, "server", "DNS:localhost,IP:127.0.0.1", TEST_CERT_SERVER, &root);
    issue(&elsewhere_id, "elsewhere", "DNS:elsewhere.example", TEST_CERT_SERVER, &root);
    issue(&client_id, "client", "DNS:ks1", TEST_CERT_CLIENT, &root);
    issue(&stranger_id, "stranger", "DNS:ks1", TEST_CERT_CLIENT, &other_root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kit_stop(&server);
    test_cert_destroy(&root);
    test_cert_destroy(&other_root);
    test_dir_remove();
    return 0;
}

static struct rescale_session *open_at(const char *address, const struct tls_files *files)
{
    const struct rescale_options options = {.address = address,
                                            .vnf = "ks1",
                                            .tls = files,
                                            .on_event = kit_on_event,
                                            .arg = &recorder,
                                            .backoff_min_ms = 10,
                                            .backoff_max_ms = 40};
    struct error e = {""};
    struct rescale_session *session = rescale_open(&options, &e);
    assert_string_equal(e.text, "");
    assert_non_null(session);
    return session;
}

static void ask_and_answer(struct rescale_session *session)
{
    assert_true(
        rescale_async(session, &(struct rescale_request){.target_bytes = 5}, kit_on_response, &recorder));
    struct message m = kit_expect(&server, MESSAGE_RESCALE);
    kit_say(&server,
            "{\"type\":\"response\",\"id\":\"%s\",\"state\":\"done\",\"final\":true,\"granted_bytes\":5,"
            "\"granularity\":1}",
            m.id);
    assert_int_equal(kit_response(&recorder).state, STATE_DONE);
}

// All of it over TLS, a long status-sized line too, and again after the connection has broken.
static void over_tls(void **state)
{
    (void)state;
    listen_as(&server_id);
    const struct tls_files files = files_of(&client_id, ca_file);
    struct rescale_session *session = open_at(server.address, &files);
    char name[64];
    (void)kit_welcome(&server, LEASE_MS);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    assert_string_equal(tls_peer_name(server.ssl, name, sizeof name), "ks1");
    ask_and_answer(session);
    static char line[MESSAGE_ANSWER_MAX];
    static const char start[] = "{\"type\":\"offer\",\"available_bytes\":77}";
    memset(line, ' ', sizeof line);
    memcpy(line, start, sizeof start - 1);
    line[sizeof line - 1] = '\n';
    kit_say_bytes(&server, line, sizeof line);
    assert_int_equal(kit_event(&recorder, RESCALE_OFFER).available_bytes, 77);
    kit_hang_up(&server);
    (void)kit_event(&recorder, RESCALE_DISCONNECTED);
    (void)kit_welcome(&server, LEASE_MS);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    ask_and_answer(session);
    rescale_close(&session);
}

// A name goes through the resolver, and is the one that the certificate must have.
static void by_name(void **state)
{
    (void)state;
    char address[64];
    listen_as(&server_id);
    const struct tls_files files = files_of(&client_id, ca_file);
    (void)snprintf(address, sizeof address, "localhost%s", strrchr(server.address, ':'));
    struct rescale_session *session = open_at(address, &files);
    (void)kit_welcome(&server, LEASE_MS);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    ask_and_answer(session);
    rescale_close(&session);
    // Closed while it is being looked up.
    for (int i = 0; i < 10; i++) {
        session = open_at(address, &files);
        rescale_close(&session);
    }
}

// The client refuses: another CA's server, another host's certificate.
static void servers_that_are_not_believed(void **state)
{
    (void)state;
    const struct tls_files distrusting = files_of(&client_id, other_ca_file),
                           files = files_of(&client_id, ca_file);
    listen_as(&server_id);
    struct rescale_session *session = open_at(server.address, &distrusting);
    assert_false(kit_handshake(&server));
    kit_hang_up(&server);
    assert_non_null(strstr(kit_event(&recorder, RESCALE_DISCONNECTED).detail, "certificate"));
    rescale_close(&session);
    kit_stop(&server);
    listen_as(&elsewhere_id);
    session = open_at(server.address, &files);
    assert_false(kit_handshake(&server));
    kit_hang_up(&server);
    assert_non_null(strstr(kit_event(&recorder, RESCALE_DISCONNECTED).detail, "mismatch"));
    struct rescale_stats stats;
    rescale_get_stats(session, &stats);
    assert_int_equal(stats.connects, 0);
    rescale_close(&session);
}

// The server refuses, until the certificate has been renewed on disk: the next connection shows the new one. One that cannot be used is passed over.
static void a_certificate_is_renewed(void **state)
{
    (void)state;
    struct identity id;
    size_t len;
    (void)snprintf(id.cert, sizeof id.cert, "%s", test_dir_path("own.pem"));
    (void)snprintf(id.key, sizeof id.key, "%s", test_dir_path("own.key"));
    char *cert = test_read_file(stranger_id.cert, &len), *key = test_read_file(stranger_id.key, &len);
    (void)test_dir_write("own.pem", cert);
    (void)test_dir_write("own.key", key);
    free(cert);
    free(key);
    listen_as(&server_id);
    const struct tls_files files = files_of(&id, ca_file);
    struct rescale_session *session = open_at(server.address, &files);
    assert_false(kit_handshake(&server));
    kit_hang_up(&server);
    assert_true(strlen(kit_event(&recorder, RESCALE_DISCONNECTED).detail) > 0);
    cert = test_read_file(client_id.cert, &len);
    key = test_read_file(client_id.key, &len);
    (void)test_dir_write("own.pem", cert);
    (void)test_dir_write("own.key", key);
    while (!kit_handshake(&server)) // attempts from before
        ;
    (void)kit_expect(&server, MESSAGE_HELLO);
    (void)test_dir_write("own.pem", "not a certificate");
    (void)kit_welcome(&server, LEASE_MS);
    (void)kit_event(&recorder, RESCALE_CONNECTED);
    free(cert);
    free(key);
    rescale_close(&session);
}

// No TLS on the other side, or a server that does not go on with the handshake while the session is closed.
static void no_tls_there(void **state)
{
    (void)state;
    const struct tls_files files = files_of(&client_id, ca_file);
    listen_as(&server_id);
    SSL_CTX *ctx = server.ctx;
    server.ctx = NULL;
    struct rescale_session *session = open_at(server.address, &files);
    kit_accept(&server);
    kit_say(&server, "{\"type\":\"welcome\",\"version\":1,\"granularity\":1,\"lease_ms\":1000}");
    assert_true(strlen(kit_event(&recorder, RESCALE_DISCONNECTED).detail) > 0);
    kit_accept(&server);
    rescale_close(&session);
    server.ctx = ctx;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(over_tls),
        TEST(by_name),
        TEST(servers_that_are_not_believed),
        TEST(a_certificate_is_renewed),
        TEST(no_tls_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
