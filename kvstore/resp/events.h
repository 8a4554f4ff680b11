// What happens to keys, for those who want to know: keyspace notifications (by class, as notify-keyspace-events configures), watchers and trackers (each change).
#ifndef MEC_KVSTORE_RESP_EVENTS_H
#define MEC_KVSTORE_RESP_EVENTS_H

#include "kvstore/resp/command.h"

enum resp_event_class {           // the letters of notify-keyspace-events
    RESP_EVENT_KEYSPACE = 1 << 0, // K: to __keyspace@<db>__:<key>
    RESP_EVENT_KEYEVENT = 1 << 1, // E: to __keyevent@<db>__:<event>
    RESP_EVENT_GENERIC = 1 << 2,  // g: del, expire, rename, ...
    RESP_EVENT_STRING = 1 << 3,   // $
    RESP_EVENT_EXPIRED = 1 << 4,  // x
    RESP_EVENT_EVICTED = 1 << 5,  // e: never happens here
    RESP_EVENT_NEW = 1 << 6,      // n
    RESP_EVENT_MISS = 1 << 7,     // m
    // Of types that there are none of; remembered, so that CONFIG GET gives them back.
    RESP_EVENT_LIST = 1 << 8,    // l
    RESP_EVENT_SET = 1 << 9,     // s
    RESP_EVENT_HASH = 1 << 10,   // h
    RESP_EVENT_ZSET = 1 << 11,   // z
    RESP_EVENT_STREAM = 1 << 12, // t
    RESP_EVENT_MODULE = 1 << 13, // d
    RESP_EVENT_ALL = RESP_EVENT_GENERIC | RESP_EVENT_STRING | RESP_EVENT_EXPIRED | RESP_EVENT_EVICTED |
                     RESP_EVENT_LIST | RESP_EVENT_SET | RESP_EVENT_HASH | RESP_EVENT_ZSET |
                     RESP_EVENT_STREAM | RESP_EVENT_MODULE, // A: all but n and m
};

// A handler says what it did to a key of call->db ("set", "expire", "del"), after it did it and once for each key and event, as Redis 7.0 does. Cheap when nobody wants to
// know. Any thread.
void resp_event(struct resp_call *call, enum resp_event_class class, const char *event,
                const struct resp_arg *key);

// The same for what no command did: a key that expired. session may be NULL in what follows from it.
void resp_event_of(struct resp_shared *shared, unsigned db, enum resp_event_class class, const char *event,
                   const struct resp_arg *key);

// store.c: a key's value or expiry is another one, or it is gone; by whom (NULL: by none of the sessions).
void resp_changed(struct resp_shared *shared, struct resp_session *by, unsigned db,
                  const struct resp_arg *key);
// The same for a key that has expired and was removed: with its event. (Whoever watched it when it had expired already is not disturbed.)
void resp_expired(struct resp_shared *shared, unsigned db, const struct resp_arg *key);

// All keys of a database, or of all, are gone (FLUSHDB, FLUSHALL): instead of resp_changed() of each. Called once by the handler, with the
// locks of all keys held.
#define RESP_ALL_DATABASES UINT32_MAX
void resp_flushed(struct resp_shared *shared, unsigned db);
// Where the handler removes them one by one: each, for on_change alone, before resp_flushed() tells the others.
void resp_flushing(struct resp_shared *shared, unsigned db, const struct resp_arg *key);

// Two databases have changed places (SWAPDB), with the locks of all keys held.
void resp_swapped(struct resp_shared *shared, unsigned a, unsigned b);

#endif
