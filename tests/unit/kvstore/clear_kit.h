// The store that the tests of kv_clear() clear, and what is left of it.
#ifndef CLEAR_KIT_H
#define CLEAR_KIT_H

#include "fixture_kit.h"

#define CLEAR_KEYS 120u // uint32_t from 0 on
#define CLEAR_LEN  2000u

// cmocka's, with fixture_teardown(): an empty store.
int clear_setup(void **state);
void clear_fill_value(uint32_t key, uint32_t generation, uint8_t *value, size_t len);
enum kv_status clear_put(uint32_t key, uint32_t generation, unsigned flags);
void clear_put_all(void);
// How many of the keys are there, each with its value.
unsigned clear_there(void);
unsigned clear_files_like(const char *part);
void clear_expect_empty(void);

#endif
