#include "certs/table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

struct slot {
    uint64_t hash;
    void *value; // NULL: free
    char *key;
    size_t len;
};

struct table {
    struct slot *slots; // linear probing, a power of two, at most three quarters in use
    size_t size;
    size_t count;
    uint64_t seed; // inputs may come from anybody
};

#define FIRST_SIZE 64

struct table *table_create(void)
{
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    table->size = FIRST_SIZE;
    table->slots = calloc(table->size, sizeof *table->slots);
    if (getrandom(&table->seed, sizeof table->seed, 0) != (ssize_t)sizeof table->seed || table->slots == NULL)
        table_destroy(&table);
    return table;
}

void table_destroy(struct table **table)
{
    if (*table == NULL)
        return;
    for (size_t i = 0; (*table)->slots != NULL && i < (*table)->size; i++)
        free((*table)->slots[i].key);
    free((*table)->slots);
    free(*table);
    *table = NULL;
}

// The slot that holds the key, or the free one where it belongs.
static struct slot *find(struct slot *slots, size_t size, uint64_t hash, const void *key, size_t len)
{
    for (size_t i = hash & (size - 1);; i = (i + 1) & (size - 1)) {
        struct slot *slot = &slots[i];
        if (slot->value == NULL)
            return slot;
        if (slot->hash == hash && slot->len == len && memcmp(slot->key, key, len) == 0)
            return slot;
    }
}

void *table_get(const struct table *table, const void *key, size_t len)
{
    uint64_t hash = XXH3_64bits_withSeed(key, len, table->seed);
    return find(table->slots, table->size, hash, key, len)->value;
}

static bool grow(struct table *table)
{
    size_t size = table->size * 2;
    struct slot *slots = calloc(size, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < table->size; i++) {
        const struct slot *old = &table->slots[i];
        if (old->value != NULL)
            *find(slots, size, old->hash, old->key, old->len) = *old;
    }
    free(table->slots);
    table->slots = slots;
    table->size = size;
    return true;
}

bool table_put(struct table *table, const void *key, size_t len, void *value)
{
    if (table->count >= table->size / 4 * 3 && !grow(table))
        return false;
    uint64_t hash = XXH3_64bits_withSeed(key, len, table->seed);
    struct slot *slot = find(table->slots, table->size, hash, key, len);
    if (slot->value == NULL) {
        char *copy = malloc(len + 1);
        if (copy == NULL)
            return false;
        memcpy(copy, key, len);
        *slot = (struct slot){.hash = hash, .key = copy, .len = len};
        table->count++;
    }
    slot->value = value;
    return true;
}

size_t table_count(const struct table *table)
{
    return table->count;
}
