// One connection, and the loop it lives on. Internal to the server: conn.c (birth, death, events of the socket), run.c (commands), loop.c, listen.c, server.c.
//
//   loop thread:    read ──▶ query ──parse──▶ command ──run here──▶ reply ──▶ out ──write──▶ peer
//                                               │ needs the disk:
//                                               ├─ GET: the loop's kv_reader, a place kept for its reply; the GETs behind it go on
//                                               └─ any other: the rest of the query to a worker; the loop goes on with other connections
//   other threads:  done: note to the loop's inbox, eventfd
//
// While a batch is at a worker (busy) the worker alone has session, query, parser and reply. While values are being fetched, only further GETs are run, so that what a
// command sees is as if they ran one after the other. A new command is run only when the output is down to RESP_OUTPUT_RESUME (or a MiB of further commands waits), so a peer that
// does not read holds what one batch replied, and is cut off when its output does not move for write_timeout_ms. A connection is freed by its loop only, never while others have it.
#ifndef MEC_KVSTORE_RESP_CONN_H
#define MEC_KVSTORE_RESP_CONN_H

#include <pthread.h>
#include <event2/event.h>

#include "kvstore/resp/batch.h"
#include "kvstore/resp/io.h"
#include "kvstore/resp/pool.h"

#define RESP_READ_BYTES    (64u * 1024)   // at once
#define RESP_INPUT_BYTES   (1024u * 1024) // read ahead of what may be run
#define RESP_OUTPUT_RESUME (64u * 1024)
#define RESP_FETCHES_MOST  64u // of one connection

struct resp_conn;

enum resp_note_kind {
    RESP_NOTE_NEW,     // a connection for the loop
    RESP_NOTE_DONE,    // back from a worker
    RESP_NOTE_TURN,    // it is its turn again
    RESP_NOTE_WAKE,    // somebody pushed, or asks for its end
    RESP_NOTE_FETCHED, // a struct resp_fetch
};
struct resp_note { // to a loop
    enum resp_note_kind kind;
    struct resp_conn *conn;
    struct resp_note *next;
};

struct resp_loop {
    struct resp_shared *shared;
    struct resp_pool *pool;
    unsigned write_timeout_ms;
    unsigned drain_timeout_ms;
    pthread_t thread;
    bool running; // the thread was started
    // The thread's alone.
    struct event_base *base;
    struct event *wake_event, *tick_event, *drain_event, *deferred_event;
    struct resp_conn *conns;
    struct resp_conn *deferred; // list of those whose replies leave when this round of events is over
    uint8_t *scratch;           // RESP_READ_BYTES
    pthread_t self;             // as `thread`, but set before the thread does anything
    struct kv_reader *reader;   // of values from disk; NULL until the first is wanted, or not to be had
    struct event *reader_event, *reads_event;
    bool reader_tried;
    bool stopping;
    void (*on_tick)(void *arg); // about once a second or more often, on the thread; NULL: none
    void (*on_stop)(void *arg); // on the thread, when it begins to stop
    void *hook_arg;
    // Others come through here.
    pthread_mutex_t lock;
    struct resp_note *inbox, **inbox_end; // guarded by lock
    bool stop_asked;                      // guarded by lock
    int wake_fd;
};

// A GET whose value is on its way from the disk, and the replies behind it.
struct resp_fetch {
    struct resp_note note;
    struct resp_reply value;
    uint64_t began_ns;
    struct resp_out behind;
    bool ready;
    struct resp_fetch *next;
};

struct resp_conn {
    struct resp_job job; // first: a job is its connection
    struct resp_loop *loop;
    struct resp_io io;
    struct event *read_event, *write_event; // NULL: not taken on by its loop yet
    struct resp_note note;                  // NEW, DONE, TURN
    struct resp_session session;
    struct resp_parser parser;
    struct resp_buffer query;
    struct resp_reply reply;
    struct resp_out out;
    struct resp_fetch *first_fetch, *last_fetch;
    unsigned fetches;
    bool busy;    // a batch is at a worker
    bool reading; // the events are on
    bool writing;
    bool eof;      // the peer has sent all it will
    bool closing;  // no more commands; closed when the output is empty
    bool dead;     // freed as soon as nobody else has it
    bool turn_due; // has had its share of this round: again when the others have had theirs
    bool turn_posted;
    bool deferred;                 // in the loop's list
    uint64_t moved_ms;             // when bytes last came or went
    uint64_t accounted;            // of shared->buffer_bytes
    struct resp_conn *next, *prev; // of the loop's list
    struct resp_conn *next_deferred;
    // Any thread.
    pthread_mutex_t push_lock; // a leaf; guards the next three
    struct resp_out pushed;
    struct resp_note wake;
    bool woken; // wake is in the inbox
    _Atomic bool kill_asked;
    _Atomic size_t unsent; // of out, for who pushes
};

// ---- loop.c

// Makes a loop (the hooks may be set before it starts). False and *e set on failure; deinit is then not needed.
bool resp_loop_init(struct resp_loop *loop, struct resp_shared *shared, struct resp_pool *pool,
                    struct error *e);
bool resp_loop_start(struct resp_loop *loop, struct error *e);
// Any thread.
void resp_loop_post(struct resp_loop *loop, struct resp_note *note);
// Any thread: the loop closes idle connections, lets batches finish and their replies leave, for at most drain_timeout_ms, and ends.
void resp_loop_ask_stop(struct resp_loop *loop);
void resp_loop_join(struct resp_loop *loop);
void resp_loop_deinit(struct resp_loop *loop);
// On the loop's thread: ends the loop if it is stopping and has no connections left.
void resp_loop_check_done(struct resp_loop *loop);
// On the loop's thread: a get that misses memory, as kv_reader_get() or, where there is no reader, kv_get_async(). The reads of one round of events
// are handed over together when it is over.
enum kv_status resp_loop_get(struct resp_loop *loop, const void *key, size_t key_len, struct kv_view *view,
                             kv_done_fn done, void *arg);

// ---- conn.c; all but create on the loop's thread

// Takes over fd, also on failure (NULL). Counts as a client until freed. Any thread.
struct resp_conn *resp_conn_create(struct resp_loop *loop, int fd, SSL_CTX *ctx);
void resp_conn_take_on(struct resp_conn *conn); // first time in the inbox
void resp_conn_woken(struct resp_conn *conn);   // somebody pushed, or asks for its end
void resp_conn_check_idle(struct resp_conn *conn, uint64_t now_ms);
void resp_conn_finish(struct resp_conn *conn); // stopping: no further command; closed when quiet
void resp_conn_kill(struct resp_conn *conn);   // freed now, or when nobody else has it
// Writes what there is to write; closes when that was the last. False: the connection is not there any more. While the store holds records (KV_PUT_HOLD), whoever put them,
// no reply leaves: it waits for the end of this round of events, when they are written, all at once.
bool resp_conn_flush(struct resp_conn *conn);
void resp_conn_send_deferred(struct resp_loop *loop);
// What it holds in buffers.
size_t resp_conn_bytes(const struct resp_conn *conn);
uint64_t resp_monotonic_ms(void);

// ---- run.c; on the loop's thread. Any may free the connection.

// Runs what commands there are in bytes that have just come (not yet in the query) or in the query (len 0).
void resp_conn_run(struct resp_conn *conn, const uint8_t *bytes, size_t len);
void resp_conn_batch_done(struct resp_conn *conn); // back from a worker
void resp_conn_turn(struct resp_conn *conn);
void resp_conn_fetched(struct resp_fetch *fetch);
// On a worker: the batch that was given to it.
void resp_conn_work(struct resp_job *job);
// Whether it takes bytes from the peer now.
bool resp_conn_takes_input(const struct resp_conn *conn);

#endif
