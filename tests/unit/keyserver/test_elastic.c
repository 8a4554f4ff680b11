// The store as the scaler sees it, the options that become a policy, and that memory which is given back has really gone: measured as resident size.
#include "kit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvstore/kvstore_elastic.h"
#include "scaleup/limits.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0 // a sanitizer's allocator keeps what is freed
#endif

#define MB (1024ull * 1024)

static struct kv_store *store;

static uint64_t resident(void)
{
    struct limits_reading now;
    struct limits *limits = limits_create("", 0, NULL);
    assert_non_null(limits);
    assert_true(limits_read(limits, &now, NULL));
    limits_destroy(&limits);
    return now.rss_bytes;
}

static int setup(void **state)
{
    const struct kv_options options = {.limit_bytes = 256 * MB, .fsync = KV_FSYNC_NEVER, .create = true};
    (void)state;
    kit_dir_create();
    return kv_open(kit_path("store"), &options, &store, NULL, 0) == KV_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(kv_close(&store), KV_OK);
    kit_dir_remove();
    return 0;
}

static void fill(unsigned count)
{
    static uint8_t value[16384];
    char key[16];
    memset(value, 0x5a, sizeof value);
    for (unsigned i = 0; i < count; i++) {
        int len = snprintf(key, sizeof key, "%08u", i);
        assert_int_equal(kv_put(store, key, (size_t)len, value, sizeof value, 0, 0), KV_OK);
    }
}

static void read_all(unsigned count)
{
    static uint8_t value[16384];
    char key[16];
    for (unsigned i = 0; i < count; i++) {
        size_t size = sizeof value;
        int len = snprintf(key, sizeof key, "%08u", i);
        assert_int_equal(kv_get(store, key, (size_t)len, value, &size), KV_OK);
    }
}

// ---- options

static void a_policy_from_options(void **state)
{
    struct policy_config p;
    struct error e = {""};
    uint64_t fixed = 1;
    struct scaler_settings o = {.memory = 256 * MB};
    (void)state;
    assert_true(scaler_options_policy(&o, &p, &fixed, &e));
    assert_int_equal(fixed, 256 * MB); // nothing asked for: as large as it is told to be
    char hit[] = "99.5", memory_price[] = "0.006", miss_price[] = "12";
    o.hit_goal = hit;
    o.memory_min = 128 * MB;
    o.memory_max = 512 * MB;
    assert_true(scaler_options_policy(&o, &p, &fixed, &e));
    assert_int_equal(fixed, 0);
    assert_true(p.hit_goal > 0.9949 && p.hit_goal < 0.9951);
    assert_int_equal(p.min_bytes, 128 * MB);
    assert_int_equal(p.max_bytes, 512 * MB);
    o = (struct scaler_settings){.memory = MB, .memory_price = memory_price, .miss_price = miss_price};
    assert_true(scaler_options_policy(&o, &p, &fixed, &e));
    assert_int_equal(fixed, 0);
    assert_true(p.gib_hour_price > 0.0059 && p.gib_hour_price < 0.0061 && p.miss_price > 11);
    o = (struct scaler_settings){.memory = MB, .lookup_goal = 250};
    assert_true(scaler_options_policy(&o, &p, &fixed, &e));
    assert_true(p.lookup_goal_us > 249 && p.lookup_goal_us < 251 && fixed == 0);
    o = (struct scaler_settings){.memory = MB, .device_reads = 5000};
    assert_true(scaler_options_policy(&o, &p, &fixed, &e));
    assert_true(p.device_reads > 4999 && fixed == 0);
    char address[] = "unix:/run/scaleupd.sock", name[] = "ks1";
    o = (struct scaler_settings){.memory = MB, .scaleup = address, .vnf = name};
    assert_true(scaler_options_policy(&o, NULL, &fixed, &e));
    assert_int_equal(fixed, 0);
    assert_true(scaler_options_policy(&o, NULL, NULL, NULL));
}

static void options_that_cannot_be_right(void **state)
{
    static const struct {
        const char *option, *hit_goal, *memory_price, *miss_price, *scaleup, *vnf;
        uint64_t min, max;
    } cases[] = {
        {.option = "--hit-goal", .hit_goal = "100"},
        {.option = "--hit-goal", .hit_goal = "0"},
        {.option = "--hit-goal", .hit_goal = "-1"},
        {.option = "--hit-goal", .hit_goal = "9e1"},
        {.option = "--hit-goal", .hit_goal = "95%"},
        {.option = "--hit-goal", .hit_goal = ""},
        {.option = "--hit-goal", .hit_goal = ".5"},
        {.option = "--hit-goal", .hit_goal = "5."},
        {.option = "--hit-goal", .hit_goal = "1.2.3"},
        {.option = "--hit-goal", .hit_goal = "nan"},
        {.option = "--hit-goal", .hit_goal = "0x5"},
        {.option = "--memory-price", .memory_price = "much"},
        {.option = "--miss-price", .memory_price = "1"},
        {.option = "--miss-price", .miss_price = "1"},
        {.option = "--miss-price", .memory_price = "1", .miss_price = "1234567890123456789"},
        {.option = "--memory-min", .min = 2 * MB, .max = MB},
        {.option = "--vnf", .scaleup = "unix:/s"},
        {.option = "--vnf", .scaleup = "unix:/s", .vnf = "a b"},
        {.option = "--vnf", .scaleup = "unix:/s", .vnf = ""},
        {.option = "--scaleup", .scaleup = "nowhere", .vnf = "ks1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error e = {""};
        const struct scaler_settings o = {.memory = MB,
                                          .hit_goal = (char *)(uintptr_t)cases[i].hit_goal,
                                          .memory_price = (char *)(uintptr_t)cases[i].memory_price,
                                          .miss_price = (char *)(uintptr_t)cases[i].miss_price,
                                          .scaleup = (char *)(uintptr_t)cases[i].scaleup,
                                          .vnf = (char *)(uintptr_t)cases[i].vnf,
                                          .memory_min = cases[i].min,
                                          .memory_max = cases[i].max};
        if (scaler_options_policy(&o, NULL, NULL, &e))
            fail_msg("case %zu was taken", i);
        if (strstr(e.text, cases[i].option) == NULL)
            fail_msg("case %zu: %s is not about %s", i, e.text, cases[i].option);
    }
}

// Sizes and goals are the fresh ones; who is asked, and under which name, waits for a restart.
static void a_reload_leaves_the_session(void **state)
{
    struct policy_config p;
    struct error e = {""};
    uint64_t fixed = 0;
    char address[] = "unix:/run/scaleupd.sock", name[] = "ks1", hit[] = "90", nonsense[] = "9e1";
    const struct scaler_settings alone = {.memory = 256 * MB},
                                 led = {.memory = MB, .scaleup = address, .vnf = name};
    struct scaler_settings fresh = {.memory = 64 * MB, .scaleup = address}; // no --vnf: wrong at a start
    (void)state;
    assert_true(scaler_options_reload(&alone, &fresh, &p, &fixed, &e));
    assert_int_equal(fixed, 64 * MB); // --scaleup in the fresh ones led to nothing
    assert_ptr_equal(fresh.scaleup, address);

    fresh = (struct scaler_settings){.memory = 64 * MB};
    assert_true(scaler_options_reload(&led, &fresh, &p, &fixed, &e));
    assert_int_equal(fixed, 0); // nor did leaving it out
    fresh.hit_goal = hit;
    assert_true(scaler_options_reload(&led, &fresh, &p, &fixed, &e));
    assert_true(p.hit_goal > 0.89 && p.hit_goal < 0.91);
    fresh.hit_goal = nonsense;
    assert_false(scaler_options_reload(&led, &fresh, &p, &fixed, &e));
    assert_non_null(strstr(e.text, "--hit-goal"));
}

static void the_first_limit(void **state)
{
    struct scaler_settings o = {.memory = MB};
    (void)state;
    assert_int_equal(scaler_options_first_limit(&o), MB);
    o.memory = 1ull << 50; // no machine has that
    assert_true(scaler_options_first_limit(&o) < 1ull << 45);
    o.memory = 64 * MB;
    o.memory_reserve = 1ull << 50; // nothing is left
    assert_true(scaler_options_first_limit(&o) <= MB);
}

// Nothing but the machine binds, and others are on it. In a group its own limit says how much there is.
static void the_first_limit_leaves_others_theirs(void **state)
{
    struct limits_reading now = {.limit_bytes = 1024 * MB, .rss_bytes = 10 * MB, .available_bytes = 200 * MB};
    (void)state;
    assert_int_equal(scaler_options_first_room(&now), (200 - 16) * MB);
    now.available_bytes = 8 * MB;
    assert_int_equal(scaler_options_first_room(&now), MB);
    now.available_bytes = 0; // a kernel that does not say
    assert_int_equal(scaler_options_first_room(&now), (1024 - 10 - 16) * MB);
    now.available_bytes = 200 * MB;
    now.group_bytes = 20 * MB;
    assert_int_equal(scaler_options_first_room(&now), (1024 - 20 - 16) * MB);
}

// ---- the store

static void usage_and_curve(void **state)
{
    const struct scaler_store seen = kvstore_elastic_store(store);
    struct scaler_usage before, after;
    struct policy_point points[POLICY_CURVE_MAX];
    (void)state;
    fill(500);
    seen.usage(seen.arg, &before);
    assert_int_equal(before.limit_bytes, 256 * MB);
    assert_true(before.store_bytes > 0 && before.table_bytes >= 500 * 16384);
    read_all(500);
    read_all(500);
    seen.usage(seen.arg, &after);
    assert_int_equal(after.hits + after.misses - before.hits - before.misses, 1000);
    assert_int_equal(after.hit_ns,
                     after.hits * 1000); // else a lookup time is no goal that can be reckoned with
    seen.set_limit(seen.arg, 2 * MB);
    read_all(500);
    seen.usage(seen.arg, &after);
    assert_int_equal(after.limit_bytes, 2 * MB);
    assert_true(after.misses > before.misses && after.miss_ns > before.miss_ns);
    size_t count = seen.curve(seen.arg, points, POLICY_CURVE_MAX);
    for (size_t i = 1; i < count; i++)
        assert_true(points[i].bytes > points[i - 1].bytes && points[i].hit_ratio >= points[i - 1].hit_ratio);
}

// 100 MB of values go back when the limit falls; and so do 64 MB of small blocks that malloc holds, with one left in each 64th page to pin the heap.
static void memory_goes_back(void **state)
{
    enum { BLOCKS = 65536, KEPT_EVERY = 256 };
    const struct scaler_store seen = kvstore_elastic_store(store);
    (void)state;
    fill(6400);
    uint64_t full = resident();
    seen.set_limit(seen.arg, 8 * MB);
    uint64_t lowered = resident();
    if (!SANITIZED)
        assert_true(full >= lowered + 80 * MB);

    void **blocks = calloc(BLOCKS, sizeof *blocks);
    assert_non_null(blocks);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(1000);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, 1000);
    }
    uint64_t with_blocks = resident();
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % KEPT_EVERY != 0)
            free(blocks[i]);
    seen.set_limit(seen.arg, 64 * MB);
    seen.set_limit(seen.arg, 8 * MB);
    if (!SANITIZED)
        assert_true(with_blocks >= resident() + 50 * MB);
    for (size_t i = 0; i < BLOCKS; i += KEPT_EVERY)
        free(blocks[i]);
    free(blocks);
}

// ---- started

static bool status_is(struct scaler *scaler, const char *name)
{
    json_t *status = scaler_status(scaler);
    assert_non_null(status);
    bool same = strcmp(json_string_value(json_object_get(status, "state")), name) == 0;
    json_decref(status);
    return same;
}

static uint64_t limit_of_store(void)
{
    struct kv_stats s;
    kv_get_stats(store, &s);
    return s.limit_bytes;
}

static void started_alone(void **state)
{
    struct error e = {""};
    struct policy_config policy;
    const struct scaler_settings o = {.memory = 64 * MB}, other = {.memory = 32 * MB};
    uint64_t fixed;
    (void)state;
    struct scaler *scaler = kvstore_elastic_start(&o, store, &e);
    assert_non_null(scaler);
    assert_true(limit_of_store() <= 64 * MB); // it was opened with 256
    assert_true(status_is(scaler, "alone"));
    assert_true(scaler_options_policy(&other, &policy, &fixed, &e)); // as a reload does
    scaler_configure(scaler, &policy, fixed);
    for (unsigned looks = 0; limit_of_store() > 32 * MB; looks++) {
        assert_true(looks < 12000);
        (void)usleep(5000);
    }
    scaler_stop(&scaler);
}

static void started_without_its_orchestrator(void **state)
{
    struct error e = {""};
    char address[] = "unix:/nowhere/scaleupd.sock", remote[] = "127.0.0.1:1", name[] = "ks1",
         missing[] = "/no/such.pem";
    struct scaler_settings o = {.memory = 64 * MB, .scaleup = address, .vnf = name};
    (void)state;
    struct scaler *scaler = kvstore_elastic_start(&o, store, &e);
    assert_non_null(scaler);
    assert_true(status_is(scaler, "disconnected"));
    scaler_stop(&scaler);
    o.scaleup = remote;
    o.scaleup_cert = o.scaleup_key = o.scaleup_ca = missing;
    assert_null(kvstore_elastic_start(&o, store, &e));
    assert_non_null(strstr(e.text, "/no/such.pem"));
    o.vnf = NULL;
    assert_null(kvstore_elastic_start(&o, store, &e));
    assert_non_null(strstr(e.text, "--vnf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_from_options),
        cmocka_unit_test(options_that_cannot_be_right),
        cmocka_unit_test(a_reload_leaves_the_session),
        cmocka_unit_test(the_first_limit),
        cmocka_unit_test(the_first_limit_leaves_others_theirs),
        cmocka_unit_test_setup_teardown(usage_and_curve, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(started_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(started_without_its_orchestrator, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
