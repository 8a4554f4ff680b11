// What the main thread looks at once a second: rates of edges, the history, and what expires. The live page and /status
// show it.
#ifndef MEC_KEYSERVER_WATCH_H
#define MEC_KEYSERVER_WATCH_H

#include "keyserver/expiry.h"
#include "keyserver/history.h"
#include "keyserver/server.h"

struct watch {
    struct history *history;
    struct expiry_keys *keys;
    struct expiry *expiry;
    struct event *timer;
    unsigned generation; // of the TLS context and the policy that `expiry` knows
    uint64_t ticked_ns;
};

// Makes server->watch, starts the thread of expiry_keys.h, and the timer on server->base. False and *e set;
// watch_stop() takes down what there is.
bool watch_start(struct server *server, struct error *e);
void watch_stop(struct server *server); // while the store is open

// Of the whole server, from its metrics.
struct history_reading watch_read(struct server *server);

#endif
