// The memory cgroups of this process in one hierarchy, version 1 or 2: its own and all above it, up to the root or as far as can be seen from here. One
// thread at a time on an object.
#ifndef MEC_SCALEUP_LIMITS_GROUP_H
#define MEC_SCALEUP_LIMITS_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scaleup/limits_file.h"

#define LIMITS_LEVELS_MAX 32

struct limits_level {
    char *folder; // owned
    struct limits_file max_file, high_file, usage_file, stat_file;
    uint64_t max_bytes, high_bytes; // as last read; LIMITS_NONE: none
};

struct limits_group {
    bool version2;
    size_t count;                                  // 0: the process is in none, or it cannot be seen
    struct limits_level levels[LIMITS_LEVELS_MAX]; // its own first
    struct limits_file events_file, pressure_file;
    uint64_t inherited_bytes; // version 1: the least limit of all levels, those that cannot be seen too
    uint64_t kills;           // as last read
    bool kills_known;
};

struct limits_group_reading {
    uint64_t
        limit_bytes;     // LIMITS_NONE: none binds. What siblings hold of an upper level's limit is taken off
    bool high;           // it is memory.high
    uint64_t used_bytes; // of the process's own group, droppable page cache left out
    uint64_t new_kills;  // since the last reading
    double psi_some, psi_full; // negative: not known
};

// groups: /proc/self/cgroup; mounts: /proc/self/mountinfo; root goes in front of paths. The group must be empty or closed. False: no memory.
bool limits_group_find(struct limits_group *group, bool version2, const char *root, const char *groups,
                       size_t groups_len, const char *mounts, size_t mounts_len);
void limits_group_read(struct limits_group *group, struct limits_group_reading *reading);
void limits_group_close(struct limits_group *group);

#endif
