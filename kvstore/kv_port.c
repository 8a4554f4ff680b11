#include "kvstore/kv_port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvstore/kv_internal.h"

#define SLAB_BYTES    ((size_t)KV_PORT_DEPTH * KV_SLAB_BYTES)
#define MEMORY_A_PORT (16u << 20) // of the store's limit, for each port that is kept beyond two

// A number of its own for each thread that ever asks; unlike a thread's id it is not used again.
static uint64_t thread_number(void)
{
    static _Atomic uint64_t last;
    static _Thread_local uint64_t mine;
    if (mine == 0)
        mine = atomic_fetch_add(&last, 1) + 1;
    return mine;
}

// ---- making and keeping

void kv_port_close(struct kv_port *port)
{
    kv_ring_destroy(&port->ring);
    (void)munmap(port->slab, SLAB_BYTES);
    kv_account(port->store, -(int64_t)SLAB_BYTES);
    (void)pthread_cond_destroy(&port->came);
    (void)pthread_mutex_destroy(&port->lock);
    free(port);
}

// Not to be had now or never: then threads do it.
static void try_ring(struct kv_port *port, enum kv_ring_kind kind)
{
    struct kv_readers *readers = &port->store->readers;
    if (!atomic_load(&readers->uring))
        return;
    int error = kv_ring_create(&port->ring, KV_PORT_DEPTH, port->slab, SLAB_BYTES, kind);
    if (error == ENOSYS || error == EPERM || error == EACCES || error == EINVAL)
        atomic_store(&readers->uring, false);
}

static struct kv_port *port_new(struct kv_store *store, enum kv_ring_kind kind)
{
    struct kv_port *port = calloc(1, sizeof *port);
    if (port == NULL)
        return NULL;
    void *slab = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slab == MAP_FAILED) {
        free(port);
        return NULL;
    }
    (void)madvise(slab, SLAB_BYTES, MADV_DONTDUMP); // values pass through it
    kv_account(store, (int64_t)SLAB_BYTES);
    port->store = store;
    port->slab = slab;
    port->owner = thread_number();
    port->queued_end = &port->queued;
    port->back_end = &port->back;
    (void)pthread_mutex_init(&port->lock, NULL);
    (void)pthread_cond_init(&port->came, NULL);
    try_ring(port, kind);
    if (kind == KV_RING_NOTIFIES && port->ring == NULL) {
        kv_port_close(port);
        return NULL;
    }
    return port;
}

struct kv_port *kv_port_take(struct kv_store *store, enum kv_ring_kind kind)
{
    struct kv_readers *readers = &store->readers;
    if (kind != KV_RING_PLAIN)
        return port_new(store, kind);
    uint64_t owner = thread_number();
    struct kv_port *port = NULL;
    (void)pthread_mutex_lock(&readers->lock);
    for (struct kv_port **at = &readers->kept; *at != NULL; at = &(*at)->next)
        if ((*at)->owner == owner) {
            port = *at;
            *at = port->next;
            readers->kept_count--;
            break;
        }
    (void)pthread_mutex_unlock(&readers->lock);
    return port != NULL ? port : port_new(store, kind);
}

// Takes the one out that has not been used for longest.
static struct kv_port *take_oldest(struct kv_readers *readers)
{
    struct kv_port **at = &readers->kept;
    while ((*at)->next != NULL)
        at = &(*at)->next;
    struct kv_port *oldest = *at;
    *at = NULL;
    readers->kept_count--;
    return oldest;
}

// A store with little memory keeps few: a slab is 1 MiB.
static unsigned ports_worth(struct kv_store *store)
{
    uint64_t worth = 2 + atomic_load_explicit(&store->tier.limit_bytes, memory_order_relaxed) / MEMORY_A_PORT;
    return worth < KV_PORTS_KEPT ? (unsigned)worth : KV_PORTS_KEPT;
}

void kv_port_trim(struct kv_store *store)
{
    struct kv_readers *readers = &store->readers;
    struct kv_port *over;
    do {
        (void)pthread_mutex_lock(&readers->lock);
        over = readers->kept_count > ports_worth(store) ? take_oldest(readers) : NULL;
        (void)pthread_mutex_unlock(&readers->lock);
        if (over != NULL)
            kv_port_close(over);
    } while (over != NULL);
}

void kv_port_give(struct kv_port *port)
{
    struct kv_store *store = port->store; // once the port is in the list, another thread may close it
    struct kv_readers *readers = &store->readers;
    (void)pthread_mutex_lock(&readers->lock);
    port->next = readers->kept;
    readers->kept = port;
    bool over = ++readers->kept_count > ports_worth(store);
    (void)pthread_mutex_unlock(&readers->lock);
    if (over)
        kv_port_trim(store);
}

void kv_port_abandon(struct kv_port *port)
{
    static _Atomic(struct kv_port *) abandoned; // in reach: no leak to tools that look for leaks
    port->next = atomic_load(&abandoned);
    while (!atomic_compare_exchange_weak(&abandoned, &port->next, port)) {
    }
}

// ---- reading

void kv_port_push(struct kv_port *port, struct kv_disk_read *read)
{
    port->in_flight++;
    if (port->ring != NULL) {
        kv_ring_push(port->ring, read);
        return;
    }
    read->port = port;
    read->next = NULL;
    *port->queued_end = read;
    port->queued_end = &read->next;
    port->queued_count++;
}

void kv_port_done(struct kv_port *port, struct kv_disk_read *read)
{
    read->next = NULL;
    (void)pthread_mutex_lock(&port->lock);
    *port->back_end = read;
    port->back_end = &read->next;
    if (++port->back_count == port->wanted)
        (void)pthread_cond_signal(&port->came);
    (void)pthread_mutex_unlock(&port->lock);
}

// Without any thread the port's owner reads itself.
static void hand_over(struct kv_port *port)
{
    struct kv_disk_read *list = port->queued, **end = port->queued_end;
    size_t count = port->queued_count;
    port->queued = NULL;
    port->queued_end = &port->queued;
    port->queued_count = 0;
    if (count == 0 || kv_pool_push(port->store, list, end, count))
        return;
    for (struct kv_disk_read *next; list != NULL; list = next) {
        next = list->next;
        (void)kv_disk_read_now(port->store, list);
        kv_port_done(port, list);
    }
}

bool kv_port_run(struct kv_port *port, unsigned least)
{
    if (port->ring != NULL)
        return kv_ring_run(port->ring, least) == 0;
    hand_over(port);
    (void)pthread_mutex_lock(&port->lock);
    port->wanted = least;
    while (port->back_count < least && !port->woken)
        (void)pthread_cond_wait(&port->came, &port->lock);
    port->wanted = 0;
    port->woken = false;
    (void)pthread_mutex_unlock(&port->lock);
    return true;
}

static struct kv_disk_read *pop_back(struct kv_port *port)
{
    (void)pthread_mutex_lock(&port->lock);
    struct kv_disk_read *read = port->back;
    if (read != NULL) {
        port->back = read->next;
        port->back_count--;
        if (port->back == NULL)
            port->back_end = &port->back;
    }
    (void)pthread_mutex_unlock(&port->lock);
    return read;
}

struct kv_disk_read *kv_port_pop(struct kv_port *port)
{
    int result = 0;
    struct kv_disk_read *read = port->ring != NULL ? kv_ring_pop(port->ring, &result) : pop_back(port);
    if (read == NULL)
        return NULL;
    port->in_flight--;
    if (port->ring != NULL)
        kv_disk_read_done(port->store, read, result);
    return read;
}

void kv_port_wake(struct kv_port *port)
{
    if (port->ring != NULL) {
        kv_ring_wake(port->ring);
        return;
    }
    (void)pthread_mutex_lock(&port->lock);
    port->woken = true;
    (void)pthread_cond_signal(&port->came);
    (void)pthread_mutex_unlock(&port->lock);
}

int kv_port_fd(const struct kv_port *port)
{
    return kv_ring_fd(port->ring);
}

bool kv_port_poll(struct kv_port *port)
{
    return kv_ring_poll(port->ring) == 0;
}

// ---- the store's

enum kv_status kv_readers_init(struct kv_store *store)
{
    struct kv_readers *readers = &store->readers;
    kv_buffers_init(&readers->buffers);
    kv_pool_init(&readers->pool);
    (void)pthread_mutex_init(&readers->lock, NULL);
    readers->ready = true;
    bool own = kv_io_is_system();
    readers->direct = own && !store->options.buffered_reads;
    atomic_store(&readers->uring, own && store->options.read_mode != KV_READ_PREAD);
    if (store->options.read_mode != KV_READ_URING || !own)
        return KV_OK;
    struct kv_ring *ring;
    int error = kv_ring_create(&ring, KV_PORT_DEPTH, NULL, 0, KV_RING_PLAIN);
    kv_ring_destroy(&ring);
    return error == 0 ? KV_OK : kv_fail(store, KV_IO, error, "io_uring");
}

void kv_readers_destroy(struct kv_store *store)
{
    struct kv_readers *readers = &store->readers;
    if (!readers->ready)
        return;
    kv_async_stop(store);
    while (readers->kept != NULL) {
        struct kv_port *port = readers->kept;
        readers->kept = port->next;
        kv_port_close(port);
    }
    kv_pool_destroy(&readers->pool);
    kv_buffers_destroy(store, &readers->buffers);
    (void)pthread_mutex_destroy(&readers->lock);
    readers->ready = false;
}
