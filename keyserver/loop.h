// An I/O thread: one libevent loop, its connections, and the mailbox by which others reach it.
//
// Everything of a loop belongs to its thread, but for the mailbox: new sockets from the listener, finished
// operations from the crypto threads, and orders (drain, stop). The loop takes the whole mailbox between two
// rounds of events, and goes to sleep only when it has found it empty; so a sender wakes it, by its eventfd, only
// when it sleeps, and then once.
#ifndef MEC_KEYSERVER_LOOP_H
#define MEC_KEYSERVER_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <event2/event.h>

#include "common/net.h"
#include "common/pulse.h"
#include "keyserver/conn_turns.h"
#include "keyserver/keyop.h"

struct server;
struct conn;

#define LOOP_OUT          16384   // bytes of answers sent together, at most
#define LOOP_COMPLETE_MAX 32      // operations handed back together
#define LOOP_TURNS_NS     500000u // of a round for connections that are open, beyond one turn
#define LOOP_OPEN_NS      500000u // of a round for connections that are not open yet, beyond one step of each kind

struct accepted { // a socket on its way to a loop
    struct accepted *next;
    int fd;
    bool migration; // it came to the migration listener
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
    struct accepted *accepted, **accepted_tail;
    bool drain_asked, stop_asked, shed_asked, recheck_asked;
    bool to_drain; // what drain_asked asks for
    bool mail;     // something was put in since it was last taken
    // It will look into the mailbox before it sleeps. Cleared by the loop with the lock held, set by whoever wakes it
    // with the lock held, and by the loop's own events at any time.
    _Atomic bool awake;

    // The loop thread's own.
    struct conn *conns;                       // all, a doubly linked list
    struct conn_turns turns;                  // those to go on with (conn_run_ready)
    struct conn_queue handshakes;             // those whose handshake can go on (conn_run_handshakes)
    struct accepted *opening, **opening_tail; // taken from the mailbox, not yet connections; oldest first
    struct keyop *free_ops;
    size_t free_count;
    bool draining, stopping;
    char out[LOOP_OUT];          // where answers are written: wiped as they leave
    _Atomic unsigned conn_count; // from loop_accept() on; read by others
    _Atomic uint64_t held;       // bytes of memory, by its connections; read by others
    struct pulse pulse;          // beats once a turn
};

// Starts the thread. False and *e set on failure (then nothing is left behind).
bool loop_start(struct loop *loop, struct server *server, unsigned number, struct error *e);
// Orders the loop to drop what is left and end; waits for it. All its operations must have come back (the
// pool is stopped first), or wait for their audit lines.
void loop_stop(struct loop *loop);

// Any thread: gives a socket (the loop's from then on) to the loop; false without memory.
bool loop_accept(struct loop *loop, int fd, const struct net_addr *addr, bool migration);
// Any thread: hands finished operations back, each to its loop; a loop gets its own together and is woken once at
// most. count: 1 to LOOP_COMPLETE_MAX.
void loop_complete_all(struct keyop *const *ops, size_t count);
static inline void loop_complete(struct keyop *op)
{
    loop_complete_all(&op, 1);
}
// Any thread: its connections come to their ends (conn_drain_all()); to be said again now and then until there are none.
// drain false: those that are left, and new ones, go on.
void loop_drain(struct loop *loop, bool drain);
// One thread at a time: asks the loop's pulse, unless it is asked already, and wakes the loop, unless its mailbox is locked: to
// be called again then. Never waits.
void loop_ask(struct loop *loop);

// Any thread: closes those of its connections that hold most, if all together hold too much.
void loop_shed(struct loop *loop);

// Any thread: closes those of its connections whose certificate is revoked by the present policy.
void loop_recheck(struct loop *loop);

// Loop thread only, from an event: until this round is over nobody needs to wake it.
static inline void loop_is_awake(struct loop *loop)
{
    atomic_store_explicit(&loop->awake, true, memory_order_relaxed);
}

// Loop thread only: a zeroed operation, NULL without memory; and its release, which wipes what may be secret.
struct keyop *loop_take_op(struct loop *loop);
void loop_release_op(struct loop *loop, struct keyop *op);

#endif
