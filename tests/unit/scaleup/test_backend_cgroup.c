// The cgroup back-end on a folder of plain files that looks like a group of version 1 or 2. test_backend_cgroup_real.c has the kernel's own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend_kit.h"
#include "common/clock.h"
#include "scaleup/cgroup_change.h"
#include "tests/unit/common/test_dir.h"

#define MB 1048576ull

static struct kit kit;

static int make_root(void **state)
{
    (void)state;
    (void)test_dir_create();
    assert_int_equal(mkdir(test_dir_path("proc"), 0700), 0);
    (void)test_dir_write("proc/meminfo", "MemTotal:        1048576 kB\nMemFree: 5 kB\n");
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    test_dir_remove();
    return 0;
}

static void put(const char *file, uint64_t bytes)
{
    char name[64], text[32];
    (void)snprintf(name, sizeof name, "g/%s", file);
    (void)snprintf(text, sizeof text, "%llu\n", (unsigned long long)bytes);
    (void)test_dir_write(name, text);
}

static uint64_t get(const char *file)
{
    char name[64];
    (void)snprintf(name, sizeof name, "g/%s", file);
    char *text = test_read_file(test_dir_path(name), NULL);
    assert_non_null(text);
    uint64_t bytes = strtoull(text, NULL, 10);
    free(text);
    return bytes;
}

static void make_v2(uint64_t limit, uint64_t used, uint64_t cache, uint64_t dirty)
{
    char text[256];
    assert_int_equal(mkdir(test_dir_path("g"), 0700), 0);
    put("memory.current", used + cache + dirty);
    put("memory.high", limit);
    (void)snprintf(
        text, sizeof text,
        "anon 1\nfile 7\nfile_dirty %llu\nfile_writeback 0\ninactive_file %llu\nactive_file 4096\n",
        (unsigned long long)dirty, (unsigned long long)(cache + dirty - 4096));
    (void)test_dir_write("g/memory.stat", text);
    put("memory.max", limit); // last: with it the group is there
}

static void make_v1(uint64_t limit, uint64_t used, uint64_t cache)
{
    char text[256];
    assert_int_equal(mkdir(test_dir_path("g"), 0700), 0);
    put("memory.usage_in_bytes", used + cache);
    (void)snprintf(text, sizeof text,
                   "cache 1\ninactive_file 9\ntotal_inactive_file %llu\ntotal_active_file 0\n",
                   (unsigned long long)cache);
    (void)test_dir_write("g/memory.stat", text);
    put("memory.limit_in_bytes", limit);
}

static void open_group(const char *more)
{
    char settings[1024];
    char root[512];
    (void)snprintf(root, sizeof root, "%s", test_dir_path(""));
    (void)snprintf(settings, sizeof settings, "path=/g poll=20ms root=%s %s", root, more);
    kit_open(&kit, &backend_cgroup, MB, settings);
}

static void settings_are_checked(void **state)
{
    (void)state;
    kit_refused(&backend_cgroup, "", "path=");
    kit_refused(&backend_cgroup, "path=relative", "path=");
    kit_refused(&backend_cgroup, "path=/x margin=wide", "a size");
    kit_refused(&backend_cgroup, "path=/x poll=1ms", "poll");
    kit_refused(&backend_cgroup, "path=/x limit=1", "unknown key");
}

// Version 2: memory.max, and memory.high a margin below it; both ways.
static void version_2_is_set(void **state)
{
    (void)state;
    make_v2(256 * MB, 100 * MB, 8 * MB, 0);
    open_group("");
    const struct backend_report *r = kit_expect(&kit, BACKEND_CHANGED);
    assert_int_equal(r->actual_bytes, 256 * MB);
    assert_int_equal(r->used_bytes, 100 * MB);
    r = kit_set(&kit, 512 * MB);
    assert_int_equal(r->outcome, BACKEND_DONE);
    assert_int_equal(r->actual_bytes, 512 * MB);
    assert_string_equal(r->detail, "");
    assert_int_equal(get("memory.max"), 512 * MB);
    assert_int_equal(get("memory.high"), 496 * MB);
    r = kit_set(&kit, 200 * MB);
    assert_int_equal(r->outcome, BACKEND_DONE);
    assert_int_equal(get("memory.max"), 200 * MB);
    assert_int_equal(get("memory.high"), 184 * MB);
    kit_silence(&kit, 100); // its own changes are no news
    kit_close(&kit);
}

// Never below what is in use plus the margin, rounded up to the granularity; clean cache does not count, dirty pages do. Version 2: the margin is free
// under memory.high.
static void a_return_stops_at_what_is_used(void **state)
{
    (void)state;
    make_v2(256 * MB, 100 * MB + 1, 50 * MB, 3 * MB);
    open_group("margin=10mb");
    const struct backend_report *r = kit_set(&kit, 64 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 124 * MB);
    assert_int_equal(r->used_bytes, 103 * MB + 1);
    assert_non_null(strstr(r->detail, "in use"));
    assert_int_equal(get("memory.high"), 114 * MB);
    assert_int_equal(get("memory.max"), 124 * MB);
    r = kit_set(&kit, 64 * MB); // again: nothing moves
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 124 * MB);
    put("memory.current", 200 * MB); // more is used than could be with that limit and margin
    r = kit_set(&kit, 64 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(get("memory.max"), 124 * MB);
    kit_close(&kit);
}

// Pages of files that are mapped are in use, clean as they may be: programs run in them.
static void mapped_files_are_in_use(void **state)
{
    static const char v2[] = "file_dirty 0\ninactive_file 104857600\nactive_file 0\nfile_mapped 41943040\n";
    static const char v1[] = "mapped_file 1\ntotal_inactive_file 104857600\ntotal_mapped_file 41943040\n";
    (void)state;
    make_v2(256 * MB, 10 * MB, 100 * MB, 0);
    (void)test_dir_write("g/memory.stat", v2);
    open_group("margin=8mb");
    const struct backend_report *r = kit_set(&kit, 32 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->used_bytes, 50 * MB);
    assert_int_equal(r->actual_bytes, 66 * MB);
    kit_close(&kit);
    assert_int_equal(rename(test_dir_path("g"), test_dir_path("v2")), 0);
    make_v1(256 * MB, 10 * MB, 100 * MB);
    (void)test_dir_write("g/memory.stat", v1);
    open_group("margin=8mb");
    r = kit_set(&kit, 32 * MB);
    assert_int_equal(r->used_bytes, 50 * MB);
    assert_int_equal(r->actual_bytes, 58 * MB);
    kit_close(&kit);
}

static bool always(void *arg)
{
    (void)arg;
    return true;
}

static void count_step(void *arg, const struct cgroup_reading *reading)
{
    uint64_t *counts = arg;
    assert_true(reading->limit_bytes < counts[1]);
    counts[1] = reading->limit_bytes;
    counts[0]++;
}

// Cache is dropped in steps, each of them told.
static void a_long_way_has_steps(void **state)
{
    (void)state;
    char path[512], root[512];
    uint64_t counts[2] = {0, 1024 * MB};
    (void)snprintf(path, sizeof path, "%s", test_dir_path("g"));
    (void)snprintf(root, sizeof root, "%s", test_dir_path(""));
    struct cgroup_group group = {.path = path,
                                 .root = root,
                                 .margin_bytes = 16 * MB,
                                 .step_bytes = 64 * MB,
                                 .granularity = MB,
                                 .go_on = always,
                                 .progress = count_step,
                                 .arg = counts};
    struct cgroup_result result;
    make_v1(1024 * MB, 20 * MB, 500 * MB);
    assert_true(cgroup_change(&group, 100 * MB, &result));
    assert_int_equal(result.outcome, BACKEND_DONE);
    assert_int_equal(counts[0], 6); // from 520 MB to 456, 392, 328, 264, 200, 136 and to the target
    assert_int_equal(counts[1], 136 * MB);
    assert_int_equal(result.reading.limit_bytes, 100 * MB);
    assert_int_equal(get("memory.limit_in_bytes"), 100 * MB);
    // The object does the same.
    put("memory.limit_in_bytes", 1024 * MB);
    open_group("");
    assert_int_equal(kit_set(&kit, 100 * MB)->outcome, BACKEND_DONE);
    assert_int_equal(get("memory.limit_in_bytes"), 100 * MB);
    kit_close(&kit);
}

// A group that grows whenever its memory.high is written: memory.max does not move, memory.high comes back.
static void version_2_does_not_kill_what_grows(void **state)
{
    (void)state;
    make_v2(100 * MB, 10 * MB, 0, 0);
    (void)test_dir_write("g/memory.stat", "inactive_file 0\nactive_file 0\n");
    assert_int_equal(unlink(test_dir_path("g/memory.high")), 0);
    assert_int_equal(symlink("memory.current", test_dir_path("g/memory.high")), 0);
    open_group("");
    const struct backend_report *r = kit_set(&kit, 64 * MB);
    assert_int_equal(r->outcome, BACKEND_PARTIAL);
    assert_int_equal(r->actual_bytes, 100 * MB);
    assert_int_equal(get("memory.max"), 100 * MB);
    kit_close(&kit);
}

// A group without a limit: what the machine has; the first limit is written at once.
static void no_limit_is_the_machine(void **state)
{
    (void)state;
    make_v1(9223372036854771712ull, 20 * MB, 4 * MB);
    open_group("");
    const struct backend_report *r = kit_expect(&kit, BACKEND_CHANGED);
    assert_int_equal(r->actual_bytes, 1024 * MB);
    assert_true(r->unlimited);
    assert_non_null(strstr(r->detail, "no limit"));
    r = kit_set(&kit, 64 * MB);
    assert_int_equal(r->outcome, BACKEND_DONE);
    assert_false(r->unlimited);
    assert_int_equal(get("memory.limit_in_bytes"), 64 * MB);
    kit_close(&kit);
}

// Missing at the start: measuring and setting say so; when it comes that is told, and again when it has gone and come back.
static void a_group_may_come_later(void **state)
{
    (void)state;
    open_group("");
    backend_cgroup.measure(kit.backend);
    const struct backend_report *r = kit_expect(&kit, BACKEND_FAILED);
    assert_int_equal(r->change_id, 0);
    assert_false(r->unknown); // there is nothing: that is known
    assert_int_equal(r->actual_bytes, 0);
    assert_non_null(strstr(r->detail, "No such file"));
    r = kit_set(&kit, 64 * MB);
    assert_int_equal(r->outcome, BACKEND_REFUSED);
    assert_non_null(strstr(r->detail, "/g"));
    kit_silence(&kit, 100);
    make_v2(128 * MB, 10 * MB, 0, 0);
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 128 * MB);
    assert_int_equal(rename(test_dir_path("g"), test_dir_path("away")), 0);
    kit_silence(&kit, 200);
    make_v2(128 * MB, 10 * MB, 0, 0);
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 128 * MB);
    kit_close(&kit);
}

// It is there and does not read: nothing is said of its size; when it reads again that is told, the same as before or not.
static void what_does_not_read_is_unknown(void **state)
{
    (void)state;
    make_v2(128 * MB, 10 * MB, 0, 0);
    open_group("");
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 128 * MB);
    (void)test_dir_write("g/memory.current", "much\n");
    backend_cgroup.measure(kit.backend);
    assert_true(kit_expect(&kit, BACKEND_FAILED)->unknown);
    assert_true(kit_set(&kit, 64 * MB)->unknown);
    put("memory.current", 10 * MB);
    const struct backend_report *r = kit_expect(&kit, BACKEND_CHANGED);
    assert_false(r->unknown);
    assert_int_equal(r->actual_bytes, 128 * MB);
    kit_close(&kit);
}

// A folder without a memory controller is no group.
static void a_folder_is_not_enough(void **state)
{
    (void)state;
    assert_int_equal(mkdir(test_dir_path("g"), 0700), 0);
    open_group("");
    const struct backend_report *r = kit_set(&kit, 64 * MB);
    assert_int_equal(r->outcome, BACKEND_REFUSED);
    assert_true(r->unknown);
    assert_non_null(strstr(r->detail, "no memory controller"));
    kit_close(&kit);
}

// Somebody else writes the file: told within a poll; asked for, it is told again.
static void a_change_from_outside_is_told(void **state)
{
    (void)state;
    make_v2(128 * MB, 10 * MB, 0, 0);
    open_group("");
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 128 * MB);
    kit_silence(&kit, 100);
    put("memory.max", 96 * MB);
    const struct backend_report *r = kit_expect(&kit, BACKEND_CHANGED);
    while (r->actual_bytes != 96 * MB) // the file was seen half written
        r = kit_expect(&kit, BACKEND_CHANGED);
    assert_int_equal(r->change_id, 0);
    backend_cgroup.measure(kit.backend);
    assert_int_equal(kit_expect(&kit, BACKEND_CHANGED)->actual_bytes, 96 * MB);
    kit_close(&kit);
}

// What cannot be written is a failure, with the reason and what is true. (Both files are numbers that nobody may write, not even root.)
static void what_is_not_written_is_a_failure(void **state)
{
    (void)state;
    make_v1(64 * MB, 0, 0);
    assert_int_equal(unlink(test_dir_path("g/memory.limit_in_bytes")), 0);
    assert_int_equal(symlink("/proc/sys/kernel/ngroups_max", test_dir_path("g/memory.limit_in_bytes")), 0);
    uint64_t limit = get("memory.limit_in_bytes");
    open_group("margin=0");
    const struct backend_report *r = kit_set(&kit, 64 * MB);
    assert_int_equal(r->outcome, BACKEND_FAILED);
    assert_int_equal(r->actual_bytes, limit);
    assert_non_null(strstr(r->detail, "memory.limit_in_bytes: write: "));
    r = kit_set(&kit, 0);
    assert_int_equal(r->outcome, BACKEND_FAILED);
    assert_int_equal(r->actual_bytes, limit);
    (void)test_dir_write("g/memory.usage_in_bytes", "plenty\n");
    r = kit_set(&kit, 64 * MB);
    assert_int_equal(r->outcome, BACKEND_REFUSED);
    assert_non_null(strstr(r->detail, "not a number"));
    kit_close(&kit);
}

// Only the last of several changes reports; destroying in the middle of one drops it.
static void a_change_is_replaced(void **state)
{
    (void)state;
    make_v2(128 * MB, 10 * MB, 0, 0);
    open_group("");
    for (uint64_t i = 1; i <= 50; i++)
        backend_cgroup.set(kit.backend, i, (100 + i) * MB);
    const struct backend_report *r = kit_expect(&kit, BACKEND_DONE);
    assert_int_equal(r->change_id, 50);
    assert_int_equal(get("memory.max"), 150 * MB);
    backend_cgroup.set(kit.backend, 51, 64 * MB);
    kit_close(&kit);
    uint64_t end = clock_ns() + 200000000; // the thread may still write once
    while (clock_ns() < end && get("memory.max") != 64 * MB)
        (void)usleep(1000);
}

// Files: "max" is no limit; a counter ahead of the sum is cut; longer paths than there are fail.
static void files_are_read(void **state)
{
    (void)state;
    struct cgroup_reading r;
    struct error e;
    char path[512], longer[CGROUP_PATH_MAX];
    make_v2(128 * MB, 10 * MB, 60 * MB, 0);
    (void)snprintf(path, sizeof path, "%s", test_dir_path("g"));
    assert_int_equal(cgroup_find(path, &e), CGROUP_V2);
    (void)test_dir_write("g/memory.max", "max\n");
    put("memory.current", 50 * MB);
    assert_true(cgroup_read(path, CGROUP_V2, &r, &e));
    assert_true(r.limit_bytes == CGROUP_UNLIMITED);
    assert_int_equal(r.droppable_bytes, 50 * MB);
    assert_int_equal(cgroup_write(path, "memory.high", CGROUP_UNLIMITED, &e), 0);
    char *text = test_read_file(test_dir_path("g/memory.high"), NULL);
    assert_string_equal(text, "max\n");
    free(text);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(cgroup_find(longer, &e), CGROUP_NONE);
    assert_int_not_equal(cgroup_write(longer, "memory.max", 1, &e), 0);
    assert_true(cgroup_machine_bytes("/nowhere") == CGROUP_UNLIMITED);
    assert_true(cgroup_machine_bytes("") > 64 * MB);
}

int main(void)
{
#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_checked),    WITH_ROOT(version_2_is_set),
        WITH_ROOT(a_return_stops_at_what_is_used), WITH_ROOT(mapped_files_are_in_use),
        WITH_ROOT(a_long_way_has_steps),           WITH_ROOT(version_2_does_not_kill_what_grows),
        WITH_ROOT(no_limit_is_the_machine),        WITH_ROOT(a_group_may_come_later),
        WITH_ROOT(what_does_not_read_is_unknown),  WITH_ROOT(a_folder_is_not_enough),
        WITH_ROOT(a_change_from_outside_is_told),  WITH_ROOT(what_is_not_written_is_a_failure),
        WITH_ROOT(a_change_is_replaced),           WITH_ROOT(files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
