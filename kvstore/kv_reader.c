// The gets of one thread that never block it and that no other thread does: an event loop has a port of its own, whose ring
// says by an eventfd that something has come back. Against kv_get_async() that saves two changes of thread for each value, and
// with a reader for each loop there is no thread that all misses go through.
//
// What takes more than one read (values of more than 256 KiB) is handed to the thread of the asynchronous gets: its pieces are
// summed up and copied, which would hold up the loop. So is everything once the ring has failed.
#include <stdlib.h>

#include "kvstore/kv_flight.h"
#include "kvstore/kv_internal.h"

struct kv_reader {
    struct kv_store *store;
    struct kv_flights flights; // port NULL: the ring has failed
    struct kv_requests queue;  // beyond KV_PORT_DEPTH
};

struct kv_reader *kv_reader_open(struct kv_store *store)
{
    struct kv_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return NULL;
    reader->store = store;
    kv_requests_init(&reader->queue);
    reader->flights.port = kv_port_take(store, KV_RING_NOTIFIES);
    if (reader->flights.port != NULL)
        return reader;
    free(reader);
    return NULL;
}

int kv_reader_fd(const struct kv_reader *reader)
{
    return kv_port_fd(reader->flights.port);
}

// A request that this reader cannot do (any more).
static void pass_on(struct kv_reader *reader, struct kv_request *request)
{
    if (!kv_async_take(reader->store, request)) // no memory for a thread: the loop has to wait for this one
        kv_flights_begin(&(struct kv_flights){0}, request);
}

static void give_up_port(struct kv_reader *reader)
{
    kv_port_abandon(reader->flights.port);
    reader->flights.port = NULL;
    for (struct kv_request *request; (request = kv_flights_give_up(&reader->flights)) != NULL;)
        pass_on(reader, request);
    for (struct kv_request *request; (request = kv_requests_take(&reader->queue)) != NULL;)
        pass_on(reader, request);
}

enum kv_status kv_reader_get(struct kv_reader *reader, const void *key, size_t key_len, struct kv_view *view,
                             kv_done_fn done, void *arg)
{
    struct kv_request *request;
    enum kv_status status = kv_request_make(reader->store, key, key_len, view, done, arg, &request);
    if (status != KV_PENDING)
        return status;
    if (reader->flights.port != NULL && kv_request_is_small(request))
        kv_requests_add(&reader->queue, request);
    else if (!kv_async_take(reader->store, request)) {
        free(request);
        return KV_NO_MEMORY;
    }
    return KV_PENDING;
}

static void begin_queued(struct kv_reader *reader)
{
    while (reader->flights.count < KV_PORT_DEPTH && reader->queue.first != NULL)
        kv_flights_begin(&reader->flights, kv_requests_take(&reader->queue));
}

void kv_reader_run(struct kv_reader *reader)
{
    struct kv_flights *flights = &reader->flights;
    do {
        begin_queued(reader);
        flights->pushed = 0;
        if (flights->port != NULL && !kv_port_poll(flights->port))
            give_up_port(reader);
        else if (flights->port != NULL)
            kv_flights_land(flights); // a read may take another; done() may queue others
    } while (flights->pushed != 0 || (reader->queue.first != NULL && flights->count < KV_PORT_DEPTH));
}

void kv_reader_close(struct kv_reader **closed)
{
    struct kv_reader *reader = *closed;
    *closed = NULL;
    if (reader == NULL)
        return;
    while (reader->flights.port != NULL && (reader->flights.count != 0 || reader->queue.first != NULL)) {
        begin_queued(reader);
        if (reader->flights.count != 0 && !kv_port_run(reader->flights.port, 1))
            give_up_port(reader);
        else
            kv_flights_land(&reader->flights);
    }
    if (reader->flights.port != NULL)
        kv_port_close(reader->flights.port);
    free(reader);
}
