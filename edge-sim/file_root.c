#include "edge-sim/file_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// O_NONBLOCK: a FIFO in the folder must not hold the loop up.
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

struct file_root {
    int fd;
};

struct file_root *file_root_open(const char *dir, struct error *e)
{
    struct file_root *root = malloc(sizeof *root);
    if (root == NULL) {
        error_set(e, "%s: no memory", dir);
        return NULL;
    }
    root->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root->fd < 0) {
        error_set(e, "%s: open folder: %s", dir, strerror(errno));
        free(root);
        return NULL;
    }
    return root;
}

void file_root_close(struct file_root **root)
{
    if (*root == NULL)
        return;
    (void)close((*root)->fd);
    free(*root);
    *root = NULL;
}

const char *file_content_type(const char *path)
{
    static const char *const types[][2] = {
        {"html", "text/html; charset=utf-8"},
        {"htm", "text/html; charset=utf-8"},
        {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"mjs", "text/javascript; charset=utf-8"},
        {"json", "application/json"},
        {"txt", "text/plain; charset=utf-8"},
        {"md", "text/markdown; charset=utf-8"},
        {"xml", "application/xml"},
        {"svg", "image/svg+xml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"avif", "image/avif"},
        {"ico", "image/vnd.microsoft.icon"},
        {"woff2", "font/woff2"},
        {"pdf", "application/pdf"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
        {"m3u8", "application/vnd.apple.mpegurl"},
        {"ts", "video/mp2t"},
        {"wasm", "application/wasm"},
    };
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash != NULL ? slash : path, '.');
    for (size_t i = 0; dot != NULL && i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(dot + 1, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

// Every segment has a name that does not begin with a dot; only the last may be empty ("/folder/").
static bool path_is_plain(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *segment = path + 1; *segment != '\0';) {
        size_t len = strcspn(segment, "/");
        if (len == 0 || len > NAME_MAX)
            return false;
        if (segment[0] == '.' && !(len == 11 && memcmp(segment, ".well-known", 11) == 0))
            return false;
        segment += len;
        if (*segment == '/')
            segment++;
    }
    return true;
}

static int open_beneath(int dir, const char *relative)
{
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    for (unsigned attempt = 0; attempt < 8; attempt++) {
        int fd = (int)syscall(SYS_openat2, dir, relative, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN) // EAGAIN: a rename somewhere made the kernel unsure
            return fd;
    }
    return -1;
}

static int open_stepwise(int dir, const char *relative)
{
    char segment[NAME_MAX + 1];
    int fd = dir;
    while (*relative != '\0') {
        size_t len = strcspn(relative, "/");
        memcpy(segment, relative, len); // path_is_plain() bounds it
        segment[len] = '\0';
        relative += len + (relative[len] == '/');
        int next = openat(fd, segment, OPEN_FLAGS | O_NOFOLLOW);
        int saved = errno;
        if (fd != dir)
            (void)close(fd);
        if (next < 0) {
            errno = saved;
            return -1;
        }
        fd = next;
    }
    return fd == dir ? openat(dir, ".", OPEN_FLAGS) : fd;
}

static enum file_result find(const struct file_root *root, const char *path, struct file *file,
                             int (*open_in)(int, const char *))
{
    char full[PATH_MAX];
    struct stat st;
    size_t len = strlen(path);
    if (!path_is_plain(path))
        return FILE_MISSING;
    bool folder = path[len - 1] == '/';
    int n = snprintf(full, sizeof full, "%s%s", path, folder ? "index.html" : "");
    if (n < 0 || (size_t)n >= sizeof full)
        return FILE_MISSING;
    int fd = open_in(root->fd, full + 1);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOSYS ? FILE_TROUBLE
                                                                                        : FILE_MISSING;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        bool add_slash = !folder && S_ISDIR(st.st_mode);
        (void)close(fd);
        return add_slash ? FILE_ADD_SLASH : FILE_MISSING;
    }
    *file = (struct file){.fd = fd, .size = st.st_size, .content_type = file_content_type(full)};
    return FILE_FOUND;
}

enum file_result file_root_find_stepwise(const struct file_root *root, const char *path, struct file *file)
{
    return find(root, path, file, open_stepwise);
}

enum file_result file_root_find(const struct file_root *root, const char *path, struct file *file)
{
    enum file_result result = find(root, path, file, open_beneath);
    // Kernels before 5.6, and sandboxes that do not know the call, say ENOSYS (some EPERM, which reads as
    // missing).
    if (result == FILE_TROUBLE && errno == ENOSYS)
        result = find(root, path, file, open_stepwise);
    return result;
}
