// The locks of keys: what makes a command atomic. A key's lock is one of RESP_KEY_LOCKS, by a keyed hash of its name (the same in every database, for MOVE and COPY). Whoever wants several takes them in
// ascending order, so nobody waits in a circle.
//
// A command that reads one key takes none: the engine's answer is one state of the key. Only while a command of several keys is changing some (`wide`) does it wait for
// it: else it could see a half of what is done as a whole.
#ifndef MEC_KVSTORE_RESP_LOCKS_H
#define MEC_KVSTORE_RESP_LOCKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvstore/resp/parse.h"

#define RESP_KEY_LOCKS 256u

struct resp_locks {
    uint64_t seed;
    _Atomic unsigned wide; // changes of several keys that are under way
    pthread_mutex_t locks[RESP_KEY_LOCKS];
};

struct resp_lock_set { // zeroed: none
    uint64_t bits[RESP_KEY_LOCKS / 64];
    unsigned keys; // how many were added: two keys may have one lock, and are still two
};

// False: out of memory, or of randomness; nothing is to be undone.
bool resp_locks_init(struct resp_locks *locks);
void resp_locks_deinit(struct resp_locks *locks);

void resp_lock_set_add(struct resp_lock_set *set, const struct resp_locks *locks, unsigned db,
                       const struct resp_arg *key);
void resp_lock_set_add_all(struct resp_lock_set *set);

// Takes all of a set. changes: what is under way changes something. wait false: takes all or none, at once; false when it could not.
bool resp_locks_take(struct resp_locks *locks, const struct resp_lock_set *set, bool changes, bool wait);
void resp_locks_release(struct resp_locks *locks, const struct resp_lock_set *set, bool changes);

// Whether one who only reads one key may do so without its lock.
static inline bool resp_locks_free_to_read(const struct resp_locks *locks)
{
    return atomic_load(&locks->wide) == 0;
}

#endif
