// Gets of many and single gets that miss, in each way to read: answers, refusals, a disk that fails, and writers meanwhile.
#include "kv_read_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvstore/kv_io.h"

#define KEYS 1200u
#define LEN  3000u
#define ROOM 4096u

static char dir[128];

// A batch over keys first, first + step, ...
struct ask {
    struct kv_get *gets;
    unsigned *numbers;
    char (*keys)[32];
    uint8_t *room;
    size_t count;
};

static struct ask ask_new(size_t count, unsigned first, unsigned step, unsigned modulo)
{
    struct ask ask = {.count = count};
    ask.gets = calloc(count, sizeof *ask.gets);
    ask.numbers = calloc(count, sizeof *ask.numbers);
    ask.keys = calloc(count, sizeof *ask.keys);
    ask.room = malloc(count * ROOM);
    for (size_t i = 0; i < count; i++) {
        ask.numbers[i] = (first + (unsigned)i * step) % modulo;
        ask.gets[i] = (struct kv_get){.key = ask.keys[i],
                                      .key_len = read_kit_key(ask.numbers[i], ask.keys[i]),
                                      .buf = ask.room + i * ROOM,
                                      .len = ROOM};
    }
    return ask;
}

static void ask_free(struct ask *ask)
{
    free(ask->gets);
    free(ask->numbers);
    free(ask->keys);
    free(ask->room);
}

static bool is_right(const struct ask *ask, size_t i)
{
    const struct kv_get *get = &ask->gets[i];
    return get->status == KV_OK && get->version != 0 && get->len == read_kit_len(ask->numbers[i], LEN) &&
           read_kit_is_value(ask->numbers[i], get->buf, get->len);
}

static void expect_all_right(const struct ask *ask, const char *way)
{
    for (size_t i = 0; i < ask->count; i++)
        if (!is_right(ask, i))
            fail_msg("%s: key %u of %zu: %s, %zu bytes", way, ask->numbers[i], i,
                     kv_status_text(ask->gets[i].status), ask->gets[i].len);
}

static void each_way(void (*test)(struct kv_store *store, const char *way))
{
    for (unsigned way = 0; way < READ_KIT_WAYS; way++) {
        struct kv_store *store = read_kit_open(way, dir, KEYS, LEN);
        if (store == NULL)
            continue;
        test(store, read_kit_way(way));
        read_kit_close(&store, dir);
    }
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

// Half of what was asked for comes back: the rest is fetched. Nothing comes back: damaged. A bit flips: damaged.
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

// ---- single gets, and large values

static void expect_everywhere(struct kv_store *store, unsigned i, size_t len, const char *way)
{
    char key[32];
    size_t key_len = read_kit_key(i, key), got = len - 1;
    uint8_t *buf = malloc(len);
    memset(buf, 0x77, len);
    assert_int_equal(kv_get(store, key, key_len, buf, &got), KV_TOO_LARGE);
    assert_int_equal(got, len);
    assert_true(buf[0] == 0x77 && buf[len - 2] == 0x77);
    enum kv_status status = kv_get(store, key, key_len, buf, &got);
    if (status != KV_OK)
        fail_msg("%s: kv_get of %zu bytes: %s", way, len, kv_status_text(status));
    if (got != len || !read_kit_is_value(i, buf, len))
        fail_msg("%s: kv_get of %zu bytes is wrong", way, len);
    struct kv_get get = {.key = key, .key_len = key_len, .buf = buf, .len = len};
    memset(buf, 0, len);
    struct kv_get both[2] = {get, {.key = "none", .key_len = 4}};
    assert_int_equal(kv_get_batch(store, both, 2), KV_OK);
    assert_int_equal(both[0].status, KV_OK);
    assert_true(both[0].len == len && read_kit_is_value(i, buf, len));
    void *value;
    uint64_t version;
    assert_int_equal(kv_get_alloc(store, key, key_len, &value, &got, &version), KV_OK);
    assert_true(got == len && version == both[0].version && read_kit_is_value(i, value, len));
    free(value);
    struct kv_view view;
    assert_int_equal(kv_get_view(store, key, key_len, &view), KV_OK);
    assert_true(view.len == len && view.version == version && read_kit_is_value(i, view.data, len));
    kv_view_release(store, &view);
    free(buf);
}

// Around the sizes at which the way of reading changes, with and without memory.
static void check_all_sizes(struct kv_store *store, const char *way)
{
    static const size_t sizes[] = {8,      100,       4096,      8000,          (200u << 10), (256u << 10) - 200,
                                   262144, 280 * 1024, 1u << 20, (1u << 20) + 1, (2u << 20) + 4097};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    for (unsigned i = 0; i < COUNT; i++)
        read_kit_put(store, KEYS + i, 1, sizes[i]);
    for (unsigned i = COUNT; i < COUNT + 5; i++) // so that the others' segments are sealed
        read_kit_put(store, KEYS + i, 1, 1u << 20);
    assert_int_equal(kv_sync(store), KV_OK);
    for (unsigned wait = 0; wait < 3; wait++) {
        for (unsigned i = 0; i < COUNT; i++)
            expect_everywhere(store, KEYS + i, sizes[i], way);
        (void)usleep(150000);
    }
    read_kit_fault(READ_KIT_SHORT, 3);
    for (unsigned i = 0; i < COUNT; i++)
        expect_everywhere(store, KEYS + i, sizes[i], way);
    read_kit_fault(READ_KIT_NONE, 1);
    assert_int_equal(kv_set_memory_limit(store, 64u << 20), KV_OK);
    for (unsigned i = 0; i < COUNT; i++)
        expect_everywhere(store, KEYS + i, sizes[i], way);
}

static void test_all_sizes(void **state)
{
    (void)state;
    each_way(check_all_sizes);
}

// A large value whose bytes are wrong leaves nothing of itself in the caller's buffer.
static void check_large_damaged(struct kv_store *store, const char *way)
{
    (void)way;
    size_t len = 3u << 20;
    read_kit_put(store, KEYS, 1, len);
    uint8_t *buf = malloc(len);
    char key[32];
    size_t key_len = read_kit_key(KEYS, key), got = len;
    read_kit_fault(READ_KIT_FLIP, 4); // head, then three or four pieces
    assert_int_equal(kv_get(store, key, key_len, buf, &got), KV_CORRUPT);
    uint8_t *first = malloc(64);
    read_kit_fill(KEYS, 1, first, len < 64 ? len : 64);
    assert_null(memmem(buf, len, first, 64));
    read_kit_fault(READ_KIT_EIO, 3);
    got = len;
    assert_int_equal(kv_get(store, key, key_len, buf, &got), KV_IO);
    assert_null(memmem(buf, len, first, 64));
    read_kit_fault(READ_KIT_NONE, 1);
    free(first);
    free(buf);
}

static void test_large_damaged(void **state)
{
    (void)state;
    each_way(check_large_damaged);
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
    for (unsigned round = 0; round < (KIT_SANITIZED ? 25 : 60); round++) {
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

// Overwrites, deletes, compaction and limit changes while batches read: every answer is some whole value of its key, or that the key is
// not there; never an error.
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

// ---- systems without io_uring

// The system call numbers of io_uring_setup, _enter and _register answer EPERM from here on.
static bool forbid_io_uring(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int without_io_uring(void)
{
    if (!forbid_io_uring())
        return 77;
    struct kv_options options = read_kit_options(0);
    struct kv_store *store;
    char error[512];
    if (kv_open(dir, &options, &store, error, sizeof error) != KV_IO || strstr(error, "io_uring") == NULL)
        return 1;
    options.read_mode = KV_READ_AUTO;
    if (kv_open(dir, &options, &store, error, sizeof error) != KV_OK)
        return 2;
    struct ask ask = ask_new(500, 0, 3, KEYS);
    if (kv_get_batch(store, ask.gets, ask.count) != KV_OK)
        return 3;
    for (size_t i = 0; i < ask.count; i++)
        if (!is_right(&ask, i))
            return 4;
    ask_free(&ask);
    return kv_close(&store) == KV_OK ? 0 : 5;
}

// Blocked by seccomp, as in many containers: asked for it is an error at open, otherwise threads read.
static void test_blocked(void **state)
{
    (void)state;
    struct kv_store *store = read_kit_open(3, dir, KEYS, LEN);
    kit_close(&store);
    pid_t child = fork();
    if (child == 0)
        _exit(without_io_uring());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    kit_remove(dir);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

// With the file functions replaced every read goes through the replacement, whatever was asked for.
static _Atomic unsigned simulated;

static ssize_t simulated_pread(int fd, void *buf, size_t len, off_t offset)
{
    atomic_fetch_add(&simulated, 1);
    return pread(fd, buf, len, offset);
}

static void test_simulated_disk(void **state)
{
    (void)state;
    struct kv_store *store = read_kit_open(3, dir, KEYS, LEN);
    kit_close(&store);
    kv_io.pread = simulated_pread;
    struct kv_options options = read_kit_options(0);
    store = kit_open(dir, &options);
    (void)usleep(200000);
    struct ask ask = ask_new(500, 0, 3, KEYS);
    atomic_store(&simulated, 0);
    assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
    expect_all_right(&ask, "simulated");
    assert_true(atomic_load(&simulated) >= 500);
    ask_free(&ask);
    read_kit_close(&store, dir);
}

// After a single miss one system call has read one record: with the disk's answers counted.
static void check_one_read(struct kv_store *store, const char *way)
{
    struct kv_stats before, after;
    kv_get_stats(store, &before);
    char key[32];
    uint8_t buf[ROOM];
    for (unsigned i = 0; i < 100; i++) {
        size_t len = sizeof buf;
        assert_int_equal(kv_get(store, key, read_kit_key(i, key), buf, &len), KV_OK);
    }
    kv_get_stats(store, &after);
    if (after.disk_reads - before.disk_reads != 100)
        fail_msg("%s: %llu reads for 100 gets", way,
                 (unsigned long long)(after.disk_reads - before.disk_reads));
    assert_int_equal(after.misses - before.misses, 100);
}

static void test_one_read(void **state)
{
    (void)state;
    each_way(check_one_read);
}

// ---- what stays behind

#define SECRET_BYTES 48u
#define SCAN_MOST    (64u << 20) // larger mappings are the memory tier's reserved range

static size_t find_in(int memory, uint64_t from, uint64_t to, const uint8_t *needle)
{
    size_t len = to - from, found = 0;
    uint8_t *copy = malloc(len);
    ssize_t got = pread(memory, copy, len, (off_t)from);
    for (const uint8_t *at = copy; got > 0 && (at = memmem(at, (size_t)(copy + got - at), needle, SECRET_BYTES)) != NULL;
         at++)
        found++;
    explicit_bzero(copy, len);
    free(copy);
    return found;
}

// How often the bytes are in this process's writable memory. They are kept inverted, so as not to find themselves.
static size_t find_in_memory(const uint8_t inverted[SECRET_BYTES])
{
    uint8_t *needle = mmap(NULL, SCAN_MOST * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(needle != MAP_FAILED); // larger than what is looked at
    for (size_t i = 0; i < SECRET_BYTES; i++)
        needle[i] = (uint8_t)~inverted[i];
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    char line[512], mode[8];
    unsigned long from, to;
    size_t found = 0;
    while (fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 && mode[1] == 'w' && to - from <= SCAN_MOST)
            found += find_in(memory, from, to, needle);
    (void)fclose(maps);
    (void)close(memory);
    (void)munmap(needle, SCAN_MOST * 2);
    return found;
}

struct waiter {
    struct kv_store *store;
    _Atomic int called;
};

static void take_secret(void *arg, enum kv_status status, const struct kv_view *view)
{
    struct waiter *waiter = arg;
    assert_int_equal(status, KV_OK);
    struct kv_view owned = *view;
    kv_view_release(waiter->store, &owned);
    atomic_store(&waiter->called, 1);
}

static void read_secrets(struct kv_store *store, const char keys[2][32], size_t len)
{
    uint8_t *buf = malloc(2 * len);
    struct kv_get gets[2] = {{keys[0], strlen(keys[0]), buf, len, 0, KV_OK},
                             {keys[1], strlen(keys[1]), buf + len, len, 0, KV_OK}};
    assert_int_equal(kv_get_batch(store, gets, 2), KV_OK);
    assert_true(gets[0].status == KV_OK && gets[1].status == KV_OK);
    size_t got = len;
    assert_int_equal(kv_get(store, keys[0], strlen(keys[0]), buf, &got), KV_OK);
    struct kv_view view;
    assert_int_equal(kv_get_view(store, keys[0], strlen(keys[0]), &view), KV_OK);
    kv_view_release(store, &view);
    struct waiter waiter = {store, 0};
    assert_int_equal(kv_get_async(store, keys[0], strlen(keys[0]), &view, take_secret, &waiter), KV_PENDING);
    while (atomic_load(&waiter.called) == 0)
        (void)usleep(1000);
    explicit_bzero(buf, 2 * len);
    free(buf);
}

// After gets of every kind the store's buffers hold nothing of the values.
static void check_secrets(struct kv_store *store, const char *way)
{
    static const size_t sizes[] = {SECRET_BYTES, 4096, 100000, 3u << 20};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        uint8_t inverted[SECRET_BYTES], *value = malloc(sizes[s]);
        for (size_t i = 0; i < sizes[s]; i++) {
            value[i] = (uint8_t)(i % SECRET_BYTES * 37 + s * 11 + (size_t)way[0] + i / SECRET_BYTES);
            if (i < SECRET_BYTES)
                inverted[i] = (uint8_t)~value[i];
        }
        static const char keys[2][32] = {"secret", "secret too"};
        for (unsigned k = 0; k < 2; k++)
            assert_int_equal(kv_put(store, keys[k], strlen(keys[k]), value, sizes[s], 0, 0), KV_OK);
        explicit_bzero(value, sizes[s]);
        free(value);
        size_t before = find_in_memory(inverted);
        read_secrets(store, keys, sizes[s]);
        size_t after = find_in_memory(inverted);
        if (after > before)
            fail_msg("%s: %zu bytes: %zu copies are left in memory", way, sizes[s], after - before);
    }
}

static void test_secrets(void **state)
{
    (void)state;
    if (KIT_SANITIZED)
        skip(); // a sanitizer keeps copies, and more memory than can be looked at
    each_way(check_secrets);
}

// No descriptors to spare: segments are read through the page cache, and the process keeps half of what it may have.
static void test_few_descriptors(void **state)
{
    (void)state;
    struct rlimit limit, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = 16;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct kv_store *store = read_kit_open(2, dir, KEYS, LEN);
    struct ask ask = ask_new(300, 0, 1, KEYS);
    assert_int_equal(kv_get_batch(store, ask.gets, ask.count), KV_OK);
    expect_all_right(&ask, "few descriptors");
    int fd = dup(0);
    assert_true(fd >= 0 && fd < 14);
    (void)close(fd);
    ask_free(&ask);
    read_kit_close(&store, dir);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocked), // first: it forks
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_ways_are_taken),
        cmocka_unit_test(test_mixture),        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bad_answers),    cmocka_unit_test(test_refused_direct),
        cmocka_unit_test(test_flipped_file),   cmocka_unit_test(test_failing_ring),
        cmocka_unit_test(test_one_read),       cmocka_unit_test(test_all_sizes),
        cmocka_unit_test(test_large_damaged),  cmocka_unit_test(test_concurrent),
        cmocka_unit_test(test_many_threads),   cmocka_unit_test(test_simulated_disk),
        cmocka_unit_test(test_secrets),        cmocka_unit_test(test_few_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
