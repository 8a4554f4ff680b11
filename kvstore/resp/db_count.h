// How many keys the databases behind prefixes have. Behind db.h; store.c calls it after each write.
//
// Two ways to count, which agree on what a key is: a record that the store has, expired or not.
//   - by changes: a put that found no record adds one, a delete takes one away, and so does each removal of an expired key that the store tells of. Each of them is
//     certain, so their order is of no account, and the store may tell late.
//   - while `set` is there, by names: whoever finds a key enters it, whoever removes it takes it out, under the key's lock; the totals follow the set. A thread scans the
//     store into it. When the scan is done, and time enough has gone by for the store to remove what had expired unseen, the set goes and changes alone count.
#ifndef MEC_KVSTORE_RESP_DB_COUNT_H
#define MEC_KVSTORE_RESP_DB_COUNT_H

#include <pthread.h>

#include "kvstore/kv.h"
#include "kvstore/kv_format.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/db_set.h"

struct resp_dbs {
    pthread_mutex_t lock;                      // a leaf; the store may hold its own locks around it
    struct resp_db_count laid[RESP_DATABASES]; // lock; [0] is not used
    struct resp_db_set *set;                   // lock; NULL: by changes
    struct kv_seeds seeds;                     // of the set's hashes
    bool exact;                                // lock: the totals are, or will be when the set has gone
    _Atomic bool used;                         // the record `used` is there
    _Atomic bool mapped;                       // and `map`
    // The thread that counts.
    pthread_t thread;
    pthread_cond_t wake;
    bool running, stop; // lock
};

// A key was put, removed, or given another expiry (0: none) by a command; the key's lock is held. old: what was there before. Nothing happens for keys of the store's own.
void resp_db_note_put(struct resp_shared *shared, const struct resp_db_name *name,
                      const struct kv_put_old *old, uint64_t expire_ms);
void resp_db_note_delete(struct resp_shared *shared, const struct resp_db_name *name, uint64_t old_expire_ms);
void resp_db_note_expiry(struct resp_shared *shared, const struct resp_db_name *name, uint64_t old_expire_ms,
                         uint64_t expire_ms);

// For the thread that counts: a key is in the store; its lock is held. False: no memory, or no set any more.
bool resp_db_note_found(struct resp_dbs *dbs, const void *name, size_t len, bool expires);
// All at zero, counting by changes or (begin: true) by names. False: no memory.
bool resp_db_count_reset(struct resp_dbs *dbs, bool by_names);
// The set goes, if it is still there: the totals are exact, or not.
void resp_db_count_settle(struct resp_dbs *dbs, bool exact);

// db_state.c: the server's own records. `used` is to be noted before a key that is not the store's own is put.
enum kv_status resp_db_note_used(struct resp_shared *shared);
enum kv_status resp_db_write_map(struct resp_shared *shared, const uint8_t laid[static RESP_DATABASES]);
bool resp_db_read_map(struct resp_shared *shared, struct error *e);
bool resp_db_read_state(struct resp_shared *shared,
                        struct error *e); // removes it; *exact says what it was worth
void resp_db_write_state(struct resp_shared *shared);

// db_recount.c
void resp_db_recount_end(struct resp_shared *shared);

#endif
