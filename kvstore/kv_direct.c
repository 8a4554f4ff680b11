// Segments that are read with O_DIRECT.
//
// What has just been written is read through the page cache, where it still is. When a segment is sealed and
// its records are on the device, it gets a second descriptor, opened with O_DIRECT, and the kernel is asked
// to drop its pages: from then on the page cache holds no second copy of what the store's limit counts.
// Writes in place (erasures) go through the first descriptor; the kernel writes them back before a direct
// read of their range, so a direct read never sees older bytes than a buffered one.
//
// A file system that refuses O_DIRECT, at open or at the first read, is read through the page cache:
// silently, for it loses nothing but memory.
#include "kvstore/kv_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define ALIGN_UNKNOWN 4096u
#define DROP_BYTES    (16 << 20) // a step of dropping pages
// A segment that is written in place all the time is never found without unsynced pages: after so many looks
// it is synced here.
#define PATIENCE 20u

// What offsets and lengths have to be multiples of; 0: direct reads are not supported.
static uint32_t alignment(int fd)
{
#ifdef STATX_DIOALIGN // Linux 6.1
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 && (st.stx_mask & STATX_DIOALIGN) != 0) {
        // Buffers are aligned to KV_BUFFER_ALIGN, which has to do for memory.
        bool fits = st.stx_dio_mem_align <= KV_BUFFER_ALIGN && st.stx_dio_offset_align <= KV_BUFFER_ALIGN;
        return fits ? st.stx_dio_offset_align : 0;
    }
#else
    (void)fd;
#endif
    return ALIGN_UNKNOWN;
}

static int open_direct(struct kv_store *store, const struct kv_segment *segment)
{
    char path[PATH_MAX];
    kv_segment_path(store, path, segment->id);
    return kv_io.open(path, O_RDONLY | O_DIRECT | O_NOFOLLOW | O_CLOEXEC, 0);
}

// Second descriptors may take half of what the process may have; the rest is for segments and for
// connections.
static bool is_affordable(int fd)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
           (rlim_t)fd < limit.rlim_cur / 2;
}

static void drop_pages(struct kv_store *store, struct kv_segment *segment)
{
    off_t size = (off_t)atomic_load(&segment->size);
    for (off_t at = 0; at < size && !kv_background_stopping(store); at += DROP_BYTES)
        (void)kv_io.fadvise(segment->fd, at, DROP_BYTES, POSIX_FADV_DONTNEED);
}

static void make_direct(struct kv_store *store, struct kv_segment *segment)
{
    int fd = open_direct(store, segment);
    if (fd < 0) {
        // No descriptor left: later, perhaps. Removed meanwhile: never mind.
        if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != EINTR)
            atomic_store(&segment->direct_refused, true);
        return;
    }
    uint32_t align = is_affordable(fd) ? alignment(fd) : 0;
    if (align == 0) {
        (void)kv_io.close(fd);
        atomic_store(&segment->direct_refused, true);
        return;
    }
    atomic_store(&segment->direct_align, align);
    atomic_store(&segment->direct_fd, fd);
    drop_pages(store, segment);
}

// Whether its records are on the device. The mark of unsynced writes stays: it belongs to the commit's
// leader.
static bool is_settled(struct kv_store *store, struct kv_segment *segment)
{
    if (!atomic_load(&segment->dirty))
        return true;
    if (++segment->direct_waits < PATIENCE || atomic_load(&store->read_only))
        return false;
    segment->direct_waits = 0;
    if (kv_io.fdatasync(segment->fd) == 0)
        return true;
    // The kernel tells a failed write-back once per descriptor: nobody else would hear of it.
    (void)kv_fail_writes(store, errno, "segment %08llu: fdatasync", (unsigned long long)segment->id);
    return false;
}

void kv_direct_step(struct kv_store *store)
{
    if (!store->readers.direct)
        return;
    struct kv_segment *segment;
    for (uint64_t id = 0; (segment = kv_segment_from(store, id)) != NULL;) {
        id = segment->id + 1;
        if (atomic_load(&segment->sealed) && atomic_load(&segment->direct_fd) < 0 &&
            !atomic_load(&segment->direct_refused) && is_settled(store, segment))
            make_direct(store, segment);
        kv_segment_put(segment);
    }
}
