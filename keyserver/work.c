// What a crypto thread does with a batch of operations.
#include "keyserver/work.h"

#include <stdatomic.h>

#include "common/clock.h"
#include "keyserver/keyop_run.h"
#include "keyserver/keyring.h"
#include "keyserver/loop.h"

static void run_one(const struct keyring *ring, struct keyop *op)
{
    struct ks_key *key;

    if (op->started_ns > op->deadline_ns || atomic_load_explicit(&op->abandoned, memory_order_relaxed)) {
        op->status = SKI_BUSY;
        return;
    }
    op->status = keyring_find(ring, op->request.spki, &key);
    if (op->status != SKI_OK)
        return;
    op->key_type = key->type;
    op->key_bits = key->bits;
    op->status = keyop_run(&op->request, key, op->output, &op->output_len);
    ks_key_unref(&key);
}

void work_run(void *arg, struct keyop **ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ops[i]->started_ns = clock_ns();
        run_one(arg, ops[i]);
        ops[i]->finished_ns = clock_ns();
    }
    for (size_t i = 0; i < count; i++) // together: their loop wakes up once
        loop_complete(ops[i]);
}
