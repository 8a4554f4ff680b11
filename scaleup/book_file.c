// The book's file: locked, read once, replaced whole.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scaleup/book.h"

#define FILE_MAX (64 * 1024 * 1024) // far beyond 1,000 VNFs

struct book_file {
    char *path;              // as given, for errors
    char *name, *tmp, *lock; // within the folder
    int folder, locked;
};

static void failed(struct error *e, const struct book_file *f, const char *what)
{
    error_set(e, "%s: %s: %s", f->path, what, strerror(errno));
}

void book_close(struct book_file **file)
{
    struct book_file *f = *file;
    if (f == NULL)
        return;
    if (f->locked >= 0)
        (void)close(f->locked); // and the lock with it
    if (f->folder >= 0)
        (void)close(f->folder);
    free(f->path);
    free(f->name);
    free(f->tmp);
    free(f->lock);
    free(f);
    *file = NULL;
}

// ---- opening

// Whoever may write to the folder may put another book there.
static bool open_folder(struct book_file *f, struct error *e)
{
    struct stat st;
    const char *slash = strrchr(f->path, '/');
    char *folder =
        slash == NULL ? strdup(".") : strndup(f->path, slash == f->path ? 1 : (size_t)(slash - f->path));
    const char *name = slash == NULL ? f->path : slash + 1;
    f->folder = folder == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (f->folder < 0 || fstat(f->folder, &st) != 0) {
        failed(e, f, "open its folder");
        return false;
    }
    if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        error_set(e,
                  "%s: its folder: found owner %u and mode %04o, expected owner %u and nobody else to write",
                  f->path, (unsigned)st.st_uid, (unsigned)st.st_mode & 07777u, (unsigned)geteuid());
        return false;
    }
    f->name = strdup(name);
    if (name[0] == '\0' || f->name == NULL || asprintf(&f->tmp, "%s.tmp", name) < 0 ||
        asprintf(&f->lock, "%s.lock", name) < 0) {
        error_set(e, "%s: not the name of a file, or out of memory", f->path);
        return false;
    }
    return true;
}

// A file of its own: the book itself is another file after each write.
static bool take_lock(struct book_file *f, struct error *e)
{
    f->locked = openat(f->folder, f->lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->locked < 0) {
        failed(e, f, "open its lock");
        return false;
    }
    if (flock(f->locked, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (errno == EWOULDBLOCK)
        error_set(e, "%s: another scaleupd has it", f->path);
    else
        failed(e, f, "lock");
    return false;
}

static bool read_all(int fd, char *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, bytes + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static bool read_book(struct book_file *f, int fd, struct book *book, struct error *e)
{
    struct stat st;
    struct error why;
    if (fstat(fd, &st) != 0) {
        failed(e, f, "stat");
        return false;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
        error_set(e, "%s: not a regular file of at most 64 MiB", f->path);
        return false;
    }
    char *bytes = malloc((size_t)st.st_size + 1);
    if (bytes == NULL || !read_all(fd, bytes, (size_t)st.st_size)) {
        failed(e, f, "read");
        free(bytes);
        return false;
    }
    bool good = book_parse(bytes, (size_t)st.st_size, book, &why);
    if (!good)
        error_set(e, "%s: %s", f->path, why.text);
    free(bytes);
    return good;
}

static bool read_or_make(struct book_file *f, struct book *book, struct error *e)
{
    *book = (struct book){0};
    int fd = openat(f->folder, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return book_write(f, book, e); // now, not at the first request: is it possible at all?
    if (fd < 0) {
        failed(e, f, "open");
        return false;
    }
    bool good = read_book(f, fd, book, e);
    (void)close(fd);
    return good;
}

struct book_file *book_open(const char *path, struct book *book, struct error *e)
{
    struct book_file *f = calloc(1, sizeof *f);
    if (f == NULL || (f->path = strdup(path)) == NULL) {
        error_set(e, "%s: out of memory", path);
        free(f);
        return NULL;
    }
    f->folder = f->locked = -1;
    if (!open_folder(f, e) || !take_lock(f, e) || !read_or_make(f, book, e))
        book_close(&f);
    return f;
}

// ---- writing

static bool write_all(int fd, const char *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, bytes + done, len - done);
        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool write_tmp(struct book_file *f, const char *bytes, size_t len, struct error *e)
{
    (void)unlinkat(f->folder, f->tmp, 0); // of a write that a crash has cut short
    int fd = openat(f->folder, f->tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        failed(e, f, "create a temporary file beside it");
        return false;
    }
    bool good = write_all(fd, bytes, len) && fsync(fd) == 0;
    if (!good)
        failed(e, f, "write");
    if (close(fd) != 0 && good) {
        failed(e, f, "close");
        good = false;
    }
    if (!good)
        (void)unlinkat(f->folder, f->tmp, 0);
    return good;
}

bool book_write(struct book_file *f, const struct book *book, struct error *e)
{
    size_t len;
    char *bytes = book_format(book, &len);
    if (bytes == NULL) {
        error_set(e, "%s: out of memory", f->path);
        return false;
    }
    bool good = write_tmp(f, bytes, len, e);
    free(bytes);
    if (!good)
        return false;
    if (renameat(f->folder, f->tmp, f->folder, f->name) != 0) {
        failed(e, f, "rename");
        (void)unlinkat(f->folder, f->tmp, 0);
        return false;
    }
    if (fsync(f->folder) == 0)
        return true;
    failed(e, f,
           "fsync its folder"); // after a crash it is the old or the new one; the broker is right with both
    return false;
}
