// What waits for the crypto threads, and what a free one does next. No threads and no locks in here: the pool
// calls it with its lock held.
//
// Each queue is fair: edges take turns (fair_queue.h), in being looked up as in being computed, so that one that sends more than
// can be computed waits for itself. How much it may have waiting depends on the room that is left (S. Choudhury, E. Hahne, "Dynamic queue length
// thresholds", 1998): the others find some always. And what would wait too long is not taken in at all (admission.h), by what
// is in front of it when edges take turns.
//
//   submitted ──▶ fast ────────────────────────────────────▶ RUN
//            └──▶ slow ──▶ FIND its key ──▶ ready, by size ──▶ RUN one, or BATCH
//                                      └──▶ (no size of the engine's, or no key): run by the thread that looked
//
// Without an engine, slow ones are run as fast ones are.
#ifndef MEC_KEYSERVER_POOL_QUEUES_H
#define MEC_KEYSERVER_POOL_QUEUES_H

#include "keyserver/admission.h"
#include "keyserver/fair_queue.h"
#include "keyserver/pool.h"

struct pool_queues {
    const struct pool_options *options;
    struct fair_queue kinds[POOL_KINDS];
    struct {
        struct fair_queue queue;
        struct engine_rate rate;
    } ready[ENGINE_SIZES];
    size_t ready_count; // in all of them
    size_t finding;     // taken to be looked up, not yet ready nor run
    unsigned fast_in_row;
    struct admission admission;
};

enum pool_turn_kind { POOL_TURN_NONE, POOL_TURN_RUN, POOL_TURN_FIND, POOL_TURN_BATCH };

struct pool_turn {
    enum pool_turn_kind kind;
    enum pool_kind from; // the queue; not with NONE
    size_t count;
    struct keyop *ops[POOL_BATCH_MAX];
    uint64_t wait_ns; // NONE: ask again then; 0: when something has come
};

// options stay the caller's and have to outlive it.
void pool_queues_init(struct pool_queues *q, const struct pool_options *options);

// Takes an operation in that came at op->received_ns; false, and op->busy set: too many wait, or too many of its edge.
bool pool_queues_put(struct pool_queues *q, struct keyop *op, enum pool_kind kind);
// Takes back one that was given out by FIND: it has its key and waits for others of its size.
void pool_queues_put_ready(struct pool_queues *q, struct keyop *op, unsigned size, uint64_t now_ns);
// So many given out by FIND were or will be run without coming back.
void pool_queues_found(struct pool_queues *q, size_t count, uint64_t now_ns);

// What the calling thread is to do now. spare: threads with nothing to do besides it. after_find: it has just looked
// for keys, and this is still its turn for the slow ones. stop: nothing more comes, do not wait for it.
void pool_queues_next(struct pool_queues *q, uint64_t now_ns, unsigned spare, bool after_find, bool stop,
                      struct pool_turn *turn);

// Operations that wait, in all queues.
size_t pool_queues_waiting(const struct pool_queues *q);

#endif
