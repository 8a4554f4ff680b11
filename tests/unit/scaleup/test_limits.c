// What this process may have: control groups of both versions, nested, hybrid, in containers, and the machine.
#include "limits_kit.h"

#include <stdio.h>
#include <string.h>

// Without cgroups the machine is the limit, less what is left to others; the process's file pages do not count.
static void no_cgroup(void **state)
{
    (void)state;
    struct limits_reading r = kit_once();
    assert_int_equal(r.limit_bytes, 7 * GIB);
    assert_int_equal(r.source, LIMITS_MACHINE);
    assert_int_equal(r.machine_bytes, 8 * GIB);
    assert_int_equal(r.available_bytes, 4 * GIB);
    assert_int_equal(r.rss_bytes, 3 * MIB);
    assert_int_equal(r.group_bytes, 0);
    assert_int_equal(r.oom_kills, 0);
    assert_true(r.psi_some < 0 && r.psi_full < 0);
}

static void default_reserve(void **state)
{
    (void)state;
    struct limits *limits = limits_create(root, 0, NULL);
    assert_int_equal(kit_read_of(limits).limit_bytes, 8 * GIB - 8 * GIB / 20);
    kit_put("proc/meminfo", "MemTotal: 524288 kB\nMemFree: 1024 kB\n");
    assert_int_equal(kit_read_of(limits).limit_bytes, 512 * MIB - 64 * MIB);
    assert_int_equal(kit_read_of(limits).available_bytes, MIB); // an old kernel: MemFree
    kit_put("proc/meminfo", "MemTotal: 32768 kB\n");
    assert_int_equal(kit_read_of(limits).limit_bytes, 0);
    limits_destroy(&limits);
}

// Version 2: what can be dropped of the page cache is free, what must be written first is not; memory.high binds as memory.max does.
static void cgroup_v2(void **state)
{
    (void)state;
    kit_version2(2 * GIB, GIB);
    kit_put_in(V2 "/a/b", "memory.high", "max\n");
    kit_put_in(V2 "/a/b", "memory.stat",
               "anon 1\nfile 999999999\nshmem 5\ninactive_file 104857600\nactive_file 52428800\nfile_dirty "
               "1048576\nfile_writeback 0\n");
    kit_put_in(
        V2 "/a/b", "memory.pressure",
        "some avg10=12.50 avg60=1.00 avg300=0.00 total=9\nfull avg10=3.25 avg60=0.00 avg300=0.00 total=1\n");
    kit_put("proc/pressure/memory",
            "some avg10=1.00 avg60=0 avg300=0 total=0\nfull avg10=1.00 avg60=0 avg300=0 total=0\n");
    struct limits_reading r = kit_once();
    assert_int_equal(r.limit_bytes, 2 * GIB);
    assert_int_equal(r.source, LIMITS_CGROUP_V2);
    assert_int_equal(r.group_bytes, GIB - 149 * MIB);
    assert_true(r.psi_some == 12.5 && r.psi_full == 3.25);
    kit_put_bytes(V2 "/a/b", "memory.high", GIB);
    r = kit_once();
    assert_int_equal(r.limit_bytes, GIB);
    assert_int_equal(r.source, LIMITS_CGROUP_HIGH);
}

// Version 1: totals over the group and those below, the machine's pressure, and a limit above that cannot be seen from here.
static void cgroup_v1(void **state)
{
    (void)state;
    kit_where(CGROUP1, MOUNT1);
    kit_put_bytes(V1 "/a/b", "memory.limit_in_bytes", 3 * GIB);
    kit_put_bytes(V1 "/a/b", "memory.usage_in_bytes", GIB);
    kit_put_in(V1 "/a/b", "memory.stat",
               "inactive_file 1\nhierarchical_memory_limit 9223372036854771712\ntotal_inactive_file "
               "1048576\ntotal_active_file 2097152\ntotal_dirty 0\n");
    kit_put("proc/pressure/memory",
            "some avg10=1.50 avg60=0 avg300=0 total=0\nfull avg10=0.50 avg60=0 avg300=0 total=0\n");
    struct limits_reading r = kit_once();
    assert_int_equal(r.limit_bytes, 3 * GIB);
    assert_int_equal(r.source, LIMITS_CGROUP_V1);
    assert_int_equal(r.group_bytes, GIB - 3 * MIB);
    assert_true(r.psi_some == 1.5 && r.psi_full == 0.5);
    kit_put_in(V1 "/a/b", "memory.stat", "hierarchical_memory_limit 2147483648\n");
    assert_int_equal(kit_once().limit_bytes, 2 * GIB);
}

// What the kernel says when there is no limit is no limit, in every form and page size.
static void no_limit(void **state)
{
    (void)state;
    static const char *const texts[] = {NO_LIMIT, "9223372036854710272\n", "max\n", "18446744073709551615\n"};
    kit_where(CGROUP1, MOUNT1);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        kit_put_in(V1 "/a/b", "memory.limit_in_bytes", texts[i]);
        kit_put_bytes(V1 "/a/b", "memory.usage_in_bytes", GIB);
        struct limits_reading r = kit_once();
        assert_int_equal(r.source, LIMITS_MACHINE);
        assert_int_equal(r.limit_bytes, 7 * GIB);
        assert_int_equal(r.group_bytes, 0);
    }
}

// The least of all levels binds; what siblings hold of an upper level is not ours.
static void nested(void **state)
{
    (void)state;
    kit_version2(4 * GIB, GIB);
    kit_put_in(V2 "/a", "memory.max", "3221225472\n");
    assert_int_equal(kit_once().limit_bytes, 3 * GIB);
    kit_put_bytes(V2 "/a", "memory.current", GIB + 512 * MIB);
    struct limits_reading r = kit_once();
    assert_int_equal(r.limit_bytes, 3 * GIB - 512 * MIB);
    assert_int_equal(r.group_bytes, GIB);
    kit_put_in(V2 "/a", "memory.stat",
               "inactive_file 134217728\nactive_file 0\n"); // the siblings' cache gives way
    assert_int_equal(kit_once().limit_bytes, 3 * GIB - 384 * MIB);
    kit_put_bytes(V2, "memory.max", 2 * GIB); // in a container the visible root has one too
    assert_int_equal(kit_once().limit_bytes, 2 * GIB);
    kit_put_bytes(V2, "memory.current", 4 * GIB); // overdrawn by others
    assert_int_equal(kit_once().limit_bytes, 0);
}

// The controller may be off in the process's own group: the one above is charged.
static void controller_above(void **state)
{
    (void)state;
    kit_where("0::/a/b/c\n", MOUNT2);
    kit_put(V2 "/a/b/c/cgroup.procs", "");
    kit_put_bytes(V2 "/a", "memory.max", GIB);
    kit_put_bytes(V2 "/a", "memory.current", 100 * MIB);
    kit_put_in(V2 "/a", "memory.events", "low 0\noom_kill 4\n");
    struct limits *limits = limits_create(root, 1, NULL);
    struct limits_reading r = kit_read_of(limits);
    assert_int_equal(r.limit_bytes, GIB);
    assert_int_equal(r.group_bytes, 100 * MIB);
    kit_put_in(V2 "/a", "memory.events", "low 0\noom_kill 5\n");
    assert_int_equal(kit_read_of(limits).oom_kills, 1);
    limits_destroy(&limits);
}

// Hybrid: the memory controller is in version 1, version 2 has the pressure only; the other way round too.
static void hybrid(void **state)
{
    (void)state;
    kit_where("5:memory:/a/b\n1:name=systemd:/s\n0::/s\n",
              MOUNT1 "42 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    kit_put_bytes(V1 "/a/b", "memory.limit_in_bytes", GIB);
    kit_put_bytes(V1 "/a/b", "memory.usage_in_bytes", MIB);
    kit_put("sys/fs/cgroup/unified/s/memory.pressure", "some avg10=7.00 avg60=0 avg300=0 total=0\n");
    struct limits_reading r = kit_once();
    assert_int_equal(r.limit_bytes, GIB);
    assert_int_equal(r.source, LIMITS_CGROUP_V1);
    assert_true(r.psi_some == 7 && r.psi_full < 0);
    kit_put("sys/fs/cgroup/unified/s/memory.max", "536870912\n");
    assert_int_equal(kit_once().source, LIMITS_CGROUP_V2);
}

// Containers: the mount shows a part of the tree, the path is relative to a namespace, or does not fit the mount at all.
static void namespaces(void **state)
{
    (void)state;
    static const struct {
        const char *path, *shown, *folder;
    } cases[] = {
        {"/", "/", ""},                             // a namespace of its own
        {"/docker/1234", "/docker/1234", ""},       // version 1 in a container without namespace
        {"/docker/1234/in", "/docker/1234", "/in"}, // and a group made inside
        {"/docker/12345", "/docker/1234", ""},      // not below it, though it begins alike
        {"/../..", "/", ""},                        // moved out of the namespace's root
        {"/../other", "/", ""},
        {"/../other", "/..", "/other"}, // the mount shows more than the namespace
        {"/../../x/y", "/../..", "/x/y"},
        {"/", "/../..", ""},             // nobody can say where below
        {"/gone/x/y", "/", "/gone"},     // those below do not exist (any more)
        {"/kube/pod", "/else/where", ""} // names of another namespace
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char groups[256], mounts[256], folder[256];
        (void)snprintf(groups, sizeof groups, "0::%s\n", cases[i].path);
        (void)snprintf(mounts, sizeof mounts, "41 31 0:38 %s /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                       cases[i].shown);
        (void)snprintf(folder, sizeof folder, V2 "%s", cases[i].folder);
        kit_where(groups, mounts);
        kit_put_bytes(folder, "memory.max", (i + 1) * 16 * MIB);
        kit_put_bytes(folder, "memory.current", MIB);
        struct limits_reading r = kit_once();
        assert_int_equal(r.limit_bytes, (i + 1) * 16 * MIB);
        assert_int_equal(r.group_bytes, MIB);
        char path[300];
        (void)snprintf(path, sizeof path, "%s/memory.max", folder);
        kit_drop(path);
        (void)snprintf(path, sizeof path, "%s/memory.current", folder);
        kit_drop(path);
    }
}

// Of several mounts the one that shows the process counts; names with blanks are written \040.
static void several_mounts(void **state)
{
    (void)state;
    kit_where("0::/a/b\n", "40 31 0:38 /other /mnt/other rw - cgroup2 none rw\n"
                           "41 31 0:38 /a /mnt/of\\040us rw - cgroup2 none rw\n" MOUNT2);
    kit_put_bytes("mnt/of us/b", "memory.max", GIB);
    assert_int_equal(kit_once().limit_bytes, GIB);
}

static void deep(void **state)
{
    (void)state;
    char path[256] = "", groups[300], folder[300];
    for (int i = 0; i < 60; i++)
        (void)snprintf(path + strlen(path), sizeof path - strlen(path), "/x");
    (void)snprintf(groups, sizeof groups, "0::%s\n", path);
    (void)snprintf(folder, sizeof folder, V2 "%s", path);
    kit_where(groups, MOUNT2);
    kit_put_bytes(folder, "memory.max", 2 * GIB);
    assert_int_equal(kit_once().limit_bytes, 2 * GIB);
    kit_put_bytes(V2, "memory.max", GIB);
    assert_int_equal(kit_once().limit_bytes, GIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_ROOT(no_cgroup),
        IN_ROOT(default_reserve),
        IN_ROOT(cgroup_v2),
        IN_ROOT(cgroup_v1),
        IN_ROOT(no_limit),
        IN_ROOT(nested),
        IN_ROOT(controller_above),
        IN_ROOT(hybrid),
        IN_ROOT(namespaces),
        IN_ROOT(several_mounts),
        IN_ROOT(deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
