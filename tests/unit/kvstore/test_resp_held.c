// Replies wait until what they say is in the log's file: written once for all that a round of events has put.
#include "tests/unit/kvstore/resp_server_kit.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static _Atomic unsigned writes; // of something
static _Atomic bool failing;
static _Atomic bool others; // somebody else's records are held, for ever

enum kv_status __real_kv_write_held(struct kv_store *store);
enum kv_status __wrap_kv_write_held(struct kv_store *store);
enum kv_status __wrap_kv_write_held(struct kv_store *store)
{
    bool any = kv_holds(store);
    enum kv_status status = __real_kv_write_held(store);
    writes += any;
    return any && failing ? KV_IO : status;
}

bool __real_kv_holds(const struct kv_store *store);
bool __wrap_kv_holds(const struct kv_store *store);
bool __wrap_kv_holds(const struct kv_store *store)
{
    return others || __real_kv_holds(store);
}

static int start(void)
{
    writes = 0;
    failing = others = false;
    server_kit_reopen(KV_FSYNC_NEVER);
    server_kit_start();
    assert_int_equal(kv_put(t.store, "makes", 5, "a segment", 9, 0, KV_PUT_NO_WAIT), KV_OK);
    return server_kit_connect();
}

static void test_pipeline_is_one_write(void **state)
{
    (void)state;
    int fd = start();
    char sent[4096], reply[4096];
    size_t sent_len = 0, len = 0;
    for (unsigned n = 0; n < 20; n++) {
        sent_len +=
            (size_t)snprintf(sent + sent_len, sizeof sent - sent_len, "SET k%u v%u\r\nGET k%u\r\n", n, n, n);
        len += (size_t)snprintf(reply + len, sizeof reply - len, "+OK\r\n$%u\r\nv%u\r\n", n < 10 ? 2 : 3, n);
    }
    server_kit_send(fd, sent, sent_len);
    server_kit_expect(fd, reply);
    assert_in_range(writes, 1, 2); // a socket may give it in two parts
    assert_false(kv_holds(t.store));
    (void)close(fd);
}

// Conditions, counters, transactions, several connections: nothing of what a command sees has changed.
static void test_same_replies(void **state)
{
    (void)state;
    int fd = start(), other = server_kit_connect();
    static const char sent[] = "SET a 1\r\nINCR a\r\nSET a 5 NX\r\nAPPEND a 7\r\nMULTI\r\nSET b 1\r\nGET "
                               "a\r\nEXEC\r\nDEL a b\r\nEXISTS a b\r\nSET c 1 PX 100000\r\nPERSIST c\r\n";
    server_kit_send(fd, sent, sizeof sent - 1);
    server_kit_expect(fd, "+OK\r\n:2\r\n$-1\r\n:2\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$2\r\n27\r\n:"
                          "2\r\n:0\r\n+OK\r\n:1\r\n");
    server_kit_send(fd, "SET d 1\r\n", 9);
    server_kit_expect(fd, "+OK\r\n");
    server_kit_send(other, "GET d\r\nQUIT\r\n", 13);
    server_kit_expect(other, "$1\r\n1\r\n+OK\r\n");
    assert_int_equal(read(other, (char[1]){0}, 1), 0);
    server_kit_send(fd, "SET e 1\r\nQUIT\r\n", 15);
    server_kit_expect(fd, "+OK\r\n+OK\r\n");
    assert_int_equal(read(fd, (char[1]){0}, 1), 0);
    (void)close(fd);
    (void)close(other);
}

// What was put could not be written: no reply says that it was. Who has put nothing is answered.
static void test_failing_write(void **state)
{
    (void)state;
    int fd = start(), other = server_kit_connect();
    server_kit_send(fd, "GET none\r\n", 10);
    server_kit_expect(fd, "$-1\r\n");
    failing = true;
    server_kit_send(fd, "SET a 1\r\n", 9);
    assert_int_equal(read(fd, (char[1]){0}, 1), 0);
    server_kit_send(other, "GET none\r\n", 10);
    server_kit_expect(other, "$-1\r\n");
    (void)close(fd);
    fd = server_kit_connect(); // replies that do not wait for the end of the round: the last of a connection
    server_kit_send(fd, "SET a 1\r\nQUIT\r\n", 15);
    assert_int_equal(read(fd, (char[1]){0}, 1), 0);
    failing = false;
    (void)close(fd);
    (void)close(other);
}

// However much others hold, the round ends and replies leave.
static void test_others_hold(void **state)
{
    (void)state;
    int fd = start();
    others = true;
    for (unsigned n = 0; n < 20; n++) {
        server_kit_send(fd, "GET none\r\nSET a 1\r\nGET a\r\n", 26);
        server_kit_expect(fd, "$-1\r\n+OK\r\n$1\r\n1\r\n");
    }
    others = false;
    (void)close(fd);
}

// A peer that goes while its replies wait.
static void test_gone_while_waiting(void **state)
{
    (void)state;
    int fd = start();
    for (unsigned n = 0; n < 200; n++) {
        int gone = server_kit_connect();
        server_kit_send(gone, "SET a 1\r\nSET b 2\r\n", 18);
        if (n % 2 == 0)
            server_kit_send(gone, "CLIENT KILL TYPE normal SKIPME no\r\n", 35);
        (void)close(gone);
        if (n % 2 == 0) {
            (void)close(fd);
            fd = server_kit_connect();
        }
        (void)send(fd, "PING\r\n", 6, MSG_NOSIGNAL);
        struct pollfd p = {fd, POLLIN, 0};
        assert_int_equal(poll(&p, 1, 20000), 1); // an answer, or killed as well
    }
    (void)close(fd);
}

int main(void)
{
#define WITH(name) cmocka_unit_test_setup_teardown(name, server_kit_setup, server_kit_teardown)
    const struct CMUnitTest tests[] = {
        WITH(test_pipeline_is_one_write), WITH(test_same_replies),       WITH(test_failing_write),
        WITH(test_others_hold),           WITH(test_gone_while_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
