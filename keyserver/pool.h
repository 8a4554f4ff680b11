// The crypto threads. Operations wait in two queues, so that RSA (hundreds of microseconds to milliseconds)
// does not hold up ECDSA (tens): a free thread takes from the fast queue first, and after FAST_SHARE batches
// in a row from the slow one, so that neither starves. A thread takes several operations at once when more
// wait than there are threads.
//
// With an RSA engine the slow ones have two stages: a thread finds their keys, then they wait by the size of their
// keys for others, to be computed eight at once, or singly (pool_queues.h, ENGINE.md).
#ifndef MEC_KEYSERVER_POOL_H
#define MEC_KEYSERVER_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/report.h"
#include "keyserver/engine_choice.h"
#include "keyserver/keyop.h"

struct pool;

enum pool_kind { POOL_FAST, POOL_SLOW, POOL_KINDS };

#define POOL_BATCH_MAX ENGINE_LANES

struct pool_options {
    unsigned threads;
    size_t queue_limit; // operations waiting in each queue, at most: many RSA requests leave room for ECDSA
    bool admission;     // refuse what would wait too long (admission.h)
    uint64_t target_ns; // of it; 0: from what operations take
    size_t batch[POOL_KINDS]; // operations a thread takes at once, 1 to POOL_BATCH_MAX
    // Computes operations, one after the other; every operation is the callee's, which hands each back to its loop.
    // thread: 0 to threads - 1, whose it is, in all calls of the same thread.
    void (*run)(void *arg, unsigned thread, struct keyop **ops, size_t count);
    void *arg;

    // With an engine; without, all are NULL.
    // Finds an operation's key: the number of its size (engine_choice.h) when it may be part of a batch, else -1: then
    // it goes to run() at once, by the same thread.
    int (*find)(void *arg, struct keyop *op);
    // Computes operations of one size at once; they are the callee's as those of run().
    void (*run_batch)(void *arg, unsigned thread, struct keyop **ops, size_t count);
    // What to do with operations of a size that wait; short, since the pool's lock is held.
    struct engine_choice (*choose)(void *arg, unsigned size, const struct engine_load *load);
    uint64_t fill_wait_ns; // engine_load.limit_ns
};

struct pool *pool_create(const struct pool_options *options, struct error *e);
// Takes no further operations, runs those that are queued, and ends the threads. Submitters may be active:
// they get false. NULL is fine.
void pool_stop(struct pool *pool);
// Stops if needed, frees, sets *pool to NULL. No submitter may be active any more.
void pool_destroy(struct pool **pool);

// Gives an operation, with its received_ns and deadline_ns, to the pool. False: too much waits, as op->busy says, and it
// stays the caller's. Any thread.
bool pool_submit(struct pool *pool, struct keyop *op, enum pool_kind kind);
size_t pool_waiting(struct pool *pool);
// How long operations may wait when too much is asked for; 0: not known yet, or without bound.
uint64_t pool_target_ns(struct pool *pool);

// For the watchdog: has the threads' pulses asked; they answer by themselves, within half a second if they have no work.
void pool_ask(struct pool *pool);
// The number, `from` at least, of a thread that has not answered; -1: all have.
int pool_stuck(const struct pool *pool, int from);

#endif
