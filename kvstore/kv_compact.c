// Compaction: a sealed segment in which little is live is emptied and removed.
//
// Only live values are copied. Tombstones and changes of expiry need not be, because of what is made sure of
// first:
//   1. every writer that was at work when the segment was sealed has finished (each shard's write lock is taken once),
//   2. if there are tombstones in it: every value that was superseded before it was sealed has been erased, and the erasures are on the
//      device. So no older value of a key is left that one of them would have to hold down.
// A put in it holds down older values of its key that wait to be erased as well. But it is live, and copied with its seq, or what superseded it holds
// them down: a later put, or a tombstone, in whose segment this one's values are seen to by 2. (A delete without a tombstone sees to
// that itself, kv_remove_found(). What was superseded before the store was opened is seen to in any case.) A change of
// expiry is merged into a new copy of its key's record.
//
// Step by step, so that a crash at any moment loses nothing and brings nothing back: copies are appended with
// the seq of the original (recovery takes either); a batch of them is synced; then the part of the segment that has been read is
// punched out, so that emptying a segment needs the space of one batch, also on a full disk; when nothing live is left,
// the segment is taken out of the manifest and unlinked. Meanwhile store->moved tells those who delete a copied record where
// its original still is.
//
// What an export has yet to read is left alone (kv_export.c), and a compaction that is under way leaves off at its next record when
// somebody needs it to stand still (kv_compact_hold()): what it has copied is finished, the rest is for another time.
//
// Which, and how fast. Dead records may take dead_percent of the live ones' space, at least two segments. While they do not,
// and while there is room for them among those that wait to be overwritten, only segments with next to nothing live are emptied. Reading and writing keep to compact_bytes_s, up to four times that
// while the bound on space is overstepped. Copies do not enter the memory tier, and what was read leaves the page cache.
#include "kvstore/kv_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvstore/kv_walk.h"

#define BATCH_BYTES   (4u * 1024 * 1024)
#define STRETCH_BYTES (16u * 1024 * 1024) // of the segment, read between two syncs at most
#define IDLE_MS       250
#define CHEAP_PERCENT                                                                                        \
    25 // segments with at most so much live are emptied even while the space bound is kept to
// A segment with more live than this is left alone: live bytes are counted by the floors of size classes, which may be a
// ninth too low.
#define WORTH_PERCENT 80
#define SPEED_MOST    4 // times compact_bytes_s, when there is twice the dead space that the bound allows
#define BURST_US      100000
#define HALT_LOOK_MS  20u

// A segment that is being emptied.
struct emptying {
    struct kv_store *store;
    struct kv_segment *victim;
    uint64_t from;   // up to here it has been given back
    uint64_t to;     // up to here it has been read
    uint64_t paid;   // bytes read and copied that pace() knows of
    bool damaged;    // something in [from, to) is no record: it stays as it is
    bool unreadable; // the segment cannot be read to its end
};

// ---- how much space dead records take, and which segment is to go

struct space {
    uint64_t live, dead, bound;
    uint64_t newest; // segment
    bool crowded;    // so many dead values wait to be overwritten that the queue is too short for them
};

static uint64_t live_of(const struct kv_segment *segment, uint64_t size)
{
    int64_t live = atomic_load(&segment->live_bytes);
    return live <= 0 ? 0 : (uint64_t)live < size ? (uint64_t)live : size;
}

static struct space measure(struct kv_store *store)
{
    struct space space = {.crowded = kv_erase_is_crowded(store)};
    struct kv_segment *segment;
    for (uint64_t id = 0; (segment = kv_segment_from(store, id)) != NULL; id = space.newest + 1) {
        uint64_t size = atomic_load(&segment->size);
        space.newest = segment->id;
        if (!atomic_load(&segment->given_up)) { // that space cannot be had
            uint64_t gone = atomic_load(&segment->punched_to);
            size -= gone < size ? gone : size;
            uint64_t live = live_of(segment, size);
            space.live += live;
            space.dead += size - live;
        }
        kv_segment_put(segment);
    }
    uint64_t least = 2 * store->options.segment_bytes;
    space.bound = space.live / 100 * store->options.dead_percent;
    space.bound = space.bound > least ? space.bound : least;
    return space;
}

// What emptying a segment is worth, 0: nothing. What it gives by what it costs (read all, write the live part), as the
// cleaner of a log-structured file system has it (Rosenblum and Ousterhout, SOSP 1991); age counts by its
// logarithm: what has been live for long is likely to stay.
static uint64_t worth(struct kv_store *store, const struct space *space, const struct kv_segment *segment)
{
    uint64_t size = atomic_load(&segment->size);
    if (!atomic_load(&segment->sealed) || atomic_load(&segment->given_up) ||
        kv_export_needs(store, segment->id))
        return 0;
    uint64_t live = live_of(segment, size);
    uint64_t percent = size == 0 ? 0 : live * 100 / size;
    bool wanted = space->dead > space->bound || space->crowded;
    if (percent > (wanted ? WORTH_PERCENT : CHEAP_PERCENT))
        return 0;
    uint64_t age = space->newest - segment->id + 1, weight = 4;
    for (; age > 1; age /= 2)
        weight++;
    return 1 + (100 - percent) * weight * 1000 / (100 + percent);
}

static struct kv_segment *choose_victim(struct kv_store *store)
{
    struct space space = measure(store);
    struct kv_segment *best = NULL, *segment;
    uint64_t most = 0;
    for (uint64_t id = 0; (segment = kv_segment_from(store, id)) != NULL;) {
        id = segment->id + 1;
        uint64_t value = worth(store, &space, segment);
        if (value > most) {
            kv_segment_put(best);
            best = segment;
            most = value;
        } else {
            kv_segment_put(segment);
        }
    }
    return best;
}

// ---- pace: a token bucket over the bytes read and written

// The bound on compaction's I/O, up to SPEED_MOST times as much the further the bound on space is overstepped.
static uint64_t rate(struct kv_store *store)
{
    struct space space = measure(store);
    uint64_t bytes_s = store->options.compact_bytes_s;
    if (space.dead <= space.bound)
        return bytes_s;
    uint64_t percent = (space.dead - space.bound) * 100 / space.bound;
    return bytes_s + bytes_s / 100 * (percent < 100 ? percent : 100) * (SPEED_MOST - 1);
}

// The store is being closed, or somebody wants compaction to stand still: the rest another time.
static bool is_halted(struct kv_store *store)
{
    return atomic_load(&store->compact_halts) != 0 || kv_background_stopping(store);
}

// Waits until the bytes since the last time are paid for. True: stop.
static bool pace(struct emptying *e, uint64_t copied)
{
    struct kv_store *store = e->store;
    uint64_t now = kv_clock_ns() / 1000, bytes = e->to - e->paid + copied;
    e->paid = e->to;
    if (store->compact_due_us + BURST_US < now)
        store->compact_due_us = now - BURST_US;
    store->compact_due_us += bytes * 1000000 / rate(store);
    uint64_t left_ms = store->compact_due_us > now ? (store->compact_due_us - now) / 1000 + 1 : 0;
    while (left_ms > 0 && !is_halted(store)) {
        unsigned ms = left_ms < HALT_LOOK_MS ? (unsigned)left_ms : HALT_LOOK_MS;
        (void)kv_background_sleep(store, ms);
        left_ms -= ms;
    }
    return is_halted(store);
}

// ---- emptying one

// Conditions 1 and 2 above. What later records supersede may wait to be erased as long as it may.
static enum kv_status prepare(struct kv_store *store, const struct kv_segment *victim)
{
    kv_write_lock_all(store); // those who were at work have finished
    kv_write_unlock_all(store);
    enum kv_status status = kv_commit_all(store);
    if (status == KV_OK)
        status =
            kv_erase_upto(store, atomic_load(&victim->tombstones) ? atomic_load(&victim->last_lsn) : 0, true);
    // In the victim, too: nobody shall write there once a part of it is punched out.
    kv_erase_wait_running(store);
    return status == KV_OK ? kv_commit_all(store) : status;
}

// The range that has been read goes back to the file system, originals of copies and all: nothing in it counts any more. What
// was live has been copied, what was not has been superseded by something that is on the device, since all was synced
// after it was looked at. moved.lock is held: nobody overwrites anything in it meanwhile or later.
static bool punch_range(struct emptying *e)
{
    if (e->damaged || e->to <= e->from ||
        kv_io.fallocate(e->victim->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)e->from,
                        (off_t)(e->to - e->from)) != 0)
        return false;
    kv_mark_dirty(e->store, e->victim, false); // before what waits for it may be forgotten
    atomic_store(&e->victim->punched_to, e->to);
    kv_erase_removed(e->store);
    return true;
}

// The copies of this batch become durable, then the originals are punched out, or overwritten where that cannot be. Whoever
// deletes one of the records meanwhile waits for the lock and finds its original either in the list or gone.
static enum kv_status finish_batch(struct emptying *e)
{
    struct kv_store *store = e->store;
    struct kv_moved *moved = &store->moved;
    enum kv_status status = kv_commit_all(store);
    (void)pthread_mutex_lock(&moved->lock);
    bool punched = status == KV_OK && punch_range(e);
    for (size_t i = 0; i < moved->count && status == KV_OK; i++)
        if (!punched || kv_where_segment(moved->items[i].from.where) != e->victim->id)
            status = kv_erase_place_locked(store, &moved->items[i].from);
    moved->count = 0;
    moved->bytes = 0;
    (void)pthread_mutex_unlock(&moved->lock);
    // A range that was not punched ends punching for good: punched_to says that nothing is left below it.
    e->damaged = e->damaged || !punched;
    e->from = e->to;
    return status;
}

static void note_moved(struct kv_store *store, const struct kv_record *record, uint64_t from, uint64_t to)
{
    struct kv_moved *moved = &store->moved;
    (void)pthread_mutex_lock(&moved->lock);
    moved->items[moved->count].from =
        (struct kv_erasure){.where = from, .value_len = record->value_len, .key_len = record->key_len};
    moved->items[moved->count++].to = to;
    moved->bytes += kv_record_size(record->key_len, record->value_len);
    (void)pthread_mutex_unlock(&moved->lock);
}

static void index_moved(struct kv_store *store, struct kv_shard *shard, uint64_t hash, uint64_t from,
                        const struct kv_append *append)
{
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = kv_slot_at(store, shard, hash, from);
    kv_index_set_expiry(&store->index, shard, slot, from, 0);
    if ((slot->word & KV_WORD_CACHED) != 0)
        kv_tier_mem(&store->tier, kv_word_where(slot->word))->disk = append->where;
    else
        slot->word = (slot->word & ~KV_WORD_WHERE) | append->where;
    kv_index_set_expiry(&store->index, shard, slot, append->where, append->record.expire_ms);
    (void)pthread_mutex_unlock(&shard->lock);
    int64_t size = (int64_t)kv_record_size(append->record.key_len, append->record.value_len);
    kv_live_add(store, from, -size, -1);
    kv_live_add(store, append->where, size, 1);
}

// Appends a copy of a record with the key's present expiry, and points the index at it. The shard's write
// lock is held. A value whose checksum does not hold is copied as it is, checksum included, so that it stays
// the error it was.
static enum kv_status move_locked(struct kv_store *store, uint64_t hash, uint64_t from,
                                  const struct kv_record *record, const void *key, const void *value)
{
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    struct kv_append append = {.record = *record, .key = key, .value = value};
    if (!kv_slot_is_live(store, shard, hash, from, &append.record.expire_ms))
        return KV_OK;
    (void)pthread_mutex_lock(&shard->lock);
    bool room = kv_index_reserve(&store->index, shard, append.record.expire_ms != 0);
    (void)pthread_mutex_unlock(&shard->lock);
    if (!room)
        return KV_NO_MEMORY;
    append.record.expire_seq = UINT64_MAX; // a fresh one: it stands for all changes of expiry so far
    append.frees_space = true;
    enum kv_status status = kv_append(store, &append);
    if (status != KV_OK)
        return status;
    index_moved(store, shard, hash, from, &append);
    note_moved(store, record, from, append.where);
    atomic_fetch_add_explicit(&store->compacted_bytes, kv_record_size(record->key_len, record->value_len),
                              memory_order_relaxed);
    return KV_OK;
}

static enum kv_status move_value(struct kv_store *store, uint64_t where, const struct kv_item *item)
{
    const struct kv_record *record = &item->record;
    uint64_t hash = kv_hash_key(&store->seeds, item->key, record->key_len).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    uint64_t expire_ms;
    if (!kv_slot_is_live(store, shard, hash, where, &expire_ms))
        return KV_OK;
    uint8_t *loaded = NULL;
    enum kv_status status = item->value == NULL ? kv_read_value(store, where, record, &loaded) : KV_OK;
    if (status == KV_OK) {
        kv_write_lock(store, shard);
        status = move_locked(store, hash, where, record, item->key, loaded != NULL ? loaded : item->value);
        kv_write_unlock(store, shard);
    }
    kv_free_value(loaded, record->value_len);
    return status;
}

// A change of expiry that still holds is merged into a new copy of its key's record, wherever that is.
static enum kv_status merge_expiry(struct kv_store *store, const struct kv_item *item)
{
    uint16_t key_len = item->record.key_len;
    uint64_t hash = kv_hash_key(&store->seeds, item->key, key_len).low;
    struct kv_shard *shard = kv_index_shard(&store->index, hash);
    struct kv_found found;
    struct kv_record record;
    void *key = NULL;
    uint8_t *value = NULL;
    kv_write_lock(store, shard);
    enum kv_status status = kv_find_for_write(store, hash, item->key, key_len, &found);
    uint64_t expire_ms =
        item->record.expire_ms < KV_EXPIRE_MAX_MS ? item->record.expire_ms : KV_EXPIRE_MAX_MS;
    if (status == KV_OK && !found.unreadable && found.where == item->record.target &&
        found.expire_ms == expire_ms) {
        status = kv_read_head(store, found.where, &record, &key);
        if (status == KV_OK && record.expire_seq < item->record.seq) {
            status = kv_read_value(store, found.where, &record, &value);
            if (status == KV_OK)
                status = move_locked(store, hash, found.where, &record, key, value);
            kv_free_value(value, record.value_len);
        }
    }
    kv_write_unlock(store, shard);
    free(key);
    return status == KV_NOT_FOUND ? KV_OK : status;
}

static bool batch_is_full(struct kv_store *store)
{
    return store->moved.count == KV_MOVE_BATCH || store->moved.bytes >= BATCH_BYTES;
}

static enum kv_status move_item(struct emptying *e, const struct kv_item *item)
{
    if (item->kind == KV_ITEM_DAMAGED || item->kind == KV_ITEM_TORN)
        e->damaged = true;
    if (item->kind != KV_ITEM_RECORD)
        return KV_OK;
    if (item->record.type == KV_RECORD_EXPIRY)
        return merge_expiry(e->store, item);
    if (item->record.type != KV_RECORD_PUT || item->mark == KV_MARK_ERASED)
        return KV_OK;
    return move_value(e->store, kv_where_disk(e->victim->id, item->offset), item);
}

static enum kv_status next_batch(struct emptying *e)
{
    uint64_t copied = e->store->moved.bytes;
    enum kv_status status = finish_batch(e);
    return status == KV_OK && pace(e, copied) ? KV_READ_ONLY : status;
}

// One record, or one stretch of something else.
static enum kv_status step(struct emptying *e, struct kv_walk *walk, struct kv_item *item)
{
    int error = kv_walk_next(walk, item);
    if (error != 0)
        return KV_NO_MEMORY;
    if (item->kind == KV_ITEM_UNREADABLE || item->unreadable)
        return kv_fail(e->store, KV_IO, item->error, "segment %08llu: read for compaction at %llu",
                       (unsigned long long)e->victim->id, (unsigned long long)item->offset);
    enum kv_status status = move_item(e, item);
    if (status == KV_OK)
        e->to = item->offset + item->size;
    return status;
}

static enum kv_status move_all(struct emptying *e)
{
    struct kv_walk walk;
    if (!kv_walk_begin(&walk, &e->store->seeds, e->victim->id, e->victim->fd, atomic_load(&e->victim->size)))
        return KV_NO_MEMORY;
    (void)kv_io.fadvise(e->victim->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    enum kv_status status = KV_OK;
    struct kv_item item = {.kind = KV_ITEM_ZERO};
    while (status == KV_OK && item.kind != KV_ITEM_END) {
        status = atomic_load(&e->store->compact_halts) != 0 ? KV_READ_ONLY : step(e, &walk, &item);
        if (status == KV_OK && (batch_is_full(e->store) || e->to - e->from >= STRETCH_BYTES))
            status = next_batch(e);
    }
    kv_walk_end(&walk);
    // What cannot be read stays where it is, and its segment with it. What was written is no longer known then, or is.
    if ((status == KV_IO || status == KV_CORRUPT) && !atomic_load(&e->store->read_only)) {
        e->unreadable = true;
        status = KV_OK;
    }
    uint64_t copied = e->store->moved.bytes;
    enum kv_status finished = finish_batch(e); // after a failure too: nothing may stay in the list
    (void)pace(e, copied);
    (void)kv_io.fadvise(e->victim->fd, 0, 0, POSIX_FADV_DONTNEED);
    return status == KV_OK ? finished : status;
}

// On a full disk the reserve is for this: it frees a segment.
static enum kv_status remove_segment(struct kv_store *store, struct kv_segment *victim)
{
    enum kv_status status = kv_segment_remove(store, victim);
    if (status == KV_FULL && kv_reserve_lend(store))
        status = kv_segment_remove(store, victim);
    if (status == KV_OK)
        kv_erase_removed(store);
    return status;
}

static enum kv_status compact(struct kv_store *store, struct kv_segment *victim)
{
    struct emptying e = {.store = store, .victim = victim, .from = KV_SEGMENT_HEAD};
    e.to = e.paid = e.from;
    enum kv_status status = prepare(store, victim);
    // Before the first part is punched out: its tombstones are what a snapshot from before them needs.
    if (status == KV_OK)
        status = kv_snapshot_let_go(store, victim->id);
    if (status == KV_OK && atomic_load(&victim->size) > KV_SEGMENT_HEAD)
        status = move_all(&e);
    if (status != KV_OK)
        return status;
    if (!e.unreadable && atomic_load(&victim->live_count) == 0) {
        // What superseded its records may not be on the device yet: until then they are what a power failure
        // goes back to.
        status = kv_commit_all(store);
        if (status == KV_OK)
            status = kv_snapshot_let_go(store, victim->id);
        return status == KV_OK ? remove_segment(store, victim) : status;
    }
    // A record that the index points to could not be read: its segment stays, and a get of it says what is
    // wrong.
    atomic_store(&victim->given_up, true);
    return KV_OK;
}

void kv_compact_hold(struct kv_store *store)
{
    atomic_fetch_add(&store->compact_halts, 1);
    (void)pthread_mutex_lock(&store->compact_lock);
}

void kv_compact_let_go(struct kv_store *store)
{
    atomic_fetch_sub(&store->compact_halts, 1);
    (void)pthread_mutex_unlock(&store->compact_lock);
}

bool kv_compact_step(struct kv_store *store)
{
    (void)pthread_mutex_lock(&store->compact_lock);
    enum kv_status status = KV_READ_ONLY;
    // What could not be read at open may be older values that nothing but the tombstones here hold down.
    bool may = !atomic_load(&store->read_only) && !store->index_incomplete;
    struct kv_segment *victim = may ? choose_victim(store) : NULL;
    if (victim != NULL) {
        atomic_store(&store->compacting, victim->id); // before prepare() waits for those who erase already
        status = compact(store, victim);
        atomic_store(&store->compacting, 0);
        kv_segment_put(victim);
    }
    (void)pthread_mutex_unlock(&store->compact_lock);
    return victim != NULL && status == KV_OK;
}

void *kv_compactor_main(void *arg)
{
    struct kv_store *store = arg;
    while (!kv_background_sleep(store, IDLE_MS))
        while (!kv_background_stopping(store) && kv_compact_step(store)) {
        }
    return NULL;
}
