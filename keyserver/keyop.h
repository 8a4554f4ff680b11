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

// Why an operation is SKI_BUSY.
enum keyop_busy {
    KEYOP_NOT_BUSY,
    KEYOP_QUEUE_FULL, // as much waits as may: of all edges, or of its own
    KEYOP_QUEUE_LONG, // it would wait too long (admission.h), or for longer than its deadline
    KEYOP_EDGE_LIMIT, // its edge has as many requests in flight as it may
    KEYOP_ABANDONED,  // its connection is gone: nobody reads the answer
    KEYOP_BUSY_REASONS
};

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
    bool java_only;       // of the migration listener, which has no /ski
    bool parsed;          // the request's members are valid
    bool http10;          // the client needs to be told that the connection stays
    bool head_only;       // HEAD: no body
    bool last;            // the connection closes behind this answer
    bool done;            // the answer may leave

    bool audited; // strict audit: its line is written, or it is refused

    _Atomic bool abandoned; // its connection is gone: not worth starting
    enum keyop_busy busy;   // of SKI_BUSY; with the same owner as `status`
    bool in_edge;           // counted among what its edge has in flight (edges.h)

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
    uint32_t timeout_ms;  // what its client said (http.h); 0: nothing

    enum ski_status status;
    enum keyrecord_type key_type; // 0: not known
    unsigned key_bits;
    struct ski_request request;
    size_t output_len;
    uint8_t output[SKI_OUTPUT_MAX]; // may be a premaster: wiped when the operation is released
};

#endif
