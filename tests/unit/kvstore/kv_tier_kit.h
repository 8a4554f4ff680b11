// What the tests of the memory tier share: a store of their own, its budget, numbered keys with values that say whose they are.
#ifndef MEC_TESTS_KV_TIER_KIT_H
#define MEC_TESTS_KV_TIER_KIT_H

#include "kv_kit.h"

#include "kvstore/kv_internal.h"

#define MB  (1u << 20)
#define LEN 900u // a value whose record takes 944 bytes

extern struct kv_store *store;

int setup(void **state);
int teardown(void **state);
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

struct kv_stats stats(void);
// Sets the limit so that the tier's budget is this.
void set_budget(uint64_t bytes);
uint64_t next(uint64_t *x); // pseudo-random
void fill_value(uint32_t key, uint8_t *value, size_t len);
void put(uint32_t key, size_t len);
// Checks the value (up to 16 KiB). True: memory had it.
bool get(uint32_t key, size_t len);
double hit_ratio(uint32_t from, uint32_t count, size_t len);
struct kv_slot slot_of(uint32_t key);
bool is_cached(uint32_t key);
// Whether the bytes are anywhere in the tier, reachable or not.
bool in_memory(const void *bytes, size_t len);
// What every chunk counts as dead is what can be seen in it, and what has been noted of it is a part of that. Nobody is at work.
void check_counts(void);
// Resident is 1.3 times what is live at most, and so many chunks.
void check_resident(unsigned chunks);

#endif
