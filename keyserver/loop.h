// An I/O thread: one libevent loop, its connections, and the mailbox by which others reach it.
//
// Everything of a loop belongs to its thread, but for the mailbox: new sockets from the listener, finished
// operations from the crypto threads, and orders (drain, stop). A sender puts into the mailbox, then wakes
// the loop by its eventfd if the mailbox was empty; the loop reads the eventfd, then takes the whole mailbox.
#ifndef MEC_KEYSERVER_LOOP_H
#define MEC_KEYSERVER_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <event2/event.h>

#include "common/net.h"
#include "keyserver/keyop.h"

struct server;
struct conn;

struct accepted { // a socket on its way to a loop
    struct accepted *next;
    int fd;
    struct net_addr addr;
};

struct loop {
    struct server *server;
    struct event_base *base;
    pthread_t thread;
    int wake_fd;
    struct event *wake_event;

    pthread_mutex_t lock; // the mailbox
    struct keyop *completed, **completed_tail;
    struct accepted *accepted;
    bool drain_asked, stop_asked, shed_asked, recheck_asked, woken;

    // The loop thread's own.
    struct conn *conns; // all, a doubly linked list
    struct keyop *free_ops;
    size_t free_count;
    bool draining;
    _Atomic unsigned conn_count; // read by others
    _Atomic uint64_t held;       // bytes of memory, by its connections; read by others
};

// Starts the thread. False and *e set on failure (then nothing is left behind).
bool loop_start(struct loop *loop, struct server *server, unsigned number, struct error *e);
// Orders the loop to drop what is left and end; waits for it. All its operations must have come back (the
// pool is stopped first), or wait for their audit lines.
void loop_stop(struct loop *loop);

// Any thread: gives a socket (the loop's from then on) to the loop; false without memory.
bool loop_accept(struct loop *loop, int fd, const struct net_addr *addr);
// Any thread: hands finished operations back; a batch of one loop's wakes it once.
void loop_complete(struct keyop *op);
// Any thread: no new requests; connections close when their answers are out.
void loop_drain(struct loop *loop);

// Any thread: closes those of its connections that hold most, if all together hold too much.
void loop_shed(struct loop *loop);

// Any thread: closes those of its connections whose certificate is revoked by the present policy.
void loop_recheck(struct loop *loop);

// Loop thread only: a zeroed operation, NULL without memory; and its release, which wipes what may be secret.
struct keyop *loop_take_op(struct loop *loop);
void loop_release_op(struct loop *loop, struct keyop *op);

#endif
