// The daemon's sockets: listeners, and a session for each connection. Reads lines, says who the peer is, keeps everything that a peer can do within bounds (PROTOCOL.md,
// "Limits"); what a message means is its owner's business. One thread: that of the event loop.
//
//   accept ─▶ handshake (TLS) ─▶ hello ─▶ open ─▶ closing (what was said leaves) ─▶ lingering (the peer has read it) ─▶ dead
//
// A session that has ended is only marked; it is freed, and its owner told, from the loop: so every function here may be called from within every callback.
#ifndef MEC_SCALEUP_SCALEUPD_SERVER_H
#define MEC_SCALEUP_SCALEUPD_SERVER_H

#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/report.h"
#include "scaleup/message.h"
#include "scaleup/scaleupd_access.h"

enum {
    SERVER_OPERATOR_CONNECTIONS = 8,  // of all, kept for operators
    SERVER_MESSAGES_PER_SECOND = 100, // of one connection, on average
    SERVER_MESSAGES_AT_ONCE = 200,
    SERVER_RESCALE_COST = 10,      // messages that one rescale counts for: it may have to be written down
    SERVER_OUTPUT_MAX = 256 << 10, // bytes that a peer does not take; then it is dropped
};

struct scaleupd_server;

struct scaleupd_server_options {
    const struct config_list *listen;
    bool open_socket; // all may connect to Unix sockets
    SSL_CTX *tls;     // for addresses that are none; the server takes a reference
    uint64_t max_connections, hello_timeout_ms;
};

struct scaleupd_server_events {
    bool (*is_operator)(void *arg, const struct access_peer *peer);
    // Some rule names the peer. False: it is refused before it says anything, and takes nobody's place.
    bool (*is_known)(void *arg, const struct access_peer *peer);
    // Whether the peer may be what its hello says. False: *code and *why are what it is told.
    bool (*may)(void *arg, const struct access_peer *peer, const struct message *hello,
                enum message_error_code *code, struct error *why);
    // It may; but whether it says so too often. Then it is told `busy`.
    bool (*too_often)(void *arg, const struct message *hello);
    void (*hello)(void *arg, uint64_t session, const struct message *hello); // it may, now
    void (*message)(void *arg, uint64_t session, const struct message *message);
    // After hello(): the connection has ended, whoever ended it.
    void (*gone)(void *arg, uint64_t session);
    void *arg;
};

// Listens. NULL and *e set: an address that cannot be had, no memory. Options and events are copied but for what they point to.
struct scaleupd_server *scaleupd_server_create(struct event_base *base,
                                               const struct scaleupd_server_options *options,
                                               const struct scaleupd_server_events *events, struct error *e);
// Closes everything at once; gone() is not called any more.
void scaleupd_server_destroy(struct scaleupd_server **server);

// Numbers of sessions that have ended are fine.
void scaleupd_server_send(struct scaleupd_server *server, uint64_t session, const struct message *message);
void scaleupd_server_close(struct scaleupd_server *server, uint64_t session); // after what was sent has left

// For connections from now on. Those of which the authorities of the new one know nothing end.
void scaleupd_server_set_tls(struct scaleupd_server *server, SSL_CTX *tls);
// Ends the sessions that may() would refuse now, or whose certificate has run out.
void scaleupd_server_recheck(struct scaleupd_server *server);

struct scaleupd_server_stats {
    uint64_t connections, vnfs, operators; // now
    uint64_t accepted, busy, handshakes_failed, denied, malformed, timeouts, overflows, throttled, messages;
};
void scaleupd_server_get_stats(const struct scaleupd_server *server, struct scaleupd_server_stats *stats);

#endif
