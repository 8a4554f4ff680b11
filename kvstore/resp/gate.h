// What a command passes between its lookup and its run: is the peer known, are commands held up (CLIENT PAUSE); and what becomes of its reply (CLIENT REPLY).
//
// A command that is held up waits on a worker, at most until the pause ends by itself, is ended, or the server stops. So a pause takes a worker for each connection that
// has such a command, and when all wait, what needs a worker waits, too: under PAUSE WRITE that is reads of values on disk other than GET's. What runs on a loop, also
// CLIENT UNPAUSE under PAUSE WRITE, is never in their way.
#ifndef MEC_KVSTORE_RESP_GATE_H
#define MEC_KVSTORE_RESP_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct resp_call;
struct resp_session;
struct resp_reply;
struct resp_mark;

enum resp_pause_mode { RESP_PAUSE_NONE, RESP_PAUSE_WRITE, RESP_PAUSE_ALL };

struct resp_pause { // in struct resp_shared
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t until_ns;        // guarded by lock; of clock_ns()
    bool stopped;             // guarded by lock
    _Atomic unsigned mode;    // enum resp_pause_mode; changed under lock
    _Atomic unsigned waiting; // commands that wait
};

// What a connection asked for (CLIENT REPLY, NO-EVICT, NO-TOUCH) and whether it has said who it is. The session's owner's alone, but no_evict and no_touch: CLIENT LIST.
struct resp_manners {
    bool trusted; // by its listener: needs no password, and no command is refused to it
    bool authenticated;
    unsigned wrong_passwords; // since it came or gave the right one; RESET does not forget them
    bool reply_off;
    bool reply_skip;      // of the command that runs
    bool reply_skip_next; // of the one after it
    _Atomic bool no_evict, no_touch;
};

bool resp_pause_init(struct resp_pause *pause);
void resp_pause_deinit(struct resp_pause *pause);
// The stronger mode and the later end of this and what holds already.
void resp_pause_begin(struct resp_pause *pause, enum resp_pause_mode mode, uint64_t ms);
void resp_pause_end(struct resp_pause *pause);
// As end, and none holds any command from now on: before workers are joined.
void resp_pause_stop(struct resp_pause *pause);

enum resp_gate {
    RESP_GATE_OPEN,
    RESP_GATE_REFUSED, // an error was replied
    RESP_GATE_WAIT,    // held up, and may not wait here: to a worker
};
// The call's command is known, its arity right.
enum resp_gate resp_gate_pass(struct resp_call *call);

// After a command: its reply, begun at the mark, goes if the peer wants none (CLIENT REPLY).
void resp_gate_reply(struct resp_session *session, struct resp_reply *reply, const struct resp_mark *mark);

#endif
