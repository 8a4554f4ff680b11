// io_uring for reads of one port.
//
// Used by the thread that made it and by no other (IORING_SETUP_SINGLE_ISSUER, DEFER_TASKRUN where the kernel
// has them: completions are then run when the owner waits, many at a time, and nobody is interrupted for
// them), but kv_ring_wake(), which any thread may call.
//
// The port's slab is registered, so that the kernel need not look up and pin its pages for each read. Files
// are not registered: the ring would hold on to removed segments, whose space (and values) must go at once.
#ifndef MEC_KVSTORE_KV_RING_H
#define MEC_KVSTORE_KV_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_disk_read;
struct kv_store;
struct kv_ring;

enum kv_ring_kind {
    KV_RING_PLAIN,
    KV_RING_WAKEABLE, // kv_ring_wake() will be used
    KV_RING_NOTIFIES, // kv_ring_fd() says when there is something for kv_ring_poll() to do
};

// For `depth` reads in flight. 0 or an errno value; EPERM, ENOSYS and EINVAL: this system has no io_uring for us.
int kv_ring_create(struct kv_ring **ring, unsigned depth, void *slab, size_t slab_len,
                   enum kv_ring_kind kind);
// No read is in flight. NULL is fine.
void kv_ring_destroy(struct kv_ring **ring);

// Queues a read; `depth` at most are queued or in flight.
void kv_ring_push(struct kv_ring *ring, struct kv_disk_read *read);
// Hands the queued ones to the kernel and waits until `least` have come back or it is woken. 0, or an errno
// value: the ring is of no more use, and reads may still be going on: what they write to must not be used
// again.
int kv_ring_run(struct kv_ring *ring, unsigned least);
// The next one that has come back, its result in *result; NULL: none.
struct kv_disk_read *kv_ring_pop(struct kv_ring *ring, int *result);

void kv_ring_wake(struct kv_ring *ring);

// ---- for who waits elsewhere

// An eventfd that is written to when something has come back (edge-triggered: nobody needs to read it).
int kv_ring_fd(const struct kv_ring *ring);
// As kv_ring_run(), but waits for nothing. What comes back later the eventfd will say.
int kv_ring_poll(struct kv_ring *ring);

#endif
