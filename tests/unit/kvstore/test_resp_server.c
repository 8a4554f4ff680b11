// The server on a real store, over a Unix socket in a temporary folder, with hiredis and with raw bytes.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "kvstore/kv.h"
#include "kvstore/resp_server.h"

static struct {
    char dir[64], path[96];
    struct kv_store *store;
    struct resp_server *server;
    struct resp_server_options options;
    _Atomic unsigned changes;
} t;

static void on_change(void *arg, const void *key, size_t len)
{
    (void)arg;
    (void)key;
    assert_true(len != 0);
    atomic_fetch_add(&t.changes, 1);
}

static int setup(void **state)
{
    struct kv_options options = {.limit_bytes = 16 << 20, .fsync = KV_FSYNC_ALWAYS, .create = true};
    char error[256] = "", listen[128], store_dir[96];
    (void)state;
    memset(&t, 0, sizeof t);
    (void)strcpy(t.dir, "/tmp/test_resp_XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    (void)snprintf(store_dir, sizeof store_dir, "%s/store", t.dir);
    (void)snprintf(t.path, sizeof t.path, "%s/control.sock", t.dir);
    if (kv_open(store_dir, &options, &t.store, error, sizeof error) != KV_OK)
        fail_msg("kv_open: %s", error);
    (void)snprintf(listen, sizeof listen, "unix:%s", t.path);
    assert_true(net_addr_parse(listen, &t.options.listen, NULL));
    t.options.fsync = KV_FSYNC_ALWAYS;
    t.options.on_change = on_change;
    return 0;
}

static void start(void)
{
    struct error e = {""};
    t.server = resp_server_create(t.store, &t.options, &e);
    if (t.server == NULL || !resp_server_start(t.server, &e))
        fail_msg("server: %s", e.text);
}

static int teardown(void **state)
{
    char command[96];
    (void)state;
    resp_server_destroy(&t.server);
    assert_int_equal(kv_close(&t.store), KV_OK);
    (void)snprintf(command, sizeof command, "rm -rf %s", t.dir);
    return system(command);
}

static int connect_raw(void)
{
    struct net_addr addr;
    char text[128];
    (void)snprintf(text, sizeof text, "unix:%s", t.path);
    assert_true(net_addr_parse(text, &addr, NULL));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr.ss, addr.len), 0);
    assert_int_equal(
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){20, 0}, sizeof(struct timeval)), 0);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t len)
{
    while (len != 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

// Reads exactly these bytes.
static void expect(int fd, const char *bytes)
{
    char got[512];
    size_t len = strlen(bytes);
    assert_true(len < sizeof got);
    ssize_t n = recv(fd, got, len, MSG_WAITALL);
    got[n > 0 ? n : 0] = '\0';
    assert_string_equal(got, bytes);
}

static void expect_end(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    (void)close(fd);
}

static redisContext *client(void)
{
    redisContext *c = redisConnectUnix(t.path);
    assert_non_null(c);
    assert_int_equal(c->err, 0);
    return c;
}

static void wait_for(uint64_t (*read_stat)(void), uint64_t value)
{
    for (int i = 0; i < 2000 && read_stat() != value; i++)
        (void)usleep(5000);
    assert_int_equal(read_stat(), value);
}

static uint64_t stat_cut_off(void)
{
    struct resp_server_stats s;
    resp_server_get_stats(t.server, &s);
    return s.cut_off;
}

static uint64_t stat_clients(void)
{
    struct resp_server_stats s;
    resp_server_get_stats(t.server, &s);
    return s.clients;
}

static long resident_kib(void)
{
    long total, resident;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &total, &resident), 2);
    (void)fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

// ---- the tests

static void socket_file(void **state)
{
    struct stat st;
    struct error e = {""};
    (void)state;
    start();
    assert_int_equal(stat(t.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    resp_server_stop(t.server);
    assert_int_equal(stat(t.path, &st), -1);
    resp_server_stop(t.server); // twice is fine
    resp_server_destroy(&t.server);
    t.server = resp_server_create(t.store, &t.options, &e); // bound, never started
    assert_non_null(t.server);
    resp_server_destroy(&t.server);
    assert_int_equal(stat(t.path, &st), -1);
    assert_true(net_addr_parse("unix:/nonexistent/folder/s", &t.options.listen, NULL));
    assert_null(resp_server_create(t.store, &t.options, &e));
    assert_true(e.text[0] != '\0');
}

static void hiredis_calls(void **state)
{
    (void)state;
    start();
    redisContext *c = client();
    char value[] = "a\r\n\0b";
    redisReply *r = redisCommand(c, "SET %b %b", "k\0ey", (size_t)4, value, sizeof value);
    assert_string_equal(r->str, "OK");
    freeReplyObject(r);
    r = redisCommand(c, "GET %b", "k\0ey", (size_t)4);
    assert_int_equal(r->len, sizeof value);
    assert_memory_equal(r->str, value, sizeof value);
    freeReplyObject(r);
    r = redisCommand(c, "DEL %b", "k\0ey", (size_t)4);
    assert_int_equal(r->integer, 1);
    freeReplyObject(r);
    r = redisCommand(c, "NOPE");
    assert_int_equal(r->type, REDIS_REPLY_ERROR);
    freeReplyObject(r);
    r = redisCommand(c, "CLIENT LIST");
    assert_non_null(strstr(r->str, "control.sock:0"));
    freeReplyObject(r);
    redisFree(c);
    assert_int_equal(atomic_load(&t.changes), 2);
}

// Proves: 1000 SETs in one pipeline are answered in order and are in the store; a big value too.
static void pipeline(void **state)
{
    enum { COUNT = 1000, SIZE = 4096, BIG = 20 << 20 };
    char *value = malloc(BIG);
    (void)state;
    memset(value, 'v', BIG);
    start();
    redisContext *c = client();
    redisReply *r;
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(redisAppendCommand(c, "SET key:%d %d:%b", i, i, value, (size_t)SIZE), REDIS_OK);
    assert_int_equal(redisAppendCommand(c, "SET big %b", value, (size_t)BIG), REDIS_OK);
    for (int i = 0; i <= COUNT; i++) {
        assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
        assert_string_equal(r->str, "OK");
        freeReplyObject(r);
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(redisAppendCommand(c, "GET key:%d", i), REDIS_OK);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
        assert_int_equal(r->type, REDIS_REPLY_STRING);
        assert_int_equal(atoi(r->str), i);
        freeReplyObject(r);
    }
    r = redisCommand(c, "STRLEN big");
    assert_int_equal(r->integer, BIG);
    freeReplyObject(r);
    redisFree(c);
    free(value);
}

static void half_sent(void **state)
{
    static const char bytes[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\nhi\r\nGET a\r\n*1\r\n$4\r\nPING\r\n";
    (void)state;
    start();
    int fd = connect_raw();
    for (size_t i = 0; i + 1 < sizeof bytes; i++) {
        send_all(fd, bytes + i, 1);
        if (i % 8 == 0)
            (void)usleep(1000);
    }
    expect(fd, "+OK\r\n$2\r\nhi\r\n+PONG\r\n");
    send_all(fd, "*2\r\n$3\r\nGET\r\n$100\r\nabc", 22); // never finished
    (void)close(fd);
    wait_for(stat_clients, 0);
    // What was sent before the end of the stream is answered.
    fd = connect_raw();
    send_all(fd, "SET b 1\r\nGET b\r\nGET", 19);
    (void)shutdown(fd, SHUT_WR);
    expect(fd, "+OK\r\n$1\r\n1\r\n");
    expect_end(fd);
}

static void closes_when_told(void **state)
{
    (void)state;
    start();
    int fd = connect_raw();
    send_all(fd, "PING\r\n*1\r\n$x\r\nPING\r\n", 20);
    expect(fd, "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n");
    expect_end(fd);
    fd = connect_raw();
    send_all(fd, "*x\r\n", 4);
    expect(fd, "-ERR Protocol error: invalid multibulk length\r\n");
    expect_end(fd);
    fd = connect_raw();
    send_all(fd, "QUIT\r\nPING\r\n", 12);
    expect(fd, "+OK\r\n");
    expect_end(fd);
}

// Proves: a peer that sends and never reads costs bounded memory, is cut off, and others go on meanwhile.
static void never_reading(void **state)
{
    static char gets[16 * 1000];
    char *value = calloc(1, 100000);
    (void)state;
    t.options.write_timeout_ms = 700;
    start();
    redisContext *c = client();
    freeReplyObject(redisCommand(c, "SET v %b", value, (size_t)100000));
    free(value);
    size_t len = 0;
    for (int i = 0; i < 1000; i++)
        len += (size_t)sprintf(gets + len, "GET v\r\n");
    long before = resident_kib();
    int fds[8];
    for (int i = 0; i < 8; i++) { // 100 MB of replies each
        fds[i] = connect_raw();
        send_all(fds[i], gets, len);
    }
    (void)usleep(300000);
    freeReplyObject(redisCommand(c, "PING"));
    assert_true(resident_kib() - before < 64 * 1024);
    wait_for(stat_cut_off, 8);
    for (int i = 0; i < 8; i++)
        (void)close(fds[i]);
    redisFree(c);
}

static void announcements(void **state)
{
    static const char head[] = "*1000000\r\n$536870912\r\nabc";
    int fds[50];
    (void)state;
    start();
    long before = resident_kib();
    for (int i = 0; i < 50; i++) {
        fds[i] = connect_raw();
        send_all(fds[i], head, sizeof head - 1);
    }
    int fd = connect_raw();
    send_all(fd, "PING\r\n", 6);
    expect(fd, "+PONG\r\n");
    assert_true(resident_kib() - before < 32 * 1024);
    for (int i = 0; i < 50; i++)
        (void)close(fds[i]);
    (void)close(fd);
}

static void limits(void **state)
{
    (void)state;
    t.options.output_limit_bytes = 10000;
    t.options.limits.max_bulk_bytes = 6000;
    start();
    redisContext *c = client();
    char value[6000] = {0};
    freeReplyObject(redisCommand(c, "SET v %b", value, sizeof value));
    redisReply *r = redisCommand(c, "GET v");
    assert_int_equal(r->len, sizeof value);
    freeReplyObject(r);
    assert_null(redisCommand(c, "MGET v v")); // cut off
    redisFree(c);
    assert_int_equal(stat_cut_off(), 1);
    c = client();
    r = redisCommand(c, "SET v %b", (char[6001]){0}, (size_t)6001);
    assert_string_equal(r->str, "ERR Protocol error: invalid bulk length");
    freeReplyObject(r);
    redisFree(c);
}

static void too_many_clients(void **state)
{
    int fds[3];
    (void)state;
    t.options.max_clients = 3;
    start();
    for (int i = 0; i < 3; i++) {
        fds[i] = connect_raw();
        send_all(fds[i], "PING\r\n", 6);
        expect(fds[i], "+PONG\r\n");
    }
    int fd = connect_raw();
    expect(fd, "-ERR max number of clients reached\r\n");
    expect_end(fd);
    (void)close(fds[0]);
    wait_for(stat_clients, 2);
    fd = connect_raw();
    send_all(fd, "PING\r\n", 6);
    expect(fd, "+PONG\r\n");
    (void)close(fd);
    (void)close(fds[1]);
    (void)close(fds[2]);
}

static void idle(void **state)
{
    (void)state;
    t.options.idle_timeout_ms = 300;
    start();
    int quiet = connect_raw(), busy = connect_raw();
    for (int i = 0; i < 8; i++) {
        send_all(busy, "PING\r\n", 6);
        expect(busy, "+PONG\r\n");
        (void)usleep(60000);
    }
    expect_end(quiet);
    send_all(busy, "PING\r\n", 6);
    expect(busy, "+PONG\r\n");
    (void)close(busy);
}

// ---- many at once

struct hammer {
    pthread_t thread;
    int id;
    int rounds;    // 0: until the connection ends
    unsigned done; // acknowledged SETs
};

static void *hammer(void *arg)
{
    struct hammer *h = arg;
    redisContext *c = client();
    for (int i = 0; h->rounds == 0 || i < h->rounds; i++) {
        redisReply *r = redisCommand(c, "SET h:%d:%d %d", h->id, i, i);
        if (r == NULL)
            break;
        assert_string_equal(r->str, "OK");
        freeReplyObject(r);
        h->done++;
        if (i % 4 == 0 && (r = redisCommand(c, "GET h:%d:%d", h->id, i)) != NULL) {
            assert_int_equal(atoi(r->str), i);
            freeReplyObject(r);
        }
    }
    redisFree(c);
    return NULL;
}

static void two_hundred_connections(void **state)
{
    static struct hammer hammers[200];
    (void)state;
    t.options.loops = 2; // connections on several loops
    start();
    for (int i = 0; i < 200; i++) {
        hammers[i] = (struct hammer){.id = i, .rounds = 5};
        assert_int_equal(pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        (void)pthread_join(hammers[i].thread, NULL);
        assert_int_equal(hammers[i].done, 5);
    }
    struct kv_stats stats;
    kv_get_stats(t.store, &stats);
    assert_int_equal(stats.keys, 1000);
    assert_int_equal(atomic_load(&t.changes), 1000);
}

// Proves: NX is atomic across connections.
static _Atomic unsigned winners;

static void *race(void *arg)
{
    redisContext *c = client();
    (void)arg;
    for (int i = 0; i < 50; i++) {
        redisReply *r = redisCommand(c, "SET race:%d x NX EX 100", i);
        atomic_fetch_add(&winners, r->type == REDIS_REPLY_STATUS);
        freeReplyObject(r);
    }
    redisFree(c);
    return NULL;
}

static void one_winner(void **state)
{
    pthread_t threads[8];
    (void)state;
    start();
    atomic_store(&winners, 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race, NULL), 0);
    for (int i = 0; i < 8; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&winners), 50);
}

// Proves: stop in the middle of work ends, and what was acknowledged is there.
static void stop_while_busy(void **state)
{
    struct hammer hammers[16];
    (void)state;
    t.options.loops = 2;
    start();
    for (int i = 0; i < 16; i++) {
        hammers[i] = (struct hammer){.id = i};
        assert_int_equal(pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]), 0);
    }
    while (atomic_load(&t.changes) < 200)
        (void)usleep(1000);
    int stuck = connect_raw(); // a half-sent command does not hold the stop up
    send_all(stuck, "*1\r\n$10\r\n", 9);
    (void)usleep(10000);
    resp_server_stop(t.server);
    for (int i = 0; i < 16; i++) {
        (void)pthread_join(hammers[i].thread, NULL);
        for (unsigned k = 0; k < hammers[i].done; k++) {
            char key[32];
            int len = snprintf(key, sizeof key, "h:%d:%u", hammers[i].id, k);
            assert_int_equal(kv_exists(t.store, key, (size_t)len), KV_OK);
        }
    }
    (void)close(stuck);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); // hiredis writes to connections that the server has closed
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(socket_file),      TEST(hiredis_calls),    TEST(pipeline),
        TEST(half_sent),        TEST(closes_when_told), TEST(never_reading),
        TEST(announcements),    TEST(limits),           TEST(idle),
        TEST(too_many_clients), TEST(one_winner),       TEST(two_hundred_connections),
        TEST(stop_while_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
