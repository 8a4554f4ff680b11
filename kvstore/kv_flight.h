// Gets that wait for the disk without anybody waiting for them: requests, and those of them that are in flight through one port. What
// the thread of the asynchronous gets (kv_async.c) and the readers of event loops (kv_reader.c) have in common.
#ifndef MEC_KVSTORE_KV_FLIGHT_H
#define MEC_KVSTORE_KV_FLIGHT_H

#include "kvstore/kv.h"
#include "kvstore/kv_miss.h"

struct kv_port;

struct kv_request {
    struct kv_miss miss;
    kv_done_fn done;
    void *arg;
    struct kv_request *next, *previous; // queued; in flight
    uint8_t key[];
};

// Looks in memory. KV_PENDING: *request is what is to be flown. Anything else is the answer; KV_OK: *view is filled.
enum kv_status kv_request_make(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view,
                               kv_done_fn done, void *arg, struct kv_request **request);
// Whether one read brings it, whatever candidate it turns out to be.
bool kv_request_is_small(const struct kv_request *request);

// Requests in a queue, first come first.
struct kv_requests {
    struct kv_request *first, **last;
};
void kv_requests_init(struct kv_requests *queue);
void kv_requests_add(struct kv_requests *queue, struct kv_request *request);
struct kv_request *kv_requests_take(struct kv_requests *queue); // NULL: it is empty

// Used by one thread, the port's.
struct kv_flights {
    struct kv_port *port; // NULL: requests are done one at a time, where they are begun
    struct kv_request *list;
    unsigned count;  // KV_PORT_DEPTH at most
    unsigned pushed; // since it was set to 0 last
};
// Pushes the request's first read, or answers it: done is called, it is gone.
void kv_flights_begin(struct kv_flights *flights, struct kv_request *request);
// Goes on with every read that has come back.
void kv_flights_land(struct kv_flights *flights);
// After the ring has failed: one that is in flight, to be begun anew as if it never had been, elsewhere; NULL: none is left. Port and slab
// are to be left alone (kv_port_abandon()).
struct kv_request *kv_flights_give_up(struct kv_flights *flights);

// Hands a request to the thread of the asynchronous gets (kv_async.c). False: there is none, and no memory to make it.
bool kv_async_take(struct kv_store *store, struct kv_request *request);

#endif
