// Listening sockets that another process has opened: the service manager (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS,
// LISTEN_FDNAMES), or a process whose place this one takes. Each has a name that says what for. The module that would
// have bound an address asks for the socket of its name first.
//
// A set belongs to one thread.
#ifndef MEC_COMMON_INHERIT_H
#define MEC_COMMON_INHERIT_H

#include <stdbool.h>

#include "common/report.h"

#define INHERIT_MOST 16u
#define INHERIT_NAME 24u

struct inherited_socket {
    char name[INHERIT_NAME];
    int fd;          // -1: taken
    bool keeps_file; // of a Unix socket: somebody else's, not to be removed
};

struct inherited {
    struct inherited_socket sockets[INHERIT_MOST];
    unsigned count;
};

// Takes what the service manager has passed to this process, and the variables out of the environment. names: those that
// are known, NULL behind the last; a single socket without a known name gets the first. False and *e: a name that is not
// known or comes twice, too many, or no listening stream socket; the caller ends.
bool inherit_from_manager(struct inherited *set, const char *const *names, struct error *e);

// Puts a socket in, which is the set's from then on, also on failure. False and *e: not a listening stream socket, or
// there is one of that name, or no room. Makes it non-blocking and close-on-exec.
bool inherit_add(struct inherited *set, const char *name, int fd, bool keeps_file, struct error *e);

bool inherit_has(const struct inherited *set, const char *name);
// The socket of that name, the caller's from then on; -1: there is none. keeps_file may be NULL. set NULL: none.
int inherit_take(struct inherited *set, const char *name, bool *keeps_file);

// Closes what was not taken.
void inherit_close(struct inherited *set);

#endif
