// Gets that never block: what memory cannot answer is queued for a thread of the store, which has a port of
// its own, reads for all of them together and calls `done`.
//
// The queue takes any number; KV_PORT_DEPTH at most are being read. The thread and its port are made by the
// first get that needs them. It is woken only when it has said that it is going to sleep: under load a get
// costs no system call.
#include "kvstore/kv_internal.h"

#include <stdlib.h>
#include <string.h>

struct request {
    struct kv_miss miss;
    kv_done_fn done;
    void *arg;
    struct request *next, *previous; // queued; in flight
    uint8_t key[];
};

struct kv_async {
    struct kv_store *store;
    pthread_t thread;
    pthread_mutex_t lock; // guards the queue, asleep, stopping and port; a leaf
    pthread_cond_t ready; // the port is there
    struct request *first, **last;
    bool asleep, stopping;
    struct kv_port *port;      // the thread's; NULL once the ring has failed
    struct request *in_flight; // the thread's
    unsigned in_flight_count;  // the thread's
};

// ---- the thread

static void link_in_flight(struct kv_async *async, struct request *request)
{
    request->previous = NULL;
    request->next = async->in_flight;
    if (request->next != NULL)
        request->next->previous = request;
    async->in_flight = request;
    async->in_flight_count++;
}

static void unlink_in_flight(struct kv_async *async, struct request *request)
{
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        async->in_flight = request->next;
    if (request->next != NULL)
        request->next->previous = request->previous;
    async->in_flight_count--;
}

// The end of a request: nothing may touch it after.
static void finish(struct request *request, enum kv_status status)
{
    struct kv_view view = status == KV_OK ? request->miss.view : (struct kv_view){0};
    request->done(request->arg, status, &view);
    free(request);
}

static void go_on(struct kv_async *async, struct request *request, enum kv_status status)
{
    if (status != KV_PENDING) {
        finish(request, status);
        return;
    }
    link_in_flight(async, request);
    kv_port_push(async->port, &request->miss.load.read);
}

static void begin(struct kv_async *async, struct request *request)
{
    if (async->port == NULL)
        finish(request, kv_miss_run(&request->miss));
    else
        go_on(async, request, kv_miss_begin(&request->miss));
}

// The ring has failed: everything is read one at a time from now on, and the port's memory left alone.
static void give_up_port(struct kv_async *async)
{
    (void)pthread_mutex_lock(&async->lock);
    kv_port_abandon(async->port);
    async->port = NULL;
    (void)pthread_mutex_unlock(&async->lock);
    for (struct request *request; (request = async->in_flight) != NULL;) {
        unlink_in_flight(async, request);
        kv_miss_abandon(&request->miss);
        finish(request, kv_miss_run(&request->miss));
    }
}

static void take_back(struct kv_async *async)
{
    for (struct kv_disk_read *read; (read = kv_port_pop(async->port)) != NULL;) {
        struct request *request = read->owner;
        unlink_in_flight(async, request);
        go_on(async, request, kv_miss_step(&request->miss));
    }
}

// The next request, if there is one and room for it. Otherwise says whether the thread is to wait, having
// noted that it does.
static struct request *next_request(struct kv_async *async, bool *stop)
{
    struct request *request = NULL;
    (void)pthread_mutex_lock(&async->lock);
    while (async->port == NULL && async->first == NULL && !async->stopping) // no ring to wait on
        (void)pthread_cond_wait(&async->ready, &async->lock);
    if (async->first != NULL && async->in_flight_count < KV_PORT_DEPTH) {
        request = async->first;
        async->first = request->next;
        if (async->first == NULL)
            async->last = &async->first;
    }
    async->asleep = request == NULL && async->first == NULL;
    *stop = async->asleep && async->stopping && async->in_flight_count == 0;
    (void)pthread_mutex_unlock(&async->lock);
    return request;
}

static void *async_main(void *arg)
{
    struct kv_async *async = arg;
    struct kv_port *port = kv_port_take(async->store, true); // the ring is its maker's
    (void)pthread_mutex_lock(&async->lock);
    async->port = port;
    (void)pthread_mutex_unlock(&async->lock);
    for (bool stop = false; !stop;) {
        struct request *request = next_request(async, &stop);
        if (request != NULL)
            begin(async, request);
        else if (!stop && async->port != NULL && !kv_port_run(async->port, 1))
            give_up_port(async);
        else if (async->port != NULL)
            take_back(async);
    }
    if (async->port != NULL)
        kv_port_close(async->port);
    return NULL;
}

// ---- the callers

static struct kv_async *async_new(struct kv_store *store)
{
    struct kv_async *async = calloc(1, sizeof *async);
    if (async == NULL)
        return NULL;
    async->store = store;
    async->last = &async->first;
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
    if (async->port != NULL && async->asleep)
        kv_port_wake(async->port);
    async->asleep = false;
    (void)pthread_cond_signal(&async->ready);
}

static void queue(struct kv_async *async, struct request *request)
{
    request->next = NULL;
    (void)pthread_mutex_lock(&async->lock);
    *async->last = request;
    async->last = &request->next;
    wake(async);
    (void)pthread_mutex_unlock(&async->lock);
}

enum kv_status kv_get_async(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view,
                            kv_done_fn done, void *arg)
{
    if (key_len == 0 || key_len > KV_KEY_MAX)
        return key_len == 0 ? KV_INVALID : KV_TOO_LARGE;
    struct kv_view found;
    struct kv_candidate others[KV_CANDIDATES];
    size_t count;
    uint64_t hash = kv_hash_key(&store->seeds, key, key_len).low;
    enum kv_status status = kv_look(store, hash, key, key_len, &found, others, &count);
    if (status == KV_OK)
        *view = found;
    if (status != KV_PENDING)
        return status;
    struct kv_async *async = async_of(store);
    struct request *request = async != NULL ? malloc(sizeof *request + key_len) : NULL;
    if (request == NULL)
        return KV_NO_MEMORY;
    memcpy(request->key, key, key_len);
    request->done = done;
    request->arg = arg;
    struct kv_miss *miss = &request->miss;
    miss->store = store;
    miss->hash = hash;
    miss->key = request->key;
    miss->key_len = key_len;
    miss->sink = (struct kv_sink){.want = KV_WANT_VIEW};
    miss->load.read.owner = request;
    memcpy(miss->others, others, count * sizeof others[0]);
    miss->count = count;
    queue(async, request);
    return KV_PENDING;
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
