// What all connections of the key server hold together has a bound: beyond it the one that holds most is closed, the others are served on.
#include "kit.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/thread.h>

#include "common/tls.h"
#include "keyserver/server.h"
#include "tests/unit/common/test_pki.h"

#define LOOPS   2
#define PEERS   8
#define BODY    15000        // of a request that never ends: 16 KiB of buffer
#define TIMEOUT 600000000ull // us: nothing here ends by time

static struct options options = {.header_max = 8192,
                                 .body_max = 16384,
                                 .pipeline = 4,
                                 .handshake_timeout = TIMEOUT,
                                 .request_timeout = TIMEOUT,
                                 .idle_timeout = TIMEOUT,
                                 .write_timeout = TIMEOUT};
static struct server server;
static SSL_CTX *client_ctx;
static struct {
    SSL *ssl;
    int fd;
} peers[PEERS];
static const struct net_addr nowhere;

// ---- certificates

static char *issue(const char *name, enum test_cert_purpose purpose, const struct test_cert *root)
{
    char file[64];
    struct test_cert leaf = test_cert_create(
        &(struct test_cert_spec){.name = name, .alt_names = "DNS:a", .purpose = purpose, .issuer = root});
    const struct test_cert *chain = &leaf;
    (void)snprintf(file, sizeof file, "%s.key", name);
    char *key = strdup(kit_path(file));
    test_key_write(key, &leaf, NULL);
    (void)snprintf(file, sizeof file, "%s.pem", name);
    test_cert_write(kit_path(file), &chain, 1);
    test_cert_destroy(&leaf);
    return key;
}

static SSL_CTX *context(const char *name, enum test_cert_purpose purpose, const struct test_cert *root)
{
    struct error e;
    char *key = issue(name, purpose, root), cert[600], ca[600], file[64];
    (void)snprintf(file, sizeof file, "%s.pem", name);
    (void)snprintf(cert, sizeof cert, "%s", kit_path(file));
    (void)snprintf(ca, sizeof ca, "%s", kit_path("ca.pem"));
    const struct tls_files files = {.cert_file = cert, .key_file = key, .ca_file = ca};
    SSL_CTX *ctx =
        purpose == TEST_CERT_SERVER ? tls_server_ctx_create(&files, &e) : tls_client_ctx_create(&files, &e);
    if (ctx == NULL)
        fail_msg("%s", e.text);
    free(key);
    return ctx;
}

// ---- a server without listener, store and pool

static int set_up(void **state)
{
    struct error e;
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(evthread_use_pthreads(), 0);
    kit_dir_create();
    struct test_cert root = test_cert_create(&(struct test_cert_spec){.name = "R", .purpose = TEST_CERT_CA});
    const struct test_cert *chain = &root;
    test_cert_write(kit_path("ca.pem"), &chain, 1);
    options.body_max = 16384;
    server = (struct server){.options = &options};
    (void)pthread_mutex_init(&server.tls_lock, NULL);
    server.tls = context("server", TEST_CERT_SERVER, &root);
    client_ctx = context("client", TEST_CERT_CLIENT, &root);
    test_cert_destroy(&root);
    assert_true(stats_setup(&server.stats, &e));
    server.addrs = addrs_create(PEERS);
    server.loops = calloc(LOOPS, sizeof *server.loops);
    assert_true(server.addrs != NULL && server.loops != NULL);
    server_bound_held(&server, 1ull << 40);
    for (server.loop_count = 0; server.loop_count < LOOPS; server.loop_count++)
        assert_true(loop_start(&server.loops[server.loop_count], &server, server.loop_count, &e));
    return 0;
}

static void hang_up(size_t i)
{
    SSL_free(peers[i].ssl);
    (void)close(peers[i].fd);
    peers[i].ssl = NULL;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < PEERS; i++)
        if (peers[i].ssl != NULL)
            hang_up(i);
    for (unsigned i = 0; i < server.loop_count; i++)
        loop_stop(&server.loops[i]);
    int left = atomic_load(&server.held) != 0; // whatever happened, it adds up
    free(server.loops);
    addrs_destroy(&server.addrs);
    stats_teardown(&server.stats);
    SSL_CTX_free(server.tls);
    SSL_CTX_free(client_ctx);
    (void)pthread_mutex_destroy(&server.tls_lock);
    kit_dir_remove();
    kit_release();
    return left;
}

// ---- peers

static void come(size_t i, unsigned loop)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(evutil_make_socket_nonblocking(fds[1]), 0);
    assert_true(addrs_add(server.addrs, &nowhere, PEERS));
    (void)atomic_fetch_add(&server.connections, 1);
    assert_true(loop_accept(&server.loops[loop], fds[1], &nowhere));
    peers[i].fd = fds[0];
    peers[i].ssl = SSL_new(client_ctx);
    assert_non_null(peers[i].ssl);
    assert_int_equal(SSL_set_fd(peers[i].ssl, fds[0]), 1);
    assert_int_equal(SSL_connect(peers[i].ssl), 1);
}

static void say(size_t i, const char *bytes, size_t len)
{
    assert_int_equal(SSL_write(peers[i].ssl, bytes, (int)len), (int)len);
}

static void half_a_request(size_t i, size_t body)
{
    static char bytes[BODY];
    char head[128];
    int n = snprintf(head, sizeof head, "POST /ski HTTP/1.1\r\nHost: a\r\nContent-Length: 16000\r\n\r\n");
    memset(bytes, ' ', sizeof bytes);
    say(i, head, (size_t)n);
    say(i, bytes, body);
}

static bool is_served(size_t i)
{
    static const char request[] = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
    char answer[512];
    return SSL_write(peers[i].ssl, request, sizeof request - 1) > 0 &&
           SSL_read(peers[i].ssl, answer, sizeof answer) > 12 && memcmp(answer, "HTTP/1.1 404", 12) == 0;
}

// No more comes from it but its end.
static bool is_closed(size_t i)
{
    char byte;
    return SSL_read(peers[i].ssl, &byte, 1) <= 0;
}

static void wait_until_held(uint64_t least, uint64_t most)
{
    const struct timespec moment = {.tv_nsec = 2000000};
    for (unsigned i = 0; i < 30000; i++) { // a minute
        uint64_t held = atomic_load(&server.held);
        if (held >= least && held <= most)
            return;
        (void)nanosleep(&moment, NULL);
    }
    fail_msg("held %llu, expected %llu to %llu", (unsigned long long)atomic_load(&server.held),
             (unsigned long long)least, (unsigned long long)most);
}

static uint64_t shed(void)
{
    return metric_value(server.stats.shed);
}

// ---- tests

static void what_is_held_is_counted(void **state)
{
    (void)state;
    come(0, 0);
    assert_true(is_served(0));
    wait_until_held(1, 4096); // the buffer for the next request
    half_a_request(0, BODY);
    wait_until_held(16384, 24576);
    hang_up(0);
    wait_until_held(0, 0);
    assert_int_equal(shed(), 0);
}

static void the_largest_goes(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++)
        come(i, i % LOOPS);
    half_a_request(0, 6000);
    half_a_request(1, 6000);
    assert_true(is_served(2));
    assert_true(is_served(3));
    wait_until_held(2 * 8192 + 2 * 4096, 2 * 8192 + 2 * 4096);
    atomic_store(&server.held_limit, 32768);
    half_a_request(2, BODY); // 12 KiB more: too much, on the loop of 0 and 2
    assert_true(is_closed(2));
    assert_int_equal(shed(), 1);
    wait_until_held(2 * 8192, 32768);
    assert_true(is_served(3));
    half_a_request(3, 6000); // what has been closed makes room for others
    wait_until_held(3 * 8192, 32768);
    assert_int_equal(shed(), 1);
}

// The one that holds most is on the other loop than the one that brings it above.
static void another_loop_goes(void **state)
{
    (void)state;
    come(0, 0);
    come(1, 1);
    half_a_request(0, BODY);
    wait_until_held(16384, 24576);
    atomic_store(&server.held_limit, 20000);
    half_a_request(1, 6000);
    assert_true(is_closed(0));
    wait_until_held(8192, 8192);
    assert_int_equal(shed(), 1);
}

// Buffers of those between requests go first, and nobody has noticed.
static void idle_buffers_go_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < PEERS; i++) {
        come(i, i % LOOPS);
        assert_true(is_served(i));
    }
    wait_until_held(PEERS * 4096, PEERS * 4096);
    atomic_store(&server.held_limit, 8192);
    server_shed(&server);
    wait_until_held(0, 8192);
    assert_int_equal(shed(), 0);
    for (size_t i = 0; i < PEERS; i++)
        assert_true(is_served(i));
    assert_int_equal(shed(), 0);
}

// The ceiling falls while nothing is said: within again, without an event of any connection.
static void follows_the_ceiling(void **state)
{
    (void)state;
    options.body_max = 1 << 20;
    come(0, 0);
    come(1, 0);
    for (size_t i = 0; i < 2; i++) {
        static char bytes[900000];
        static const char head[] = "POST /ski HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
        memset(bytes, ' ', sizeof bytes);
        say(i, head, sizeof head - 1);
        say(i, bytes, i == 0 ? sizeof bytes : 400000); // in a buffer of 1 MiB, of half a MiB
    }
    wait_until_held(3u << 19, 3u << 19);
    server_bound_held(&server, 16u << 20); // a quarter: 4 MiB
    assert_int_equal(atomic_load(&server.held_limit), 4u << 20);
    server_bound_held(&server, 1000000); // never below 1 MiB
    assert_int_equal(atomic_load(&server.held_limit), 1u << 20);
    wait_until_held(0, 1u << 20);
    assert_true(shed() >= 1);
    assert_true(is_closed(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_held_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_largest_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_loop_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(idle_buffers_go_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(follows_the_ceiling, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
