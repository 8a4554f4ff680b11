// Connections that a loop goes on with by itself, and whose turn it is: edges take turns in a loop, as their operations do in the queues
// (fair_queue.h), so that one that sends without end, over however many connections, takes of the loop's time no more than each of the others wants.
// Stochastic fair queueing: edges are hashed into a fixed number of flows, those that share one share its turns.
//
// A connection is in one queue at most, and leaves it at any time. A loop's own: no threads, no locks, no memory taken.
#ifndef MEC_KEYSERVER_CONN_TURNS_H
#define MEC_KEYSERVER_CONN_TURNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONN_FLOWS 256

struct conn;

struct conn_queue { // oldest first
    struct conn *first, **last;
    size_t count;
};

struct conn_flow {
    struct conn_queue queue;
    struct conn_flow *next; // of those that have turns
    bool in_turn;           // it is among them; its queue may have run empty
};

struct conn_turns {
    struct conn_flow flow[CONN_FLOWS];
    struct conn_flow *first, **last; // the first has the next turn
};

void conn_queue_init(struct conn_queue *queue);
// Puts it at the end of a queue of its loop, unless it is in one; takes it out of the one that it is in.
void conn_enqueue(struct conn *c, struct conn_queue *queue);
void conn_dequeue(struct conn *c);

// It stays where it is from then on.
void conn_turns_init(struct conn_turns *turns);
// Behind what its flow has there, unless it is in a queue already. flow: of its edge, any number.
void conn_turns_add(struct conn_turns *turns, struct conn *c, uint32_t flow);
// Takes the next one out, and its flow goes behind the others; NULL: there is none.
struct conn *conn_turns_next(struct conn_turns *turns);

#endif
