// Which engine runs, what it learns of costs, what operators see of it.
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "keyserver/engine.h"

#define US UINT64_C(1000)

static struct stats stats;

static int setup(void **state)
{
    (void)state;
    struct error e;
    kit_dir_create();
    assert_true(log_setup("keyserver", LOG_LEVEL_INFO, kit_path("log"), &e));
    assert_true(stats_setup(&stats, &e));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stats_teardown(&stats);
    log_teardown();
    kit_dir_remove();
    return 0;
}

static void picks(void **state)
{
    (void)state;
    static const struct {
        enum engine_wanted wanted;
        bool ifma, good, batches;
        enum rsa8_impl impl;
        const char *name;
    } cases[] = {
        {ENGINE_AUTO, true, true, true, RSA8_IFMA, "ifma"},
        {ENGINE_AUTO, false, true, false, RSA8_PORTABLE, "openssl"},
        {ENGINE_IFMA, true, true, true, RSA8_IFMA, "ifma"},
        {ENGINE_IFMA, false, false, false, RSA8_PORTABLE, NULL},
        {ENGINE_OPENSSL, true, true, false, RSA8_PORTABLE, "openssl"},
        {ENGINE_OPENSSL, false, true, false, RSA8_PORTABLE, "openssl"},
        {ENGINE_PORTABLE, true, true, true, RSA8_PORTABLE, "portable"},
        {ENGINE_PORTABLE, false, true, true, RSA8_PORTABLE, "portable"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct engine_pick pick;
        struct error e = {""};
        assert_int_equal(engine_pick(cases[i].wanted, cases[i].ifma, &pick, &e), cases[i].good);
        if (!cases[i].good) {
            assert_non_null(strstr(e.text, "--rsa-engine: ifma: "));
            continue;
        }
        assert_int_equal(pick.batches, cases[i].batches);
        assert_string_equal(pick.name, cases[i].name);
        assert_true(pick.reason[0] != '\0');
        if (pick.batches)
            assert_int_equal(pick.impl, cases[i].impl);
    }
}

static struct engine *make(enum engine_wanted wanted, bool ifma)
{
    struct engine_settings settings = {.threads = 3, .fill_wait_us = 150, .stats = &stats};
    struct error e;
    assert_true(engine_pick(wanted, ifma, &settings.pick, &e));
    struct engine *engine = engine_create(&settings, &e);
    assert_non_null(engine);
    assert_int_equal(engine_fill_wait_ns(engine), 150 * US);
    return engine;
}

static void it_says_which(void **state)
{
    (void)state;
    struct engine *engine = make(ENGINE_AUTO, false);
    assert_false(engine_has_batches(engine));
    engine_destroy(&engine);
    assert_null(engine);
    engine_destroy(&engine);
    log_flush();
    char *text = kit_read_file(kit_path("log"));
    assert_non_null(
        strstr(text, " rsa_engine engine=openssl reason=\"this processor or system has no AVX-512 IFMA\""));
    free(text);
}

static struct engine_choice ask(struct engine *engine, unsigned size, unsigned waiting, unsigned spare)
{
    const struct engine_load load = {.waiting = waiting, .spare = spare, .gap_ns = UINT64_MAX};
    return engine_choice_for(engine, size, &load);
}

static void portable_always_batches(void **state)
{
    (void)state;
    struct engine *engine = make(ENGINE_PORTABLE, false);
    for (unsigned waiting = 1; waiting < 20; waiting++) {
        struct engine_choice choice = ask(engine, 0, waiting, 5);
        assert_int_equal(choice.way, ENGINE_BATCH);
        assert_int_equal(choice.count, waiting < 8 ? waiting : 8);
    }
    engine_destroy(&engine);
}

// From which count on batches are taken.
static unsigned worth_from(struct engine *engine, unsigned size)
{
    for (unsigned waiting = 1; waiting < 8; waiting++)
        if (ask(engine, size, waiting, 0).way == ENGINE_BATCH)
            return waiting;
    return 8;
}

static void costs_are_learnt(void **state)
{
    (void)state;
    struct engine *engine = make(ENGINE_IFMA, true);
    assert_int_equal(worth_from(engine, 0), 4);
    assert_int_equal(worth_from(engine, 1), 2);
    assert_int_equal(worth_from(engine, 2), 2);
    for (int i = 0; i < 200; i++) // OpenSSL is twice as fast here as where the first costs come from
        engine_note_single(engine, 0, 125 * US);
    assert_int_equal(worth_from(engine, 0), 8);
    assert_int_equal(worth_from(engine, 1), 2);  // another size
    engine_note_single(engine, 1, 1000000 * US); // a thread that was stopped for a second
    assert_int_equal(worth_from(engine, 1), 2);
    engine_note_single(engine, -1, 7); // sizes without batches are counted
    assert_int_equal(metric_value(stats.rsa_singles[0]), 200);
    assert_int_equal(metric_value(stats.rsa_singles[1]), 1);
    assert_int_equal(metric_value(stats.rsa_singles[ENGINE_SIZES]), 1);
    for (int i = 0; i < 1000; i++) // nonsense does no harm
        engine_note_single(engine, 2, 0);
    assert_int_equal(ask(engine, 2, 7, 0).way, ENGINE_SINGLE);
    engine_destroy(&engine);
}

// A batch that looked too dear is tried again now and then, or it would stay so for ever.
static void dear_batches_are_tried_again(void **state)
{
    (void)state;
    struct engine *engine = make(ENGINE_IFMA, true);
    unsigned tried = 0;
    for (int i = 0; i < 400; i++)
        engine_note_single(engine, 0, 10 * US);
    for (int i = 0; i < 640; i++)
        tried += ask(engine, 0, 8, 0).way == ENGINE_BATCH;
    assert_int_equal(tried, 10);
    for (int i = 0; i < 640; i++) // not where threads are idle, nor with fewer
        assert_true(ask(engine, 0, 8, 1).way == ENGINE_SINGLE && ask(engine, 0, 7, 0).way == ENGINE_SINGLE);
    engine_destroy(&engine);
}

static char *render(struct metrics *metrics)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    metrics_render(metrics, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void what_operators_see(void **state)
{
    (void)state;
    struct engine *engine = make(ENGINE_PORTABLE, false);
    metric_add(stats.rsa_batches[1][5], 3);
    metric_add(stats.rsa_batches[1][0], 1);
    metric_add(stats.rsa_singles[1], 7);
    metric_add(stats.rsa_faults, 2);
    metric_add(stats.rsa_no_random, 1);
    engine_note_gathered(engine, 30 * US);
    assert_true(engine_metrics(engine, stats.metrics));
    static const char *const expected[] = {
        "ks_rsa_engine_info{engine=\"portable\"} 1\n",
        "ks_rsa_batches_total{bits=\"3072\",fill=\"6\"} 3\n",
        "ks_rsa_batches_total{bits=\"4096\",fill=\"8\"} 0\n",
        "ks_rsa_singles_total{bits=\"3072\"} 7\n",
        "ks_rsa_singles_total{bits=\"other\"} 0\n",
        "ks_rsa_engine_faults_total 2\n",
        "ks_rsa_engine_refused_total{reason=\"random\"} 1\n",
        "ks_rsa_engine_cost_seconds{bits=\"2048\",of=\"single\"} 0.00025\n",
        "ks_rsa_engine_cost_seconds{bits=\"4096\",of=\"batch\"} 0.0061\n",
        "ks_rsa_gather_duration_seconds_count 1\n",
    };
    char *text = render(stats.metrics);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        if (strstr(text, expected[i]) == NULL)
            fail_msg("no %s in %s", expected[i], text);
    free(text);
    json_t *status = engine_status(engine), *size = json_object_get(status, "rsa3072");
    assert_string_equal(json_string_value(json_object_get(status, "engine")), "portable");
    assert_int_equal(json_integer_value(json_object_get(status, "fill_wait_us")), 150);
    assert_int_equal(json_integer_value(json_object_get(status, "faults")), 2);
    assert_int_equal(json_integer_value(json_object_get(status, "refused")), 1);
    assert_int_equal(json_integer_value(json_object_get(size, "batches")), 4);
    assert_int_equal(json_integer_value(json_object_get(size, "in_batches")), 19);
    assert_int_equal(json_integer_value(json_object_get(size, "singles")), 7);
    json_decref(status);
    engine_destroy(&engine);
}

#define ENGINE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(picks),
        ENGINE_TEST(it_says_which),
        ENGINE_TEST(portable_always_batches),
        ENGINE_TEST(costs_are_learnt),
        ENGINE_TEST(dear_batches_are_tried_again),
        ENGINE_TEST(what_operators_see),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
