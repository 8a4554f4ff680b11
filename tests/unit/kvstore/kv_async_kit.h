// What the tests of gets that never block share: what becomes of a number of them.
#ifndef MEC_TESTS_KV_ASYNC_KIT_H
#define MEC_TESTS_KV_ASYNC_KIT_H

#include <pthread.h>

#include "kv_read_kit.h"

#define KEYS 1200u
#define LEN  3000u

struct tally {
    struct kv_store *store;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned pending, called, right, not_found, failed[KV_BAD_FORMAT + 1];
    unsigned on_callers_thread;
    pthread_t caller;
};
struct pending {
    struct tally *tally;
    unsigned number, calls;
    size_t len; // 0: that of read_kit_len()
};

void tally_init(struct tally *tally, struct kv_store *store);
// For kv_done_fn; arg is a struct pending.
void tally_done(void *arg, enum kv_status status, const struct kv_view *view);
// Waits until all that are pending have been called.
void tally_await(struct tally *tally);

#endif
