#include "kvstore/kv_block.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>

#define EXTEND_FIRST                                                                                         \
    (8ull << 20) // the file is given blocks in steps of this size, doubled as long as only blocks come
#define EXTEND_MOST (64ull << 20)

static uint64_t align_up(uint64_t n)
{
    return (n + KV_BLOCK_ALIGN - 1) & ~(uint64_t)(KV_BLOCK_ALIGN - 1);
}

// ---- filling

void kv_block_reset(struct kv_block *block, uint8_t *bytes, size_t capacity)
{
    *block = (struct kv_block){.bytes = bytes, .capacity = capacity};
}

bool kv_block_add(struct kv_store *store, struct kv_block *block, struct kv_block_item *item)
{
    struct kv_record *record = &item->append.record;
    size_t key_len = record->key_len, value_len = record->value_len;
    uint64_t size = kv_record_size(key_len, value_len);
    uint64_t at = block->len, part_at = block->part_at;
    if (at > part_at && at + size - part_at > KV_PART_BYTES)
        at = part_at = align_up(at); // the next part
    if (size > KV_PART_BYTES || align_up(at + size) > block->capacity)
        return false;
    memset(block->bytes + block->len, 0, (size_t)at - block->len);
    uint8_t *to = block->bytes + at + KV_RECORD_HEAD;
    memcpy(to, item->append.key, key_len);
    if (value_len != 0)
        memcpy(to + key_len, item->append.value, value_len);
    memset(to + key_len + value_len, 0, (size_t)size - KV_RECORD_HEAD - key_len - value_len);
    record->value_sum = kv_value_sum(&store->seeds, to + key_len, value_len);
    item->at = (size_t)at;
    block->part_at = (size_t)part_at;
    block->len = (size_t)(at + size);
    return true;
}

// ---- the direct descriptor, and space in the file

static bool open_direct(struct kv_store *store)
{
    if (store->direct_fd >= 0)
        return true;
    if (store->direct_refused)
        return false;
    char path[PATH_MAX];
    kv_segment_path(store, path, store->active->id);
    store->direct_fd = kv_io.open(path, O_RDWR | O_DIRECT | O_NOFOLLOW | O_CLOEXEC, 0);
    if (store->direct_fd < 0 && errno == EINVAL)
        store->direct_refused = true;
    return store->direct_fd >= 0;
}

// Gives the file blocks up to `to`, and some more, and makes it that long, so that the writes extend nothing: those that
// extend a file wait for each other. Returns ENOSPC, or 0; other refusals do no harm.
static int extend(struct kv_store *store, uint64_t to)
{
    struct kv_segment *segment = store->active;
    uint64_t from = atomic_load(&segment->size);
    if (store->active_extended && to <= store->active_allocated)
        return 0;
    uint64_t step = store->active_extended && store->extend_step != 0 ? store->extend_step * 2 : EXTEND_FIRST;
    step = step < EXTEND_MOST ? step : EXTEND_MOST;
    uint64_t goal = align_up(from + step), most = align_up(store->options.segment_bytes);
    goal = goal < most ? goal : most;
    goal = goal > to ? goal : to;
    store->active_extended = true; // also when it fails: whatever is there is cut
    int result = kv_io.fallocate(segment->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(goal - from));
    if (result != 0 && (errno == ENOSPC || errno == EDQUOT) && goal > to) {
        goal = to;
        result = kv_io.fallocate(segment->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(goal - from));
    }
    if (result != 0 && (errno == ENOSPC || errno == EDQUOT))
        return errno;
    store->extend_step = step;
    if (kv_io.ftruncate(segment->fd, (off_t)goal) == 0)
        store->active_allocated = goal;
    return 0;
}

bool kv_log_cut(struct kv_store *store)
{
    struct kv_segment *segment = store->active;
    if (segment == NULL || !store->active_extended)
        return true;
    if (!kv_segment_cut(store, segment, atomic_load(&segment->size)))
        return false;
    store->active_extended = false;
    store->active_allocated = 0;
    return true;
}

void kv_log_close_direct(struct kv_store *store)
{
    if (store->direct_fd >= 0)
        (void)kv_io.close(store->direct_fd);
    store->direct_fd = -1;
}

// ---- writing

static struct kv_block_item *item_at(struct kv_block_item *items, size_t stride, size_t i)
{
    return (struct kv_block_item *)(void *)((uint8_t *)items + i * stride);
}

static void give_seqs(struct kv_store *store, struct kv_record *record)
{
    record->seq = store->next_seq++;
    record->expire_seq = record->seq;
}

// Hands over the bytes [from, to) of a direct block, and the zeros behind them.
static void write_part(struct kv_store *store, const struct kv_block *block, size_t from, size_t to)
{
    struct kv_part part = {.buffered_fd = store->active->fd,
                           .fd = store->direct_fd,
                           .bytes = block->bytes + from,
                           .len = (size_t)align_up(to) - from,
                           .offset = block->offset + from};
    kv_parts_write(&store->parts, &part);
}

// Encodes the heads, and writes each part when its last head is there.
static void encode_and_write(struct kv_store *store, struct kv_block *block, struct kv_block_item *items,
                             size_t stride, size_t count)
{
    size_t part_at = 0;
    for (size_t i = 0; i < count; i++) {
        struct kv_block_item *item = item_at(items, stride, i);
        struct kv_record *record = &item->append.record;
        if (block->direct && item->at % KV_BLOCK_ALIGN == 0 && item->at - part_at >= KV_PART_BYTES / 2) {
            write_part(store, block, part_at, item->at);
            part_at = item->at;
        }
        give_seqs(store, record);
        struct kv_place place = {.segment = store->active->id, .offset = block->offset + item->at};
        kv_record_encode(&store->seeds, place, record, item->append.key, block->bytes + item->at);
    }
    if (block->direct)
        write_part(store, block, part_at, block->len);
    else
        block->error = kv_io_write(store->active->fd, block->bytes, block->len, block->offset);
}

// A place at the end of the log. append_lock is held.
static enum kv_status place(struct kv_store *store, struct kv_block *block)
{
    enum kv_status status = kv_log_make_room(store, align_up(block->len) + KV_BLOCK_ALIGN);
    if (status != KV_OK)
        return status;
    uint64_t size = atomic_load(&store->active->size);
    block->direct = block->len >= KV_DIRECT_FROM && open_direct(store);
    block->offset = block->direct ? align_up(size) : size;
    if (!block->direct)
        return kv_log_cut(store) ? KV_OK
                                 : kv_fail_writes(store, errno, "segment %08llu: ftruncate",
                                                  (unsigned long long)store->active->id);
    memset(block->bytes + block->len, 0, (size_t)(align_up(block->len) - block->len));
    int error = extend(store, block->offset + align_up(block->len));
    return error == 0 ? KV_OK
                      : kv_fail(store, KV_FULL, error, "segment %08llu: fallocate",
                                (unsigned long long)store->active->id);
}

enum kv_status kv_block_begin(struct kv_store *store, struct kv_block *block, struct kv_block_item *items,
                              size_t stride, size_t count)
{
    (void)pthread_mutex_lock(&store->append_lock);
    enum kv_status status = kv_log_refuses(store, block->frees_space);
    if (status == KV_OK)
        status = kv_held_write(store);
    if (status == KV_OK)
        status = place(store, block);
    if (status == KV_OK)
        encode_and_write(store, block, items, stride, count);
    else
        (void)pthread_mutex_unlock(&store->append_lock);
    return status;
}

// Nothing of a block that failed may be found at the next open: whole records may have been written, and their callers
// are told that they were not. Nor after a power failure: what is cut off is there again until the cut has been synced.
static enum kv_status block_failed(struct kv_store *store, const struct kv_block *block, int error)
{
    struct kv_segment *segment = store->active;
    unsigned long long id = segment->id;
    uint64_t end = atomic_load(&segment->size);
    bool cut = kv_segment_cut(store, segment, end);
    if (cut) {
        store->active_extended = false;
        store->active_allocated = 0;
    } else {
        store->tail_bad = true;
        cut = kv_io_zero(segment->fd, block->offset, align_up(block->len)) == 0;
    }
    if (cut && kv_io.fdatasync(segment->fd) != 0)
        return kv_fail_writes(store, errno, "segment %08llu: fdatasync", id);
    if (cut && kv_log_no_space(error))
        return kv_fail(store, KV_FULL, error, "segment %08llu: write", id);
    return kv_fail_writes(store, error, "segment %08llu: write", id);
}

enum kv_status kv_block_end(struct kv_store *store, struct kv_block *block, struct kv_block_item *items,
                            size_t stride, size_t count)
{
    int error = block->direct ? kv_parts_wait(&store->parts) : block->error;
    enum kv_status status = KV_OK;
    if (error != 0) {
        status = block_failed(store, block, error);
    } else {
        struct kv_segment *segment = store->active;
        for (size_t i = 0; i < count; i++) {
            struct kv_block_item *item = item_at(items, stride, i);
            item->append.where = kv_where_disk(segment->id, block->offset + item->at);
            item->append.lsn = ++store->last_lsn;
            if (item->append.record.type == KV_RECORD_TOMBSTONE)
                atomic_store(&segment->tombstones, true);
        }
        atomic_store(&segment->size, block->offset + (block->direct ? align_up(block->len) : block->len));
        kv_log_written(store, segment, block->direct);
    }
    (void)pthread_mutex_unlock(&store->append_lock);
    return status;
}
