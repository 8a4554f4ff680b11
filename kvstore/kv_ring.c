#include "kvstore/kv_ring.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "kvstore/kv_io.h"
#include "kvstore/kv_load.h"
#include "kvstore/kv_tsan.h"

// liburing maps and unmaps a ring's memory by system calls of its own, which ThreadSanitizer does not see: it would take a ring that is made where another
// thread's was for the same memory.
#if KV_TSAN
#include <sanitizer/tsan_interface.h>
static char rings;
#define RING_APPEARS() __tsan_acquire(&rings)
#define RING_GOES()    __tsan_release(&rings)
#else
#define RING_APPEARS() ((void)0)
#define RING_GOES()    ((void)0)
#endif

#define BUSY_WAIT_NS 1000000 // before the kernel, short of something, is asked again

struct kv_ring {
    struct io_uring ring;
    bool slab_registered;
    enum kv_ring_kind kind;
    int fd; // an eventfd: what wakes it, or what it notifies by; -1: neither
    bool wake_armed;
};

// The best set-up that this kernel has: 6.1, 5.19, older.
static int set_up(struct io_uring *ring, unsigned depth, enum kv_ring_kind kind)
{
    const unsigned says = kind == KV_RING_NOTIFIES ? IORING_SETUP_TASKRUN_FLAG : 0;
    const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | says,
        IORING_SETUP_COOP_TASKRUN | says,
        0,
    };
    int error = EINVAL;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0] && error == EINVAL; i++) {
        struct io_uring_params params = {.flags = flags[i] | IORING_SETUP_CLAMP};
        error = -io_uring_queue_init_params(depth, ring, &params);
        RING_APPEARS();
        if (error == 0 && (params.features & IORING_FEAT_RW_CUR_POS) == 0) { // before 5.6: no IORING_OP_READ
            io_uring_queue_exit(ring);
            error = ENOSYS;
        }
    }
    return error;
}

static int make_eventfd(struct kv_ring *ring)
{
    ring->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ring->fd < 0)
        return errno;
    return ring->kind == KV_RING_NOTIFIES ? -io_uring_register_eventfd(&ring->ring, ring->fd) : 0;
}

int kv_ring_create(struct kv_ring **result, unsigned depth, void *slab, size_t slab_len,
                   enum kv_ring_kind kind)
{
    *result = NULL;
    struct kv_ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL)
        return ENOMEM;
    ring->kind = kind;
    ring->fd = -1;
    int error = set_up(&ring->ring, depth + 1, kind); // and the wake-up
    if (error != 0) {
        free(ring);
        return error;
    }
    if (kind != KV_RING_PLAIN && (error = make_eventfd(ring)) != 0) {
        kv_ring_destroy(&ring);
        return error;
    }
    // Under a small RLIMIT_MEMLOCK it stays unregistered: a little slower.
    const struct iovec iov = {.iov_base = slab, .iov_len = slab_len};
    ring->slab_registered = slab != NULL && io_uring_register_buffers(&ring->ring, &iov, 1) == 0;
    // The ring's descriptor is not registered: that is a thread's matter, and whoever closes the store is
    // another thread.
    *result = ring;
    return 0;
}

void kv_ring_destroy(struct kv_ring **ring)
{
    if (*ring == NULL)
        return;
    RING_GOES();
    io_uring_queue_exit(&(*ring)->ring);
    if ((*ring)->fd >= 0)
        (void)close((*ring)->fd);
    free(*ring);
    *ring = NULL;
}

void kv_ring_push(struct kv_ring *ring, struct kv_disk_read *read)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring); // depth + 1 entries: there is one
    if (read->slab && ring->slab_registered)
        io_uring_prep_read_fixed(sqe, read->fd, read->buf, (unsigned)read->len, read->offset, 0);
    else
        io_uring_prep_read(sqe, read->fd, read->buf, (unsigned)read->len, read->offset);
    io_uring_sqe_set_data(sqe, read);
}

// ---- waking

static void arm(struct kv_ring *ring)
{
    if (ring->kind != KV_RING_WAKEABLE || ring->wake_armed)
        return;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
    io_uring_prep_poll_add(sqe, ring->fd, POLLIN); // no buffer: nothing to write to after the ring's end
    io_uring_sqe_set_data(sqe, NULL);
    ring->wake_armed = true;
}

static void woken(struct kv_ring *ring)
{
    uint64_t n;
    ssize_t got = read(ring->fd, &n, sizeof n);
    (void)got; // empty: woken twice for one look
    ring->wake_armed = false;
}

void kv_ring_wake(struct kv_ring *ring)
{
    const uint64_t one = 1;
    ssize_t put = write(ring->fd, &one, sizeof one);
    (void)put; // full: it is awake
}

// ---- running

static bool is_passing(int error)
{
    return error == EINTR || error == EAGAIN || error == EBUSY || error == ENOMEM;
}

// least 0: completions that the kernel has put off (DEFER_TASKRUN) come as well.
static int enter(struct kv_ring *ring, unsigned least)
{
    int error = kv_io.ring_error != NULL ? kv_io.ring_error() : 0;
    if (error != 0)
        return error;
    int n = least != 0 ? io_uring_submit_and_wait(&ring->ring, least)
                       : io_uring_submit_and_get_events(&ring->ring);
    return n < 0 ? -n : 0;
}

int kv_ring_run(struct kv_ring *ring, unsigned least)
{
    arm(ring);
    for (;;) {
        int error = enter(ring, least);
        // The kernel may take a part of what is queued when it is short of something.
        if (error == 0 && io_uring_sq_ready(&ring->ring) == 0)
            return 0;
        if (error != 0 && !is_passing(error))
            return error;
        if (io_uring_cq_ready(&ring->ring) > 0 && io_uring_cq_ready(&ring->ring) >= least &&
            io_uring_sq_ready(&ring->ring) == 0)
            return 0;
        if (error != 0 && error != EINTR)
            (void)nanosleep(&(struct timespec){.tv_nsec = BUSY_WAIT_NS}, NULL);
    }
}

struct kv_disk_read *kv_ring_pop(struct kv_ring *ring, int *result)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&ring->ring, &cqe) == 0) {
        struct kv_disk_read *read = io_uring_cqe_get_data(cqe);
        *result = cqe->res;
        io_uring_cqe_seen(&ring->ring, cqe);
        if (read != NULL)
            return read;
        woken(ring);
    }
    return NULL;
}

// ---- notifying

int kv_ring_fd(const struct kv_ring *ring)
{
    return ring->fd;
}

// What comes while it is looked for need not be said. What comes between that look and the eventfd's being on again is not said either, but flagged: the kernel flags
// what it has before it looks whether to say it. Then it is looked for once more, with the eventfd on. (Not until the flag is gone: it may be set after what
// it stands for has been taken, and then stays.)
int kv_ring_poll(struct kv_ring *ring)
{
    (void)io_uring_cq_eventfd_toggle(&ring->ring, false);
    int error = kv_ring_run(ring, 0);
    (void)io_uring_cq_eventfd_toggle(&ring->ring, true);
    atomic_thread_fence(memory_order_seq_cst);
    if (error == 0 && (IO_URING_READ_ONCE(*ring->ring.sq.kflags) & IORING_SQ_TASKRUN) != 0)
        error = kv_ring_run(ring, 0);
    return error;
}
