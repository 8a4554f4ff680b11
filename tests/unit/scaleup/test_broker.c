// Requests of VNFs: the beginning, raises, returns, bounds, ids.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "broker_kit.h"

static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_begin(&kit);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_destroy(&kit);
    return 0;
}

// The first time: each VNF has its minimum in the book before its back-end is told and before it is welcomed.
static void test_begins_with_minimums(void **state)
{
    (void)state;
    assert_int_equal(kit.disk.count, KIT_VNFS);
    for (size_t i = 0; i < KIT_VNFS; i++) {
        assert_int_equal(kit.disk.vnfs[i].granted_bytes, 100);
        assert_int_equal(kit.applied[i].bytes, 100);
    }
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.free_bytes, 600);
    assert_int_equal(stats.committed_bytes, 400);
}

static void test_welcome_says_what_counts(void **state)
{
    (void)state;
    kit_hello(&kit, 11, "a");
    const struct message *m = kit_next(&kit, 11, MESSAGE_WELCOME);
    assert_int_equal(m->granularity, G);
    assert_int_equal(m->min_bytes, 100);
    assert_int_equal(m->max_bytes, 800);
    assert_int_equal(m->lease_ms, 10000);
    assert_string_equal(m->vnf, "a");
    assert_string_equal(m->backend, "sim");
    // and the earlier connection is told why it ends
    assert_int_equal(kit_next(&kit, 1, MESSAGE_ERROR)->code, ERROR_REPLACED);
    assert_int_equal(kit.closed[0], 1);
    kit_hello(&kit, 12, "nobody");
    assert_int_equal(kit_next(&kit, 12, MESSAGE_ERROR)->code, ERROR_UNKNOWN_VNF);
    assert_int_equal(kit.closed[1], 12);
    assert_int_equal(kit.closed_count, 2);
}

// Book, back-end, book, answer.
static void test_raise(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 350, 0);
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    assert_int_equal(kit.applied[0].bytes, 400); // rounded up
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 400);
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 100);
    assert_string_equal(kit.disk.vnfs[0].pending.id, "1");
    kit_report(&kit, 0, BACKEND_PROGRESS, 250);
    kit_expect(&kit, 1, "1", STATE_PROGRESS, 200); // rounded down
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 200);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 400);
    kit_done(&kit, 0);
    kit_expect(&kit, 1, "1", STATE_DONE, 400);
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 400);
    assert_string_equal(kit.disk.vnfs[0].pending.id, "");
    assert_true(kit_nothing(&kit, 1));
}

// Back-end, book, pool: until the back-end has it, nobody else gets it.
static void test_return(void **state)
{
    (void)state;
    kit_give(&kit, 0, 700);
    kit_rescale(&kit, 1, "2", 250, 0);
    kit_expect(&kit, 1, "2", STATE_ACCEPTED, 300); // from now on no more than the target
    assert_int_equal(kit.applied[0].bytes, 300);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 700);
    kit_rescale(&kit, 2, "1", 300, 0);
    assert_int_equal(kit.applied[1].bytes, 100);
    kit_report(&kit, 0, BACKEND_PROGRESS, 600);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 600);
    assert_int_equal(kit.applied[1].bytes, 200);
    kit_done(&kit, 0);
    kit_expect(&kit, 1, "2", STATE_DONE, 300);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 300);
    kit_done(&kit, 1); // the step
    kit_done(&kit, 1);
    kit_expect(&kit, 2, "1", STATE_ACCEPTED, 100);
    kit_expect(&kit, 2, "1", STATE_PROGRESS, 200);
    kit_expect(&kit, 2, "1", STATE_DONE, 300);
}

static void test_bounds(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 5000, 0); // cut: the pool could spare 700
    assert_int_equal(kit.applied[0].bytes, 700);
    kit_done(&kit, 0);
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    kit_expect(&kit, 1, "1", STATE_PARTIAL, 700);
    kit_rescale(&kit, 1, "2", 5000, 0);
    kit_expect(&kit, 1, "2", STATE_INFEASIBLE, 700);
    kit_rescale(&kit, 2, "1", 1000, 750); // its own minimum is above that
    kit_expect(&kit, 2, "1", STATE_INFEASIBLE, 100);
    kit_rescale(&kit, 2, "2", 500, 600);
    kit_expect(&kit, 2, "2", STATE_ERROR, 100);
    kit_rescale(&kit, 1, "3", 700, 0); // has it
    kit_expect(&kit, 1, "3", STATE_DONE, 700);
    kit_rescale(&kit, 1, "4", 0, 0); // raised to the minimum
    assert_int_equal(kit.applied[0].bytes, 100);
    kit_done(&kit, 0);
    kit_expect(&kit, 1, "4", STATE_ACCEPTED, 100);
    kit_expect(&kit, 1, "4", STATE_DONE, 100);
    kit_rescale(&kit, 1, "5", MESSAGE_NUMBER_MAX, 0);
    assert_int_equal(kit.applied[0].bytes, 700);
}

static void test_ids(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "x", 300, 200);
    kit_expect(&kit, 1, "x", STATE_ACCEPTED, 100);
    kit_rescale(&kit, 1, "x", 300, 200); // under way: nothing new begins
    kit_expect(&kit, 1, "x", STATE_ACCEPTED, 100);
    kit_rescale(&kit, 1, "x", 400, 200);
    kit_expect(&kit, 1, "x", STATE_ERROR, 100);
    kit_rescale(&kit, 1, "x", 300, 0);
    kit_expect(&kit, 1, "x", STATE_ERROR, 100);
    assert_int_equal(kit.applied[0].count, 2);
    kit_hello(&kit, 11, "a"); // another connection: the answer goes there
    kit_rescale(&kit, 11, "x", 300, 200);
    kit_expect(&kit, 11, "x", STATE_ACCEPTED, 100);
    kit_done(&kit, 0);
    kit_expect(&kit, 11, "x", STATE_DONE, 300);
    kit_give(&kit, 1, 200);
    kit_rescale(&kit, 11, "y", 100, 0);
    kit_done(&kit, 0);
    kit_forget(&kit);
    kit_rescale(&kit, 11, "x", 300, 200);
    kit_expect(&kit, 11, "x", STATE_DONE, 100); // the same end, the size of now
    kit_rescale(&kit, 11, "x", 301, 200);
    kit_expect(&kit, 11, "x", STATE_ERROR, 100);
    assert_int_equal(kit.applied[0].count, 3);
}

static void test_sixteen_ids(void **state)
{
    (void)state;
    char id[8];
    for (unsigned i = 0; i < BOOK_IDS + 1; i++) {
        (void)snprintf(id, sizeof id, "n%u", i);
        kit_rescale(&kit, 1, id, 100 + i % 2 * 100, 0);
        if (i > 0)
            kit_done(&kit, 0);
    }
    assert_int_equal(kit.disk.vnfs[0].finished_count, BOOK_IDS);
    assert_string_equal(kit.disk.vnfs[0].finished[0].id, "n1");
    unsigned count = kit.applied[0].count;
    kit_rescale(&kit, 1, "n1", 200, 0);
    assert_int_equal(kit.applied[0].count, count);
}

// What changes nothing but the ids is answered at once and written once for all.
static void test_ids_are_written_together(void **state)
{
    (void)state;
    char id[8];
    unsigned records = kit.records;
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(id, sizeof id, "n%u", i);
        kit_rescale(&kit, 1, id, 100, 0);
        kit_expect(&kit, 1, id, STATE_DONE, 100);
    }
    assert_int_equal(kit.records, records);
    assert_int_equal(broker_tick(kit.broker, kit.now), kit.now + 1000);
    kit_tick(&kit, 1000);
    assert_int_equal(kit.records, records + 1);
    assert_string_equal(kit.disk.vnfs[0].finished[BOOK_IDS - 1].id, "n99");
    kit_crash(&kit);
    kit_hello(&kit, 11, "a");
    kit_rescale(&kit, 11, "n99", 200, 0); // remembered
    kit_expect(&kit, 11, "n99", STATE_ERROR, 100);
}

static void test_supersedes(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 600, 0);
    kit_report(&kit, 0, BACKEND_PROGRESS, 300);
    kit_rescale(&kit, 1, "2", 400, 0);
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    kit_expect(&kit, 1, "1", STATE_PROGRESS, 300);
    kit_expect(&kit, 1, "1", STATE_PARTIAL, 300);
    kit_expect(&kit, 1, "2", STATE_ACCEPTED, 300);
    assert_int_equal(kit.applied[0].bytes, 400);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 600); // until the back-end has said where it stands
    kit_rescale(&kit, 1, "3", 200, 0);                       // a return ends a raise that has brought nothing
    kit_expect(&kit, 1, "2", STATE_DEFERRED, 300);
    kit_expect(&kit, 1, "3", STATE_ACCEPTED, 200);
    kit_done(&kit, 0);
    kit_expect(&kit, 1, "3", STATE_DONE, 200);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 200);
    kit_rescale(&kit, 1, "4", 100, 0); // and a raise a return
    kit_rescale(&kit, 1, "5", 700, 0);
    kit_done(&kit, 0);
    kit_expect(&kit, 1, "4", STATE_ACCEPTED, 100);
    kit_expect(&kit, 1, "4", STATE_PARTIAL, 100);
    kit_expect(&kit, 1, "5", STATE_ACCEPTED, 100);
    kit_expect(&kit, 1, "5", STATE_DONE, 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_begins_with_minimums, setup, teardown),
        cmocka_unit_test_setup_teardown(test_welcome_says_what_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_raise, setup, teardown),
        cmocka_unit_test_setup_teardown(test_return, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sixteen_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids_are_written_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_supersedes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
