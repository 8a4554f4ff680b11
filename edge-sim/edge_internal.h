// Between the files of the edge: a worker's loop and its connections. Everything runs on the worker's thread.
#ifndef MEC_EDGE_SIM_EDGE_INTERNAL_H
#define MEC_EDGE_SIM_EDGE_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <openssl/ssl.h>

#include "edge-sim/edge_worker.h"

struct edge_conn;

struct edge_worker {
    struct edge_shared *shared;
    struct event_base *base;
    struct event *listener;
    struct event *listen_again; // the connection limit was reached
    struct event *wake;
    struct event *drain_timer;
    int wake_fd;
    _Atomic unsigned drain_ms; // set before wake_fd rings
    pthread_t thread;
    struct edge_conn *conns; // list
    bool draining;
};

enum edge_phase {
    EDGE_SHAKING, // TLS handshake, waiting for the user
    EDGE_PAUSED,  // TLS handshake, waiting for the key server
    EDGE_HTTP,
};

struct edge_conn {
    struct edge_worker *worker;
    struct edge_conn *next, *prev;
    enum edge_phase phase;
    int fd;
    SSL *ssl;                          // EDGE_HTTP: owned by bev
    struct event *readable, *writable; // of the handshake
    struct event *job;                 // EDGE_PAUSED: the key server's answer is there
    struct event *timer;               // one at a time: handshake, head, idle
    uint64_t accepted_ns;
    bool doomed; // EDGE_PAUSED: to be closed as soon as the job has ended

    struct bufferevent *bev;
    bool head_begun; // the timer counts towards a whole head
    bool last;       // close when everything is sent
    int file_fd;     // body being sent, -1: none
    uint64_t file_left;
    int64_t file_pos;
};

// edge_conn.c
void edge_conn_accept(struct edge_worker *worker, int fd);
// Closes now, or when the paused job has ended. The connection may be freed on return.
void edge_conn_close(struct edge_conn *conn);
void edge_conn_arm(struct edge_conn *conn, unsigned ms);

// edge_http.c
bool edge_http_start(struct edge_conn *conn); // false without memory
// The worker drains: true when nothing is under way on this connection.
bool edge_http_idle(const struct edge_conn *conn);

// edge_worker.c
void edge_worker_forget(struct edge_conn *conn); // takes it off the list; the last one may end the loop

#endif
