// One connection to a server of the Redis protocol, pipelined: commands out, replies in the same order. On one event loop.
#ifndef MEC_EDGE_SIM_LOOKUP_CONN_H
#define MEC_EDGE_SIM_LOOKUP_CONN_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/net.h"
#include "common/report.h"
#include "edge-sim/lookup_reply.h"

struct lookup_conn;

// What a command was sent for; comes back with its reply.
struct lookup_flight {
    uint64_t key;      // its number
    uint64_t begin_ns; // sent, or due
};

struct lookup_conn_owner { // called from the loop
    void (*opened)(void *arg);
    void (*reply)(void *arg, const struct lookup_flight *flight, const struct lookup_reply *reply);
    // The connection is dead (lookup_conn_close() has been done), or could not be made; what was in flight is lost.
    void (*closed)(void *arg, unsigned lost, const char *why);
    void *arg;
};

// pipeline: commands in flight at most; value_max: longest value that is taken. NULL: no memory.
struct lookup_conn *lookup_conn_create(struct event_base *base, const struct net_addr *server,
                                       unsigned pipeline, size_t value_max,
                                       const struct lookup_conn_owner *owner);
void lookup_conn_destroy(struct lookup_conn **conn);

// Begins to connect: opened or closed follows, perhaps closed before it returns.
void lookup_conn_open(struct lookup_conn *conn);
void lookup_conn_close(struct lookup_conn *conn);

bool lookup_conn_has_room(const struct lookup_conn *conn); // open, and less than `pipeline` in flight
unsigned lookup_conn_in_flight(const struct lookup_conn *conn);
// Queues a command (lookup_conn_has_room()). SET when value is not NULL. False: no memory.
bool lookup_conn_send(struct lookup_conn *conn, const struct lookup_flight *flight, const void *key,
                      size_t key_len, const void *value, size_t value_len);
// Writes what is queued.
void lookup_conn_flush(struct lookup_conn *conn);

#endif
