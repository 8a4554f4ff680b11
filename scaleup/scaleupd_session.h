// A connection: what scaleupd_server.c and scaleupd_session.c share. The server has the listeners and the table; the session reads and writes.
#ifndef MEC_SCALEUP_SCALEUPD_SESSION_H
#define MEC_SCALEUP_SCALEUPD_SESSION_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "common/net.h"
#include "scaleup/scaleupd_server.h"

enum session_state {
    SESSION_HANDSHAKE,
    SESSION_HELLO, // nothing said yet
    SESSION_OPEN,
    SESSION_CLOSING,   // no more is read; what was sent leaves
    SESSION_LINGERING, // it has left; until the peer closes, so that it can have read it
    SESSION_DEAD,      // waits to be freed
};

struct session {
    struct scaleupd_server *server;
    uint64_t id;
    struct bufferevent *bev;
    struct event
        *timer; // what it means depends on the state: hello timeout, end of a pause, end of lingering
    enum session_state state;
    bool privileged; // counts as an operator's: it may be one, and has not said that it is none
    bool counted;    // among the server's plain ones
    bool greeted;    // its owner knows of it
    struct access_peer peer;
    struct message hello;
    int64_t tokens; // thousandths of messages that it may send now; below 0: a dear one is being paid for
    uint64_t refilled_ms;
    struct session *next_dead;
    char addr[NET_ADDR_TEXT];
};

struct scaleupd_server {
    struct event_base *base;
    struct scaleupd_server_options options;
    struct scaleupd_server_events events;
    SSL_CTX *tls;
    struct listener {
        struct scaleupd_server *server;
        struct evconnlistener *listener;
        struct event *pause;
        bool is_unix;
        char path[NET_ADDR_TEXT]; // of a Unix socket
    } * listeners;
    size_t listener_count;
    struct session **slots; // max_connections of them; a session's id has its slot in the low 16 bits
    uint64_t next_sequence, plain;
    struct event *reaper;
    struct session *dead;
    struct scaleupd_server_stats stats;
};

// Takes the socket over. NULL: no memory, and the socket is closed.
struct session *session_create(struct scaleupd_server *server, uint64_t id, int fd, bool is_unix,
                               const char *addr);
void session_start(struct session *s);
void session_free(struct session *s);

void session_send(struct session *s, const struct message *message);
void session_finish(struct session *s);
void session_refuse(struct session *s, enum message_error_code code, const char *detail);
// At once; what was sent may be lost.
void session_drop(struct session *s);

// Counts a session that is no operator's as one of those. When there are too many of them the oldest that has not said who it is ends; false: all have.
bool server_count_plain(struct scaleupd_server *server, struct session *s);
void server_reap(struct scaleupd_server *server, struct session *s); // s is dead
// At most one line a second of such an event, with the number of those that were left out; for what strangers can cause.
void server_log_rarely(const char *event, const struct session *s, const char *reason);

#endif
