#include "kvstore/kv_table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvstore/kv_tsan.h"

#define MIN_HOMES 16u
#define MAPPED_FROM                                                                                          \
    (16u * 1024) // larger tables are mapped, so that growing moves no bytes and freeing returns the memory
#define PAGE 4096u

// ThreadSanitizer does not follow mremap().
#define CAN_REMAP (!KV_TSAN)

// ---- storage

static bool is_mapped(size_t capacity)
{
    return capacity * sizeof(struct kv_slot) >= MAPPED_FROM;
}

// A mapped table uses its pages to the end.
static size_t whole_pages(size_t capacity)
{
    size_t slots = PAGE / sizeof(struct kv_slot);
    return is_mapped(capacity) ? (capacity + slots - 1) / slots * slots : capacity;
}

static struct kv_slot *allocate(size_t capacity)
{
    size_t bytes = capacity * sizeof(struct kv_slot);
    if (!is_mapped(capacity))
        return calloc(1, bytes);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void release(struct kv_slot *slots, size_t capacity)
{
    if (!is_mapped(capacity))
        free(slots);
    else if (slots != NULL)
        (void)munmap(slots, capacity * sizeof(struct kv_slot));
}

// The same slots in storage of another size: those up to the lesser of the two. False: no memory, nothing changed.
static bool resize_storage(struct kv_table *table, size_t capacity)
{
    struct kv_slot *slots;
    size_t old = table->capacity * sizeof *slots, bytes = capacity * sizeof *slots;
    if (CAN_REMAP && table->slots != NULL && is_mapped(table->capacity) && is_mapped(capacity)) {
        void *p = mremap(table->slots, old, bytes, MREMAP_MAYMOVE);
        if (p == MAP_FAILED)
            return false;
        slots = p;
    } else {
        slots = allocate(capacity);
        if (slots == NULL)
            return false;
        if (table->slots != NULL)
            memcpy(slots, table->slots, old < bytes ? old : bytes);
        release(table->slots, table->capacity);
    }
    __atomic_store_n(&table->slots, slots, __ATOMIC_RELAXED); // kv_table_prefetch() has no lock
    table->capacity = capacity;
    return true;
}

void kv_table_destroy(struct kv_table *table)
{
    struct kv_slot *slots = table->slots;
    __atomic_store_n(&table->slots, NULL, __ATOMIC_RELAXED); // kv_table_prefetch() has no lock
    __atomic_store_n(&table->homes, 0, __ATOMIC_RELAXED);
    release(slots, table->capacity);
    table->capacity = table->count = 0;
}

size_t kv_table_bytes(const struct kv_table *table)
{
    return table->capacity * sizeof *table->slots;
}

// ---- order

__extension__ typedef unsigned __int128 uint128;

static size_t home_among(size_t homes, uint64_t hash)
{
    // The top 8 bits choose the shard and are the same for every slot of a table.
    return (size_t)(((uint128)((hash & KV_HASH_BITS) << 8) * homes) >> 64);
}

static size_t home_of(const struct kv_table *table, uint64_t hash)
{
    return home_among(table->homes, hash);
}

// Whether all slots find a place with so many homes.
static bool would_fit(const struct kv_table *table, size_t homes, size_t capacity)
{
    size_t next = 0;
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i].word == 0)
            continue;
        size_t home = home_among(homes, table->slots[i].hash);
        next = (home > next ? home : next) + 1;
        if (next > capacity - 2) // the last stays empty, and an insert must fit
            return false;
    }
    return true;
}

// Moves all slots to the end of the storage, without gaps. Returns where they begin.
static size_t push_to_end(struct kv_slot *slots, size_t filled, size_t capacity)
{
    size_t to = capacity;
    for (size_t i = filled; i > 0; i--)
        if (slots[i - 1].word != 0)
            slots[--to] = slots[i - 1];
    return to;
}

// Puts the slots at from and behind, up to end, where they belong, and zeros between them. None comes to lie behind where
// it is read from: it is at its new home or right behind its predecessor, and those that follow it all have room behind.
static void spread(struct kv_table *table, size_t from, size_t end)
{
    struct kv_slot *slots = table->slots;
    size_t next = 0;
    for (size_t i = from; i < end; i++) {
        if (slots[i].word == 0)
            continue;
        struct kv_slot slot = slots[i];
        size_t home = home_of(table, slot.hash);
        if (home > next) {
            memset(&slots[next], 0, (home - next) * sizeof *slots);
            next = home;
        }
        slots[next++] = slot;
    }
    memset(&slots[next], 0, (end - next) * sizeof *slots);
}

static void set_homes(struct kv_table *table, size_t homes)
{
    __atomic_store_n(&table->homes, homes, __ATOMIC_RELAXED);
}

static bool grow(struct kv_table *table, size_t homes, size_t capacity)
{
    size_t filled = table->capacity;
    if (!resize_storage(table, capacity))
        return false;
    size_t from = push_to_end(table->slots, filled, capacity);
    set_homes(table, homes);
    spread(table, from, capacity);
    return true;
}

static bool shrink(struct kv_table *table, size_t homes, size_t capacity)
{
    set_homes(table, homes);
    spread(table, 0, table->capacity);
    (void)resize_storage(table, capacity); // without memory it stays as large as it is
    return true;
}

// Changes the number of homes, in place. False: no memory, nothing changed.
static bool rebuild(struct kv_table *table, size_t homes)
{
    if (homes < MIN_HOMES)
        homes = MIN_HOMES;
    // Hashes are keyed, so runs are short; should one be long, a larger overrun takes it.
    size_t overrun = 16 + homes / 64, capacity = whole_pages(homes + overrun);
    while (!would_fit(table, homes, capacity)) {
        overrun *= 2;
        capacity = whole_pages(homes + overrun);
    }
    if (homes < table->homes && capacity < table->capacity)
        return shrink(table, homes, capacity);
    return grow(table, homes, capacity > table->capacity ? capacity : table->capacity);
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

void kv_table_prefetch(const struct kv_table *table, uint64_t hash)
{
    const struct kv_slot *slots = __atomic_load_n(&table->slots, __ATOMIC_RELAXED);
    size_t homes = __atomic_load_n(&table->homes, __ATOMIC_RELAXED);
    __builtin_prefetch((const void *)((uintptr_t)slots + home_among(homes, hash) * sizeof *slots), 1);
}

struct kv_slot *kv_table_next(const struct kv_table *table, const struct kv_slot *slot)
{
    const struct kv_slot *next = slot + 1; // there is always an empty slot at the end
    return next->word != 0 && kv_slot_hash(next) == kv_slot_hash(slot) ? &table->slots[next - table->slots]
                                                                       : NULL;
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
