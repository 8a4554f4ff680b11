#include "limits_kit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/common/test_dir.h"

const char *root;

void kit_put(const char *name, const char *text)
{
    char folder[512];
    for (const char *at = strchr(name, '/'); at != NULL; at = strchr(at + 1, '/')) {
        (void)snprintf(folder, sizeof folder, "%s/%.*s", root, (int)(at - name), name);
        (void)mkdir(folder, 0755);
    }
    (void)test_dir_write(name, text);
}

void kit_put_in(const char *folder, const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    kit_put(path, text);
}

void kit_put_bytes(const char *folder, const char *name, uint64_t bytes)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%llu\n", (unsigned long long)bytes);
    kit_put_in(folder, name, text);
}

void kit_drop(const char *name)
{
    assert_int_equal(unlink(test_dir_path(name)), 0);
}

int kit_setup(void **state)
{
    (void)state;
    root = test_dir_create();
    kit_put("proc/meminfo", "MemTotal:       8388608 kB\nMemFree:  1024 kB\nMemAvailable:   4194304 kB\n");
    kit_put("proc/self/status",
            "Name:\tks\nVmRSS:\t  999999 kB\nRssAnon:\t  2048 kB\nRssFile:\t 4096 kB\nRssShmem:\t 1024 kB\n");
    kit_put("proc/self/cgroup", "");
    kit_put("proc/self/mountinfo", "22 27 0:21 / /proc rw,relatime - proc proc rw\n");
    return 0;
}

int kit_teardown(void **state)
{
    (void)state;
    test_dir_remove();
    return 0;
}

void kit_where(const char *groups, const char *mounts)
{
    kit_put("proc/self/cgroup", groups);
    kit_put("proc/self/mountinfo", mounts);
}

struct limits_reading kit_read_of(struct limits *limits)
{
    struct limits_reading reading;
    struct error e;
    if (!limits_read(limits, &reading, &e))
        fail_msg("%s", e.text);
    return reading;
}

struct limits_reading kit_once(void)
{
    struct limits *limits = limits_create(root, 1 * GIB, NULL);
    assert_non_null(limits);
    struct limits_reading reading = kit_read_of(limits);
    limits_destroy(&limits);
    assert_null(limits);
    return reading;
}

void kit_version2(uint64_t limit, uint64_t used)
{
    kit_where(CGROUP2, MOUNT2);
    kit_put_bytes(V2 "/a/b", "memory.max", limit);
    kit_put_bytes(V2 "/a/b", "memory.current", used);
}
