// Single gets that miss, of values of every size, and what surrounds them: systems without io_uring,
// simulated disks, few descriptors, and that no value stays behind in memory.
#include "kv_ask.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
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

static char dir[128];

static void each_way(void (*test)(struct kv_store *store, const char *way))
{
    read_kit_each_way(dir, KEYS, LEN, test);
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
    static const size_t sizes[] = {
        8,      100,        4096,     8000,           (200u << 10),     (256u << 10) - 200,
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
    for (const uint8_t *at = copy;
         got > 0 && (at = memmem(at, (size_t)(copy + got - at), needle, SECRET_BYTES)) != NULL; at++)
        found++;
    explicit_bzero(copy, len);
    free(copy);
    return found;
}

// How often the bytes are in this process's writable memory. They are kept inverted, so as not to find
// themselves.
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

// No descriptors to spare: segments are read through the page cache, and the process keeps half of what it
// may have.
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
        cmocka_unit_test(test_one_read),      cmocka_unit_test(test_all_sizes),
        cmocka_unit_test(test_large_damaged), cmocka_unit_test(test_simulated_disk),
        cmocka_unit_test(test_secrets),       cmocka_unit_test(test_few_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
