// The range of addresses that chunks are taken from: made accessible as it is first used, the low end for chunks of one huge page each, the
// high end for runs and smaller chunks. A bit for each step says whether it is taken. And setting up a tier, which is mostly that.
#include "kvstore/kv_internal.h"

#include <sys/mman.h>
#include <unistd.h>

#define RESERVE_LEAST (1ull << 30)
#define RESERVE_TOP                                                                                          \
    (1ull << 38) // 256 GiB of addresses, or eight times the machine's memory when that is more

uint8_t *kv_chunk_base(const struct kv_tier *tier, uint32_t chunk)
{
    return tier->base + (size_t)chunk * KV_CHUNK_BYTES;
}

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
    for (size_t q = 0; q < KV_QUEUES; q++)
        tier->gather[q] = KV_NO_CHUNK;
    for (size_t i = 0; i <= KV_DEAD_SHARES; i++)
        tier->dead_lists[i] = (struct kv_dead_list){KV_NO_CHUNK, KV_NO_CHUNK};
    atomic_store(&tier->emptied, KV_NO_CHUNK);
    tier->spares = tier->victim.chunk = KV_NO_CHUNK;
    tier->main_cut = 1;
    tier->shrink_cut = 1;
    atomic_store(&tier->epoch, 1);
    (void)pthread_mutex_init(&tier->lock, NULL);
    (void)pthread_cond_init(&tier->populate_wake, NULL);
    (void)pthread_mutex_init(&tier->evict_lock, NULL);
    atomic_store(&tier->limit_bytes, limit_bytes);
    atomic_store(&tier->grow_to, KV_GROW_FREELY);
    return true;
}

void kv_tier_destroy(struct kv_tier *tier)
{
    if (tier->base == NULL)
        return;
    unmap(tier->base, range_bytes(tier));
    unmap(tier->chunks, table_bytes(tier));
    unmap(tier->taken, map_bytes(tier));
    (void)pthread_cond_destroy(&tier->populate_wake);
    (void)pthread_mutex_destroy(&tier->lock);
    (void)pthread_mutex_destroy(&tier->evict_lock);
    tier->base = NULL;
}

static bool is_taken(const struct kv_tier *tier, uint32_t step)
{
    return (tier->taken[step / 64] >> (step % 64) & 1) != 0;
}

void kv_range_mark(struct kv_tier *tier, uint32_t from, uint32_t steps, bool taken)
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
uint32_t kv_range_take_low(struct kv_tier *tier)
{
    uint32_t at = tier->low_from;
    while (at < tier->high && is_taken(tier, at))
        at++;
    tier->low_from = at;
    if (at >= tier->high)
        return KV_NO_CHUNK;
    if (at >= tier->low) {
        uint8_t *from = kv_chunk_base(tier, tier->low);
        size_t bytes = (size_t)(at + 1 - tier->low) * KV_CHUNK_BYTES;
        if (mprotect(from, bytes, PROT_READ | PROT_WRITE) != 0)
            return KV_NO_CHUNK;
        (void)madvise(from, bytes, MADV_HUGEPAGE);
        tier->low = at + 1;
    }
    return at;
}

// The highest free run of so many steps; KV_NO_CHUNK: none above the part with huge pages.
uint32_t kv_range_take_high(struct kv_tier *tier, uint32_t steps)
{
    while (tier->high_from > tier->low && is_taken(tier, tier->high_from))
        tier->high_from--;
    uint32_t at = tier->high_from + 1, found = 0;
    while (found < steps && at > tier->low)
        found = is_taken(tier, --at) ? 0 : found + 1;
    if (found < steps)
        return KV_NO_CHUNK;
    if (at < tier->high) {
        uint8_t *from = kv_chunk_base(tier, at);
        size_t bytes = (size_t)(tier->high - at) * KV_CHUNK_BYTES;
        if (mprotect(from, bytes, PROT_READ | PROT_WRITE) != 0)
            return KV_NO_CHUNK;
        (void)madvise(from, bytes, MADV_NOHUGEPAGE);
        tier->high = at;
    }
    return at;
}
