#include "certs/store.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <openssl/crypto.h>

#include "certs/store_parts.h"

#define BUSY_TRIES   15
#define BUSY_WAIT_MS 100

struct store {
    const struct store_calls *calls;
    void *self;
};

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

static enum store_open_result try_open(struct store *store, const char *dir, bool create, struct error *e)
{
    enum store_open_result result = store_folder_open(dir, create, &store->self, e);
    store->calls = &store_folder_calls;
    if (result != STORE_BUSY)
        return result;
    struct error socket_error = {""};
    result = store_socket_open(dir, &store->self, &socket_error);
    store->calls = &store_socket_calls;
    if (result == STORE_OPEN_FAILED)
        *e = socket_error;
    return result;
}

struct store *store_open(const char *dir, bool create, struct error *e)
{
    struct error why = {""};
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        error_set(e, "%s: out of memory", dir);
        return NULL;
    }
    enum store_open_result result = STORE_BUSY;
    for (int i = 0; i < BUSY_TRIES && result == STORE_BUSY; i++) {
        if (i > 0)
            pause_ms(BUSY_WAIT_MS);
        result = try_open(store, dir, create, &why);
    }
    if (result == STORE_OPENED)
        return store;
    free(store);
    if (result == STORE_BUSY)
        error_set(e, "%s: the store is in use by another process and has no control socket (%s)", dir,
                  why.text);
    else
        error_set(e, "%s", why.text);
    return NULL;
}

bool store_online(const struct store *store)
{
    return store->calls == &store_socket_calls;
}

bool store_accepts_key(struct store *store, const char *id, struct error *e)
{
    return store->calls->accepts_key == NULL || store->calls->accepts_key(store->self, id, e);
}

void store_close(struct store **store)
{
    if (*store == NULL)
        return;
    (*store)->calls->close((*store)->self);
    free(*store);
    *store = NULL;
}

enum store_status store_get(struct store *store, const char *key, size_t key_len, uint8_t **value,
                            size_t *len, uint64_t *expire_ms, struct error *e)
{
    *value = NULL;
    *len = 0;
    return store->calls->get(store->self, key, key_len, value, len, expire_ms, e);
}

void store_value_free(uint8_t **value, size_t len)
{
    if (*value != NULL)
        OPENSSL_cleanse(*value, len);
    free(*value);
    *value = NULL;
}

void store_put(struct store *store, const char *key, size_t key_len, const uint8_t *value, size_t len,
               uint64_t expire_ms, struct error *outcome)
{
    store->calls->put(store->self, key, key_len, value, len, expire_ms, outcome);
}

void store_delete(struct store *store, const char *key, size_t key_len, struct error *outcome)
{
    store->calls->remove(store->self, key, key_len, outcome);
}

void store_expire(struct store *store, const char *key, size_t key_len, uint64_t expire_ms,
                  struct error *outcome)
{
    store->calls->expire(store->self, key, key_len, expire_ms, outcome);
}

bool store_flush(struct store *store)
{
    return store->calls->flush(store->self);
}

bool store_watch(struct store *store, const char *key, size_t key_len, struct error *e)
{
    return store->calls->watch == NULL || store->calls->watch(store->self, key, key_len, e);
}

bool store_commit(struct store *store, bool *changed)
{
    *changed = false;
    return store->calls->commit != NULL ? store->calls->commit(store->self, changed) : store_flush(store);
}

bool store_scan(struct store *store, store_scan_fn fn, void *arg, struct error *e)
{
    return store->calls->scan(store->self, fn, arg, e);
}

// ---- the queue

bool store_queue_add(struct store_queue *queue, struct error *outcome)
{
    if (queue->count == queue->room) {
        size_t room = queue->room == 0 ? 256 : queue->room * 2;
        struct error **outcomes = realloc(queue->outcomes, room * sizeof *outcomes);
        if (outcomes == NULL) {
            error_set(outcome, "out of memory");
            return false;
        }
        queue->outcomes = outcomes;
        queue->room = room;
    }
    queue->outcomes[queue->count++] = outcome;
    return true;
}

void store_queue_fail(struct store_queue *queue, size_t from, const char *why)
{
    for (size_t i = from; i < queue->count; i++)
        error_set(queue->outcomes[i], "%s", why);
}

void store_queue_free(struct store_queue *queue)
{
    free(queue->outcomes);
    *queue = (struct store_queue){NULL, 0, 0};
}
