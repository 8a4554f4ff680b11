#include "kvstore/resp/db_set.h"

#include <stdlib.h>

#define SMALLEST 1024u

// What stands for a name; never 0.
static uint64_t mark_of(uint64_t hash)
{
    hash &= ~1ull;
    return hash != 0 ? hash : 2;
}

// Where a name is, or the free slot where it would be.
static size_t place_of(const struct resp_db_set *set, uint64_t mark)
{
    size_t at = (mark >> 1) & (set->capacity - 1);
    while (set->slots[at] != 0 && (set->slots[at] & ~1ull) != mark)
        at = (at + 1) & (set->capacity - 1);
    return at;
}

static enum resp_db_member member(uint64_t slot)
{
    if (slot == 0)
        return RESP_DB_ABSENT;
    return (slot & 1) != 0 ? RESP_DB_MARKED : RESP_DB_PRESENT;
}

static bool grow(struct resp_db_set *set)
{
    struct resp_db_set larger = {.capacity = set->capacity != 0 ? set->capacity * 2 : SMALLEST,
                                 .count = set->count};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        return false;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->slots[i] != 0)
            larger.slots[place_of(&larger, set->slots[i] & ~1ull)] = set->slots[i];
    free(set->slots);
    *set = larger;
    return true;
}

void resp_db_set_deinit(struct resp_db_set *set)
{
    free(set->slots);
    *set = (struct resp_db_set){0};
}

bool resp_db_set_put(struct resp_db_set *set, uint64_t hash, bool marked, enum resp_db_member *was)
{
    uint64_t mark = mark_of(hash);
    if (set->count >= set->capacity / 4 * 3 && !grow(set))
        return false;
    size_t at = place_of(set, mark);
    *was = member(set->slots[at]);
    set->count += *was == RESP_DB_ABSENT;
    set->slots[at] = mark | (marked ? 1 : 0);
    return true;
}

enum resp_db_member resp_db_set_remove(struct resp_db_set *set, uint64_t hash)
{
    if (set->capacity == 0)
        return RESP_DB_ABSENT;
    size_t mask = set->capacity - 1, hole = place_of(set, mark_of(hash));
    enum resp_db_member was = member(set->slots[hole]);
    if (was == RESP_DB_ABSENT)
        return was;
    // Those behind the hole that could not be found any more move into it.
    for (size_t at = (hole + 1) & mask; set->slots[at] != 0; at = (at + 1) & mask) {
        size_t home = (set->slots[at] >> 1) & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        set->slots[hole] = set->slots[at];
        hole = at;
    }
    set->slots[hole] = 0;
    set->count--;
    return was;
}
