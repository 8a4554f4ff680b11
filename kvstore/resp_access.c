#include "kvstore/resp_access.h"

#include <sys/socket.h>
#include <unistd.h>

bool resp_access_allowed(uid_t peer, uid_t own)
{
    return peer == 0 || peer == own;
}

bool resp_access_check(int fd, uid_t *peer)
{
    int domain = 0;
    socklen_t len = sizeof domain;
    *peer = (uid_t)-1;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0)
        return false;
    if (domain != AF_UNIX)
        return true;
    struct ucred credentials;
    len = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) != 0 || len != sizeof credentials)
        return false;
    *peer = credentials.uid;
    return resp_access_allowed(credentials.uid, geteuid());
}
