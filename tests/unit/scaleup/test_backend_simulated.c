#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend_kit.h"
#include "tests/unit/common/test_dir.h"

#define MB (1024u * 1024u)

// Settings: what is there is found whole, what is not is not; words that are no KEY=VALUE, unknown and doubled keys are refused.
static void settings_are_words(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "bb", NULL};
    char value[8];
    struct error e;
    assert_true(backend_setting(" a=1  bb=x=y ", "bb", value, sizeof value));
    assert_string_equal(value, "x=y");
    assert_true(backend_setting("bb=2 a=1", "a", value, sizeof value));
    assert_string_equal(value, "1");
    assert_false(backend_setting("bb=2", "b", value, sizeof value));
    assert_false(backend_setting("bb=2", "bbb", value, sizeof value));
    assert_false(backend_setting("", "a", value, sizeof value));
    assert_false(backend_setting(NULL, "a", value, sizeof value));
    assert_false(backend_setting("a=12345678", "a", value, sizeof value));
    assert_true(backend_settings_known("a=1 bb=2", keys, &e));
    assert_true(backend_settings_known("", keys, &e));
    static const char *const bad[] = {"a", "a=", "=1", "c=1", "a=1 a=2", "a=1 bb"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(backend_settings_known(bad[i], keys, &e));
}

static void settings_are_checked(void **state)
{
    (void)state;
    kit_refused(&backend_simulated, "partial=101", "a number from 0 to 100");
    kit_refused(&backend_simulated, "partial=60 error=60", "more than 100");
    kit_refused(&backend_simulated, "delay=soon", "a duration");
    kit_refused(&backend_simulated, "start=much", "a size");
    kit_refused(&backend_simulated, "script=done,later", "step 2");
    kit_refused(&backend_simulated, "script=partial:101", "step 1");
    kit_refused(&backend_simulated, "path=/x", "unknown key");
}

// A change is reported on the loop, never from within set(), and ends with the target; measuring tells it again.
static void a_change_is_done(void **state)
{
    (void)state;
    struct kit kit;
    kit_open(&kit, &backend_simulated, MB, "start=64mb");
    backend_simulated.measure(kit.backend);
    assert_int_equal(kit.count, 0);
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 64 * MB);
    backend_simulated.set(kit.backend, 7, 128 * MB);
    assert_int_equal(kit.count, 1);
    const struct backend_report *r = kit_expect(&kit, BACKEND_DONE);
    assert_int_equal(r->actual_bytes, 128 * MB);
    assert_int_equal(r->change_id, 7);
    kit_close(&kit);
}

// With a delay the first half comes half-way; a change that replaces another is the only one to report from then on.
static void a_delay_has_progress_and_is_replaced(void **state)
{
    (void)state;
    struct kit kit;
    kit_open(&kit, &backend_simulated, MB, "delay=40ms");
    backend_simulated.set(kit.backend, 1, 100 * MB);
    assert_int_equal(kit_expect(&kit, BACKEND_PROGRESS)->actual_bytes, 50 * MB);
    assert_int_equal(kit_expect(&kit, BACKEND_DONE)->actual_bytes, 100 * MB);
    backend_simulated.set(kit.backend, 2, 200 * MB);
    backend_simulated.set(kit.backend, 3, 20 * MB);
    const struct backend_report *r = kit_expect(&kit, BACKEND_DONE);
    assert_int_equal(r->change_id, 3);
    assert_int_equal(r->actual_bytes, 20 * MB);
    for (size_t i = 0; i < kit.count; i++)
        assert_int_not_equal(kit.reports[i].report.change_id, 2);
    kit_close(&kit);
}

// The script's steps in order, then what the percentages say.
static void a_script_is_followed(void **state)
{
    (void)state;
    struct kit kit;
    kit_open(&kit, &backend_simulated, MB,
             "script=partial:40,refuse,error,silent,done,partial:100,partial:50");
    const struct backend_report *r = kit_set(&kit, 100 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 40 * MB);
    r = kit_set(&kit, 100 * MB);
    assert_int_equal(r->outcome, BACKEND_REFUSED);
    assert_int_equal(r->actual_bytes, 40 * MB);
    assert_true(r->detail[0] != '\0');
    r = kit_set(&kit, 100 * MB);
    assert_int_equal(r->outcome, BACKEND_FAILED);
    backend_simulated.set(kit.backend, 9, 100 * MB);
    kit_silence(&kit, 100);
    assert_int_equal(kit_set(&kit, 60 * MB)->outcome, BACKEND_DONE);
    r = kit_set(&kit, 10 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 10 * MB);
    r = kit_set(&kit, 15 * MB + 512 * 1024);
    assert_int_equal(r->actual_bytes, 12 * MB); // whole granules
    assert_int_equal(kit_set(&kit, 33 * MB)->outcome, BACKEND_DONE);
    kit_close(&kit);
}

// Never below what is in use.
static void a_return_stops_at_what_is_used(void **state)
{
    (void)state;
    struct kit kit;
    kit_open(&kit, &backend_simulated, 4 * MB, "start=64mb used=30mb");
    const struct backend_report *r = kit_set(&kit, 8 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 32 * MB);
    assert_int_equal(r->used_bytes, 30 * MB);
    kit_close(&kit);
}

// Chance: the same seed gives the same run, and each outcome comes about as often as it was said.
static void chance_is_repeatable(void **state)
{
    (void)state;
    enum { CHANGES = 200 };
    unsigned counts[2][6] = {{0}};
    uint64_t sums[2] = {0, 0};
    for (int round = 0; round < 2; round++) {
        struct kit kit;
        kit_open(&kit, &backend_simulated, MB, "partial=20 refuse=20 error=20 seed=42");
        for (unsigned i = 0; i < CHANGES; i++) {
            kit.count = kit.seen = 0;
            const struct backend_report *r = kit_set(&kit, (i * 37 % 101 + 1) * MB);
            counts[round][r->outcome]++;
            sums[round] += r->actual_bytes * (i + 1);
        }
        kit_close(&kit);
    }
    assert_memory_equal(counts[0], counts[1], sizeof counts[0]);
    assert_int_equal(sums[0], sums[1]);
    for (enum backend_outcome o = BACKEND_DONE; o <= BACKEND_FAILED; o++)
        assert_in_range(counts[0][o], CHANGES / 10, CHANGES * 6 / 10);
}

// Somebody else moves it: reported without having been asked for.
static void drift_is_reported(void **state)
{
    (void)state;
    struct kit kit;
    kit_open(&kit, &backend_simulated, MB, "drift=100");
    assert_int_equal(kit_set(&kit, 10 * MB)->actual_bytes, 10 * MB);
    const struct backend_report *r = kit_expect(&kit, BACKEND_CHANGED);
    assert_int_equal(r->change_id, 0);
    assert_true(r->actual_bytes == 9 * MB || r->actual_bytes == 11 * MB);
    kit_close(&kit);
}

// state=FILE: the size is there again for the next daemon.
static void the_state_survives(void **state)
{
    (void)state;
    struct kit kit;
    char settings[512];
    (void)test_dir_create();
    (void)snprintf(settings, sizeof settings, "start=5mb state=%s", test_dir_path("vm"));
    for (uint64_t size = 5; size < 8; size++) {
        kit_open(&kit, &backend_simulated, MB, settings);
        backend_simulated.measure(kit.backend);
        assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, size * MB);
        assert_int_equal(kit_set(&kit, (size + 1) * MB)->outcome, BACKEND_DONE);
        kit_close(&kit);
    }
    test_dir_remove();
}

static void set_again(struct kit *kit, const struct backend_report *report)
{
    if (report->actual_bytes < 5 * MB)
        backend_simulated.set(kit->backend, report->change_id + 1, report->actual_bytes + MB);
}

// A report may begin the next change.
static void a_report_may_set(void **state)
{
    (void)state;
    struct kit kit;
    kit_open(&kit, &backend_simulated, MB, "");
    kit.on_report = set_again;
    backend_simulated.set(kit.backend, 1, MB);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(kit_expect(&kit, BACKEND_DONE)->change_id, i);
    kit_silence(&kit, 30);
    backend_simulated.set(kit.backend, 9, MB); // dropped with the object
    kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_words),   cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(a_change_is_done),     cmocka_unit_test(a_delay_has_progress_and_is_replaced),
        cmocka_unit_test(a_script_is_followed), cmocka_unit_test(a_return_stops_at_what_is_used),
        cmocka_unit_test(chance_is_repeatable), cmocka_unit_test(drift_is_reported),
        cmocka_unit_test(the_state_survives),   cmocka_unit_test(a_report_may_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
