// The policy simulator: each policy by hand on short traces, LRU's curve against LRU itself, traces that repeat and survive
// a file.
#include "kv_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/store/sim/sim.h"

// Gets keys 'a' to 'z', each of size 1, from a cache of so many; the answers as '+' (hit) and '-'.
static void expect_hits(const struct sim_policy *policy, uint64_t capacity, const char *keys,
                        const char *answers)
{
    void *cache = policy->create(26, capacity);
    assert_non_null(cache);
    char got[64] = "";
    for (size_t i = 0; keys[i] != '\0'; i++)
        got[i] = policy->get(cache, (uint32_t)(keys[i] - 'a'), 1) ? '+' : '-';
    assert_string_equal(got, answers);
    policy->destroy(cache);
}

static void test_lru_by_hand(void **state)
{
    (void)state;
    expect_hits(&sim_lru, 3, "abcabc", "---+++");
    expect_hits(&sim_lru, 3, "abcadb", "---+--"); // d takes b's place: nobody was asked for longer ago
    expect_hits(&sim_lru, 2, "abcabc", "------"); // a loop one longer than the cache
}

static void test_arc_by_hand(void **state)
{
    (void)state;
    // b comes back from T1's ghosts: T1's target grows, so that room for it is made in T2, and a goes.
    expect_hits(&sim_arc, 2, "aabcabca", "-+--+-+-");
    // What was asked for twice survives any number of keys that are asked for once.
    expect_hits(&sim_arc, 4, "aabbcdefghab", "-+-+------++");
}

static void test_s3fifo_by_hand(void **state)
{
    (void)state;
    // Asked for twice more in the small queue, b goes on to the main one; a has become a ghost and goes there
    // at once.
    expect_hits(&sim_s3fifo, 10, "abbbcdefghijklbaac", "--++----------+-+-");
    // Once more is not enough.
    expect_hits(&sim_s3fifo, 10, "abbcdefghijklb", "--+-----------");
}

static void test_sieve_by_hand(void **state)
{
    (void)state;
    // The hand passes a, which was asked for, and takes b, then c; then it clears d and takes the new b, while a
    // has been behind the hand all the time.
    expect_hits(&sim_sieve, 3, "abcadabadcb", "---+-+-++--");
}

// No policy holds more than its capacity, whatever the sizes, and a key larger than all of it is never kept.
static void test_sizes(void **state)
{
    (void)state;
    for (size_t p = 0; p < SIM_POLICIES; p++) {
        void *cache = sim_policies[p]->create(4, 100);
        assert_false(sim_policies[p]->get(cache, 0, 101));
        assert_false(sim_policies[p]->get(cache, 0, 101));
        assert_false(sim_policies[p]->get(cache, 1, 60));
        assert_false(sim_policies[p]->get(cache, 2, 60)); // takes 1's place
        assert_true(sim_policies[p]->get(cache, 2, 60));
        assert_false(sim_policies[p]->get(cache, 1, 60));
        sim_policies[p]->destroy(cache);
    }
}

static void make(struct sim_trace *trace, enum sim_workload workload, uint64_t seed)
{
    struct sim_shape shape = {.workload = workload, .keys = 2000, .size = 1024, .gets = 60000, .seed = seed};
    assert_true(sim_trace_make(trace, &shape));
}

// With keys of one size the curve is LRU's hit ratio to the last get.
static void test_curve_is_lru(void **state)
{
    (void)state;
    struct sim_trace trace;
    make(&trace, SIM_SCAN, 3);
    uint64_t capacities[20];
    double curve[20];
    for (size_t i = 0; i < 20; i++)
        capacities[i] = trace.bytes * (i + 1) / 20;
    assert_true(sim_lru_curve(&trace, 10000, capacities, 20, curve));
    for (size_t i = 0; i < 20; i++)
        assert_true(sim_run(&sim_lru, &trace, capacities[i], 10000) == curve[i]);
    sim_trace_free(&trace);
}

// What the issue asks of the store is what the better policies do here.
static void test_scans_hurt_lru_only(void **state)
{
    (void)state;
    struct sim_trace trace;
    make(&trace, SIM_SCAN, 1);
    double lru = sim_run(&sim_lru, &trace, trace.bytes / 10, 15000);
    for (size_t p = 0; p < SIM_POLICIES; p++)
        if (sim_policies[p] != &sim_lru)
            assert_true(sim_run(sim_policies[p], &trace, trace.bytes / 10, 15000) > lru + 0.02);
    sim_trace_free(&trace);
}

static void test_traces_repeat(void **state)
{
    (void)state;
    for (int w = 0; w < SIM_WORKLOADS; w++) {
        struct sim_trace a, b, other;
        make(&a, (enum sim_workload)w, 7);
        make(&b, (enum sim_workload)w, 7);
        make(&other, (enum sim_workload)w, 8);
        assert_int_equal(a.keys, b.keys);
        assert_memory_equal(a.sizes, b.sizes, a.keys * sizeof *a.sizes);
        assert_memory_equal(a.gets, b.gets, a.count * sizeof *a.gets);
        assert_memory_not_equal(a.gets, other.gets, a.count * sizeof *a.gets);
        sim_trace_free(&a);
        sim_trace_free(&b);
        sim_trace_free(&other);
    }
}

static void test_trace_files(void **state)
{
    (void)state;
    char dir[128], path[160];
    kit_folder(dir);
    (void)snprintf(path, sizeof path, "%s/trace", dir);
    struct sim_trace trace, back;
    make(&trace, SIM_MIXED, 1);
    assert_int_equal(sim_trace_write(&trace, path), 0);
    assert_int_equal(sim_trace_read(&back, path), 0);
    assert_int_equal(back.keys, trace.keys);
    assert_true(back.bytes == trace.bytes && back.count == trace.count);
    assert_memory_equal(back.gets, trace.gets, trace.count * sizeof *trace.gets);
    sim_trace_free(&back);
    size_t len;
    uint8_t *bytes = kit_read_file(path, &len);
    kit_write_file(path, bytes, len - 1); // cut
    assert_int_equal(sim_trace_read(&back, path), EPROTO);
    memset(bytes + len - 4, 0xff, 4); // a get of a key that there is not
    kit_write_file(path, bytes, len);
    assert_int_equal(sim_trace_read(&back, path), EPROTO);
    bytes[0]++; // not such a file
    kit_write_file(path, bytes, len);
    assert_int_equal(sim_trace_read(&back, path), EPROTO);
    free(bytes);
    sim_trace_free(&trace);
    kit_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lru_by_hand),    cmocka_unit_test(test_arc_by_hand),
        cmocka_unit_test(test_s3fifo_by_hand), cmocka_unit_test(test_sieve_by_hand),
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_curve_is_lru),
        cmocka_unit_test(test_traces_repeat),  cmocka_unit_test(test_scans_hurt_lru_only),
        cmocka_unit_test(test_trace_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
