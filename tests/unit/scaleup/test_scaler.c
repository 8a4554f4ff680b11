// The scaler's thread: real ticks, a session over a real socket to a scaleupd of a few lines, limits from a folder of our own. Waits are generous: what is proved is
// that things happen, not how fast.
#include "scaler_boss.h"
#include "scaler_kit.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[96];
static struct scaler *scaler;
static struct boss boss;
static _Atomic uint64_t store_limit;

// ---- the world

static void put_resident(uint64_t bytes);
static _Atomic uint64_t other_bytes;
static _Atomic int grows; // so many times yet it is found to have 64 MB more

static void usage(void *arg, struct scaler_usage *u)
{
    (void)arg;
    if (grows > 0) {
        grows--;
        store_limit += 64 * MB;
        put_resident(store_limit + other_bytes);
    }
    *u = (struct scaler_usage){.store_bytes = store_limit, .limit_bytes = store_limit, .table_bytes = 8 * GB};
}

static size_t curve(void *arg, struct policy_point *points, size_t max)
{
    (void)arg;
    assert_true(max >= 2);
    points[0] = (struct policy_point){64 * MB, 0.2};
    points[1] = (struct policy_point){GB, 0.9};
    return 2;
}

static void put(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static pthread_mutex_t putting =
    PTHREAD_MUTEX_INITIALIZER; // the scaler's thread puts what the store gives back

// Replaced as a whole, so that no reader finds half of it.
static void put(const char *name, const char *format, ...)
{
    char path[200], fresh[220];
    va_list args;
    (void)snprintf(path, sizeof path, "%s%s", root, name);
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    (void)pthread_mutex_lock(&putting);
    FILE *f = fopen(fresh, "w");
    assert_non_null(f);
    va_start(args, format);
    (void)vfprintf(f, format, args);
    va_end(args);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, path), 0);
    (void)pthread_mutex_unlock(&putting);
}

static void put_machine(uint64_t total)
{
    put("/proc/meminfo", "MemTotal: %llu kB\nMemFree: 1 kB\nMemAvailable: %llu kB\n",
        (unsigned long long)total / 1024, (unsigned long long)total / 1024);
}

static void put_resident(uint64_t bytes)
{
    put("/proc/self/status",
        "Name:\ttest\nVmRSS:\t%llu kB\nRssAnon:\t%llu kB\nRssFile:\t0 kB\nRssShmem:\t0 kB\n",
        (unsigned long long)bytes / 1024, (unsigned long long)bytes / 1024);
}

static atomic_bool slow_store;
static _Atomic unsigned sets;      // calls of set_limit
static _Atomic uint64_t first_set; // the first limit that was set

// What the store gives back is gone from the process at once.
static void set_limit(void *arg, uint64_t bytes)
{
    (void)arg;
    sets++;
    if (slow_store)
        (void)usleep(50000);
    if (first_set == 0)
        first_set = bytes;
    store_limit = bytes;
    put_resident(bytes + other_bytes);
}

static _Atomic uint64_t grow_to; // the last leave

static void set_growth(void *arg, uint64_t bytes)
{
    (void)arg;
    grow_to = bytes;
}

static const struct scaler_store store = {
    .usage = usage, .set_limit = set_limit, .set_growth = set_growth, .curve = curve};

static int setup(void **state)
{
    char path[200];
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/scaler-test.XXXXXX");
    assert_non_null(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/proc", root);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/proc/self", root);
    assert_int_equal(mkdir(path, 0700), 0);
    put_machine(16 * GB);
    put_resident(300 * MB);
    store_limit = 256 * MB;
    other_bytes = 44 * MB;
    kit_policy_target = 0;
    return 0;
}

static int teardown(void **state)
{
    static const char *const made[] = {"/proc/meminfo", "/proc/self/status", "/proc/self", "/proc", ""};
    (void)state;
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        char path[200];
        (void)snprintf(path, sizeof path, "%s%s", root, made[i]);
        (void)remove(path);
    }
    return 0;
}

static struct scaler *start(const char *address, uint64_t fixed, struct error *e)
{
    const struct scaler_options options = {
        .address = address, .vnf = "ks1", .fixed_bytes = fixed, .margin_bytes = 16 * MB, .root = root};
    return scaler_start(&options, &store, e);
}

// Until the condition holds. Looks are counted, not time: a machine that stood still has not looked.
#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        for (unsigned looks = 0; !(condition); looks++) {                                                    \
            if (looks == 12000)                                                                              \
                fail_msg("waited in vain for %s", #condition);                                               \
            (void)usleep(5000);                                                                              \
        }                                                                                                    \
    } while (0)

static bool state_is(const char *name)
{
    json_t *status = scaler_status(scaler);
    assert_non_null(status);
    bool same = strcmp(json_string_value(json_object_get(status, "state")), name) == 0;
    json_decref(status);
    return same;
}

static json_int_t count_of(const char *group, const char *name)
{
    json_t *status = scaler_status(scaler);
    json_int_t value = json_integer_value(json_object_get(json_object_get(status, group), name));
    json_decref(status);
    return value;
}

// ---- what is proved

static void limits_are_obeyed_before_it_returns_and_after(void **state)
{
    struct error e = {""};
    (void)state;
    put_machine(256 * MB); // less 64 MB reserve, less 16 MB margin, less 44 MB of others
    scaler = start(NULL, 512 * MB, &e);
    assert_non_null(scaler);
    assert_int_equal(store_limit, (256 - 64 - 16 - 44) * MB);
    assert_true(state_is("alone"));
    put_machine(16 * GB);
    WAIT_FOR(store_limit == 512 * MB);
    other_bytes = 600 * MB;
    put_resident(1112 * MB);
    put_machine(1 * GB);
    WAIT_FOR(store_limit == (1024 - 64 - 16 - 600) * MB);
    // Leave to grow is always some MiB ahead of what the store held at the last look, never up to the limit at once.
    WAIT_FOR(grow_to == store_limit + 8 * MB);
    scaler_stop(&scaler);
    assert_null(scaler);
    scaler_stop(&scaler);
}

// Between the reading of the process's size and the store's: the process's other memory must not look smaller for it.
static void a_store_that_grows_while_it_is_measured(void **state)
{
    static const int times[] = {1, 2, 3, 4, 5};
    struct error e = {""};
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        store_limit = 64 * MB;
        put_resident(64 * MB + other_bytes);
        put_machine(1024 * MB);
        first_set = 0;
        grows = times[i];
        scaler = start(NULL, 2 * GB, &e);
        assert_non_null(scaler);
        assert_in_range(first_set, MB, (1024 - 64 - 16 - 44) * MB);
        WAIT_FOR(store_limit == (1024 - 64 - 16 - 44) * MB);
        scaler_stop(&scaler);
    }
}

static void refusals(void **state)
{
    struct error e = {""};
    const struct scaler_options nameless = {.address = "unix:/nowhere", .root = root};
    (void)state;
    assert_null(start("nonsense", 0, &e));
    assert_true(e.text[0] != '\0');
    assert_null(scaler_start(&nameless, &store, &e));
    assert_non_null(strstr(e.text, "VNF"));
    const struct scaler_options lost = {.root = "/no/such/folder"};
    assert_null(scaler_start(&lost, &store, &e));
    assert_non_null(strstr(e.text, "meminfo"));
}

static void limits_that_cannot_be_read_any_more(void **state)
{
    struct error e = {""};
    char path[200];
    (void)state;
    scaler = start(NULL, 512 * MB, &e);
    assert_non_null(scaler);
    WAIT_FOR(store_limit == 512 * MB);
    put("/proc/meminfo", "nothing of use\n");
    (void)usleep(300000);
    assert_int_equal(store_limit, 512 * MB);
    (void)snprintf(path, sizeof path, "%s/proc/self/status", root);
    assert_int_equal(unlink(path), 0);
    (void)usleep(300000);
    assert_int_equal(store_limit, 512 * MB);
    scaler_stop(&scaler);
}

static void raise_grant_reclaim_return(void **state)
{
    struct error e = {""};
    (void)state;
    boss_begin(&boss, 512 * MB);
    boss_set_mood(&boss, BOSS_TWICE);
    scaler = start(boss.address, 0, &e);
    assert_non_null(scaler);
    WAIT_FOR(store_limit > 400 * MB); // welcomed
    kit_policy_target = GB;
    WAIT_FOR(store_limit > 900 * MB);
    assert_int_equal(boss_granted(&boss), GB);
    kit_policy_target = 0;
    WAIT_FOR(state_is("steady"));
    boss_say(&boss, "{\"type\":\"grant\",\"granted_bytes\":805306368,\"granularity\":2097152}\n");
    WAIT_FOR(store_limit < 768 * MB);
    boss_say(&boss,
             "{\"type\":\"reclaim\",\"id\":\"r1\",\"target_bytes\":402653184,\"deadline_ms\":60000}\n");
    WAIT_FOR(boss_reclaimings(&boss) == 1);
    WAIT_FOR(boss_granted(&boss) == 384 * MB);
    WAIT_FOR(count_of("counts", "returns") == 1);
    assert_true(store_limit <= 368 * MB);
    assert_int_equal(count_of("counts", "raises"), 1);
    assert_int_equal(count_of("orchestrator", "granted_bytes"), 384 * MB);
    assert_int_equal(count_of("counts", "reclaims"), 1);
    scaler_stop(&scaler);
    boss_end(&boss);
}

static void an_orchestrator_that_misbehaves(void **state)
{
    struct error e = {""};
    (void)state;
    boss_begin(&boss, 512 * MB);
    boss_set_mood(&boss, BOSS_GARBAGE);
    scaler = start(boss.address, 0, &e);
    assert_non_null(scaler);
    WAIT_FOR(store_limit > 400 * MB);
    kit_policy_target = GB;
    WAIT_FOR(count_of("orchestrator", "malformed") >= 1);
    boss_set_mood(&boss, BOSS_SILENT);
    unsigned asked = boss_rescales(&boss);
    WAIT_FOR(boss_rescales(&boss) > asked); // asked again over the next connection
    boss_set_mood(&boss, BOSS_DEFERRING);
    boss_hang_up(&boss);
    WAIT_FOR(count_of("counts", "deferred") >= 2);
    boss_set_mood(&boss, BOSS_OBEDIENT);
    WAIT_FOR(store_limit > 900 * MB);
    WAIT_FOR(count_of("counts", "raises") == 1);
    scaler_stop(&scaler);
    boss_end(&boss);
}

static atomic_bool flooding;

static void *flood(void *arg)
{
    (void)arg;
    for (unsigned i = 0; flooding; i++) // each another than the one before, so that each is work
        boss_say(&boss, "{\"type\":\"grant\",\"granted_bytes\":%u,\"granularity\":1}\n", (600u << 20) + i);
    return NULL;
}

// Grants faster than the store can follow: limits are looked at all the same, and it ends when told to.
static void an_orchestrator_that_never_stops_talking(void **state)
{
    struct error e = {""};
    pthread_t thread;
    (void)state;
    boss_begin(&boss, 512 * MB);
    scaler = start(boss.address, 0, &e);
    assert_non_null(scaler);
    WAIT_FOR(store_limit > 400 * MB);
    slow_store = true;
    flooding = true;
    assert_int_equal(pthread_create(&thread, NULL, flood, NULL), 0);
    WAIT_FOR(store_limit > 500 * MB);
    put_machine(256 * MB);
    unsigned before = sets;
    WAIT_FOR(store_limit < 256 * MB);
    assert_true(sets - before < 600); // some rounds of the mail, at 50 ms a set; each grant was one
    put_machine(16 * GB);
    WAIT_FOR(store_limit > 400 * MB);
    (void)usleep(300000);
    before = sets;
    scaler_stop(&scaler);
    assert_true(sets - before < 600); // half a minute
    flooding = false;
    assert_int_equal(pthread_join(thread, NULL), 0);
    slow_store = false;
    boss_end(&boss);
}

static bool last_answer_has(const char *text)
{
    json_t *status = scaler_status(scaler);
    assert_non_null(status);
    const char *last =
        json_string_value(json_object_get(json_object_get(status, "orchestrator"), "last_answer"));
    assert_non_null(last);
    bool has = strstr(last, text) != NULL;
    json_decref(status);
    return has;
}

// Details of two bytes a character that are cut to fit, at both parities: one is cut within a character.
static void details_that_are_cut(void **state)
{
    char umlauts[2 * 124 + 1];
    struct error e = {""};
    (void)state;
    for (size_t i = 0; i < sizeof umlauts - 1; i++)
        umlauts[i] = (char)(i % 2 == 0 ? 0xc3 : 0xa4);
    umlauts[sizeof umlauts - 1] = '\0';
    boss_begin(&boss, 512 * MB);
    scaler = start(boss.address, 0, &e);
    assert_non_null(scaler);
    for (int more = 0; more < 2; more++) {
        WAIT_FOR(state_is("steady"));
        boss_say(&boss, "{\"type\":\"error\",\"code\":\"busy\",\"detail\":\"%s%s\"}\n",
                 more != 0 ? "second " : "first ", umlauts);
        WAIT_FOR(last_answer_has(more != 0 ? "second " : "first "));
    }
    scaler_stop(&scaler);
    boss_end(&boss);
}

static void stopped_while_asking(void **state)
{
    struct error e = {""};
    (void)state;
    boss_begin(&boss, 512 * MB);
    boss_set_mood(&boss, BOSS_SILENT);
    scaler = start(boss.address, 0, &e);
    assert_non_null(scaler);
    WAIT_FOR(store_limit > 400 * MB);
    kit_policy_target = GB;
    WAIT_FOR(boss_rescales(&boss) == 1);
    WAIT_FOR(state_is("raising"));
    scaler_stop(&scaler);
    boss_end(&boss);
}

static void nobody_there(void **state)
{
    struct error e = {""};
    const struct policy_config policy = {0};
    (void)state;
    scaler = start("unix:/tmp/no-such-scaleupd/socket", 0, &e);
    assert_non_null(scaler);
    assert_true(state_is("disconnected"));
    WAIT_FOR(!state_is("steady"));
    assert_in_range(store_limit, 255 * MB, 257 * MB);
    scaler_configure(scaler, &policy, 128 * MB);
    WAIT_FOR(store_limit == 128 * MB);
    scaler_stop(&scaler);
}

static void metrics_and_status(void **state)
{
    static const char *const names[] = {"ks_memory_limit_bytes ",
                                        "ks_memory_granted_bytes 0",
                                        "ks_memory_ceiling_bytes ",
                                        "ks_memory_target_bytes ",
                                        "ks_memory_other_bytes 46137344",
                                        "ks_memory_resident_bytes 314572800",
                                        "ks_memory_state{state=\"alone\"} 1",
                                        "ks_memory_state{state=\"steady\"} 0",
                                        "ks_memory_rescale_total{result=\"no_answer\"} 0",
                                        "ks_memory_reclaims_total 0",
                                        "ks_memory_over_ceiling_ticks_total 0",
                                        "ks_memory_pressure_ratio{kind=\"full\"} 0"};
    struct error e = {""};
    char *text = NULL;
    size_t len = 0;
    (void)state;
    struct metrics *metrics = metrics_create();
    scaler = start(NULL, 0, &e);
    assert_non_null(scaler);
    assert_true(scaler_metrics(scaler, metrics, "ks"));
    FILE *out = open_memstream(&text, &len);
    metrics_render(metrics, out);
    assert_int_equal(fclose(out), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strstr(text, names[i]) == NULL)
            fail_msg("%s is not in %s", names[i], text);
    free(text);
    json_t *status = scaler_status(scaler);
    assert_true(json_is_null(json_object_get(status, "orchestrator")));
    assert_string_equal(json_string_value(json_object_get(status, "ceiling")), "MemTotal");
    assert_int_equal(json_integer_value(json_object_get(status, "other_bytes")), 44 * MB);
    assert_null(json_object_get(json_object_get(status, "limits"), "pressure"));
    json_decref(status);
    metrics_destroy(&metrics);
    scaler_stop(&scaler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(limits_are_obeyed_before_it_returns_and_after, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_that_grows_while_it_is_measured, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_that_cannot_be_read_any_more, setup, teardown),
        cmocka_unit_test_setup_teardown(raise_grant_reclaim_return, setup, teardown),
        cmocka_unit_test_setup_teardown(an_orchestrator_that_misbehaves, setup, teardown),
        cmocka_unit_test_setup_teardown(an_orchestrator_that_never_stops_talking, setup, teardown),
        cmocka_unit_test_setup_teardown(details_that_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(stopped_while_asking, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
        cmocka_unit_test_setup_teardown(metrics_and_status, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
