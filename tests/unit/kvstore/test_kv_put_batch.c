// Many puts in one call: everything a put promises, in few writes.
#include "kv_sets.h"
#include "kvstore/kv_block.h"

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

// The buffers of a batch are kept for the next one, the values in them are not: a delete that follows leaves nothing behind.
static void test_nothing_stays_in_the_buffers(void **state)
{
    (void)state;
    static const char secret[] = "a value that nobody may find in a buffer";
    for (unsigned round = 0; round < 2; round++) { // in a large batch, and in a short one after it
        struct kv_put_item items[600];
        uint32_t keys[600];
        for (uint32_t i = 0; i < 600; i++) {
            keys[i] = i;
            items[i] = (struct kv_put_item){
                .key = &keys[i], .key_len = sizeof keys[i], .value = secret, .len = sizeof secret};
        }
        assert_int_equal(kv_put_batch(store, items, round == 0 ? 600 : 2, 0), KV_OK);
        (void)pthread_mutex_lock(&store->batch_lock);
        if (store->batch_bytes != NULL) // else given back already
            assert_null(memmem(store->batch_bytes, (size_t)2 * KV_BLOCK_BYTES, secret, sizeof secret));
        (void)pthread_mutex_unlock(&store->batch_lock);
    }
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
        items[i] = (struct kv_put_item){.key = &keys[i], .key_len = 4, .value = secret, .len = sizeof secret};
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
        TEST(test_round_trip),
        TEST(test_nothing_stays_in_the_buffers),
        TEST(test_few_writes),
        TEST(test_file_is_as_long_as_the_log),

        TEST(test_order_of_equal_keys),
        TEST(test_mixed_items),
        TEST(test_if_absent),
        TEST(test_full_in_the_middle),
        TEST(test_failed_write),
        TEST(test_failed_sync),
        TEST(test_no_direct),
        TEST(test_always_erases),

        TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
