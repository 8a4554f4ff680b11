#include "conn_kit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/thread.h>

#include "common/tls.h"
#include "tests/unit/common/test_pki.h"

#define TIMEOUT 600000000ull // us: nothing here ends by time

struct options conn_kit_options = {.header_max = 8192,
                                   .body_max = 16384,
                                   .pipeline = 4,
                                   .handshake_timeout = TIMEOUT,
                                   .request_timeout = TIMEOUT,
                                   .idle_timeout = TIMEOUT,
                                   .write_timeout = TIMEOUT};
struct server conn_kit_server;
static SSL_CTX *client_ctx;
struct conn_kit_peer conn_kit_peers[CONN_KIT_PEERS];
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

// With the server's certificate, and asking for none.
static SSL_CTX *migration_context(void)
{
    struct error e;
    char cert[600], key[600];
    (void)snprintf(cert, sizeof cert, "%s", kit_path("server.pem"));
    (void)snprintf(key, sizeof key, "%s", kit_path("server.key"));
    const struct tls_files files = {.cert_file = cert, .key_file = key, .leaf_only = true};
    SSL_CTX *ctx = tls_server_ctx_create_for(&files, TLS_CLIENTS_NONE, &e);
    if (ctx == NULL)
        fail_msg("%s", e.text);
    return ctx;
}

// ---- a server without listener, store and pool

int conn_kit_set_up(void **state)
{
    struct error e;
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(evthread_use_pthreads(), 0);
    kit_dir_create();
    struct test_cert root = test_cert_create(&(struct test_cert_spec){.name = "R", .purpose = TEST_CERT_CA});
    const struct test_cert *chain = &root;
    test_cert_write(kit_path("ca.pem"), &chain, 1);
    conn_kit_options.body_max = 16384;
    conn_kit_options.max_connections_per_edge = CONN_KIT_PEERS;
    conn_kit_server = (struct server){.options = &conn_kit_options};
    (void)pthread_mutex_init(&conn_kit_server.tls_lock, NULL);
    conn_kit_server.tls = context("server", TEST_CERT_SERVER, &root);
    conn_kit_server.migration_tls = migration_context();
    client_ctx = context("client", TEST_CERT_CLIENT, &root);
    test_cert_destroy(&root);
    assert_true(stats_setup(&conn_kit_server.stats, &e));
    conn_kit_server.addrs = addrs_create(CONN_KIT_PEERS);
    conn_kit_server.edges = edges_create();
    conn_kit_server.loops = calloc(CONN_KIT_LOOPS, sizeof *conn_kit_server.loops);
    assert_true(conn_kit_server.addrs != NULL && conn_kit_server.edges != NULL &&
                conn_kit_server.loops != NULL);
    server_bound_held(&conn_kit_server, 1ull << 40);
    for (conn_kit_server.loop_count = 0; conn_kit_server.loop_count < CONN_KIT_LOOPS;
         conn_kit_server.loop_count++)
        assert_true(loop_start(&conn_kit_server.loops[conn_kit_server.loop_count], &conn_kit_server,
                               conn_kit_server.loop_count, &e));
    return 0;
}

void conn_kit_hang_up(size_t i)
{
    SSL_free(conn_kit_peers[i].ssl);
    (void)close(conn_kit_peers[i].fd);
    conn_kit_peers[i].ssl = NULL;
}

int conn_kit_tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONN_KIT_PEERS; i++)
        if (conn_kit_peers[i].ssl != NULL)
            conn_kit_hang_up(i);
    for (unsigned i = 0; i < conn_kit_server.loop_count; i++)
        loop_stop(&conn_kit_server.loops[i]);
    int left = atomic_load(&conn_kit_server.held) != 0; // whatever happened, it adds up
    free(conn_kit_server.loops);
    addrs_destroy(&conn_kit_server.addrs);
    edges_destroy(&conn_kit_server.edges);
    stats_teardown(&conn_kit_server.stats);
    SSL_CTX_free(conn_kit_server.tls);
    SSL_CTX_free(conn_kit_server.migration_tls);
    SSL_CTX_free(client_ctx);
    (void)pthread_mutex_destroy(&conn_kit_server.tls_lock);
    kit_dir_remove();
    kit_release();
    return left;
}

// ---- conn_kit_peers

static int hand_over(unsigned loop, const struct net_addr *addr, bool migration)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(evutil_make_socket_nonblocking(fds[1]), 0);
    assert_true(addrs_add(conn_kit_server.addrs, addr, CONN_KIT_PEERS));
    (void)atomic_fetch_add(&conn_kit_server.connections, 1);
    (void)atomic_fetch_add(&conn_kit_server.migration_connections, migration);
    assert_true(loop_accept(&conn_kit_server.loops[loop], fds[1], addr, migration));
    return fds[0];
}

int conn_kit_socket(unsigned loop)
{
    return hand_over(loop, &nowhere, false);
}

SSL *conn_kit_client(size_t i)
{
    SSL *ssl = conn_kit_peers[i].ssl = SSL_new(client_ctx);
    assert_non_null(ssl);
    assert_int_equal(SSL_set_fd(ssl, conn_kit_peers[i].fd), 1);
    return ssl;
}

static void come(size_t i, unsigned loop, const struct net_addr *addr, bool migration)
{
    conn_kit_peers[i].fd = hand_over(loop, addr, migration);
    assert_int_equal(SSL_connect(conn_kit_client(i)), 1);
}

void conn_kit_come(size_t i, unsigned loop)
{
    come(i, loop, &nowhere, false);
}

void conn_kit_come_to_migration(size_t i, unsigned loop, const struct net_addr *addr)
{
    come(i, loop, addr, true);
}

void conn_kit_say(size_t i, const char *bytes, size_t len)
{
    assert_int_equal(SSL_write(conn_kit_peers[i].ssl, bytes, (int)len), (int)len);
}

bool conn_kit_is_served(size_t i)
{
    static const char request[] = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
    char answer[512];
    return SSL_write(conn_kit_peers[i].ssl, request, sizeof request - 1) > 0 &&
           SSL_read(conn_kit_peers[i].ssl, answer, sizeof answer) > 12 &&
           memcmp(answer, "HTTP/1.1 404", 12) == 0;
}

// No more comes from it but its end.
bool conn_kit_is_closed(size_t i)
{
    char byte;
    return SSL_read(conn_kit_peers[i].ssl, &byte, 1) <= 0;
}
