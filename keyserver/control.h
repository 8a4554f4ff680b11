// The control socket: RESP on a Unix socket inside the store's folder, so that `certs` can import, list and
// delete keys while the server owns the store. Only the server's own user and root may connect (peer
// credentials); values are sealed records.
#ifndef MEC_KEYSERVER_CONTROL_H
#define MEC_KEYSERVER_CONTROL_H

#include "keyserver/server.h"

bool control_wanted(const struct options *options); // not --control off
// Where it listens, as an address and as text. False and *e set.
bool control_address(const struct options *options, struct net_addr *addr, char *text, size_t len,
                     struct error *e);

bool control_start(struct server *server, struct error *e);
void control_stop(struct server *server);

#endif
