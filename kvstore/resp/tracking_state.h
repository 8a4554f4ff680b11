// The state of CLIENT TRACKING. Internal to it: tracking.c (who tracks what), tracking_tell.c (who is told).
#ifndef MEC_KVSTORE_RESP_TRACKING_STATE_H
#define MEC_KVSTORE_RESP_TRACKING_STATE_H

#include "kvstore/resp/links.h"
#include "kvstore/resp/session.h"

struct resp_tracker { // of a session that tracks
    struct resp_session *session;
    struct resp_holder holder;   // the keys it is to be told of
    struct resp_session *target; // redirected to; NULL: to none, or it is gone
    struct resp_arg *prefixes;   // owned, with their bytes; sorted
    size_t prefix_count, prefix_bytes;
    struct resp_tracker *next, *prev;
};

struct resp_tracking {
    pthread_mutex_t lock; // guards all below, and the trackers
    struct resp_links links;
    struct resp_tracker *first;
    // Written under the lock; so that a change that nobody wants to know of costs a load or two.
    _Atomic size_t clients, bcast, items;
    _Atomic uint64_t max_keys;
};

// All under the lock. Tells of the oldest keys, and forgets them, until the table is within its bounds.
void resp_tracking_shrink(struct resp_tracking *tracking);
void resp_tracking_tell_key(struct resp_tracker *tracker, const struct resp_arg *key);

#endif
