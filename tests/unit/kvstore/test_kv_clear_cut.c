// kv_clear() that is refused or cut short by a kill at any of its steps: every key is there or none.
#include "clear_kit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvstore/kv_io.h"

// ---- what is refused

static int (*plain_unlink)(const char *path);
static const char *not_unlinked;

static int picky_unlink(const char *path)
{
    if (not_unlinked != NULL && strstr(path, not_unlinked) != NULL) {
        errno = EIO;
        return -1;
    }
    return plain_unlink(path);
}

// What a clear that was tried leaves: said so, or not changed at all.
static void expect_all_or_nothing(enum kv_status status)
{
    bool read_only = fixture_stats().read_only;
    assert_int_equal(clear_there(), status == KV_OK ? 0 : CLEAR_KEYS);
    if (status != KV_OK)
        assert_int_equal(kv_clear(fixture.store), read_only ? KV_READ_ONLY : KV_OK);
    if (status != KV_OK && !read_only)
        clear_put_all();
    fixture_reopen();
    unsigned left = clear_there();
    if (read_only)
        assert_true(left == 0 || left == CLEAR_KEYS);
    else
        assert_int_equal(left, status == KV_OK ? 0 : CLEAR_KEYS);
    assert_int_equal(fixture_stats().damaged_records, 0);
    assert_int_equal(kv_close(&fixture.store), KV_OK);
    kit_forget_index(fixture.dir);
    fixture_open();
    assert_int_equal(clear_there(), left);
}

static bool fail_step(enum kit_fault fault, int error, int skip, bool snapshot)
{
    clear_put_all();
    if (snapshot)
        assert_int_equal(kv_checkpoint(fixture.store), KV_OK);
    kit_heal();
    kit_fail(fault, error, skip, error == ENOSPC ? -1 : 1, 7);
    enum kv_status status = kv_clear(fixture.store);
    bool struck = kit_calls(fault) > (unsigned)skip;
    kit_fail(fault, 0, 0, 0, 0);
    if (!struck)
        assert_int_equal(status, KV_OK);
    else
        assert_true(status == KV_OK || status == KV_IO || status == KV_FULL || status == KV_NO_MEMORY);
    if (status == KV_FULL)
        assert_int_equal(error, ENOSPC);
    expect_all_or_nothing(status);
    return struck;
}

// Each step in turn, until none is left to fail.
static void test_each_step_fails(void **state)
{
    (void)state;
    static const enum kit_fault faults[] = {KIT_OPEN, KIT_WRITE, KIT_FSYNC, KIT_RENAME, KIT_TRUNCATE};
    static const int errors[] = {EIO, ENOSPC, EMFILE};
    for (unsigned f = 0; f < sizeof faults / sizeof faults[0]; f++)
        for (unsigned e = 0; e < sizeof errors / sizeof errors[0]; e++)
            for (int skip = 0; skip < 20 && fail_step(faults[f], errors[e], skip, skip % 2 == 0); skip++)
                assert_true(skip < 19);
}

static void test_unlink_fails(void **state)
{
    (void)state;
    plain_unlink = kv_io.unlink;
    kv_io.unlink = picky_unlink;
    clear_put_all();
    assert_int_equal(kv_checkpoint(fixture.store), KV_OK);
    not_unlinked = "/INDEX";
    assert_int_equal(kv_clear(fixture.store), KV_IO);
    assert_int_equal(clear_there(), CLEAR_KEYS);
    not_unlinked = ".seg"; // they are removed at the next open
    assert_int_equal(kv_clear(fixture.store), KV_OK);
    clear_expect_empty();
    assert_true(clear_files_like(".seg") > 1);
    not_unlinked = NULL;
    fixture_reopen();
    clear_expect_empty();
    assert_int_equal(clear_files_like(".seg"), 1);
    kit_close(&fixture.store);
    kv_io.unlink = plain_unlink;
    fixture_open();
}

static void test_read_only(void **state)
{
    (void)state;
    clear_put_all();
    kit_fail(KIT_FDATASYNC, EIO, 0, 1, 0);
    assert_int_equal(kv_put(fixture.store, "k", 1, "v", 1, 0, 0), KV_IO);
    assert_int_equal(kv_clear(fixture.store), KV_READ_ONLY);
    assert_int_equal(clear_there(), CLEAR_KEYS);
}

// ---- kill -9 in front of each step

static int dies_at;
static pid_t armed;

static void step(void)
{
    if (armed == getpid() && dies_at-- == 0)
        (void)kill(armed, SIGKILL);
}

static struct kv_io under;

static int k_open(const char *path, int flags, mode_t mode)
{
    step();
    return under.open(path, flags, mode);
}
static ssize_t k_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    step();
    return under.pwritev(fd, iov, count, offset);
}
static int k_fsync(int fd)
{
    step();
    return under.fsync(fd);
}
static int k_unlink(const char *path)
{
    step();
    return under.unlink(path);
}
static int k_rename(const char *from, const char *to)
{
    step();
    return under.rename(from, to);
}
static int k_ftruncate(int fd, off_t size)
{
    step();
    return under.ftruncate(fd, size);
}

static _Noreturn void clear_and_die(int at)
{
    fixture_open();
    clear_put_all();
    if (kv_checkpoint(fixture.store) != KV_OK)
        _exit(2);
    dies_at = at;
    armed = getpid();
    enum kv_status status = kv_clear(fixture.store);
    armed = 0;
    _exit(status == KV_OK ? 0 : 3);
}

static void test_killed_at_each_step(void **state)
{
    (void)state;
    kit_close(&fixture.store);
    under = kv_io;
    kv_io.open = k_open;
    kv_io.pwritev = k_pwritev;
    kv_io.fsync = k_fsync;
    kv_io.unlink = k_unlink;
    kv_io.rename = k_rename;
    kv_io.ftruncate = k_ftruncate;
    unsigned before = 0, after = 0;
    for (int at = 0;; at++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            clear_and_die(at);
        int end;
        assert_int_equal(waitpid(child, &end, 0), child);
        fixture_open();
        unsigned left = clear_there();
        assert_true(left == 0 || left == CLEAR_KEYS);
        assert_int_equal(fixture_stats().damaged_records, 0);
        before += left == CLEAR_KEYS;
        after += left == 0;
        kit_put(fixture.store, "after", "value");
        fixture_reopen();
        assert_int_equal(clear_there(), left);
        kit_expect(fixture.store, "after", "value");
        kit_close(&fixture.store);
        if (WIFEXITED(end)) {
            assert_int_equal(WEXITSTATUS(end), 0);
            assert_int_equal(left, 0);
            break;
        }
        assert_true(at < 200);
    }
    assert_true(before > 5 && after > 2);
    kv_io = under;
    fixture_open();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, clear_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_step_fails),
        TEST(test_unlink_fails),
        TEST(test_read_only),
        TEST(test_killed_at_each_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
