// CLIENT TRACKING: what clients keep in caches of their own, and word to them when it is no longer so.
//
// Two ways. By default the table remembers which session read which key (by its name, whatever the database), once: the next change tells the session and forgets it.
// With BCAST nothing is remembered: a session hears of every changed key that has one of its prefixes; the keys that one command changed come in one message.
//
// Where the word goes: to the session itself as a RESP3 push, or to the session that it redirects to (RESP2: as a message of __redis__:invalidate while that one listens to
// anything). A key is noted before it is read, so that a change in between is told; what is pushed while a command runs leaves behind its reply (session.h).
//
// Bounded: at most max_keys pairs of key and session, and RESP_TRACKING_BYTES; beyond, the oldest keys are told to be invalid and forgotten.
//
// Changes come from any thread. The table's lock is a leaf under the locks of keys; clients_lock is taken under it; it is held while messages are handed to session->push.
#ifndef MEC_KVSTORE_RESP_TRACKING_H
#define MEC_KVSTORE_RESP_TRACKING_H

#include "kvstore/resp/command.h"

struct resp_tracking;

#define RESP_TRACKING_MAX_KEYS 1000000u
#define RESP_TRACKING_BYTES    ((size_t)256 * 1024 * 1024)

enum resp_tracking_flags { // of session->tracking; 0: off. Any thread may read them.
    RESP_TRACKING_ON = 1 << 0,
    RESP_TRACKING_BCAST = 1 << 1,
    RESP_TRACKING_OPTIN = 1 << 2,
    RESP_TRACKING_OPTOUT = 1 << 3,
    RESP_TRACKING_NOLOOP = 1 << 4,
    RESP_TRACKING_CACHING = 1 << 5, // CLIENT CACHING was called: for the next command
    RESP_TRACKING_BROKEN = 1 << 6,  // the session redirected to is gone
};

struct resp_tracking *resp_tracking_create(void); // NULL: no memory
void resp_tracking_destroy(struct resp_tracking **tracking);

// CONFIG tracking-table-max-keys; 0: no limit on their number.
uint64_t resp_tracking_max_keys(const struct resp_shared *shared);
void resp_tracking_set_max_keys(struct resp_shared *shared, uint64_t max_keys);

struct resp_tracking_stats {
    size_t clients, keys, items, prefixes; // items: pairs of key and session
};
void resp_tracking_get_stats(struct resp_shared *shared, struct resp_tracking_stats *stats);

// ---- by the session's owner

enum resp_tracking_status {
    RESP_TRACKING_OK,
    RESP_TRACKING_NO_CLIENT, // to redirect to
    RESP_TRACKING_OVERLAP,   // of prefixes: *which[0] with *which[1]
    RESP_TRACKING_OVERLAP_GIVEN,
    RESP_TRACKING_TOO_MANY, // prefixes: they may take RESP_TRACKING_PREFIX_BYTES
    RESP_TRACKING_NO_MEMORY,
};
#define RESP_TRACKING_PREFIX_BYTES ((size_t)1024 * 1024)

struct resp_tracking_options {
    unsigned flags;
    uint64_t redirect; // 0: to itself
    const struct resp_arg
        *prefixes; // of BCAST; more are added to those there are; none given: every key, too
    size_t prefix_count;
};

// On, or on with other options. Nothing is changed unless OK.
enum resp_tracking_status resp_tracking_enable(struct resp_session *session,
                                               const struct resp_tracking_options *options,
                                               struct resp_arg which[2]);
void resp_tracking_disable(struct resp_session *session);
bool resp_tracking_has_client(struct resp_shared *shared, uint64_t id);
// Before a session ends, when it is in the list of clients no more: it neither tracks nor is redirected to.
void resp_tracking_forget(struct resp_session *session);
// The prefixes, sorted, each with *prefix set; false: there is no such one.
bool resp_tracking_prefix(const struct resp_session *session, size_t number, struct resp_arg *prefix);

// A command is about to read its keys: notes them if the session wants that.
void resp_tracking_note(struct resp_call *call);

// ---- any thread

void resp_tracking_changed(struct resp_shared *shared, struct resp_session *by, const struct resp_arg *key);
void resp_tracking_flushed(struct resp_shared *shared, bool all);

// Around a command: what it changes goes to BCAST sessions in one message at the end. False: there is nothing to end.
bool resp_tracking_gather(struct resp_shared *shared);
void resp_tracking_send(void);

#endif
