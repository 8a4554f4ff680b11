// A key operation on its way: one request of one connection, from its parsing to its answer.
//
// One owner at a time. The connection's loop makes it, gives it to the pool (pool_submit), and from then on
// only the crypto thread that took it may touch `request`, `status`, `output`, `key` and the times (with batches
// one thread may find its key and another compute it: between them it is the pool's); it comes back by
// loop_complete() and is the loop's again. (With a strict audit log its thread has it after that, until its line is
// written, and gives it back in the same way.) `conn`, `next_in_conn` and `peer` are the loop's all the time: a
// connection that dies first sets conn to NULL, and the operation ends without an answer.
#ifndef MEC_KEYSERVER_KEYOP_H
#define MEC_KEYSERVER_KEYOP_H

#include <stdbool.h>
#include <stdint.h>

#include "keyserver/ski.h"

struct conn;
struct ks_key;
struct loop;
struct peer;

struct keyop {
    struct keyop *next;         // in whatever queue it stands
    struct keyop *next_in_conn; // requests of a connection, oldest first: answers leave in this order
    struct conn *conn;
    struct loop *loop;
    struct peer *peer; // a reference
    uint32_t flow;     // of its edge: fair_queue.h

    // How to answer over HTTP.
    unsigned http_status; // 0: from `status` and the request's dialect
    bool is_operation;    // false: only an HTTP answer (wrong path, bad head): no audit line
    bool parsed;          // the request's members are valid
    bool http10;          // the client needs to be told that the connection stays
    bool head_only;       // HEAD: no body
    bool last;            // the connection closes behind this answer
    bool done;            // the answer may leave

    bool in_flight; // counted so in its edge's account

    bool audited; // strict audit: its line is written, or it is refused

    _Atomic bool abandoned; // its connection is gone: not worth starting

    // What the access policy said (access_gate.h); with the same owner as `status`.
    bool undecided;       // it depends on the key
    const char *denied;   // why it was denied, a static word (access_reason_word()); NULL: it was not
    unsigned policy_line; // of the rule that decided; 0: none did

    bool looked_up;     // its key was looked for: `key`, or `status` says why there is none
    struct ks_key *key; // a reference, from then until it is computed

    uint64_t received_ns; // its last byte was read
    uint64_t ready_ns;    // with its key, it waits for others of its size or for a thread; 0: never
    uint64_t started_ns;  // a crypto thread computes it; 0: never
    uint64_t finished_ns;
    uint64_t deadline_ns; // after this it is not worth starting

    enum ski_status status;
    enum keyrecord_type key_type; // 0: not known
    unsigned key_bits;
    struct ski_request request;
    size_t output_len;
    uint8_t output[SKI_OUTPUT_MAX]; // may be a premaster: wiped when the operation is released
};

#endif
