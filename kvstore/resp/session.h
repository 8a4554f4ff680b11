// What commands know of the server they run in and of the connection they came by.
//
// resp_shared: one per server; everything in it may be used by any worker thread.
// resp_session: one per connection. Its owner is whoever runs the connection's batch; other threads see of it
// only what CLIENT LIST shows, and that is atomic or guarded by clients_lock.
//
// Locks, in this order: key locks (locks.h); one of those of the modules (watch, pubsub, tracking, monitor); clients_lock; the connection's own that session->push and session->kill take.
// The modules' are not nested in each other, and no function of the store is called under them or those behind them. None is held while waiting for a client; a key lock may
// be held while the store reads or writes.
#ifndef MEC_KVSTORE_RESP_SESSION_H
#define MEC_KVSTORE_RESP_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/net.h"
#include "kvstore/kv.h"
#include "kvstore/resp/hooks.h"
#include "kvstore/resp/access.h"
#include "kvstore/resp/gate.h"
#include "kvstore/resp/locks.h"
#include "kvstore/resp/nap.h"
#include "kvstore/resp/parse.h"
#include "kvstore/resp/reply.h"

struct resp_command;
struct resp_dbs;
struct resp_replica;
struct resp_saves;
struct resp_session;

struct resp_counters {              // since start
    _Atomic uint64_t connections;   // accepted
    _Atomic uint64_t rejected;      // over max_clients
    _Atomic uint64_t refused_peers; // by the credential check
    _Atomic uint64_t commands;      // run
    _Atomic uint64_t errors;        // commands answered with an error
    _Atomic uint64_t protocol_errors;
    _Atomic uint64_t cut_off; // peers that did not read, or replies over the limit
    _Atomic uint64_t idle_closed;
    _Atomic uint64_t wrong_passwords; // of peers that had not authenticated
    _Atomic uint64_t guessers_closed; // for too many of them
    _Atomic uint64_t evicted;         // for all connections holding too much together
    _Atomic uint64_t ops_per_sec;     // of the last whole second
};

struct resp_shared {
    struct kv_store *store; // not owned
    enum kv_fsync fsync;    // the store's policy
    _Atomic unsigned max_clients;
    _Atomic unsigned idle_timeout_ms;
    size_t output_limit_bytes;
    struct resp_limits limits;
    struct net_addr bound;
    // Called after each successful write or delete of a key.
    void (*on_change)(void *arg, const void *key, size_t len);
    void *on_change_arg;
    uint64_t (*most_memory)(void *arg); // for maxmemory; NULL: anything
    void *most_memory_arg;
    uint64_t (*now_ms)(void *arg); // NULL: the system's clock
    void *now_arg;

    struct resp_counters counters;
    uint64_t started_ms;
    _Atomic uint64_t last_save_ms; // of the last SAVE or BGSAVE, else the start
    _Atomic uint64_t next_id;
    _Atomic unsigned clients;
    _Atomic uint64_t buffer_bytes;       // held by all connections
    _Atomic uint64_t buffer_limit_bytes; // beyond which the largest has to go; 0: none

    pthread_mutex_t clients_lock; // guards the list and the names in sessions
    struct resp_session *first;
    struct resp_locks locks;
    _Atomic uint8_t db_laid[16]; // which database in the store each number means: SWAPDB changes it
    _Atomic unsigned notify;     // enum resp_event_class: what notify-keyspace-events asks for
    // db.h
    unsigned databases;   // how many may be selected: 16, or 1
    struct resp_dbs *dbs; // counts of keys; NULL: not opened
    // service.h
    struct resp_hooks hooks; // set before resp_shared_init()
    struct resp_stats *stats;
    struct resp_slowlog *slowlog;
    struct resp_latency *latency;
    struct resp_config *config;
    struct resp_naps naps;
    _Atomic uint64_t
        buffer_asked_bytes; // maxmemory-clients: as buffer_limit_bytes, which may have to be less

    // Who watches, listens, tracks, monitors: each of the module of that name, with a lock of its own.
    struct resp_watch *watch;
    struct resp_pubsub *pubsub;
    struct resp_tracking *tracking;
    struct resp_monitors *monitors;
    _Atomic unsigned monitoring; // sessions that MONITOR

    struct resp_access access;    // access.h: the password
    const char *const *refused;   // admit.h: to sessions that are not trusted
    struct resp_pause pause;      // gate.h: CLIENT PAUSE
    _Atomic bool cluster_enabled; // cmd_cluster.c: says that it is a cluster, of one node
    char node_id[41];             // of that node: random, from the start on

    // rdb_save.h, replica.h; NULL: not opened
    struct resp_saves *saves;
    struct resp_replica *replica;
    _Atomic unsigned replica_gate; // enum resp_replica_gate
};

struct resp_replconf { // what a connection has said by REPLCONF (rdb_sync.h)
    bool rdb_only;     // wants the RDB and nothing else
    bool port;         // has named a port that it listens on: it is a replica
    bool sending;      // one has been begun
};

// What a connection holds, as its loop saw it last; all zero for sessions that are nobody's connection.
struct resp_held {
    _Atomic size_t query_bytes, query_room; // not executed yet, and free behind it
    _Atomic size_t output_bytes;            // replies that wait to be taken
    _Atomic size_t bytes;                   // in all
};

struct resp_session {
    struct resp_shared *shared;
    uint64_t id;
    int fd;
    char peer[NET_ADDR_TEXT];
    char local[NET_ADDR_TEXT];
    uint64_t created_ms;
    _Atomic uint64_t active_ms;                        // when commands of it last began to run
    const struct resp_command *_Atomic command;        // the last one
    const struct resp_command *_Atomic command_parent; // its container, or NULL
    _Atomic int proto;
    // Guarded by clients_lock; malloc'ed, NULL: none. Only the owner changes them.
    char *name;
    char *lib_name;
    char *lib_version;
    // Any thread. push: sends bytes that are no reply (messages, invalidations) behind the reply that is under way; the session must be kept from ending meanwhile
    // (by the lock under which the module forgets it). kill: ends the connection soon. NULL in tests, and for sessions that are nobody's connection.
    void (*push)(struct resp_session *session, const void *data, size_t len);
    void (*kill)(struct resp_session *session);
    _Atomic bool killed; // by CLIENT KILL and the like: on its way out, and shown to nobody
    _Atomic bool pushed; // there is something pushed that is not in its replies yet
    // On the session's thread: moves what was pushed to the end of a reply, so that what a command makes its own connection hear comes right behind its reply.
    void (*take_pushed)(struct resp_session *session, struct resp_reply *reply);
    // Bytes on their way to the peer, about: for who pushes much. Under the same lock as push.
    size_t (*unsent)(struct resp_session *session);
    // The owner's alone.
    struct resp_replconf replconf;
    bool from_primary;       // what it says comes from the primary that we are a replica of (replica.h)
    uint64_t errors_counted; // stats.h: of the error replies so far
    _Atomic unsigned db;     // CLIENT LIST reads it
    bool close_after;        // after the replies so far
    bool wrote;              // this batch changed the store: sync before the replies leave
    bool unwritten; // has put what the store may hold back (KV_PUT_HOLD), and has not been answered since
    struct resp_manners manners; // gate.h
    struct resp_held held;       // any thread reads it: CLIENT LIST
    bool reply_is_push; // what the command at hand replies is sent also when replies are off (SUBSCRIBE)
    // Transactions, WATCH, pub/sub, CLIENT TRACKING, MONITOR: NULL while not used. The owner allocates and frees; what is in them belongs to the modules, and is guarded by
    // their locks (but the transaction: the owner's alone).
    struct resp_transaction *transaction;
    struct resp_watcher *watcher;
    struct resp_subscriber *subscriber;
    struct resp_tracker *tracker;
    // Written by the modules; any thread may read, to show it.
    _Atomic unsigned multi;            // 0: no transaction is open, else 1 + the commands that are queued
    _Atomic unsigned subscriptions[3]; // enum resp_pubsub_kind
    _Atomic unsigned tracking;         // enum resp_tracking_flags
    _Atomic uint64_t redirect;         // to which session's id; 0: none
    _Atomic bool watch_dirty;          // a watched key was changed
    _Atomic bool monitor;
    _Atomic bool tracking_target; // some session redirects to this one, or did
    // Guarded by clients_lock.
    struct resp_session *next, *prev;
};

// Makes locks and counters of a zeroed struct whose options (the first block) are set; on_change and clock
// too.
bool resp_shared_init(struct resp_shared *shared);
void resp_shared_deinit(struct resp_shared *shared);
uint64_t resp_now_ms(const struct resp_shared *shared);

// Enters a zeroed session whose fd, peer and local are set into the list; gives it its id.
void resp_session_init(struct resp_session *session, struct resp_shared *shared);
// It came by a listener whose peers need no password (server.h). On its thread, or before it has one.
void resp_session_trust(struct resp_session *session);
// Leaves the list and all modules first: nobody pushes to it afterwards.
void resp_session_deinit(struct resp_session *session);

// As RESET leaves it: protocol 2, no name, database 0, no transaction, subscriptions, tracking, MONITOR.
void resp_session_reset(struct resp_session *session);

// Sets one of the guarded names (&session->name, ...) to a copy; len 0: to none. False without memory.
bool resp_session_set_text(struct resp_session *session, char **field, const void *text, size_t len);

// Whether a command of it is just that: no transaction, nothing that remembers what it reads, nobody who is shown it, its reply is wanted, and no pause holds it up. Then a loop
// may answer its GETs out of the usual way.
static inline bool resp_session_is_plain(const struct resp_session *session)
{
    return session->transaction == NULL && session->subscriber == NULL && !session->manners.reply_off &&
           !session->manners.reply_skip &&
           atomic_load_explicit(&session->tracking, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&session->shared->monitoring, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&session->shared->pause.mode, memory_order_relaxed) != RESP_PAUSE_ALL;
}

static inline bool resp_session_is_authenticated(const struct resp_session *session)
{
    return session->manners.authenticated || session->from_primary ||
           !atomic_load_explicit(&session->shared->access.has_password, memory_order_relaxed);
}

// Commands of it are about to run, one or many: read once for all of them.
static inline void resp_session_is_active(struct resp_session *session)
{
    atomic_store_explicit(&session->active_ms, resp_now_ms(session->shared), memory_order_relaxed);
}

// Which database in the store a database is (db.h).
static inline unsigned resp_db_laid(const struct resp_shared *shared, unsigned db)
{
    return atomic_load_explicit(&shared->db_laid[db], memory_order_relaxed);
}

#endif
