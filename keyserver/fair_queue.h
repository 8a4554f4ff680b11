// Operations that wait, taken in turn from those who sent them: of N edges that have some waiting each gets an N-th of the turns, however many one of them
// has. Stochastic fair queueing (P. McKenney, "Stochastic Fairness Queueing", 1990): edges are hashed into a fixed number of flows, and those
// that share one share a turn. An edge's own operations stay in order.
//
// No memory is taken, nothing is searched: push and pop are a few instructions. No threads and no locks in here.
#ifndef MEC_KEYSERVER_FAIR_QUEUE_H
#define MEC_KEYSERVER_FAIR_QUEUE_H

#include "keyserver/keyop.h"

#define FAIR_FLOWS 256

struct fair_flow {
    struct keyop *head, **tail;
    size_t count;
    struct fair_flow *next; // of those that have something
};

struct fair_queue {
    struct fair_flow flow[FAIR_FLOWS];
    struct fair_flow *first, **last; // the first has the next turn
    size_t count;
    unsigned flows; // that have something
};

// It stays where it is from then on.
void fair_queue_init(struct fair_queue *q);
// Behind what op->flow has waiting.
void fair_queue_push(struct fair_queue *q, struct keyop *op);
// The next one; the queue is not empty. Its flow goes behind all others.
struct keyop *fair_queue_pop(struct fair_queue *q);
// What fair_queue_pop() would give.
const struct keyop *fair_queue_head(const struct fair_queue *q);
// How many of this operation's flow wait.
size_t fair_queue_flow(const struct fair_queue *q, const struct keyop *op);

#endif
