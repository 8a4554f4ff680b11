// SYNC and PSYNC: the store as an RDB to one connection (`redis-cli --rdb`). There are no full replicas of this server: when the RDB has been taken the connection is closed.
//
// The RDB is written to a file without a name first, so that a slow peer holds nothing back in the store, then sent from it in pieces: the next when the peer has taken most
// of what is on its way. One thread for each; RESP_SYNCS_MOST at once.
#ifndef MEC_KVSTORE_RESP_RDB_SYNC_H
#define MEC_KVSTORE_RESP_RDB_SYNC_H

#include "common/report.h"
#include "kvstore/resp/rdb_save.h"

#define RESP_SYNCS_MOST 4u

// Begins to send. False: *e.
bool resp_sync_begin(struct resp_session *session, struct error *e);
// The session ends: nothing more is pushed to it. Cheap when there is nothing.
void resp_sync_forget(struct resp_session *session);
// Ends all and waits for their threads.
void resp_sync_end_all(struct resp_saves *saves);

#endif
