// Accepting connections on the main thread: limits first, then to the loop with the fewest connections.
#ifndef MEC_KEYSERVER_LISTENER_H
#define MEC_KEYSERVER_LISTENER_H

#include "keyserver/server.h"

bool listener_start(struct server *server, struct error *e);
void listener_stop(struct server *server); // stops accepting; connections stay
// Those that come wait in the kernel until listener_resume(), or for another process that has the socket too.
void listener_pause(struct server *server);
void listener_resume(struct server *server);
// -1: it has stopped, or there is none.
int listener_socket(const struct server *server, bool migration);

#endif
