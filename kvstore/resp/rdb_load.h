// An RDB into the store: strings of databases 0 to 15, in large batches. What the daemon loads before it serves, and a replica's full sync.
//
//   bytes ──▶ rdb_reader ──▶ names of databases (db.h) ──▶ a batch of up to 4 MiB ──▶ kv_put_batch()
//
// Keys that are there are replaced, nothing else is touched. What has expired, other kinds of values, keys that the store cannot have and databases that there are not are
// left out and counted. A key's batch may be put before the file's checksum was seen: what came before damage stays.
//
// The names of keys are locked by nobody here: for the time before commands run, and for a replica, to which clients do not write. One thread.
#ifndef MEC_KVSTORE_RESP_RDB_LOAD_H
#define MEC_KVSTORE_RESP_RDB_LOAD_H

#include "common/report.h"
#include "kvstore/rdb/rdb_reader.h"
#include "kvstore/resp/session.h"

struct resp_load_counts {
    uint64_t loaded, bytes;     // strings, and of their values
    uint64_t expired;           // of all kinds
    uint64_t unfit;             // keys of no byte or too many
    uint64_t no_database;       // in databases beyond the last
    uint64_t others[RDB_KINDS]; // by kind, that have not expired
};

struct resp_load;

// begin (may be NULL): called once, before the first key or fact of a file that has begun as an RDB does; false: it failed, which ends the load. NULL: no memory.
struct resp_load *resp_load_create(struct resp_shared *shared, bool (*begin)(void *arg), void *arg);
// What was not put yet is not. NULL is fine.
void resp_load_destroy(struct resp_load *load);

// As rdb_reader_feed(); RDB_DONE also says that everything has been put. RDB_STOPPED: the store or `begin` failed.
enum rdb_status resp_load_feed(struct resp_load *load, const void *bytes, size_t len, size_t *used);
// There are no more bytes; what has come is put. RDB_DONE, or why not.
enum rdb_status resp_load_end(struct resp_load *load);
// When nothing more comes of it, also after a failure: puts what has come and was not put yet, or not, and counts the keys of databases anew. False: the store failed.
bool resp_load_settle(struct resp_load *load, bool put_rest);

const struct resp_load_counts *resp_load_counts(const struct resp_load *load);
// Why it failed: "rdb: offset 12: ...", or "the store: ...". The load's.
const char *resp_load_error(const struct resp_load *load);

// A file, or standard input ("-"), whole. go_on (may be NULL) is asked between pieces of some 100 KiB; false ends the load. False: *e says which file, where, why, and how many keys
// were loaded before. Logs what was loaded and what was not.
bool resp_load_file(struct resp_shared *shared, const char *path, bool (*go_on)(void *arg), void *arg,
                    struct error *e);

#endif
