// A made-up root with /proc and control groups, as limits.h sees it. Each test has a new one.
#ifndef MEC_TESTS_LIMITS_KIT_H
#define MEC_TESTS_LIMITS_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scaleup/limits.h"

#define MIB      (1024ULL * 1024)
#define GIB      (1024 * MIB)
#define NO_LIMIT "9223372036854771712\n"

#define CGROUP2 "0::/a/b\n"
#define MOUNT2  "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define CGROUP1 "9:name=systemd:/x\n5:cpu,memory:/a/b\n"
#define MOUNT1  "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,cpu,memory\n"
#define V2      "sys/fs/cgroup"
#define V1      "sys/fs/cgroup/memory"

extern const char *root;

int kit_setup(void **state); // a machine of 8 GiB, no control groups
int kit_teardown(void **state);
#define IN_ROOT(test) cmocka_unit_test_setup_teardown(test, kit_setup, kit_teardown)

// A file in the made-up root, with the folders above it.
void kit_put(const char *name, const char *text);
void kit_put_in(const char *folder, const char *name, const char *text);
void kit_put_bytes(const char *folder, const char *name, uint64_t bytes);
void kit_drop(const char *name);
void kit_where(const char *groups, const char *mounts); // /proc/self/cgroup and mountinfo
struct limits_reading kit_read_of(struct limits *limits);
struct limits_reading kit_once(void);
void kit_version2(uint64_t limit, uint64_t used); // a group with them

#endif
