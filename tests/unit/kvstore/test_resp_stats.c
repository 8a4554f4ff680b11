// Statistics: calls, failures and refusals of commands, errors by code, totals, RESETSTAT; and threads that count at once.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/stats.h"
#include "tests/unit/kvstore/resp_kit.h"

static size_t number_of(const char *name, const char *sub)
{
    const struct resp_command *command =
        resp_command_find(&(struct resp_arg){(const uint8_t *)name, strlen(name)});
    assert_non_null(command);
    if (sub != NULL)
        command = resp_subcommand_find(command, &(struct resp_arg){(const uint8_t *)sub, strlen(sub)});
    assert_non_null(command);
    return resp_command_number(command);
}

static void expect_counts(const char *name, const char *sub, uint64_t calls, uint64_t rejected,
                          uint64_t failed)
{
    const struct resp_command_stats c = resp_stats_command(&kit.shared, number_of(name, sub));
    assert_int_equal(c.calls, calls);
    assert_int_equal(c.rejected, rejected);
    assert_int_equal(c.failed, failed);
}

struct called {
    const char *name;
    uint64_t calls;
    unsigned seen;
};

static void note_called(void *arg, const char *name, uint64_t calls)
{
    struct called *called = arg;
    assert_true(calls != 0);
    if (strcmp(name, called->name) == 0) {
        called->calls = calls;
        called->seen++;
    }
}

static uint64_t calls_ever(const char *name)
{
    struct called called = {.name = name};
    resp_stats_each_called(&kit.shared, note_called, &called);
    assert_true(called.seen <= 1);
    return called.calls;
}

static uint64_t errors_of(const char *code)
{
    struct resp_error_stats errors[64];
    size_t count = resp_stats_errors(&kit.shared, errors, 64);
    for (size_t i = 0; i < count; i++)
        if (strcmp(errors[i].code, code) == 0)
            return errors[i].count;
    return 0;
}

static void test_commands(void **state)
{
    (void)state;
    (void)resp_kit_run("set a b");
    (void)resp_kit_run("set a b foo"); // fails
    (void)resp_kit_run("get");         // refused
    (void)resp_kit_run("config get");  // refused
    (void)resp_kit_run("config get hz");
    (void)resp_kit_run("config foo"); // nobody's
    (void)resp_kit_run("nope");
    (void)resp_kit_run("auth x y");
    expect_counts("set", NULL, 2, 0, 1);
    expect_counts("get", NULL, 0, 1, 0);
    expect_counts("config", "get", 1, 1, 0);
    expect_counts("config", "set", 0, 0, 0);
    expect_counts("auth", NULL, 1, 0, 1);
    assert_int_equal(errors_of("ERR"), 5);
    assert_int_equal(errors_of("WRONGPASS"), 1);
    assert_int_equal(errors_of("NOPE"), 0);
}

static bool nothing_in_memory(const void *key, size_t len)
{
    (void)key;
    (void)len;
    return true;
}

// A command that a loop could not answer counts when it is answered, and once.
static void test_again(void **state)
{
    const struct resp_arg args[] = {{(const uint8_t *)"get", 3}, {(const uint8_t *)"k", 1}};
    (void)state;
    EXPECT("set k v", OK);
    fake.on_disk = nothing_in_memory;
    assert_int_equal(resp_command_run(&kit.session, &kit.reply, args, 2, false), RESP_RUN_AGAIN);
    expect_counts("get", NULL, 0, 0, 0);
    assert_int_equal(resp_command_run(&kit.session, &kit.reply, args, 2, true), RESP_RUN_DONE);
    expect_counts("get", NULL, 1, 0, 0);
    resp_command_fetching(&kit.session, args);
    expect_counts("get", NULL, 2, 0, 0);
    struct histogram *times = histogram_create();
    resp_stats_fetched(&kit.shared, resp_command_find(&args[0]), 5000);
    assert_true(resp_stats_histogram(&kit.shared, number_of("get", NULL), times));
    assert_int_equal(histogram_count(times), 2);
    histogram_destroy(&times);
}

static void test_totals_and_reset(void **state)
{
    struct kv_stats store = {.hits = 10, .misses = 5, .not_found = 3, .expired = 2, .memory_bytes = 1000};
    (void)state;
    (void)resp_kit_run("set a b");
    (void)resp_kit_run("nope");
    resp_stats_net(&kit.shared, 100, 200);
    assert_int_equal(resp_stats_memory(&kit.shared, &store), 1000);
    struct resp_totals t = resp_stats_totals(&kit.shared, &store);
    assert_int_equal(t.commands, 1);
    assert_int_equal(t.errors, 1);
    assert_int_equal(t.net_in, 100);
    assert_int_equal(t.net_out, 200);
    assert_int_equal(t.hits, 15);
    assert_int_equal(t.misses, 3);
    store.memory_bytes = 10;
    (void)resp_stats_memory(&kit.shared, &store);
    assert_int_equal(resp_stats_peak_memory(&kit.shared), 1000);
    resp_stats_reset(&kit.shared, &store);
    t = resp_stats_totals(&kit.shared, &store);
    const struct resp_totals none = {0};
    assert_memory_equal(&t, &none, sizeof t);
    assert_int_equal(resp_stats_peak_memory(&kit.shared), 10);
    expect_counts("set", NULL, 0, 0, 0);
    assert_int_equal(errors_of("ERR"), 0);
    store.hits += 7;
    resp_stats_net(&kit.shared, 1, 0);
    t = resp_stats_totals(&kit.shared, &store);
    assert_int_equal(t.hits, 7);
    assert_int_equal(t.net_in, 1);
    assert_int_equal(atomic_load(&kit.shared.counters.commands), 1); // metrics never go back
    assert_int_equal(calls_ever("set"), 1);
    EXPECT("config resetstat", OK);
    EXPECT("set a c", OK);
    assert_int_equal(calls_ever("set"), 2); // neither do these
    assert_int_equal(calls_ever("append"), 0);
    expect_counts("set", NULL, 1, 0, 0);
    expect_counts("config", "resetstat", 1, 0, 0);
}

// More codes than there is room for are not counted, and harm nothing.
static void test_many_codes(void **state)
{
    struct resp_error_stats errors[80];
    const struct resp_begin begin = resp_stats_begin(&kit.session, &kit.reply);
    (void)state;
    struct resp_begin at = begin;
    for (unsigned i = 0; i < 80; i++) {
        resp_error(&kit.reply, "CODE%c%c x", 'A' + (int)(i / 26), 'A' + (int)(i % 26));
        resp_stats_answered(&kit.session, &kit.reply, NULL, &at);
        at = resp_stats_begin(&kit.session, &kit.reply);
    }
    assert_int_equal(resp_stats_errors(&kit.shared, errors, 80), 64);
    assert_int_equal(errors_of("CODEAA"), 1);
}

#define THREADS 4
#define ROUNDS  2000

static void *count(void *arg)
{
    struct resp_session session = {.shared = &kit.shared};
    struct resp_reply reply;
    const struct resp_command *get = resp_command_find(&(struct resp_arg){(const uint8_t *)"get", 3});
    (void)arg;
    resp_reply_init(&reply, 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct resp_begin begin = resp_stats_begin(&session, &reply);
        struct resp_call call = {.command = get, .session = &session, .reply = &reply};
        if (i % 2 == 0)
            resp_error(&reply, "ERR x");
        resp_stats_end(&call, &begin);
        resp_reply_clear(&reply);
    }
    resp_reply_deinit(&reply);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
    resp_stats_tick(&kit.shared);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    expect_counts("get", NULL, THREADS * ROUNDS, 0, THREADS * ROUNDS / 2);
    assert_int_equal(errors_of("ERR"), THREADS * ROUNDS / 2);
    struct histogram *times = histogram_create();
    assert_true(resp_stats_histogram(&kit.shared, number_of("get", NULL), times));
    assert_int_equal(histogram_count(times), THREADS * ROUNDS);
    histogram_destroy(&times);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_commands), TEST(test_again), TEST(test_totals_and_reset),
                                       TEST(test_many_codes), TEST(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
