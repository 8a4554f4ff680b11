// Who may use a Unix socket: the user the server runs as, and root. The socket file's mode says the same;
// this holds also when somebody changed the mode, or handed the connection on.
#ifndef MEC_KVSTORE_RESP_ACCESS_H
#define MEC_KVSTORE_RESP_ACCESS_H

#include <stdbool.h>
#include <sys/types.h>

// The rule alone.
bool resp_access_allowed(uid_t peer, uid_t own);

// The rule applied to a connected socket: false also when the system does not say who the peer is. *peer gets
// the peer's uid, (uid_t)-1 when unknown. Sockets that are no Unix sockets pass: they have no such
// credentials, and are guarded otherwise.
bool resp_access_check(int fd, uid_t *peer);

#endif
