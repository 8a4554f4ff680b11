#include "kvstore/kv_flight.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/kv_internal.h"

// ---- requests

enum kv_status kv_request_make(struct kv_store *store, const void *key, size_t key_len, struct kv_view *view,
                               kv_done_fn done, void *arg, struct kv_request **made)
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
    struct kv_request *request = malloc(sizeof *request + key_len);
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
    *made = request;
    return KV_PENDING;
}

bool kv_request_is_small(const struct kv_request *request)
{
    const struct kv_miss *miss = &request->miss;
    for (size_t i = 0; i < miss->count; i++)
        if (!kv_load_is_whole(miss->others[i].size_class))
            return false;
    return true;
}

void kv_requests_init(struct kv_requests *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

void kv_requests_add(struct kv_requests *queue, struct kv_request *request)
{
    request->next = NULL;
    *queue->last = request;
    queue->last = &request->next;
}

struct kv_request *kv_requests_take(struct kv_requests *queue)
{
    struct kv_request *request = queue->first;
    if (request == NULL)
        return NULL;
    queue->first = request->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    return request;
}

// ---- in flight

static void link_in(struct kv_flights *flights, struct kv_request *request)
{
    request->previous = NULL;
    request->next = flights->list;
    if (request->next != NULL)
        request->next->previous = request;
    flights->list = request;
    flights->count++;
    flights->pushed++;
}

static void unlink_from(struct kv_flights *flights, struct kv_request *request)
{
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        flights->list = request->next;
    if (request->next != NULL)
        request->next->previous = request->previous;
    flights->count--;
}

// The end of a request: nothing may touch it after.
static void finish(struct kv_request *request, enum kv_status status)
{
    struct kv_view view = status == KV_OK ? request->miss.view : (struct kv_view){0};
    kv_done_fn done = request->done;
    void *arg = request->arg;
    free(request);
    done(arg, status, &view);
}

static void go_on(struct kv_flights *flights, struct kv_request *request, enum kv_status status)
{
    if (status != KV_PENDING) {
        finish(request, status);
        return;
    }
    link_in(flights, request);
    kv_port_push(flights->port, &request->miss.load.read);
}

void kv_flights_begin(struct kv_flights *flights, struct kv_request *request)
{
    if (flights->port == NULL)
        finish(request, kv_miss_run(&request->miss));
    else
        go_on(flights, request, kv_miss_begin(&request->miss));
}

void kv_flights_land(struct kv_flights *flights)
{
    for (struct kv_disk_read *read; (read = kv_port_pop(flights->port)) != NULL;) {
        struct kv_request *request = read->owner;
        unlink_from(flights, request);
        go_on(flights, request, kv_miss_step(&request->miss));
    }
}

struct kv_request *kv_flights_give_up(struct kv_flights *flights)
{
    struct kv_request *request = flights->list;
    if (request == NULL)
        return NULL;
    unlink_from(flights, request);
    kv_miss_abandon(&request->miss);
    return request;
}
