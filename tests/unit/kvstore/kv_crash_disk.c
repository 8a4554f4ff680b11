#include "kv_crash_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvstore/kv_io.h"

#define MAX_FDS 4096

// ---- chance

uint32_t crash_roll(struct crash_chance *c, uint32_t below)
{
    c->state = c->state * 6364136223846793005u + 1442695040888963407u;
    return below == 0 ? 0 : (uint32_t)(((c->state >> 33) * (uint64_t)below) >> 31);
}

void crash_die(const char *what)
{
    fprintf(stderr, "powerfail: %s: %s\n", what, strerror(errno));
    abort();
}

void *crash_grow(void *list, size_t *capacity, size_t need, size_t item)
{
    if (need <= *capacity)
        return list;
    *capacity = need * 2 + 64;
    list = realloc(list, *capacity * item);
    if (list == NULL)
        crash_die("memory");
    return list;
}

// ---- the log of a history

// The recorder: one history at a time.
static struct {
    pthread_mutex_t lock;
    bool on;
    char dir[256];
    struct crash_log *log;
    struct {
        char name[CRASH_NAME];
        uint32_t file;
    } names[CRASH_MAX_FILES];
    size_t name_count;
    int64_t fds[MAX_FDS]; // file + 1; -1: the folder; 0: not ours
    struct crash_chance chance;
    unsigned fail_in; // so many syncs from now one fails, and what it was to cover stays unsynced; 0: none
    bool failed;
} rec = {.lock = PTHREAD_MUTEX_INITIALIZER};

_Atomic uint64_t crash_now_ms = 1000000;

uint64_t crash_clock(void *arg)
{
    (void)arg;
    return atomic_load(&crash_now_ms);
}

uint64_t crash_position(void)
{
    (void)pthread_mutex_lock(&rec.lock);
    uint64_t at = rec.log->count;
    (void)pthread_mutex_unlock(&rec.lock);
    return at;
}

// rec.lock is held.
static struct crash_op *log_op(enum crash_op_kind kind, uint32_t file)
{
    struct crash_log *log = rec.log;
    log->ops = crash_grow(log->ops, &log->capacity, log->count + 1, sizeof *log->ops);
    struct crash_op *op = &log->ops[log->count++];
    *op = (struct crash_op){.kind = kind, .file = file};
    return op;
}

static size_t find_name(const char *name)
{
    size_t i = 0;
    while (i < rec.name_count && strcmp(rec.names[i].name, name) != 0)
        i++;
    return i;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

// Lets others in between, now and then.
static void dawdle(void)
{
    if (!rec.on)
        return;
    (void)pthread_mutex_lock(&rec.lock);
    uint32_t n = crash_roll(&rec.chance, 100);
    (void)pthread_mutex_unlock(&rec.lock);
    if (n < 3)
        (void)usleep(300);
    else if (n < 15)
        (void)usleep(20);
}

static int rec_open(const char *path, int flags, mode_t mode)
{
    int fd = open(path, flags & ~O_DIRECT, mode); // what plays the disk need not have it
    if (!rec.on || fd < 0)
        return fd;
    if (fd >= MAX_FDS)
        crash_die("too many descriptors");
    (void)pthread_mutex_lock(&rec.lock);
    if ((flags & O_DIRECTORY) != 0) {
        rec.fds[fd] = -1;
    } else {
        const char *name = base_name(path);
        size_t at = find_name(name);
        if (at == rec.name_count) {
            if (at == CRASH_MAX_FILES)
                crash_die("too many files");
            uint32_t file = rec.log->files++;
            (void)snprintf(rec.names[at].name, CRASH_NAME, "%s", name);
            rec.names[at].file = file;
            rec.name_count++;
            (void)snprintf(log_op(OP_CREATE, file)->name, CRASH_NAME, "%s", name);
        } else if ((flags & O_TRUNC) != 0) {
            log_op(OP_SIZE, rec.names[at].file)->at = 0;
        }
        rec.fds[fd] = (int64_t)rec.names[at].file + 1;
    }
    (void)pthread_mutex_unlock(&rec.lock);
    return fd;
}

static int rec_close(int fd)
{
    (void)pthread_mutex_lock(&rec.lock);
    if (fd >= 0 && fd < MAX_FDS)
        rec.fds[fd] = 0;
    int result = close(fd);
    (void)pthread_mutex_unlock(&rec.lock);
    return result;
}

static ssize_t rec_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    if (!rec.on)
        return pwritev(fd, iov, count, offset);
    dawdle();
    (void)pthread_mutex_lock(&rec.lock);
    ssize_t n = pwritev(fd, iov, count, offset);
    if (n > 0 && rec.fds[fd] > 0) {
        struct crash_op *op = log_op(OP_WRITE, (uint32_t)(rec.fds[fd] - 1));
        op->at = (uint64_t)offset;
        op->len = (uint64_t)n;
        op->data = malloc((size_t)n);
        if (op->data == NULL)
            crash_die("memory");
        size_t done = 0;
        for (int i = 0; i < count && done < (size_t)n; i++) {
            size_t part = iov[i].iov_len < (size_t)n - done ? iov[i].iov_len : (size_t)n - done;
            if (part != 0)
                memcpy(op->data + done, iov[i].iov_base, part);
            done += part;
        }
    }
    (void)pthread_mutex_unlock(&rec.lock);
    return n;
}

static int rec_sync(int fd)
{
    if (!rec.on)
        return 0;
    (void)pthread_mutex_lock(&rec.lock);
    uint64_t began = rec.log->count;
    int64_t file = rec.fds[fd];
    (void)pthread_mutex_unlock(&rec.lock);
    dawdle();
    (void)pthread_mutex_lock(&rec.lock);
    if (rec.fail_in > 0 && --rec.fail_in == 0) {
        rec.failed = true;
        (void)pthread_mutex_unlock(&rec.lock);
        errno = EIO;
        return -1;
    }
    if (file != 0)
        log_op(file < 0 ? OP_DIRSYNC : OP_SYNC, file < 0 ? 0 : (uint32_t)(file - 1))->at = began;
    (void)pthread_mutex_unlock(&rec.lock);
    return 0;
}

static int rec_ftruncate(int fd, off_t size)
{
    (void)pthread_mutex_lock(&rec.lock);
    int result = ftruncate(fd, size);
    if (rec.on && result == 0 && rec.fds[fd] > 0)
        log_op(OP_SIZE, (uint32_t)(rec.fds[fd] - 1))->at = (uint64_t)size;
    (void)pthread_mutex_unlock(&rec.lock);
    return result;
}

static int rec_fallocate(int fd, int mode, off_t offset, off_t len)
{
    (void)pthread_mutex_lock(&rec.lock);
    int result = fallocate(fd, mode, offset, len);
    if (rec.on && result == 0 && rec.fds[fd] > 0 && (mode & FALLOC_FL_PUNCH_HOLE) != 0) {
        struct crash_op *op = log_op(OP_PUNCH, (uint32_t)(rec.fds[fd] - 1));
        op->at = (uint64_t)offset;
        op->len = (uint64_t)len;
    }
    (void)pthread_mutex_unlock(&rec.lock);
    return result;
}

static int rec_unlink(const char *path)
{
    (void)pthread_mutex_lock(&rec.lock);
    int result = unlink(path);
    if (rec.on && result == 0) {
        size_t at = find_name(base_name(path));
        if (at < rec.name_count)
            rec.names[at] = rec.names[--rec.name_count];
        (void)snprintf(log_op(OP_UNLINK, 0)->name, CRASH_NAME, "%s", base_name(path));
    }
    (void)pthread_mutex_unlock(&rec.lock);
    return result;
}

static int rec_rename(const char *from, const char *to)
{
    (void)pthread_mutex_lock(&rec.lock);
    int result = rename(from, to);
    if (rec.on && result == 0) {
        size_t old = find_name(base_name(to));
        if (old < rec.name_count)
            rec.names[old] = rec.names[--rec.name_count];
        size_t at = find_name(base_name(from));
        (void)snprintf(rec.names[at].name, CRASH_NAME, "%s", base_name(to));
        struct crash_op *op = log_op(OP_RENAME, rec.names[at].file);
        (void)snprintf(op->name, CRASH_NAME, "%s", base_name(from));
        (void)snprintf(op->to, CRASH_NAME, "%s", base_name(to));
    }
    (void)pthread_mutex_unlock(&rec.lock);
    return result;
}

void crash_disk_install(void)
{
    kv_io.open = rec_open;
    kv_io.close = rec_close;
    kv_io.pwritev = rec_pwritev;
    kv_io.fdatasync = rec_sync;
    kv_io.fsync = rec_sync;
    kv_io.ftruncate = rec_ftruncate;
    kv_io.fallocate = rec_fallocate;
    kv_io.unlink = rec_unlink;
    kv_io.rename = rec_rename;
}

void crash_image_load(struct crash_image *image, const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (f == NULL || fstat(fileno(f), &st) != 0)
        crash_die(path);
    image->size = (size_t)st.st_size;
    image->capacity = image->size + 1;
    image->bytes = malloc(image->capacity);
    if (image->bytes == NULL || fread(image->bytes, 1, image->size, f) != image->size)
        crash_die(path);
    (void)fclose(f);
}

static bool is_store_file(const char *name)
{
    return strcmp(name, "LOCK") != 0 && name[0] != '.';
}

static void add_start_file(struct crash_log *log, const char *dir, const char *name)
{
    size_t n = log->start_count++;
    log->start = realloc(log->start, log->start_count * sizeof *log->start);
    if (log->start == NULL)
        crash_die("memory");
    log->start[n] = (struct crash_start_file){0};
    (void)snprintf(log->start[n].name, CRASH_NAME, "%.31s", name);
    char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    crash_image_load(&log->start[n].image, path);
    (void)snprintf(rec.names[n].name, CRASH_NAME, "%.31s", name);
    rec.names[n].file = (uint32_t)n;
    rec.name_count++;
}

void crash_record_begin(struct crash_log *log, const char *dir, uint64_t seed)
{
    *log = (struct crash_log){0};
    rec.log = log;
    rec.name_count = 0;
    rec.chance.state = seed;
    memset(rec.fds, 0, sizeof rec.fds);
    (void)snprintf(rec.dir, sizeof rec.dir, "%s", dir);
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (!is_store_file(e->d_name))
            continue;
        add_start_file(log, dir, e->d_name);
    }
    if (d != NULL)
        (void)closedir(d);
    log->files = (uint32_t)log->start_count;
    rec.failed = false;
    rec.fail_in = 0;
    rec.on = true;
    crash_tick(0);
}

void crash_record_end(void)
{
    rec.fail_in = 0;
    rec.on = false;
}

void crash_fail_sync_in(unsigned syncs)
{
    (void)pthread_mutex_lock(&rec.lock);
    rec.fail_in = syncs;
    (void)pthread_mutex_unlock(&rec.lock);
}

bool crash_sync_failed(void)
{
    (void)pthread_mutex_lock(&rec.lock);
    bool failed = rec.failed;
    (void)pthread_mutex_unlock(&rec.lock);
    return failed;
}

void crash_tick(uint64_t ms)
{
    (void)pthread_mutex_lock(&rec.lock);
    log_op(OP_CLOCK, 0)->at = atomic_fetch_add(&crash_now_ms, ms) + ms;
    (void)pthread_mutex_unlock(&rec.lock);
}

void crash_log_free(struct crash_log *log)
{
    for (size_t i = 0; i < log->count; i++)
        free(log->ops[i].data);
    for (size_t i = 0; i < log->start_count; i++)
        free(log->start[i].image.bytes);
    free(log->start);
    free(log->ops);
    *log = (struct crash_log){0};
}
