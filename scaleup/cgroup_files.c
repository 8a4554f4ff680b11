#include "scaleup/cgroup_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/units.h"

// "No limit" is the largest number of pages in version 1; anything so large is meant as none.
#define LIMIT_OF_NONE (1ull << 62)

static bool join(char out[static CGROUP_PATH_MAX], const char *path, const char *file)
{
    int n = snprintf(out, CGROUP_PATH_MAX, "%s/%s", path, file);
    return n > 0 && n < CGROUP_PATH_MAX;
}

// The whole of a small file as text. -1: errno.
static ssize_t slurp(const char *path, const char *file, char *text, size_t len)
{
    char name[CGROUP_PATH_MAX];
    if (!join(name, path, file)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t got = 0;
    ssize_t n = 0;
    while (got + 1 < len && (n = read(fd, text + got, len - 1 - got)) > 0)
        got += (size_t)n;
    int error = errno;
    (void)close(fd);
    errno = error;
    if (n < 0)
        return -1;
    text[got] = '\0';
    return (ssize_t)got;
}

static bool read_bytes(const char *path, const char *file, uint64_t *bytes, struct error *e)
{
    char text[64];
    if (slurp(path, file, text, sizeof text) < 0) {
        error_set(e, "%s/%s: %s", path, file, strerror(errno));
        return false;
    }
    text[strcspn(text, "\n")] = '\0';
    if (strcmp(text, "max") == 0) {
        *bytes = CGROUP_UNLIMITED;
        return true;
    }
    if (!units_parse_uint(text, bytes)) {
        error_set(e, "%s/%s: not a number of bytes", path, file);
        return false;
    }
    if (*bytes >= LIMIT_OF_NONE)
        *bytes = CGROUP_UNLIMITED;
    return true;
}

// The value of a line "NAME NUMBER"; 0 when there is none.
static uint64_t stat_line(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ' ')
            return strtoull(line + len + 1, NULL, 10);
    }
    return 0;
}

// Pages of files on the lists from which the kernel takes: shared memory and locked pages are on others. Dirty ones have to be written first and do not count;
// nor do those that are mapped: programs run in them, and would read them from the disk again at once.
static uint64_t droppable(const char *text, enum cgroup_version version)
{
    static const char *const names[][5] = {
        {"total_active_file", "total_inactive_file", "total_dirty", "total_writeback", "total_mapped_file"},
        {"active_file", "inactive_file", "file_dirty", "file_writeback", "file_mapped"},
    };
    const char *const *name = names[version == CGROUP_V2];
    uint64_t files = stat_line(text, name[0]) + stat_line(text, name[1]);
    uint64_t needed = stat_line(text, name[2]) + stat_line(text, name[3]) + stat_line(text, name[4]);
    return files > needed ? files - needed : 0;
}

enum cgroup_version cgroup_find(const char *path, struct error *e)
{
    char name[CGROUP_PATH_MAX];
    if (join(name, path, "memory.max") && access(name, F_OK) == 0)
        return CGROUP_V2;
    if (join(name, path, "memory.limit_in_bytes") && access(name, F_OK) == 0)
        return CGROUP_V1;
    if (access(path, F_OK) != 0)
        error_set(e, "%s: %s", path, strerror(errno));
    else
        error_set(e, "%s: neither memory.max nor memory.limit_in_bytes: no memory controller", path);
    return CGROUP_NONE;
}

bool cgroup_read(const char *path, enum cgroup_version version, struct cgroup_reading *reading,
                 struct error *e)
{
    static const char *const files[][2] = {
        [CGROUP_NONE] = {"", ""},
        [CGROUP_V1] = {"memory.limit_in_bytes", "memory.usage_in_bytes"},
        [CGROUP_V2] = {"memory.max", "memory.current"},
    };
    char text[16384];
    struct cgroup_reading r;
    if (!read_bytes(path, files[version][0], &r.limit_bytes, e) ||
        !read_bytes(path, files[version][1], &r.usage_bytes, e))
        return false;
    if (slurp(path, "memory.stat", text, sizeof text) < 0) {
        error_set(e, "%s/memory.stat: %s", path, strerror(errno));
        return false;
    }
    r.droppable_bytes = droppable(text, version);
    if (r.droppable_bytes > r.usage_bytes) // counted by each processor apart: may be ahead of the sum
        r.droppable_bytes = r.usage_bytes;
    *reading = r;
    return true;
}

int cgroup_write(const char *path, const char *file, uint64_t bytes, struct error *e)
{
    char name[CGROUP_PATH_MAX], text[32];
    int fd = -1, error = 0;
    int len = bytes == CGROUP_UNLIMITED
                  ? snprintf(text, sizeof text, "%s\n", strstr(file, "_in_bytes") ? "-1" : "max")
                  : snprintf(text, sizeof text, "%" PRIu64 "\n", bytes);
    if (!join(name, path, file))
        error = ENAMETOOLONG;
    else if ((fd = open(name, O_WRONLY | O_CLOEXEC | O_TRUNC)) < 0 || write(fd, text, (size_t)len) != len)
        error = errno;
    if (fd >= 0)
        (void)close(fd);
    if (error)
        error_set(e, "%s/%s: write: %s", path, file, strerror(error));
    return error;
}

uint64_t cgroup_machine_bytes(const char *root)
{
    char folder[CGROUP_PATH_MAX], text[256];
    int n = snprintf(folder, sizeof folder, "%s/proc", root);
    if (n < 0 || (size_t)n >= sizeof folder || slurp(folder, "meminfo", text, sizeof text) < 0)
        return CGROUP_UNLIMITED;
    const char *colon = strstr(text, "MemTotal:");
    uint64_t kib = colon ? strtoull(colon + strlen("MemTotal:"), NULL, 10) : 0;
    return kib ? kib * 1024 : CGROUP_UNLIMITED;
}
