// What each edge asks and gets, by the name in its certificate: requests, errors, operations in flight, connections; and
// the limits of the latter two, so that one edge cannot take what all share, from however many addresses it comes.
//
// An account lives while a connection or an operation of its edge does, so there are no more of them than those. The
// EDGES_NAMED busiest are named: they have rows and labels of their own, and stay after their last connection until a
// busier edge wants the place. All others are counted together, as EDGES_OTHER. So somebody with any number of
// certificates adds no label and no memory that stays.
//
// No count ever falls: what an edge asks without a name stays with the others when it gets one, and its own count
// begins at 0 then, which Prometheus reads as a restart.
#ifndef MEC_KEYSERVER_EDGES_H
#define MEC_KEYSERVER_EDGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EDGES_NAMED    32
#define EDGES_NAME_MAX 128     // bytes with the NUL; of longer names the rest is cut
#define EDGES_OTHER    "other" // an edge of this very name is never named

struct edges;
struct edge_account;

struct edges *edges_create(void); // NULL without memory
// Frees the accounts as well, whoever still has them.
void edges_destroy(struct edges **edges);

// The account of an edge, a reference for the caller. NULL without memory or when edges is NULL: the edge is not counted,
// and all functions below take NULL for its account. Any thread; a lock is held for a moment.
struct edge_account *edges_join(struct edges *edges, const char *name);
void edge_hold(struct edge_account *account);
void edge_release(struct edge_account **account);

// Counting: any thread, no lock. A connection, or an operation in flight, more, unless the edge has `limit` already:
// then false, and it is not counted. Each that was counted ends once.
bool edge_enter(struct edge_account *account, size_t limit);
void edge_leave(struct edge_account *account);
bool edge_begin(struct edge_account *account, size_t limit);
void edge_end(struct edge_account *account);
void edge_count(struct edge_account *account, bool error); // a request is answered

// Works out rates over the `seconds` since the last call, and who is named. One thread, once a second.
void edges_tick(struct edges *edges, double seconds);

struct edge_view {
    char name[EDGES_NAME_MAX];
    uint64_t requests, errors; // since it was named
    uint64_t in_flight, connections;
    double requests_per_s, errors_per_s; // in the last tick
};
// The named edges as they are now, the busiest first, and behind them the others, as of the last tick. Returns how many;
// 1 at least. Any thread.
size_t edges_view(struct edges *edges, struct edge_view views[static EDGES_NAMED + 1]);

#endif
