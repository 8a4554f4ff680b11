// librescale: asking the platform for memory and giving it back, for any program. Speaks version 1 of the rescale protocol
// (PROTOCOL.md) to scaleupd over a Unix socket, or TCP with mutual TLS.
//
//   struct rescale_options options = {.address = "unix:/run/scaleupd.sock", .vnf = "ks1"};
//   struct rescale_session *session = rescale_open(&options, &why);
//   struct response r = rescale(session, &(struct rescale_request){.target_bytes = 1 << 30, .deadline_ms = 5000});
//   if (r.state == STATE_DONE) use_up_to(r.granted_bytes);
//   rescale_close(&session);
//
// A session has a thread of its own that connects, renews the lease, connects again with a back-off when the connection ends, and calls the callbacks.
// It never gives up by itself. A raise: nothing above granted_bytes may be used before a response says so. A return: free the memory first, then ask.
#ifndef MEC_SCALEUP_RESCALE_H
#define MEC_SCALEUP_RESCALE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/report.h"
#include "common/tls.h"
#include "scaleup/message.h"

struct rescale_session;

// How a rescale stands, or ended. A plain value: nothing to release.
struct response {
    message_name id;
    enum message_state state;
    bool final;
    uint64_t granted_bytes; // what the program may use in all
    uint64_t granularity;   // grants are multiples of it
    uint64_t retry_ms;      // STATE_DEFERRED: ask again after so long, at the earliest
    message_text detail;
};

struct rescale_request {
    uint64_t target_bytes; // in all
    uint64_t min_bytes;    // raise: less is of no use; 0: anything helps
    uint64_t deadline_ms;  // 0: the server's own
    unsigned priority;     // 1 to 10 for the protocol's 0 to 9; 0: the default
    const char *
        id; // NULL: a new one is made. The same id with the same target and min asks for the same answer again
    const char *reason;  // NULL: none
    const char *reclaim; // the id of the reclaim that this answers; NULL: none
};

enum rescale_event_type {
    RESCALE_CONNECTED,    // welcomed: granted_bytes, granularity, min_bytes, max_bytes, lease_ms
    RESCALE_DISCONNECTED, // also each attempt that fails: detail says why; the grant stands until the lease ends
    RESCALE_RECLAIM, // id, target_bytes, deadline_ms, priority, detail (the reason): answer with rescale_reclaiming()
    RESCALE_GRANT, // granted_bytes has changed without being asked for; detail (the reason)
    RESCALE_OFFER, // available_bytes
    RESCALE_REFUSED, // the server does not take this program: detail; it goes on trying, seldom. RESCALE_DISCONNECTED follows
};

struct rescale_event {
    enum rescale_event_type type;
    message_name id;
    uint64_t granted_bytes, granularity, min_bytes, max_bytes, lease_ms;
    uint64_t target_bytes, deadline_ms, available_bytes;
    unsigned priority; // as on the wire, 0 to 9
    message_text detail;
};

// Called by the session's thread. Must not block and must not call rescale(), rescale_close(); the other functions may be called.
typedef void (*rescale_event_fn)(void *arg, const struct rescale_event *event);
// Called by the session's thread for every response of a request, the last of them with final set. When the connection ends meanwhile, the request is
// sent again (same id) over the next one; it ends with STATE_ERROR ("no answer by the deadline") when its deadline and 5 s have passed, or by rescale_close().
typedef void (*rescale_response_fn)(void *arg, const struct response *response);

struct rescale_options {
    const char *address; // "unix:PATH" or "HOST:PORT"
    const char *vnf;     // NULL: as an operator
    const struct tls_files
        *tls;               // HOST:PORT: own certificate and the CA of the server's; NULL for a Unix socket
    uint64_t holding_bytes; // what the program believes it has; 0: nothing
    rescale_event_fn on_event; // may be NULL
    void *arg;
    uint64_t backoff_min_ms,
        backoff_max_ms; // 0: 250 ms and 30 s, with jitter; a lease's third at most when one is known
};

// Copies what the options point to and starts the thread; does not wait for a connection. NULL and *e set: options that cannot be right
// (address, name, unreadable TLS files), or no memory, no thread.
struct rescale_session *rescale_open(const struct rescale_options *options, struct error *e);
// Ends what is outstanding (STATE_ERROR, "closed"), joins the thread, sets *session to NULL. NULL is fine. Not from a callback.
void rescale_close(struct rescale_session **session);

// Asks and waits for the final response: until the deadline and 5 s at most. Any thread but the session's.
struct response rescale(struct rescale_session *session, const struct rescale_request *request);
// Asks and returns at once. False: not accepted, done is not called (bad id; 64 are outstanding; no memory). Any thread.
bool rescale_async(struct rescale_session *session, const struct rescale_request *request,
                   rescale_response_fn done, void *arg);
// Answers a RESCALE_RECLAIM: STATE_ACCEPTED, STATE_PARTIAL (down to target_bytes) or STATE_REFUSED. Any thread.
void rescale_reclaiming(struct rescale_session *session, const char *id, enum message_state state,
                        uint64_t target_bytes);

// An operator's rescale of somebody else's memory, and status. Operator sessions only; blocking. status: a MESSAGE_STATUS that the caller releases with
// message_release(); vnf NULL: all. False and *e set: no answer in timeout_ms, or refused.
struct response rescale_vnf(struct rescale_session *session, const char *vnf,
                            const struct rescale_request *request);
// As rescale_async(), with the interim responses.
bool rescale_vnf_async(struct rescale_session *session, const char *vnf,
                       const struct rescale_request *request, rescale_response_fn done, void *arg);
bool rescale_status(struct rescale_session *session, const char *vnf, unsigned timeout_ms,
                    struct message *status, struct error *e);

// Counters since rescale_open(), for metrics. Any thread.
struct rescale_stats {
    uint64_t connects, disconnects, requests, responses, malformed,
        unexpected; // unexpected: answers nobody waits for
    bool connected;
};
void rescale_get_stats(const struct rescale_session *session, struct rescale_stats *stats);

#endif
