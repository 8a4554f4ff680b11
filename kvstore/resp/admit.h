// What of a connection's state decides whether a command runs at once: an open transaction, subscriptions, MONITOR. The errors and their order are those of Redis 7.0.
#ifndef MEC_KVSTORE_RESP_ADMIT_H
#define MEC_KVSTORE_RESP_ADMIT_H

#include "kvstore/resp/command.h"

// The command was not found or cannot be called so, which was replied: a transaction that is open will not be executed. call->command NULL: not found. before: where its
// reply began.
void resp_admit_rejected(struct resp_call *call, const struct resp_mark *before);

// True: it may run now. False: it was queued, or refused; replied.
bool resp_admit(struct resp_call *call);

// It is done: ends what CLIENT CACHING asked for one command.
void resp_admit_done(const struct resp_call *call);

#endif
