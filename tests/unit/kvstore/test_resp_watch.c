// WATCH, as Redis 7.0 has it; and with changes from other threads (run under TSan): no increment is lost.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/events.h"
#include "kvstore/resp/watch.h"
#include "tests/unit/kvstore/resp_peers.h"

#define QUEUED "+QUEUED\r\n"
#define GONE   "*-1\r\n"
#define DONE   "*1\r\n+PONG\r\n"

static struct peer a, b;

static int setup(void **state)
{
    int rc = resp_kit_setup(state);
    peer_open(&a);
    peer_open(&b);
    return rc;
}

static int teardown(void **state)
{
    peer_close(&a);
    peer_close(&b);
    return resp_kit_teardown(state);
}

static const char *attempt(void)
{
    (void)peer_run(&a, "multi");
    (void)peer_run(&a, "ping");
    return peer_run(&a, "exec");
}

static void changes_break_it(void **state)
{
    static const char *const changing[] = {"set k 1", "set k 1",   "expire k 100", "persist k",
                                           "del k",   "setnx k 1", "getdel k"};
    static const char *const keeping[] = {"get k", "set j 1", "del nope", "set k 2 nx", "expire nope 1"};
    (void)state;
    for (size_t i = 0; i < sizeof changing / sizeof changing[0]; i++) {
        SAYS(&a, "watch x k y", OK);
        (void)peer_run(&b, changing[i]);
        assert_string_equal(attempt(), GONE);
        assert_string_equal(attempt(), DONE); // only once
    }
    (void)peer_run(&b, "set k 1");
    for (size_t i = 0; i < sizeof keeping / sizeof keeping[0]; i++) {
        SAYS(&a, "watch x k y", OK);
        (void)peer_run(&b, keeping[i]);
        assert_string_equal(attempt(), DONE);
    }
    SAYS(&a, "watch k", OK); // its own change, too
    SAYS(&a, "set k 2", OK);
    assert_string_equal(attempt(), GONE);
    SAYS(&a, "watch k", OK); // another database's k is another key
    resp_changed(&kit.shared, NULL, 1, &(struct resp_arg){(const uint8_t *)"k", 1});
    assert_string_equal(attempt(), DONE);
    SAYS(&a, "watch k", OK);
    resp_changed(&kit.shared, NULL, 0, &(struct resp_arg){(const uint8_t *)"k", 1});
    assert_string_equal(attempt(), GONE);
}

static void ways_to_forget(void **state)
{
    static const char *const ways[] = {"unwatch", "reset"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        SAYS(&a, "watch k", OK);
        (void)peer_run(&b, "set k 1");
        assert_true(atomic_load(&a.session.watch_dirty));
        (void)peer_run(&a, ways[i]);
        assert_false(atomic_load(&a.session.watch_dirty));
        assert_string_equal(attempt(), DONE);
    }
    SAYS(&a, "watch k", OK);
    SAYS(&a, "multi", OK);
    (void)peer_run(&b, "set k 1");
    SAYS(&a, "get k", QUEUED);
    SAYS(&a, "discard", OK);
    assert_string_equal(attempt(), DONE);
    SAYS(&a, "watch k", OK); // a broken transaction and an error: the error is told
    (void)peer_run(&b, "set k 1");
    (void)peer_run(&a, "multi");
    (void)peer_run(&a, "foo");
    SAYS(&a, "exec", "-EXECABORT Transaction discarded because of previous errors.\r\n");
}

// Proves: a key that expires after WATCH breaks the transaction, though nobody touched it; one that had expired before does not.
static void expiry(void **state)
{
    (void)state;
    SAYS(&b, "set k 1 px 100", OK);
    SAYS(&a, "watch k", OK);
    assert_string_equal(attempt(), DONE);
    SAYS(&a, "watch k", OK);
    fake.now_ms += 100;
    assert_string_equal(attempt(), GONE);
    SAYS(&a, "watch k", OK);
    fake.now_ms += 100;
    assert_string_equal(attempt(), DONE);
}

// Proves: that the engine removes an expired key at last is a change to those alone who saw the key.
static void removal_of_the_expired(void **state)
{
    struct resp_arg key = {(const uint8_t *)"k", 1};
    (void)state;
    SAYS(&a, "watch k", OK);
    resp_expired(&kit.shared, 0, &key);
    assert_string_equal(attempt(), DONE);
    SAYS(&b, "set k 1 px 100", OK);
    SAYS(&a, "watch k", OK);
    (void)peer_run(&b, "psubscribe *");
    (void)peer_run(&a, "config set notify-keyspace-events Ex");
    resp_expired(&kit.shared, 0, &key);
    HEARS(&b, "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$22\r\n__keyevent@0__:expired\r\n$1\r\nk\r\n");
    assert_string_equal(attempt(), GONE);
}

static void flush_and_swap(void **state)
{
    (void)state;
    SAYS(&b, "set k 1", OK);
    SAYS(&a, "watch k", OK);
    resp_flushed(&kit.shared, 1);
    assert_string_equal(attempt(), DONE);
    SAYS(&a, "watch k", OK);
    resp_flushed(&kit.shared, 0);
    assert_string_equal(attempt(), GONE);
    SAYS(&a, "watch k", OK);
    resp_flushed(&kit.shared, RESP_ALL_DATABASES);
    assert_string_equal(attempt(), GONE);
    SAYS(&a, "watch nope", OK); // no key was lost
    resp_flushed(&kit.shared, RESP_ALL_DATABASES);
    assert_string_equal(attempt(), DONE);
    SAYS(&b, "set e 1 px 10", OK);
    SAYS(&a, "watch k", OK);
    resp_swapped(&kit.shared, 0, 0);
    resp_swapped(&kit.shared, 1, 2);
    assert_string_equal(attempt(), DONE);
    SAYS(&a, "watch k", OK);
    resp_swapped(&kit.shared, 3, 0);
    assert_string_equal(attempt(), GONE);
    SAYS(&a, "watch nope", OK); // neither has it
    SAYS(&b, "swapdb 3 0", OK);
    assert_string_equal(attempt(), DONE);
    SAYS(&a, "watch nope k", OK); // it comes back with the other one
    SAYS(&b, "swapdb 3 0", OK);
    assert_string_equal(attempt(), GONE);
}

static void bounded(void **state)
{
    size_t len = RESP_WATCH_BYTES / 2;
    uint8_t *name = calloc(1, len);
    (void)state;
    struct resp_arg args[] = {{(const uint8_t *)"watch", 5}, {name, len}, {name, len - 1}};
    assert_int_equal(resp_command_run(&a.session, &a.reply, args, 3, true), RESP_RUN_DONE);
    HEARS(&a, "-ERR too many keys are watched: they may take 16777216 bytes\r\n");
    free(name);
}

// ---- threads

#define THREADS 4
#define ROUNDS  200

static unsigned number_in(const char *bulk)
{
    const char *at = strchr(bulk, '\n');
    return at != NULL ? (unsigned)strtoul(at + 1, NULL, 10) : 0;
}

// Adds 1 to n, optimistically, until it worked ROUNDS times.
static void *increment(void *arg)
{
    struct peer *peer = arg;
    char line[32];
    for (unsigned done = 0; done < ROUNDS;) {
        (void)peer_run(peer, "watch n");
        unsigned n = number_in(peer_run(peer, "get n"));
        (void)snprintf(line, sizeof line, "set n %u", n + 1);
        (void)peer_run(peer, "multi");
        (void)peer_run(peer, line);
        done += peer_run(peer, "exec")[1] == '1';
    }
    return NULL;
}

// Proves: no increment is lost, whatever the threads do; sessions that come and go meanwhile leave nothing.
static void no_lost_increment(void **state)
{
    static struct peer peers[THREADS];
    pthread_t threads[THREADS];
    (void)state;
    kit.shared.on_change = NULL; // the kit's counter is one thread's
    for (int i = 0; i < THREADS; i++) {
        peer_open(&peers[i]);
        assert_int_equal(pthread_create(&threads[i], NULL, increment, &peers[i]), 0);
    }
    for (int i = 0; i < 100; i++) {
        struct peer guest;
        peer_open(&guest);
        (void)peer_run(&guest, "watch n m");
        (void)peer_run(&guest, "set m 1");
        peer_close(&guest);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        peer_close(&peers[i]);
    }
    assert_int_equal(number_in(peer_run(&a, "get n")), THREADS * ROUNDS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(changes_break_it),       TEST(ways_to_forget), TEST(expiry),
        TEST(removal_of_the_expired), TEST(flush_and_swap), TEST(bounded),
        TEST(no_lost_increment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
