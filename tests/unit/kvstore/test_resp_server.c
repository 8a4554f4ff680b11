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

#include "kvstore/resp/access.h"
#include "tests/unit/kvstore/resp_server_kit.h"

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
    for (int i = 0; i < 12000 && read_stat() != value; i++)
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
    server_kit_start();
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
    server_kit_start();
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
    server_kit_start();
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
    server_kit_start();
    int fd = server_kit_connect();
    for (size_t i = 0; i + 1 < sizeof bytes; i++) {
        server_kit_send(fd, bytes + i, 1);
        if (i % 8 == 0)
            (void)usleep(1000);
    }
    server_kit_expect(fd, "+OK\r\n$2\r\nhi\r\n+PONG\r\n");
    server_kit_send(fd, "*2\r\n$3\r\nGET\r\n$100\r\nabc", 22); // never finished
    (void)close(fd);
    wait_for(stat_clients, 0);
    // What was sent before the end of the stream is answered.
    fd = server_kit_connect();
    server_kit_send(fd, "SET b 1\r\nGET b\r\nGET", 19);
    (void)shutdown(fd, SHUT_WR);
    server_kit_expect(fd, "+OK\r\n$1\r\n1\r\n");
    expect_end(fd);
}

static void closes_when_told(void **state)
{
    (void)state;
    server_kit_start();
    int fd = server_kit_connect();
    server_kit_send(fd, "PING\r\n*1\r\n$x\r\nPING\r\n", 20);
    server_kit_expect(fd, "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n");
    expect_end(fd);
    fd = server_kit_connect();
    server_kit_send(fd, "*x\r\n", 4);
    server_kit_expect(fd, "-ERR Protocol error: invalid multibulk length\r\n");
    expect_end(fd);
    fd = server_kit_connect();
    server_kit_send(fd, "QUIT\r\nPING\r\n", 12);
    server_kit_expect(fd, "+OK\r\n");
    expect_end(fd);
}

// Proves: a peer that sends and never reads costs bounded memory, is cut off, and others go on meanwhile.
static void never_reading(void **state)
{
    static char gets[16 * 1000];
    char *value = calloc(1, 100000);
    (void)state;
    t.options.write_timeout_ms = 700;
    server_kit_start();
    redisContext *c = client();
    freeReplyObject(redisCommand(c, "SET v %b", value, (size_t)100000));
    free(value);
    size_t len = 0;
    for (int i = 0; i < 1000; i++)
        len += (size_t)sprintf(gets + len, "GET v\r\n");
    long before = resident_kib();
    int fds[8];
    for (int i = 0; i < 8; i++) { // 100 MB of replies each
        fds[i] = server_kit_connect();
        server_kit_send(fds[i], gets, len);
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
    server_kit_start();
    long before = resident_kib();
    for (int i = 0; i < 50; i++) {
        fds[i] = server_kit_connect();
        server_kit_send(fds[i], head, sizeof head - 1);
    }
    int fd = server_kit_connect();
    server_kit_send(fd, "PING\r\n", 6);
    server_kit_expect(fd, "+PONG\r\n");
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
    server_kit_start();
    redisContext *c = client();
    char value[6000] = {0};
    freeReplyObject(redisCommand(c, "SET v %b", value, sizeof value));
    redisReply *r = redisCommand(c, "GET v");
    assert_int_equal(r->len, sizeof value);
    freeReplyObject(r);
    assert_null(redisCommand(c, "MGET v v")); // cut off
    redisFree(c);
    wait_for(stat_cut_off, 1);
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
    server_kit_start();
    for (int i = 0; i < 3; i++) {
        fds[i] = server_kit_connect();
        server_kit_send(fds[i], "PING\r\n", 6);
        server_kit_expect(fds[i], "+PONG\r\n");
    }
    int fd = server_kit_connect();
    server_kit_expect(fd, "-ERR max number of clients reached\r\n");
    expect_end(fd);
    (void)close(fds[0]);
    wait_for(stat_clients, 2);
    fd = server_kit_connect();
    server_kit_send(fd, "PING\r\n", 6);
    server_kit_expect(fd, "+PONG\r\n");
    (void)close(fd);
    (void)close(fds[1]);
    (void)close(fds[2]);
}

// Proves: those of a listener that is not trusted leave room for the others.
static void kept_for_the_trusted(void **state)
{
    struct net_addr bound;
    int fds[2];
    (void)state;
    t.options.more[0] = (struct resp_listen){.addr = t.options.listen, .trusted = true};
    t.options.more_count = 1;
    assert_true(net_addr_parse("127.0.0.1:0", &t.options.listen, NULL));
    t.options.max_clients = 3;
    t.options.kept_clients = 2;
    server_kit_start();
    resp_server_address(t.server, &bound);
    for (int i = 0; i < 2; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fds[i], (const struct sockaddr *)&bound.ss, bound.len), 0);
        server_kit_send(fds[i], "PING\r\n", 6);
        server_kit_expect(fds[i], i == 0 ? "+PONG\r\n" : "-ERR max number of clients reached\r\n");
    }
    assert_int_equal(resp_access_set_password(resp_server_access(t.server), "x", 1), RESP_ACCESS_OK);
    int fd = server_kit_connect();
    server_kit_send(fd, "PING\r\nRESET\r\nPING\r\n", 19);
    server_kit_expect(fd, "+PONG\r\n+RESET\r\n+PONG\r\n");
    (void)close(fd);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void idle(void **state)
{
    (void)state;
    char c;
    ssize_t n;
    t.options.idle_timeout_ms = 2000; // a hundred times as long as the busy one is silent
    server_kit_start();
    int quiet = server_kit_connect(), busy = server_kit_connect();
    while ((n = recv(quiet, &c, 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN) {
        server_kit_send(busy, "PING\r\n", 6);
        server_kit_expect(busy, "+PONG\r\n");
        (void)usleep(20000);
    }
    assert_int_equal(n, 0);
    (void)close(quiet);
    server_kit_send(busy, "PING\r\n", 6);
    server_kit_expect(busy, "+PONG\r\n");
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
    server_kit_start();
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
    server_kit_start();
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
    server_kit_start();
    for (int i = 0; i < 16; i++) {
        hammers[i] = (struct hammer){.id = i};
        assert_int_equal(pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]), 0);
    }
    while (atomic_load(&t.changes) < 200)
        (void)usleep(1000);
    int stuck = server_kit_connect(); // a half-sent command does not hold the stop up
    server_kit_send(stuck, "*1\r\n$10\r\n", 9);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, server_kit_setup, server_kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(socket_file),
        TEST(hiredis_calls),
        TEST(pipeline),
        TEST(half_sent),
        TEST(closes_when_told),
        TEST(never_reading),
        TEST(announcements),
        TEST(limits),
        TEST(idle),
        TEST(too_many_clients),
        TEST(one_winner),
        TEST(two_hundred_connections),
        TEST(stop_while_busy),
        TEST(kept_for_the_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
