// Removing every key at once: a manifest that lists one new, empty segment takes the place of the present one, then the index
// and memory forget what they had. DESIGN.md, "Clearing".
#include "kvstore/kv_internal.h"

// ---- memory

static uint32_t detach_queue(struct kv_tier *tier, enum kv_queue queue, uint32_t first)
{
    for (uint32_t chunk; (chunk = kv_chunk_pop(tier, queue)) != KV_NO_CHUNK; first = chunk)
        tier->chunks[chunk].next = first;
    return first;
}

uint32_t kv_tier_detach(struct kv_store *store)
{
    struct kv_tier *tier = &store->tier;
    (void)pthread_mutex_lock(&tier->evict_lock);
    uint32_t first = tier->victim.chunk;
    tier->victim.chunk = KV_NO_CHUNK;
    atomic_store(&tier->victim_dropped, 0);
    (void)pthread_mutex_lock(&tier->lock);
    if (first != KV_NO_CHUNK)
        tier->chunks[first].next = KV_NO_CHUNK;
    for (unsigned queue = 0; queue < KV_QUEUES; queue++)
        first = detach_queue(tier, (enum kv_queue)queue, first);
    (void)pthread_mutex_unlock(&tier->lock);
    (void)pthread_mutex_unlock(&tier->evict_lock);
    return first;
}

static bool is_pinned(const struct kv_tier *tier, uint32_t chunk)
{
    uint32_t used = tier->chunks[chunk].used;
    for (uint32_t at = 0; at < used; at += kv_chunk_mem(tier, chunk, at)->size)
        if ((atomic_load(&kv_chunk_mem(tier, chunk, at)->refs) & ~KV_MEM_DEAD) != 0)
            return true;
    return false;
}

// A chunk that pins are going to keep: nobody can pin another of its records now, so each is wiped here or by its last
// reader. A run is its one record, and goes with its pin.
static void wipe_records(struct kv_store *store, uint32_t chunk)
{
    const struct kv_chunk *c = &store->tier.chunks[chunk];
    if (kv_chunk_mem(&store->tier, chunk, 0)->size == c->capacity)
        return;
    for (uint32_t at = 0; at < c->used;) {
        struct kv_mem *mem = kv_chunk_mem(&store->tier, chunk, at);
        at += mem->size;
        kv_mem_pin(mem);
        kv_mem_kill(store, mem);
    }
}

void kv_tier_free(struct kv_store *store, uint32_t chunks)
{
    for (uint32_t next, chunk = chunks; chunk != KV_NO_CHUNK; chunk = next) {
        next = store->tier.chunks[chunk].next;
        if (is_pinned(&store->tier, chunk))
            wipe_records(store, chunk);
        kv_chunk_give_up(&store->tier, chunk, false);
    }
}

// ---- all of it

// What was there, to be released when the writers have been let go.
struct remains {
    struct kv_segments_gone segments;
    uint32_t chunks;
};

static void forget_index(struct kv_store *store)
{
    for (size_t i = 0; i < KV_SHARDS; i++) {
        struct kv_shard *shard = &store->index.shards[i];
        (void)pthread_mutex_lock(&shard->lock);
        kv_index_clear(&store->index, shard);
        (void)pthread_mutex_unlock(&shard->lock);
    }
}

// The step that decides. On a full disk the reserve is for it: it frees all there is.
static enum kv_status renew_log(struct kv_store *store, struct kv_segments_gone *gone)
{
    enum kv_status status = kv_log_renew(store, gone);
    if (status == KV_FULL && kv_reserve_lend(store))
        status = kv_log_renew(store, gone);
    return status;
}

// All writers' locks are held: what is in the log is in the index, and nothing comes.
static enum kv_status clear_locked(struct kv_store *store, struct remains *remains)
{
    // A snapshot may not stand beside a log that lacks what it points to; and one that is being written is not put in place.
    enum kv_status status = kv_snapshot_remove(store);
    if (status == KV_OK)
        status = renew_log(store, &remains->segments);
    if (status != KV_OK)
        return status;
    forget_index(store); // before the segments go: a reader who misses one asks the index again
    kv_segments_retire(store, &remains->segments);
    kv_erase_forget(store);
    kv_mrc_forget_all(&store->mrc);
    remains->chunks = kv_tier_detach(store);
    atomic_store(&store->index_incomplete, false); // what could not be read is gone as well
    return KV_OK;
}

enum kv_status kv_clear(struct kv_store *store)
{
    if (atomic_load(&store->read_only))
        return KV_READ_ONLY;
    struct remains remains = {.chunks = KV_NO_CHUNK};
    atomic_fetch_add(&store->clearing, 1);
    kv_compact_hold(store);
    kv_write_lock_all(store);
    enum kv_status status = clear_locked(store, &remains);
    kv_write_unlock_all(store);
    kv_compact_let_go(store);
    atomic_fetch_sub(&store->clearing, 1);
    if (status != KV_OK)
        return status;
    kv_warm_cancel(store); // nothing is left to be brought back
    kv_tier_free(store, remains.chunks);
    kv_segments_drop(store, &remains.segments);
    return KV_OK;
}
