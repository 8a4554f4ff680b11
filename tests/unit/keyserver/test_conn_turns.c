// Connections that wait for their turn in a loop.
#include "keyserver/conn_internal.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static struct conn_turns turns;

static int set_up(void **state)
{
    (void)state;
    conn_turns_init(&turns);
    return 0;
}

static void expect(const struct conn *const *order, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_ptr_equal(conn_turns_next(&turns), order[i]);
    assert_null(conn_turns_next(&turns));
}

static void none_waits(void **state)
{
    (void)state;
    assert_null(turns.first);
    assert_null(conn_turns_next(&turns));
}

// However many connections an edge has: the others wait for one of its turns.
static void edges_take_turns(void **state)
{
    struct conn flood[4] = {0}, good = {0}, other[2] = {0};
    const struct conn *const order[] = {&flood[0], &good,     &other[0], &flood[1],
                                        &other[1], &flood[2], &flood[3]};
    (void)state;
    for (int i = 0; i < 4; i++)
        conn_turns_add(&turns, &flood[i], 1);
    conn_turns_add(&turns, &good, 2);
    for (int i = 0; i < 2; i++)
        conn_turns_add(&turns, &other[i], CONN_FLOWS + 3);
    expect(order, 7);
}

static void one_comes_again(void **state)
{
    struct conn flood[2] = {0}, good = {0};
    const struct conn *const order[] = {&good, &flood[1], &flood[0]};
    (void)state;
    for (int i = 0; i < 2; i++)
        conn_turns_add(&turns, &flood[i], 1);
    conn_turns_add(&turns, &flood[0], 1); // it is there already
    conn_turns_add(&turns, &good, 2);
    assert_ptr_equal(conn_turns_next(&turns), &flood[0]);
    conn_turns_add(&turns, &flood[0], 1);
    expect(order, 3);
}

// Of a flow that is left with nothing the turn goes to the next.
static void who_goes_takes_no_turn(void **state)
{
    struct conn gone = {0}, stays[2] = {0};
    const struct conn *const order[] = {&stays[0], &stays[1]};
    (void)state;
    conn_turns_add(&turns, &gone, 1);
    conn_turns_add(&turns, &stays[0], 2);
    conn_dequeue(&gone);
    conn_dequeue(&gone);
    assert_null(gone.queue);
    conn_turns_add(&turns, &stays[1], 1); // the flow has its turn still, and once
    const struct conn *const reverse[] = {order[1], order[0]};
    expect(reverse, 2);
    conn_turns_add(&turns, &gone, 1);
    conn_dequeue(&gone);
    assert_null(conn_turns_next(&turns));
    assert_null(turns.first);
}

// Whoever waits for a handshake is not put into a second queue.
static void one_queue_at_most(void **state)
{
    struct conn c = {0};
    struct conn_queue handshakes;
    (void)state;
    conn_queue_init(&handshakes);
    conn_enqueue(&c, &handshakes);
    conn_turns_add(&turns, &c, 1);
    assert_null(conn_turns_next(&turns));
    assert_ptr_equal(c.queue, &handshakes);
    conn_dequeue(&c);
    assert_int_equal(handshakes.count, 0);
    conn_turns_add(&turns, &c, 1);
    assert_ptr_equal(conn_turns_next(&turns), &c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(none_waits, set_up),
        cmocka_unit_test_setup(edges_take_turns, set_up),
        cmocka_unit_test_setup(one_comes_again, set_up),
        cmocka_unit_test_setup(who_goes_takes_no_turn, set_up),
        cmocka_unit_test_setup(one_queue_at_most, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
