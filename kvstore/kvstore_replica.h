// The daemon's options about a primary as those of a replica (resp/replica.h).
#ifndef MEC_KVSTORE_KVSTORE_REPLICA_H
#define MEC_KVSTORE_KVSTORE_REPLICA_H

#include "kvstore/kvstore_options.h"
#include "kvstore/resp/replica.h"

struct kvstore_replica {
    struct resp_replica_options options; // points to what follows
    char host[RESP_REPLICA_HOST];
    char password[512];
};

// "host:6379", "[::1]:6379". False and *e set.
bool kvstore_replica_parse(const char *text, char host[static RESP_REPLICA_HOST], unsigned *port,
                           struct error *e);
// Reads the files of certificate and password. False and *e set; kvstore_replica_release() is needed either way.
bool kvstore_replica_read(const struct kvstore_options *options, struct kvstore_replica *replica,
                          struct error *e);
void kvstore_replica_release(struct kvstore_replica *replica);

#endif
