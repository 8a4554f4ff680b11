// Opening the segments that the manifest lists, and removing the files that it does not.
#include "kvstore/kv_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_listed(const struct kv_manifest *manifest, uint64_t id)
{
    for (size_t i = 0; i < manifest->count; i++)
        if (manifest->segments[i].id == id)
            return true;
    return false;
}

// Files that a crash left between two steps: made but not yet listed, or taken off the list but not yet
// unlinked.
static void remove_strays(struct kv_store *store)
{
    DIR *dir = opendir(store->dir);
    if (dir == NULL)
        return;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[PATH_MAX];
        kv_path_of(store, path, e->d_name);
        if (strcmp(e->d_name, "MANIFEST.tmp") == 0 ||
            (kv_is_segment_name(e->d_name) &&
             !is_listed(&store->segments.manifest, strtoull(e->d_name, NULL, 10))))
            (void)kv_io.unlink(path);
    }
    (void)closedir(dir);
}

// A segment that is shorter than it was when it was sealed has lost records, and which is not known: the store does not
// open. What is behind a sealed segment's end was never part of it (cutting off a failed write can fail): it is left alone.
static enum kv_status check_size(struct kv_store *store, const struct kv_manifest_segment *entry,
                                 uint64_t *size)
{
    uint64_t end = entry->size != 0 ? entry->size : *size;
    if (end > KV_SEGMENT_BYTES_MAX) // places behind it would be taken for ones in the next segment
        return kv_fail(store, KV_BAD_FORMAT, 0,
                       "segment %08llu: %llu bytes, more than a segment can have: damaged; kvcheck --repair "
                       "takes what is left",
                       (unsigned long long)entry->id, (unsigned long long)end);
    if (entry->size == 0)
        return KV_OK;
    if (*size < entry->size)
        return kv_fail(store, KV_BAD_FORMAT, 0,
                       "segment %08llu: %llu bytes, the manifest says %llu: damaged; kvcheck --repair takes "
                       "what is left",
                       (unsigned long long)entry->id, (unsigned long long)*size,
                       (unsigned long long)entry->size);
    *size = entry->size;
    return KV_OK;
}

static enum kv_status open_segment(struct kv_store *store, const struct kv_manifest_segment *entry)
{
    uint64_t id = entry->id;
    char path[PATH_MAX];
    kv_segment_path(store, path, id);
    int fd = kv_io.open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0 && errno == ENOENT)
        return kv_fail(store, KV_BAD_FORMAT, 0,
                       "segment %08llu is missing: the manifest lists it, but there is no file "
                       "%08llu.seg; kvcheck --repair takes what is left",
                       (unsigned long long)id, (unsigned long long)id);
    if (fd < 0)
        return kv_fail(store, KV_IO, errno, "segment %08llu: open", (unsigned long long)id);
    struct stat st;
    if (fstat(fd, &st) != 0) {
        int error = errno;
        (void)kv_io.close(fd);
        return kv_fail(store, KV_IO, error, "segment %08llu: stat", (unsigned long long)id);
    }
    uint64_t size = (uint64_t)st.st_size;
    enum kv_status status =
        S_ISREG(st.st_mode)
            ? check_size(store, entry, &size)
            : kv_fail(store, KV_BAD_FORMAT, 0, "segment %08llu: no regular file", (unsigned long long)id);
    if (status != KV_OK) {
        (void)kv_io.close(fd);
        return status;
    }
    struct kv_segment *segment = kv_segment_new(id, fd, size);
    if (segment == NULL || !kv_segment_reserve(store)) {
        (void)kv_io.close(fd);
        free(segment);
        return KV_NO_MEMORY;
    }
    // After a failed sync the kernel keeps pages that are not on the device and calls them clean. They are dropped, so that
    // what is read is what the device has; pages that are dirty stay, and the first sync covers them or fails.
    (void)kv_io.fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    // Zeros are room that was made for records; a power failure may undo that it was cut off.
    // More of them than a segment can have were never made, and are not read.
    segment->longer = size < (uint64_t)st.st_size && ((uint64_t)st.st_size > KV_SEGMENT_BYTES_MAX ||
                                                      !kv_io_is_zero(fd, size, (uint64_t)st.st_size));
    segment->room = size < (uint64_t)st.st_size && !segment->longer;
    if (segment->longer) {
        kv_count_damaged(store);
        (void)kv_fail(store, KV_OK, 0,
                      "segment %08llu: %llu bytes, the manifest says %llu: the rest is not read",
                      (unsigned long long)id, (unsigned long long)st.st_size, (unsigned long long)size);
    }
    kv_segment_add(store, segment);
    // What an earlier process wrote may still be in the page cache only: the next sync covers it.
    kv_mark_dirty(store, segment, true);
    return KV_OK;
}

enum kv_status kv_segments_open(struct kv_store *store)
{
    const struct kv_manifest *manifest = &store->segments.manifest;
    for (size_t i = 0; i < manifest->count; i++) {
        enum kv_status status = open_segment(store, &manifest->segments[i]);
        if (status != KV_OK)
            return status;
    }
    remove_strays(store);
    return KV_OK;
}
