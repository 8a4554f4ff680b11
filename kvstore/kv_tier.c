// Chunks and the records in them: the range of addresses, filling, pins, giving back. What goes and what stays is
// kv_reclaim.c's business.
#include "kvstore/kv_internal.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE            4096u
#define SPARES_MOST     6u // more than the populator keeps ready: memory that comes back is not touched anew
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
    kv_dead_begin(c, c->capacity);
    atomic_store(&c->queue, (uint8_t)queue);
    atomic_fetch_add(&tier->queues[queue].held_bytes, c->resident);
    atomic_store(&c->state, KV_CHUNK_OPEN);
    return chunk;
}

uint64_t kv_tier_grow_to(const struct kv_tier *tier)
{
    int64_t bytes = atomic_load_explicit(&tier->grow_to, memory_order_relaxed);
    return bytes > 0 ? (uint64_t)bytes : 0;
}

bool kv_tier_fits(const struct kv_tier *tier, uint64_t bytes, uint64_t budget)
{
    uint64_t held = atomic_load(&tier->held_bytes), grow_to = kv_tier_grow_to(tier);
    uint64_t most = budget < grow_to ? budget : grow_to;
    return bytes == 0 ? held <= budget : held <= most && bytes <= most - held;
}

bool kv_tier_is_held_back(const struct kv_tier *tier)
{
    return atomic_load(&tier->held_bytes) + KV_CHUNK_BYTES > kv_tier_grow_to(tier);
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
    c->used = 0;
    c->resident = 0;
    c->capacity = capacity;
    c->run = false;
    kv_dead_begin(c, capacity);
    c->steps = steps;
    c->next = KV_NO_CHUNK;
    atomic_store(&c->queue, (uint8_t)queue);
    atomic_store(&c->state, KV_CHUNK_OPEN);
    return chunk;
}

uint32_t kv_chunk_make_fresh(struct kv_tier *tier, uint64_t budget, bool over)
{
    (void)pthread_mutex_lock(&tier->lock);
    uint32_t chunk =
        over || kv_tier_fits(tier, KV_CHUNK_BYTES, budget) ? kv_range_take_low(tier) : KV_NO_CHUNK;
    if (chunk != KV_NO_CHUNK) {
        kv_range_mark(tier, chunk, 1, true);
        struct kv_chunk *c = &tier->chunks[chunk];
        c->used = 0;
        c->capacity = c->resident = KV_CHUNK_BYTES;
        c->run = false;
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
    if (!over && !kv_tier_fits(tier, whole_pages(size_of(head)), budget))
        return NULL;
    uint32_t chunk = make_chunk(tier, head->queue, size_of(head));
    if (chunk == KV_NO_CHUNK)
        return NULL;
    tier->chunks[chunk].run = true;
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
            kv_populate_wake(tier, budget);
        if (*no_spare || (!over && !kv_tier_fits(tier, spare ? 0 : capacity, budget)))
            return NULL;
        kv_chunk_seal_open(tier, head->queue);
        q->open = spare ? reuse_spare(tier, head->queue) : make_chunk(tier, head->queue, capacity);
        if (q->open == KV_NO_CHUNK)
            return NULL;
        if (huge)
            kv_populate_wake(tier, budget);
    }
    struct kv_mem *mem = fill_head(tier, q->open, head);
    *filled = tier->chunks[q->open].used;
    return mem;
}

static bool has_room(const struct kv_tier *tier, uint32_t chunk, uint32_t size)
{
    return chunk != KV_NO_CHUNK && size <= tier->chunks[chunk].capacity - tier->chunks[chunk].used;
}

// A new chunk to gather in, in the place of the one that is being emptied; KV_NO_CHUNK: not within the budget.
static uint32_t begin_gathering(struct kv_tier *tier, enum kv_queue queue, uint64_t budget, uint32_t emptied,
                                uint32_t size)
{
    uint32_t capacity = kv_chunk_capacity(budget), chunk = KV_NO_CHUNK;
    bool huge = capacity == KV_CHUNK_BYTES;
    if (size > capacity) // it was packed when there was more memory and chunks were larger
        return KV_NO_CHUNK;
    if (huge && kv_tier_fits(tier, 0, budget))
        chunk = reuse_spare(tier, queue);
    else if (!huge && kv_tier_fits(tier, capacity, budget))
        chunk = make_chunk(tier, queue, capacity);
    if (chunk != KV_NO_CHUNK)
        kv_chunk_insert(tier, chunk, emptied);
    else if (huge)
        kv_populate_wake(tier, budget);
    return chunk;
}

struct kv_mem *kv_tier_take_beside(struct kv_tier *tier, const struct kv_mem_head *head, uint64_t budget,
                                   uint32_t emptied)
{
    (void)pthread_mutex_lock(&tier->lock);
    uint32_t chunk = tier->gather[head->queue], size = size_of(head);
    if (!has_room(tier, chunk, size)) {
        uint32_t more = begin_gathering(tier, head->queue, budget, emptied, size);
        if (more != KV_NO_CHUNK)
            tier->gather[head->queue] = more;
        chunk = more != KV_NO_CHUNK ? more : tier->queues[head->queue].open;
    }
    struct kv_mem *mem = has_room(tier, chunk, size) ? fill_head(tier, chunk, head) : NULL;
    (void)pthread_mutex_unlock(&tier->lock);
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
    if (c->capacity != KV_CHUNK_BYTES || c->resident != KV_CHUNK_BYTES || c->run ||
        atomic_load(&tier->spare_bytes) >= (uint64_t)SPARES_MOST * KV_CHUNK_BYTES)
        return false;
    put_spare(tier, chunk);
    return true;
}

void kv_chunk_give_up(struct kv_tier *tier, uint32_t chunk, bool spare)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    bool pinned = chunk_pinned(tier, chunk); // without the lock: pins only become fewer
    (void)pthread_mutex_lock(&tier->lock);
    atomic_fetch_sub(&tier->queues[c->queue].held_bytes, c->resident);
    bool kept = !pinned && spare && keep_as_spare(tier, chunk);
    if (!kept)
        atomic_store(&c->state, pinned ? KV_CHUNK_ZOMBIE : KV_CHUNK_GOING);
    (void)pthread_mutex_unlock(&tier->lock);
    if (pinned)
        kv_chunk_release(tier, chunk);
    else if (!kept)
        give_back(tier, chunk);
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
    bool dead = false, note = false;
    do {
        // Dead and ours alone: nobody can reach it any more, so it is ours to wipe while the last pin keeps
        // the chunk. It is counted before that is gone as well: after it the chunk may be another.
        if (refs == (KV_MEM_DEAD | 1u) && !dead) {
            dead = true;
            explicit_bzero(mem->data, mem->size - sizeof *mem);
            note = kv_dead_count(tier, chunk, mem->size);
        }
    } while (!atomic_compare_exchange_weak(&mem->refs, &refs, refs - 1));
    // The reclaimer says ZOMBIE before it looks at pins, we let go before we look at the state: one of us
    // sees the other.
    if (atomic_load(&tier->chunks[chunk].state) == KV_CHUNK_ZOMBIE)
        kv_chunk_release(tier, chunk);
    else if (note && kv_dead_note(tier, chunk))
        kv_reuse_dead(store, chunk);
}

void kv_mem_kill(struct kv_store *store, struct kv_mem *mem)
{
    if (mem == NULL)
        return;
    atomic_fetch_or(&mem->refs, KV_MEM_DEAD);
    kv_mem_unpin(store, mem);
}
