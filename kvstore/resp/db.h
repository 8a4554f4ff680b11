// Databases in one store: the names of keys, and how many each database has. Database 0 has the store's own keys; keys of the others begin with a prefix that no key of
// database 0 may have (an error for who would write one; random names do not meet it: 2^-72).
//
//   "\0mec:db\0" (8 bytes), the number of the database as laid down (1 byte), the key
//
// The store has no empty key: that of any database is the prefix with nothing behind it, of database 0, too. With more behind it, number 0 is for the server's own
// records, which no command shows:
//
//   used    written before the first key behind a prefix: a store without it has none, and costs nothing here
//   map     where the databases are laid down after SWAPDB; absent: each at its own number
//   state   the counts, written at a clean stop and removed at start
//
// Counting. The keys behind prefixes are counted in memory, by their laid-down number: put, delete and set-expiry through store.h (under the key's lock) and the store's
// removals of what expired say what they change. Database 0 has the rest of the store's keys. As in Redis, a key that has expired counts until it is removed. After a
// stop that was not clean, or when the store was written to by others since, `state` does not fit and a thread counts them anew (db_count.h).
#ifndef MEC_KVSTORE_RESP_DB_H
#define MEC_KVSTORE_RESP_DB_H

#include "common/report.h"
#include "kvstore/resp/session.h"

#define RESP_DATABASES 16u
#define RESP_DB_PREFIX 9u // bytes

// The key's name in the store, in `buf` or key itself. False: none that the store could have.
struct resp_db_name {
    const uint8_t *data;
    size_t len;
    unsigned laid;      // of which laid-down database
    uint8_t *allocated; // to be freed with resp_db_name_free()
    uint8_t small[256];
};
bool resp_db_name(const struct resp_shared *shared, unsigned db, const struct resp_arg *key,
                  struct resp_db_name *name);
void resp_db_name_free(struct resp_db_name *name);

// The other way, for scans: of which database a name in the store is, and the key in it (points into name). False: none (the server's own records).
bool resp_db_of(const struct resp_shared *shared, const void *name, size_t len, unsigned *db,
                struct resp_arg *key);
// The same as laid down: 0 for keys of the store's own and for the server's records.
unsigned resp_db_laid_of(const void *name, size_t len);

// ---- with a server

// Takes the map and the counts from the store, or begins to count. To be called before commands run; false, *e set, when the store cannot be read or written.
bool resp_db_open(struct resp_shared *shared, struct error *e);
// When no command runs any more: stops counting, writes the state. The store must still be open. Nothing to do when it was not opened, or is closed.
void resp_db_close(struct resp_shared *shared);

// The store has removed a key that had expired: counts it out, tells who wants to know (events.h). What resp_db_open() gives kv_set_on_expire().
void resp_db_expired(struct resp_shared *shared, const void *name, size_t len);

// ---- commands on databases as a whole

struct resp_db_count {
    uint64_t keys, expiring;
};
// Any thread. While keys are still being counted: those found so far.
struct resp_db_count resp_db_count(struct resp_shared *shared, unsigned db);
// Whether no other database has a key (an answer that may be too careful while they are being counted).
bool resp_db_alone(struct resp_shared *shared, unsigned db);

// Exchanges what two databases mean, and writes the map (not synced). The locks of all keys are held.
enum kv_status resp_db_swap(struct resp_shared *shared, unsigned a, unsigned b);
// Removes every key of the store at once, and the server's records with them. The locks of all keys are held.
enum kv_status resp_db_clear(struct resp_shared *shared);

// Writers that put keys behind prefixes other than by store.h (loading a file) say so afterwards: counts anew, in the background. Any thread but those of commands that
// hold key locks. False: no thread or no memory for it; the counts are wrong until the next start.
bool resp_db_recount(struct resp_shared *shared);

#endif
