// The lock, the manifest and the segments' files.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvstore/kv_io.h"
#include "kvstore/kv_segment.h"
#include "kvstore/kvcheck.h"

#define MANIFEST_MAX (256 * 1024 * 1024)

const struct check_kind_info check_kinds[CHECK_KINDS] = {
    [CHECK_MANIFEST_COPY] = {"manifest_copy", "one of the manifest's two copies does not hold", true, false},
    [CHECK_MANIFEST_LOST] = {"manifest_lost", "no copy of the manifest holds", true, true},
    [CHECK_SEGMENT_MISSING] = {"segment_missing", "the manifest lists it, but there is no such file", true,
                               true},
    [CHECK_SEGMENT_SHORT] = {"segment_short", "shorter than the manifest says", true, true},
    [CHECK_SEGMENT_LONGER] = {"segment_longer", "bytes behind the segment's end", true, false},
    [CHECK_HEADER] = {"header", "the segment's header does not hold", true, false},
    [CHECK_RECORD] = {"record", "bytes that are no record", true, true},
    [CHECK_TORN] = {"torn", "the segment ends in the middle of a record", true, true},
    [CHECK_VALUE] = {"value", "a key's value does not hold its checksum", true, true},
    [CHECK_MARK] = {"mark", "an erase mark is damaged", true, false},
    [CHECK_UNREADABLE] = {"unreadable", "the device refuses to read it", true, true},
    [CHECK_SNAPSHOT] = {"snapshot", "the snapshot of the index does not hold", true, false},
    [CHECK_TAIL] = {"tail", "a record that was being written (opening cuts it off)", false, false},
    [CHECK_GIVES_WAY] = {"gives_way", "a torn value, newer than one that holds (opening removes it)", false,
                         false},
    [CHECK_UNERASED] = {"unerased", "values that are gone but not yet overwritten (the server does it)",
                        false, false},
    [CHECK_STRAY] = {"stray", "a file that the manifest does not list (opening removes it)", false, false},
};

void check_path(const struct check *check, uint64_t segment, char *path)
{
    (void)snprintf(path, PATH_MAX, "%s/%08llu.seg", check->dir, (unsigned long long)segment);
}

static bool no_memory(struct error *e)
{
    error_set(e, "out of memory");
    return false;
}

bool check_add(struct check *check, const struct check_finding *finding, struct error *e)
{
    if (check->finding_count == check->finding_capacity) {
        size_t capacity = check->finding_capacity * 2 + 16;
        struct check_finding *list = realloc(check->findings, capacity * sizeof *list);
        if (list == NULL)
            return no_memory(e);
        check->findings = list;
        check->finding_capacity = capacity;
    }
    check->findings[check->finding_count++] = *finding;
    return true;
}

bool check_is_damaged(const struct check *check)
{
    for (size_t i = 0; i < check->finding_count; i++)
        if (check_kinds[check->findings[i].kind].damage)
            return true;
    return false;
}

bool check_has_lost(const struct check *check)
{
    for (size_t i = 0; i < check->finding_count; i++)
        if (check_kinds[check->findings[i].kind].loss)
            return true;
    return false;
}

int check_open(const char *path, struct stat *st)
{
    int fd = kv_io.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int error = fstat(fd, st) != 0 ? errno : S_ISREG(st->st_mode) ? 0 : EINVAL;
    if (error == 0)
        return fd;
    (void)kv_io.close(fd);
    errno = error;
    return -1;
}

// ---- lock

// Opens the lock's file. One that root makes in another user's folder is that user's, or the store would open no more. Returns -1
// with errno.
static int open_lock(const char *path, bool make, const struct stat *folder)
{
    struct stat st;
    int fd = make ? open(path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;
    if (fd < 0 && (!make || errno == EEXIST))
        return check_open(path, &st);
    if (fd < 0 || geteuid() != 0 || folder->st_uid == 0 || fchown(fd, folder->st_uid, folder->st_gid) == 0)
        return fd;
    int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

static bool take_lock(struct check *check, bool make_lock, struct error *e)
{
    char path[PATH_MAX];
    struct stat st;
    if (stat(check->dir, &st) != 0) {
        error_set(e, "%s: %s", check->dir, strerror(errno));
        return false;
    }
    (void)snprintf(path, sizeof path, "%s/LOCK", check->dir);
    check->lock_fd = open_lock(path, make_lock, &st);
    if (check->lock_fd < 0 && errno == ENOENT && !make_lock)
        return true; // nobody has it open: who opens it makes the file
    if (check->lock_fd < 0) {
        error_set(e, "%s: %s", path, strerror(errno));
        return false;
    }
    if (flock(check->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (errno == EWOULDBLOCK)
        error_set(e, "%s: another process has it open", check->dir);
    else
        error_set(e, "%s: lock: %s", path, strerror(errno));
    return false;
}

// ---- manifest

static bool read_manifest(struct check *check, uint8_t **bytes, size_t *len, struct error *e)
{
    char path[PATH_MAX];
    *len = 0;
    (void)snprintf(path, sizeof path, "%s/MANIFEST", check->dir);
    struct stat st = {0};
    int fd = check_open(path, &st), error = fd < 0 ? errno : 0;
    if (error == ENOENT)
        error = 0;
    size_t size = fd < 0 ? 0 : st.st_size < MANIFEST_MAX ? (size_t)st.st_size : MANIFEST_MAX;
    *bytes = malloc(size + 1);
    if (*bytes != NULL && error == 0 && fd >= 0)
        error = kv_io_read(fd, *bytes, size, 0, len);
    if (fd >= 0)
        (void)kv_io.close(fd);
    if (*bytes == NULL)
        return no_memory(e);
    if (error == EIO) // as good as damaged
        *len = 0;
    if (error != 0 && error != EIO)
        error_set(e, "%s: %s", path, strerror(error));
    return error == 0 || error == EIO;
}

// Both copies are what encoding the manifest gives, and nothing follows.
static bool both_copies_hold(const struct kv_manifest *manifest, const uint8_t *bytes, size_t len)
{
    size_t size = kv_manifest_size(manifest->count);
    uint8_t *expected = size == len ? malloc(size) : NULL;
    if (expected == NULL)
        return false;
    kv_manifest_encode(manifest, expected);
    bool same = memcmp(expected, bytes, size) == 0;
    explicit_bzero(expected, size);
    free(expected);
    return same;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct kv_manifest_segment *)a)->id, y = ((const struct kv_manifest_segment *)b)->id;
    return x < y ? -1 : x > y;
}

// The segments' files that are there, ascending, sizes 0.
static bool list_files(const struct check *check, struct kv_manifest_segment **list, size_t *count,
                       struct error *e)
{
    DIR *dir = opendir(check->dir);
    size_t capacity = 0;
    *list = NULL;
    *count = 0;
    if (dir == NULL) {
        error_set(e, "%s: %s", check->dir, strerror(errno));
        return false;
    }
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        uint64_t id = kv_is_segment_name(entry->d_name) ? strtoull(entry->d_name, NULL, 10) : 0;
        if (id == 0 || id > KV_SEGMENT_ID_MAX)
            continue;
        if (*count == capacity) {
            capacity = capacity * 2 + 16;
            struct kv_manifest_segment *more = realloc(*list, capacity * sizeof *more);
            ok = more != NULL;
            *list = ok ? more : *list;
        }
        if (ok)
            (*list)[(*count)++] = (struct kv_manifest_segment){.id = id};
    }
    (void)closedir(dir);
    if (*count != 0)
        qsort(*list, *count, sizeof **list, by_id);
    return ok ? true : no_memory(e);
}

static bool read_header(const struct check *check, uint64_t id, uint8_t head[KV_SEGMENT_HEAD])
{
    char path[PATH_MAX];
    check_path(check, id, path);
    struct stat st;
    int fd = check_open(path, &st);
    size_t got = 0;
    bool ok = fd >= 0 && kv_io_read(fd, head, KV_SEGMENT_HEAD, 0, &got) == 0 && got == KV_SEGMENT_HEAD;
    if (fd >= 0)
        (void)kv_io.close(fd);
    return ok;
}

// A manifest of all the files that are there, with the seeds of the first whose header holds.
static bool rebuild(struct check *check, struct error *e)
{
    struct kv_manifest *manifest = &check->manifest;
    *manifest = (struct kv_manifest){0};
    if (!list_files(check, &manifest->segments, &manifest->count, e))
        return false;
    manifest->capacity = manifest->count;
    if (manifest->count == 0) {
        error_set(e, "%s: no store in this folder (neither MANIFEST nor segments)", check->dir);
        return false;
    }
    manifest->next_segment = manifest->segments[manifest->count - 1].id + 1;
    if (getrandom(manifest->seeds.hash_secret, KV_HASH_SECRET, 0) != KV_HASH_SECRET) {
        error_set(e, "no random bytes from the system");
        return false;
    }
    for (size_t i = 0; i < manifest->count && !check->manifest_usable; i++) {
        uint8_t head[KV_SEGMENT_HEAD];
        uint64_t id = manifest->segments[i].id;
        check->manifest_usable =
            read_header(check, id, head) && kv_segment_read_seeds(head, id, &manifest->seeds);
    }
    check->manifest_lost = true;
    return check_add(check, &(struct check_finding){.kind = CHECK_MANIFEST_LOST}, e);
}

static bool load_manifest(struct check *check, struct error *e)
{
    uint8_t *bytes = NULL;
    size_t len;
    uint32_t version = 0;
    bool ok = read_manifest(check, &bytes, &len, e);
    enum kv_manifest_fault fault =
        ok ? kv_manifest_decode(bytes, len, &check->manifest, &version) : KV_MANIFEST_DAMAGED;
    if (ok && fault == KV_MANIFEST_VERSION) {
        error_set(e, "%s: the store is of another format version: found %u, expected %u", check->dir, version,
                  KV_FORMAT_VERSION);
        ok = false;
    } else if (ok && fault == KV_MANIFEST_NO_MEMORY) {
        ok = no_memory(e);
    } else if (ok && fault == KV_MANIFEST_DAMAGED) {
        ok = rebuild(check, e);
    } else if (ok) {
        check->manifest_usable = true;
        ok = both_copies_hold(&check->manifest, bytes, len) ||
             check_add(check, &(struct check_finding){.kind = CHECK_MANIFEST_COPY}, e);
    }
    if (bytes != NULL)
        explicit_bzero(bytes, len);
    free(bytes);
    return ok;
}

// ---- segments' files

static bool find_strays(struct check *check, struct error *e)
{
    struct kv_manifest_segment *files;
    size_t count, listed = 0;
    bool ok = list_files(check, &files, &count, e);
    for (size_t i = 0; ok && i < count; i++) {
        while (listed < check->count && check->segments[listed].id < files[i].id)
            listed++;
        if (listed == check->count || check->segments[listed].id != files[i].id)
            ok = check_add(check, &(struct check_finding){.kind = CHECK_STRAY, .segment = files[i].id}, e);
    }
    free(files);
    return ok;
}

// Room that was made for records and not cut off durably. More than a segment can have never was.
static bool rest_is_zero(const char *path, uint64_t from, uint64_t to)
{
    struct stat st;
    int fd = to <= KV_SEGMENT_BYTES_MAX ? check_open(path, &st) : -1;
    bool zero = fd >= 0 && kv_io_is_zero(fd, from, to);
    if (fd >= 0)
        (void)kv_io.close(fd);
    return zero;
}

static bool look_at_file(struct check *check, struct check_segment *s, struct error *e)
{
    char path[PATH_MAX];
    struct stat st;
    check_path(check, s->id, path);
    struct check_finding finding = {.segment = s->id};
    s->missing = lstat(path, &st) != 0;
    if (s->missing && errno != ENOENT) {
        error_set(e, "%s: %s", path, strerror(errno));
        return false;
    }
    if (s->missing) {
        finding.kind = CHECK_SEGMENT_MISSING;
        finding.length = s->noted;
        return check_add(check, &finding, e);
    }
    if (!S_ISREG(st.st_mode)) {
        error_set(e, "%s: no regular file", path);
        return false;
    }
    s->file_bytes = (uint64_t)st.st_size;
    if (s->noted != 0 && s->file_bytes > s->noted && rest_is_zero(path, s->noted, s->file_bytes))
        s->file_bytes = s->noted;
    s->end = s->noted != 0 && s->file_bytes > s->noted ? s->noted : s->file_bytes;
    if (s->end > KV_SEGMENT_BYTES_MAX)
        s->end = KV_SEGMENT_BYTES_MAX;
    finding.offset = s->end;
    if (s->file_bytes < s->noted) {
        finding.kind = CHECK_SEGMENT_SHORT;
        finding.length = s->noted - s->file_bytes;
        return check_add(check, &finding, e);
    }
    if (s->file_bytes > s->end) {
        finding.kind = CHECK_SEGMENT_LONGER;
        finding.length = s->file_bytes - s->end;
        return check_add(check, &finding, e);
    }
    return true;
}

bool check_begin(struct check *check, const char *dir, bool make_lock, struct error *e)
{
    *check = (struct check){.dir = dir, .lock_fd = -1};
    if (strlen(dir) > PATH_MAX - 32) {
        error_set(e, "the folder's name is too long");
        return false;
    }
    if (!take_lock(check, make_lock, e) || !load_manifest(check, e))
        return false;
    if (!check->manifest_usable)
        return true;
    check->segments = calloc(check->manifest.count + 1, sizeof *check->segments);
    if (check->segments == NULL)
        return no_memory(e);
    check->count = check->manifest.count;
    for (size_t i = 0; i < check->count; i++) {
        struct check_segment *s = &check->segments[i];
        s->id = check->manifest.segments[i].id;
        s->noted = check->manifest.segments[i].size;
        if (!look_at_file(check, s, e))
            return false;
    }
    return find_strays(check, e);
}

void check_end(struct check *check)
{
    check_table_free(check->table);
    free(check->segments);
    free(check->findings);
    free(check->actions);
    free(check->manifest.segments);
    explicit_bzero(&check->manifest, sizeof check->manifest);
    if (check->lock_fd >= 0)
        (void)close(check->lock_fd);
    *check = (struct check){.lock_fd = -1};
}
