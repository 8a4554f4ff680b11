// Everything that is read stays open: a reading is a dozen pread() of files that the kernel makes up on the spot. Where the process is, is read each
// time too, so that it may be moved; the mounts are looked at only then.
#include "scaleup/limits.h"

#include <stdlib.h>
#include <string.h>

#include "scaleup/limits_file.h"
#include "scaleup/limits_group.h"
#include "scaleup/limits_parse.h"
#include "scaleup/pressure.h"

#define TEXT_MAX    16384
#define MOUNTS_MAX  (8u << 20) // a Kubernetes node has thousands of mounts
#define RESERVE_MIN (64ULL << 20)

struct limits {
    char *root; // owned
    uint64_t reserve_bytes, kills;
    struct limits_file meminfo, status, groups, pressure;
    char groups_text[TEXT_MAX]; // where the process was
    size_t groups_len;
    struct limits_group group[2]; // version 1, version 2
};

const char *limits_source_name(enum limits_source source)
{
    static const char *const names[] = {
        [LIMITS_MACHINE] = "MemTotal",
        [LIMITS_CGROUP_V1] = "memory.limit_in_bytes",
        [LIMITS_CGROUP_V2] = "memory.max",
        [LIMITS_CGROUP_HIGH] = "memory.high",
    };
    return (unsigned)source < sizeof names / sizeof names[0] ? names[source] : "unknown";
}

// The whole of mountinfo, which may be long. NULL: it cannot be read. The caller frees it.
static char *read_mounts(const struct limits *limits, size_t *len)
{
    char *text = NULL;
    for (size_t size = 64 << 10; size <= MOUNTS_MAX; size *= 2) {
        struct limits_file file = LIMITS_FILE_CLOSED;
        char *more = realloc(text, size);
        if (more == NULL)
            break;
        text = more;
        enum limits_file_status status =
            limits_file_read(&file, limits->root, "/proc/self/mountinfo", text, size, len);
        limits_file_close(&file);
        if (status != LIMITS_FILE_READ)
            break;
        if (*len < size || size == MOUNTS_MAX)
            return text;
    }
    free(text);
    return NULL;
}

// Finds the groups anew when the process is somewhere else than it was. What is known stays when that cannot be found out.
static void follow(struct limits *limits)
{
    char text[TEXT_MAX];
    size_t len = 0, mounts_len = 0;
    enum limits_file_status status =
        limits_file_read(&limits->groups, limits->root, "/proc/self/cgroup", text, sizeof text, &len);
    if (status == LIMITS_FILE_TROUBLE)
        return;
    if (status == LIMITS_FILE_NONE)
        len = 0;
    if (len == limits->groups_len && memcmp(text, limits->groups_text, len) == 0)
        return;
    char *mounts = read_mounts(limits, &mounts_len);
    if (mounts == NULL && len != 0)
        return;
    bool found = true;
    for (int version = 0; version < 2; version++) {
        limits_group_close(&limits->group[version]);
        found &= limits_group_find(&limits->group[version], version == 1, limits->root, text, len, mounts,
                                   mounts_len);
    }
    free(mounts);
    memcpy(limits->groups_text, text, len);
    limits->groups_len = found ? len : 0; // no memory: again next time
}

struct limits *limits_create(const char *root, uint64_t reserve_bytes, struct error *e)
{
    struct limits *limits = calloc(1, sizeof *limits);
    if (limits == NULL || (limits->root = strdup(root == NULL ? "" : root)) == NULL) {
        error_set(e, "limits: no memory");
        free(limits);
        return NULL;
    }
    limits->reserve_bytes = reserve_bytes;
    limits->meminfo = limits->status = limits->groups = limits->pressure = LIMITS_FILE_CLOSED;
    for (int version = 0; version < 2; version++)
        (void)limits_group_find(&limits->group[version], version == 1, "", "", 0, "", 0);
    struct limits_reading reading; // kills are counted from here
    (void)limits_read(limits, &reading, NULL);
    limits->kills = 0;
    return limits;
}

void limits_destroy(struct limits **limits)
{
    if (limits == NULL || *limits == NULL)
        return;
    struct limits *l = *limits;
    for (int version = 0; version < 2; version++)
        limits_group_close(&l->group[version]);
    limits_file_close(&l->meminfo);
    limits_file_close(&l->status);
    limits_file_close(&l->groups);
    limits_file_close(&l->pressure);
    free(l->root);
    free(l);
    *limits = NULL;
}

static bool read_machine(struct limits *limits, struct limits_reading *reading, struct error *e)
{
    char text[TEXT_MAX];
    size_t len = 0;
    if (limits_file_read(&limits->meminfo, limits->root, "/proc/meminfo", text, sizeof text, &len) !=
            LIMITS_FILE_READ ||
        !limits_parse_field(text, len, "MemTotal:", &reading->machine_bytes)) {
        error_set(e, "%s/proc/meminfo: no MemTotal to be read", limits->root);
        return false;
    }
    if (!limits_parse_field(text, len, "MemAvailable:", &reading->available_bytes))
        (void)limits_parse_field(text, len, "MemFree:", &reading->available_bytes); // before Linux 3.14
    return true;
}

static bool read_process(struct limits *limits, struct limits_reading *reading, struct error *e)
{
    char text[TEXT_MAX];
    size_t len = 0;
    uint64_t anonymous, shared;
    if (limits_file_read(&limits->status, limits->root, "/proc/self/status", text, sizeof text, &len) ==
        LIMITS_FILE_READ) {
        if (limits_parse_field(text, len, "RssAnon:", &anonymous) &&
            limits_parse_field(text, len, "RssShmem:", &shared) &&
            !__builtin_add_overflow(anonymous, shared, &reading->rss_bytes))
            return true;
        if (limits_parse_field(text, len, "VmRSS:", &reading->rss_bytes)) // before Linux 4.5
            return true;
    }
    error_set(e, "%s/proc/self/status: no resident size to be read", limits->root);
    return false;
}

static uint64_t less_reserve(const struct limits *limits, uint64_t machine)
{
    uint64_t reserve = limits->reserve_bytes;
    if (reserve == 0)
        reserve = machine / 20 > RESERVE_MIN ? machine / 20 : RESERVE_MIN;
    return machine > reserve ? machine - reserve : 0;
}

static void read_groups(struct limits *limits, struct limits_reading *reading)
{
    for (int version = 0; version < 2; version++) {
        struct limits_group_reading group;
        limits_group_read(&limits->group[version], &group);
        limits->kills += group.new_kills;
        if (group.psi_some >= 0) {
            reading->psi_some = group.psi_some;
            reading->psi_full = group.psi_full;
        }
        if (group.limit_bytes >= reading->limit_bytes)
            continue;
        reading->limit_bytes = group.limit_bytes;
        reading->group_bytes = group.used_bytes;
        reading->source = version == 0 ? LIMITS_CGROUP_V1
                          : group.high ? LIMITS_CGROUP_HIGH
                                       : LIMITS_CGROUP_V2;
    }
}

static void read_machine_pressure(struct limits *limits, struct limits_reading *reading)
{
    char text[512];
    size_t len = 0;
    if (limits_file_read(&limits->pressure, limits->root, "/proc/pressure/memory", text, sizeof text, &len) ==
        LIMITS_FILE_READ)
        (void)pressure_parse(text, len, &reading->psi_some, &reading->psi_full);
}

bool limits_read(struct limits *limits, struct limits_reading *reading, struct error *e)
{
    struct limits_reading now = {.source = LIMITS_MACHINE, .psi_some = -1, .psi_full = -1};
    if (!read_machine(limits, &now, e) || !read_process(limits, &now, e))
        return false;
    now.limit_bytes = less_reserve(limits, now.machine_bytes);
    follow(limits);
    read_groups(limits, &now);
    now.oom_kills = limits->kills;
    if (now.psi_some < 0)
        read_machine_pressure(limits, &now);
    *reading = now;
    return true;
}
