// Admission, number by number: what it learns, where its limits are, when a queue is a standing one.
#include "keyserver/admission.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#define MS    UINT64_C(1000000)
#define NEVER (UINT64_C(3600) * 1000 * MS)

// Two threads that need 4 ms for each operation of queue 1, which had others waiting all the time.
static uint64_t busy(struct admission *a, uint64_t now_ns)
{
    for (int i = 0; i < 4000; i++) {
        now_ns += 2 * MS;
        admission_note_taken(a, 1, now_ns, 1, 5);
        admission_note_work(a, 1, 4 * MS, 1, false);
    }
    return now_ns;
}

static bool admits(struct admission *a, uint64_t now_ns, size_t waiting)
{
    return admission_admits(a, 1, now_ns, waiting, waiting, false, NEVER);
}

static void nothing_is_known_at_first(void **state)
{
    (void)state;
    struct admission a;
    admission_init(&a, 2, 0);
    assert_int_equal(admission_target_ns(&a), 0);
    assert_true(admission_admits(&a, 0, 1, 1000000, 1000000, false, 0));
    admission_note_taken(&a, 0, 5, 1, 0);
    assert_true(admits(&a, 6, 1000000));
}

static void the_target(void **state)
{
    (void)state;
    struct admission a;
    admission_init(&a, 2, 0);
    admission_note_work(&a, 1, 4 * MS, 1, false);
    assert_in_range(admission_target_ns(&a), 23 * MS, 25 * MS); // 4 x (1 + 10 / 2)
    admission_init(&a, 12, 0);
    admission_note_work(&a, 1, 16 * MS, 8, true);               // a batch is one unit
    assert_in_range(admission_target_ns(&a), 19 * MS, 20 * MS); // 16 x (1 + 2.5 / 12)
    admission_init(&a, 2, 0);
    admission_note_work(&a, 1, 16 * MS, 8, false); // eight operations
    assert_in_range(admission_target_ns(&a), 11 * MS, 13 * MS);
    admission_init(&a, 2, 0);
    admission_note_work(&a, 0, 20000, 1, false); // short ones: not less than nobody minds
    assert_int_equal(admission_target_ns(&a), 10 * MS);
    admission_init(&a, 2, 70 * MS);
    assert_int_equal(admission_target_ns(&a), 70 * MS);
}

// Short ones in between are many, but what is waited for is a long one.
static void a_mix_waits_for_the_long_ones(void **state)
{
    (void)state;
    struct admission a;
    admission_init(&a, 2, 0);
    for (int i = 0; i < 10000; i++)
        admission_note_work(&a, i % 20 == 0, i % 20 == 0 ? 4 * MS : 20000, 1, false);
    assert_in_range(admission_target_ns(&a), 18 * MS, 25 * MS);
}

static void a_burst_is_no_overload(void **state)
{
    (void)state;
    struct admission a;
    admission_init(&a, 2, 0);
    uint64_t now = busy(&a, MS); // 2 ms between two: the target of 24 ms is 12, the interval of 100 ms is 50
    assert_true(admits(&a, now, 49));
    assert_false(admits(&a, now, 60));
    assert_true(admits(&a, now + 50 * MS, 49));
    assert_true(admits(&a, now + 60 * MS, 5)); // down again: the time starts anew
    assert_true(admits(&a, now + 100 * MS, 49));
    assert_true(admits(&a, now + 190 * MS, 49));
}

static void a_standing_queue_is(void **state)
{
    (void)state;
    struct admission a;
    admission_init(&a, 2, 0);
    uint64_t now = busy(&a, MS);
    assert_true(admits(&a, now, 20));
    assert_true(admits(&a, now + 60 * MS, 20));
    assert_false(admits(&a, now + 114 * MS, 20)); // it may not grow any more,
    assert_true(admits(&a, now + 115 * MS, 11));
    assert_true(admits(&a, now + 116 * MS, 0)); // nor at once when it was short for a moment,
    assert_false(admits(&a, now + 117 * MS, 16));
    assert_true(admits(&a, now + 200 * MS, 10));
    assert_false(admits(&a, now + 200 * MS, 16));
    assert_true(admits(&a, now + 341 * MS, 10)); // until it was at the target for an interval
    assert_true(admits(&a, now + 342 * MS, 20));
}

// The work that a machine left undone while it stood still goes down: it is a burst, however long it takes.
static void a_wait_that_falls_does_not_stand(void **state)
{
    (void)state;
    struct admission a;
    admission_init(&a, 2, 0);
    uint64_t now = busy(&a, MS);
    for (size_t waiting = 48; waiting > 12; waiting -= 2, now += 10 * MS)
        assert_true(admits(&a, now, waiting));
    for (int i = 0; i < 12; i++, now += 10 * MS) // and at this length it does
        (void)admits(&a, now, 20);
    assert_false(admits(&a, now, 20));
}

// Others keep the queue standing; who has nothing waiting is let in.
static void who_comes_alone(void **state)
{
    (void)state;
    struct admission a;
    admission_init(&a, 2, 0);
    uint64_t now = busy(&a, MS);
    assert_true(admits(&a, now, 20));
    now += 200 * MS;
    assert_false(admission_admits(&a, 1, now, 30, 30, false, NEVER));
    assert_true(admission_admits(&a, 1, now, 30, 30, true, NEVER));
    assert_false(admission_admits(&a, 1, now, 30, 30, true, 50 * MS)); // but not beyond its deadline,
    assert_false(admission_admits(&a, 1, now, 60, 60, true, NEVER));   // nor beyond a burst's
}

// An edge that has little in front of it is let in where others are not.
static void by_what_is_in_front(void **state)
{
    (void)state;
    struct admission a;
    admission_init(&a, 2, 0);
    uint64_t now = busy(&a, MS);
    assert_true(admits(&a, now, 20));
    now += 200 * MS;
    assert_false(admission_admits(&a, 1, now, 20, 20, false, NEVER));
    assert_true(admission_admits(&a, 1, now, 20, 2, false, NEVER));
    assert_true(admission_admits(&a, 0, now, 20, 20, false, NEVER)); // the other queue does not stand
}

static void a_deadline_that_cannot_be_met(void **state)
{
    (void)state;
    struct admission a;
    admission_init(&a, 2, 0);
    uint64_t now = busy(&a, MS);
    assert_true(admission_admits(&a, 1, now, 5, 5, false, 11 * MS));
    assert_false(admission_admits(&a, 1, now, 5, 5, false, 9 * MS));
    assert_true(admission_admits(&a, 1, now, 0, 0, false, 0));
}

// A machine that stood still is no reason to refuse for long.
static void a_silence(void **state)
{
    (void)state;
    struct admission a;
    admission_init(&a, 2, 0);
    uint64_t now = busy(&a, MS) + NEVER;
    admission_note_taken(&a, 1, now, 1, 5);
    assert_true(admits(&a, now, 12));
    admission_note_taken(&a, 1, now - 1, 1, 5); // nor is a clock that two threads looked at in turn
    assert_true(admits(&a, now, 12));
    admission_note_taken(&a, 1, now, 1, 0); // nothing waits any more: what comes then is no gap
    admission_note_taken(&a, 1, now + NEVER, 1, 5);
    assert_true(admits(&a, now, 12));
}

// Costs fall (batches fill): the gap follows when the queue is empty as well.
static void it_learns_again(void **state)
{
    (void)state;
    struct admission a;
    admission_init(&a, 2, 50 * MS);
    uint64_t now = busy(&a, MS);
    assert_false(admits(&a, now, 150));
    for (int i = 0; i < 2000; i++) {
        admission_note_work(&a, 1, 400000, 1, false);
        assert_true(admits(&a, now, 0));
    }
    assert_true(admits(&a, now, 150));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(the_target),
        cmocka_unit_test(a_mix_waits_for_the_long_ones),
        cmocka_unit_test(a_burst_is_no_overload),
        cmocka_unit_test(a_standing_queue_is),
        cmocka_unit_test(a_wait_that_falls_does_not_stand),
        cmocka_unit_test(who_comes_alone),
        cmocka_unit_test(by_what_is_in_front),
        cmocka_unit_test(a_deadline_that_cannot_be_met),
        cmocka_unit_test(a_silence),
        cmocka_unit_test(it_learns_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
