// The store by the Redis protocol, one server with two listeners, each of which may be missing:
//
// - the control socket: a Unix socket inside the store's folder, so that `certs` can import, list and delete keys while the server owns the store. Only the server's own
//   user and root may connect (peer credentials); no password.
// - --redis-listen: loopback or a Unix socket, for Redis tools, with a password. What would end the process, write files or hand the store to another server is refused.
//
// Values are sealed records on both.
#ifndef MEC_KEYSERVER_CONTROL_H
#define MEC_KEYSERVER_CONTROL_H

#include "keyserver/server.h"

bool control_wanted(const struct options *options); // not --control off
// Where it listens, as an address and as text. False and *e set.
bool control_address(const struct options *options, struct net_addr *addr, char *text, size_t len,
                     struct error *e);
// Addresses and the password's file, without taking anything into use. False and *e set.
bool control_check(const struct options *options, struct error *e);

bool control_start(struct server *server, struct error *e);
// The password's file of fresh options is read anew; addresses stay. False and *e set: the old password stays.
bool control_reload(struct server *server, const struct options *fresh, struct error *e);
// The listening socket for `certs`, or that of --redis-listen; -1: there is none. For upgrade.h.
int control_socket(const struct server *server, bool for_certs);
// Whether the files of its Unix sockets are the service manager's.
bool control_keeps_file(const struct server *server);
// Another process goes on with them: the files stay.
void control_leave_files(struct server *server);
void control_stop(struct server *server);

#endif
