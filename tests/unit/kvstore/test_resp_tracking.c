// CLIENT TRACKING: replies and invalidations are those of Redis 7.0.15. Then: bounds, sessions that end, threads.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/events.h"
#include "kvstore/resp/tracking.h"
#include "tests/unit/kvstore/resp_peers.h"

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

#define INVALID(key) ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\n" key "\r\n"
#define INVALID_ALL  ">2\r\n$10\r\ninvalidate\r\n_\r\n"
#define SWITCH                                                                                               \
    "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then "           \
    "re-enabling it with a different mode.\r\n"
#define INFO(flags, redirect, prefixes)                                                                      \
    "*6\r\n$5\r\nflags\r\n" flags "$8\r\nredirect\r\n:" redirect "\r\n$8\r\nprefixes\r\n" prefixes

static void replies(void **state)
{
    (void)state;
    SAYS(&a, "client tracking", "-ERR wrong number of arguments for 'client|tracking' command\r\n");
    SAYS(&a, "client tracking foo", "-ERR syntax error\r\n");
    SAYS(&a, "client trackinginfo", INFO("*1\r\n$3\r\noff\r\n", "-1", "*0\r\n"));
    SAYS(&a, "client getredir", ":-1\r\n");
    SAYS(&a, "client caching yes",
         "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT "
         "mode "
         "enabled\r\n");
    SAYS(&a, "client tracking on", OK);
    SAYS(&a, "client trackinginfo", INFO("*1\r\n$2\r\non\r\n", "0", "*0\r\n"));
    SAYS(&a, "client getredir", ":0\r\n");
    SAYS(&a, "client caching yes",
         "-ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.\r\n");
    SAYS(&a, "client caching no",
         "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.\r\n");
    SAYS(&a, "client tracking on optin optout", "-ERR You can't specify both OPTIN mode and OPTOUT mode\r\n");
    SAYS(&a, "client tracking on bcast optin", SWITCH);
    SAYS(&a, "client tracking on prefix a", "-ERR PREFIX option requires BCAST mode to be enabled\r\n");
    SAYS(&a, "client tracking on optin", OK);
    SAYS(&a, "client tracking on optout",
         "-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then "
         "re-enabling it with a different mode.\r\n");
    SAYS(&a, "client caching foo", "-ERR syntax error\r\n");
    SAYS(&a, "client caching yes", OK);
    SAYS(&a, "client trackinginfo",
         INFO("*3\r\n$2\r\non\r\n$5\r\noptin\r\n$11\r\ncaching-yes\r\n", "0", "*0\r\n"));
    SAYS(&a, "ping", "+PONG\r\n");
    SAYS(&a, "client trackinginfo", INFO("*2\r\n$2\r\non\r\n$5\r\noptin\r\n", "0", "*0\r\n"));
    SAYS(&a, "client tracking on redirect 999", "-ERR The client ID you want redirect to does not exist\r\n");
    SAYS(&a, "client tracking on redirect x", "-ERR value is not an integer or out of range\r\n");
    SAYS(&a, "client tracking on redirect", "-ERR syntax error\r\n");
    SAYS(&a, "client tracking on foo", "-ERR syntax error\r\n");
    SAYS(&a, "client tracking off bcast", OK);
    SAYS(&a, "client tracking on bcast optin", "-ERR OPTIN and OPTOUT are not compatible with BCAST\r\n");
    SAYS(&a, "client tracking on bcast prefix a prefix b", OK);
    SAYS(&a, "client tracking on bcast prefix c", OK);
    SAYS(&a, "client tracking on bcast prefix ab",
         "-ERR Prefix 'ab' overlaps with an existing prefix 'a'. Prefixes for a single client must not "
         "overlap.\r\n");
    SAYS(&a, "client tracking on bcast prefix x prefix xy",
         "-ERR Prefix 'x' overlaps with another provided prefix 'xy'. Prefixes for a single client must not "
         "overlap.\r\n");
    SAYS(&a, "client trackinginfo",
         INFO("*2\r\n$2\r\non\r\n$5\r\nbcast\r\n", "0", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"));
    SAYS(&a, "client tracking on", SWITCH);
    SAYS(&a, "client tracking on bcast", OK); // every key, beside them
    SAYS(&a, "client tracking on bcast", OK);
    SAYS(&a, "client tracking on bcast noloop prefix d",
         "-ERR Prefix 'd' overlaps with an existing prefix ''. Prefixes for a single client must not "
         "overlap.\r\n");
    SAYS(&a, "client trackinginfo",
         INFO("*2\r\n$2\r\non\r\n$5\r\nbcast\r\n", "0", "*4\r\n$0\r\n\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"));
    SAYS(&a, "reset", "+RESET\r\n");
    SAYS(&a, "client getredir", ":-1\r\n");
}

static void keys_that_were_read(void **state)
{
    (void)state;
    (void)peer_run(&a, "hello 3");
    SAYS(&a, "client tracking on", OK);
    SAYS(&a, "get a", "_\r\n");
    SAYS(&a, "get b", "_\r\n");
    SAYS(&b, "set a 1", OK);
    HEARS(&a, INVALID("a"));
    SAYS(&b, "set a 1", OK); // told once
    HEARS(&a, "");
    SAYS(&a, "set b 1", OK INVALID("b")); // its own, behind the reply
    SAYS(&a, "mget a b", "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
    SAYS(&b, "del a b", ":2\r\n");
    HEARS(&a, INVALID("a") INVALID("b"));
    SAYS(&a, "multi", OK);
    SAYS(&a, "get a", "+QUEUED\r\n");
    SAYS(&a, "set a 1", "+QUEUED\r\n");
    SAYS(&a, "exec", "*2\r\n_\r\n+OK\r\n" INVALID("a"));
    (void)peer_run(&a, "get a");
    resp_flushed(&kit.shared, 0);
    HEARS(&a, INVALID_ALL);
    (void)peer_run(&b, "set a 2"); // still remembered after FLUSHDB, as in Redis
    HEARS(&a, INVALID("a"));
    SAYS(&b, "multi", OK); // key by key, as another database has some: told once all the same
    SAYS(&b, "select 1", "+QUEUED\r\n");
    SAYS(&b, "set x 1", "+QUEUED\r\n");
    SAYS(&b, "select 0", "+QUEUED\r\n");
    SAYS(&b, "exec", "*3\r\n" OK OK OK);
    (void)peer_run(&a, "get a");
    SAYS(&b, "flushdb", OK);
    HEARS(&a, INVALID_ALL);
    (void)peer_run(&a, "get a");
    resp_flushed(&kit.shared, RESP_ALL_DATABASES);
    (void)peer_run(&b, "set a 2");
    HEARS(&a, INVALID_ALL);
    (void)peer_run(&a, "get a");
    SAYS(&a, "client tracking off", OK);
    (void)peer_run(&b, "set a 2");
    HEARS(&a, "");
}

static void options(void **state)
{
    (void)state;
    (void)peer_run(&a, "hello 3");
    SAYS(&a, "client tracking on noloop", OK);
    (void)peer_run(&a, "get a");
    SAYS(&a, "set a 3", OK);
    SAYS(&b, "set a 5", OK); // forgotten with its own change
    HEARS(&a, "");
    (void)peer_run(&a, "get a");
    SAYS(&b, "set a 5", OK);
    HEARS(&a, INVALID("a"));
    (void)peer_run(&a, "client tracking off");
    SAYS(&a, "client tracking on optin", OK);
    (void)peer_run(&a, "get a");
    (void)peer_run(&b, "set a 1");
    HEARS(&a, "");
    SAYS(&a, "client caching yes", OK);
    (void)peer_run(&a, "get a");
    (void)peer_run(&a, "get b"); // for one command alone
    (void)peer_run(&b, "set a 1");
    (void)peer_run(&b, "set b 1");
    HEARS(&a, INVALID("a"));
    SAYS(&a, "client caching yes", OK); // or one transaction
    (void)peer_run(&a, "multi");
    (void)peer_run(&a, "get a");
    (void)peer_run(&a, "get b");
    (void)peer_run(&a, "exec");
    (void)peer_run(&b, "set a 1");
    (void)peer_run(&b, "set b 1");
    HEARS(&a, INVALID("a") INVALID("b"));
    (void)peer_run(&a, "client tracking off");
    SAYS(&a, "client tracking on optout", OK);
    SAYS(&a, "client caching no", OK);
    (void)peer_run(&a, "get a");
    (void)peer_run(&a, "get b");
    (void)peer_run(&b, "set a 1");
    (void)peer_run(&b, "set b 1");
    HEARS(&a, INVALID("b"));
}

static void broadcast(void **state)
{
    (void)state;
    (void)peer_run(&a, "hello 3");
    SAYS(&a, "client tracking on bcast prefix k prefix x", OK);
    (void)peer_run(&b, "set a 1");
    HEARS(&a, "");
    (void)peer_run(&b, "set k1 1");
    HEARS(&a, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$2\r\nk1\r\n");
    SAYS(&a, "set k5 1", OK ">2\r\n$10\r\ninvalidate\r\n*1\r\n$2\r\nk5\r\n");
    (void)peer_run(&b, "multi"); // what one command changed comes as one: sorted, each once
    (void)peer_run(&b, "set k2 1");
    (void)peer_run(&b, "set k1 1");
    (void)peer_run(&b, "set k2 1");
    (void)peer_run(&b, "set x 1");
    (void)peer_run(&b, "set a 1");
    (void)peer_run(&b, "exec");
    HEARS(&a, ">2\r\n$10\r\ninvalidate\r\n*2\r\n$2\r\nk1\r\n$2\r\nk2\r\n" INVALID("x"));
    resp_changed(&kit.shared, NULL, 0, &(struct resp_arg){(const uint8_t *)"x", 1}); // by no command
    HEARS(&a, INVALID("x"));
    resp_flushed(&kit.shared, 5);
    HEARS(&a, INVALID_ALL);
    (void)peer_run(&a, "client tracking off");
    SAYS(&a, "client tracking on bcast noloop", OK);
    SAYS(&a, "set a 1", OK);
    (void)peer_run(&b, "set a 1");
    HEARS(&a, INVALID("a"));
    (void)peer_run(&a, "client tracking off");
    (void)peer_run(&b, "set a 1");
    HEARS(&a, "");
}

static void redirected(void **state)
{
    static struct peer c;
    char line[160], broken[64];
    (void)state;
    peer_open(&c);
    (void)snprintf(line, sizeof line, "client tracking on redirect %" PRIu64, c.session.id);
    SAYS(&a, line, OK);
    (void)snprintf(broken, sizeof broken, ":%" PRIu64 "\r\n", c.session.id);
    SAYS(&a, "client getredir", broken);
    (void)peer_run(&a, "get a");
    (void)peer_run(&b, "set a 1");
    HEARS(&c, ""); // RESP2, and not listening
    (void)peer_run(&c, "subscribe __redis__:invalidate");
    (void)peer_run(&a, "get a");
    (void)peer_run(&b, "set a 1");
    HEARS(&c, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\na\r\n");
    resp_flushed(&kit.shared, 0);
    HEARS(&c, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n");
    (void)peer_run(&a, "hello 3"); // "everything" is the null of who tracks, as in Redis
    resp_flushed(&kit.shared, 0);
    HEARS(&c, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n_\r\n");
    (void)peer_run(&a, "hello 2");
    (void)peer_run(&c, "reset");
    (void)peer_run(&c, "hello 3");
    (void)peer_run(&a, "get a");
    (void)peer_run(&b, "set a 1");
    HEARS(&c, INVALID("a"));
    HEARS(&a, "");
    (void)peer_run(&a, "hello 3");
    (void)peer_run(&a, "get a");
    peer_close(&c);
    (void)peer_run(&b, "set a 1");
    (void)snprintf(line, sizeof line, ">2\r\n$21\r\ntracking-redir-broken\r\n%s", broken);
    HEARS(&a, line);
    assert_non_null(strstr(peer_run(&a, "client trackinginfo"), "$15\r\nbroken_redirect\r\n"));
    SAYS(&a, "client tracking on", OK); // to itself again
    (void)peer_run(&a, "get a");
    (void)peer_run(&b, "set a 1");
    HEARS(&a, INVALID("a"));
}

// Proves: the table is bounded: the oldest keys are told to be invalid, so that no cache keeps what is not tracked.
static void bounded(void **state)
{
    struct resp_tracking_stats stats;
    (void)state;
    (void)peer_run(&a, "hello 3");
    SAYS(&a, "client tracking on", OK);
    SAYS(&b, "config set tracking-table-max-keys 2", OK);
    (void)peer_run(&a, "get a");
    (void)peer_run(&a, "get b");
    SAYS(&a, "get c", "_\r\n" INVALID("a"));
    resp_tracking_get_stats(&kit.shared, &stats);
    assert_int_equal(stats.keys, 2);
    assert_int_equal(stats.items, 2);
    assert_int_equal(stats.clients, 1);
    SAYS(&b, "config set tracking-table-max-keys 1", OK);
    HEARS(&a, INVALID("b"));
    SAYS(&b, "config get tracking-table-max-keys", "*2\r\n$23\r\ntracking-table-max-keys\r\n$1\r\n1\r\n");
    SAYS(&b, "config set tracking-table-max-keys -1",
         "-ERR CONFIG SET failed (possibly related to argument 'tracking-table-max-keys') - argument must be "
         "between 0 and 9223372036854775807 inclusive\r\n");
    SAYS(&b, "config set tracking-table-max-keys 0", OK);
    (void)peer_run(&a, "mget 1 2 3 4 5 6 7");
    HEARS(&a, "");
    peer_close(&a);
    resp_tracking_get_stats(&kit.shared, &stats);
    assert_int_equal(stats.items, 0);
    assert_int_equal(stats.clients, 0);
    peer_open(&a);
    size_t len = RESP_TRACKING_PREFIX_BYTES;
    uint8_t *prefix = calloc(1, len);
    struct resp_arg which[2], arg = {prefix, len};
    struct resp_tracking_options o = {.flags = RESP_TRACKING_BCAST, .prefixes = &arg, .prefix_count = 1};
    assert_int_equal(resp_tracking_enable(&a.session, &o, which), RESP_TRACKING_TOO_MANY);
    SAYS(&a, "client getredir", ":-1\r\n");
    free(prefix);
}

// ---- threads

static _Atomic bool stop;

static void *write_keys(void *arg)
{
    struct peer *peer = arg;
    while (!atomic_load(&stop)) {
        (void)peer_run(peer, "set a 1");
        (void)peer_run(peer, "del a b");
    }
    return NULL;
}

// Proves: sessions that track, redirect, listen, monitor and end while others write (ASan and TSan judge).
static void sessions_come_and_go(void **state)
{
    pthread_t threads[2];
    char line[64];
    (void)state;
    kit.shared.on_change = NULL;
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&threads[0], NULL, write_keys, &a), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, write_keys, &b), 0);
    for (int i = 0; i < 200; i++) {
        static struct peer target, tracks, all;
        peer_open(&target);
        peer_open(&tracks);
        peer_open(&all);
        (void)peer_run(&target, "hello 3");
        (void)peer_run(&all, "hello 3");
        (void)peer_run(&all, "client tracking on bcast");
        (void)peer_run(&target, i % 2 == 0 ? "monitor" : "subscribe x");
        (void)snprintf(line, sizeof line, "client tracking on redirect %" PRIu64, target.session.id);
        assert_string_equal(peer_run(&tracks, line), OK);
        (void)peer_run(&tracks, "get a");
        (void)peer_run(&tracks, "get b");
        peer_close(&target);
        (void)peer_run(&tracks, "get a");
        peer_close(&tracks);
        peer_close(&all);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(replies), TEST(keys_that_were_read),  TEST(options), TEST(broadcast), TEST(redirected),
        TEST(bounded), TEST(sessions_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
