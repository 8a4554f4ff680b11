#include "kvstore/kv_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_STEP 64u // places in a list more

void kv_segment_path(const struct kv_store *store, char *path, uint64_t id)
{
    (void)snprintf(path, PATH_MAX, "%s/%08llu.seg", store->dir, (unsigned long long)id);
}

// ---- table

static bool make_room(struct kv_segments *segments)
{
    if (segments->count < segments->capacity)
        return true;
    size_t capacity = segments->capacity == 0 ? 16 : segments->capacity * 2;
    struct kv_segment **list = realloc(segments->list, capacity * sizeof(*list));
    if (list == NULL)
        return false;
    segments->list = list;
    segments->capacity = capacity;
    return true;
}

struct kv_segment *kv_segment_new(uint64_t id, int fd, uint64_t size)
{
    struct kv_segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        return NULL;
    segment->id = id;
    segment->fd = fd;
    atomic_init(&segment->refs, 1);
    atomic_init(&segment->size, size);
    atomic_init(&segment->direct_fd, -1);
    return segment;
}

void kv_segment_put(struct kv_segment *segment)
{
    if (segment == NULL || atomic_fetch_sub(&segment->refs, 1) != 1)
        return;
    (void)kv_io.close(segment->fd);
    if (atomic_load(&segment->direct_fd) >= 0)
        (void)kv_io.close(atomic_load(&segment->direct_fd));
    free(segment);
}

// Index of the first segment whose id is not less. segments->lock is held.
static size_t position(const struct kv_segments *segments, uint64_t id)
{
    size_t low = 0, high = segments->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (segments->list[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct kv_segment *kv_segment_from(struct kv_store *store, uint64_t id)
{
    struct kv_segments *segments = &store->segments;
    (void)pthread_mutex_lock(&segments->lock);
    size_t at = position(segments, id);
    struct kv_segment *segment = at < segments->count ? segments->list[at] : NULL;
    if (segment != NULL)
        atomic_fetch_add(&segment->refs, 1);
    (void)pthread_mutex_unlock(&segments->lock);
    return segment;
}

struct kv_segment *kv_segment_get(struct kv_store *store, uint64_t id)
{
    struct kv_segment *segment = kv_segment_from(store, id);
    if (segment == NULL || segment->id == id)
        return segment;
    kv_segment_put(segment);
    return NULL;
}

// ---- adding

static enum kv_status create_file(struct kv_store *store, uint64_t id, int *fd)
{
    char path[PATH_MAX];
    kv_segment_path(store, path, id);
    // A file of this id can only be left over from a crash before it was listed.
    *fd = kv_io.open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int error = *fd < 0 ? errno : 0;
    // Nothing has been written: a flood of connections must not cost the store its writes for good.
    if (error == EMFILE || error == ENFILE)
        return kv_fail(store, KV_NO_MEMORY, error, "segment %08llu: create", (unsigned long long)id);
    if (error == 0) {
        uint8_t head[KV_SEGMENT_HEAD];
        kv_segment_encode(&store->seeds, id, head);
        error = kv_io_write(*fd, head, sizeof head, 0);
        if (error == 0 && kv_io.fsync(*fd) != 0)
            error = errno;
    }
    if (error == 0)
        error = kv_io_sync_dir(store->dir);
    if (error == 0)
        return KV_OK;
    if (*fd >= 0) {
        (void)kv_io.close(*fd);
        (void)kv_io.unlink(path);
    }
    return kv_fail(store, error == ENOSPC || error == EDQUOT ? KV_FULL : KV_IO, error,
                   "segment %08llu: create", (unsigned long long)id);
}

// The manifest's entry of a segment that is listed. manifest_lock is held.
static struct kv_manifest_segment *entry_of(struct kv_store *store, uint64_t id)
{
    struct kv_manifest *manifest = &store->segments.manifest;
    size_t low = 0, high = manifest->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (manifest->segments[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < manifest->count && manifest->segments[low].id == id ? &manifest->segments[low] : NULL;
}

// Enters what is known of sizes into the manifest in memory; true: something was new. A size that is entered is true
// whether or not the manifest then gets written: the segment grows no more. manifest_lock is held.
static bool note_sizes(struct kv_store *store, bool closing)
{
    bool noted = false;
    struct kv_segment *segment;
    for (uint64_t id = 0; (segment = kv_segment_from(store, id)) != NULL;) {
        id = segment->id + 1;
        bool sealed = closing || atomic_load(&segment->sealed); // first: only then is its size the last
        uint64_t size = atomic_load(&segment->size);
        struct kv_manifest_segment *entry = entry_of(store, segment->id);
        if (sealed && entry != NULL && entry->size == 0 && size != 0 &&
            atomic_load(&segment->synced_size) == size) {
            entry->size = size;
            noted = true;
        }
        kv_segment_put(segment);
    }
    return noted;
}

enum kv_status kv_segments_note_sizes(struct kv_store *store, bool closing)
{
    (void)pthread_mutex_lock(&store->segments.manifest_lock);
    enum kv_status status = KV_OK;
    if (!atomic_load(&store->read_only) && note_sizes(store, closing))
        status = kv_manifest_write(store);
    (void)pthread_mutex_unlock(&store->segments.manifest_lock);
    return status;
}

uint64_t kv_segment_noted_size(struct kv_store *store, uint64_t id)
{
    const struct kv_manifest_segment *entry = entry_of(store, id);
    return entry != NULL ? entry->size : 0;
}

bool kv_segment_cut(struct kv_store *store, struct kv_segment *segment, uint64_t size)
{
    if (kv_io.ftruncate(segment->fd, (off_t)size) != 0)
        return false;
    kv_mark_dirty(store, segment, false);
    return true;
}

enum kv_status kv_segment_reopen(struct kv_store *store, struct kv_segment *segment)
{
    struct kv_manifest_segment *entry = entry_of(store, segment->id);
    if (entry == NULL || entry->size == 0)
        return KV_OK;
    uint64_t size = entry->size;
    entry->size = 0;
    enum kv_status status = kv_manifest_write(store);
    if (status != KV_OK)
        entry->size = size; // perhaps it is written as open: it is not appended to, so both are true
    return status;
}

static enum kv_status list_segment(struct kv_store *store, uint64_t id)
{
    struct kv_manifest *manifest = &store->segments.manifest;
    if (manifest->count == manifest->capacity) {
        size_t capacity = manifest->capacity + LIST_STEP;
        struct kv_manifest_segment *list = realloc(manifest->segments, capacity * sizeof *list);
        if (list == NULL)
            return KV_NO_MEMORY;
        manifest->segments = list;
        manifest->capacity = capacity;
    }
    (void)note_sizes(store, false); // while the manifest is being written anyway
    manifest->segments[manifest->count++] = (struct kv_manifest_segment){.id = id};
    manifest->next_segment = id + 1;
    enum kv_status status = kv_manifest_write(store);
    if (status != KV_OK)
        manifest->count--; // the id stays used: if the rename did happen, the file is listed
    return status;
}

bool kv_segment_reserve(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->segments.lock);
    bool ok = make_room(&store->segments);
    (void)pthread_mutex_unlock(&store->segments.lock);
    return ok;
}

void kv_segment_add(struct kv_store *store, struct kv_segment *segment)
{
    struct kv_segments *segments = &store->segments;
    (void)pthread_mutex_lock(&segments->lock);
    segments->list[segments->count++] = segment;
    (void)pthread_mutex_unlock(&segments->lock);
}

// A file that did not get into the manifest. When the new manifest may be the durable one all the same (the
// store is read-only then), the file stays.
static void discard_unlisted(struct kv_store *store, uint64_t id)
{
    if (atomic_load(&store->read_only))
        return;
    char path[PATH_MAX];
    kv_segment_path(store, path, id);
    (void)kv_io.unlink(path);
}

// A new segment in no list yet, with one reference, and a place for it in the table. manifest_lock is held.
static enum kv_status make_segment(struct kv_store *store, struct kv_segment **segment)
{
    uint64_t id = store->segments.manifest.next_segment;
    int fd = -1;
    *segment = NULL;
    if (id > KV_SEGMENT_ID_MAX)
        return kv_fail(store, KV_FULL, 0, "all %u segment ids are used", KV_SEGMENT_ID_MAX);
    enum kv_status status = create_file(store, id, &fd);
    if (status != KV_OK)
        return status;
    struct kv_segment *made = kv_segment_new(id, fd, KV_SEGMENT_HEAD);
    if (made != NULL && kv_segment_reserve(store)) {
        atomic_store(&made->synced_size, KV_SEGMENT_HEAD);
        *segment = made;
        return KV_OK;
    }
    (void)kv_io.close(fd);
    free(made);
    discard_unlisted(store, id);
    return KV_NO_MEMORY;
}

// The manifest with it was refused.
static void unmake_segment(struct kv_store *store, struct kv_segment *segment)
{
    discard_unlisted(store, segment->id);
    kv_segment_put(segment);
}

enum kv_status kv_segment_create(struct kv_store *store, struct kv_segment **segment)
{
    *segment = NULL;
    (void)pthread_mutex_lock(&store->segments.manifest_lock);
    struct kv_segment *made;
    enum kv_status status = make_segment(store, &made);
    if (status == KV_OK) {
        status = list_segment(store, made->id);
        if (status != KV_OK)
            unmake_segment(store, made);
    }
    if (status == KV_OK) {
        atomic_fetch_add(&made->refs, 1);
        kv_segment_add(store, made);
        *segment = made;
    }
    (void)pthread_mutex_unlock(&store->segments.manifest_lock);
    return status;
}

// ---- a segment in the place of all

static enum kv_status list_alone(struct kv_store *store, uint64_t id)
{
    struct kv_manifest *manifest = &store->segments.manifest, before = *manifest;
    manifest->segments = calloc(LIST_STEP, sizeof *manifest->segments);
    enum kv_status status = KV_NO_MEMORY;
    if (manifest->segments != NULL) {
        manifest->segments[0].id = id;
        manifest->count = 1;
        manifest->capacity = LIST_STEP;
        manifest->next_segment = id + 1;
        status = kv_manifest_write(store);
    }
    struct kv_manifest_segment *unused = status == KV_OK ? before.segments : manifest->segments;
    if (status != KV_OK) { // the id stays used
        manifest->segments = before.segments;
        manifest->count = before.count;
        manifest->capacity = before.capacity;
    }
    free(unused);
    return status;
}

enum kv_status kv_segments_renew(struct kv_store *store, struct kv_segment **segment,
                                 struct kv_segments_gone *gone)
{
    struct kv_segments *segments = &store->segments;
    struct kv_segment *made = NULL;
    (void)pthread_mutex_lock(&segments->manifest_lock);
    *gone = (struct kv_segments_gone){.list = calloc(segments->count + 1, sizeof(*gone->list))};
    enum kv_status status = gone->list != NULL ? make_segment(store, &made) : KV_NO_MEMORY;
    if (status == KV_OK) {
        status = list_alone(store, made->id);
        if (status != KV_OK)
            unmake_segment(store, made);
    }
    if (status == KV_OK) {
        gone->before = made->id;
        atomic_fetch_add(&made->refs, 1);
        kv_segment_add(store, made);
        *segment = made;
    } else {
        free(gone->list);
        *gone = (struct kv_segments_gone){0};
    }
    (void)pthread_mutex_unlock(&segments->manifest_lock);
    return status;
}

void kv_segments_retire(struct kv_store *store, struct kv_segments_gone *gone)
{
    struct kv_segments *segments = &store->segments;
    (void)pthread_mutex_lock(&segments->manifest_lock);
    (void)pthread_mutex_lock(&segments->lock);
    gone->count = position(segments, gone->before);
    memcpy(gone->list, segments->list, gone->count * sizeof(gone->list[0]));
    segments->count -= gone->count;
    memmove(segments->list, &segments->list[gone->count], segments->count * sizeof(segments->list[0]));
    (void)pthread_mutex_unlock(&segments->lock);
    (void)pthread_mutex_unlock(&segments->manifest_lock);
}

void kv_segments_drop(struct kv_store *store, struct kv_segments_gone *gone)
{
    for (size_t i = 0; i < gone->count; i++) {
        char path[PATH_MAX];
        kv_segment_path(store, path, gone->list[i]->id);
        (void)kv_io.unlink(path); // a file that stays is removed at the next open
        kv_segment_put(gone->list[i]);
    }
    free(gone->list);
    *gone = (struct kv_segments_gone){0};
}

// ---- removing

static void unlist(struct kv_manifest *manifest, uint64_t id)
{
    size_t kept = 0;
    for (size_t i = 0; i < manifest->count; i++)
        if (manifest->segments[i].id != id)
            manifest->segments[kept++] = manifest->segments[i];
    manifest->count = kept;
}

static void relist(struct kv_manifest *manifest, struct kv_manifest_segment entry)
{
    size_t at = manifest->count++;
    for (; at > 0 && manifest->segments[at - 1].id > entry.id; at--)
        manifest->segments[at] = manifest->segments[at - 1];
    manifest->segments[at] = entry;
}

enum kv_status kv_segment_remove(struct kv_store *store, struct kv_segment *segment)
{
    struct kv_segments *segments = &store->segments;
    (void)pthread_mutex_lock(&segments->manifest_lock);
    if (entry_of(store, segment->id) == NULL) { // kv_clear() was faster
        (void)pthread_mutex_unlock(&segments->manifest_lock);
        return KV_OK;
    }
    struct kv_manifest_segment entry = {.id = segment->id, .size = kv_segment_noted_size(store, segment->id)};
    unlist(&segments->manifest, segment->id);
    enum kv_status status = kv_manifest_write(store);
    if (status == KV_OK) {
        char path[PATH_MAX];
        kv_segment_path(store, path, segment->id);
        (void)kv_io.unlink(path); // a file that stays is removed at the next open
        (void)pthread_mutex_lock(&segments->lock);
        size_t at = position(segments, segment->id);
        segments->count--;
        memmove(&segments->list[at], &segments->list[at + 1],
                (segments->count - at) * sizeof(segments->list[0]));
        (void)pthread_mutex_unlock(&segments->lock);
    } else {
        relist(&segments->manifest, entry);
    }
    (void)pthread_mutex_unlock(&segments->manifest_lock);
    if (status == KV_OK)
        kv_segment_put(segment);
    return status;
}

void kv_segments_close(struct kv_store *store)
{
    struct kv_segments *segments = &store->segments;
    for (size_t i = 0; i < segments->count; i++)
        kv_segment_put(segments->list[i]);
    free(segments->list);
    free(segments->manifest.segments);
    explicit_bzero(&segments->manifest.seeds, sizeof segments->manifest.seeds);
    segments->list = NULL;
    segments->count = 0;
}
