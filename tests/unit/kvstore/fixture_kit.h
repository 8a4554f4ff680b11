// One store in a folder of its own, for tests that have the same one from beginning to end: its setup begins it with the options that the test is about.
#ifndef FIXTURE_KIT_H
#define FIXTURE_KIT_H

#include "kv_kit.h"

struct fixture {
    char dir[128];
    struct kv_store *store;
    struct kv_options options;
};
extern struct fixture fixture;

// A new folder, the kit's clock at its start, no faults, and a store with these options, which are kept.
void fixture_begin(const struct kv_options *options);
// Opens the store again, which must be closed.
void fixture_open(void);
void fixture_open_limited(uint64_t limit_bytes); // with another limit
void fixture_reopen(void);                       // closes it first, and ends all faults
// cmocka's.
int fixture_teardown(void **state);

struct kv_stats fixture_stats(void);

#endif
