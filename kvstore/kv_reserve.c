// A file of 1 MiB that holds nothing: space for deletes, compaction and the manifest on a full disk. Deletes need a little space
// (a tombstone, once in a while a segment and a manifest) before they free any. When one of them meets ENOSPC the reserve is
// emptied and the call tries again; until the reserve has its space back, puts are refused with KV_FULL.
//
// A file system without fallocate has no reserve: there a delete falls back to erasing alone (kv_write.c).
#include "kvstore/kv_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#define RESERVE_BYTES (1024 * 1024)

static int open_reserve(struct kv_store *store)
{
    char path[PATH_MAX];
    kv_path_of(store, path, "RESERVE");
    int fd = kv_io.open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
        return fd;
    (void)kv_io.close(fd);
    errno = EINVAL;
    return -1;
}

// 0, or an errno value.
static int fill(struct kv_store *store)
{
    int fd = open_reserve(store);
    if (fd < 0)
        return errno;
    int error = kv_io.fallocate(fd, 0, 0, RESERVE_BYTES) == 0 ? 0 : errno;
    if (error != 0) // part of it may have been had
        (void)kv_io.ftruncate(fd, 0);
    (void)kv_io.close(fd);
    return error;
}

void kv_reserve_init(struct kv_store *store)
{
    int error = fill(store);
    atomic_store(&store->reserve_lent, error == ENOSPC || error == EDQUOT);
    store->has_reserve = error == 0 || atomic_load(&store->reserve_lent);
}

bool kv_reserve_keep(struct kv_store *store)
{
    if (!atomic_load(&store->reserve_lent))
        return true;
    (void)pthread_mutex_lock(&store->reserve_lock);
    if (atomic_load(&store->reserve_lent) && fill(store) == 0)
        atomic_store(&store->reserve_lent, false);
    bool kept = !atomic_load(&store->reserve_lent);
    (void)pthread_mutex_unlock(&store->reserve_lock);
    return kept;
}

bool kv_reserve_lend(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->reserve_lock);
    bool lent = false;
    if (store->has_reserve && !atomic_load(&store->reserve_lent)) {
        int fd = open_reserve(store);
        lent = fd >= 0 && kv_io.ftruncate(fd, 0) == 0;
        if (fd >= 0)
            (void)kv_io.close(fd);
        if (lent)
            atomic_store(&store->reserve_lent, true);
    }
    (void)pthread_mutex_unlock(&store->reserve_lock);
    return lent;
}
