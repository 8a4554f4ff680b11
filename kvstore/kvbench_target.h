// What is measured: a store behind a table of functions, so that kvbench and the programs of
// tests/bench/store ask the elastic store and its peers for the same, in the same way. The forms and statuses
// are those of kv.h.
#ifndef MEC_KVSTORE_KVBENCH_TARGET_H
#define MEC_KVSTORE_KVBENCH_TARGET_H

#include <jansson.h>

#include "common/report.h"
#include "kvstore/kv.h"
#include "kvstore/kvbench_options.h"

// Figures that the time series and the report take.
struct bench_figures {
    uint64_t hits, misses; // of gets, since the store was opened; 0, 0: it does not say
    uint64_t limit_bytes;
};

struct bench_target_class {
    const char *program, *summary; // for --help
    // Opens the store in a folder; create: makes it. NULL with *e set on failure.
    void *(*open)(const char *dir, const struct bench_options *options, bool create, struct error *e);
    // Syncs and closes. False: *e is set.
    bool (*close)(void *target, struct error *e);
    // A thread's own state: made, used and destroyed by that thread. NULL without memory.
    void *(*attach)(void *target);
    void (*detach)(void *session);

    enum kv_status (*get)(void *session, const void *key, size_t key_len, void *buf, size_t *len);
    enum kv_status (*put)(void *session, const void *key, size_t key_len, const void *value, size_t len);
    enum kv_status (*put_batch)(void *session, struct kv_put_item *items, size_t count);
    // These may be NULL: the program refuses what needs them.
    enum kv_status (*view)(void *session, const void *key, size_t key_len, struct kv_view *view);
    void (*release)(void *session, struct kv_view *view); // any thread's session
    enum kv_status (*get_batch)(void *session, struct kv_get *gets, size_t count);
    enum kv_status (*get_async)(void *session, const void *key, size_t key_len, struct kv_view *view,
                                kv_done_fn done, void *arg);
    enum kv_status (*scan)(void *session, uint64_t *cursor, unsigned count, kv_scan_fn fn, void *arg);
    enum kv_status (*sync)(void *target); // everything put so far is on the device
    enum kv_status (*set_limit)(void *target, uint64_t bytes);
    void (*figures)(void *target, struct bench_figures *figures);
    json_t *(*stats)(void *target); // a new object, of any members
    // The last error in words.
    void (*error_text)(void *target, char *buf, size_t len);
};

#endif
