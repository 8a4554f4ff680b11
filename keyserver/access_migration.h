// Clients of the Java server (PROTOCOLS.md 1.4) in the access policy: they show no certificate and are known by their
// address alone. They come to a listener of their own (--migration-listen), and what they may is what rules with
// edge=migration say (ACCESS.md): never those for certificates. Pure; any thread.
#ifndef MEC_KEYSERVER_ACCESS_MIGRATION_H
#define MEC_KEYSERVER_ACCESS_MIGRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/net.h"
#include "keyserver/access.h"

#define ACCESS_MIGRATION_WORD "migration"
#define ACCESS_MIGRATION_NAME 64  // "migration:" and an address
#define ACCESS_MIGRATION_TEXT 512 // of one of a rule's conditions, for logs

// Makes *edge a client of the migration listener: no certificate matches what it matches, and the reverse.
void access_migration_edge(struct access_edge *edge);

// How many allow rules are for such clients.
size_t access_migration_rules(const struct access_policy *policy);
// Whether one of these lists the address.
bool access_migration_lists(const struct access_policy *policy, const struct net_addr *addr);

// What such a client is called in logs: "migration:192.0.2.7", also for IPv4 in its IPv6 form; without the address,
// "migration", when no rule lists it, so that strangers are one to whoever counts by name.
void access_migration_name(const struct net_addr *addr, bool listed, char name[static ACCESS_MIGRATION_NAME]);
// A number for its address, for an IPv6 one for its /64: of that a host has the whole.
uint64_t access_migration_id(const struct net_addr *addr);

struct access_migration_text {
    unsigned line; // in the policy
    char from[ACCESS_MIGRATION_TEXT], keys[ACCESS_MIGRATION_TEXT], methods[16];
};
// Describes the allow rule number n (from 0) of those for such clients, in the words of the policy, cut at the room with
// "..."; false when there are fewer.
bool access_migration_describe(const struct access_policy *policy, size_t n,
                               struct access_migration_text *text);

#endif
