// What memory this process may have, and what it uses, as the kernel says: cgroup version 1 and 2 (every level up to the root), MemTotal, resident size, pressure (PSI).
// Reading a few small files: some 50 us. root: a folder in front of every path, "" for the real system; tests make their own. Holds
// its files open. One thread at a time on an object.
#ifndef MEC_SCALEUP_LIMITS_H
#define MEC_SCALEUP_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/report.h"

struct limits;

enum limits_source { LIMITS_MACHINE, LIMITS_CGROUP_V1, LIMITS_CGROUP_V2, LIMITS_CGROUP_HIGH };
const char *limits_source_name(
    enum limits_source source); // "MemTotal", "memory.limit_in_bytes", "memory.max", "memory.high"

struct limits_reading {
    // The least of all that bind: cgroup limits of all levels (of an upper level's limit what siblings hold is taken off), MemTotal less reserve.
    uint64_t limit_bytes;
    enum limits_source source;
    uint64_t machine_bytes;   // MemTotal
    uint64_t available_bytes; // MemAvailable
    uint64_t rss_bytes;       // of this process: anonymous and shared (not file) pages
    // What the process's own cgroup is charged for, with all below it, page cache that can be dropped left out; 0: none binds, or the kernel does not say.
    uint64_t group_bytes;
    uint64_t oom_kills; // of the process's cgroup, since limits_create()
    double psi_some,
        psi_full; // avg10 in percent, the group's or the machine's; negative: the kernel has none
};

// reserve: of MemTotal, left to the kernel and others where no cgroup binds [0: the more of 64 MiB and 5 %]. Never fails for what the kernel does not have.
struct limits *limits_create(const char *root, uint64_t reserve_bytes, struct error *e);
void limits_destroy(struct limits **limits);
// Follows a process that is moved to another cgroup. A limit whose file is there but cannot be read at the moment (no descriptors left) stays what it was. False and *e set: not even /proc can be read; *reading is as it was.
bool limits_read(struct limits *limits, struct limits_reading *reading, struct error *e);

#endif
