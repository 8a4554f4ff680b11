// Loading the index snapshot at open. Everything in it is checked before it is believed; what cannot be known here (whether a
// slot's segment is rightly gone) is left to replay.
#include "kvstore/kv_snapshot.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kvstore/kv_bytes.h"
#include "kvstore/kv_internal.h"

struct loader {
    struct kv_store *store;
    struct kv_snapshot *out;
    int fd;
    struct kv_index_head head;
    uint64_t at; // in the file
    uint8_t *block;
    size_t capacity;
    uint64_t sums[KV_INDEX_BLOCKS];
    struct kv_segment **by_id; // from `first` on; NULL: gone
    uint64_t first, last;
};

static enum kv_status doubt(struct kv_store *store, const char *why)
{
    return kv_fail(store, KV_CORRUPT, 0, "index snapshot: %s", why);
}

static enum kv_status read_at(struct loader *l, void *to, size_t len, uint64_t at)
{
    size_t got;
    int error = kv_io_read(l->fd, to, len, at, &got);
    if (error != 0)
        return kv_fail(l->store, KV_CORRUPT, error, "index snapshot: read");
    return got == len ? KV_OK : doubt(l->store, "cut short");
}

// ---- blocks

static bool block_room(struct loader *l, size_t size)
{
    if (size <= l->capacity)
        return true;
    size += size / 8;
    free(l->block);
    l->block = malloc(size);
    kv_account(l->store, (l->block != NULL ? (int64_t)size : 0) - (int64_t)l->capacity);
    l->capacity = l->block != NULL ? size : 0;
    return l->block != NULL;
}

// Reads a block whose head has been read, of so many bytes without its sum, and checks it.
static enum kv_status read_block(struct loader *l, unsigned number, uint64_t len)
{
    if (!block_room(l, (size_t)len + 8))
        return KV_NO_MEMORY;
    enum kv_status status = read_at(l, l->block, (size_t)len + 8, l->at);
    if (status != KV_OK)
        return status;
    uint64_t sum = kv_get64(l->block + len);
    if (sum != kv_index_block_sum(&l->store->seeds, l->head.nonce, number, l->block, (size_t)len) ||
        kv_get64(l->block) != number)
        return doubt(l->store, "a block's sum does not hold");
    l->sums[number] = htole64(sum);
    l->at += len + 8;
    return KV_OK;
}

// Lengths in a block's head are not covered by a sum yet: they are believed as far as the file goes.
static enum kv_status next_block(struct loader *l, unsigned number, uint64_t *count, uint64_t *expiries)
{
    uint8_t head[KV_INDEX_BLOCK_HEAD];
    enum kv_status status = read_at(l, head, sizeof head, l->at);
    if (status != KV_OK)
        return status;
    *count = kv_get64(head + 24);
    *expiries = kv_get64(head + 32);
    uint64_t left = l->head.file_bytes - l->at, item = number < KV_SHARDS ? KV_INDEX_SLOT : KV_INDEX_ERASURE;
    if (*count > left / item || *expiries > left / KV_INDEX_EXPIRY || *expiries > *count)
        return doubt(l->store, "a block is longer than the file");
    uint64_t len = KV_INDEX_BLOCK_HEAD + *count * item + *expiries * KV_INDEX_EXPIRY;
    if (len + 8 > left)
        return doubt(l->store, "a block is longer than the file");
    return read_block(l, number, len);
}

// ---- slots

static bool before(struct kv_place a, struct kv_place b)
{
    return a.segment != b.segment ? a.segment < b.segment : a.offset < b.offset;
}

static struct kv_segment *segment_of(const struct loader *l, uint64_t id)
{
    return id >= l->first && id <= l->last ? l->by_id[id - l->first] : NULL;
}

static bool take_slot(struct loader *l, unsigned number, uint64_t hash, uint64_t word)
{
    struct kv_index *index = &l->store->index;
    struct kv_shard *shard = &index->shards[number];
    struct kv_place place = {kv_where_segment(kv_word_where(word)), kv_where_offset(kv_word_where(word))};
    uint8_t size_class = kv_word_class(word);
    if (hash >> 56 != number || (hash & ~KV_HASH_BITS & ~(uint64_t)KV_SLOT_KEPT_BITS) != 0 ||
        (word & ~(kv_word_make(UINT8_MAX, KV_WORD_WHERE))) != 0 || size_class == 0 || place.segment == 0 ||
        !before(place, l->out->positions[number]))
        return false;
    struct kv_segment *segment = segment_of(l, place.segment);
    uint64_t floor = kv_class_floor(size_class);
    if (segment == NULL) {
        l->out->homeless++;
    } else if (place.offset < KV_SEGMENT_HEAD || place.offset + floor > atomic_load(&segment->size)) {
        return false;
    } else {
        atomic_fetch_add_explicit(&segment->live_bytes, (int64_t)floor, memory_order_relaxed);
        atomic_fetch_add_explicit(&segment->live_count, 1, memory_order_relaxed);
    }
    kv_index_insert(index, shard, hash, word);
    return true;
}

// The table keeps slots in the order they come in, and of one hash in any order: the slot of a place is looked for.
static void finish_slot(struct loader *l, unsigned number, uint64_t hash, uint64_t word, uint64_t flags,
                        uint64_t expire_ms)
{
    struct kv_shard *shard = &l->store->index.shards[number];
    if ((hash & KV_SLOT_KEPT_BITS) == 0 && flags == 0)
        return;
    uint64_t where = kv_word_where(word);
    struct kv_slot *slot = kv_slot_at(l->store, shard, hash, where);
    slot->hash |= hash & KV_SLOT_KEPT_BITS;
    if ((flags & KV_WORD_DAMAGED) != 0) {
        slot->word |= KV_WORD_DAMAGED;
        kv_count_damaged(l->store);
    }
    if ((flags & KV_WORD_EXPIRES) != 0)
        kv_index_set_expiry(&l->store->index, shard, slot, where, expire_ms);
}

static enum kv_status load_shard(struct loader *l, unsigned number)
{
    uint64_t count, expiries, hash = 0, expiring = 0;
    enum kv_status status = next_block(l, number, &count, &expiries);
    if (status != KV_OK)
        return status;
    struct kv_place *position = &l->out->positions[number];
    *position = (struct kv_place){kv_get64(l->block + 8), kv_get64(l->block + 16)};
    if (before(l->head.end, *position))
        return doubt(l->store, "a position behind the end");
    if (number == 0 || before(*position, l->out->low))
        l->out->low = *position;
    struct kv_shard *shard = &l->store->index.shards[number];
    if (!kv_index_reserve_for(&l->store->index, shard, (size_t)count))
        return KV_NO_MEMORY;
    const uint8_t *slots = l->block + KV_INDEX_BLOCK_HEAD, *times = slots + count * KV_INDEX_SLOT;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t earlier = hash & KV_HASH_BITS, word = kv_get64(slots + i * KV_INDEX_SLOT + 8);
        hash = kv_get64(slots + i * KV_INDEX_SLOT);
        uint64_t flags = word & KV_SLOT_KEPT_FLAGS, expire_ms = 0;
        if ((flags & KV_WORD_EXPIRES) != 0)
            expire_ms = expiring < expiries ? kv_get64(times + expiring++ * KV_INDEX_EXPIRY) : 0;
        if ((hash & KV_HASH_BITS) < earlier || !kv_index_reserve(&l->store->index, shard, expire_ms != 0) ||
            !take_slot(l, number, hash, word & ~flags))
            return doubt(l->store, "a slot that cannot be");
        finish_slot(l, number, hash, word & ~flags, flags, expire_ms);
    }
    l->out->keys += count;
    return expiring == expiries ? KV_OK : doubt(l->store, "expiries without slots");
}

// ---- erasures

// Whether what it overwrites is in its segment; of one that is gone nothing is overwritten.
static bool is_possible(const struct loader *l, const struct kv_erasure *erasure)
{
    if (erasure->where > KV_WORD_WHERE)
        return false;
    const struct kv_segment *segment = segment_of(l, kv_where_segment(erasure->where));
    if (segment == NULL)
        return true;
    uint64_t offset = kv_where_offset(erasure->where);
    uint64_t len = erasure->unreadable || erasure->by_head
                       ? kv_class_floor(erasure->size_class)
                       : kv_record_size(erasure->key_len, erasure->value_len);
    return offset >= KV_SEGMENT_HEAD && erasure->value_len <= KV_VALUE_MAX &&
           offset + len <= atomic_load(&segment->size);
}

static enum kv_status load_erasures(struct loader *l)
{
    uint64_t count, expiries;
    enum kv_status status = next_block(l, KV_SHARDS, &count, &expiries);
    if (status != KV_OK)
        return status;
    if (count != l->head.erasures || expiries != 0)
        return doubt(l->store, "another number of erasures than announced");
    l->out->erasures = calloc((size_t)count + 1, sizeof *l->out->erasures);
    if (l->out->erasures == NULL)
        return KV_NO_MEMORY;
    l->out->erasure_count = (size_t)count;
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *from = l->block + KV_INDEX_BLOCK_HEAD + i * KV_INDEX_ERASURE;
        uint64_t lengths = kv_get64(from + 8);
        l->out->erasures[i] = (struct kv_erasure){.where = kv_get64(from),
                                                  .value_len = (uint32_t)lengths,
                                                  .key_len = (uint16_t)(lengths >> 32),
                                                  .size_class = (uint8_t)(lengths >> 48),
                                                  .unreadable = (lengths >> 56 & KV_ERASURE_UNREADABLE) != 0,
                                                  .whole = (lengths >> 56 & KV_ERASURE_WHOLE) != 0,
                                                  .by_head = (lengths >> 56 & KV_ERASURE_BY_HEAD) != 0};
        if (!is_possible(l, &l->out->erasures[i]))
            return doubt(l->store, "an erasure that cannot be");
    }
    return KV_OK;
}

// ---- the whole

// What the log must be like for the snapshot to be of it: no segment from the least position's on is missing (one that was empty
// and removed before the end was captured is not), and it reaches to where it ended.
static enum kv_status check_log(struct loader *l)
{
    const struct kv_segments *segments = &l->store->segments;
    const struct kv_index_head *head = &l->head;
    uint64_t next = segments->manifest.next_segment, then = 0, since = 0;
    for (size_t i = 0; i < segments->count; i++) {
        const struct kv_segment *segment = segments->list[i];
        then += segment->id >= l->out->low.segment && segment->id < head->next_segment;
        since += segment->id >= head->next_segment;
        if (segment->id == head->end.segment && atomic_load(&segment->size) < head->end.offset)
            return doubt(l->store, "the log has been cut");
    }
    if (next < head->next_segment)
        return doubt(l->store, "of a longer log");
    if (then != head->segments || since != next - head->next_segment)
        return doubt(l->store, "a segment behind it is gone");
    return KV_OK;
}

static enum kv_status load_head(struct loader *l)
{
    struct stat st;
    uint8_t bytes[KV_INDEX_HEAD];
    if (fstat(l->fd, &st) != 0)
        return kv_fail(l->store, KV_CORRUPT, errno, "index snapshot: stat");
    if (!S_ISREG(st.st_mode))
        return doubt(l->store, "no regular file");
    enum kv_status status = read_at(l, bytes, sizeof bytes, 0);
    if (status != KV_OK)
        return status;
    if (!kv_index_head_decode(&l->store->seeds, bytes, &l->head))
        return doubt(l->store, "its header does not hold, or is of another store or version");
    if (l->head.file_bytes != (uint64_t)st.st_size)
        return doubt(l->store, "cut short");
    return KV_OK;
}

static bool map_segments(struct loader *l)
{
    const struct kv_segments *segments = &l->store->segments;
    l->first = segments->count != 0 ? segments->list[0]->id : 1;
    l->last = segments->count != 0 ? segments->list[segments->count - 1]->id : 0;
    l->by_id =
        calloc((size_t)(l->last - l->first + 2), sizeof(struct kv_segment *)); // untouched pages cost nothing
    for (size_t i = 0; i < segments->count && l->by_id != NULL; i++)
        l->by_id[segments->list[i]->id - l->first] = segments->list[i];
    return l->by_id != NULL;
}

static enum kv_status load_all(struct loader *l)
{
    enum kv_status status = load_head(l);
    if (status == KV_OK && !map_segments(l))
        status = KV_NO_MEMORY;
    for (unsigned i = 0; i < KV_SHARDS && status == KV_OK; i++)
        status = load_shard(l, i);
    if (status == KV_OK)
        status = load_erasures(l);
    if (status != KV_OK)
        return status;
    if (l->at != l->head.file_bytes || l->out->keys != l->head.keys ||
        l->head.blocks_sum != kv_index_blocks_sum(&l->store->seeds, l->head.nonce, l->sums))
        return doubt(l->store, "the sum of its blocks does not hold");
    return check_log(l);
}

enum kv_status kv_snapshot_load(struct kv_store *store, struct kv_snapshot *snapshot)
{
    *snapshot = (struct kv_snapshot){0};
    struct loader l = {.store = store, .out = snapshot, .at = KV_INDEX_HEAD};
    char path[PATH_MAX];
    kv_path_of(store, path, "INDEX.tmp");
    (void)kv_io.unlink(path); // one that a crash kept from being finished
    kv_path_of(store, path, "INDEX");
    l.fd = kv_io.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (l.fd < 0)
        return errno == ENOENT ? KV_NOT_FOUND : kv_fail(store, KV_CORRUPT, errno, "index snapshot: open");
    enum kv_status status = load_all(&l);
    (void)kv_io.close(l.fd);
    kv_account(store, -(int64_t)l.capacity);
    free(l.block);
    free(l.by_id);
    snapshot->end = l.head.end;
    snapshot->next_seq = l.head.next_seq;
    snapshot->bytes = l.head.file_bytes;
    return status;
}

void kv_snapshot_free(struct kv_snapshot *snapshot)
{
    free(snapshot->erasures);
    snapshot->erasures = NULL;
}
