// A Redis-protocol server on an open store: listener, event loops, worker threads. Design: RESP.md.
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
// check of its own yet: bind it to a loopback address only.
//
// Keys and values never reach the log.
#ifndef MEC_KVSTORE_RESP_SERVER_H
#define MEC_KVSTORE_RESP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/net.h"
#include "common/report.h"
#include "kvstore/kv.h"
#include "kvstore/resp_parse.h"

struct resp_server;

struct resp_server_options {   // zero: the default in brackets
    struct net_addr listen;    // a Unix socket gets mode 0600
    enum kv_fsync fsync;       // the policy the store was opened with
    unsigned loops;            // event loop threads [1]
    unsigned workers;          // threads that run commands and wait for the disk [4]
    unsigned max_clients;      // [1000]; further ones get "-ERR max number of clients reached"
    unsigned idle_timeout_ms;  // a peer from or to which nothing moves is closed [0: never]
    unsigned write_timeout_ms; // a peer that takes nothing of its output for this long is cut off [30000]
    unsigned drain_timeout_ms; // how long stop waits for peers to take their last replies [2000]
    size_t output_limit_bytes; // one batch's replies; a connection that asks for more is cut off [1 GiB]
    struct resp_limits limits; // of requests [resp_parse.h]
    // Called on a worker thread after a key was written, deleted or given another expiry; before the sync.
    // Must not call the server. NULL: none.
    void (*on_change)(void *arg, const void *key, size_t len);
    void *on_change_arg;
    // What CONFIG SET maxmemory may set at most, at the moment; more becomes that. Any thread. NULL: anything.
    uint64_t (*most_memory)(void *arg);
    void *most_memory_arg;
    uint64_t (*now_ms)(void *arg); // Unix milliseconds, as the store's; NULL: the system's clock. Any thread.
    void *now_arg;
};

struct resp_server_stats {
    unsigned clients; // connected now
    uint64_t connections, rejected, refused_peers, commands, errors, protocol_errors, cut_off, idle_closed;
};

// Binds the socket. The store stays the caller's and must outlive the server. options is copied. NULL and *e
// set on failure.
struct resp_server *resp_server_create(struct kv_store *store, const struct resp_server_options *options,
                                       struct error *e);

// Starts the threads. False and *e set on failure; the server may then only be destroyed.
bool resp_server_start(struct resp_server *server, struct error *e);

// Stops accepting, lets running batches finish and their replies leave (drain_timeout_ms), closes all
// connections, joins all threads, removes the socket file if it is still ours. Safe to call twice. Not from
// on_change.
void resp_server_stop(struct resp_server *server);

// Stops if needed, frees, sets *server to NULL. NULL is fine.
void resp_server_destroy(struct resp_server **server);

// The address as bound (the port chosen when it was 0).
void resp_server_address(const struct resp_server *server, struct net_addr *addr);
void resp_server_get_stats(const struct resp_server *server, struct resp_server_stats *stats); // any thread

#endif
