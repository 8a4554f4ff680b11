// Values that are overwritten and deleted: their memory is used again, and nothing else of the tier takes notice.
#include "kv_tier_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS       4000u
#define SMALL_TIER (16u * MB - 64 * 1024) // chunks of 128 KiB

// Every key with the length that was put last.
static void check_values(const size_t *lengths, uint32_t count)
{
    for (uint32_t key = 0; key < count; key++)
        assert_true(get(key, lengths[key]));
}

// ---- how much memory is taken

static void test_overwritten_at_random(void **state)
{
    (void)state;
    size_t lengths[KEYS];
    uint64_t x = 1;
    set_budget(SMALL_TIER);
    for (uint32_t key = 0; key < KEYS; key++)
        put(key, lengths[key] = LEN);
    for (uint32_t i = 0; i < 20 * KEYS; i++) {
        uint32_t key = (uint32_t)(next(&x) % KEYS);
        put(key, lengths[key] = LEN - 20 + i % 40);
        if (i % 64 == 0) {
            struct kv_stats s = stats();
            assert_true(s.chunk_bytes < s.cached_bytes / 100 * 135);
        }
    }
    check_counts();
    check_values(lengths, KEYS);
    struct kv_stats s = stats();
    assert_int_equal(s.evicted, 0);
    assert_int_equal(s.promoted + s.readmitted, 0);
    uint64_t moved = atomic_load(&store->tier.moved);
    print_message("%.2f times the live data, %.2f copies a put\n",
                  (double)s.chunk_bytes / (double)s.cached_bytes, (double)moved / (20.0 * KEYS));
    assert_true(moved > 0);
    assert_true(moved < 20 * KEYS * 5 / 2);
}

// In the order in which they came: chunks die as a whole, and hardly anything is copied.
static void test_overwritten_in_order(void **state)
{
    (void)state;
    set_budget(SMALL_TIER);
    for (uint32_t i = 0; i < 20 * KEYS; i++) {
        put(i % KEYS, LEN);
        if (i > KEYS && i % 64 == 0)
            check_resident(2);
    }
    check_counts();
    assert_true(atomic_load(&store->tier.moved) < KEYS);
    assert_int_equal(stats().evicted, 0);
    assert_int_equal(stats().cached_records, KEYS);
}

// A tenth of the keys take nine tenths of the puts.
static void test_overwritten_unevenly(void **state)
{
    (void)state;
    uint64_t x = 3;
    set_budget(SMALL_TIER);
    for (uint32_t key = 0; key < KEYS; key++)
        put(key, LEN);
    for (uint32_t i = 0; i < 20 * KEYS; i++) {
        put((uint32_t)(next(&x) % (next(&x) % 10 != 0 ? KEYS / 10 : KEYS)), LEN);
        if (i % 64 == 0)
            check_resident(2);
    }
    check_counts();
    assert_int_equal(stats().cached_records, KEYS);
}

// One key alone: its chunk is used over and over.
static void test_one_key(void **state)
{
    (void)state;
    set_budget(SMALL_TIER);
    for (uint32_t i = 0; i < 5000; i++)
        put(1, LEN);
    assert_true(stats().chunk_bytes <= 2u * 128 * 1024);
    check_counts();
}

// From 20 bytes to runs of their own, of another size each time; and some are deleted.
static void test_mixed_sizes(void **state)
{
    (void)state;
    enum { COUNT = 1500, LONGEST = 16000 };
    size_t lengths[COUNT] = {0};
    uint64_t x = 5;
    set_budget(32u * MB - 64 * 1024); // of 4 to 5 live; chunks of 256 KiB
    for (uint32_t i = 0; i < 20 * COUNT; i++) {
        uint32_t key = (uint32_t)(next(&x) % COUNT);
        size_t len = 20 + next(&x) % (i % 8 == 0 ? LONGEST - 20 : 3000);
        put(key, lengths[key] = len);
        if (i % 100 == 0)
            put(COUNT + i / 100 % 20, 60000); // a run
        uint32_t gone = (uint32_t)(next(&x) % COUNT);
        if (i % 10 == 0 && lengths[gone] != 0) {
            assert_int_equal(kv_delete(store, &gone, sizeof gone, 0), KV_OK);
            lengths[gone] = 0;
        }
        if (i > COUNT && i % 64 == 0)
            check_resident(2);
    }
    check_counts();
    for (uint32_t key = 0; key < COUNT; key++)
        if (lengths[key] != 0)
            assert_true(get(key, lengths[key]));
    assert_int_equal(stats().evicted, 0);
}

// Runs are given back at once.
static void test_runs(void **state)
{
    (void)state;
    set_budget(64u * MB);
    for (uint32_t i = 0; i < 100; i++)
        put(i % 4, 1500000);
    assert_true(stats().chunk_bytes < 4u * 1500000 + 16 * 4096);
    for (uint32_t key = 0; key < 4; key++)
        assert_int_equal(kv_delete(store, &key, sizeof key, 0), KV_OK);
    assert_int_equal(stats().chunk_bytes, 0);
}

// What is left of many deleted keys is gathered as others are put.
static void test_deleted(void **state)
{
    (void)state;
    set_budget(SMALL_TIER);
    for (uint32_t key = 0; key < 2 * KEYS; key++)
        put(key, LEN);
    for (uint32_t key = 0; key < 2 * KEYS; key++)
        if (key % 8 != 0)
            assert_int_equal(kv_delete(store, &key, sizeof key, 0), KV_OK);
    check_counts();
    for (uint32_t key = 0; key < 2 * KEYS; key += 16)
        put(key, LEN);
    check_resident(3);
    check_counts();
    for (uint32_t key = 0; key < 2 * KEYS; key += 8)
        assert_true(get(key, LEN));
    for (uint32_t key = 0; key < 2 * KEYS; key += 8)
        assert_int_equal(kv_delete(store, &key, sizeof key, 0), KV_OK);
    assert_true(stats().chunk_bytes <= 3u * 128 * 1024);
}

// Chunks of 2 MiB, which are kept for the next: none is given to the system and got from it again.
static void test_huge_chunks(void **state)
{
    (void)state;
    enum { COUNT = 10000, SIZE = 4000 };
    uint64_t x = 9, most = 0;
    set_budget(200ull * MB);
    for (uint32_t key = 0; key < COUNT; key++)
        put(key, SIZE);
    for (uint32_t i = 0; i < 6 * COUNT; i++) {
        put((uint32_t)(next(&x) % COUNT), SIZE);
        struct kv_stats s = stats();
        uint64_t in_use = s.chunk_bytes - atomic_load(&store->tier.spare_bytes); // the populator may be at it
        most = in_use > most ? in_use : most;
    }
    struct kv_stats s = stats();
    print_message("%llu KB live, %llu KB in use at most\n", (unsigned long long)s.cached_bytes / 1024,
                  (unsigned long long)most / 1024);
    assert_true(most < s.cached_bytes / 100 * 135 + 3u * KV_CHUNK_BYTES);
    assert_int_equal(s.cached_records, COUNT);
    check_counts();
    set_budget(0);
    assert_int_equal(stats().chunk_bytes, 0);
}

// ---- what stays as it is

// A record that is moved keeps its queue, its reads and its turn.
static void test_standing(void **state)
{
    (void)state;
    uint64_t x = 7;
    set_budget(SMALL_TIER);
    for (uint32_t key = 0; key < KEYS; key++)
        put(key, LEN);
    for (uint32_t key = 0; key < KEYS; key += 10)
        for (unsigned n = 0; n < key / 10 % 5; n++)
            assert_true(get(key, LEN));
    for (uint32_t i = 0; i < 20 * KEYS; i++) {
        uint32_t key = (uint32_t)(next(&x) % KEYS);
        if (key % 10 != 0)
            put(key, LEN);
    }
    assert_true(atomic_load(&store->tier.moved) > KEYS);
    for (uint32_t key = 0; key < KEYS; key += 10) {
        struct kv_slot slot = slot_of(key);
        assert_true((slot.word & KV_WORD_CACHED) != 0);
        assert_int_equal(slot.hash & KV_READS_BITS, key / 10 % 5);
        const struct kv_mem *mem = kv_tier_mem(&store->tier, kv_word_where(slot.word));
        assert_int_equal(store->tier.chunks[kv_chunk_of(&store->tier, mem)].queue, KV_SMALL);
    }
    // They are the oldest still: a little less room, and they are the first that those without reads go from.
    set_budget(stats().chunk_bytes - 512 * 1024);
    unsigned old = 0, young = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        old += !is_cached(key) && key % 50 == 0;
        young += !is_cached(key) && key % 10 != 0;
    }
    print_message("%u of %u old ones dropped, %u of %u young ones\n", old, KEYS / 50, young, KEYS / 10 * 9);
    assert_true((uint64_t)old * KEYS / 10 * 9 > 2ull * young * KEYS / 50);
}

// Neither the budget nor the leave to grow is exceeded, and nothing is dropped while there are dead records instead.
static void test_within_bounds(void **state)
{
    (void)state;
    uint64_t x = 11;
    set_budget(SMALL_TIER);
    for (uint32_t key = 0; key < KEYS; key++)
        put(key, LEN);
    uint64_t leave = stats().chunk_bytes * 3 / 2;
    for (uint32_t i = 0; i < 10 * KEYS; i++) {
        kv_set_growth(store, stats().memory_bytes - stats().chunk_bytes +
                                 leave); // what other buffers take is another matter
        put((uint32_t)(next(&x) % KEYS), LEN);
        assert_true(stats().chunk_bytes <= leave + KV_CHUNK_BYTES / 16);
    }
    assert_int_equal(stats().evicted, 0);
    kv_set_growth(store, UINT64_MAX);
    uint64_t budget = stats().cached_bytes * 3 / 4;
    set_budget(budget);
    for (uint32_t i = 0; i < 10 * KEYS; i++) {
        put((uint32_t)(next(&x) % KEYS), LEN);
        struct kv_stats now = stats(); // what waits to be overwritten counts, too, and goes
        assert_true(now.memory_bytes <= now.limit_bytes + KV_CHUNK_LEAST_BYTES);
    }
    check_counts();
}

static bool secret_in_memory(uint32_t key)
{
    char secret[40];
    (void)snprintf(secret, sizeof secret, "the secret of key %u.", (unsigned)key);
    return in_memory(secret, strlen(secret));
}

// A record that was moved leaves nothing where it was, and a view of it stays what it was until it is released.
static void test_wiped(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    uint64_t x = 13;
    char secret[LEN] = "";
    set_budget(SMALL_TIER);
    for (uint32_t key = 0; key < KEYS; key++) {
        put(key, LEN);
        if (key % 100 != 0)
            continue;
        uint32_t id = KEYS + key / 100;
        (void)snprintf(secret, sizeof secret, "the secret of key %u.", (unsigned)id);
        assert_int_equal(kv_put(store, &id, sizeof id, secret, sizeof secret, 0, KV_PUT_NO_WAIT), KV_OK);
    }
    uint32_t seen = KEYS + 7;
    struct kv_view view;
    assert_int_equal(kv_get_view(store, &seen, sizeof seen, &view), KV_OK);
    const uint8_t *at = view.data;
    for (uint32_t i = 0; i < 10 * KEYS; i++)
        put((uint32_t)(next(&x) % KEYS), LEN);
    assert_true(atomic_load(&store->tier.moved) > KEYS);
    assert_true(secret_in_memory(seen));
    for (uint32_t id = KEYS; id < KEYS + COUNT; id++) {
        assert_int_equal(kv_delete(store, &id, sizeof id, 0), KV_OK);
        assert_int_equal(secret_in_memory(id), id == seen);
    }
    assert_ptr_equal(view.data, at);
    (void)snprintf(secret, sizeof secret, "the secret of key %u.", (unsigned)seen);
    assert_memory_equal(view.data, secret, sizeof secret);
    kv_view_release(store, &view);
    assert_false(secret_in_memory(seen));
    check_counts();
}

// Chunks that views keep cannot be used again: no work is wasted on them, nor on others in their stead, and they come back when the
// last view goes.
static void test_views_held(void **state)
{
    (void)state;
    enum { VIEWS = 40 };
    struct kv_view views[VIEWS];
    uint64_t x = 15;
    set_budget(SMALL_TIER);
    for (uint32_t key = 0; key < KEYS; key++)
        put(key, LEN);
    for (uint32_t i = 0; i < VIEWS; i++) { // one in each chunk, or more
        uint32_t key = i * (KEYS / VIEWS);
        assert_int_equal(kv_get_view(store, &key, sizeof key, &views[i]), KV_OK);
    }
    uint64_t before = stats().chunk_bytes;
    for (uint32_t i = 0; i < 20 * KEYS; i++) {
        put((uint32_t)(next(&x) % KEYS), LEN);
        assert_true(stats().chunk_bytes <= before * 3);
    }
    uint64_t moved = atomic_load(&store->tier.moved);
    print_message("%.2f copies a put beside views\n", (double)moved / (20.0 * KEYS));
    assert_true(moved < 20 * KEYS * 3);
    for (uint32_t i = 0; i < VIEWS; i++) {
        uint8_t expected[LEN];
        fill_value(i * (KEYS / VIEWS), expected, LEN);
        assert_memory_equal(views[i].data, expected, LEN);
        kv_view_release(store, &views[i]);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        put(i, LEN);
    check_resident(2);
    check_counts();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_overwritten_at_random),
        TEST(test_overwritten_in_order),
        TEST(test_overwritten_unevenly),
        TEST(test_one_key),
        TEST(test_mixed_sizes),
        TEST(test_runs),
        TEST(test_deleted),
        TEST(test_huge_chunks),
        TEST(test_standing),
        TEST(test_within_bounds),
        TEST(test_wiped),
        TEST(test_views_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
