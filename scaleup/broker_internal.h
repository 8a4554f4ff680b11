// Shared by the broker's files. What a VNF's numbers mean:
//
//   0 ── min ──── safe ──── granted ───── high ──── committed ──── max
//
//   safe       the least that the back-end may have brought it to, by what it has reported and what it has been told since
//   high       the most, likewise
//   granted    in the book: what the VNF may be told of; follows `safe`
//   committed  in the book: what the pool is without; follows `high`, and goes ahead of it before the back-end is told of a raise
//
// The VNF is told min(granted, safe). When the back-end has said its last word safe == high, and the book follows: all five are one.
#ifndef MEC_SCALEUP_BROKER_INTERNAL_H
#define MEC_SCALEUP_BROKER_INTERNAL_H

#include "scaleup/broker.h"

#define BROKER_NOBODY          SIZE_MAX
#define BROKER_RETRY_MS        5000   // in a deferred response
#define BROKER_AGAIN_MS        1000   // what failed is tried again, then twice as late, up to
#define BROKER_AGAIN_MAX       60000  // this
#define BROKER_DEADLINE_MAX_MS 600000 // of a request, unless the server's own is longer
#define BROKER_BAD_BOOK        "the book cannot be written"

enum broker_why { // a back-end is told something
    BROKER_FOR_REQUEST,
    BROKER_FOR_OPERATOR,
    BROKER_TO_MINIMUM,
    BROKER_TO_SETTLE, // it has said too little, or what cannot stay
    BROKER_LEASE_ENDED,
    BROKER_FORCED,
};

struct broker_change { // what the back-end has been told and has not answered finally
    bool active;
    uint64_t id, target;
    uint64_t request;  // number of the request that it is for; 0: none
    uint64_t again_ms; // no report: told again
    enum broker_why why;
};

struct broker_request {
    bool active;
    bool by_operator, raise;
    bool delivers;    // what a reclaim has asked for, as far as it goes
    bool cut;         // the goal is less than what was asked for
    uint64_t number;  // age; never 0
    uint64_t session; // 0: nobody to answer
    message_name id;
    uint64_t target, min; // as asked
    uint64_t goal, start; // multiples of the granularity; what it was told when it asked
    uint64_t deadline_ms;
    unsigned priority;
    uint64_t reserved; // came back for it and is not yet committed to it
    bool replan;       // look again who could give
};

struct broker_reclaim { // asked of a VNF
    bool active;
    bool forced; // its deadline has passed, the back-end has been told
    message_name id;
    uint64_t target, deadline_ms;
    unsigned priority;
    size_t asker;     // VNF; BROKER_NOBODY: an operator
    uint64_t request; // number of the asker's request
};

struct broker_waiter { // an operator's return that has become a reclaim
    bool active;
    uint64_t session;
    message_name id;
    uint64_t goal, deadline_ms;
};

struct broker_member {
    struct broker_vnf config;
    bool configured;   // false: only the book knows it
    bool begun;        // it has its minimum in the book
    uint64_t min, max; // multiples of the granularity
    uint64_t actual, used, safe, high;
    // A write that failed may be on disk after a crash all the same: the least that it may have there.
    uint64_t doubt_granted, doubt_committed;
    bool behind;    // the book here does not follow safe and high: it could not be written
    bool stray;     // what an earlier life has told the back-end may still go on there
    bool known;     // the back-end has reported
    bool unlimited; // what it has reported last: a group without a limit
    bool
        moved; // its back-end acts on another thing than the book's numbers are of, which has not said yet what it has
    uint64_t had; // while moved: what the book had as granted when it was found out
    bool unsure;  // it could not be read when it answered last: whether it did what it was told nobody knows
    struct broker_change change;
    enum broker_why why;         // the last change was for
    uint64_t again_ms, pause_ms; // next try to settle, and how long after it the next one
    message_text detail;         // what the back-end said last
    uint64_t session, heard_ms;
    bool present;       // its lease runs
    uint64_t lapsed_ms; // since when it should have been heard of; 0: it has been
    uint64_t told;      // the session's VNF was
    struct broker_request request;
    struct broker_reclaim reclaim;
    struct broker_waiter waiter;
    uint64_t asked; // number of the request that it was last asked for
    uint64_t overdue;
    bool wants_offer;
    uint64_t offer_over; // free bytes that are no news to it
};

struct broker_session {
    uint64_t id;
    size_t vnf; // BROKER_NOBODY: an operator
};

struct broker {
    uint64_t pool, granularity, lease_ms, deadline_ms;
    struct broker_effects effects;
    struct broker_member *members; // the configured ones first, in the order of the configuration
    struct book book;              // its entries: the same order
    size_t count, configured;
    struct broker_session *sessions;
    size_t session_count, session_room;
    uint64_t now_ms, last_change, last_request, last_reclaim;
    uint64_t beyond; // what the book had beyond the pool at start
    bool dirty;      // the disk does not have all that the book here has
    uint64_t record_again_ms;
    bool again; // something happened that another round must look at
    struct broker_stats stats;
};

// A lease that has run out ends only so much later: what its VNF has sent may be waiting to be read, when the daemon itself was held up.
static inline uint64_t broker_grace(const struct broker *b)
{
    return b->lease_ms < 10 ? 1 : b->lease_ms / 10;
}
static inline uint64_t broker_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t broker_most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
static inline uint64_t broker_above(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}
static inline uint64_t broker_down(const struct broker *b, uint64_t bytes)
{
    return bytes / b->granularity * b->granularity;
}
static inline uint64_t broker_up(const struct broker *b, uint64_t bytes)
{
    return (bytes + b->granularity - 1) / b->granularity * b->granularity;
}

// ---- broker.c

size_t broker_find(const struct broker *b, const char *name); // BROKER_NOBODY: none
void broker_log(const struct broker *b, bool warning, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void broker_send(const struct broker *b, uint64_t session, const struct message *message);
void broker_refuse(const struct broker *b, uint64_t session, enum message_error_code code,
                   const char *detail);

// ---- broker_pool.c: numbers, the book, the back-end

uint64_t broker_visible(const struct broker *b, size_t i); // what the VNF may be told
uint64_t broker_free(const struct broker *b);              // what nobody has, reserved or not
uint64_t broker_room(const struct broker *b, size_t i);    // how far the VNF's commitment could go
// What the book would have for it.
uint64_t broker_would_grant(const struct broker *b, size_t i);
// The book follows safe and high, with the request that has ended (NULL: none) in one write. False: not recorded; what the book had stands.
bool broker_update(struct broker *b, size_t i, const struct book_request *ended);
// Commits, then tells the back-end. False: there is no room, or the commitment could not be recorded; the back-end was not told.
bool broker_begin(struct broker *b, size_t i, uint64_t target, uint64_t request, enum broker_why why);
bool broker_record(struct broker *b);
// What the back-end has to be told to get the book and it together; false: nothing.
bool broker_unsettled(const struct broker *b, size_t i, uint64_t *target, enum broker_why *why);
void broker_settle(struct broker *b, size_t i);

// ---- broker_target.c: what the numbers of the book are of

// A VNF of the book, whose numbers are not of what is configured: they are no more believed.
void broker_compare_target(struct broker *b, size_t i);
bool broker_knows_target(const struct broker *b, size_t i); // the book's numbers are of what is configured
void broker_note_target(struct broker *b, size_t i);        // from now on they are

// ---- broker_requests.c, broker_serve.c

void broker_respond(struct broker *b, size_t i, uint64_t session, const char *id, enum message_state state,
                    const char *detail);
void broker_rescale(struct broker *b, const struct broker_session *from, const struct message *message);
// Ends the request under way: records, answers, takes back reclaims.
void broker_finish(struct broker *b, size_t i, enum message_state state, const char *detail);
// Ends it with what there is: its deadline, another request, the lease.
void broker_cut_short(struct broker *b, size_t i, const char *detail);
void broker_request_reported(struct broker *b, size_t i, const struct backend_report *report);
void broker_serve(struct broker *b);

// ---- broker_reclaims.c

void broker_plan(struct broker *b, size_t asker, uint64_t need);
uint64_t broker_coming(const struct broker *b, size_t asker); // what reclaims may still bring
void broker_reclaim_from(struct broker *b, size_t i, const struct broker_reclaim *reclaim);
void broker_send_reclaim(const struct broker *b, size_t i);
void broker_reclaiming(struct broker *b, size_t i, const struct message *message);
void broker_reclaim_ended(struct broker *b, size_t i);
void broker_take_back(struct broker *b, size_t asker); // its reclaims are no longer needed
void broker_overdue(struct broker *b, size_t i);
void broker_waiters(struct broker *b, size_t i);
void broker_offers(struct broker *b);

// ---- broker_leases.c

struct broker_session *broker_session(const struct broker *b, uint64_t id);
void broker_greet(struct broker *b, uint64_t session, const struct message *hello);
void broker_gone(struct broker *b, uint64_t id);
void broker_lease(struct broker *b, size_t i); // has it ended?
void broker_tell(struct broker *b, size_t i);  // what has changed since it was told last

// ---- broker_status.c

void broker_send_status(const struct broker *b, uint64_t session, const char *vnf);

#endif
