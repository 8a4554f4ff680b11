// The migration listener: clients of the Java server, without certificates, known by their address alone (ACCESS.md).
// What they may is in the access policy; this is what surrounds it: what a start asks for, the warnings, who is taken
// on arrival, metrics and status.
#ifndef MEC_KEYSERVER_MIGRATION_H
#define MEC_KEYSERVER_MIGRATION_H

#include <jansson.h>

#include "keyserver/server.h"

// Requests of an address that no rule lists, answered on one connection: each costs an audit line.
#define MIGRATION_STRANGER_REQUESTS 16

// Whether the options and the policy that was read allow a start: false and *e without a rule for such clients. True
// when the listener is not asked for.
bool migration_check(const struct options *options, const struct access_policy *policy, struct error *e);
// Warns of the listener and of each rule of the present policy: at start and after a reload. Nothing without a listener.
void migration_announce(struct server *server);

// Whether a connection from the address may come in now; else *limit says which limit is reached. Addresses that no rule
// lists get half of --migration-max-connections and a bounded rate. The listener's thread only.
bool migration_admits(struct server *server, const struct net_addr *addr, const char **limit);

// Declares ks_migration_...; false without memory.
bool migration_metrics(struct server *server);
// For /status: null without a listener; NULL without memory.
json_t *migration_status(struct server *server);

#endif
