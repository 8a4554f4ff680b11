// A rescale session without its thread and socket: when to connect, what to say, who is waiting for which answer, until when. Events come in
// by calls that carry the time (milliseconds of any clock that only goes forward), effects go out through callbacks before the call returns.
//
//   RESTING --due--> CONNECTING --connected--> GREETING --welcome--> OPEN
//      ^                 |                        |                   |
//      +---- back-off ---+------------------------+-------------------+   anything that ends the connection
//
// One thread, but for the counters. Callbacks must not call back into the core.
#ifndef MEC_SCALEUP_RESCALE_CORE_H
#define MEC_SCALEUP_RESCALE_CORE_H

#include <stdatomic.h>

#include "scaleup/rescale.h"

enum {
    RESCALE_CONNECT_MS =
        10000,               // connecting with its TLS handshake, and then the welcome, may take so long each
    RESCALE_GRACE_MS = 5000, // after its deadline a request waits so long for its final response
    RESCALE_DEADLINE_MS = 30000, // the server's own, as PROTOCOL.md has it: of requests that name none
    RESCALE_LEASE_LEAST_MS = 60, // a lease that is shorter is taken for this, so that pings are no flood
};

// Something that waits for an answer. Made with malloc() by who asks; the core's from rescale_core_ask() until it has ended.
struct rescale_item {
    struct rescale_item *next;
    struct message message; // MESSAGE_RESCALE or MESSAGE_STATUS_ASK
    uint64_t asked_ms, gives_up_ms;
    unsigned slot; // the owner's
    // MESSAGE_RESCALE
    rescale_response_fn done;
    // MESSAGE_STATUS_ASK: the answer, which is the callee's to release from now on; or NULL and why there is none.
    void (*status)(void *arg, struct message *answer, const char *why);
    void *arg;
    // the core's
    bool sent, sent_before; // over this connection; over any
    uint64_t sent_ms;       // over this one
    bool
        abandoned; // a status that nobody waits for any more, whose answer must still be told apart from the next one's
    bool granted_known; // by a response
    uint64_t granted_bytes, granularity;
};

struct rescale_items {
    struct rescale_item *first, **tail;
};

struct rescale_effects {
    // Starts to connect: rescale_core_connected() or rescale_core_disconnected() later, unless drop() comes first. False and *e set: at once.
    bool (*connect)(void *arg, struct error *e);
    void (*drop)(void *arg); // ends the connection or the attempt, if there is one
    // False: the server takes nothing any more, or no memory.
    bool (*send)(void *arg, const struct message *message);
    void (*event)(void *arg, const struct rescale_event *event);
    uint32_t (*random)(void *arg);
    void (*ended)(void *arg, unsigned slot); // just before the final call of a rescale's done
    void *arg;
};

enum rescale_phase { RESCALE_RESTING, RESCALE_CONNECTING, RESCALE_GREETING, RESCALE_OPEN };

struct rescale_core {
    message_name vnf; // "": an operator
    struct rescale_effects effects;
    uint64_t backoff_min_ms, backoff_max_ms;
    enum rescale_phase phase;
    uint64_t due_ms;                             // RESTING: connect; CONNECTING, GREETING: give up
    uint64_t backoff_ms;                         // the last one, without jitter; 0: connections have held
    bool seldom;                                 // the server does not take us
    struct error failed;                         // the connection has to end, and why; "": not
    uint64_t welcomed_ms, lease_ms;              // of the last welcome; lease 0: there was none
    uint64_t heard_ms, pinged_ms, unanswered_ms; // unanswered: the first ping since something was heard
    bool unanswered;
    uint64_t granted_bytes, granularity; // as last heard; holding_bytes before
    message_text why;                    // the last connection ended
    struct rescale_items rescales, statuses;
    _Atomic uint64_t connects, disconnects, requests, responses, malformed, unexpected;
    _Atomic bool connected;
};

// options: vnf, holding_bytes and back-off are used.
void rescale_core_init(struct rescale_core *core, const struct rescale_options *options,
                       const struct rescale_effects *effects, uint64_t now_ms);
// Ends all that waits ("closed") and the connection.
void rescale_core_close(struct rescale_core *core);

void rescale_core_connected(struct rescale_core *core, uint64_t now_ms);
void rescale_core_disconnected(struct rescale_core *core, const char *why, uint64_t now_ms);
// A line without its LF. The connection may be gone (drop()) when it returns.
void rescale_core_line(struct rescale_core *core, const char *line, size_t len, uint64_t now_ms);
// Takes the item.
void rescale_core_ask(struct rescale_core *core, struct rescale_item *item, uint64_t now_ms);
// Sent if there is a connection, else dropped: a reclaim does not outlive the connection that it came by.
void rescale_core_reclaiming(struct rescale_core *core, const struct message *reclaiming, uint64_t now_ms);
// Does what is due. Returns when to call again at the latest.
uint64_t rescale_core_tick(struct rescale_core *core, uint64_t now_ms);

// ---- between rescale_core.c and rescale_items.c

// The connection is to end when the event has been dealt with; the first reason counts.
void rescale_core_fail(struct rescale_core *core, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void rescale_items_init(struct rescale_core *core);
void rescale_items_ask(struct rescale_core *core, struct rescale_item *item, uint64_t now_ms);
void rescale_items_send(struct rescale_core *core, uint64_t now_ms); // all that has not been sent
void rescale_items_unsent(struct rescale_core *core);                // the connection has ended
void rescale_items_response(struct rescale_core *core, const struct message *response);
void rescale_items_status(struct rescale_core *core, struct message *status,
                          uint64_t now_ms); // takes its VNFs
// The server refused something that has no id.
void rescale_items_unexpected(struct rescale_core *core, const char *detail, uint64_t now_ms);
uint64_t rescale_items_expire(struct rescale_core *core, uint64_t now_ms); // the next one's time
void rescale_items_end(struct rescale_core *core, const char *why);

#endif
