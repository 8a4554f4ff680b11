// A program that root starts and that serves as another user. In this order, on the main thread:
//
//   privileges_find      the user, its groups; leaves the bounding, ambient and inheritable sets empty
//   privileges_as_user   files that are made belong to the user, and what it may not read is refused; of root's
//                        capabilities only binding to low ports and locking memory stay in effect
//   privileges_as_root   back, for files that only root may read
//   privileges_drop      for good, in all threads; and looks whether it is so
//
// All of them do nothing when no user was asked for. Identities are those of the process: other threads that open
// files meanwhile do it as the same user.
#ifndef MEC_COMMON_PRIVILEGES_H
#define MEC_COMMON_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/report.h"

#define PRIVILEGES_GROUPS 64

struct privileges {
    bool wanted;
    uid_t uid;
    gid_t gid;
    gid_t groups[PRIVILEGES_GROUPS];
    int group_count;
};

// user NULL: none is wanted. Refuses a name that is not there, root itself, and a process that is not root's. Before
// threads are started.
bool privileges_find(struct privileges *p, const char *user, struct error *e);
bool privileges_as_user(const struct privileges *p, struct error *e);
bool privileges_as_root(const struct privileges *p, struct error *e);
// Real, effective and saved ids become the user's. False and *e set also when afterwards a thread still has a
// capability or root can be had back: the caller must end.
bool privileges_drop(const struct privileges *p, struct error *e);

#endif
