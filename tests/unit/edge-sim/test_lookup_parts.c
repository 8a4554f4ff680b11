// The pure parts of `edge-sim load lookup`: schedule, replies, time series, options.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge-sim/lookup_options.h"
#include "edge-sim/lookup_reply.h"
#include "edge-sim/lookup_schedule.h"
#include "edge-sim/lookup_series.h"

#define SECOND 1000000000u

// ---- schedule

static struct lookup_schedule parsed(const char *text)
{
    struct lookup_schedule s;
    struct error e;
    if (!lookup_schedule_parse(text, &s, &e))
        fail_msg("%s: %s", text, e.text);
    return s;
}

static void rates_and_due_times(void **state)
{
    (void)state;
    struct lookup_schedule s = parsed("0s=1000,10s=20000,30s~5000,40s=0,50s=10");
    assert_int_equal(s.count, 5);
    assert_true(lookup_schedule_rate(&s, 0) == 1000);
    assert_true(lookup_schedule_rate(&s, 10ull * SECOND - 1) == 1000);
    assert_true(lookup_schedule_rate(&s, 10ull * SECOND) == 20000);
    assert_true(lookup_schedule_rate(&s, 20ull * SECOND) == 12500);
    assert_true(lookup_schedule_rate(&s, 30ull * SECOND) == 5000);
    assert_true(lookup_schedule_rate(&s, 45ull * SECOND) == 0);
    assert_true(lookup_schedule_rate(&s, 5000ull * SECOND) == 10);
    assert_int_equal(lookup_schedule_due(&s, 0), 0);
    assert_int_equal(lookup_schedule_due(&s, 1), 1000000);
    assert_int_equal(lookup_schedule_due(&s, 9999), 9999000000u);
    assert_int_equal(lookup_schedule_due(&s, 10000), 10ull * SECOND);
    // 10,000 in the first ten seconds, 250,000 in the twenty of the ramp, 50,000 in the ten after it, none in the ten of rate 0
    assert_int_equal(lookup_schedule_due(&s, 260000), 30ull * SECOND);
    assert_int_equal(lookup_schedule_due(&s, 310000), 50ull * SECOND);
    assert_int_equal(lookup_schedule_due(&s, 310010), 51ull * SECOND);
}

// Whatever the schedule: due times never go back, and as many are due in a span as the rate's sum says.
static void due_times_rise(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0s=1000",     "0s=0,1s~1000,2s~0,3s=500", "0s=7,1ms=9999,1s~1,2s~5000,2500ms=0", "0s=0,1s=100",
        "0s=100,1s=0", "0s=100,1s~0,5s~100"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct lookup_schedule s = parsed(texts[i]);
        uint64_t last = 0;
        double sum = 0;
        for (unsigned ms = 0; ms < 4000; ms++) // the sum by the middle of each millisecond
            sum += lookup_schedule_rate(&s, ms * 1000000ull + 500000) / 1000;
        uint64_t n = 0;
        for (uint64_t due; (due = lookup_schedule_due(&s, n)) < 4ull * SECOND; n++) {
            assert_true(due >= last);
            last = due;
        }
        assert_true((double)n > sum * 0.999 - 2 && (double)n < sum * 1.001 + 2);
    }
    struct lookup_schedule none = parsed("0s=0");
    assert_true(lookup_schedule_due(&none, 0) == UINT64_MAX);
    struct lookup_schedule late = parsed("0s=0,5041021h=4"); // 2^64 ns are 5,124,095 hours
    assert_int_equal(lookup_schedule_due(&late, 0), 5041021ull * 3600 * SECOND);
    assert_true(lookup_schedule_due(&late, 4000000000u) == UINT64_MAX);
    struct lookup_schedule constant;
    lookup_schedule_constant(&constant, 250);
    assert_int_equal(lookup_schedule_due(&constant, 500), 2ull * SECOND);
}

static void bad_schedules(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "0s",
                                        "1s=5",
                                        "0s~5",
                                        "0s=5,",
                                        ",0s=5",
                                        "0s=5,0s=6",
                                        "0s=5,2s=6,1s=7",
                                        "0s=-1",
                                        "0s=1.5",
                                        "0s=10000001",
                                        "0s=5 ,1s=6",
                                        "0s=5,1x=6",
                                        "=5",
                                        "0s=",
                                        "0s=5=6",
                                        "0s=5,99999999999999999999s=1"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct lookup_schedule s;
        struct error e = {{0}};
        assert_false(lookup_schedule_parse(texts[i], &s, &e));
        assert_non_null(strstr(e.text, "expected TIME=RATE"));
    }
    char *many = malloc(LOOKUP_STEPS_MAX * 16 + 64);
    size_t len = 0;
    for (unsigned i = 0; i <= LOOKUP_STEPS_MAX; i++)
        len += (size_t)sprintf(many + len, "%s%us=1", i == 0 ? "" : ",", i);
    struct lookup_schedule s;
    assert_false(lookup_schedule_parse(many, &s, NULL));
    *strrchr(many, ',') = '\0';
    assert_true(lookup_schedule_parse(many, &s, NULL));
    free(many);
}

// ---- replies

static enum lookup_reply_kind reply_of(const char *text, struct lookup_reply *reply)
{
    lookup_reply_parse((const uint8_t *)text, strlen(text), 100, reply);
    return reply->kind;
}

static void replies(void **state)
{
    (void)state;
    struct lookup_reply r;
    assert_int_equal(reply_of("$5\r\nhello\r\n+OK\r\n", &r), LOOKUP_REPLY_VALUE);
    assert_int_equal(r.len, 5);
    assert_memory_equal(r.data, "hello", 5);
    assert_int_equal(r.consumed, 11);
    assert_int_equal(reply_of("$0\r\n\r\n", &r), LOOKUP_REPLY_VALUE);
    assert_int_equal(r.len, 0);
    assert_int_equal(r.consumed, 6);
    assert_int_equal(reply_of("$-1\r\n$", &r), LOOKUP_REPLY_NONE);
    assert_int_equal(r.consumed, 5);
    assert_int_equal(reply_of("+OK\r\n", &r), LOOKUP_REPLY_STATUS);
    assert_memory_equal(r.data, "OK", r.len);
    assert_int_equal(reply_of("-ERR no\r\n-", &r), LOOKUP_REPLY_ERROR);
    assert_int_equal(r.len, 6);
    assert_int_equal(r.consumed, 9);
}

// A reply that comes byte by byte is the same reply, and `wanted` never asks for more than it has.
static void replies_in_pieces(void **state)
{
    (void)state;
    static const char *const texts[] = {"$11\r\nab\r\n$3\r\nefg\r\n", "$-1\r\n", "+OK\r\n", "-ERR x\r\n",
                                        "$0\r\n\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t len = strlen(texts[i]);
        struct lookup_reply r;
        for (size_t have = 0; have < len; have++) {
            uint8_t *exact = malloc(have + 1); // so that the sanitizer sees a read past the end
            uint8_t *end = exact + 1;
            memcpy(end, texts[i], have);
            lookup_reply_parse(end, have, 100, &r);
            assert_int_equal(r.kind, LOOKUP_REPLY_MORE);
            assert_true(r.wanted > have && r.wanted <= len);
            free(exact);
        }
        assert_int_not_equal(reply_of(texts[i], &r), LOOKUP_REPLY_MORE);
        assert_int_equal(r.consumed, len);
    }
}

static void bad_replies(void **state)
{
    (void)state;
    static const char *const texts[] = {
        ":1\r\n",  "*0\r\n",   "HTTP/1.1 400\r\n",          "$\r\n",      "$-2\r\n", "$01\r\n",
        "$1x\r\n", "$101\r\n", "$99999999999999999999\r\n", "$2\r\nabcd", "+OK\rX",  "$5\r\nhelloXY",
        "_\r\n"};
    struct lookup_reply r;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(reply_of(texts[i], &r), LOOKUP_REPLY_BAD);
    char endless[LOOKUP_LINE_MAX + 1];
    memset(endless, 'x', sizeof endless);
    endless[0] = '-';
    endless[LOOKUP_LINE_MAX] = '\0';
    assert_int_equal(reply_of(endless, &r), LOOKUP_REPLY_BAD);
    endless[LOOKUP_LINE_MAX - 1] = '\0';
    assert_int_equal(reply_of(endless, &r), LOOKUP_REPLY_MORE);
}

// ---- series

static void intervals_are_binned_by_when_the_answer_came(void **state)
{
    (void)state;
    struct lookup_series *s = lookup_series_create(SECOND, 5000000);
    size_t n;
    for (unsigned i = 0; i < 100; i++)
        lookup_series_count(s, SECOND / 2, LOOKUP_RIGHT, 1000000);
    lookup_series_count(s, SECOND + 1, LOOKUP_RIGHT, 9000000);
    lookup_series_count(s, SECOND + 1, LOOKUP_MISSING, 9000000);
    assert_true(lookup_series_close(s, 2ull * SECOND, false)); // too early: somebody may still count
    (void)lookup_series_rows(s, &n);
    assert_int_equal(n, 0);
    assert_true(lookup_series_close(s, 3ull * SECOND, false));
    const struct lookup_row *rows = lookup_series_rows(s, &n);
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].count[LOOKUP_RIGHT], 100);
    assert_int_equal(rows[0].over_goal, 0);
    assert_true(rows[0].p50_ns >= 1000000 && rows[0].p50_ns < 1020000);
    lookup_series_count(s, SECOND / 2, LOOKUP_LOST, 0); // late: goes to the oldest that is open
    assert_true(lookup_series_close(s, 3ull * SECOND, true));
    rows = lookup_series_rows(s, &n);
    assert_int_equal(n, 4);
    assert_int_equal(rows[1].count[LOOKUP_RIGHT], 1);
    assert_int_equal(rows[1].count[LOOKUP_MISSING], 1);
    assert_int_equal(rows[1].count[LOOKUP_LOST], 1);
    assert_int_equal(rows[1].over_goal, 1);
    assert_int_equal(rows[1].max_ns, 9000000);
    assert_int_equal(rows[2].count[LOOKUP_RIGHT], 0);
    assert_int_equal(rows[2].max_ns, 0);
    lookup_series_destroy(&s);
    lookup_series_destroy(&s);
}

// Hours of intervals through a few slots; a closer that sleeps loses no count, only its place.
static void long_runs(void **state)
{
    (void)state;
    struct lookup_series *s = lookup_series_create(SECOND, 5000000);
    uint64_t sum = 0;
    size_t n;
    for (uint64_t t = 0; t < 20000; t++) {
        lookup_series_count(s, t * SECOND, LOOKUP_RIGHT, t);
        if (t % 100 == 50) // much later than there are slots
            assert_true(lookup_series_close(s, t * SECOND, false));
    }
    assert_true(lookup_series_close(s, 20000ull * SECOND, true));
    const struct lookup_row *rows = lookup_series_rows(s, &n);
    assert_int_equal(n, 20001);
    for (size_t i = 0; i < n; i++)
        sum += rows[i].count[LOOKUP_RIGHT];
    assert_int_equal(sum, 20000);
    lookup_series_destroy(&s);
}

// ---- options

static void workloads(void **state)
{
    (void)state;
    struct lookup_workload w;
    assert_true(lookup_workload_parse("uniform", &w, NULL) && w.order == LOOKUP_UNIFORM);
    assert_true(lookup_workload_parse("zipf", &w, NULL) && w.order == LOOKUP_ZIPF && w.theta == 0.99);
    assert_true(lookup_workload_parse("zipf:0.5", &w, NULL) && w.theta == 0.5);
    assert_true(lookup_workload_parse("hot", &w, NULL) && w.order == LOOKUP_HOT && w.hot_percent == 10);
    assert_true(lookup_workload_parse("hot:100", &w, NULL) && w.hot_percent == 100);
    static const char *const bad[] = {"",        "zipf:",     "zipf:0",  "zipf:1", "zipf:nan",
                                      "zipf:-1", "zipf:0.5x", "hot:",    "hot:0",  "hot:101",
                                      "hot:x",   "Uniform",   "uniform "};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error e = {{0}};
        assert_false(lookup_workload_parse(bad[i], &w, &e));
        assert_non_null(strstr(e.text, "expected"));
    }
}

static void options_that_do_not_go_together(void **state)
{
    (void)state;
    char server[] = "127.0.0.1:1", zipf[] = "zipf", steps[] = "0s=5", wrong[] = "x";
    struct lookup_options o = {.server = server, .workload = zipf, .duration = 1};
    struct net_addr addr;
    struct lookup_workload w;
    struct lookup_schedule s;
    struct error e;
    bool open;
    assert_true(lookup_options_check(&o, &addr, &w, &s, &open, &e));
    assert_false(open);
    o.rate = 7;
    assert_true(lookup_options_check(&o, &addr, &w, &s, &open, &e));
    assert_true(open && lookup_schedule_rate(&s, 5) == 7);
    o.schedule = steps;
    assert_false(lookup_options_check(&o, &addr, &w, &s, &open, &e));
    assert_non_null(strstr(e.text, "--rate and --schedule"));
    o.rate = 0;
    assert_true(lookup_options_check(&o, &addr, &w, &s, &open, &e));
    o.schedule = wrong;
    assert_false(lookup_options_check(&o, &addr, &w, &s, &open, &e));
    assert_non_null(strstr(e.text, "--schedule: found x"));
    o.schedule = NULL;
    o.duration = 0;
    assert_false(lookup_options_check(&o, &addr, &w, &s, &open, &e));
    o.fill = true;
    assert_true(lookup_options_check(&o, &addr, &w, &s, &open, &e));
    o.workload = wrong;
    assert_false(lookup_options_check(&o, &addr, &w, &s, &open, &e));
    o.server = wrong;
    assert_false(lookup_options_check(&o, &addr, &w, &s, &open, &e));
    assert_non_null(strstr(e.text, "--server: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_and_due_times),
        cmocka_unit_test(due_times_rise),
        cmocka_unit_test(bad_schedules),
        cmocka_unit_test(replies),
        cmocka_unit_test(replies_in_pieces),
        cmocka_unit_test(bad_replies),
        cmocka_unit_test(intervals_are_binned_by_when_the_answer_came),
        cmocka_unit_test(long_runs),
        cmocka_unit_test(workloads),
        cmocka_unit_test(options_that_do_not_go_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
