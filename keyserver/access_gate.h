// Operations and the access policy: what a loop asks before an operation is queued, and a crypto thread when its key's
// record has been found. An operation of a connection without a pass (no --policy) is allowed.
#ifndef MEC_KEYSERVER_ACCESS_GATE_H
#define MEC_KEYSERVER_ACCESS_GATE_H

#include "keyserver/access.h"
#include "keyserver/keyop.h"
#include "keyserver/stats.h"

// At the door, by the operation's loop. False: denied, with the status set and op->denied saying why. True: go on; if
// op->undecided, access_at_key() decides.
bool access_at_door(struct keyop *op, const struct stats *stats);

// At the key of an undecided operation, by the thread that looks for it; key NULL: there is none, or it cannot be read,
// which is denied in the same way. Returns and sets what access_at_door() does.
bool access_at_key(struct keyop *op, const struct access_key *key, const struct stats *stats);

#endif
