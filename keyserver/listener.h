// Accepting connections on the main thread: limits first, then to the loop with the fewest connections.
#ifndef MEC_KEYSERVER_LISTENER_H
#define MEC_KEYSERVER_LISTENER_H

#include "keyserver/server.h"

bool listener_start(struct server *server, struct error *e);
void listener_stop(struct server *server); // stops accepting; connections stay

#endif
