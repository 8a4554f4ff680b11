// The kernel's small files about memory, as text: bytes in, numbers and names out. Pure, any thread. Text need not end in a zero byte. Whatever it
// holds, the worst that comes of it is a refusal.
#ifndef MEC_SCALEUP_LIMITS_PARSE_H
#define MEC_SCALEUP_LIMITS_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIMITS_PATH_MAX 4096
#define LIMITS_NONE     UINT64_MAX // no limit

// "1234\n" or "max\n" (LIMITS_NONE). What version 1 says when there is no limit (2^63 less a page) is LIMITS_NONE too. False, *value unchanged: neither.
bool limits_parse_number(const char *text, size_t len, uint64_t *value);

// The value on the line that begins with key and a blank ("anon 4096", "MemTotal:   12 kB"): memory.stat, memory.events, meminfo, status. A
// unit of kB multiplies. False, *value unchanged: no such line, or no number on it.
bool limits_parse_field(const char *text, size_t len, const char *key, uint64_t *value);

// /proc/self/cgroup: the path of the process in the hierarchy of version 1 that has the memory controller, or in that of version 2. False: none, or longer than size.
bool limits_parse_group(const char *text, size_t len, bool version2, char *path, size_t size);

struct limits_mount {
    char root
        [LIMITS_PATH_MAX]; // which group of the hierarchy is seen there; may begin with /.. in a cgroup namespace
    char point[LIMITS_PATH_MAX]; // where
};

// /proc/self/mountinfo: where the hierarchy is mounted. Of several mounts the first that shows the group path, else the first. False: nowhere.
bool limits_parse_mount(const char *text, size_t len, bool version2, const char *path,
                        struct limits_mount *mount);

// The folder of the group path below the mount: "" for the mount point itself, else "/a/b". A path that the mount does not show (a cgroup namespace hides where the process is) is the mount
// point: its limits are the nearest that can be seen. Never has a ".." in it. A slice of path.
const char *limits_group_below(const struct limits_mount *mount, const char *path);

#endif
