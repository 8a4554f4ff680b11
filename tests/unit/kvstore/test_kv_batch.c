// Gets of many, in each way to read: answers, refusals, a disk that fails, and writers meanwhile.
#include "kv_ask.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[128];

static void each_way(void (*test)(struct kv_store *store, const char *way))
{
    read_kit_each_way(dir, KEYS, LEN, test);
}

// Batches of every size around the depth, the larger ones with keys twice.
static void check_sizes(struct kv_store *store, const char *way)
{
    static const size_t sizes[] = {1, 2, 3, 127, 128, 129, 1000, 3000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct ask ask = ask_new(sizes[s], (unsigned)s, 7, KEYS);
        assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
        expect_all_right(&ask, way);
        ask_free(&ask);
    }
    assert_int_equal(kv_get_batch(store, NULL, 0), KV_OK);
}

static void test_sizes(void **state)
{
    (void)state;
    each_way(check_sizes);
}

// The ways differ in what they are said to: direct reads are, buffered ones are not.
static void test_ways_are_taken(void **state)
{
    (void)state;
    for (unsigned way = 0; way < READ_KIT_WAYS; way++) {
        struct kv_store *store = read_kit_open(way, dir, KEYS, LEN);
        if (store == NULL)
            continue;
        struct kv_stats stats;
        kv_get_stats(store, &stats);
        bool direct = stats.direct_reads > 0;
        struct ask ask = ask_new(300, 0, 1, KEYS);
        assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
        uint64_t before = stats.disk_reads, before_direct = stats.direct_reads;
        kv_get_stats(store, &stats);
        assert_int_equal(stats.disk_reads - before, 300); // one read each
        if (direct)
            assert_int_equal(stats.direct_reads - before_direct, 300);
        if (strstr(read_kit_way(way), "buffered") != NULL)
            assert_int_equal(stats.direct_reads, 0);
        ask_free(&ask);
        read_kit_close(&store, dir);
    }
}

// In one batch: values in memory and on disk, keys that are not there, buffers that are too small, misuse.
static void check_mixture(struct kv_store *store, const char *way)
{
    assert_int_equal(kv_set_memory_limit(store, 64u << 20), KV_OK);
    struct ask warm = ask_new(100, 0, 2, KEYS);
    assert_int_equal(kv_get_batch(store, warm.gets, warm.count), KV_OK);
    expect_all_right(&warm, way);
    struct ask ask = ask_new(400, 0, 1, KEYS);
    uint8_t mark[16];
    memset(mark, 0x77, sizeof mark);
    static const uint8_t long_key[KV_KEY_MAX + 1];
    ask.gets[1].len = 10; // on disk
    memset(ask.gets[1].buf, 0x77, sizeof mark);
    ask.gets[2].len = 10; // in memory
    memset(ask.gets[2].buf, 0x77, sizeof mark);
    ask.gets[3].key = "not there";
    ask.gets[3].key_len = 9;
    ask.gets[4].key_len = 0;
    ask.gets[5].key = long_key;
    ask.gets[5].key_len = KV_KEY_MAX + 1;
    assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(ask.gets[i].status, KV_TOO_LARGE);
        assert_int_equal(ask.gets[i].len, read_kit_len(i, LEN));
        assert_memory_equal(ask.gets[i].buf, mark, sizeof mark);
    }
    assert_int_equal(ask.gets[3].status, KV_NOT_FOUND);
    assert_int_equal(ask.gets[4].status, KV_INVALID);
    assert_int_equal(ask.gets[5].status, KV_TOO_LARGE);
    assert_true(is_right(&ask, 0));
    for (size_t i = 6; i < ask.count; i++)
        assert_true(is_right(&ask, i));
    ask_free(&warm);
    ask_free(&ask);
}

static void test_mixture(void **state)
{
    (void)state;
    each_way(check_mixture);
}

// ---- a disk that fails

static size_t count_of(const struct ask *ask, enum kv_status status)
{
    size_t n = 0;
    for (size_t i = 0; i < ask->count; i++)
        n += ask->gets[i].status == status;
    return n;
}

// Every third read fails: those gets say so, all others are right, and later ones as well.
static void check_errors(struct kv_store *store, const char *way)
{
    struct ask ask = ask_new(300, 0, 1, KEYS);
    read_kit_fault(READ_KIT_EIO, 3);
    assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
    read_kit_fault(READ_KIT_NONE, 1);
    assert_int_equal(count_of(&ask, KV_IO), 100);
    for (size_t i = 0; i < ask.count; i++)
        assert_true(ask.gets[i].status == KV_IO || is_right(&ask, i));
    char text[256];
    kv_error_text(store, text, sizeof text);
    assert_non_null(strstr(text, "Input/output error"));
    ask_free(&ask);
    ask = ask_new(300, 0, 1, KEYS);
    assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
    expect_all_right(&ask, way);
    ask_free(&ask);
}

static void test_errors(void **state)
{
    (void)state;
    each_way(check_errors);
}

// Half of what was asked for comes back: the rest is fetched. Nothing comes back: damaged. A bit flips:
// damaged.
static void check_bad_answers(struct kv_store *store, const char *way)
{
    struct ask ask = ask_new(300, 0, 1, KEYS);
    read_kit_fault(READ_KIT_SHORT, 2);
    assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
    expect_all_right(&ask, way);
    static const enum read_kit_fault bad[] = {READ_KIT_EOF, READ_KIT_FLIP};
    for (unsigned f = 0; f < 2; f++) {
        read_kit_fault(bad[f], 3);
        ask_free(&ask);
        ask = ask_new(300, 0, 1, KEYS);
        assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
        for (size_t i = 0; i < ask.count; i++)
            assert_true(ask.gets[i].status == KV_CORRUPT || is_right(&ask, i));
        assert_int_equal(count_of(&ask, KV_CORRUPT), 100);
    }
    read_kit_fault(READ_KIT_NONE, 1);
    ask_free(&ask);
    ask = ask_new(300, 0, 1, KEYS);
    assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
    expect_all_right(&ask, way);
    ask_free(&ask);
}

static void test_bad_answers(void **state)
{
    (void)state;
    each_way(check_bad_answers);
}

// A file system that takes O_DIRECT at open and refuses it at the first read: page cache from then on.
static void check_refused_direct(struct kv_store *store, const char *way)
{
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    if (stats.direct_reads == 0)
        return;
    struct ask ask = ask_new(300, 0, 1, KEYS);
    read_kit_fault(READ_KIT_EINVAL, 2);
    assert_int_equal(kv_get_batch(store, ask.gets, 40), KV_OK);
    read_kit_fault(READ_KIT_NONE, 1);
    size_t bad = 0; // of reads that were buffered already EINVAL is an error
    for (size_t i = 0; i < 40; i++)
        bad += ask.gets[i].status == KV_IO;
    assert_true(bad < 40);
    ask_free(&ask);
    ask = ask_new(KEYS, 0, 1, KEYS);
    assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
    expect_all_right(&ask, way);
    ask_free(&ask);
}

static void test_refused_direct(void **state)
{
    (void)state;
    each_way(check_refused_direct);
}

// The bytes in the file itself change: that record's get says so, once counted, its neighbours do not.
static void check_flipped_file(struct kv_store *store, const char *way)
{
    char path[192];
    size_t len;
    uint8_t needle[64], *file = kit_read_file(kit_segment_path(dir, 1, path), &len);
    read_kit_fill(5, 0, needle, read_kit_len(5, LEN) < 64 ? read_kit_len(5, LEN) : 64);
    uint8_t *at = memmem(file, len, needle, sizeof needle);
    assert_non_null(at);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    uint8_t wrong = at[1000] ^ 0x10;
    assert_int_equal(pwrite(fd, &wrong, 1, (off_t)(at - file) + 1000), 1);
    assert_int_equal(close(fd), 0);
    free(file);
    for (unsigned round = 0; round < 2; round++) {
        struct ask ask = ask_new(10, 0, 1, KEYS);
        assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
        for (size_t i = 0; i < ask.count; i++)
            if (i == 5 ? ask.gets[i].status != KV_CORRUPT : !is_right(&ask, i))
                fail_msg("%s: %zu: %s", way, i, kv_status_text(ask.gets[i].status));
        ask_free(&ask);
    }
    assert_int_equal(kit_get_status(store, "key-5"), KV_CORRUPT);
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 1);
}

static void test_flipped_file(void **state)
{
    (void)state;
    each_way(check_flipped_file);
}

// io_uring_enter is short of something for a moment, and then for good: every get is answered all the same.
static void check_failing_ring(struct kv_store *store, const char *way)
{
    static const int errors[] = {EAGAIN, EBUSY, EINTR, EPERM};
    for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
        struct ask ask = ask_new(500, (unsigned)e, 3, KEYS);
        read_kit_ring_error(errors[e], 3);
        assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
        read_kit_ring_error(0, 0);
        expect_all_right(&ask, way);
        ask_free(&ask);
    }
}

static void test_failing_ring(void **state)
{
    (void)state;
    each_way(check_failing_ring);
}

// ---- others at work

struct work {
    struct kv_store *store;
    _Atomic bool stop;
    unsigned seed;
};

static void *overwrite_main(void *arg)
{
    struct work *work = arg;
    char key[32];
    for (unsigned n = 1; !atomic_load(&work->stop); n++) {
        work->seed = work->seed * 1103515245u + 12345u;
        unsigned i = work->seed / 65536u % KEYS;
        if (n % 8 == 0)
            assert_int_not_equal(kv_delete(work->store, key, read_kit_key(i, key), KV_PUT_NO_WAIT), KV_IO);
        else
            read_kit_put(work->store, i, n, read_kit_len(i, LEN));
        if (n % 64 == 0)
            assert_int_equal(kv_set_memory_limit(work->store, n / 64 % 2 * (4u << 20)), KV_OK);
    }
    return NULL;
}

static void *batch_main(void *arg)
{
    struct work *work = arg;
    unsigned seed = work->seed;
    for (unsigned round = 0; round < (KIT_SANITIZED ? 10 : 30); round++) {
        seed = seed * 1103515245u + 12345u;
        struct ask ask = ask_new(1 + seed / 65536u % 300, seed / 7u % KEYS, 11, KEYS);
        assert_int_equal(kv_get_batch(work->store, ask.gets, ask.count), KV_OK);
        for (size_t i = 0; i < ask.count; i++)
            if (ask.gets[i].status != KV_NOT_FOUND && !is_right(&ask, i))
                fail_msg("key %u: %s, %zu bytes", ask.numbers[i], kv_status_text(ask.gets[i].status),
                         ask.gets[i].len);
        ask_free(&ask);
    }
    return NULL;
}

// Overwrites, deletes, compaction and limit changes while batches read: every answer is some whole value of
// its key, or that the key is not there; never an error.
static void check_concurrent(struct kv_store *store, const char *way)
{
    (void)way;
    struct work writers[2] = {{.store = store, .seed = 1}, {.store = store, .seed = 2}};
    struct work readers[2] = {{.store = store, .seed = 3}, {.store = store, .seed = 4}};
    pthread_t writing[2], reading[2];
    for (unsigned t = 0; t < 2; t++) {
        assert_int_equal(pthread_create(&writing[t], NULL, overwrite_main, &writers[t]), 0);
        assert_int_equal(pthread_create(&reading[t], NULL, batch_main, &readers[t]), 0);
    }
    for (unsigned t = 0; t < 2; t++)
        assert_int_equal(pthread_join(reading[t], NULL), 0);
    for (unsigned t = 0; t < 2; t++) {
        atomic_store(&writers[t].stop, true);
        assert_int_equal(pthread_join(writing[t], NULL), 0);
    }
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.damaged_records, 0);
}

static void test_concurrent(void **state)
{
    (void)state;
    each_way(check_concurrent);
}

// More threads than ports are kept, one after the other and at once.
static void check_many_threads(struct kv_store *store, const char *way)
{
    (void)way;
    struct work work[12];
    pthread_t threads[12];
    for (unsigned t = 0; t < 12; t++) {
        work[t] = (struct work){.store = store, .seed = t};
        assert_int_equal(pthread_create(&threads[t], NULL, batch_main, &work[t]), 0);
        if (t < 4)
            assert_int_equal(pthread_join(threads[t], NULL), 0);
    }
    for (unsigned t = 4; t < 12; t++)
        assert_int_equal(pthread_join(threads[t], NULL), 0);
}

static void test_many_threads(void **state)
{
    (void)state;
    each_way(check_many_threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),        cmocka_unit_test(test_ways_are_taken),
        cmocka_unit_test(test_mixture),      cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bad_answers),  cmocka_unit_test(test_refused_direct),
        cmocka_unit_test(test_flipped_file), cmocka_unit_test(test_failing_ring),
        cmocka_unit_test(test_concurrent),   cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
