// The file of an audit log: where its chain stands when a server starts, rotation, and a lock, since two writers would
// make two chains of one.
#include "keyserver/audit_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_BYTES 65536 // how far back a start looks for a whole line
#define SEQ_DIGITS 12    // of a rotated file's name

static int open_log(const char *path, int more)
{
    return open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | more, 0640);
}

// A device or a pipe is not one writer's own.
static bool lock(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        return true;
    return flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

// ---- the tail

// What stands at the end of a file: its last line, and what follows it and is none.
struct tail {
    char *bytes;
    size_t len;
    bool whole;       // bytes is all of the file
    const char *last; // NULL: no line
    size_t last_len;
    struct audit_line line;
    struct audit_chain chain;
};

static bool read_tail(int fd, const char *path, struct tail *t, struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        error_set(e, "%s: %s", path, strerror(errno));
        return false;
    }
    off_t from = st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;
    t->whole = from == 0;
    t->bytes = malloc(TAIL_BYTES);
    if (t->bytes == NULL) {
        error_set(e, "%s: out of memory", path);
        return false;
    }
    while (t->len < TAIL_BYTES) {
        ssize_t n = pread(fd, t->bytes + t->len, TAIL_BYTES - t->len, from + (off_t)t->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            error_set(e, "%s: read: %s", path, strerror(errno));
            free(t->bytes);
            return false;
        }
        if (n == 0)
            break;
        t->len += (size_t)n;
    }
    return true;
}

// A line cut off before its newline is as good as whole if it continues the chain, or begins it.
static bool counts_as_line(const struct tail *t, const struct audit_line *line, bool ends)
{
    return ends || (t->last == NULL && t->whole && line->seq == 1 && line->event == AUDIT_START) ||
           (t->last != NULL && line->seq == t->chain.seq + 1 &&
            memcmp(line->prev, t->chain.hash, AUDIT_HASH_LEN) == 0);
}

static bool find_last(struct tail *t, struct audit_hasher *hasher)
{
    const char *at = t->bytes, *end = t->bytes + t->len;
    if (!t->whole) { // begins in the middle of a line
        const char *newline = memchr(at, '\n', t->len);
        at = newline != NULL ? newline + 1 : end;
    }
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((newline != NULL ? newline : end) - at);
        struct audit_line line;
        if (len < AUDIT_LINE_MAX && audit_line_parse(at, len, &line) &&
            counts_as_line(t, &line, newline != NULL)) {
            t->last = at;
            t->last_len = len;
            t->line = line;
            t->chain.seq = line.seq;
            if (!audit_hash(hasher, at, len, t->chain.hash))
                return false;
        }
        at += len + 1;
    }
    return true;
}

// Bytes behind the last line are torn, without the newline that may stand at their end.
static bool take_torn(const struct tail *t, struct audit_torn *torn)
{
    const char *at = t->last != NULL ? t->last + t->last_len : t->bytes, *end = t->bytes + t->len;
    if (t->last != NULL && at < end)
        at++; // its newline
    if (at < end && end[-1] == '\n')
        end--;
    return at == end || audit_torn_add(torn, at, (size_t)(end - at));
}

// ---- the file before

static bool is_rotation_of(const char *name, const char *base)
{
    size_t len = strlen(base);
    return strncmp(name, base, len) == 0 && name[len] == '.' && strlen(name + len + 1) == SEQ_DIGITS &&
           strspn(name + len + 1, "0123456789") == SEQ_DIGITS;
}

// The newest of the rotation of path, open for reading; -1: none.
static int open_newest(const char *path)
{
    char folder_of[PATH_MAX], base_of[PATH_MAX], newest[NAME_MAX + 1] = "";
    (void)snprintf(folder_of, sizeof folder_of, "%s", path);
    (void)snprintf(base_of, sizeof base_of, "%s", path);
    const char *base = basename(base_of);
    DIR *dir = opendir(dirname(folder_of));
    if (dir == NULL)
        return -1;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (is_rotation_of(entry->d_name, base) && strcmp(entry->d_name, newest) > 0)
            (void)snprintf(newest, sizeof newest, "%s", entry->d_name);
    int fd = newest[0] != '\0' ? openat(dirfd(dir), newest, O_RDONLY | O_CLOEXEC) : -1;
    (void)closedir(dir);
    return fd;
}

// A server that was killed between two files goes on from the older one. False and *e: its end cannot be used.
static bool continue_rotation(struct audit_file *file, struct audit_hasher *hasher, bool *found,
                              struct error *e)
{
    struct tail t = {0};
    int fd = open_newest(file->path);
    *found = fd >= 0;
    if (fd < 0)
        return true;
    bool good = read_tail(fd, file->path, &t, e);
    (void)close(fd);
    if (!good)
        return false;
    good = find_last(&t, hasher) && t.last != NULL && t.line.closes;
    if (good) {
        file->chain = t.chain;
        file->ended = true;
        memcpy(file->copy, t.last, t.last_len);
        file->copy[t.last_len] = '\n';
        file->copy_len = t.last_len + 1;
    } else {
        error_set(e, "%s: the newest file of its rotation does not end with a head", file->path);
    }
    free(t.bytes);
    return good;
}

// The very first write of a log was cut off: there is a part of a start line and nothing else.
static bool is_torn_start(const struct tail *t)
{
    static const char begin[] = "{\"time\":\"", more[] = "\",\"event\":\"start\"";
    enum { BEGIN = sizeof begin - 1, TIME = 27, MORE = sizeof more - 1 };
    if (!t->whole || t->len >= AUDIT_LINE_MAX || memchr(t->bytes, '\n', t->len) != NULL)
        return false;
    size_t behind = t->len > BEGIN + TIME ? t->len - BEGIN - TIME : 0;
    return memcmp(t->bytes, begin, t->len < BEGIN ? t->len : BEGIN) == 0 &&
           memcmp(t->bytes + BEGIN + TIME, more, behind < MORE ? behind : MORE) == 0;
}

// Where the chain stands.
static bool find_chain(struct audit_file *file, struct audit_hasher *hasher, struct error *e)
{
    struct tail t = {0};
    bool found = true;
    if (!read_tail(file->fd, file->path, &t, e))
        return false;
    bool good = find_last(&t, hasher);
    if (!good)
        error_set(e, "%s: out of memory", file->path);
    if (good && t.last != NULL) {
        file->chain = t.chain;
        file->ended = t.line.stops || t.line.closes;
    } else if (good) {
        good = continue_rotation(file, hasher, &found, e);
        if (good && t.len > 0 && (!t.whole || (!found && !is_torn_start(&t)))) {
            error_set(e,
                      "%s: found no line of an audit chain at its end, expected an audit log of this "
                      "version: move it "
                      "away to begin a new one",
                      file->path);
            good = false;
        }
    }
    if (good && !take_torn(&t, &file->torn)) {
        error_set(e, "%s: out of memory", file->path);
        good = false;
    }
    file->mid_line = t.len > 0 && t.bytes[t.len - 1] != '\n';
    free(t.bytes);
    return good;
}

bool audit_file_open(struct audit_file *file, const char *path, struct audit_hasher *hasher, struct error *e)
{
    struct stat st;
    *file = (struct audit_file){.path = path, .fd = open_log(path, 0)};
    if (file->fd < 0 || fstat(file->fd, &st) != 0)
        error_set(e, "%s: open: %s", path, strerror(errno));
    else if (!lock(file->fd))
        error_set(e, "%s: another process writes this audit log", path);
    else if (!audit_torn_init(&file->torn))
        error_set(e, "%s: out of memory", path);
    else {
        file->regular = S_ISREG(st.st_mode);
        file->size = file->regular ? (uint64_t)st.st_size : 0;
        if (!file->regular || find_chain(file, hasher, e))
            return true;
    }
    audit_file_close(file);
    return false;
}

void audit_file_close(struct audit_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    file->fd = -1;
    audit_torn_deinit(&file->torn);
}

// ---- another file

void audit_file_replace(struct audit_file *file, int fd)
{
    struct stat st;
    (void)close(file->fd);
    file->fd = fd;
    file->mid_line = false;
    file->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    file->size = 0;
}

// Names change after the new file is open, so that every failure leaves the present one where it is. Its own name is
// free for a moment in between: a start then goes on from the rotation.
bool audit_file_rotate(struct audit_file *file, struct error *e)
{
    char aside[PATH_MAX], fresh[PATH_MAX];
    struct stat now, mine;
    int a = snprintf(aside, sizeof aside, "%s.%0*" PRIu64, file->path, SEQ_DIGITS, file->chain.seq);
    int f = snprintf(fresh, sizeof fresh, "%s.new", file->path);
    if (a < 0 || a >= (int)sizeof aside || f < 0 || f >= (int)sizeof fresh) {
        error_set(e, "%s: name too long", file->path);
        return false;
    }
    int fd = open_log(fresh, O_TRUNC);
    if (fd < 0 || !lock(fd)) {
        error_set(e, "%s: %s", fresh, strerror(errno));
    } else if (stat(file->path, &now) != 0 || fstat(file->fd, &mine) != 0 || now.st_dev != mine.st_dev ||
               now.st_ino != mine.st_ino) {
        error_set(e, "%s: found another file at its place", file->path);
    } else if (access(aside, F_OK) == 0) {
        error_set(e, "%s: exists", aside);
    } else if (rename(file->path, aside) != 0) {
        error_set(e, "%s: rename: %s", file->path, strerror(errno));
    } else if (rename(fresh, file->path) != 0) {
        error_set(e, "%s: rename: %s", fresh, strerror(errno));
        (void)rename(aside, file->path);
    } else {
        audit_file_replace(file, fd);
        return true;
    }
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(fresh);
    }
    return false;
}

int audit_file_renewed(const struct audit_file *file, struct error *e)
{
    struct stat now, mine;
    int fd = open_log(file->path, O_NONBLOCK);
    if (fd < 0 || fstat(fd, &now) != 0 || fstat(file->fd, &mine) != 0) {
        error_set(e, "%s: reopen: %s", file->path, strerror(errno));
    } else if (now.st_dev == mine.st_dev && now.st_ino == mine.st_ino) {
        (void)close(fd);
        return -1;
    } else if (S_ISREG(now.st_mode) && now.st_size > 0) {
        error_set(e, "%s: reopen: found another file with something in it, expected none or an empty one",
                  file->path);
    } else if (!lock(fd)) {
        error_set(e, "%s: reopen: another process writes this audit log", file->path);
    } else if (fcntl(fd, F_SETFL, O_APPEND) != 0) {
        error_set(e, "%s: reopen: %s", file->path, strerror(errno));
    } else {
        return fd;
    }
    if (fd >= 0)
        (void)close(fd);
    return -2;
}
