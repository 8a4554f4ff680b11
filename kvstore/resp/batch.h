// One batch: as many whole commands as a connection's buffer holds, run one after the other on a worker
// thread, their replies built, and, when the store is to sync before it acknowledges, one sync for all of
// them. Knows no sockets.
#ifndef MEC_KVSTORE_RESP_BATCH_H
#define MEC_KVSTORE_RESP_BATCH_H

#include <stdbool.h>

#include "kvstore/resp/buffer.h"
#include "kvstore/resp/parse.h"
#include "kvstore/resp/reply.h"
#include "kvstore/resp/session.h"

#define RESP_BATCH_COMMANDS    1024u                // then others' turn
#define RESP_BATCH_REPLY_BYTES (size_t)(512 * 1024) // then the peer reads before it gets more

struct resp_batch {
    struct resp_session *session;
    struct resp_buffer *query;
    struct resp_parser *parser; // holds a command already: its last status was RESP_COMMAND
    struct resp_reply *reply;   // empty
};

// Runs the command that the parser holds and those behind it, until the buffer holds no whole one or a bound
// is reached. The last status of the parser then says why: RESP_COMMAND means there may be more.
// session->close_after is set by a protocol error (whose text is the last reply), QUIT and the like.
//
// When the sync fails, no reply of the batch may be believed: each is replaced by an error that says so.
void resp_batch_run(struct resp_batch *batch);

#endif
