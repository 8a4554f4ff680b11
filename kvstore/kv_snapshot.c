#include "kvstore/kv_snapshot.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "kvstore/kv_bytes.h"
#include "kvstore/kv_internal.h"

#define SLOTS_A_STEP   512u // copied in one go under the lock that readers take
#define AHEAD          16u
#define DEFAULT_GROWTH (512ull << 20)
#define GROWTH_FACTOR  8u // a snapshot is written when the log has grown by so many times its length
#define IDLE_MS        500u
#define RETRY_MS       30000u

static const uint8_t MAGIC[8] = {'M', 'E', 'C', 'K', 'V', 'I', 'D', 'X'};

// ---- sums and header

uint64_t kv_index_block_sum(const struct kv_seeds *seeds, uint64_t nonce, uint64_t number, const void *bytes,
                            size_t len)
{
    uint64_t words[3] = {htole64(nonce), htole64(number), htole64(3)};
    struct kv_seeds own = {.sum_seed = kv_value_sum(seeds, words, sizeof words)};
    return kv_value_sum(&own, bytes, len);
}

uint64_t kv_index_blocks_sum(const struct kv_seeds *seeds, uint64_t nonce,
                             const uint64_t sums[KV_INDEX_BLOCKS])
{
    return kv_index_block_sum(seeds, nonce, KV_INDEX_BLOCKS, sums, KV_INDEX_BLOCKS * sizeof sums[0]);
}

void kv_index_head_encode(const struct kv_seeds *seeds, const struct kv_index_head *head,
                          uint8_t out[KV_INDEX_HEAD])
{
    memset(out, 0, KV_INDEX_HEAD);
    memcpy(out, MAGIC, sizeof MAGIC);
    kv_put64(out + 8, (uint64_t)KV_INDEX_HEAD << 32 | KV_INDEX_VERSION);
    memcpy(out + 16, seeds->store_id, sizeof seeds->store_id);
    kv_put64(out + 32, head->nonce);
    kv_put64(out + 40, head->next_seq);
    kv_put64(out + 48, head->end.segment);
    kv_put64(out + 56, head->end.offset);
    kv_put64(out + 64, head->keys);
    kv_put64(out + 72, head->erasures);
    kv_put64(out + 80, head->file_bytes);
    kv_put64(out + 88, head->blocks_sum);
    kv_put64(out + 96, head->next_segment);
    kv_put64(out + 104, head->segments);
    kv_put64(out + KV_INDEX_HEAD - 8, kv_value_sum(seeds, out, KV_INDEX_HEAD - 8));
}

bool kv_index_head_decode(const struct kv_seeds *seeds, const uint8_t in[KV_INDEX_HEAD],
                          struct kv_index_head *head)
{
    *head = (struct kv_index_head){.nonce = kv_get64(in + 32),
                                   .next_seq = kv_get64(in + 40),
                                   .end = {.segment = kv_get64(in + 48), .offset = kv_get64(in + 56)},
                                   .keys = kv_get64(in + 64),
                                   .erasures = kv_get64(in + 72),
                                   .file_bytes = kv_get64(in + 80),
                                   .blocks_sum = kv_get64(in + 88),
                                   .next_segment = kv_get64(in + 96),
                                   .segments = kv_get64(in + 104)};
    uint8_t expected[KV_INDEX_HEAD];
    kv_index_head_encode(seeds, head, expected);
    return memcmp(in, expected, sizeof expected) == 0;
}

// ---- capturing

struct writer {
    struct kv_store *store;
    int fd;
    uint8_t *block;
    size_t capacity;
    uint64_t at; // in the file
    struct kv_index_head head;
    struct kv_place low;
    uint64_t sums[KV_INDEX_BLOCKS];
};

static bool block_room(struct writer *w, size_t size)
{
    if (size <= w->capacity)
        return true;
    size += size / 8;
    uint8_t *block = realloc(w->block, size);
    if (block == NULL)
        return false;
    kv_account(w->store, (int64_t)size - (int64_t)w->capacity);
    w->block = block;
    w->capacity = size;
    return true;
}

// The segments that replay will read, as of now: later ones have higher ids.
static void count_segments(struct writer *w)
{
    struct kv_segments *segments = &w->store->segments;
    (void)pthread_mutex_lock(&segments->manifest_lock);
    w->head.next_segment = segments->manifest.next_segment;
    (void)pthread_mutex_lock(&segments->lock);
    for (size_t i = segments->count; i > 0 && segments->list[i - 1]->id >= w->low.segment; i--)
        w->head.segments++;
    (void)pthread_mutex_unlock(&segments->lock);
    (void)pthread_mutex_unlock(&segments->manifest_lock);
}

static size_t shard_bytes(size_t slots, size_t expiries)
{
    return KV_INDEX_BLOCK_HEAD + slots * KV_INDEX_SLOT + expiries * KV_INDEX_EXPIRY + 8;
}

static void prefetch(struct kv_store *store, const struct kv_table *table, size_t at)
{
    const struct kv_slot *slot = at < table->capacity ? &table->slots[at] : NULL;
    if (slot != NULL && (slot->word & KV_WORD_CACHED) != 0)
        __builtin_prefetch(&kv_tier_mem(&store->tier, kv_word_where(slot->word))->disk);
}

struct copy {
    uint8_t *slots, *expiries;
    size_t count, expiring;
};

static void copy_slot(struct kv_store *store, const struct kv_shard *shard, const struct kv_slot *slot,
                      struct copy *copy)
{
    uint64_t where = kv_slot_disk(store, slot);
    uint8_t *to = copy->slots + copy->count++ * KV_INDEX_SLOT;
    kv_put64(to, kv_slot_hash(slot) | kv_slot_want(slot));
    kv_put64(to + 8, kv_word_make(kv_word_class(slot->word), where) | (slot->word & KV_SLOT_KEPT_FLAGS));
    if ((slot->word & KV_WORD_EXPIRES) != 0)
        kv_put64(copy->expiries + copy->expiring++ * KV_INDEX_EXPIRY, kv_index_expiry(shard, slot, where));
}

// The shard's write lock is held, so the tables stay as they are but for what the memory tier changes in slots.
static void copy_slots(struct kv_store *store, struct kv_shard *shard, struct copy *copy)
{
    const struct kv_table *table = &shard->keys;
    for (size_t at = 0; at < table->capacity;) {
        size_t end = table->capacity - at < SLOTS_A_STEP ? table->capacity : at + SLOTS_A_STEP;
        (void)pthread_mutex_lock(&shard->lock);
        for (; at < end; at++) {
            prefetch(store, table, at + AHEAD);
            if (table->slots[at].word != 0)
                copy_slot(store, shard, &table->slots[at], copy);
        }
        (void)pthread_mutex_unlock(&shard->lock);
    }
}

static enum kv_status write_block(struct writer *w, unsigned number, size_t len)
{
    uint64_t sum = kv_index_block_sum(&w->store->seeds, w->head.nonce, number, w->block, len);
    kv_put64(w->block + len, sum);
    w->sums[number] = htole64(sum);
    int error = kv_io_write(w->fd, w->block, len + 8, w->at);
    w->at += len + 8;
    if (error == 0)
        return KV_OK;
    return kv_fail(w->store, error == ENOSPC || error == EDQUOT ? KV_FULL : KV_IO, error,
                   "index snapshot: write");
}

// Room for the shard's block, and its write lock. False: no memory, and no lock.
static bool lock_shard(struct writer *w, struct kv_shard *shard, size_t *expiries)
{
    for (;;) {
        (void)pthread_mutex_lock(&shard->lock);
        size_t likely = shard_bytes(shard->keys.count + 64, shard->expiry.count + 64);
        (void)pthread_mutex_unlock(&shard->lock);
        if (!block_room(w, likely)) // not under the lock: new pages take their time
            return false;
        kv_write_lock(w->store, shard);
        *expiries = shard->expiry.count;
        if (shard_bytes(shard->keys.count, *expiries) <= w->capacity)
            return true;
        kv_write_unlock(w->store, shard);
    }
}

static enum kv_status write_shard(struct writer *w, unsigned number)
{
    struct kv_store *store = w->store;
    struct kv_shard *shard = &store->index.shards[number];
    size_t expiries;
    if (!lock_shard(w, shard, &expiries))
        return KV_NO_MEMORY;
    (void)pthread_mutex_lock(&store->append_lock);
    struct kv_place position = kv_log_end(store);
    (void)pthread_mutex_unlock(&store->append_lock);
    size_t slots = shard->keys.count;
    struct copy copy = {.slots = w->block + KV_INDEX_BLOCK_HEAD};
    copy.expiries = copy.slots + slots * KV_INDEX_SLOT;
    copy_slots(store, shard, &copy);
    kv_write_unlock(store, shard);
    if (number == 0)
        w->low = position; // the log only grows
    kv_put64(w->block, number);
    kv_put64(w->block + 8, position.segment);
    kv_put64(w->block + 16, position.offset);
    kv_put64(w->block + 24, copy.count);
    kv_put64(w->block + 32, copy.expiring);
    w->head.keys += copy.count;
    return write_block(w, number, shard_bytes(copy.count, copy.expiring) - 8);
}

// ---- erasures

static void put_erasure(uint8_t *to, const struct kv_erasure *erasure)
{
    kv_put64(to, erasure->where);
    kv_put64(to + 8, (uint64_t)erasure->value_len | (uint64_t)erasure->key_len << 32 |
                         (uint64_t)erasure->size_class << 48 |
                         (uint64_t)(erasure->unreadable ? KV_ERASURE_UNREADABLE : 0) << 56 |
                         (uint64_t)(erasure->whole ? KV_ERASURE_WHOLE : 0) << 56 |
                         (uint64_t)(erasure->by_head ? KV_ERASURE_BY_HEAD : 0) << 56);
}

static uint8_t *next_erasure(struct writer *w)
{
    return w->block + KV_INDEX_BLOCK_HEAD + w->head.erasures++ * KV_INDEX_ERASURE;
}

static bool add_erasure(void *arg, const struct kv_erasure *erasure)
{
    struct writer *w = arg;
    size_t need = KV_INDEX_BLOCK_HEAD + (size_t)(w->head.erasures + 1) * KV_INDEX_ERASURE + 8;
    if (need > w->capacity && !block_room(w, need * 2))
        return false;
    put_erasure(next_erasure(w), erasure);
    return true;
}

// What was superseded and is not yet overwritten: queued or being worked at; and originals of what compaction has copied.
// An original is in its list until it is overwritten, both under that list's lock; likewise in the queue.
static enum kv_status write_erasures(struct writer *w)
{
    struct kv_moved *moved = &w->store->moved;
    size_t likely = kv_erase_pending(w->store) + 1024; // not under the queue's lock
    if (!block_room(w, shard_bytes(0, 0) + likely * KV_INDEX_ERASURE))
        return KV_NO_MEMORY;
    bool ok = kv_erase_each(w->store, add_erasure, w);
    (void)pthread_mutex_lock(&moved->lock);
    for (size_t i = 0; i < moved->count && ok; i++)
        ok = add_erasure(w, &moved->items[i].from);
    (void)pthread_mutex_unlock(&moved->lock);
    if (!ok)
        return KV_NO_MEMORY;
    memset(w->block, 0, KV_INDEX_BLOCK_HEAD);
    kv_put64(w->block, KV_SHARDS);
    kv_put64(w->block + 24, w->head.erasures);
    return write_block(w, KV_SHARDS, KV_INDEX_BLOCK_HEAD + (size_t)w->head.erasures * KV_INDEX_ERASURE);
}

// ---- writing

static enum kv_status write_blocks(struct writer *w)
{
    struct kv_store *store = w->store;
    enum kv_status status = KV_OK;
    for (unsigned i = 0; i < KV_SHARDS && status == KV_OK; i++)
        status = atomic_load(&store->clearing) == 0
                     ? write_shard(w, i)
                     : kv_fail(store, KV_FULL, 0, "index snapshot: overtaken by kv_clear()");
    if (status == KV_OK)
        status = write_erasures(w);
    if (status != KV_OK)
        return status;
    (void)pthread_mutex_lock(&store->append_lock);
    w->head.end = kv_log_end(store);
    w->head.next_seq = store->next_seq;
    (void)pthread_mutex_unlock(&store->append_lock);
    count_segments(w);
    // All that was captured becomes durable, and so do the erasures that were done before theirs were.
    return kv_commit_all(store);
}

static enum kv_status write_head(struct writer *w)
{
    w->head.file_bytes = w->at;
    w->head.blocks_sum = kv_index_blocks_sum(&w->store->seeds, w->head.nonce, w->sums);
    uint8_t head[KV_INDEX_HEAD];
    kv_index_head_encode(&w->store->seeds, &w->head, head);
    int error = kv_io_write(w->fd, head, sizeof head, 0);
    if (error == 0 && kv_io.fsync(w->fd) != 0)
        error = errno;
    if (error == 0)
        return KV_OK;
    return kv_fail(w->store, error == ENOSPC || error == EDQUOT ? KV_FULL : KV_IO, error,
                   "index snapshot: write");
}

// The new file takes the old one's place, unless that has been removed meanwhile: then something is missing in this one.
static enum kv_status put_in_place(struct writer *w, const char *from, const char *to, uint64_t removals)
{
    struct kv_snapshots *snapshots = &w->store->snapshots;
    enum kv_status status = KV_OK;
    (void)pthread_mutex_lock(&snapshots->file_lock);
    if (snapshots->removals != removals)
        status = kv_fail(w->store, KV_FULL, 0,
                         "index snapshot: overtaken by a delete without room for a record, or by kv_clear()");
    else if (kv_io.rename(from, to) != 0)
        status = kv_fail(w->store, KV_IO, errno, "index snapshot: rename");
    if (status == KV_OK) {
        int error = kv_io_sync_dir(w->store->dir);
        if (error == 0 || w->low.segment < snapshots->low)
            snapshots->low = w->low.segment;
        if (error !=
            0) // either may be the one that is found after a power failure: the older one's segments stay
            status = kv_fail(w->store, KV_IO, error, "index snapshot: fsync of the folder");
        snapshots->from = w->head.end;
        snapshots->bytes = w->at;
    }
    (void)pthread_mutex_unlock(&snapshots->file_lock);
    return status;
}

// snapshots.lock is held.
static enum kv_status write_snapshot(struct kv_store *store)
{
    struct kv_snapshots *snapshots = &store->snapshots;
    // The index lacks what could not be read at open: opening by a snapshot of it would not look for that again.
    if (atomic_load(&store->index_incomplete))
        return kv_fail(store, KV_IO, 0,
                       "index snapshot: not written, a part of the log could not be read at open");
    struct writer w = {.store = store, .at = KV_INDEX_HEAD};
    char from[PATH_MAX], to[PATH_MAX];
    kv_path_of(store, from, "INDEX.tmp");
    kv_path_of(store, to, "INDEX");
    (void)pthread_mutex_lock(&snapshots->file_lock);
    uint64_t removals = snapshots->removals;
    (void)pthread_mutex_unlock(&snapshots->file_lock);
    if (getrandom(&w.head.nonce, sizeof w.head.nonce, 0) != (ssize_t)sizeof w.head.nonce)
        return kv_fail(store, KV_IO, errno, "no random bytes from the system");
    (void)kv_io.unlink(from); // what a crash left, or a link that somebody put there
    w.fd = kv_io.open(from, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (w.fd < 0)
        return kv_fail(store, errno == ENOSPC || errno == EDQUOT ? KV_FULL : KV_IO, errno,
                       "index snapshot: create");
    enum kv_status status = write_blocks(&w);
    if (status == KV_OK)
        status = write_head(&w);
    (void)kv_io.close(w.fd);
    if (status == KV_OK)
        status = put_in_place(&w, from, to, removals);
    if (status != KV_OK)
        (void)kv_io.unlink(from);
    kv_account(store, -(int64_t)w.capacity);
    free(w.block);
    return status;
}

enum kv_status kv_checkpoint(struct kv_store *store)
{
    if (atomic_load(&store->read_only))
        return KV_READ_ONLY;
    (void)pthread_mutex_lock(&store->snapshots.lock);
    enum kv_status status = write_snapshot(store);
    (void)pthread_mutex_unlock(&store->snapshots.lock);
    return status;
}

// ---- the one that stands

bool kv_snapshots_init(struct kv_snapshots *snapshots)
{
    *snapshots = (struct kv_snapshots){.low = KV_NO_SNAPSHOT};
    return pthread_mutex_init(&snapshots->lock, NULL) == 0 &&
           pthread_mutex_init(&snapshots->file_lock, NULL) == 0;
}

void kv_snapshots_destroy(struct kv_snapshots *snapshots)
{
    (void)pthread_mutex_destroy(&snapshots->file_lock);
    (void)pthread_mutex_destroy(&snapshots->lock);
}

void kv_snapshot_stands(struct kv_store *store, const struct kv_snapshot *snapshot)
{
    store->snapshots.low = snapshot->low.segment;
    store->snapshots.from = snapshot->end;
    store->snapshots.bytes = snapshot->bytes;
}

enum kv_status kv_snapshot_remove(struct kv_store *store)
{
    struct kv_snapshots *snapshots = &store->snapshots;
    char path[PATH_MAX];
    kv_path_of(store, path, "INDEX");
    enum kv_status status = KV_OK;
    (void)pthread_mutex_lock(&snapshots->file_lock);
    snapshots->removals++;
    if (snapshots->low != KV_NO_SNAPSHOT) {
        int error = kv_io.unlink(path) == 0 || errno == ENOENT ? 0 : errno;
        if (error == 0)
            error = kv_io_sync_dir(store->dir);
        if (error != 0)
            status = kv_fail(store, KV_IO, error, "index snapshot: remove");
        else
            snapshots->low = KV_NO_SNAPSHOT;
        snapshots->from = (struct kv_place){0, 0};
    }
    (void)pthread_mutex_unlock(&snapshots->file_lock);
    return status;
}

static bool needs(struct kv_store *store, uint64_t segment)
{
    (void)pthread_mutex_lock(&store->snapshots.file_lock);
    bool needed = store->snapshots.low != KV_NO_SNAPSHOT && segment >= store->snapshots.low;
    (void)pthread_mutex_unlock(&store->snapshots.file_lock);
    return needed;
}

enum kv_status kv_snapshot_let_go(struct kv_store *store, uint64_t segment)
{
    enum kv_status status = KV_OK;
    // One that is being written may have begun before the segment was sealed.
    (void)pthread_mutex_lock(&store->snapshots.lock);
    if (needs(store, segment)) {
        status = write_snapshot(store);
        if (status != KV_OK || needs(store, segment))
            status = kv_snapshot_remove(store);
    }
    (void)pthread_mutex_unlock(&store->snapshots.lock);
    return status;
}

// ---- the thread

// Bytes of log behind a place.
static uint64_t log_since(struct kv_store *store, struct kv_place from)
{
    uint64_t bytes = 0;
    struct kv_segment *segment;
    for (uint64_t id = from.segment; (segment = kv_segment_from(store, id)) != NULL;) {
        uint64_t size = atomic_load(&segment->size), skip = segment->id == from.segment ? from.offset : 0;
        bytes += size > skip ? size - skip : 0;
        id = segment->id + 1;
        kv_segment_put(segment);
    }
    return bytes;
}

static bool is_due(struct kv_store *store)
{
    struct kv_snapshots *snapshots = &store->snapshots;
    (void)pthread_mutex_lock(&snapshots->file_lock);
    struct kv_place from = snapshots->from;
    uint64_t enough = snapshots->bytes * GROWTH_FACTOR;
    (void)pthread_mutex_unlock(&snapshots->file_lock);
    enough = enough > DEFAULT_GROWTH ? enough : DEFAULT_GROWTH;
    if (store->options.checkpoint_bytes != 0)
        enough = store->options.checkpoint_bytes;
    return !atomic_load(&store->read_only) && log_since(store, from) >= enough;
}

void *kv_checkpointer_main(void *arg)
{
    struct kv_store *store = arg;
    unsigned wait = IDLE_MS;
    while (!kv_background_sleep(store, wait))
        wait = is_due(store) && kv_checkpoint(store) != KV_OK ? RETRY_MS : IDLE_MS;
    return NULL;
}
