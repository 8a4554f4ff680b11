// Replies that are sent from the store's memory: no view outlives the turn that took it, whatever peers do meanwhile, and what was answered is what was there then.
#include "tests/unit/kvstore/resp_server_kit.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE 150000
#define KEYS 3 // so many replies are more than a socket takes, and less than a turn's share

static _Atomic long taken, released; // views

enum kv_status __real_kv_peek(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view);
enum kv_status __wrap_kv_peek(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view);
enum kv_status __wrap_kv_peek(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view)
{
    enum kv_status status = __real_kv_peek(store, key, key_len, view);
    if (status == KV_OK && view != NULL)
        taken++;
    return status;
}

void __real_kv_view_release(struct kv_store *store, struct kv_view *view);
void __wrap_kv_view_release(struct kv_store *store, struct kv_view *view);
void __wrap_kv_view_release(struct kv_store *store, struct kv_view *view)
{
    if (view->hold != NULL)
        released++;
    __real_kv_view_release(store, view);
}

static void wait_until_taken(long count)
{
    for (int i = 0; i < 12000 && (taken != count || released != count); i++)
        (void)usleep(5000);
    assert_int_equal(taken, count);
    assert_int_equal(released, count);
}

static void fill(char *value, int key, int version)
{
    memset(value, 'a' + version, SIZE);
    value[0] = (char)('0' + key);
}

// Stores a value, and sees to it that it is in memory: a put does not wait until there is room for it.
static void put(int key, int version)
{
    static char value[SIZE];
    struct kv_view view;
    char name[16];
    int len = snprintf(name, sizeof name, "k%d", key);
    fill(value, key, version);
    for (int i = 0; i < 12000; i++) {
        assert_int_equal(kv_put(t.store, name, (size_t)len, value, SIZE, 0, KV_PUT_NO_WAIT), KV_OK);
        if (__real_kv_peek(t.store, name, (size_t)len, &view) == KV_OK) {
            __real_kv_view_release(t.store, &view);
            return;
        }
        (void)usleep(5000);
    }
    fail();
}

static int start(void)
{
    taken = released = 0;
    t.options.fsync = KV_FSYNC_NEVER;
    server_kit_start();
    for (int i = 0; i < KEYS; i++)
        put(i, 0);
    return server_kit_connect();
}

static void ask_for_all(int fd)
{
    char gets[KEYS * 8 + 1];
    size_t len = 0;
    for (int i = 0; i < KEYS; i++)
        len += (size_t)snprintf(gets + len, sizeof gets - len, "GET k%d\r\n", i);
    server_kit_send(fd, gets, len);
}

static void read_exactly(int fd, char *buf, size_t len, size_t most)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = read(fd, buf + at, len - at < most ? len - at : most);
        assert_true(n > 0);
        at += (size_t)n;
    }
}

static void expect_all(int fd, int version, size_t most)
{
    static char got[SIZE + 2], value[SIZE];
    char head[16];
    int head_len = snprintf(head, sizeof head, "$%d\r\n", SIZE);
    for (int i = 0; i < KEYS; i++) {
        fill(value, i, version);
        read_exactly(fd, got, (size_t)head_len, most);
        assert_memory_equal(got, head, (size_t)head_len);
        read_exactly(fd, got, SIZE + 2, most);
        assert_memory_equal(got, value, SIZE);
        assert_memory_equal(got + SIZE, "\r\n", 2);
    }
}

// Proves: the replies of one who does not read are not views, and are what was there when the GETs ran, though the values were replaced, deleted and dropped from memory since.
static void slow_reader(void **state)
{
    (void)state;
    int fd = start();
    for (int round = 0; round < 5; round++) {
        ask_for_all(fd);
        wait_until_taken(KEYS * (round + 1));
        put(0, round + 1);
        assert_int_equal(kv_delete(t.store, "k1", 2, 0), KV_OK);
        put(2, round + 1);
        expect_all(fd, round, round % 2 != 0 ? 777 : SIZE);
        put(1, round + 1);
    }
    (void)close(fd);
}

// Memory that views do not hold is given back.
static void no_pins(void **state)
{
    struct kv_stats stats;
    (void)state;
    int fd = start();
    ask_for_all(fd);
    wait_until_taken(KEYS);
    assert_int_equal(kv_set_memory_limit(t.store, 0), KV_OK);
    kv_get_stats(t.store, &stats);
    assert_int_equal(stats.cached_records, 0);
    assert_int_equal(stats.chunk_bytes, 0);
    expect_all(fd, 0, SIZE);
    (void)close(fd);
}

// Peers that go, or are killed, with replies on their way.
static void gone_midway(void **state)
{
    static char some[50000];
    (void)state;
    int admin = start();
    for (int round = 1; round <= 10; round++) {
        int fd = server_kit_connect();
        ask_for_all(fd);
        if (round % 2 != 0)
            read_exactly(fd, some, sizeof some, sizeof some);
        if (round % 3 == 0)
            (void)close(fd); // maybe before they have run
        wait_until_taken(KEYS * round);
        if (round % 3 != 0) {
            server_kit_send(admin, "CLIENT KILL TYPE normal SKIPME yes\r\n", 36);
            server_kit_expect(admin, ":1\r\n");
            (void)close(fd);
        }
        server_kit_send(admin, "PING\r\n", 6);
        server_kit_expect(admin, "+PONG\r\n");
    }
    (void)close(admin);
}

// Replies that are not sent, or not as they are: off, skipped, of a transaction, cut off by a limit.
static void edited(void **state)
{
    (void)state;
    int fd = start();
    static const char off[] =
        "CLIENT REPLY SKIP\r\nGET k0\r\nPING\r\nCLIENT REPLY OFF\r\nGET k1\r\nGET k2\r\nCLIENT "
        "REPLY ON\r\nMULTI\r\nPING\r\nGET none\r\nEXEC\r\nGET none\r\n";
    server_kit_send(fd, off, sizeof off - 1);
    server_kit_expect(fd, "+PONG\r\n+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+PONG\r\n$-1\r\n$-1\r\n");
    wait_until_taken(KEYS); // EXEC's come from elsewhere
    server_kit_send(fd, "MULTI\r\nGET k0\r\nEXEC\r\n", 21);
    server_kit_expect(fd, "+OK\r\n+QUEUED\r\n*1\r\n$150000\r\n0aaaaa");
    (void)close(fd);
}

static void over_the_limit(void **state)
{
    (void)state;
    t.options.output_limit_bytes = 2 * SIZE;
    int fd = start();
    ask_for_all(fd);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 60000), 1); // its end
    for (int i = 0; i < 12000 && (taken == 0 || taken != released); i++)
        (void)usleep(5000);
    assert_int_not_equal(taken, 0);
    assert_int_equal(taken, released);
    (void)close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, server_kit_setup, server_kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(slow_reader), TEST(no_pins), TEST(gone_midway), TEST(edited), TEST(over_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
