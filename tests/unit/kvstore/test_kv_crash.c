// Power failures, thoroughly: a disk that remembers every write, and what each crash may leave of it.
//
// One history. Several threads put, delete, replace, expire and sync on a store of small segments while
// another compacts; every file operation (kv_io) and every answer to a caller goes into one log, in order.
// All of it runs at full speed; nothing is copied meanwhile.
//
// Many crashes. Then the log is played back. At a random position the power fails, in the middle of whatever
// was going on:
//   data        what was written before the begin of an fsync that has ended is there. Of each 512-byte sector (or 4 KiB block) written
//               since, any version may be there, each for itself: the old one, or as after any of the writes
//   sizes       any size that the file has had since its last sync, apart from the data: what was never written in it is zeros
//   names       of the creations, renames and unlinks since the folder's last fsync the first few (KV_POWER_NAMES=any: any of them)
//   kill -9     (one crash in eight) everything that returned is there
// In one history in four an fsync fails and covers nothing: no caller may be told that what it was to cover
// is durable. The files are written to a folder of their own and the store is opened from it. One crash in
// some is followed by a second history on what is left, recovery included, with crashes of its own: so power
// fails in recovery too.
//
// What must hold, for each key (a key is written by one thread, so its history is a line):
//   it is in the state of the last durable operation, or of one that was begun later, value and expiry together
//   (durable: the call returned and the policy promises it, or a kv_sync() begun after its return has returned)
// Violations by kind:
//   OLD      a state from before the last durable one     LOST     not found, though that was not asked for
//   UNDEAD   a deleted or expired key is back             CORRUPT  KV_CORRUPT or KV_IO instead of a state
//   TORNNEW  KV_CORRUPT, where the key was absent and an unacknowledged put was under way: counted, not failed
//   TORNDEL  KV_CORRUPT, where the key was there and an unacknowledged delete (or its expiry) was under way: counted, not failed
//   ALIEN    a value that was never put                   OPEN     the store does not open
//   DIFFER   opened by the index snapshot a key is another than when all segments are read
//   LEFT     a value is in the files after opening by the snapshot, and not after reading all segments
//   EXPIRY   the right value with an expiry it never had  AGAIN    a second open says something else than the first
//
// Environment: KV_TEST_SEED (1), KV_POWER_STATES (crash states in all, 600), KV_POWER_NAMES=any,
// KV_POWER_POLICY=always|interval, KV_POWER_ALLOW (kinds not to fail on, e.g. "TORNNEW,CORRUPT"),
// KV_POWER_VERBOSE=1 (the first violations in full), TMPDIR.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvstore/kv.h"
#include "kvstore/kv_internal.h"
#include "kvstore/kv_io.h"

#define SECTOR    512u
#define KEYS      24u
#define WRITERS   3u
#define MAX_FILES 4096u
#define MAX_FDS   4096
#define NAME      32u
#define VALUE_MAX 6000u
#define NEVER     UINT64_MAX

// ---- chance

struct chance {
    uint64_t state;
};

static uint32_t roll(struct chance *c, uint32_t below)
{
    c->state = c->state * 6364136223846793005u + 1442695040888963407u;
    return below == 0 ? 0 : (uint32_t)(((c->state >> 33) * (uint64_t)below) >> 31);
}

static void die(const char *what)
{
    fprintf(stderr, "powerfail: %s: %s\n", what, strerror(errno));
    abort();
}

static void *grow_to(void *list, size_t *capacity, size_t need, size_t item)
{
    if (need <= *capacity)
        return list;
    *capacity = need * 2 + 64;
    list = realloc(list, *capacity * item);
    if (list == NULL)
        die("memory");
    return list;
}

// ---- the log of a history

enum op_kind { OP_WRITE, OP_SIZE, OP_PUNCH, OP_SYNC, OP_CREATE, OP_RENAME, OP_UNLINK, OP_DIRSYNC, OP_CLOCK };

struct op {
    enum op_kind kind;
    uint32_t file;
    uint64_t at, len; // SYNC, DIRSYNC: at is the log position at which it began; CLOCK: at is the time
    uint8_t *data;
    char name[NAME], to[NAME];
};

struct image { // a file's bytes
    uint8_t *bytes;
    size_t size, capacity;
};

struct start_file {
    char name[NAME];
    struct image image;
};

struct log {
    struct op *ops;
    size_t count, capacity;
    uint32_t files;
    struct start_file *start; // what is there, durably, when the history begins: file i has name start[i]
    size_t start_count;
};

// The recorder: one history at a time.
static struct {
    pthread_mutex_t lock;
    bool on;
    char dir[256];
    struct log *log;
    struct {
        char name[NAME];
        uint32_t file;
    } names[MAX_FILES];
    size_t name_count;
    int64_t fds[MAX_FDS]; // file + 1; -1: the folder; 0: not ours
    struct chance chance;
    unsigned fail_in; // so many syncs from now one fails, and what it was to cover stays unsynced; 0: none
    bool failed;
} rec = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic uint64_t now_ms = 1000000;

static uint64_t clock_now(void *arg)
{
    (void)arg;
    return atomic_load(&now_ms);
}

static uint64_t position(void)
{
    (void)pthread_mutex_lock(&rec.lock);
    uint64_t at = rec.log->count;
    (void)pthread_mutex_unlock(&rec.lock);
    return at;
}

// rec.lock is held.
static struct op *log_op(enum op_kind kind, uint32_t file)
{
    struct log *log = rec.log;
    log->ops = grow_to(log->ops, &log->capacity, log->count + 1, sizeof *log->ops);
    struct op *op = &log->ops[log->count++];
    *op = (struct op){.kind = kind, .file = file};
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
    uint32_t n = roll(&rec.chance, 100);
    (void)pthread_mutex_unlock(&rec.lock);
    if (n < 3)
        (void)usleep(300);
    else if (n < 15)
        (void)usleep(20);
}

static int rec_open(const char *path, int flags, mode_t mode)
{
    int fd = open(path, flags, mode);
    if (!rec.on || fd < 0)
        return fd;
    if (fd >= MAX_FDS)
        die("too many descriptors");
    (void)pthread_mutex_lock(&rec.lock);
    if ((flags & O_DIRECTORY) != 0) {
        rec.fds[fd] = -1;
    } else {
        const char *name = base_name(path);
        size_t at = find_name(name);
        if (at == rec.name_count) {
            if (at == MAX_FILES)
                die("too many files");
            uint32_t file = rec.log->files++;
            (void)snprintf(rec.names[at].name, NAME, "%s", name);
            rec.names[at].file = file;
            rec.name_count++;
            (void)snprintf(log_op(OP_CREATE, file)->name, NAME, "%s", name);
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
        struct op *op = log_op(OP_WRITE, (uint32_t)(rec.fds[fd] - 1));
        op->at = (uint64_t)offset;
        op->len = (uint64_t)n;
        op->data = malloc((size_t)n);
        if (op->data == NULL)
            die("memory");
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
        struct op *op = log_op(OP_PUNCH, (uint32_t)(rec.fds[fd] - 1));
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
        (void)snprintf(log_op(OP_UNLINK, 0)->name, NAME, "%s", base_name(path));
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
        (void)snprintf(rec.names[at].name, NAME, "%s", base_name(to));
        struct op *op = log_op(OP_RENAME, rec.names[at].file);
        (void)snprintf(op->name, NAME, "%s", base_name(from));
        (void)snprintf(op->to, NAME, "%s", base_name(to));
    }
    (void)pthread_mutex_unlock(&rec.lock);
    return result;
}

static void install(void)
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

static void image_load(struct image *image, const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (f == NULL || fstat(fileno(f), &st) != 0)
        die(path);
    image->size = (size_t)st.st_size;
    image->capacity = image->size + 1;
    image->bytes = malloc(image->capacity);
    if (image->bytes == NULL || fread(image->bytes, 1, image->size, f) != image->size)
        die(path);
    (void)fclose(f);
}

static bool is_store_file(const char *name)
{
    return strcmp(name, "LOCK") != 0 && name[0] != '.';
}

static void record_begin(struct log *log, const char *dir, uint64_t seed)
{
    *log = (struct log){0};
    rec.log = log;
    rec.name_count = 0;
    rec.chance.state = seed;
    memset(rec.fds, 0, sizeof rec.fds);
    (void)snprintf(rec.dir, sizeof rec.dir, "%s", dir);
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (!is_store_file(e->d_name))
            continue;
        size_t n = log->start_count++;
        log->start = realloc(log->start, log->start_count * sizeof *log->start);
        if (log->start == NULL)
            die("memory");
        log->start[n] = (struct start_file){0};
        (void)snprintf(log->start[n].name, NAME, "%.31s", e->d_name);
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        image_load(&log->start[n].image, path);
        (void)snprintf(rec.names[n].name, NAME, "%.31s", e->d_name);
        rec.names[n].file = (uint32_t)n;
        rec.name_count++;
    }
    if (d != NULL)
        (void)closedir(d);
    log->files = (uint32_t)log->start_count;
    rec.on = true;
    (void)pthread_mutex_lock(&rec.lock);
    log_op(OP_CLOCK, 0)->at = atomic_load(&now_ms);
    (void)pthread_mutex_unlock(&rec.lock);
}

static void log_free(struct log *log)
{
    for (size_t i = 0; i < log->count; i++)
        free(log->ops[i].data);
    for (size_t i = 0; i < log->start_count; i++)
        free(log->start[i].image.bytes);
    free(log->start);
    free(log->ops);
    *log = (struct log){0};
}

// ---- playing back

struct play_file {
    struct image durable;
    size_t *pending; // log positions of data and size operations since
    size_t pending_count, pending_capacity;
};

struct play_name {
    char name[NAME];
    uint32_t file;
};

struct play {
    const struct log *log;
    size_t at;
    struct play_file *files;
    struct play_name names[MAX_FILES];
    size_t name_count;
    size_t *pending; // names
    size_t pending_count, pending_capacity;
    uint64_t clock;
};

static void image_resize(struct image *image, size_t size)
{
    if (size > image->capacity)
        image->bytes = grow_to(image->bytes, &image->capacity, size, 1);
    if (size > image->size)
        memset(image->bytes + image->size, 0, size - image->size);
    image->size = size;
}

static void image_apply(struct image *image, const struct op *op)
{
    if (op->kind == OP_SIZE) {
        image_resize(image, (size_t)op->at);
        return;
    }
    size_t end = (size_t)(op->at + op->len);
    if (op->kind == OP_PUNCH) {
        if (end > image->size)
            end = image->size;
        if (op->at < end)
            memset(image->bytes + op->at, 0, end - (size_t)op->at);
        return;
    }
    if (end > image->size)
        image_resize(image, end);
    memcpy(image->bytes + op->at, op->data, (size_t)op->len);
}

static void name_apply(struct play_name *names, size_t *count, const struct op *op)
{
    size_t at = 0;
    const char *target = op->kind == OP_RENAME ? op->to : op->name;
    for (int pass = 0; pass < 2; pass++) { // names that this operation takes away or over
        const char *gone = pass == 0 ? target : op->name;
        for (at = 0; at < *count && strcmp(names[at].name, gone) != 0; at++) {
        }
        if (at < *count)
            names[at] = names[--*count];
    }
    if (op->kind == OP_UNLINK)
        return;
    (void)snprintf(names[*count].name, NAME, "%s", target);
    names[(*count)++].file = op->file;
}

static void play_begin(struct play *play, const struct log *log)
{
    memset(play, 0, sizeof *play);
    play->log = log;
    play->clock = log->count != 0 && log->ops[0].kind == OP_CLOCK ? log->ops[0].at : 0;
    play->files = calloc(log->files + 1, sizeof *play->files);
    if (play->files == NULL)
        die("memory");
    for (size_t i = 0; i < log->start_count; i++) {
        struct image *image = &play->files[i].durable;
        image_resize(image, log->start[i].image.size);
        if (image->size != 0)
            memcpy(image->bytes, log->start[i].image.bytes, image->size);
        (void)snprintf(play->names[i].name, NAME, "%s", log->start[i].name);
        play->names[play->name_count++].file = (uint32_t)i;
    }
}

static void play_end(struct play *play)
{
    for (size_t i = 0; i < play->log->files; i++) {
        free(play->files[i].durable.bytes);
        free(play->files[i].pending);
    }
    free(play->files);
    free(play->pending);
}

static void play_step(struct play *play)
{
    const struct op *op = &play->log->ops[play->at];
    size_t here = play->at++;
    size_t kept = 0;
    struct play_file *f = &play->files[op->file];
    switch (op->kind) {
    case OP_WRITE:
    case OP_SIZE:
    case OP_PUNCH:
        f->pending = grow_to(f->pending, &f->pending_capacity, f->pending_count + 1, sizeof *f->pending);
        f->pending[f->pending_count++] = here;
        break;
    case OP_SYNC:
        for (size_t i = 0; i < f->pending_count; i++) {
            if (f->pending[i] < op->at)
                image_apply(&f->durable, &play->log->ops[f->pending[i]]);
            else
                f->pending[kept++] = f->pending[i];
        }
        f->pending_count = kept;
        break;
    case OP_CREATE:
    case OP_RENAME:
    case OP_UNLINK:
        play->pending =
            grow_to(play->pending, &play->pending_capacity, play->pending_count + 1, sizeof *play->pending);
        play->pending[play->pending_count++] = here;
        break;
    case OP_DIRSYNC:
        for (size_t i = 0; i < play->pending_count; i++) {
            if (play->pending[i] < op->at)
                name_apply(play->names, &play->name_count, &play->log->ops[play->pending[i]]);
            else
                play->pending[kept++] = play->pending[i];
        }
        play->pending_count = kept;
        break;
    case OP_CLOCK:
        play->clock = op->at;
        break;
    }
}

// How this crash treats what was not synced.
struct crash {
    bool kill9, any_names;
    uint32_t unit;     // sector or block
    uint32_t newest;   // per cent of units that have their newest version
    uint32_t oldest;   // per cent of the others that have their oldest
    uint32_t size_new; // per cent of files that have their newest size
};

static void touched(const struct op *op, size_t units, uint32_t unit, size_t *first, size_t *last)
{
    *first = (size_t)op->at / unit;
    *last = op->kind == OP_SIZE ? units : (size_t)(op->at + op->len + unit - 1) / unit;
    if (*last > units)
        *last = units;
}

// The file as the crash leaves it.
static void materialise(const struct play *play, uint32_t number, const struct crash *crash,
                        struct chance *chance, struct image *out)
{
    const struct play_file *f = &play->files[number];
    const struct op *ops = play->log->ops;
    struct image newest = {0};
    image_resize(&newest, f->durable.size);
    if (newest.size != 0)
        memcpy(newest.bytes, f->durable.bytes, newest.size);
    image_resize(out, newest.size);
    if (newest.size != 0)
        memcpy(out->bytes, newest.bytes, newest.size);
    size_t most = newest.size, size = newest.size;
    size_t pick = roll(chance, (uint32_t)f->pending_count + 1); // a size from this operation
    for (size_t i = 0; i < f->pending_count; i++) {
        const struct op *op = &ops[f->pending[i]];
        if (i == pick)
            size = newest.size;
        image_apply(&newest, op);
        most = newest.size > most ? newest.size : most;
    }
    if (crash->kill9 || roll(chance, 100) < crash->size_new || pick == f->pending_count)
        size = newest.size;
    size_t units = (most + crash->unit - 1) / crash->unit;
    uint32_t *versions = calloc(units + 1, sizeof *versions), *chosen = calloc(units + 1, sizeof *chosen);
    if (versions == NULL || chosen == NULL)
        die("memory");
    for (size_t i = 0; i < f->pending_count; i++) {
        size_t first, last;
        touched(&ops[f->pending[i]], units, crash->unit, &first, &last);
        for (size_t u = first; u < last; u++)
            versions[u]++;
    }
    for (size_t u = 0; u < units; u++) {
        if (crash->kill9 || roll(chance, 100) < crash->newest)
            chosen[u] = versions[u];
        else
            chosen[u] = roll(chance, 100) < crash->oldest ? 0 : roll(chance, versions[u] + 1);
        versions[u] = 0;
    }
    // Unit by unit the state after so many of its writes.
    struct image state = {0};
    image_resize(&state, f->durable.size);
    if (state.size != 0)
        memcpy(state.bytes, f->durable.bytes, state.size);
    image_resize(out, units * crash->unit);
    for (size_t i = 0; i < f->pending_count; i++) {
        const struct op *op = &ops[f->pending[i]];
        image_apply(&state, op);
        size_t first, last;
        touched(op, units, crash->unit, &first, &last);
        for (size_t u = first; u < last; u++) {
            if (++versions[u] != chosen[u])
                continue;
            size_t from = u * crash->unit;
            memset(out->bytes + from, 0, crash->unit);
            if (from < state.size)
                memcpy(out->bytes + from, state.bytes + from,
                       state.size - from < crash->unit ? state.size - from : crash->unit);
        }
    }
    image_resize(out, size);
    free(versions);
    free(chosen);
    free(state.bytes);
    free(newest.bytes);
}

static void write_folder(const struct play *play, const struct crash *crash, struct chance *chance,
                         const char *dir)
{
    static struct play_name names[MAX_FILES];
    size_t count = play->name_count;
    memcpy(names, play->names, count * sizeof *names);
    size_t upto = crash->kill9 ? play->pending_count : roll(chance, (uint32_t)play->pending_count + 1);
    for (size_t i = 0; i < play->pending_count; i++)
        if (crash->kill9 || (crash->any_names ? roll(chance, 2) == 0 : i < upto))
            name_apply(names, &count, &play->log->ops[play->pending[i]]);
    if (mkdir(dir, 0700) != 0)
        die(dir);
    for (size_t i = 0; i < count; i++) {
        struct image image = {0};
        materialise(play, names[i].file, crash, chance, &image);
        char path[400];
        (void)snprintf(path, sizeof path, "%.300s/%.31s", dir, names[i].name);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0 || write(fd, image.bytes, image.size) != (ssize_t)image.size)
            die(path);
        (void)close(fd);
        free(image.bytes);
    }
}

static void remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char path[600];
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        (void)unlink(path);
    }
    if (d != NULL)
        (void)closedir(d);
    (void)rmdir(dir);
}

// ---- keys, values, what was promised

struct state {
    uint32_t value; // 0: not there
    uint64_t expire;
};

struct event {
    struct state state;
    uint64_t begin, end; // log positions of the call; end NEVER: it has not returned
    bool waits;          // durable when it returns
    char what;
};

struct history {
    struct event *events;
    size_t count, capacity;
    struct state base[64]; // allowed at the beginning
    size_t base_count;
};

struct syncs {
    pthread_mutex_t lock;
    struct {
        uint64_t begin, end;
    } list[4096];
    size_t count;
};

static size_t make_key(uint32_t key, uint8_t out[512])
{
    // Lengths such that values begin everywhere in a sector, at its beginning as well.
    static const uint16_t lengths[] = {4, 16, 32, 20, 64, 48, 128, 11, 192, 448, 300, 80};
    size_t len = lengths[key % (sizeof lengths / sizeof lengths[0])];
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)('a' + (key * 31 + i * 7) % 26);
    out[0] = (uint8_t)key;
    return len;
}

static size_t value_len(uint32_t value)
{
    uint32_t x = value * 2654435761u;
    switch (x >> 29) {
    case 0:
        return (x >> 8) % 64;
    case 1:
    case 2:
        return 64 + (x >> 8) % 600;
    case 3:
    case 4:
    case 5:
        return 400 + (x >> 8) % 1600;
    default:
        return 1024 + (x >> 8) % (VALUE_MAX - 1024);
    }
}

static size_t make_value(uint32_t key, uint32_t value, uint8_t *out)
{
    size_t len = value_len(value);
    uint64_t x = (uint64_t)value << 32 | key;
    for (size_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(x >> 56) | 1; // never zero
    }
    if (value % 41 == 0) // some are zeros throughout
        memset(out, 0, len);
    return len;
}

static bool is_value(uint32_t key, uint32_t value, const uint8_t *data, size_t len)
{
    uint8_t expected[VALUE_MAX];
    return value_len(value) == len && make_value(key, value, expected) == len &&
           (len == 0 || memcmp(expected, data, len) == 0);
}

static bool is_visible(struct state s, uint64_t now)
{
    return s.value != 0 && (s.expire == 0 || s.expire > now);
}

static struct event *add_event(struct history *h, struct event event)
{
    h->events = grow_to(h->events, &h->capacity, h->count + 1, sizeof *h->events);
    h->events[h->count] = event;
    return &h->events[h->count++];
}

// ---- a history

struct run {
    struct kv_store *store;
    struct history *histories; // KEYS
    struct syncs *syncs;
    bool always;
    uint64_t seed;
    unsigned ops;
    bool checkpoints;
    _Atomic unsigned running;
};

static _Atomic uint32_t next_value = 1;

struct writer {
    struct run *run;
    unsigned number;
    pthread_t thread;
};

static void do_sync(struct run *run)
{
    uint64_t begin = position();
    enum kv_status status = kv_sync(run->store);
    if (status != KV_OK && rec.failed)
        return;
    if (status != KV_OK)
        die("kv_sync");
    uint64_t end = position();
    (void)pthread_mutex_lock(&run->syncs->lock);
    if (run->syncs->count == 4096)
        die("too many syncs");
    run->syncs->list[run->syncs->count].begin = begin;
    run->syncs->list[run->syncs->count++].end = end;
    (void)pthread_mutex_unlock(&run->syncs->lock);
}

static struct state current(const struct history *h, bool *known)
{
    *known = h->count != 0;
    return h->count != 0 ? h->events[h->count - 1].state : (struct state){0};
}

// False: a sync has failed, and the call with it; its event stays one that has not returned.
static bool write_one(struct run *run, uint32_t key, struct chance *chance)
{
    struct history *h = &run->histories[key];
    uint8_t k[512], v[VALUE_MAX];
    size_t key_len = make_key(key, k);
    uint32_t what = roll(chance, 100);
    bool known;
    struct state before = current(h, &known);
    bool wait = roll(chance, 8) != 0;
    unsigned flags = wait ? 0 : KV_PUT_NO_WAIT;
    struct event event = {.end = NEVER, .waits = wait && run->always};
    uint64_t now = atomic_load(&now_ms);
    enum kv_status status;
    if (what < 60) {
        event.state.value = atomic_fetch_add(&next_value, 1);
        uint32_t e = roll(chance, 10);
        event.state.expire = e == 0   ? now + 1 + roll(chance, 40)
                             : e == 1 ? now + 1000000 + roll(chance, 1000)
                                      : 0;
        event.what = 'p';
        size_t len = make_value(key, event.state.value, v);
        event.begin = position();
        struct event *e2 = add_event(h, event);
        status = kv_put(run->store, k, key_len, v, len, event.state.expire, flags);
        if (status != KV_OK && rec.failed)
            return false;
        e2->end = position();
        if (status != KV_OK)
            die("kv_put");
    } else if (what < 82) {
        event.what = 'd';
        event.begin = position();
        struct event *e2 = add_event(h, event);
        status = kv_delete(run->store, k, key_len, flags);
        if (status != KV_OK && status != KV_NOT_FOUND && rec.failed)
            return false;
        e2->end = position();
        if (status != KV_OK && status != KV_NOT_FOUND)
            die("kv_delete");
        if (status == KV_NOT_FOUND) { // nothing was done, so nothing was made durable
            if (known && is_visible(before, atomic_load(&now_ms)))
                die("kv_delete does not find a key");
            h->count--;
        }
    } else if (known && is_visible(before, now)) {
        event.what = 'e';
        event.state = before;
        event.state.expire = roll(chance, 4) == 0   ? 0
                             : roll(chance, 4) == 0 ? now + 1 + roll(chance, 40)
                                                    : now + 2000000 + roll(chance, 1000);
        event.begin = position();
        struct event *e2 = add_event(h, event);
        status = kv_set_expiry(run->store, k, key_len, event.state.expire, flags);
        if (status != KV_OK && status != KV_NOT_FOUND && rec.failed)
            return false;
        e2->end = position();
        if (status == KV_NOT_FOUND) { // expired meanwhile
            h->count--;
        } else if (status != KV_OK) {
            die("kv_set_expiry");
        }
    }
    return true;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    struct run *run = w->run;
    struct chance chance = {run->seed * 1000003 + w->number};
    for (unsigned n = 0; n < run->ops; n++) {
        uint32_t key = w->number + WRITERS * roll(&chance, KEYS / WRITERS);
        if (!write_one(run, key, &chance))
            break;
        if (roll(&chance, 50) == 0)
            do_sync(run);
        if (run->checkpoints && roll(&chance, 25) == 0 && kv_checkpoint(run->store) != KV_OK && !rec.failed)
            die("kv_checkpoint");
        if (roll(&chance, 12) == 0) {
            (void)pthread_mutex_lock(&rec.lock);
            log_op(OP_CLOCK, 0)->at = atomic_fetch_add(&now_ms, 5) + 5;
            (void)pthread_mutex_unlock(&rec.lock);
        }
        if (roll(&chance, 30) == 0) {
            uint8_t k[512], buf[VALUE_MAX];
            uint32_t other = roll(&chance, KEYS);
            size_t len = sizeof buf, key_len = make_key(other, k);
            enum kv_status status = kv_get(run->store, k, key_len, buf, &len);
            if (status != KV_OK && status != KV_NOT_FOUND && run->histories[other].base_count <= 1)
                die("kv_get while running");
        }
    }
    atomic_fetch_sub(&run->running, 1);
    return NULL;
}

static void *compactor_main(void *arg)
{
    struct run *run = arg;
    while (atomic_load(&run->running) > 0)
        if (!kv_compact_step(run->store))
            (void)usleep(500);
    return NULL;
}

// One history in a folder, recorded. Returns false when the store does not open.
static bool record_history(const char *dir, struct log *log, struct history histories[KEYS],
                           struct syncs *syncs, bool always, unsigned ops, uint64_t seed, bool fail_sync)
{
    struct run run = {.histories = histories, .syncs = syncs, .always = always, .seed = seed, .ops = ops};
    struct kv_options options = {.limit_bytes = seed % 2 == 0 ? 64u << 20 : 0,
                                 .fsync = always ? KV_FSYNC_ALWAYS : KV_FSYNC_INTERVAL,
                                 .fsync_interval_ms = 1000000,
                                 .segment_bytes = 12288,
                                 .create = true,
                                 .now_ms = clock_now};
    char error[300];
    run.checkpoints = seed % 5 != 4;
    record_begin(log, dir, seed);
    syncs->count = 0;
    rec.failed = false;
    rec.fail_in = 0;
    enum kv_status status = kv_open(dir, &options, &run.store, error, sizeof error);
    if (status != KV_OK) {
        fprintf(stderr, "open: %s\n", error);
        rec.on = false;
        return false;
    }
    if (fail_sync)
        rec.fail_in = 20 + (unsigned)(seed * 2654435761u % 400);
    struct writer writers[WRITERS];
    pthread_t compactor;
    atomic_store(&run.running, WRITERS);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.run = &run, .number = i};
        if (pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]) != 0)
            die("thread");
    }
    if (pthread_create(&compactor, NULL, compactor_main, &run) != 0)
        die("thread");
    for (unsigned i = 0; i < WRITERS; i++)
        (void)pthread_join(writers[i].thread, NULL);
    (void)pthread_join(compactor, NULL);
    uint64_t begin = position();
    status = kv_close(&run.store);
    uint64_t end = position();
    if (status == KV_OK) {
        syncs->list[syncs->count].begin = begin;
        syncs->list[syncs->count++].end = end;
    } else if (!rec.failed) {
        die("kv_close");
    }
    rec.fail_in = 0;
    rec.on = false;
    return true;
}

// ---- what a crash may show

struct allowed {
    struct state states[512];
    size_t
        count; // the first is the last durable one, unless nothing was durable: then `base_count` of them are
    size_t first_new; // states from here on were begun after it
    size_t durable;   // events before this one are older than the durable state
};

static bool durable_at(const struct event *e, const struct syncs *syncs, uint64_t t)
{
    if (e->end > t)
        return false;
    if (e->waits)
        return true;
    for (size_t i = 0; i < syncs->count; i++)
        if (syncs->list[i].begin >= e->end && syncs->list[i].end <= t)
            return true;
    return false;
}

static void allow_at(const struct history *h, const struct syncs *syncs, uint64_t t, struct allowed *a)
{
    a->count = 0;
    size_t i = h->count;
    while (i > 0 && !durable_at(&h->events[i - 1], syncs, t))
        i--;
    a->durable = i;
    if (i == 0)
        for (size_t b = 0; b < h->base_count; b++)
            a->states[a->count++] = h->base[b];
    else
        a->states[a->count++] = h->events[i - 1].state;
    a->first_new = a->count;
    for (; i < h->count && h->events[i].begin < t && a->count < 512; i++)
        a->states[a->count++] = h->events[i].state;
}

enum kind { GOOD, OLD, LOST, UNDEAD, CORRUPT, TORNNEW, TORNDEL, ALIEN, OPEN, EXPIRY, AGAIN, DIFFER, LEFT, KINDS };
static const char *const kind_names[KINDS] = {"good",    "OLD",   "LOST", "UNDEAD", "CORRUPT", "TORNNEW",
                                              "TORNDEL", "ALIEN", "OPEN", "EXPIRY", "AGAIN",   "DIFFER", "LEFT"};
static bool is_failure(enum kind kind)
{
    return kind != GOOD && kind != TORNNEW && kind != TORNDEL;
}

struct seen_key {
    enum kv_status status;
    uint32_t value;
    uint64_t expire;
};

// Which of the values ever put this is; 0: none.
static uint32_t recognise(uint32_t key, const struct history *h, const struct allowed *a, const uint8_t *data,
                          size_t len)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->states[i].value != 0 && is_value(key, a->states[i].value, data, len))
            return a->states[i].value;
    for (size_t i = 0; i < h->count; i++)
        if (h->events[i].state.value != 0 && is_value(key, h->events[i].state.value, data, len))
            return h->events[i].state.value;
    for (uint32_t v = 1; v < atomic_load(&next_value); v++)
        if (is_value(key, v, data, len))
            return v;
    return 0;
}

static enum kind judge(uint32_t key, const struct history *h, const struct allowed *a, uint64_t now,
                       struct kv_store *store, struct seen_key *seen)
{
    uint8_t k[512];
    size_t key_len = make_key(key, k), len;
    void *data;
    *seen = (struct seen_key){0};
    seen->status = kv_get_alloc(store, k, key_len, &data, &len, NULL);
    bool absent_allowed = false, there_allowed = false, absent_durable = false, absent_new = false,
         mixed_base = false;
    for (size_t i = 0; i < a->count; i++) {
        bool absent = !is_visible(a->states[i], now);
        absent_allowed |= absent;
        there_allowed |= !absent;
        absent_durable |= absent && i < a->first_new;
        absent_new |= absent && i >= a->first_new;
        mixed_base |= i > 0 && i < a->first_new; // what a crash before left open
    }
    if (seen->status == KV_NOT_FOUND)
        return absent_allowed ? GOOD : LOST;
    if (seen->status != KV_OK)
        return !there_allowed || !absent_allowed ? CORRUPT
               : absent_durable                  ? TORNNEW
               : absent_new || mixed_base        ? TORNDEL
                                                 : CORRUPT;
    seen->value = recognise(key, h, a, data, len);
    free(data);
    (void)kv_get_expiry(store, k, key_len, &seen->expire);
    bool value_allowed = false;
    for (size_t i = 0; i < a->count; i++) {
        if (a->states[i].value == 0 || a->states[i].value != seen->value)
            continue;
        value_allowed = true;
        if (a->states[i].expire == seen->expire)
            return GOOD;
    }
    if (seen->value == 0)
        return ALIEN;
    if (value_allowed)
        return EXPIRY;
    bool any_visible = false;
    for (size_t i = 0; i < a->count; i++)
        any_visible |= is_visible(a->states[i], now);
    return any_visible ? OLD : UNDEAD;
}

// ---- the test

struct tally {
    uint64_t states, kills, nested, keys, kinds[KINDS];
    uint64_t snapshots, used; // crash states with an index snapshot, and those opened by it
    unsigned shown;
};
static struct tally tally;
static bool verbose, any_names;
static const char *allow_list;
static char root[200];

static void show(enum kind kind, uint32_t key, const struct history *h, const struct allowed *a,
                 const struct seen_key *seen, const struct crash *crash, uint64_t t, uint64_t now,
                 const char *where)
{
    if (!is_failure(kind) || !verbose || tally.shown >= 12)
        return;
    tally.shown++;
    fprintf(stderr,
            "%s key %u at %llu (%s%s, unit %u, newest %u%%): status %d value %u expire %llu; now %llu\n  "
            "allowed:",
            kind_names[kind], key, (unsigned long long)t, where, crash->kill9 ? ", kill -9" : "", crash->unit,
            crash->newest, (int)seen->status, seen->value, (unsigned long long)seen->expire,
            (unsigned long long)now);
    for (size_t i = 0; i < a->count; i++)
        fprintf(stderr, "%s %u(%zu bytes)/%llu", i == a->first_new ? " |" : "", a->states[i].value,
                a->states[i].value != 0 ? value_len(a->states[i].value) : 0,
                (unsigned long long)a->states[i].expire);
    fprintf(stderr, "\n  events:");
    size_t from = a->durable > 4 ? a->durable - 4 : 0;
    for (size_t i = from; i < h->count && i < a->durable + 4; i++)
        fprintf(stderr, " %c%u/%llu[%llu,%llu]%s", h->events[i].what, h->events[i].state.value,
                (unsigned long long)h->events[i].state.expire, (unsigned long long)h->events[i].begin,
                h->events[i].end == NEVER ? 0ull : (unsigned long long)h->events[i].end,
                h->events[i].waits ? "" : "nw");
    fprintf(stderr, "\n");
}

static struct kv_store *open_left(const char *dir, bool always)
{
    struct kv_options options = {.limit_bytes = 64u << 20,
                                 .fsync = always ? KV_FSYNC_ALWAYS : KV_FSYNC_INTERVAL,
                                 .fsync_interval_ms = 1000000,
                                 .segment_bytes = 12288,
                                 .create = true,
                                 .now_ms = clock_now};
    char error[300];
    struct kv_store *store;
    if (kv_open(dir, &options, &store, error, sizeof error) == KV_OK)
        return store;
    tally.kinds[OPEN]++;
    if (verbose && tally.shown++ < 12)
        fprintf(stderr, "OPEN: %s\n", error);
    return NULL;
}

static void play_crashes(const struct log *log, const struct history histories[KEYS],
                         const struct syncs *syncs, bool always, unsigned states, unsigned depth,
                         struct chance *chance);

// A second history on what a crash has left, with crashes of its own.
static void nested(const char *dir, const struct log *log, const struct history histories[KEYS],
                   const struct syncs *syncs, bool always, uint64_t t, struct chance *chance)
{
    (void)log;
    static struct history later[KEYS];
    static struct syncs later_syncs = {.lock = PTHREAD_MUTEX_INITIALIZER};
    memset(later, 0, sizeof later);
    bool usable = true;
    for (uint32_t key = 0; key < KEYS; key++) {
        static struct allowed a;
        allow_at(&histories[key], syncs, t, &a);
        usable = usable && a.count <= 64;
        later[key].base_count = a.count < 64 ? a.count : 64;
        memcpy(later[key].base, a.states, later[key].base_count * sizeof a.states[0]);
    }
    struct log later_log;
    if (usable && record_history(dir, &later_log, later, &later_syncs, always, roll(chance, 2) == 0 ? 0 : 12,
                                 chance->state, false)) {
        tally.nested++;
        play_crashes(&later_log, later, &later_syncs, always, 6, 0, chance);
    }
    log_free(&later_log);
    for (uint32_t key = 0; key < KEYS; key++)
        free(later[key].events);
}

// Which of a key's values are in a folder's segments.
static void find_values(const char *dir, uint32_t key, const struct history *h, bool *found)
{
    struct image images[64];
    size_t count = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL && count < 64;) {
        char path[600];
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (strstr(e->d_name, ".seg") != NULL)
            image_load(&images[count++], path);
    }
    if (d != NULL)
        (void)closedir(d);
    for (size_t i = 0; i < h->count; i++) {
        uint8_t value[VALUE_MAX];
        uint32_t number = h->events[i].state.value;
        size_t len = number != 0 ? make_value(key, number, value) : 0;
        found[i] = false;
        for (size_t n = 0; n < count && len >= 32 && number % 41 != 0 && !found[i]; n++)
            found[i] = memmem(images[n].bytes, images[n].size, value, len) != NULL;
    }
    for (size_t n = 0; n < count; n++)
        free(images[n].bytes);
}

// Opening by the snapshot gives what reading all segments gives. The twin is the same crash without the file INDEX.
static void compare_with_twin(struct kv_store *opened, const char *dir, const char *twin, const struct history histories[KEYS],
                              bool always, const struct seen_key seen[KEYS], struct chance *chance)
{
    struct kv_store *store = open_left(twin, always);
    if (store == NULL)
        return;
    for (uint32_t key = 0; key < KEYS; key++) {
        static struct allowed none;
        struct seen_key other;
        (void)judge(key, &histories[key], &none, 0, store, &other);
        bool same = other.status == seen[key].status && other.value == seen[key].value &&
                    other.expire == seen[key].expire;
        if (same)
            continue;
        tally.kinds[DIFFER]++;
        if (verbose && tally.shown++ < 12)
            fprintf(stderr, "DIFFER key %u: status %d value %u expire %llu; all read: %d %u %llu\n", key,
                    (int)seen[key].status, seen[key].value, (unsigned long long)seen[key].expire,
                    (int)other.status, other.value, (unsigned long long)other.expire);
    }
    (void)pthread_mutex_lock(&opened->compact_lock); // no files go while they are read
    (void)pthread_mutex_lock(&store->compact_lock);
    for (uint32_t key = roll(chance, 6); key < KEYS; key += 6) {
        bool here[4096], there[4096];
        if (histories[key].count > 4096)
            continue;
        find_values(dir, key, &histories[key], here);
        find_values(twin, key, &histories[key], there);
        for (size_t i = 0; i < histories[key].count; i++)
            if (histories[key].events[i].state.value != 0 && here[i] && !there[i]) {
                tally.kinds[LEFT]++;
                if (verbose && tally.shown++ < 12)
                    fprintf(stderr, "LEFT key %u value %u\n", key, histories[key].events[i].state.value);
            }
    }
    (void)pthread_mutex_unlock(&store->compact_lock);
    (void)pthread_mutex_unlock(&opened->compact_lock);
    if (kv_close(&store) != KV_OK)
        die("kv_close");
}

static bool has_snapshot(const char *dir)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%.300s/INDEX", dir);
    return access(path, F_OK) == 0;
}

static void check_crash(const char *dir, const char *twin, const struct history histories[KEYS], const struct syncs *syncs,
                        bool always, uint64_t t, uint64_t now, const struct crash *crash, const char *where)
{
    static struct seen_key seen[KEYS];
    struct kv_store *store = open_left(dir, always);
    if (store == NULL)
        return;
    for (uint32_t key = 0; key < KEYS; key++) {
        static struct allowed a;
        allow_at(&histories[key], syncs, t, &a);
        enum kind kind = judge(key, &histories[key], &a, now, store, &seen[key]);
        tally.kinds[kind]++;
        tally.keys++;
        show(kind, key, &histories[key], &a, &seen[key], crash, t, now, where);
    }
    if (twin != NULL && store->snapshots.low != KV_NO_SNAPSHOT) {
        tally.used++;
        compare_with_twin(store, dir, twin, histories, always, seen, &(struct chance){t});
    } else if (verbose && twin != NULL && getenv("KV_POWER_DOUBT") != NULL) {
        char why[256];
        kv_error_text(store, why, sizeof why);
        fprintf(stderr, "not by the snapshot: %s\n", why);
    }
    while (kv_compact_step(store)) { // whatever recovery left must survive compaction
    }
    if (kv_close(&store) != KV_OK)
        die("kv_close");
    store = open_left(dir, always);
    if (store == NULL)
        return;
    for (uint32_t key = 0; key < KEYS; key++) {
        static struct allowed a;
        struct seen_key again;
        allow_at(&histories[key], syncs, t, &a);
        enum kind kind = judge(key, &histories[key], &a, now, store, &again);
        if (memcmp(&again, &seen[key], sizeof again) != 0 && again.status != seen[key].status) {
            tally.kinds[AGAIN]++;
            show(AGAIN, key, &histories[key], &a, &again, crash, t, now, where);
        } else if (is_failure(kind) && memcmp(&again, &seen[key], sizeof again) != 0) {
            tally.kinds[kind]++;
        }
    }
    if (kv_close(&store) != KV_OK)
        die("kv_close");
}

static bool is_snapshot(const struct log *log, uint32_t file)
{
    size_t at = 0;
    for (; at < log->count && (log->ops[at].kind != OP_CREATE || log->ops[at].file != file); at++) {
    }
    return at < log->count && strcmp(log->ops[at].name, "INDEX.tmp") == 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void play_crashes(const struct log *log, const struct history histories[KEYS],
                         const struct syncs *syncs, bool always, unsigned states, unsigned depth,
                         struct chance *chance)
{
    uint64_t saved_now = atomic_load(&now_ms);
    struct play *play = malloc(sizeof *play);
    uint64_t *points = calloc(states, sizeof *points);
    if (play == NULL || points == NULL)
        die("memory");
    for (unsigned i = 0; i < states; i++) {
        // A snapshot is written in hundreds of pieces that say little by themselves: mostly elsewhere, but for the last of them.
        do
            points[i] = roll(chance, (uint32_t)log->count + 1);
        while (points[i] < log->count && log->ops[points[i]].kind == OP_WRITE && log->ops[points[i]].at > 0 &&
               is_snapshot(log, log->ops[points[i]].file) && roll(chance, 8) != 0);
    }
    qsort(points, states, sizeof *points, by_value);
    play_begin(play, log);
    for (unsigned i = 0; i < states; i++) {
        while (play->at < points[i])
            play_step(play);
        static const uint32_t shares[] = {0, 0, 10, 30, 50, 50, 70, 90, 97, 100};
        struct crash crash = {.kill9 = roll(chance, 8) == 0,
                              .any_names = any_names,
                              .unit = roll(chance, 3) == 0 ? 4096 : SECTOR,
                              .newest = shares[roll(chance, 10)],
                              .oldest = roll(chance, 3) * 50,
                              .size_new = roll(chance, 3) * 50};
        char dir[300];
        (void)snprintf(dir, sizeof dir, "%s/crash%u", root, depth);
        struct chance same = *chance;
        write_folder(play, &crash, chance, dir);
        char twin[300], index[320];
        (void)snprintf(twin, sizeof twin, "%s/twin%u", root, depth);
        (void)snprintf(index, sizeof index, "%s/INDEX", twin);
        bool snapshot = has_snapshot(dir);
        tally.snapshots += snapshot;
        if (snapshot) {
            write_folder(play, &crash, &same, twin);
            (void)unlink(index);
        }
        atomic_store(&now_ms, play->clock);
        tally.states++;
        tally.kills += crash.kill9;
        if (depth > 0 && roll(chance, 6) == 0)
            nested(dir, log, histories, syncs, always, points[i], chance);
        else
            check_crash(dir, snapshot ? twin : NULL, histories, syncs, always, points[i], play->clock, &crash,
                        depth > 0 ? "first" : "nested");
        remove_folder(dir);
        remove_folder(twin);
    }
    play_end(play);
    free(play);
    free(points);
    atomic_store(&now_ms, saved_now);
}

static void run(bool always, uint64_t seed, unsigned wanted)
{
    static struct history histories[KEYS];
    static struct syncs syncs = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct chance chance = {seed * 77777 + always};
    memset(&tally, 0, sizeof tally);
    uint64_t ops = 0, segments = 0, removed = 0;
    for (unsigned round = 0; tally.states < wanted; round++) {
        memset(histories, 0, sizeof histories);
        for (uint32_t key = 0; key < KEYS; key++)
            histories[key].base_count = 1; // not there
        atomic_store(&next_value, 1);
        char dir[300];
        (void)snprintf(dir, sizeof dir, "%s/store", root);
        struct log log;
        if (!record_history(dir, &log, histories, &syncs, always, 120, seed * 1000 + round, round % 4 == 3))
            die("the first open");
        remove_folder(dir);
        ops += log.count;
        for (size_t i = 0; i < log.count; i++) {
            segments += log.ops[i].kind == OP_CREATE && strstr(log.ops[i].name, ".seg") != NULL;
            removed += log.ops[i].kind == OP_UNLINK && strstr(log.ops[i].name, ".seg") != NULL;
        }
        play_crashes(&log, histories, &syncs, always, 100, 1, &chance);
        log_free(&log);
        for (uint32_t key = 0; key < KEYS; key++) {
            free(histories[key].events);
            histories[key] = (struct history){0};
        }
    }
    printf("%s: %llu states with an index snapshot, %llu opened by it\n", always ? "always" : "interval",
           (unsigned long long)tally.snapshots, (unsigned long long)tally.used);
    printf("%s: %llu crash states (%llu of them kill -9, %llu second histories), %llu file operations, %llu "
           "segments made, %llu "
           "compacted away, %llu keys judged:",
           always ? "always" : "interval", (unsigned long long)tally.states, (unsigned long long)tally.kills,
           (unsigned long long)tally.nested, (unsigned long long)ops, (unsigned long long)segments,
           (unsigned long long)removed, (unsigned long long)tally.keys);
    bool failed = false;
    for (int k = 0; k < KINDS; k++) {
        if (tally.kinds[k] != 0)
            printf(" %s %llu", kind_names[k], (unsigned long long)tally.kinds[k]);
        if (is_failure((enum kind)k) && tally.kinds[k] != 0 &&
            (allow_list == NULL || strstr(allow_list, kind_names[k]) == NULL))
            failed = true;
    }
    printf("\n");
    fflush(stdout);
    assert_false(failed);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void test_always(void **test_state)
{
    (void)test_state;
    run(true, number("KV_TEST_SEED", 1), (unsigned)number("KV_POWER_STATES", 600));
}

static void test_interval(void **test_state)
{
    (void)test_state;
    run(false, number("KV_TEST_SEED", 1), (unsigned)number("KV_POWER_STATES", 600));
}

int main(void)
{
    const char *base = getenv("TMPDIR"), *names = getenv("KV_POWER_NAMES"),
               *policy = getenv("KV_POWER_POLICY");
    verbose = getenv("KV_POWER_VERBOSE") != NULL;
    any_names = names != NULL && strcmp(names, "any") == 0;
    allow_list = getenv("KV_POWER_ALLOW");
    if (base == NULL) // the disk is simulated: what plays it need not be one
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(root, sizeof root, "%.150s/kv-power-XXXXXX", base);
    if (mkdtemp(root) == NULL)
        die(root);
    install();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_always), cmocka_unit_test(test_interval)};
    int failed;
    if (policy == NULL)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    else {
        const struct CMUnitTest one[] = {tests[strcmp(policy, "always") == 0 ? 0 : 1]};
        failed = cmocka_run_group_tests(one, NULL, NULL);
    }
    kv_io_reset();
    remove_folder(root);
    return failed;
}
