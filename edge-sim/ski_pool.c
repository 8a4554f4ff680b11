// The connections of a SKI client: opening, choosing, losing and opening again.
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "common/clock.h"
#include "common/log.h"
#include "edge-sim/ski_client_internal.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000

static struct ski_call **ring_at(struct ski_conn_slot *slot, unsigned i)
{
    return &slot->ring[(slot->head + i) % slot->client->config.in_flight];
}

// Three quarters to five quarters of ms, so that edges do not all come back in the same instant.
static unsigned jitter(unsigned ms)
{
    uint16_t r = 0;
    (void)RAND_bytes((unsigned char *)&r, sizeof r);
    return ms * 3 / 4 + (unsigned)((uint64_t)ms * r / 2 / UINT16_MAX);
}

static void reconnect_later(struct ski_conn_slot *slot)
{
    unsigned ms = jitter(slot->backoff_ms);
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (int)(ms % 1000) * 1000};
    slot->backoff_ms = slot->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : slot->backoff_ms * 2;
    (void)event_add(slot->reconnect, &tv);
}

// Frees the connection and decides what becomes of the calls that were under way on it.
static void drop_connection(struct ski_conn_slot *slot, const char *why)
{
    struct ski_client *client = slot->client;
    char quoted[300];
    // A server that ends an idle connection does nothing wrong.
    bool harmless = slot->count == 0 && slot->proven;
    enum log_level level = harmless ? LOG_LEVEL_INFO : slot->complain ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG;
    log_write(level, "ski_connection_lost", "keyserver=%s in_flight=%u reason=%s",
              ski_endpoint_authority(client->endpoint), slot->count, log_quote(why, quoted, sizeof quoted));
    slot->complain = false;
    bool mid_answer = ski_conn_mid_answer(slot->conn);
    if (slot->open)
        client->open--;
    slot->open = slot->dirty = false;
    ski_conn_destroy(&slot->conn);
    // From the youngest to the oldest: each goes in front of the queue, so the order stays.
    while (slot->count > 0) {
        struct ski_call *call = *ring_at(slot, --slot->count);
        if (call == NULL)
            continue;
        call->slot = NULL;
        if (call->retried || (slot->count == 0 && mid_answer)) {
            ski_client_finish(client, call, SKI_UNREACHABLE);
            continue;
        }
        call->retried = true;
        client->retried++;
        ski_client_requeue(client, call);
    }
    reconnect_later(slot);
}

static void on_opened(void *arg)
{
    struct ski_conn_slot *slot = arg;
    slot->open = true;
    slot->proven = false;
    slot->complain = true;
    slot->client->open++;
    slot->client->connected++;
    log_info("ski_connected", "keyserver=%s", ski_endpoint_authority(slot->client->endpoint));
    ski_client_dispatch(slot->client);
}

static void on_answer(void *arg, const struct ski_answer *answer)
{
    struct ski_conn_slot *slot = arg;
    if (slot->count == 0) {
        // More answers than requests: nothing that came on this connection can be assigned any more.
        log_warn("ski_unasked_answer", "keyserver=%s status=%u",
                 ski_endpoint_authority(slot->client->endpoint), answer->http_status);
        ski_conn_give_up(slot->conn, "an answer without a request");
        return;
    }
    struct ski_call *call = *ring_at(slot, 0);
    slot->head = (slot->head + 1) % slot->client->config.in_flight;
    slot->count--;
    slot->proven = true;
    slot->backoff_ms = BACKOFF_MIN_MS;
    if (call != NULL) {
        call->slot = NULL;
        call->output_len = answer->output_len;
        memcpy(call->output, answer->output, answer->output_len);
        ski_client_finish(slot->client, call, answer->status);
    }
    ski_client_dispatch(slot->client);
}

static void on_closed(void *arg, const char *why)
{
    struct ski_conn_slot *slot = arg;
    drop_connection(slot, why);
    ski_client_dispatch(slot->client);
}

static const struct ski_conn_owner owner = {.opened = on_opened, .answer = on_answer, .closed = on_closed};

static void connect_slot(struct ski_conn_slot *slot)
{
    struct error e = {{0}};
    slot->head = slot->count = 0;
    slot->conn = ski_conn_open(slot->client->base, slot->client->endpoint,
                               slot->client->config.connect_timeout_ms, &owner, slot, &e);
    if (slot->conn == NULL) {
        char quoted[600];
        log_warn("ski_connect_failed", "reason=%s", log_quote(e.text, quoted, sizeof quoted));
        reconnect_later(slot);
    }
}

static void on_reconnect(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    connect_slot(arg);
}

bool ski_pool_start(struct ski_client *client, struct error *e)
{
    client->slots = calloc(client->config.connections, sizeof *client->slots);
    for (unsigned i = 0; client->slots != NULL && i < client->config.connections; i++) {
        struct ski_conn_slot *slot = &client->slots[i];
        slot->client = client;
        slot->backoff_ms = BACKOFF_MIN_MS;
        slot->complain = true;
        slot->ring = calloc(client->config.in_flight, sizeof(struct ski_call *));
        slot->reconnect = event_new(client->base, -1, 0, on_reconnect, slot);
        if (slot->ring == NULL || slot->reconnect == NULL) {
            error_set(e, "key server connections: no memory");
            return false;
        }
        event_active(slot->reconnect, EV_TIMEOUT, 0); // the first connect happens on the loop
    }
    if (client->slots == NULL)
        error_set(e, "key server connections: no memory");
    return client->slots != NULL;
}

static struct ski_conn_slot *best_slot(struct ski_client *client)
{
    struct ski_conn_slot *best = NULL;
    for (unsigned i = 0; i < client->config.connections; i++) {
        struct ski_conn_slot *slot = &client->slots[(client->turn + i) % client->config.connections];
        if (slot->open && slot->count < client->config.in_flight &&
            (best == NULL || slot->count < best->count))
            best = slot;
    }
    client->turn++;
    return best;
}

bool ski_pool_send(struct ski_client *client, struct ski_call *call)
{
    struct ski_conn_slot *slot = best_slot(client);
    if (slot == NULL || !ski_conn_send(slot->conn, call->wire, call->wire_len))
        return false;
    *ring_at(slot, slot->count++) = call;
    slot->dirty = true;
    call->slot = slot;
    call->sent_ns = clock_ns();
    return true;
}

void ski_pool_flush(struct ski_client *client)
{
    for (unsigned i = 0; i < client->config.connections; i++) {
        struct ski_conn_slot *slot = &client->slots[i];
        if (slot->dirty && slot->conn != NULL)
            ski_conn_flush(slot->conn);
        slot->dirty = false;
    }
}

void ski_pool_abandon(struct ski_call *call)
{
    struct ski_conn_slot *slot = call->slot;
    for (unsigned i = 0; i < slot->count; i++)
        if (*ring_at(slot, i) == call)
            *ring_at(slot, i) = NULL;
    call->slot = NULL;
    if (ski_conn_last_read_ns(slot->conn) < call->sent_ns)
        drop_connection(slot, "silent since a request that timed out was sent");
}

void ski_pool_stop(struct ski_client *client)
{
    for (unsigned i = 0; client->slots != NULL && i < client->config.connections; i++) {
        struct ski_conn_slot *slot = &client->slots[i];
        ski_conn_destroy(&slot->conn);
        while (slot->ring != NULL && slot->count > 0) {
            struct ski_call *call = *ring_at(slot, --slot->count);
            if (call != NULL)
                ski_client_finish(client, call, SKI_STOPPED);
        }
        if (slot->reconnect != NULL)
            event_free(slot->reconnect);
        free(slot->ring);
    }
    free(client->slots);
    client->slots = NULL;
}
