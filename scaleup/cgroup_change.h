// One change of a group's limit, in steps, without ever hurting what runs in the group: the limit never goes below what is in use (page cache that can be dropped not counted)
// plus a margin, in version 2 two: memory.high is between them. Blocking; any thread.
#ifndef MEC_SCALEUP_CGROUP_CHANGE_H
#define MEC_SCALEUP_CGROUP_CHANGE_H

#include "scaleup/backend.h"
#include "scaleup/cgroup_files.h"

struct cgroup_group {
    const char *path; // the folder, with the root in front
    const char *root; // for MemTotal
    uint64_t
        margin_bytes; // between what is in use and the limit; in version 2 also between memory.high and memory.max
    uint64_t step_bytes;      // page cache dropped by one write, so that each is short
    uint64_t granularity;     // limits are multiples of it
    unsigned retries;         // after EBUSY
    unsigned retry_ms;        // between them: dirty pages are being written meanwhile
    bool (*go_on)(void *arg); // asked between steps; false: the change has been replaced
    void (*progress)(void *arg, const struct cgroup_reading *reading);
    void *arg;
};

struct cgroup_result {
    enum backend_outcome outcome; // DONE, PARTIAL, REFUSED or FAILED
    bool known;                   // reading is what is true now
    struct cgroup_reading reading;
    struct error why; // "" with DONE
};

// False: replaced meanwhile; *result says nothing then.
bool cgroup_change(const struct cgroup_group *group, uint64_t target_bytes, struct cgroup_result *result);

// What the group uses and cannot give at once.
uint64_t cgroup_used(const struct cgroup_reading *reading);
// Its limit; without one the machine's memory.
uint64_t cgroup_actual(const struct cgroup_group *group, const struct cgroup_reading *reading);

#endif
