// A store whose values go to disk and come back, for the tests of bringing them back.
#ifndef WARM_KIT_H
#define WARM_KIT_H

#include <stdint.h>

#include "kv_kit.h"

#define WARM_KEYS      8000u // keys are uint32_t from 0 on
#define WARM_VALUE_LEN 4000u

struct warm_fixture {
    char dir[128];
    struct kv_store *store;
    struct kv_options options;
};

// cmocka's: a store of WARM_KEYS values, 32 MB, all in memory.
int warm_setup(void **state);
int warm_teardown(void **state);
// The same, and reads of files take warm_slow_us longer.
extern _Atomic unsigned warm_slow_us;
int warm_setup_slow(void **state);
int warm_teardown_slow(void **state);

void warm_fill_value(uint32_t key, uint8_t *value);
// Gets and compares.
void warm_get(struct kv_store *store, uint32_t key);
struct kv_stats warm_stats_of(struct warm_fixture *f);
// Until nothing is being brought back.
struct kv_stats warm_wait_idle(struct warm_fixture *f);
void warm_set_limit(struct warm_fixture *f, uint64_t bytes);
// A limit that leaves so much for values.
uint64_t warm_limit_for(struct warm_fixture *f, uint64_t value_bytes);
void warm_sleep_ms(unsigned ms);

#endif
