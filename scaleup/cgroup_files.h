// A memory control group by its files, version 1 or 2: what it may use, what it uses, how much of that the kernel can drop. Blocking: setting a limit may make the kernel
// reclaim for seconds. Any thread; an object is one thread's at a time.
#ifndef MEC_SCALEUP_CGROUP_FILES_H
#define MEC_SCALEUP_CGROUP_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"

#define CGROUP_PATH_MAX  2048
#define CGROUP_UNLIMITED UINT64_MAX

enum cgroup_version { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };

struct cgroup_reading {
    uint64_t limit_bytes; // memory.limit_in_bytes or memory.max; CGROUP_UNLIMITED
    uint64_t usage_bytes; // what it is charged for
    uint64_t
        droppable_bytes; // of that: page cache that is clean and not mapped, and so gone when the kernel wants it
};

// What `path` (the group's folder) is: CGROUP_NONE and *e set when there is no folder, or one without a memory controller's files.
enum cgroup_version cgroup_find(const char *path, struct error *e);

// False and *e set: the group has gone, or its files do not read.
bool cgroup_read(const char *path, enum cgroup_version version, struct cgroup_reading *reading,
                 struct error *e);

// Writes a number of bytes into one of the group's files. 0, or the errno; *e says which file. EBUSY: the kernel cannot reclaim so much (version 1).
int cgroup_write(const char *path, const char *file, uint64_t bytes, struct error *e);

// MemTotal of root/proc/meminfo ("" for this machine); CGROUP_UNLIMITED when it does not read.
uint64_t cgroup_machine_bytes(const char *root);

#endif
