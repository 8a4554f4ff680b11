// Many puts in one call: everything a put promises, in few writes.
#include "kv_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

static char dir[128];
static struct kv_store *store;

static struct kv_options large_segments(void)
{
    struct kv_options options = kit_options();
    options.segment_bytes = 64u << 20;
    options.fsync = KV_FSYNC_INTERVAL;
    return options;
}

static int setup(void **state)
{
    (void)state;
    kit_heal();
    atomic_store(&kit_now_ms, 1000000);
    kit_folder(dir);
    struct kv_options options = large_segments();
    store = kit_open(dir, &options);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_heal();
    (void)kv_close(&store);
    kit_remove(dir);
    return 0;
}

static void reopen(void)
{
    (void)kv_close(&store);
    kit_heal();
    struct kv_options options = large_segments();
    store = kit_open(dir, &options);
}

// ---- batches

struct set {
    struct kv_put_item *items;
    uint32_t *keys;
    uint8_t *values;
    size_t count, len;
};

static uint8_t byte_of(uint32_t key, uint32_t generation, size_t i)
{
    return (uint8_t)(1 + (key * 31 + generation * 7 + i * 13) % 251);
}

static struct set make_set(uint32_t first, size_t count, size_t len, uint32_t generation)
{
    struct set set = {.count = count, .len = len};
    set.items = calloc(count, sizeof *set.items);
    set.keys = calloc(count, sizeof *set.keys);
    set.values = malloc(count * len + 1);
    assert_true(set.items != NULL && set.keys != NULL && set.values != NULL);
    for (size_t n = 0; n < count; n++) {
        set.keys[n] = first + (uint32_t)n;
        for (size_t i = 0; i < len; i++)
            set.values[n * len + i] = byte_of(set.keys[n], generation, i);
        set.items[n] = (struct kv_put_item){
            .key = &set.keys[n], .key_len = 4, .value = set.values + n * len, .len = len, .status = KV_PENDING};
    }
    return set;
}

static void free_set(struct set *set)
{
    free(set->items);
    free(set->keys);
    free(set->values);
}

static void put_set(uint32_t first, size_t count, size_t len, uint32_t generation)
{
    struct set set = make_set(first, count, len, generation);
    assert_int_equal(kv_put_batch(store, set.items, set.count, 0), KV_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(set.items[i].status, KV_OK);
    free_set(&set);
}

static void expect_key(uint32_t key, size_t len, uint32_t generation)
{
    void *got;
    size_t got_len;
    enum kv_status status = kv_get_alloc(store, &key, 4, &got, &got_len, NULL);
    if (status != KV_OK)
        fail_msg("key %u: %s", key, kv_status_text(status));
    assert_int_equal(got_len, len);
    for (size_t i = 0; i < len; i++)
        if (((uint8_t *)got)[i] != byte_of(key, generation, i))
            fail_msg("key %u: byte %zu", key, i);
    free(got);
}

static void expect_set(uint32_t first, size_t count, size_t len, uint32_t generation)
{
    for (size_t n = 0; n < count; n++)
        expect_key(first + (uint32_t)n, len, generation);
}

static struct kv_stats stats(void)
{
    struct kv_stats s;
    kv_get_stats(store, &s);
    return s;
}

// ---- tests

// Large and small batches, mixed with single puts at the same end of the log; from memory, from disk, after opening anew.
static void test_round_trip(void **state)
{
    (void)state;
    put_set(0, 3000, 4096, 0);
    kit_put(store, "single", "between");
    put_set(3000, 10, 100, 0);
    put_set(4000, 900, 1500, 0);
    kit_put(store, "last", "one");
    for (int round = 0; round < 3; round++) {
        expect_set(0, 3000, 4096, 0);
        expect_set(3000, 10, 100, 0);
        expect_set(4000, 900, 1500, 0);
        kit_expect(store, "single", "between");
        kit_expect(store, "last", "one");
        assert_int_equal(stats().keys, 3912);
        assert_int_equal(stats().damaged_records, 0);
        if (round == 0)
            assert_int_equal(kv_set_memory_limit(store, 0), KV_OK);
        else
            reopen();
    }
    put_set(0, 3000, 700, 1); // and replaced
    expect_set(0, 3000, 700, 1);
    reopen();
    expect_set(0, 3000, 700, 1);
    assert_int_equal(stats().damaged_records, 0);
}

// Large batches go out in few writes.
static void test_few_writes(void **state)
{
    (void)state;
    kit_heal();
    put_set(0, 4096, 4000, 0);
    assert_true(kit_calls(KIT_WRITE) < 30);
}

// What the file is given in advance is cut off again: by the next single put, and by closing.
static void test_file_is_as_long_as_the_log(void **state)
{
    (void)state;
    char path[192];
    struct stat st;
    put_set(0, 1000, 4096, 0);
    kit_put(store, "k", "v");
    assert_int_equal(stat(kit_segment_path(dir, 1, path), &st), 0);
    assert_int_equal((uint64_t)st.st_size, stats().disk_bytes);
    put_set(1000, 1000, 4096, 0);
    uint64_t size = stats().disk_bytes;
    assert_int_equal(kv_close(&store), KV_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal((uint64_t)st.st_size, size);
    reopen();
    expect_set(0, 2000, 4096, 0);
}

// The process dies (the files are copied while the store is open, preallocated space and all).
static void test_kill(void **state)
{
    (void)state;
    put_set(0, 2000, 4096, 0);
    char copy[128];
    kit_folder(copy);
    kit_copy(dir, copy);
    struct kv_store *open = store;
    struct kv_options options = large_segments();
    store = kit_open(copy, &options);
    expect_set(0, 2000, 4096, 0);
    assert_int_equal(stats().damaged_records, 0);
    kit_put(store, "k", "v");
    put_set(0, 2000, 4096, 1);
    kit_close(&store);
    store = kit_open(copy, &options);
    expect_set(0, 2000, 4096, 1);
    kit_expect(store, "k", "v");
    kit_close(&store);
    store = open;
    kit_remove(copy);
}

// One key several times in a batch: the last counts, in the same block and across blocks.
static void test_order_of_equal_keys(void **state)
{
    (void)state;
    enum { COUNT = 3000, LEN = 3000 };
    struct set set = make_set(0, COUNT, LEN, 0);
    for (size_t i = 0; i < COUNT; i++) {
        set.keys[i] = (uint32_t)(i % 7);
        memset(set.values + i * LEN, (int)(1 + i % 250), LEN);
    }
    assert_int_equal(kv_put_batch(store, set.items, COUNT, 0), KV_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(stats().keys, 7);
        for (uint32_t key = 0; key < 7; key++) {
            size_t last = COUNT - 1;
            while (last % 7 != key)
                last--;
            uint8_t got[LEN];
            size_t len = sizeof got;
            assert_int_equal(kv_get(store, &key, 4, got, &len), KV_OK);
            assert_int_equal(got[0], 1 + last % 250);
            assert_int_equal(got[LEN - 1], 1 + last % 250);
        }
        reopen();
    }
    free_set(&set);
}

// Items that may not be put have their own status; the others are stored. Values too large for a block go alone, in order.
static void test_mixed_items(void **state)
{
    (void)state;
    static uint8_t large[3u << 20];
    memset(large, 'L', sizeof large);
    uint8_t byte = 1;
    struct kv_put_item items[] = {
        {.key = "a", .key_len = 1, .value = "1", .len = 1},
        {.key = "", .key_len = 0, .value = "1", .len = 1},
        {.key = "large", .key_len = 5, .value = "small", .len = 5},
        {.key = "large", .key_len = 5, .value = large, .len = sizeof large},
        {.key = &byte, .key_len = 1, .value = NULL, .len = 0},
        {.key = "t", .key_len = 1, .value = "timed", .len = 5, .expire_ms = 2000000},
        {.key = "b", .key_len = 1, .value = large, .len = (size_t)KV_VALUE_MAX + 1},
        {.key = "z", .key_len = 1, .value = "26", .len = 2},
    };
    assert_int_equal(kv_put_batch(store, items, 8, 0), KV_INVALID);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(items[i].status, i == 1 ? KV_INVALID : i == 6 ? KV_TOO_LARGE : KV_OK);
    kit_expect(store, "z", "26");
    void *got;
    size_t len;
    assert_int_equal(kv_get_alloc(store, "large", 5, &got, &len, NULL), KV_OK);
    assert_int_equal(len, sizeof large);
    assert_memory_equal(got, large, len);
    free(got);
    uint64_t expire_ms;
    assert_int_equal(kv_get_expiry(store, "t", 1, &expire_ms), KV_OK);
    assert_int_equal(expire_ms, 2000000);
    assert_int_equal(kv_exists(store, &byte, 1), KV_OK);
    assert_int_equal(kv_put_batch(store, items, 0, 0), KV_OK);
}

static void test_if_absent(void **state)
{
    (void)state;
    kit_put(store, "there", "old");
    struct kv_put_item items[] = {
        {.key = "new", .key_len = 3, .value = "1", .len = 1},
        {.key = "there", .key_len = 5, .value = "2", .len = 1},
        {.key = "new", .key_len = 3, .value = "3", .len = 1},
    };
    assert_int_equal(kv_put_batch(store, items, 3, KV_PUT_IF_ABSENT), KV_EXISTS);
    assert_int_equal(items[0].status, KV_OK);
    assert_int_equal(items[2].status, KV_EXISTS);
    kit_expect(store, "new", "1");
    kit_expect(store, "there", "old");
}

// The disk is full in the middle: what came before is stored, what comes after is not, now and after opening anew.
static void test_full_in_the_middle(void **state)
{
    (void)state;
    for (size_t partial = 0; partial <= 1000000; partial += 500000) {
        struct set set = make_set(0, 4000, 4096, (uint32_t)partial);
        kit_fail(KIT_WRITE, ENOSPC, 3, 1, partial & ~(size_t)4095);
        assert_int_equal(kv_put_batch(store, set.items, set.count, 0), KV_FULL);
        size_t stored = 0;
        while (stored < set.count && set.items[stored].status == KV_OK)
            stored++;
        assert_true(stored < set.count);
        for (size_t i = stored; i < set.count; i++)
            assert_int_equal(set.items[i].status, KV_FULL);
        assert_false(stats().read_only);
        kit_put(store, "goes", "on");
        for (int round = 0; round < 2; round++) {
            expect_set(0, stored, 4096, (uint32_t)partial);
            for (uint32_t key = (uint32_t)stored; key < 4000 && partial == 0; key++)
                assert_int_equal(kv_exists(store, &key, 4), KV_NOT_FOUND);
            reopen();
        }
        kit_expect(store, "goes", "on");
        assert_int_equal(stats().damaged_records, 0);
        free_set(&set);
    }
}

// Another failure ends writing; nothing that was not acknowledged counts, what was before does.
static void test_failed_write(void **state)
{
    (void)state;
    put_set(0, 1000, 4096, 0);
    struct set set = make_set(0, 1000, 4096, 1);
    kit_fail(KIT_WRITE, EIO, 0, -1, 0);
    assert_int_equal(kv_put_batch(store, set.items, set.count, 0), KV_IO);
    assert_true(stats().read_only);
    assert_int_equal(kv_put_batch(store, set.items, set.count, 0), KV_READ_ONLY);
    expect_set(0, 1000, 4096, 0);
    reopen();
    expect_set(0, 1000, 4096, 0);
    free_set(&set);
}

static void test_failed_sync(void **state)
{
    (void)state;
    assert_int_equal(kv_close(&store), KV_OK);
    store = kit_open(dir, NULL);
    struct set set = make_set(0, 100, 500, 0);
    kit_fail(KIT_FDATASYNC, EIO, 0, -1, 0);
    assert_int_equal(kv_put_batch(store, set.items, set.count, 0), KV_IO);
    assert_int_equal(set.items[0].status, KV_IO);
    free_set(&set);
}

static int (*plain_open)(const char *, int, mode_t);
static int refuse_direct(const char *path, int flags, mode_t mode)
{
    if ((flags & O_DIRECT) != 0) {
        errno = EINVAL;
        return -1;
    }
    return plain_open(path, flags, mode);
}

// File systems that refuse O_DIRECT, at the opening or at the write.
static void test_no_direct(void **state)
{
    (void)state;
    plain_open = kv_io.open;
    kv_io.open = refuse_direct;
    put_set(0, 1000, 4096, 0);
    kv_io.open = plain_open;
    expect_set(0, 1000, 4096, 0);
    reopen();
    kit_fail(KIT_WRITE, EINVAL, 0, 1, 0);
    put_set(1000, 1000, 4096, 0);
    reopen();
    expect_set(0, 2000, 4096, 0);
}

// With fsync=always one sync for all, and the values that were replaced are gone from the files.
static void test_always_erases(void **state)
{
    (void)state;
    assert_int_equal(kv_close(&store), KV_OK);
    store = kit_open(dir, NULL); // 64 KiB segments
    static const char secret[] = "a private key that is replaced";
    struct kv_put_item items[200];
    uint32_t keys[200];
    for (uint32_t i = 0; i < 200; i++) {
        keys[i] = i;
        items[i] = (struct kv_put_item){
            .key = &keys[i], .key_len = 4, .value = secret, .len = sizeof secret};
    }
    kit_heal();
    assert_int_equal(kv_put_batch(store, items, 200, 0), KV_OK);
    assert_true(kit_calls(KIT_FDATASYNC) <= 3);
    assert_true(kit_files_with(dir, secret, sizeof secret) > 0);
    for (uint32_t i = 0; i < 200; i++)
        items[i].value = "harmless";
    for (uint32_t i = 0; i < 200; i++)
        items[i].len = 8;
    assert_int_equal(kv_put_batch(store, items, 200, 0), KV_OK);
    assert_int_equal(kit_files_with(dir, secret, sizeof secret), 0);
}

// ---- kill -9

static uint32_t generation_of(uint32_t key)
{
    uint8_t got[4096];
    size_t len = sizeof got;
    enum kv_status status = kv_get(store, &key, 4, got, &len);
    if (status == KV_NOT_FOUND)
        return UINT32_MAX;
    if (status != KV_OK)
        fail_msg("key %u: %s", key, kv_status_text(status));
    assert_int_equal(len, 4096);
    for (uint32_t generation = 0; generation < 251; generation++) {
        size_t i = 0;
        while (i < len && got[i] == byte_of(key, generation, i))
            i++;
        if (i == len)
            return generation;
    }
    fail_msg("key %u: bytes that were never put", key);
    return UINT32_MAX;
}

#define KILLED_KEYS 1500

// Batches that replace each other, reported when they are acknowledged; a single put between them now and then.
static void put_until_killed(int report)
{
    struct kv_options options = large_segments();
    store = kit_open(dir, &options);
    for (uint8_t generation = 0; generation < 200; generation++) {
        put_set(0, KILLED_KEYS, 4096, generation);
        if (generation % 3 == 0)
            kit_put(store, "single", "put");
        if (write(report, &generation, 1) != 1)
            break;
    }
    for (;;)
        (void)pause();
}

// At any moment: what was acknowledged is there, of the batch under way each key is new or as it was, and nothing is damaged.
static void test_kill_at_any_moment(void **state)
{
    (void)state;
    kit_close(&store);
    for (unsigned round = 0; round < 5; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            put_until_killed(ends[1]);
        (void)close(ends[1]);
        uint8_t acknowledged[256];
        assert_int_equal(read(ends[0], acknowledged, 1), 1);
        (void)usleep(15000 + round * 17000);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        uint8_t last = acknowledged[0];
        ssize_t n = read(ends[0], acknowledged, sizeof acknowledged);
        if (n > 0)
            last = acknowledged[n - 1];
        (void)close(ends[0]);
        struct kv_options options = large_segments();
        store = kit_open(dir, &options);
        assert_int_equal(stats().damaged_records, 0);
        for (uint32_t key = 0; key < KILLED_KEYS; key++) {
            uint32_t generation = generation_of(key);
            if (generation != last && generation != last + 1u)
                fail_msg("key %u is of batch %u; %u was acknowledged", key, generation, last);
        }
        kit_close(&store);
    }
    store = kit_open(dir, NULL);
}

static _Atomic bool running;

static void *put_singles(void *arg)
{
    uint32_t base = *(uint32_t *)arg;
    for (uint32_t n = 0; atomic_load(&running); n++) {
        uint32_t key = base + n % 100;
        uint8_t value[300];
        for (size_t i = 0; i < sizeof value; i++)
            value[i] = byte_of(key, 9, i);
        assert_int_equal(kv_put(store, &key, 4, value, sizeof value, 0, 0), KV_OK);
        if (n % 10 == 9)
            assert_int_equal(kv_delete(store, &key, 4, 0), KV_OK);
    }
    return NULL;
}

static void *put_batches(void *arg)
{
    uint32_t base = *(uint32_t *)arg;
    for (uint32_t n = 0; n < 6; n++)
        put_set(base, 600, 4096, n);
    return NULL;
}

// Batches, single puts, deletes and compaction at once.
static void test_threads(void **state)
{
    (void)state;
    atomic_store(&running, true);
    pthread_t singles[2], batches[2];
    uint32_t single_base[2] = {100000, 200000}, batch_base[2] = {0, 300};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&singles[i], NULL, put_singles, &single_base[i]), 0);
        assert_int_equal(pthread_create(&batches[i], NULL, put_batches, &batch_base[i]), 0);
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(batches[i], NULL), 0);
    atomic_store(&running, false);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(singles[i], NULL), 0);
    for (int round = 0; round < 2; round++) {
        for (uint32_t key = 0; key < 900; key++)
            expect_key(key, 4096, 5);
        assert_int_equal(stats().damaged_records, 0);
        reopen();
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),          TEST(test_few_writes),    TEST(test_file_is_as_long_as_the_log),
        TEST(test_kill),                TEST(test_order_of_equal_keys), TEST(test_mixed_items),
        TEST(test_if_absent),           TEST(test_full_in_the_middle),  TEST(test_failed_write),
        TEST(test_failed_sync),         TEST(test_no_direct),     TEST(test_always_erases),
        TEST(test_kill_at_any_moment),  TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
