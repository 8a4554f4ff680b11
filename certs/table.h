// A hash table from byte strings to pointers, for the pairing of an import: up to millions of entries, only
// ever added to. The table copies its keys and owns nothing else. One thread.
#ifndef MEC_CERTS_TABLE_H
#define MEC_CERTS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct table;

struct table *table_create(void); // NULL without memory
void table_destroy(struct table **table);

// The value stored under a key; NULL when there is none.
void *table_get(const struct table *table, const void *key, size_t len);
// Stores a value (not NULL), replacing one. False without memory; then nothing was changed.
bool table_put(struct table *table, const void *key, size_t len, void *value);
size_t table_count(const struct table *table);

#endif
