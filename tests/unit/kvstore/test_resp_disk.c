// Values on disk: a loop fetches what GETs ask for, hands the rest to workers, and replies stay in the order of the commands.
#include "tests/unit/kvstore/resp_server_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "kvstore/kv_internal.h"

#define KEYS 300
#define SIZE 5000

static char value[SIZE + 1];

static const char *value_of(int key, int version)
{
    memset(value, 'a' + version, SIZE);
    int len = snprintf(value, SIZE, "%d:%d:", key, version);
    value[len] = '.';
    return value;
}

static redisContext *client(void)
{
    redisContext *c = redisConnectUnixWithTimeout(t.path, (struct timeval){20, 0});
    assert_non_null(c);
    assert_int_equal(c->err, 0);
    assert_int_equal(redisSetTimeout(c, (struct timeval){60, 0}), REDIS_OK);
    return c;
}

// KEYS values, none of them in memory, nor ever.
static void fill(void)
{
    char key[16];
    t.options.fsync = KV_FSYNC_NEVER;
    for (int i = 0; i < KEYS; i++) {
        int len = snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(kv_put(t.store, key, (size_t)len, value_of(i, 0), SIZE, 0, KV_PUT_NO_WAIT), KV_OK);
    }
    assert_int_equal(kv_set_memory_limit(t.store, 0), KV_OK);
    server_kit_start();
}

static void expect_stored(redisContext *c, int key, int version)
{
    redisReply *r;
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_int_equal(r->type, REDIS_REPLY_STRING);
    assert_int_equal(r->len, SIZE);
    assert_memory_equal(r->str, value_of(key, version), SIZE);
    freeReplyObject(r);
}

static void expect_ok(redisContext *c)
{
    redisReply *r;
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_string_equal(r->str, "OK");
    freeReplyObject(r);
}

static void pipelined_gets(void **state)
{
    (void)state;
    fill();
    redisContext *c = client();
    for (unsigned round = 0; round < 3; round++) {
        for (int i = 0; i < KEYS; i++)
            assert_int_equal(redisAppendCommand(c, "GET k%d", i), REDIS_OK);
        for (int i = 0; i < KEYS; i++)
            expect_stored(c, i, 0);
    }
    redisFree(c);
}

// Small values, which the loop reads itself, and large ones, which a thread of the store brings, in one pipeline: in the order they were asked for.
static void small_and_large(void **state)
{
    (void)state;
    enum { LARGE = 12, BYTES = 700000 };
    char key[16];
    uint8_t *large = malloc(BYTES);
    assert_non_null(large);
    for (int i = 0; i < LARGE; i++) {
        int len = snprintf(key, sizeof key, "large%d", i);
        memset(large, 'A' + i, BYTES);
        assert_int_equal(kv_put(t.store, key, (size_t)len, large, BYTES, 0, KV_PUT_NO_WAIT), KV_OK);
    }
    fill();
    redisContext *c = client();
    for (int i = 0; i < LARGE; i++) {
        assert_int_equal(redisAppendCommand(c, "GET large%d", i), REDIS_OK);
        assert_int_equal(redisAppendCommand(c, "GET k%d", i), REDIS_OK);
        assert_int_equal(redisAppendCommand(c, "GET k%d", KEYS - 1 - i), REDIS_OK);
    }
    for (int i = 0; i < LARGE; i++) {
        redisReply *r;
        assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
        assert_int_equal(r->len, BYTES);
        memset(large, 'A' + i, BYTES);
        assert_memory_equal(r->str, large, BYTES);
        freeReplyObject(r);
        expect_stored(c, i, 0);
        expect_stored(c, KEYS - 1 - i, 0);
    }
    redisFree(c);
    free(large);
}

// Where the system has no io_uring a thread of the store fetches everything.
static void without_io_uring(void **state)
{
    (void)state;
    atomic_store(&t.store->readers.uring, false);
    fill();
    redisContext *c = client();
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(redisAppendCommand(c, "GET k%d", i), REDIS_OK);
    for (int i = 0; i < KEYS; i++)
        expect_stored(c, i, 0);
    redisFree(c);
}

// What a GET answers is what was there when its turn came: not what a later command of the same pipeline wrote.
static void writes_between_gets(void **state)
{
    (void)state;
    fill();
    redisContext *c = client();
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(redisAppendCommand(c, "GET k%d", i), REDIS_OK);
        assert_int_equal(redisAppendCommand(c, "GET k%d", (i + 1) % KEYS), REDIS_OK);
        assert_int_equal(redisAppendCommand(c, "SET k%d %b", i, value_of(i, 1), (size_t)SIZE), REDIS_OK);
        assert_int_equal(redisAppendCommand(c, "PING"), REDIS_OK);
        assert_int_equal(redisAppendCommand(c, "GET k%d", i), REDIS_OK);
    }
    for (int i = 0; i < KEYS; i++) {
        redisReply *r;
        expect_stored(c, i, 0);
        expect_stored(c, (i + 1) % KEYS, i + 1 == KEYS ? 1 : 0);
        expect_ok(c);
        assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
        assert_string_equal(r->str, "PONG");
        freeReplyObject(r);
        expect_stored(c, i, 1);
    }
    redisFree(c);
}

static void other_commands(void **state)
{
    (void)state;
    fill();
    redisContext *c = client();
    redisReply *r;
    assert_int_equal(redisAppendCommand(c, "GET k1"), REDIS_OK);
    assert_int_equal(redisAppendCommand(c, "GET nothing"), REDIS_OK);
    assert_int_equal(redisAppendCommand(c, "MGET k1 k2 nothing"), REDIS_OK);
    assert_int_equal(redisAppendCommand(c, "GETDEL k2"), REDIS_OK);
    assert_int_equal(redisAppendCommand(c, "GET k2"), REDIS_OK);
    assert_int_equal(redisAppendCommand(c, "GET"), REDIS_OK);
    assert_int_equal(redisAppendCommand(c, "STRLEN k3"), REDIS_OK);
    expect_stored(c, 1, 0);
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_int_equal(r->type, REDIS_REPLY_NIL);
    freeReplyObject(r);
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_int_equal(r->elements, 3);
    assert_memory_equal(r->element[0]->str, value_of(1, 0), SIZE);
    assert_memory_equal(r->element[1]->str, value_of(2, 0), SIZE);
    assert_int_equal(r->element[2]->type, REDIS_REPLY_NIL);
    freeReplyObject(r);
    expect_stored(c, 2, 0);
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_int_equal(r->type, REDIS_REPLY_NIL);
    freeReplyObject(r);
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_int_equal(r->type, REDIS_REPLY_ERROR);
    freeReplyObject(r);
    assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
    assert_int_equal(r->integer, SIZE);
    freeReplyObject(r);
    redisFree(c);
}

// Peers that go while their values are on the way.
static void gone_before_the_answer(void **state)
{
    (void)state;
    fill();
    for (int i = 0; i < 100; i++) {
        char text[64];
        int fd = server_kit_connect();
        for (int k = 0; k < 20; k++) {
            int len = snprintf(text, sizeof text, "GET k%d\r\n", (i * 20 + k) % KEYS);
            server_kit_send(fd, text, (size_t)len);
        }
        (void)close(fd);
    }
    redisContext *c = client();
    assert_int_equal(redisAppendCommand(c, "GET k7"), REDIS_OK);
    expect_stored(c, 7, 0);
    redisFree(c);
    struct resp_server_stats stats;
    for (unsigned i = 0; i < 12000; i++) { // until the last of them is gone
        resp_server_get_stats(t.server, &stats);
        if (stats.clients == 0)
            break;
        (void)usleep(5000);
    }
    assert_int_equal(stats.clients, 0);
    assert_int_equal(stats.buffer_bytes, 0);
}

static uint64_t four_megabytes(void *arg)
{
    (void)arg;
    return 4 << 20;
}

// The one that holds most goes when all together hold too much.
static void too_much_held(void **state)
{
    (void)state;
    t.options.buffer_limit = four_megabytes;
    fill();
    redisContext *c = client();
    int fd = server_kit_connect();
    const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$8388608\r\n";
    server_kit_send(fd, head, sizeof head - 1);
    memset(value, 'x', SIZE);
    struct resp_server_stats stats = {0};
    for (unsigned i = 0; i < 1200 && send(fd, value, SIZE, MSG_NOSIGNAL) > 0; i++)
        ; // until it is cut off, which may be before the last
    for (unsigned i = 0; i < 12000 && stats.evicted == 0; i++) {
        resp_server_get_stats(t.server, &stats);
        (void)usleep(5000);
    }
    assert_int_equal(stats.evicted, 1);
    assert_int_equal(redisAppendCommand(c, "GET k7"), REDIS_OK);
    expect_stored(c, 7, 0);
    redisFree(c);
    (void)close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, server_kit_setup, server_kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(pipelined_gets), TEST(small_and_large),        TEST(without_io_uring), TEST(writes_between_gets),
        TEST(other_commands), TEST(gone_before_the_answer), TEST(too_much_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
