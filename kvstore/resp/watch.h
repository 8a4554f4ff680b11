// WATCH: which sessions watch which keys, and whether one of these was changed since.
//
// Changes come from any thread, with the locks of the changed keys held; the registry's own lock is a leaf under them. A session's `watch_dirty` says that its transaction
// is not to be executed; EXEC reads it holding the locks of all watched keys, so no change is on its way that it does not see.
#ifndef MEC_KVSTORE_RESP_WATCH_H
#define MEC_KVSTORE_RESP_WATCH_H

#include "kvstore/resp/links.h"
#include "kvstore/resp/session.h"

struct resp_watch;

#define RESP_WATCH_BYTES (16u * 1024 * 1024) // of what a session watches

struct resp_watch *resp_watch_create(void); // NULL: no memory
void resp_watch_destroy(struct resp_watch **watch);

// The session's owner. From now on changes are noted. RESP_LINK_NEW: resp_watch_found() is to follow.
enum resp_link_added resp_watch_add(struct resp_session *session, unsigned db, const struct resp_arg *key);

// What the key was after resp_watch_add(): absent, or there until expire_ms (0: for ever). A key that was there and has expired by the time of EXEC counts as changed; one
// that was not there is not changed by a FLUSHDB. As Redis 7.0 has it.
void resp_watch_found(struct resp_session *session, unsigned db, const struct resp_arg *key, bool exists,
                      uint64_t expire_ms);

// The owner: watches nothing any more and is clean. Also before a session ends.
void resp_watch_clear(struct resp_session *session);

// The owner, in EXEC: adds the locks of the watched keys; whether one was changed or has expired.
void resp_watch_locks(struct resp_session *session, struct resp_lock_set *set);
bool resp_watch_broken(struct resp_session *session);

// Any thread: a key was changed; one has expired; all keys of a database went.
void resp_watch_changed(struct resp_shared *shared, unsigned db, const struct resp_arg *key);
void resp_watch_expired(struct resp_shared *shared, unsigned db, const struct resp_arg *key);
void resp_watch_flushed(struct resp_shared *shared, unsigned db);
// The databases have changed places, and the locks of all keys are held: breaks the watches of keys of `db` that one of the two has.
void resp_watch_swapped(struct resp_shared *shared, unsigned db, unsigned with);

#endif
