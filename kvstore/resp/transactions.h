// MULTI and EXEC: a session's queue of commands. The session's owner alone uses it; CLIENT LIST reads session->multi.
//
// EXEC runs on a worker. It takes the locks of all keys of all queued commands at once, with those of the watched keys, in the databases that a queued SELECT will have
// chosen by then; so nobody sees a half of a transaction, and no change of a watched key is under way when it looks whether there was one.
//
// Memory: the commands of a transaction may take as much as one command may be long (limits.max_query_bytes), their bookkeeping counted. What goes beyond is an error, and
// EXEC refuses the transaction. The words are wiped when they are freed.
#ifndef MEC_KVSTORE_RESP_TRANSACTIONS_H
#define MEC_KVSTORE_RESP_TRANSACTIONS_H

#include "kvstore/resp/command.h"

static inline bool resp_transaction_is_open(const struct resp_session *session)
{
    return session->transaction != NULL;
}

// Whether EXEC is running its commands: nothing that changes what a reply is may then begin (MONITOR, SSUBSCRIBE).
bool resp_transaction_is_running(const struct resp_session *session);

// False: no memory. None is open.
bool resp_transaction_open(struct resp_session *session);

// Queues a command (its words are copied) and replies QUEUED, or an error. A transaction that is refused already queues nothing more.
void resp_transaction_queue(struct resp_call *call);

// A command could not be queued: EXEC will refuse. Nothing when none is open.
void resp_transaction_refuse(struct resp_session *session);

// Forgets queue and watched keys. Nothing when none is open. Also before a session ends.
void resp_transaction_discard(struct resp_session *session);

// EXEC: runs the transaction that is open and replies; it is closed afterwards.
void resp_transaction_exec(struct resp_call *call);

#endif
