// The writing half of files.h.
#include "certs/files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    (void)close(fd);
    return ok;
}

// "dir/.name.tmp-PID": beside the target, because a rename works within one file system only.
static bool temporary_name(const char *path, char *folder, char *temporary, size_t len)
{
    char copy[PATH_MAX];
    if (strlen(path) >= sizeof copy)
        return false;
    strcpy(copy, path);
    strcpy(folder, dirname(copy));
    strcpy(copy, path);
    int n = snprintf(temporary, len, "%s/.%s.tmp-%ld", folder, basename(copy), (long)getpid());
    return n > 0 && (size_t)n < len;
}

static bool write_temporary(const char *temporary, const void *data, size_t len, enum files_mode mode)
{
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool ok = write_all(fd, data, len) && fchmod(fd, mode) == 0 && fsync(fd) == 0;
    int saved = errno;
    ok = close(fd) == 0 && ok;
    if (!ok) {
        (void)unlink(temporary);
        errno = saved;
    }
    return ok;
}

bool files_write(const char *path, const void *data, size_t len, enum files_mode mode, bool replace,
                 struct error *e)
{
    char folder[PATH_MAX], temporary[PATH_MAX + 32];
    if (!temporary_name(path, folder, temporary, sizeof temporary)) {
        error_set(e, "%s: %s", path, strerror(ENAMETOOLONG));
        return false;
    }
    if (!write_temporary(temporary, data, len, mode)) {
        error_set(e, "%s: write: %s", path, strerror(errno));
        return false;
    }
    // link() refuses to replace, which rename() does.
    bool ok = replace ? rename(temporary, path) == 0 : link(temporary, path) == 0;
    if (!ok)
        error_set(e, "%s: %s", path,
                  errno == EEXIST ? "exists already (--force replaces it)" : strerror(errno));
    if (!ok || !replace)
        (void)unlink(temporary);
    if (ok && !sync_folder(folder)) {
        error_set(e, "%s: sync its folder: %s", path, strerror(errno));
        ok = false;
    }
    return ok;
}
