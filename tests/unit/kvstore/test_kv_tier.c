// The memory tier: what stays in memory, that values of all sizes use what the limit allows, and that memory follows the limit.
#include "kv_kit.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

#define MB (1u << 20)

static char dir[128];
static struct kv_store *store;

static int setup(void **state)
{
    (void)state;
    kit_heal();
    kit_folder(dir);
    struct kv_options options = kit_options();
    options.fsync = KV_FSYNC_NEVER;
    options.segment_bytes = 64u * MB;
    store = kit_open(dir, &options);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_close(&store);
    kit_remove(dir);
    return 0;
}

static struct kv_stats stats(void)
{
    struct kv_stats s;
    kv_get_stats(store, &s);
    return s;
}

// Sets the limit so that the tier's budget is this.
static void set_budget(uint64_t bytes)
{
    assert_int_equal(kv_set_memory_limit(store, kv_other_memory(store) + bytes), KV_OK);
}

static uint64_t next(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return *x >> 24;
}

// A value says whose it is, front and back.
static void fill_value(uint32_t key, uint8_t *value, size_t len)
{
    memset(value, (int)(key % 251), len);
    if (len >= 8) {
        memcpy(value, &key, sizeof key);
        memcpy(value + len - sizeof key, &key, sizeof key);
    }
}

static void put(uint32_t key, size_t len)
{
    uint8_t *value = malloc(len + 1);
    assert_non_null(value);
    fill_value(key, value, len);
    assert_int_equal(kv_put(store, &key, sizeof key, value, len, 0, KV_PUT_NO_WAIT), KV_OK);
    free(value);
}

// True: memory had it.
static bool get(uint32_t key, size_t len)
{
    static _Thread_local uint8_t buf[16384], expected[16384];
    struct kv_shard *shard = kv_index_shard(&store->index, kv_hash_key(&store->seeds, &key, sizeof key).low);
    (void)pthread_mutex_lock(&shard->lock);
    uint64_t before = shard->misses;
    (void)pthread_mutex_unlock(&shard->lock);
    size_t n = sizeof buf;
    assert_int_equal(kv_get(store, &key, sizeof key, buf, &n), KV_OK);
    assert_int_equal(n, len);
    fill_value(key, expected, len);
    assert_memory_equal(buf, expected, len);
    (void)pthread_mutex_lock(&shard->lock);
    bool hit = shard->misses == before;
    (void)pthread_mutex_unlock(&shard->lock);
    return hit;
}

static double hit_ratio(uint32_t from, uint32_t count, size_t len)
{
    unsigned hits = 0;
    for (uint32_t i = 0; i < count; i++)
        hits += get(from + i, len);
    return (double)hits / count;
}

// ---- the policy

#define KEYS 10000u
#define LEN  900u // a record of 944 bytes

// Zipf(0.99) over KEYS keys in a random order.
struct zipf {
    double sum[KEYS];
    uint32_t key[KEYS];
    uint64_t x;
};

static struct zipf *zipf_new(void)
{
    struct zipf *z = calloc(1, sizeof *z);
    assert_non_null(z);
    z->x = 42;
    double sum = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        z->sum[i] = sum += pow(i + 1, -0.99);
        z->key[i] = i;
    }
    for (uint32_t i = KEYS - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(next(&z->x) % (i + 1)), k = z->key[i];
        z->key[i] = z->key[j];
        z->key[j] = k;
    }
    return z;
}

static uint32_t zipf_next(struct zipf *z)
{
    double want = (double)(next(&z->x) & 0xffffffff) / 4294967296.0 * z->sum[KEYS - 1];
    uint32_t low = 0, high = KEYS - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (z->sum[middle] < want)
            low = middle + 1;
        else
            high = middle;
    }
    return z->key[low];
}

// LRU over so many records of one size, for comparison.
struct lru {
    uint32_t next[KEYS + 1], previous[KEYS + 1]; // KEYS: the list's head
    bool there[KEYS];
    unsigned count, capacity;
};

static void lru_unlink(struct lru *l, uint32_t key)
{
    l->next[l->previous[key]] = l->next[key];
    l->previous[l->next[key]] = l->previous[key];
}

static bool lru_get(struct lru *l, uint32_t key)
{
    bool hit = l->there[key];
    if (hit) {
        lru_unlink(l, key);
    } else if (l->count == l->capacity) {
        uint32_t last = l->previous[KEYS];
        lru_unlink(l, last);
        l->there[last] = false;
    } else {
        l->count++;
    }
    l->there[key] = true;
    l->next[key] = l->next[KEYS];
    l->previous[key] = KEYS;
    l->previous[l->next[KEYS]] = key;
    l->next[KEYS] = key;
    return hit;
}

struct ratios {
    double ours, lru;
};

// The hit ratios of the second half of a trace; every fifth stretch of 100 gets is the next piece of a scan if asked for.
static struct ratios replay(struct zipf *z, uint64_t budget, unsigned gets, bool scan)
{
    struct lru *lru = calloc(1, sizeof *lru);
    assert_non_null(lru);
    lru->next[KEYS] = lru->previous[KEYS] = KEYS;
    lru->capacity = (unsigned)(budget / 944);
    set_budget(0);
    set_budget(budget);
    uint32_t scanned = 0;
    struct ratios r = {0, 0};
    for (unsigned i = 0; i < gets; i++) {
        uint32_t key = scan && i / 100 % 5 == 2 ? scanned++ % KEYS : zipf_next(z);
        bool counts = i >= gets / 2, ours = get(key, LEN), theirs = lru_get(lru, key);
        r.ours += counts && ours;
        r.lru += counts && theirs;
    }
    free(lru);
    r.ours /= gets - gets / 2;
    r.lru /= gets - gets / 2;
    return r;
}

// Better than LRU at every size, by points where scans pollute the trace; the thresholds are what the simulator
// (tests/bench/store/sim) has for the best policy, less two points, or less.
static void test_hit_ratio(void **state)
{
    (void)state;
    static const struct {
        unsigned percent;
        double gain, gain_scan;
    } cases[] = {{5, 0.05, 0.06}, {10, 0.04, 0.05}, {25, 0.02, 0.035}, {50, 0.0, 0.02}};
    struct zipf *z = zipf_new();
    for (uint32_t i = 0; i < KEYS; i++)
        put(i, LEN);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        uint64_t budget = (uint64_t)KEYS * 944 * cases[c].percent / 100;
        for (int scan = 0; scan < 2; scan++) {
            struct ratios r = replay(z, budget, 10 * KEYS, scan);
            print_message("%u %%%s: %.4f, LRU %.4f\n", cases[c].percent, scan ? ", with scans" : "", r.ours,
                          r.lru);
            assert_true(r.ours >= r.lru + (scan ? cases[c].gain_scan : cases[c].gain));
        }
    }
    free(z);
}

// What is read stays when everything else is read once, loaded, or scanned.
static void test_scan_resistance(void **state)
{
    (void)state;
    enum { HOT = 500, COLD = 20000 };
    set_budget(4 * MB);
    for (uint32_t i = 0; i < HOT + COLD / 2; i++)
        put(i, LEN);
    for (int round = 0; round < 4; round++)
        (void)hit_ratio(0, HOT, LEN);
    assert_true(hit_ratio(0, HOT, LEN) > 0.99);
    (void)hit_ratio(HOT, COLD / 2, LEN); // gets of all keys
    assert_true(hit_ratio(0, HOT, LEN) > 0.95);
    for (uint32_t i = 0; i < COLD / 2; i++) // a load of new ones
        put(HOT + COLD / 2 + i, LEN);
    assert_true(hit_ratio(0, HOT, LEN) > 0.95);
}

static struct kv_slot slot_of(uint32_t key)
{
    uint64_t hash = kv_hash_key(&store->seeds, &key, sizeof key).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot slot = *kv_table_find(&shard->keys, hash);
    (void)pthread_mutex_unlock(&shard->lock);
    return slot;
}

static bool is_cached(uint32_t key)
{
    return (slot_of(key).word & KV_WORD_CACHED) != 0;
}

static bool is_in_main(uint32_t key)
{
    struct kv_slot slot = slot_of(key);
    struct kv_mem *mem = kv_tier_mem(&store->tier, kv_word_where(slot.word));
    return (slot.word & KV_WORD_CACHED) != 0 &&
           atomic_load(&store->tier.chunks[kv_chunk_of(&store->tier, mem)].queue) == KV_MAIN;
}

// A new key begins in small and is dropped unread; a value put over one in main is in main, reads kept; what is asked for
// soon after it was dropped goes to main at once.
static void test_queues(void **state)
{
    (void)state;
    set_budget(2 * MB);
    uint32_t key = 1;
    put(key, LEN);
    assert_true(is_cached(key) && !is_in_main(key));
    for (int i = 0; i < 20; i++)
        assert_true(get(key, LEN));
    assert_int_equal(kv_slot_want(&(struct kv_slot){.hash = slot_of(key).hash, .word = slot_of(key).word}),
                     3);
    for (uint32_t i = 100; i < 3000; i++)
        put(i, LEN);
    assert_true(is_in_main(key));
    assert_true(stats().promoted >= 1);
    assert_true(get(key, LEN));
    put(key, LEN);
    assert_true(is_in_main(key));
    struct kv_slot slot = slot_of(key);
    assert_int_equal(kv_slot_want(&slot), 1);

    uint32_t dropped = 2999;
    while (is_cached(dropped))
        dropped--;
    slot = slot_of(dropped);
    assert_int_equal(kv_slot_want(&slot), 0);
    assert_false(get(dropped, LEN));
    assert_true(is_in_main(dropped));
    assert_int_equal(stats().ghosts_hit, 1);
    assert_false(get(100, LEN)); // dropped long ago
    assert_false(is_in_main(100));
}

// What a lowered limit drops remembers how much it was wanted.
static void test_wanted_is_remembered(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        put(i, LEN);
        for (uint32_t n = 0; n < i % 4; n++)
            assert_true(get(i, LEN));
    }
    set_budget(0);
    assert_int_equal(stats().cached_records, 0);
    for (uint32_t i = 0; i < 100; i++) {
        struct kv_slot slot = slot_of(i);
        assert_int_equal(kv_slot_want(&slot), i % 4);
    }
    set_budget(4 * MB);
    for (uint32_t i = 0; i < 100; i++) {
        (void)get(i, LEN); // or it has been brought back by now
        assert_true(get(i, LEN));
    }
}

// ---- use of memory

// From 20 bytes to 8 MB, as many of each power of two.
static size_t mixed_size(uint64_t *x)
{
    double power = (double)(next(x) % 10000) / 10000 * (log2(8e6) - log2(20));
    return (size_t)(20 * exp2(power));
}

static void test_mixed_sizes(void **state)
{
    (void)state;
    uint64_t x = 5, put_bytes = 0;
    set_budget(64 * MB);
    for (uint32_t key = 0; put_bytes < 200u * MB; key++) {
        size_t len = mixed_size(&x);
        put(key, len);
        put_bytes += len;
        struct kv_stats s = stats();
        assert_true(s.chunk_bytes <= 66u * MB);
        if (put_bytes > 100u * MB && key % 16 == 0)
            assert_true(s.cached_bytes >= 64u * MB / 100 * 85);
    }
    struct kv_stats s = stats();
    print_message("of %u MB: %.1f %% records\n", 64, (double)s.cached_bytes / (64.0 * MB) * 100);
    uint32_t large = 1u << 30;
    put(large, 8000000);
    assert_true(is_cached(large));
    struct kv_view view;
    assert_int_equal(kv_get_view(store, &large, sizeof large, &view), KV_OK);
    assert_int_equal(view.len, 8000000);
    assert_memory_equal(view.data + view.len - sizeof large, &large, sizeof large);
    assert_int_equal(stats().hits, s.hits + 1);
    kv_view_release(store, &view);
    put(large + 1, 17000000); // over a quarter
    assert_false(is_cached(large + 1));
}

// A tier of a few chunks' size is used to the last part as well, and below that nothing breaks.
static void test_small_budgets(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20000; i++)
        put(i, LEN);
    static const uint64_t kb[] = {14336, 8192, 4096, 2048, 1024, 512, 256, 100, 1, 0};
    for (size_t i = 0; i < sizeof kb / sizeof kb[0]; i++) {
        set_budget(kb[i] * 1024);
        for (uint32_t key = 0; key < 20000; key++)
            (void)get(key, LEN);
        struct kv_stats s = stats();
        assert_true(s.chunk_bytes <= kb[i] * 1024 + KV_CHUNK_LEAST_BYTES);
        if (kb[i] >= 1024)
            assert_true(s.cached_bytes >= kb[i] * 1024 / 100 * 85);
        if (kb[i] < 256)
            assert_int_equal(s.cached_records, 0);
    }
}

// What other parts of the store hold is taken off.
static void test_account(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10000; i++)
        put(i, LEN);
    struct kv_stats before = stats();
    set_budget(before.chunk_bytes);
    kv_account(store, 4 * MB);
    assert_int_equal(stats().memory_bytes, before.memory_bytes + 4 * MB);
    kv_tier_fit(store);
    assert_true(stats().memory_bytes <= stats().limit_bytes);
    kv_account(store, -(int64_t)(4 * MB));
}

// ---- pins

// A chunk that a view pins counts until the view is released; views of ever new records do not let the tier grow.
static void test_pins_count(void **state)
{
    (void)state;
    enum { VIEWS = 64 };
    struct kv_view views[VIEWS];
    set_budget(4 * MB);
    unsigned held = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        put(i, LEN);
        if (i % 300 == 0 && held < VIEWS)
            assert_int_equal(kv_get_view(store, &i, sizeof i, &views[held++]), KV_OK);
        assert_true(stats().chunk_bytes <= 4 * MB + KV_CHUNK_LEAST_BYTES);
    }
    set_budget(0);
    assert_true(stats().chunk_bytes > 0);
    for (unsigned i = 0; i < held; i++) {
        uint32_t key = i * 300;
        uint8_t expected[LEN];
        fill_value(key, expected, LEN);
        assert_memory_equal(views[i].data, expected, LEN);
        kv_view_release(store, &views[i]);
    }
    assert_int_equal(stats().chunk_bytes, 0);
    set_budget(4 * MB);
    put(1, LEN);
    assert_true(get(1, LEN));
}

// Deleted values are gone from memory, those with chunks of their own too, and those that a view kept until it is released.
static void test_dead_are_wiped(void **state)
{
    (void)state;
    enum { LARGE = 1500000 };
    static const uint8_t none[LARGE];
    put(1, LARGE);
    put(2, LEN);
    struct kv_view large, small;
    uint32_t keys[2] = {1, 2};
    assert_int_equal(kv_get_view(store, &keys[0], sizeof keys[0], &large), KV_OK);
    assert_int_equal(kv_get_view(store, &keys[1], sizeof keys[1], &small), KV_OK);
    const uint8_t *large_data = large.data, *small_data = small.data;
    assert_int_equal(kv_delete(store, &keys[0], sizeof keys[0], 0), KV_OK);
    put(2, LEN + 1);
    assert_memory_not_equal(large_data, none, LARGE);
    assert_memory_not_equal(small_data, none, LEN);
    kv_view_release(store, &large);
    kv_view_release(store, &small);
    assert_memory_equal(large_data, none, LARGE);
    assert_memory_equal(small_data, none, LEN);
}

static bool in_memory(const void *bytes, size_t len)
{
    const struct kv_tier *tier = &store->tier;
    for (uint32_t i = 0; i < tier->reserved; i++)
        if (atomic_load(&tier->chunks[i].state) != KV_CHUNK_FREE &&
            memmem(tier->base + (size_t)i * KV_CHUNK_BYTES, tier->chunks[i].used, bytes, len) != NULL)
            return true;
    return false;
}

// A tier of huge chunks uses them again without giving them back: nothing of what was dropped, copied on or deleted is left
// in them, not even where a view was held meanwhile.
static void test_chunks_used_again(void **state)
{
    (void)state;
    enum { COUNT = 40000, SIZE = 5000 };
    static const char *secrets[3] = {"the one that is dropped", "the one that stays", "the one in a view"};
    set_budget(130 * MB);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(kv_put(store, secrets[i], 5 + i, secrets[i], strlen(secrets[i]), 0, KV_PUT_NO_WAIT),
                         KV_OK);
    struct kv_view view;
    bool spare = false;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kv_get_view(store, secrets[1], 6, &view), KV_OK);
        kv_view_release(store, &view);
    }
    for (uint32_t i = 0; i < COUNT / 2; i++)
        put(i, SIZE);
    assert_int_equal(kv_get_view(store, secrets[2], 7, &view), KV_OK);
    for (uint32_t i = COUNT / 2; i < COUNT; i++) {
        put(i, SIZE);
        struct kv_stats s = stats();
        spare = spare || atomic_load(&store->tier.spare_bytes) > 0;
        assert_true(s.chunk_bytes <= 130 * MB + KV_CHUNK_BYTES);
        if (i % 100 == 0 && s.evicted > 0)
            assert_true(s.cached_bytes >= 130ull * MB / 100 * 90);
    }
    assert_true(spare);
    assert_false(in_memory(secrets[0], strlen(secrets[0])));
    assert_true(in_memory(secrets[1], strlen(secrets[1])));
    assert_int_equal(kv_delete(store, secrets[1], 6, 0), KV_OK);
    assert_false(in_memory(secrets[1], strlen(secrets[1])));
    assert_memory_equal(view.data, secrets[2], strlen(secrets[2]));
    kv_view_release(store, &view);
    assert_false(in_memory(secrets[2], strlen(secrets[2])));
    for (uint32_t i = 0; i < COUNT; i += 7)
        (void)get(i, SIZE);
    set_budget(0);
    assert_int_equal(stats().chunk_bytes, 0);
}

// ---- memory follows the limit, under load

static _Atomic bool running;
static _Atomic unsigned rounds;

#define LOAD_KEYS 40000u
#define LOAD_LEN  2000u

static void *reader(void *arg)
{
    uint64_t x = *(uint64_t *)arg;
    while (atomic_load(&running)) {
        (void)get((uint32_t)(next(&x) % LOAD_KEYS), LOAD_LEN);
        atomic_fetch_add(&rounds, 1);
    }
    return NULL;
}

static void *writer(void *arg)
{
    uint64_t x = *(uint64_t *)arg;
    while (atomic_load(&running))
        put((uint32_t)(next(&x) % LOAD_KEYS), LOAD_LEN);
    return NULL;
}

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size, resident = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    (void)fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check_limit(uint64_t outside, uint64_t limit)
{
    double begin = seconds();
    assert_int_equal(kv_set_memory_limit(store, limit), KV_OK);
    double took = seconds() - begin;
    uint64_t resident = resident_bytes() - outside;
    struct kv_stats s = stats();
    print_message("limit %llu MB: %.0f ms, %llu MB resident, %llu said, %llu records\n",
                  (unsigned long long)limit / MB, took * 1000, (unsigned long long)resident / MB,
                  (unsigned long long)s.memory_bytes / MB, (unsigned long long)s.cached_records);
    uint64_t floor = kv_other_memory(store);
    uint64_t bound = (limit > floor ? limit : floor) + limit / 20 + 16 * MB;
    assert_true(s.memory_bytes <= bound);
    if (!KIT_SANITIZED)
        assert_true(resident <= bound);
    assert_true(took < 5);
}

static void test_limit_under_load(void **state)
{
    (void)state;
    uint64_t outside = resident_bytes() - stats().memory_bytes;
    assert_int_equal(kv_set_memory_limit(store, 160u * MB), KV_OK);
    for (uint32_t i = 0; i < LOAD_KEYS; i++)
        put(i, LOAD_LEN);
    assert_int_equal(stats().cached_records, LOAD_KEYS);
    pthread_t threads[3];
    uint64_t seeds[3] = {1, 2, 3};
    atomic_store(&running, true);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < 2 ? reader : writer, &seeds[i]), 0);
    static const uint64_t limits[] = {24, 160, 8, 160, 0, 64, 12, 0};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        unsigned before = atomic_load(&rounds);
        for (int n = 0; n < 100 && atomic_load(&rounds) < before + 5000; n++)
            (void)usleep(2000);
        check_limit(outside, limits[i] * MB);
    }
    atomic_store(&running, false);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    kv_tier_fit(store); // what was on its way when the limit fell
    assert_int_equal(stats().chunk_bytes, 0);
    assert_int_equal(stats().damaged_records, 0);
}

// A large shrink keeps what was read most.
static void test_shrink_keeps_the_wanted(void **state)
{
    (void)state;
    enum { COUNT = 60000, HOT = 3000 };
    assert_int_equal(kv_set_memory_limit(store, 160u * MB), KV_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        put(i, LOAD_LEN);
    for (uint32_t i = 0; i < COUNT; i += COUNT / HOT)
        for (int n = 0; n < 5; n++)
            assert_true(get(i, LOAD_LEN));
    for (uint32_t i = 0; i < COUNT; i += 4)
        assert_true(get(i, LOAD_LEN));
    set_budget(16 * MB);
    unsigned kept = 0;
    for (uint32_t i = 0; i < COUNT; i += COUNT / HOT)
        kept += is_cached(i);
    print_message("%u of %u hot ones kept\n", kept, (unsigned)HOT);
    assert_true(kept > HOT * 9 / 10);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hit_ratio),        TEST(test_scan_resistance),
        TEST(test_queues),           TEST(test_wanted_is_remembered),
        TEST(test_mixed_sizes),      TEST(test_small_budgets),
        TEST(test_account),          TEST(test_pins_count),
        TEST(test_dead_are_wiped),   TEST(test_chunks_used_again),
        TEST(test_limit_under_load), TEST(test_shrink_keeps_the_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
