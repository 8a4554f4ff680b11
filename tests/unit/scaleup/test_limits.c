#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scaleup/limits.h"
#include "scaleup/limits_parse.h"
#include "scaleup/pressure.h"
#include "test_dir.h"

#define MIB      (1024ULL * 1024)
#define GIB      (1024 * MIB)
#define NO_LIMIT "9223372036854771712\n"

#define CGROUP2 "0::/a/b\n"
#define MOUNT2  "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define CGROUP1 "9:name=systemd:/x\n5:cpu,memory:/a/b\n"
#define MOUNT1  "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,cpu,memory\n"
#define V2      "sys/fs/cgroup"
#define V1      "sys/fs/cgroup/memory"

static const char *root;

// A file in the made-up root, with the folders above it.
static void put(const char *name, const char *text)
{
    char folder[512];
    for (const char *at = strchr(name, '/'); at != NULL; at = strchr(at + 1, '/')) {
        (void)snprintf(folder, sizeof folder, "%s/%.*s", root, (int)(at - name), name);
        (void)mkdir(folder, 0755);
    }
    (void)test_dir_write(name, text);
}

static void put_in(const char *folder, const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    put(path, text);
}

static void put_bytes(const char *folder, const char *name, uint64_t bytes)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%llu\n", (unsigned long long)bytes);
    put_in(folder, name, text);
}

static void drop(const char *name)
{
    assert_int_equal(unlink(test_dir_path(name)), 0);
}

static int setup(void **state)
{
    (void)state;
    root = test_dir_create();
    put("proc/meminfo", "MemTotal:       8388608 kB\nMemFree:  1024 kB\nMemAvailable:   4194304 kB\n");
    put("proc/self/status",
        "Name:\tks\nVmRSS:\t  999999 kB\nRssAnon:\t  2048 kB\nRssFile:\t 4096 kB\nRssShmem:\t 1024 kB\n");
    put("proc/self/cgroup", "");
    put("proc/self/mountinfo", "22 27 0:21 / /proc rw,relatime - proc proc rw\n");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_dir_remove();
    return 0;
}

static void where(const char *groups, const char *mounts)
{
    put("proc/self/cgroup", groups);
    put("proc/self/mountinfo", mounts);
}

static struct limits_reading read_of(struct limits *limits)
{
    struct limits_reading reading;
    struct error e;
    if (!limits_read(limits, &reading, &e))
        fail_msg("%s", e.text);
    return reading;
}

static struct limits_reading once(void)
{
    struct limits *limits = limits_create(root, 1 * GIB, NULL);
    assert_non_null(limits);
    struct limits_reading reading = read_of(limits);
    limits_destroy(&limits);
    assert_null(limits);
    return reading;
}

static void version2(uint64_t limit, uint64_t used)
{
    where(CGROUP2, MOUNT2);
    put_bytes(V2 "/a/b", "memory.max", limit);
    put_bytes(V2 "/a/b", "memory.current", used);
}

// Without cgroups the machine is the limit, less what is left to others; the process's file pages do not count.
static void no_cgroup(void **state)
{
    (void)state;
    struct limits_reading r = once();
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
    assert_int_equal(read_of(limits).limit_bytes, 8 * GIB - 8 * GIB / 20);
    put("proc/meminfo", "MemTotal: 524288 kB\nMemFree: 1024 kB\n");
    assert_int_equal(read_of(limits).limit_bytes, 512 * MIB - 64 * MIB);
    assert_int_equal(read_of(limits).available_bytes, MIB); // an old kernel: MemFree
    put("proc/meminfo", "MemTotal: 32768 kB\n");
    assert_int_equal(read_of(limits).limit_bytes, 0);
    limits_destroy(&limits);
}

// Version 2: what can be dropped of the page cache is free, what must be written first is not; memory.high binds as memory.max does.
static void cgroup_v2(void **state)
{
    (void)state;
    version2(2 * GIB, GIB);
    put_in(V2 "/a/b", "memory.high", "max\n");
    put_in(V2 "/a/b", "memory.stat",
           "anon 1\nfile 999999999\nshmem 5\ninactive_file 104857600\nactive_file 52428800\nfile_dirty "
           "1048576\nfile_writeback 0\n");
    put_in(
        V2 "/a/b", "memory.pressure",
        "some avg10=12.50 avg60=1.00 avg300=0.00 total=9\nfull avg10=3.25 avg60=0.00 avg300=0.00 total=1\n");
    put("proc/pressure/memory",
        "some avg10=1.00 avg60=0 avg300=0 total=0\nfull avg10=1.00 avg60=0 avg300=0 total=0\n");
    struct limits_reading r = once();
    assert_int_equal(r.limit_bytes, 2 * GIB);
    assert_int_equal(r.source, LIMITS_CGROUP_V2);
    assert_int_equal(r.group_bytes, GIB - 149 * MIB);
    assert_true(r.psi_some == 12.5 && r.psi_full == 3.25);
    put_bytes(V2 "/a/b", "memory.high", GIB);
    r = once();
    assert_int_equal(r.limit_bytes, GIB);
    assert_int_equal(r.source, LIMITS_CGROUP_HIGH);
}

// Version 1: totals over the group and those below, the machine's pressure, and a limit above that cannot be seen from here.
static void cgroup_v1(void **state)
{
    (void)state;
    where(CGROUP1, MOUNT1);
    put_bytes(V1 "/a/b", "memory.limit_in_bytes", 3 * GIB);
    put_bytes(V1 "/a/b", "memory.usage_in_bytes", GIB);
    put_in(V1 "/a/b", "memory.stat",
           "inactive_file 1\nhierarchical_memory_limit 9223372036854771712\ntotal_inactive_file "
           "1048576\ntotal_active_file 2097152\ntotal_dirty 0\n");
    put("proc/pressure/memory",
        "some avg10=1.50 avg60=0 avg300=0 total=0\nfull avg10=0.50 avg60=0 avg300=0 total=0\n");
    struct limits_reading r = once();
    assert_int_equal(r.limit_bytes, 3 * GIB);
    assert_int_equal(r.source, LIMITS_CGROUP_V1);
    assert_int_equal(r.group_bytes, GIB - 3 * MIB);
    assert_true(r.psi_some == 1.5 && r.psi_full == 0.5);
    put_in(V1 "/a/b", "memory.stat", "hierarchical_memory_limit 2147483648\n");
    assert_int_equal(once().limit_bytes, 2 * GIB);
}

// What the kernel says when there is no limit is no limit, in every form and page size.
static void no_limit(void **state)
{
    (void)state;
    static const char *const texts[] = {NO_LIMIT, "9223372036854710272\n", "max\n", "18446744073709551615\n"};
    where(CGROUP1, MOUNT1);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put_in(V1 "/a/b", "memory.limit_in_bytes", texts[i]);
        put_bytes(V1 "/a/b", "memory.usage_in_bytes", GIB);
        struct limits_reading r = once();
        assert_int_equal(r.source, LIMITS_MACHINE);
        assert_int_equal(r.limit_bytes, 7 * GIB);
        assert_int_equal(r.group_bytes, 0);
    }
}

// The least of all levels binds; what siblings hold of an upper level is not ours.
static void nested(void **state)
{
    (void)state;
    version2(4 * GIB, GIB);
    put_in(V2 "/a", "memory.max", "3221225472\n");
    assert_int_equal(once().limit_bytes, 3 * GIB);
    put_bytes(V2 "/a", "memory.current", GIB + 512 * MIB);
    struct limits_reading r = once();
    assert_int_equal(r.limit_bytes, 3 * GIB - 512 * MIB);
    assert_int_equal(r.group_bytes, GIB);
    put_in(V2 "/a", "memory.stat",
           "inactive_file 134217728\nactive_file 0\n"); // the siblings' cache gives way
    assert_int_equal(once().limit_bytes, 3 * GIB - 384 * MIB);
    put_bytes(V2, "memory.max", 2 * GIB); // in a container the visible root has one too
    assert_int_equal(once().limit_bytes, 2 * GIB);
    put_bytes(V2, "memory.current", 4 * GIB); // overdrawn by others
    assert_int_equal(once().limit_bytes, 0);
}

// The controller may be off in the process's own group: the one above is charged.
static void controller_above(void **state)
{
    (void)state;
    where("0::/a/b/c\n", MOUNT2);
    put(V2 "/a/b/c/cgroup.procs", "");
    put_bytes(V2 "/a", "memory.max", GIB);
    put_bytes(V2 "/a", "memory.current", 100 * MIB);
    put_in(V2 "/a", "memory.events", "low 0\noom_kill 4\n");
    struct limits *limits = limits_create(root, 1, NULL);
    struct limits_reading r = read_of(limits);
    assert_int_equal(r.limit_bytes, GIB);
    assert_int_equal(r.group_bytes, 100 * MIB);
    put_in(V2 "/a", "memory.events", "low 0\noom_kill 5\n");
    assert_int_equal(read_of(limits).oom_kills, 1);
    limits_destroy(&limits);
}

// Hybrid: the memory controller is in version 1, version 2 has the pressure only; the other way round too.
static void hybrid(void **state)
{
    (void)state;
    where("5:memory:/a/b\n1:name=systemd:/s\n0::/s\n",
          MOUNT1 "42 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put_bytes(V1 "/a/b", "memory.limit_in_bytes", GIB);
    put_bytes(V1 "/a/b", "memory.usage_in_bytes", MIB);
    put("sys/fs/cgroup/unified/s/memory.pressure", "some avg10=7.00 avg60=0 avg300=0 total=0\n");
    struct limits_reading r = once();
    assert_int_equal(r.limit_bytes, GIB);
    assert_int_equal(r.source, LIMITS_CGROUP_V1);
    assert_true(r.psi_some == 7 && r.psi_full < 0);
    put("sys/fs/cgroup/unified/s/memory.max", "536870912\n");
    assert_int_equal(once().source, LIMITS_CGROUP_V2);
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
        where(groups, mounts);
        put_bytes(folder, "memory.max", (i + 1) * 16 * MIB);
        put_bytes(folder, "memory.current", MIB);
        struct limits_reading r = once();
        assert_int_equal(r.limit_bytes, (i + 1) * 16 * MIB);
        assert_int_equal(r.group_bytes, MIB);
        char path[300];
        (void)snprintf(path, sizeof path, "%s/memory.max", folder);
        drop(path);
        (void)snprintf(path, sizeof path, "%s/memory.current", folder);
        drop(path);
    }
}

// Of several mounts the one that shows the process counts; names with blanks are written \040.
static void several_mounts(void **state)
{
    (void)state;
    where("0::/a/b\n", "40 31 0:38 /other /mnt/other rw - cgroup2 none rw\n"
                       "41 31 0:38 /a /mnt/of\\040us rw - cgroup2 none rw\n" MOUNT2);
    put_bytes("mnt/of us/b", "memory.max", GIB);
    assert_int_equal(once().limit_bytes, GIB);
}

static void deep(void **state)
{
    (void)state;
    char path[256] = "", groups[300], folder[300];
    for (int i = 0; i < 60; i++)
        (void)snprintf(path + strlen(path), sizeof path - strlen(path), "/x");
    (void)snprintf(groups, sizeof groups, "0::%s\n", path);
    (void)snprintf(folder, sizeof folder, V2 "%s", path);
    where(groups, MOUNT2);
    put_bytes(folder, "memory.max", 2 * GIB);
    assert_int_equal(once().limit_bytes, 2 * GIB);
    put_bytes(V2, "memory.max", GIB);
    assert_int_equal(once().limit_bytes, GIB);
}

// A limit changed from outside is seen at the next reading; files that come, go and are replaced are followed.
static void changes(void **state)
{
    (void)state;
    version2(2 * GIB, GIB);
    struct limits *limits = limits_create(root, GIB, NULL);
    assert_int_equal(read_of(limits).limit_bytes, 2 * GIB);
    put_bytes(V2 "/a/b", "memory.max", GIB);
    assert_int_equal(read_of(limits).limit_bytes, GIB);
    put_bytes(V2 "/a", "memory.max", 512 * MIB);
    assert_int_equal(read_of(limits).limit_bytes, 512 * MIB);
    drop(V2 "/a/memory.max");
    assert_int_equal(read_of(limits).limit_bytes, GIB);
    drop(V2 "/a/b/memory.max");
    assert_int_equal(read_of(limits).source, LIMITS_MACHINE);
    put_bytes(V2 "/a/b", "memory.max", 3 * GIB);
    assert_int_equal(read_of(limits).limit_bytes, 3 * GIB);
    put_in(V2 "/a/b", "memory.max", "garbage\n"); // the last that made sense stays
    assert_int_equal(read_of(limits).limit_bytes, 3 * GIB);
    put_in(V2 "/a/b", "memory.max", "max\n");
    assert_int_equal(read_of(limits).source, LIMITS_MACHINE);
    limits_destroy(&limits);
}

static void moved(void **state)
{
    (void)state;
    version2(2 * GIB, GIB);
    put_in(V2 "/a/b", "memory.events", "oom_kill 3\n");
    put_bytes(V2 "/c", "memory.max", GIB);
    put_bytes(V2 "/c", "memory.current", MIB);
    put_in(V2 "/c", "memory.events", "oom_kill 100\n");
    struct limits *limits = limits_create(root, GIB, NULL);
    assert_int_equal(read_of(limits).oom_kills, 0);
    put_in(V2 "/a/b", "memory.events", "oom_kill 5\n");
    assert_int_equal(read_of(limits).oom_kills, 2);
    put("proc/self/cgroup", "0::/c\n");
    struct limits_reading r = read_of(limits);
    assert_int_equal(r.limit_bytes, GIB);
    assert_int_equal(r.oom_kills, 2); // what had happened there before is not ours
    put_in(V2 "/c", "memory.events", "oom_kill 101\n");
    assert_int_equal(read_of(limits).oom_kills, 3);
    put("proc/self/cgroup", "");
    assert_int_equal(read_of(limits).source, LIMITS_MACHINE);
    limits_destroy(&limits);
}

static void kills_v1(void **state)
{
    (void)state;
    where(CGROUP1, MOUNT1);
    put_bytes(V1 "/a/b", "memory.usage_in_bytes", GIB);
    put_in(V1 "/a/b", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n");
    struct limits *limits = limits_create(root, GIB, NULL);
    put_in(V1 "/a/b", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 9\n");
    assert_int_equal(read_of(limits).oom_kills, 2);
    limits_destroy(&limits);
}

// Without descriptors the limit stays what it was: it must not look as if it were gone.
static void no_descriptors(void **state)
{
    (void)state;
    version2(GIB, MIB);
    struct limits *limits = limits_create(root, GIB, NULL);
    assert_int_equal(read_of(limits).limit_bytes, GIB);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    char old[512], new[512];
    (void)snprintf(old, sizeof old, "%s/" V2 "/a/b/memory.max", root);
    (void)snprintf(new, sizeof new, "%s/new", root);
    put("new", "2147483648\n");
    assert_int_equal(rename(new, old), 0); // what is open is the old file
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct limits_reading r;
    bool read = limits_read(limits, &r, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(read);
    assert_int_equal(r.limit_bytes, GIB);
    assert_int_equal(read_of(limits).limit_bytes, 2 * GIB);
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
    version2(GIB, MIB);
    put_bytes(V2 "/c", "memory.max", GIB);
    unsigned before = open_files();
    struct limits *limits = limits_create(root, GIB, NULL);
    (void)read_of(limits);
    unsigned during = open_files();
    for (int i = 0; i < 100; i++) {
        put("proc/self/cgroup", i % 2 ? CGROUP2 : "0::/c\n");
        (void)read_of(limits);
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
    put("proc/self/status", "Name:\tks\n");
    assert_false(limits_read(limits, &r, &e));
    assert_non_null(strstr(e.text, "status"));
    put("proc/self/status", "VmRSS:\t 12 kB\n"); // before Linux 4.5
    assert_int_equal(read_of(limits).rss_bytes, 12 * 1024);
    drop("proc/meminfo");
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
    struct limits_reading first = read_of(limits);
    assert_true(first.machine_bytes >= 64 * MIB);
    assert_true(first.limit_bytes <= first.machine_bytes);
    assert_true(first.available_bytes <= first.machine_bytes);
    assert_true(first.rss_bytes > 0);
    assert_true(first.psi_some <= 100);
    size_t size = 64 * MIB;
    char *block = malloc(size);
    assert_non_null(block);
    memset(block, 1, size);
    struct limits_reading second = read_of(limits);
    assert_true(block[size / 2] == 1);
    free(block);
    assert_true(second.rss_bytes >= first.rss_bytes + size * 3 / 4);
    limits_destroy(&limits);
}

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } numbers[] = {{"0\n", true, 0},
                   {"123", true, 123},
                   {"max\n", true, LIMITS_NONE},
                   {NO_LIMIT, true, LIMITS_NONE},
                   {"", false, 0},
                   {"\n", false, 0},
                   {"-1\n", false, 0},
                   {"12 3\n", false, 0},
                   {"1\n2\n", false, 0},
                   {"maximum\n", false, 0},
                   {"0x10\n", false, 0},
                   {"99999999999999999999999\n", false, 0}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uint64_t value = 77;
        assert_int_equal(limits_parse_number(numbers[i].text, strlen(numbers[i].text), &value),
                         numbers[i].good);
        assert_int_equal(value, numbers[i].good ? numbers[i].value : 77);
    }
    static const struct {
        const char *text, *key;
        bool good;
        uint64_t value;
    } fields[] = {{"a 1\nb 2\n", "b", true, 2},
                  {"ab 1\na 2\n", "a", true, 2},
                  {"a:   12 kB\n", "a:", true, 12288},
                  {"a 7", "a", true, 7},
                  {"a\n", "a", false, 0},
                  {"a \n", "a", false, 0},
                  {"a 1 GB\n", "a", false, 0},
                  {"a: 18446744073709551615 kB\n", "a:", false, 0},
                  {"x a 1\n", "a", false, 0}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint64_t value = 77;
        assert_int_equal(limits_parse_field(fields[i].text, strlen(fields[i].text), fields[i].key, &value),
                         fields[i].good);
        assert_int_equal(value, fields[i].good ? fields[i].value : 77);
    }
    static const struct {
        const char *text;
        bool good;
        double some, full;
    } pressures[] = {{"some avg10=0.12 avg60=1\nfull avg10=100.00 a\n", true, 0.12, 100},
                     {"some avg10=5", true, 5, -1},
                     {"full avg10=1.00\n", false, 0, 0},
                     {"some avg10=101 \n", false, 0, 0},
                     {"some avg10=nan\n", false, 0, 0},
                     {"some avg10=1,5\n", false, 0, 0},
                     {"some avg10=-1\n", false, 0, 0},
                     {"", false, 0, 0}};
    for (size_t i = 0; i < sizeof pressures / sizeof pressures[0]; i++) {
        double some = 77, full = 78;
        assert_int_equal(pressure_parse(pressures[i].text, strlen(pressures[i].text), &some, &full),
                         pressures[i].good);
        assert_true(some == (pressures[i].good ? pressures[i].some : 77));
        assert_true(full == (pressures[i].good ? pressures[i].full : 78));
    }
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(limits_source_name(LIMITS_MACHINE), "MemTotal");
    assert_string_equal(limits_source_name(LIMITS_CGROUP_V1), "memory.limit_in_bytes");
    assert_string_equal(limits_source_name(LIMITS_CGROUP_V2), "memory.max");
    assert_string_equal(limits_source_name(LIMITS_CGROUP_HIGH), "memory.high");
    assert_string_equal(limits_source_name((enum limits_source)99), "unknown");
}

#define IN_ROOT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

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
        IN_ROOT(changes),
        IN_ROOT(moved),
        IN_ROOT(kills_v1),
        IN_ROOT(no_descriptors),
        IN_ROOT(nothing_leaks),
        IN_ROOT(no_proc),
        cmocka_unit_test(the_real_machine),
        cmocka_unit_test(texts),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
