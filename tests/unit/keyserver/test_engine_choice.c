// The choice between single operations, a batch and waiting for more: cases, and what holds in every case.
#include "keyserver/engine_choice.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

// What a Zen 4 takes: batches pay from four, two and two operations on.
static const struct engine_cost rsa2048 = {250 * US, 980 * US};
static const struct engine_cost rsa3072 = {1780 * US, 2800 * US};
static const struct engine_cost rsa4096 = {4000 * US, 6100 * US};
static const struct engine_cost dear = {1000 * US, 8001 * US};      // a batch never pays
static const struct engine_cost just_pays = {1000 * US, 8000 * US}; // a full one does
static const struct engine_cost cheap = {1000 * US, 900 * US};      // any does

static const struct {
    const char *what;
    const struct engine_cost *cost;
    struct engine_load load; // waiting, spare, waited, gap, limit
    enum engine_way way;
    unsigned count;
    uint64_t wait_ns;
} cases[] = {
    {"alone, nothing known of arrivals", &rsa2048, {1, 0, 0, UINT64_MAX, 200 * US}, ENGINE_SINGLE, 1, 0},
    {"alone, idle threads", &rsa4096, {1, 3, 0, 10 * MS, 200 * US}, ENGINE_SINGLE, 1, 0},
    {"each has a thread", &rsa4096, {4, 3, 0, 1 * US, 200 * US}, ENGINE_SINGLE, 1, 0},
    {"one more than threads", &rsa4096, {5, 3, 0, 1 * US, 200 * US}, ENGINE_BATCH, 5, 0},
    {"two of 4096", &rsa4096, {2, 0, 0, 10 * MS, 200 * US}, ENGINE_BATCH, 2, 0},
    {"two of 3072", &rsa3072, {2, 0, 0, 10 * MS, 200 * US}, ENGINE_BATCH, 2, 0},
    {"three of 2048, slow arrivals", &rsa2048, {3, 0, 0, 1 * MS, 200 * US}, ENGINE_SINGLE, 1, 0},
    {"four of 2048", &rsa2048, {4, 0, 0, 1 * MS, 200 * US}, ENGINE_BATCH, 4, 0},
    {"eight", &rsa2048, {8, 0, 0, 1 * MS, 200 * US}, ENGINE_BATCH, 8, 0},
    {"a thousand", &rsa2048, {1000, 0, 90 * MS, 1 * US, 200 * US}, ENGINE_BATCH, 8, 0},
    // Those that do not make a batch yet are not held back.
    {"three of 2048, fast arrivals", &rsa2048, {3, 0, 0, 1 * US, 200 * US}, ENGINE_SINGLE, 1, 0},
    {"one of 4096, in a flood", &rsa4096, {1, 0, 0, 1, 200 * US}, ENGINE_SINGLE, 1, 0},
    // A lane of 2048 is worth 122.5 us, one of 4096 762.5 us.
    {"four of 2048, the next is near", &rsa2048, {4, 0, 0, 122 * US, 400 * US}, ENGINE_WAIT, 0, 122500},
    {"the next is too far", &rsa2048, {4, 0, 0, 123 * US, 400 * US}, ENGINE_BATCH, 4, 0},
    {"held back already", &rsa2048, {4, 0, 300 * US, 50 * US, 400 * US}, ENGINE_WAIT, 0, 100 * US},
    {"the next is beyond the limit", &rsa2048, {4, 0, 300 * US, 101 * US, 400 * US}, ENGINE_BATCH, 4, 0},
    {"at the limit", &rsa2048, {4, 0, 400 * US, 0, 400 * US}, ENGINE_BATCH, 4, 0},
    {"long past the limit", &rsa2048, {7, 0, 90 * MS, 0, 400 * US}, ENGINE_BATCH, 7, 0},
    {"never wait", &rsa2048, {7, 0, 0, 0, 0}, ENGINE_BATCH, 7, 0},
    {"another thread is idle", &rsa2048, {7, 1, 0, 1 * US, 200 * US}, ENGINE_BATCH, 7, 0},
    {"seven of 4096", &rsa4096, {7, 0, 0, 199 * US, 200 * US}, ENGINE_WAIT, 0, 200 * US},
    {"eight of 4096", &rsa4096, {8, 0, 0, 1, 200 * US}, ENGINE_BATCH, 8, 0},
    {"a batch is too dear, whatever waits", &dear, {100, 0, 0, 1, 200 * US}, ENGINE_SINGLE, 1, 0},
    {"nor is it waited for", &dear, {7, 0, 0, 1, 200 * US}, ENGINE_SINGLE, 1, 0},
    {"seven, only eight pay", &just_pays, {7, 0, 0, 30 * US, 200 * US}, ENGINE_SINGLE, 1, 0},
    {"eight pay", &just_pays, {8, 0, 0, 1 * MS, 200 * US}, ENGINE_BATCH, 8, 0},
    {"a batch as cheap as one", &cheap, {1, 5, 0, UINT64_MAX, 200 * US}, ENGINE_BATCH, 1, 0},
};

static void each_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct engine_choice choice = engine_choose(cases[i].cost, &cases[i].load);
        if (choice.way != cases[i].way || choice.wait_ns != cases[i].wait_ns ||
            (choice.way != ENGINE_WAIT && choice.count != cases[i].count))
            fail_msg("%s: way %d, count %u, wait %llu", cases[i].what, (int)choice.way, choice.count,
                     (unsigned long long)choice.wait_ns);
    }
}

static uint64_t random_up_to(uint64_t most)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return most == 0 ? 0 : x % (most + 1);
}

static struct engine_load random_load(void)
{
    return (struct engine_load){.waiting = 1 + (unsigned)random_up_to(12),
                                .spare = (unsigned)random_up_to(3),
                                .waited_ns = random_up_to(300 * US),
                                .gap_ns =
                                    random_up_to(1) ? random_up_to(400 * US) : random_up_to(UINT64_MAX - 1),
                                .limit_ns = random_up_to(3) * 100 * US};
}

static void what_always_holds(void **state)
{
    (void)state;
    unsigned seen[3] = {0};
    for (int i = 0; i < 1000000; i++) {
        struct engine_cost cost = {1 + random_up_to(5 * MS), 1 + random_up_to(9 * MS)};
        struct engine_load load = random_load();
        struct engine_choice choice = engine_choose(&cost, &load);
        seen[choice.way]++;
        if (choice.way == ENGINE_BATCH) {
            assert_int_equal(choice.count, load.waiting < 8 ? load.waiting : 8);
            assert_true(cost.batch_ns <= choice.count * cost.single_ns);
        } else if (choice.way == ENGINE_SINGLE) {
            assert_int_equal(choice.count, 1);
            // A batch that pays is passed over only where all of them have threads of their own.
            unsigned lanes = load.waiting < 8 ? load.waiting : 8;
            if (lanes > load.spare + 1)
                assert_true(cost.batch_ns > lanes * cost.single_ns);
        } else {
            assert_true(choice.wait_ns > 0);
            assert_true(load.waited_ns + choice.wait_ns <= load.limit_ns);
            assert_int_equal(load.spare, 0);
            assert_true(load.waiting < 8 && cost.batch_ns <= load.waiting * cost.single_ns);
            // Where nothing has come by then, the end of the wait ends it.
            load.waited_ns += choice.wait_ns;
            if (load.gap_ns <= choice.wait_ns)
                load.gap_ns = choice.wait_ns + 1;
            assert_int_equal(engine_choose(&cost, &load).way, ENGINE_BATCH);
        }
    }
    for (int way = 0; way < 3; way++)
        assert_true(seen[way] > 1000);
}

static void sizes(void **state)
{
    (void)state;
    for (unsigned size = 0; size < ENGINE_SIZES; size++)
        assert_int_equal(engine_size_of(engine_size_bits(size)), size);
    assert_int_equal(engine_size_bits(0), 2048);
    assert_int_equal(engine_size_bits(2), 4096);
    assert_int_equal(engine_size_of(2049), -1);
    assert_int_equal(engine_size_of(0), -1);
    assert_int_equal(engine_size_of(8192), -1);
}

static void rates(void **state)
{
    (void)state;
    struct engine_rate rate = {0};
    uint64_t now = 5 * MS;
    assert_true(engine_rate_gap(&rate, now) == UINT64_MAX);
    engine_rate_note(&rate, now);
    assert_true(engine_rate_gap(&rate, now) == 10 * MS); // one arrival says nothing of the next
    for (int i = 0; i < 200; i++)
        engine_rate_note(&rate, now += 100 * US);
    assert_in_range(engine_rate_gap(&rate, now), 99 * US, 101 * US);
    assert_in_range(engine_rate_gap(&rate, now + 50 * US), 99 * US, 101 * US);
    assert_true(engine_rate_gap(&rate, now + 7 * MS) == 7 * MS); // a silence counts while it lasts
    now += 3600000 * MS;
    for (int i = 0; i < 100; i++) // after an hour a hundred arrivals are enough to see them
        engine_rate_note(&rate, now += 100 * US);
    assert_in_range(engine_rate_gap(&rate, now), 90 * US, 120 * US);
    for (int i = 0; i < 200; i++) // found together
        engine_rate_note(&rate, now);
    assert_true(engine_rate_gap(&rate, now) < 1 * US);
    engine_rate_note(&rate, now - 5 * US); // another thread's clock was read earlier
    assert_true(engine_rate_gap(&rate, now - 50 * US) < 2 * US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case),
        cmocka_unit_test(what_always_holds),
        cmocka_unit_test(sizes),
        cmocka_unit_test(rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
