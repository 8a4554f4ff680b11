// What the tests of the index snapshot share: a store whose every key is known, and crashes of it. A crash is
// a copy of the folder of a store that is open (kill -9; power failures: kv_crash_kit.h). Helpers fail the
// running test themselves.
#ifndef MEC_TESTS_KV_SNAPSHOT_KIT_H
#define MEC_TESTS_KV_SNAPSHOT_KIT_H

#include "kv_kit.h"

#define SNAP_KEYS 400u

extern char snap_dir[128];

// What a key should be: its version (0: not there) decides its value.
struct snap_expected {
    uint32_t version;
    uint64_t expire_ms;
};
extern struct snap_expected snap_model[SNAP_KEYS];
extern uint32_t snap_versions;

// Fixtures of each test: an empty folder and model.
int snap_setup(void **state);
int snap_teardown(void **state);

uint32_t snap_roll(uint32_t below);
// A value's bytes; returns how many.
size_t snap_make_value(uint32_t key, uint32_t version, uint8_t out[2048]);

// Writes, noted in the model.
void snap_put(struct kv_store *store, uint32_t key, uint64_t expire_ms);
void snap_drop(struct kv_store *store, uint32_t key);
void snap_expire(struct kv_store *store, uint32_t key, uint64_t expire_ms);
void snap_some_writes(struct kv_store *store, unsigned count);

// The store is as the model says: one key; all of them and their numbers; the live figures, by the index.
void snap_check_key(struct kv_store *store, uint32_t key);
void snap_check_all(struct kv_store *store);
void snap_check_live(struct kv_store *store);

// How many keys the store took from the snapshot when it was opened.
uint64_t snap_keys(struct kv_store *store);
bool snap_has_index(const char *folder);
// Opens a copy of the folder as a crash now would leave it. by_snapshot: that is how it must have been
// opened.
void snap_check_crash(struct kv_store *running, bool by_snapshot);
// Closes without writing anything more: many opens in little time.
void snap_abandon(struct kv_store **store);

#endif
