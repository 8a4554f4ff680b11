// What back-ends make of what they are told: a part, nothing, an error, silence, another size of their own accord, a limit that is lost, and what cannot be read.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

static void test_backend_gives_part(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    kit_report(&kit, 0, BACKEND_PARTIAL, 320);
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    kit_expect(&kit, 1, "1", STATE_PARTIAL, 300);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 400); // what it holds, rounded up
    assert_int_equal(kit.applied[0].count, 2);               // at rest
}

// Less than the request's own minimum: nothing is told, and what there is goes back.
static void test_backend_gives_too_little(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 400);
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    kit_report(&kit, 0, BACKEND_PROGRESS, 300);
    assert_true(kit_nothing(&kit, 1));
    kit_report(&kit, 0, BACKEND_PARTIAL, 300);
    kit_expect(&kit, 1, "1", STATE_DEFERRED, 100);
    assert_int_equal(kit.applied[0].bytes, 100);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 300);
    kit_done(&kit, 0);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 100);
    assert_true(kit_nothing(&kit, 2));
}

static void test_backend_refuses(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    kit_report(&kit, 0, BACKEND_REFUSED, 100);
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    const struct message *m = kit_next(&kit, 1, MESSAGE_RESPONSE);
    assert_int_equal(m->state, STATE_DEFERRED);
    assert_true(m->retry_ms > 0);
    assert_string_equal(m->detail, "said so");
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 100);
    assert_true(kit_nothing(&kit, 1)); // no offer: nothing has become free
    kit_give(&kit, 0, 500);
    kit_rescale(&kit, 1, "2", 300, 0);
    kit_report(&kit, 0, BACKEND_REFUSED, 500);
    kit_expect(&kit, 1, "2", STATE_ACCEPTED, 300);
    kit_expect(&kit, 1, "2", STATE_PARTIAL, 500); // may use it again
}

// A failure leaves in doubt what is true: the book keeps the most, the VNF is told the least, and it is tried again.
static void test_backend_fails(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    kit_report(&kit, 0, BACKEND_FAILED, 100);
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    kit_expect(&kit, 1, "1", STATE_ERROR, 100);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 500);
    kit_tick(&kit, 60000);
    assert_int_equal(kit.applied[0].bytes, 100);
    kit_done(&kit, 0);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 100);
}

static void test_backend_is_silent(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    for (unsigned i = 0; i < 6; i++) {
        kit_tick(&kit, 5000);
        broker_message(kit.broker, 1, &(struct message){.type = MESSAGE_PING}, kit.now);
    }
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    kit_expect(&kit, 1, "1", STATE_DEFERRED, 100);
    assert_int_equal(kit.applied[0].bytes, 100);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 500); // it may have done it
    uint64_t id = kit.applied[0].id;
    kit.applied[0].id--;
    kit_report(&kit, 0, BACKEND_DONE, 500); // too late, and of a change that has been replaced
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 100);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 500);
    kit.applied[0].id = id;
    kit_tick(&kit, 30000);
    assert_true(kit.applied[0].id > id); // told again
    kit_done(&kit, 0);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 100);
}

// A return that the back-end does not answer: the VNF stays at its target, the pool does not have it.
static void test_return_is_silent(void **state)
{
    (void)state;
    kit_give(&kit, 0, 500);
    kit_rescale(&kit, 1, "2", 200, 0);
    kit_tick(&kit, 9999);
    broker_message(kit.broker, 1, &(struct message){.type = MESSAGE_PING}, kit.now);
    kit_tick(&kit, 9999);
    broker_message(kit.broker, 1, &(struct message){.type = MESSAGE_PING}, kit.now);
    kit_tick(&kit, 9999);
    broker_message(kit.broker, 1, &(struct message){.type = MESSAGE_PING}, kit.now);
    kit_tick(&kit, 10);
    kit_expect(&kit, 1, "2", STATE_ACCEPTED, 200);
    kit_expect(&kit, 1, "2", STATE_PARTIAL, 200);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 500);
    kit_report(&kit, 0, BACKEND_PARTIAL, 400); // in the end
    assert_int_equal(kit_next(&kit, 1, MESSAGE_GRANT)->granted_bytes, 400);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 400);
}

// Somebody else has changed it: the book follows, the VNF hears of it.
static void test_backend_changes_by_itself(void **state)
{
    (void)state;
    kit_give(&kit, 0, 500);
    kit_changed(&kit, 0, 300);
    assert_int_equal(kit_next(&kit, 1, MESSAGE_GRANT)->granted_bytes, 300);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 300);
    kit_changed(&kit, 0, 600);
    assert_int_equal(kit_next(&kit, 1, MESSAGE_GRANT)->granted_bytes, 600);
    kit_changed(&kit, 0, 50); // below its minimum: that is set right
    assert_int_equal(kit_next(&kit, 1, MESSAGE_GRANT)->granted_bytes, 0);
    kit_tick(&kit, 1000); // at most once a second, should somebody else insist
    assert_int_equal(kit.applied[0].bytes, 100);
    kit_done(&kit, 0);
    assert_int_equal(kit_next(&kit, 1, MESSAGE_GRANT)->granted_bytes, 100);
    // More than the pool has: not more than that is granted, and it is told to come down.
    kit_changed(&kit, 0, UINT64_MAX);
    kit_tick(&kit, 1000);
    assert_int_equal(kit.applied[0].bytes, 700);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 700);
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.free_bytes, 0);
    kit_report(&kit, 0, BACKEND_PARTIAL, 900);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 700);
    kit_tick(&kit, 4000);
    kit_done(&kit, 0);
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.free_bytes, 0);
    assert_int_equal(stats.committed_bytes, 1000);
}

// It has more than the pool had for it, and does not go back; then there is room, before it is told again: the book follows.
static void test_room_comes_late(void **state)
{
    (void)state;
    kit_give(&kit, 0, 500);
    kit_give(&kit, 1, 300);
    kit_changed(&kit, 0, 600);
    kit_report(&kit, 0, BACKEND_PARTIAL, 600);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 500);
    kit_rescale(&kit, 2, "2", 100, 0);
    kit_done(&kit, 1);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 600);
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 600);
}

// Nothing could be read: that is not "it has nothing". What the book has stands.
static void test_backend_is_not_read(void **state)
{
    (void)state;
    kit_give(&kit, 0, 500);
    kit_unknown(&kit, 0, BACKEND_FAILED, false);
    kit_unknown(&kit, 0, BACKEND_CHANGED, false);
    assert_true(kit_nothing(&kit, 1));
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 500);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 500);
    kit_crash(&kit); // nor when the broker has just begun and knows nothing by itself
    kit_unknown(&kit, 0, BACKEND_FAILED, false);
    kit_hello(&kit, 11, "a");
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 500);
    assert_int_equal(kit.applied[0].count, 0);
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.free_bytes, 200);
}

// It was told something and could not be read afterwards: the pool is without the most, the VNF has the least, and it is told again.
static void test_change_is_not_read(void **state)
{
    (void)state;
    kit_give(&kit, 0, 500);
    kit_rescale(&kit, 1, "2", 200, 0);
    kit_unknown(&kit, 0, BACKEND_REFUSED, true);
    kit_expect(&kit, 1, "2", STATE_ACCEPTED, 200);
    kit_expect(&kit, 1, "2", STATE_PARTIAL, 200);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 500);
    kit_tick(&kit, 1000);
    assert_int_equal(kit.applied[0].bytes, 200);
    kit_done(&kit, 0);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 200);
    kit_rescale(&kit, 1, "3", 400, 0);
    kit_unknown(&kit, 0, BACKEND_FAILED, true);
    kit_expect(&kit, 1, "3", STATE_ACCEPTED, 200);
    kit_expect(&kit, 1, "3", STATE_ERROR, 200);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 400);
    kit_tick(&kit, 2000);
    kit_done(&kit, 0);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 200);
}

// Also when all numbers are one: what could not be read has perhaps not been done.
static void test_minimum_is_not_read(void **state)
{
    (void)state;
    kit_changed(&kit, 0, 50);
    kit_tick(&kit, 1000);
    unsigned count = kit.applied[0].count;
    kit_changed(&kit, 0, 100);
    kit_unknown(&kit, 0, BACKEND_REFUSED, true);
    kit_tick(&kit, 5000);
    assert_int_equal(kit.applied[0].count, count + 1);
    assert_int_equal(kit.applied[0].bytes, 100);
    kit_changed(&kit, 0, 100); // meanwhile it is read: not told a third time when that ends
    kit_done(&kit, 0);
    kit_tick(&kit, 5000);
    assert_int_equal(kit.applied[0].count, count + 1);
}

static void report_unlimited(enum backend_outcome outcome)
{
    struct backend_report report = {.change_id = outcome == BACKEND_CHANGED ? 0 : kit.applied[0].id,
                                    .outcome = outcome,
                                    .actual_bytes = 1ull << 40,
                                    .detail = "",
                                    .unlimited = true};
    broker_report(kit.broker, 0, &report, kit.now);
    assert_null(broker_check(kit.broker));
}

// A group that comes back without a limit has what it had, and is told that at once; not what the pool has free.
static void test_limit_is_lost(void **state)
{
    (void)state;
    kit_give(&kit, 0, 300);
    report_unlimited(BACKEND_CHANGED);
    assert_true(kit_nothing(&kit, 1));
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 300);
    assert_int_equal(kit.applied[0].bytes, 300);
    report_unlimited(BACKEND_REFUSED); // it does not take one
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 300);
    kit_tick(&kit, 5000);
    assert_int_equal(kit.applied[0].bytes, 300);
    kit_done(&kit, 0);
    assert_true(kit_nothing(&kit, 1));
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 300);
    kit_crash(&kit); // and when the broker has just begun
    report_unlimited(BACKEND_CHANGED);
    assert_int_equal(kit.applied[0].bytes, 300);
    kit_done(&kit, 0);
    kit_hello(&kit, 11, "a");
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 300);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 300);
}

// An unlimited group at the very first start is no claim to the pool.
static void test_first_start_unlimited(void **state)
{
    (void)state;
    kit_destroy(&kit);
    kit_setup(&kit);
    kit_create(&kit);
    kit_changed(&kit, 0, UINT64_MAX);
    kit_hello(&kit, 1, "a");
    assert_int_equal(kit_next(&kit, 1, MESSAGE_WELCOME)->granted_bytes, 100);
    assert_int_equal(kit.applied[0].bytes, 100);
    kit_done(&kit, 0);
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 100);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_backend_gives_part, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backend_gives_too_little, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backend_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backend_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backend_is_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_return_is_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backend_changes_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_room_comes_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backend_is_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_change_is_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_minimum_is_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_start_unlimited, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
