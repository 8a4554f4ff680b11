// Gets that never block: what memory cannot answer is queued for a thread of the store, which has a port of
// its own, reads for all of them together and calls `done`.
//
// The queue takes any number; KV_PORT_DEPTH at most are being read. The thread and its port are made by the
// first get that needs them. It is woken only when it has said that it is going to sleep: under load a get
// costs no system call.
#include <stdlib.h>

#include "kvstore/kv_flight.h"
#include "kvstore/kv_internal.h"

struct kv_async {
    struct kv_store *store;
    pthread_t thread;
    pthread_mutex_t lock; // guards the queue, asleep, stopping and flights.port; a leaf
    pthread_cond_t ready; // the port is there
    struct kv_requests queue;
    bool asleep, stopping;
    struct kv_flights flights; // the thread's
};

// ---- the thread

// The ring has failed: everything is read one at a time from now on, and the port's memory left alone.
static void give_up_port(struct kv_async *async)
{
    (void)pthread_mutex_lock(&async->lock);
    kv_port_abandon(async->flights.port);
    async->flights.port = NULL;
    (void)pthread_mutex_unlock(&async->lock);
    for (struct kv_request *request; (request = kv_flights_give_up(&async->flights)) != NULL;)
        kv_flights_begin(&async->flights, request);
}

// The next request, if there is one and room for it. Otherwise says whether the thread is to wait, having
// noted that it does.
static struct kv_request *next_request(struct kv_async *async, bool *stop)
{
    struct kv_request *request = NULL;
    (void)pthread_mutex_lock(&async->lock);
    while (async->flights.port == NULL && async->queue.first == NULL &&
           !async->stopping) // no ring to wait on
        (void)pthread_cond_wait(&async->ready, &async->lock);
    if (async->flights.count < KV_PORT_DEPTH)
        request = kv_requests_take(&async->queue);
    async->asleep = request == NULL && async->queue.first == NULL;
    *stop = async->asleep && async->stopping && async->flights.count == 0;
    (void)pthread_mutex_unlock(&async->lock);
    return request;
}

static void *async_main(void *arg)
{
    struct kv_async *async = arg;
    struct kv_flights *flights = &async->flights;
    struct kv_port *port = kv_port_take(async->store, KV_RING_WAKEABLE); // the ring is its maker's
    (void)pthread_mutex_lock(&async->lock);
    flights->port = port;
    (void)pthread_mutex_unlock(&async->lock);
    for (bool stop = false; !stop;) {
        struct kv_request *request = next_request(async, &stop);
        if (request != NULL)
            kv_flights_begin(flights, request);
        else if (!stop && flights->port != NULL && !kv_port_run(flights->port, 1))
            give_up_port(async);
        else if (flights->port != NULL)
            kv_flights_land(flights);
    }
    if (flights->port != NULL)
        kv_port_close(flights->port);
    return NULL;
}

// ---- the callers

static struct kv_async *async_new(struct kv_store *store)
{
    struct kv_async *async = calloc(1, sizeof *async);
    if (async == NULL)
        return NULL;
    async->store = store;
    kv_requests_init(&async->queue);
    (void)pthread_mutex_init(&async->lock, NULL);
    (void)pthread_cond_init(&async->ready, NULL);
    if (pthread_create(&async->thread, NULL, async_main, async) == 0)
        return async;
    (void)pthread_cond_destroy(&async->ready);
    (void)pthread_mutex_destroy(&async->lock);
    free(async);
    return NULL;
}

static struct kv_async *async_of(struct kv_store *store)
{
    struct kv_readers *readers = &store->readers;
    (void)pthread_mutex_lock(&readers->lock);
    if (readers->async == NULL)
        readers->async = async_new(store);
    struct kv_async *async = readers->async;
    (void)pthread_mutex_unlock(&readers->lock);
    return async;
}

// lock is held.
static void wake(struct kv_async *async)
{
    if (async->flights.port != NULL && async->asleep)
        kv_port_wake(async->flights.port);
    async->asleep = false;
    (void)pthread_cond_signal(&async->ready);
}

bool kv_async_take(struct kv_store *store, struct kv_request *request)
{
    struct kv_async *async = async_of(store);
    if (async == NULL)
        return false;
    (void)pthread_mutex_lock(&async->lock);
    kv_requests_add(&async->queue, request);
    wake(async);
    (void)pthread_mutex_unlock(&async->lock);
    return true;
}

enum kv_status kv_get_async(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view,
                            kv_done_fn done, void *arg)
{
    struct kv_request *request;
    enum kv_status status = kv_request_make(store, key, key_len, view, done, arg, &request);
    if (status != KV_PENDING || kv_async_take(store, request))
        return status;
    free(request);
    return KV_NO_MEMORY;
}

void kv_async_stop(struct kv_store *store)
{
    struct kv_async *async = store->readers.async;
    if (async == NULL)
        return;
    (void)pthread_mutex_lock(&async->lock);
    async->stopping = true;
    wake(async);
    (void)pthread_mutex_unlock(&async->lock);
    (void)pthread_join(async->thread, NULL);
    (void)pthread_cond_destroy(&async->ready);
    (void)pthread_mutex_destroy(&async->lock);
    free(async);
    store->readers.async = NULL;
}
