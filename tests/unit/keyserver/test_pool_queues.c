// What a free crypto thread is given next, step by step: keys are found first, batches are of one size, nothing starves,
// bounds count what is between the stages.
#include "keyserver/pool_queues.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#define OPS 512

static struct pool_options options;
static struct pool_queues q;
static struct pool_turn turn;
static struct keyop ops[OPS];
static size_t next;
static uint64_t now;

// What choose() answers, by size, and what it was asked last.
static struct engine_choice answers[ENGINE_SIZES];
static struct engine_load asked[ENGINE_SIZES];

static struct engine_choice choose(void *arg, unsigned size, const struct engine_load *load)
{
    assert_ptr_equal(arg, &q);
    asked[size] = *load;
    struct engine_choice answer = answers[size];
    if (answer.way == ENGINE_WAIT && load->limit_ns == 0)
        answer = (struct engine_choice){.way = ENGINE_SINGLE, .count = 1};
    if (answer.way == ENGINE_BATCH && answer.count > load->waiting)
        answer.count = load->waiting;
    return answer;
}

static int find(void *arg, struct keyop *op)
{
    (void)arg;
    (void)op;
    return -1;
}

static int setup(void **state)
{
    (void)state;
    options = (struct pool_options){.threads = 1,
                                    .queue_limit = OPS,
                                    .batch = {POOL_BATCH_MAX, POOL_BATCH_MAX},
                                    .arg = &q,
                                    .find = find,
                                    .choose = choose,
                                    .fill_wait_ns = 1000};
    for (int s = 0; s < ENGINE_SIZES; s++)
        answers[s] = (struct engine_choice){.way = ENGINE_BATCH, .count = ENGINE_LANES};
    memset(ops, 0, sizeof ops);
    memset(asked, 0, sizeof asked);
    next = 0;
    now = 1000000;
    pool_queues_init(&q, &options);
    return 0;
}

static bool put(enum pool_kind kind)
{
    return pool_queues_put(&q, &ops[next], kind) && next++ < OPS;
}

static void step(bool after_find)
{
    pool_queues_next(&q, now, 0, after_find, false, &turn);
}

// Operations with their keys, of this size, in the way they come to be so.
static void make_ready(unsigned size, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_true(put(POOL_SLOW));
    while (q.kinds[POOL_SLOW].count > 0) {
        step(true);
        assert_int_equal(turn.kind, POOL_TURN_FIND);
        for (size_t i = 0; i < turn.count; i++)
            pool_queues_put_ready(&q, turn.ops[i], size, now);
    }
}

static void keys_are_found_first(void **state)
{
    (void)state;
    assert_true(put(POOL_SLOW));
    step(false);
    assert_int_equal(turn.kind, POOL_TURN_FIND);
    assert_int_equal(turn.count, 1);
    assert_int_equal(pool_queues_waiting(&q), 0);
    pool_queues_put_ready(&q, turn.ops[0], 2, now);
    assert_int_equal(pool_queues_waiting(&q), 1);
    assert_true(put(POOL_SLOW)); // another one: its key is found before the first is computed
    step(true);
    assert_int_equal(turn.kind, POOL_TURN_FIND);
    pool_queues_put_ready(&q, turn.ops[0], 2, now + 10);
    now += 100;
    step(true);
    assert_int_equal(turn.kind, POOL_TURN_BATCH);
    assert_int_equal(turn.count, 2);
    assert_ptr_equal(turn.ops[0], &ops[0]);
    assert_ptr_equal(turn.ops[1], &ops[1]);
    assert_int_equal(asked[2].waiting, 2);
    assert_int_equal(asked[2].waited_ns, 100);
    assert_int_equal(asked[2].limit_ns, 1000);
    assert_int_equal(pool_queues_waiting(&q), 0);
    step(false);
    assert_int_equal(turn.kind, POOL_TURN_NONE);
    assert_int_equal(turn.wait_ns, 0);
}

static void those_without_batches_come_no_further(void **state)
{
    (void)state;
    assert_true(put(POOL_SLOW));
    step(false);
    assert_int_equal(turn.kind, POOL_TURN_FIND);
    pool_queues_found(&q, 1, now);
    step(true);
    assert_int_equal(turn.kind, POOL_TURN_NONE);
    assert_int_equal(q.finding, 0);
}

static void without_an_engine(void **state)
{
    (void)state;
    options.find = NULL;
    assert_true(put(POOL_SLOW));
    step(false);
    assert_int_equal(turn.kind, POOL_TURN_RUN);
    assert_int_equal(turn.count, 1);
}

static void the_longest_waiting_size_is_next(void **state)
{
    (void)state;
    make_ready(1, 3);
    now++;
    make_ready(0, 20);
    now++;
    make_ready(2, 9);
    static const struct {
        size_t first, count;
    } expected[] = {{0, 3}, {3, 8}, {11, 8}, {19, 4}, {23, 8}, {31, 1}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        step(false);
        assert_int_equal(turn.kind, POOL_TURN_BATCH);
        assert_int_equal(turn.count, expected[i].count);
        for (size_t k = 0; k < turn.count; k++)
            assert_ptr_equal(turn.ops[k], &ops[expected[i].first + k]);
    }
    step(false);
    assert_int_equal(turn.kind, POOL_TURN_NONE);
}

static void singles_leave_the_others(void **state)
{
    (void)state;
    answers[0] = (struct engine_choice){.way = ENGINE_SINGLE, .count = 1};
    make_ready(0, 2);
    step(false);
    assert_int_equal(turn.kind, POOL_TURN_RUN);
    assert_int_equal(turn.count, 1);
    assert_ptr_equal(turn.ops[0], &ops[0]);
    assert_int_equal(pool_queues_waiting(&q), 1);
}

static void held_back_until_the_first_of_them(void **state)
{
    (void)state;
    answers[0] = (struct engine_choice){.way = ENGINE_WAIT, .wait_ns = 700};
    answers[2] = (struct engine_choice){.way = ENGINE_WAIT, .wait_ns = 300};
    make_ready(0, 1);
    make_ready(2, 1);
    step(true);
    assert_int_equal(turn.kind, POOL_TURN_NONE);
    assert_int_equal(turn.wait_ns, 300);
    make_ready(1, 1); // a size that does not wait does not wait for theirs
    step(true);
    assert_int_equal(turn.kind, POOL_TURN_BATCH);
    assert_ptr_equal(turn.ops[0], &ops[2]);
    assert_true(put(POOL_FAST)); // nor does what is fast
    q.fast_in_row = 8;
    step(false);
    assert_int_equal(turn.kind, POOL_TURN_RUN);
    assert_ptr_equal(turn.ops[0], &ops[3]);
    pool_queues_next(&q, now, 0, false, true, &turn); // at the end nothing is held back
    assert_int_equal(turn.kind, POOL_TURN_RUN);
    assert_int_equal(asked[0].limit_ns, 0);
}

// Looking for keys and computing are one turn of the slow ones: eight batches of fast ones between two of them.
static void fast_ones_and_slow_ones(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++)
        assert_true(put(POOL_FAST));
    options.batch[POOL_FAST] = 1;
    for (int round = 0; round < 3; round++) {
        assert_true(put(POOL_SLOW));
        for (int i = 0; i < 8; i++) {
            step(false);
            assert_int_equal(turn.kind, POOL_TURN_RUN);
        }
        step(false);
        assert_int_equal(turn.kind, POOL_TURN_FIND);
        pool_queues_put_ready(&q, turn.ops[0], 0, now);
        step(true);
        assert_int_equal(turn.kind, POOL_TURN_BATCH);
    }
}

static void the_limit_counts_all_stages(void **state)
{
    (void)state;
    options.queue_limit = 20;
    make_ready(0, 10);
    for (int i = 0; i < 5; i++)
        assert_true(put(POOL_SLOW));
    step(false);
    assert_int_equal(turn.kind, POOL_TURN_FIND);
    size_t finding = turn.count;
    assert_int_equal(q.finding, finding);
    for (int i = 0; i < 5; i++)
        assert_true(put(POOL_SLOW));
    assert_false(put(POOL_SLOW));
    assert_true(put(POOL_FAST)); // those have room of their own
    pool_queues_found(&q, finding, now);
    ops[next].flow = 1; // another edge's: the last room is not for the one that fills the queue
    assert_true(put(POOL_SLOW));
}

// Keys are looked for ahead, but not of all that wait: each holds secret memory.
static void not_too_many_hold_keys(void **state)
{
    (void)state;
    while (put(POOL_SLOW) && next < OPS - 1)
        ;
    size_t found = 0;
    for (;;) {
        step(true);
        if (turn.kind != POOL_TURN_FIND)
            break;
        for (size_t i = 0; i < turn.count; i++)
            pool_queues_put_ready(&q, turn.ops[i], 0, now);
        found += turn.count;
    }
    assert_int_equal(turn.kind, POOL_TURN_BATCH);
    assert_in_range(found, 128, 200);
    step(false); // there is room again
    assert_int_equal(turn.kind, q.ready_count < 160 ? POOL_TURN_FIND : POOL_TURN_BATCH);
}

// ---- fairness

static bool put_of(uint32_t flow, enum pool_kind kind)
{
    ops[next].flow = flow;
    return put(kind);
}

// One edge has many waiting, one has one now and then: it is in the next turn each time.
static void a_flood_waits_for_itself(void **state)
{
    (void)state;
    options.batch[POOL_FAST] = 1;
    for (int i = 0; i < 100; i++)
        assert_true(put_of(7, POOL_FAST));
    for (int i = 0; i < 40; i++) {
        struct keyop *seldom = &ops[next];
        assert_true(put_of(8, POOL_FAST));
        step(false);
        step(false);
        assert_true(turn.ops[0] == seldom || i == 0); // the flood's turn was the first
    }
}

// The order of one edge's own stays, in all stages.
static void an_edge_stays_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < 60; i++)
        assert_true(put_of(i % 3 == 0 ? 1 : 2, POOL_SLOW));
    while (q.kinds[POOL_SLOW].count > 0) {
        step(true);
        assert_int_equal(turn.kind, POOL_TURN_FIND);
        for (size_t i = 0; i < turn.count; i++)
            pool_queues_put_ready(&q, turn.ops[i], 1, ++now);
    }
    ptrdiff_t last[3] = {-1, -1, -1};
    size_t done = 0;
    while (pool_queues_waiting(&q) > 0) {
        step(true);
        assert_int_equal(turn.kind, POOL_TURN_BATCH);
        for (size_t i = 0; i < turn.count; i++) {
            assert_true(turn.ops[i] - ops > last[turn.ops[i]->flow]);
            last[turn.ops[i]->flow] = turn.ops[i] - ops;
        }
        done += turn.count;
    }
    assert_int_equal(done, 60);
}

// In a batch, too, edges take turns: a ready flood does not keep others out of the next one.
static void the_next_batch_has_room(void **state)
{
    (void)state;
    make_ready(0, 100);
    ops[next].flow = 9;
    make_ready(0, 1);
    step(true);
    assert_int_equal(turn.kind, POOL_TURN_BATCH);
    assert_ptr_equal(turn.ops[0], &ops[0]);
    assert_ptr_equal(turn.ops[1], &ops[100]);
    assert_ptr_equal(turn.ops[2], &ops[1]);
}

// Edges that send without end leave room for one that comes later.
static void a_flood_leaves_room(void **state)
{
    (void)state;
    options.queue_limit = 100;
    size_t flood = 0, second = 0, late = 0;
    while (put_of(1, POOL_FAST))
        flood++;
    assert_int_equal(flood, 90);
    while (put_of(2, POOL_FAST))
        second++;
    assert_int_equal(second, 9);
    while (put_of(3, POOL_FAST))
        late++;
    assert_int_equal(late, 1);
    assert_false(put_of(4, POOL_FAST)); // as many as there may be
    for (int i = 0; i < 60; i++)
        step(false);
    while (put_of(1, POOL_FAST)) // those that have most give way to the others
        flood++;
    size_t again = 0;
    while (put_of(4, POOL_FAST))
        again++;
    assert_in_range(again, 1, 100);
}

#define QUEUES_TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUES_TEST(keys_are_found_first),     QUEUES_TEST(those_without_batches_come_no_further),
        QUEUES_TEST(without_an_engine),        QUEUES_TEST(the_longest_waiting_size_is_next),
        QUEUES_TEST(singles_leave_the_others), QUEUES_TEST(held_back_until_the_first_of_them),
        QUEUES_TEST(fast_ones_and_slow_ones),  QUEUES_TEST(the_limit_counts_all_stages),
        QUEUES_TEST(not_too_many_hold_keys),   QUEUES_TEST(a_flood_waits_for_itself),
        QUEUES_TEST(an_edge_stays_in_order),   QUEUES_TEST(the_next_batch_has_room),
        QUEUES_TEST(a_flood_leaves_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
