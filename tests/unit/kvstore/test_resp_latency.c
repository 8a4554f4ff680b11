// LATENCY: samples, the picture, histograms.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/latency.h"
#include "kvstore/resp/stats.h"
#include "tests/unit/kvstore/resp_kit.h"

static void test_off(void **state)
{
    (void)state;
    resp_latency_note(&kit.shared, "command", 1000);
    EXPECT("latency latest", "*0\r\n");
    EXPECT("latency history command", "*0\r\n");
    EXPECT("latency graph command", "-ERR No samples available for event 'command'\r\n");
    EXPECT("latency reset", ":0\r\n");
    assert_non_null(strstr(resp_kit_run("latency doctor"), "is off"));
    EXPECT("latency foo", "-ERR unknown subcommand 'foo'. Try LATENCY HELP.\r\n");
}

static void test_samples(void **state)
{
    (void)state;
    EXPECT("config set latency-monitor-threshold 10", OK);
    assert_non_null(strstr(resp_kit_run("latency doctor"), "No latency spike"));
    resp_latency_note(&kit.shared, "command", 9);
    resp_latency_note(&kit.shared, "command", 10);
    resp_latency_note(&kit.shared, "command", 30);
    resp_latency_note(&kit.shared, "command", 20); // the same second: the longest counts
    fake.now_ms += 2000;
    resp_latency_note(&kit.shared, "command", 15);
    resp_latency_note(&kit.shared, "fork", 12);
    EXPECT("latency latest", "*2\r\n*4\r\n$7\r\ncommand\r\n:1700000002\r\n:15\r\n:30\r\n"
                             "*4\r\n$4\r\nfork\r\n:1700000002\r\n:12\r\n:12\r\n");
    EXPECT("latency history command", "*2\r\n*2\r\n:1700000000\r\n:30\r\n*2\r\n:1700000002\r\n:15\r\n");
    assert_non_null(strstr(resp_kit_run("latency doctor"), "1. command: 2 latency spikes (average 22 ms"));
    EXPECT("latency reset command nope", ":1\r\n");
    EXPECT("latency history command", "*0\r\n");
    EXPECT("latency reset", ":1\r\n");
}

static void test_many(void **state)
{
    struct resp_latency_history history;
    (void)state;
    resp_latency_set_threshold(&kit.shared, 1);
    for (unsigned i = 0; i < 200; i++, fake.now_ms += 1000)
        resp_latency_note(&kit.shared, "command", i + 1);
    assert_true(resp_latency_at(&kit.shared, 0, &history));
    assert_int_equal(history.count, RESP_LATENCY_SAMPLES);
    assert_int_equal(history.samples[0].ms, 41);
    assert_int_equal(history.samples[RESP_LATENCY_SAMPLES - 1].ms, 200);
    assert_int_equal(history.most_ms, 200);
    static char names[RESP_LATENCY_EVENTS + 4][8];
    for (unsigned i = 0; i < RESP_LATENCY_EVENTS + 4; i++) { // more kinds than there is room for
        (void)snprintf(names[i], sizeof names[i], "k%u", i);
        resp_latency_note(&kit.shared, names[i], 5);
    }
    char expected[16];
    (void)snprintf(expected, sizeof expected, ":%u\r\n", RESP_LATENCY_EVENTS);
    EXPECT("latency reset", expected);
}

// As redis-server 7.0 draws these.
static void test_graph(void **state)
{
    static const char dashes[] =
        "--------------------------------------------------------------------------------\n";
    struct resp_latency_history one = {.event = "command", .most_ms = 10, .count = 1};
    struct resp_latency_history six = {.event = "command", .most_ms = 60, .count = 6};
    static const struct resp_latency_sample samples[] = {{740, 1},  {994, 5},  {995, 2},
                                                         {996, 30}, {998, 60}, {999, 12}};
    char expected[512];
    (void)state;
    one.samples[0] = (struct resp_latency_sample){1000, 10};
    char *text = resp_latency_graph(&one, 1000);
    (void)snprintf(expected, sizeof expected,
                   "command - high 10 ms, low 10 ms (all time high 10 ms)\n%s \n \n \n_\n \n0\ns\n", dashes);
    assert_string_equal(text, expected);
    free(text);
    memcpy(six.samples, samples, sizeof samples);
    text = resp_latency_graph(&six, 1000);
    (void)snprintf(
        expected, sizeof expected,
        "command - high 60 ms, low 1 ms (all time high 60 ms)\n%s    # \n    | \n   #| \n___||#\n      \n"
        "465421\nmsssss\n",
        dashes);
    assert_string_equal(text, expected);
    free(text);
}

static void test_histogram(void **state)
{
    char name[] = "get";
    const struct resp_command *get = resp_command_find(&(struct resp_arg){(const uint8_t *)name, 3});
    (void)state;
    EXPECT("latency histogram get nope", "*0\r\n");
    resp_stats_fetched(&kit.shared, get, 500);
    resp_stats_fetched(&kit.shared, get, 1500);
    resp_stats_fetched(&kit.shared, get, 30000);
    resp_stats_fetched(&kit.shared, get, 200000);
    EXPECT("latency histogram GET nope",
           "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:4\r\n$14\r\nhistogram_usec\r\n"
           "*8\r\n:1\r\n:1\r\n:2\r\n:2\r\n:33\r\n:3\r\n:264\r\n:4\r\n");
    assert_non_null(strstr(resp_kit_run("latency histogram latency"), "latency|histogram"));
    assert_memory_equal(resp_kit_run("latency histogram latency|reset"), "*0\r\n", 4);
    assert_memory_equal(resp_kit_run("latency histogram latency|histogram"), "*2\r\n$17\r\n", 9);
    assert_non_null(strstr(resp_kit_run("latency histogram"), "$3\r\nget\r\n"));
    EXPECT("config resetstat", OK);
    EXPECT("latency histogram get", "*0\r\n");
    EXPECT("config set latency-tracking no", OK);
    (void)resp_kit_run("get k");
    EXPECT("latency histogram get", "*0\r\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_off), TEST(test_samples), TEST(test_many), TEST(test_graph),
                                       TEST(test_histogram)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
