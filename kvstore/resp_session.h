// What commands know of the server they run in and of the connection they came by.
//
// resp_shared: one per server; everything in it may be used by any worker thread.
// resp_session: one per connection. Its owner is whoever runs the connection's batch; other threads see of it
// only what CLIENT LIST shows, and that is atomic or guarded by clients_lock.
//
// Locks, in this order and never two of a kind: key lock (one of RESP_KEY_LOCKS, by hash of the key),
// clients_lock. No lock of this file is held while waiting for a client; a key lock may be held while the
// store reads or writes one record.
#ifndef MEC_KVSTORE_RESP_SESSION_H
#define MEC_KVSTORE_RESP_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/net.h"
#include "kvstore/kv.h"
#include "kvstore/resp_parse.h"
#include "kvstore/resp_reply.h"

#define RESP_KEY_LOCKS 64

struct resp_command;
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
    _Atomic uint64_t ops_per_sec; // of the last whole second
};

struct resp_shared {
    struct kv_store *store; // not owned
    enum kv_fsync fsync;    // the store's policy
    unsigned max_clients;
    unsigned idle_timeout_ms;
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

    pthread_mutex_t clients_lock; // guards the list and the names in sessions
    struct resp_session *first;
    pthread_mutex_t key_locks[RESP_KEY_LOCKS];
    uint64_t key_seed;
};

struct resp_session {
    struct resp_shared *shared;
    uint64_t id;
    int fd;
    char peer[NET_ADDR_TEXT];
    char local[NET_ADDR_TEXT];
    uint64_t created_ms;
    _Atomic uint64_t active_ms;                        // of the last command
    const struct resp_command *_Atomic command;        // the last one
    const struct resp_command *_Atomic command_parent; // its container, or NULL
    _Atomic int proto;
    // Guarded by clients_lock; malloc'ed, NULL: none. Only the owner changes them.
    char *name;
    char *lib_name;
    char *lib_version;
    // The owner's alone.
    bool close_after; // after the replies so far
    bool wrote;       // this batch changed the store: sync before the replies leave
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
void resp_session_deinit(struct resp_session *session);

// As RESET leaves it: protocol 2, no name.
void resp_session_reset(struct resp_session *session);

// Sets one of the guarded names (&session->name, ...) to a copy; len 0: to none. False without memory.
bool resp_session_set_text(struct resp_session *session, char **field, const void *text, size_t len);

// Read-modify-write commands hold the lock of their key; so does every command that writes.
pthread_mutex_t *resp_key_lock(struct resp_shared *shared, const struct resp_arg *key);

#endif
