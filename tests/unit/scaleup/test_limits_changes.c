// Limits that change, groups that are moved, files that go, descriptors that run out; and the real machine.
#include "limits_kit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

// A limit changed from outside is seen at the next reading; files that come, go and are replaced are followed.
static void changes(void **state)
{
    (void)state;
    kit_version2(2 * GIB, GIB);
    struct limits *limits = limits_create(root, GIB, NULL);
    assert_int_equal(kit_read_of(limits).limit_bytes, 2 * GIB);
    kit_put_bytes(V2 "/a/b", "memory.max", GIB);
    assert_int_equal(kit_read_of(limits).limit_bytes, GIB);
    kit_put_bytes(V2 "/a", "memory.max", 512 * MIB);
    assert_int_equal(kit_read_of(limits).limit_bytes, 512 * MIB);
    kit_drop(V2 "/a/memory.max");
    assert_int_equal(kit_read_of(limits).limit_bytes, GIB);
    kit_drop(V2 "/a/b/memory.max");
    assert_int_equal(kit_read_of(limits).source, LIMITS_MACHINE);
    kit_put_bytes(V2 "/a/b", "memory.max", 3 * GIB);
    assert_int_equal(kit_read_of(limits).limit_bytes, 3 * GIB);
    kit_put_in(V2 "/a/b", "memory.max", "garbage\n"); // the last that made sense stays
    assert_int_equal(kit_read_of(limits).limit_bytes, 3 * GIB);
    kit_put_in(V2 "/a/b", "memory.max", "max\n");
    assert_int_equal(kit_read_of(limits).source, LIMITS_MACHINE);
    limits_destroy(&limits);
}

static void moved(void **state)
{
    (void)state;
    kit_version2(2 * GIB, GIB);
    kit_put_in(V2 "/a/b", "memory.events", "oom_kill 3\n");
    kit_put_bytes(V2 "/c", "memory.max", GIB);
    kit_put_bytes(V2 "/c", "memory.current", MIB);
    kit_put_in(V2 "/c", "memory.events", "oom_kill 100\n");
    struct limits *limits = limits_create(root, GIB, NULL);
    assert_int_equal(kit_read_of(limits).oom_kills, 0);
    kit_put_in(V2 "/a/b", "memory.events", "oom_kill 5\n");
    assert_int_equal(kit_read_of(limits).oom_kills, 2);
    kit_put("proc/self/cgroup", "0::/c\n");
    struct limits_reading r = kit_read_of(limits);
    assert_int_equal(r.limit_bytes, GIB);
    assert_int_equal(r.oom_kills, 2); // what had happened there before is not ours
    kit_put_in(V2 "/c", "memory.events", "oom_kill 101\n");
    assert_int_equal(kit_read_of(limits).oom_kills, 3);
    kit_put("proc/self/cgroup", "");
    assert_int_equal(kit_read_of(limits).source, LIMITS_MACHINE);
    limits_destroy(&limits);
}

static void kills_v1(void **state)
{
    (void)state;
    kit_where(CGROUP1, MOUNT1);
    kit_put_bytes(V1 "/a/b", "memory.usage_in_bytes", GIB);
    kit_put_in(V1 "/a/b", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n");
    struct limits *limits = limits_create(root, GIB, NULL);
    kit_put_in(V1 "/a/b", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 9\n");
    assert_int_equal(kit_read_of(limits).oom_kills, 2);
    limits_destroy(&limits);
}

// Without descriptors the limit stays what it was: it must not look as if it were gone.
static void no_descriptors(void **state)
{
    (void)state;
    kit_version2(GIB, MIB);
    struct limits *limits = limits_create(root, GIB, NULL);
    assert_int_equal(kit_read_of(limits).limit_bytes, GIB);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    char old[512], new[512];
    (void)snprintf(old, sizeof old, "%s/" V2 "/a/b/memory.max", root);
    (void)snprintf(new, sizeof new, "%s/new", root);
    kit_put("new", "2147483648\n");
    assert_int_equal(rename(new, old), 0); // what is open is the old file
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct limits_reading r;
    bool read = limits_read(limits, &r, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(read);
    assert_int_equal(r.limit_bytes, GIB);
    assert_int_equal(kit_read_of(limits).limit_bytes, 2 * GIB);
    limits_destroy(&limits);
}

static unsigned open_files(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

// Readings, moves and the end leave no descriptor behind.
static void nothing_leaks(void **state)
{
    (void)state;
    kit_version2(GIB, MIB);
    kit_put_bytes(V2 "/c", "memory.max", GIB);
    unsigned before = open_files();
    struct limits *limits = limits_create(root, GIB, NULL);
    (void)kit_read_of(limits);
    unsigned during = open_files();
    for (int i = 0; i < 100; i++) {
        kit_put("proc/self/cgroup", i % 2 ? CGROUP2 : "0::/c\n");
        (void)kit_read_of(limits);
    }
    assert_int_equal(open_files(), during);
    limits_destroy(&limits);
    assert_int_equal(open_files(), before);
    limits_destroy(&limits);
    limits_destroy(NULL);
}

// Without /proc nothing can be said, and the last reading is left alone.
static void no_proc(void **state)
{
    (void)state;
    struct limits *limits = limits_create(root, GIB, NULL);
    struct limits_reading r = {.limit_bytes = 42};
    struct error e;
    kit_put("proc/self/status", "Name:\tks\n");
    assert_false(limits_read(limits, &r, &e));
    assert_non_null(strstr(e.text, "status"));
    kit_put("proc/self/status", "VmRSS:\t 12 kB\n"); // before Linux 4.5
    assert_int_equal(kit_read_of(limits).rss_bytes, 12 * 1024);
    kit_drop("proc/meminfo");
    assert_false(limits_read(limits, &r, &e));
    assert_non_null(strstr(e.text, "meminfo"));
    assert_int_equal(r.limit_bytes, 42);
    limits_destroy(&limits);
    limits = limits_create("/nowhere/at/all", 0, &e); // creating never fails for that
    assert_non_null(limits);
    limits_destroy(&limits);
}

static void the_real_machine(void **state)
{
    (void)state;
    struct limits *limits = limits_create("", 0, NULL);
    struct limits_reading first = kit_read_of(limits);
    assert_true(first.machine_bytes >= 64 * MIB);
    assert_true(first.limit_bytes <= first.machine_bytes);
    assert_true(first.available_bytes <= first.machine_bytes);
    assert_true(first.rss_bytes > 0);
    assert_true(first.psi_some <= 100);
    size_t size = 64 * MIB;
    char *block = malloc(size);
    assert_non_null(block);
    memset(block, 1, size);
    struct limits_reading second = kit_read_of(limits);
    assert_true(block[size / 2] == 1);
    free(block);
    assert_true(second.rss_bytes >= first.rss_bytes + size * 3 / 4);
    limits_destroy(&limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_ROOT(changes),
        IN_ROOT(moved),
        IN_ROOT(kills_v1),
        IN_ROOT(no_descriptors),
        IN_ROOT(nothing_leaks),
        IN_ROOT(no_proc),
        cmocka_unit_test(the_real_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
