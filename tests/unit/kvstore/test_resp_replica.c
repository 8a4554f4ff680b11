// A replica with its thread and a socket, on a fake store, against a primary that follows a script.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/kvstore/resp_kit.h"

#include "kvstore/rdb/rdb_writer.h"
#include "kvstore/resp/replica.h"

#define ID     "0123456789abcdef0123456789abcdef01234567"
#define HELLO  "+PONG\r\n+OK\r\n+OK\r\n" // all answers at once: the replica asks one after the other
#define FULL   HELLO "+FULLRESYNC " ID " 100\r\n"
#define PING   "*1\r\n$4\r\nPING\r\n"
#define WAIT_S 240

static int listener = -1;
static unsigned port;

static int setup_with(void **state, unsigned timeout_ms)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    const struct resp_replica_options options = {.timeout_ms = timeout_ms};
    struct error e;
    if (resp_kit_setup(state) != 0)
        return -1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&addr, len) != 0 || listen(listener, 4) != 0 ||
        getsockname(listener, (struct sockaddr *)&addr, &len) != 0)
        return -1;
    port = ntohs(addr.sin_port);
    return resp_replica_open(&kit.shared, &options, &e) && resp_replica_start(&kit.shared, &e) ? 0 : -1;
}

static int setup(void **state)
{
    return setup_with(state, 2 * WAIT_S * 1000);
}

static int setup_impatient(void **state)
{
    return setup_with(state, 1000);
}

static int teardown(void **state)
{
    resp_replica_close(&kit.shared);
    (void)close(listener);
    return resp_kit_teardown(state);
}

// The next connection of the replica.
static int accept_one(void)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, WAIT_S * 1000), 1);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

static void say(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}
#define SAY(fd, text) say(fd, text, strlen(text))

// Reads until the replica has said it. False: it has closed the connection.
static bool hear(int fd, const char *text)
{
    char heard[8192] = "";
    size_t len = 0;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (strstr(heard, text) == NULL) {
        assert_int_equal(poll(&ready, 1, WAIT_S * 1000), 1);
        ssize_t n = recv(fd, heard + len, sizeof heard - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        heard[len] = '\0';
    }
    return true;
}

static void follow(void)
{
    assert_true(resp_replica_follow(&kit.shared, "127.0.0.1", port));
}

static struct resp_replica_status status(void)
{
    struct resp_replica_status s;
    resp_replica_get_status(&kit.shared, &s);
    return s;
}

#define UNTIL(condition)                                                                                     \
    do {                                                                                                     \
        for (unsigned left = WAIT_S * 1000; !(condition); left--) {                                          \
            assert_true(left != 0);                                                                          \
            (void)usleep(1000);                                                                              \
        }                                                                                                    \
    } while (0)

static char rdb_bytes[4096];
static size_t rdb_len;

static int add_bytes(void *arg, const void *bytes, size_t len)
{
    (void)arg;
    memcpy(rdb_bytes + rdb_len, bytes, len);
    rdb_len += len;
    return 0;
}

// Two keys, of databases 0 and 2.
static void make_rdb(void)
{
    const struct rdb_writer_options options = {.write = add_bytes, .now_s = 1};
    rdb_len = 0;
    struct rdb_writer *writer = rdb_writer_create(&options);
    assert_int_equal(rdb_writer_put(writer, "a", 1, "one", 3, 0), 0);
    assert_int_equal(rdb_writer_select(writer, 2, 1, 0), 0);
    assert_int_equal(rdb_writer_put(writer, "b", 1, "two", 3, 0), 0);
    assert_int_equal(rdb_writer_finish(writer), 0);
    rdb_writer_destroy(writer);
}

static void send_full(int fd)
{
    char head[32];
    make_rdb();
    SAY(fd, FULL);
    (void)snprintf(head, sizeof head, "$%zu\r\n", rdb_len);
    SAY(fd, head);
    say(fd, rdb_bytes, rdb_len);
}

// ---- what works

static void test_full_and_partial(void **state)
{
    (void)state;
    EXPECT("SET old 1", OK);
    follow();
    int fd = accept_one();
    send_full(fd);
    SAY(fd,
        "*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n*3\r\n$3\r\nset\r\n$1\r\nc\r\n$5\r\nthree\r\n*1\r\n$4\r\nSAVE\r\n"
        "*3\r\n$9\r\nreplicaof\r\n$2\r\nno\r\n$3\r\none\r\n*2\r\n$3\r\nfoo\r\n$1\r\nx\r\n*2\r\n$3\r\nfoo\r\n$"
        "1\r\nx\r\n");
    UNTIL(status().state == RESP_REPLICA_CONNECTED && status().skipped == 4);
    EXPECT("EXISTS old", ":0\r\n");
    EXPECT("GET a", "$3\r\none\r\n");
    EXPECT("SELECT 2", OK);
    EXPECT("GET b", "$3\r\ntwo\r\n");
    EXPECT("GET c", "$5\r\nthree\r\n");
    uint64_t offset = status().offset;
    assert_int_equal(status().commands, 2);
    assert_true(hear(fd, "$3\r\nACK\r\n"));
    (void)close(fd);
    fd = accept_one(); // it comes back, and knows where it was
    char text[64];
    SAY(fd, HELLO);
    (void)snprintf(text, sizeof text, ID "\r\n$3\r\n%llu\r\n", (unsigned long long)offset + 1);
    assert_true(hear(fd, text));
    SAY(fd, "+CONTINUE\r\n*2\r\n$3\r\nDEL\r\n$1\r\nc\r\n"); // still in database 2
    UNTIL(status().commands == 3);
    EXPECT("EXISTS b c", ":1\r\n");
    assert_int_equal(status().partial_syncs, 1);
    atomic_store(&fake.caught_up, 0); // what a stream replaces is overwritten as fast as it comes
    atomic_store(&fake.behind, true);
    SAY(fd, "*3\r\n$3\r\nset\r\n$1\r\nc\r\n$1\r\n4\r\n");
    UNTIL(status().commands == 4);
    atomic_store(&fake.behind, false);
    assert_true(atomic_load(&fake.caught_up) >= 1);
    (void)close(fd);
}

// Another primary's history: nothing is kept, and no is no.
static void test_promoted(void **state)
{
    (void)state;
    follow();
    int fd = accept_one();
    send_full(fd);
    UNTIL(status().state == RESP_REPLICA_CONNECTED);
    EXPECT("REPLICAOF NO ONE", OK);
    EXPECT("SET a mine", OK);
    assert_false(hear(fd, "never"));
    (void)close(fd);
    EXPECT("GET a", "$4\r\nmine\r\n");
    follow();
    fd = accept_one();
    SAY(fd, HELLO);
    assert_true(hear(fd, "PSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n"));
    (void)close(fd);
}

// ---- what does not

// The connection is closed, the old data is there (emptied: not), and it is tried again.
static void refuses(const char *name, const char *bytes, size_t len, bool emptied)
{
    EXPECT("FLUSHALL", OK);
    EXPECT("SET old 1", OK);
    uint64_t failures = status().failures;
    follow();
    int fd = accept_one();
    say(fd, bytes, len);
    if (hear(fd, "never"))
        fail_msg("%s", name);
    (void)close(fd);
    UNTIL(status().failures > failures);
    EXPECT("EXISTS old", emptied ? ":0\r\n" : ":1\r\n");
    EXPECT("REPLICAOF NO ONE", OK);
}

static void test_refusals(void **state)
{
    static const char noise[] = "GET / HTTP/1.1\r\n\r\n";
    char bytes[8192];
    (void)state;
    refuses("noise", noise, sizeof noise - 1, false);
    refuses("a line without end", memset(bytes, 'a', 4096), 4096, false);
    int head = snprintf(bytes, sizeof bytes, FULL "$100\r\nREDISxxxx");
    memset(bytes + head, 0, 100);
    refuses("an RDB that is none", bytes, (size_t)head + 91, false);
    make_rdb();
    rdb_bytes[rdb_len - 1] ^= 1;
    head = snprintf(bytes, sizeof bytes, FULL "$%zu\r\n", rdb_len);
    memcpy(bytes + head, rdb_bytes, rdb_len);
    refuses("a wrong checksum", bytes, (size_t)head + rdb_len, true);
}

static void test_silence(void **state)
{
    char bytes[256];
    (void)state;
    refuses("silence", FULL, strlen(FULL), false);
    int head = snprintf(bytes, sizeof bytes, FULL "$9223372036854775807\r\nREDIS0010\xfe");
    refuses("an RDB that stops", bytes, (size_t)head, false);
}

// A disk that is full breaks the link, and the command comes again.
static void test_own_failure(void **state)
{
    static const char set[] = "*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$1\r\n1\r\n";
    (void)state;
    follow();
    int fd = accept_one();
    send_full(fd);
    SAY(fd, PING);
    UNTIL(status().commands == 1);
    fake.fail_put = KV_FULL;
    SAY(fd, set);
    assert_false(hear(fd, "never"));
    (void)close(fd);
    fake.fail_put = KV_OK;
    fd = accept_one();
    SAY(fd, HELLO);
    assert_true(hear(fd, ID "\r\n$3\r\n115\r\n")); // 100, PING, and the next
    SAY(fd, "+CONTINUE\r\n");
    SAY(fd, set);
    UNTIL(status().commands == 2);
    EXPECT("GET z", "$1\r\n1\r\n");
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_full_and_partial, setup, teardown),
        cmocka_unit_test_setup_teardown(test_promoted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence, setup_impatient, teardown),
        cmocka_unit_test_setup_teardown(test_own_failure, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
