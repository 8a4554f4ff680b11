// A live replica of a Redis or Valkey primary (REPLICAOF): one thread that connects, takes an RDB, follows the stream of commands, says each second how far it is, and comes
// back when the link breaks, with a partial resync where the primary can.
//
//   replica.c        who is followed, ROLE, what survives a stop        replica_link.c   what is said
//   replica_run.c    the thread: sockets, times, coming back             replica_apply.c  what it does to the store
//
// The store is emptied when a full resync's RDB has begun as an RDB does, and filled as it comes. Commands of the stream run as a client's do, in a session that is nobody's
// connection (from_primary), so locks, events and counts are the same; what we have no command for is counted, named once in the log, and passed over. One that fails for a
// reason of ours (disk, memory) breaks the link: it comes again.
//
// While an RDB is loaded clients get -LOADING for commands on data; while the link is down what there is is served (replica-serve-stale-data yes). Clients cannot write, unless
// told so.
//
// The history's id and the offset are kept in the store by a clean stop only, and forgotten as soon as it is open again: after a crash nobody knows which commands were carried
// out, and the next resync is a full one.
#ifndef MEC_KVSTORE_RESP_REPLICA_H
#define MEC_KVSTORE_RESP_REPLICA_H

#include <stdio.h>
#include <openssl/ssl.h>

#include "common/report.h"
#include "kvstore/resp/command.h"

#define RESP_REPLICA_HOST 256u

struct resp_replica_options {
    const char *primary_host; // NULL: none, until REPLICAOF names one
    unsigned primary_port;
    const char *user, *password; // for AUTH; NULL: none. Copied.
    SSL_CTX *tls;                // NULL: in clear. A reference is taken.
    unsigned timeout_ms;         // without a byte from the primary, or of a connect [60000]
    bool writable;               // clients may write, too (replica-read-only no)
};

enum resp_replica_state { // as ROLE says it
    RESP_REPLICA_NONE,    // we are a primary
    RESP_REPLICA_CONNECT, // there is no link
    RESP_REPLICA_CONNECTING,
    RESP_REPLICA_SYNC, // an RDB comes
    RESP_REPLICA_CONNECTED,
};

struct resp_replica_status { // for ROLE and INFO
    enum resp_replica_state state;
    char host[RESP_REPLICA_HOST];
    unsigned port;
    bool read_only;
    char id[41];           // master_replid; our own when we are a primary
    uint64_t offset;       // slave_repl_offset; 0: none
    uint64_t last_io_ms;   // since a byte came; UINT64_MAX: there is no link
    uint64_t link_down_ms; // since the link went down; 0: it is up
    uint64_t full_syncs, partial_syncs, failures;
    uint64_t sync_bytes;        // of the RDB that is being loaded
    uint64_t commands, skipped; // of the stream: carried out, and not
};

// What holds clients' commands up; bits of resp_shared.replica_gate.
enum resp_replica_gate { RESP_REPLICA_READ_ONLY = 1, RESP_REPLICA_LOADING = 2 };

// Takes what the last stop left, and begins to follow if a primary is named. After resp_db_open(), before commands run; until resp_replica_start() no thread is started.
// False: *e.
bool resp_replica_open(struct resp_shared *shared, const struct resp_replica_options *options,
                       struct error *e);
bool resp_replica_start(struct resp_shared *shared, struct error *e);
// Stops following and keeps how far it was. When no command runs any more, before resp_db_close(). Nothing when it was not opened.
void resp_replica_close(struct resp_shared *shared);

// Follows another primary; host NULL: none. When it returns no command of the former one is carried out any more. False: it is followed already. Not with key locks held.
bool resp_replica_follow(struct resp_shared *shared, const char *host, unsigned port);
void resp_replica_get_status(struct resp_shared *shared, struct resp_replica_status *status);
const char *resp_replica_state_text(enum resp_replica_state state);

// "FULLRESYNC <id> <offset>", for who is sent an RDB. Returns buf.
const char *resp_replica_full_resync(struct resp_shared *shared, char *buf, size_t len);

bool resp_replica_refuse(struct resp_call *call);
// Whether a command may not run now on a replica; an error was replied.
static inline bool resp_replica_refuses(struct resp_call *call)
{
    return atomic_load_explicit(&call->session->shared->replica_gate, memory_order_relaxed) != 0 &&
           resp_replica_refuse(call);
}

#endif
