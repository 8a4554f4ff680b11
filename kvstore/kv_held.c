// Records at the end of the log that are not in the file yet.
//
// A caller with many puts and one moment at which it acknowledges them all (an event loop, at the end of its turn) has them held (KV_PUT_HOLD): each gets its place,
// is in the index and counts in segment->size, and its bytes are copied here. kv_write_held() writes them all by one call; so do, before they go on: an append that is not
// to be held, a sync, the end of a segment, whoever asks where the log ends, and whoever wants to read one of these records from the file. So nobody else needs to
// know of them, and what kill -9 takes away is what nobody has acknowledged.
//
// A put that finds no space is told so (KV_FULL), and a held one's caller has been told KV_OK: so the space is taken beforehand, by fallocate(), and where that is refused
// nothing is held. A write that fails all the same is as a sync that fails: the store is read-only from then on, and kv_write_held() says so.
#include "kvstore/kv_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define BUFFER     (256u * 1024)
#define RECORD_MAX (64u * 1024) // a larger one gains nothing
#define STEP       (4u << 20)   // of fallocate()

static bool have_buffer(struct kv_store *store)
{
    struct kv_held *held = &store->held;
    if (held->bytes != NULL)
        return true;
    void *p = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    (void)madvise(p, BUFFER, MADV_DONTDUMP);
    held->bytes = p;
    kv_account(store, BUFFER);
    return true;
}

void kv_held_free(struct kv_store *store)
{
    struct kv_held *held = &store->held;
    if (held->bytes == NULL)
        return;
    explicit_bzero(held->bytes, BUFFER);
    (void)munmap(held->bytes, BUFFER);
    held->bytes = NULL;
    kv_account(store, -(int64_t)BUFFER);
}

// Whether the file has blocks up to `to`, though it may be shorter.
static bool have_space(struct kv_store *store, uint64_t to)
{
    struct kv_held *held = &store->held;
    struct kv_segment *segment = store->active;
    if (to <= held->reserved_to)
        return true;
    uint64_t from = atomic_load(&segment->size);
    from = held->reserved_to > from ? held->reserved_to : from;
    uint64_t goal = to + STEP;
    if (held->refused_for == segment->id ||
        kv_io.fallocate(segment->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(goal - from)) != 0) {
        held->refused_for = segment->id;
        return false;
    }
    held->reserved_to = goal;
    return true;
}

uint8_t *kv_held_take(struct kv_store *store, uint64_t size)
{
    struct kv_held *held = &store->held;
    size_t len = atomic_load_explicit(&held->len, memory_order_relaxed);
    uint64_t offset = atomic_load(&store->active->size);
    if (size > RECORD_MAX || !have_buffer(store) || !have_space(store, offset + size))
        return NULL;
    if (len + size > BUFFER) {
        if (kv_held_write(store) != KV_OK)
            return NULL;
        len = 0;
    }
    if (len == 0)
        held->offset = offset;
    atomic_store(&held->len, len + (size_t)size);
    return held->bytes + len;
}

enum kv_status kv_held_write(struct kv_store *store)
{
    struct kv_held *held = &store->held;
    struct kv_segment *segment = store->active;
    size_t len = atomic_load_explicit(&held->len, memory_order_relaxed);
    if (len == 0)
        return KV_OK;
    int error = kv_io_write(segment->fd, held->bytes, len, held->offset);
    explicit_bzero(held->bytes, len);
    if (error == 0)
        kv_log_written(store, segment, false);
    else if (!kv_segment_cut(store, segment, held->offset))
        store->tail_bad = true;
    // From here on nobody writes for others: after what they do next, records are in the file.
    atomic_store(&held->len, 0);
    return error == 0 ? KV_OK
                      : kv_fail_writes(store, error, "segment %08llu: write of what was held",
                                       (unsigned long long)segment->id);
}

void kv_held_seal(struct kv_store *store)
{
    struct kv_held *held = &store->held;
    uint64_t size = atomic_load(&store->active->size);
    if (held->reserved_to > size && !atomic_load(&store->read_only))
        (void)kv_segment_cut(store, store->active, size);
    held->reserved_to = 0;
}

bool kv_holds(const struct kv_store *store)
{
    return atomic_load(&store->held.len) != 0;
}

enum kv_status kv_write_held(struct kv_store *store)
{
    if (!kv_holds(store))
        return atomic_load(&store->read_only) ? KV_READ_ONLY : KV_OK;
    (void)pthread_mutex_lock(&store->append_lock);
    enum kv_status status = kv_held_write(store);
    (void)pthread_mutex_unlock(&store->append_lock);
    return status;
}

struct kv_segment *kv_segment_to_read(struct kv_store *store, uint64_t id)
{
    if (kv_holds(store))
        (void)kv_write_held(store); // if it fails the read finds that there is nothing
    return kv_segment_get(store, id);
}
