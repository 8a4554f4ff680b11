// A store for tests of the layers above it: kv.h over an array in memory, with a clock that the test sets and
// failures on demand. One at a time per program, which links it in place of the engine.
#ifndef MEC_TESTS_FAKE_STORE_H
#define MEC_TESTS_FAKE_STORE_H

#include "kvstore/kv.h"

struct fake_store {
    uint64_t now_ms;         // 0: the system's clock
    enum kv_status fail_put; // KV_OK: none
    enum kv_status fail_get;
    enum kv_status fail_delete;
    enum kv_status fail_sync;
    enum kv_status fail_scan;
    unsigned syncs;  // how often kv_sync() was called
    unsigned waited; // writes without KV_PUT_NO_WAIT
};
extern struct fake_store fake;

struct kv_store *fake_store_open(void); // empty, no failures
void fake_store_close(struct kv_store *store);
uint64_t fake_store_now(void *arg); // for now_ms of options

#endif
