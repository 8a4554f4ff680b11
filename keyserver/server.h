// The key server: what its threads share, and the few things they ask of it.
//
// Threads: the main thread (signals, listener, admin), I/O loops (loop.h), crypto threads (pool.h), the
// control socket's own (kvstore/resp/server.h), the log's, the audit log's. Locks, each held alone: mailbox of a
// loop, pool, a shard of the key cache, TLS context, addresses, edges, the audit log's ring, a shard of its alarms.
#ifndef MEC_KEYSERVER_SERVER_H
#define MEC_KEYSERVER_SERVER_H

#include <stdatomic.h>
#include <event2/listener.h>
#include <openssl/ssl.h>
#include <pthread.h>

#include "common/inherit.h"
#include "common/net.h"
#include "common/privileges.h"
#include "common/seal.h"
#include "keyserver/access.h"
#include "keyserver/addrs.h"
#include "keyserver/audit.h"
#include "keyserver/edges.h"
#include "keyserver/engine.h"
#include "keyserver/keyring.h"
#include "keyserver/loop.h"
#include "keyserver/options.h"
#include "keyserver/peer.h"
#include "keyserver/pool.h"
#include "keyserver/stats.h"
#include "keyserver/work.h"
#include "kvstore/kv.h"
#include "kvstore/resp/server.h"
#include "scaleup/scaler.h"

struct server {
    const struct options *options; // never changes while the server runs
    struct event_base *base;       // the main thread's
    struct inherited *inherited;   // listening sockets that are open already (upgrade.h)
    struct kv_store *store;
    struct seal_key *master;
    struct keycache *cache;
    struct keyring ring;
    struct engine_pick engine_pick;
    struct engine *engine;
    struct work work; // what the crypto threads go by
    struct pool *pool;
    struct loop *loops;
    unsigned loop_count, next_loop;
    struct evconnlistener *listener, *migration_listener; // the latter NULL: not asked for
    struct event *listener_pause;
    struct net_addr bound, migration_bound;
    struct resp_server *control;
    bool keeps_socket_files; // of `control`: the service manager's
    struct audit *audit;
    struct stats stats;
    struct addrs *addrs;
    struct edges *edges;   // NULL: edges are not counted
    struct watch *watch;   // what is looked at each second; NULL: nothing
    uint64_t flow_seed;    // of peer.flow: nobody chooses whom he shares turns with
    struct scaler *scaler; // of the store's memory
    _Atomic unsigned connections, migration_connections; // the latter are among the former
    _Atomic uint64_t migration_strangers;                // the bucket of addresses that no rule lists
    _Atomic uint64_t held, held_limit;                   // bytes of memory that connections hold, and may
    _Atomic uint64_t last_shed_log_s;                    // at most one such line a second
    struct event *ceiling_timer;                         // held_limit follows the ceiling
    unsigned crowd; // connections at their most since memory was trimmed; the main thread's
    _Atomic uint64_t last_handshake_log_s; // at most one such line a second
    _Atomic uint64_t last_edge_log_s;      // at most one such line a second
    _Atomic bool draining;
    uint64_t started_ns;

    pthread_mutex_t tls_lock;
    SSL_CTX *tls;                    // swapped by a reload; connections hold a reference
    SSL_CTX *migration_tls;          // of the migration listener, swapped with it; NULL: none
    struct access_policy *access;    // swapped with it; NULL: none
    _Atomic unsigned tls_generation; // counts the reloads
};

// Reads what one can read while another server has the store: TLS files, master key, policy, the audit log's key. False
// and *e set. In the end as the user of --user. inherited is the caller's, and outlives the server.
bool server_load(struct server *server, const struct options *options, const struct privileges *privileges,
                 struct inherited *inherited, struct error *e);
// Behind it: the store, and a sample of its records. False and *e set.
bool server_load_store(struct server *server, struct error *e);
// Starts threads and listeners on the loaded server; base is the main thread's loop.
bool server_start(struct server *server, struct event_base *base, struct error *e);
// Ends everything, started or only loaded; what is in flight is answered first if server_drain() was waited
// for.
void server_stop(struct server *server);

// Reads certificates, CAs, the access policy and the password anew and swaps them in; on any fault the old ones stay.
// Running connections are not touched, but for those whose certificate is revoked now.
bool server_reload(struct server *server, const struct options *options, struct error *e);
// Accepts no more, and connections come to their ends: server_drain_on() has the loops look after them once more,
// server_connections() tells how many are left. keep_listening: new ones wait in the kernel; server_resume() accepts
// them.
void server_drain(struct server *server, bool keep_listening);
void server_drain_on(struct server *server);
void server_resume(struct server *server);
unsigned server_connections(const struct server *server);

// ---- for loops and connections

// For a connection of the migration listener or of the other.
SSL *server_new_ssl(struct server *server, bool migration);
// Whether the certificate that a peer has shown would be accepted by the present context, which may have come
// after its handshake: chain, purpose and dates.
bool server_peer_is_trusted(struct server *server, const SSL *ssl);
// The chain by which it would (tls_peer_chain). NULL: it would not.
STACK_OF(X509) * server_peer_chain(struct server *server, const SSL *ssl);
// The present access policy, a reference for the caller; NULL: none.
struct access_policy *server_access(struct server *server);
// Gives the operation to the crypto threads; false: too much waits already.
bool server_submit(struct server *server, struct keyop *op);
// Audits and counts a finished operation. True: it may be answered. False: it waits for its audit line and comes back by
// loop_complete(), to be passed to this once more.
bool server_account(struct server *server, struct keyop *op);
// What connections hold is too much: the loops that hold more than their share close some. Any thread.
void server_shed(struct server *server);
// All connections together hold at most a quarter of what the process may use, but 1 MiB at least. Any thread.
void server_bound_held(struct server *server, uint64_t ceiling);
void server_conn_closed(struct server *server, const struct net_addr *addr, bool migration);
void server_count_handshake(struct server *server, bool resumed);
void server_count_handshake_failure(struct server *server, const char *addr, const char *reason);
// A connection is closed because its edge has as many as it may.
void server_count_edge_rejection(struct server *server, const struct peer *peer);
void server_count_timeout(struct server *server, enum stats_timeout stage);
void server_count_refusal(struct server *server);

#endif
