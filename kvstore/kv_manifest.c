#include "kvstore/kv_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_MAX (256u * 1024 * 1024)

void kv_path_of(const struct kv_store *store, char *path, const char *name)
{
    (void)snprintf(path, PATH_MAX, "%s/%s", store->dir, name);
}

static enum kv_status manifest_failed(struct kv_store *store, int error, const char *what)
{
    enum kv_status status = error == ENOSPC || error == EDQUOT ? KV_FULL
                            : error == ENOMEM                  ? KV_NO_MEMORY
                                                               : KV_IO;
    return kv_fail(store, status, error, "manifest: %s", what);
}

// What root writes into another user's folder is that user's. Returns 0 or an errno value.
static int give_to_owner(const char *dir, int fd)
{
    struct stat st;
    if (geteuid() != 0 || stat(dir, &st) != 0 || st.st_uid == 0)
        return 0;
    return fchown(fd, st.st_uid, st.st_gid) == 0 ? 0 : errno;
}

// A file that a crash left is removed, and so is a link that somebody put there: nothing is written through it.
static int write_new(const char *dir, const char *path, const uint8_t *bytes, size_t size)
{
    (void)kv_io.unlink(path);
    int fd = kv_io.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int error = give_to_owner(dir, fd);
    if (error == 0)
        error = kv_io_write(fd, bytes, size, 0);
    if (error == 0 && kv_io.fsync(fd) != 0)
        error = errno;
    (void)kv_io.close(fd);
    return error;
}

int kv_manifest_replace(const char *dir, const struct kv_manifest *manifest, const char **what, bool *renamed)
{
    *what = "write";
    *renamed = false;
    size_t size = kv_manifest_size(manifest->count);
    uint8_t *bytes = calloc(1, size);
    if (bytes == NULL)
        return ENOMEM;
    kv_manifest_encode(manifest, bytes);
    char from[PATH_MAX], to[PATH_MAX];
    (void)snprintf(from, sizeof from, "%s/MANIFEST.tmp", dir);
    (void)snprintf(to, sizeof to, "%s/MANIFEST", dir);
    int error = write_new(dir, from, bytes, size);
    explicit_bzero(bytes, size);
    free(bytes);
    if (error == 0 && kv_io.rename(from, to) != 0) {
        error = errno;
        *what = "rename";
    }
    if (error != 0) {
        (void)kv_io.unlink(from);
        return error;
    }
    *renamed = true;
    *what = "fsync of the folder";
    return kv_io_sync_dir(dir);
}

enum kv_status kv_manifest_write(struct kv_store *store)
{
    const char *what;
    bool renamed;
    int error = kv_manifest_replace(store->dir, &store->segments.manifest, &what, &renamed);
    if (error == 0)
        return KV_OK;
    // Renamed but perhaps not durable: which manifest a power failure leaves is unknown, so nothing may rely
    // on either.
    return renamed ? kv_fail_writes(store, error, "manifest: %s", what) : manifest_failed(store, error, what);
}

static enum kv_status manifest_decode(struct kv_store *store, const uint8_t *bytes, size_t size)
{
    uint32_t version = 0;
    switch (kv_manifest_decode(bytes, size, &store->segments.manifest, &version)) {
    case KV_MANIFEST_OK:
        store->seeds = store->segments.manifest.seeds;
        return KV_OK;
    case KV_MANIFEST_VERSION:
        return kv_fail(store, KV_BAD_FORMAT, 0,
                       "the store is of another format version: found %u, expected %u", version,
                       KV_FORMAT_VERSION);
    case KV_MANIFEST_NO_MEMORY:
        return KV_NO_MEMORY;
    case KV_MANIFEST_DAMAGED:
        break;
    }
    return kv_fail(store, KV_BAD_FORMAT, 0,
                   "MANIFEST is damaged: neither of its two copies holds its checksum");
}

bool kv_is_segment_name(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    return digits >= 8 && strcmp(name + digits, ".seg") == 0;
}

// Whether the folder has segment files; -1: it cannot be read.
static int has_segments(const struct kv_store *store)
{
    DIR *dir = opendir(store->dir);
    if (dir == NULL)
        return -1;
    int found = 0;
    for (struct dirent *e; found == 0 && (e = readdir(dir)) != NULL;)
        found = kv_is_segment_name(e->d_name);
    (void)closedir(dir);
    return found;
}

static enum kv_status manifest_create(struct kv_store *store)
{
    int found = has_segments(store);
    if (found < 0)
        return kv_fail(store, KV_IO, errno, "cannot list the folder");
    if (found > 0)
        return kv_fail(store, KV_BAD_FORMAT, 0, "MANIFEST is missing, but there are segment files");
    struct kv_manifest *manifest = &store->segments.manifest;
    *manifest = (struct kv_manifest){.next_segment = 1};
    if (getrandom(&manifest->seeds, sizeof manifest->seeds, 0) != (ssize_t)sizeof manifest->seeds)
        return kv_fail(store, KV_IO, errno, "no random bytes from the system");
    store->seeds = manifest->seeds;
    return kv_manifest_write(store);
}

enum kv_status kv_manifest_load(struct kv_store *store, bool create)
{
    char path[PATH_MAX];
    kv_path_of(store, path, "MANIFEST");
    int fd = kv_io.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0 && errno == ENOENT)
        return create ? manifest_create(store)
                      : kv_fail(store, KV_BAD_FORMAT, 0, "no store in this folder (no MANIFEST)");
    if (fd < 0)
        return kv_fail(store, KV_IO, errno, "MANIFEST: open");
    struct stat st;
    enum kv_status status = KV_OK;
    uint8_t *bytes = NULL;
    size_t got = 0;
    if (fstat(fd, &st) != 0)
        status = kv_fail(store, KV_IO, errno, "MANIFEST: stat");
    else if (!S_ISREG(st.st_mode))
        status = kv_fail(store, KV_BAD_FORMAT, 0, "MANIFEST is no regular file");
    else if (st.st_size > MANIFEST_MAX)
        status =
            kv_fail(store, KV_BAD_FORMAT, 0, "MANIFEST is damaged: %lld bytes long", (long long)st.st_size);
    else if ((bytes = malloc((size_t)st.st_size + 1)) == NULL)
        status = KV_NO_MEMORY;
    if (status == KV_OK) {
        int error = kv_io_read(fd, bytes, (size_t)st.st_size, 0, &got);
        status =
            error != 0 ? kv_fail(store, KV_IO, error, "MANIFEST: read") : manifest_decode(store, bytes, got);
    }
    if (bytes != NULL)
        explicit_bzero(bytes, got);
    free(bytes);
    (void)kv_io.close(fd);
    return status;
}
