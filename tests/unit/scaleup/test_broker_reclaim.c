// One VNF's memory for another's need; and operators.
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
    kit_give(&kit, 0, 700); // a, of the lowest priority, has all that is free
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_destroy(&kit);
    return 0;
}

static void ping_all(void)
{
    for (uint64_t s = 1; s <= KIT_VNFS; s++)
        broker_message(kit.broker, s, &(struct message){.type = MESSAGE_PING}, kit.now);
}

static void pass(unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        kit_tick(&kit, 1000);
        ping_all();
    }
}

// As the VNF answers a reclaim: with a rescale that names it.
static void deliver(uint64_t session, const char *id, uint64_t target, const char *reclaim)
{
    struct message m = {.target_bytes = target};
    memcpy(m.id, id, strlen(id) + 1);
    memcpy(m.reclaim, reclaim, strlen(reclaim) + 1);
    kit_rescale_with(&kit, session, &m);
}

static void test_delivers(void **state)
{
    (void)state;
    kit_rescale(&kit, 4, "1", 400, 0); // d, of the highest
    kit_expect(&kit, 4, "1", STATE_ACCEPTED, 100);
    const struct message *reclaim = kit_next(&kit, 1, MESSAGE_RECLAIM);
    assert_int_equal(reclaim->target_bytes, 400);
    assert_int_equal(reclaim->deadline_ms, 15000); // half of the asker's
    kit_reclaiming(&kit, 1, reclaim->id, STATE_ACCEPTED, 400);
    deliver(1, "2", 400, reclaim->id);
    kit_expect(&kit, 1, "2", STATE_ACCEPTED, 400);
    assert_int_equal(kit.applied[3].bytes, 100); // not yet
    kit_done(&kit, 0);
    kit_expect(&kit, 1, "2", STATE_DONE, 400);
    assert_int_equal(kit.applied[3].bytes, 400);
    kit_done(&kit, 3);
    kit_expect(&kit, 4, "1", STATE_DONE, 400);
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.reclaims, 1);
    assert_int_equal(stats.overdue, 0);
}

// What comes back is kept for the one for whom it was asked, also when others are quicker or more important.
static void test_kept_for_the_asker(void **state)
{
    (void)state;
    kit_rescale(&kit, 2, "1", 300, 300); // b wants 200 more or nothing
    const struct message *reclaim = kit_next(&kit, 1, MESSAGE_RECLAIM);
    deliver(1, "2", 500, reclaim->id);
    kit_rescale(&kit, 4, "1", 200, 0); // d asks meanwhile, with a higher priority
    kit_done(&kit, 0);
    assert_int_equal(kit.applied[1].bytes, 300);
    assert_int_equal(kit.applied[3].bytes, 100);
}

static void test_refuses(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "x", 600, 0);
    kit_done(&kit, 0);
    kit_give(&kit, 1, 200); // b has something above its minimum
    kit_rescale(&kit, 4, "1", 200, 0);
    const struct message *reclaim = kit_next(&kit, 1, MESSAGE_RECLAIM);
    kit_reclaiming(&kit, 1, reclaim->id, STATE_REFUSED, 0);
    assert_int_equal(kit_next(&kit, 2, MESSAGE_RECLAIM)->target_bytes, 100); // then the next
    pass(16);                                                                // b does not answer
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.overdue, 1);
    pass(15);
    kit_expect(&kit, 4, "1", STATE_ACCEPTED, 100);
    kit_expect(&kit, 4, "1", STATE_DEFERRED, 100);
    assert_int_equal(kit.disk.vnfs[1].granted_bytes, 200); // not harmed
    assert_int_equal(kit.applied[1].bytes, 200);
}

static void test_delivers_half(void **state)
{
    (void)state;
    kit_rescale(&kit, 4, "1", 500, 0);
    const struct message *reclaim = kit_next(&kit, 1, MESSAGE_RECLAIM);
    kit_reclaiming(&kit, 1, reclaim->id, STATE_PARTIAL, 500);
    deliver(1, "2", 500, reclaim->id);
    kit_done(&kit, 0);
    assert_int_equal(kit.applied[3].bytes, 300);
    kit_done(&kit, 3);
    kit_expect(&kit, 4, "1", STATE_ACCEPTED, 100);
    kit_expect(&kit, 4, "1", STATE_PROGRESS, 300);
    pass(31);
    kit_expect(&kit, 4, "1", STATE_PARTIAL, 300);
    // When there is memory again, it is told.
    assert_true(kit_nothing(&kit, 4) || kit_next(&kit, 4, MESSAGE_PONG) != NULL);
    kit_rescale(&kit, 1, "3", 200, 0);
    kit_done(&kit, 0);
    assert_int_equal(kit_next(&kit, 4, MESSAGE_OFFER)->available_bytes, 300);
    assert_int_equal(kit.applied[3].bytes, 300); // asked for, not pushed
}

static void test_forced_when_overdue(void **state)
{
    (void)state;
    kit_destroy(&kit);
    kit_setup(&kit);
    kit.vnfs[0].force_overdue = true;
    kit_create(&kit);
    kit_tick(&kit, 0);
    for (size_t i = 0; i < KIT_VNFS; i++) {
        kit_done(&kit, i);
        kit_hello(&kit, i + 1, kit.vnfs[i].name);
    }
    kit_give(&kit, 0, 700);
    kit_rescale(&kit, 4, "1", 400, 0);
    pass(16);
    assert_int_equal(kit.applied[0].bytes, 400);
    assert_int_equal(kit_next(&kit, 1, MESSAGE_GRANT)->granted_bytes, 400); // so that it may follow at once
    kit_report(&kit, 0, BACKEND_PARTIAL, 500);                              // the rest is in use
    assert_int_equal(kit_next(&kit, 1, MESSAGE_GRANT)->granted_bytes, 500);
    assert_int_equal(kit.applied[3].bytes, 300);
}

// The asker goes away, or gets it elsewhere: the reclaim is taken back.
static void test_taken_back(void **state)
{
    (void)state;
    kit_rescale(&kit, 4, "1", 400, 0);
    message_name id;
    memcpy(id, kit_next(&kit, 1, MESSAGE_RECLAIM)->id, sizeof id);
    kit_rescale(&kit, 4, "2", 100, 0);
    const struct message *back = kit_next(&kit, 1, MESSAGE_RECLAIM);
    assert_string_equal(back->id, id);
    assert_int_equal(back->target_bytes, 700);
    assert_true(kit_nothing(&kit, 1));
}

// A VNF that connects again hears of what is asked of it.
static void test_reclaim_after_reconnect(void **state)
{
    (void)state;
    kit_rescale(&kit, 4, "1", 400, 0);
    kit_hello(&kit, 11, "a");
    assert_int_equal(kit_next(&kit, 11, MESSAGE_RECLAIM)->target_bytes, 400);
}

// By priority, then by age; and none is starved by smaller ones that come later.
static void test_waiting_line(void **state)
{
    (void)state;
    struct message m = {
        .target_bytes = 300, .min_bytes = 300, .has_min = true, .has_priority = true, .id = "1"};
    m.priority = 3; // nobody is asked for b and c
    kit_rescale_with(&kit, 2, &m);
    kit_tick(&kit, 1);
    m.target_bytes = 200;
    m.has_min = false;
    kit_rescale_with(&kit, 3, &m);
    kit_tick(&kit, 1);
    kit_rescale(&kit, 1, "r", 600, 0); // 100 come back: too little for b, kept for it
    kit_done(&kit, 0);
    assert_int_equal(kit.applied[1].bytes, 100);
    assert_int_equal(kit.applied[2].bytes, 100);
    kit_rescale(&kit, 1, "s", 500, 0);
    kit_done(&kit, 0);
    assert_int_equal(kit.applied[1].bytes, 300);
    assert_int_equal(kit.applied[2].bytes, 100);
    kit_rescale(&kit, 1, "t", 400, 0);
    kit_done(&kit, 0);
    assert_int_equal(kit.applied[2].bytes, 200);
}

static void operator_asks(const char *vnf, const char *id, uint64_t target)
{
    struct message m = {.target_bytes = target, .deadline_ms = 4000};
    memcpy(m.vnf, vnf, strlen(vnf) + 1);
    memcpy(m.id, id, strlen(id) + 1);
    kit_rescale_with(&kit, 9, &m);
}

static void test_operator_returns(void **state)
{
    (void)state;
    operator_asks("a", "op1", 300);
    kit_expect(&kit, 9, "op1", STATE_ACCEPTED, 700);
    const struct message *reclaim = kit_next(&kit, 1, MESSAGE_RECLAIM);
    assert_int_equal(reclaim->target_bytes, 300);
    assert_int_equal(kit.applied[0].bytes, 700); // the VNF is asked, not its back-end
    deliver(1, "2", 300, reclaim->id);
    kit_done(&kit, 0);
    kit_expect(&kit, 9, "op1", STATE_DONE, 300);
    operator_asks("a", "op2", 0); // not below its minimum; and a does not deliver
    assert_int_equal(kit_next(&kit, 1, MESSAGE_RECLAIM)->target_bytes, 100);
    pass(5);
    kit_expect(&kit, 9, "op2", STATE_ACCEPTED, 300);
    kit_expect(&kit, 9, "op2", STATE_PARTIAL, 300);
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 300);
    broker_disconnected(kit.broker, 1, kit.now); // nobody to ask
    operator_asks("a", "op3", 200);
    assert_int_equal(kit.applied[0].bytes, 200);
    kit_done(&kit, 0);
    kit_expect(&kit, 9, "op3", STATE_ACCEPTED, 200);
    kit_expect(&kit, 9, "op3", STATE_DONE, 200);
}

static void test_operator_raises(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "2", 100, 0);
    kit_done(&kit, 0);
    operator_asks("b", "op1", 500);
    kit_done(&kit, 1);
    const struct message *grant = kit_next(&kit, 2, MESSAGE_GRANT);
    assert_int_equal(grant->granted_bytes, 500);
    assert_string_equal(grant->reason, "operator");
    kit_expect(&kit, 9, "op1", STATE_ACCEPTED, 100);
    kit_expect(&kit, 9, "op1", STATE_DONE, 500);
    assert_true(kit_nothing(&kit, 2));
}

static void test_status(void **state)
{
    (void)state;
    struct message status;
    assert_true(broker_status(kit.broker, NULL, &status));
    assert_int_equal(status.vnf_count, KIT_VNFS);
    assert_int_equal(status.pool_bytes, 1000);
    assert_int_equal(status.free_bytes, 0);
    assert_int_equal(status.vnfs[0].granted_bytes, 700);
    assert_string_equal(status.vnfs[0].change, "none");
    message_release(&status);
    kit_rescale(&kit, 1, "1", 300, 0);
    assert_true(broker_status(kit.broker, "a", &status));
    assert_int_equal(status.vnf_count, 1);
    assert_string_equal(status.vnfs[0].change, "return");
    assert_int_equal(status.vnfs[0].target_bytes, 300);
    message_release(&status);
    assert_false(broker_status(kit.broker, "nobody", &status));
    broker_message(kit.broker, 9, &(struct message){.type = MESSAGE_STATUS_ASK}, kit.now);
    (void)kit_next(&kit, 9, MESSAGE_STATUS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_delivers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_for_the_asker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delivers_half, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forced_when_overdue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reclaim_after_reconnect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waiting_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_operator_returns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_operator_raises, setup, teardown),
        cmocka_unit_test_setup_teardown(test_status, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
