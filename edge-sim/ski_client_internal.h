// Between ski_client.c (threads, queue, deadlines) and ski_pool.c (connections): the parts of a client.
// Everything but the inbox and the counters belongs to the loop's thread.
#ifndef MEC_EDGE_SIM_SKI_CLIENT_INTERNAL_H
#define MEC_EDGE_SIM_SKI_CLIENT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <event2/event.h>

#include "edge-sim/ski_client.h"
#include "edge-sim/ski_conn.h"

// A place for one connection, and the calls under way on it in the order they were sent.
struct ski_conn_slot {
    struct ski_client *client;
    struct ski_conn *conn; // NULL while waiting to reconnect
    struct event *reconnect;
    struct ski_call **ring; // in_flight places; NULL: the call was abandoned, its answer is dropped
    unsigned head, count;
    unsigned backoff_ms;
    bool open;
    bool proven;   // this connection brought an answer
    bool complain; // the next failure is news
    bool dirty;    // has bytes to flush
};

struct ski_client {
    struct ski_transport transport; // first: the transport is the client
    struct ski_client_config config;
    struct ski_endpoint *endpoint;
    struct event_base *base;
    struct event *wake;
    struct event *deadline_timer;
    uint64_t armed_ns; // when deadline_timer fires; 0: it is not set
    struct event *flush;
    pthread_t thread;
    bool thread_started;
    int wake_fd;

    pthread_mutex_t lock; // inbox, stopping
    struct ski_call *inbox_head, *inbox_tail;
    bool stopping;

    struct ski_conn_slot *slots; // config.connections
    unsigned turn;               // where the search for a slot begins
    struct ski_call *pending_head, *pending_tail;
    unsigned pending_count;
    struct ski_call *deadline_head, *deadline_tail; // every call that is pending or in flight, soonest first

    _Atomic uint64_t answered, unanswered, retried, connected;
    _Atomic unsigned open;
};

// ski_client.c
void ski_client_finish(struct ski_client *client, struct ski_call *call, enum ski_status status);
void ski_client_requeue(struct ski_client *client, struct ski_call *call); // in front
void ski_client_dispatch(struct ski_client *client);

// ski_pool.c
bool ski_pool_start(struct ski_client *client, struct error *e);
// Sends the call on the best connection. False when none has room.
bool ski_pool_send(struct ski_client *client, struct ski_call *call);
void ski_pool_flush(struct ski_client *client);
// Lets go of a call in flight whose deadline passed; gives its connection up when that has been silent.
void ski_pool_abandon(struct ski_call *call);
// Closes everything, finishing calls in flight with SKI_STOPPED.
void ski_pool_stop(struct ski_client *client);

#endif
