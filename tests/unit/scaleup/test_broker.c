// Requests of VNFs: raises, returns, what back-ends make of them, ids, leases.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

static void test_lease(void **state)
{
    (void)state;
    kit_give(&kit, 0, 500);
    kit_give(&kit, 1, 300);
    kit_tick(&kit, 9000);
    broker_message(kit.broker, 2, &(struct message){.type = MESSAGE_PING}, kit.now);
    (void)kit_next(&kit, 2, MESSAGE_PONG);
    kit_tick(&kit, 1000); // a was silent
    assert_true(kit_nothing(&kit, 1));
    assert_int_equal(broker_tick(kit.broker, kit.now), kit.now + 1000);
    kit_tick(&kit, 1000); // and still is
    assert_int_equal(kit_next(&kit, 1, MESSAGE_ERROR)->code, ERROR_TIMEOUT);
    assert_int_equal(kit.applied[0].bytes, 100);
    assert_int_equal(kit.applied[1].bytes, 300);
    kit_report(&kit, 0, BACKEND_PARTIAL, 400); // a process still runs there
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 400);
    kit_tick(&kit, 8000); // tried again
    kit_done(&kit, 0);
    assert_int_equal(kit.disk.vnfs[0].committed_bytes, 100);
    kit_hello(&kit, 11, "a");
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 100);
}

static void test_lease_after_disconnect(void **state)
{
    (void)state;
    kit_give(&kit, 0, 500);
    kit_tick(&kit, 5000);
    broker_disconnected(kit.broker, 1, kit.now);
    kit_tick(&kit, 9999);
    assert_int_equal(kit.applied[0].bytes, 500);
    kit_hello(&kit, 11, "a"); // in time
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 500);
    broker_disconnected(kit.broker, 11, kit.now);
    kit_tick(&kit, 10000);
    kit_tick(&kit, 1000);
    assert_int_equal(kit.applied[0].bytes, 100);
    // It comes back while the back-end is taking it: told the least, then given what has not gone.
    kit_hello(&kit, 12, "a");
    assert_int_equal(kit_next(&kit, 12, MESSAGE_WELCOME)->granted_bytes, 100);
    assert_int_equal(kit.applied[0].bytes, 500);
    kit_done(&kit, 0);
    assert_int_equal(kit_next(&kit, 12, MESSAGE_GRANT)->granted_bytes, 500);
}

// The daemon was held up: what its VNFs have sent meanwhile is read after time has passed for it. Nobody loses anything.
static void test_held_up(void **state)
{
    (void)state;
    kit_give(&kit, 0, 500);
    kit_tick(&kit, 60000);
    for (uint64_t session = 1; session <= KIT_VNFS; session++) // and once more while it reads
        broker_message(kit.broker, session, &(struct message){.type = MESSAGE_PING},
                       kit.now += session == 3 ? 20000 : 1);
    for (uint64_t session = 1; session <= 2; session++)
        broker_message(kit.broker, session, &(struct message){.type = MESSAGE_PING}, kit.now);
    kit_tick(&kit, 1000);
    for (uint64_t session = 1; session <= KIT_VNFS; session++)
        assert_int_equal(kit_next(&kit, session, MESSAGE_PONG)->type, MESSAGE_PONG);
    struct broker_stats stats;
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.leases_ended, 0);
    assert_int_equal(kit.closed_count, 0);
    assert_int_equal(kit.disk.vnfs[0].granted_bytes, 500);
    kit_tick(&kit, 10000); // now it is they who are silent
    kit_tick(&kit, 1000);
    broker_get_stats(kit.broker, &stats);
    assert_int_equal(stats.leases_ended, 4);
}

// A request goes on without its connection, to its deadline or the end of the lease.
static void test_request_without_connection(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    broker_disconnected(kit.broker, 1, kit.now);
    kit_done(&kit, 0);
    kit_hello(&kit, 11, "a");
    assert_int_equal(kit_next(&kit, 11, MESSAGE_WELCOME)->granted_bytes, 500);
    kit_rescale(&kit, 11, "1", 500, 0);
    kit_expect(&kit, 11, "1", STATE_DONE, 500);
}

static void test_wrong_peers(void **state)
{
    (void)state;
    struct message m = {.target_bytes = 500, .id = "1", .vnf = "b"};
    kit_rescale_with(&kit, 1, &m);
    kit_expect(&kit, 1, "1", STATE_DENIED, 100);
    m.vnf[0] = '\0';
    kit_rescale_with(&kit, 9, &m); // an operator has to say of whom
    assert_int_equal(kit_next(&kit, 9, MESSAGE_ERROR)->code, ERROR_UNEXPECTED);
    m.vnf[0] = 'z';
    kit_rescale_with(&kit, 9, &m);
    kit_expect(&kit, 9, "1", STATE_ERROR, 0);
    broker_message(kit.broker, 1, &(struct message){.type = MESSAGE_STATUS_ASK}, kit.now);
    assert_int_equal(kit_next(&kit, 1, MESSAGE_ERROR)->code, ERROR_UNEXPECTED);
    broker_message(kit.broker, 77, &(struct message){.type = MESSAGE_PING}, kit.now); // nobody
    broker_disconnected(kit.broker, 77, kit.now);
    broker_report(kit.broker, 99, &(struct backend_report){.detail = ""}, kit.now);
}

static void test_configurations(void **state)
{
    (void)state;
    struct kit other;
    struct error e;
    struct broker_effects none = {0};
    kit_setup(&other);
    other.options.vnfs = other.vnfs;
    other.vnfs[1].name[0] = 'a';
    assert_null(broker_create(&other.options, &none, NULL, 0, &e));
    assert_non_null(strstr(e.text, "twice"));
    kit_setup(&other);
    other.options.vnfs = other.vnfs;
    other.vnfs[0].min_bytes = 701;
    assert_null(broker_create(&other.options, &none, NULL, 0, &e));
    assert_non_null(strstr(e.text, "minimums"));
    other.vnfs[0].min_bytes = 110;
    other.vnfs[0].max_bytes = 190;
    assert_null(broker_create(&other.options, &none, NULL, 0, &e));
    assert_non_null(strstr(e.text, "granularity"));
    other.options.granularity = 0;
    assert_null(broker_create(&other.options, &none, NULL, 0, &e));
}

// Nobody waits for ever, whatever it says.
static void test_longest_deadline(void **state)
{
    (void)state;
    struct message m = {
        .target_bytes = 700, .min_bytes = 700, .has_min = true, .id = "1", .deadline_ms = 9000000000000000};
    kit_give(&kit, 1, 300);
    kit_rescale_with(&kit, 1, &m);
    kit_expect(&kit, 1, "1", STATE_ACCEPTED, 100);
    for (unsigned s = 0; s < 600; s++) {
        kit.sent_count = 0;
        memset(kit.seen, 0, sizeof kit.seen);
        kit_tick(&kit, 1000);
        for (uint64_t session = 1; session <= KIT_VNFS; session++)
            broker_message(kit.broker, session, &(struct message){.type = MESSAGE_PING}, kit.now);
    }
    kit_expect(&kit, 1, "1", STATE_DEFERRED, 100);
}

static bool record_nothing(void *arg, const struct book *book)
{
    (void)arg;
    (void)book;
    return true;
}

static void on_many_send(void *arg, uint64_t session, const struct message *message)
{
    (void)arg;
    (void)session;
    (void)message;
}

static void on_many_apply(void *arg, size_t vnf, uint64_t id, uint64_t bytes)
{
    (void)bytes;
    ((uint64_t *)arg)[vnf] = id;
}

// An event looks at each VNF, and not at each with all the others: with many of them it took minutes where now it is a second.
static void test_many_vnfs(void **state)
{
    enum { MANY = 3000 };
    static struct broker_vnf vnfs[MANY];
    static uint64_t applied[MANY];
    const struct broker_options options = {.pool_bytes = MANY * 2 * G,
                                           .granularity = G,
                                           .lease_ms = 10000,
                                           .deadline_ms = 30000,
                                           .vnfs = vnfs,
                                           .vnf_count = MANY};
    const struct broker_effects effects = {
        .send = on_many_send, .apply = on_many_apply, .record = record_nothing, .arg = applied};
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        vnfs[i] = (struct broker_vnf){.backend = "sim", .min_bytes = G};
        (void)snprintf(vnfs[i].name, sizeof vnfs[i].name, "v%zu", i);
    }
    struct broker *broker = broker_create(&options, &effects, NULL, 1000, &(struct error){0});
    assert_non_null(broker);
    (void)broker_tick(broker, 1000);
    for (size_t i = 0; i < MANY; i++) {
        struct message hello = {.type = MESSAGE_HELLO, .version = 1, .role = ROLE_VNF};
        memcpy(hello.vnf, vnfs[i].name, sizeof hello.vnf);
        struct backend_report report = {
            .change_id = applied[i], .outcome = BACKEND_DONE, .actual_bytes = G, .detail = ""};
        broker_report(broker, i, &report, 1000);
        broker_hello(broker, i + 1, &hello, 1000);
    }
    clock_t before = clock();
    for (size_t i = 0; i < 1000; i++)
        broker_message(broker, i + 1, &(struct message){.type = MESSAGE_PING}, 5000); // after the pauses
    assert_true((clock() - before) / CLOCKS_PER_SEC < 10);
    broker_destroy(&broker);
}

// What the next tick is for is never later than it is needed.
static void test_tick_says_when(void **state)
{
    (void)state;
    kit_rescale(&kit, 1, "1", 500, 0);
    assert_int_equal(broker_tick(kit.broker, kit.now), kit.now + 10000); // leases
    struct message m = {.target_bytes = 800, .id = "2", .deadline_ms = 700};
    kit_rescale_with(&kit, 2, &m);
    assert_int_equal(broker_tick(kit.broker, kit.now), kit.now + 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_begins_with_minimums, setup, teardown),
        cmocka_unit_test_setup_teardown(test_welcome_says_what_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_raise, setup, teardown),
        cmocka_unit_test_setup_teardown(test_return, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
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
        cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sixteen_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids_are_written_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_supersedes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lease_after_disconnect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_without_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_peers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configurations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_longest_deadline, setup, teardown),
        cmocka_unit_test(test_many_vnfs),
        cmocka_unit_test_setup_teardown(test_tick_says_when, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
