// The replica's parts for each other (replica*.c).
#ifndef MEC_KVSTORE_RESP_REPLICA_PARTS_H
#define MEC_KVSTORE_RESP_REPLICA_PARTS_H

#include <pthread.h>

#include "kvstore/resp/io.h"
#include "kvstore/resp/rdb_load.h"
#include "kvstore/resp/replica.h"
#include "kvstore/resp/replica_link.h"

#define RESP_REPLICA_NAMED 32u // commands of the stream that we do not have: so many are named in the log

struct resp_replica {
    struct resp_shared *shared;
    struct resp_replica_options options; // with copies of its own
    char own_id[RESP_REPLID + 1];

    pthread_mutex_t lock; // guards the next block
    pthread_cond_t changed;
    char host[RESP_REPLICA_HOST]; // "": we are a primary
    unsigned port;
    bool stop;
    char id[RESP_REPLID + 1]; // of the history that the store has; "": none
    uint64_t down_since_ns;
    pthread_t thread;
    bool started;

    pthread_mutex_t apply_lock; // held by the thread while it carries out what has come; before key locks
    _Atomic uint64_t
        generation; // another one is followed, or none: what was begun before is not gone on with
    int wake_fd;
    // For status.
    _Atomic unsigned state;
    _Atomic uint64_t offset, last_io_ns, full_syncs, partial_syncs, failures, sync_bytes, commands, skipped;

    // The thread's alone.
    struct resp_session session; // nobody's connection
    struct resp_reply reply;
    bool in_transaction; // MULTI has come, EXEC has not
    struct resp_load *load;
    bool cleared; // by this load
    uint64_t run; // the generation that it follows
    char why[160];
    char named[RESP_REPLICA_NAMED][32];
    unsigned named_count;
};

// replica_apply.c: calls for a link; arg is to be the replica.
extern const struct resp_link_calls resp_replica_calls;
void resp_replica_drop_load(struct resp_replica *replica); // what is half loaded, if anything

// replica_run.c
void *resp_replica_run(void *replica);
static inline bool resp_replica_is_current(const struct resp_replica *replica)
{
    return atomic_load(&replica->generation) == replica->run;
}
void resp_replica_set_state(struct resp_replica *replica, enum resp_replica_state state);

// replica_record.c: what survives a stop. load: forgets it in the store, too; false: *e.
bool resp_replica_load_record(struct resp_replica *replica, struct error *e);
void resp_replica_save_record(struct resp_replica *replica);

#endif
