// The scale-up controller without its sockets, files and clock: a pool of memory, VNFs with grants and leases, raises that wait, reclaims. A state machine: events come in by
// calls that carry the time, effects go out through callbacks before the call returns. One thread. DESIGN.md has the invariants P1 to P6.
#ifndef MEC_SCALEUP_BROKER_H
#define MEC_SCALEUP_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/report.h"
#include "scaleup/backend.h"
#include "scaleup/book.h"
#include "scaleup/message.h"

struct broker;

struct broker_vnf { // of the configuration
    message_name name, backend;
    char target[BOOK_TARGET_MAX + 1]; // what the back-end acts on: backend_target()
    uint64_t min_bytes, max_bytes;    // max 0: the pool
    unsigned priority;                // 0 to 9
    bool force_overdue;               // on-overdue = force
};

struct broker_options {
    uint64_t pool_bytes, granularity;
    uint64_t lease_ms, deadline_ms; // deadline_ms: of requests that have none
    const struct broker_vnf *vnfs;
    size_t vnf_count;
};

// What the broker does. Called from within its functions; must not call the broker. The message is valid during the call.
struct broker_effects {
    void (*send)(void *arg, uint64_t session, const struct message *message);
    void (*close)(void *arg, uint64_t session); // after what was sent has left
    void (*apply)(void *arg, size_t vnf, uint64_t change_id,
                  uint64_t bytes); // backend_set() of the VNF with that index
    // Makes the book durable. False: it could not be, and the broker does not go on with what needed it.
    bool (*record)(void *arg, const struct book *book);
    void (*log)(void *arg, bool warning, const char *event, const char *text); // text: key=value pairs
    void *arg;
};

// book: what was read at start, taken over as the state before the back-ends have told the truth; NULL: none yet. VNFs of the book that are not in the configuration
// keep their commitment until they return it (their back-end is unknown: reported by the log and status). One whose back-end, or what that acts on, is another than the book has
// keeps its commitment, and is told of no more than its minimum until the new one has said what it has. Everything is copied. NULL and *e set: minimums beyond
// the pool, a name twice, no memory.
struct broker *broker_create(const struct broker_options *options, const struct broker_effects *effects,
                             const struct book *book, uint64_t now_ms, struct error *e);
void broker_destroy(struct broker **broker);
// A VNF more, or other bounds, priority and on-overdue of one that there is (after a reload). *index: by which effects and reports name it: that of a VNF never changes, a new one's is the number of
// those there were. Its back-end may be told of its minimum before this returns. A maximum below what the VNF has is gone down to as after an operator's return, as far as the
// back-end can without hurting it. False and *e set, nothing changed: a minimum that is not free now, or above the maximum; memory that is being taken below the new minimum; another back-end than it had; no memory.
bool broker_set_vnf(struct broker *broker, const struct broker_vnf *vnf, uint64_t now_ms, size_t *index,
                    struct error *e);

// A peer has said hello and may do what it says (the daemon has checked). session: unique, never used again. now_ms: any clock that only goes forward.
void broker_hello(struct broker *broker, uint64_t session, const struct message *hello, uint64_t now_ms);
void broker_message(struct broker *broker, uint64_t session, const struct message *message, uint64_t now_ms);
void broker_disconnected(struct broker *broker, uint64_t session, uint64_t now_ms);
void broker_report(struct broker *broker, size_t vnf, const struct backend_report *report, uint64_t now_ms);
// Time passes: deadlines, leases, reclaims that are overdue. Returns when to call again at the latest (UINT64_MAX: not needed before another event).
uint64_t broker_tick(struct broker *broker, uint64_t now_ms);

// What there is, for metrics and status; *status is a MESSAGE_STATUS to be released.
bool broker_status(const struct broker *broker, const char *vnf, struct message *status);
struct broker_stats {
    uint64_t pool_bytes, committed_bytes, free_bytes;
    uint64_t raises, returns, partial, deferred, infeasible, denied, errors, reclaims, overdue, leases_ended,
        record_failures;
};
void broker_get_stats(const struct broker *broker, struct broker_stats *stats);
// P1 and what else holds between calls; NULL or what is wrong. For tests.
const char *broker_check(const struct broker *broker);

#endif
