// What each edge has at once: connections and requests in flight. An edge is who its certificate says it is (the name
// that the audit log has), from however many addresses it comes. So one edge cannot take what all share.
#ifndef MEC_KEYSERVER_EDGES_H
#define MEC_KEYSERVER_EDGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct edges;

struct edge_account { // private to edges.c, all but in_flight
    struct edges *edges;
    struct edge_account *next; // in its bucket
    uint64_t id;
    size_t refs, connections;
    _Atomic size_t in_flight;
};

// For at most max_connections connections at once. NULL without memory.
struct edges *edges_create(size_t max_connections);
// Nobody holds a reference any more. NULL inside is fine.
void edges_destroy(struct edges **edges);

// A connection of the edge with this id (a hash that nobody can choose): a reference for the caller, and a connection more. NULL:
// it has `limit` already, or no memory. Any thread.
struct edge_account *edges_enter(struct edges *edges, uint64_t id, size_t limit);
// The connection is gone; the reference stays. NULL is fine. Any thread.
void edges_leave(struct edge_account *edge);
// References: any thread. NULL is fine.
struct edge_account *edges_ref(struct edge_account *edge);
void edges_unref(struct edge_account **edge);

// A request more in flight, unless `limit` are already. Any thread; edge_end() once for each true.
static inline bool edge_begin(struct edge_account *edge, size_t limit)
{
    if (atomic_fetch_add_explicit(&edge->in_flight, 1, memory_order_relaxed) < limit)
        return true;
    (void)atomic_fetch_sub_explicit(&edge->in_flight, 1, memory_order_relaxed);
    return false;
}
static inline void edge_end(struct edge_account *edge)
{
    (void)atomic_fetch_sub_explicit(&edge->in_flight, 1, memory_order_relaxed);
}

#endif
