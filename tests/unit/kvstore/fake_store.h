// A store for tests of the layers above it: kv.h over an array in memory, with a clock that the test sets and
// failures on demand. One at a time per program, which links it in place of the engine.
#ifndef MEC_TESTS_FAKE_STORE_H
#define MEC_TESTS_FAKE_STORE_H

#include "kvstore/kv.h"

struct fake_store {                  // any thread, any time
    _Atomic uint64_t now_ms;         // 0: the system's clock
    _Atomic enum kv_status fail_put; // KV_OK: none
    _Atomic enum kv_status fail_get;
    _Atomic enum kv_status fail_delete;
    _Atomic enum kv_status fail_sync;
    _Atomic bool behind;        // kv_is_behind()
    _Atomic unsigned caught_up; // calls of kv_catch_up()
    _Atomic enum kv_status fail_scan;
    _Atomic enum kv_status fail_limit;
    _Atomic enum kv_status fail_clear;
    _Atomic enum kv_status fail_export; // after all have been visited
    // Keys for which kv_peek() says KV_PENDING, as of a record that is on disk; NULL: none. The test's own, called
    // by any thread.
    bool (*_Atomic on_disk)(const void *key, size_t key_len);
    size_t curve_points;       // of kv_hit_curve(): 1024 bytes and a share of 0.125 each
    _Atomic unsigned syncs;    // how often kv_sync() was called
    _Atomic unsigned waited;   // writes without KV_PUT_NO_WAIT
    _Atomic unsigned expected; // names that kv_expect() was given
    _Atomic unsigned held;     // puts with KV_PUT_HOLD since kv_write_held() was called last
};
extern struct fake_store fake;

struct kv_store *fake_store_open(void); // empty, no failures
void fake_store_close(struct kv_store *store);
uint64_t fake_store_now(void *arg); // for now_ms of options
// Removes what has expired and tells who is to be told, as the engine's thread does.
void fake_store_sweep(struct kv_store *store);

#endif
