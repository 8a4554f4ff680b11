// A Redis-protocol server on an open store: listener, event loops, worker threads. Design: DESIGN.md.
//
//   struct resp_server *server = resp_server_create(store, &options, &e);   // socket bound: clients may
//   queue up resp_server_start(server, &e);                                          // threads running
//   ...
//   resp_server_destroy(&server);                                           // drained, joined, socket file
//   removed kv_close(&store);                                                       // only now
//
// Durability: with options.fsync = KV_FSYNC_ALWAYS no reply of a batch that wrote leaves before one kv_sync()
// for the batch has succeeded, so +OK means durable. With the other policies a reply says no more than the
// store's policy does.
//
// Access: peers of a Unix socket must be the server's own user or root (SO_PEERCRED). A TCP address has no
// check of its own: there it takes a password (resp_server_access(), before the start), or TLS with clients' certificates.
//
// Keys and values never reach the log.
#ifndef MEC_KVSTORE_RESP_SERVER_H
#define MEC_KVSTORE_RESP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/ssl.h>

#include "common/net.h"
#include "common/report.h"
#include "kvstore/kv.h"
#include "kvstore/resp/hooks.h"
#include "kvstore/resp/parse.h"

struct resp_access;
struct resp_server;
struct resp_replica_options;

#define RESP_LISTENERS_MOST 4u

struct resp_listen {
    struct net_addr addr; // a Unix socket gets mode 0600
    bool tls;             // with options.tls
    int fd;               // 0: addr is bound; else a socket that listens already, the server's if it is made
    bool keeps_file;      // with fd: the file of a Unix socket is not the server's to remove
    bool trusted;         // who comes by it needs no password, and may run what options.refused names
};

struct resp_server_options {                          // zero: the default in brackets
    struct net_addr listen;                           // a Unix socket gets mode 0600; in clear
    struct resp_listen more[RESP_LISTENERS_MOST - 1]; // further ones
    unsigned more_count;
    bool listen_trusted; // of `listen`, as resp_listen.trusted
    int listen_fd;       // as resp_listen.fd
    bool listen_keeps_file;
    // Commands by their full names ("debug", "config|rewrite"), NULL behind the last, that are refused to those who do not come by a trusted listener. Admin commands
    // (RESP_CMD_ADMIN) only; one that does not exist does no harm. Borrowed. NULL: none.
    const char *const *refused;
    unsigned kept_clients; // of max_clients, for trusted listeners alone
    SSL_CTX *tls;          // for those with TLS: the server takes a reference
    bool cluster_enabled;  // says that it is a cluster, of one node
    // What all connections may hold in buffers together, at the moment: beyond it the largest is cut off. Asked twice a second, by a loop's thread. NULL: no bound.
    uint64_t (*buffer_limit)(void *arg);
    void *buffer_limit_arg;
    enum kv_fsync fsync;       // the policy the store was opened with
    unsigned loops;            // event loop threads [1]
    unsigned workers;          // threads that run commands and wait for the disk [4]
    unsigned max_clients;      // [1000]; further ones get "-ERR max number of clients reached"
    unsigned idle_timeout_ms;  // a peer from or to which nothing moves is closed [0: never]
    unsigned write_timeout_ms; // a peer that takes nothing of its output for this long is cut off [30000]
    unsigned drain_timeout_ms; // how long stop waits for peers to take their last replies [2000]
    size_t output_limit_bytes; // one batch's replies; a connection that asks for more is cut off [1 GiB]
    struct resp_limits limits; // of requests [parse.h]
    unsigned databases;        // that SELECT may choose: 1 or 16 [16]
    // Called on a worker thread after a key was written, deleted or given another expiry; before the sync.
    // Must not call the server. NULL: none.
    void (*on_change)(void *arg, const void *key, size_t len);
    void *on_change_arg;
    // What CONFIG SET maxmemory may set at most, at the moment; more becomes that. Any thread. NULL: anything.
    uint64_t (*most_memory)(void *arg);
    void *most_memory_arg;
    // Where SAVE writes, and the file's name there [NULL: SAVE only syncs; no RDB is given away]. Copied.
    const char *save_dir, *save_name;
    // To be a replica, now or when REPLICAOF says so (replica.h) [NULL: never]. Copied.
    const struct resp_replica_options *replica;
    uint64_t (*now_ms)(void *arg); // Unix milliseconds, as the store's; NULL: the system's clock. Any thread.
    void *now_arg;
    struct resp_hooks hooks; // what commands on the server need of the program; texts are borrowed
};

struct resp_server_stats {
    unsigned clients; // connected now
    uint64_t connections, rejected, refused_peers, commands, errors, protocol_errors, cut_off, idle_closed,
        evicted, buffer_bytes, wrong_passwords, guessers_closed;
};

// Binds the socket. The store stays the caller's and must outlive the server. options is copied. NULL and *e
// set on failure.
struct resp_server *resp_server_create(struct kv_store *store, const struct resp_server_options *options,
                                       struct error *e);

// Between create and start: loads an RDB, "-" for standard input (rdb_load.h). Clients that connect wait. go_on (may be NULL) is asked now and then; false ends it. False and *e
// set: what was loaded until then stays.
bool resp_server_load(struct resp_server *server, const char *path, bool (*go_on)(void *arg), void *arg,
                      struct error *e);

// Starts the threads. False and *e set on failure; the server may then only be destroyed.
bool resp_server_start(struct resp_server *server, struct error *e);

// Stops accepting, lets running batches finish and their replies leave (drain_timeout_ms), closes all
// connections, joins all threads, removes the socket file if it is still ours. Safe to call twice. Not from
// on_change.
void resp_server_stop(struct resp_server *server);

// Stops if needed, frees, sets *server to NULL. NULL is fine.
void resp_server_destroy(struct resp_server **server);

// The address of the first listener as bound (the port chosen when it was 0); of listener `number`, 0 the first. False: there is none.
void resp_server_address(const struct resp_server *server, struct net_addr *addr);
bool resp_server_address_of(const struct resp_server *server, unsigned number, struct net_addr *addr);
// The listening socket, the server's still; -1: there is none. Between start and stop.
int resp_server_socket(const struct resp_server *server, unsigned number);
// Another process goes on with the Unix sockets: their files stay when the server stops.
void resp_server_keep_files(struct resp_server *server);
// For connections that come from now on; takes a reference. The server must have had one from the start. Any thread.
void resp_server_set_tls(struct resp_server *server, SSL_CTX *tls);
// The password (access.h). Lives as long as the server.
struct resp_access *resp_server_access(struct resp_server *server);
void resp_server_get_stats(const struct resp_server *server, struct resp_server_stats *stats); // any thread
// Calls fn with the name of each command that has run ("get", "config|set"; those of the tables, so their number is bounded) and how often. Any thread.
void resp_server_each_called(const struct resp_server *server,
                             void (*fn)(void *arg, const char *name, uint64_t calls), void *arg);

#endif
