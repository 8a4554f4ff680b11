#include "kvstore/kv_table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MIN_HOMES   16u
#define MAPPED_FROM (64u * 1024) // larger tables are mapped, so that freeing one returns its memory
#define PAGE        4096u

static size_t allocation(size_t capacity)
{
    size_t bytes = capacity * sizeof(struct kv_slot);
    return bytes < MAPPED_FROM ? bytes : (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static struct kv_slot *allocate(size_t capacity)
{
    size_t bytes = allocation(capacity);
    if (bytes < MAPPED_FROM)
        return calloc(1, bytes);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void release(struct kv_slot *slots, size_t capacity)
{
    size_t bytes = allocation(capacity);
    if (bytes < MAPPED_FROM)
        free(slots);
    else if (slots != NULL)
        (void)munmap(slots, bytes);
}

void kv_table_destroy(struct kv_table *table)
{
    release(table->slots, table->capacity);
    *table = (struct kv_table){0};
}

size_t kv_table_bytes(const struct kv_table *table)
{
    return allocation(table->capacity);
}

__extension__ typedef unsigned __int128 uint128;

static size_t home_of(const struct kv_table *table, uint64_t hash)
{
    // The top 8 bits choose the shard and are the same for every slot of a table.
    return (size_t)(((uint128)((hash & KV_HASH_BITS) << 8) * table->homes) >> 64);
}

// Copies every slot into an array of so many homes; false: no memory, or the run-over after the last home was
// too small.
static bool rebuild_into(struct kv_table *table, size_t homes, size_t overrun, bool *no_memory)
{
    struct kv_table grown = {.homes = homes, .capacity = homes + overrun, .count = table->count};
    grown.slots = allocate(grown.capacity);
    if (grown.slots == NULL) {
        *no_memory = true;
        return false;
    }
    size_t next = 0;
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i].word == 0)
            continue;
        size_t home = home_of(&grown, table->slots[i].hash);
        next = home > next ? home : next;
        if (next >= grown.capacity - 2) { // the last stays empty, and an insert must fit
            release(grown.slots, grown.capacity);
            return false;
        }
        grown.slots[next++] = table->slots[i];
    }
    release(table->slots, table->capacity);
    *table = grown;
    return true;
}

static bool rebuild(struct kv_table *table, size_t homes)
{
    if (homes < MIN_HOMES)
        homes = MIN_HOMES;
    bool no_memory = false;
    // Hashes are keyed, so runs are short; should one be long, a larger overrun takes it.
    for (size_t overrun = 16 + homes / 64; !no_memory; overrun *= 2)
        if (rebuild_into(table, homes, overrun, &no_memory))
            return true;
    return false;
}

bool kv_table_reserve(struct kv_table *table)
{
    bool full = table->count + 1 > table->homes - table->homes / 8;
    // The last slot is kept empty: it ends every run, and an insert always finds a gap.
    if (!full && table->slots[table->capacity - 2].word == 0)
        return true;
    return rebuild(table, table->homes + table->homes / 5 + 1);
}

bool kv_table_reserve_for(struct kv_table *table, size_t count)
{
    size_t homes = count + count / 7 + 1;
    return homes <= table->homes || rebuild(table, homes);
}

bool kv_table_insert(struct kv_table *table, uint64_t hash, uint64_t word)
{
    if (!kv_table_reserve(table))
        return false;
    hash &= KV_HASH_BITS;
    struct kv_slot *at = &table->slots[home_of(table, hash)];
    while (at->word != 0 && kv_slot_hash(at) <= hash)
        at++;
    struct kv_slot *gap = at;
    while (gap->word != 0)
        gap++;
    memmove(at + 1, at, (size_t)(gap - at) * sizeof *at);
    *at = (struct kv_slot){.hash = hash, .word = word};
    table->count++;
    return true;
}

struct kv_slot *kv_table_find(const struct kv_table *table, uint64_t hash)
{
    if (table->count == 0)
        return NULL;
    hash &= KV_HASH_BITS;
    struct kv_slot *at = &table->slots[home_of(table, hash)];
    while (at->word != 0 && at->hash < hash) // policy bits do not matter to this one
        at++;
    return at->word != 0 && kv_slot_hash(at) == hash ? at : NULL;
}

struct kv_slot *kv_table_next(const struct kv_table *table, const struct kv_slot *slot)
{
    const struct kv_slot *next = slot + 1; // there is always an empty slot at the end
    return next->word != 0 && kv_slot_hash(next) == kv_slot_hash(slot) ? &table->slots[next - table->slots] : NULL;
}

struct kv_slot *kv_table_from(const struct kv_table *table, uint64_t hash)
{
    if (table->count == 0)
        return NULL;
    hash &= KV_HASH_BITS;
    for (size_t i = home_of(table, hash); i < table->capacity; i++)
        if (table->slots[i].word != 0 && table->slots[i].hash >= hash)
            return &table->slots[i];
    return NULL;
}

void kv_table_remove(struct kv_table *table, struct kv_slot *slot)
{
    // Slots after it that are not at their home move one to the left.
    struct kv_slot *end = slot + 1;
    while (end->word != 0 && home_of(table, end->hash) < (size_t)(end - table->slots))
        end++;
    memmove(slot, slot + 1, (size_t)(end - slot - 1) * sizeof *slot);
    end[-1] = (struct kv_slot){0};
    table->count--;
    if (table->homes > 4 * MIN_HOMES && table->count < table->homes * 3 / 5)
        (void)rebuild(table,
                      table->count + table->count / 3 + 1); // without memory it stays as large as it is
}
