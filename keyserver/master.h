// The master keys of a server: one that it started with and, while keys are sealed anew, others that open records as well.
#ifndef MEC_KEYSERVER_MASTER_H
#define MEC_KEYSERVER_MASTER_H

#include "keyserver/server.h"

// --master-key and --new-master-key, into server->master (NULL: none was given). False and *e set.
bool master_load(struct server *server, struct error *e);

// What a reload brings: --new-master-key, and --master-key where that names another file than the server started with. Keys that it has
// stay until it ends. Main thread; crypto threads go on meanwhile. False and *e set: nothing has changed.
bool master_reload(struct server *server, const struct options *fresh, struct error *e);

#endif
