// What a crypto thread does with operations: find the key, compute, hand each back to its loop.
#ifndef MEC_KEYSERVER_WORK_H
#define MEC_KEYSERVER_WORK_H

#include <stddef.h>

#include "keyserver/engine.h"
#include "keyserver/keyop.h"
#include "keyserver/keyring.h"
#include "keyserver/stats.h"

struct work {
    const struct keyring *ring;
    struct engine *engine;
    const struct stats *stats; // of the access policy
};

// The calls of pool_options; arg: the struct work. Any thread. An operation past its deadline is not
// computed: SKI_EXPIRED; nor is one whose connection is gone: SKI_BUSY.
void work_run(void *arg, unsigned thread, struct keyop **ops, size_t count);
int work_find(void *arg, struct keyop *op);
void work_run_batch(void *arg, unsigned thread, struct keyop **ops, size_t count);
struct engine_choice work_choose(void *arg, unsigned size, const struct engine_load *load);

#endif
