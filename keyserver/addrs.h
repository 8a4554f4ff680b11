// How many connections each IP address has: so that one host cannot take all of them.
#ifndef MEC_KEYSERVER_ADDRS_H
#define MEC_KEYSERVER_ADDRS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/net.h"

struct addrs;

// For at most max_connections connections at once. NULL without memory.
struct addrs *addrs_create(size_t max_connections);
void addrs_destroy(struct addrs **addrs);
// Counts a connection from addr unless it has `limit` already (then false). Unix sockets count as one
// address. Any thread.
bool addrs_add(struct addrs *addrs, const struct net_addr *addr, size_t limit);
void addrs_remove(struct addrs *addrs, const struct net_addr *addr);

#endif
