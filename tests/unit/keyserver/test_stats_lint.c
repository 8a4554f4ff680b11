// The metrics that keyserver/stats.c declares are as Prometheus wants them. Those of a whole server: tests/e2e/live_page.sh.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "keyserver/stats.h"
#include "tests/unit/common/metrics_lint.h"

static void names_and_types(void **state)
{
    struct stats stats;
    struct error e;
    char *page = NULL;
    size_t len = 0;
    (void)state;
    assert_true(stats_setup(&stats, &e));
    FILE *out = open_memstream(&page, &len);
    assert_non_null(out);
    metrics_render(stats.metrics, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(metrics_lint(page, stderr), 0);
    free(page);
    stats_teardown(&stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_and_types)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
