// One connection, and the loop it lives on. Internal to the server: resp_conn.c, resp_loop.c, resp_server.c.
//
//   loop thread:    read ──▶ query buffer ──parse──▶ a whole command ──submit──▶ worker
//   worker thread:  resp_batch_run ──▶ replies ──post──▶ loop's inbox
//   loop thread:    replies ──▶ output ──write──▶ peer; then the next batch
//
// While a batch is out (busy) the worker alone has session, query, parser and reply; the loop has the
// bufferevent, which goes on reading up to RESP_INPUT_BYTES and no further. A new batch starts only when the
// output is down to RESP_OUTPUT_RESUME, so a peer that does not read holds what one batch replied and no
// more, and is cut off when its output does not move for write_timeout_ms. A connection is freed by its loop
// only, never while busy.
#ifndef MEC_KVSTORE_RESP_CONN_H
#define MEC_KVSTORE_RESP_CONN_H

#include <pthread.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "kvstore/resp_batch.h"
#include "kvstore/resp_pool.h"

#define RESP_INPUT_BYTES   (1024 * 1024)
#define RESP_OUTPUT_RESUME (64 * 1024)

struct resp_loop {
    struct resp_shared *shared;
    struct resp_pool *pool;
    unsigned write_timeout_ms;
    unsigned drain_timeout_ms;
    pthread_t thread;
    bool running; // the thread was started
    // The thread's alone.
    struct event_base *base;
    struct event *wake_event, *tick_event, *drain_event;
    struct resp_conn *conns;
    bool stopping;
    void (*on_tick)(void *arg); // about once a second or more often, on the thread; NULL: none
    void (*on_stop)(void *arg); // on the thread, when it begins to stop
    void *hook_arg;
    // Others come through here.
    pthread_mutex_t lock;
    struct resp_conn *inbox, **inbox_end; // guarded by lock
    bool stop_asked;                      // guarded by lock
    int wake_fd;
};

struct resp_conn {
    struct resp_job job; // first: a job is its connection
    struct resp_loop *loop;
    struct bufferevent *bev; // NULL: accepted, not taken on by its loop yet
    struct resp_session session;
    struct resp_parser parser;
    struct resp_buffer query;
    struct resp_reply reply;
    bool busy;                     // a batch is out
    bool eof;                      // the peer has sent all it will
    bool closing;                  // no more batches; closed when the output is empty
    bool dead;                     // freed as soon as it is not busy
    uint64_t moved_ms;             // when bytes last came or went
    struct resp_conn *next, *prev; // of the loop's list
    struct resp_conn *inbox_next;
};

// ---- resp_loop.c

// Makes a loop (the hooks may be set before it starts). False and *e set on failure; deinit is then not
// needed.
bool resp_loop_init(struct resp_loop *loop, struct resp_shared *shared, struct resp_pool *pool,
                    struct error *e);
bool resp_loop_start(struct resp_loop *loop, struct error *e);
// Any thread: gives the loop a new connection, or one whose batch is done.
void resp_loop_post(struct resp_loop *loop, struct resp_conn *conn);
// Any thread: the loop closes idle connections, lets batches finish and their replies leave, for at most
// drain_timeout_ms, and ends.
void resp_loop_ask_stop(struct resp_loop *loop);
void resp_loop_join(struct resp_loop *loop);
void resp_loop_deinit(struct resp_loop *loop);
// On the loop's thread: ends the loop if it is stopping and has no connections left.
void resp_loop_check_done(struct resp_loop *loop);

// ---- resp_conn.c; all but create on the loop's thread

// Takes over fd, also on failure (NULL). Counts as a client until freed. Any thread.
struct resp_conn *resp_conn_create(struct resp_loop *loop, int fd);
void resp_conn_take_on(struct resp_conn *conn);    // first time in the inbox
void resp_conn_batch_done(struct resp_conn *conn); // back from a worker
void resp_conn_check_idle(struct resp_conn *conn, uint64_t now_ms);
void resp_conn_finish(struct resp_conn *conn); // stopping: no further batch; closed when quiet
void resp_conn_kill(struct resp_conn *conn);   // freed now, or when its batch is back
uint64_t resp_monotonic_ms(void);

#endif
