// The two ways to a store, behind one table of calls. Only store*.c include this.
#ifndef MEC_CERTS_STORE_PARTS_H
#define MEC_CERTS_STORE_PARTS_H

#include "certs/store.h"

struct store_calls {
    void (*close)(void *self);
    enum store_status (*get)(void *self, const char *key, size_t key_len, uint8_t **value, size_t *len,
                             uint64_t *expire_ms, struct error *e);
    void (*put)(void *self, const char *key, size_t key_len, const uint8_t *value, size_t len,
                uint64_t expire_ms, struct error *outcome);
    void (*remove)(void *self, const char *key, size_t key_len, struct error *outcome);
    void (*expire)(void *self, const char *key, size_t key_len, uint64_t expire_ms, struct error *outcome);
    bool (*flush)(void *self);
    bool (*watch)(void *self, const char *key, size_t key_len,
                  struct error *e);            // NULL: nobody else has the store
    bool (*commit)(void *self, bool *changed); // NULL: as flush
    bool (*accepts_key)(void *self, const char *id, struct error *e); // NULL: it opens nothing
    bool (*scan)(void *self, store_scan_fn fn, void *arg, struct error *e);
};

// The writes queued since the last flush: where each outcome goes.
struct store_queue {
    struct error **outcomes;
    size_t count, room;
};
bool store_queue_add(struct store_queue *queue,
                     struct error *outcome); // false without memory, told in *outcome
void store_queue_fail(struct store_queue *queue, size_t from, const char *why);
void store_queue_free(struct store_queue *queue);

enum store_open_result { STORE_OPENED, STORE_BUSY, STORE_OPEN_FAILED };
extern const struct store_calls store_folder_calls;
enum store_open_result store_folder_open(const char *dir, bool create, void **self, struct error *e);
extern const struct store_calls store_socket_calls;
// STORE_BUSY: there is no socket, or nobody listens on it.
enum store_open_result store_socket_open(const char *dir, void **self, struct error *e);

#endif
