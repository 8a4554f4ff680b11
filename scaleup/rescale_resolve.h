// HOST:PORT to an address without keeping the caller waiting: names are looked up by a thread that lives as long as that takes, and outlives who
// asked if need be.
#ifndef MEC_SCALEUP_RESCALE_RESOLVE_H
#define MEC_SCALEUP_RESCALE_RESOLVE_H

#include <stdbool.h>

#include "common/net.h"
#include "common/report.h"

struct rescale_resolve;

// Whether net_addr_parse() has no name to look up: a Unix socket, or an IP address.
bool rescale_resolve_is_literal(const char *address);

// NULL and *e set: no memory, no thread, no descriptor.
struct rescale_resolve *rescale_resolve_start(const char *address, struct error *e);
// Readable when the answer is there. Valid until rescale_resolve_end().
int rescale_resolve_fd(const struct rescale_resolve *resolve);
// Once the descriptor is readable. False and *e set: there is no such name.
bool rescale_resolve_result(struct rescale_resolve *resolve, struct net_addr *addr, struct error *e);
// At any time, does not wait. Sets *resolve to NULL; NULL is fine.
void rescale_resolve_end(struct rescale_resolve **resolve);

#endif
