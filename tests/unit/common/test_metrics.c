#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>

#include "common/metrics.h"

static char *render(const struct metrics *m)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    metrics_render(m, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void put_two(void *arg, struct metrics_put *to)
{
    metrics_put(to, "cmd=\"get\"", *(uint64_t *)arg);
    metrics_put(to, "cmd=\"set\"", 1);
}

static void put_none(void *arg, struct metrics_put *to)
{
    (void)arg;
    (void)to;
}

static double read_number(void *arg)
{
    return *(double *)arg;
}

// The whole page, to the letter: HELP and TYPE once a name, labels, escapes in help, and every form of
// number.
static void counters_and_gauges_render(void **state)
{
    (void)state;
    double resident = 1536, ratio = 0.25, odd = NAN, endless = INFINITY, handshakes = 12;
    struct metrics *m = metrics_create();
    struct metric_counter *rsa =
        metrics_counter(m, "ks_requests_total", "method=\"RSA\"", "Requests by \"method\".");
    struct metric_counter *ec =
        metrics_counter(m, "ks_requests_total", "method=\"ECDHE\"", "Requests by \"method\".");
    assert_non_null(rsa);
    assert_non_null(ec);
    assert_true(
        metrics_gauge(m, "kv_resident_bytes", NULL, "Back\\slash and\nnewline.", read_number, &resident));
    assert_true(metrics_gauge(m, "kv_hit_ratio", NULL, "Hits.", read_number, &ratio));
    assert_true(metrics_gauge(m, "kv_odd", "is=\"nan\"", "Odd.", read_number, &odd));
    assert_true(metrics_gauge(m, "kv_odd", "is=\"inf\"", "Odd.", read_number, &endless));
    assert_true(
        metrics_counter_read(m, "ks_handshakes_total", NULL, "Handshakes.", read_number, &handshakes));
    metric_add(rsa, 3);
    metric_add(rsa, 4);
    assert_int_equal(metric_value(rsa), 7);

    char *text = render(m);
    assert_string_equal(text, "# HELP ks_requests_total Requests by \"method\".\n"
                              "# TYPE ks_requests_total counter\n"
                              "ks_requests_total{method=\"RSA\"} 7\n"
                              "ks_requests_total{method=\"ECDHE\"} 0\n"
                              "# HELP kv_resident_bytes Back\\\\slash and\\nnewline.\n"
                              "# TYPE kv_resident_bytes gauge\n"
                              "kv_resident_bytes 1536\n"
                              "# HELP kv_hit_ratio Hits.\n"
                              "# TYPE kv_hit_ratio gauge\n"
                              "kv_hit_ratio 0.25\n"
                              "# HELP kv_odd Odd.\n"
                              "# TYPE kv_odd gauge\n"
                              "kv_odd{is=\"nan\"} NaN\n"
                              "kv_odd{is=\"inf\"} +Inf\n"
                              "# HELP ks_handshakes_total Handshakes.\n"
                              "# TYPE ks_handshakes_total counter\n"
                              "ks_handshakes_total 12\n");
    free(text);
    metrics_destroy(&m);
    assert_null(m);
    metrics_destroy(&m); // NULL is fine
}

static void the_version_is_a_label(void **state)
{
    (void)state;
    struct metrics *m = metrics_create();
    assert_true(metrics_build_info(m, "ks_build_info"));
    char *text = render(m);
    assert_string_equal(text, "# HELP ks_build_info The version that runs.\n"
                              "# TYPE ks_build_info gauge\n"
                              "ks_build_info{version=\"" MEC_VERSION "\"} 1\n");
    free(text);
    metrics_destroy(&m);
}

// Nanoseconds go in, seconds come out; buckets are cumulative and end with +Inf = count.
static void histograms_render_in_seconds(void **state)
{
    (void)state;
    struct metrics *m = metrics_create();
    struct histogram *h = metrics_histogram(m, "ks_wait_seconds", "queue=\"rsa\"", "Waiting.");
    assert_non_null(h);
    histogram_record(h, 5000);           // 5 us
    histogram_record(h, 15000);          // 15 us
    histogram_record(h, 1000000);        // 1 ms
    histogram_record(h, 60000000000ULL); // a minute
    char *text = render(m);
    assert_string_equal(text, "# HELP ks_wait_seconds Waiting.\n"
                              "# TYPE ks_wait_seconds histogram\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"1e-05\"} 1\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"2e-05\"} 2\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"4e-05\"} 2\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"8e-05\"} 2\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.00016\"} 2\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.00032\"} 2\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.00064\"} 2\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.00128\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.00256\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.00512\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.01024\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.02048\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.04096\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.08192\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.16384\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.32768\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"0.65536\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"1.31072\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"2.62144\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"5.24288\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"10.48576\"} 3\n"
                              "ks_wait_seconds_bucket{queue=\"rsa\",le=\"+Inf\"} 4\n"
                              "ks_wait_seconds_sum{queue=\"rsa\"} 60.001020000\n"
                              "ks_wait_seconds_count{queue=\"rsa\"} 4\n");
    free(text);
    metrics_destroy(&m);
}

// A histogram without labels has le alone in its braces, and none around _sum and _count.
static void labels_are_optional(void **state)
{
    (void)state;
    struct metrics *m = metrics_create();
    assert_non_null(metrics_histogram(m, "ks_time_seconds", NULL, "Time."));
    char *text = render(m);
    assert_non_null(strstr(text, "\nks_time_seconds_bucket{le=\"+Inf\"} 0\nks_time_seconds_sum 0.000000000\n"
                                 "ks_time_seconds_count 0\n"));
    free(text);
    metrics_destroy(&m);
}

enum { THREADS = 6, ADDS = 20000 };

static void *count_up(void *arg)
{
    for (int i = 0; i < ADDS; i++)
        metric_add(arg, 1);
    return NULL;
}

// Threads count on stripes of their own, and the sum is whole; rendering meanwhile is allowed.
static void threads_count_without_loss(void **state)
{
    (void)state;
    struct metrics *m = metrics_create();
    struct metric_counter *counter = metrics_counter(m, "ks_ops_total", NULL, "Operations.");
    assert_non_null(counter);
    assert_int_equal((uintptr_t)counter % 64, 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, counter), 0);
    free(render(m));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(metric_value(counter), THREADS * ADDS);
    metrics_destroy(&m);
}

static void labels_found_when_rendered(void **state)
{
    (void)state;
    uint64_t gets = 0;
    struct metrics *m = metrics_create();
    assert_true(metrics_counter_each(m, "kv_commands_total", "Commands.", put_two, &gets));
    assert_true(metrics_counter_each(m, "kv_none_total", "Nothing.", put_none, NULL));
    gets = UINT64_MAX;
    char *text = render(m);
    assert_string_equal(text, "# HELP kv_commands_total Commands.\n"
                              "# TYPE kv_commands_total counter\n"
                              "kv_commands_total{cmd=\"get\"} 18446744073709551615\n"
                              "kv_commands_total{cmd=\"set\"} 1\n"
                              "# HELP kv_none_total Nothing.\n"
                              "# TYPE kv_none_total counter\n");
    free(text);
    metrics_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges_render),   cmocka_unit_test(the_version_is_a_label),
        cmocka_unit_test(histograms_render_in_seconds), cmocka_unit_test(labels_are_optional),
        cmocka_unit_test(labels_found_when_rendered),   cmocka_unit_test(threads_count_without_loss),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
