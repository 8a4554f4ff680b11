#include "scaleup/limits_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scaleup/limits_parse.h"

static enum limits_file_status why_not(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENODEV:     // the group is gone
    case EOPNOTSUPP: // PSI is off
    case EACCES:
    case EPERM:
        return LIMITS_FILE_NONE;
    default:
        return LIMITS_FILE_TROUBLE;
    }
}

static enum limits_file_status open_file(struct limits_file *file, const char *folder, const char *name)
{
    char path[LIMITS_PATH_MAX + 64];
    int n = snprintf(path, sizeof path, "%s%s", folder, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return LIMITS_FILE_NONE;
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return file->fd < 0 ? why_not(errno) : LIMITS_FILE_READ;
}

// 0, or errno.
static int read_open(int fd, char *buf, size_t size, size_t *len)
{
    size_t used = 0;
    while (used < size) {
        ssize_t n = pread(fd, buf + used, size - used, (off_t)used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    *len = used;
    return 0;
}

// A plain file may have been replaced by another of its name (lxcfs, a test). Those of /proc and of cgroups say so by an error.
static bool replaced(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

enum limits_file_status limits_file_read(struct limits_file *file, const char *folder, const char *name,
                                         char *buf, size_t size, size_t *len)
{
    if (file->fd >= 0) {
        if (!replaced(file->fd) && read_open(file->fd, buf, size, len) == 0)
            return LIMITS_FILE_READ;
        limits_file_close(file);
    }
    enum limits_file_status status = open_file(file, folder, name);
    if (status != LIMITS_FILE_READ)
        return status;
    int error = read_open(file->fd, buf, size, len);
    if (error == 0)
        return LIMITS_FILE_READ;
    limits_file_close(file);
    return why_not(error);
}

enum limits_file_status limits_file_number(struct limits_file *file, const char *folder, const char *name,
                                           uint64_t *value)
{
    char text[64];
    size_t len = 0;
    enum limits_file_status status = limits_file_read(file, folder, name, text, sizeof text, &len);
    if (status == LIMITS_FILE_READ && !limits_parse_number(text, len, value))
        return LIMITS_FILE_TROUBLE;
    return status;
}

void limits_file_close(struct limits_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    file->fd = -1;
}
