// MULTI, EXEC, DISCARD: every reply is the one that Redis 7.0.15 gave. Then: bounds, locks.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/transactions.h"
#include "tests/unit/kvstore/resp_peers.h"

#define QUEUED  "+QUEUED\r\n"
#define ABORTED "-EXECABORT Transaction discarded because of previous errors.\r\n"

static void queue_and_exec(void **state)
{
    (void)state;
    EXPECT("set a 1", OK);
    EXPECT("exec", "-ERR EXEC without MULTI\r\n");
    EXPECT("discard", "-ERR DISCARD without MULTI\r\n");
    EXPECT("multi", OK);
    EXPECT("multi", "-ERR MULTI calls can not be nested\r\n");
    EXPECT("watch a", "-ERR WATCH inside MULTI is not allowed\r\n");
    EXPECT("set a 2", QUEUED);
    EXPECT("get a", QUEUED);
    EXPECT("mget a b", QUEUED);
    assert_int_equal(atomic_load(&kit.session.multi), 1 + 3);
    EXPECT("exec", "*3\r\n+OK\r\n$1\r\n2\r\n*2\r\n$1\r\n2\r\n" NIL);
    assert_int_equal(atomic_load(&kit.session.multi), 0);
    EXPECT("multi\r\nset a 3\r\ndiscard\r\nget a", OK QUEUED OK "$1\r\n2\r\n");
    EXPECT("multi\r\nexec", OK "*0\r\n");
    EXPECT("multi\r\nget a\r\nselect 99\r\nexpire a x\r\nexec",
           OK QUEUED QUEUED QUEUED "*3\r\n$1\r\n2\r\n-ERR DB index is out of range\r\n"
                                   "-ERR value is not an integer or out of range\r\n");
}

static void errors_spoil_it(void **state)
{
    (void)state;
    EXPECT("multi", OK);
    EXPECT("foo", "-ERR unknown command 'foo', with args beginning with: \r\n");
    EXPECT("set a 3", QUEUED);
    EXPECT("exec", ABORTED);
    EXPECT("exec", "-ERR EXEC without MULTI\r\n");
    EXPECT("multi\r\nget\r\nexec", OK "-ERR wrong number of arguments for 'get' command\r\n" ABORTED);
    EXPECT("multi\r\nclient foo\r\nexec", OK "-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n" ABORTED);
    EXPECT("multi", OK);
    EXPECT("exec x",
           "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n");
    EXPECT("exec", "-ERR EXEC without MULTI\r\n");
    EXPECT("multi\r\ndiscard x\r\ndiscard", OK "-ERR wrong number of arguments for 'discard' command\r\n" OK);
    EXPECT("get a", NIL);
}

static void ways_out(void **state)
{
    (void)state;
    EXPECT("multi\r\nset a 1\r\nreset\r\nexec\r\nget a",
           OK QUEUED "+RESET\r\n-ERR EXEC without MULTI\r\n" NIL);
    EXPECT("multi\r\nset a 1\r\nquit", OK QUEUED OK);
    assert_true(kit.session.close_after); // teardown frees the queue
}

static void what_may_not_begin_inside(void **state)
{
    (void)state;
    EXPECT("multi\r\nssubscribe x\r\nmonitor\r\nunwatch\r\nexec",
           OK QUEUED QUEUED QUEUED "*3\r\n-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client\r\n"
                                   "-ERR MONITOR isn't allowed for DENY BLOCKING client\r\n" OK);
    EXPECT("multi\r\nsubscribe x\r\nget a\r\nexec",
           OK QUEUED QUEUED "*2\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n" NIL);
}

static void resp3(void **state)
{
    (void)state;
    (void)resp_kit_run("hello 3");
    EXPECT("multi\r\nget a\r\nexec", OK QUEUED "*1\r\n_\r\n");
    EXPECT("watch a\r\nset a 1\r\nmulti\r\nexec", OK OK OK "_\r\n");
}

// Proves: one sync for the transaction's writes; an error of the store is one command's, the others are done.
static void writes_of_a_transaction(void **state)
{
    (void)state;
    EXPECT("multi\r\nset a 1\r\nset b 2", OK QUEUED QUEUED);
    assert_int_equal(fake.syncs, 0);
    EXPECT("exec", "*2\r\n+OK\r\n+OK\r\n");
    assert_int_equal(fake.syncs, 1);
    fake.fail_put = KV_FULL;
    EXPECT("multi\r\nset a 2\r\ndel b\r\nexec", OK QUEUED QUEUED
           "*2\r\n-MISCONF No space left on the store's device; nothing was changed\r\n:1\r\n");
    EXPECT("get a", "$1\r\n1\r\n");
}

// Proves: queued commands are bounded, and what is over the bound spoils the transaction and frees its memory.
static void queue_is_bounded(void **state)
{
    (void)state;
    kit.shared.limits.max_query_bytes = 700;
    EXPECT("multi\r\nset a 1", OK QUEUED);
    char line[400];
    (void)snprintf(line, sizeof line, "set b %0300d", 1);
    EXPECT(line, QUEUED);
    EXPECT(line, "-ERR the transaction is too large: its commands may take 700 bytes\r\n");
    EXPECT("set c 1", QUEUED);
    EXPECT("exec", ABORTED);
    EXPECT("exists a b c", ":0\r\n");
    for (int i = 0; i < 50; i++) // the bound is of one transaction
        EXPECT("multi\r\nset a 1\r\nexec", OK QUEUED "*1\r\n+OK\r\n");
}

// Proves: EXEC never runs where nothing may wait.
static void exec_is_the_workers(void **state)
{
    const struct resp_arg exec = {(const uint8_t *)"EXEC", 4};
    (void)state;
    EXPECT("multi\r\nget a", OK QUEUED);
    assert_int_equal(resp_command_run(&kit.session, &kit.reply, &exec, 1, false), RESP_RUN_AGAIN);
    assert_int_equal(resp_reply_length(&kit.reply), 0);
    EXPECT("exec", "*1\r\n" NIL);
}

static struct resp_locks *locks_of;
static unsigned taken;

static void count_taken(void)
{
    taken = 0;
    for (unsigned i = 0; i < RESP_KEY_LOCKS; i++) {
        if (pthread_mutex_trylock(&locks_of->locks[i]) == 0)
            (void)pthread_mutex_unlock(&locks_of->locks[i]);
        else
            taken |= 1u << (i % 32);
    }
}

// The locks that are held while a transaction writes: seen by another thread, as a mutex's owner could not tell.
static void *look(void *arg)
{
    (void)arg;
    count_taken();
    return NULL;
}

static bool wide;

static void on_change(void *arg, const void *key, size_t len)
{
    pthread_t thread;
    (void)arg;
    (void)key;
    (void)len;
    assert_int_equal(pthread_create(&thread, NULL, look, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    wide = !resp_locks_free_to_read(locks_of);
}

static unsigned lock_bit(unsigned db, const char *key)
{
    struct resp_lock_set set = {0};
    struct resp_arg arg = {(const uint8_t *)key, strlen(key)};
    resp_lock_set_add(&set, locks_of, db, &arg);
    for (unsigned i = 0; i < RESP_KEY_LOCKS; i++)
        if ((set.bits[i / 64] >> (i % 64) & 1) != 0)
            return 1u << (i % 32);
    return 0;
}

// Proves: the locks of all queued keys and of the watched ones are held while each command runs; also a transaction of one lock keeps lone readers waiting.
static void locks_are_held(void **state)
{
    (void)state;
    locks_of = &kit.shared.locks;
    kit.shared.on_change = on_change;
    EXPECT("watch w\r\nmulti\r\nset a 1\r\nget b\r\nexec", OK OK QUEUED QUEUED "*2\r\n+OK\r\n" NIL);
    assert_int_equal(taken, lock_bit(0, "a") | lock_bit(0, "b") | lock_bit(0, "w"));
    EXPECT("multi\r\nset a 1\r\nset a 2\r\nexec", OK QUEUED QUEUED "*2\r\n+OK\r\n+OK\r\n");
    assert_int_equal(taken, lock_bit(0, "a"));
    assert_true(wide);
    assert_true(resp_locks_free_to_read(locks_of));
    count_taken();
    assert_int_equal(taken, 0);
}

static void monitor(void **state)
{
    struct peer looks, other;
    (void)state;
    peer_open(&looks);
    peer_open(&other);
    SAYS(&looks, "monitor", OK);
    SAYS(&looks, "monitor", "");
#define LINE "+1700000000.000000 [0 127.0.0.1:4000]"
    SAYS(&other, "set a x\"\n\x01\\", OK);
    HEARS(&looks, LINE " \"set\" \"a\" \"x\\\"\\n\\x01\\\\\"\r\n");
    SAYS(&other, "multi", OK);
    SAYS(&other, "get a", QUEUED);
    SAYS(&other, "exec", "*1\r\n$5\r\nx\"\n\x01\\\r\n");
    HEARS(&looks, LINE " \"multi\"\r\n" LINE " \"get\" \"a\"\r\n" LINE " \"exec\"\r\n");
    (void)peer_run(&other, "auth default sesame");
    HEARS(&looks, LINE " \"auth\" \"(redacted)\" \"(redacted)\"\r\n");
    (void)peer_run(&other, "hello 3 auth default sesame setname x");
    HEARS(&looks, LINE " \"hello\" \"3\" \"auth\" \"(redacted)\" \"(redacted)\" \"setname\" \"x\"\r\n");
    (void)peer_run(&other, "foo");
    (void)peer_run(&other, "get");
    (void)peer_run(&other, "config get save");
    HEARS(&looks, "");
    SAYS(&looks, "ping", "+PONG\r\n" LINE " \"ping\"\r\n");
    SAYS(&looks, "get a", "-ERR Replica can't interact with the keyspace\r\n");
    SAYS(&looks, "publish a b", "-ERR Replica can't interact with the keyspace\r\n");
    SAYS(&looks, "reset", "+RESET\r\n");
    (void)peer_run(&other, "ping");
    HEARS(&looks, "");
    SAYS(&looks, "monitor", OK);
    peer_close(&looks);
    SAYS(&other, "ping", "+PONG\r\n");
    peer_close(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(queue_and_exec),
        TEST(errors_spoil_it),
        TEST(ways_out),
        TEST(what_may_not_begin_inside),
        TEST(resp3),
        TEST(writes_of_a_transaction),
        TEST(queue_is_bounded),
        TEST(exec_is_the_workers),
        TEST(locks_are_held),
        TEST(monitor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
