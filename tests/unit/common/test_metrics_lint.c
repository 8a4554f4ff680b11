// The checker of metrics pages finds what Prometheus would stumble over, and nothing in a page of common/metrics.h.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/metrics.h"
#include "metrics_lint.h"

#define HEAD(name, type) "# HELP " name " Help.\n# TYPE " name " " type "\n"

static unsigned lint(const char *page)
{
    return metrics_lint(page, NULL);
}

static void good_pages(void **state)
{
    (void)state;
    assert_int_equal(lint(HEAD("ks_a_total", "counter") "ks_a_total 1\n"), 0);
    assert_int_equal(
        lint(HEAD("ks_a_total",
                  "counter") "ks_a_total{x=\"1\"} 1\nks_a_total{x=\"2\",y=\"\\\\\\\"\\n\"} 2e9\n"),
        0);
    assert_int_equal(lint(HEAD("ks_a_total", "counter") HEAD("kv_b", "gauge") "kv_b -1.5\n"), 0);
    assert_int_equal(
        lint(HEAD(
            "ks_a_seconds",
            "histogram") "ks_a_seconds_bucket{le=\"0.1\"} 1\n"
                         "ks_a_seconds_bucket{le=\"+Inf\"} 2\nks_a_seconds_sum 3\nks_a_seconds_count 2\n"),
        0);
}

static void bad_pages(void **state)
{
    static const char *const bad[] = {
        "",
        HEAD("ks_a_total", "counter") "ks_a_total 1",
        HEAD("ks_a", "counter") "ks_a 1\n",
        HEAD("ks_a_total", "gauge") "ks_a_total 1\n",
        HEAD("ks_a_total", "untyped") "ks_a_total 1\n",
        HEAD("ks_a_total", "counter") "ks_a_total -1\n",
        HEAD("ks_a_total", "counter") "ks_a_total x\n",
        HEAD("ks_a_total", "counter") "ks_a_total\n",
        HEAD("ks_a_total", "counter") "ks_a_total 1\nks_a_total 2\n",
        HEAD("ks_a_total", "counter") "ks_b_total 1\n",
        HEAD("ks_a_total", "counter") "ks_a_total{x=1} 1\n",
        HEAD("ks_a_total", "counter") "ks_a_total{x=\"a\"b\"} 1\n",
        HEAD("ks_a_total", "counter") "ks_a_total{x=\"\\t\"} 1\n",
        HEAD("ks_a_total", "counter") "ks_a_total{x=\"1\" 1\n",
        HEAD("ks_a_total", "counter") "ks_a_total 1\n" HEAD("kv_b", "gauge") "kv_b 1\n" HEAD("ks_a_total",
                                                                                             "counter"),
        HEAD("a_total", "counter") "a_total 1\n",
        HEAD("ks_A", "gauge") "ks_A 1\n",
        HEAD("ks_a_ms", "gauge") "ks_a_ms 1\n",
        HEAD("ks_a_percent", "gauge") "ks_a_percent 1\n",
        HEAD("ks_a_count", "gauge") "ks_a_count 1\n",
        HEAD("ks_a_info", "gauge") "ks_a_info 2\n",
        HEAD("ks_a", "histogram"),
        HEAD("ks_a_seconds", "histogram") "ks_a_seconds_bucket{le=\"1\"} 1\n",
        HEAD("ks_a_seconds", "histogram") "ks_a_seconds_bucket{le=\"2\"} 1\nks_a_seconds_bucket{le=\"1\"} "
                                          "1\nks_a_seconds_bucket{le=\"+Inf\"} 1\n",
        HEAD("ks_a_seconds",
             "histogram") "ks_a_seconds_bucket{le=\"1\"} 2\nks_a_seconds_bucket{le=\"+Inf\"} 1\n",
        HEAD("ks_a_seconds", "histogram") "ks_a_seconds_bucket{le=\"+Inf\"} 1\nks_a_seconds_count 2\n",
        "# HELP ks_a no sentence\n# TYPE ks_a gauge\nks_a 1\n",
        "# TYPE ks_a gauge\nks_a 1\n",
        "ks_a 1\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (lint(bad[i]) == 0)
            fail_msg("taken for good: %s", bad[i]);
}

// Labels without a bound are what brings a Prometheus down.
static void too_many_series(void **state)
{
    char *page = NULL;
    size_t len = 0;
    (void)state;
    FILE *out = open_memstream(&page, &len);
    assert_non_null(out);
    (void)fputs(HEAD("ks_a_total", "counter"), out);
    for (int i = 0; i < LINT_SERIES; i++)
        (void)fprintf(out, "ks_a_total{x=\"%d\"} 1\n", i);
    (void)fflush(out);
    assert_int_equal(lint(page), 0);
    (void)fputs("ks_a_total{x=\"one more\"} 1\n", out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(lint(page), 1);
    free(page);
}

static void put(void *arg, struct metrics_put *to)
{
    char name[16], labels[40];
    (void)snprintf(labels, sizeof labels, "edge=\"%s\"", metrics_label(arg, name, sizeof name));
    metrics_put_number(to, labels, 0.5);
}

static void what_the_registry_writes(void **state)
{
    char *page = NULL;
    size_t len = 0;
    (void)state;
    struct metrics *m = metrics_create();
    assert_non_null(metrics_counter(m, "ks_a_total", "x=\"1\"", "Help."));
    assert_true(metrics_gauge_each(m, "ks_b", "Help.", put, (void *)(uintptr_t) "\"\\\n{}"));
    struct histogram *h = metrics_histogram(m, "ks_c_seconds", NULL, "Help.");
    assert_non_null(h);
    histogram_record(h, 123456);
    FILE *out = open_memstream(&page, &len);
    metrics_render(m, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(metrics_lint(page, stderr), 0);
    assert_non_null(strstr(page, "# TYPE ks_b gauge\nks_b{edge=\"\\\"\\\\\\n{}\"} 0.5\n"));
    free(page);
    metrics_destroy(&m);
}

// Cut to fit: no half of an escape, no half of a character.
static void labels_are_cut_whole(void **state)
{
    char buf[8];
    (void)state;
    assert_string_equal(metrics_label("abcdefghi", buf, sizeof buf), "abcdefg");
    assert_string_equal(metrics_label("abcdef\"", buf, sizeof buf), "abcdef");
    assert_string_equal(metrics_label("abcde\"x", buf, sizeof buf), "abcde\\\"");
    assert_string_equal(metrics_label("abcdef\xc3\xa9", buf, sizeof buf), "abcdef");
    assert_string_equal(metrics_label("abcde\xc3\xa9", buf, sizeof buf), "abcde\xc3\xa9");
    assert_string_equal(metrics_label("", buf, sizeof buf), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_pages),           cmocka_unit_test(bad_pages),
        cmocka_unit_test(too_many_series),      cmocka_unit_test(what_the_registry_writes),
        cmocka_unit_test(labels_are_cut_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
