// The key server's listening sockets by name, and how they pass from one process to the next:
//
//   name       option              comes from
//   ski        --listen            the service manager (FileDescriptorName=), or the server whose place this one takes,
//   migration  --migration-listen  or is opened by its module
//   admin      --admin
//   redis      --redis-listen
//   control    --control
//   upgrade    --upgrade           the server whose place this one takes, or is opened
//
// A socket of the manager is used whatever address the option names; one of the other server when its option reads the same.
#ifndef MEC_KEYSERVER_UPGRADE_H
#define MEC_KEYSERVER_UPGRADE_H

#include "common/admin.h"
#include "keyserver/handover.h"
#include "keyserver/server.h"
#include "keyserver/takeover.h"

// Takes what the service manager has opened. False and *e.
bool upgrade_from_manager(struct inherited *set, struct error *e);

// Where successors ask, as text for handover_create(). False: --upgrade off, or its preset does not fit into an address.
bool upgrade_address(const struct options *options, char *text, size_t size);

// With --take-over: asks a server that runs on the same store for its sockets, refuses if master (NULL: none, and those behind
// it) does not have the key that it seals under, opens those that it does not have, and tells
// it to stop; waits for that. Everything else that can fail is to have succeeded before. True: the store is free, or nobody
// had it; *told_ns (clock_ns()): when it was told, 0: nobody was. False and *e: it goes on as before.
bool upgrade_take_over(const struct options *options, const struct seal_key *master, struct inherited *set,
                       uint64_t *told_ns, struct error *e);

// Fills in handover_calls.offer. admin and handover may be NULL.
void upgrade_offer(const struct server *server, const struct admin *admin, const struct handover *handover,
                   struct handover_message *message, int fds[static HANDOVER_SOCKETS]);

#endif
