// The list of what waits for the eraser: what is due is taken and nothing else, what compaction has removed is dropped, walks
// beside each other pass over nothing, and all its memory comes back.
#include "kv_kit.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_internal.h"

#define MANY 20000u // five blocks
static char dir[128];
static struct kv_store *store;
static struct kv_erase_list list;
static struct kv_erasure *out;
static int64_t accounted;

static int setup(void **state)
{
    (void)state;
    kit_heal();
    kit_folder(dir);
    store = kit_open(dir, NULL);
    memset(&list, 0, sizeof list);
    out = calloc(MANY, sizeof *out);
    accounted = atomic_load(&store->accounted_bytes);
    return out == NULL;
}

static int teardown(void **state)
{
    (void)state;
    kv_erase_list_free(store, &list);
    assert_int_equal(list.count, 0);
    assert_int_equal(atomic_load(&store->accounted_bytes), accounted);
    free(out);
    kit_close(&store);
    kit_remove(dir);
    return 0;
}

static uint64_t place_of(uint32_t number)
{
    return kv_where_disk(1 + number % 10, 64 + 16 * (uint64_t)number);
}

static void add(uint32_t number, uint64_t lsn, uint16_t tick)
{
    struct kv_erasure erasure = {.where = place_of(number), .lsn = lsn, .size_class = 33};
    assert_true(kv_erase_list_add(store, &list, &erasure, tick));
}

static void add_many(void)
{
    for (uint32_t i = 0; i < MANY; i++)
        add(i, i, (uint16_t)(i / 1000));
    assert_int_equal(list.count, MANY);
}

static size_t take(uint64_t lsn, uint16_t age, uint16_t now, size_t most)
{
    struct kv_due due = {.lsn = lsn, .age = age, .now = now};
    return kv_erase_list_take(store, &list, &due, out, most);
}

static void test_what_is_added_is_taken(void **state)
{
    (void)state;
    struct kv_erasure erasure = {.where = kv_where_disk(KV_SEGMENT_ID_MAX, KV_SEGMENT_BYTES_MAX - 16),
                                 .lsn = (1ull << 48) - 1,
                                 .size_class = 255,
                                 .unreadable = true};
    assert_true(kv_erase_list_add(store, &list, &erasure, UINT16_MAX));
    erasure.unreadable = false;
    erasure.unsure = true;
    assert_true(kv_erase_list_add(store, &list, &erasure, 0));
    erasure.lsn++; // does not fit
    assert_false(kv_erase_list_add(store, &list, &erasure, 0));
    assert_int_equal(take(UINT64_MAX, 0, 0, 5), 2);
    assert_true(out[0].where == erasure.where && out[0].lsn == erasure.lsn - 1 && out[0].size_class == 255);
    assert_true(out[0].unreadable && !out[0].by_head && !out[0].unsure);
    assert_true(!out[1].unreadable && out[1].by_head && out[1].unsure);
    assert_null(list.first);
}

static void test_only_what_is_due(void **state)
{
    (void)state;
    add_many();
    assert_int_equal(take(UINT64_MAX, 6, 5, MANY), 0); // all are young
    assert_int_equal(take(UINT64_MAX, 6, 10, MANY), 5000);
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(out[i].where, place_of(i));
    assert_int_equal(take(4999, 0, 0, MANY), 0); // not on the device
    assert_int_equal(take(9000, 0, 0, 100), 100);
    assert_int_equal(out[99].where, place_of(5099));
    assert_int_equal(take(9000, 0, 0, MANY), 3901);
    assert_int_equal(list.count, MANY - 9001);
    assert_int_equal(take(UINT64_MAX, 0, 0, MANY), MANY - 9001);
    assert_int_equal(out[0].where, place_of(9001));
}

// lsns are about in order only: what is behind stays, in its order, and is taken later.
static void test_out_of_order(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MANY; i++)
        add(i, i ^ 1, 0);
    size_t taken = 0;
    for (uint64_t lsn = 0; lsn < MANY; lsn += 1000) {
        size_t count = take(lsn, 0, 0, MANY);
        for (size_t i = 0; i < count; i++)
            assert_true(out[i].lsn <= lsn);
        taken += count;
        assert_int_equal(taken, lsn + 1);
    }
    assert_int_equal(take(MANY, 0, 0, MANY), MANY - taken);
}

// Time goes round: what was added before that is still older.
static void test_time_goes_round(void **state)
{
    (void)state;
    add(0, 1, 65480);
    add(1, 1, 65530);
    add(2, 1, 3);
    assert_int_equal(take(1, 100, 43, 3), 0);
    assert_int_equal(take(1, 100, 44, 3), 1);
    assert_int_equal(take(1, 100, 80, 3), 0);
    assert_int_equal(take(1, 100, 94, 3), 1);
    assert_int_equal(take(1, 100, 102, 3), 0);
    assert_int_equal(take(1, 100, 103, 3), 1);
}

static void sweep(const struct kv_gone_segment *segments, size_t count, uint64_t newest)
{
    struct kv_gone gone = {segments, count, newest};
    kv_erase_list_begin(&list, KV_ERASE_SWEEP);
    while (kv_erase_list_sweep(store, &list, &gone)) {
    }
}

static size_t blocks(void)
{
    return (size_t)(atomic_load(&store->accounted_bytes) - accounted + 65535) / 65536;
}

// Little of it counts while few wait: a store may have little memory.
static void test_what_counts(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        int64_t bytes = atomic_load(&store->accounted_bytes) - accounted, least = (int64_t)i * 16;
        assert_true(bytes >= least && bytes <= least + 4096 + 32 * 5);
        add(i, i, 0);
    }
    assert_int_equal(take(MANY / 2, 0, 0, MANY), MANY / 2 + 1);
    assert_int_equal(blocks(), 3);
    assert_int_equal(take(MANY, 0, 0, MANY), MANY / 2 - 1);
    assert_int_equal(atomic_load(&store->accounted_bytes), accounted);
}

static void test_what_compaction_removed(void **state)
{
    (void)state;
    static const struct kv_gone_segment left[] = {{2, 0}, {4, 64 + 16 * 10000}, {7, UINT64_MAX}, {9, 0}};
    add_many(); // segments 1 to 10
    assert_int_equal(blocks(), 5);
    sweep(left, 4, 9);
    uint32_t expected = 0;
    for (uint32_t i = 0; i < MANY; i++)
        expected += i % 10 == 1 || (i % 10 == 3 && i >= 10000) || i % 10 == 8 || i % 10 == 9;
    assert_int_equal(list.count, expected);
    assert_int_equal(blocks(), 2); // gaps are closed
    assert_int_equal(take(UINT64_MAX, 0, 0, MANY), expected);
    for (uint32_t i = 1; i < expected; i++) // still in their order
        assert_true(out[i - 1].lsn < out[i].lsn);
    assert_int_equal(blocks(), 0);
    add_many();
    sweep(NULL, 0, 0); // no segment has been made since
    assert_int_equal(list.count, MANY);
    sweep(NULL, 0, 10);
    assert_int_equal(list.count, 0);
    assert_int_equal(blocks(), 0);
}

struct seen {
    unsigned char *seen;
    size_t calls, most;
};

static bool look(void *arg, const struct kv_erasure *erasure)
{
    struct seen *seen = arg;
    seen->seen[erasure->lsn] = 1;
    return ++seen->calls < seen->most;
}

// Somebody looks at all, block by block, while others are dropped and taken between its steps.
static void test_walks_beside_each_other(void **state)
{
    (void)state;
    static const struct kv_gone_segment left[] = {{1, 0}, {2, 0}, {3, 0}, {5, 0}, {6, 0}, {8, 0}};
    struct kv_gone gone = {left, 6, 10};
    struct seen seen = {.seen = calloc(MANY, 1), .most = SIZE_MAX};
    assert_non_null(seen.seen);
    for (unsigned ahead = 0; ahead < 6; ahead++) {
        bool ok = true, more = true;
        add_many();
        memset(seen.seen, 0, MANY);
        kv_erase_list_begin(&list, KV_ERASE_EACH);
        kv_erase_list_begin(&list, KV_ERASE_SWEEP);
        for (unsigned i = 0; i < ahead; i++)
            (void)kv_erase_list_sweep(store, &list, &gone);
        while (more) {
            more = kv_erase_list_each(&list, look, &seen, &ok);
            (void)kv_erase_list_sweep(store, &list, &gone);
        }
        while (kv_erase_list_sweep(store, &list, &gone)) {
        }
        for (uint32_t i = 0; i < MANY; i++) {
            uint32_t id = 1 + i % 10;
            if (id != 4 && id != 7 && id != 9 && id != 10)
                assert_int_equal(seen.seen[i], 1);
        }
        assert_int_equal(take(UINT64_MAX, 0, 0, MANY), MANY / 10 * 6);
    }
    // A look that is given up, and the block it would have gone to next is given back.
    bool ok = true;
    add_many();
    seen.calls = 0;
    seen.most = 10;
    kv_erase_list_begin(&list, KV_ERASE_EACH);
    assert_false(kv_erase_list_each(&list, look, &seen, &ok));
    assert_false(ok);
    assert_int_equal(seen.calls, 10);
    assert_int_equal(take(UINT64_MAX, 0, 0, MANY), MANY);
    ok = true;
    assert_false(kv_erase_list_each(&list, look, &seen, &ok));
    free(seen.seen);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_added_is_taken),  TEST(test_only_what_is_due), TEST(test_out_of_order),
        TEST(test_time_goes_round),         TEST(test_what_counts),      TEST(test_what_compaction_removed),
        TEST(test_walks_beside_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
