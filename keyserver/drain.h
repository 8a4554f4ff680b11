// Coming to rest: no connection is accepted any more, what is in flight is answered, and connections close, none of them
// under a request that the server has: conn_drain_all() says in what order. Main thread.
#ifndef MEC_KEYSERVER_DRAIN_H
#define MEC_KEYSERVER_DRAIN_H

#include <event2/event.h>

#include "keyserver/server.h"

struct drain {
    struct server *server;
    struct event *timer;
    void (*done)(void *arg);
    void *arg;
    uint64_t deadline_ns;
    bool running;
};

// done: all connections have closed, or the time is up. False and *e.
bool drain_init(struct drain *drain, struct event_base *base, struct server *server, void (*done)(void *arg),
                void *arg, struct error *e);
// keep_listening: connections that come meanwhile wait in the kernel, for a successor or for drain_cancel(); else they are
// refused from now on. timeout_us: what is left then is cut off.
void drain_begin(struct drain *drain, uint64_t timeout_us, bool keep_listening);
// Accepts again. Only when it was begun with keep_listening.
void drain_cancel(struct drain *drain);
void drain_deinit(struct drain *drain);

#endif
