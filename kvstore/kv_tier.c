#include "kvstore/kv_internal.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RESERVE_LEAST (1ull << 30)
#define RESERVE_TOP                                                                                          \
    (1ull << 38) // 256 GiB of addresses, or eight times the machine's memory when that is more

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
        size_t skip = (KV_CHUNK_BYTES - ((uintptr_t)p & (KV_CHUNK_BYTES - 1))) & (KV_CHUNK_BYTES - 1);
        if (skip != 0)
            (void)munmap(p, skip);
        tier->base = p + skip;
        tier->reserved = (bytes - skip) / KV_CHUNK_BYTES;
        size_t rest = bytes - skip - tier->reserved * KV_CHUNK_BYTES;
        if (rest != 0)
            (void)munmap(tier->base + tier->reserved * KV_CHUNK_BYTES, rest);
        return true;
    }
    return false;
}

static size_t table_bytes(const struct kv_tier *tier)
{
    return tier->reserved * sizeof *tier->chunks;
}

bool kv_tier_init(struct kv_tier *tier, uint64_t limit_bytes)
{
    if (!reserve_range(tier))
        return false;
    // Pages of the table become resident as chunks are first used.
    void *table = mmap(NULL, table_bytes(tier), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED) {
        (void)munmap(tier->base, tier->reserved * KV_CHUNK_BYTES);
        return false;
    }
    tier->chunks = table;
    tier->open = tier->free_head = tier->sealed_head = tier->sealed_tail = KV_NO_CHUNK;
    (void)pthread_mutex_init(&tier->lock, NULL);
    (void)pthread_mutex_init(&tier->evict_lock, NULL);
    atomic_store(&tier->limit_bytes, limit_bytes);
    return true;
}

void kv_tier_destroy(struct kv_tier *tier)
{
    if (tier->base == NULL)
        return;
    (void)munmap(tier->base, tier->reserved * KV_CHUNK_BYTES);
    (void)munmap(tier->chunks, table_bytes(tier));
    (void)pthread_mutex_destroy(&tier->lock);
    (void)pthread_mutex_destroy(&tier->evict_lock);
    tier->base = NULL;
}

static uint8_t *chunk_base(const struct kv_tier *tier, uint32_t chunk)
{
    return tier->base + (size_t)chunk * KV_CHUNK_BYTES;
}

static uint32_t chunk_of(const struct kv_tier *tier, const struct kv_mem *mem)
{
    return (uint32_t)((size_t)((const uint8_t *)mem - tier->base) / KV_CHUNK_BYTES);
}

static struct kv_mem *mem_at(const struct kv_tier *tier, uint32_t chunk, uint32_t offset)
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

bool kv_tier_usable(struct kv_tier *tier, const struct kv_mem *mem)
{
    uint32_t state = atomic_load(&tier->chunks[chunk_of(tier, mem)].state);
    return state == KV_CHUNK_OPEN || state == KV_CHUNK_SEALED;
}

// ---- budget

size_t kv_chunk_budget(struct kv_store *store)
{
    uint64_t limit = atomic_load_explicit(&store->tier.limit_bytes, memory_order_relaxed);
    uint64_t other = atomic_load_explicit(&store->index.bytes, memory_order_relaxed) + KV_FIXED_BYTES;
    if (limit <= other)
        return 0;
    uint64_t chunks = (limit - other) / KV_CHUNK_BYTES;
    return chunks < store->tier.reserved ? (size_t)chunks : store->tier.reserved;
}

// With enough chunks one is kept back as the place to copy readmitted records to while their old chunk is
// still held.
static size_t ordinary_budget(size_t budget)
{
    return budget >= 8 ? budget - 1 : budget;
}

// ---- chunks; tier->lock is held

static bool open_chunk(struct kv_tier *tier)
{
    uint32_t chunk = tier->free_head;
    if (chunk != KV_NO_CHUNK) {
        tier->free_head = tier->chunks[chunk].next;
    } else {
        if (tier->fresh == tier->reserved)
            return false;
        chunk = tier->fresh;
        uint8_t *base = chunk_base(tier, chunk);
        if (mprotect(base, KV_CHUNK_BYTES, PROT_READ | PROT_WRITE) != 0)
            return false;
        (void)madvise(base, KV_CHUNK_BYTES, MADV_HUGEPAGE);
        (void)madvise(base, KV_CHUNK_BYTES, MADV_DONTDUMP);
        tier->fresh++;
    }
    if (tier->open != KV_NO_CHUNK) {
        struct kv_chunk *full = &tier->chunks[tier->open];
        full->next = KV_NO_CHUNK;
        atomic_store(&full->state, KV_CHUNK_SEALED);
        if (tier->sealed_tail == KV_NO_CHUNK)
            tier->sealed_head = tier->open;
        else
            tier->chunks[tier->sealed_tail].next = tier->open;
        tier->sealed_tail = tier->open;
    }
    tier->chunks[chunk].used = 0;
    atomic_store(&tier->chunks[chunk].state, KV_CHUNK_OPEN);
    tier->open = chunk;
    atomic_fetch_add(&tier->held, 1);
    return true;
}

// What a record is, as its head in memory says it. All of it is there before the lock is let go: a reclaimer
// may walk over it.
struct mem_head {
    uint64_t hash;
    uint32_t size, value_len;
    uint16_t key_len;
};

static struct kv_mem *take_space(struct kv_tier *tier, struct mem_head head)
{
    uint32_t size = head.size;
    if (tier->open == KV_NO_CHUNK)
        return NULL;
    struct kv_chunk *chunk = &tier->chunks[tier->open];
    if (size > KV_CHUNK_BYTES - chunk->used)
        return NULL;
    struct kv_mem *mem = mem_at(tier, tier->open, chunk->used);
    chunk->used += size;
    mem->size = size;
    mem->hash = head.hash;
    mem->value_len = head.value_len;
    mem->key_len = head.key_len;
    mem->disk = 0;
    mem->zero = 0;
    atomic_store_explicit(&mem->refs, 1, memory_order_relaxed);
    return mem;
}

static void free_chunk(struct kv_tier *tier, uint32_t chunk)
{
    (void)madvise(chunk_base(tier, chunk), KV_CHUNK_BYTES, MADV_DONTNEED);
    atomic_store(&tier->chunks[chunk].state, KV_CHUNK_FREE);
    tier->chunks[chunk].next = tier->free_head;
    tier->free_head = chunk;
    atomic_fetch_sub(&tier->held, 1);
}

static bool chunk_pinned(const struct kv_tier *tier, uint32_t chunk)
{
    uint32_t used = tier->chunks[chunk].used;
    for (uint32_t at = 0; at < used;) {
        struct kv_mem *mem = mem_at(tier, chunk, at);
        if ((atomic_load(&mem->refs) & ~KV_MEM_DEAD) != 0)
            return true;
        at += mem->size;
    }
    return false;
}

// ---- pins

void kv_mem_pin(struct kv_mem *mem)
{
    atomic_fetch_add(&mem->refs, 1);
}

void kv_mem_unpin(struct kv_store *store, struct kv_mem *mem)
{
    struct kv_tier *tier = &store->tier;
    uint32_t chunk = chunk_of(tier, mem);
    uint32_t refs = atomic_load(&mem->refs);
    do {
        // Dead and ours alone: nobody can reach it any more, so it is ours to wipe while the last pin keeps
        // the chunk.
        if (refs == (KV_MEM_DEAD | 1u))
            explicit_bzero(mem->data, mem->size - sizeof *mem);
    } while (!atomic_compare_exchange_weak(&mem->refs, &refs, refs - 1));
    // The reclaimer says ZOMBIE before it looks at pins, we let go before we look at the state: one of us
    // sees the other.
    if (atomic_load(&tier->chunks[chunk].state) != KV_CHUNK_ZOMBIE)
        return;
    (void)pthread_mutex_lock(&tier->lock);
    if (atomic_load(&tier->chunks[chunk].state) == KV_CHUNK_ZOMBIE && !chunk_pinned(tier, chunk))
        free_chunk(tier, chunk);
    (void)pthread_mutex_unlock(&tier->lock);
}

void kv_mem_kill(struct kv_store *store, struct kv_mem *mem)
{
    if (mem == NULL)
        return;
    atomic_fetch_or(&mem->refs, KV_MEM_DEAD);
    kv_mem_unpin(store, mem);
}

// ---- reclaiming; evict_lock is held

// Space for a record that survives its chunk. `over`: a chunk beyond the budget may be opened, since a whole
// one is being freed.
static struct kv_mem *space_for_survivor(struct kv_tier *tier, const struct kv_mem *mem, size_t budget,
                                         bool over)
{
    struct mem_head head = {
        .hash = mem->hash, .size = mem->size, .value_len = mem->value_len, .key_len = mem->key_len};
    (void)pthread_mutex_lock(&tier->lock);
    struct kv_mem *copy = take_space(tier, head);
    if (copy == NULL && (over || atomic_load(&tier->held) < budget) && open_chunk(tier))
        copy = take_space(tier, head);
    (void)pthread_mutex_unlock(&tier->lock);
    return copy;
}

static struct kv_slot *slot_of(struct kv_tier *tier, struct kv_shard *shard, const struct kv_mem *mem)
{
    uint64_t where = kv_tier_where(tier, mem);
    struct kv_slot *slot = kv_table_find(&shard->keys, mem->hash);
    while (slot != NULL && ((slot->word & KV_WORD_CACHED) == 0 || kv_word_where(slot->word) != where))
        slot = kv_table_next(&shard->keys, slot);
    return slot;
}

static void survive(struct kv_tier *tier, struct kv_slot *slot, const struct kv_mem *mem, struct kv_mem *copy)
{
    copy->disk = mem->disk;
    memcpy(copy->data, mem->data, (size_t)mem->value_len + mem->key_len);
    slot->word = (slot->word & ~KV_WORD_WHERE) | kv_tier_where(tier, copy);
    slot->hash &= ~(uint64_t)KV_READS_BITS;
}

// Takes one record out of a chunk that is being reclaimed; *room: bytes that may still be readmitted.
static void reclaim_record(struct kv_store *store, struct kv_mem *mem, uint32_t *room, size_t budget,
                           bool over)
{
    struct kv_tier *tier = &store->tier;
    struct kv_shard *shard = kv_index_shard(&store->index, mem->hash);
    struct kv_mem *copy = NULL;
    (void)pthread_mutex_lock(&shard->lock);
    struct kv_slot *slot = slot_of(tier, shard, mem);
    if (slot != NULL) {
        if (kv_slot_want(slot) != 0 && mem->size <= *room)
            copy = space_for_survivor(tier, mem, budget, over);
        if (copy != NULL) {
            survive(tier, slot, mem, copy);
            *room -= mem->size;
        } else {
            slot->word = (slot->word & ~(KV_WORD_WHERE | KV_WORD_CACHED)) | mem->disk;
            shard->cached_bytes -= mem->size;
            shard->cached_records--;
            atomic_fetch_add_explicit(&store->evicted, 1, memory_order_relaxed);
        }
    }
    (void)pthread_mutex_unlock(&shard->lock);
    if (copy != NULL)
        kv_mem_unpin(store, copy);
}

// Takes the oldest sealed chunk, or the open one when it is the last and must go as well.
static uint32_t take_victim(struct kv_tier *tier, size_t budget)
{
    uint32_t victim = KV_NO_CHUNK;
    (void)pthread_mutex_lock(&tier->lock);
    if (tier->sealed_head != KV_NO_CHUNK) {
        victim = tier->sealed_head;
        tier->sealed_head = tier->chunks[victim].next;
        if (tier->sealed_head == KV_NO_CHUNK)
            tier->sealed_tail = KV_NO_CHUNK;
    } else if (tier->open != KV_NO_CHUNK && (budget <= 1)) {
        victim = tier->open;
        tier->open = KV_NO_CHUNK;
    }
    if (victim != KV_NO_CHUNK)
        atomic_store(&tier->chunks[victim].state, KV_CHUNK_RECLAIMING);
    (void)pthread_mutex_unlock(&tier->lock);
    return victim;
}

// Gives back one chunk, or leaves it to the readers that still have pins in it. False: there was none to give
// back.
static bool reclaim_chunk(struct kv_store *store)
{
    struct kv_tier *tier = &store->tier;
    size_t budget = kv_chunk_budget(store);
    uint32_t victim = take_victim(tier, budget);
    if (victim == KV_NO_CHUNK)
        return false;
    bool shrinking = atomic_load(&tier->held) > budget;
    uint32_t room = budget == 0 ? 0 : KV_CHUNK_BYTES / 2;
    uint32_t used = tier->chunks[victim].used;
    for (uint32_t at = 0; at < used;) {
        struct kv_mem *mem = mem_at(tier, victim, at);
        at += mem->size;
        reclaim_record(store, mem, &room, budget, shrinking && budget > 1);
    }
    (void)pthread_mutex_lock(&tier->lock);
    atomic_store(&tier->chunks[victim].state, KV_CHUNK_ZOMBIE);
    if (!chunk_pinned(tier, victim))
        free_chunk(tier, victim);
    (void)pthread_mutex_unlock(&tier->lock);
    return true;
}

void kv_tier_fit(struct kv_store *store)
{
    struct kv_tier *tier = &store->tier;
    bool more = true;
    while (more && atomic_load(&tier->held) > ordinary_budget(kv_chunk_budget(store))) {
        (void)pthread_mutex_lock(&tier->evict_lock); // let go between chunks: readers that miss want it too
        if (atomic_load(&tier->held) > ordinary_budget(kv_chunk_budget(store)))
            more = reclaim_chunk(store);
        (void)pthread_mutex_unlock(&tier->evict_lock);
    }
}

static struct kv_mem *take_or_open(struct kv_tier *tier, struct mem_head head, size_t ordinary)
{
    (void)pthread_mutex_lock(&tier->lock);
    struct kv_mem *mem = take_space(tier, head);
    if (mem == NULL && atomic_load(&tier->held) < ordinary && open_chunk(tier))
        mem = take_space(tier, head);
    (void)pthread_mutex_unlock(&tier->lock);
    return mem;
}

struct kv_mem *kv_tier_reserve(struct kv_store *store, uint64_t hash, size_t key_len, size_t value_len)
{
    struct kv_tier *tier = &store->tier;
    size_t ordinary = ordinary_budget(kv_chunk_budget(store));
    if (value_len > KV_MEM_MAX || ordinary == 0)
        return NULL;
    size_t size = (sizeof(struct kv_mem) + key_len + value_len + 15) & ~(size_t)15;
    if (size > KV_MEM_MAX)
        return NULL;
    struct mem_head head = {
        .hash = hash, .size = (uint32_t)size, .value_len = (uint32_t)value_len, .key_len = (uint16_t)key_len};
    struct kv_mem *mem = take_or_open(tier, head, ordinary);
    for (int tries = 0; mem == NULL && tries < 3; tries++) {
        if (pthread_mutex_trylock(&tier->evict_lock) != 0)
            return NULL; // somebody is making room: this record stays on disk rather than wait
        (void)reclaim_chunk(store);
        (void)pthread_mutex_unlock(&tier->evict_lock);
        mem = take_or_open(tier, head, ordinary);
    }
    return mem;
}
