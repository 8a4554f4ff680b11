// A VNF's back-end acts on something else than the one that the book is of: another group, another machine, another kind. What the old one was given is not believed of the new one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker_kit.h"

static struct kit kit;

static uint64_t free_bytes(void)
{
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    return stats.free_bytes;
}

static const struct book_vnf *on_disk(void)
{
    return &kit.disk.vnfs[0];
}

static void configure(const char *backend, const char *target)
{
    memset(kit.vnfs[0].backend, 0, sizeof kit.vnfs[0].backend);
    memset(kit.vnfs[0].target, 0, sizeof kit.vnfs[0].target);
    (void)snprintf(kit.vnfs[0].backend, sizeof kit.vnfs[0].backend, "%s", backend);
    (void)snprintf(kit.vnfs[0].target, sizeof kit.vnfs[0].target, "%s", target);
}

// The daemon starts again with another line for "a", which comes back; the others' back-ends are as they were.
static uint64_t restart_with(const char *backend, const char *target)
{
    configure(backend, target);
    kit.moved[0] = '\0';
    kit_crash(&kit);
    kit_forget(&kit);
    kit_tick(&kit, 0);
    for (size_t i = 1; i < KIT_VNFS; i++)
        kit_changed(&kit, i, 100);
    for (size_t i = 1; i < KIT_VNFS; i++)
        kit_done(&kit, i);
    kit_hello(&kit, 11, "a");
    return kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes;
}

// "a" has 500 of 1000 in /old; the others have 100 each.
static int setup(void **state)
{
    (void)state;
    kit_begin(&kit);
    kit_give(&kit, 0, 500);
    assert_int_equal(restart_with("cgroup", "path=/old"), 100); // the kit's own back-end had another name
    kit_changed(&kit, 0, 500);
    kit_done(&kit, 0);
    assert_string_equal(on_disk()->backend, "cgroup");
    assert_string_equal(on_disk()->target, "path=/old");
    assert_int_equal(on_disk()->granted_bytes, 500);
    kit.moved[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_destroy(&kit);
    return 0;
}

static void test_as_it_was(void **state)
{
    (void)state;
    assert_int_equal(restart_with("cgroup", "path=/old"), 500);
    assert_string_equal(kit.moved, "");
}

static void test_says_what_was_and_what_is(void **state)
{
    (void)state;
    (void)restart_with("qmp", "address=unix:/run/vm.qmp");
    assert_non_null(strstr(kit.moved, "vnf=a was=cgroup was_target=\"path=/old\" is=qmp"));
    assert_non_null(strstr(kit.moved, "is_target=\"address=unix:/run/vm.qmp\" committed=500"));
}

// The new group has less: the VNF is told of its minimum, then of what there is; the pool has the rest when that is certain, not before.
static void test_less_in_the_new_one(void **state)
{
    (void)state;
    assert_int_equal(restart_with("cgroup", "path=/new"), 100);
    assert_int_equal(kit.applied[0].count, 0); // asked, not told
    assert_int_equal(free_bytes(), 200);
    assert_string_equal(on_disk()->target, "path=/old");
    kit_changed(&kit, 0, 300);
    assert_int_equal(kit_next(&kit, 11, MESSAGE_GRANT)->granted_bytes, 300);
    assert_int_equal(kit.applied[0].bytes, 300); // halted where it is
    assert_int_equal(free_bytes(), 200);
    assert_string_equal(on_disk()->target, "path=/new"); // with numbers that are of it
    assert_int_equal(on_disk()->granted_bytes, 300);
    assert_int_equal(on_disk()->committed_bytes, 500);
    kit_done(&kit, 0);
    assert_int_equal(free_bytes(), 400);
    assert_int_equal(on_disk()->committed_bytes, 300);
    kit_crash(&kit);
    assert_int_equal(on_disk()->granted_bytes, 300);
}

// It has more than the pool has left: it is brought down to that, and the VNF is never told of more than was its own before that is done.
static void test_more_than_the_pool_has(void **state)
{
    (void)state;
    kit.vnfs[0].max_bytes = 1000;
    assert_int_equal(restart_with("cgroup", "path=/new"), 100);
    kit_changed(&kit, 0, 2000);
    assert_int_equal(kit_next(&kit, 11, MESSAGE_GRANT)->granted_bytes, 500);
    assert_int_equal(free_bytes(), 0);
    assert_int_equal(kit.applied[0].bytes, 700);
    kit_done(&kit, 0);
    assert_int_equal(on_disk()->granted_bytes, 700);
    assert_int_equal(free_bytes(), 0);
}

// A group without a limit is given what the VNF has had.
static void test_no_limit_in_the_new_one(void **state)
{
    (void)state;
    assert_int_equal(restart_with("cgroup", "path=/new"), 100);
    const struct backend_report report = {
        .outcome = BACKEND_CHANGED, .actual_bytes = 1ull << 40, .unlimited = true, .detail = ""};
    broker_report(kit.broker, 0, &report, kit.now);
    assert_null(broker_check(kit.broker));
    assert_int_equal(kit.applied[0].bytes, 500);
    kit_done(&kit, 0);
    assert_int_equal(on_disk()->granted_bytes, 500);
    assert_int_equal(free_bytes(), 200);
}

// It cannot be read, again and again: nothing is believed, nothing is given away, and a death changes nothing of that.
static void test_nothing_is_known_of_the_new_one(void **state)
{
    (void)state;
    assert_int_equal(restart_with("cgroup", "path=/new"), 100);
    for (unsigned i = 0; i < 3; i++) {
        kit_unknown(&kit, 0, BACKEND_FAILED, false);
        kit_tick(&kit, 1000);
    }
    assert_true(kit_nothing(&kit, 11));
    assert_int_equal(on_disk()->granted_bytes, 500);
    assert_string_equal(on_disk()->target, "path=/old");
    assert_int_equal(restart_with("cgroup", "path=/new"), 100);
    assert_int_equal(free_bytes(), 200);
    kit_changed(&kit, 0, 500);
    assert_int_equal(kit_next(&kit, 11, MESSAGE_GRANT)->granted_bytes, 500);
}

// A raise needs no answer to the question: the back-end is told, and says what has come of it.
static void test_raise_before_it_has_answered(void **state)
{
    (void)state;
    assert_int_equal(restart_with("cgroup", "path=/new"), 100);
    kit_rescale(&kit, 11, "1", 400, 0);
    kit_expect(&kit, 11, "1", STATE_ACCEPTED, 100);
    assert_int_equal(kit.applied[0].bytes, 400);
    kit_done(&kit, 0);
    kit_expect(&kit, 11, "1", STATE_DONE, 400);
    assert_string_equal(on_disk()->target, "path=/new");
    assert_int_equal(on_disk()->committed_bytes, 400);
    assert_int_equal(free_bytes(), 300);
}

// Both numbers are the same in the new one; that they are of it is written all the same. The book cannot be: then it says so later.
static void test_book_cannot_be_written(void **state)
{
    (void)state;
    assert_int_equal(restart_with("cgroup", "path=/new"), 100);
    kit.disk_full = true;
    kit_changed(&kit, 0, 500);
    assert_string_equal(on_disk()->target, "path=/old");
    kit.disk_full = false;
    kit_tick(&kit, 1500);
    assert_string_equal(on_disk()->target, "path=/new");
    assert_int_equal(on_disk()->granted_bytes, 500);
    assert_int_equal(on_disk()->committed_bytes, 500);
}

// A book of the version before does not say: it is taken to be of what is configured, and from then on it says so.
static void test_old_book(void **state)
{
    (void)state;
    for (size_t i = 0; i < kit.disk.count; i++) {
        memset(kit.disk.vnfs[i].backend, 0, sizeof kit.disk.vnfs[i].backend);
        memset(kit.disk.vnfs[i].target, 0, sizeof kit.disk.vnfs[i].target);
    }
    assert_int_equal(restart_with("cgroup", "path=/new"), 500);
    assert_string_equal(kit.moved, "");
    assert_string_equal(on_disk()->target, "path=/new");
    assert_string_equal(kit.disk.vnfs[1].backend, "sim");
    assert_int_equal(restart_with("cgroup", "path=/third"), 100);
    assert_non_null(strstr(kit.moved, "path=/new"));
}

// Left out of the configuration, and there again by a reload, with another group.
static void test_comes_back_by_a_reload(void **state)
{
    (void)state;
    struct broker_vnf all[KIT_VNFS], back = kit.vnfs[0];
    struct error e;
    size_t index;
    memcpy(all, kit.vnfs, sizeof all);
    memmove(kit.vnfs, kit.vnfs + 1, (KIT_VNFS - 1) * sizeof *kit.vnfs);
    kit.vnfs[KIT_VNFS - 1] = back;
    kit.options.vnf_count = KIT_VNFS - 1;
    kit_crash(&kit);
    memset(back.target, 0, sizeof back.target);
    (void)snprintf(back.target, sizeof back.target, "path=/new");
    assert_true(broker_set_vnf(kit.broker, &back, kit.now, &index, &e));
    assert_int_equal(index, KIT_VNFS - 1);
    assert_non_null(strstr(kit.moved, "path=/old"));
    kit_hello(&kit, 11, "a");
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 100);
    kit_changed(&kit, index, 200);
    assert_int_equal(kit_next(&kit, 11, MESSAGE_GRANT)->granted_bytes, 200);
    (void)snprintf(back.target, sizeof back.target, "path=/third");
    assert_false(broker_set_vnf(kit.broker, &back, kit.now, &index, &e)); // while it is there
    assert_non_null(strstr(e.text, "something else"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(test_says_what_was_and_what_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_less_in_the_new_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_the_pool_has, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_limit_in_the_new_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_known_of_the_new_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_raise_before_it_has_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_book_cannot_be_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_book, setup, teardown),
        cmocka_unit_test_setup_teardown(test_comes_back_by_a_reload, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
