// The reading half of files.h.
#include "certs/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/secmem.h"

#define MAX_DEPTH 64

// The folders above the one being walked: a link back to one of them would never end.
struct chain {
    const struct chain *above;
    dev_t dev;
    ino_t ino;
    unsigned depth;
};

static bool add(struct input_files *files, const char *path, const char *fault, bool named)
{
    // Room is always the next power of two, from 64 on.
    if (files->count == 0 || (files->count >= 64 && (files->count & (files->count - 1)) == 0)) {
        size_t room = files->count == 0 ? 64 : files->count * 2;
        struct input_file *items = realloc(files->items, room * sizeof *items);
        if (items == NULL)
            return false;
        files->items = items;
    }
    struct input_file item = {
        .path = strdup(path), .fault = fault != NULL ? strdup(fault) : NULL, .named = named};
    if (item.path == NULL || (fault != NULL && item.fault == NULL)) {
        free(item.path);
        free(item.fault);
        return false;
    }
    files->items[files->count++] = item;
    return true;
}

static bool walk(struct input_files *files, const char *path, bool named, const struct chain *above);

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

// Not alphasort(), whose order depends on the locale.
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool walk_folder(struct input_files *files, const char *path, bool named, const struct chain *here)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, visible, by_bytes);
    if (count < 0)
        return add(files, path, strerror(errno), named);
    bool ok = true;
    for (int i = 0; i < count; i++) {
        char *inside = NULL;
        const char *slash = path[0] != '\0' && path[strlen(path) - 1] == '/' ? "" : "/";
        if (ok && asprintf(&inside, "%s%s%s", path, slash, entries[i]->d_name) < 0)
            inside = NULL;
        ok = ok && inside != NULL && walk(files, inside, false, here);
        free(inside);
        free(entries[i]);
    }
    free(entries);
    return ok;
}

static bool walk(struct input_files *files, const char *path, bool named, const struct chain *above)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return add(files, path,
                   errno == ELOOP ? "a symbolic link that leads back to itself" : strerror(errno), named);
    if (S_ISREG(st.st_mode))
        return add(files, path, NULL, named);
    if (!S_ISDIR(st.st_mode))
        return add(files, path,
                   S_ISFIFO(st.st_mode) ? "a FIFO, expected a regular file" : "not a regular file", named);
    for (const struct chain *c = above; c != NULL; c = c->above)
        if (c->dev == st.st_dev && c->ino == st.st_ino)
            return add(files, path, "a folder that contains itself by a symbolic link", named);
    struct chain here = {above, st.st_dev, st.st_ino, above != NULL ? above->depth + 1 : 0};
    if (here.depth >= MAX_DEPTH)
        return add(files, path, "folders nested deeper than 64", named);
    return walk_folder(files, path, named, &here);
}

bool files_collect(const struct config_list *paths, struct input_files *files)
{
    *files = (struct input_files){NULL, 0};
    for (size_t i = 0; i < paths->count; i++)
        if (!walk(files, paths->items[i], true, NULL))
            return false;
    return true;
}

void files_release(struct input_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->items[i].path);
        free(files->items[i].fault);
    }
    free(files->items);
    *files = (struct input_files){NULL, 0};
}

// Reads until the end or until the room is full. -1 with errno set on an error.
static ssize_t read_whole(int fd, uint8_t *to, size_t room)
{
    size_t got = 0;
    while (got < room) {
        ssize_t n = read(fd, to + got, room - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static bool read_open_file(int fd, struct file_bytes *bytes, struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        error_set(e, "%s", strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        error_set(e, "not a regular file");
        return false;
    }
    if ((uint64_t)st.st_size > FILES_MAX_BYTES) {
        error_set(e, "too large: found %lld bytes, expected at most %zu", (long long)st.st_size,
                  FILES_MAX_BYTES);
        return false;
    }
    bytes->room = (size_t)st.st_size + 1; // one more shows that a file is growing
    bytes->data = secmem_alloc(bytes->room);
    if (bytes->data == NULL) {
        error_set(e, "out of secret memory");
        return false;
    }
    ssize_t len = read_whole(fd, bytes->data, bytes->room);
    if (len >= 0 && (size_t)len < bytes->room) {
        bytes->len = (size_t)len;
        return true;
    }
    error_set(e, "%s", len < 0 ? strerror(errno) : "changed while it was read");
    files_free(bytes);
    return false;
}

bool files_read(const char *path, struct file_bytes *bytes, struct error *e)
{
    *bytes = (struct file_bytes){NULL, 0, 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); // a FIFO must not make us wait
    if (fd < 0) {
        error_set(e, "%s", strerror(errno));
        return false;
    }
    bool ok = read_open_file(fd, bytes, e);
    (void)close(fd);
    return ok;
}

void files_free(struct file_bytes *bytes)
{
    if (bytes->data != NULL)
        secmem_free(&bytes->data, bytes->room);
    *bytes = (struct file_bytes){NULL, 0, 0};
}
