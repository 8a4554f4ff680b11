// Ports: many reads of the disk in flight together, by io_uring or by the pool of threads, whichever the
// store has.
//
//   kv_port_take ─▶ push, push, push ─▶ run (hand over, wait for some) ─▶ pop, pop ─▶ push ... ─▶ kv_port_give
//
// A port is used by one thread from take to give, with kv_port_wake() the exception. Setting up a ring costs
// some hundred microseconds and binds it to the thread that did: ports are kept, and a thread gets its own
// again.
//
// A port has a slab: one block of KV_SLAB_BYTES for each read in flight, registered with the ring.
#ifndef MEC_KVSTORE_KV_PORT_H
#define MEC_KVSTORE_KV_PORT_H

#include <stdatomic.h>

#include "kvstore/kv.h"
#include "kvstore/kv_buffer.h"
#include "kvstore/kv_load.h"
#include "kvstore/kv_pool.h"
#include "kvstore/kv_ring.h"

#define KV_PORT_DEPTH 128u // reads in flight
#define KV_PORTS_KEPT 8u

struct kv_port {
    struct kv_store *store;
    struct kv_port *next;                      // while it is kept
    uint64_t owner;                            // number of the thread that made it
    struct kv_ring *ring;                      // NULL: threads
    uint8_t *slab;                             // KV_PORT_DEPTH blocks
    unsigned in_flight;                        // pushed and not yet popped
    struct kv_disk_read *queued, **queued_end; // for threads: pushed since the last run
    size_t queued_count;
    pthread_mutex_t lock; // guards what follows, for threads; a leaf
    pthread_cond_t came;
    struct kv_disk_read *back, **back_end;
    unsigned back_count, wanted;
    bool woken;
};

struct kv_async;

// All that a store reads with.
struct kv_readers {
    struct kv_buffers buffers;
    struct kv_pool pool;
    pthread_mutex_t lock; // guards the next three; a leaf
    struct kv_port *kept; // the one used last in front
    unsigned kept_count;
    struct kv_async *async; // kv_async.c; made by the first asynchronous get that misses
    bool ready;
    bool direct;        // O_DIRECT may be used; constant after open
    _Atomic bool uring; // io_uring may be used
    _Atomic uint64_t reads, direct_reads;
};

// Any kind but KV_RING_PLAIN is not kept: kv_port_close() instead of kv_port_give(). NULL: no memory; KV_RING_NOTIFIES: or no ring.
struct kv_port *kv_port_take(struct kv_store *store, enum kv_ring_kind kind);
// Nothing is in flight.
void kv_port_give(struct kv_port *port);
// Closes those that are kept beyond what the memory limit is worth (kv_set_memory_limit() has lowered it).
void kv_port_trim(struct kv_store *store);
// The same for one that is not kept.
void kv_port_close(struct kv_port *port);
// Reads may still be in flight that nobody will hear of: port and slab stay where they are for ever.
void kv_port_abandon(struct kv_port *port);

// Block number i of the slab.
static inline uint8_t *kv_port_slab(const struct kv_port *port, unsigned i)
{
    return port->slab + (size_t)i * KV_SLAB_BYTES;
}

// KV_PORT_DEPTH at most may be in flight.
void kv_port_push(struct kv_port *port, struct kv_disk_read *read);
// Hands over what was pushed and waits until `least` can be popped, or somebody wakes it. False: the ring has
// failed; the port is to be abandoned and everything in flight done anew.
bool kv_port_run(struct kv_port *port, unsigned least);
// One that has been done, result set; NULL: none at the moment.
struct kv_disk_read *kv_port_pop(struct kv_port *port);
// KV_RING_WAKEABLE: ends the wait of kv_port_run(), this one or the next. Any thread.
void kv_port_wake(struct kv_port *port);

// KV_RING_NOTIFIES (kv_ring.h): the eventfd; handing over and looking without waiting, false as of kv_port_run().
int kv_port_fd(const struct kv_port *port);
bool kv_port_poll(struct kv_port *port);

// For the pool: gives a read back.
void kv_port_done(struct kv_port *port, struct kv_disk_read *read);

// Ends the thread of the asynchronous gets after those that are pending (kv_async.c).
void kv_async_stop(struct kv_store *store);

#endif
