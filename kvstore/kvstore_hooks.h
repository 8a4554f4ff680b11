// What the daemon does for commands of its clients on the server as a whole (resp/hooks.h): CONFIG REWRITE, SHUTDOWN, INFO elastic.
#ifndef MEC_KVSTORE_KVSTORE_HOOKS_H
#define MEC_KVSTORE_KVSTORE_HOOKS_H

#include "kvstore/kvstore_daemon.h"

// The daemon's options and scaler are there, and stay while the server runs.
struct resp_hooks kvstore_hooks(struct kvstore_daemon *daemon);

#endif
