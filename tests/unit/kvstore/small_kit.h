// A store of a few keys with every kind of history, in a folder of its own, for tests that damage its files: what must be there is known to the byte.
#ifndef SMALL_KIT_H
#define SMALL_KIT_H

#include "kv_kit.h"

struct small_entry {
    const char *key, *value; // NULL: deleted
};
#define SMALL_ENTRIES 6u
extern const struct small_entry small_entries[SMALL_ENTRIES];

// The folder of the test that runs.
extern char small_dir[128];
// cmocka's: an empty folder, or one with the small store in it, closed.
int small_setup_folder(void **state);
int small_setup(void **state);
int small_teardown(void **state);
// Writes the small store's history into a store.
void small_fill(struct kv_store *store);

#endif
