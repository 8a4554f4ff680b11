// The queues of chunks, and how much of each chunk is dead: nothing that the index points to, nor ever will.
//
// A chunk counts its dead bytes without a lock. Of that the tier takes note with its lock held: when the chunk's share of them passes another 16th, and
// when nothing in it is alive. So there are a few notes in the life of a chunk of hundreds of records, and the chunk that has most is at
// the head of a list.
#include "kvstore/kv_internal.h"

#define SHARE_LEAST 2u // 16ths of a chunk: with less it is not worth emptying
#define MANY        5u // 32nds of what is in use: more than that should not be dead;
#define MANY_PRESSED                                                                                         \
    4u // nor that where memory comes from dropping what is alive, which costs more than copying it
#define FAR_TOO_MANY  6u // nor that, even if enough memory is ready
#define PRESSED_FROM  4u // chunks that are left to the limit
#define MANY_LEAST    2u // chunks
#define SPARES_ENOUGH 3u // chunks: one to gather in, and two that are opened before the next is empty

// Whether the tier is at its limit, or nearly.
static bool is_pressed(const struct kv_tier *tier, uint64_t budget, uint64_t in_use)
{
    uint64_t grow_to = kv_tier_grow_to(tier);
    uint64_t most = budget < grow_to ? budget : grow_to;
    return in_use + PRESSED_FROM * (uint64_t)kv_chunk_capacity(budget) > most;
}

static uint64_t in_use(const struct kv_tier *tier)
{
    uint64_t held = atomic_load_explicit(&tier->held_bytes, memory_order_relaxed);
    uint64_t spare = atomic_load_explicit(&tier->spare_bytes, memory_order_relaxed);
    return held > spare ? held - spare : 0;
}

bool kv_dead_are_many(const struct kv_tier *tier, uint64_t budget)
{
    uint64_t dead = atomic_load_explicit(&tier->dead_bytes, memory_order_relaxed), all = in_use(tier);
    return dead > all / 32 * MANY_PRESSED && dead >= MANY_LEAST * (uint64_t)kv_chunk_capacity(budget) &&
           (dead > all / 32 * MANY || is_pressed(tier, budget, all));
}

bool kv_dead_wants_reuse(const struct kv_tier *tier, uint64_t budget)
{
    uint64_t dead = atomic_load_explicit(&tier->dead_bytes, memory_order_relaxed);
    uint64_t spare = atomic_load_explicit(&tier->spare_bytes, memory_order_relaxed);
    return kv_dead_are_many(tier, budget) &&
           (spare < SPARES_ENOUGH * (uint64_t)KV_CHUNK_BYTES || dead > in_use(tier) / 32 * FAR_TOO_MANY);
}

void kv_dead_begin(struct kv_chunk *chunk, uint32_t capacity)
{
    atomic_store(&chunk->dead, 0);
    chunk->noted = 0;
    chunk->share = 0;
    chunk->dead_shift = 0;
    while (capacity >> chunk->dead_shift > KV_DEAD_SHARES)
        chunk->dead_shift++;
}

bool kv_dead_count(struct kv_tier *tier, uint32_t chunk, uint32_t bytes)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    uint32_t before = atomic_fetch_add(&c->dead, bytes), after = before + bytes;
    return before >> c->dead_shift != after >> c->dead_shift || after == atomic_load(&c->used);
}

// ---- lists by share; tier->lock is held

static void unlist(struct kv_tier *tier, uint32_t chunk)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    struct kv_dead_list *list = &tier->dead_lists[c->share];
    if (c->share == 0)
        return;
    if (c->dead_prev == KV_NO_CHUNK)
        list->head = c->dead_next;
    else
        tier->chunks[c->dead_prev].dead_next = c->dead_next;
    if (c->dead_next == KV_NO_CHUNK)
        list->tail = c->dead_prev;
    else
        tier->chunks[c->dead_next].dead_prev = c->dead_prev;
    c->share = 0;
}

static void list(struct kv_tier *tier, uint32_t chunk, uint32_t share)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    struct kv_dead_list *list = &tier->dead_lists[share];
    c->share = (uint8_t)share;
    c->dead_next = KV_NO_CHUNK;
    c->dead_prev = list->tail;
    if (list->tail == KV_NO_CHUNK)
        list->head = chunk;
    else
        tier->chunks[list->tail].dead_next = chunk;
    list->tail = chunk;
}

// Of a chunk in a queue, or an open one.
static void note(struct kv_tier *tier, uint32_t chunk)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    if (chunk == atomic_load(&tier->emptied))
        return;
    uint32_t dead = atomic_load(&c->dead), share = dead >> c->dead_shift;
    atomic_fetch_add(&tier->dead_bytes, dead - c->noted); // never less than what was noted
    c->noted = dead;
    if (atomic_load(&c->state) != KV_CHUNK_SEALED || share < SHARE_LEAST)
        share = 0;
    if (share == c->share)
        return;
    unlist(tier, chunk);
    if (share != 0)
        list(tier, chunk, share);
}

static void forget(struct kv_tier *tier, uint32_t chunk)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    unlist(tier, chunk);
    atomic_fetch_sub(&tier->dead_bytes, c->noted);
    c->noted = 0;
}

// ---- queues; tier->lock is held

// Links a chunk in front of another; KV_NO_CHUNK: at the end.
static void link_in(struct kv_tier *tier, uint32_t chunk, enum kv_queue queue, uint32_t before)
{
    struct kv_chunk_queue *q = &tier->queues[queue];
    struct kv_chunk *c = &tier->chunks[chunk];
    if (atomic_load(&c->queue) != queue) {
        atomic_fetch_sub(&tier->queues[c->queue].held_bytes, c->resident);
        atomic_fetch_add(&q->held_bytes, c->resident);
        atomic_store(&c->queue, (uint8_t)queue);
    }
    c->next = before;
    c->prev = before == KV_NO_CHUNK ? q->tail : tier->chunks[before].prev;
    if (c->prev == KV_NO_CHUNK)
        q->head = chunk;
    else
        tier->chunks[c->prev].next = chunk;
    if (before == KV_NO_CHUNK)
        q->tail = chunk;
    else
        tier->chunks[before].prev = chunk;
    atomic_store(&c->state, KV_CHUNK_SEALED);
    note(tier, chunk);
}

void kv_chunk_append(struct kv_tier *tier, uint32_t chunk, enum kv_queue queue)
{
    link_in(tier, chunk, queue, KV_NO_CHUNK);
}

void kv_chunk_insert(struct kv_tier *tier, uint32_t chunk, uint32_t before)
{
    link_in(tier, chunk, (enum kv_queue)atomic_load(&tier->chunks[before].queue), before);
}

void kv_chunk_seal_open(struct kv_tier *tier, enum kv_queue queue)
{
    uint32_t open = tier->queues[queue].open;
    tier->queues[queue].open = KV_NO_CHUNK;
    if (open != KV_NO_CHUNK)
        kv_chunk_append(tier, open, queue);
}

static void leave(struct kv_tier *tier, uint32_t chunk)
{
    struct kv_chunk *c = &tier->chunks[chunk];
    unsigned queue = atomic_load(&c->queue);
    struct kv_chunk_queue *q = &tier->queues[queue];
    if (c->prev == KV_NO_CHUNK)
        q->head = c->next;
    else
        tier->chunks[c->prev].next = c->next;
    if (c->next == KV_NO_CHUNK)
        q->tail = c->prev;
    else
        tier->chunks[c->next].prev = c->prev;
    forget(tier, chunk);
    if (tier->gather[queue] == chunk)
        tier->gather[queue] = KV_NO_CHUNK;
    if (atomic_load(&tier->emptied) == chunk)
        atomic_store(&tier->emptied, KV_NO_CHUNK);
    atomic_store(&c->state, KV_CHUNK_RECLAIMING);
}

uint32_t kv_chunk_pop(struct kv_tier *tier, enum kv_queue queue)
{
    struct kv_chunk_queue *q = &tier->queues[queue];
    if (q->head == KV_NO_CHUNK)
        kv_chunk_seal_open(tier, queue);
    uint32_t chunk = q->head;
    if (chunk != KV_NO_CHUNK)
        leave(tier, chunk);
    return chunk;
}

// ---- what was counted

// A sealed chunk's last record has died, and nobody is at work in it.
static bool leave_if_dead(struct kv_tier *tier, uint32_t chunk)
{
    const struct kv_chunk *c = &tier->chunks[chunk];
    bool dead = atomic_load(&c->state) == KV_CHUNK_SEALED && chunk != atomic_load(&tier->emptied) &&
                atomic_load(&c->dead) == atomic_load(&c->used);
    if (dead)
        leave(tier, chunk);
    return dead;
}

static bool in_queue(const struct kv_chunk *chunk)
{
    uint32_t state = atomic_load(&chunk->state);
    return state == KV_CHUNK_OPEN || state == KV_CHUNK_SEALED;
}

bool kv_dead_note(struct kv_tier *tier, uint32_t chunk)
{
    const struct kv_chunk *c = &tier->chunks[chunk];
    if (!in_queue(c))
        return false;
    bool dead = false;
    (void)pthread_mutex_lock(&tier->lock);
    if (in_queue(c)) {
        note(tier, chunk);
        dead = leave_if_dead(tier, chunk);
    }
    (void)pthread_mutex_unlock(&tier->lock);
    return dead;
}

bool kv_dead_choose(struct kv_tier *tier)
{
    (void)pthread_mutex_lock(&tier->lock);
    uint32_t share = KV_DEAD_SHARES;
    while (share >= SHARE_LEAST && tier->dead_lists[share].head == KV_NO_CHUNK)
        share--;
    uint32_t chunk = share >= SHARE_LEAST ? tier->dead_lists[share].head : KV_NO_CHUNK;
    if (chunk != KV_NO_CHUNK) {
        uint32_t *gather = &tier->gather[atomic_load(&tier->chunks[chunk].queue)];
        if (*gather == chunk)
            *gather = KV_NO_CHUNK;
        forget(tier, chunk);
        atomic_store(&tier->emptied, chunk);
        tier->emptied_to = 0;
        tier->emptied_later = false;
    }
    (void)pthread_mutex_unlock(&tier->lock);
    return chunk != KV_NO_CHUNK;
}

bool kv_dead_end(struct kv_tier *tier, enum kv_dead_how how)
{
    (void)pthread_mutex_lock(&tier->lock);
    uint32_t chunk = atomic_load(&tier->emptied);
    atomic_store(&tier->emptied, KV_NO_CHUNK);
    bool dead = leave_if_dead(tier, chunk);
    if (!dead && how != KV_DEAD_DONE)
        note(tier, chunk);
    if (!dead && how == KV_DEAD_LATER && tier->chunks[chunk].share > SHARE_LEAST) {
        unlist(tier, chunk);
        list(tier, chunk, SHARE_LEAST);
    }
    (void)pthread_mutex_unlock(&tier->lock);
    return dead;
}
