// Who is at the other end of a connection: shared by the connection and its operations, since an operation
// may outlive its connection. References are counted by the connection's loop alone; what is in it never changes once
// an operation has it.
#ifndef MEC_KEYSERVER_PEER_H
#define MEC_KEYSERVER_PEER_H

#include <stdint.h>
#include <stdlib.h>

#include "common/net.h"
#include "keyserver/access.h"
#include "keyserver/edges.h"

struct peer {
    unsigned refs;
    char name[128]; // from the certificate (tls_peer_name) or of access_migration_name(), "-" before
                    // the handshake is done
    char addr[NET_ADDR_TEXT];     // "10.1.2.3:51234"
    uint32_t flow;                // of its name: edges take turns by it
    bool migration;               // it came to the migration listener, and has no certificate
    bool listed;                  // and the access policy lists its address
    struct access_pass *pass;     // what the access policy has to say to it; NULL: no policy
    struct edge_account *account; // a reference; NULL before the handshake is done
};

static inline void peer_unref(struct peer **peer)
{
    if (*peer != NULL && --(*peer)->refs == 0) {
        access_pass_destroy(&(*peer)->pass);
        edge_release(&(*peer)->account);
        free(*peer);
    }
    *peer = NULL;
}

#endif
