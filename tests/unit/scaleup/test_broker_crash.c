// The broker dies, or its book cannot be written, at each effect; VNFs that the configuration does not know any more.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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

// Dead after the book has the commitment: whatever the back-end has made of it, the truth wins and nothing is lost.
static void test_dies_in_a_raise(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    kit_crash(&kit);
    kit_tick(&kit, 0);
    assert_int_equal(kit.applied[0].bytes, 100); // what it was told; it will ask again
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 500);
    kit_hello(&kit, 11, "a");
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 100);
    kit_rescale(&kit, 11, "1", 500, 0); // the same id: goes on
    kit_expect(&kit, 11, "1", STATE_ACCEPTED, 100);
    assert_int_equal(kit.applied[0].bytes, 500);
    kit_done(&kit, 0);
    kit_expect(&kit, 11, "1", STATE_DONE, 500);
    kit_crash(&kit);
    kit_hello(&kit, 12, "a");
    kit_rescale(&kit, 12, "1", 500, 0); // and its end is remembered
    kit_expect(&kit, 12, "1", STATE_DONE, 500);
    kit_rescale(&kit, 12, "1", 400, 0);
    kit_expect(&kit, 12, "1", STATE_ERROR, 500);
}

static void test_id_of_an_earlier_life(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    kit_crash(&kit);
    kit_hello(&kit, 11, "a");
    kit_rescale(&kit, 11, "1", 400, 0);
    kit_expect(&kit, 11, "1", STATE_ERROR, 100);
    kit_rescale(&kit, 11, "2", 200, 0); // ends it
    kit_done(&kit, 0);
    kit_expect(&kit, 11, "2", STATE_ACCEPTED, 100);
    kit_expect(&kit, 11, "2", STATE_DONE, 200);
    kit_rescale(&kit, 11, "1", 500, 0);
    kit_expect(&kit, 11, "1", STATE_DEFERRED, 200);
}

// The back-end had given it all, and the book did not have it as granted.
static void test_dies_before_the_last_record(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    kit_crash(&kit);
    kit_tick(&kit, 0);
    kit_changed(&kit, 0, 500);
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 100);
    kit_report(&kit, 0, BACKEND_PARTIAL, 500); // it does not go back
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 500);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 500);
}

// The back-end had taken it, and the book still had it: the pool has it after the truth is known, not before.
static void test_dies_in_a_return(void **state)
{
    (void)state;
    kit_give(&kit, 0, 700);
    kit_rescale(&kit, 1, "2", 200, 0);
    kit_crash(&kit);
    kit_tick(&kit, 0);
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.free_bytes, 0);
    kit_hello(&kit, 11, "a");
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 700);
    kit_changed(&kit, 0, 400);                   // on its way down when it was measured
    assert_int_equal(kit.applied[0].bytes, 400); // halted: nothing that an earlier life began goes on unknown
    assert_int_equal(kit_next(&kit, 11, MESSAGE_GRANT)->granted_bytes, 400);
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.free_bytes, 0);
    kit_done(&kit, 0);
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.free_bytes, 300);
}

static void test_book_cannot_be_written(void **state)
{
    (void)state;
    kit_give(&kit, 1, 300);
    kit.disk_full = true;
    kit_rescale(&kit, 1, "1", 500, 0);
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    kit_expect(&kit, 1, "1", STATE_ERROR, 100);
    assert_int_equal(kit.applied[0].bytes, 100); // never told
    // What is granted stays, also over a death.
    kit_crash(&kit);
    kit.disk_full = false;
    kit_hello(&kit, 12, "b");
    assert_int_equal(kit_next(&kit, 12, MESSAGE_WELCOME)->granted_bytes, 300);
}

// The commitment is on disk, the back-end has done it, and then the book cannot be written.
static void test_last_record_fails(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    kit.disk_full = true;
    kit_done(&kit, 0);
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    kit_expect(&kit, 1, "1", STATE_ERROR, 100);
    kit_tick(&kit, 1500);
    assert_true(kit_nothing(&kit, 1));
    kit.disk_full = false;
    kit_tick(&kit, 1500);
    assert_int_equal(kit_next(&kit, 1, MESSAGE_GRANT)->granted_bytes, 500);
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 500);
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    assert_true(stats.record_failures >= 2);
}

// A return whose record fails: the VNF is told the truth, the pool does not have it until the book says so.
static void test_record_of_a_return_fails(void **state)
{
    (void)state;
    kit_give(&kit, 0, 700);
    kit_rescale(&kit, 1, "2", 200, 0);
    kit.disk_full = true;
    kit_done(&kit, 0);
    kit_expect(&kit, 1, "2", STATE_ACCEPTED, 200);
    kit_expect(&kit, 1, "2", STATE_ERROR, 200);
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.free_bytes, 0);
    kit.disk_full = false;
    kit_tick(&kit, 1500);
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.free_bytes, 500);
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 200);
}

static void test_vanished_vnf(void **state)
{
    (void)state;
    kit_give(&kit, 3, 400);
    kit.options.vnf_count = 3;
    kit_crash(&kit);
    kit_tick(&kit, 0);
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.committed_bytes, 700);
    assert_int_equal(stats.free_bytes, 300);
    struct message status;
    assert_true(broker_status(kit.broker, "d", &status));
    assert_string_equal(status.vnfs[0].backend, "unknown");
    assert_string_equal(status.vnfs[0].detail, "not in the configuration");
    message_release(&status);
    kit_hello(&kit, 14, "d");
    assert_int_equal(kit_next(&kit, 14, MESSAGE_ERROR)->code, ERROR_UNKNOWN_VNF);
    kit_tick(&kit, 20000); // it has no lease that could end
    assert_int_equal(kit.disk.vnfs[3].committed_bytes, 400);
    kit_hello(&kit, 19, NULL); // an operator says that it is gone
    struct message m = {.vnf = "d", .id = "op", .target_bytes = 0};
    kit_rescale_with(&kit, 19, &m);
    kit_expect(&kit, 19, "op", STATE_DONE, 0);
    assert_int_equal(kit.disk.vnfs[3].committed_bytes, 0);
    // It comes back as a new one.
    kit.options.vnf_count = 4;
    kit_crash(&kit);
    kit_tick(&kit, 0);
    assert_int_equal(kit.disk.vnfs[3].committed_bytes, 100);
}

// The pool of the new configuration is less than what has been granted: all keep what they have, nobody gets more.
static void test_smaller_pool(void **state)
{
    (void)state;
    kit_give(&kit, 0, 700);
    kit.options.pool_bytes = 800;
    kit_crash(&kit);
    kit_hello(&kit, 11, "a");
    kit_hello(&kit, 12, "b");
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 700);
    kit_rescale(&kit, 12, "1", 200, 0);
    kit_expect(&kit, 12, "1", STATE_ACCEPTED, 100);
    assert_int_equal(kit.applied[1].count, 0);
    kit_rescale(&kit, 11, "2", 300, 0);
    kit_done(&kit, 0);
    assert_int_equal(kit.applied[1].bytes, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_dies_in_a_raise, setup, teardown),
        cmocka_unit_test_setup_teardown(test_id_of_an_earlier_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dies_before_the_last_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dies_in_a_return, setup, teardown),
        cmocka_unit_test_setup_teardown(test_book_cannot_be_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_record_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_record_of_a_return_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vanished_vnf, setup, teardown),
        cmocka_unit_test_setup_teardown(test_smaller_pool, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
