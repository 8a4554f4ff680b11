// Chunks and the records in them: the range of addresses, filling, pins, giving back. What goes and what stays is
// kv_reclaim.c's business.
#include "kvstore/kv_internal.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE            4096u
#define SPARES_MOST     2u
#define FIRST_BYTES     (16u * KV_CHUNK_BYTES) // so much is filled whoever has to wait for it
#define CHUNKS_LEAST    64u                    // a budget is divided into at least so many chunks
#define PACKED_LEAST    (16u * 1024)           // records up to it are always packed
#define PACKED_FRACTION 8u                     // and up to this part of a chunk

uint32_t kv_chunk_of(const struct kv_tier *tier, const struct kv_mem *mem)
{
    return (uint32_t)((size_t)((const uint8_t *)mem - tier->base) / KV_CHUNK_BYTES);
}

struct kv_mem *kv_chunk_mem(const struct kv_tier *tier, uint32_t chunk, uint32_t offset)
{
    return (struct kv_mem *)(void *)(kv_chunk_base(tier, chunk) + offset);
}

struct kv_mem *kv_tier_mem(struct kv_tier *tier, uint64_t where)
{
    return (struct kv_mem *)(void *)(tier->base + where * 16);
}

uint64_t kv_tier_where(const struct kv_tier *tier, const struct kv_mem *mem)
{
    return (uint64_t)((const uint8_t *)mem - tier->base) / 16;
}

// ---- chunks; tier->lock is held

uint32_t kv_chunk_capacity(uint64_t budget)
{
    uint32_t capacity = KV_CHUNK_BYTES;
    while (capacity > KV_CHUNK_LEAST_BYTES && budget / CHUNKS_LEAST < capacity)
        capacity /= 2;
    return capacity;
}

static void hold(struct kv_tier *tier, struct kv_chunk *chunk, uint32_t bytes)
{
    chunk->resident += bytes;
    atomic_fetch_add(&tier->queues[chunk->queue].held_bytes, bytes);
    atomic_fetch_add(&tier->held_bytes, bytes);
}

void kv_chunk_append(struct kv_tier *tier, uint32_t chunk, enum kv_queue queue)
{
    struct kv_chunk_queue *q = &tier->queues[queue];
    struct kv_chunk *c = &tier->chunks[chunk];
    if (c->queue != queue) {
        atomic_fetch_sub(&tier->queues[c->queue].held_bytes, c->resident);
        atomic_fetch_add(&q->held_bytes, c->resident);
        atomic_store(&c->queue, (uint8_t)queue);
    }
    c->next = KV_NO_CHUNK;
    if (q->tail == KV_NO_CHUNK)
        q->head = chunk;
    else
        tier->chunks[q->tail].next = chunk;
    q->tail = chunk;
    atomic_store(&c->state, KV_CHUNK_SEALED);
}

void kv_chunk_seal_open(struct kv_tier *tier, enum kv_queue queue)
{
    uint32_t open = tier->queues[queue].open;
    tier->queues[queue].open = KV_NO_CHUNK;
    if (open != KV_NO_CHUNK)
        kv_chunk_append(tier, open, queue);
}

static void put_spare(struct kv_tier *tier, uint32_t chunk)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    atomic_store(&c->state, KV_CHUNK_SPARE);
    c->next = tier->spares;
    tier->spares = chunk;
    atomic_fetch_add(&tier->spare_bytes, c->resident);
}

static uint32_t take_spare(struct kv_tier *tier)
{
    uint32_t chunk = tier->spares;
    if (chunk == KV_NO_CHUNK)
        return chunk;
    struct kv_chunk *c = &tier->chunks[chunk];
    tier->spares = c->next;
    atomic_fetch_sub(&tier->spare_bytes, c->resident);
    return chunk;
}

static uint32_t reuse_spare(struct kv_tier *tier, enum kv_queue queue)
{
    uint32_t chunk = take_spare(tier);
    if (chunk == KV_NO_CHUNK)
        return chunk;
    struct kv_chunk *c = &tier->chunks[chunk];
    c->used = 0;
    c->next = KV_NO_CHUNK;
    atomic_store(&c->queue, (uint8_t)queue);
    atomic_fetch_add(&tier->queues[queue].held_bytes, c->resident);
    atomic_store(&c->state, KV_CHUNK_OPEN);
    return chunk;
}

static bool fits(struct kv_tier *tier, uint64_t bytes, uint64_t budget)
{
    uint64_t held = atomic_load(&tier->held_bytes);
    return held <= budget && bytes <= budget - held;
}

// A new chunk of small pages for a queue; KV_NO_CHUNK: the range is used up.
static uint32_t make_chunk(struct kv_tier *tier, enum kv_queue queue, uint32_t capacity)
{
    uint32_t steps = (capacity - 1) / KV_CHUNK_BYTES + 1;
    uint32_t chunk = kv_range_take_high(tier, steps);
    if (chunk == KV_NO_CHUNK)
        return chunk;
    kv_range_mark(tier, chunk, steps, true);
    struct kv_chunk *c = &tier->chunks[chunk];
    c->used = c->resident = 0;
    c->capacity = capacity;
    c->steps = steps;
    c->next = KV_NO_CHUNK;
    atomic_store(&c->queue, (uint8_t)queue);
    atomic_store(&c->state, KV_CHUNK_OPEN);
    return chunk;
}

uint32_t kv_chunk_make_fresh(struct kv_tier *tier, uint64_t budget, bool over)
{
    (void)pthread_mutex_lock(&tier->lock);
    uint32_t chunk = over || fits(tier, KV_CHUNK_BYTES, budget) ? kv_range_take_low(tier) : KV_NO_CHUNK;
    if (chunk != KV_NO_CHUNK) {
        kv_range_mark(tier, chunk, 1, true);
        struct kv_chunk *c = &tier->chunks[chunk];
        c->used = 0;
        c->capacity = c->resident = KV_CHUNK_BYTES;
        c->steps = 1;
        c->next = KV_NO_CHUNK;
        atomic_fetch_add(&tier->held_bytes, KV_CHUNK_BYTES); // and no queue's, as a spare
        atomic_store(&c->state, KV_CHUNK_FRESH);
    }
    (void)pthread_mutex_unlock(&tier->lock);
    return chunk;
}

void kv_chunk_put_fresh(struct kv_tier *tier, uint32_t chunk)
{
    (void)pthread_mutex_lock(&tier->lock);
    put_spare(tier, chunk);
    (void)pthread_mutex_unlock(&tier->lock);
}

static uint32_t whole_pages(size_t bytes)
{
    return (uint32_t)((bytes + PAGE - 1) & ~(size_t)(PAGE - 1));
}

static uint32_t size_of(const struct kv_mem_head *head)
{
    return (uint32_t)((sizeof(struct kv_mem) + head->key_len + head->value_len + 15) & ~(size_t)15);
}

// All of the head is there before the lock is let go: a reclaimer may walk over it.
static struct kv_mem *fill_head(struct kv_tier *tier, uint32_t chunk, const struct kv_mem_head *head)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    struct kv_mem *mem = kv_chunk_mem(tier, chunk, c->used);
    c->used += size_of(head);
    uint32_t pages = whole_pages(c->used);
    if (pages > c->resident) // small pages
        hold(tier, c, pages - c->resident);
    mem->size = size_of(head);
    mem->hash = head->hash;
    mem->value_len = (uint32_t)head->value_len;
    mem->key_len = (uint16_t)head->key_len;
    mem->disk = 0;
    mem->zero = 0;
    atomic_store_explicit(&mem->refs, 1, memory_order_relaxed);
    return mem;
}

static struct kv_mem *take_run(struct kv_tier *tier, const struct kv_mem_head *head, uint64_t budget,
                               bool over)
{
    if (!over && !fits(tier, whole_pages(size_of(head)), budget))
        return NULL;
    uint32_t chunk = make_chunk(tier, head->queue, size_of(head));
    if (chunk == KV_NO_CHUNK)
        return NULL;
    struct kv_mem *mem = fill_head(tier, chunk, head);
    kv_chunk_append(tier, chunk, head->queue);
    return mem;
}

static struct kv_mem *take_packed(struct kv_tier *tier, const struct kv_mem_head *head, uint64_t budget,
                                  bool over, uint32_t *filled, bool *no_spare)
{
    struct kv_chunk_queue *q = &tier->queues[head->queue];
    uint32_t size = size_of(head), capacity = kv_chunk_capacity(budget);
    if (q->open == KV_NO_CHUNK || size > tier->chunks[q->open].capacity - tier->chunks[q->open].used) {
        bool huge = capacity == KV_CHUNK_BYTES, spare = huge && tier->spares != KV_NO_CHUNK;
        *no_spare = huge && !spare;
        if (*no_spare)
            kv_populate_wake(tier);
        if (*no_spare || (!over && !fits(tier, spare ? 0 : capacity, budget)))
            return NULL;
        kv_chunk_seal_open(tier, head->queue);
        q->open = spare ? reuse_spare(tier, head->queue) : make_chunk(tier, head->queue, capacity);
        if (q->open == KV_NO_CHUNK)
            return NULL;
        if (huge)
            kv_populate_wake(tier);
    }
    struct kv_mem *mem = fill_head(tier, q->open, head);
    *filled = tier->chunks[q->open].used;
    return mem;
}

struct kv_mem *kv_tier_take(struct kv_tier *tier, const struct kv_mem_head *head, uint64_t budget, bool over,
                            uint32_t *filled)
{
    uint32_t size = size_of(head);
    bool packed = size <= PACKED_LEAST || size <= kv_chunk_capacity(budget) / PACKED_FRACTION;
    bool no_spare;
    struct kv_mem *mem;
    *filled = 0;
    bool waits = !head->in_passing || !tier->populates || atomic_load(&tier->held_bytes) < FIRST_BYTES;
    do { // a spare that was just made may be another's by now
        no_spare = false;
        (void)pthread_mutex_lock(&tier->lock);
        mem = packed ? take_packed(tier, head, budget, over, filled, &no_spare)
                     : take_run(tier, head, budget, over);
        (void)pthread_mutex_unlock(&tier->lock);
    } while (mem == NULL && no_spare && waits && kv_populate_one(tier, budget, over));
    return mem;
}

static bool chunk_pinned(const struct kv_tier *tier, uint32_t chunk)
{
    uint32_t used = tier->chunks[chunk].used;
    for (uint32_t at = 0; at < used;) {
        struct kv_mem *mem = kv_chunk_mem(tier, chunk, at);
        if ((atomic_load(&mem->refs) & ~KV_MEM_DEAD) != 0)
            return true;
        at += mem->size;
    }
    return false;
}

// Gives a chunk back that nobody can reach any more.
static void give_back(struct kv_tier *tier, uint32_t chunk)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    (void)madvise(kv_chunk_base(tier, chunk), c->resident,
                  MADV_DONTNEED); // without the lock: it may take a while
    (void)pthread_mutex_lock(&tier->lock);
    atomic_store(&c->state, KV_CHUNK_FREE);
    kv_range_mark(tier, chunk, c->steps, false);
    atomic_fetch_sub(&tier->held_bytes, c->resident);
    (void)pthread_mutex_unlock(&tier->lock);
}

// tier->lock held.
static bool keep_as_spare(struct kv_tier *tier, uint32_t chunk)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    if (c->capacity != KV_CHUNK_BYTES || c->resident != KV_CHUNK_BYTES || chunk_pinned(tier, chunk) ||
        atomic_load(&tier->spare_bytes) >= (uint64_t)SPARES_MOST * KV_CHUNK_BYTES)
        return false;
    put_spare(tier, chunk);
    return true;
}

void kv_chunk_give_up(struct kv_tier *tier, uint32_t chunk, bool spare)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    (void)pthread_mutex_lock(&tier->lock);
    atomic_store(&c->state, KV_CHUNK_ZOMBIE);
    atomic_fetch_sub(&tier->queues[c->queue].held_bytes, c->resident);
    bool kept = spare && keep_as_spare(tier, chunk);
    (void)pthread_mutex_unlock(&tier->lock);
    if (!kept)
        kv_chunk_release(tier, chunk);
}

bool kv_chunk_drop_spare(struct kv_tier *tier)
{
    (void)pthread_mutex_lock(&tier->lock);
    uint32_t chunk = take_spare(tier);
    if (chunk != KV_NO_CHUNK)
        atomic_store(&tier->chunks[chunk].state, KV_CHUNK_GOING);
    (void)pthread_mutex_unlock(&tier->lock);
    if (chunk != KV_NO_CHUNK)
        give_back(tier, chunk);
    return chunk != KV_NO_CHUNK;
}

void kv_chunk_release(struct kv_tier *tier, uint32_t chunk)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    (void)pthread_mutex_lock(&tier->lock);
    bool mine = atomic_load(&c->state) == KV_CHUNK_ZOMBIE && !chunk_pinned(tier, chunk);
    if (mine)
        atomic_store(&c->state, KV_CHUNK_GOING);
    (void)pthread_mutex_unlock(&tier->lock);
    if (mine)
        give_back(tier, chunk);
}

// ---- records

void kv_mem_fill(struct kv_mem *mem, const void *key, const void *value)
{
    memcpy(mem->data, key, mem->key_len);
    if (mem->value_len != 0)
        memcpy(mem->data + mem->key_len, value, mem->value_len);
}

bool kv_tier_usable(struct kv_tier *tier, const struct kv_mem *mem)
{
    uint32_t state = atomic_load(&tier->chunks[kv_chunk_of(tier, mem)].state);
    return state == KV_CHUNK_OPEN || state == KV_CHUNK_SEALED;
}

void kv_mem_pin(struct kv_mem *mem)
{
    (void)atomic_fetch_add_explicit(&mem->refs, 1, memory_order_relaxed); // the shard's lock orders it
}

void kv_mem_unpin(struct kv_store *store, struct kv_mem *mem)
{
    struct kv_tier *tier = &store->tier;
    uint32_t chunk = kv_chunk_of(tier, mem);
    uint32_t refs = atomic_load(&mem->refs);
    do {
        // Dead and ours alone: nobody can reach it any more, so it is ours to wipe while the last pin keeps
        // the chunk.
        if (refs == (KV_MEM_DEAD | 1u))
            explicit_bzero(mem->data, mem->size - sizeof *mem);
    } while (!atomic_compare_exchange_weak(&mem->refs, &refs, refs - 1));
    // The reclaimer says ZOMBIE before it looks at pins, we let go before we look at the state: one of us
    // sees the other.
    if (atomic_load(&tier->chunks[chunk].state) == KV_CHUNK_ZOMBIE)
        kv_chunk_release(tier, chunk);
}

void kv_mem_kill(struct kv_store *store, struct kv_mem *mem)
{
    if (mem == NULL)
        return;
    atomic_fetch_or(&mem->refs, KV_MEM_DEAD);
    kv_mem_unpin(store, mem);
}
