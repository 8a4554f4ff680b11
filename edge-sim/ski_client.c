#include "edge-sim/ski_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "edge-sim/ski_client_internal.h"
#include "common/clock.h"

// --- deadlines: a list with the soonest first. Calls mostly share one time limit, so a new one belongs near
// the tail.

static void deadline_insert(struct ski_client *client, struct ski_call *call)
{
    struct ski_call *before = client->deadline_tail;
    while (before != NULL && before->deadline_ns > call->deadline_ns)
        before = before->prev;
    call->prev = before;
    call->next = before != NULL ? before->next : client->deadline_head;
    *(call->next != NULL ? &call->next->prev : &client->deadline_tail) = call;
    *(before != NULL ? &before->next : &client->deadline_head) = call;
}

static void deadline_remove(struct ski_client *client, struct ski_call *call)
{
    *(call->next != NULL ? &call->next->prev : &client->deadline_tail) = call->prev;
    *(call->prev != NULL ? &call->prev->next : &client->deadline_head) = call->next;
}

static void arm_deadline(struct ski_client *client)
{
    if (client->deadline_head == NULL)
        return;
    uint64_t now = clock_ns();
    uint64_t at = client->deadline_head->deadline_ns;
    if (client->armed_ns != 0 && client->armed_ns <= at)
        return; // a timer that fires early looks again
    client->armed_ns = at;
    uint64_t wait_us = at > now ? (at - now) / 1000 + 1 : 0;
    struct timeval tv = {.tv_sec = (time_t)(wait_us / 1000000), .tv_usec = (suseconds_t)(wait_us % 1000000)};
    (void)event_add(client->deadline_timer, &tv);
}

// --- pending calls

static void pending_remove(struct ski_client *client, struct ski_call *call)
{
    struct ski_call *before = NULL;
    for (struct ski_call *c = client->pending_head; c != NULL; before = c, c = c->queue_next) {
        if (c != call)
            continue;
        *(before != NULL ? &before->queue_next : &client->pending_head) = call->queue_next;
        if (client->pending_tail == call)
            client->pending_tail = before;
        client->pending_count--;
        return;
    }
}

static void pending_append(struct ski_client *client, struct ski_call *call)
{
    call->queue_next = NULL;
    *(client->pending_tail != NULL ? &client->pending_tail->queue_next : &client->pending_head) = call;
    client->pending_tail = call;
    client->pending_count++;
}

void ski_client_requeue(struct ski_client *client, struct ski_call *call)
{
    call->queue_next = client->pending_head;
    client->pending_head = call;
    if (client->pending_tail == NULL)
        client->pending_tail = call;
    client->pending_count++;
}

void ski_client_dispatch(struct ski_client *client)
{
    while (client->pending_head != NULL) {
        struct ski_call *call = client->pending_head;
        if (!ski_pool_send(client, call))
            break;
        client->pending_head = call->queue_next;
        if (client->pending_head == NULL)
            client->pending_tail = NULL;
        client->pending_count--;
        event_active(client->flush, EV_TIMEOUT,
                     0); // once this round of the loop is over: one write per batch
    }
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ski_pool_flush(arg);
}

// --- the end of a call

// The call is off every list but that of deadlines.
void ski_client_finish(struct ski_client *client, struct ski_call *call, enum ski_status status)
{
    deadline_remove(client, call);
    if (status >= SKI_TIMEOUT && status != SKI_BAD_ANSWER)
        client->unanswered++;
    else
        client->answered++;
    call->status = status;
    if (status != SKI_OK)
        call->output_len = 0;
    call->done(call);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct ski_client *client = arg;
    (void)fd;
    (void)what;
    client->armed_ns = 0;
    uint64_t now = clock_ns();
    while (client->deadline_head != NULL && client->deadline_head->deadline_ns <= now) {
        struct ski_call *call = client->deadline_head;
        if (call->slot == NULL) {
            pending_remove(client, call);
            ski_client_finish(client, call, call->sent_ns != 0 ? SKI_TIMEOUT : SKI_UNREACHABLE);
            continue;
        }
        ski_pool_abandon(call);
        ski_client_finish(client, call, SKI_TIMEOUT);
    }
    ski_client_dispatch(client);
    arm_deadline(client);
}

// --- inbox

static void stop_loop(struct ski_client *client)
{
    ski_pool_stop(client);
    while (client->pending_head != NULL) {
        struct ski_call *call = client->pending_head;
        pending_remove(client, call);
        ski_client_finish(client, call, SKI_STOPPED);
    }
    (void)event_base_loopbreak(client->base);
}

// Clears the eventfd first and takes the inbox second: a call that comes in between rings again.
static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct ski_client *client = arg;
    uint64_t rings;
    (void)what;
    (void)!read(fd, &rings, sizeof rings);
    (void)pthread_mutex_lock(&client->lock);
    struct ski_call *call = client->inbox_head;
    client->inbox_head = client->inbox_tail = NULL;
    bool stopping = client->stopping;
    (void)pthread_mutex_unlock(&client->lock);
    for (struct ski_call *next; call != NULL; call = next) {
        next = call->queue_next;
        deadline_insert(client, call);
        if (client->pending_count >= client->config.queue_max && !stopping)
            ski_client_finish(client, call, SKI_BUSY);
        else
            pending_append(client, call);
    }
    if (stopping) {
        stop_loop(client);
        return;
    }
    ski_client_dispatch(client);
    arm_deadline(client);
}

static void ring(const struct ski_client *client)
{
    uint64_t one = 1;
    (void)!write(client->wake_fd, &one, sizeof one);
}

static void refuse(struct ski_call *call, enum ski_status status)
{
    call->status = status;
    call->output_len = 0;
    call->done(call);
}

void ski_client_submit(struct ski_client *client, struct ski_call *call)
{
    unsigned timeout_ms = call->timeout_ms != 0 ? call->timeout_ms : client->config.timeout_ms;
    call->wire_len = ski_request_build(call->wire, sizeof call->wire,
                                       ski_endpoint_authority(client->endpoint), &call->request);
    if (call->wire_len == 0) {
        refuse(call, SKI_MALFORMED);
        return;
    }
    call->deadline_ns = clock_ns() + (uint64_t)timeout_ms * 1000000u;
    call->sent_ns = 0;
    call->slot = NULL;
    call->retried = false;
    call->queue_next = NULL;
    (void)pthread_mutex_lock(&client->lock);
    bool stopping = client->stopping;
    bool was_empty = client->inbox_head == NULL;
    if (!stopping) {
        *(was_empty ? &client->inbox_head : &client->inbox_tail->queue_next) = call;
        client->inbox_tail = call;
    }
    (void)pthread_mutex_unlock(&client->lock);
    if (stopping)
        refuse(call, SKI_STOPPED);
    else if (was_empty)
        ring(client);
}

static void transport_submit(struct ski_transport *transport, struct ski_call *call)
{
    ski_client_submit((struct ski_client *)transport, call);
}

// --- life

static void *run(void *arg)
{
    struct ski_client *client = arg;
    (void)event_base_loop(client->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static void set_defaults(struct ski_client_config *config)
{
    const struct ski_client_config preset = {.connections = 2,
                                             .in_flight = 64,
                                             .timeout_ms = 5000,
                                             .connect_timeout_ms = 5000,
                                             .queue_max = 10000};
    config->connections = config->connections != 0 ? config->connections : preset.connections;
    config->in_flight = config->in_flight != 0 ? config->in_flight : preset.in_flight;
    config->timeout_ms = config->timeout_ms != 0 ? config->timeout_ms : preset.timeout_ms;
    config->connect_timeout_ms =
        config->connect_timeout_ms != 0 ? config->connect_timeout_ms : preset.connect_timeout_ms;
    config->queue_max = config->queue_max != 0 ? config->queue_max : preset.queue_max;
}

static bool start(struct ski_client *client, struct error *e)
{
    client->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    client->base = event_base_new();
    if (client->wake_fd < 0 || client->base == NULL) {
        error_set(e, "key server client: event loop: %s", strerror(errno));
        return false;
    }
    client->wake = event_new(client->base, client->wake_fd, EV_READ | EV_PERSIST, on_wake, client);
    client->deadline_timer = event_new(client->base, -1, 0, on_deadline, client);
    client->flush = event_new(client->base, -1, 0, on_flush, client);
    if (client->wake == NULL || client->deadline_timer == NULL || client->flush == NULL ||
        event_add(client->wake, NULL) != 0) {
        error_set(e, "key server client: event loop: no memory");
        return false;
    }
    if (!ski_pool_start(client, e))
        return false;
    int rc = pthread_create(&client->thread, NULL, run, client);
    if (rc != 0) {
        error_set(e, "key server client: thread: %s", strerror(rc));
        return false;
    }
    client->thread_started = true;
    return true;
}

struct ski_client *ski_client_create(const char *url, const struct tls_files *files,
                                     const struct ski_client_config *config, struct error *e)
{
    struct ski_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        error_set(e, "key server client: no memory");
        return NULL;
    }
    if (config != NULL)
        client->config = *config;
    set_defaults(&client->config);
    client->transport.submit = transport_submit;
    client->wake_fd = -1;
    (void)pthread_mutex_init(&client->lock, NULL);
    client->endpoint = ski_endpoint_create(url, files, e);
    if (client->endpoint == NULL || !start(client, e)) {
        ski_client_destroy(&client);
        return NULL;
    }
    return client;
}

void ski_client_destroy(struct ski_client **clientp)
{
    struct ski_client *client = *clientp;
    if (client == NULL)
        return;
    *clientp = NULL;
    if (client->thread_started) {
        (void)pthread_mutex_lock(&client->lock);
        client->stopping = true;
        (void)pthread_mutex_unlock(&client->lock);
        ring(client);
        (void)pthread_join(client->thread, NULL);
    } else if (client->base != NULL) {
        ski_pool_stop(client);
    }
    if (client->wake != NULL)
        event_free(client->wake);
    if (client->deadline_timer != NULL)
        event_free(client->deadline_timer);
    if (client->flush != NULL)
        event_free(client->flush);
    if (client->base != NULL)
        event_base_free(client->base);
    if (client->wake_fd >= 0)
        (void)close(client->wake_fd);
    ski_endpoint_destroy(&client->endpoint);
    (void)pthread_mutex_destroy(&client->lock);
    free(client);
}

struct ski_transport *ski_client_transport(struct ski_client *client)
{
    return &client->transport;
}

enum ski_status ski_client_call(struct ski_client *client, struct ski_call *call)
{
    return ski_transport_call(&client->transport, call);
}

void ski_client_stats(struct ski_client *client, struct ski_client_stats *stats)
{
    stats->answered = client->answered;
    stats->unanswered = client->unanswered;
    stats->retried = client->retried;
    stats->connected = client->connected;
    stats->open = client->open;
}
