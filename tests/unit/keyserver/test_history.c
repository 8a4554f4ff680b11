// The history: samples say what happened between two readings, rings keep the latest, and the JSON is what the page reads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "keyserver/history.h"

#define SECOND 1000000000u

static struct history *history;
static struct histogram *duration;
static struct history_reading now;
static struct history_sample samples[HISTORY_MINUTES];

static int set_up(void **state)
{
    (void)state;
    duration = histogram_create();
    histogram_record_n(duration, 77000000, 1000); // before the history began
    now = (struct history_reading){.now_ns = 5 * (uint64_t)SECOND,
                                   .unix_ms = 1000000,
                                   .requests = 1000,
                                   .duration = duration,
                                   .limit_bytes = 1 << 30};
    history = history_create(&now);
    return history == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    history_destroy(&history);
    history_destroy(&history); // NULL is fine
    histogram_destroy(&duration);
    return 0;
}

// A second passes in which so many requests take so long.
static void pass(unsigned requests, uint64_t us)
{
    now.now_ns += SECOND;
    now.unix_ms += 1000;
    now.requests += requests;
    histogram_record_n(duration, us * 1000, requests);
    history_add(history, &now);
}

static void a_second(void **state)
{
    (void)state;
    now.errors += 5;
    now.cache_hits += 90;
    now.cache_misses += 10;
    now.store_hits += 3;
    now.store_misses += 1;
    now.queue = 7;
    now.memory_bytes = 4096;
    pass(50, 200);
    assert_int_equal(history_latest(history, HISTORY_BY_SECOND, samples, 10), 1);
    const struct history_sample *s = &samples[0];
    assert_true(s->requests_per_s == 50 && s->errors_per_s == 5 && s->queue == 7 && s->memory_bytes == 4096);
    assert_true(s->decoded_percent == 90 && s->memory_percent == 75);
    assert_true(s->p50_us >= 200 && s->p50_us < 205 && s->p999_us < 205); // what was before is not in it
    assert_int_equal(s->unix_ms, 1001000);
}

static void an_idle_second_has_no_percentiles(void **state)
{
    (void)state;
    pass(0, 0);
    assert_int_equal(history_latest(history, HISTORY_BY_SECOND, samples, 10), 1);
    assert_true(samples[0].requests_per_s == 0);
    assert_true(isnan(samples[0].p50_us) && isnan(samples[0].decoded_percent) &&
                isnan(samples[0].memory_percent));
}

// A process that was stopped for a while has one long sample, not one with an enormous rate.
static void a_late_reading(void **state)
{
    (void)state;
    now.now_ns += 99 * (uint64_t)SECOND;
    pass(500, 100);
    assert_int_equal(history_latest(history, HISTORY_BY_SECOND, samples, 10), 1);
    assert_true(samples[0].requests_per_s == 5);
    history_add(history, &now); // no time has passed
    assert_int_equal(history_latest(history, HISTORY_BY_SECOND, samples, 10), 1);
}

static void minutes(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        now.queue = i == 30 ? 1000 : 1;
        pass(i == 30 ? 40 : 1, i == 30 ? 50000 : 100);
    }
    assert_int_equal(history_latest(history, HISTORY_BY_MINUTE, samples, 10), 1);
    assert_true(samples[0].queue == 1000); // the most of its seconds
    assert_true(samples[0].requests_per_s > 1.64f && samples[0].requests_per_s < 1.66f);
    assert_true(samples[0].p50_us < 103 && samples[0].p99_us > 49000); // over all of its requests
}

static void rings_keep_the_latest(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 60 * (HISTORY_MINUTES + 5); i++)
        pass(i % 7, 100);
    assert_int_equal(history_latest(history, HISTORY_BY_SECOND, samples, HISTORY_MINUTES), HISTORY_SECONDS);
    for (unsigned i = 1; i < HISTORY_SECONDS; i++)
        assert_true(samples[i].unix_ms == samples[i - 1].unix_ms + 1000);
    assert_int_equal(samples[HISTORY_SECONDS - 1].unix_ms, now.unix_ms);
    assert_int_equal(history_latest(history, HISTORY_BY_MINUTE, samples, HISTORY_MINUTES), HISTORY_MINUTES);
    for (unsigned i = 1; i < HISTORY_MINUTES; i++)
        assert_true(samples[i].unix_ms == samples[i - 1].unix_ms + 60000);
    assert_int_equal(history_latest(history, HISTORY_BY_MINUTE, samples, 3), 3);
    assert_int_equal(samples[2].unix_ms, now.unix_ms);
}

static json_t *written(size_t max)
{
    char *text = NULL;
    size_t len = 0;
    json_error_t why;
    FILE *out = open_memstream(&text, &len);
    history_write(history, HISTORY_BY_SECOND, max, out);
    assert_int_equal(fclose(out), 0);
    json_t *object = json_loads(text, 0, &why);
    if (object == NULL)
        fail_msg("%s: %s", why.text, text);
    free(text);
    return object;
}

static void as_json(void **state)
{
    const char *name;
    json_t *column;
    (void)state;
    json_t *empty = written(10);
    json_object_foreach(empty, name, column) assert_int_equal(json_array_size(column), 0);
    json_decref(empty);
    pass(1, 123);
    pass(0, 0);
    json_t *two = written(10);
    json_object_foreach(two, name, column) assert_int_equal(json_array_size(column), 2);
    assert_int_equal(json_object_size(two), 12);
    assert_true(json_number_value(json_array_get(json_object_get(two, "requests_per_s"), 0)) == 1);
    assert_true(json_is_null(json_array_get(json_object_get(two, "p99_us"), 1)));
    assert_true(json_number_value(json_array_get(json_object_get(two, "limit_bytes"), 1)) > 1.07e9);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(two, "unix_ms"), 1)), 1002000);
    json_decref(two);
    json_t *one = written(1);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(one, "unix_ms"), 0)), 1002000);
    json_decref(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_idle_second_has_no_percentiles, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_late_reading, set_up, tear_down),
        cmocka_unit_test_setup_teardown(minutes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rings_keep_the_latest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(as_json, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
