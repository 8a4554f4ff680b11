// Chunks and the records in them: the range of addresses, filling, pins, giving back. What goes and what stays is
// kv_reclaim.c's business.
#include "kvstore/kv_internal.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RESERVE_LEAST (1ull << 30)
#define RESERVE_TOP                                                                                          \
    (1ull << 38) // 256 GiB of addresses, or eight times the machine's memory when that is more
#define PAGE            4096u
#define SPARES_MOST     2u
#define CHUNKS_LEAST    64u          // a budget is divided into at least so many chunks
#define PACKED_LEAST    (16u * 1024) // records up to it are always packed
#define PACKED_FRACTION 8u           // and up to this part of a chunk

// ---- the range

// A range aligned to chunks, so that each can be one huge page. No memory is committed.
static bool reserve_range(struct kv_tier *tier)
{
    uint64_t physical = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t want = physical > RESERVE_TOP / 8 ? physical * 8 : RESERVE_TOP;
    for (; want >= RESERVE_LEAST; want /= 2) { // an address-space limit may allow less
        size_t bytes = (size_t)want & ~(size_t)(KV_CHUNK_BYTES - 1);
        uint8_t *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            continue;
        (void)madvise(p, bytes, MADV_DONTDUMP);
        size_t skip = (KV_CHUNK_BYTES - ((uintptr_t)p & (KV_CHUNK_BYTES - 1))) & (KV_CHUNK_BYTES - 1);
        if (skip != 0)
            (void)munmap(p, skip);
        tier->base = p + skip;
        tier->reserved = (uint32_t)((bytes - skip) / KV_CHUNK_BYTES);
        size_t rest = bytes - skip - (size_t)tier->reserved * KV_CHUNK_BYTES;
        if (rest != 0)
            (void)munmap(tier->base + (size_t)tier->reserved * KV_CHUNK_BYTES, rest);
        return true;
    }
    return false;
}

static size_t range_bytes(const struct kv_tier *tier)
{
    return (size_t)tier->reserved * KV_CHUNK_BYTES;
}

static size_t table_bytes(const struct kv_tier *tier)
{
    return tier->reserved * sizeof *tier->chunks;
}

static size_t map_bytes(const struct kv_tier *tier)
{
    return (tier->reserved / 64 + 1) * sizeof *tier->taken;
}

// Pages of these tables become resident as chunks are first used.
static void *map_table(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void unmap(void *p, size_t bytes)
{
    if (p != NULL)
        (void)munmap(p, bytes);
}

bool kv_tier_init(struct kv_tier *tier, uint64_t limit_bytes)
{
    if (!reserve_range(tier))
        return false;
    tier->chunks = map_table(table_bytes(tier));
    tier->taken = map_table(map_bytes(tier));
    if (tier->chunks == NULL || tier->taken == NULL) {
        unmap(tier->chunks, table_bytes(tier));
        unmap(tier->taken, map_bytes(tier));
        unmap(tier->base, range_bytes(tier));
        return false;
    }
    tier->high = tier->reserved;
    tier->high_from = tier->reserved - 1;
    for (size_t q = 0; q < KV_QUEUES; q++)
        tier->queues[q].open = tier->queues[q].head = tier->queues[q].tail = KV_NO_CHUNK;
    tier->spares = tier->victim.chunk = KV_NO_CHUNK;
    tier->main_cut = 1;
    tier->shrink_cut = 1;
    atomic_store(&tier->epoch, 1);
    (void)pthread_mutex_init(&tier->lock, NULL);
    (void)pthread_mutex_init(&tier->evict_lock, NULL);
    atomic_store(&tier->limit_bytes, limit_bytes);
    return true;
}

void kv_tier_destroy(struct kv_tier *tier)
{
    if (tier->base == NULL)
        return;
    unmap(tier->base, range_bytes(tier));
    unmap(tier->chunks, table_bytes(tier));
    unmap(tier->taken, map_bytes(tier));
    (void)pthread_mutex_destroy(&tier->lock);
    (void)pthread_mutex_destroy(&tier->evict_lock);
    tier->base = NULL;
}

static uint8_t *chunk_base(const struct kv_tier *tier, uint32_t chunk)
{
    return tier->base + (size_t)chunk * KV_CHUNK_BYTES;
}

uint32_t kv_chunk_of(const struct kv_tier *tier, const struct kv_mem *mem)
{
    return (uint32_t)((size_t)((const uint8_t *)mem - tier->base) / KV_CHUNK_BYTES);
}

struct kv_mem *kv_chunk_mem(const struct kv_tier *tier, uint32_t chunk, uint32_t offset)
{
    return (struct kv_mem *)(void *)(chunk_base(tier, chunk) + offset);
}

struct kv_mem *kv_tier_mem(struct kv_tier *tier, uint64_t where)
{
    return (struct kv_mem *)(void *)(tier->base + where * 16);
}

uint64_t kv_tier_where(const struct kv_tier *tier, const struct kv_mem *mem)
{
    return (uint64_t)((const uint8_t *)mem - tier->base) / 16;
}

static bool is_taken(const struct kv_tier *tier, uint32_t step)
{
    return (tier->taken[step / 64] >> (step % 64) & 1) != 0;
}

static void mark(struct kv_tier *tier, uint32_t from, uint32_t steps, bool taken)
{
    for (uint32_t i = from; i < from + steps; i++) {
        uint64_t bit = 1ull << (i % 64);
        tier->taken[i / 64] = taken ? tier->taken[i / 64] | bit : tier->taken[i / 64] & ~bit;
    }
    if (!taken && from < tier->low_from)
        tier->low_from = from;
    if (!taken && from + steps - 1 > tier->high_from)
        tier->high_from = from + steps - 1;
}

// The lowest free step; KV_NO_CHUNK: none below the part of the range with small pages.
static uint32_t take_low(struct kv_tier *tier)
{
    uint32_t at = tier->low_from;
    while (at < tier->high && is_taken(tier, at))
        at++;
    tier->low_from = at;
    if (at >= tier->high)
        return KV_NO_CHUNK;
    if (at >= tier->low) {
        uint8_t *from = chunk_base(tier, tier->low);
        size_t bytes = (size_t)(at + 1 - tier->low) * KV_CHUNK_BYTES;
        if (mprotect(from, bytes, PROT_READ | PROT_WRITE) != 0)
            return KV_NO_CHUNK;
        (void)madvise(from, bytes, MADV_HUGEPAGE);
        tier->low = at + 1;
    }
    return at;
}

// The highest free run of so many steps; KV_NO_CHUNK: none above the part with huge pages.
static uint32_t take_high(struct kv_tier *tier, uint32_t steps)
{
    while (tier->high_from > tier->low && is_taken(tier, tier->high_from))
        tier->high_from--;
    uint32_t at = tier->high_from + 1, found = 0;
    while (found < steps && at > tier->low)
        found = is_taken(tier, --at) ? 0 : found + 1;
    if (found < steps)
        return KV_NO_CHUNK;
    if (at < tier->high) {
        uint8_t *from = chunk_base(tier, at);
        size_t bytes = (size_t)(tier->high - at) * KV_CHUNK_BYTES;
        if (mprotect(from, bytes, PROT_READ | PROT_WRITE) != 0)
            return KV_NO_CHUNK;
        (void)madvise(from, bytes, MADV_NOHUGEPAGE);
        tier->high = at;
    }
    return at;
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

// A new chunk for a queue; KV_NO_CHUNK: the range is used up.
static uint32_t make_chunk(struct kv_tier *tier, enum kv_queue queue, uint32_t capacity, bool huge)
{
    uint32_t steps = (capacity - 1) / KV_CHUNK_BYTES + 1;
    uint32_t chunk = huge ? take_low(tier) : take_high(tier, steps);
    if (chunk == KV_NO_CHUNK)
        return chunk;
    mark(tier, chunk, steps, true);
    struct kv_chunk *c = &tier->chunks[chunk];
    c->used = c->resident = 0;
    c->capacity = capacity;
    c->steps = steps;
    c->next = KV_NO_CHUNK;
    atomic_store(&c->queue, (uint8_t)queue);
    if (huge)
        hold(tier, c, KV_CHUNK_BYTES);
    atomic_store(&c->state, KV_CHUNK_OPEN);
    return chunk;
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

static bool fits(struct kv_tier *tier, uint64_t bytes, uint64_t budget)
{
    uint64_t held = atomic_load(&tier->held_bytes);
    return held <= budget && bytes <= budget - held;
}

static struct kv_mem *take_run(struct kv_tier *tier, const struct kv_mem_head *head, uint64_t budget,
                               bool over)
{
    if (!over && !fits(tier, whole_pages(size_of(head)), budget))
        return NULL;
    uint32_t chunk = make_chunk(tier, head->queue, size_of(head), false);
    if (chunk == KV_NO_CHUNK)
        return NULL;
    struct kv_mem *mem = fill_head(tier, chunk, head);
    kv_chunk_append(tier, chunk, head->queue);
    return mem;
}

static struct kv_mem *take_packed(struct kv_tier *tier, const struct kv_mem_head *head, uint64_t budget,
                                  bool over, uint32_t *filled)
{
    struct kv_chunk_queue *q = &tier->queues[head->queue];
    uint32_t size = size_of(head), capacity = kv_chunk_capacity(budget);
    if (q->open == KV_NO_CHUNK || size > tier->chunks[q->open].capacity - tier->chunks[q->open].used) {
        bool huge = capacity == KV_CHUNK_BYTES, spare = huge && tier->spares != KV_NO_CHUNK;
        if (!over && !fits(tier, spare ? 0 : capacity, budget))
            return NULL;
        kv_chunk_seal_open(tier, head->queue);
        q->open = spare ? reuse_spare(tier, head->queue) : make_chunk(tier, head->queue, capacity, huge);
        if (q->open == KV_NO_CHUNK)
            return NULL;
    }
    struct kv_mem *mem = fill_head(tier, q->open, head);
    *filled = tier->chunks[q->open].used;
    return mem;
}

struct kv_mem *kv_tier_take(struct kv_tier *tier, const struct kv_mem_head *head, uint64_t budget, bool over,
                            uint32_t *filled)
{
    uint32_t size = size_of(head);
    *filled = 0;
    (void)pthread_mutex_lock(&tier->lock);
    struct kv_mem *mem = size <= PACKED_LEAST || size <= kv_chunk_capacity(budget) / PACKED_FRACTION
                             ? take_packed(tier, head, budget, over, filled)
                             : take_run(tier, head, budget, over);
    (void)pthread_mutex_unlock(&tier->lock);
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
    (void)madvise(chunk_base(tier, chunk), c->resident,
                  MADV_DONTNEED); // without the lock: it may take a while
    (void)pthread_mutex_lock(&tier->lock);
    atomic_store(&c->state, KV_CHUNK_FREE);
    mark(tier, chunk, c->steps, false);
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
    atomic_store(&c->state, KV_CHUNK_SPARE);
    c->next = tier->spares;
    tier->spares = chunk;
    atomic_fetch_add(&tier->spare_bytes, c->resident);
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
