// MEMORY, DEBUG, WAIT, ROLE, SHUTDOWN.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "kvstore/resp/config.h"
#include "kvstore/resp/nap.h"
#include "tests/unit/kvstore/resp_kit.h"

static void test_usage(void **state)
{
    (void)state;
    EXPECT("memory usage k", NIL);
    EXPECT("set k 12345", OK);
    long few = strtol(resp_kit_run("memory usage k") + 1, NULL, 10);
    assert_in_range(few, 6, 200);
    EXPECT("set k 1234567890", OK);
    assert_int_equal(strtol(resp_kit_run("memory usage k samples 3") + 1, NULL, 10), few + 5);
    EXPECT("memory usage k samples", "-ERR syntax error\r\n");
    EXPECT("memory usage k samples -1", "-ERR syntax error\r\n");
    EXPECT("memory usage k samples x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("memory usage k foo 1", "-ERR syntax error\r\n");
    EXPECT("memory usage nope samples", "-ERR syntax error\r\n");
    fake.fail_get = KV_IO;
    EXPECT("memory usage k", "-ERR the store failed: input/output error\r\n");
}

static void test_stats(void **state)
{
    (void)state;
    EXPECT("set a 1", OK);
    const char *text = resp_kit_run("memory stats");
    static const char *const names[] = {"peak.allocated",     "total.allocated", "db.0",
                                        "overhead.total",     "keys.count",      "dataset.bytes",
                                        "dataset.percentage", "fragmentation",   "fragmentation.bytes"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_non_null(strstr(text, names[i]));
    assert_memory_equal(text, "*58\r\n", 5);
    (void)resp_kit_run("hello 3");
    assert_memory_equal(resp_kit_run("memory stats"), "%29\r\n", 5);
    (void)resp_kit_run("del a");
    assert_memory_equal(resp_kit_run("memory stats"), "%28\r\n", 5); // without db.0
}

static void test_others(void **state)
{
    (void)state;
    EXPECT("memory purge", OK);
    EXPECT("memory doctor", "$29\r\nNothing is wrong with memory.\r\n");
    assert_non_null(strstr(resp_kit_run("memory malloc-stats"), "<malloc"));
    EXPECT("memory curve", "*0\r\n");
    fake.curve_points = 2;
    EXPECT("memory curve", "*2\r\n*2\r\n:1024\r\n$5\r\n0.125\r\n*2\r\n:2048\r\n$4\r\n0.25\r\n");
    EXPECT("memory foo", "-ERR unknown subcommand 'foo'. Try MEMORY HELP.\r\n");
    EXPECT("role", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
}

static void test_wait(void **state)
{
    (void)state;
    EXPECT("wait 0 0", ":0\r\n");
    EXPECT("wait 1 1", ":0\r\n");
    EXPECT("wait x 0", "-ERR value is not an integer or out of range\r\n");
    EXPECT("wait 1 x", "-ERR timeout is not an integer or out of range\r\n");
    EXPECT("wait 1 -1", "-ERR timeout is negative\r\n");
    resp_naps_allow(&kit.shared.naps, 1);
    uint64_t begun_ns = clock_ns();
    EXPECT("multi", OK);
    EXPECT("wait 1 0", "+QUEUED\r\n");
    EXPECT("exec", "*1\r\n:0\r\n");
    assert_true(clock_ns() - begun_ns < RESP_NAP_MOST_MS * (uint64_t)500000); // it did not sleep
}

// Between two naps, so that the other may have one.
static void moment(void)
{
    const struct timespec ms = {.tv_nsec = 1000000};
    (void)nanosleep(&ms, NULL);
}

static void *nap_long(void *arg)
{
    bool *slept = arg;
    while (!*slept) { // the other may be asleep just then
        *slept = resp_nap(&kit.shared.naps, RESP_NAP_MOST_MS);
        moment();
    }
    return NULL;
}

// One sleeps, a second may not; who stops the server wakes it.
static void test_naps(void **state)
{
    pthread_t sleeper;
    bool slept = false, other = true;
    (void)state;
    assert_false(resp_nap(&kit.shared.naps, 1)); // none is allowed yet
    resp_naps_allow(&kit.shared.naps, 1);
    assert_int_equal(pthread_create(&sleeper, NULL, nap_long, &slept), 0);
    while (other) {
        moment();
        other = resp_nap(&kit.shared.naps, 1);
    }
    resp_naps_stop(&kit.shared.naps);
    assert_int_equal(pthread_join(sleeper, NULL), 0);
    assert_true(slept);
    assert_false(resp_nap(&kit.shared.naps, 1));
}

static void allow_debug(const char *setting)
{
    kit.shared.hooks.settings = &setting;
    kit.shared.hooks.setting_count = 1;
    assert_true(resp_config_start(&kit.shared, NULL));
    kit.shared.hooks.setting_count = 0;
}

static void test_debug(void **state)
{
    (void)state;
    assert_memory_equal(resp_kit_run("debug sleep 0"), "-ERR DEBUG command not allowed. If the", 38);
    allow_debug("enable-debug-command local"); // the kit's peer is of a Unix socket
    EXPECT("debug sleep 0.001", OK);
    EXPECT("debug sleep x", OK);
    EXPECT("debug sleep",
           "-ERR unknown subcommand or wrong number of arguments for 'sleep'. Try DEBUG HELP.\r\n");
    EXPECT("debug segfault", "-ERR unknown subcommand or wrong number of arguments for 'segfault'. Try DEBUG "
                             "HELP.\r\n");
    EXPECT("debug", "-ERR wrong number of arguments for 'debug' command\r\n");
    EXPECT("debug object k", "-ERR no such key\r\n");
    EXPECT("set k foo", OK);
    EXPECT("debug object k",
           "+Value at:0x0 refcount:1 encoding:embstr serializedlength:4 lru:0 lru_seconds_idle:0\r\n");
    EXPECT("debug set-active-expire 0", OK);
    EXPECT("debug quicklist-packed-threshold 100b", OK);
    EXPECT("debug quicklist-packed-threshold x",
           "-ERR argument must be a memory value bigger than 1 and smaller than 4gb\r\n");
    EXPECT("debug error \"OOPS it is\"", "-OOPS it is\r\n");
    EXPECT("debug protocol map", "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n");
    assert_memory_equal(resp_kit_run("debug protocol foo"), "-ERR Wrong protocol type name.", 30);
    assert_memory_equal(resp_kit_run("debug help"), "*16\r\n+DEBUG <sub", 16);
    allow_debug("enable-debug-command no");
    assert_memory_equal(resp_kit_run("debug sleep 0"), "-ERR DEBUG command not allowed. If the", 38);
}

static unsigned ended;

static void end(void *arg)
{
    (void)arg;
    ended++;
}

static void test_shutdown(void **state)
{
    (void)state;
    ended = 0;
    EXPECT("shutdown foo", "-ERR syntax error\r\n");
    EXPECT("shutdown save nosave", "-ERR syntax error\r\n");
    EXPECT("shutdown abort now", "-ERR syntax error\r\n");
    EXPECT("shutdown abort", "-ERR No shutdown in progress.\r\n");
    EXPECT("shutdown", "-ERR Errors trying to SHUTDOWN. Check logs.\r\n"); // nobody who would end
    kit.shared.hooks.shutdown = end;
    fake.fail_sync = KV_IO;
    EXPECT("shutdown nosave", "-ERR Errors trying to SHUTDOWN. Check logs.\r\n");
    assert_int_equal(ended, 0);
    EXPECT("shutdown force", "");
    assert_int_equal(ended, 1);
    assert_true(kit.session.close_after);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_usage),   TEST(test_stats), TEST(test_others),
                                       TEST(test_wait),    TEST(test_naps),  TEST(test_debug),
                                       TEST(test_shutdown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
